"""What a dimension is held against, and the sentences in which people say it: "no visible text", "longest side >= 1600".

A sentence is one of the phrases of presets/rules.toml, or any dimension (by its name or its title) against a number. Nothing is
guessed: what is not understood is refused with what is near it, and what is understood is said back in words.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import ImageColor

from models.errors import BadInput, NotFound
from models.presets import presets_folder
from models.scorers.catalogue import Dimension, Dimensions
from models.toml import Place, Table, load
from pipelines.fields import safe

Bound = Literal[">=", "<="]
# hard: failing rejects, and what could not be measured goes to a person. measured: failing rejects, and what could not be measured
# says so and no more, for what needs a download that not every studio has. advisory: shown, and never rejects.
Gate = Literal["hard", "measured", "advisory"]
RULE_LIMIT = 200
ADVISORY = "advisory:"
BOUNDS: Mapping[str, Bound] = {
    ">=": ">=", "≥": ">=", "at least": ">=", "no less than": ">=", "not less than": ">=", "or more": ">=",
    "<=": "<=", "≤": "<=", "at most": "<=", "no more than": "<=", "not more than": "<=", "within": "<=", "up to": "<=",
}  # fmt: skip
# As people write units, and as the catalogue does.
UNITS = {
    "pixel": "px", "pixels": "px", "percent": "%", "per cent": "%", "stop": "stops", "δe": "dE", "delta e": "dE", "de2000": "dE",
    "character": "characters", "letters": "characters",
}  # fmt: skip
NUMBER = r"-?\d+(?:\.\d+)?"
HOLES = {"{number}": f"(?P<number>{NUMBER})", "{colour}": r"(?P<colour>#[0-9a-f]{6}|#[0-9a-f]{3}|[a-z]+)"}
COMPARED = re.compile(
    rf"(?P<subject>.+?)\s*(?:\bis\s+)?(?P<bound>{'|'.join(map(re.escape, BOUNDS))})\s*(?P<number>{NUMBER})\s*(?P<unit>[^\d\s].*)?"
)


@dataclass(frozen=True)
class Bar:
    """What a dimension is held against. dimension: with its argument, if it has one. hard: failing rejects. low, high: where the threshold
    was learned, the values between which it is left to people; both or neither. rule: the sentence that says it, "" for one of the
    profile's table. lenient: being hard, lets pass what could not be measured.
    """

    dimension: str
    bound: Bound
    threshold: float
    hard: bool
    low: float | None = None
    high: float | None = None
    rule: str = ""
    lenient: bool = False

    @property
    def gate(self) -> Gate:
        if not self.hard:
            return "advisory"
        return "measured" if self.lenient else "hard"

    def gated(self, gate: Gate) -> Bar:
        """The same bar behind another gate."""
        return replace(self, hard=gate != "advisory", lenient=gate == "measured")

    def passes(self, value: float) -> bool | None:
        """None: undecided, for it lies between `low` and `high`."""
        if self.low is not None and self.high is not None and self.low < value < self.high:
            return None
        return value >= self.threshold if self.bound == ">=" else value <= self.threshold


@dataclass(frozen=True)
class Rule:
    """A sentence that was understood. words: how, as it is said back."""

    text: str
    bars: tuple[Bar, ...]
    words: str


@dataclass(frozen=True)
class Phrase:
    """Ways to say some comparisons. asks: those, like "skin_tone <= {number}". example: a sentence that it takes."""

    patterns: tuple[re.Pattern[str], ...]
    asks: tuple[str, ...]
    example: str


def read_rule(text: str, known: Dimensions, field: str = "rule", presets_dir: Path | str | None = None) -> Rule:
    """What a sentence asks for: a hard bar, or with "advisory:" in front one that is shown and never rejects.

    Raises BadInput for `field`: it names an unknown dimension and what is near, or says which part was not understood.
    """
    said = " ".join(text.split()).rstrip(".")
    if not said:
        raise BadInput(field, "The rule is empty.", todo='Write one like "no visible text", or leave it out.')
    if len(said) > RULE_LIMIT:
        raise BadInput(field, f"A rule may be {RULE_LIMIT} characters long; this is {len(said)}.", todo="Say it shorter, or as two rules.")
    plain = said.casefold()
    hard = not plain.startswith(ADVISORY)
    plain = plain.removeprefix(ADVISORY).strip()
    bars = tuple(_bar(ask, said, hard, known, field) for ask in _asks(plain, said, field, presets_dir))
    return Rule(said, bars, " ".join(in_words(known.dimension(bar.dimension), bar) for bar in bars))


def in_words(dimension: Dimension, bar: Bar) -> str:
    """ "Sharpness at least 40, or the picture is rejected." """
    unit = f" {dimension.unit}" if dimension.unit else ""
    argument = bar.dimension.partition(":")[2]
    subject = f"{dimension.title} from {argument}" if argument else dimension.title
    amount = f"{'at least' if bar.bound == '>=' else 'at most'} {bar.threshold:g}"
    if bar.bound == "<=" and bar.threshold == dimension.low == 0:
        amount = "exactly 0"
    return f"{subject} {amount}{unit}, {'or the picture is rejected' if bar.hard else 'shown and never rejecting'}.{_needs(dimension, bar)}"


def check_threshold(dimension: Dimension, threshold: float) -> str:
    """What is wrong with a threshold for this dimension, "" for nothing."""
    if dimension.low <= threshold <= dimension.high:
        return ""
    unit = f" {dimension.unit}" if dimension.unit else ""
    return f"{dimension.title} is {dimension.low:g} to {dimension.high:g}{unit}, so {threshold:g} would pass all pictures or none"


def examples(known: Dimensions, presets_dir: Path | str | None = None) -> list[dict[str, str]]:
    """A sentence a phrase with what it means, as the page offers them."""
    rules = [read_rule(phrase.example, known, presets_dir=presets_dir) for phrase in load_phrases(presets_dir)]
    return [{"text": rule.text, "words": rule.words} for rule in rules]


@lru_cache(maxsize=8)
def load_phrases(presets_dir: Path | str | None = None) -> tuple[Phrase, ...]:
    """The phrases of rules.toml. Raises BadInput with file and dotted key."""
    path = (Path(presets_dir) if presets_dir else presets_folder()) / "rules.toml"
    entries = load(path).get("phrases")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Place(path).bad("phrases", "must be tables ([[phrases]])")
    return tuple(_read_phrase(Table(Place(path, f"phrases.{place}"), entry)) for place, entry in enumerate(entries))


def _read_phrase(table: Table) -> Phrase:
    ways, asks = table.texts("say"), table.texts("asks")
    phrase = Phrase(tuple(_pattern(way) for way in ways), asks, table.text("example", ways[0]))
    table.done()
    return phrase


def _pattern(way: str) -> re.Pattern[str]:
    """The whole of a sentence in small letters: spaces as they come, `{number}` and `{colour}` as they are filled in."""
    parts = re.split(r"(\{number\}|\{colour\})", way.casefold())
    return re.compile("".join(HOLES.get(part) or re.escape(part) for part in parts))


def _asks(plain: str, said: str, field: str, presets_dir: Path | str | None) -> list[str]:
    """The comparisons that a sentence stands for: those of its phrase, or itself."""
    for phrase in load_phrases(presets_dir):
        for pattern in phrase.patterns:
            if match := pattern.fullmatch(plain):
                holes = match.groupdict()
                colour = _colour(holes["colour"], field) if "colour" in holes else ""
                return [ask.replace("{number}", holes.get("number") or "").replace("{colour}", colour) for ask in phrase.asks]
    if COMPARED.fullmatch(plain):
        return [plain]
    if re.search(r"[<>=]", plain):
        raise BadInput(field, f'"{safe(said)}" is not understood.', "A dimension is held against one number.", "Write it with >= or <=.")
    known = [phrase.example for phrase in load_phrases(presets_dir)]
    near = difflib.get_close_matches(plain, [sentence.casefold() for sentence in known], n=1, cutoff=0.5)
    like = next((sentence for sentence in known if near and sentence.casefold() == near[0]), "")
    todo = f'Did you mean "{like}"?' if like else 'Write it like "no visible text", or as a dimension and a number: "sharpness >= 50".'
    raise BadInput(field, f'"{safe(said)}" is not understood.', "", todo)


def _bar(ask: str, said: str, hard: bool, known: Dimensions, field: str) -> Bar:
    match = COMPARED.fullmatch(ask.casefold())
    assert match is not None, ask
    name = _dimension_name(match["subject"], known, field)
    dimension, threshold = known.dimension(name), float(match["number"])
    unit = UNITS.get(match["unit"] or "", match["unit"] or "")
    if unit and unit.casefold() != dimension.unit.casefold():
        measured = f"It is measured in {dimension.unit}." if dimension.unit else "It is a plain number."
        raise BadInput(field, f"{dimension.title} is not told in {safe(unit)}.", measured, "Leave the unit out.")
    if wrong := check_threshold(dimension, threshold):
        raise BadInput(field, f"{wrong}.")
    return Bar(name, BOUNDS[match["bound"]], threshold, hard, rule=said)


def _dimension_name(subject: str, known: Dimensions, field: str) -> str:
    """The name of what people may call by its title. Raises BadInput that names what is near."""
    called = {dimension.title.casefold(): name for name, dimension in known.by_name.items()}
    called |= {name.replace("_", " "): name for name in known.by_name}
    subject = subject.strip().removeprefix("the ")
    plain, colon, argument = (subject, "", "") if subject in called else subject.partition(":")
    name = plain.strip() if plain.strip() in known.by_name else called.get(plain.strip(), "")
    if not name:
        near = difflib.get_close_matches(plain.strip(), [*called, *known.by_name], n=3, cutoff=0.55)
        names = list(dict.fromkeys(called.get(one, one) for one in near))
        todo = f"Did you mean {' or '.join(names)}?" if names else "The Quality tab lists everything that is measured."
        raise BadInput(field, f'There is no dimension "{safe(plain.strip())}".', todo=todo)
    full = name + (f":{argument.strip().upper()}" if colon else "")
    try:
        known.dimension(full)
    except NotFound as error:
        raise BadInput(field, error.what, error.why, error.todo) from error
    return full


def _colour(word: str, field: str) -> str:
    """ "#FFFFFF" of "#fff" or "white"."""
    try:
        red, green, blue = ImageColor.getrgb(word)[:3]
    except ValueError as error:
        raise BadInput(field, f'There is no colour "{word}".', "", "Write it like #FFFFFF.") from error
    return f"#{red:02X}{green:02X}{blue:02X}"


def _needs(dimension: Dimension, bar: Bar) -> str:
    """What must be given with the request; without it a dimension is not scored, and a hard one goes to review."""
    given = {"texts": "words to show", "palette": "a palette", "likeness": "a reference picture", "nothing": ""}[dimension.needs]
    if not given:
        return ""
    return f" Where the request gives no {given.removeprefix('a ')}, it is not scored{' and goes to review' if bar.gate == 'hard' else ''}."
