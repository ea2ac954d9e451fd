"""What is wrong with a set of pictures before anything is trained on it: of each picture, and of the set as a whole."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from models.scorers.duplicates import Fingerprint, fingerprint, same
from models.scorers.technical import flatness, sharpness
from pipelines.dataset import Kind, Limits, Sample, Sizes, buckets, has_trigger, place, written

Level = Literal["bad", "warn", "note"]
SIDES = (256, 512, 768, 1024)  # what sharpness is measured at: a photograph that is soft at 1024 pixels may be sharp at 256
TOKENS_TOLD = 3  # words that a message names


@dataclass(frozen=True)
class Finding:
    """bad: nothing can be trained like this. warn: it will be worse for it. note: what was done. images: places in the set, of a finding
    about the whole."""

    level: Level
    code: str
    what: str
    todo: str = ""

    def as_dict(self) -> dict[str, Any]:
        return vars(self)


@dataclass(frozen=True)
class Looks:
    """What was measured of a picture when it came. sharp: side of a square of as many pixels -> 0..100, None without edges."""

    sharp: Mapping[int, float | None]
    flat: float
    print: Fingerprint

    def as_dict(self) -> dict[str, Any]:
        return {"sharp": {str(side): value for side, value in self.sharp.items()}, "flat": self.flat, "print": self.print.as_text()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Looks:
        return cls({int(side): value for side, value in data["sharp"].items()}, data["flat"], Fingerprint.from_text(data["print"]))

    def sharp_at(self, resolution: int) -> float | None:
        """At the largest measured side that is no larger than the resolution, else at the smallest."""
        sides = sorted(self.sharp)
        fitting = [side for side in sides if side <= resolution]
        return self.sharp[fitting[-1] if fitting else sides[0]]


def examine(image: Image.Image) -> Looks:
    """About 0.1 s for ten megapixels. image: RGB."""
    area = image.width * image.height
    sides = [side for side in SIDES if side * side <= area * 1.05] or [SIDES[0]]
    sharp: dict[int, float | None] = {}
    at = image
    for side in reversed(sides):
        scale = side / (area**0.5)
        if scale < 1:
            size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
            at = at.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
        value = sharpness(np.asarray(at.convert("L")))
        sharp[side] = None if value is None else round(value, 1)
    return Looks(sharp, round(flatness(np.asarray(at)), 1), fingerprint(at))


@dataclass(frozen=True)
class Reads:
    """How the base reads a caption: words that it does not know, and how many tokens are too many (0: it all fits)."""

    unknown: tuple[str, ...]
    over: int


Reader = Callable[[str], Reads]


@dataclass(frozen=True)
class Checked:
    """by_image: of each picture, in the order of the set. whole: of the set. like: the place of the earlier picture that one repeats."""

    by_image: list[list[Finding]]
    whole: list[Finding]
    like: list[int | None]

    @property
    def ready(self) -> bool:
        """Whether it can be trained on."""
        return not any(one.level == "bad" for found in (*self.by_image, self.whole) for one in found)


def check(
    samples: Sequence[Sample], looks: Sequence[Looks], kind: Kind, trigger: str, sizes: Sizes, limits: Limits, reads: Reader
) -> Checked:
    """Everything that can be said of a set without training on it."""
    like = repeats(samples, looks)
    by_image = [
        [*_picture(sample, look, sizes, limits), *_caption(sample, trigger, reads)] for sample, look in zip(samples, looks, strict=True)
    ]
    for place_, other in enumerate(like):
        if other is not None:
            what = f"Shows the same as {samples[other].name}."
            by_image[place_].insert(0, Finding("warn", "duplicate", what, "Leave one out, or it is learned twice as well."))
    return Checked(by_image, _whole(samples, like, kind, trigger, sizes, reads), like)


def repeats(samples: Sequence[Sample], looks: Sequence[Looks]) -> list[int | None]:
    """For each picture the first before it that is the same: byte for byte, resized or recompressed; None for the others."""
    found: list[int | None] = []
    hashes = np.stack([look.print.hash for look in looks]) if looks else np.zeros((0, 256), bool)
    for number, (sample, look) in enumerate(zip(samples, looks, strict=True)):
        other = next((before for before in range(number) if samples[before].sha256 == sample.sha256), None)
        if other is None and number:
            # Most pairs differ in their hashes already, which are compared all at once; flat frames have none worth comparing.
            distance = np.count_nonzero(hashes[:number] != hashes[number], axis=1)
            near = np.flatnonzero((distance <= 24) | (look.flat > 80))
            other = next((before for before in near.tolist() if same(looks[before].print, look.print)), None)
        found.append(other if other is None or found[other] is None else found[other])
    return found


def _picture(sample: Sample, look: Looks, sizes: Sizes, limits: Limits) -> list[Finding]:
    found = []
    crop, (width, height) = place(sample.width, sample.height, sample.crop, sizes)
    left, top, right, bottom = crop or (0, 0, sample.width, sample.height)
    enlarged = max(width / (right - left), height / (bottom - top))
    if enlarged > limits.enlarged:
        what = f"{right - left} x {bottom - top} pixels are enlarged {enlarged:.1f} times to {width} x {height}."
        found.append(Finding("warn", "small", what, "Bring a larger copy, crop less, or train at a smaller size."))
    cut = 1 - (right - left) * (bottom - top) / (sample.width * sample.height)
    if sample.crop is None and cut > limits.cut:
        found.append(Finding("warn", "cut", f"{cut:.0%} of it is cut off.", "See that what matters is still in it, or crop it yourself."))
    sharp = look.sharp_at(sizes.resolution)
    if sharp is not None and sharp < limits.blurry:
        what = f"It is blurry: sharpness {sharp:.0f} of 100."
        found.append(Finding("warn", "blurry", what, "Leave it out, or the LoRA learns the blur."))
    if look.flat > limits.flat:
        found.append(Finding("warn", "flat", "It shows next to nothing.", "Leave it out."))
    return found


def _caption(sample: Sample, trigger: str, reads: Reader) -> list[Finding]:
    found = []
    if not sample.caption:
        found.append(Finding("warn", "caption", "It has no caption.", "Write one, or let the studio propose it."))
    read = reads(written(sample.caption, trigger))
    if read.over:
        found.append(Finding("warn", "long", f"The caption is {read.over} tokens longer than the model reads.", "Shorten it."))
    unknown = [word for word in dict.fromkeys(read.unknown) if not has_trigger(word, trigger)]
    if unknown:
        more = f" and {len(unknown) - TOKENS_TOLD} more" if len(unknown) > TOKENS_TOLD else ""
        what = f"The model does not know {', '.join(unknown[:TOKENS_TOLD])}{more}."
        found.append(Finding("note", "words", what, "It reads all such words as the same one."))
    return found


def _whole(
    samples: Sequence[Sample], like: Sequence[int | None], kind: Kind, trigger: str, sizes: Sizes, reads: Reader
) -> list[Finding]:
    found, different = [], sum(other is None for other in like)
    if different < kind.fewest:
        what = f"{different} of at least {kind.fewest} pictures." if different else "There is no picture yet."
        found.append(Finding("bad", "few", what, f"A LoRA of this kind needs {kind.fewest} different pictures; {kind.enough} are better."))
    elif different < kind.enough:
        what = f"{different} different pictures are few: {kind.enough} or more are better."
        found.append(Finding("warn", "few", what, "With few, the LoRA learns the pictures rather than what they share."))
    if not trigger:
        found.append(Finding("warn", "trigger", "There is no trigger word.", "Without one the LoRA changes every picture, asked or not."))
    elif len(trigger.split()) > 3:
        found.append(Finding("warn", "trigger", f"The trigger is {len(trigger.split())} words long.", "One made-up word is learned best."))
    elif _ordinary(trigger, reads):
        todo = "A made-up word carries nothing with it, and leaves this one as it was."
        found.append(Finding("warn", "trigger", f'"{trigger}" means something to the model already.', todo))
    captions = Counter(written(one.caption, trigger).casefold() for one in samples)
    if len(samples) > 2 and captions.most_common(1)[0][1] == len(samples) and samples[0].caption:
        found.append(Finding("warn", "captions", "All captions are the same.", "What differs between the pictures should be told."))
    used = Counter(place(one.width, one.height, one.crop, sizes)[1] for one in samples)
    single = sum(count == 1 for count in used.values())
    if len(samples) > 4 and single > len(samples) / 3 and len(buckets(sizes)) > 1:
        what = f"{len(used)} sizes for {len(samples)} pictures, {single} of them for one picture alone."
        found.append(Finding("note", "sizes", what, "Crop them alike, or train squares: batches are of one size each."))
    return found


def _ordinary(trigger: str, reads: Reader) -> bool:
    """Whether a base with a closed vocabulary knows every word of the trigger; the others read any letters."""
    return _closed(reads) and not reads(trigger).unknown


def _closed(reads: Reader) -> bool:
    return bool(reads("xqzvk").unknown)
