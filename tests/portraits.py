"""Portraits drawn by rule, so that the truth about them is known: where the face is, whether the eyes are open, how light the skin is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

OVER = 3  # supersampling


@dataclass(frozen=True)
class Portrait:
    """skin: sRGB. left, right: whether the eye on that side of the picture is open. smile: 0 a straight mouth, 1 a broad smile.
    side: how many stops darker the right half of the head is. scale: the head's height as a share of the picture's, x: its centre."""

    skin: tuple[int, int, int] = (214, 168, 140)
    left: bool = True
    right: bool = True
    smile: float = 0.0
    side: float = 0.0
    scale: float = 0.6
    x: float = 0.5
    iris: tuple[int, int, int] = (84, 58, 40)
    hair: tuple[int, int, int] = (52, 38, 30)


def portrait(*people: Portrait, size: int = 512, backdrop: tuple[int, int, int] = (168, 176, 184)) -> Image.Image:
    """One picture with a head for each of `people`."""
    image = Image.new("RGB", (size, size), backdrop)
    for person in people or (Portrait(),):
        head, mask = _head(person, size)
        image.paste(head, (0, 0), mask)
    noise = np.random.default_rng(1).normal(0, 1.5, (size, size, 1))
    return Image.fromarray(np.clip(np.asarray(image, float) + noise, 0, 255).astype(np.uint8))


def _head(person: Portrait, size: int) -> tuple[Image.Image, Image.Image]:
    side = size * OVER
    unit = person.scale * side / 2  # half of the head's height
    cx, cy = person.x * side, 0.47 * side
    skin = np.array(person.skin, float)

    def box(x: float, y: float, w: float, h: float) -> list[float]:
        return [cx + (x - w) * unit, cy + (y - h) * unit, cx + (x + w) * unit, cy + (y + h) * unit]

    def tone(factor: float) -> tuple[int, ...]:
        return tuple(int(v) for v in np.clip(skin * factor, 0, 255))

    mask = Image.new("L", (side, side), 0)
    marks = ImageDraw.Draw(mask)
    for shape in (box(0, -0.12, 0.80, 1.0), box(0, 0, 0.72, 1.0), box(0, 1.1, 0.34, 0.5), box(0, 2.2, 1.5, 0.95)):
        marks.ellipse(shape, fill=255)

    image = Image.new("RGB", (side, side), person.hair)
    draw = ImageDraw.Draw(image)
    draw.ellipse(box(0, 2.2, 1.5, 0.95), fill=(70, 82, 110))
    draw.ellipse(box(0, 1.1, 0.34, 0.5), fill=tone(0.78))
    draw.ellipse(box(0, 0.06, 0.70, 0.94), fill=tone(1.0))
    draw.ellipse(box(0, -0.82, 0.66, 0.30), fill=person.hair)

    # Soft shading: hollows of the eyes, sides of the nose, under the lip and along the jaw.
    shade = Image.new("L", (side, side), 0)
    soft = ImageDraw.Draw(shade)
    for sign in (-1, 1):
        soft.ellipse(box(sign * 0.28, -0.13, 0.20, 0.10), fill=95)
        soft.ellipse(box(sign * 0.10, 0.20, 0.04, 0.14), fill=60)
        soft.ellipse(box(sign * 0.66, 0.2, 0.12, 0.7), fill=90)
        soft.ellipse(box(sign * 0.09, 0.30, 0.05, 0.035), fill=170)
    soft.ellipse(box(0, 0.74, 0.22, 0.05), fill=80)
    soft.ellipse(box(0, 0.98, 0.5, 0.10), fill=120)
    shade = shade.filter(ImageFilter.GaussianBlur(0.05 * unit))
    image.paste(Image.new("RGB", image.size, tone(0.45)), (0, 0), shade)
    light = Image.new("L", (side, side), 0)
    ImageDraw.Draw(light).ellipse(box(0, 0.08, 0.05, 0.22), fill=110)
    for sign in (-1, 1):
        ImageDraw.Draw(light).ellipse(box(sign * 0.36, 0.22, 0.16, 0.12), fill=80)
    ImageDraw.Draw(light).ellipse(box(0, -0.42, 0.34, 0.14), fill=80)
    image.paste(Image.new("RGB", image.size, tone(1.14)), (0, 0), light.filter(ImageFilter.GaussianBlur(0.07 * unit)))

    draw = ImageDraw.Draw(image)
    line = max(1, round(0.022 * unit))
    for sign, is_open in ((-1, person.left), (1, person.right)):
        x, y = sign * 0.28, -0.10
        draw.arc(box(x, y - 0.10, 0.20, 0.10), 200, 340, fill=person.hair, width=round(0.055 * unit))
        if is_open:
            draw.ellipse(box(x, y, 0.135, 0.062), fill=(238, 234, 230))
            draw.ellipse(box(x, y, 0.062, 0.062), fill=person.iris)
            draw.ellipse(box(x, y, 0.030, 0.030), fill=(12, 10, 10))
            draw.ellipse(box(x + 0.018, y - 0.02, 0.012, 0.012), fill=(250, 250, 250))
            draw.arc(box(x, y + 0.005, 0.145, 0.072), 185, 355, fill=(46, 32, 28), width=round(0.03 * unit))
        else:
            draw.arc(box(x, y - 0.03, 0.14, 0.06), 15, 165, fill=(60, 42, 36), width=line)
    lip = tuple(int(v) for v in (skin * 0.55 + np.array((150, 60, 60)) * 0.45) * 0.85)
    if person.smile > 0:
        draw.chord(box(0, 0.48, 0.20 + 0.10 * person.smile, 0.10 + 0.08 * person.smile), 10, 170, fill=lip)
        draw.chord(box(0, 0.49, 0.17 + 0.09 * person.smile, 0.05 + 0.06 * person.smile), 10, 170, fill=(242, 238, 232))
    else:
        draw.ellipse(box(0, 0.54, 0.20, 0.055), fill=lip)
        draw.line([cx - 0.19 * unit, cy + 0.54 * unit, cx + 0.19 * unit, cy + 0.54 * unit], fill=tone(0.35), width=line)

    image = image.resize((size, size), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.6))
    pixels = np.asarray(image, float)
    if person.side:
        ramp = np.clip((np.arange(size) - person.x * size) / (0.1 * person.scale * size) * 0.5 + 0.5, 0, 1)
        linear = (pixels / 255) ** 2.2 * (2.0 ** -(person.side * ramp))[None, :, None]
        pixels = 255 * linear ** (1 / 2.2)
    return Image.fromarray(pixels.astype(np.uint8)), mask.resize((size, size), Image.Resampling.BOX)
