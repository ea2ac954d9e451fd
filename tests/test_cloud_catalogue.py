"""Providers as data: what each model takes, what a call costs to the micro-dollar, and files that are refused."""

from __future__ import annotations

import datetime
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.cloud.catalogue import (
    CloudModel,
    Hosts,
    Provider,
    call_micro,
    configured,
    lacks,
    load_providers,
    price_micro,
    read_provider,
    replace_urls,
    sized,
)
from models.cloud.spec import Call, Reference
from models.errors import BadInput, NotFound
from models.presets import load_catalogue, presets_folder

PROVIDERS = load_providers()
MODELS = [model for provider in PROVIDERS.values() for model in provider.models.values()]
SHIPPED = load_catalogue()
SHOWN = Reference(b"", "image/png")


def model(provider: str, name: str) -> CloudModel:
    return PROVIDERS[provider].model(name)


def call(chosen: CloudModel, **more) -> Call:
    return Call(**{"provider": chosen.provider, "model": chosen.id, "prompt": "a mug", "width": 1024, "height": 1024, "seeds": (1,)} | more)


# What ships.


def test_the_five_providers_ship_and_each_has_its_engine():
    assert {name: provider.engine for name, provider in PROVIDERS.items()} == {
        name: name for name in ("bfl", "fal", "openai", "replicate", "together")
    }


@pytest.mark.parametrize("chosen", MODELS, ids=lambda model: f"{model.provider}:{model.id}")
def test_every_price_is_dated_sourced_and_serves_tiers_that_exist(chosen):
    for price in filter(None, (chosen.price, chosen.input_price)):
        assert price.source and datetime.date(2026, 1, 1) < price.date <= datetime.date(2026, 11, 21)
        assert price.micro > 0 or chosen.provider == "openai"
    assert chosen.seconds[0] < chosen.seconds[1]
    for family, tiers in chosen.serves.items():
        assert set(tiers) <= set(SHIPPED.family(family).tiers)
    if chosen.capabilities.loras:
        assert chosen.capabilities.lora_card in SHIPPED.cards


@pytest.mark.parametrize("tier", ["preview", "standard", "premium"])
@pytest.mark.parametrize("family", ["flux1", "flux2-klein"])
def test_every_tier_of_the_big_families_can_be_drawn_somewhere_at_its_own_square_size(family, tier):
    width, height = SHIPPED.family(family).tier(tier).sizes["1:1"]
    able = [one for one in MODELS if one.serving(family, tier) and not lacks(one, call(one, width=width, height=height))]
    assert {one.provider for one in able} - {"openai"}


def test_nobody_serves_the_embedded_family_for_money():
    assert not [one.id for one in MODELS if "embedded" in one.serves]


# Prices, reckoned by hand from the reference.


@pytest.mark.parametrize(
    ("provider", "name", "width", "height", "steps", "count", "references", "micro"),
    [
        ("fal", "fal-ai/flux/schnell", 512, 512, 4, 1, 0, 3_000),  # a begun megapixel is a whole one
        ("fal", "fal-ai/flux/schnell", 1024, 1024, 4, 4, 0, 12_000),
        ("fal", "fal-ai/flux/schnell", 1024, 1040, 4, 1, 0, 6_000),
        ("fal", "fal-ai/flux-pro/kontext", 1024, 1024, None, 1, 1, 40_000),
        ("replicate", "black-forest-labs/flux-schnell", 512, 512, 4, 10, 0, 30_000),
        ("replicate", "black-forest-labs/flux-1.1-pro", 1024, 1024, None, 1, 0, 40_000),
        ("together", "black-forest-labs/FLUX.1-schnell", 1024, 1024, 4, 1, 0, 3_146),  # 1.048576 MP x $0.003, rounded up
        ("together", "black-forest-labs/FLUX.1-schnell", 1024, 1024, 8, 1, 0, 6_292),  # 6291.456
        ("together", "black-forest-labs/FLUX.1-schnell", 512, 512, 4, 3, 0, 3 * 787),  # 786.432 each
        ("bfl", "flux-2-klein-4b", 1024, 1024, None, 1, 0, 14_000),
        ("bfl", "flux-2-klein-4b", 2048, 2048, None, 1, 0, 17_000),  # and 0.1 cent for each further megapixel
        ("bfl", "flux-2-pro", 1024, 1024, None, 1, 0, 30_000),
        ("bfl", "flux-2-pro", 1024, 1024, None, 1, 1, 45_000),  # the reference's price of an edit
        ("bfl", "flux-2-pro", 2048, 2048, None, 2, 2, 2 * (30_000 + 3 * 15_000 + 2 * 15_000)),
        ("bfl", "flux-3-image", 1024, 1024, None, 1, 4, 48_000),
    ],
)
def test_a_call_costs_what_the_provider_s_table_says(provider, name, width, height, steps, count, references, micro):
    assert price_micro(model(provider, name), width, height, steps, count, references) == micro


@given(some.sampled_from(MODELS), some.integers(64, 2048), some.integers(64, 2048), some.integers(1, 50), some.integers(1, 8))
def test_prices_are_whole_additive_and_never_fall_with_size_or_references(chosen, width, height, steps, count):
    one = price_micro(chosen, width, height, steps, 1)
    assert isinstance(one, int) and price_micro(chosen, width, height, steps, count) == count * one
    assert price_micro(chosen, width, height, steps, 1, references=2) >= one
    if not chosen.capabilities.aspect_ratios:
        assert price_micro(chosen, width + 256, height, steps, 1) >= one


def test_none_for_steps_is_the_model_s_own():
    schnell = model("together", "black-forest-labs/FLUX.1-schnell")
    assert call_micro(schnell, call(schnell)) == call_micro(schnell, call(schnell, steps=4)) == 3_146


# Sizes.


@given(some.sampled_from(MODELS), some.integers(256, 1440), some.integers(256, 1440))
def test_what_is_drawn_is_in_the_model_s_multiples_and_stays_what_it_is(chosen, width, height):
    drawn = sized(chosen, width, height)
    assert all(side % chosen.capabilities.multiple == 0 and side > 0 for side in drawn)
    if not chosen.capabilities.aspect_ratios:
        assert sized(chosen, *drawn) == drawn
        assert all(abs(side - asked) <= chosen.capabilities.multiple / 2 for side, asked in zip(drawn, (width, height), strict=True))


def test_a_model_by_aspect_ratio_draws_its_own_area():
    schnell = model("replicate", "black-forest-labs/flux-schnell")
    assert sized(schnell, 512, 512) == (1024, 1024)
    assert sized(schnell, 448, 560) == (912, 1152)
    assert sized(model("bfl", "flux-pro-1.1-ultra"), 1024, 1024) == (2048, 2048)


# What a model cannot do.


@pytest.mark.parametrize(
    ("provider", "name", "more", "words"),
    [
        ("fal", "fal-ai/flux/schnell", {}, ""),
        ("fal", "fal-ai/flux/schnell", {"loras": (("https://x/y.safetensors", 1.0),)}, "takes no LoRA"),
        ("fal", "fal-ai/flux-lora", {"loras": (("https://x/y.safetensors", 1.0),) * 2}, ""),
        ("together", "black-forest-labs/FLUX.2-dev", {"loras": (("https://x/y", 1.0),) * 3}, "takes 2 LoRAs at the most"),
        ("fal", "fal-ai/flux/schnell", {"negative": "rain"}, "takes no negative prompt"),
        ("together", "black-forest-labs/FLUX.1-schnell", {"negative": "rain"}, ""),
        ("fal", "fal-ai/flux/schnell", {"references": (SHOWN,)}, "takes no reference picture"),
        ("fal", "fal-ai/flux-pro/kontext", {}, "only changes a picture that it is given"),
        ("fal", "fal-ai/flux-pro/kontext", {"references": (SHOWN,)}, ""),
        ("fal", "fal-ai/flux-pro/kontext", {"references": (SHOWN,) * 2}, "takes 1 reference picture at the most"),
        ("fal", "fal-ai/flux-pro/kontext", {"references": (SHOWN,), "strength": 0.5}, "starts from no picture"),
        ("fal", "fal-ai/flux/dev/image-to-image", {"references": (SHOWN,), "strength": 0.5}, ""),
        ("fal", "fal-ai/flux/dev/image-to-image", {"references": (SHOWN,)}, "takes no reference picture"),
        ("bfl", "flux-2-pro", {"references": (SHOWN,) * 8}, ""),
        ("bfl", "flux-2-pro", {"seeds": (1, 2)}, "draws 1 picture a call at the most"),
        ("replicate", "black-forest-labs/flux-schnell", {"steps": 8}, "takes 1 to 4 steps"),
        ("replicate", "black-forest-labs/flux-schnell", {"width": 1728, "height": 608}, "has no aspect ratio near 1728:608"),
        ("replicate", "black-forest-labs/flux-schnell", {"width": 2048, "height": 2048}, "draws at most 1 megapixels"),
        ("fal", "fal-ai/flux/schnell", {"width": 64}, "draws no side below 256 px"),
        ("bfl", "flux-pro-1.1", {"width": 1504, "height": 512}, "draws no side above 1440 px"),
    ],
)
def test_what_a_model_lacks_is_said_before_the_call(provider, name, more, words):
    chosen = model(provider, name)
    assert lacks(chosen, call(chosen, **more)) == words


def test_the_reference_s_table_of_capabilities_holds():
    """LoRA, steps, negative, batch, references: rows of the reference."""
    rows = {
        ("fal", "fal-ai/flux/schnell"): (0, True, False, 4, 0),
        ("fal", "fal-ai/flux-pro/kontext"): (0, False, False, 4, 1),
        ("replicate", "black-forest-labs/flux-schnell-lora"): (1, True, False, 4, 0),
        ("replicate", "black-forest-labs/flux-kontext-pro"): (0, False, False, 1, 1),
        ("together", "black-forest-labs/FLUX.1-schnell"): (0, True, True, 4, 0),
        ("together", "black-forest-labs/FLUX.2-dev"): (2, True, False, 4, 8),
        ("together", "black-forest-labs/FLUX.1-kontext-pro"): (0, False, False, 4, 1),
        ("bfl", "flux-2-pro"): (0, False, False, 1, 8),
        ("bfl", "flux-2-flex"): (0, True, False, 1, 8),
        ("bfl", "flux-kontext-pro"): (0, False, False, 1, 4),
        ("bfl", "flux-pro-1.1-ultra"): (0, False, False, 1, 1),
        ("bfl", "flux-3-image"): (0, False, False, 1, 10),
    }
    for (provider, name), row in rows.items():
        can = model(provider, name).capabilities
        assert (can.loras, can.steps is not None, can.negative, can.batch, can.references) == row, name
        assert can.seed is (name != "flux-3-image")


# Elsewhere.


def test_a_provider_is_served_elsewhere_with_its_own_path():
    there = replace_urls(PROVIDERS["fal"], "http://127.0.0.1:8765/", pictures=("127.0.0.1:8766",))
    assert there.base_url == "http://127.0.0.1:8765"
    assert there.hosts == Hosts(("127.0.0.1:8765",), ("127.0.0.1:8765", "127.0.0.1:8766"))
    mine = configured(PROVIDERS["openai"], "http://gpu.example:8000/v1/", "flux-dev", 2_500)
    assert mine.base_url == "http://gpu.example:8000/v1" and mine.hosts.api == ("gpu.example:8000",)
    assert price_micro(mine.model("flux-dev"), 1024, 1024, 4, 2) == 5_000
    assert replace_urls(mine, "http://127.0.0.1:9").base_url == "http://127.0.0.1:9/v1"
    with pytest.raises(NotFound, match="flux-dev"):
        mine.model("flux-pro")


# Files.


def read(tmp_path: Path, name: str, *changes: tuple[str, str]) -> Provider:
    text = (presets_folder() / "providers" / f"{name}.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return read_provider(path)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("micro = 3000,", "", "models.schnell.price.micro"),  # a missing price is not $0
        ("micro = 3000,", "micro = 0.003,", "models.schnell.price.micro"),
        ("micro = 3000,", "micro = -1,", "models.schnell.price.micro"),
        ("date = 2026-11-20\n", 'date = "today"\n', "limits.date"),
        ('kind = "megapixel"', 'kind = "token"', "models.schnell.price.kind"),
        ('serves.flux1 = ["preview"]', 'serves.flux1 = ["draft"]', "models.schnell.serves.flux1"),
        ('engine = "fal"', 'engine = "fall"', "engine"),
        ('base_url = "https://queue.fal.run"', 'base_url = "http://queue.fal.run"', "base_url"),
        ("quality = 40", "quality = 40\nspeed = 3", "models.schnell.speed"),
        ('id = "fal-ai/flux/dev"', 'id = "fal-ai/flux/schnell"', "models"),
        ('picture_field = "image_url"', "", "models.dev-img2img.picture_field"),
        ('lora_card = "flux1-dev", ', "", "models.lora.can.lora_card"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_key(tmp_path, old, new, key):
    with pytest.raises(BadInput) as told:
        read(tmp_path, "fal", (old, new))
    assert told.value.field == key and "fal.toml" in str(told.value)


def test_a_bad_aspect_ratio_is_refused(tmp_path):
    with pytest.raises(BadInput, match="16x9"):
        read(tmp_path, "replicate", ('"16:9"', '"16x9"'))


def test_models_are_told_apart_by_everything_that_prices_them():
    """Two models that a price would confuse: the same size, another multiple."""
    plain = model("fal", "fal-ai/flux/schnell")
    coarse = replace(plain, capabilities=replace(plain.capabilities, multiple=64))
    sizes = itertools.product((1000, 1040), repeat=2)
    assert all(price_micro(coarse, *size, 4, 1) == price_micro(plain, *sized(coarse, *size), 4, 1) for size in sizes)
