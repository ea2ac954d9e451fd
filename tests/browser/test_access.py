"""axe-core finds nothing serious: on any tab, in any dialog of the sheet, light and dark, in wide and narrow windows."""
from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import resources

import httpx
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOUND = """() => axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations
    .filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | ')}`))"""


@pytest.fixture(scope="session")
def axe() -> str:
    pytest.importorskip("axe_playwright_python")
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def culled(launched) -> dict:
    """A job with a picture of every verdict, flags by hand and stars; the job."""
    job = launched.draw(prompt="a red mug on a wooden table", draft=6, keep=2)
    ids = [image["id"] for image in job["images"]]
    with closing(sqlite3.connect(launched.data_dir / "studio.db", timeout=10)) as database, database:
        for verdict, image in zip(("rejected", "review"), ids[:2], strict=True):
            database.execute("UPDATE images SET verdict = ?, reasons = '[\"sharpness 41 < 55\"]' WHERE id = ?", [verdict, image])
    httpx.post(f"{launched.url}/api/images/{ids[2]}/keep", json={"keep": False}).raise_for_status()
    httpx.post(f"{launched.url}/api/images/{ids[3]}/rate", json={"rating": 4}).raise_for_status()
    return job


@pytest.fixture(params=[(width, scheme) for width in (400, 1600) for scheme in ("light", "dark")], ids=lambda one: f"{one[0]}-{one[1]}")
def page(request, new_page, culled, axe, expect):
    width, scheme = request.param
    page = new_page(width, 1000, color_scheme=scheme, reduced_motion="reduce")
    # As `evaluate` runs it: a script element would be refused by the page's own rules.
    page.evaluate(axe)
    expect(page.locator(".cs-job").first.locator(".cs-frame[data-developed]")).to_have_count(6)
    return page


def test_every_tab(page, expect):
    wrong = {}
    tabs = page.get_by_role("tab")
    names = tabs.all_text_contents()
    assert {"Preview", "Standard", "Premium", "History"} <= {name.strip() for name in names}
    for i, name in enumerate(names):
        # In narrow windows a tab may be in the menu of those that did not fit.
        page.evaluate("(i) => document.querySelectorAll('[role=tab]')[i].click()", i)
        expect(tabs.nth(i)).to_have_attribute("aria-selected", "true")
        page.wait_for_load_state("networkidle")
        if found := page.evaluate(FOUND):
            wrong[name.strip()] = found
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            wrong.setdefault(name.strip(), []).append(f"{over} px wider than the window")
    assert wrong == {}


def test_what_opens_over_the_sheet(page, expect):
    wrong = {}
    job = page.locator(".cs-job").first

    def look(name: str) -> None:
        expect(page.locator("dialog[open]")).to_have_count(1)
        if found := page.evaluate(FOUND):
            wrong[name] = found

    page.locator("#cs-prompt").fill("a portrait of a mug")
    page.get_by_text("Advanced").click()
    job.locator(".cs-shot").first.focus()
    page.keyboard.press("Control+a")  # the bar of what is selected, and a toast
    page.keyboard.press("Control+z")
    expect(page.locator(".cs-bar-chosen")).to_be_visible()
    expect(page.locator(".cs-toast").first).to_have_text("Nothing to undo")
    if found := page.evaluate(FOUND):
        wrong["selected"] = found
    for key, name in (("e", "loupe"), ("c", "compare"), ("n", "survey"), ("?", "keys")):
        page.keyboard.press(key)
        look(name)
        page.keyboard.press("z")
        page.locator("dialog[open] .cs-close").click()
        expect(page.locator("dialog[open]")).to_have_count(0)
        job.locator(".cs-shot").first.focus()
    job.get_by_role("button", name="More").click()
    expect(page.locator(".cs-menu:popover-open")).to_be_visible()
    if found := page.evaluate(FOUND):
        wrong["menu"] = found
    page.keyboard.press("Escape")
    expect(page.locator(".cs-menu:popover-open")).to_have_count(0)
    page.keyboard.press("v")
    assert wrong == {}


def test_every_frame_says_what_it_is(page, culled):
    names = page.locator(".cs-job").first.locator(".cs-shot").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
    by_number = dict(sorted((int(name.split(",")[0].removeprefix("Frame ")), name) for name in names))
    assert list(by_number) == [1, 2, 3, 4, 5, 6]
    assert by_number[1].startswith("Frame 1, rejected, sharpness 41 < 55, ")
    assert by_number[2].startswith("Frame 2, to be reviewed, ")
    assert by_number[3].startswith("Frame 3, rejected by you, ")
    assert ", 4 stars, " in by_number[4]
    for name in names:
        assert "sharpness" in name and "adherence" in name, name


def test_the_studio_when_it_is_empty(new_page, axe, expect):
    page = new_page(400, 900)
    page.route("**/api/jobs", lambda route: route.fulfill(json={"jobs": []}))
    page.reload()
    expect(page.get_by_role("heading", name="Write a prompt")).to_be_visible()
    page.evaluate(axe)
    assert page.evaluate(FOUND) == []
    page.evaluate("document.querySelector('cs-form form').append(document.createElement('button'))")
    assert [one.split(":")[0] for one in page.evaluate(FOUND)] == ["button-name"], "what is wrong is found"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_the_login_and_the_settings_of_an_admin(browser, launcher, tmp_path_factory, axe, expect, width, scheme):
    studio = launcher(tmp_path_factory.mktemp("login") / "data", "--auth", "ada:her own words")
    studio.start()
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme, reduced_motion="reduce")
    try:
        page = context.new_page()
        page.goto(studio.url)
        page.evaluate(axe)
        assert page.evaluate(FOUND) == []
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill("her own words")
        page.keyboard.press("Enter")
        page.get_by_role("tab", name="Settings").click()
        expect(page.get_by_role("heading", name="People")).to_be_visible()
        page.evaluate(axe)
        assert page.evaluate(FOUND) == []
    finally:
        context.close()
        studio.stop()
