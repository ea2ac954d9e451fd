"""Brands: read with their place, chosen by name, project or use, in every request, in versions."""
from __future__ import annotations

import json

import pytest
from histories import ask
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BadInput
from pipelines.brand import brand_of, brand_toml, parse_brand
from studio.brands import Shelf
from studio.store.people import Who

ACME = {"title": "Acme", "words": ["clean look"], "avoid": ["people"], "palette": ["#C81E1E"], "profile": "product-hero"}
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)


@given(
    st.fixed_dictionaries(
        {"title": WORDS.filter(str.strip)},
        optional={
            "about": WORDS, "words": st.lists(WORDS, max_size=4), "avoid": st.lists(WORDS, max_size=4), "logo_free": st.booleans(),
            "palette": st.lists(st.integers(0, 2**24 - 1).map(lambda n: f"#{n:06x}"), max_size=3), "profile": WORDS,
            "projects": st.lists(WORDS, max_size=3), "usual": st.booleans(), "always": st.booleans(),
            "loras": st.lists(st.fixed_dictionaries({"name": WORDS.filter(str.strip), "weight": st.floats(-4, 4)}), max_size=3),
        },
    )
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_written_out_and_read_again_a_brand_is_the_same(data):
    try:
        brand = brand_of(data, "acme")
    except BadInput as error:
        brand, field = None, error.field
    else:
        field = "none is wrong"
    assert field
    assert brand is None or parse_brand(brand_toml(brand), "acme") == brand


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("title = \nabout = 1", "line 1"), ('about = "x"', "title"), ('title = "A"\npalette = ["red"]', "palette.0"),
        ('title = "A"\n[[loras]]\nname = "x"\nweight = 9', "loras.0.weight"), ('title = "A"\nfont = "x"', "font"),
        ('title = "A"\nusual = 1', "usual"), ('title = "A"\nwords = [1]', "words.0"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_place(words, place):
    with pytest.raises(BadInput, match=place):
        parse_brand(words, "acme")


def make(door, name="acme", **more):
    return ask(door.post("/api/brands", json={"name": name, "brand": ACME | more}))


def test_a_brand_is_in_every_request_that_names_it(studio, door):
    make(door, logo_free=True)
    said = ask(door.post("/api/jobs", json={"prompt": "a red mug", "brand": "acme", "draft": 1}), 201)["request"]
    assert said["brand"] == "acme" and said["prompt"].startswith("a red mug") and "clean look" in said["prompt"]
    assert said["palette"] == ["#C81E1E"] and said["profile"] == "product-hero"
    assert studio.brands.current("acme").avoid == ("people", "logo", "watermark", "brand name")
    typed = {"prompt": "a red mug", "brand": "acme", "profile": "generic", "palette": ["#000000"]}
    own = ask(door.post("/api/jobs", json=typed), 201)["request"]
    assert own["profile"] == "generic" and own["palette"] == ["#000000"]
    assert ask(door.post("/api/jobs", json={"prompt": "a red mug", "brand": "nobody"}), 422)["error"]["field"] == "brand"


def test_the_usual_brand_goes_without_saying_unless_somebody_says_none(door):
    make(door, usual=True)
    assert ask(door.get("/api/brands"))["chosen"] == "acme"
    assert ask(door.post("/api/jobs", json={"prompt": "a red mug"}), 201)["request"]["brand"] == "acme"
    bare = ask(door.post("/api/jobs", json={"prompt": "a red mug", "brand": ""}), 201)["request"]
    assert not bare["brand"] and bare["prompt"] == "a red mug"
    make(door, "other", usual=True)  # two are none
    assert ask(door.get("/api/brands"))["chosen"] is None


def test_a_project_goes_before_the_usual_one_and_quality_loras_ride_always(studio, door):
    make(door, usual=True)
    make(door, "trail", projects=["trail"], loras=[{"name": "trail-look", "weight": 0.8}])
    make(door, "sharp", always=True, loras=[{"name": "sharp", "weight": 0.5}, {"name": "trail-look", "weight": 0.1}])
    member, other = Who("ada", projects=("trail",)), Who("bob")
    brand = studio.brands.choose(None, member)
    assert brand.name == "trail" and [(one.name, one.weight) for one in brand.loras] == [("trail-look", 0.8), ("sharp", 0.5)]
    usual = studio.brands.choose(None, other)
    assert usual.name == "acme" and [one.name for one in usual.loras] == ["sharp", "trail-look"]
    assert studio.brands.choose("trail", other).name == "trail"


def test_the_page_is_told_why_a_brand_is_chosen(studio, door):
    def chosen(who: Who) -> tuple[str | None, str | None, list[str]]:
        found = Shelf(studio.store, studio.brands, studio.profiles.names).overview(who)
        return found["chosen"], found["why"]["by"], found["why"]["projects"]

    for title in ("The Trail", "The Shore"):
        ask(door.post("/api/projects", json={"title": title}), 201)
    both, one, none = (Who("local", projects=names) for names in (("the-trail", "the-shore"), ("the-trail",), ()))
    assert chosen(both) == (None, None, [])
    make(door, "trail", projects=["the-trail"])
    assert chosen(both) == chosen(one) == ("trail", "project", ["The Trail"])
    make(door, "shore", projects=["the-shore"])
    assert chosen(both) == (None, None, ["The Shore", "The Trail"])  # the person has to say
    make(door, usual=True)
    assert chosen(both) == ("acme", "usual", ["The Shore", "The Trail"]) and chosen(none) == ("acme", "usual", [])
    assert chosen(one) == ("trail", "project", ["The Trail"])


def test_every_save_is_a_version_that_can_be_gone_back_to(door):
    make(door)
    saved = ask(door.post("/api/brands/acme", json={"brand": ACME | {"words": ["vivid"]}, "note": "brighter", "base": 1}))
    assert saved["version"] == 2 and [one["note"] for one in saved["versions"]] == ["brighter", ""]
    assert ask(door.get("/api/brands/acme/changes?old=1&new=2"))["changes"] == [{"key": "words", "old": "clean look", "new": "vivid"}]
    ask(door.post("/api/brands/acme", json={"brand": ACME, "base": 1}), 409)
    assert ask(door.post("/api/brands/acme/restore", json={"version": 1}))["words"] == ["clean look"]
    gone = ask(door.post("/api/brands/acme/remove", json={}))
    assert gone["brands"] == [] and gone["removed"][0]["title"] == "Acme"
    ask(door.get("/api/brands/acme"), 404)
    assert ask(door.post("/api/brands/acme/restore", json={"version": 2}))["words"] == ["vivid"]
    toml = door.get("/api/brands/acme/toml").text
    assert ask(door.post("/api/brands", json={"name": "copy", "toml": toml}))["words"] == ["vivid"]


@pytest.mark.parametrize(
    ("body", "field"), [({"brand": {}}, "title"), ({"brand": 3}, "brand"), ({"brand": ACME | {"profile": "none"}}, "profile")]
)
def test_what_is_no_brand_is_refused(door, body, field):
    assert ask(door.post("/api/brands", json={"name": "acme"} | body), 422)["error"]["field"] == field
    assert json.loads(door.get("/api/brands").text)["brands"] == []
