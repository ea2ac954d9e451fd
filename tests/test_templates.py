"""Templates: read from TOML or refused with their place, filled with values that stay what they are, kept as versions, carried from studio
to studio, and composed into requests."""
from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.cards import TIERS
from models.errors import BadInput, NotFound
from pipelines.colours import colour_name, read_colour
from pipelines.filling import fill, literal, problems
from pipelines.request import LoraChoice
from pipelines.styles import OURS, read_styles, slug, write_styles
from pipelines.syntax import expand
from pipelines.template import PARTS, Template, load_templates, parse_template, template_of
from pipelines.templatetoml import template_toml, to_data
from pipelines.variables import Variable
from studio.composing import has_syntax
from studio.store.jobs import NotNow
from studio.store.people import LOCAL
from studio.studio import Studio
from studio.templates import Templates, changes

HERO = """
title = "Hero"
about = "One product on a plain ground"
use = "e-commerce hero"
tags = ["Product", "white"]
prompt = "a photo of $product on a $ground background, $mood, from $$5"
negative = "blurry $product"
tier = "standard"
size = "4:5"
profile = "product-hero"
draft = 8
keep = 2
texts = ["$headline"]
palette = ["$colour", "#ffffff"]

[variables.product]
type = "text"
help = "What is sold"
max_length = 60
[variables.ground]
type = "choice"
choices = ["white", "grey"]
default = "white"
[variables.mood]
type = "text"
required = false
[variables.headline]
type = "text"
required = false
[variables.colour]
type = "colour"
required = false
[variables.count]
type = "number"
low = 1
high = 4
whole = true
default = 2
[variables.photo]
type = "image"
required = false

[example]
product = "running shoes"
"""


@pytest.fixture
def hero() -> Template:
    return parse_template(HERO, "hero")


def refused(act: Callable[[], Any]) -> Any:
    """What `act` gives, or how it was refused; anything else it raises is a bug."""
    try:
        return act()
    except BadInput as error:
        return error


# Reading.


def test_what_a_template_says_is_read(hero: Template) -> None:
    assert (hero.name, hero.title, hero.tags, hero.tier, hero.draft) == ("hero", "Hero", ("product", "white"), "standard", 8)
    assert list(hero.variables) == ["product", "ground", "mood", "headline", "colour", "count", "photo"]
    assert hero.variables["product"].required and not hero.variables["ground"].required
    assert hero.variables["product"].title == "Product"
    assert hero.palette == ("$colour", "#FFFFFF")


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ('title = "x"\nprompt = "a\n', "hero", "line 2"),
        ('title = "x"', "prompt", "is missing"),
        ('prompt = "x"', "title", "is missing"),
        ('title = "x"\nprompt = "a $cup"', "prompt", "not declared"),
        ('title = "x"\nprompt = "a $prodct"\n[variables.product]\ntype = "text"', "prompt", "Did you mean $product?"),
        ('title = "x"\nprompt = "{a|b"', "prompt", "cannot be expanded"),
        ('title = "x"\nprompt = "y"\ntier = "best"', "tier", "must be one of"),
        ('title = "x"\nprompt = "y"\ndraft = 2\nkeep = 3', "keep", "3 of 2"),
        ('title = "x"\nprompt = "y"\ncolor = 3', "color", "is not known here"),
        ('title = "x"\nprompt = "y"\n[parts]\nsubject = "z"', "parts.subject", "beside a prompt"),
        ('title = "x"\nprompt = "y"\n[parts]\nstile = "z"', "parts.stile", 'Did you mean "style"?'),
        ('title = "x"\nprompt = "y"\n[variables.Big]\ntype = "text"', "variables.Big", "name of a variable"),
        ('title = "x"\nprompt = "y"\n[variables.a]\ntype = "date"', "variables.a.type", "must be one of"),
        ('title = "x"\nprompt = "y"\n[variables.a]\ntype = "choice"', "variables.a.choices", "is missing"),
        ('title = "x"\nprompt = "y"\n[variables.a]\ntype = "choice"\nchoices = ["a", "a"]', "variables.a.choices.1", "twice"),
        ('title = "x"\nprompt = "y"\n[variables.a]\ntype = "number"\nlow = 3\nhigh = 1', "variables.a.low", "more than high"),
        ('title = "x"\nprompt = "y"\n[variables.a]\ntype = "number"\nhigh = 1\ndefault = 2', "variables.a.default", "at most 1"),
        ('title = "x"\nprompt = "y"\n[variables.a]\ntype = "text"\nlow = 1', "variables.a.low", "is not known here"),
        ('title = "x"\nprompt = "$a"\n[variables.a]\ntype = "image"', "prompt", "is a picture"),
        ('title = "x"\nprompt = "y"\npalette = ["$a"]\n[variables.a]\ntype = "text"', "palette.0", "is no colour"),
        ('title = "x"\nprompt = "y"\npalette = ["red-ish"]', "palette.0", "must be a colour"),
        ('title = "x"\nprompt = "y"\n[example]\nb = "c"', "example.b", "no variable"),
        ('title = "x"\nprompt = "y"\n[[loras]]\nname = "q"\nweight = 9', "loras.0.weight", "between"),
        ('title = "x"\nprompt = "y"\n[post]\nwidth = 0', "post.width", "0"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, place: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_template(text, "hero")
    assert caught.value.field == place
    assert says in str(caught.value)
    assert "hero" in caught.value.what


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Co")), max_size=12)
toml_values = st.recursive(
    words | st.integers() | st.floats(allow_nan=True) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
KEYS = ("title", "about", "tags", "prompt", "negative", "tier", "size", "profile", "draft", "keep", "texts", "palette", "parts", "loras",
        "variables", "post", "example")  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), toml_values, max_size=6))
def test_any_table_loads_or_is_refused_with_its_place(data: dict[str, Any]) -> None:
    found = refused(lambda: template_of({"title": "x", "prompt": "y"} | data, "any"))
    if isinstance(found, BadInput):
        assert found.field
    else:
        assert parse_template(template_toml(found), "any") == found


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_any_text_loads_or_is_refused(text: str) -> None:
    found = refused(lambda: parse_template(text, "any"))
    assert isinstance(found, Template) or (found.field and "any" in found.what)


# Templates that read well: for round trips.

phrase = st.text("abcdefgh ,.'\"#\\\u00e9\u4e2d-", min_size=1, max_size=20).map(str.strip).filter(lambda one: any(c.isalpha() for c in one))
names = st.from_regex(r"[a-z](_?[a-z0-9]){0,6}", fullmatch=True)
hex_colours = st.from_regex(r"#[0-9A-F]{6}", fullmatch=True)


@st.composite
def variables(draw: st.DrawFn, name: str) -> Variable:
    kind = draw(st.sampled_from(["text", "choice", "colour", "number"]))
    title, about = draw(phrase), draw(phrase | st.just(""))
    required = draw(st.booleans())
    if kind == "text":
        return Variable(name, "text", title, about, draw(phrase | st.none()), required, max_length=draw(st.integers(20, 300)))
    if kind == "choice":
        choices = draw(st.lists(phrase, min_size=1, max_size=4, unique_by=str.casefold))
        return Variable(name, "choice", title, about, draw(st.sampled_from(choices) | st.none()), required, choices=tuple(choices))
    if kind == "colour":
        write = draw(st.sampled_from(["name", "hex", "both"]))
        return Variable(name, "colour", title, about, draw(hex_colours | st.none()), required, write=write)
    low, high = sorted((draw(st.integers(-50, 50)), draw(st.integers(-50, 50))))
    default = draw(st.integers(low, high) | st.none())
    return Variable(name, "number", title, about, default, required, low=float(low), high=float(high), whole=draw(st.booleans()))


@st.composite
def templates(draw: st.DrawFn) -> Template:
    found = {name: draw(variables(name)) for name in draw(st.lists(names, max_size=4, unique=True))}
    said = draw(phrase).replace("\\", "") + "".join(f" {draw(phrase).replace(chr(92), '')} ${{{name}}}" for name in found)
    said = said.strip()
    whole = draw(st.booleans())
    others = st.sets(st.sampled_from([part for part in PARTS if part not in ("subject", "use")]))
    parts = {name: draw(phrase).replace("\\", "").strip() for name in draw(others)}
    parts = {name: parts[name] for name in PARTS if name in parts}
    if not whole:
        parts = {name: {**parts, "subject": said}[name] for name in PARTS if name in parts or name == "subject"}
    draft = draw(st.integers(1, 240) | st.none())
    return Template(
        "any", draw(phrase), said if whole else "", draw(phrase | st.just("")), draw(phrase | st.just("")),
        tuple(draw(st.lists(phrase.map(str.lower), max_size=3, unique=True))),
        draw(phrase.map(lambda one: one.replace("\\", "")) | st.just("")).strip(),
        draw(st.sampled_from(TIERS) | st.none()), draw(st.sampled_from(["1:1", "16:9"]) | st.none()),
        draw(st.sampled_from(["generic", "headshot"]) | st.none()), draft, draw(st.integers(1, draft or 240) | st.none()),
        tuple(draw(st.lists(phrase, max_size=2, unique=True))), tuple(draw(st.lists(hex_colours, max_size=2, unique=True))), parts,
        tuple(LoraChoice(name, 0.5) for name in draw(st.lists(names, max_size=2, unique=True))), found,
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(templates())
def test_what_is_written_is_read_back(template: Template) -> None:
    text = template_toml(template)
    assert parse_template(text, "any") == template
    assert template_of(to_data(template), "any") == template
    assert template_toml(parse_template(text, "any")) == text
    assert tomllib.loads(text) == json.loads(json.dumps(to_data(template)))


@settings(max_examples=60, deadline=None)
@given(st.lists(templates(), min_size=1, max_size=3))
def test_an_export_of_ours_imports_as_the_same_templates(many: list[Template]) -> None:
    exported = write_styles(many[:1], "toml")
    assert list(read_styles(exported.content, "any.toml").templates.values()) == many[:1]
    named = [Template(**{**vars(one), "name": f"t{place}"}) for place, one in enumerate(many)]
    exported = write_styles(named, "toml")
    if len(named) > 1:
        assert json.loads(exported.content)[OURS] == 1
        assert list(read_styles(exported.content, exported.file).templates.values()) == named


# Filling.


def test_values_take_their_places(hero: Template) -> None:
    filling = fill(hero, {"product": "a red mug", "mood": "calm"})
    assert filling.plain(hero.prompt) == "a photo of a red mug on a white background, calm, from $5"
    assert filling.to_dict() == {"product": "a red mug", "ground": "white", "mood": "calm", "count": 2}


def test_what_is_left_out_takes_its_comma_along(hero: Template) -> None:
    assert fill(hero, {"product": "a mug"}).plain(hero.prompt) == "a photo of a mug on a white background, from $5"


@pytest.mark.parametrize("value", ["{a|b}", "__colour__", "<lora:x:1>", "$ground", "$$", "(word:1.2)", "\\{x\\}", "{2$$, $$a|b}"])
def test_a_value_is_never_expanded(hero: Template, value: str) -> None:
    filling = fill(hero, {"product": value})
    assert expand(filling.text(hero.prompt), 1, None, filling.words).text.startswith(f"a photo of {value} on a white background")


def test_the_syntax_of_the_fixed_text_is_expanded_after_the_values_are_in() -> None:
    template = parse_template('title = "x"\nprompt = "a {$first|$second} cup, {2$$ and $$$first|$second}"\n'
                              '[variables.first]\ntype = "text"\n[variables.second]\ntype = "text"', "t")  # fmt: skip
    filling = fill(template, {"first": "{red|green}", "second": "blue"})
    drawn = {expand(filling.text(template.prompt), seed, None, filling.words).text for seed in range(40)}
    assert {one.split(" cup")[0] for one in drawn} == {"a {red|green}", "a blue"}
    assert {one.split("cup, ")[1] for one in drawn} == {"{red|green} and blue", "blue and {red|green}"}


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({}, "values.product", "Product is missing"),
        ({"product": "  "}, "values.product", "is missing"),
        ({"product": "x" * 61}, "values.product", "60 characters"),
        ({"product": 3.0, "ground": "green"}, "values.ground", "white and grey"),
        ({"product": "x", "count": 5}, "values.count", "from 1 to 4"),
        ({"product": "x", "count": "2.5"}, "values.count", "whole number"),
        ({"product": "x", "count": True}, "values.count", "whole number"),
        ({"product": "x", "colour": "reddest"}, "values.colour", "It is a colour"),
        ({"product": "x", "photo": "me.png"}, "values.photo", "names none"),
        ({"product": "x", "produkt": "y"}, "values.produkt", 'Did you mean "product"?'),
        ({"product": ["x"]}, "values.product", "must be text"),
    ],
)
def test_wrong_values_are_named(hero: Template, values: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        fill(hero, values)
    assert caught.value.field == field
    assert says in str(caught.value)


def test_all_that_is_wrong_with_a_row_is_told_at_once(hero: Template) -> None:
    assert [one.field for one in problems(hero, {"ground": "x", "count": "many", "size": 3})] == [
        "values.product", "values.ground", "values.count", "values.size",
    ]  # fmt: skip


def test_values_of_tables_and_shells_are_understood(hero: Template) -> None:
    filling = fill(hero, {"product": 501.0, "ground": "GREY", "count": " 3 ", "colour": "navy blue", "photo": "12"})
    assert filling.to_dict() == {"product": "501", "ground": "grey", "count": 3, "colour": "#14204F", "photo": 12}


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["product", "ground", "mood", "colour", "count", "photo", "other"]), toml_values, max_size=4))
def test_any_values_fill_or_are_refused(values: dict[str, Any]) -> None:
    template = parse_template(HERO, "hero")
    filling = refused(lambda: fill(template, values))
    if isinstance(filling, BadInput):
        assert filling.field.startswith("values.")
    else:
        assert fill(template, filling.to_dict()) == filling


def test_colours_are_told_by_name() -> None:
    said = {"#FF0000": "red", "#008080": "teal", "#FDFDFD": "white", "#111111": "black", "#2244CC": "blue"}
    assert {one: colour_name(one) for one in said} == said
    assert read_colour("Dark Gray") == read_colour("#404040") == "#404040"
    assert read_colour("#fa0") == "#FFAA00"
    variable = Variable("c", "colour", "C", write="both")
    assert variable.written("#008080") == "teal (#008080)"


# Templates of other studios.

STYLES = """name,prompt,negative_prompt
--- photos ---,,
Studio,"studio photo of {prompt}, softbox, {warm|cool} light, $20 <lora:soft:0.6>","blurry, low quality"
Film,"35mm film, grain",
Only negative,,ugly
"""


def test_a1111_styles_are_read() -> None:
    found = read_styles("\ufeff" + STYLES, "styles.csv", taken=["film"])
    assert list(found.templates) == ["studio", "film-2", "only-negative"]
    studio = found.templates["studio"]
    assert studio.prompt == "studio photo of $prompt, softbox, {warm|cool} light, $$20 <lora:soft:0.6>"
    assert studio.negative == "blurry, low quality"
    assert found.templates["film-2"].prompt == "$prompt, 35mm film, grain"
    assert found.templates["only-negative"].prompt == "$prompt"
    assert found.format == "a1111"
    assert len(found.left) == 1 and "photos" in found.left[0]


def test_fooocus_and_invoke_styles_are_read() -> None:
    fooocus = read_styles(json.dumps([{"name": "sai-neon", "prompt": "neon {prompt}. glow", "negative_prompt": "dull"}]), "sdxl.json")
    assert fooocus.format == "fooocus" and fooocus.templates["sai-neon"].prompt == "neon $prompt. glow"
    for style in (
        {"name": "Neon", "positive_prompt": "neon {prompt}", "negative_prompt": "dull"},
        {"name": "Neon", "preset_data": {"positive_prompt": "neon {prompt}", "negative_prompt": "dull"}, "type": "user"},
    ):
        invoke = read_styles(json.dumps([style]), "presets.json")
        assert invoke.format == "invoke"
        assert (invoke.templates["neon"].prompt, invoke.templates["neon"].negative) == ("neon $prompt", "dull")


def test_braces_that_mean_something_else_there_stay_text() -> None:
    found = read_styles('name,prompt\nOdd,"{{{masterpiece, {prompt}"\n', "styles.csv")
    template = found.templates["odd"]
    filling = fill(template, {"prompt": "a mug"})
    assert expand(filling.text(template.prompt), 0, None, filling.words).text == "{{{masterpiece, a mug"
    assert found.left


@pytest.mark.parametrize(
    ("content", "file", "says"),
    [
        ("", "styles.csv", "line 1"), ("a,b\n1,2\n", "styles.csv", "line 1"), ("[1]", "x.json", "0 is 1"), ("{", "x.json", "line 1"),
        ("[]", "x.json", "no style"), ('[{"name": 3}]', "x.json", "0.name"), ("a = 1\nb = [\nc", "x.toml", "line 3"),
        ("x", "x.png", "no file of templates"),
        (f'{{"{OURS}": 1, "templates": {{"a": {{"title": "x"}}}}}}', "x.json", "prompt is missing"), ("[" * 100_000, "x.json", "x.json"),
    ],
)  # fmt: skip
def test_files_that_hold_no_templates_are_refused(content: str, file: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_styles(content, file)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["a.csv", "a.json", "a.toml", "a"]))
def test_any_file_is_read_or_refused(content: str, file: str) -> None:
    found = refused(lambda: read_styles("name,prompt\n" + content if file == "a.csv" else content, file))
    assert found.field if isinstance(found, BadInput) else found.templates


foreign = st.text("abc {}|_$<>:()1.2,\\'\"-", min_size=1, max_size=24).filter(lambda one: any(c.isalpha() for c in one))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(phrase, foreign, foreign), min_size=1, max_size=3), st.sampled_from(["a1111", "fooocus", "invoke"]))
def test_an_export_for_another_studio_imports_as_the_same_templates(styles: list[tuple[str, str, str]], form: Any) -> None:
    rows = [{"name": name, "prompt": f"{prompt} {{prompt}}", "negative_prompt": negative} for name, prompt, negative in styles]
    once = read_styles(json.dumps(rows), "x.json")
    exported = write_styles(list(once.templates.values()), form)
    again = read_styles(exported.content, exported.file)
    assert [drawn(one) for one in again.templates.values()] == [drawn(one) for one in once.templates.values()]
    assert not exported.left


def drawn(template: Template) -> tuple[str, str, str]:
    filling = fill(template, {"prompt": "a mug"})
    texts = [expand(filling.text(one), 5, AnyList(), filling.words).text for one in (template.prompt, template.negative)]
    return template.title, *texts


class AnyList:
    def lines(self, name: str) -> tuple[str, ...]:
        return (name,)


def test_what_another_studio_cannot_hold_is_listed(hero: Template) -> None:
    exported = write_styles([hero], "a1111")
    [row] = csv.DictReader(io.StringIO(exported.content))
    assert row["prompt"] == "a photo of {prompt} on a white background, mood, from $5"
    assert row["name"] == "Hero"
    [left] = exported.left
    for missing in ("ground", "tier", "palette", "example"):
        assert missing in left
    assert "product" not in left


def test_shipped_templates_read_and_export() -> None:
    shipped = list(load_templates().values())
    assert len(shipped) >= 30
    for form in ("a1111", "fooocus", "invoke"):
        exported = write_styles(shipped, form)
        assert len(read_styles(exported.content, exported.file).templates) == len(shipped)
    for template in shipped:
        fill(template, template.example)
        assert parse_template(template_toml(template), template.name) == template


def test_names_are_made_of_titles() -> None:
    assert slug("Café \u2014 \u201cMarble\u201d Kitchen!") == "cafe-marble-kitchen"
    assert slug("Hero", ["hero", "hero-2"]) == "hero-3"
    assert slug("\u4e2d\u6587") == "template"


def test_dollars_of_others_stay_dollars() -> None:
    assert literal("$5 {2$$, $$a|b} $x") == "$$5 {2$$, $$a|b} $$x"


# As a studio has them.


@pytest.fixture
def kept(studio: Studio) -> Templates:
    studio.templates.create("hero", HERO, LOCAL, "first")
    return studio.templates


def test_every_save_is_a_version(kept: Templates, hero: Template) -> None:
    changed = template_toml(hero).replace('"Hero"', '"Better hero"')
    assert kept.save("hero", changed, LOCAL, "a title", base=1) == 2
    assert kept.current("hero").title == "Better hero" and kept.at("hero", 1).title == "Hero"
    assert [(one.version, one.note, one.person) for one in kept.versions("hero")] == [(2, "a title", LOCAL.name), (1, "first", LOCAL.name)]
    with pytest.raises(NotNow):
        kept.save("hero", changed, LOCAL, base=1)
    assert kept.restore("hero", 1, LOCAL) == 3
    assert kept.current("hero").title == "Hero"
    assert changes(kept.at("hero", 2), kept.at("hero", 3)) == [{"key": "title", "old": "Better hero", "new": "Hero"}]


def test_a_shipped_template_can_be_changed_hidden_and_restored(studio: Studio) -> None:
    templates = studio.templates
    name = "ecommerce-hero"
    assert templates.version(name) == 0
    templates.remove(name, LOCAL)
    assert name not in templates.names() and name in templates.removed()
    with pytest.raises(NotFound):
        templates.current(name)
    templates.restore(name, 0, LOCAL)
    assert templates.current(name).version == 2 and name in templates.all()


def test_a_copy_is_a_template_of_its_own(kept: Templates) -> None:
    kept.duplicate("hero", "hero-two", "", LOCAL)
    assert kept.current("hero-two").title == "Hero (copy)"
    with pytest.raises(BadInput, match="already"):
        kept.duplicate("hero", "hero-two", "", LOCAL)


# Composing.

SUBMITTED = ("template", "values", "brand", "parts", "edit", "prompt", "seed", "seeds", "source", "tier", "family", "loras", "negative")


def test_a_template_becomes_a_request(studio: Studio, kept: Templates) -> None:
    job = studio.submit({"template": "hero", "values": {"product": "a red mug", "colour": "#FF0000", "headline": "SALE"}, "seed": 3})
    request = job["request"]
    assert request["prompt"] == "a photo of a red mug on a white background, from $5"
    asked = [request[name] for name in ("tier", "size", "profile", "draft", "keep")]
    assert asked == ["standard", "4:5", "product-hero", 8, 2]
    assert request["texts"] == ["SALE"] and request["palette"] == ["#FF0000", "#FFFFFF"]
    assert request["template"] == {"name": "hero", "version": 1}
    assert (job["template"], job["template_version"], job["brand"]) == ("hero", 1, None)


def test_what_a_person_asks_for_wins_over_the_template(studio: Studio, kept: Templates) -> None:
    asked = {"template": "hero", "values": {"product": "a mug"}, "tier": "preview", "draft": 1, "size": "1:1", "palette": ["#000000"]}
    request = studio.submit(asked)["request"]
    assert (request["tier"], request["draft"], request["keep"], request["size"]) == ("preview", 1, 1, "1:1")
    assert request["palette"] == ["#000000"]


def test_a_negative_prompt_goes_to_models_that_read_one(studio: Studio, kept: Templates) -> None:
    asked = {"template": "hero", "values": {"product": "mug"}, "negative": "text"}
    negatives = set()
    for family in studio.catalogue.families.values():
        for tier in family.tiers.values():
            card = studio.catalogue.card(tier.card)
            if card.vocabulary == "open":
                composed = studio.composer.preview(asked | {"family": family.name, "tier": tier.name}, LOCAL)
                assert composed.negative_used == card.negative
                negatives.add((card.negative, composed.negative))
    # Without it, what a person typed is left for the request to refuse; the template's own is only told.
    assert negatives <= {(True, "text, blurry mug"), (False, "text, blurry mug")} and negatives


def test_a_job_keeps_the_version_it_was_asked_with(studio: Studio, kept: Templates, hero: Template) -> None:
    asked = {"template": {"name": "hero", "version": 1}, "values": {"product": "a mug"}, "draft": 1}
    kept.save("hero", template_toml(hero).replace("a photo of", "a drawing of"), LOCAL)
    assert studio.submit(asked)["request"]["prompt"].startswith("a photo of")
    assert studio.submit(asked | {"template": "hero"})["request"]["prompt"].startswith("a drawing of")


def test_what_was_composed_is_taken_as_it_is(studio: Studio, kept: Templates) -> None:
    first = studio.submit({"template": "hero", "values": {"product": "{a|b} mug"}, "draft": 2})["request"]
    assert "{a|b} mug" in first["prompt"]
    assert studio.submit(first)["request"] == first


def test_what_is_written_by_hand_wins(studio: Studio, kept: Templates) -> None:
    asked = {"template": "hero", "values": {"product": "a mug"}, "edit": "a photo of a {blue|red} mug at dawn"}
    request = studio.submit(asked)["request"]
    assert request["prompt"] == "a photo of a {blue|red} mug at dawn"
    assert request["tier"] == "standard" and request["source"] == {"edit": asked["edit"]}
    request = studio.submit({"template": "hero", "values": {"product": "a mug"}, "prompt": "my own words"})["request"]
    assert request["prompt"] == "my own words"


def test_the_same_seed_composes_the_same_prompt(studio: Studio) -> None:
    asked = {"prompt": "a {red|blue|green|yellow} {mug|bowl|vase}", "seed": 11, "draft": 1}
    prompts = {studio.read(asked, LOCAL).prompt for _ in range(5)}
    assert len(prompts) == 1 and not has_syntax(*prompts)
    assert len({studio.read(asked | {"seed": seed}, LOCAL).prompt for seed in range(20)}) > 3
    assert studio.read(asked, LOCAL).source == {"prompt": asked["prompt"]}


def test_a_plain_prompt_stays_as_it_is(studio: Studio) -> None:
    for prompt in ("a red mug", 'a sign that says "5 $" (small)', "snake_case_words", "a mug, $5"):
        request = studio.read({"prompt": prompt}, LOCAL)
        assert (request.prompt, request.source) == (prompt, None)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"template": "nothing-here"}, "template"),
        ({"template": {"name": "hero", "version": 9}}, "template"),
        ({"template": 3}, "template"),
        ({"template": "hero"}, "values.product"),
        ({"template": "hero", "values": {"product": "x", "more": 1}}, "values.more"),
        ({"prompt": "x", "values": {"a": "b"}}, "values"),
        ({"prompt": "{a|b"}, "prompt"),
        ({"prompt": "__no_such_list_here__"}, "prompt"),
        ({"prompt": "a mug <lora:unknown:1>"}, "loras.0.name"),
        ({"parts": {"style": "calm"}, "prompt": "x", "brand": 3}, "brand"),
        ({"prompt": "a mug", "parts": {"subject": "a bowl"}}, "parts.subject"),
        ({"template": "hero", "values": {"product": "x"}, "family": "none"}, "family"),
    ],
)
def test_what_cannot_be_composed_is_refused_by_name(studio: Studio, kept: Templates, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        studio.submit(asked)
    assert caught.value.field == field


@settings(max_examples=100, deadline=None)
@given(data=st.dictionaries(st.sampled_from(SUBMITTED), toml_values, max_size=5))
def test_any_submission_is_read_or_refused(data: dict[str, Any], door_studio: Studio) -> None:
    found = refused(lambda: door_studio.read(data, LOCAL))
    assert found.field if isinstance(found, BadInput) else found.prompt


@pytest.fixture(scope="module")
def door_studio(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from models.presets import load_catalogue

    studio = Studio(tmp_path_factory.mktemp("studio") / "data", load_catalogue(), engine="scripted")
    studio.templates.create("hero", HERO, LOCAL)
    yield studio
    studio.stop()


# Over HTTP.


def test_the_gallery_over_http(door: httpx.Client) -> None:
    assert door.post("/api/templates", json={"name": "hero", "toml": HERO, "note": "mine"}).status_code == 200
    overview = door.get("/api/templates").json()
    hero = next(one for one in overview["templates"] if one["name"] == "hero")
    assert (hero["title"], hero["shipped"], hero["version"], hero["tags"], hero["jobs"]) == ("Hero", False, 1, ["product", "white"], 0)
    shipped = next(one for one in overview["templates"] if one["thumb"])
    assert door.get(shipped["thumb"]).headers["content-type"] == "image/webp"
    view = door.get("/api/templates/hero").json()
    assert [field["name"] for field in view["fields"]] == ["product", "ground", "mood", "headline", "colour", "count", "photo"]
    assert view["template"]["draft"] == 8 and view["toml"] == HERO
    changed = view["template"] | {"title": "Better"}
    saved = door.post("/api/templates/hero", json={"template": changed, "note": "n", "base": 1}).json()
    assert saved["version"] == 2
    assert door.get("/api/templates/hero/changes?old=1&new=2").json()["changes"] == [{"key": "title", "old": "Hero", "new": "Better"}]
    assert door.post("/api/templates/hero", json={"template": changed, "base": 1}).status_code == 409
    assert door.post("/api/templates/hero/restore", json={"version": 1}).json()["title"] == "Hero"
    assert door.post("/api/templates", json={"name": "hero-2", "from": "hero", "title": "Second"}).json()["title"] == "Second"
    assert {one["name"] for one in door.post("/api/templates/hero/remove", json={}).json()["removed"]} == {"hero"}
    assert door.get("/api/templates/hero").status_code == 404
    assert door.get("/api/templates/hero/toml?version=1").text == HERO


def test_import_and_export_over_http(door: httpx.Client) -> None:
    brought = door.post("/api/templates/import", json={"file": "styles.csv", "content": STYLES}).json()
    assert brought["names"] == ["studio", "film", "only-negative"] and brought["title"] == "A1111" and brought["left"]
    again = door.post("/api/templates/import", json={"file": "styles.csv", "content": STYLES}).json()
    assert again["names"] == ["studio-2", "film-2", "only-negative-2"]
    taken = door.post("/api/templates/export", json={"names": ["studio", "film"], "format": "fooocus"}).json()
    assert [one["name"] for one in json.loads(taken["content"])] == ["Studio", "Film"]
    assert door.post("/api/templates/export", json={"names": ["nope"]}).status_code == 404
    wrong = door.post("/api/templates/import", json={"file": "x.csv", "content": "a,b\n"})
    assert wrong.status_code == 422 and "line 1" in wrong.json()["error"]["what"]
    many = "name,prompt\n" + "".join(f"n{i},{'p' * 900}\n" for i in range(1500))
    big = door.post("/api/templates/import", json={"file": "styles.csv", "content": many})
    assert len(big.json()["names"]) == 1500


def test_the_live_preview(door: httpx.Client) -> None:
    door.post("/api/templates", json={"name": "hero", "toml": HERO})
    found = door.post("/api/compose", json={"template": "hero", "values": {"product": "a zebra mug"}, "family": "embedded"}).json()
    assert found["text"] == "a photo of a zebra mug on a white background, from $5"
    assert [piece["kind"] for piece in found["pieces"]] == ["subject"]
    assert found["text"][found["pieces"][0]["start"] : found["pieces"][0]["end"]] == found["pieces"][0]["text"]
    assert "zebra" in [one["word"] for one in found["unknown"]]
    assert found["counts"] and found["wrong"] is None and found["varies"] is False
    assert found["negative"] == "" and any("negative prompt is not sent" in note for note in found["notes"])
    assert found["request"]["tier"] == "standard"
    assert door.post("/api/compose", json={"template": "hero"}).json()["wrong"]["field"] == "values.product"
    assert door.post("/api/compose", json={"prompt": "a {red|blue} mug"}).json()["varies"] is True
    assert door.get("/api/jobs").json()["jobs"] == []
    draft = door.post("/api/templates/hero/preview", json={"toml": HERO.replace("a photo", "a print")}).json()
    assert draft["text"].startswith("a print of running shoes")
    assert door.post("/api/templates/hero/preview", json={"toml": "title = "}).json()["wrong"]["what"]
