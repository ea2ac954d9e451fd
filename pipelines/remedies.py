"""Remedies: what a retry changes when most of a round failed for one reason that names its cause. Data in presets/remedies.toml.

New seeds alone mend what was bad luck; words that the model did not follow, or letters that nobody asked for, come back with every
seed. A remedy is added to the words as they are; one of the last rounds may take their place, and lets go what was asked for beside the
thing itself. Either way the result is measured against what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.embedded.captions import gist, plainly
from models.presets import presets_folder
from models.spec import ImageSpec
from models.toml import Table

PROMPT_LIMIT, NEGATIVE_LIMIT = 200, 200
NAMED, GIST = "{named}", "{gist}"


@dataclass(frozen=True)
class Remedy:
    """For pictures that failed `dimension`: words added to the prompt and to the negative prompt (where the model reads one), and a
    factor on the guidance, kept within the model's range. card: "" for every model, else the only one it is for. after: retries that were
    in vain before it. NAMED in the words stands for what the prompt names of the embedded model's world, said plainly; such words come
    first. With GIST they take the place of the prompt, and it stands for the same with the style and the sign that were asked for."""

    dimension: str
    card: str
    prompt: str
    negative: str
    guidance: float
    after: int = 0

    def applied(self, spec: ImageSpec, negative: bool, guidance: tuple[float, float] | None) -> ImageSpec:
        """`spec` with the change. negative: whether the model reads a negative prompt; guidance: its range, None where it takes none."""
        changed = replace(spec, prompt=self._said(spec.prompt))
        if negative:
            changed = replace(changed, negative=_joined(spec.negative, self.negative))
        if guidance is not None:
            changed = replace(changed, guidance=min(guidance[1], max(guidance[0], spec.guidance * self.guidance)))
        return changed

    def _said(self, prompt: str) -> str:
        if GIST in self.prompt:
            found = gist(prompt)
            return self.prompt.replace(GIST, found) if found else prompt
        if NAMED not in self.prompt:
            return _joined(prompt, self.prompt)
        plain = plainly(prompt)
        # In front: what comes first counts most, and the end of a long prompt is cut.
        return _joined(self.prompt.replace(NAMED, plain), prompt) if plain and not prompt.startswith(plain) else prompt


def load_remedies(presets_dir: Path | str | None = None) -> tuple[Remedy, ...]:
    """Those below `presets_dir` (default: those that ship). Raises BadInput with file and dotted key."""
    top = Table.of_file((Path(presets_dir) if presets_dir else presets_folder()) / "remedies.toml")
    remedies = []
    for name in top.data:
        table = top.table(name)
        remedies.append(
            Remedy(
                dimension=table.text("dimension"),
                card=table.text("card", ""),
                prompt=table.text("prompt", ""),
                negative=table.text("negative", ""),
                guidance=table.number("guidance", 1.0, low=0.25, high=4),
                after=table.whole("after", 0, low=0, high=8),
            )
        )
        table.done()
        if remedies[-1].prompt == remedies[-1].negative == "" and remedies[-1].guidance == 1:
            raise top.bad(name, "changes nothing")
    return tuple(remedies)


def remedy_for(causes: Mapping[str, int], rejected: int, card: str, remedies: Sequence[Remedy], retries: int = 0) -> Remedy | None:
    """The remedy for the dimension that rejected most, if it rejected more than half of the `rejected`; None where none is known.

    causes: how many each dimension rejected, the commonest first. One for just this card goes before one for every card, and of those the
    one for after the most of the `retries` that were in vain.
    """
    dimension, count = next(iter(causes.items()), ("", 0))
    if 2 * count <= rejected:
        return None
    fitting = [one for one in remedies if one.dimension == dimension.partition(":")[0] and one.card in ("", card) and one.after <= retries]
    return max(fitting, key=lambda one: (one.card, one.after), default=None)


def _joined(words: str, more: str) -> str:
    """`more` after `words`, unless it is there already."""
    if not more or more.casefold() in words.casefold():
        return words
    return f"{words.rstrip(' .,')}, {more}" if words else more
