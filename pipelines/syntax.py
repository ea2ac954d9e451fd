"""The syntax people know from other studios: `{a|b|c}`, `{2$$, $$a|b|c}`, `__wildcard__`, `<lora:name:0.8>`, `(word:1.2)`.

`expand` draws one prompt from a text. A text is parsed once, however many are drawn from it; the same seed draws the same prompt on every
machine. Declared variables (`$product` or `${product}`; `$$` is a dollar) are filled first and stay what they are: a value with `{a|b}`,
`__x__` or `<lora:..>` in it is plain text. So is a mark behind a backslash: `\\{`, `\\_`, `\\(`.

The grammar inside braces is that of `dynamicprompts` (its weights `{3::a|b}`, ranges `{1-2$$ and $$a|b}` and nesting too), less its
comments, variables and samplers; `pipelines.grammar` reads it.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from models.errors import BadInput
from pipelines.fields import NAME_LIMIT, shown
from pipelines.grammar import DEEPEST, FIRST_MASK, TEXT_LIMIT, Choice, Line, Literal, Node, Wild, listed, parse
from pipelines.request import LORA_WEIGHT_LIMIT, LoraChoice

DRAWS_LIMIT = 5_000  # choices in one expansion: lists that name lists multiply

_LORA = re.compile(r"<lora:([^:<>]+)(?::([^:<>]*))?((?::[^:<>]*)*)>")
_WEIGHT = re.compile(r"\(([^()]*?):\s*(\d{1,3}(?:\.\d{0,6})?|\.\d{1,6})\s*\)", re.ASCII)
_EMPTY_ITEMS = re.compile(r"\s*,(?:\s*,)+")


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
    drawing.sequence(parse(text, None if values is None else frozenset(values)), 0)
    found, table, notes = "".join(drawing.out), drawing.literals, drawing.notes
    found, loras = _take_loras(found, table, notes)
    found = _take_weights(found, table, notes)
    if loras or drawing.draws:  # what is left of an empty choice
        found = _EMPTY_ITEMS.sub(",", found).strip().strip(",").strip()
    found = found.translate(table)
    if len(found) > TEXT_LIMIT:
        raise BadInput("prompt", f"The prompt expands to {len(found)} characters; {TEXT_LIMIT} are the most.", todo="Shorten it.")
    return Expanded(found, loras, tuple(dict.fromkeys(notes)))


def escaped(text: str) -> str:
    """`text` so written that `expand` gives it back as it is."""
    return re.sub(r"[\\{}$]|_(?=_)|(?<=_)_|<(?=lora:)|\((?=[^()]*:)", r"\\\g<0>", text)


class _Drawing:
    """One walk through a tree. out: the text so far. literals: what its masks stand for, by their codes."""

    def __init__(self, random: Random, wildcards: Wildcards, values: Mapping[str, str]) -> None:
        self.random, self.wildcards, self.values = random, wildcards, values
        self.out: list[str] = []
        self.notes: list[str] = []
        self.literals: dict[int, str] = {}
        self.draws = 0

    def sequence(self, nodes: Sequence[Node], depth: int) -> None:
        for node in nodes:
            if isinstance(node, str):
                self.out.append(node)
            elif isinstance(node, Choice):
                self._choose(self._spread(node), depth)
            elif isinstance(node, Wild):
                self._choose(listed(self.wildcards.lines(node.name), node.name), depth + 1)
            elif isinstance(node, Line):
                self._line(node, depth)
            else:
                self._literal(node.text if isinstance(node, Literal) else self.values[node.name])

    def _literal(self, text: str) -> None:
        code = FIRST_MASK + len(self.literals)
        self.literals[code] = text
        self.out.append(chr(code))

    def _line(self, line: Line, depth: int) -> None:
        if depth > DEEPEST:
            raise BadInput("prompt", f"The list __{line.of}__ is {DEEPEST} lists deep.", "A list names itself.", "Mend that list.")
        try:
            nodes = parse(line.text, None)
        except BadInput as error:
            raise BadInput("prompt", f"In the list __{line.of}__: {error.what}", error.why, error.todo) from error
        self.sequence(nodes, depth)

    def _choose(self, choice: Choice, depth: int) -> None:
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

    def _spread(self, choice: Choice) -> Choice:
        """`{2$$__colours__}` takes two lines of the list."""
        only = choice.options[0]
        if len(choice.options) > 1 or choice.high <= 1 or len(only) != 1 or not isinstance(only[0], Wild):
            return choice
        lines = listed(self.wildcards.lines(only[0].name), only[0].name)
        return Choice(lines.options, lines.weights, choice.low, choice.high, choice.separator)


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
