"""Whether a prompt may be drawn: a list of words in rules, which a team edits. Pure: text in, findings out.

Words are found however they are written: case, accents, look-alike digits ("n4ked") and spelled-out letters ("n u d e") make no
difference, as Unicode's compatibility decomposition (UAX 15) and its case folding have it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from models.presets import presets_folder
from models.toml import Place, Table, parse

Action = Literal["refuse", "ask", "mark"]
Kind = Literal["sexual", "violent", "hateful", "brand"]
ACTIONS: tuple[Action, ...] = ("refuse", "ask", "mark")
KINDS: tuple[Kind, ...] = ("sexual", "violent", "hateful", "brand")
RULES_LIMIT, WORDS_LIMIT, WORD_LIMIT, TITLE_LIMIT = 100, 2000, 80, 120

_LOOKALIKES = str.maketrans("013457@$!", "oieastasi")
_TOKENS = re.compile(r"[^\W_]+")
_PARTS = re.compile(r"[^\W_]+\*?")
_SIGNS = re.compile(r"(?<=\w)[@$!](?=\w)")
_SPELLED = re.compile(r"(?<= )(?:[^\W\d_] ){3,}")
# Scripts written without spaces: a word of these is found inside a run of letters.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True)
class Rule:
    """words: any of them is found; with_: only beside one of these; unless: phrases that are taken out before looking."""

    name: str
    title: str
    about: str
    kind: Kind
    action: Action
    words: tuple[str, ...]
    with_: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    own_action: bool = True  # False: it has the list's

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str] | None, re.Pattern[str] | None]:
        return _pattern(self.words), _pattern(self.with_) if self.with_ else None, _pattern(self.unless) if self.unless else None

    def found(self, readings: Iterable[str]) -> tuple[str, ...]:
        """What the rule finds in any of the readings of a text, as the text has it (folded); () where it finds nothing."""
        words, beside, unless = self._patterns
        hits: dict[str, None] = {}
        for reading in readings:
            cleared = unless.sub(" | ", reading) if unless else reading
            found = [hit.group().strip() for hit in words.finditer(cleared)]
            others = [hit.group().strip() for hit in beside.finditer(cleared)] if beside else []
            if found and (beside is None or others):
                hits.update(dict.fromkeys(found + others))
        return tuple(hits)


@dataclass(frozen=True)
class Reader:
    """A text classifier's dimension with the value (0..100) from which on a prompt counts as found."""

    name: str
    title: str
    kind: Kind
    action: Action
    threshold: float
    own_action: bool = True


@dataclass(frozen=True)
class Finding:
    """What was found in a prompt. rule: the rule's or the classifier's name. words: what it says, or what a classifier says of it."""

    rule: str
    title: str
    kind: Kind
    action: Action
    words: tuple[str, ...]
    about: str = ""
    value: float | None = None


@dataclass(frozen=True)
class SafetyList:
    """A version of the list. pictures: from which value on a picture's dimension counts as an incident."""

    version: int
    action: Action
    rules: tuple[Rule, ...]
    readers: tuple[Reader, ...] = ()
    pictures: Mapping[str, float] = field(default_factory=dict)

    def check(self, prompt: str, texts: Collection[str] = ()) -> list[Finding]:
        """What the rules find in a prompt and in the words that the picture is to show, in the order of the rules."""
        readings = [reading for text in (prompt, *texts) for reading in readings_of(text)]
        findings = []
        for rule in self.rules:
            words = rule.found(readings)
            if words:
                findings.append(Finding(rule.name, rule.title, rule.kind, rule.action, words, rule.about))
        return findings

    def read(self, values: Mapping[str, float | None]) -> list[Finding]:
        """What the classifiers' values (0..100, by dimension; None where they are not here) come to."""
        findings = []
        for reader in self.readers:
            value = values.get(reader.name)
            if value is not None and value >= reader.threshold:
                said = f"a classifier is {value:.0f} % sure, and {reader.threshold:g} % count"
                findings.append(Finding(reader.name, reader.title, reader.kind, reader.action, (said,), value=value))
        return findings

    def as_dict(self) -> dict[str, Any]:
        """As the page edits it; `list_toml` writes it down again."""
        rules = [_plain(asdict(rule)) | {"with": list(rule.with_)} for rule in self.rules]
        readers = [_plain(asdict(reader)) for reader in self.readers]
        return {"action": self.action, "rules": rules, "classifiers": readers, "pictures": dict(self.pictures)}


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    own = data.pop("own_action")
    data.pop("with_", None)
    return data | {"action": data["action"] if own else ""}


# Reading and writing.


def shipped() -> Path:
    return presets_folder() / "safety.toml"


def read_list(text: str, version: int, source: Path | str = "safety.toml") -> SafetyList:
    """A list from its TOML. Raises BadInput with the line, or with the dotted key."""
    top = Table(Place(source), parse(text, source))
    action = cast(Action, top.text("action", choices=ACTIONS))
    rules, readers, pictures = (top.optional_table(name) for name in ("rules", "classifiers", "pictures"))
    top.done()
    if rules and len(rules.data) > RULES_LIMIT:
        raise rules.bad("", f"holds {len(rules.data)} rules; {RULES_LIMIT} are the most")
    return SafetyList(
        version,
        action,
        tuple(_read_rule(name, rules.table(name), action) for name in rules.data) if rules else (),
        tuple(_read_reader(name, readers.table(name), action) for name in readers.data) if readers else (),
        {name: pictures.number(name, low=0, high=100) for name in pictures.data} if pictures else {},
    )


def _read_rule(name: str, table: Table, action: Action) -> Rule:
    rule = Rule(
        name=_name(name, table),
        title=_title(table),
        about=table.text("about", ""),
        kind=cast(Kind, table.text("kind", choices=KINDS)),
        action=cast(Action, table.text("action", action, choices=ACTIONS)),
        words=_words(table, "words"),
        with_=_words(table, "with") if "with" in table.data else (),
        unless=_words(table, "unless") if "unless" in table.data else (),
        own_action="action" in table.data,
    )
    table.done()
    return rule


def _read_reader(name: str, table: Table, action: Action) -> Reader:
    reader = Reader(
        name=_name(name, table),
        title=_title(table),
        kind=cast(Kind, table.text("kind", choices=KINDS)),
        action=cast(Action, table.text("action", action, choices=ACTIONS)),
        threshold=table.number("threshold", low=0, high=100),
        own_action="action" in table.data,
    )
    table.done()
    return reader


def _name(name: str, table: Table) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise table.bad("", "must be a name of small letters, digits and _, at most 40")
    return name


def _title(table: Table) -> str:
    title = table.text("title")
    if not title.strip() or len(title) > TITLE_LIMIT:
        raise table.bad("title", f"must be 1 to {TITLE_LIMIT} characters")
    return title


def _words(table: Table, key: str) -> tuple[str, ...]:
    words = table.texts(key)
    if len(words) > WORDS_LIMIT:
        raise table.bad(key, f"holds {len(words)} words; {WORDS_LIMIT} are the most")
    for word in words:
        if len(word) > WORD_LIMIT or not _PARTS.search(fold(word)):
            raise table.bad(key, f'cannot hold "{word[:WORD_LIMIT]}": a word has letters or digits, {WORD_LIMIT} characters at the most')
    return words


def list_toml(data: Mapping[str, Any]) -> str:
    """TOML of a list as `SafetyList.as_dict` gives it. What it says is not checked: `read_list` does that."""
    lines = [f"action = {_toml(data.get('action'))}", ""]
    for table, keys in (
        ("rules", ("title", "about", "kind", "action", "words", "with", "unless")),
        ("classifiers", ("title", "kind", "action", "threshold")),
    ):
        for row in data.get(table) or []:
            lines.append(f"[{table}.{_key(str(row.get('name', '')))}]")
            lines += [f"{key} = {_toml(row[key])}" for key in keys if row.get(key) not in (None, "", [], ())]
            lines.append("")
    if data.get("pictures"):
        lines += ["[pictures]", *(f"{_key(str(name))} = {_toml(value)}" for name, value in data["pictures"].items()), ""]
    return "\n".join(lines)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _toml(value: object) -> str:
    """JSON's texts, numbers and lists are TOML's as well, but for the one control character that JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# Text as it is looked at.


def fold(text: str) -> str:
    """Without case, accents, full-width forms and characters that are not seen."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(c for c in unicodedata.normalize("NFKD", decomposed) if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFC", kept)


def readings_of(text: str) -> list[str]:
    """How a text can be read: as it stands, with look-alike signs as letters, with spelled-out words joined. Words stand between
    single spaces, with one at either end."""
    folded = fold(text)
    plain = _spaced(_TOKENS.findall(folded))
    signs = _spaced(_TOKENS.findall(_SIGNS.sub(lambda hit: hit.group().translate(_LOOKALIKES), folded)))
    letters = _spaced([_as_letters(token) for token in signs.split()])
    joined = _SPELLED.sub(lambda hit: hit.group().replace(" ", "") + " ", plain)
    after_article = _SPELLED.sub(lambda hit: f"{hit.group()[:2]}{hit.group()[2:].replace(' ', '')} ", plain)  # "a n u d e"
    return list(dict.fromkeys((plain, letters, joined, after_article)))


def _as_letters(token: str) -> str:
    """"n4k3d" is "naked"; a number, and a size like "50mm", stay what they are."""
    return token if token.isdigit() or re.fullmatch(r"\d+[a-z]{1,3}", token) else token.translate(_LOOKALIKES)


def _spaced(tokens: Iterable[str]) -> str:
    return f" {' '.join(tokens)} "


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Finds any of the words in a reading; the longest first, so that a phrase is told rather than its beginning."""
    return re.compile("|".join(_alternative(word) for word in sorted(words, key=len, reverse=True)))


def _alternative(word: str) -> str:
    parts = _PARTS.findall(fold(word))
    body = " ".join(re.escape(part[:-1]) + r"\S*" if part.endswith("*") else re.escape(part) for part in parts)
    return body if _UNSPACED.search(body) else rf"(?<= ){body}(?= )"
