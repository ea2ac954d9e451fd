"""The grammar of prompts as a tree: what `pipelines.syntax` draws from.

A text is cut at its syntax in one pass; what is between braces is read by the grammar of `dynamicprompts` and compiled to a small tree
that draws quickly. Trees are kept, so that a text is parsed once however many prompts are drawn from it.
"""
from __future__ import annotations

import itertools
import math
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from models.errors import BadInput
from pipelines.fields import shown

if TYPE_CHECKING:
    from dynamicprompts.commands import Command

TEXT_LIMIT = 20_000  # characters, read or written
DEEPEST = 10  # braces in braces, and lists that name lists
BRACES_LIMIT, OPTIONS_LIMIT = 200, 1_000  # in one text: reading each takes the grammar a millisecond
VARIABLE = re.compile(r"[a-z](?:_?[a-z0-9])*", re.ASCII)
WILDCARD = re.compile(r"[a-zA-Z0-9*](?:_?[a-zA-Z0-9 .*/-])*", re.ASCII)

_VARIABLE = re.compile(rf"\$(?:\{{({VARIABLE.pattern})\}}|({VARIABLE.pattern}))", re.ASCII)
_WILDCARD = re.compile(rf"__({WILDCARD.pattern})__", re.ASCII)
_HEAD = re.compile(r"\s*([~!@]?)\s*(?:(\d{1,9}-\d{1,9}|\d{1,9}-|-\d{1,9}|\d{1,9})\$\$(?:([^${}]*)\$\$)?)?", re.ASCII)
_WEIGHED = re.compile(r"\s*(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})::(.*)", re.ASCII | re.DOTALL)
_PLAIN = re.compile(r"[^\\{}$_#%/<>(]+")
# Literal text travels as one character of a private plane each, so that nothing in it is taken for syntax.
FIRST_MASK = 0xF0000
_MASKS = re.compile("([\U000f0000-\U0010ffff])")


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
    parse(weighed[2] if weighed else text, None)


# A text as a tree. Leaves are texts with nothing but LoRAs and weights in them, literal texts, variables, and lists of words.


@dataclass(frozen=True)
class Literal:
    text: str


@dataclass(frozen=True)
class Variable:
    name: str


@dataclass(frozen=True)
class Wild:
    name: str


@dataclass(frozen=True)
class Line:
    """A line of a list of words, parsed when it is drawn."""

    text: str
    of: str


@dataclass(frozen=True)
class Choice:
    """low..high of the options, drawn without putting back and joined by `separator`. weights: finite, >= 0, not all of them 0."""

    options: tuple[tuple[Node, ...], ...]
    weights: tuple[float, ...]
    low: int = 1
    high: int = 1
    separator: str = ","

    @cached_property
    def sums(self) -> tuple[float, ...]:
        return tuple(itertools.accumulate(self.weights))


Node = str | Literal | Variable | Wild | Line | Choice


@lru_cache(maxsize=4096)
def parse(text: str, names: frozenset[str] | None) -> tuple[Node, ...]:
    """A text as a tree. names: of the declared variables; None: a `$` means nothing. Raises BadInput with the place in the text."""
    if len(text) > TEXT_LIMIT:
        raise BadInput("prompt", f"The prompt has {len(text)} characters; {TEXT_LIMIT} are the most.", todo="Shorten it.")
    masks = _Masks()
    nodes: list[Node] = []
    for part in _Scanner(text, names.__contains__ if names is not None else None, masks).parts():
        if isinstance(part, str):
            nodes.extend(masks.leaves(part))
        else:
            nodes.append(part if isinstance(part, Wild) else _compile(part, masks))
    return tuple(nodes)


@lru_cache(maxsize=256)
def listed(lines: tuple[str, ...], name: str) -> Choice:
    """A list of words as a choice among its lines, which may carry weights ("3::red"). Raises BadInput if they leave nothing to draw."""
    weighed = [(float(found[1]), found[2]) if (found := _WEIGHED.match(line)) else (1.0, line) for line in lines]
    _check_weights([weight for weight, _ in weighed], f"The weights of the list __{name}__")
    return Choice(tuple((Line(text, name),) for _, text in weighed), tuple(weight for weight, _ in weighed))


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

    def leaves(self, text: str) -> list[Node]:
        leaves: list[Node] = []
        for piece in _MASKS.split(text):
            if piece in self.names:
                leaves.append(Variable(self.names[piece]))
            elif piece in self.literals:
                leaves.append(Literal(self.literals[piece]))
            elif piece:
                leaves.append(piece)
        return leaves

    def _mask(self, kept: dict[str, str], variable: bool, text: str) -> str:
        mask = self._masks.setdefault((variable, text), chr(FIRST_MASK + len(self._masks)))
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

    def parts(self) -> list[str | Wild | _Group]:
        parts: list[str | Wild | _Group] = []
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
                    inner.append(f"__{piece.name}__" if isinstance(piece, Wild) else piece)
        if opened:
            raise self._bad(opened[-1], 'The brace "{" is never closed', 'Close it with "}", or write "\\{" for a brace as such.')
        return parts

    def _piece(self, at: int) -> tuple[str | Wild, int]:
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
                return Wild(wild[1]), wild.end()
            return self.masks.literal("_"), at + 1
        # What LoRAs and weights are written with stays readable.
        return (character if character in "<>(" else self.masks.literal(character)), at + 1

    def _bad(self, at: int, what: str, todo: str = "") -> BadInput:
        return BadInput("prompt", f"{what}: character {at + 1}, {shown(self.text[at : at + 40])}.", todo=todo)


# One grammar for all threads: its library does not promise to be safe for several at once.
_GRAMMAR = threading.Lock()


def _compile(group: _Group, masks: _Masks) -> Choice:
    from dynamicprompts.parser.parse import parse as read
    from pyparsing import ParseBaseException

    try:
        with _GRAMMAR:
            command = read(group.text)
    except (ParseBaseException, ValueError) as error:
        todo = "Write {a|b|c}, or {2$$, $$a|b|c} for two of them."
        raise BadInput("prompt", f"The braces at character {group.start + 1} cannot be read.", todo=todo) from error
    nodes = _nodes(command, group, masks)
    return nodes[0] if len(nodes) == 1 and isinstance(nodes[0], Choice) else Choice((nodes,), (1.0,))


def _nodes(command: Command, group: _Group, masks: _Masks) -> tuple[Node, ...]:
    """A command of dynamicprompts as a tree of ours."""
    from dynamicprompts.commands import LiteralCommand, SequenceCommand, VariantCommand, WildcardCommand

    if isinstance(command, LiteralCommand):
        return tuple(masks.leaves(command.literal))
    if isinstance(command, SequenceCommand):
        return tuple(node for token in command.tokens for node in _nodes(token, group, masks))
    if isinstance(command, WildcardCommand) and isinstance(command.wildcard, str):
        return (Wild(command.wildcard),)
    if isinstance(command, VariantCommand):
        weights = tuple(float(weight) for weight in command.weights)
        _check_weights(weights, f"The weights in the braces at character {group.start + 1}")
        options = tuple(_nodes(value, group, masks) for value in command.values)
        separator = group.separators[int(command.separator)] if command.separator.isdecimal() else command.separator
        return (Choice(options, weights, command.min_bound, command.max_bound, separator),)
    raise BadInput("prompt", f"The braces at character {group.start + 1} hold a command that this studio does not take.")
