"""Taking a picture and a template to production, as a person sees it."""
from __future__ import annotations

import ast
import json

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_picture_is_taken_from_the_loupe(new_page, launched, expect):
    job = launched.draw(prompt='a red mug, "quoted" <b>', draft=1, keep=1)
    page = new_page()
    frame = page.locator(".cs-job", has_text="quoted").first.locator(".cs-frame[data-developed]").first
    frame.locator(".cs-shot").dblclick()
    page.get_by_role("button", name="Take to production").click()
    dialog = page.locator(".cs-production")
    expect(dialog.locator("h2")).to_contain_text("Take to production")
    text = dialog.locator(".cs-production-text")
    expect(text).to_contain_text("import diffusers")
    ast.parse(text.text_content())
    expect(dialog.locator(".cs-production-command")).to_have_text(f"python contact-sheet-{job['id']:06d}-001.py")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("tab", name="TOML")).to_be_focused()
    expect(text).to_contain_text("[request]")
    dialog.get_by_role("tab", name="JSON").click()
    expect(text).to_contain_text('"request"')
    assert json.loads(text.text_content())["request"]["prompt"] == 'a red mug, "quoted" <b>'
    with page.expect_download() as waited:
        dialog.get_by_role("button", name="Download").click()
    assert waited.value.suggested_filename == f"contact-sheet-{job['id']:06d}-001.json"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Take to production")).to_be_focused()


@pytest.mark.parametrize("width", [400, 1600])
def test_a_template_is_taken_from_its_tab(new_page, expect, tmp_path, width):
    page = new_page(width=width)
    page.get_by_role("tab", name="Templates", exact=True).click()
    page.locator("cs-templates").get_by_text("E-commerce hero", exact=True).first.click()
    page.get_by_role("button", name="Take to production").click()
    dialog = page.locator(".cs-production")
    expect(dialog.locator(".cs-production-text")).to_contain_text("${product}")
    expect(dialog.locator(".cs-production-command")).to_contain_text("--set")
    box = dialog.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=str(tmp_path / "production.png"))


@pytest.mark.parametrize("width", [400, 1600])
def test_a_picture_is_taken_to_a_provider(new_page, launched, expect, tmp_path, width):
    launched.draw(prompt="a red mug for the cloud", draft=1, keep=1)
    page = new_page(width=width)
    frame = page.locator(".cs-job", has_text="for the cloud").first.locator(".cs-frame[data-developed]").first
    frame.locator(".cs-shot").dblclick()
    page.get_by_role("button", name="Take to production").click()
    dialog = page.locator(".cs-production")
    text, command = dialog.locator(".cs-production-text"), dialog.locator(".cs-production-command")
    expect(text).to_contain_text("import diffusers")
    dialog.get_by_role("tab", name="Provider").click()
    expect(text).to_contain_text("https://queue.fal.run")
    expect(dialog.get_by_role("combobox", name="Model")).to_contain_text("schnell")
    expect(dialog.locator(".cs-production-price")).to_contain_text("$0.003 a picture")
    ast.parse(text.text_content())
    dialog.get_by_role("combobox", name="Written for").select_option("curl")
    expect(text).to_contain_text("#!/usr/bin/env bash")
    expect(command).to_contain_text("FAL_KEY=... bash contact-sheet-")
    dialog.get_by_role("combobox", name="Provider").select_option("bfl")
    expect(text).to_contain_text("api.bfl.ai")
    expect(dialog.locator(".cs-production-notes")).to_contain_text("another model")
    page.screenshot(path=str(tmp_path / "provider.png"))
    with page.expect_download() as waited:
        dialog.get_by_role("button", name="Download").click()
    assert waited.value.suggested_filename.endswith(".sh")
    box = dialog.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Back at what draws here, nothing of the provider stays.
    dialog.get_by_role("tab", name="TOML").click()
    expect(text).to_contain_text("[request]")
    expect(dialog.get_by_role("combobox", name="Model")).to_be_hidden()
