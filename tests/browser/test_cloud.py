"""The Cloud tab, the form's Where, the job's route and the loupe's price in a real browser, with providers that run on this machine."""
from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from models.errors import StudioError
from studio.store import Store, ledger
from studio.store.ledger import Charge

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def launched(launcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A studio with the demo's providers; `new_page` opens this one."""
    studio = launcher(tmp_path_factory.mktemp("cloud") / "data", "--demo-providers")
    studio.start()
    yield studio
    studio.stop()


@pytest.fixture
def ask(launched):
    """Posts to the studio's door."""

    def post(path: str, **body: object) -> dict:
        answer = httpx.post(f"{launched.url}/api/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    return post


@pytest.fixture
def off(ask):
    """The cloud is off and has no budget."""
    ask("cloud/settings", enabled=False)
    ask("money/budgets", scope="studio", day_micro=None, month_micro=None)


@pytest.fixture
def on(ask):
    """Two providers for whatever would wait at all, and five dollars a day."""
    ask("money/budgets", scope="studio", day_micro=5_000_000, month_micro=None)
    ask("cloud/settings", enabled=True, providers=["fal", "replicate"], wait_seconds=0)


def open_tab(page, expect):
    page.get_by_role("tab", name="Cloud").click()
    expect(page.get_by_role("heading", name="Providers")).to_be_visible()
    return page


def provider(page, name: str):
    return page.locator(f'.cs-provider[data-provider="{name}"]')


def test_it_says_how_to_switch_it_on_and_does_so_with_a_budget(off, new_page, expect):
    page = open_tab(new_page(width=1600), expect)
    start = page.get_by_role("region", name="The cloud is off")
    expect(start).to_contain_text("nothing is sent to a provider or spent")
    expect(start).to_contain_text("set a budget and press Switch on")
    day, month = start.get_by_label("Budget a day, in dollars"), start.get_by_label("Budget a month, in dollars")
    day.fill("")
    month.fill("")
    start.get_by_role("button", name="Switch on").click()
    expect(start.get_by_role("alert")).to_contain_text("Set a budget")
    day.fill("two")
    start.get_by_role("button", name="Switch on").click()
    expect(day).to_have_attribute("aria-invalid", "true")
    day.fill("2.50")
    month.fill("40")
    start.get_by_role("button", name="Switch on").click()
    expect(page.get_by_text("The cloud is on:")).to_be_visible()
    expect(start).to_be_hidden()
    money = page.get_by_role("list", name="Money at a glance")
    expect(money).to_contain_text("of $2.50")
    expect(money).to_contain_text("of $40.00")
    expect(page.get_by_text("Play money")).to_be_visible()
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_role("region", name="The cloud is off")).to_be_visible()


def test_a_provider_is_tested_and_chosen(on, new_page, expect):
    page = open_tab(new_page(), expect)
    fal = provider(page, "fal")
    fal.get_by_role("button", name="Test fal").click()
    expect(fal).to_contain_text("Tested just now")
    expect(fal.get_by_role("button", name="Test fal")).to_be_focused()
    use = page.get_by_role("switch", name="Use Together")
    expect(use).not_to_be_checked()
    use.focus()
    page.keyboard.press("Space")
    expect(use).to_be_checked()
    expect(page.get_by_text("3 providers can be used.")).to_be_visible()
    fal.locator("summary").click()
    row = fal.get_by_role("row").filter(has_text="FLUX.1 schnell")
    expect(row).to_contain_text("$0.003")
    expect(row).to_contain_text("2026-")


def test_a_request_says_its_price_goes_out_and_its_money_is_told(on, new_page, launched, expect):
    page = new_page(width=1600)
    launched.draw(prompt="something that was drawn here", draft=1)
    where = page.get_by_role("radiogroup", name="Where it may be drawn")
    expect(where).to_be_visible()
    expect(where.get_by_label("On this machine")).to_be_checked()
    page.locator(".cs-advanced summary", has_text="Advanced").click()
    page.get_by_label("Model family").select_option("flux1")
    page.get_by_label("Prompt", exact=True).fill("a red mug")
    page.get_by_label("Draft", exact=True).fill("4")
    said = page.locator(".cs-where-said")
    expect(said).to_be_empty()
    where.get_by_label("Cloud allowed").check()
    expect(said).to_contain_text(re.compile(r"\$0\.012, 4 pictures by (fal|Replicate) at \$0\.003\. \$[0-9.]+ may still be spent"))
    # Enough to do here that the rest goes away.
    for _ in range(3):
        page.get_by_role("button", name="Generate").click()
        expect(page.get_by_role("button", name="Generate")).not_to_have_attribute("aria-busy", "true")
    page.wait_for_function("() => document.querySelectorAll('.cs-job[data-state=done]').length >= 4", timeout=90_000)
    job = page.locator(".cs-job").filter(has=page.locator(".cs-route", has_text=re.compile(r"Drawn .*at (fal|Replicate)"))).first
    expect(job).to_be_visible()
    expect(job.locator(".cs-how")).to_contain_text(re.compile(r"\$0\.0"))
    away = next(
        image for one in launched.jobs() for image in launched.job(one["id"])["images"] if image["place"]
    )  # fmt: skip
    assert away["place"].split()[0] in ("fal", "replicate") and away["cost_micro"] > 0
    frame = page.locator(f'.cs-job:has(#cs-job-{away["job"]}) .cs-frame').nth(0)
    frame.dblclick()
    loupe = page.get_by_role("dialog")
    expect(loupe.locator(".cs-parameters dt", has_text="Drawn at")).to_be_visible()
    page.keyboard.press("Escape")
    open_tab(page, expect)
    expect(page.locator('.cs-ledger tr[data-state="settled"]').first).to_contain_text("Paid")
    with page.expect_download() as download:
        page.get_by_role("link", name="The ledger as CSV").click()
    assert "settled" in download.value.path().read_text()
    # Settings are reused with where it may be drawn.
    page.get_by_role("tab", name="Preview").click()
    where.get_by_label("On this machine").check()
    page.reload()
    expect(where.get_by_label("On this machine")).to_be_checked()


def test_budgets_are_set_and_uncertain_charges_resolved(on, ask, new_page, launched, expect):
    for charge in httpx.get(f"{launched.url}/api/money").json()["uncertain"]:  # of the tests before
        ask(f"money/charges/{charge['id']}/resolve", billed=True)
    store = Store(launched.data_dir.with_name(f"{launched.data_dir.name}-demo") / "studio.db")  # a folder of play money
    with store.write() as db:
        ids = [ledger.reserve(db, Charge("local", "fal", "fal-ai/flux/schnell", 3000, feature="test")) for _ in range(3)]
        for one in ids:
            ledger.begin(db, one)
            ledger.uncertain(db, one, StudioError("fal did not answer.", "The connection was reset."))
    store.close()
    page = open_tab(new_page(width=400), expect)
    asked = page.get_by_role("region", name="Was this billed?")
    # Three that are alike are one line: of one by itself it is known, the others take one answer.
    expect(asked.get_by_role("listitem")).to_have_count(1)
    expect(asked).to_contain_text("3 calls")
    expect(asked).to_contain_text("The connection was reset.")
    asked.get_by_text("One by one").click()
    asked.get_by_role("button", name=re.compile("^Count as paid")).first.click()
    expect(asked).to_contain_text("2 calls")
    asked.get_by_role("button", name=re.compile("^None was billed")).click()
    expect(asked).to_be_hidden()
    states = page.get_by_label("State", exact=True)
    states.select_option("released")
    expect(page.locator(".cs-ledger tbody tr").first).to_contain_text("Not billed")
    budget = page.get_by_label("The studio, a month, in dollars")
    budget.fill("12.34")
    budget.press("Tab")
    expect(page.get_by_text("of $12.34 a month")).to_be_visible()
    budget.fill("")
    budget.press("Tab")
    expect(page.get_by_text("no limit a month")).to_be_visible()


def test_settings_switch_it_and_refuse_without_a_budget(off, new_page, expect):
    page = new_page(allowed="422")
    page.get_by_role("tab", name="Settings").click()
    box = page.get_by_role("switch", name="Cloud", exact=True)
    box.click()
    expect(page.get_by_text("The cloud needs a budget before it is switched on.")).to_be_visible()
    expect(box).not_to_be_checked()
    page.get_by_role("button", name="Cloud tab").click()
    expect(page.get_by_role("region", name="The cloud is off")).to_be_visible()


def test_nothing_serious_for_axe_and_nothing_wider_than_the_window(on, new_page, expect):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for width, scheme in ((1600, "light"), (1600, "dark"), (400, "light")):
        page = open_tab(new_page(width=width, color_scheme=scheme), expect)
        provider(page, "fal").locator("summary").click()
        found = axe.Axe().run(page).response["violations"]
        assert not [(one["id"], one["nodes"][0]["html"][:120]) for one in found if one["impact"] in ("serious", "critical")]
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
