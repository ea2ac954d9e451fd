"""Technical defects of a picture, from its pixels alone: size, sharpness, exposure, blocks, bands, flat and black frames, colour space.

A gate, never a ranking: such measures say nothing about what people prefer. Each answers 0..100. In `resolution`, `sharpness`,
`exposure` and `colour_space` higher is better; the others name a defect, and lower is better.
numpy and PIL only; about 10 ms each for a picture of one megapixel on one core.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageCms

from models.spec import Score, ScoreContext

# Sharpness looks at edges within this many pixels on either side, in a picture whose longest side is at most MEASURED_SIDE.
REACH = 4
MEASURED_SIDE = 1536
BLOCK = 8
BLACK = 4  # grey levels (of 255) up to which a pixel is black
# A step between two plateaus that a person sees as a band: of so many grey levels, and over at most so many pixels.
BAND_STEPS = (2, 20)
BAND_EDGE = 3
FAINT = 10  # grey levels (of 255) below which a difference is noise or a smooth tone, not an edge


class Technical:
    """The measures of this module as one scorer."""

    name = "technical"
    version = "1"
    dimensions: tuple[str, ...] = (
        "resolution", "colour_space", "sharpness", "exposure", "blockiness", "banding", "flatness", "blackness",
    )  # fmt: skip

    def score(self, pictures: Sequence[Image.Image], context: ScoreContext) -> list[list[Score]]:
        """One list a picture, in the order of `dimensions`."""
        return [self._one(picture, context) for picture in pictures]

    def _one(self, picture: Image.Image, context: ScoreContext) -> list[Score]:
        rgb = np.asarray(picture.convert("RGB"))
        grey = np.asarray(picture.convert("L"))
        space, words = colour_space(picture)
        measures: list[tuple[str, Callable[[], float | None], str]] = [
            ("resolution", lambda: resolution(picture.size, (context.width, context.height)), ""),
            ("colour_space", lambda: space, words),
            ("sharpness", lambda: sharpness(grey), "There is no edge strong enough to measure."),
            ("exposure", lambda: exposure(rgb), ""),
            ("blockiness", lambda: blockiness(grey), f"The picture is smaller than three blocks of {BLOCK} pixels."),
            ("banding", lambda: banding(grey), ""),
            ("flatness", lambda: flatness(rgb), ""),
            ("blackness", lambda: blackness(rgb), ""),
        ]
        scores = []
        for dimension, measure, why_not in measures:
            value = measure()
            note = why_not if value is None or dimension == "colour_space" else ""
            scores.append(Score(dimension, None if value is None else round(value, 1), self.name, self.version, note))
        return scores


def resolution(size: tuple[int, int], asked: tuple[int, int]) -> float:
    """100 when the longest and the shortest side are at least as asked for (pixels); else the smaller of their two shares x 100."""
    (long, short), (long_asked, short_asked) = (sorted(pair, reverse=True) for pair in (size, asked))
    return 100.0 * min(1.0, long / long_asked, short / short_asked)


def colour_space(picture: Image.Image) -> tuple[float, str]:
    """(100, "") for what every browser shows as meant: RGB or grey without a profile, or with sRGB's; else (50 or 0, what it is).

    50 for colours of another RGB space, whose profile says how to convert them; 0 where colours are inks (CMYK), or the profile
    cannot be read or belongs to another kind of colour. The profile is the one that PIL found in the file ("icc_profile").
    """
    if picture.mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        return 0.0, f"The colours are {picture.mode}, not RGB."
    data = picture.info.get("icc_profile")
    if not data:
        return 100.0, ""
    try:
        profile = ImageCms.getOpenProfile(io.BytesIO(data))
        kind, name = profile.profile.xcolor_space.strip(), ImageCms.getProfileDescription(profile).strip()
    except (OSError, ImageCms.PyCMSError) as error:
        return 0.0, f"The colour profile cannot be read: {error}."
    if kind not in ("RGB", "GRAY"):
        return 0.0, f"The colour profile is {kind}'s, not RGB's: {name}."
    return (100.0, "") if "srgb" in name.lower() or kind == "GRAY" else (50.0, f"The colours are in {name}, not sRGB.")


def sharpness(grey: np.ndarray) -> float | None:
    """How narrow the sharpest edges are: 100 = a step from one pixel to the next, 0 = no steeper than a ramp. None without edges.

    grey: (height, width) uint8. Edge width is Marziliano et al., "A no-reference perceptual blur metric" (ICIP 2002); here it is
    told by how much of the contrast R within +-4 pixels falls between the two neighbours of a pixel, g / R. For a step blurred by
    a Gaussian of s pixels that is .68 at s = 1, .49 at 1.5, .40 at 2 and .32 at 3, and .25 for a plain ramp. Only edges with at
    least a third of the picture's strongest contrast count, and of those the sharpest twentieth answers: a picture with a
    blurred background is sharp if anything in it is in focus.
    """
    grey = _reduced(grey, MEASURED_SIDE)
    if min(grey.shape) < 4 * REACH:
        return None
    every = 2 if grey.size > 512 * 512 else 1  # every second line tells as much of a large picture, in half the time
    edges = [_edges(np.ascontiguousarray(plane[::every])) for plane in (grey, grey.T)]
    steepest, contrast = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    strongest = _percentile(contrast, 99.8)
    chosen = contrast >= max(FAINT, strongest / 3)
    if strongest < FAINT or np.count_nonzero(chosen) < 32:
        return None
    ratio = steepest[chosen] / contrast[chosen].astype(np.float32)
    place = int(0.95 * (len(ratio) - 1))
    return float(np.clip((np.partition(ratio, place)[place] - 0.25) / 0.75, 0, 1) * 100)


def _edges(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(g, R) along the rows of a plane, both flat uint8: the steepest step over two pixels and the contrast, within +-REACH."""
    steepest = _running(_spread(plane[:, :-2], plane[:, 2:]), 2 * REACH - 1, np.maximum)
    contrast = _running(plane, 2 * REACH + 1, np.maximum) - _running(plane, 2 * REACH + 1, np.minimum)
    return steepest.ravel(), contrast.ravel()


def exposure(rgb: np.ndarray) -> float:
    """100 = nothing is lost in highlights or shadows; 0 = half of the light is, or more. rgb: (height, width, 3) uint8.

    Too bright: of the pixels that are not white (240 or more in all three channels) the mean share of luminance (BT.601 weights)
    whose channel is clipped (254 or more), times two. Where light clips a picture, colours lose one channel before the others;
    a white backdrop counts for nothing, nor can a grey scene that became one be told from it. Too dark: the brightest half per cent
    below 80 (all lost at 32), or blacks that eat into dark colours: the share of black times the share of the rest with a channel
    at 0. A night scene has its lights, and a black backdrop ends at the product.
    """
    brightest, darkest = (extreme(extreme(rgb[..., 0], rgb[..., 1]), rgb[..., 2]) for extreme in (np.maximum, np.minimum))
    pixels, coloured = brightest.size, darkest < 240
    rest = np.count_nonzero(coloured)
    lost = sum(weight * np.count_nonzero((rgb[..., c] >= 254) & coloured) for c, weight in enumerate((0.299, 0.587, 0.114)))
    bright = 2 * lost / rest if rest > 0.005 * pixels else 1.0

    black = np.count_nonzero(brightest <= 2)
    zeroed = np.count_nonzero(darkest <= 1) - np.count_nonzero((darkest <= 1) & (brightest <= 2))
    eaten = black / pixels * (zeroed / (pixels - black) if black < pixels else 1.0)
    dark = np.clip((80 - _percentile(brightest.ravel(), 99.5)) / 48, 0, 1)
    return float(100 * (1 - min(1.0, max(bright, eaten, dark))))


def blockiness(grey: np.ndarray) -> float | None:
    """How visible an 8 x 8 grid is: 0 = not at all, 100 = heavy JPEG artifacts. None for less than three blocks a side.

    grey: (height, width) uint8. After Wang, Sheikh and Bovik, "No-reference perceptual quality assessment of JPEG compressed
    images" (ICIP 2002): steps between neighbours across the grid against steps elsewhere. A step counts by how far it stands out
    over the steps beside it, and the grid's mean is compared with the *largest* mean of the seven other offsets, so that
    planks and tiles, which favour one offset as well, do not pass for blocks.
    """
    if min(grey.shape) < 3 * BLOCK:
        return None
    return float(np.clip(25 * (_seams(grey) + _seams(np.ascontiguousarray(grey.T))) / 2, 0, 100))


def _seams(plane: np.ndarray) -> float:
    """The excess of lone steps at the grid's columns over any other offset, as a multiple of what is usual in this picture."""
    steps = _spread(plane[:, :-1], plane[:, 1:])
    around = np.maximum(steps[:, :-2], steps[:, 2:])
    middle = steps[:, 1:-1]
    lone = np.minimum(np.maximum(middle, around) - around, 24)
    by_column = lone.mean(axis=0, dtype=np.float32)  # column j: the step from pixel j + 1 to pixel j + 2
    by_offset = np.array([by_column[offset::BLOCK].mean() for offset in range(BLOCK)])
    grid, others = by_offset[BLOCK - 2], np.delete(by_offset, BLOCK - 2)
    return float((grid - others.max()) / (others.mean() + 0.3))


def banding(grey: np.ndarray) -> float:
    """The share of the picture, in per cent, where a smooth tone falls into stairs that a person sees.

    grey: (height, width) uint8. A staircase is at least three steps in one direction along a row or a column, each of 2 to 20 grey
    levels over at most three pixels, with nothing between them but plateaus of one level, none longer than a quarter of the side.
    Steps of one level are how 8 bits draw any smooth tone; grain and dithering leave no plateaus; flat areas of a drawing border on
    each other, but do not climb. The idea of plateaus and their edges is that of Tu et al., "BBAND index" (ICASSP 2020).
    """
    every = 2 if grey.size > 512 * 512 else 1
    return max(_stairs(np.ascontiguousarray(plane[::every])) for plane in (grey, grey.T))


def _stairs(plane: np.ndarray) -> float:
    """The per cent of pixels of a plane that lie between two linked steps of a staircase along its rows."""
    height, width = plane.shape
    changes = np.zeros((height, width + 1), bool)
    changes[:, 1:-1] = plane[:, 1:] != plane[:, :-1]
    flips = np.flatnonzero(np.diff(changes.ravel(), prepend=False))  # rows end unchanged, so that no run goes over an end
    starts, ends = flips[::2], flips[1::2]  # in a plane of width + 1: the first pixel that is new, and the first that stays
    rows = starts // (width + 1)
    before, after = starts % (width + 1) - 1, ends % (width + 1) - 1
    steps = plane[rows, after].astype(np.int16) - plane[rows, before]
    seen = (ends - starts <= BAND_EDGE) & (np.abs(steps) >= BAND_STEPS[0]) & (np.abs(steps) <= BAND_STEPS[1])
    plateaus = starts[1:] - ends[:-1]
    linked = seen[1:] & seen[:-1] & (rows[1:] == rows[:-1]) & (steps[1:] * steps[:-1] > 0)
    linked &= (plateaus >= 2) & (plateaus <= width / 4)
    in_stairs = linked.copy()
    in_stairs[1:] &= linked[:-1]
    beside = linked.copy()
    beside[:-1] &= linked[1:]
    return float(100 * (starts[1:] - starts[:-1])[in_stairs | beside].sum() / plane.size)


def blackness(rgb: np.ndarray) -> float:
    """The share of black pixels in per cent: 100 for a black frame, and a large share where part of a picture was not decoded."""
    brightest = np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])
    return float(100 * np.count_nonzero(brightest <= BLACK) / brightest.size)


def flatness(rgb: np.ndarray) -> float:
    """100 = one tone all over (black frames, failed decodes, noise without a picture), 0 = 100 grey levels or more between light and dark.

    rgb: (height, width, 3) uint8. The spread between the 1st and 99th percentile, in the channel where it is largest, after
    averaging squares of about 1/32 of the longest side, which removes noise.
    """
    small = np.asarray(Image.fromarray(rgb).reduce(max(1, max(rgb.shape[:2]) // 32)))
    low, high = np.percentile(small.reshape(-1, 3), [1, 99], axis=0)
    return float(np.clip(1 - (high - low).max() / 100, 0, 1) * 100)


def _reduced(plane: np.ndarray, side: int) -> np.ndarray:
    factor = -(-max(plane.shape) // side)
    return plane if factor == 1 else np.asarray(Image.fromarray(plane).reduce(factor))


def _spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| of unsigned bytes."""
    return np.maximum(a, b) - np.minimum(a, b)


def _running(plane: np.ndarray, length: int, extreme: np.ufunc) -> np.ndarray:
    """The extreme of every `length` neighbours in a row; the result is `length` - 1 narrower."""
    reached, result = 1, plane
    while reached < length:
        step = min(reached, length - reached)
        result = extreme(result[:, :-step], result[:, step:])
        reached += step
    return result


def _percentile(values: np.ndarray, percent: float) -> int:
    counts = np.cumsum(np.bincount(values, minlength=256))
    return int(np.searchsorted(counts, counts[-1] * percent / 100))
