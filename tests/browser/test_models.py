"""The Models tab in a real browser, with the hub on the loopback behind it."""
from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import Hub, Repo, hub
from test_hub import SIZE, model

from models.cards import Catalogue

pytestmark = [pytest.mark.slow, pytest.mark.browser]
CARD, GATED = "flux2-klein-4b", "flux1-dev"
TITLE, GATED_TITLE = "FLUX.2-klein-4B", "FLUX.1-dev"


@pytest.fixture(scope="module")
def server(shipped: Catalogue) -> Iterator[Hub]:
    with hub() as made:
        for name in (CARD, GATED):
            made.repos[shipped.card(name).repo] = Repo("ab12cd34ef" * 4, model())
        made.repos[shipped.card(GATED).repo].tokens = {"hf_let_me_in"}
        yield made


@pytest.fixture(scope="module")
def launched(launched, server: Hub, tmp_path_factory: pytest.TempPathFactory):
    """A studio whose downloads come from that hub; `new_page` opens this one."""
    folder = tmp_path_factory.mktemp("models")
    mine = {"HF_ENDPOINT": server.address, "HF_HUB_CACHE": str(folder / "hub"), "HF_HOME": str(folder / "home")}
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update(mine)
    studio = type(launched)(folder / "data")
    studio.start()
    yield studio
    studio.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def tab(new_page):
    return open_tab(new_page())


def open_tab(page):
    page.get_by_role("tab", name="Models").click()
    page.get_by_role("heading", name=TITLE).wait_for()
    return page


def row(page, title: str):
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=re.compile(f"^{re.escape(title)}")))


def test_download_cancel_resume_use_and_remove(tab, expect, server: Hub):
    server.rate = 1e6
    card = row(tab, TITLE)
    card.get_by_role("button", name=re.compile("^Download 16 GB")).click()
    bar = card.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", re.compile("^[1-9]"))
    expect(card).to_contain_text("MB of 3 MB")
    card.get_by_role("button", name="Cancel the download").click()
    expect(card).to_contain_text("What arrived is kept")
    expect(card.get_by_role("button", name="Resume")).to_be_focused()
    server.rate = None
    tab.keyboard.press("Enter")
    expect(card).to_contain_text("In Hugging Face's cache")
    assert server.sent["transformer/diffusion_pytorch_model.safetensors"] < SIZE * 1.3
    expect(tab.locator(".cs-toast").filter(has_text=f"{TITLE} is here.")).to_be_visible()
    card.get_by_role("button", name="Use").click()
    expect(tab.get_by_role("tab", name="Preview")).to_have_attribute("aria-selected", "true")
    tab.get_by_role("tab", name="Models").click()
    card.get_by_role("button", name="Remove").click()
    expect(card).to_contain_text("Pictures stay")
    card.get_by_role("button", name="Not now").click()
    expect(card.get_by_role("button", name="Use")).to_be_focused()
    card.get_by_role("button", name="Remove").click()
    card.get_by_role("button", name=f"Remove {TITLE}").last.click()
    expect(card.get_by_role("button", name=re.compile("^Download 16 GB"))).to_be_visible()


def test_licence_then_token_then_here(tab, expect, server: Hub):
    card = row(tab, GATED_TITLE)
    card.get_by_role("button", name="Accept the licence").click()
    expect(card).to_contain_text("holds for everybody")
    card.get_by_role("button", name="I have read and accept it").click()
    expect(card).to_contain_text("accepted by local")
    card.get_by_role("button", name=re.compile("^Download 34 GB")).click()
    expect(card).to_contain_text("needs a token")
    expect(card.get_by_role("link", name=f"{server.address}/black-forest-labs/FLUX.1-dev")).to_be_visible()
    card.get_by_role("button", name="Give a token").click()
    field = tab.get_by_label("Token of your Hugging Face account")
    expect(field).to_be_focused()
    field.fill("hf_let_me_in")
    tab.keyboard.press("Enter")
    expect(field).to_have_value("")
    card.get_by_role("button", name="Resume").click()
    expect(card).to_contain_text("In Hugging Face's cache")
    assert "hf_let_me_in" not in tab.content()


def test_folders_of_other_studios(new_page, expect, tmp_path: Path):
    tab = open_tab(new_page(allowed="422"))  # the browser's word for what is refused here on purpose
    place = tmp_path / "<img src=x onerror=document.title='bad'>" / "unet"
    place.mkdir(parents=True)
    header = json.dumps({"scaled_fp8": {"dtype": "F8_E4M3", "shape": [0], "data_offsets": [0, 0]}}).encode()
    (place / "flux1-krea-dev-fp8.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    tab.get_by_text("Folders of other studios").click()
    field = tab.get_by_label("ComfyUI, Forge and others")
    field.fill("not a folder")
    tab.get_by_role("button", name="Look in these folders").click()
    expect(tab.get_by_role("alert").filter(has_text="not a folder")).to_be_visible()
    field.fill(str(place.parent))
    tab.get_by_role("button", name="Look in these folders").click()
    card = row(tab, "FLUX.1-Krea-dev")
    expect(card).to_contain_text("scales of their own")
    assert tab.title() == "Contact Sheet"


def test_nothing_serious_for_axe(tab):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab.get_by_text("Token for gated models").click()
    tab.get_by_text("Folders of other studios").click()
    found = axe.Axe().run(tab).response["violations"]
    assert not [(one["id"], one["nodes"][0]["html"][:120]) for one in found if one["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_window(new_page, width: int):
    page = open_tab(new_page(width=width))
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
