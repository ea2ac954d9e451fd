"""The Insights tab and comments in a real browser, over a history written beforehand."""
from __future__ import annotations

import functools
import re

import pytest

from benchmarks.history import fill
from benchmarks.insights import people
from studio.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def launched(launched, tmp_path_factory: pytest.TempPathFactory):
    """A studio with a history of its own; `new_page` opens this one."""
    folder = tmp_path_factory.mktemp("insights") / "data"
    folder.mkdir()
    store = Store(folder / "studio.db")
    fill(store, 3000)
    people(store)
    store.close()
    studio = type(launched)(folder)
    studio.start()
    yield studio
    studio.stop()


@pytest.fixture
def new_page(new_page):
    """The pictures of that history have rows and no files: the sheet asks for thumbnails in vain."""
    return functools.partial(new_page, allowed="404")


@pytest.fixture
def tab(new_page, expect):
    return open_tab(new_page(width=1600), expect)


def open_tab(page, expect):
    page.get_by_role("tab", name="Insights").click()
    expect(page.get_by_role("heading", name="What the scores said")).to_be_visible()
    expect(page.locator(".cs-insights-body")).not_to_have_attribute("aria-busy", "true")
    return page


def panel(page, name: str):
    return page.get_by_role("region", name=name, exact=True)


def number(page, title: str):
    return page.get_by_role("list", name="At a glance").get_by_role("listitem").filter(has=page.get_by_text(title, exact=True))


def test_numbers_follow_the_period_and_the_model(tab, expect):
    expect(number(tab, "Passed")).to_contain_text("%")
    tab.get_by_role("button", name="All", exact=True).click()
    expect(tab.get_by_role("button", name="All", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(number(tab, "Kept")).to_contain_text("of 3,000 drawn")
    whole = number(tab, "Kept").locator("b").inner_text()
    tab.get_by_label("Model", exact=True).select_option("flux1-dev")
    expect(number(tab, "Kept")).not_to_contain_text("of 3,000 drawn")
    expect(number(tab, "Kept").locator("b")).not_to_have_text(whole)
    tab.get_by_label("Model", exact=True).select_option("")
    expect(number(tab, "Kept").locator("b")).to_have_text(whole)
    tab.get_by_label("From", exact=True).fill("1999-01-01")
    tab.get_by_label("Until", exact=True).fill("1999-01-31")
    expect(tab.get_by_role("heading", name="No pictures in these days")).to_be_visible()
    tab.get_by_role("button", name="Show everything").click()
    expect(number(tab, "Kept").locator("b")).to_have_text(whole)


def test_each_plot_tells_its_values_by_key_and_in_a_table(tab, expect):
    with tab.expect_response(lambda answer: "range=365" in answer.url):
        tab.get_by_role("button", name="A year").click()
    expect(tab.locator("cs-insights [aria-busy]")).to_have_count(0)
    said = panel(tab, "What the scores said")
    expect(said.locator(".cs-block").first).to_be_attached()
    area = said.get_by_role("img")
    area.focus()
    tab.keyboard.press("End")
    expect(said.locator(".cs-plot-tip")).to_be_visible()
    last = said.locator(".cs-plot-tip span").all_inner_texts()
    expect(said.get_by_role("status")).to_contain_text(last[0])
    tab.keyboard.press("ArrowLeft")
    expect(said.locator(".cs-plot-tip b")).to_contain_text("Week from")
    tab.keyboard.press("Escape")
    expect(said.locator(".cs-plot-tip")).to_be_hidden()
    said.get_by_text("Table").click()
    row = said.get_by_role("row").last
    expect(row).to_be_visible()
    values = zip(("Passed", "Undecided", "Rejected"), row.get_by_role("cell").all_inner_texts(), strict=True)
    assert [f"{name} {value}" for name, value in values] == last


def test_reasons_by_lora_and_the_course_of_a_dimension(tab, expect):
    tab.get_by_role("button", name="All", exact=True).click()
    reasons = panel(tab, "Why pictures were rejected")
    reasons.get_by_label("Rejected by", exact=True).select_option("lora")
    expect(reasons.get_by_role("rowheader", name="No LoRA")).to_be_visible()
    expect(reasons.get_by_role("rowheader", name="watercolour")).to_be_visible()
    scores = panel(tab, "Scores over time")
    scores.get_by_role("button", name="Exposure").click()
    expect(scores.get_by_role("button", name="Exposure")).to_be_focused()
    expect(scores.get_by_label("Dimension", exact=True)).to_have_value("exposure")
    expect(scores.get_by_role("img")).to_have_attribute("aria-label", re.compile("^Exposure, mean"))
    expect(scores.locator(".cs-legend li")).to_have_count(4)
    with tab.expect_download() as download:
        reasons.get_by_role("link", name="Why pictures were rejected as CSV").click()
    text = download.value.path().read_text()
    assert text.startswith("lora,title,drawn") and "watercolour" in text


def test_people_and_safety(tab, expect):
    tab.get_by_role("button", name="All", exact=True).click()
    agree = panel(tab, "Do people agree?")
    expect(agree.get_by_role("row", name=re.compile("The scores rejected it"))).to_be_visible()
    expect(agree).to_contain_text("95 % interval")
    expect(panel(tab, "What people did").get_by_role("rowheader", name="Picked")).to_be_visible()
    expect(panel(tab, "Safety")).to_contain_text("per 10,000 pictures drawn")


def test_nothing_serious_for_axe_and_nothing_wider_than_the_window(new_page, expect):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for width, scheme in ((1600, "light"), (1600, "dark"), (400, "light")):
        page = open_tab(new_page(width=width, color_scheme=scheme), expect)
        page.get_by_role("button", name="All", exact=True).click()
        expect(number(page, "Kept")).to_contain_text("of 3,000 drawn")
        for one in ("What the scores said", "Scores over time"):
            panel(page, one).get_by_text("Table", exact=True).click()
        found = axe.Axe().run(page).response["violations"]
        assert not [(one["id"], one["nodes"][0]["html"][:120]) for one in found if one["impact"] in ("serious", "critical")]
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_comments_in_the_loupe(new_page, launched, expect):
    launched.draw(prompt="a blue vase", draft=2, keep=1, ladder=False)
    page = new_page()

    def loupe(page):
        page.locator(".cs-frame").first.dblclick()
        page.get_by_role("heading", name="Comments").wait_for()
        return page.locator("cs-comments")

    mine = loupe(page)
    words = "<b>too dark</b>\non the left"
    mine.get_by_label("Write a comment").fill(words)
    page.keyboard.press("Control+Enter")
    comment = mine.get_by_role("listitem")
    expect(comment).to_contain_text("<b>too dark</b>")
    expect(mine.get_by_label("Write a comment")).to_have_value("")
    other = new_page()  # somebody else hears of it as it happens
    theirs = loupe(other)
    expect(theirs.get_by_role("listitem")).to_contain_text("too dark")
    comment.get_by_role("button", name=re.compile("^Edit the comment")).click()
    mine.get_by_label("Edit the comment").fill("lighter on the left")
    page.keyboard.press("Control+Enter")
    expect(comment).to_contain_text("lighter on the left")
    expect(theirs.get_by_role("listitem")).to_contain_text("edited")
    comment.get_by_role("button", name=re.compile("^Edit the comment")).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Comments")).to_be_visible()  # the edit is given up, the loupe stays
    comment.get_by_role("button", name=re.compile("^Delete the comment")).click()
    expect(theirs.get_by_role("listitem")).to_have_count(0)
    mine.get_by_role("button", name="Take it back").click()
    expect(comment).to_contain_text("lighter on the left")
    expect(theirs.get_by_role("listitem")).to_contain_text("lighter on the left")
