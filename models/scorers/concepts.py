"""Violence, hate and what harms a brand, by comparing a picture with sentences (zero-shot): hints where no classifier can be trusted.

The comparison is Radford et al., "Learning transferable visual models from natural language supervision" (ICML 2021), with the towers
of Zhai et al., "Sigmoid loss for language image pre-training" (ICCV 2023). The sentences are data: presets/safety_concepts.toml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from models.presets import presets_folder
from models.scorers.clip import Clip, clip_in
from models.scorers.downloaded import Downloaded
from models.spec import ScoreContext
from models.toml import Table

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


@dataclass(frozen=True)
class Concept:
    """Sentences about something unsafe, and harmless ones that look like it."""

    unsafe: tuple[str, ...]
    safe: tuple[str, ...]


@cache
def load_concepts(path: Path | None = None) -> Mapping[str, Concept]:
    """The sentences by dimension. Raises BadInput with file and dotted key."""
    table = Table.of_file(path or presets_folder() / "safety_concepts.toml").table("concepts")
    return {name: _read(table.table(name)) for name in table.data}


def _read(table: Table) -> Concept:
    concept = Concept(table.texts("unsafe"), table.texts("safe"))
    table.done()
    return concept


@dataclass
class _Towers:
    """A CLIP, and for each dimension the features of its sentences, each (sentences, dim)."""

    clip: Clip
    features: dict[str, tuple[torch.Tensor, torch.Tensor]]


class Concepts(Downloaded[_Towers]):
    """One dimension a concept: 100 x the sigmoid of how much nearer, in logits, the picture is to the nearest unsafe sentence than to
    the nearest harmless one. 50 is as near to the one as to the other."""

    def _load(self, folder: Path) -> _Towers:
        import torch

        clip, concepts = clip_in(folder, self.device), load_concepts()
        features = {}
        for name in self.dimensions:
            unsafe, safe = (torch.stack([clip.prompt(one) for one in some]) for some in (concepts[name].unsafe, concepts[name].safe))
            features[name] = unsafe, safe
        return _Towers(clip, features)

    def _measure(self, model: _Towers, pictures: Sequence[Image], context: ScoreContext) -> list[list[float]]:
        import torch

        with torch.inference_mode():
            embedding, scale = model.clip.pictures(pictures, context), model.clip.model.logit_scale.exp()
            columns = []
            for name in self.dimensions:
                unsafe, safe = ((embedding @ features.T).amax(1) for features in model.features[name])
                columns.append(100 * torch.sigmoid((scale * (unsafe - safe)).float()))
            return torch.stack(columns, 1).tolist()
