"""Evaluations in a browser: begun, watched, looked at; promotion asks for one; a candidate is tried out; a version is described."""
from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from lorafiles import embedded_lora
from PIL import Image

from models.cards import Catalogue
from studio.loras import Loras, Made
from studio.store import Store
from studio.store.people import LOCAL

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def launched(launched, shipped: Catalogue, tmp_path_factory: pytest.TempPathFactory):
    """A studio with a glaze of two versions."""
    folder = tmp_path_factory.mktemp("evaluations")
    launched.flags = (*launched.flags, "--engine", "scripted:0")  # an evaluation is many pictures
    store = Store(launched.data_dir / "studio.db")
    registry = Loras(store, launched.data_dir, shipped)
    registry.create({"name": "glaze", "title": "Glaze", "kind": "product"}, LOCAL)
    for number, colour in enumerate(("indianred", "teal"), 1):
        Image.new("RGB", (96, 96), colour).save(folder / f"{number}.png")
        file = embedded_lora(folder / f"{number}.safetensors", number)
        registry.register("glaze", Made(file, "embedded", triggers=["cera"], samples=[folder / f"{number}.png"]), LOCAL)
    registry.move("glaze", "production", 1, LOCAL)
    registry.move("glaze", "candidate", 2, LOCAL)
    store.close()
    return launched


@pytest.fixture
def lora(new_page, expect):
    page = new_page(allowed="the server responded with a status of 4")  # what is refused here is meant to be
    page.get_by_role("tab", name="LoRAs").click()
    page.locator(".cs-lo-open[data-name=glaze]").click()
    expect(page.get_by_role("heading", name="Glaze", exact=True)).to_be_focused()
    return page


def test_an_evaluation_is_begun_watched_and_looked_at(lora, expect, launched, tmp_path: Path):
    room = lora.locator("cs-evaluations")
    expect(room).to_contain_text("Production asks for one")
    room.get_by_role("button", name="Evaluate v2").click()
    form = room.get_by_role("form", name="A new evaluation")
    expect(form.get_by_label("Compared with")).to_have_value("1")
    expect(form).to_contain_text("Its dataset is not known here")
    ordinary = form.get_by_label("Other prompts")
    ordinary.fill("a mug\na vase")
    form.get_by_label("Weights").fill("1")
    form.get_by_label("Prompts for its concept").fill("cera, a mug\ncera, a vase\ncera, a chair")
    expect(form).to_contain_text("30 pictures")
    form.get_by_role("button", name="Begin").click()
    expect(ordinary).to_be_focused()
    expect(form).to_contain_text("must be 3 to 24 prompts")
    ordinary.fill("a mug\na vase\na chair")
    form.get_by_role("button", name="Begin").click()
    expect(room.get_by_role("heading", name="Evaluation")).to_be_focused()
    expect(room.locator("p[role=status]")).to_contain_text("v2 against v1")
    # The scripted engine draws the same with whatever LoRA.
    expect(room.locator(".cs-ev-verdict")).to_contain_text("No difference to v1", timeout=180_000)
    frames = room.locator(".cs-ev-table img")
    expect(frames).to_have_count(3)
    expect(room.get_by_role("button", name="Look at v2 at weight 1")).to_be_visible()
    room.get_by_role("button", name="The next prompt").click()
    expect(room.locator("output")).to_have_text("prompt 2 of 3")
    room.get_by_role("button", name="Other prompts").click()
    expect(room.locator(".cs-ev-prompt")).to_have_text("a mug")
    expect(room.locator(".cs-ev-figures")).to_contain_text("Change on other prompts")
    room.get_by_role("button", name="Look at v2 at weight 1").click()
    dialog = lora.get_by_role("dialog", name="Pictures of an evaluation")
    expect(dialog.get_by_label("Picture on the right")).to_have_value("version 1")
    expect(dialog.locator("img").first).to_have_js_property("complete", True)
    lora.keyboard.press("PageDown")
    expect(dialog.locator("output")).to_have_text("prompt 1, seed 2")
    lora.keyboard.press("Escape")
    assert lora.evaluate("document.documentElement.scrollWidth <= innerWidth")
    lora.set_viewport_size({"width": 400, "height": 900})
    assert lora.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling on a telephone"
    lora.screenshot(path=str(tmp_path / "narrow.png"), full_page=True)


def test_promotion_asks_for_a_look_and_then_goes_through(lora, expect, launched):
    expect(lora.locator("cs-evaluations .cs-ev-verdict")).to_be_visible()
    lora.get_by_role("button", name="Promote v2 to production").first.click()
    dialog = lora.locator(".cs-lo-promote")
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Nobody has said that they looked")
    expect(dialog.get_by_role("button", name="Promote all the same")).to_be_visible()
    dialog.get_by_label("I have looked at what it draws").check()
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(lora.locator("[data-number='2'] .cs-lo-alias")).to_have_text("production")
    view = httpx.get(f"{launched.url}/api/loras/glaze").json()
    assert view["aliases"] == {"production": 2} and not view["moves"][1]["forced"]


def test_a_candidate_is_tried_out_in_live_use(lora, expect, launched):
    lora.get_by_role("button", name="Make v1 candidate").click()
    share = lora.get_by_label("Tried out: v1 instead of v2 in")
    expect(share).to_have_value("0")
    share.select_option("0.5")
    expect(lora.locator(".cs-lo-trial")).to_contain_text("Nothing was drawn yet")
    assert httpx.get(f"{launched.url}/api/trials/glaze").json()["share"] == 0.5
    for seed in range(4):
        launched.draw(tier="standard", ladder=False, loras=[{"name": "glaze"}], seed=seed)
    lora.get_by_role("tab", name="Insights").click()
    panel = lora.locator("section", has=lora.get_by_role("heading", name="LoRA candidates in live use"))
    expect(panel).to_contain_text("Too few requests yet")
    expect(panel.get_by_role("row", name="Picked by people")).to_be_visible()


def test_a_version_is_described_otherwise(lora, expect):
    version = lora.locator("[data-number='1']")
    version.get_by_text("Describe it otherwise").click()
    version.get_by_label("Called by, with commas").fill("glaze, blue glaze")
    version.get_by_role("button", name="Save what is said of v1").click()
    expect(lora.locator("[data-number='1'] code").nth(1)).to_have_text("blue glaze")
