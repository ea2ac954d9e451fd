"""From a prompt to keepers, as a person sees it."""
from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import httpx
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_prompt_becomes_a_scored_sheet(new_page, launched, expect):
    page = new_page()
    # Whatever the frames showed while the job ran, for a preview may be gone before anybody looks.
    page.evaluate("""() => {
        window.sources = [];
        const watch = new MutationObserver((all) => all.forEach((one) => window.sources.push(one.target.src ?? '')));
        watch.observe(document.querySelector('cs-sheet'), {subtree: true, attributes: true, attributeFilter: ['src']});
    }""")
    page.locator("#cs-prompt").fill("a red mug on a wooden table at noon")
    page.locator("#cs-draft").fill("4")
    page.keyboard.press("Control+Enter")
    job = page.locator(".cs-job", has_text="at noon").first
    expect(job.locator(".cs-frame")).to_have_count(4)
    expect(job.locator(".cs-how")).to_contain_text("2 kept, 2 spare")
    expect(page.locator("cs-sheet .cs-voice")).to_contain_text("done: 2 kept, 2 spare")
    verdicts = job.locator(".cs-frame").evaluate_all("all => all.map(one => one.dataset.verdict)")
    assert verdicts == ["kept", "kept", "spare", "spare"]
    assert any(source.startswith("data:image/jpeg") for source in page.evaluate("window.sources")), "no preview was shown"
    first = job.locator(".cs-shot").first
    expect(first.locator("img")).to_have_attribute("src", re.compile(r"/image/\d+\.png"))
    name = first.get_attribute("aria-label")
    assert re.match(r"Frame \d, kept, resolution 100 passes", name)
    assert "sharpness" in name
    scores = launched.finished(launched.jobs()[0]["id"])["images"][0]["scores"]
    held = [score for score in scores if score["threshold"] is not None and score["value"] is not None]
    assert len(job.locator(".cs-frame").first.locator(".cs-marks").get_attribute("data-standings").split()) == len(held) > 0
    first.focus()
    expect(job.locator(".cs-tip").first).to_be_visible()
    expect(job.locator(".cs-tip").first).to_contain_text("Sharpness")


def test_keepers_come_first_and_frames_do_not_jump_before(new_page, launched, expect):
    page = new_page(reduced_motion="reduce")

    def best_last(route):
        """The same job, but the last two frames are the keepers: scripted pictures all score alike."""
        answer = route.fetch()
        job = answer.json()
        if job["state"] == "done":
            for image in job["images"]:
                image["verdict"], image["rank"] = ("kept", 5 - image["number"]) if image["number"] > 2 else ("spare", 2 + image["number"])
        route.fulfill(response=answer, body=json.dumps(job))

    page.route(re.compile(r"/api/jobs/\d+$"), best_last)
    # Every order of the frames and height of the sheet there was, for the job may be done before anybody looks.
    page.evaluate("""() => {
        window.seen = [];
        new MutationObserver(() => {
            const job = document.querySelector('.cs-job');
            const ours = job?.querySelector('.cs-job-prompt').textContent === 'a blue bowl'; // and no job of an earlier test
            const now = ours && [[...job.querySelectorAll('.cs-number')].map((one) => one.textContent).join(''), job.offsetHeight];
            if (now && JSON.stringify(now) !== JSON.stringify(window.seen.at(-1))) window.seen.push(now);
        }).observe(document.querySelector('cs-sheet'), {subtree: true, attributes: true, childList: true});
    }""")
    page.locator("#cs-prompt").fill("a blue bowl")
    page.locator("#cs-draft").fill("4")
    page.keyboard.press("Control+Enter")
    job = page.locator(".cs-job", has_text="a blue bowl").first  # not the one of an earlier test
    expect(job.locator(".cs-frame")).to_have_count(4)
    expect(job.locator(".cs-how")).to_contain_text("2 kept")
    expect(job.locator(".cs-number").first).to_have_text("4")
    seen = page.evaluate("window.seen")
    assert [order for order, _ in seen] == ["1234", "4312"], "keepers first, by rank, moved once; each keeps its number"
    assert len({height for _, height in seen}) == 1, "the sheet changed its height while pictures came in"


def test_escape_on_the_sheet_cancels_a_running_job(new_page, launched, expect):
    page = new_page()
    page.locator("#cs-prompt").fill("a slow lamp")
    page.locator("#cs-draft").fill("96")  # long enough for a slow machine to be in time
    page.get_by_text("Advanced").click()
    page.locator("#cs-steps").fill("40")
    page.keyboard.press("Control+Enter")
    job = page.locator(".cs-job").first
    expect(job.locator(".cs-how")).to_contain_text("step")
    page.locator("#cs-prompt").focus()
    page.keyboard.press("Escape")
    expect(job.get_by_role("button", name="Cancel")).to_be_visible()  # keys act only while the sheet has the focus
    job.locator(".cs-shot").first.focus()
    page.keyboard.press("Escape")
    expect(job.locator(".cs-how")).to_contain_text("cancelled")
    assert launched.jobs()[0]["state"] == "cancelled"


def test_a_rejected_frame_says_why_and_can_be_kept_anyway(new_page, launched, expect):
    job = launched.draw(draft=2, keep=1)
    with closing(sqlite3.connect(launched.data_dir / "studio.db")) as database, database:
        database.execute(
            "UPDATE images SET verdict = 'rejected', rank = NULL, reasons = ? WHERE id = ?",
            [json.dumps(["sharpness 41 < 55"]), job["images"][0]["id"]],
        )
    page = new_page()
    frame = page.locator(".cs-job").first.locator(".cs-frame").last
    expect(frame).to_have_attribute("data-verdict", "rejected")
    expect(frame.locator(".cs-why")).to_have_text("sharpness 41 < 55")
    frame.get_by_role("button", name="Keep anyway").click()
    expect(frame).to_have_attribute("data-verdict", "kept")
    expect(frame.locator(".cs-number")).to_have_text("1")  # and has not moved
    expect(frame.get_by_role("button", name="Keep anyway")).to_be_hidden()
    assert launched.job(job["id"])["images"][0]["kept_by_person"] is True


def test_a_picture_goes_to_standard_and_shows_its_lineage(new_page, launched, expect):
    launched.draw()
    page = new_page()
    page.locator(".cs-frame[data-developed] .cs-shot").first.click()
    loupe = page.get_by_role("dialog")
    expect(loupe.locator(".cs-score").first).to_be_visible()
    loupe.get_by_role("button", name="To Standard").click()
    job = page.locator(".cs-job").first
    expect(job.locator(".cs-how")).to_contain_text("Standard")
    expect(job.locator(".cs-frame")).to_have_count(1)
    expect(job.locator(".cs-frame")).to_have_attribute("data-verdict", "kept")
    job.locator(".cs-shot").click()
    expect(loupe.locator(".cs-relative")).to_have_count(2)
    expect(loupe.locator(".cs-relative[aria-current]")).to_have_text("Standard")
    loupe.locator(".cs-relative").first.click()
    expect(loupe.locator(".cs-relative[aria-current]")).to_have_text("Preview")
    expect(loupe.locator(".cs-parameters")).to_contain_text("Preview")


def test_a_reload_finds_the_running_job(new_page, launched, expect):
    page = new_page()
    page.locator("#cs-prompt").fill("a teal clock")
    page.locator("#cs-draft").fill("96")  # long enough for a slow machine to be in time
    page.get_by_text("Advanced").click()
    page.locator("#cs-steps").fill("40")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".cs-how").first).to_contain_text("step")
    page.reload()
    job = page.locator(".cs-job").first
    expect(job.locator(".cs-job-prompt")).to_have_text("a teal clock")
    expect(job.locator(".cs-how")).to_contain_text("step")
    expect(page.locator("#cs-prompt")).to_have_value("a teal clock")  # nor is what was typed lost
    job.get_by_role("button", name="Cancel").click()
    expect(job.locator(".cs-how")).to_contain_text("cancelled")


def test_what_is_thrown_away_leaves_the_sheet_and_comes_back(new_page, launched, expect):
    job = launched.draw(prompt="a red mug", draft=4, keep=2)
    one, other = job["images"][0]["id"], job["images"][1]["id"]
    page = new_page()
    frames = page.locator(".cs-job").first.locator(".cs-frame:visible")
    expect(page.locator(".cs-job").first.locator(".cs-frame[data-developed]")).to_have_count(4)
    expect(frames).to_have_count(4)

    def bulk(do: str, *ids: int) -> None:
        httpx.post(f"{launched.url}/api/images/bulk", json={"ids": ids, "do": do}).raise_for_status()

    bulk("trash", one, other)
    expect(frames).to_have_count(2)
    bulk("restore", one)
    expect(frames).to_have_count(3)
    bulk("delete", other)
    page.reload()
    expect(frames).to_have_count(3)
    expect(page.locator(".cs-job").first.locator(".cs-frame[data-state=waiting]:visible")).to_have_count(0)
