"""Quality profiles: which dimensions matter, against which bars. TOML that ships, and that people write; read here, and written.

A bar holds for every model unless the profile says otherwise for one: in `[thresholds.CARD]` and `[gates.CARD]`, or by a threshold that
was learned from people's verdicts (`[[learned]]`), which counts only for values of the very scorer version that it was learned on. A
rule, being a person's own words, is overridden by neither. `[doubt.CARD]` has stricter thresholds for rounds of which few pass.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from models.errors import BadInput, NotFound
from models.presets import presets_folder
from models.scorers.catalogue import Dimensions, load_scorers
from models.toml import Place, Table, load, parse
from pipelines.rules import Bar, Bound, Gate, Rule, check_threshold, read_rule

KNOWN = ("title", "about", "ranks", "rules", "dimensions", "thresholds", "gates", "doubt", "learned")
# By card: dimensions whose verifiers know only what the model itself learnt. What a LoRA taught it is not in their world: the embedded
# model's CLIPs have never seen a robot, and its classifier finds no whole product in one.
OWN_WORLD = {"embedded": ("adherence", "adherence_b", "contrast", "recognised", "whole", "mush")}
RULES_LIMIT, TITLE_LIMIT, ABOUT_LIMIT = 40, 60, 600


@dataclass(frozen=True)
class Learned:
    """A threshold that people's verdicts taught, for pictures of `card` as `scorer` at `version` measures them.

    low, high: between them a picture is left to people. verdicts: how many stand behind it.
    """

    card: str
    dimension: str
    scorer: str
    version: str
    threshold: float
    bound: Bound
    low: float | None = None
    high: float | None = None
    verdicts: int = 0


@dataclass(frozen=True)
class Doubt:
    """Where at most `share` of a round's candidates pass, these thresholds hold instead of milder ones.

    What a scorer lets through wrongly is about as frequent whatever was asked for; what it lets through rightly is not. Of the few that
    pass where most fail, far more are therefore wrong (the base rate of Bayes' rule), and they must be surer to be worth as much.
    """

    share: float
    thresholds: Mapping[str, float]


@dataclass(frozen=True)
class Profile:
    """A quality profile. bars: in the order of the file, those of its rules last. ranks: dimensions that order what passes.

    thresholds, gates: what differs for a model, by card name and dimension. doubts: by card name.
    version: 0 as shipped, else of the studio's own versions.
    """

    name: str
    title: str
    about: str
    bars: Mapping[str, Bar]
    ranks: tuple[str, ...]
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gates: Mapping[str, Mapping[str, Gate]] = field(default_factory=dict)
    doubts: Mapping[str, Doubt] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    learned: tuple[Learned, ...] = ()
    version: int = 0

    def asked(self) -> tuple[str, ...]:
        """Every dimension that must be measured, with its argument, in the order of the bars."""
        return tuple(self.bars)

    def bars_for(self, card: str) -> dict[str, Bar]:
        """The bars that hold for pictures of this model, without what was learned."""
        thresholds, gates = self.thresholds.get(card, {}), self.gates.get(card, {})
        return {
            name: bar if bar.rule else replace(bar, threshold=thresholds.get(name, bar.threshold)).gated(gates.get(name, bar.gate))
            for name, bar in self.bars.items()
        }

    def doubted(self, card: str) -> Profile:
        """The same profile for pictures of a round of which few pass."""
        doubt = self.doubts.get(card)
        if doubt is None:
            return self
        bars = self.bars_for(card)
        stricter = {
            name: value for name, value in doubt.thresholds.items()
            if (value > bars[name].threshold if bars[name].bound == ">=" else value < bars[name].threshold)
        }  # fmt: skip
        return replace(self, thresholds={**self.thresholds, card: {**self.thresholds.get(card, {}), **stricter}})

    def advised(self, names: Collection[str]) -> Profile:
        """The same profile where these dimensions (named without arguments) never reject."""

        def gate(name: str, usual: Gate) -> Gate:
            return "advisory" if name.partition(":")[0] in names else usual

        bars = {name: bar.gated(gate(name, bar.gate)) for name, bar in self.bars.items()}
        gates = {card: {name: gate(name, usual) for name, usual in own.items()} for card, own in self.gates.items()}
        return replace(self, bars=bars, gates=gates)

    def worn(self, card: str) -> Profile:
        """The same profile for pictures that wear a LoRA on this model: verifiers that know nothing but the model's own world only hint."""
        return self.advised(OWN_WORLD.get(card, ()))

    def bar_for(self, card: str, dimension: str, scorer: str, version: str) -> Bar | None:
        """The bar that a value of this scorer and version is held against, learned or not; None where the profile has none."""
        bar = self.bars_for(card).get(dimension)
        return None if bar is None else self.taught(bar, card, scorer, version)

    def taught(self, bar: Bar, card: str, scorer: str, version: str) -> Bar:
        """A bar of `bars_for(card)` with the threshold that was learned for just this scorer and version, if one was."""
        key = (card, bar.dimension, scorer, version)
        for one in self.learned:
            if not bar.rule and key == (one.card, one.dimension, one.scorer, one.version):
                return replace(bar, bound=one.bound, threshold=one.threshold, low=one.low, high=one.high)
        return bar


def load_profiles(presets_dir: Path | str | None = None) -> dict[str, Profile]:
    """Every profile below `presets_dir` (default: those that ship), by name. Raises BadInput with file and dotted key."""
    folder = Path(presets_dir) if presets_dir else presets_folder()
    return {path.stem: read_profile(path) for path in sorted((folder / "profiles").glob("*.toml"))}


def read_profile(path: Path) -> Profile:
    """One profile from its file. Raises BadInput with file and dotted key."""
    return profile_of(load(path), path.stem, path)


def parse_profile(text: str, name: str, version: int = 0) -> Profile:
    """One profile from its TOML. Raises BadInput with the line, or with the dotted key."""
    return profile_of(parse(text, name), name, name, version)


def profile_of(data: Mapping[str, Any], name: str, source: Path | str, version: int = 0, known: Dimensions | None = None) -> Profile:
    """One profile from what its TOML says. Raises BadInput with `source` and dotted key."""
    known = known or shipped_dimensions()
    top = Table(Place(source), data)
    rules = _read_rules(top, known)
    dimensions = top.optional_table("dimensions")
    bars = {one: _read_bar(one, dimensions.table(one), known) for one in dimensions.data} if dimensions else {}
    if not bars and not rules:
        raise top.bad("dimensions", "names no dimension, and there is no rule")
    said = {bar.dimension: bar for rule in rules for bar in rule.bars}
    profile = Profile(
        name=name,
        title=_short(top, "title", TITLE_LIMIT),
        about=_short(top, "about", ABOUT_LIMIT, ""),
        bars={one: bar for one, bar in bars.items() if one not in said} | said,
        ranks=_read_ranks(top, {**bars, **said}),
        thresholds={card: _thresholds(table, known) for card, table in _by_card(top, "thresholds", bars).items()},
        gates={card: {one: _gate(table, one) for one in table.data} for card, table in _by_card(top, "gates", bars).items()},
        doubts={card: _doubt(table, known) for card, table in _by_card(top, "doubt", bars, ("share",)).items()},
        rules=rules,
        learned=_read_learned(top, bars, said, known),
        version=version,
    )
    for key in data:
        if key not in KNOWN:
            raise top.bad(key, "is not known here", f"Known: {', '.join(sorted(KNOWN))}.")
    return profile


def with_learned(text: str, learned: Iterable[Learned]) -> str:
    """The TOML of a profile with these thresholds: each takes the place of one for the same card, dimension, scorer and version."""
    data = tomllib.loads(text)
    new = {_key(entry): entry for entry in ({k: v for k, v in vars(one).items() if v is not None} for one in learned)}
    old = [entry for entry in data.get("learned", []) if _key(entry) not in new]
    return profile_toml(data | {"learned": [*old, *new.values()]})


def without_learned(text: str, card: str, dimension: str) -> str:
    """The TOML of a profile without what was learned for a card and dimension."""
    data = tomllib.loads(text)
    left = [entry for entry in data.get("learned", []) if (entry["card"], entry["dimension"]) != (card, dimension)]
    return profile_toml(data | {"learned": left})


def profile_toml(data: Mapping[str, Any]) -> str:
    """What a profile says, as TOML in one fixed order: equal profiles give equal texts. Reading it gives `data` back."""
    lines = [f"{name} = {_toml(data[name])}" for name in ("title", "about", "ranks", "rules") if data.get(name)]
    for name, table in data.get("dimensions", {}).items():
        lines += ["", f"[dimensions.{_key_toml(name)}]", *_pairs(table)]
    for group in ("thresholds", "gates", "doubt"):
        for card, table in data.get(group, {}).items():
            if table:
                lines += ["", f"[{group}.{_key_toml(card)}]", *_pairs(table)]
    for entry in data.get("learned", []):
        lines += ["", "[[learned]]", *_pairs(entry)]
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=1)
def shipped_dimensions() -> Dimensions:
    return load_scorers()


# Reading, one function a part.


def _read_rules(top: Table, known: Dimensions) -> tuple[Rule, ...]:
    given = top.data.get("rules", [])
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given) or len(given) > RULES_LIMIT:
        raise top.bad("rules", f"must be at most {RULES_LIMIT} sentences in brackets, not {given!r:.200}")
    rules = []
    first: dict[str, str] = {}
    for place, text in enumerate(given):
        try:
            rule = read_rule(text, known, top.place.key(f"rules.{place}"))
        except BadInput as error:
            what = f"{top.place.file}: rules.{place}: {error.what}"
            raise BadInput(error.field or "rules", what, error.why, error.todo) from error
        for bar in rule.bars:
            if bar.dimension in first:
                why = f'says another bar for {bar.dimension} than "{first[bar.dimension]}"'
                raise top.bad(f"rules.{place}", why, "Leave one of them out.")
            first[bar.dimension] = rule.text
        rules.append(rule)
    return tuple(rules)


def _read_bar(name: str, table: Table, known: Dimensions) -> Bar:
    try:
        dimension = known.dimension(name)
    except NotFound as error:
        raise BadInput(table.place.key(""), f"{table.place.file}: {error.what}", error.why, error.todo) from error
    if dimension.held_out:
        why = "is held out of every selection"
        raise table.bad("", why, "It shows whether choosing games the verifiers that choose; leave it out of profiles.")
    threshold = table.number("threshold")
    if wrong := check_threshold(dimension, threshold):
        raise table.bad("threshold", f"cannot be: {wrong}")
    low, high = _band(table)
    if low is not None and high is not None and not low <= threshold <= high:
        raise table.bad("threshold", f"must lie between low and high ({low:g} and {high:g}), not at {threshold:g}")
    bar = Bar(name, cast(Bound, table.text("bound", choices=(">=", "<="))), threshold, True, low, high).gated(_gate(table, "gate"))
    table.done()
    return bar


def _band(table: Table) -> tuple[float | None, float | None]:
    low, high = table.number("low", None), table.number("high", None)
    if (low is None) != (high is None) or (low is not None and high is not None and low > high):
        raise table.bad("low", "and high must both be there, low the smaller one, or neither")
    return low, high


def _read_ranks(top: Table, bars: Mapping[str, Bar]) -> tuple[str, ...]:
    ranks = top.data.get("ranks", [])
    if not isinstance(ranks, list) or not all(isinstance(name, str) and name in bars for name in ranks) or len(set(ranks)) != len(ranks):
        raise top.bad("ranks", f"must be an array of different dimensions of this profile ({', '.join(bars)}), not {ranks!r:.200}")
    return tuple(ranks)


def _read_learned(top: Table, bars: Mapping[str, Bar], said: Mapping[str, Bar], known: Dimensions) -> tuple[Learned, ...]:
    given = top.data.get("learned", [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise top.bad("learned", "must be tables ([[learned]])")
    found: dict[tuple[object, ...], Learned] = {}
    for place, entry in enumerate(given):
        table = Table(Place(top.place.file, top.place.key(f"learned.{place}")), entry)
        dimension = table.text("dimension")
        bar = bars.get(dimension) or said.get(dimension)
        if bar is None:
            raise table.bad("dimension", "is not a dimension of this profile", f"Known: {', '.join({**bars, **said})}.")
        low, high = _band(table)
        one = Learned(
            card=table.text("card"),
            dimension=dimension,
            scorer=table.text("scorer"),
            version=table.text("version"),
            threshold=table.number("threshold"),
            bound=cast(Bound, table.text("bound", bar.bound, choices=(">=", "<="))),
            low=low,
            high=high,
            verdicts=table.whole("verdicts", low=0),
        )
        table.done()
        if found.setdefault(_key(entry), one) is not one:
            raise table.bad("", "is there twice for the same card, dimension, scorer and version", "Leave one of them out.")
    return tuple(found.values())


def _thresholds(table: Table, known: Dimensions) -> dict[str, float]:
    values = {name: table.number(name) for name in table.data}
    for name, value in values.items():
        if wrong := check_threshold(known.dimension(name), value):
            raise table.bad(name, f"cannot be: {wrong}")
    return values


def _doubt(table: Table, known: Dimensions) -> Doubt:
    share = table.number("share", low=0, high=1)
    return Doubt(share, _thresholds(Table(table.place, {name: value for name, value in table.data.items() if name != "share"}), known))


def _gate(table: Table, name: str) -> Gate:
    return cast(Gate, table.text(name, choices=("hard", "measured", "advisory")))


def _by_card(top: Table, name: str, bars: Mapping[str, Bar], besides: Collection[str] = ()) -> dict[str, Table]:
    """The tables `[name.CARD]`, each holding dimensions of this profile only, and `besides`."""
    cards = top.optional_table(name)
    tables = {card: cards.table(card) for card in cards.data} if cards else {}
    for table in tables.values():
        for dimension in table.data:
            if dimension not in bars and dimension not in besides:
                raise table.bad(dimension, "is not a dimension of this profile", f"Known: {', '.join(bars)}.")
    return tables


def _short(top: Table, name: str, limit: int, *default: str) -> str:
    value = top.text(name, *default)
    if len(value) > limit:
        raise top.bad(name, f"may be {limit} characters long; this is {len(value)}", "Shorten it.")
    if not default and not value.strip():
        raise top.bad(name, "is empty", "Say in a word or two what the profile is for.")
    return value


def _key(entry: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(entry[name] for name in ("card", "dimension", "scorer", "version"))


# Writing.


def _pairs(table: Mapping[str, Any]) -> list[str]:
    """Thresholds and bands as numbers with a point, whether or not they came with one; counts without."""
    counted = {name: value for name, value in table.items() if name == "verdicts" or type(value) is not int}
    return [f"{_key_toml(name)} = {_toml(counted.get(name, value) if name in counted else float(value))}" for name, value in table.items()]


def _key_toml(name: str) -> str:
    return name if name and all(c.isascii() and (c.isalnum() or c in "_-") for c in name) else _toml(name)


def _toml(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # a basic string of TOML is one of JSON, but for DEL
    if isinstance(value, Sequence):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)
