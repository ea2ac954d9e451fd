"""The head: name, tabs and status at any width, with and without a login."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTHS = (400, 860, 1280, 1440, 1600, 1920)
SECRET = "her own words"

LAID_OUT = """() => {
    const box = (selector) => document.querySelector(selector).getBoundingClientRect();
    const shown = [...document.querySelectorAll("#cs-tabs [role=tab], #cs-header .cs-name svg, cs-status button, cs-account button")];
    const list = box("#cs-tabs [role=tablist]"), desk = box("#cs-desk");
    const tabs = shown.filter((one) => one.role === "tab");
    return {
        sideways: document.documentElement.scrollWidth - innerWidth,
        lines: new Set(tabs.map((tab) => tab.getBoundingClientRect().top)).size,
        letters: Math.min(...shown.filter((one) => one.innerText).map((one) => parseFloat(getComputedStyle(one).fontSize))),
        over: Math.max(...shown.map((one) => one.getBoundingClientRect().bottom)) - desk.top,
        outside: shown.filter((one) => one.role !== "tab").filter((one) => {
            const at = one.getBoundingClientRect();
            return at.left < 0 || at.right > innerWidth || at.width === 0;
        }).length,
        covered: shown.filter((one) => {
            const at = one.getBoundingClientRect();
            const x = at.x + at.width / 2, y = at.y + at.height / 2;
            if (one.role === "tab" && (x < list.left || x > list.right)) return false;  // to be scrolled to
            const hit = document.elementFromPoint(x, y);
            return !one.contains(hit) && !hit?.closest(".cs-more");
        }).map((one) => one.outerHTML),
        fits: document.querySelector("#cs-tabs [role=tablist]").scrollWidth <= Math.ceil(list.width),
    };
}"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, launcher: Any) -> Iterator[Any]:
    studio = launcher(tmp_path_factory.mktemp("house") / "data", "--auth", f"ada-with-a-long-name:{SECRET}")
    studio.start()
    yield studio
    studio.stop()


def check_widths(page: Any) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 700})
        page.wait_for_function("width => innerWidth === width", arg=width)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found = page.evaluate(LAID_OUT)
        assert (found["sideways"], found["lines"], found["outside"], found["covered"]) == (0, 1, 0, []), (width, found)
        assert found["letters"] >= 13 and found["over"] <= 0, (width, found)
        assert found["fits"] or width <= 860, width


def test_nothing_is_cut_or_covered_at_any_width(new_page, launched):
    check_widths(new_page())


def test_with_a_login_neither(browser, house):
    context = browser.new_context(viewport={"width": 1280, "height": 700})
    page = context.new_page()
    page.goto(house.url)
    page.fill("#name", "ada-with-a-long-name")
    page.fill("#password", SECRET)
    page.keyboard.press("Enter")
    page.wait_for_selector("cs-account .cs-who")
    check_widths(page)
    context.close()


def in_sight(page: Any, name: str) -> None:
    """The tab lies between the line's ends, and under neither of them."""
    page.wait_for_function(
        """(name) => {
            const at = document.querySelector(`#cs-tab-${name}-button`).getBoundingClientRect();
            const hit = document.elementFromPoint(at.x + at.width / 2, at.y + at.height / 2);
            return at.left >= 0 && at.right <= innerWidth && hit?.id === `cs-tab-${name}-button`;
        }""",
        arg=name,
    )


def test_tabs_beyond_the_window_are_scrolled_to(new_page, launched, expect):
    page = new_page(400, 800)
    left, right = page.locator(".cs-more-left"), page.locator(".cs-more-right")
    expect(right).to_be_visible()
    expect(left).to_be_hidden()
    right.click()
    expect(left).to_be_visible()
    while right.is_visible():
        right.click()
        page.wait_for_timeout(500)  # the line glides
    in_sight(page, "settings")
    page.locator("#cs-tab-settings-button").click()
    expect(page.locator("cs-settings")).to_be_visible()
    assert page.evaluate("scrollX") == 0


def test_keys_bring_tabs_into_sight(new_page, launched, expect):
    page = new_page(400, 800)
    page.locator("#cs-tab-preview-button").focus()
    while page.evaluate("document.activeElement.id") != "cs-tab-insights-button":
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.role") == "tab"  # the ends of the line are no stops
    in_sight(page, "insights")
    page.keyboard.press("Enter")
    expect(page.locator("cs-insights")).to_be_visible()
    in_sight(page, "insights")


def test_a_tab_chosen_from_elsewhere_is_in_sight(new_page, launched, expect):
    page = new_page(400, 800)
    page.get_by_role("button", name="Browse").click()  # beside the form's template
    expect(page.locator("cs-templates")).to_be_visible()
    in_sight(page, "templates")
    page.set_viewport_size({"width": 340, "height": 800})
    in_sight(page, "templates")
