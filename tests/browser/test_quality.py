"""The Quality tab in a real browser: bars and rules changed, tried, saved as versions, restored; narrow windows, what people typed."""
from __future__ import annotations

import re

import httpx
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def drawn(launched):
    launched.draw(draft=4, keep=2, seed=11)


@pytest.fixture
def quality(new_page, expect):
    """Opens the tab at a profile."""

    def open_tab(profile: str = "generic", **options):
        page = new_page(**options)
        page.evaluate("document.querySelector('#cs-tab-quality-button').click()")
        page.locator(f'.cs-q-entry[data-name="{profile}"]').click()
        expect(page.locator(f'.cs-q-entry[data-name="{profile}"]')).to_have_attribute("aria-current", "true")
        expect(page.locator(".cs-q-count")).to_contain_text("picture")
        return page

    return open_tab


def saved(launched, name: str) -> dict:
    return httpx.get(f"{launched.url}/api/profiles/{name}").json()


def test_a_bar_is_changed_tried_saved_and_restored(quality, launched, expect):
    page = quality("product-hero")
    expect(page.locator(".cs-q-profile h2")).to_have_text("Product hero")
    threshold = page.get_by_label("Threshold of Sharpness")
    threshold.fill("64")
    expect(page.locator(".cs-q-outlook .cs-q-diff")).to_contain_text("Sharpness: at least 50, hard → at least 64, hard")
    expect(page.locator('.cs-q-entry[data-name="product-hero"]')).to_contain_text("Edited")

    # Another profile and back: what was typed is still there.
    page.locator('.cs-q-entry[data-name="generic"]').click()
    expect(page.locator(".cs-q-profile h2")).to_have_text("Generic")
    page.locator('.cs-q-entry[data-name="product-hero"]').click()
    expect(threshold).to_have_value("64")

    page.get_by_label("Why this was changed").fill("softer <b>lens</b>")
    page.get_by_role("button", name="Save").click()
    expect(page.locator('.cs-q-entry[data-name="product-hero"]')).to_contain_text("changed, version 1")
    expect(page.locator(".cs-q-keeping")).to_be_hidden()
    assert saved(launched, "product-hero")["profile"]["dimensions"]["sharpness"]["threshold"] == 64

    page.locator(".cs-q-profile summary").click()
    expect(page.locator(".cs-q-versions > li").first).to_contain_text("softer <b>lens</b>")
    page.get_by_role("button", name="Changes of version 1").click()
    expect(page.locator(".cs-q-versions .cs-q-diff").first).to_contain_text("at least 64")
    page.get_by_role("button", name="Restore as shipped").click()
    expect(page.locator('.cs-q-entry[data-name="product-hero"]')).to_contain_text("version 2")
    expect(threshold).to_have_value("50")


def test_a_rule_is_understood_as_it_is_written(quality, launched, expect):
    page = quality("lifestyle")
    page.get_by_role("button", name="Add a rule").click()
    rule = page.locator(".cs-q-rules input").last
    expect(rule).to_be_focused()
    rule.fill("sharpnes >= 40")
    expect(page.locator(".cs-q-words").last).to_contain_text("Did you mean sharpness?")
    expect(rule).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    rule.fill("longest side >= 1600")
    expect(page.locator(".cs-q-words").last).to_have_text("Longest side at least 1600 px, or the picture is rejected.")
    expect(page.get_by_role("button", name="Save")).to_be_enabled()
    page.get_by_role("button", name="eyes open").click()
    expect(page.locator(".cs-q-rules input")).to_have_count(2)
    expect(page.locator(".cs-q-outlook .cs-q-diff")).to_contain_text('Rule "eyes open", added')
    page.get_by_role("button", name="Save").click()
    expect(page.locator('.cs-q-entry[data-name="lifestyle"]')).to_contain_text("version 1")
    assert saved(launched, "lifestyle")["profile"]["rules"] == ["longest side >= 1600", "eyes open"]


def test_dimensions_are_added_ordered_and_taken_out(quality, expect):
    page = quality("social-post")
    page.get_by_label("A dimension to add").select_option("background_distance")
    page.get_by_label("Which colour").fill("#336699")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_label("Threshold of Background distance from #336699")).to_be_focused()
    first = page.locator(".cs-q-bar").first
    expect(first).to_have_attribute("data-name", "resolution")
    first.locator("input").first.press("Alt+ArrowDown")
    expect(page.locator(".cs-q-bar").nth(1)).to_have_attribute("data-name", "resolution")
    page.get_by_role("button", name="More for Resolution").click()
    page.get_by_role("button", name="Take it out").click()
    expect(page.locator('.cs-q-bar[data-name="resolution"]')).to_have_count(0)
    page.get_by_role("button", name="Discard").click()
    expect(page.locator(".cs-q-bar").first).to_have_attribute("data-name", "resolution")
    expect(page.locator(".cs-q-keeping")).to_be_hidden()


def test_a_model_may_have_a_bar_of_its_own(quality, expect):
    page = quality("headshot")
    page.get_by_label("for", exact=True).select_option("embedded")
    expect(page.get_by_label("Threshold of Adherence", exact=True)).to_have_value("50")
    page.get_by_label("Threshold of Sharpness").fill("61")
    expect(page.locator(".cs-q-outlook .cs-q-diff")).to_contain_text(re.compile("For .*mbedded.*, Sharpness: 61, added"))
    page.get_by_label("Threshold of Sharpness").fill("")
    expect(page.locator(".cs-q-outlook .cs-q-diff")).to_have_text("")


def test_a_profile_is_copied_and_removed_in_a_narrow_window(quality, launched, expect):
    page = quality("banner-text", width=400, height=900)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.get_by_role("button", name="Duplicate").click()
    page.get_by_label("Title of the copy").fill("Shop <i>window</i>")
    page.get_by_label("Title of the copy").press("Enter")
    expect(page.locator(".cs-q-profile h2")).to_have_text("Shop <i>window</i>")
    name = next(one["name"] for one in httpx.get(f"{launched.url}/api/profiles").json()["profiles"] if one["title"].startswith("Shop"))
    page.locator(".cs-q-acts").get_by_role("button", name="Remove").click()
    page.locator(".cs-q-sure").get_by_role("button", name="Remove").click()
    expect(page.locator(f'.cs-q-entry[data-name="{name}"]')).to_have_count(0)
    page.get_by_role("button", name="Restore Shop").click()
    expect(page.locator(f'.cs-q-entry[data-name="{name}"]')).to_have_count(1)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_in_the_way_of_anybody(quality, theme):
    from axe_playwright_python.sync_playwright import Axe

    page = quality("headshot", color_scheme=theme)
    page.locator(".cs-q-profile summary").click()
    found = Axe().run(page, context="cs-quality", options={"runOnly": ["wcag2a", "wcag2aa"]})
    assert [one["id"] for one in found.response["violations"]] == []
