"""The History tab over 2,000 pictures in a real browser: scrolling, searching, selecting, boards, trash, keyboard, narrow windows."""
from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import httpx
import pytest

from benchmarks.history import fill
from models.scripted import seed_picture
from studio import files
from studio.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURES = 2000
SHAPES = [(256, 256), (224, 288), (320, 224), (192, 352), (448, 160)]


def furnish(folder: Path) -> None:
    """2,000 pictures in several shapes. Files of one shape are links to one, for what they show does not matter here."""
    store = Store(folder / "studio.db")
    fill(store, PICTURES, seed=5)
    made = {}
    for width, height in SHAPES:
        image, place = seed_picture(width, width, height), f"outputs/{width}.png"
        files.write_picture(folder, place, image, {})
        made[width, height] = (folder / place, folder / files.thumb_path(place))
    with store.write() as db:
        db.execute("UPDATE images SET trashed = NULL, person = 'local'")
        for row in db.execute("SELECT id, job_id, path FROM images").fetchall():
            width, height = SHAPES[row["job_id"] % len(SHAPES)]
            db.execute("UPDATE images SET width = ?, height = ? WHERE id = ?", [width, height, row["id"]])
            for source, target in zip(made[width, height], (folder / row["path"], folder / files.thumb_path(row["path"])), strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(source, target)
    store.close()


@pytest.fixture(scope="module")
def long(launched, tmp_path_factory):
    studio = type(launched)(tmp_path_factory.mktemp("long") / "data")
    furnish(studio.data_dir)
    studio.start()
    yield studio
    studio.stop()


@pytest.fixture
def history(browser, long):
    """Opens the History tab; nothing may go wrong in the console."""
    contexts, wrong = [], []

    def open_page(width: int = 1280, height: int = 900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(45_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(long.url)
        page.wait_for_function("document.querySelector('#cs-draft')?.placeholder")
        page.get_by_role("tab", name="History").click()
        page.locator(".cs-tile").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def get(long, path: str) -> dict:
    return httpx.get(f"{long.url}{path}").raise_for_status().json()


def total(long, query: str = "") -> int:
    found = get(long, f"/api/history?{query}")
    assert found["total_exact"]
    return found["total"]


def test_scrolling_through_everything_keeps_the_document_small(history, expect):
    page = history()
    expect(page.locator(".cs-history-count")).to_have_text("2,000 pictures")
    page.evaluate(
        """() => {
        window.most = 0; window.draws = []; window.seen = new Set();
        const {grid} = document.querySelector('cs-history'), draw = grid.draw.bind(grid);
        grid.draw = () => { const start = performance.now(); draw(); window.draws.push(performance.now() - start); };
    }"""
    )
    for _ in range(1000):
        at = page.evaluate(
            """async () => {
            scrollBy(0, 700);
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            const tiles = [...document.querySelectorAll('.cs-tile')];
            window.most = Math.max(window.most, tiles.length);
            tiles.forEach((tile) => window.seen.add(tile.image.id));
            const boxes = tiles.map((tile) => tile.getBoundingClientRect());
            const inside = boxes.some((box) => box.bottom > 0 && box.top < innerHeight);
            return {end: scrollY + innerHeight >= document.documentElement.scrollHeight - 2, all: window.seen.size, inside};
        }"""
        )
        assert at["inside"], "never an empty window"
        if at["end"] and at["all"] >= PICTURES:
            break
    assert page.evaluate("window.seen.size") == PICTURES, "every picture came by"
    assert page.evaluate("window.most") < 200
    assert page.evaluate("document.querySelectorAll('cs-history *').length") < 3000
    draws = sorted(page.evaluate("window.draws"))
    assert draws[len(draws) // 2] < 16, "the script's part of a frame fits a frame, on a machine that others use too"
    overlaps = page.evaluate(
        """() => { const boxes = [...document.querySelectorAll('.cs-tile')].map((tile) => tile.getBoundingClientRect());
        return boxes.some((a, i) => boxes.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1
            && a.top < b.bottom - 1 && b.top < a.bottom - 1)); }"""
    )
    assert not overlaps
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("[...document.querySelectorAll('.cs-tile')].some((tile) => tile.image.id === 2000)")


def test_words_and_filters_narrow_and_chips_take_them_away(history, long, expect):
    page = history()
    count = page.locator(".cs-history-count")
    page.get_by_role("searchbox").fill("wooden")
    expect(count).to_have_text(f"{total(long, 'q=wooden')} pictures")
    page.get_by_role("button", name="Filters").click()
    page.get_by_role("combobox", name="Verdict").select_option("kept")
    expect(count).to_have_text(f"{total(long, 'q=wooden&verdict=kept')} pictures")
    page.get_by_role("searchbox").fill("")
    page.get_by_label("Score to filter by").select_option("sharpness")
    page.get_by_label("Least").fill("80")
    page.get_by_label("Least").press("Enter")
    expect(count).to_have_text(f"{total(long, 'verdict=kept&score=sharpness:80..')} pictures")
    page.get_by_role("button", name="Remove the filter sharpness at least 80").click()
    expect(count).to_have_text(f"{total(long, 'verdict=kept')} pictures")
    page.get_by_role("combobox", name="Sort").select_option("best:sharpness")
    best = get(long, "/api/history?verdict=kept&sort=best:sharpness")["images"][0]["id"]
    page.wait_for_function("(id) => document.querySelector('.cs-tile')?.image.id === id", arg=best)
    page.locator(".cs-tile").nth(0).focus()
    page.keyboard.press("Space")
    expect(page.locator(".cs-bulk")).to_contain_text("1 selected")
    page.get_by_role("searchbox").fill("zebra crossing")
    expect(page.locator(".cs-bulk")).to_be_hidden()  # nothing is done to what is out of sight
    expect(page.get_by_role("heading", name="No picture matches")).to_be_visible()
    page.get_by_role("button", name="Clear search and filters").click()
    expect(count).to_have_text("2,000 pictures")
    expect(page.locator(".cs-chip")).to_have_count(0)


def test_selecting_by_pointer_and_by_keyboard(history, expect):
    page = history()
    tiles, bar = page.locator(".cs-tile"), page.locator(".cs-bulk")
    tiles.nth(0).hover()
    tiles.nth(0).locator(".cs-tile-check").click()
    expect(bar).to_contain_text("1 selected")
    tiles.nth(5).click(modifiers=["Shift"])
    expect(bar).to_contain_text("6 selected")
    tiles.nth(3).click()  # while something is selected a click selects
    expect(bar).to_contain_text("5 selected")
    page.keyboard.press("Escape")
    expect(bar).to_be_hidden()
    tiles.nth(0).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(bar).to_contain_text("3 selected")
    assert page.locator(".cs-tile[aria-selected=true]").count() == 3
    page.keyboard.press("Control+a")
    expect(bar).to_contain_text("2,000 selected")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.classList.contains('cs-tile')"), "the focus is back"
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    assert page.evaluate(
        "(() => { const box = document.activeElement.getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight; })()"
    ), "what the keyboard goes to is in sight"


def test_bulk_actions_boards_and_the_way_back_from_the_trash(history, long, expect):
    page = history()
    ids = [image["id"] for image in get(long, "/api/history?limit=3")["images"]]
    tiles, bar = page.locator(".cs-tile"), page.locator(".cs-bulk")

    def select_three() -> None:
        tiles.nth(0).focus()
        page.keyboard.press("Home")
        page.keyboard.press("Space")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        expect(bar).to_contain_text("3 selected")

    select_three()
    page.keyboard.press("4")
    expect(page.locator(".cs-tile").nth(2).locator(".cs-tile-stars .cs-icon")).to_have_count(4)
    assert [get(long, f"/api/images/{image}")["rating"] for image in ids] == [4, 4, 4]
    bar.get_by_role("button", name="Tag").click()
    field = page.get_by_role("combobox", name="Tag")
    if not field.count() or not field.last.is_visible():
        page.get_by_role("button", name="Add a tag").click()
    page.locator(".cs-ask input").fill("Shortlist <b>")
    page.keyboard.press("Enter")
    expect(page.locator(".cs-toast").first).to_contain_text('3 pictures tagged "Shortlist <b>"')
    assert total(long, "tag=shortlist <b>") == 3
    bar.get_by_role("button", name="Board").click()
    page.locator(".cs-menu").get_by_role("button", name="New board").click()
    page.get_by_label("Name of the new board").fill("Mugs for Monday")
    page.keyboard.press("Enter")
    board = page.locator(".cs-place", has_text="Mugs for Monday")
    expect(board).to_contain_text("3")
    with page.expect_download() as download:
        bar.get_by_role("button", name="Download").click()
        page.get_by_role("button", name="ZIP with").or_(page.locator(".cs-menu button").first).first.click()
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as packed:
        assert len(packed.namelist()) == 4
    page.keyboard.press("Escape")
    board.click()
    expect(tiles).to_have_count(3)
    expect(page.locator(".cs-history-count")).to_have_text("3 pictures")
    page.locator(".cs-place", has_text="All pictures").click()
    expect(page.locator(".cs-history-count")).to_have_text("2,000 pictures")
    select_three()
    page.keyboard.press("Delete")
    expect(page.locator(".cs-undo")).to_contain_text("3 pictures in the trash")
    expect(page.locator(".cs-history-count")).to_have_text("1,997 pictures")
    page.locator(".cs-undo").get_by_role("button", name="Undo").click()
    expect(page.locator(".cs-history-count")).to_have_text("2,000 pictures")
    select_three()
    bar.get_by_role("button", name="To the trash").click()
    page.locator(".cs-place", has_text="Trash").click()
    expect(tiles).to_have_count(3)
    tiles.nth(0).focus()
    page.keyboard.press("Space")
    bar.get_by_role("button", name="Delete for good").click()
    expect(bar.get_by_role("button", name="Really delete 1 picture")).to_be_visible()
    assert total(long, "trashed=1") == 3, "one click deletes nothing"
    bar.get_by_role("button", name="Really delete 1 picture").click()
    expect(tiles).to_have_count(2)
    page.keyboard.press("Control+a")
    tiles.nth(0).focus()
    page.keyboard.press("Control+a")
    bar.get_by_role("button", name="Restore").click()
    expect(page.get_by_role("heading", name="The trash is empty")).to_be_visible()
    assert (total(long, "trashed=1"), get(long, "/api/history/facets")["total"]) == (0, 1999)


def test_tags_and_a_note_in_the_loupe(history, long, expect):
    page = history()
    tile = page.locator(".cs-tile").nth(7)
    image = tile.evaluate("(tile) => tile.image.id")
    tile.click()
    loupe = page.get_by_role("dialog")
    loupe.get_by_label("Add a tag").fill("For The Cover")
    page.keyboard.press("Enter")
    expect(loupe.locator(".cs-tag").last).to_have_text("for the cover")
    loupe.get_by_label("Note").fill("<img src=x onerror=alert(1)> 12345")
    loupe.get_by_label("Note").blur()
    page.wait_for_function("(id) => fetch(`/api/images/${id}`).then((a) => a.json()).then((i) => i.note.includes('12345'))", arg=image)
    assert "for the cover" in get(long, f"/api/images/{image}")["tags"]
    loupe.get_by_label("Remove the tag for the cover").click()
    expect(loupe.locator(".cs-tag", has_text="for the cover")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_windows_and_accessibility(history, long, expect, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = history(400, 800, color_scheme=scheme)
    page.get_by_role("button", name="Filters").click()
    page.get_by_role("combobox", name="Verdict").select_option("kept")
    expect(page.locator(".cs-history-count")).to_have_text(f"{total(long, 'verdict=kept')} pictures")
    page.locator(".cs-tile").nth(0).focus()
    page.keyboard.press("Space")
    page.locator(".cs-bulk").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    found = Axe().run(page).response["violations"]
    serious = [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []
