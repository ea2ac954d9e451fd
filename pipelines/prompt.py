"""From what a person says in parts to the text that a model reads, with every part still to be told apart.

    quality prefix + subject + description + context + style + season + composition + technical + brand + trigger words

is what services that draw for other people put between those and the model. What the names that people choose ("white studio",
"social post", "autumn") say to the model is data, `presets/prompt.toml`. What was edited by hand wins, and stays an edit.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args

from models.errors import BadInput
from pipelines.fields import listed, safe, shown, text
from pipelines.grammar import only_variable
from pipelines.phrases import Presets, load_presets
from pipelines.request import PROMPT_LIMIT, LoraChoice
from pipelines.syntax import Wildcards, expand

Kind = Literal[
    "quality", "subject", "description", "context", "style", "season", "composition", "technical", "brand", "trigger", "edit"
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
WORDS_LIMIT = 40  # of brand and trigger words
ALIGNED_LIMIT = 2_000  # words of an edit that are compared with what was edited

# A part that ends so leads into the next; one that begins so goes on from the last. No comma stands between.
_LEADS = re.compile(r"(?:\b(?:of|with|showing|for|from|by)|:)$", re.IGNORECASE)
_GOES_ON = re.compile(r"(?:on|in|at|by|under|over|near|next to|beside|behind|against|among|with|from|for|between|inside|outside)\s", re.I)
_PLACED = ("description", "context")


@dataclass(frozen=True)
class Parts:
    """What a prompt is made of. All texts may use the syntax of `pipelines.syntax`, but for brand, triggers and edits.

    use: a name in presets/prompt.toml. context, style, season: a name there, or words of one's own. quality (a name or words), composition,
    technical: instead of what use, context and style bring along; None: what they bring. All of these may be a variable that holds a name.
    edits: what a person wrote in place of a part, by its kind; "" leaves the part out.
    """

    subject: str = ""
    description: str = ""
    use: str = ""
    context: str = ""
    style: str = ""
    season: str = ""
    quality: str | None = None
    composition: str | None = None
    technical: str | None = None
    brand: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    edits: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: object, name: str = "parts") -> Parts:
        """The parts of a JSON or TOML value. Raises BadInput on the dotted field below `name`, and nothing else for any value."""
        if data is None:
            return cls()
        if not isinstance(data, Mapping):
            raise BadInput(name, f"{name} must be an object of parts; this is {shown(data)}.")
        known = [one.name for one in fields(cls)]
        for key in data:
            if key not in known:
                near = difflib.get_close_matches(str(key)[:40], known, n=1)
                todo = f'Did you mean "{near[0]}"?' if near else f"The parts are {listed(known)}."
                raise BadInput(f"{name}.{safe(str(key)[:40])}", f"A prompt has no part {shown(str(key))}.", todo=todo)

        def own(part: str) -> str:
            return text(data, part, PROMPT_LIMIT, f"{name}.{part}")

        def instead(part: str) -> str | None:
            return None if data.get(part) is None else own(part)

        return cls(
            own("subject"), own("description"), own("use"), own("context"), own("style"), own("season"),
            instead("quality"), instead("composition"), instead("technical"),
            _words(data.get("brand"), f"{name}.brand"), _words(data.get("triggers"), f"{name}.triggers"),
            _edits(data.get("edits"), f"{name}.edits"),
        )  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """JSON-ready, without what is empty; `from_dict` gives equal parts back."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        plain |= {"brand": list(self.brand), "triggers": list(self.triggers), "edits": dict(self.edits)}
        return {name: value for name, value in plain.items() if value not in ("", [], {}, None)} | {
            name: "" for name in ("quality", "composition", "technical") if plain[name] == ""
        }


def _words(value: object, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(value) > WORDS_LIMIT:
        raise BadInput(name, f"{name} must be a list of at most {WORDS_LIMIT} texts; this is {shown(value)}.")
    return tuple(word for place, one in enumerate(value) if (word := text({"word": one}, "word", PROMPT_LIMIT, f"{name}.{place}")))


def _edits(value: object, name: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadInput(name, f"{name} must be an object with a text for each part; this is {shown(value)}.")
    for kind in value:
        if kind not in KINDS or kind == "edit":
            raise BadInput(f"{name}.{safe(str(kind)[:40])}", f"A prompt has no part {shown(str(kind))}.", f"They are {listed(KINDS[:-1])}.")
    return {kind: text(value, kind, PROMPT_LIMIT, f"{name}.{kind}") for kind in KINDS if value.get(kind) is not None}


@dataclass(frozen=True)
class Piece:
    """text == whole[start:end]. of: the part that an edit stands in for, "" when it is none's."""

    kind: Kind
    text: str
    start: int
    end: int
    of: str = ""

    def to_dict(self) -> dict[str, object]:
        return {"kind": self.kind, "text": self.text, "start": self.start, "end": self.end, "of": self.of}


@dataclass(frozen=True)
class Assembled:
    """A prompt. pieces: in order, without overlap; what joins them lies between. loras: those its texts named."""

    pieces: tuple[Piece, ...]
    text: str
    loras: tuple[LoraChoice, ...] = ()
    notes: tuple[str, ...] = ()


def assemble(
    parts: Parts,
    *,
    seed: int = 0,
    wildcards: Wildcards | None = None,
    values: Mapping[str, str] | None = None,
    edit: str = "",
    knows: Callable[[str], bool] | None = None,
) -> Assembled:
    """The prompt of `parts`; equal arguments give an equal prompt.

    values: of the declared variables; None: a `$` means nothing. edit: the whole prompt as a person rewrote it; it is taken as it is, and
    what it shares with the prompt it was made from keeps its kinds. knows: whether the model knows all words of a phrase; phrases of
    presets/prompt.toml that it does not know are left out, a person's own words and the place never.
    Raises BadInput as `pipelines.syntax.expand` does, and on "parts.use" for a use that there is not.
    """
    presets = load_presets()
    said = presets.say(_named(parts, values or {}, presets))
    notes: list[str] = []
    loras: dict[str, LoraChoice] = {}
    written: list[tuple[Kind, str, str]] = []
    for kind in KINDS[:-1]:
        if kind in parts.edits:
            written.append(("edit", parts.edits[kind].strip(), kind))
            continue
        if kind in ("brand", "trigger"):
            written.append((kind, ", ".join(parts.brand if kind == "brand" else parts.triggers), ""))
            continue
        own, preset = said[kind]
        if preset and own and knows and kind != "context":
            own = _known(own, knows, notes, chosen=kind in ("style", "season"))
        if preset or not own:
            written.append((kind, own, ""))
            continue
        expanded = expand(own, seed, wildcards, values, salt=kind)
        loras |= {lora.name: lora for lora in expanded.loras}
        notes += expanded.notes
        written.append((kind, expanded.text.strip(), ""))
    whole = _joined(_without_repeats(written))
    if edit.strip():
        whole = _edited(whole, edit.strip())
    return Assembled(whole.pieces, whole.text, tuple(loras.values()), tuple(dict.fromkeys(notes)))


def _named(parts: Parts, values: Mapping[str, str], presets: Presets) -> Parts:
    """With the value of a variable where a part is nothing but that variable, for it may be a name."""

    def filled(part: str, said: str) -> str:
        value = values.get(only_variable(said), "")
        return value if presets.has(part, value) else said

    named = replace(
        parts,
        use=filled("use", parts.use),
        context=filled("context", parts.context),
        style=filled("style", parts.style),
        season=filled("season", parts.season),
        quality=parts.quality and filled("quality", parts.quality),
    )
    if named.use and named.use not in presets.uses:
        near = difflib.get_close_matches(named.use, presets.uses, n=1)
        todo = f'Did you mean "{near[0]}"?' if near else f"There are {listed(presets.uses)}."
        raise BadInput("parts.use", f"There is no use called {shown(named.use)}.", todo=todo)
    return named


def _known(phrases: str, knows: Callable[[str], bool], notes: list[str], chosen: bool) -> str:
    """The phrases that the model knows. chosen: a person asked for them, and if it knows none all of them stay."""
    items = [phrase.strip() for phrase in phrases.split(",")]
    kept = [phrase for phrase in items if knows(phrase)]
    if len(kept) == len(items) or (chosen and not kept):
        return phrases
    notes.append(f"Left out, for this model does not know the words: {', '.join(phrase for phrase in items if phrase not in kept)}.")
    return ", ".join(kept)


def _without_repeats(written: Iterable[tuple[Kind, str, str]]) -> list[tuple[Kind, str, str]]:
    """A token that the presets say twice (of a use and of a place) stands once."""
    seen: set[str] = set()
    once: list[tuple[Kind, str, str]] = []
    for kind, words, of in written:
        if kind in ("style", "season", "composition", "technical"):
            items = dict.fromkeys(item.strip() for item in words.split(","))
            words = ", ".join(item for item in items if item and item.lower() not in seen)
            seen.update(item.lower() for item in items)
        if words:
            once.append((kind, words, of))
    return once


def _joined(written: Sequence[tuple[Kind, str, str]]) -> Assembled:
    whole = ""
    pieces: list[Piece] = []
    for kind, words, of in written:
        if whole:
            goes_on = (of or kind) in _PLACED and _GOES_ON.match(words)
            whole = f"{whole} " if goes_on or _LEADS.search(whole) else f"{whole} " if whole[-1] in ",;.!?" else f"{whole}, "
        pieces.append(Piece(kind, words, len(whole), len(whole) + len(words), of))
        whole += words
    return Assembled(tuple(pieces), whole)


def _edited(base: Assembled, edit: str) -> Assembled:
    """The text as a person rewrote it: words that stand as they stood keep their kinds, the others are an edit."""
    old, new = (re.findall(r"\w+|\s+|[^\w\s]", words) for words in (base.text, edit))
    kinds: list[Piece | None] = []
    for piece in base.pieces:
        kinds += [None] * (piece.start - len(kinds)) + [piece] * (piece.end - piece.start)
    kinds += [None] * (len(base.text) - len(kinds))
    runs: list[tuple[int, int, Piece | None]] = []  # of the new text; None: an edit
    if len(old) <= ALIGNED_LIMIT and len(new) <= ALIGNED_LIMIT:
        at_old, at_new = _offsets(old), _offsets(new)
        for i, j, count in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
            runs += [(at_new[j + k], at_new[j + k + 1], kinds[at_old[i + k]] or _GAP) for k in range(count)]
    pieces: list[Piece] = []
    at = 0
    for start, end, of in (*runs, (len(edit), len(edit), _GAP)):
        if at < start:
            pieces.append(Piece("edit", edit[at:start], at, start))
        if of is not _GAP and of is not None:
            last = pieces[-1] if pieces else None
            if last and (last.kind, last.of, last.end) == (of.kind, of.of, start):
                pieces[-1] = Piece(of.kind, edit[last.start : end], last.start, end, of.of)
            else:
                pieces.append(Piece(of.kind, edit[start:end], start, end, of.of))
        at = end
    return Assembled(tuple(pieces), edit)


_GAP = Piece("edit", "", 0, 0)


def _offsets(words: Sequence[str]) -> list[int]:
    at = [0]
    for word in words:
        at.append(at[-1] + len(word))
    return at
