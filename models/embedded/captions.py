"""Wordings of scenes, from "red mug, beach" to a full product-photograph prompt, and the vocabulary they use."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .world import COLOURS, Scene

MAX_TOKENS = 46  # words and punctuation marks

# The first wording of each list is used most.
_OBJECTS = {
    "mug": ("mug", "cup", "coffee mug", "ceramic mug", "coffee cup", "tea mug"),
    "bottle": ("bottle", "glass bottle", "drink bottle"),
    "bowl": ("bowl", "ceramic bowl", "salad bowl"),
    "vase": ("vase", "ceramic vase", "flower vase"),
    "lamp": ("lamp", "table lamp", "desk lamp", "lamp with a shade"),
    "chair": ("chair", "wooden chair", "dining chair"),
    "shoe": ("shoe", "sneaker", "running shoe", "sports shoe", "trainer"),
    "bag": ("bag", "handbag", "tote bag", "leather bag"),
    "clock": ("clock", "alarm clock", "round clock", "desk clock"),
    "candle": ("candle", "scented candle", "burning candle", "pillar candle"),
    "box": ("box", "gift box", "present", "present box", "box with a ribbon"),
    "teapot": ("teapot", "tea pot", "ceramic teapot"),
}
_COLOURS = {name: (name,) for name in COLOURS} | {
    "grey": ("grey", "gray"),
    "teal": ("teal", "turquoise"),
    "purple": ("purple", "violet"),
}
_FINISHES = ("glossy", "matte", "elegant", "modern", "classic", "simple", "beautiful", "luxury", "stylish")

# (as the end of a clause, as an item of a list)
_SCENES = {
    "studio": (
        ("in a white studio", "on a plain white background", "on a clean white background", "against a white backdrop",
         "on a white background", "in a studio", "on a seamless white background", "in front of a plain backdrop"),
        ("white studio", "plain white background", "clean white background", "white backdrop", "studio", "white background",
         "seamless white backdrop", "studio background"),
    ),
    "table": (
        ("on a wooden table", "on a wood table", "on an oak table", "on a table", "on a rustic wooden table", "on top of a wooden desk"),
        ("wooden table", "wood table", "oak table", "table", "wooden table background", "rustic wooden table", "wooden desk"),
    ),
    "kitchen": (
        ("on a marble counter", "on a marble kitchen counter", "on a kitchen counter", "in a kitchen", "on a marble countertop",
         "in a bright kitchen", "in front of kitchen tiles", "on a marble surface"),
        ("marble counter", "marble kitchen counter", "kitchen counter", "kitchen", "kitchen background", "tiled kitchen", "marble surface"),
    ),
    "beach": (
        ("on a beach", "on the beach", "on a sandy beach", "at the beach", "on sand by the sea", "on the sand near the ocean"),
        ("beach", "sandy beach", "beach background", "summer beach", "sea and sand", "beach with the ocean behind"),
    ),
    "garden": (
        ("in a garden", "on the grass", "in the garden", "on green grass in a garden", "on a lawn", "in a park",
         "on grass in front of a hedge"),
        ("garden", "garden background", "grass and hedge", "grass", "green lawn", "garden lawn", "park"),
    ),
    "snow": (
        ("in the snow", "on snow", "in a snowy landscape", "in a winter forest", "on snow in front of fir trees", "outside in winter snow"),
        ("snow", "snowy landscape", "winter snow", "snow background", "winter forest", "snowy winter scene"),
    ),
    "street": (
        ("in front of a brick wall", "on the street", "on a street", "against a brick wall", "on the pavement",
         "on a city street by a brick wall", "on a sidewalk"),
        ("brick wall", "street", "brick wall background", "urban street", "pavement", "street with a brick wall", "sidewalk"),
    ),
    "night": (
        ("in a city at night", "at night", "in front of a city at night", "in the city at night", "in front of a night skyline",
         "with city lights at night"),
        ("city at night", "night city", "night skyline", "night", "city lights at night", "night city background"),
    ),
}
# The words for what a prompt is held apart by: kind -> name -> wordings, the usual one first.
CONTRASTS: dict[str, dict[str, tuple[str, ...]]] = {
    "object": _OBJECTS,
    "colour": {name: tuple(words) for name, words in _COLOURS.items()},
    "scene": {name: clauses + items for name, (clauses, items) in _SCENES.items()},
}
_LIGHTS = {
    "soft": ("soft light", "soft lighting", "soft studio lighting", "studio lighting", "natural light", "even lighting", "diffused light"),
    "dramatic": ("dramatic light", "dramatic lighting", "dramatic side light", "dramatic shadows", "moody lighting", "strong side light"),
    "warm": ("warm light", "warm lighting", "golden light", "warm golden light", "golden hour", "sunset light"),
    "cool": ("cool light", "cool lighting", "cold light", "cool blue light", "cool tones"),
}
_FRAMINGS = {
    "centre": ("centered", "centered composition", "in the centre", "in the center", "centred composition", "centred"),
    "close": ("close-up", "close up", "close-up shot", "close view", "macro shot", "close-up view"),
    "wide": ("wide shot", "wide view", "from far away", "seen from a distance", "wide angle", "small in the frame"),
    "left": ("on the left", "on the left side", "placed on the left", "left side of the frame", "to the left"),
    "right": ("on the right", "on the right side", "placed on the right", "right side of the frame", "to the right"),
}
_STYLE_ITEMS = {
    "photo": ("photo", "photograph", "product photo", "photorealistic", "realistic photo", "product photography"),
    "illustration": ("illustration", "flat illustration", "vector illustration", "flat vector art", "cartoon illustration"),
    "watercolour": ("watercolour", "watercolor", "watercolour painting", "watercolor painting", "watercolour on paper"),
}
_STYLE_HEADS = {
    "photo": ("a photo of", "photo of", "photograph of", "product photo of", "a product photograph of",
              "professional product photograph of",
              "commercial photograph of", "studio quality photo of", "an advertising photo of", "a picture of", "an image of",
              "e-commerce hero image of", "a catalogue photo of", "high quality product photography of", "product shot of"),
    "illustration": ("an illustration of", "illustration of", "a flat illustration of", "flat vector illustration of", "a drawing of",
                     "a cartoon illustration of", "product illustration of", "a digital illustration of"),
    "watercolour": ("a watercolour of", "watercolor of", "a watercolour painting of", "watercolor painting of", "a watercolor of",
                    "loose watercolour painting of", "product watercolour of"),
}
_SIGNS = (
    'with a sign that says "{}"', 'with the word {} on a sign', 'and a sign that says "{}"', 'with a sign saying "{}"', 'with a "{}" sign',
    'next to a sign that reads "{}"', 'with a white sign with the text "{}"', 'near a sign with the word "{}"', 'below a hanging "{}" sign',
)
_EXTRAS = (
    "commercial quality", "high quality", "high detail", "highly detailed", "sharp focus", "shallow depth of field",
    "studio quality", "4k", "8k", "professional", "professional quality", "catalogue quality", "catalog image", "advertising",
    "advertising campaign", "elegant", "minimal",
    "minimalist", "clean composition", "e-commerce", "e-commerce hero image", "hero shot", "product", "commercial", "for an online shop",
    "for social media", "premium brand", "marketing banner", "high resolution", "best quality", "masterpiece", "lifestyle product scene",
    "simple background", "editorial style", "bokeh", "beautiful", "crisp", "for a web shop", "with copy space", "attractive", "detailed",
    "ultra detailed", "clean look", "modern design", "great for ads", "instagram post", "website header", "eye level",
    "front view", "full color", "vivid", "isolated product", "single object", "only one item", "no people",
)
# Clauses on how anything may be shown, whatever it is and wherever it stands in the frame.
MANNERS: tuple[str, ...] = (*(words for wordings in _LIGHTS.values() for words in wordings), *_EXTRAS)
# Words people use in prompts that no table above needs; known to the tokenizer so that they are never "unknown".
_COMMON = (
    "a an the on in of with and at by for to from front next near behind below above under over beside between this that is are it its as "
    "or no not one two some very stands standing sits placed shown style scene shot image picture photo view "
    "background , . : ; - \" ' ! ( )"
).split()
_VERBS = ("", "", "", "standing", "placed", "sitting", "displayed", "shown")


class Named(NamedTuple):
    """Where a prompt names something of the world, and what: prompt[start:end] are words for `name`."""

    start: int
    end: int
    name: str


def read(prompt: str) -> dict[str, Named]:
    """What a prompt names, by "object", "colour" and "scene", as the world calls it.

    The longest words count, and none twice: the table of "table lamp" is no place, and the white of "white studio" not the product's
    colour. Of several colours it is the one that stands last before the product.
    """
    left, found = _blanked(prompt.lower(), *_OF_SOMETHING_ELSE), {}
    phrases = ((kind, phrase, name) for kind in ("object", "scene") for name, words in CONTRASTS[kind].items() for phrase in words)
    for kind, phrase, name in sorted(phrases, key=lambda one: -len(one[1])):
        if kind not in found and (at := _whole(phrase).search(left)):
            found[kind] = Named(*at.span(), name)
            left = left[: at.start()] + " " * len(phrase) + left[at.end() :]
    colours = sorted(Named(*at.span(), name) for name, words in _COLOURS.items() for word in words for at in _whole(word).finditer(left))
    if colours:
        product = found["object"].start if "object" in found else len(prompt)
        found["colour"] = next((one for one in reversed(colours) if one.end <= product), colours[0])
    return found


def plainly(prompt: str) -> str:
    """What a prompt names, in the words that the model learnt best: "brown teapot in front of a brick wall"; "" where it names nothing."""
    named = read(prompt)
    return " ".join(CONTRASTS[kind][named[kind].name][0] for kind in ("colour", "object", "scene") if kind in named)


def gist(prompt: str) -> str:
    """What a prompt names, in the style it asks for and with its sign; not where that stands in the frame, nor the light. "" where it
    names nothing."""
    from .world import SIGNS

    plain = plainly(prompt)
    asked = prompt.lower()
    named = {style for words in (_STYLE_HEADS, _STYLE_ITEMS) for style, some in words.items() for one in some if _whole(one).search(asked)}
    style = next((one for one in ("watercolour", "illustration") if one in named), "")  # most other words are of photographs
    sign = next((one for one in SIGNS if one and _whole(one).search(prompt)), "")
    if plain and style:
        plain = f"{_STYLE_HEADS[style][0]} {_article(plain)}"
    return f"{plain} {_SIGNS[0].format(sign)}" if plain and sign else plain


_OF_SOMETHING_ELSE = ("white sign", "studio lighting", "studio quality")


def _blanked(text: str, *phrases: str) -> str:
    for phrase in phrases:
        text = text.replace(phrase, " " * len(phrase))
    return text


@lru_cache(maxsize=1024)
def _whole(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z]){re.escape(words)}(?![a-z])")


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One wording of the scene, drawn at random.

    Object, colour and place are always told; light, framing, style and sign whenever they are not the default (and
    sometimes when they are). At most MAX_TOKENS tokens. Size and jitter are never told.
    """
    facts = _facts(scene, rng)
    form = rng.random()
    if form < 0.22:
        text, extras = _terse(scene, facts, rng), 0
    elif form < 0.62:
        text, extras = _sentence(scene, facts, rng), int(rng.integers(0, 3))
    else:
        text, extras = _sentence(scene, facts, rng, listed=rng.random() < 0.5), int(rng.integers(2, 7))
    wanted = [_EXTRAS[i] for i in rng.permutation(len(_EXTRAS))[:extras]]
    for extra in wanted:
        longer = f"{text}, {extra}"
        if len(tokens(longer)) < MAX_TOKENS:
            text = longer
    if rng.random() < 0.15:
        text += "."
    return text[0].upper() + text[1:] if rng.random() < 0.35 else text


def tokens(text: str) -> list[str]:
    """The lower-cased words, numbers and punctuation marks of a text ("close-up" is close, -, up)."""
    return re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower())


def vocabulary() -> list[str]:
    """Every token that a caption can contain, and common words besides: sorted and always the same."""
    from .world import SIGNS

    found = set(_COMMON)
    tables: list[Sequence[str]] = [_FINISHES, _SIGNS, _EXTRAS, _VERBS, [sign for sign in SIGNS if sign]]
    for by_name in (_OBJECTS, _COLOURS, _LIGHTS, _FRAMINGS, _STYLE_ITEMS, _STYLE_HEADS):
        tables.extend(by_name.values())
    for clauses, items in _SCENES.values():
        tables.extend((clauses, items))
    for table in tables:
        for phrase in table:
            found.update(tokens(phrase.replace("{}", " ")))
    return sorted(found)


def _pick(phrases: tuple[str, ...], rng: np.random.Generator) -> str:
    """The first phrase in three of ten draws, otherwise any."""
    return phrases[0] if rng.random() < 0.3 else phrases[int(rng.integers(len(phrases)))]


def _facts(scene: Scene, rng: np.random.Generator) -> list[str]:
    """Light, framing and sign clauses in random order: always when not the default, sometimes otherwise."""
    facts = []
    for value, default, table, share in ((scene.light, "soft", _LIGHTS, 0.30), (scene.framing, "centre", _FRAMINGS, 0.20)):
        if value != default or rng.random() < share:
            facts.append(_pick(table[value], rng))
    return [facts[i] for i in rng.permutation(len(facts))]


def _thing(scene: Scene, rng: np.random.Generator) -> str:
    """Colour and object, with now and then an adjective before or between: "red mug", "glossy red mug"."""
    words = f"{_pick(_COLOURS[scene.colour], rng)} {_pick(_OBJECTS[scene.object], rng)}"
    if rng.random() < 0.15:
        words = f"{_FINISHES[int(rng.integers(len(_FINISHES)))]} {words}"
    return words


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _sign(scene: Scene, rng: np.random.Generator) -> str:
    return _SIGNS[int(rng.integers(len(_SIGNS)))].format(scene.sign)


def _terse(scene: Scene, facts: list[str], rng: np.random.Generator) -> str:
    """A bare list: "red mug, beach, golden light, watercolour"."""
    items = [_thing(scene, rng), _pick(_SCENES[scene.scene][1], rng), *facts]
    if scene.style != "photo":
        items.append(_pick(_STYLE_ITEMS[scene.style], rng))
    if scene.sign:
        items.append(_sign(scene, rng))
    return ", ".join(items)


def _sentence(scene: Scene, facts: list[str], rng: np.random.Generator, listed: bool = False) -> str:
    """A clause and its facts: "a photo of a red mug on a wooden table, warm light".

    listed: tell the place as an item among the facts instead of in the clause.
    """
    clause = _article(_thing(scene, rng))
    head = rng.random() < (0.55 if scene.style == "photo" else 0.7)
    if head:
        clause = f"{_pick(_STYLE_HEADS[scene.style], rng)} {clause}"
    elif scene.style != "photo" or rng.random() < 0.2:
        facts = [*facts, _pick(_STYLE_ITEMS[scene.style], rng)]
    if listed:
        facts = [*facts, _pick(_SCENES[scene.scene][1], rng)]
        facts = [facts[i] for i in rng.permutation(len(facts))]
    else:
        verb = _VERBS[int(rng.integers(len(_VERBS)))]
        clause = " ".join(part for part in (clause, verb, _pick(_SCENES[scene.scene][0], rng)) if part)
    if scene.sign:
        clause = f"{clause} {_sign(scene, rng)}"
    return ", ".join([clause, *facts])
