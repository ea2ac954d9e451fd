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


def test_what_is_begun_before_the_list_has_come_stays(new_page, expect):
    page, held = new_page(), []
    page.route("**/api/batches", lambda route: held.append(route))
    page.evaluate("document.querySelector('#cs-tab-batch-button').click()")
    page.get_by_role("button", name="From a catalogue").click()
    page.set_input_files("#cs-b-file", files=[{"name": "autumn.csv", "mimeType": "text/csv", "buffer": GOODS}])
    expect(page.locator(".cs-b-table tbody tr")).to_have_count(3)
    assert len(held) == 1
    with page.expect_response("**/api/batches"):
        held.pop().continue_()
    expect(page.locator(".cs-b-list")).to_be_visible()
    page.wait_for_timeout(200)  # what must not happen cannot be waited for
    expect(page.locator(".cs-b-table tbody tr")).to_have_count(3)


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


def test_rows_are_mended_on_the_page_and_the_setup_is_used_again(batch_tab, launched, expect):
    page = batch_tab(width=1600)
    page.get_by_role("button", name="From a catalogue").click()
    table = b"Product,Colour\n" + b"mug,red\n" * 9 + b"bowl,notacolour\njar,alsonone\n"
    page.set_input_files("#cs-b-file", files=[{"name": "winter.csv", "mimeType": "text/csv", "buffer": table}])
    page.select_option("#cs-b-template", "ecommerce-hero")
    problems = page.locator(".cs-b-problems li")
    expect(problems).to_have_count(2)
    first = problems.first.get_by_label("Colour, line 11")
    expect(first).to_have_value("notacolour")
    first.fill("stillnone")
    first.press("Enter")
    expect(problems.first).to_contain_text("stillnone")
    expect(first).to_be_focused()
    first.fill("teal")
    first.press("Enter")
    expect(problems).to_have_count(1)  # checked again at once
    expect(problems.first.get_by_label("Colour, line 12")).to_be_focused()
    # The same in the table, where every row is.
    page.get_by_role("button", name="With problems 1").click()
    cells = page.locator(".cs-b-cells tbody tr")
    expect(cells).to_have_count(1)
    wrong = page.locator(".cs-b-cells").get_by_label("Colour, line 12")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    wrong.fill("blue")
    wrong.press("Tab")
    expect(page.locator(".cs-b-problems")).to_be_hidden()
    expect(page.locator(".cs-b-sum")).to_contain_text("11 of 11 can be drawn")
    page.get_by_role("button", name="All rows").click()
    expect(cells).to_have_count(8)
    page.get_by_role("button", name="More rows").click()
    expect(cells).to_have_count(11)
    expect(page.locator(".cs-b-cells").get_by_label("Colour, line 11")).to_have_value("teal")
    page.get_by_label("Candidates a row").fill("1")
    page.get_by_label("To keep a row").fill("1")
    page.get_by_role("checkbox", name="Only between").check()
    page.get_by_label("From", exact=True).fill("00:00")
    page.get_by_label("Until", exact=True).fill("23:59")
    expect(page.locator(".cs-b-sum")).to_contain_text("11 candidates, 11 to be kept")
    page.get_by_role("button", name="Start 11 rows").click()
    expect(page.locator(".cs-b-one h2")).to_have_text("winter")

    page.get_by_role("button", name="Use this setup again").click()
    expect(page.locator(".cs-b-new h2")).to_have_text("New batch, set up as winter")
    expect(page.locator(".cs-b-cells").get_by_label("Product, line 2")).to_have_value("mug")
    expect(page.locator("#cs-b-to-values-colour")).to_have_value("Colour")
    expect(page.get_by_label("Candidates a row")).to_have_value("1")
    expect(page.get_by_role("checkbox", name="Only between")).to_be_checked()
    expect(page.get_by_label("Until", exact=True)).to_have_value("23:59")
    page.locator(".cs-b-cells").get_by_label("Product, line 2").fill("cup")
    page.locator(".cs-b-cells").get_by_label("Product, line 2").press("Enter")
    expect(page.locator(".cs-b-first li").first).to_contain_text("cup")
    page.locator("#cs-b-title").fill("winter again")
    page.get_by_role("button", name="Start 11 rows").click()
    expect(page.locator(".cs-b-one h2")).to_have_text("winter again")
    found = httpx.get(f"{launched.url}/api/batches").json()["batches"]
    assert [one["title"] for one in found[:2]] == ["winter again", "winter"]
    rows = httpx.get(f"{launched.url}/api/batches/{found[0]['id']}/rows").json()["rows"]
    assert rows[0]["cells"] == {"Product": "cup", "Colour": "red"} and rows[9]["cells"]["Colour"] == "teal"
    httpx.post(f"{launched.url}/api/batches/{found[0]['id']}/stop", json={}).raise_for_status()
    httpx.post(f"{launched.url}/api/batches/{found[1]['id']}/stop", json={}).raise_for_status()
