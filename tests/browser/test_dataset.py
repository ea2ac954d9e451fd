"""Datasets in a browser: pictures come by file and folder, crops are seen and chosen, captions written, warnings told."""
from __future__ import annotations

import io
import zipfile

import pytest
from test_datasets import drawing, packed

pytestmark = [pytest.mark.slow, pytest.mark.browser]

NEW = """() => {
  const one = document.createElement("cs-dataset");
  document.querySelector("#cs-desk").replaceWith(one); // where the wizard will put it is the wizard's own test
  window.told = [];
  one.addEventListener("cs-dataset", (event) => window.told.push(event.detail));
}"""


@pytest.fixture
def shown(new_page, expect):
    page = new_page(allowed="422")  # what the browser says of a picture that is refused
    page.evaluate(NEW)
    one = page.locator("cs-dataset")
    expect(one.get_by_role("heading", name="New dataset")).to_be_visible()
    one.get_by_label("Product").check()
    one.locator("#cs-ds-title").fill("Mugs")
    one.locator("#cs-ds-trigger").fill("blucer")
    one.get_by_role("button", name="Create").click()
    expect(one.get_by_role("textbox", name="Title of the dataset")).to_have_value("Mugs")
    return page, one


def files(count: int) -> list[dict]:
    return [{"name": f"{n}.png", "mimeType": "image/png", "buffer": packed(drawing(n, 500, 300))} for n in range(count)]


def test_a_trigger_word_is_offered_and_not_twice(new_page, expect):
    page = new_page()
    page.evaluate(NEW)
    one = page.locator("cs-dataset")
    offered = one.locator(".cs-ds-heard button:visible")
    expect(offered).to_have_count(3)
    first, second = offered.nth(0).inner_text(), offered.nth(1).inner_text()
    expect(one.locator("#cs-ds-trigger")).to_have_attribute("placeholder", first)
    one.locator("#cs-ds-card").select_option("flux1-dev")
    expect(one.locator(".cs-ds-heard button:visible")).to_have_count(0)
    one.locator("#cs-ds-card").select_option("embedded")
    offered.nth(0).click()
    expect(one.locator("#cs-ds-trigger")).to_have_value(first)
    one.locator("#cs-ds-title").fill("Mugs")
    one.get_by_role("button", name="Create").click()
    expect(one.locator("#cs-ds-trigger-of")).to_have_value(first)
    expect(one.locator(".cs-ds-heard button:visible")).to_have_count(0)
    one.get_by_role("button", name="All datasets").click()
    expect(one.locator("#cs-ds-trigger")).to_have_attribute("placeholder", second)
    one.locator("#cs-ds-title").fill("Prints")
    one.get_by_role("button", name="Create").click()
    expect(one.locator("#cs-ds-trigger-of")).to_be_visible()
    one.locator(".cs-ds-heard button:visible", has_text=second).click()
    expect(one.locator("#cs-ds-trigger-of")).to_have_value(second)


def test_pictures_captions_and_warnings(shown, expect):
    page, one = shown
    expect(one.get_by_text("There is no picture yet.")).to_be_visible()
    more = [
        {"name": "0.txt", "mimeType": "text/plain", "buffer": b"on a beach"},
        {"name": "copy.jpg", "mimeType": "image/jpeg", "buffer": packed(drawing(1, 500, 300), "JPEG", quality=60)},
        {"name": "bad.png", "mimeType": "image/png", "buffer": b"nothing"},
    ]
    one.locator("#cs-ds-files").set_input_files([*files(4), *more])
    expect(one.locator(".cs-ds-tile")).to_have_count(5)
    expect(one.get_by_role("status").filter(has_text="5 pictures and 1 caption came.")).to_be_visible()
    one.get_by_text("1 file was left out").click()
    expect(one.get_by_text("bad.png is not a picture")).to_be_visible()
    expect(one.get_by_role("textbox", name="Caption of 0.png")).to_have_value("on a beach")
    expect(one.get_by_text("Shows the same as")).to_have_count(1)

    caption = one.get_by_role("textbox", name="Caption of 2.png")
    caption.fill("a <b>mug</b> on a table")
    caption.press("Enter")
    expect(one.get_by_role("button", name="Without caption 3")).to_be_visible()
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA", "on to the next picture"
    assert page.evaluate("window.told.at(-1).images.filter(({caption}) => caption).length") == 2
    one.get_by_role("textbox", name="Words to find in captions").fill("table")
    one.get_by_role("textbox", name="Words to put instead").fill("beach")
    one.get_by_role("button", name="Replace in captions").click()
    expect(caption).to_have_value("a <b>mug</b> on a beach")

    one.get_by_role("button", name="With warnings").click()
    one.get_by_role("button", name="Without caption").click()
    expect(one.locator(".cs-ds-tile")).to_have_count(3)
    one.get_by_role("button", name="All 5").click()
    one.get_by_role("button", name="Leave copy.jpg out").click()
    expect(one.locator(".cs-ds-tile")).to_have_count(4)
    one.get_by_role("button", name="Put back").click()
    expect(one.locator(".cs-ds-tile")).to_have_count(5)


def test_a_crop_is_seen_chosen_and_taken_back(shown, expect):
    page, one = shown
    one.locator("#cs-ds-files").set_input_files(files(1))
    tile = one.locator(".cs-ds-tile")
    expect(tile.get_by_text("320 x 192")).to_be_visible()
    one.get_by_label("Shape").select_option("square")
    expect(tile.get_by_text("256 x 256")).to_be_visible()
    assert tile.locator(".cs-ds-box").evaluate("(box) => box.style.width") == "60%"

    tile.get_by_role("button", name="choose its crop").click()
    dialog = page.get_by_role("dialog", name="0.png")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_text("As the size asks: 256 x 256")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowLeft")
    expect(dialog.get_by_text("300 x 300 of 500 x 300 pixels")).to_be_visible()
    dialog.get_by_role("button", name="Crop like this").click()
    expect(tile.get_by_text("cropped by hand")).to_be_visible()
    assert page.evaluate("window.told.at(-1).images[0].crop") == [0, 0, 300, 300]

    tile.get_by_role("button", name="choose its crop").click()
    box = dialog.locator(".cs-ds-box").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 900, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    dialog.get_by_role("button", name="Crop like this").click()
    expect(tile.locator(".cs-ds-box")).to_have_attribute("style", "left: 40%; top: 0%; width: 60%; height: 100%;")
    tile.get_by_role("button", name="choose its crop").click()
    dialog.get_by_label("Shape").select_option("")
    expect(dialog.get_by_text("As the size asks")).to_have_count(2)  # the choice, and what came of it
    page.keyboard.press("Escape")
    expect(tile.get_by_text("cropped by hand")).to_have_count(0)


def test_a_zip_and_the_list(shown, expect):
    page, one = shown
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for n in range(3):
            archive.writestr(f"set/{n}.png", packed(drawing(n + 40)))
            archive.writestr(f"set/{n}.txt", f"in place {n}")
    one.locator("#cs-ds-files").set_input_files([{"name": "set.zip", "mimeType": "application/zip", "buffer": buffer.getvalue()}])
    expect(one.locator(".cs-ds-tile")).to_have_count(3)
    expect(one.get_by_role("textbox", name="Caption of set/1.png")).to_have_value("in place 1")
    one.get_by_role("button", name="All datasets").click()
    expect(one.get_by_role("button", name="Mugs").first).to_be_visible()
    assert page.evaluate("window.told.at(-1)") is None


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1600, "dark")])
def test_it_fits(new_page, expect, width, scheme):
    page = new_page(width=width, color_scheme=scheme)
    page.evaluate(NEW)
    one = page.locator("cs-dataset")
    one.locator("#cs-ds-title").fill("Wide")
    one.get_by_role("button", name="Create").click()
    one.locator("#cs-ds-files").set_input_files(files(6))
    expect(one.locator(".cs-ds-tile")).to_have_count(6)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert one.evaluate("(one) => one.scrollWidth <= one.clientWidth + 1")
