"""Pictures from outside in a real browser: dropped, pasted, chosen; the menu by mouse and by keys; frames dragged to the form; offers."""
from __future__ import annotations

import base64
import json
import re

import foreign
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# A drop (or a paste) as the browser makes it: a real File in a real DataTransfer.
GIVE = """([data, name, type, how]) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const carried = new DataTransfer();
    carried.items.add(new File([bytes], name, { type }));
    if (how === "paste") {
        document.activeElement.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true }));
        return;
    }
    for (const kind of ["dragenter", "dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


def give(page, data: bytes, name: str = "found.png", kind: str = "image/png", how: str = "drop") -> None:
    page.evaluate(GIVE, [base64.b64encode(data).decode(), name, kind, how])


def test_a_dropped_file_fills_the_form_and_says_what_it_could_not(new_page, expect):
    page = new_page()
    text = foreign.A1111.replace("Size: 512x768", "Size: 512x512").replace("Steps: 30", "Steps: 7")
    give(page, foreign.png({"parameters": text}), "<b>castle</b>.png")
    menu = page.get_by_role("dialog", name="Use this picture")
    expect(menu).to_be_visible()
    expect(menu).to_contain_text("<b>castle</b>.png")
    expect(menu.get_by_role("button", name="Use its settings")).to_be_focused()
    expect(menu).to_contain_text(re.compile("Written by A1111; [0-9]+ of them have no place here"))
    menu.locator("summary").click()
    expect(menu).to_contain_text("Every model here is sampled by flow-matching Euler.")
    page.keyboard.press("1")
    expect(menu).to_be_hidden()
    expect(page.locator("#cs-prompt")).to_have_value("a castle, BREAK on a hill")
    expect(page.locator("#cs-seed")).to_have_value("42")
    expect(page.locator("#cs-steps")).to_have_value("7")
    expect(page.locator("#cs-negative")).to_have_value("fog")


def test_a_pasted_picture_to_start_from_by_keys_alone(new_page, launched, expect):
    page = new_page()
    page.locator("#cs-prompt").fill("a red mug")
    page.locator("#cs-draft").fill("1")
    page.locator("#cs-prompt").focus()
    give(page, foreign.png(size=(256, 256)), how="paste")
    menu = page.get_by_role("dialog", name="Use this picture")
    expect(menu.get_by_role("button", name="Start from it")).to_be_focused()  # there are no settings to take
    page.keyboard.press("ArrowDown")
    expect(menu.get_by_role("button", name="Show it to the model")).to_be_focused()
    page.keyboard.press("Enter")
    expect(menu).to_be_visible()  # this model takes none, and the choice says so
    expect(menu).to_contain_text("takes no reference picture")
    page.keyboard.press("2")
    expect(menu).to_be_hidden()
    expect(page.locator("#cs-strength")).to_be_focused()
    expect(page.locator(".cs-start-thumb")).to_have_attribute("src", re.compile("^/upload/[0-9a-f]{64}.webp$"))
    assert page.evaluate("document.querySelector('.cs-start-thumb').naturalWidth") > 0
    page.keyboard.press("Control+Enter")
    expect(page.locator(".cs-job").first.locator(".cs-how")).to_contain_text("1 kept")
    request = launched.jobs()[0]["request"]
    assert (request["role"], len(request["image"]), request["strength"]) == ("img2img", 64, 0.6)


def test_chosen_by_button_and_what_is_no_picture_is_refused(new_page, expect):
    page = new_page()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Use a picture").click()
    data = foreign.png({"prompt": json.dumps(foreign.COMFY_FLUX)})
    chooser.value.set_files({"name": "flux.png", "mimeType": "image/png", "buffer": data})
    menu = page.get_by_role("dialog", name="Use this picture")
    expect(menu).to_contain_text("Written by ComfyUI")
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()

    page = new_page(allowed="422")
    give(page, b"not a picture", "x.png")
    expect(page.get_by_role("alert").filter(has_text="not a picture that can be read")).to_be_visible()


def test_a_frame_is_dragged_to_the_form(new_page, launched, expect):
    launched.draw(prompt="a teal vase", seed=90_001, draft=1, keep=1)
    page = new_page()
    frame = page.locator(".cs-job").first.locator(".cs-shot").first
    expect(frame).to_have_attribute("aria-label", re.compile("kept|rejected|spare"))
    frame.drag_to(page.locator("#cs-prompt"))
    menu = page.get_by_role("dialog", name="Use this picture")
    expect(menu).to_contain_text("Picture")
    menu.get_by_role("button", name="Start from it").click()
    expect(page.locator(".cs-start-words")).to_contain_text("Frame 1 of job")
    expect(page.locator("#cs-prompt")).to_have_value("")


def test_similar_prompts_are_offered_pinned_ones_first(new_page, launched, expect):
    first = launched.draw(prompt="a purple candle in the deep snow", draft=1, keep=1)
    launched.draw(prompt="a purple candle in snow", draft=1, keep=1)
    page = new_page()
    page.locator("#cs-prompt").fill("a purple candle in the snow")
    offers = page.locator(".cs-offers")
    expect(offers).to_contain_text("2 earlier results for a similar prompt")
    expect(offers.locator(".cs-offer")).to_have_count(2)
    offers.locator(".cs-offer", has=page.locator(f"img[src='/thumb/{first['images'][0]['id']}.webp']")).click()
    loupe = page.get_by_role("dialog")
    expect(loupe).to_contain_text("a purple candle in the deep snow")
    loupe.get_by_role("button", name="Pin", exact=True).click()
    expect(loupe.get_by_role("button", name="Unpin")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("#cs-prompt").fill("a purple candle in the snow now")
    expect(offers.locator(".cs-offer").first).to_have_attribute("aria-label", re.compile("deep snow, pinned"))
    page.locator("#cs-prompt").fill("")
    expect(offers.locator(".cs-offer")).to_have_count(0)
    page.get_by_role("tab", name="History").click()
    page.locator("[data-place=pinned]").click()
    expect(page.locator(".cs-tile:visible")).to_have_count(1)


def test_served_from_history_and_generate_again(new_page, launched, expect):
    asked = {"prompt": "a yellow lamp", "draft": 2, "keep": 1, "seed": 70_001}
    launched.draw(**asked)
    page = new_page()
    launched.draw(**asked)
    job = page.locator(".cs-job").first
    expect(job.locator(".cs-how")).to_contain_text("from history")
    job.get_by_role("button", name="Generate again").click()
    expect(page.locator(".cs-job").first.locator(".cs-how")).not_to_contain_text("from history")
    expect(page.locator(".cs-job").first.locator(".cs-how")).to_contain_text("1 kept")
    newest = launched.jobs()[0]
    assert (newest["cached"], newest["request"]["seeds"]) == (False, [70_001, 70_002])
