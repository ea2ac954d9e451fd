"""Refining and post-processing in a real browser, the language model on this machine."""
from __future__ import annotations

import re

import pytest
from speakers import taught
from test_refine import BETTER, llm  # noqa: F401 - a fixture

from models.refine import task
from studio.refining import _vocabulary

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def test_refine_explains_itself_then_proposes_and_changes_nothing_unasked(new_page, expect, llm):  # noqa: F811
    page = new_page(width=1600)
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.fill("a red mug")
    page.get_by_role("button", name="Refine", exact=True).click()
    panel = page.get_by_role("region", name="Refine the prompt")
    expect(panel).to_contain_text("Ollama")
    panel.get_by_role("button", name="Set up").click()
    panel.get_by_label("Address").fill(llm.url)
    panel.get_by_label("Model", exact=True).fill("tiny")
    panel.get_by_role("button", name="Save").click()
    panel.get_by_role("button", name="Refine the prompt").click()
    expect(panel).to_contain_text(BETTER["reasons"][0])
    expect(panel.locator("ins")).to_contain_text("on a wooden table")
    expect(prompt).to_have_value("a red mug")
    panel.get_by_role("button", name="Use this prompt").click()
    expect(prompt).to_have_value(BETTER["prompt"])
    expect(panel).to_be_hidden()


def test_a_model_on_this_machine_is_chosen_and_asked(new_page, expect, tmp_path):
    folder = taught(tmp_path / "scholar", task("a red mug", 30, _vocabulary()))
    page = new_page(width=400, allowed="503")
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.fill("a red mug")
    page.get_by_role("button", name="Refine", exact=True).click()
    panel = page.get_by_role("region", name="Refine the prompt")
    panel.get_by_role("button", name="Set up").click()
    panel.get_by_label("On this machine").check()
    expect(panel).to_contain_text("Not downloaded: 1000 MB. Apache-2.0")
    expect(panel.get_by_role("button", name="Download 1000 MB: Qwen2.5 0.5B Instruct")).to_be_visible()
    panel.get_by_role("button", name="Save").click()
    expect(panel).to_contain_text("is not on this machine")
    panel.get_by_role("button", name="Set up").click()
    panel.get_by_label("Another one").check()
    panel.get_by_label("Folder, or repository").fill(str(tmp_path / "none"))
    panel.get_by_role("button", name="Save").click()
    expect(panel.get_by_role("alert")).to_contain_text("There is nothing at")
    panel.get_by_label("Folder, or repository").fill(str(folder))
    panel.get_by_role("button", name="Save").click()
    panel.get_by_role("button", name="Refine the prompt").click()
    expect(panel).to_contain_text("Proposed by scholar", timeout=120_000)
    expect(panel.locator("ins")).to_contain_text("on a wooden table")
    expect(panel.get_by_role("button", name="Propose another")).to_have_count(0)
    expect(prompt).to_have_value("a red mug")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    panel.get_by_role("button", name="Use this prompt").click()
    expect(prompt).to_have_value(BETTER["prompt"])


def test_a_picture_is_tried_processed_and_taken_back(new_page, expect):
    page = new_page(width=1600)
    page.get_by_label("Prompt", exact=True).fill("a red mug")
    page.locator("#cs-draft").fill("1")
    page.locator("#cs-keep").fill("1")
    page.get_by_role("button", name=re.compile("Generate")).click()
    frame = page.locator(".cs-frame[data-state='drawn']").first
    expect(frame).to_be_visible()
    frame.dblclick()
    loupe = page.locator(".cs-loupe")
    loupe.get_by_text("Post-processing").click()
    big = loupe.locator(".cs-big")
    loupe.get_by_label("Width").fill("300")
    loupe.get_by_label("Height").fill("200")
    expect(big).to_have_attribute("src", re.compile("^blob:"))
    loupe.get_by_role("button", name="Process").click()
    expect(loupe.get_by_role("link", name="Download processed")).to_have_attribute("href", re.compile(r"/processed/\d+\.png"))
    loupe.get_by_role("button", name="As drawn").click()
    expect(loupe.get_by_role("link", name="Download processed")).to_be_hidden()
    expect(big).to_have_attribute("src", re.compile(r"/image/\d+\.png"))


def test_a_brand_is_made_changed_and_restored(new_page, expect):
    page = new_page(width=1600)
    page.get_by_role("tab", name="Templates").click()
    page.locator(".cs-brands > summary").click()
    page.get_by_role("button", name="New brand").click()
    page.get_by_label("Name in requests").fill("acme")
    page.get_by_label("Title", exact=True).last.fill("Acme")
    page.get_by_label("Words in every prompt").fill("clean look")
    page.get_by_label("Colours", exact=True).last.fill("#C81E1E, #102030")
    form = page.locator(".cs-brand-form")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_text("Version 1")).to_be_visible()
    form.get_by_label("Words in every prompt").fill("vivid")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_text("Version 2")).to_be_visible()
    form.get_by_role("button", name="Changes since version 1").click()
    expect(form).to_contain_text("words: clean look → vivid")
    form.get_by_role("button", name="Restore version 1").click()
    expect(form.get_by_label("Words in every prompt")).to_have_value("clean look")
