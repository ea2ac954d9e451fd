"""Model cards, families and the TOML they are read from."""
from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from models.cards import ASPECTS, TIERS
from models.errors import BadInput, NotFound
from models.presets import load_catalogue, presets_folder
from models.toml import Place, Table, load, parse

CATALOGUE = load_catalogue()


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    """A copy of the shipped presets that a test may spoil."""
    shutil.copytree(presets_folder() / "cards", tmp_path / "cards")
    shutil.copytree(presets_folder() / "families", tmp_path / "families")
    return tmp_path


def spoil(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_catalogue_holds_the_models_and_families_of_the_design():
    assert set(CATALOGUE.cards) == {
        "embedded", "flux1-schnell", "flux1-dev", "flux1-krea-dev", "flux1-kontext-dev",
        "flux2-klein-4b", "flux2-klein-base-4b", "flux2-klein-9b", "flux2-klein-base-9b", "flux2-dev",
    }  # fmt: skip
    assert list(CATALOGUE.families) == ["embedded", "flux1", "flux2-klein"]


@pytest.mark.parametrize("name", list(CATALOGUE.families))
def test_every_tier_fits_its_card(name: str):
    family = CATALOGUE.family(name)
    assert list(family.tiers) == list(TIERS)
    for tier in family.tiers.values():
        card = CATALOGUE.card(tier.card)
        assert card.steps_range[0] <= tier.steps <= card.steps_range[1]
        assert tuple(tier.sizes) == ASPECTS
        for width, height in tier.sizes.values():
            assert width % card.multiple == 0
            assert height % card.multiple == 0
    assert [family.next_tier(tier) for tier in TIERS] == ["standard", "premium", None]


@pytest.mark.parametrize("name", list(CATALOGUE.families))
def test_a_size_keeps_its_shape_through_the_tiers(name: str):
    tiers = CATALOGUE.family(name).tiers.values()
    for aspect in ASPECTS:
        ratios = [width / height for width, height in (tier.sizes[aspect] for tier in tiers)]
        assert max(ratios) / min(ratios) < 1.01
        areas = [width * height for width, height in (tier.sizes[aspect] for tier in tiers)]
        assert areas == sorted(areas)


def test_the_embedded_family_never_needs_a_download():
    for tier in CATALOGUE.family("embedded").tiers.values():
        card = CATALOGUE.card(tier.card)
        assert card.embedded
        assert card.download_gb == 0
        assert not card.gated
        assert not card.licence.accept


def test_a_klein_family_is_free_to_use_all_the_way():
    for tier in CATALOGUE.family("flux2-klein").tiers.values():
        card = CATALOGUE.card(tier.card)
        assert card.licence.name == "Apache-2.0"
        assert not card.gated


def test_unknown_words_are_answered_with_a_free_model():
    assert CATALOGUE.known_by.name == "flux2-klein-4b"
    assert round(CATALOGUE.known_by.download_gb) == 16


def test_what_is_not_there_is_said_with_what_is():
    for look in (CATALOGUE.card, CATALOGUE.family, CATALOGUE.family("flux1").tier):
        with pytest.raises(NotFound) as error:
            look("sd15")
        assert "sd15" in error.value.what
        assert error.value.todo


def test_a_catalogue_travels_to_a_worker():
    assert pickle.loads(pickle.dumps(CATALOGUE)) == CATALOGUE


@pytest.mark.parametrize(
    ("file", "old", "new", "key"),
    [
        ("cards/flux1-dev.toml", "multiple = 16", "multiple = '16'", "multiple"),
        ("cards/flux1-dev.toml", "multiple = 16", "multipel = 16", "multiple"),
        ("cards/flux1-dev.toml", "gated = true", "gated = 1", "gated"),
        ("cards/flux1-dev.toml", "gated = true", "gated = true\ncolour = 'red'", "colour"),
        ("cards/flux1-dev.toml", 'kind = "distilled"', 'kind = "some"', "guidance.kind"),
        ("cards/flux1-dev.toml", "default = 3.5", "default = 99", "guidance.default"),
        ("cards/flux1-dev.toml", "default = 3.5", "default = nan", "guidance.default"),
        ("cards/flux1-dev.toml", "range = [1, 100]", "range = [100, 1]", "steps.range"),
        ("cards/flux1-dev.toml", "negative = false", "negative = true", "supports.negative"),
        ("cards/flux1-dev.toml", "FluxPipeline", "StableDiffusionPipeline", "pipeline"),
        ("families/embedded.toml", "steps = 20", "steps = 0", "tiers.standard.steps"),
        ("families/embedded.toml", "steps = 20", "steps = true", "tiers.standard.steps"),
        ("families/embedded.toml", "keep = 2", "keep = 9", "tiers.preview.keep"),
        ("families/embedded.toml", '"1:1" = [256, 256]', '"1:1" = [250, 256]', "tiers.preview.sizes.1:1"),
        ("families/embedded.toml", '"1:1" = [256, 256]', '"1:1" = [256]', "tiers.preview.sizes.1:1"),
        ("families/embedded.toml", '"1:1" = [256, 256]\n', "", "tiers"),
        ("families/embedded.toml", 'card = "embedded"', 'card = "nothing"', "tiers.preview.card"),
        ("families/flux2-klein.toml", 'promotion = "reference"', 'promotion = "img2img"', "tiers.standard.promotion"),
        ("families/flux2-klein.toml", 'method = "resample"', 'method = "img2img-tiles"', "tiers.premium.finish.method"),
        ("families/embedded.toml", "[tiers.premium]", "[tiers.finest]", "tiers.premium.card"),
        ("families/embedded.toml", 'draft = "preview"', 'draft = "premium"', "tiers.standard.ladder.draft"),
        ("families/embedded.toml", "finals = 2", "finals = 0", "tiers.standard.ladder.finals"),
        ("families/embedded.toml", "[tiers.standard.ladder]", "[tiers.preview.ladder]", "tiers.preview.ladder"),
        ("families/embedded.toml", 'promotion = "img2img"\nstrength = 0.25', 'promotion = "none"', "tiers.standard.ladder.draft"),
    ],
)
def test_a_mistake_in_a_preset_is_named_by_file_and_key(presets: Path, file: str, old: str, new: str, key: str):
    spoil(presets / file, old, new)
    with pytest.raises(BadInput) as error:
        load_catalogue(presets)
    assert error.value.field == key
    assert file.split("/")[1] in error.value.what
    assert key in error.value.what


def test_a_new_model_is_a_new_file(presets: Path):
    shutil.copy(presets / "cards/flux1-dev.toml", presets / "cards/mine.toml")
    spoil(presets / "cards/mine.toml", 'title = "FLUX.1-dev"', 'title = "Mine"')
    assert load_catalogue(presets).card("mine").title == "Mine"


def test_a_syntax_error_has_its_line(tmp_path: Path):
    file = tmp_path / "broken.toml"
    file.write_text('title = "a"\nsteps = = 4\n', encoding="utf-8")
    with pytest.raises(BadInput) as error:
        load(file)
    assert "broken.toml" in error.value.what
    assert "line 2" in error.value.what


def test_a_file_that_is_not_text_has_its_line(tmp_path: Path):
    file = tmp_path / "broken.toml"
    file.write_bytes(b'title = "a"\nname = "\xff"\n')
    with pytest.raises(BadInput) as error:
        load(file)
    assert "line 2" in error.value.what


def test_places_nest():
    assert Place("a.toml", "tiers.preview").bad("steps", "is odd").field == "tiers.preview.steps"
    with pytest.raises(BadInput) as error:
        Table(Place("a.toml"), parse("[a]\n[a.b]\nc = 'x'\n", "a.toml")).table("a").table("b").whole("c")
    assert error.value.field == "a.b.c"
