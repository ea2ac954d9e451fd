"""What can be measured: every scorer with its dimensions, as data (presets/scorers/*.toml). The page reads this; no weights here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from models.errors import NotFound
from models.presets import presets_folder
from models.toml import Table

Better = Literal["higher", "lower"]
Argument = Literal["none", "colour"]
# What a dimension needs besides the picture and its prompt; without it, it is not scored.
Needs = Literal["nothing", "texts", "palette", "likeness"]
SLOW = 150.0
COLOUR = re.compile(r"#[0-9A-Fa-f]{6}", re.ASCII)


@dataclass(frozen=True)
class Dimension:
    """One thing that is measured. low, high: what values can be. unit: "" for plain numbers. scorer: who measures it.

    held_out: nothing is chosen by it, so that it can tell when choosing games the verifiers that do.
    """

    name: str
    title: str
    about: str
    better: Better
    low: float
    high: float
    unit: str
    argument: Argument
    needs: Needs
    scorer: str
    held_out: bool = False


@dataclass(frozen=True)
class Weights:
    """What a scorer downloads: `files` of a repository of the hub at `revision`, `megabytes` in all, under `licence`.

    opt_in: why nobody gets it without asking (AGPL, non-commercial), "" where the licence is permissive.
    """

    repo: str
    revision: str
    files: tuple[str, ...]
    megabytes: float
    licence: str
    licence_url: str
    opt_in: str


@dataclass(frozen=True)
class ScorerCard:
    """One scorer. generic: every picture is measured; else only where a profile asks for one of its dimensions.

    milliseconds: what a picture of one megapixel takes on two cores, about; the cheapest measures first, and those above SLOW measure
    only what the others let pass. weights: None where all that it needs comes with the studio or a package.
    """

    name: str
    title: str
    about: str
    generic: bool
    milliseconds: float
    dimensions: Mapping[str, Dimension]
    weights: Weights | None

    @property
    def slow(self) -> bool:
        return self.milliseconds > SLOW


class Dimensions:
    """Every scorer by name, and every dimension by name."""

    def __init__(self, scorers: Mapping[str, ScorerCard]) -> None:
        self.scorers = scorers
        self.by_name = {name: dimension for card in scorers.values() for name, dimension in card.dimensions.items()}

    def dimension(self, name: str) -> Dimension:
        """By its name, with its argument where it takes one ("background_distance:#FFFFFF"). Raises NotFound, which names what is near."""
        plain, colon, argument = name.partition(":")
        found = self.by_name.get(plain)
        if found is None:
            near = difflib.get_close_matches(plain, self.by_name, n=3)
            todo = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(self.by_name))}."
            raise NotFound(f'There is no dimension "{plain}".', todo=todo)
        if found.argument == "none" and colon:
            raise NotFound(f'There is no dimension "{name}".', f"{plain} takes no argument.", f'Write "{plain}".')
        if found.argument == "colour" and not COLOUR.fullmatch(argument):
            raise NotFound(f'There is no dimension "{name}".', f"{plain} needs a colour.", f'Write it like "{plain}:#FFFFFF".')
        return found

    def wanted(self, asked: Iterable[str]) -> list[ScorerCard]:
        """The scorers that are generic or measure one of `asked`, cheapest first. Raises NotFound."""
        names = {self.dimension(name).scorer for name in asked}
        chosen = [card for card in self.scorers.values() if card.generic or card.name in names]
        return sorted(chosen, key=lambda card: (card.milliseconds, card.name))


def load_scorers(presets_dir: Path | str | None = None) -> Dimensions:
    """Every scorer below `presets_dir` (default: those that ship). Raises BadInput with file and dotted key."""
    folder = Path(presets_dir) if presets_dir else presets_folder()
    cards = {path.stem: read_scorer(path) for path in sorted((folder / "scorers").glob("*.toml"))}
    known: dict[str, str] = {}
    for name, card in cards.items():
        for dimension in card.dimensions:
            if dimension in known:
                raise Table.of_file(folder / "scorers" / f"{name}.toml").bad(f"dimensions.{dimension}", f"is {known[dimension]}'s already")
            known[dimension] = name
    return Dimensions(cards)


def read_scorer(path: Path) -> ScorerCard:
    """One scorer from its file. Raises BadInput with file and dotted key."""
    top = Table.of_file(path)
    dimensions = top.table("dimensions")
    weights = top.optional_table("weights")
    card = ScorerCard(
        name=path.stem,
        title=top.text("title"),
        about=top.text("about"),
        generic=top.flag("generic"),
        milliseconds=top.number("milliseconds", low=0),
        dimensions={name: _read_dimension(name, dimensions.table(name), path.stem) for name in dimensions.data},
        weights=read_weights(weights) if weights else None,
    )
    if not card.dimensions:
        raise dimensions.bad("", "names no dimension")
    top.done()
    return card


def _read_dimension(name: str, table: Table, scorer: str) -> Dimension:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise table.bad("", "must be a name of small letters, digits and _")
    low = table.number("low", 0.0)
    dimension = Dimension(
        name=name,
        title=table.text("title"),
        about=table.text("about"),
        better=cast(Better, table.text("better", choices=("higher", "lower"))),
        low=low,
        high=table.number("high", 100.0, low=low),
        unit=table.text("unit", ""),
        argument=cast(Argument, table.text("argument", "none", choices=("none", "colour"))),
        needs=cast(Needs, table.text("needs", "nothing", choices=("nothing", "texts", "palette", "likeness"))),
        scorer=scorer,
        held_out=table.flag("held_out", False),
    )
    table.done()
    return dimension


def read_weights(table: Table) -> Weights:
    """A table [weights]. Raises BadInput with file and dotted key."""
    licence = table.table("licence")
    weights = Weights(
        repo=table.text("repo"),
        revision=table.text("revision"),
        files=table.texts("files"),
        megabytes=table.number("megabytes", low=0),
        licence=licence.text("name"),
        licence_url=licence.text("url"),
        opt_in=table.text("opt_in", ""),
    )
    licence.done()
    table.done()
    return weights
