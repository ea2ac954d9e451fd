"""How good a picture looks, to people who voted on many: two predictors of preference, from their published weights alone.

`Aesthetic` is LAION's predictor (github.com/christophschuhmann/improved-aesthetic-predictor): a small perceptron over the embedding that
OpenAI's ViT-L/14 makes, which adherence measures with too. It sees no prompt, and rewards the painterly. `Preference` is HPSv2.1 (Wu et
al., "Human Preference Score v2", arXiv:2306.09341): a ViT-H/14 CLIP tuned on choices between pictures of one prompt. Both say which of
several is liked better, neither whether one is free of defects. torch and open_clip are imported when first needed.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import Unavailable
from models.scorers import weights
from models.scorers.catalogue import ScorerCard
from models.scorers.clip import Clip, clip_in, fingerprint, held
from models.scorers.downloaded import Downloaded
from models.spec import ScoreContext
from models.weights import Where

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import nn

_OPENAI_MEAN, _OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Aesthetic(Downloaded["tuple[Clip, nn.Module]"]):
    """0..10, in the units of the votes: most pictures lie between 4 and 7. `tower`: the card of the scorer whose CLIP it looks through."""

    digits = 2

    def __init__(self, card: ScorerCard, tower: ScorerCard, where: Where = None, device: str = "cpu") -> None:
        super().__init__(card, where, device)
        self._tower = tower
        self._tower_folder: Path | None = None

    def missing(self) -> str:
        """Why it cannot measure; "" when it can."""
        own = super().missing()
        if own or not weights.missing(self._tower, self.where):
            return own
        assert self._tower.weights is not None
        return (
            f"{self.card.title} looks at pictures through the model of {self._tower.title}, which is not on this machine:"
            f" {weights.size(self._tower.weights)}, {self._tower.weights.licence}. Download that in the Quality tab."
        )

    def _ready(self) -> Path | None:
        folder = super()._ready()
        assert self.card.weights is not None and self._tower.weights is not None
        tower = weights.found(self._tower.weights, self.where)
        if folder is None or tower is None:
            return None
        if tower != self._tower_folder:
            self._model, self._tower_folder = None, tower
        self.version = f"{weights.version(self.card.weights, folder)}-{weights.version(self._tower.weights, tower)}"
        return folder

    def _load(self, folder: Path) -> tuple[Clip, nn.Module]:
        assert self._tower_folder is not None
        return clip_in(self._tower_folder, self.device), _perceptron(folder / "model.safetensors").to(self.device)

    def _measure(self, model: tuple[Clip, nn.Module], pictures: Sequence[Image], context: ScoreContext) -> list[list[float]]:
        import torch

        clip, head = model
        with torch.inference_mode():
            return head(clip.pictures(pictures, context).float()).clamp(0, 10).tolist()


def _perceptron(file: Path) -> nn.Module:
    """(B, dim) embeddings of length 1 -> (B, 1). Its linear layers follow each other without a nonlinearity, as they were trained;
    their sizes are the file's. Raises Unavailable."""
    from safetensors.torch import load_file
    from torch import nn

    tensors = load_file(file)
    names = sorted((name for name in tensors if re.fullmatch(r"(.*\.)?\d+\.weight", name)), key=lambda name: int(name.split(".")[-2]))
    layers: list[nn.Module] = []
    for name in names:
        layer = nn.Linear(tensors[name].shape[1], tensors[name].shape[0])
        layer.load_state_dict({"weight": tensors[name], "bias": tensors[name.removesuffix("weight") + "bias"]})
        layers.append(layer)
    if not layers or tensors[names[-1]].shape[0] != 1:
        raise Unavailable("The aesthetic predictor cannot be read.", f"{file} is not the file that was expected.", "Download it again.")
    return nn.Sequential(*layers).eval().requires_grad_(False)


class Preference(Downloaded[Clip]):
    """The cosine between picture and prompt x 100, raw: about 20 to 35. Comparable among pictures of one prompt, hardly between prompts."""

    digits = 2

    def __init__(self, card: ScorerCard, where: Where = None, device: str = "cpu", architecture: str = "ViT-H-14") -> None:
        super().__init__(card, where, device)
        self._architecture = architecture

    def _load(self, folder: Path) -> Clip:
        assert self.card.weights is not None
        file = folder / self.card.weights.files[0]
        return held(file, self.device, lambda: self._read(file))

    def _read(self, file: Path) -> Clip:
        import open_clip
        import torch
        from open_clip.transform import PreprocessCfg, image_transform_v2

        model = open_clip.create_model(self._architecture, device=self.device)
        # A checkpoint of PyTorch's, of which only tensors and plain containers are read: nothing in it is ever run.
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        try:
            model.load_state_dict(state["state_dict"])
        except (KeyError, RuntimeError) as error:
            raise Unavailable("The preference model cannot be read.", f"{file}: {error}"[:300], "Download it again.") from error
        size = model.visual.image_size
        # As HPSv2 was trained: the whole picture, its longest side fitted, with black beside it.
        config = PreprocessCfg(size=size, mean=_OPENAI_MEAN, std=_OPENAI_STD, resize_mode="longest", fill_color=0)
        tokenizer = open_clip.get_tokenizer(self._architecture)
        return Clip(model, image_transform_v2(config, is_train=False), tokenizer, self.device, fingerprint(file))

    def _measure(self, model: Clip, pictures: Sequence[Image], context: ScoreContext) -> list[list[float]]:
        return [[100 * value] for value in model.cosines(pictures, context)]
