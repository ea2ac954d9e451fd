"""The queue in a browser: its panel by keyboard, and a second browser that finds the job and watches on."""
from __future__ import annotations

import re

import httpx
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def held(launched):
    """A queue that holds still. Everything in it is cancelled afterwards."""
    launched.start()
    post(launched, "/api/queue/pause")
    yield launched
    for job in httpx.get(f"{launched.url}/api/queue").json()["jobs"]:
        post(launched, f"/api/jobs/{job['id']}/cancel")
    post(launched, "/api/queue/resume")


def post(launched, path: str, **data) -> dict:
    answer = httpx.post(launched.url + path, json=data)
    answer.raise_for_status()
    return answer.json()


def add(launched, prompt: str, **fields) -> int:
    return post(launched, "/api/jobs", prompt=prompt, draft=2, **fields)["id"]


def order(launched) -> list[int]:
    return [job["id"] for job in httpx.get(f"{launched.url}/api/queue").json()["jobs"]]


def opened(page):
    page.locator(".cs-status-button").click()
    panel = page.get_by_role("dialog", name="Queue")
    panel.wait_for()
    return panel


def test_jobs_are_reordered_paused_timed_and_cancelled_by_keyboard_alone(held, new_page, expect):
    a, b, c = add(held, "a red mug"), add(held, "a teal vase"), add(held, "a yellow lamp")
    page = new_page()
    page.locator(".cs-status-button").focus()
    expect(page.locator("cs-status")).to_contain_text("3 queued, paused")
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="Queue")
    expect(panel.locator("li .cs-queue-prompt")).to_have_text(["a red mug", "a teal vase", "a yellow lamp"])
    expect(panel.locator("li").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(panel.locator("li").last).to_be_focused()
    page.keyboard.press("Alt+ArrowUp")
    expect(panel.locator("li .cs-queue-prompt")).to_have_text(["a red mug", "a yellow lamp", "a teal vase"])
    assert order(held) == [a, c, b]
    expect(panel.locator("li").nth(1)).to_be_focused()  # it stays with the job
    page.keyboard.press("Alt+Home")
    expect(panel.locator("li .cs-queue-prompt")).to_have_text(["a yellow lamp", "a red mug", "a teal vase"])
    expect(panel.get_by_role("status")).to_contain_text(f"Job {c} moved to the front")

    def tab_to(name: str) -> None:
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent").startswith(name):
                return
        pytest.fail(f"Tab does not reach {name}")

    # What stands first cannot move up: its buttons are passed over.
    tab_to("Down")
    page.keyboard.press("Enter")
    expect(panel.locator("li .cs-queue-prompt")).to_have_text(["a red mug", "a yellow lamp", "a teal vase"])
    tab_to("Pause")
    page.keyboard.press("Enter")
    expect(panel.locator("li .cs-queue-prompt")).to_have_text(["a red mug", "a teal vase", "a yellow lamp"])
    expect(panel.locator("li").last).to_contain_text("paused")
    assert held.job(c)["paused"] is True
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == f"Resume: job {c}"
    tab_to("Start time and priority")
    page.keyboard.press("Enter")
    tab_to("Tonight")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("status")).to_contain_text(re.compile(f"Job {c} starts (tomorrow )?at"))
    assert held.job(c)["not_before"] is not None
    tab_to("Cancel")
    page.keyboard.press("Enter")
    expect(panel.locator("li .cs-queue-prompt")).to_have_text(["a red mug", "a teal vase"])
    expect(panel.locator("li").last).to_be_focused()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator(".cs-status-button")).to_be_focused()


def test_the_whole_queue_is_paused_and_goes_on(held, new_page, expect):
    job = add(held, "a red mug")
    page = new_page()
    panel = opened(page)
    expect(panel).to_contain_text("Nothing new is started. local paused the queue.")
    panel.get_by_role("button", name="Resume queue").click()
    expect(panel.locator(".cs-queue-notice")).to_be_hidden()
    assert held.finished(job)["state"] == "done"
    expect(panel.locator("li")).to_have_count(0)
    expect(panel).to_contain_text("Nothing is drawn and nothing waits.")


def test_a_priority_is_set_with_the_list(held, new_page, expect):
    a, b = add(held, "a red mug"), add(held, "a teal vase")
    panel = opened(new_page())
    row = panel.locator("li").last
    row.get_by_role("button", name="Start time and priority").click()
    row.get_by_label("Priority", exact=True).select_option("Before all others")
    expect(panel.locator("li .cs-queue-prompt")).to_have_text(["a teal vase", "a red mug"])
    assert order(held) == [b, a]


def test_control_shift_enter_goes_to_the_front(held, new_page, expect):
    waiting = add(held, "a red mug")
    page = new_page()
    page.locator("#cs-prompt").fill("a purple candle")
    page.locator("#cs-prompt").press("Control+Shift+Enter")
    expect(page.locator(".cs-job-prompt").first).to_have_text("a purple candle")
    assert order(held)[1] == waiting


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (400, "dark"), (1600, "light")])
def test_the_panel_fits_its_window_and_means_no_harm(held, new_page, expect, width, scheme):
    add(held, "<img src=x onerror=window.harmed=1>" + " very" * 60)
    add(held, "a teal vase", start_at="02:00")
    page = new_page(width, 800, color_scheme=scheme)
    panel = opened(page)
    panel.get_by_role("button", name="Start time and priority").last.click()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    box = panel.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert panel.evaluate("(panel) => panel.scrollWidth - panel.clientWidth") <= 0
    assert page.evaluate("window.harmed") is None
    assert page.locator("img[src=x]").count() == 0


def test_a_reload_and_a_second_browser_find_the_running_job_and_watch_on(launched, new_page, expect):
    launched.start()
    first = new_page()
    first.locator("#cs-prompt").fill("a green kettle")
    first.locator("#cs-draft").fill("8")
    first.locator("#cs-steps").evaluate("(input) => (input.value = '60')")
    first.locator("#cs-prompt").press("Control+Enter")
    job = first.locator(".cs-job").first
    expect(job.locator(".cs-how")).to_contain_text("step")
    first.reload()
    second = new_page()
    for page in (first, second):
        job = page.locator(".cs-job").first
        expect(job.locator(".cs-job-prompt")).to_have_text("a green kettle")
        expect(job.locator(".cs-how")).to_contain_text(re.compile(r"step \d+/60"))
        expect(job.locator(".cs-shot img[src^='data:']").first).to_be_attached()  # previews are seen as they come
    panel = opened(second)
    expect(panel.locator("li .cs-queue-how").first).to_contain_text(re.compile(r"step \d+/60"))
    for page in (first, second):
        expect(page.locator(".cs-job").first.locator(".cs-how")).to_contain_text("kept")
    expect(panel.locator("li")).to_have_count(0)
