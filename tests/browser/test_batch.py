"""The Batch tab in a real browser: a catalogue from file to pictures, what is wrong with it first; ad variants and their winners."""
from __future__ import annotations

import httpx
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
GOODS = b"Product,Colour\nmug,red\nbowl,notacolour\n<b>box</b>,teal\n"


@pytest.fixture
def batch_tab(new_page):
    def open_tab(**options):
        page = new_page(**options)
        page.evaluate("document.querySelector('#cs-tab-batch-button').click()")
        page.get_by_role("button", name="From a catalogue").wait_for()
        return page

    return open_tab


def test_a_catalogue_is_read_mended_by_leaving_out_and_drawn(batch_tab, launched, expect):
    page = batch_tab(width=1600)
    page.get_by_role("button", name="From a catalogue").click()
    page.set_input_files("#cs-b-file", files=[{"name": "autumn.csv", "mimeType": "text/csv", "buffer": GOODS}])
    expect(page.locator(".cs-b-table tbody tr")).to_have_count(3)
    page.select_option("#cs-b-template", "ecommerce-hero")
    expect(page.locator("#cs-b-to-values-product")).to_have_value("Product")
    expect(page.locator("#cs-b-to-values-colour")).to_have_value("Colour")
    expect(page.locator(".cs-b-problems li")).to_have_count(1)
    expect(page.locator(".cs-b-problems li")).to_contain_text("line 3, Colour")
    page.get_by_label("Candidates a row").fill("1")
    page.get_by_label("To keep a row").fill("1")
    expect(page.locator(".cs-b-sum")).to_contain_text("2 candidates, 2 to be kept")
    page.get_by_role("button", name="Start with the 2 good rows").click()
    expect(page.locator(".cs-b-one h2")).to_have_text("autumn")
    expect(page.locator('.cs-b-row[data-state="done"], .cs-b-row[data-state="short"]')).to_have_count(2)
    expect(page.locator(".cs-b-row").last).to_contain_text("<b>box</b>")
    expect(page.locator(".cs-b-entry").first).to_contain_text("done, 2 of 2 rows")
    page.locator(".cs-b-shot").first.click()
    expect(page.locator(".cs-loupe[open]")).to_be_visible()
    rows = httpx.get(f"{launched.url}/api/batches").json()["batches"][0]
    assert rows["rows"] == 2


def test_variations_are_proposed_changed_drawn_and_won_around(batch_tab, expect):
    page = batch_tab(width=400)
    page.get_by_role("button", name="Ad variants").click()
    page.get_by_label("What is advertised").fill("a red mug")
    page.get_by_label("Variations", exact=True).first.fill("4")
    page.get_by_role("button", name="Propose variations").click()
    expect(page.locator(".cs-b-plan tbody tr")).to_have_count(4)
    page.get_by_role("button", name="Leave out variation 4").click()
    page.get_by_label("Message of variation 1").fill("HELLO")
    page.get_by_role("button", name="Draw 3 variations").click()
    expect(page.locator(".cs-b-row")).to_have_count(3)
    expect(page.locator(".cs-b-row").first).to_contain_text("Message: HELLO")
    page.get_by_role("button", name="Variation 1 is a winner").click()
    expect(page.get_by_role("button", name="Variation 1 is a winner")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="More around the winners").click()
    expect(page.locator(".cs-b-new h2")).to_have_text("More around the winners")
    expect(page.locator(".cs-b-plan tbody tr")).not_to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
