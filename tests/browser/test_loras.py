"""LoRAs in a browser: the gallery and what comes in by file, the form's chooser, versions, aliases and the way back, comparing."""
from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from lorafiles import embedded_lora, lora
from PIL import Image

from models.cards import Catalogue
from studio.loras import Loras, Made
from studio.store import Store
from studio.store.people import LOCAL

pytestmark = [pytest.mark.slow, pytest.mark.browser]
COLOURS = ("indianred", "teal", "goldenrod")


@pytest.fixture(scope="module")
def launched(launched, shipped: Catalogue, tmp_path_factory: pytest.TempPathFactory):
    """A studio with a glaze of three versions (two of them with samples), a dot that has none, and one for a larger model."""
    folder = tmp_path_factory.mktemp("loras")
    store = Store(launched.data_dir / "studio.db")
    registry = Loras(store, launched.data_dir, shipped)
    registry.create({"name": "ceramic", "title": "Ceramic <b>glaze</b>", "about": "From our potters", "kind": "product"}, LOCAL)
    registry.create({"name": "dots", "title": "Dots"}, LOCAL)
    registry.create({"name": "wide", "title": "A wide one"}, LOCAL)
    for number, colour in enumerate(COLOURS, 1):
        samples = [folder / f"{number}-{place}.png" for place in (1, 2)] if number > 1 else []
        for place, path in enumerate(samples):
            Image.new("RGB", (96, 96), colour if place == 0 else "slategrey").save(path)
        file = embedded_lora(folder / f"{number}.safetensors", number)
        registry.register("ceramic", Made(file, "embedded", triggers=["cera"], licence="CC-BY-4.0", samples=samples, seed=number), LOCAL)
    registry.register("dots", Made(embedded_lora(folder / "dots.safetensors", 9), "embedded"), LOCAL)
    registry.register("wide", Made(lora(folder / "wide.safetensors", 3072), "flux1-dev"), LOCAL)
    registry.move("ceramic", "production", 2, LOCAL)
    registry.move("ceramic", "candidate", 3, LOCAL)
    registry.judge("ceramic", 3, "better", "Better than v2: the concept shows more clearly.", {})
    store.close()
    return launched


@pytest.fixture
def tab(new_page, expect):
    page = new_page()
    page.get_by_role("tab", name="LoRAs").click()
    expect(page.locator(".cs-lo-card").first).to_be_visible()
    return page


def opened(page, expect):
    page.locator(".cs-lo-open[data-name=ceramic]").click()
    expect(page.get_by_role("heading", name="Ceramic <b>glaze</b>")).to_be_focused()
    return page.locator("cs-loras")


def test_those_that_fit_come_first_and_words_find_them(tab, expect):
    cards = tab.locator(".cs-lo-card")
    expect(cards).to_have_count(3)
    assert tab.locator(".cs-lo-open b").all_inner_texts() == ["Ceramic <b>glaze</b>", "Dots", "A wide one"]
    expect(cards.first).to_contain_text("cera")
    expect(cards.first).to_contain_text("CC-BY-4.0")
    expect(cards.first).to_contain_text(re.compile(r"v2 · \d+ kB"))
    expect(tab.get_by_text("candidate v3")).to_be_visible()
    expect(tab.get_by_role("button", name="Use A wide one")).to_be_hidden()
    tab.get_by_role("searchbox", name="Search LoRAs").fill("potters CERA")
    expect(cards).to_have_count(1)
    tab.get_by_role("searchbox", name="Search LoRAs").fill("nothing like it")
    tab.get_by_role("button", name="Show all").click()
    expect(cards).to_have_count(3)


def test_a_click_adds_one_with_a_weight_and_the_job_says_so(tab, expect, launched):
    tab.locator(".cs-lo-card").first.hover()
    tab.get_by_role("button", name="Use Ceramic").click()
    slider = tab.get_by_role("slider", name="Weight of Ceramic")
    expect(slider).to_be_focused()
    expect(tab.get_by_role("tab", name="Standard")).to_have_attribute("aria-selected", "true")  # the first tier that wears one
    expect(tab.locator("#cs-lora-count")).to_have_text("1 of 2")
    for _ in range(4):
        slider.press("ArrowLeft")
    expect(tab.get_by_role("spinbutton", name="Weight of Ceramic")).to_have_value("0.8")
    tab.get_by_role("combobox", name="LoRAs").select_option("dots")
    expect(tab.get_by_role("slider", name="Weight of Dots")).to_be_focused()
    expect(tab.locator("#cs-lora-count")).to_have_text("2 of 2")
    expect(tab.get_by_role("combobox", name="LoRAs")).to_be_disabled()
    tab.get_by_role("checkbox", name="Wear Dots").uncheck()
    expect(tab.locator("#cs-lora-count")).to_have_text("1 of 2")
    tab.get_by_role("combobox", name="Version of Ceramic").select_option("3")
    tab.locator("#cs-prompt").fill("a red mug")
    with tab.expect_response(lambda answer: answer.url.endswith("/api/jobs") and answer.request.method == "POST") as sent:
        tab.keyboard.press("Control+Enter")
    job = launched.finished(sent.value.json()["id"])
    assert job["request"]["loras"] == [{"name": "ceramic", "weight": 0.8, "version": 3}]
    assert "cera" in job["request"]["prompt"]
    tab.locator(".cs-shot").first.press("Enter")
    expect(tab.get_by_text("ceramic/v3 at 0.8")).to_be_visible()


def test_a_tier_that_wears_none_keeps_it_for_the_next(tab, expect):
    tab.get_by_role("tab", name="Premium").click()
    for name in ("dots", "ceramic"):
        tab.get_by_role("combobox", name="LoRAs").select_option(name)
    expect(tab.locator("#cs-lora-count")).to_have_text("2 of 3")
    tab.get_by_role("tab", name="Preview").click()
    expect(tab.locator("#cs-lora-count")).to_have_text("Preview: base model only")
    expect(tab.get_by_text("Off: Preview draws with the base model only.")).to_have_count(2)
    assert tab.evaluate("document.querySelector('cs-form').request().loras") is None
    tab.reload()
    tab.get_by_role("tab", name="Standard").click()
    expect(tab.locator("#cs-lora-count")).to_have_text("2 of 2")
    tab.get_by_role("button", name="Take Dots off").click()
    expect(tab.get_by_role("button", name="Take Ceramic <b>glaze</b> off")).to_be_focused()
    assert tab.evaluate("document.querySelector('cs-form').request().loras") == [{"name": "ceramic", "weight": 1}]


def test_files_come_in_and_what_is_none_is_told(new_page, expect, tmp_path: Path):
    tab = new_page(allowed="422")
    tab.get_by_role("tab", name="LoRAs").click()
    (tmp_path / "notes.safetensors").write_bytes(b"no weights")
    (tmp_path / "old.pt").write_bytes(b"\x80\x04")
    new = embedded_lora(tmp_path / "Night market.safetensors", 77)
    tab.get_by_label("LoRA files").set_input_files([new, tmp_path / "notes.safetensors", tmp_path / "old.pt"])
    came = tab.get_by_role("list", name="Files that came").get_by_role("listitem")
    expect(came).to_have_count(3)
    expect(came.nth(0)).to_contain_text("Night market v1")
    expect(came.nth(1)).to_contain_text("notes.safetensors")
    expect(came.nth(1)).to_have_attribute("data-state", "refused")
    expect(came.nth(2)).to_contain_text("never opened")
    expect(tab.locator(".cs-lo-open[data-name=night-market]")).to_be_visible()
    tab.get_by_role("button", name="Put these away").click()

    tab.locator(".cs-lo-open[data-name=night-market]").click()
    tab.get_by_role("button", name="Edit").click()
    tab.get_by_label("Title").fill("Night market, Taipei")
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_role("heading", name="Night market, Taipei")).to_be_visible()
    tab.get_by_role("button", name="To the trash", exact=True).click()
    tab.get_by_role("button", name="All versions to the trash").click()
    expect(tab.get_by_text("No version yet: bring one, or drop a file here.")).to_be_visible()
    tab.get_by_role("button", name="All LoRAs").click()
    tab.get_by_text("In the trash (1)").click()
    tab.get_by_role("button", name="Restore Night market, Taipei v1").click()
    expect(tab.locator("summary", has_text="In the trash")).to_be_hidden()
    tab.locator(".cs-lo-open[data-name=night-market]").click()
    tab.get_by_role("button", name="v1 to the trash").click()
    expect(tab.get_by_text("No version yet: bring one, or drop a file here.")).to_be_visible()


def test_a_version_is_brought_and_a_folder_watched(tab, expect, tmp_path: Path):
    tab.locator(".cs-lo-open[data-name=dots]").click()
    with tab.expect_file_chooser() as asked:
        tab.get_by_role("button", name="Bring a version").click()
    asked.value.set_files(embedded_lora(tmp_path / "other name.safetensors", 91))
    expect(tab.get_by_text("Dots v2, for Embedded.")).to_be_visible()
    expect(tab.locator(".cs-lo-version")).to_have_count(2)
    tab.get_by_role("button", name="All LoRAs").click()

    folder = tmp_path / "watched"
    (folder / "broken.safetensors").parent.mkdir()
    (folder / "broken.safetensors").write_bytes(b"no weights")
    embedded_lora(folder / "Harbour.safetensors", 92)
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))  # it has been there for long
    tab.get_by_text("Watched folders").click()
    tab.get_by_label("Folders of this machine").fill(str(folder))
    tab.get_by_role("button", name="Keep and look now").click()
    expect(tab.locator(".cs-lo-open[data-name=harbour]")).to_be_visible()
    expect(tab.get_by_role("list", name="Files that could not come in")).to_contain_text("broken.safetensors")


def test_promotion_shows_both_and_a_rollback_takes_it_back(tab, expect):
    page = opened(tab, expect)
    expect(page.locator(".cs-lo-version")).to_have_count(3)
    page.get_by_role("button", name="Promote v3 to production").first.click()
    dialog = tab.get_by_role("dialog", name="v3 of Ceramic")
    expect(dialog.get_by_role("heading", name="In production: v2")).to_be_visible()
    expect(dialog.locator("img")).to_have_count(4)
    dialog.get_by_label("I have looked at what it draws").check()
    dialog.get_by_label("Note (if you like)").fill("the <i>glossier</i> one")
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(dialog).to_be_hidden()
    stands = page.get_by_role("region", name="Aliases")
    expect(stands.locator("div").first).to_contain_text("v3")
    expect(page.locator("[data-number='3'] .cs-lo-alias")).to_have_text("production")
    page.get_by_role("button", name="Roll production back").click()
    expect(stands.locator("div").first).to_contain_text("v2")
    page.get_by_text(re.compile("Where the aliases stood")).click()
    expect(page.get_by_text("rolled back to v2 from v3")).to_be_visible()
    expect(page.get_by_text("the <i>glossier</i> one")).to_be_visible()
    page.get_by_role("button", name="Make v3 candidate").click()
    expect(stands.get_by_text("v3", exact=True)).to_be_visible()


def test_versions_on_a_slider_and_what_one_was_made_from(tab, expect):
    page = opened(tab, expect)
    page.get_by_role("button", name="Compare versions").click()
    dialog = tab.get_by_role("dialog", name="Compare versions of Ceramic")
    expect(dialog.get_by_role("combobox", name="Version on the left")).to_have_value("2")
    expect(dialog.get_by_role("combobox", name="Version on the right")).to_have_value("3")
    slider = dialog.get_by_role("slider")
    expect(slider).to_be_focused()
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "0 % left, 100 % right")
    tab.keyboard.press("PageDown")
    expect(dialog.get_by_text("sample 2 of 2")).to_be_visible()
    expect(dialog.get_by_role("img", name="right: sample 2 of version 3")).to_have_js_property("naturalWidth", 96)
    tab.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Compare versions")).to_be_focused()

    page.get_by_text("What it was made from").first.click()
    expect(page.get_by_text("SHA-256")).to_be_visible()
    with tab.expect_download() as plain:
        page.get_by_role("button", name="Download v3").click()
        tab.get_by_role("button", name="As it is").click()
    assert plain.value.suggested_filename == "ceramic-v3.safetensors"
    with tab.expect_download() as other:
        page.get_by_role("button", name="Download v3").click()
        tab.get_by_role("button", name="For ComfyUI").click()
    assert other.value.suggested_filename == "ceramic-v3-comfyui.safetensors"


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1600, "dark")])
def test_it_fits(new_page, expect, width, scheme):
    page = new_page(width=width, color_scheme=scheme)
    page.get_by_role("tab", name="LoRAs").click()
    expect(page.locator(".cs-lo-card").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened(page, expect)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Use", exact=True).click()
    expect(page.get_by_role("slider", name="Weight of Ceramic")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
