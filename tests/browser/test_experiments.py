"""The Experiments tab in a real browser: a design is written and started, its answer appears while pairs come in, people vote by key."""
from __future__ import annotations

import time

import httpx
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIDES = [{"title": "few", "fields": {"steps": 2}}, {"title": "many", "fields": {"steps": 4}}]


def visit(page, expect) -> None:
    page.locator("#cs-tab-experiments-button").first.click()
    expect(page.locator("cs-experiments .cs-x-desk")).to_be_visible()


def drawn(launched, experiment: int, pairs: int) -> dict:
    deadline = time.monotonic() + 90
    while (now := httpx.get(f"{launched.url}/api/experiments/{experiment}").json())["result"]["drawn"] < pairs:
        assert time.monotonic() < deadline, now
        time.sleep(0.1)
    return now


def test_a_design_begun_before_the_list_has_come_stays(new_page, expect):
    page, held = new_page(1600, 1000), []
    page.route("**/api/experiments", lambda route: held.append(route))
    visit(page, expect)
    page.get_by_role("button", name="New experiment").first.click()
    assert len(held) == 1
    with page.expect_response("**/api/experiments"):
        held.pop().continue_()
    page.get_by_label("Title").fill("Begun early")
    page.wait_for_timeout(200)  # what must not happen cannot be waited for
    expect(page.get_by_label("Title")).to_have_value("Begun early")
    expect(page.get_by_label("Title")).to_be_visible()


def test_a_design_is_written_told_its_cost_and_run_to_its_answer(new_page, launched, expect):
    page = new_page(1600, 1000)
    visit(page, expect)
    page.get_by_role("button", name="New experiment").first.click()
    page.get_by_label("Title").fill("Which steps are enough?")
    page.get_by_label("Steps of A").fill("2")
    page.get_by_label("Steps of B").fill("4")
    page.get_by_label("Prompt, row 1").fill("a red mug")
    page.get_by_role("button", name="Add a row").click()
    page.get_by_label("Prompt, row 2").fill("a blue vase")
    page.get_by_label("Pairs at most").fill("8")
    cost = page.locator(".cs-x-cost")
    expect(cost).to_contain_text("At most 8 pairs, 16 pictures")
    page.get_by_label("Steps of B").fill("2")
    expect(cost).to_contain_text("A and B are the same")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    page.get_by_label("Steps of B").fill("4")
    expect(cost).to_contain_text("At most 8 pairs")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".cs-x-answer")).to_have_text("No difference found in 8 pairs.")
    expect(page.locator(".cs-x-pair")).to_have_count(8)
    expect(page.locator(".cs-x-frame img")).to_have_count(16)
    page.locator("figure.cs-x-course summary").click()
    expect(page.locator("figure.cs-x-course tbody tr")).to_have_count(8)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_people_vote_blind_by_key_and_take_a_vote_back(new_page, launched, expect):
    design = {"title": "By eye", "sides": SIDES, "rows": [{"prompt": "a red mug"}], "pairs": 8, "outcome": {"kind": "preference"}}
    launched.start()
    made = httpx.post(f"{launched.url}/api/experiments", json={"design": design}).json()["id"]
    httpx.post(f"{launched.url}/api/experiments/{made}/start", json={}).raise_for_status()
    drawn(launched, made, 8)
    page = new_page(400, 860)
    visit(page, expect)
    page.locator(f'.cs-x-entry[data-id="{made}"]').click()
    expect(page.locator(".cs-x-blind")).to_be_visible()  # who wants to vote does not see which is which
    page.get_by_role("button", name="Vote blind").click()
    count = page.locator(".cs-vote header .cs-quiet")
    expect(count).to_have_text("8 pairs left")
    page.keyboard.press("ArrowLeft")
    expect(count).to_have_text("7 pairs left · 1 judged")
    page.keyboard.press("ArrowDown")
    expect(count).to_have_text("6 pairs left · 2 judged")
    page.keyboard.press("u")
    expect(count).to_have_text("7 pairs left · 1 judged")
    page.keyboard.press("Escape")
    expect(page.locator(".cs-vote")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    result = httpx.get(f"{launched.url}/api/experiments/{made}").json()["result"]
    assert (result["counted"], sum(result["primary"]["wins"])) == (1, 1)


def test_a_draft_has_versions_with_what_each_changed_and_goes_back(new_page, launched, expect):
    launched.start()
    design = {"title": "Enough steps", "sides": SIDES, "rows": [{"prompt": "a red mug"}], "pairs": 8}
    made = httpx.post(f"{launched.url}/api/experiments", json={"design": design}).json()["id"]
    page = new_page(400, 900)
    visit(page, expect)
    page.locator(f'.cs-x-entry[data-id="{made}"]').click()
    state = page.locator(".cs-x-design .cs-x-head .cs-quiet")
    expect(state).to_have_text("Draft, version 1")
    page.get_by_label("Steps of B").fill("6")
    page.get_by_label("Prompt, row 1").fill("a <b>blue</b> mug")
    page.get_by_label("Note on this version").fill("six are usual")
    page.get_by_role("button", name="Save draft").click()
    expect(state).to_have_text("Draft, version 2")
    page.get_by_text("Versions (2)").click()
    page.get_by_role("button", name="Changes of version 2").click()
    diff = page.locator(".cs-t-diff").first
    expect(diff).to_contain_text("B: steps")
    expect(diff.locator("del").first).to_have_text("4")
    expect(diff.locator("ins").first).to_have_text("6")
    expect(diff).to_contain_text("<b>blue</b>")
    expect(page.locator(".cs-t-version").first).to_contain_text("six are usual · local")
    page.get_by_role("button", name="Restore version 1").click()
    expect(state).to_have_text("Draft, version 3")
    expect(page.get_by_label("Steps of B")).to_have_value("4")
    expect(page.get_by_label("Prompt, row 1")).to_have_value("a red mug")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".cs-x-answer")).to_be_visible()
    page.locator(".cs-x-result").get_by_text("Versions (3)").click()  # starting without a change makes none
    expect(page.get_by_role("button", name="Restore version 1")).to_have_count(0)
