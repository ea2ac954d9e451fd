"""Whether a picture fits its prompt better than the same prompt with one thing changed: a chair, not a lamp; blue, not teal.

An adherence by itself is compared with a threshold that must do for every prompt, so a picture of the wrong thing in the right place
passes where prompts score high. Here the prompt's own neighbours are the threshold: zero-shot classification (Radford et al.,
"Learning Transferable Visual Models From Natural Language Supervision", 2021) among wordings that differ in the object, the colour or
the place alone. It needs to know which words those are, so it measures pictures of the embedded model's world and of no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from models.embedded.captions import CONTRASTS, read
from models.scorers.clip import WEIGHTS, Clip, clip_in, fingerprint
from models.spec import Score, ScoreContext
from models.threads import compute

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

READING = "2"  # part of the version: prompts are read in another way than by the one before
KEPT_PROMPTS = 32  # whose neighbours' places are kept: drafts and finals of a job ask for the same ones


class Contrast:
    """The least, over object, colour and place, of how much nearer (cosine x 100) the prompt lies than its nearest neighbour, the mean of
    two CLIPs. Below 0 the picture fits another wording better. embedded: whether the pictures are of the embedded model's world."""

    name = "contrast"
    dimensions: tuple[str, ...] = ("contrast",)

    def __init__(self, embedded: bool, folders: Sequence[Path], device: str = "cpu") -> None:
        self._embedded, self._folders, self._device = embedded, tuple(folders), device
        self.version = "-".join([*(fingerprint(folder / WEIGHTS) for folder in folders), READING]) if embedded else ""
        self._places: dict[str, list[dict[str, torch.Tensor]]] = {}  # by prompt, for each CLIP: the neighbours by what they change

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
        """One score a picture; *not scored* for other models, and for a prompt that names nothing of this world."""
        if not self._embedded and context.asked is not None and "contrast" not in context.asked:
            return [[] for _ in pictures]
        why = "Neighbours of a prompt are known for the embedded model's words only." if not self._embedded else ""
        if not why and not neighbours(context.prompt):
            why = "The prompt names no object, colour or place of the embedded model's world."
        if why:
            return [[Score("contrast", None, self.name, self.version, why)] for _ in pictures]
        values = compute(lambda: self._margins(pictures, context))
        return [[Score("contrast", round(value, 2), self.name, self.version)] for value in values]

    def _margins(self, pictures: Sequence[Image], context: ScoreContext) -> list[float]:
        import torch

        clips = [clip_in(folder, self._device) for folder in self._folders]
        with torch.inference_mode():
            margins: dict[str, torch.Tensor] = {}
            for clip, places in zip(clips, self._of(context.prompt, clips), strict=True):
                seen = clip.pictures(pictures, context)
                own = seen @ clip.prompt(context.prompt)
                for kind, others in places.items():
                    margins[kind] = margins.get(kind, 0.0) + (own - (seen @ others.T).amax(1)) / len(clips)
            return (100 * torch.stack(list(margins.values())).amin(0)).tolist()

    def _of(self, prompt: str, clips: Sequence[Clip]) -> list[dict[str, torch.Tensor]]:
        if prompt not in self._places:
            while len(self._places) >= KEPT_PROMPTS:
                del self._places[next(iter(self._places))]
            self._places[prompt] = [{kind: clip.prompts(texts) for kind, texts in neighbours(prompt).items()} for clip in clips]
        return self._places[prompt]


@lru_cache(maxsize=64)
def neighbours(prompt: str) -> dict[str, list[str]]:
    """By "object", "colour" and "scene", the prompt with what it names of that kind replaced by each of the others."""
    words, found = prompt.lower(), {}
    for kind, (start, end, name) in read(prompt).items():
        others = [phrases[0] for other, phrases in CONTRASTS[kind].items() if other != name]
        found[kind] = [words[:start] + one + words[end:] for one in others]
    return found


def named(prompt: str) -> dict[str, str]:
    """By "object", "colour" and "scene", what a prompt names of the embedded model's world, as the world calls it."""
    return {kind: one.name for kind, one in read(prompt).items()}
