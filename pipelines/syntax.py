"""The syntax people know from other studios: `{a|b|c}`, `{2$$, $$a|b|c}`, `__wildcard__`, `<lora:name:0.8>`, `(word:1.2)`.

`expand` draws one prompt from a text. A text is parsed once, however many are drawn from it; the same seed draws the same prompt on every
machine. Declared variables (`$product` or `${product}`; `$$` is a dollar) are filled first and stay what they are: a value with `{a|b}`,
`__x__` or `<lora:..>` in it is plain text. So is a mark behind a backslash: `\\{`, `\\_`, `\\(`.

The grammar inside braces is that of `dynamicprompts` (its weights `{3::a|b}`, ranges `{1-2$$ and $$a|b}` and nesting too), less its
comments, variables and samplers; what it reads is compiled to a small tree that draws quickly.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random
from typing import TYPE_CHECKING, Protocol

from models.errors import BadInput
from pipelines.fields import NAME_LIMIT, shown
from pipelines.request import LORA_WEIGHT_LIMIT, LoraChoice

if TYPE_CHECKING:
    from dynamicprompts.commands import Command

TEXT_LIMIT = 20_000  # characters, read or written
DEEPEST = 10  # braces in braces, and lists that name lists
BRACES_LIMIT, OPTIONS_LIMIT = 200, 1_000  # in one text: reading each takes the grammar a millisecond
DRAWS_LIMIT = 5_000  # choices in one expansion: lists that name lists multiply
VARIABLE = re.compile(r"[a-z](?:_?[a-z0-9])*", re.ASCII)
WILDCARD = re.compile(r"[a-zA-Z0-9*](?:_?[a-zA-Z0-9 .*/-])*", re.ASCII)

_VARIABLE = re.compile(rf"\$(?:\{{({VARIABLE.pattern})\}}|({VARIABLE.pattern}))", re.ASCII)
_WILDCARD = re.compile(rf"__({WILDCARD.pattern})__", re.ASCII)
_HEAD = re.compile(r"\s*([~!@]?)\s*(?:(\d{1,9}-\d{1,9}|\d{1,9}-|-\d{1,9}|\d{1,9})\$\$(?:([^${}]*)\$\$)?)?", re.ASCII)
_WEIGHED = re.compile(r"\s*(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})::(.*)", re.ASCII | re.DOTALL)
_LORA = re.compile(r"<lora:([^:<>]+)(?::([^:<>]*))?((?::[^:<>]*)*)>")
_WEIGHT = re.compile(r"\(([^()]*?):\s*(\d{1,3}(?:\.\d{0,6})?|\.\d{1,6})\s*\)", re.ASCII)
_EMPTY_ITEMS = re.compile(r"\s*,(?:\s*,)+")
_PLAIN = re.compile(r"[^\\{}$_#%/<>(]+")
# Literal text travels as one character of a private plane each, so that nothing in it is taken for syntax.
_FIRST_MASK = 0xF0000
_MASKS = re.compile("([\U000f0000-\U0010ffff])")


class Wildcards(Protocol):
    """Lists of words by name."""

    def lines(self, name: str) -> tuple[str, ...]:
        """The lines (at least one) of a list, or of all lists that a name with * fits. Raises BadInput, on "prompt", if there is none."""


class NoWildcards:
    """Where no lists are at hand."""

    def lines(self, name: str) -> tuple[str, ...]:
        raise BadInput("prompt", f"There is no list of words called __{name}__.", "No wildcards are at hand here.")


@dataclass(frozen=True)
class Expanded:
    """One prompt. loras: those it names, each once, in order. notes: sentences on what was understood and has no effect."""

    text: str
    loras: tuple[LoraChoice, ...] = ()
    notes: tuple[str, ...] = ()


def expand(text: str, seed: int, wildcards: Wildcards | None = None, values: Mapping[str, str] | None = None, salt: str = "") -> Expanded:
    """One prompt drawn from `text`, always the same for the same seed, salt and lists.

    values: of the declared variables by name; None: a `$` means nothing. salt: makes several texts of one request independent.
    A text without any syntax comes back as it is. Raises BadInput on the field "prompt" (with the place in the text), or on
    "values.NAME" for a variable without a value, and nothing else whatever the text.
    """
    drawing = _Drawing(Random(f"{seed}:{salt}"), wildcards or NoWildcards(), values or {})
    drawing.sequence(_parse(text, None if values is None else frozenset(values)), 0)
    found, table, notes = "".join(drawing.out), drawing.literals, drawing.notes
    found, loras = _take_loras(found, table, notes)
    found = _take_weights(found, table, notes)
    if loras or drawing.draws:  # what is left of an empty choice
        found = _EMPTY_ITEMS.sub(",", found).strip().strip(",").strip()
    found = found.translate(table)
    if len(found) > TEXT_LIMIT:
        raise BadInput("prompt", f"The prompt expands to {len(found)} characters; {TEXT_LIMIT} are the most.", todo="Shorten it.")
    return Expanded(found, loras, tuple(dict.fromkeys(notes)))


def variables(text: str) -> tuple[str, ...]:
    """The names of the variables that a template's text uses, each once, in order. Raises BadInput as `expand` does."""
    masks = _Masks()
    _Scanner(text, lambda _name: True, masks).parts()
    return tuple(masks.names.values())


def only_variable(text: str) -> str:
    """The name, if the text is one variable and nothing else; "" if not."""
    found = _VARIABLE.fullmatch(text.strip())
    return (found[1] or found[2]) if found else ""


def check_line(text: str) -> None:
    """Raises BadInput, as `expand` would, for a line of a list that cannot be read."""
    weighed = _WEIGHED.match(text)
    _parse(weighed[2] if weighed else text, None)


def escaped(text: str) -> str:
    """`text` so written that `expand` gives it back as it is."""
    return re.sub(r"[\\{}$]|_(?=_)|(?<=_)_|<(?=lora:)|\((?=[^()]*:)", r"\\\g<0>", text)


# A text as a tree. Leaves are texts with nothing but LoRAs and weights in them, literal texts, variables, and lists of words.


@dataclass(frozen=True)
class _Literal:
    text: str


@dataclass(frozen=True)
class _Variable:
    name: str


@dataclass(frozen=True)
class _Wild:
    name: str


@dataclass(frozen=True)
class _Line:
    """A line of a list of words, parsed when it is drawn."""

    text: str
    of: str


@dataclass(frozen=True)
class _Choice:
    """low..high of the options, drawn without putting back and joined by `separator`. weights: finite, >= 0, not all of them 0."""

    options: tuple[tuple[_Node, ...], ...]
    weights: tuple[float, ...]
    low: int = 1
    high: int = 1
    separator: str = ","

    @cached_property
    def sums(self) -> tuple[float, ...]:
        return tuple(itertools.accumulate(self.weights))


_Node = str | _Literal | _Variable | _Wild | _Line | _Choice


@lru_cache(maxsize=4096)
def _parse(text: str, names: frozenset[str] | None) -> tuple[_Node, ...]:
    if len(text) > TEXT_LIMIT:
        raise BadInput("prompt", f"The prompt has {len(text)} characters; {TEXT_LIMIT} are the most.", todo="Shorten it.")
    masks = _Masks()
    nodes: list[_Node] = []
    for part in _Scanner(text, names.__contains__ if names is not None else None, masks).parts():
        if isinstance(part, str):
            nodes.extend(masks.leaves(part))
        else:
            nodes.append(part if isinstance(part, _Wild) else _compile(part, masks))
    return tuple(nodes)


@lru_cache(maxsize=256)
def _listed(lines: tuple[str, ...], name: str) -> _Choice:
    """A list of words as a choice among its lines, which may carry weights ("3::red")."""
    weighed = [(float(found[1]), found[2]) if (found := _WEIGHED.match(line)) else (1.0, line) for line in lines]
    _check_weights([weight for weight, _ in weighed], f"The weights of the list __{name}__")
    return _Choice(tuple((_Line(text, name),) for _, text in weighed), tuple(weight for weight, _ in weighed))


def _check_weights(weights: Sequence[float], what: str) -> None:
    if not (all(weight >= 0 for weight in weights) and 0 < sum(weights) < math.inf):
        raise BadInput("prompt", f"{what} leave nothing to draw.", todo="Write weights like {3::a|1::b}.")


class _Masks:
    """Characters that stand for literal texts and for variables while the syntax around them is read."""

    def __init__(self) -> None:
        self.literals: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self._masks: dict[tuple[bool, str], str] = {}

    def literal(self, text: str) -> str:
        return self._mask(self.literals, False, text)

    def variable(self, name: str) -> str:
        return self._mask(self.names, True, name)

    def leaves(self, text: str) -> list[_Node]:
        leaves: list[_Node] = []
        for piece in _MASKS.split(text):
            if piece in self.names:
                leaves.append(_Variable(self.names[piece]))
            elif piece in self.literals:
                leaves.append(_Literal(self.literals[piece]))
            elif piece:
                leaves.append(piece)
        return leaves

    def _mask(self, kept: dict[str, str], variable: bool, text: str) -> str:
        mask = self._masks.setdefault((variable, text), chr(_FIRST_MASK + len(self._masks)))
        kept[mask] = text
        return mask


@dataclass(frozen=True)
class _Group:
    """Braces and what is between them, masked. start: where they open in the text. separators: of the choices, named by number."""

    text: str
    start: int
    separators: tuple[str, ...]


class _Scanner:
    """Cuts a text at its syntax in one pass: braces in pairs, and wildcards; marks that would mean more to the grammar are masked.

    known: whether a variable is declared; None: there are no variables.
    """

    def __init__(self, text: str, known: Callable[[str], bool] | None, masks: _Masks) -> None:
        self.text, self.known, self.masks = text, known, masks

    def parts(self) -> list[str | _Wild | _Group]:
        parts: list[str | _Wild | _Group] = []
        opened: list[int] = []
        inner: list[str] = []
        separators: list[str] = []
        at = braces = 0
        while at < len(self.text):
            if self.text[at] == "{":
                if len(opened) == DEEPEST:
                    raise self._bad(at, f"Braces stand at most {DEEPEST} deep in braces")
                braces += 1
                if braces > BRACES_LIMIT:
                    raise self._bad(at, f"A text may hold {BRACES_LIMIT} pairs of braces")
                if self.text.count("|", at) > OPTIONS_LIMIT:
                    raise self._bad(at, f"A text may hold {OPTIONS_LIMIT} choices", "Put longer lists into a list of words: __name__.")
                opened.append(at)
                head = _HEAD.match(self.text, at + 1)
                assert head is not None  # all of it is optional
                inner.append("{")
                if head[2]:
                    inner.append(f"{head[2]}$${len(separators)}$$")
                    separators.append("," if head[3] is None else head[3])
                at = head.end()
            elif self.text[at] == "}" and opened:
                start = opened.pop()
                inner.append("}")
                at += 1
                if not opened:
                    parts.append(_Group("".join(inner), start, tuple(separators)))
                    inner, separators = [], []
            else:
                piece, at = self._piece(at)
                if not opened:
                    parts.append(piece)
                else:
                    inner.append(f"__{piece.name}__" if isinstance(piece, _Wild) else piece)
        if opened:
            raise self._bad(opened[-1], 'The brace "{" is never closed', 'Close it with "}", or write "\\{" for a brace as such.')
        return parts

    def _piece(self, at: int) -> tuple[str | _Wild, int]:
        """What stands at a place that is no brace of a group, and where it ends."""
        plain = _PLAIN.match(self.text, at)
        if plain:
            return _MASKS.sub(lambda found: self.masks.literal(found[0]), plain[0]), plain.end()
        character = self.text[at]
        if character == "\\" and self.text[at + 1 : at + 2] in tuple("\\{}|$_<()[]"):
            return self.masks.literal(self.text[at + 1]), at + 2
        if character == "$" and self.known is not None:
            if self.text.startswith("$$", at):
                return self.masks.literal("$"), at + 2
            if found := _VARIABLE.match(self.text, at):
                name = found[1] or found[2]
                if not self.known(name):
                    todo = "Declare it and give it a value, or write $$ for a dollar sign."
                    raise BadInput(f"values.{name}", f"The variable ${name} has no value.", todo=todo)
                return self.masks.variable(name), found.end()
        if character == "_":
            if wild := _WILDCARD.match(self.text, at):
                return _Wild(wild[1]), wild.end()
            return self.masks.literal("_"), at + 1
        # What LoRAs and weights are written with stays readable.
        return (character if character in "<>(" else self.masks.literal(character)), at + 1

    def _bad(self, at: int, what: str, todo: str = "") -> BadInput:
        return BadInput("prompt", f"{what}: character {at + 1}, {shown(self.text[at : at + 40])}.", todo=todo)


# One grammar for all threads: its library does not promise to be safe for several at once.
_GRAMMAR = threading.Lock()


def _compile(group: _Group, masks: _Masks) -> _Choice:
    from dynamicprompts.parser.parse import parse
    from pyparsing import ParseBaseException

    try:
        with _GRAMMAR:
            command = parse(group.text)
    except (ParseBaseException, ValueError) as error:
        todo = "Write {a|b|c}, or {2$$, $$a|b|c} for two of them."
        raise BadInput("prompt", f"The braces at character {group.start + 1} cannot be read.", todo=todo) from error
    nodes = _nodes(command, group, masks)
    return nodes[0] if len(nodes) == 1 and isinstance(nodes[0], _Choice) else _Choice((nodes,), (1.0,))


def _nodes(command: Command, group: _Group, masks: _Masks) -> tuple[_Node, ...]:
    """A command of dynamicprompts as a tree of ours."""
    from dynamicprompts.commands import LiteralCommand, SequenceCommand, VariantCommand, WildcardCommand

    if isinstance(command, LiteralCommand):
        return tuple(masks.leaves(command.literal))
    if isinstance(command, SequenceCommand):
        return tuple(node for token in command.tokens for node in _nodes(token, group, masks))
    if isinstance(command, WildcardCommand) and isinstance(command.wildcard, str):
        return (_Wild(command.wildcard),)
    if isinstance(command, VariantCommand):
        weights = tuple(float(weight) for weight in command.weights)
        _check_weights(weights, f"The weights in the braces at character {group.start + 1}")
        options = tuple(_nodes(value, group, masks) for value in command.values)
        separator = group.separators[int(command.separator)] if command.separator.isdecimal() else command.separator
        return (_Choice(options, weights, command.min_bound, command.max_bound, separator),)
    raise BadInput("prompt", f"The braces at character {group.start + 1} hold a command that this studio does not take.")


class _Drawing:
    """One walk through a tree. out: the text so far. literals: what its masks stand for, by their codes."""

    def __init__(self, random: Random, wildcards: Wildcards, values: Mapping[str, str]) -> None:
        self.random, self.wildcards, self.values = random, wildcards, values
        self.out: list[str] = []
        self.notes: list[str] = []
        self.literals: dict[int, str] = {}
        self.draws = 0

    def sequence(self, nodes: Sequence[_Node], depth: int) -> None:
        for node in nodes:
            if isinstance(node, str):
                self.out.append(node)
            elif isinstance(node, _Choice):
                self._choose(self._spread(node), depth)
            elif isinstance(node, _Wild):
                self._choose(_listed(self.wildcards.lines(node.name), node.name), depth + 1)
            elif isinstance(node, _Line):
                self._line(node, depth)
            else:
                self._literal(node.text if isinstance(node, _Literal) else self.values[node.name])

    def _literal(self, text: str) -> None:
        code = _FIRST_MASK + len(self.literals)
        self.literals[code] = text
        self.out.append(chr(code))

    def _line(self, line: _Line, depth: int) -> None:
        if depth > DEEPEST:
            raise BadInput("prompt", f"The list __{line.of}__ is {DEEPEST} lists deep.", "A list names itself.", "Mend that list.")
        try:
            nodes = _parse(line.text, None)
        except BadInput as error:
            raise BadInput("prompt", f"In the list __{line.of}__: {error.what}", error.why, error.todo) from error
        self.sequence(nodes, depth)

    def _choose(self, choice: _Choice, depth: int) -> None:
        self.draws += 1
        if self.draws > DRAWS_LIMIT:
            raise BadInput("prompt", f"The prompt makes more than {DRAWS_LIMIT} choices.", "Its lists name one another.", "Use fewer.")
        low, high = min(choice.low, len(choice.options)), min(choice.high, len(choice.options))
        if low == high == 1:
            self.sequence(choice.options[self._one(choice.sums)], depth)
            return
        weights = list(choice.weights)
        for place in range(low + int(self.random.random() * (high - low + 1))):
            sums = tuple(itertools.accumulate(weights))
            if not sums[-1] > 0:
                return
            drawn = self._one(sums)
            weights[drawn] = 0.0
            if place:
                self._literal(choice.separator) if choice.separator.strip() != "," else self.out.append(choice.separator)
            self.sequence(choice.options[drawn], depth)

    def _one(self, sums: Sequence[float]) -> int:
        """A place drawn by the running sums of weights."""
        return min(bisect.bisect_right(sums, self.random.random() * sums[-1]), bisect.bisect_left(sums, sums[-1]))

    def _spread(self, choice: _Choice) -> _Choice:
        """`{2$$__colours__}` takes two lines of the list."""
        only = choice.options[0]
        if len(choice.options) > 1 or choice.high <= 1 or len(only) != 1 or not isinstance(only[0], _Wild):
            return choice
        listed = _listed(self.wildcards.lines(only[0].name), only[0].name)
        return _Choice(listed.options, listed.weights, choice.low, choice.high, choice.separator)


# What is read after drawing, for a choice may hold it: LoRAs and weights of words.


def _take_loras(text: str, table: Mapping[int, str], notes: list[str]) -> tuple[str, tuple[LoraChoice, ...]]:
    if "<lora:" not in text:
        return text, ()
    loras: dict[str, float] = {}

    def take(found: re.Match[str]) -> str:
        name, weight = found[1].translate(table).strip(), (found[2] or "1").translate(table).strip()
        if not name or len(name) > NAME_LIMIT:
            raise BadInput("prompt", f"{shown(found[0].translate(table))} names no LoRA.", todo="Write <lora:name:0.8>.")
        number = float(weight) if re.fullmatch(r"[+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})", weight, re.ASCII) else math.nan
        if not abs(number) <= LORA_WEIGHT_LIMIT:
            span = f"{-LORA_WEIGHT_LIMIT:g} to {LORA_WEIGHT_LIMIT:g}"
            raise BadInput("prompt", f"The weight of the LoRA {shown(name)} must be {span}; this is {shown(weight)}.")
        if found[3]:
            notes.append(f"<lora:{name}:...> gives several weights; the first, {number:g}, counts for all of it.")
        loras[name] = number
        return ""

    return _LORA.sub(take, text), tuple(LoraChoice(name, weight) for name, weight in loras.items())


def _take_weights(text: str, table: Mapping[int, str], notes: list[str]) -> str:
    """Leaves out the numbers of `(word:1.2)`: the encoders of Flux read words without weights, and would read the marks as words."""
    while "(" in text and (found := _WEIGHT.search(text)):
        words = found[1].translate(table)
        notes.append(f"({words}:{found[2]}) has no effect: T5 and language models read words without weights. The words stay.")
        text = text[: found.start()] + found[1] + text[found.end() :]
    return text
