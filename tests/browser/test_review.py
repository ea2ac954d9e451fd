"""The Review tab in a real browser: judged by keys, blind, undone, two windows at once, thresholds applied and taken back."""
from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import httpx
import pytest
from studios import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCORED = (
    "INSERT INTO scores (image_id, dimension, value, scorer, version, threshold, bound, hard, passed)"
    " VALUES (?, 'sharpness', ?, 'b', '1', 45, '>=', 1, 1)"
)
SAID = (
    "INSERT INTO verdicts (image_id, person, seat, approved, blind, source, why, machine, created)"
    " VALUES (?, 'local', 'other', ?, 1, 'review', 'undecided', 'spare', '2026-11-21')"
)
REASONS = '["text not scored"]'


@pytest.fixture(scope="module")
def waiting(launched) -> list[int]:
    """Six pictures that the studio could not decide about; nothing else waits."""
    job = launched.draw(prompt="a red mug on a table", draft=6, keep=2, again=True)
    ids = [image["id"] for image in job["images"]]
    with closing(sqlite3.connect(launched.data_dir / "studio.db", timeout=10)) as database, database:
        database.execute("UPDATE images SET verdict = 'spare'")
        database.execute("UPDATE scores SET hard = 0")
        database.executemany("UPDATE images SET verdict = 'review', reasons = ? WHERE id = ?", [(REASONS, one) for one in ids])
    return ids


@pytest.fixture
def review(new_page, waiting, launched, expect):
    """Opens the tab with everything waiting again."""
    with closing(sqlite3.connect(launched.data_dir / "studio.db", timeout=10)) as database, database:
        database.execute("DELETE FROM verdicts")
        database.execute("DELETE FROM claims")
        database.execute("UPDATE images SET kept_by_person = NULL")

    def open_tab(*size: int, **options):
        page = new_page(*size, **options)
        page.get_by_role("tab", name="Review", exact=True).click()
        expect(page.locator(".cs-r-desk")).to_be_visible()
        return page

    return open_tab


def shown(page) -> int:
    return int(page.locator(".cs-r-stage img").get_attribute("src").split("/")[-1].split(".")[0])


def verdict(launched, image: int) -> str:
    return httpx.get(f"{launched.url}/api/images/{image}").json()["verdict"]


def said(launched) -> int:
    return httpx.get(f"{launched.url}/api/thresholds?profile=generic&card=embedded").json()["verdicts"]


def test_judged_by_keys_alone(review, launched, expect):
    page = review(allowed="409")
    count = page.locator(".cs-r-count")
    expect(count).to_contain_text("6 waiting")
    told = page.locator("cs-review").inner_html()
    assert not any(word in told for word in ("not scored", "undecided", "borderline", "cs-score-name")), "blind"
    first = shown(page)
    page.keyboard.press("p")
    expect(page.locator(".cs-r-strip li")).to_have_count(1)
    second = shown(page)
    assert second != first
    # A reason by its digit, then the rejection.
    page.keyboard.press("1")
    expect(page.locator(".cs-r-reason").first).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("x")
    expect(page.locator(".cs-r-strip li")).to_have_count(2)
    expect(page.locator(".cs-r-reason").first).to_have_attribute("aria-pressed", "false")
    expect(count).to_contain_text("4 waiting · 2 judged")
    wait_for(lambda: verdict(launched, second) == "rejected", "the second word")
    assert verdict(launched, first) == "kept"

    page.keyboard.press("u")
    expect(page.locator(".cs-r-stage img")).to_have_attribute("src", f"/image/{second}.png")
    expect(page.locator(".cs-r-reason").first).to_have_attribute("aria-pressed", "true")
    assert verdict(launched, second) == "review"
    page.keyboard.press("Control+z")
    expect(page.locator(".cs-r-stage img")).to_have_attribute("src", f"/image/{first}.png")
    assert verdict(launched, first) == "review"
    page.keyboard.press("u")
    expect(page.get_by_text("There is nothing to take back")).to_be_visible()


def test_quick_keys_arrive_in_order_and_the_desk_empties(review, launched, waiting, expect):
    page = review()
    for key in "pxpxpx":
        page.keyboard.press(key)
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    wait_for(lambda: said(launched) == 6, "six words")
    assert sorted(verdict(launched, image) for image in waiting) == ["kept"] * 3 + ["rejected"] * 3
    page.get_by_role("button", name="Undo the last one").click()
    expect(page.locator(".cs-r-desk")).to_be_visible()
    # Something new comes by itself.
    page.keyboard.press("p")
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()


def test_scores_are_shown_when_asked_for_and_only_for_this_one(review, expect, launched):
    page = review()
    scores = page.locator("cs-review .cs-scores")
    expect(scores).to_be_hidden()
    image = shown(page)
    page.keyboard.press("s")
    expect(scores).to_be_visible()
    expect(scores).to_contain_text("Sharpness")
    page.keyboard.press("p")
    expect(scores).to_be_hidden()
    page.keyboard.press("x")
    wait_for(lambda: said(launched) == 2, "two words")
    with closing(sqlite3.connect(launched.data_dir / "studio.db", timeout=10)) as database:
        blind = dict(database.execute("SELECT image_id, blind FROM verdicts").fetchall())
    assert blind.pop(image) == 0 and list(blind.values()) == [1]


def test_two_windows_look_at_different_pictures(review, browser, expect):
    one = review()
    other = browser.new_context()
    try:
        two = other.new_page()
        two.goto(one.url)
        two.wait_for_function("document.querySelector('#cs-draft')?.placeholder")
        two.get_by_role("tab", name="Review", exact=True).click()
        # All six are the first window's; when it leaves one to others, that one comes to the second.
        expect(two.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
        left = shown(one)
        one.get_by_role("button", name="Leave to others").click()
        expect(one.locator(".cs-r-stage img")).not_to_have_attribute("src", f"/image/{left}.png")
        two.get_by_role("button", name="Thresholds", exact=True).click()
        two.get_by_role("button", name="Pictures", exact=True).click()
        expect(two.locator(".cs-r-stage img")).to_have_attribute("src", f"/image/{left}.png")
        expect(two.locator(".cs-r-count")).to_contain_text("1 other reviewer")
    finally:
        other.close()


def test_keys_are_not_taken_from_others(review, expect):
    page = review()
    first = shown(page)
    page.get_by_role("tab", name="History").click()
    page.locator("cs-history input").first.focus()
    page.keyboard.type("px")
    page.get_by_role("tab", name="Review", exact=True).click()
    page.get_by_role("button", name="Thresholds", exact=True).click()
    page.keyboard.press("p")
    page.get_by_role("button", name="Pictures", exact=True).click()
    expect(page.locator(".cs-r-stage img")).to_have_attribute("src", f"/image/{first}.png")
    expect(page.locator(".cs-r-strip li")).to_have_count(0)


def test_a_threshold_is_applied_and_taken_back(review, launched, expect):
    rng = random.Random(2)
    for take in range(6):
        job = launched.draw(prompt=f"a blue mug, take {take}", draft=12, keep=1, again=True)
        with closing(sqlite3.connect(launched.data_dir / "studio.db", timeout=10)) as database, database:
            for image in job["images"]:
                value = rng.uniform(46, 75)
                database.execute("DELETE FROM scores WHERE image_id = ?", [image["id"]])
                database.execute(SCORED, [image["id"], value])
                database.execute(SAID, [image["id"], int((value > 60) ^ (rng.random() < 0.05))])
    page = review()
    page.get_by_role("button", name="Thresholds", exact=True).click()
    card = page.locator(".cs-r-suggestion[data-dimension=sharpness]")
    expect(card).to_contain_text("72 verdicts")
    expect(card).to_contain_text("at least 45")
    suggested = float(card.locator(".cs-r-to").text_content().split()[-1])
    assert abs(suggested - 60) < 4
    expect(card.get_by_role("img")).to_be_visible()
    expect(card.get_by_role("row", name="Lets pass")).to_contain_text("100 %")

    page.get_by_role("button", name="Apply 1 threshold").click()
    version = page.locator(".cs-r-version")
    expect(version).to_contain_text(f"Sharpness 45 to {suggested:g}")
    expect(card).to_contain_text("This is what holds now.")
    expect(page.get_by_role("button", name="Apply", exact=True)).to_be_disabled()
    toml = httpx.get(f"{launched.url}/api/profiles/generic").text
    assert f"{suggested:g}" in toml and "learned" in toml
    page.get_by_role("button", name="Back to").click()
    expect(version).to_be_hidden()
    expect(card).to_contain_text("at least 45")
