"""The page as a whole: history, keys, narrow windows, text that means harm, fields that are wrong, a studio that goes away."""
from __future__ import annotations

import json
import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HARM = "<img src=x onerror=window.harmed=1> <script>window.harmed=1</script>"


def reads(page, word: str) -> None:
    """Answers for the model's reader: `word` is the one it does not know. What a model really knows is tested with its tokenizer."""

    def answer(route) -> None:
        prompt = json.loads(route.request.post_data)["prompt"]
        at = prompt.find(word)
        unknown = [] if at < 0 else [{"word": word, "start": len(prompt[:at]), "end": len(prompt[:at]) + len(word)}]
        knows = "FLUX.2-klein can draw it: 16 GB download" if unknown else ""
        route.fulfill(json={"counts": {"clip": [7, 77], "t5": [9, 48]}, "unknown": unknown, "knows": knows, "cut": ""})

    page.route("**/api/words", answer)


def test_everything_by_keyboard_alone(new_page, launched, expect):
    page = new_page()

    def tab_to(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
        pytest.fail(f"Tab does not reach {selector}")

    tab_to("#cs-prompt")
    page.keyboard.type("a green vase")
    tab_to("#cs-draft")
    page.keyboard.type("3")
    page.keyboard.press("Control+Enter")
    job = page.locator(".cs-job", has_text="a green vase").first
    expect(job.locator(".cs-how")).to_contain_text("2 kept, 1 spare")
    tab_to(".cs-shot")
    job.locator(".cs-shot").first.focus()  # Tab reaches the frame that was first before the keepers went ahead
    # Keepers first: which numbers they have is the scores' choice.
    named = "all => all.map(one => one.getAttribute('aria-label').match(/Frame (\\d)/)[1])"
    first, second, third = job.locator(".cs-shot").evaluate_all(named)
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused).startswith(f"Frame {first}, kept")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused).startswith(f"Frame {second}, kept")
    page.keyboard.press("Enter")
    loupe = page.get_by_role("dialog")
    title = loupe.get_by_role("heading", level=2)
    expect(title).to_have_text(re.compile(f"· {second}$"))
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text(re.compile(f"· {third}$"))
    page.keyboard.press("Escape")
    expect(loupe).to_be_hidden()
    page.wait_for_function(f"{focused}.startsWith('Frame {third}')")  # the one last looked at


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_is_not_overrun(new_page, launched, scheme):
    launched.draw(prompt="a" * 300, size="banner", draft=3)
    page = new_page(400, 800, color_scheme=scheme)
    page.locator(".cs-frame[data-developed]").first.wait_for()
    overrun = "document.documentElement.scrollWidth - innerWidth"
    assert page.evaluate(overrun) <= 0
    page.locator(".cs-shot").first.click()
    page.locator(".cs-loupe .cs-score").first.wait_for()
    assert page.evaluate(overrun) <= 0
    assert page.locator(".cs-loupe").bounding_box()["width"] == 400
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="History").click()
    page.locator(".cs-tile").first.wait_for()
    assert page.evaluate(overrun) <= 0


def test_a_prompt_that_means_harm_is_text(new_page, launched, expect):
    launched.draw(prompt=HARM)
    page = new_page()
    expect(page.locator(".cs-job-prompt").first).to_have_text(HARM)
    reads(page, "<script>")
    page.locator("#cs-prompt").fill(HARM)
    page.locator(".cs-behind mark").first.wait_for()
    page.locator(".cs-shot").first.click()
    expect(page.locator(".cs-loupe-prompt")).to_have_text(HARM)
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="History").click()
    expect(page.locator(".cs-tile-prompt").first).to_have_text(HARM)
    assert page.evaluate("window.harmed") is None
    assert page.locator("img[src=x]").count() == 0


def test_a_wrong_field_is_told_at_its_place(new_page, launched, expect):
    before = len(launched.jobs())
    page = new_page(allowed="422")
    page.keyboard.press("Tab")
    page.locator("#cs-draft").fill("900")
    page.locator("#cs-prompt").fill("a mug")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#cs-draft-error")).to_be_visible()
    expect(page.locator("#cs-draft")).to_be_focused()
    expect(page.locator("#cs-draft")).to_have_attribute("aria-invalid", "true")
    page.locator("#cs-draft").fill("2")
    expect(page.locator("#cs-draft-error")).to_be_hidden()
    page.locator("#cs-seed").fill("twelve")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#cs-seed-error")).to_be_visible()
    page.locator("#cs-seed").fill("")
    page.locator("#cs-steps").evaluate("(input) => (input.value = '0')")
    page.locator("#cs-prompt").press("Control+Enter")
    expect(page.locator("#cs-steps")).to_be_focused()  # in the fold, which has opened
    page.locator("#cs-steps").fill("")
    page.locator("#cs-prompt").fill("  ")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#cs-prompt-error")).to_contain_text("empty")
    assert len(launched.jobs()) == before


def test_unknown_words_are_marked(new_page, expect):
    page = new_page()
    reads(page, "portrait")
    page.locator("#cs-prompt").fill("a \N{VIDEO CAMERA} portrait of a mug")
    expect(page.locator(".cs-behind mark")).to_have_text(["portrait"])
    expect(page.locator(".cs-unknown")).to_contain_text("portrait is not in this model's world. FLUX.2-klein can draw it")
    expect(page.locator(".cs-counts").filter(has_text="T5")).to_contain_text("T5 9/48")
    page.locator("#cs-prompt").fill("a red mug")
    expect(page.locator(".cs-behind mark")).to_have_count(0)


def test_after_a_restart_everything_is_in_the_history(new_page, launched, expect):
    drawn = launched.draw(prompt="a purple candle in the snow", size="3:2", seed=77, tier="standard")
    page = new_page(allowed="Failed to load resource")  # what a browser says of a server that is gone
    launched.stop()
    expect(page.locator("cs-status")).to_contain_text("Reconnecting")
    launched.start()
    expect(page.locator("cs-status")).not_to_contain_text("Reconnecting")
    page.get_by_role("tab", name="History").click()
    expect(page.locator("cs-form")).to_be_hidden()
    tile = page.locator(".cs-tile").first
    expect(tile.locator("img")).to_have_js_property("complete", True)
    assert tile.locator("img").evaluate("(image) => image.naturalWidth") > 0
    tile.click()
    loupe = page.get_by_role("dialog")
    expect(loupe.locator(".cs-loupe-prompt")).to_have_text(drawn["prompt"])
    loupe.get_by_role("button", name="Reuse settings").click()
    expect(page.get_by_role("tab", name="Standard")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#cs-prompt")).to_have_value(drawn["prompt"])
    expect(page.locator("#cs-seed")).to_have_value(str(drawn["images"][-1]["seed"]))  # the newest picture is the final
    expect(page.get_by_role("radio", name="3:2")).to_be_checked()


def test_an_empty_history_says_so(new_page, expect):
    page = new_page()
    nothing = {"images": [], "next": None, "total": 0, "total_exact": True}
    page.route(re.compile(r"/api/history\?"), lambda route: route.fulfill(json=nothing))
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    page.get_by_role("button", name="Write a prompt").click()
    expect(page.locator("#cs-prompt")).to_be_focused()


def test_an_example_fills_an_empty_studio(new_page, expect):
    page = new_page()
    page.route(re.compile("/api/jobs$"), lambda route: route.fulfill(json={"jobs": []}))
    page.reload()
    expect(page.get_by_role("heading", name="Write a prompt")).to_be_visible()
    page.get_by_role("button", name="a red mug on a wooden table").click()
    expect(page.locator("#cs-prompt")).to_have_value("a red mug on a wooden table")
    expect(page.locator(".cs-behind mark")).to_have_count(0)
