"""The templates that ship: each loads, fills with its example, fits its encoders, and asks only for what there is."""
from __future__ import annotations

import io

import pytest
from PIL import Image

from models.presets import load_catalogue, presets_folder
from models.words import read_prompt
from pipelines.filling import fill
from pipelines.post import read_post
from pipelines.prompt import Parts, assemble
from pipelines.template import Template, load_templates

TEMPLATES = load_templates()
THUMBS = presets_folder() / "templates" / "thumbs"
USES = {"e-commerce hero", "lifestyle", "flat lay", "outdoor", "seasonal", "product scene", "social post", "marketing banner", "ad variant",
        "email hero", "headshot", "design-template fill"}  # fmt: skip


def prompt_of(template: Template, knows=None) -> str:
    filling = fill(template, dict(template.example))
    parts = {name: filling.text(text) for name, text in template.parts.items()}
    return assemble(Parts.from_dict(parts), seed=1, values=filling.words, knows=knows).text


def test_every_use_that_people_name_has_a_template():
    assert {one.use for one in TEMPLATES.values()} == USES
    assert len(TEMPLATES) >= 30 and sum(one.use == "product scene" for one in TEMPLATES.values()) == 12


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_fills_with_its_example_and_fits_its_encoders(name, shipped):
    template = TEMPLATES[name]
    required = {one.name for one in template.variables.values() if one.required and one.type != "image" and one.default is None}
    assert required <= set(template.example)
    prompt = prompt_of(template)
    assert "$" not in prompt and ", ," not in prompt and "  " not in prompt
    card = shipped.card("flux1-dev")
    assert all(used <= most for used, most in read_prompt(card, prompt).counts.values())
    embedded = shipped.card("embedded")
    small = prompt_of(template, lambda phrase: not read_prompt(embedded, phrase).unknown)
    reading = read_prompt(embedded, small)
    assert reading.unknown or not reading.cut
    if (THUMBS / f"{name}.webp").exists():
        assert not reading.unknown  # it was drawn by a model that knows every word


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_it_asks_for_there_is(name):
    template = TEMPLATES[name]
    profiles = {path.stem for path in (presets_folder() / "profiles").glob("*.toml")}
    assert template.profile is None or template.profile in profiles
    for family in load_catalogue().families.values():
        assert template.size is None or all(template.size in tier.sizes for tier in family.tiers.values())
    post = read_post(dict(template.post))
    if template.use == "social post":
        assert f"{post.width} x {post.height} pixels" in template.about and post.fit == "crop"


def test_thumbnails_are_small_pictures_of_templates_that_ship():
    thumbs = list(THUMBS.glob("*.webp"))
    assert len(thumbs) >= 30 and {path.stem for path in thumbs} <= set(TEMPLATES)
    for path in thumbs:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            assert max(image.size) <= 256 and len(data) <= 12_000
