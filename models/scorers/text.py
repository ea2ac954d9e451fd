"""Words in a picture, read by OCR: those asked for, and those that nobody asked for.

PP-OCRv6 (small) by rapidocr, whose models come inside its package. What is read is compared letter for letter, without case, spaces
and punctuation, by the edit distance to the best substring of all that is read (Sellers, "The theory and computation of evolutionary
distances: pattern recognition", Journal of Algorithms 1980). OCR errs on stylised letters: a low match says "look at it".
rapidocr and onnxruntime are imported when a picture is first read; one session a process.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from models.spec import Score, ScoreContext

if TYPE_CHECKING:
    from PIL.Image import Image

# Pictures are read with a shortest side of at least, and a longest of at most, so many pixels. Measured on the embedded family's
# signs at 256 px: at 320 its W falls apart into strokes, at 900 every edge does.
SHORTEST, LONGEST = 640, 1920
# How sure OCR must be (0..1): to look for the words asked for, and to hold letters against a picture. Below the latter it reads
# letters into planks, chairs and foliage.
HEARD, SURE = 0.5, 0.8
# Letters that are drawn alike in many typefaces.
_ALIKE = str.maketrans({"0": "o", "1": "i", "l": "i"})
_QUOTED = re.compile(
    r'"([^"\n]{1,200})"|\u201c([^\u201d\n]{1,200})\u201d'
    r"|\u201e([^\u201c\u201d\n]{1,200})[\u201c\u201d]|\u00ab([^\u00bb\n]{1,200})\u00bb"
)


@dataclass(frozen=True)
class Reading:
    """One line of text as OCR reads it, with how sure it is (0..1)."""

    text: str
    confidence: float


class Text:
    """The four dimensions of presets/scorers/text.toml as one scorer."""

    name = "text"
    dimensions: tuple[str, ...] = ("text_match", "words_found", "unwanted_text", "visible_text")

    def __init__(self) -> None:
        self.version = f"1-rapidocr-{version('rapidocr')}"

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
        """One list a picture, in the order of `dimensions`. Without words asked for, match and words are not scored."""
        wanted = tuple(text for text in context.texts or quoted(context.prompt) if letters(text))
        return [self._one(read(picture), wanted) for picture in pictures]

    def _one(self, readings: Sequence[Reading], wanted: Sequence[str]) -> list[Score]:
        heard = [reading for reading in readings if reading.confidence >= HEARD]
        said = f"It reads: {' / '.join(reading.text for reading in heard)}"[:300] if heard else "No text can be read."
        match: float | None = None
        found: float | None = None
        if wanted:
            match, found = text_match(heard, wanted), words_found(heard, wanted)
        none = "No words were asked for, neither as texts nor between quotes in the prompt."
        values = (match, found, float(unwanted_text(readings, wanted)), float(visible_text(readings)))
        return [
            Score(name, None if value is None else round(value, 1), self.name, self.version, none if value is None else said)
            for name, value in zip(self.dimensions, values, strict=True)
        ]


def quoted(prompt: str) -> tuple[str, ...]:
    """What stands between quotation marks in a prompt: the words that a picture is to show."""
    return tuple(next(part for part in match.groups() if part).strip() for match in _QUOTED.finditer(prompt))


def letters(text: str) -> str:
    """The letters and digits alone, without case or accents' variants of form, look-alikes as one: "Sale 10 %" is "saieio"."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in plain if character.isalnum()).translate(_ALIKE)


def text_match(readings: Sequence[Reading], wanted: Sequence[str]) -> float:
    """0..100: of the text that is read worst, the share of letters that are right."""
    read_at_all = "".join(letters(reading.text) for reading in readings)
    return 100 * min(_likeness(letters(text), read_at_all) for text in wanted)


def words_found(readings: Sequence[Reading], wanted: Sequence[str]) -> float:
    """0..100: the share of words that can be read letter for letter."""
    read_at_all = "".join(letters(reading.text) for reading in readings)
    words = [plain for text in wanted for word in text.split() if (plain := letters(word))]
    return 100 * sum(word in read_at_all for word in words) / len(words)


def visible_text(readings: Sequence[Reading]) -> int:
    """Letters and digits in lines of two or more that are surely text; a lone letter is most often a chair or a stripe."""
    return len(_surely(readings))


def unwanted_text(readings: Sequence[Reading], wanted: Sequence[str]) -> int:
    """Of those, the ones that are no part of a text asked for; one that is misspelt is no surplus, `text_match` tells of it."""
    rest = _surely(readings)
    for text in wanted:
        plain = letters(text)
        while True:
            distance, start, end = best_substring(plain, rest)
            if end == start or distance > len(plain) / 2:
                break
            rest = rest[:start] + "\0" * (end - start) + rest[end:]
    # A text of several words may be spread over the picture, in another order than it is written.
    for word in sorted({letters(word) for text in wanted for word in text.split()}, key=len, reverse=True):
        rest = rest.replace(word, "\0" * len(word)) if len(word) > 1 else rest
    return sum(character != "\0" for character in rest)


def best_substring(pattern: str, text: str) -> tuple[int, int, int]:
    """(edits, start, end): the part text[start:end] that is the fewest insertions, deletions and substitutions from `pattern`.

    The first of equals. Time and memory grow as the product of the lengths, and as the length of the text.
    """
    costs: list[tuple[int, int]] = [(0, place) for place in range(len(text) + 1)]  # (edits, start) of the best part that ends there
    for i, letter in enumerate(pattern, start=1):
        row = [(i, 0)]
        for j, other in enumerate(text, start=1):
            same = (costs[j - 1][0] + (letter != other), costs[j - 1][1])
            without = (costs[j][0] + 1, costs[j][1])
            beside = (row[j - 1][0] + 1, row[j - 1][1])
            row.append(min(same, without, beside, key=lambda step: step[0]))
        costs = row
    end = min(range(len(costs)), key=lambda place: costs[place][0])
    return costs[end][0], min(costs[end][1], end), end


def _likeness(pattern: str, text: str) -> float:
    return max(0.0, 1 - best_substring(pattern, text)[0] / len(pattern))


def _surely(readings: Sequence[Reading]) -> str:
    lines = (letters(reading.text) for reading in readings if reading.confidence >= SURE)
    return "".join(line for line in lines if len(line) > 1)


_reading = threading.Lock()


def read(picture: Image) -> list[Reading]:
    """Every line of text, from top to bottom. About 0.2 s for a small picture and 1 s for a megapixel on two cores."""
    import numpy as np

    engine = _engine()
    bgr = np.ascontiguousarray(np.asarray(_sized(picture.convert("RGB")))[:, :, ::-1])
    with _reading:
        answer = engine(bgr)
    if not answer.txts:
        return []
    return [Reading(text, float(sure)) for text, sure in zip(answer.txts, answer.scores, strict=True)]


def _sized(picture: Image) -> Image:
    """Enlarged where it is small, for letters of a few pixels; reduced where it is huge; never so long that enlarging costs a minute."""
    from PIL.Image import Resampling

    factor = max(1.0, SHORTEST / min(picture.size))
    factor = min(factor, LONGEST / max(picture.size))
    if factor == 1:
        return picture
    width, height = (max(32, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Resampling.LANCZOS)


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_cls": False,  # nobody asks for words upside down
            "Global.text_score": 0.0,
            "Det.limit_type": "min",
            "Det.limit_side_len": 32,  # `_sized` has seen to it
        }
    )
