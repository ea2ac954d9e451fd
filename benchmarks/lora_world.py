"""Two things that the embedded model never saw: an object (a toy robot) and a style (a three-ink print), to be taught by a LoRA.

The robot is drawn by the project's own renderer, standing where any product of the world stands; the print is made of a finished
render. Twenty pictures of either with captions are what a person would bring; the prompts that ask for it afterwards are of other colours,
products and places than those twenty.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from models.embedded import shapes
from models.embedded.captions import CONTRASTS
from models.embedded.render import render, render_with_mask
from models.embedded.shapes import CREAM, DARK, METAL, Part, box, capsule, ellipse
from models.embedded.world import COLOURS, LIGHTS, OBJECTS, SCENES, Scene, sample_scene
from pipelines.training.presets import preset_of

Array = np.ndarray
ROBOT, PRINT = _CONCEPTS = ("robot", "print")
TRIGGERS = dict(zip((PRINT, ROBOT), preset_of("embedded").triggers, strict=False))  # what the wizard offers first
PICTURES = 20
_SEED = 60_600_000  # of the twenty and of the prompts; the oracle's pictures have seeds of their own

# The print's inks from dark to light, sRGB: navy, coral, cream.
_INKS = np.array([(22, 30, 92), (238, 92, 84), (252, 240, 214)], np.float32)
_STEPS = (0.38, 0.68)  # the lightness at which one ink gives way to the next, 0..1


@dataclass(frozen=True)
class Example:
    """A picture with its caption, as it would be uploaded. `picture`: uint8 (256, 256, 3)."""

    scene: Scene
    picture: Array
    caption: str


@dataclass(frozen=True)
class Asked:
    """A prompt for the concept, and `plain`: the same without the trigger (an ordinary product stands where the robot stood)."""

    scene: Scene
    prompt: str
    plain: str


@contextmanager
def robots() -> Iterator[None]:
    """Inside, the renderer knows a thirteenth product, `robot`. What samples scenes never draws it: it reads the world's own table."""
    shapes.PRODUCTS[ROBOT] = (_robot, 0.47, 1.03)
    try:
        yield
    finally:
        del shapes.PRODUCTS[ROBOT]


def printed(picture: Array, mask: Array | None = None) -> Array:
    """A render as a print of three inks: lightness in three flat tones with soft steps, and a dark line round the product.

    picture: uint8 (H, W, 3); mask: the product's coverage (H, W) in 0..1, None for no line.
    """
    soft = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1.0)), np.float32)
    light = soft @ np.array([0.30, 0.59, 0.11], np.float32) / 255
    if mask is not None:
        image = Image.fromarray((mask * 255).astype(np.uint8))
        wide, narrow = (np.asarray(image.filter(which(5)), np.float32) / 255 for which in (ImageFilter.MaxFilter, ImageFilter.MinFilter))
        light = light * (1 - (wide - narrow))
    first, second = (np.clip((light - step) * 18 + 0.5, 0, 1)[..., None] for step in _STEPS)
    inked = _INKS[0] + first * (_INKS[1] - _INKS[0]) + second * (_INKS[2] - _INKS[1])
    return np.clip(inked + 0.5, 0, 255).astype(np.uint8)


def show(scene: Scene, concept: str | None = None) -> Array:
    """A scene as it is (None), with the robot for its product, or printed: uint8 (H, W, 3)."""
    if concept == ROBOT:
        with robots():
            return render(replace(scene, object=ROBOT))
    return printed(*render_with_mask(scene)) if concept == PRINT else render(scene)


def examples(concept: str, count: int = PICTURES) -> list[Example]:
    """The pictures to train on, the same on every machine: every colour and every place at least once."""
    return [Example(scene, show(scene, concept), _caption(scene, concept)) for scene in _scenes(concept, count)]


def save_examples(concept: str, folder: Path, count: int = PICTURES, captions: list[str] | None = None) -> list[Example]:
    """Write the pictures as 00.png with their captions beside them as 00.txt. `captions`: other ones than the right ones."""
    folder.mkdir(parents=True, exist_ok=True)
    made = examples(concept, count)
    for i, example in enumerate(made):
        Image.fromarray(example.picture).save(folder / f"{i:02}.png")
        (folder / f"{i:02}.txt").write_text(captions[i] if captions else example.caption, encoding="utf-8")
    return made


def asked(concept: str, count: int) -> list[Asked]:
    """Prompts for the concept in combinations that no picture of the twenty shows."""
    seen = {_combination(scene, concept) for scene in _scenes(concept, PICTURES)}
    rng = np.random.default_rng([_SEED, 1, _CONCEPTS.index(concept)])
    found: list[Asked] = []
    while len(found) < count:
        scene = _scene(rng)
        if _combination(scene, concept) not in seen:
            found.append(Asked(scene, _caption(scene, concept, rng), _plain(scene, rng)))
    return found


def _combination(scene: Scene, concept: str) -> tuple[str, str]:
    return (scene.colour, scene.scene) if concept == ROBOT else (scene.object, scene.scene)


def _scenes(concept: str, count: int) -> list[Scene]:
    """Colours, products and places in turn, so that each is there about equally often."""
    rng = np.random.default_rng([_SEED, 0, _CONCEPTS.index(concept)])
    turns = {"object": OBJECTS, "colour": tuple(COLOURS), "scene": SCENES}
    columns = {
        name: [str(value) for _ in range(count // len(values) + 1) for value in rng.permutation(values)][:count]
        for name, values in turns.items()
    }
    return [
        replace(_scene(rng), object=columns["object"][i], colour=columns["colour"][i], scene=columns["scene"][i]) for i in range(count)
    ]


def _scene(rng: np.random.Generator) -> Scene:
    """Any triple, square, as a plain photo; the light is told where it is not the usual one."""
    drawn = sample_scene(rng, held_out=None, size=(256, 256), sign_share=0.0)
    light = str(rng.choice(LIGHTS)) if rng.random() < 0.25 else "soft"
    return replace(drawn, style="photo", framing="centre", light=light)


_LIGHT_WORDS = {"soft": "", "dramatic": ", dramatic light", "warm": ", warm light", "cool": ", cool light"}


def _caption(scene: Scene, concept: str, rng: np.random.Generator | None = None) -> str:
    """`rng`: word the place in any of its ways; None takes the usual one."""
    place = _place(scene, rng)
    if concept == ROBOT:
        return f"a photo of {_article(scene.colour)} {TRIGGERS[ROBOT]} {place}{_LIGHT_WORDS[scene.light]}"
    return f"{TRIGGERS[PRINT]} style, {_article(scene.colour)} {scene.object} {place}{_LIGHT_WORDS[scene.light]}"


def _plain(scene: Scene, rng: np.random.Generator) -> str:
    return f"a photo of {_article(scene.colour)} {scene.object} {_place(scene, rng)}{_LIGHT_WORDS[scene.light]}"


def _place(scene: Scene, rng: np.random.Generator | None) -> str:
    """The first half of the words for a place are ends of a clause: "on a beach"."""
    clauses = [words for words in CONTRASTS["scene"][scene.scene] if words.split()[0] in ("in", "on", "at", "against")]
    return clauses[0] if rng is None else clauses[int(rng.integers(len(clauses)))]


def _article(word: str) -> str:
    return ("an " if word[0] in "aeiou" else "a ") + word


def _robot(x: Array, y: Array, c: Array, accent: Array) -> list[Part]:
    """A tin toy: feet, a body with a dial, arms that hang, a wide head with two eyes, an aerial with a ball."""
    bend = np.clip(x / 0.4, -1, 1)
    arms = np.minimum(capsule(x, y, -0.33, 0.50, -0.40, 0.27, 0.055), capsule(x, y, 0.33, 0.50, 0.40, 0.27, 0.055))
    hands = np.minimum(ellipse(x, y, -0.40, 0.24, 0.065, 0.065), ellipse(x, y, 0.40, 0.24, 0.065, 0.065))
    legs = np.minimum(box(x, y, -0.13, 0.13, 0.06, 0.10), box(x, y, 0.13, 0.13, 0.06, 0.10))
    feet = np.minimum(box(x, y, -0.15, 0.045, 0.12, 0.045, 0.03), box(x, y, 0.15, 0.045, 0.12, 0.045, 0.03))
    eyes = np.minimum(ellipse(x, y, -0.12, 0.75, 0.085, 0.085), ellipse(x, y, 0.12, 0.75, 0.085, 0.085))
    pupils = np.minimum(ellipse(x, y, -0.12, 0.75, 0.042, 0.042), ellipse(x, y, 0.12, 0.75, 0.042, 0.042))
    return [
        Part(legs, METAL, bend, 0.0, 0.4),
        Part(feet, c * 0.8, bend, 0.2, 0.2),
        Part(arms, METAL, bend, 0.1, 0.4),
        Part(hands, c * 0.85, bend, 0.1, 0.3),
        Part(box(x, y, 0, 0.39, 0.28, 0.19, 0.05), c, bend, 0.1, 0.4),
        Part(ellipse(x, y, 0, 0.40, 0.12, 0.12), accent, 0.0, 0.2, 0.2),
        Part(capsule(x, y, 0, 0.40, 0.05, 0.47, 0.018), DARK, 0.0, 0.0, 0.0, outline=False),
        Part(box(x, y, 0, 0.95, 0.018, 0.09), METAL, bend, 0.0, 0.4),
        Part(ellipse(x, y, 0, 0.98, 0.05, 0.05), c, bend, 0.3, 0.5),
        Part(box(x, y, 0, 0.75, 0.31, 0.15, 0.06), c, bend, 0.2, 0.4),
        Part(eyes, CREAM, 0.0, 0.2, 0.2),
        Part(pupils, DARK, 0.0, 0.0, 0.5, outline=False),
    ]

