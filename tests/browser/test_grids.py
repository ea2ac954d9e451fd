"""Grids, failure modes and pinned seeds in a real browser."""
from __future__ import annotations

import re

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def open_grids(page, expect):
    page.get_by_role("tab", name="Experiments").click()
    page.get_by_role("button", name="Grids", exact=True).click()
    expect(page.get_by_role("form", name="A new grid")).to_be_visible()
    return page.locator("cs-grids")


def axis(grids, letter: str, field: str, values: str) -> None:
    grids.get_by_label(f"{letter} field").select_option(field)
    grids.get_by_label(f"{letter} values").fill(values)


def test_a_grid_is_told_drawn_looked_at_and_taken_away(new_page, expect):
    page = new_page(width=1600)
    page.get_by_label("Prompt", exact=True).fill("a red mug on a table")
    grids = open_grids(page, expect)
    expect(grids.get_by_label("Prompt")).to_have_value("a red mug on a table")
    axis(grids, "X", "steps", "2, two")
    expect(grids.get_by_role("alert").filter(has_text="is no number")).to_be_visible()
    axis(grids, "X", "steps", "2-4")
    axis(grids, "Y", "words", "red, blue")
    expect(grids.get_by_role("status").first).to_contain_text("3 \u00d7 2: 6 pictures in 6 jobs")
    grids.get_by_role("button", name="Draw 6 pictures").click()
    expect(grids.get_by_role("columnheader", name="4")).to_be_visible()
    expect(grids.get_by_role("rowheader", name="blue")).to_be_visible()
    expect(grids.locator(".cs-grid-cell")).to_have_count(6)
    expect(grids.get_by_text("6 of 6 drawn")).to_be_visible()
    grids.get_by_label("Score shown under each cell").select_option("sharpness")
    expect(grids.locator(".cs-grid-score")).to_have_count(6)
    first = grids.locator(".cs-grid-cell").first
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(grids.get_by_role("button", name="Steps 3, Words blue")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".cs-loupe-prompt")).to_have_text("a blue mug on a table")
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        grids.get_by_role("link", name="Sheet").click()
    assert download.value.suggested_filename.endswith("steps-by-words.png")
    with page.expect_download() as download:
        grids.get_by_role("link", name="CSV").click()
    assert download.value.path().read_text().splitlines()[0].startswith("cell,Steps,Words,seed,state")
    grids.get_by_role("button", name="All grids").click()
    expect(grids.get_by_role("list", name="Grids").get_by_role("button")).to_have_count(1)


def test_what_cannot_be_drawn_is_listed_and_left_out(new_page, expect):
    page = new_page(width=1600)
    page.get_by_label("Prompt", exact=True).fill("a red mug")
    grids = open_grids(page, expect)
    axis(grids, "X", "size", "1:1, 17:3")
    expect(grids.get_by_role("listitem").filter(has_text="17:3").first).to_contain_text("size cannot be")
    grids.get_by_role("button", name="Draw the other 1").click()
    expect(grids.locator(".cs-grid-cell")).to_have_count(1)
    expect(grids.locator(".cs-grid-empty")).to_contain_text("17:3")
    grids.get_by_role("button", name="Delete").click()
    expect(grids.get_by_role("form", name="A new grid")).to_be_visible()


def test_a_seed_is_pinned_and_used_again(new_page, launched, expect):
    launched.draw(prompt="a green vase", seed=4242, draft=1, keep=1, ladder=False)
    page = new_page()
    page.locator(".cs-frame").first.dblclick()
    page.get_by_role("button", name="Pin seed").click()
    expect(page.get_by_text("Seed 4242 is pinned")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Pinned seeds").click()
    library = page.get_by_role("dialog", name="Pinned seeds")
    library.get_by_role("button", name=re.compile("^Use seed 4242")).click()
    expect(page.locator("#cs-seed")).to_have_value("4242")
    expect(page.get_by_role("radio", name="Fixed")).to_be_checked()
    page.get_by_role("button", name="Pinned seeds").click()
    library.get_by_role("button", name="Unpin seed 4242").click()
    expect(library).to_contain_text("No seed is pinned")


def test_a_failure_mode_opens_its_pictures(new_page, launched, expect):
    colours = "red blue green white black yellow pink brown".split()
    for at in range(16):
        # The scripted engine's pictures are all alike; a person's word makes the difference.
        job = launched.draw(prompt=f"a {colours[at % 8]} cup on {'marble' if at % 2 else 'wood'}, {at // 2}", draft=4, keep=1, ladder=False)
        if at % 2:
            for image in job["images"]:
                httpx.post(f"{launched.url}/api/images/{image['id']}/keep", json={"keep": False}).raise_for_status()
    page = new_page(width=1600)
    page.get_by_role("tab", name="Insights").click()
    panel = page.get_by_role("region", name="Failure modes", exact=True)
    panel.get_by_label("Rejected for").select_option("person")
    row = panel.get_by_role("row").filter(has_text="marble")
    expect(row).to_contain_text("32 of 32")
    row.get_by_role("button", name=re.compile("^Open the pictures")).click()
    expect(page.get_by_role("searchbox")).to_have_value('"marble"')
    expect(page.locator(".cs-history-count")).to_contain_text("32")


def test_nothing_serious_for_axe_and_nothing_wider_than_the_window(new_page, expect):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for width, scheme in ((1600, "light"), (1600, "dark"), (400, "light")):
        page = new_page(width=width, color_scheme=scheme)
        page.get_by_label("Prompt", exact=True).fill("a red mug")
        grids = open_grids(page, expect)
        axis(grids, "X", "seed", "1-6")
        axis(grids, "Y", "steps", "2, 3")
        for _ in range(2):
            found = axe.Axe().run(page).response["violations"]
            assert not [(one["id"], one["nodes"][0]["html"][:120]) for one in found if one["impact"] in ("serious", "critical")]
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            if grids.get_by_role("form").is_visible():
                grids.get_by_role("button", name=re.compile("^Draw 12")).click()
                expect(grids.locator(".cs-grid-cell")).to_have_count(12)
