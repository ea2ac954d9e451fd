"""The door: every field of a request, right and wrong; whatever comes in, only BadInput that names the field comes out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BadInput
from models.presets import load_catalogue
from pipelines.promote import promotion
from pipelines.request import LoraChoice, Request, consecutive
from pipelines.wishes import Budget, quoted

CATALOGUE = load_catalogue()
FIELDS = [field.name for field in fields(Request)]


def request(**data) -> Request:
    return Request.from_dict({"prompt": "a red mug on a wooden table", **data}, CATALOGUE, loras=("foil",))


def refused(**data) -> BadInput:
    with pytest.raises(BadInput) as caught:
        request(**data)
    assert caught.value.what
    json.dumps(caught.value.as_dict(), ensure_ascii=False).encode()
    return caught.value


def test_a_prompt_is_enough():
    made = request()
    assert (made.family, made.tier, made.size, made.draft, made.keep, made.steps) == ("embedded", "preview", "1:1", 8, 2, 4)
    assert made.guidance == CATALOGUE.tier("embedded", "preview")[0].guidance
    assert made.seeds == consecutive(made.seed, 8)
    assert made.seed < 2**53, "a browser must be able to hold a drawn seed exactly"


def test_drawn_seeds_differ():
    assert len({request().seed for _ in range(20)}) > 15


def test_seeds_are_consecutive_and_wrap():
    assert request(seed=41, draft=3).seeds == (41, 42, 43)
    assert request(seed=2**63 - 1, draft=2).seeds == (2**63 - 1, 0)


def test_explicit_seeds_win_and_set_draft():
    made = request(seeds=[9, 3, 7], seed=1, draft=8)
    assert (made.draft, made.seed, made.seeds, made.keep) == (3, 9, (9, 3, 7), 2)
    assert refused(seeds=[1, 2, 1]).field == "seeds.2"
    assert refused(seeds=[1, "2"]).field == "seeds.1"
    assert refused(seeds=list(range(241))).field == "seeds"


def test_keep_follows_a_small_draft():
    assert request(draft=1).keep == 1
    assert refused(draft=2, keep=3).field == "keep"


def test_forms_may_send_whole_numbers_as_floats():
    assert request(steps=12.0).steps == 12
    assert refused(steps=12.5).field == "steps"
    assert refused(seed=10**5000).field == "seed"


def test_text_is_kept_as_typed():
    typed = "a mug, \u202b\u05e9\u05dc\u05d8\u202c \u200fand\u200e e\u0301\U0001f3fa\nsecond\tline"
    assert request(prompt=f"  {typed}\r\n").prompt == typed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""), ("prompt", " \u200f\u200b"), ("prompt", None), ("prompt", 3), ("prompt", "a\x00b"), ("prompt", "a\x85b"),
        ("prompt", "x" * 4001), ("negative", []), ("negative", "\x1b"), ("family", "flux9"), ("family", 1),
        ("tier", "best"), ("size", "2:1"), ("draft", 0), ("draft", 241), ("draft", True), ("draft", "8"), ("keep", 0),
        ("seed", -1), ("seed", 2**63), ("seed", float("nan")), ("seeds", "123"), ("seeds", {}),
        ("steps", 0), ("steps", 101), ("steps", float("inf")), ("guidance", float("nan")), ("guidance", 10**400), ("guidance", -1),
        ("guidance", False), ("loras", "foil"), ("loras", [{"name": "foil"}] * 9), ("image", 0), ("role", "mask"), ("strength", 2),
        ("profile", "sloppy"), ("budget", 3), ("ladder", 1), ("ladder", True), ("retries", 9), ("texts", "SALE"), ("palette", {}),
        ("likeness", "me.png"), ("where", "mars"), ("parent", -4), ("note", "x" * 501),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field(field, value):
    assert refused(**{field: value}).field == field


def test_words_say_what_is_right():
    assert refused(steps=0).what == "steps must be 1 to 100 for this model; you asked for 0."
    assert refused(prompt="\ud800").field == "prompt"
    assert "Did you mean" in refused(stepz=3).todo
    assert refused(**{"\ud800" * 200: 1}).field.isascii()
    assert len(str(refused(prompt=5, x="y" * 10**6))) < 1000


def test_what_a_model_cannot_do_is_refused():
    assert refused(family="flux1", negative="blurry").field == "negative"
    assert refused(family="flux1", guidance=3).field == "guidance"
    assert request(family="flux1", guidance=0).guidance == 0
    assert refused(family="flux2-klein", role="img2img", image=1).field == "role"
    assert refused(role="reference", image=1).field == "role"


def test_start_pictures():
    made = request(role="img2img", image=12, strength=0.4)
    assert (made.image, made.role, made.strength) == (12, "img2img", 0.4)
    assert 0 < request(role="img2img", image=12).strength < 1
    assert request(family="flux2-klein", role="reference", image=3).strength is None
    assert refused(image=12).field == "role"
    assert refused(role="img2img").field == "image"
    assert refused(strength=0.5).field == "strength"
    assert refused(role="img2img", image=1, strength=0).field == "strength"
    assert refused(family="flux2-klein", role="reference", image=3, strength=0.5).field == "strength"


def test_words_and_colours_that_must_be_shown():
    made = request(texts=["SALE", " 50 % "], palette=["#1a2b3c", "#FFFFFF"], likeness=7)
    assert (made.texts, made.palette, made.likeness) == (("SALE", "50 %"), ("#1A2B3C", "#FFFFFF"), 7)
    assert refused(texts=["SALE", ""]).field == refused(texts=["SALE", "SALE"]).field == "texts.1"
    assert refused(texts=["x"] * 9).field == "texts"
    assert refused(palette=["#1A2B3C", "#1a2b3c"]).field == refused(palette=["#123456", "red"]).field == "palette.1"
    assert refused(palette=["#12345"]).field == "palette.0"


def test_a_budget_bounds_pictures_and_seconds():
    assert request(budget={"images": 40}).budget == Budget(40, None)
    assert request(budget={"seconds": 12.5, "images": None}).budget == Budget(None, 12.5)
    assert request(budget={}).budget is None
    assert refused(budget={"usd": 3}).field == "budget.usd"
    assert refused(budget={"euro": 3}).field == "budget.euro"
    assert refused(draft=8, budget={"images": 7}).field == "budget.images"
    assert refused(budget={"images": "many"}).field == "budget.images"
    assert refused(budget={"seconds": 0}).field == "budget.seconds"


def test_words_in_double_quotes_are_what_a_prompt_asks_to_read():
    prompt = 'a red mug with a sign that says "SALE", “NEW” on it, a 12" pan, and "SALE" again, "   "'
    assert quoted('a mug with a "HOT" sign') == ("HOT",)
    assert quoted(prompt) == ("SALE", "NEW")
    assert quoted("a red mug, it's nice") == ()


def test_loras_are_known_by_name():
    assert request(loras=[{"name": "foil", "weight": 0.5}]).loras == (LoraChoice("foil", 0.5),)
    assert refused(loras=[{"name": "foil"}, {"name": "gold"}]).field == "loras.1.name"
    assert refused(loras=[{"name": "foil", "weight": float("inf")}]).field == "loras.0.weight"
    assert refused(loras=[{"name": "foil", "scale": 1}]).field == "loras.0.scale"
    assert refused(loras=["foil"]).field == "loras.0"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**63, 2**53, 0, 1, -1])
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "Cc", "Cf", "L"]), max_size=8)
    | st.sampled_from(["embedded", "flux1", "standard", "premium", "16:9", "img2img", "reference", "local", "foil"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
LIKELY = {
    "family": st.sampled_from(["embedded", "flux1", "flux2-klein"]),
    "tier": st.sampled_from(["preview", "standard", "premium"]),
    "size": st.sampled_from(["1:1", "16:9", "banner"]),
    "draft": st.integers(1, 240),
    "keep": st.integers(1, 4),
    "seed": st.integers(0, 2**63 - 1),
    "seeds": st.lists(st.integers(0, 99), max_size=4),
    "steps": st.integers(1, 60),
    "guidance": st.floats(0, 12),
    "role": st.sampled_from(["none", "img2img", "reference"]),
    "image": st.integers(1, 9),
    "strength": st.floats(0, 1),
    "loras": st.lists(st.fixed_dictionaries({"name": st.just("foil")}, optional={"weight": st.floats()}), max_size=2),
}


def made_or_refused(data: object) -> Request | BadInput:
    try:
        return Request.from_dict(data, CATALOGUE, loras=("foil",))
    except BadInput as error:
        return error


@settings(max_examples=400, deadline=None)
@given(JSON | st.dictionaries(st.sampled_from([*FIELDS, "extra"]), JSON, max_size=6))
def test_nothing_but_bad_input_comes_out(data):
    made = made_or_refused(data)
    if isinstance(made, BadInput):
        assert made.field
        assert made.what
        json.dumps(made.as_dict(), ensure_ascii=False).encode()
    else:
        assert Request.from_dict(made.to_dict(), CATALOGUE, loras=("foil",)) == made


@settings(max_examples=400, deadline=None)
@given(st.fixed_dictionaries({"prompt": st.text(max_size=30)}, optional=LIKELY | {"note": JSON, "negative": st.text(max_size=9)}))
def test_what_passes_comes_back_equal_through_json(data):
    made = made_or_refused(data)
    if isinstance(made, BadInput):
        assert made.field.split(".")[0] in FIELDS
        return
    assert len(made.seeds) == made.draft >= made.keep >= 1
    assert Request.from_dict(json.loads(json.dumps(made.to_dict())), CATALOGUE, loras=("foil",)) == made


# Promotion: the way up from any drawn picture.


def embedded(**changes):
    """The catalogue with another standard tier in the embedded family."""
    family = CATALOGUE.family("embedded")
    tiers = dict(family.tiers) | {"standard": replace(family.tiers["standard"], **changes)}
    return replace(CATALOGUE, families=dict(CATALOGUE.families) | {"embedded": replace(family, tiers=tiers)})


def test_the_same_noise_takes_more_steps():
    catalogue = embedded(promotion="same-noise", strength=None)
    made = promotion(request(seed=40, guidance=5, negative="dark"), 7, 43, "standard", catalogue)
    assert (made.tier, made.seeds, made.steps, made.draft, made.keep, made.parent) == ("standard", (43,), 20, 1, 1, 7)
    assert (made.image, made.role, made.guidance, made.negative) == (None, "none", 5, "dark")
    assert promotion(request(), 7, 43, "standard", catalogue, draft=3).seeds == (43, 44, 45)


def test_img2img_starts_from_the_picture():
    near = promotion(request(seed=40, guidance=5), 7, 43, "standard", CATALOGUE)
    assert (near.image, near.role, near.strength, near.steps, near.seeds, near.parent) == (7, "img2img", 0.25, 20, (43,), 7)
    preview = request(family="flux1")
    standard = promotion(preview, 7, 43, "standard", CATALOGUE)
    assert (standard.image, standard.role, standard.strength, standard.guidance) == (7, "img2img", 0.5, 3.5)
    # From standard the same model takes the same start picture and the same noise on.
    premium = promotion(standard, 9, 43, "premium", CATALOGUE)
    assert (premium.image, premium.role, premium.strength, premium.steps, premium.parent) == (7, "img2img", 0.5, 40, 9)
    assert promotion(preview, 7, 43, "premium", CATALOGUE).role == "img2img"


def test_a_reference_is_shown_to_the_model():
    made = promotion(request(family="flux2-klein"), 7, 43, "standard", CATALOGUE)
    assert (made.image, made.role, made.strength) == (7, "reference", None)


@pytest.mark.parametrize("tier", ["preview", "nowhere", "standard", None])
def test_promotion_goes_up_only(tier):
    with pytest.raises(BadInput, match="cannot be taken") as caught:
        promotion(request(tier="standard"), 7, 43, tier, CATALOGUE)
    assert caught.value.field == "tier"


def test_a_tier_that_takes_no_picture_says_so():
    for changes, why in [
        ({"promotion": "none"}, "takes no picture"),
        ({"promotion": "img2img", "card": "flux2-klein-4b"}, "cannot start from a picture"),
        ({"promotion": "reference"}, "no reference picture"),
        ({"promotion": "same-noise", "card": "flux1-dev"}, "another model"),
        ({"promotion": "same-noise", "sizes": {"1:1": (512, 512)}}, "other pixels"),
    ]:
        with pytest.raises(BadInput, match=why) as caught:
            promotion(request(), 7, 43, "standard", embedded(**changes))
        assert caught.value.field == "tier"


def test_the_pages_process_stays_free_of_torch():
    code = "import sys, pipelines.request, pipelines.tasks, pipelines.promote, models.scripted; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
