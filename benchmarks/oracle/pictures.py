"""The pictures that the oracle learns from: sound ones, slightly flawed ones, and every way of going wrong that we could think of."""
from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.oracle import HEADS, UNREADABLE, shrink
from models.embedded.render import render, render_with_mask, spoil
from models.embedded.world import COLOURS, OBJECTS, SCENES, SIGNS, Scene, sample_scene

Array = np.ndarray
WRONG_SHARE, SLIGHT_SHARE, GARBLED_SHARE = 0.45, 0.4, 0.06
IGNORE = -1  # a head that learns nothing from this picture
_LETTERS = "ABEFGHILNOPSTW"


@dataclass(frozen=True)
class Drawn:
    """A picture as the oracle sees it (`shrink`), the kind of fault ("" for none), and a class index or IGNORE for each head."""

    small: Array
    kind: str
    classes: tuple[int, ...]


def draw(rng: np.random.Generator, size: tuple[int, int], kind: str | None = None, decoded: bool = False,
         wrong_share: float = WRONG_SHARE) -> Drawn:
    """kind: one of KINDS, "" for a flawless render, "slight" for one with flaws that a person forgives; None draws one of all.

    wrong_share: of KINDS when the kind is drawn.
    decoded: soften the picture, sound or not, as if it came out of an autoencoder and a hasty sampler.
    """
    scene = sample_scene(rng, held_out=None, size=size, default_share=0.5, sign_share=0.3)
    if kind is None:
        kind = "" if rng.random() < 1 - wrong_share else str(rng.choice(tuple(KINDS)))
        kind = "slight" if not kind and rng.random() < SLIGHT_SHARE else kind
    told: dict[str, str | None] = {head: getattr(scene, head) for head in _TOLD.get(kind, tuple(HEADS)[:-1])}
    told["clear"] = "unclear" if kind in KINDS else "clear"
    if kind in KINDS:
        picture = KINDS[kind](scene, rng)
    else:
        picture, mask = render_with_mask(scene)
        if scene.sign and rng.random() < GARBLED_SHARE / 0.3:
            picture, told["sign"] = garbled(scene, rng), UNREADABLE
        if kind == "slight":
            picture = slightly_flawed(picture, mask, rng)
        if decoded and rng.random() < 0.4:
            picture = slightly_faded(scene, picture, mask, rng)
    if decoded:
        picture = as_decoded(picture, rng)
    classes = tuple(HEADS[head].index(told[head]) if head in told else IGNORE for head in HEADS)
    return Drawn(shrink(picture), kind, classes)


# --- flaws that leave a picture right ---

def slightly_flawed(picture: Array, mask: Array, rng: np.random.Generator) -> Array:
    """What an autoencoder, a codec or a hasty sampler does to a picture that a person still calls good."""
    extent = float(np.sqrt(mask.sum()))
    if rng.random() < 0.5:  # a wobbly, soft object
        moved = _warped(picture, extent * rng.uniform(0.25, 0.5), extent * rng.uniform(0, 0.02), rng)
        soft = _low_pass(moved, min(extent * rng.uniform(0, 0.02), 2.5))
        picture = _blend(picture, soft, _near(mask, 0.1 * extent))
    if rng.random() < 0.5:  # washes of colour
        picture = _levels(picture + _noise(picture.shape, rng.uniform(10, 40), rng) * rng.uniform(0, 5))
    image = Image.fromarray(picture)
    if rng.random() < 0.5:  # detail lost
        factor = rng.uniform(0.4, 0.9)
        small = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)
        image = small.resize(image.size, Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(45, 95)))
        image = Image.open(buffer)
    return np.asarray(image.convert("RGB"))


def slightly_faded(scene: Scene, picture: Array, mask: Array, rng: np.random.Generator) -> Array:
    """A thin or pale part of the object gives way to what is behind: the object is still what it is."""
    behind, cell = spoil(scene, "empty", rng), float(np.sqrt(mask.sum())) * rng.uniform(0.15, 0.4)
    holes = np.clip(2 * _noise((*mask.shape, 1), cell, rng)[..., 0] - rng.uniform(1, 3), 0, 1)
    faded = _blend(picture, behind, holes)
    return faded if _damage(picture, faded, mask) < 0.1 else picture


def as_decoded(picture: Array, rng: np.random.Generator) -> Array:
    """Details lost and low frequencies disturbed in overlapping blocks of 16 pixels, as a latent of 1/16 resolution errs."""
    picture = _warped(picture, rng.uniform(10, 32), rng.uniform(0, 2.2), rng)
    height, width, _ = picture.shape
    order = np.arange(16)
    basis = np.cos(np.pi * (order[None, :] + 0.5) * order[:, None] / 16) * np.sqrt(np.where(order == 0, 1, 2) / 16)[:, None]
    basis = basis.astype(np.float32)
    reach = np.hypot(order[:, None], order[None, :])
    keep = np.exp(-((reach / rng.uniform(2.5, 7)) ** 2))
    error = rng.uniform(0, 60) * np.exp(-reach / 1.5)
    result = np.zeros((height, width, 3), np.float32)
    for shift in (0, 8):
        padded = np.pad(picture, ((shift, shift), (shift, shift), (0, 0)), "edge").astype(np.float32)
        blocks = padded.reshape(padded.shape[0] // 16, 16, padded.shape[1] // 16, 16, 3).transpose(0, 2, 4, 1, 3)
        waves = basis @ blocks @ basis.T
        waves = waves * keep.astype(np.float32) + rng.standard_normal(waves.shape, np.float32) * error.astype(np.float32)
        blocks = basis.T @ waves @ basis
        whole = blocks.transpose(0, 3, 1, 4, 2).reshape(padded.shape)
        result += whole[shift:shift + height, shift:shift + width] / 2
    return _levels(128 + (result - 128) * rng.uniform(0.95, 1.12))


def garbled(scene: Scene, rng: np.random.Generator) -> Array:
    """The scene with a sign whose letters say no known word, or with two words in one place."""
    word = str(scene.sign)
    if rng.random() < 0.4:
        others = [s for s in SIGNS if s and s != word and len(s) == len(word)]
        other = replace(scene, sign=others[int(rng.integers(len(others)))])
        return _blend(render(scene), render(other), rng.uniform(0.4, 0.6))
    while word in SIGNS:
        letters = list(word)
        for i in rng.permutation(len(word))[:int(rng.integers(1, len(word) + 1))]:
            letters[i] = _LETTERS[int(rng.integers(len(_LETTERS)))]
        word = "".join(letters)
    return render(replace(scene, sign=word))


# --- pictures that went wrong: what `render.spoil` does, and the kinds of mush that a weak generator makes ---

def _crossfade(scene: Scene, rng: np.random.Generator) -> Array:
    other = sample_scene(rng, held_out=None, size=scene.size)
    if rng.random() < 0.5:
        other = replace(other, scene=scene.scene, light=scene.light, style=scene.style)
    other = replace(other, object=_other(OBJECTS, scene.object, rng))
    return _blend(render(scene), render(other), rng.uniform(0.35, 0.65))


def _blurred(scene: Scene, rng: np.random.Generator) -> Array:
    picture, mask = render_with_mask(scene)
    extent = float(np.sqrt(mask.sum()))
    soft = _low_pass(picture, extent * rng.uniform(0.13, 0.25))
    return soft if rng.random() < 0.3 else _blend(picture, soft, _near(mask, 0.12 * extent))


def _melted(scene: Scene, rng: np.random.Generator) -> Array:
    picture, mask = render_with_mask(scene)
    extent = float(np.sqrt(mask.sum()))
    moved = _warped(picture, extent * rng.uniform(0.22, 0.45), extent * rng.uniform(0.10, 0.20), rng)
    return _blend(picture, _low_pass(moved, extent * rng.uniform(0, 0.03)), _near(mask, 0.15 * extent))


def _tiles(scene: Scene, rng: np.random.Generator) -> Array:
    """Some image tokens (32 pixels) come from another picture, now and then one of the same place."""
    picture, mask = render_with_mask(scene)
    other = sample_scene(rng, held_out=None, size=scene.size)
    if rng.random() < 0.5:
        other = replace(scene, object=_other(OBJECTS, scene.object, rng), colour=other.colour)
    second, result, share = render(other), picture, rng.uniform(0.15, 0.4)
    touched = np.ones_like(mask) if rng.random() < 0.5 else _near(mask, 8) > 0
    while _damage(picture, result, mask) < 0.2 and share < 0.9:
        swap = np.kron(rng.random((scene.size[1] // 32, scene.size[0] // 32)) < share, np.ones((32, 32)))
        result, share = _blend(picture, second, swap * touched), share * 1.1
    return result if share < 0.9 else _tiles(replace(scene, colour=_other(tuple(COLOURS), scene.colour, rng)), rng)


def _dissolved(scene: Scene, rng: np.random.Generator) -> Array:
    """Parts of the object, or all of it by half, give way to what is behind."""
    for _ in range(8):
        picture, mask = render_with_mask(scene)
        extent = float(np.sqrt(mask.sum()))
        holes = rng.uniform(0.6, 0.8) * np.ones_like(mask)
        if rng.random() < 0.7:
            holes = np.clip(0.5 + rng.uniform(-0.3, 0.3) + 3 * _noise((*mask.shape, 1), extent * rng.uniform(0.2, 0.5), rng)[..., 0], 0, 1)
        result = _blend(picture, spoil(scene, "empty", rng), holes)
        if _damage(picture, result, mask) > 0.2:
            return result
        scene = replace(scene, colour=_other(tuple(COLOURS), scene.colour, rng))  # white on white: nothing to see
    raise AssertionError("every colour vanished into its backdrop")


def _chimera(scene: Scene, rng: np.random.Generator) -> Array:
    """One part of this object, another part of another."""
    for _ in range(50):
        other = replace(scene, object=_other(OBJECTS, scene.object, rng))
        (picture, mask), (second, mask2) = render_with_mask(scene), render_with_mask(other)
        both = np.maximum(mask, mask2)
        axis = int(rng.random() < 0.5)
        line = both.sum(1 - axis).cumsum() / both.sum()  # 0..1 over the object, along rows or columns
        step = np.clip((line - rng.uniform(0.35, 0.65)) * rng.uniform(5, 30) + 0.5, 0, 1)
        result = _blend(picture, second, step[:, None] if axis == 0 else step[None, :])
        if min(_damage(picture, result, both), _damage(second, result, both)) > 0.12:
            break
    return result


def _bled(scene: Scene, rng: np.random.Generator) -> Array:
    """Two colours that run into each other."""
    here = np.array(COLOURS[scene.colour], float)
    far = [name for name, value in COLOURS.items() if np.linalg.norm(np.array(value, float) - here) > 120]
    (picture, mask), other = render_with_mask(scene), render(replace(scene, colour=far[int(rng.integers(len(far)))]))
    weight = np.zeros_like(mask)
    while not 0.3 < (weight * mask).sum() / mask.sum() < 0.7:
        cell = float(np.sqrt(mask.sum())) * rng.uniform(0.3, 0.8)
        weight = np.clip(0.5 + rng.uniform(1, 4) * _noise((*mask.shape, 1), cell, rng)[..., 0], 0, 1)
    return _blend(picture, other, weight)


def _second(scene: Scene, rng: np.random.Generator) -> Array:
    """Another object in the picture, beside this one or over it."""
    sides = ("left", "right") if rng.random() < 0.7 else ("centre", str(rng.choice(("left", "right"))))
    first = replace(scene, framing=sides[0], sign=None)
    other = replace(first, framing=sides[1], jitter_seed=int(rng.integers(2**31)))
    if rng.random() < 0.6:
        other = replace(other, object=_other(OBJECTS, scene.object, rng))
    if rng.random() < 0.5:
        other = replace(other, colour=_other(tuple(COLOURS), scene.colour, rng))
    second, mask = render_with_mask(other)
    return _blend(render(first), second, _near(mask, 4))


def _places(scene: Scene, rng: np.random.Generator) -> Array:
    """A sound object in two places at once."""
    picture, mask = render_with_mask(scene)
    other = render(replace(scene, scene=_other(SCENES, scene.scene, rng)))
    weight = rng.uniform(0.4, 0.6) * np.ones_like(mask)
    if rng.random() < 0.6:
        weight = np.clip(0.5 + 2 * _noise((*mask.shape, 1), min(scene.size) * rng.uniform(0.3, 0.6), rng)[..., 0], 0, 1)
    return _blend(picture, other, weight * (1 - mask))


def _blotched(scene: Scene, rng: np.random.Generator) -> Array:
    """Strong stains of any colour over the object and around it."""
    picture, mask = render_with_mask(scene)
    extent = float(np.sqrt(mask.sum()))
    stained = _levels(picture + _noise(picture.shape, extent * rng.uniform(0.12, 0.3), rng) * rng.uniform(40, 90))
    return _blend(picture, _low_pass(stained, extent * rng.uniform(0.01, 0.04)), _near(mask, rng.uniform(0.1, 0.5) * extent))


def _spoiled(kind: str) -> Callable[[Scene, np.random.Generator], Array]:
    return lambda scene, rng: spoil(scene, kind, rng)


KINDS: dict[str, Callable[[Scene, np.random.Generator], Array]] = {
    **{kind: _spoiled(kind) for kind in ("corrupted", "doubled", "empty", "mixed")},
    "crossfade": _crossfade, "blur": _blurred, "melt": _melted, "tiles": _tiles, "dissolve": _dissolved, "chimera": _chimera,
    "bleed": _bled, "second": _second, "places": _places, "blotch": _blotched,
}

_TOLD: dict[str, tuple[str, ...]] = {  # what a spoiled picture still shows of its scene
    "corrupted": ("scene",), "doubled": ("object", "colour", "scene", "sign"), "empty": ("scene", "sign"),
    "mixed": ("object", "scene", "sign"), "crossfade": (), "blur": (), "melt": ("scene",), "tiles": (), "dissolve": ("scene", "sign"),
    "chimera": ("colour", "scene"), "bleed": ("object", "scene", "sign"), "second": ("scene",), "places": ("object", "colour"),
    "blotch": ("object", "scene"),
}


def _other(names: tuple[str, ...], name: str, rng: np.random.Generator) -> str:
    others = [n for n in names if n != name]
    return others[int(rng.integers(len(others)))]


def _levels(values: Array) -> Array:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)


def _blend(picture: Array, other: Array, weight: Array | float) -> Array:
    """weight: (H, W) or a number, 0 for `picture`, 1 for `other`."""
    share = np.asarray(weight, np.float32)
    share = share[..., None] if share.ndim else share
    return _levels(picture + share * (other.astype(np.float32) - picture))


def _low_pass(picture: Array, sigma: float) -> Array:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))


def _near(mask: Array, radius: float) -> Array:
    """1 on the object and close to it, falling to 0 within about `radius` pixels."""
    wide = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(radius))
    return np.clip(np.asarray(wide, np.float32) / 255 * 3, 0, 1)


def _noise(shape: tuple[int, ...], cell: float, rng: np.random.Generator) -> Array:
    """Smooth noise (H, W, channels) of deviation about 1, with waves of about two cells (pixels)."""
    height, width, channels = shape
    coarse = rng.standard_normal((channels, max(2, round(height / cell)) + 1, max(2, round(width / cell)) + 1)).astype(np.float32)
    return np.stack([np.asarray(Image.fromarray(c).resize((width, height), Image.Resampling.BICUBIC)) for c in coarse], -1)


def _warped(picture: Array, cell: float, reach: float, rng: np.random.Generator) -> Array:
    """The picture displaced by smooth noise of about `reach` pixels."""
    height, width, _ = picture.shape
    y, x = np.mgrid[0:height, 0:width]
    move = _noise((height, width, 2), cell, rng) * reach
    rows, columns = np.clip(y + move[..., 0], 0, height - 1), np.clip(x + move[..., 1], 0, width - 1)
    return picture[rows.round().astype(int), columns.round().astype(int)]


def _damage(before: Array, after: Array, mask: Array) -> float:
    """How much of the object's area visibly changed, 0..1."""
    change = np.abs(before.astype(np.float32) - after).max(-1)
    return float((np.clip(change / 60, 0, 1) * mask).sum() / mask.sum())
