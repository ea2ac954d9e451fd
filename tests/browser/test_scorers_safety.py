"""The Quality tab's scorers and safety, as people use them."""
from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def open_part(page, part: str) -> None:
    page.get_by_role("tab", name="Quality").click()
    page.get_by_role("button", name=part, exact=True).click()


def test_a_scorer_says_what_it_needs_and_an_opt_in_asks_first(new_page, expect):
    page = new_page()
    open_part(page, "Scorers")
    row = page.locator('.cs-sc-row[data-name="safety"]')
    expect(row).to_contain_text("22 MB")
    expect(row.get_by_role("link", name="Apache-2.0")).to_have_attribute("href", "https://huggingface.co/Marqo/nsfw-image-detection-384")
    exposed = page.locator('.cs-sc-row[data-name="safety_exposed"]')
    exposed.get_by_role("button", name="Download 12 MB: Exposed parts").click()
    expect(exposed.locator(".cs-sc-question")).to_contain_text("AGPL-3.0")
    exposed.get_by_role("button", name="Not now").click()
    expect(exposed.locator(".cs-sc-question")).to_have_count(0)


def test_a_rule_is_changed_tried_saved_and_restored(new_page, expect):
    page = new_page()
    open_part(page, "Safety")
    page.get_by_label("What the rules below find in a prompt").fill("a purple unicorn")
    expect(page.locator(".cs-sf-findings")).to_contain_text("Nothing is found")
    page.get_by_role("button", name="Add a rule").click()
    made = page.locator(".cs-sf-rule[open]")
    made.get_by_label("Title").fill("Unicorns")
    made.get_by_label("Words and phrases").fill("unicorn*, pegasus")
    expect(page.locator(".cs-sf-findings")).to_contain_text('Unicorns finds "unicorn": ask first.')
    page.get_by_label("Note").fill("No unicorns")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator(".cs-sf-versions")).to_contain_text("No unicorns")
    expect(page.locator(".cs-sf-bar")).to_be_hidden()
    page.get_by_role("button", name="Restore the list as shipped").click()
    expect(page.locator(".cs-sf-versions li").first).to_contain_text("Restored as shipped")
    expect(page.locator(".cs-sf-findings")).to_contain_text("Nothing is found")
