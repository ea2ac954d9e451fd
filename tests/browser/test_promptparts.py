"""The parts of a prompt in a real browser: chosen, coloured, written by hand, drawn, and found again."""
from __future__ import annotations

import re

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def said(page):
    return page.get_by_label("What the model reads")


def test_parts_are_coloured_counted_and_written_by_hand(launched, new_page, expect):
    page = new_page()
    page.get_by_label("Prompt", exact=True).fill("a red mug")
    expect(said(page)).to_be_hidden()
    page.locator(".cs-parts summary").click()
    expect(page.locator("#cs-part-use option")).not_to_have_count(0)
    page.get_by_label("For", exact=True).select_option("product page")
    page.get_by_label("Place", exact=True).fill("beach")
    expect(said(page).locator('[data-kind="context"].cs-piece')).to_have_text("on a sandy beach")
    expect(said(page).locator('[data-kind="subject"].cs-piece')).to_have_text("a red mug")
    expect(said(page).locator(".cs-counts")).to_contain_text(re.compile(r"CLIP \d+/77\s+T5 \d+/48"))
    expect(said(page).get_by_role("listitem").filter(has_text="Technical")).to_be_visible()

    said(page).locator('[data-kind="technical"].cs-piece').click()
    own = page.get_by_label("Technical, by hand")
    own.fill("soft focus {as it is}")
    own.press("Enter")
    expect(said(page).locator('[data-kind="edit"].cs-piece')).to_have_text("soft focus {as it is}")
    page.reload()  # nothing that was chosen is lost
    expect(said(page).locator('[data-kind="edit"].cs-piece')).to_have_text("soft focus {as it is}")

    page.get_by_role("button", name="Generate").click()
    expect(page.locator("cs-sheet")).to_contain_text("soft focus {as it is}")
    [job] = httpx.get(f"{launched.url}/api/jobs").json()["jobs"][:1]
    assert "a red mug on a sandy beach, " in job["prompt"]
    page.get_by_role("button", name="Technical as it was").click()
    expect(said(page).locator('[data-kind="technical"].cs-piece')).to_contain_text("commercial quality")


def test_syntax_is_shown_as_it_will_be_drawn(launched, new_page, expect):
    page = new_page()
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.fill("a {red|red} (mug:1.3)")
    expect(said(page).locator(".cs-piece")).to_have_text("a red mug")
    expect(said(page)).to_contain_text("no effect: T5")
    prompt.fill("a {red|blue mug")
    expect(said(page)).to_contain_text('The brace "{" is never closed: character 3')
    prompt.fill("a plain mug")
    expect(said(page)).to_be_hidden()


def test_lists_of_words_are_put_in_and_written(launched, new_page, expect):
    page = new_page(allowed="422")  # a list with a mistake is refused
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.fill("a mug, ")
    page.locator(".cs-parts summary").click()
    page.get_by_role("button", name="Look at them, add your own").click()
    dialog = page.get_by_role("dialog", name="Lists of words")
    dialog.get_by_label("Name").fill("glaze")
    dialog.get_by_label("Entries").fill("{salt")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Line 1")
    dialog.get_by_label("Entries").fill("salt glaze")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("status")).to_have_text("Saved.")
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="__glaze__").click()
    expect(prompt).to_have_value("a mug, __glaze__")
    expect(said(page).locator(".cs-piece")).to_have_text("a mug, salt glaze")
