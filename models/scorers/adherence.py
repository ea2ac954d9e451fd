"""How well a picture fits its prompt: the cosine between its embedding and the prompt's, by a CLIP in open_clip's format.

Hessel et al., "CLIPScore" (EMNLP 2021), without its rescaling: the value is cosine x 100, raw, and means something only beside
other pictures scored by the same weights; `version` tells the weights apart. torch and open_clip are imported when first needed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.spec import Score, ScoreContext
from models.threads import compute

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
BATCH = 16
# Where a prompt may be cut: after a comma, a semicolon, a colon or the end of a sentence, and at line breaks.
_JOINTS = re.compile(r"(?<=[,;:.!?])\s+|\n+")


class Adherence:
    """One CLIP from a local folder, under the dimension `name`; loaded when it first scores.

    The folder is read by open_clip as "local-dir:": `open_clip_config.json` ({"model_cfg": ..., "preprocess_cfg": ...}),
    `open_clip_model.safetensors` and, when `model_cfg.text_cfg.hf_tokenizer_name` is set, the tokenizer's files
    (`tokenizer.json`, `tokenizer_config.json`). Nothing is downloaded. `folder` None: nothing is scored, for the reason `why`.
    """

    def __init__(self, folder: Path | None, name: str, device: str = "cpu", why: str = "") -> None:
        self.folder, self.device, self._why = folder, device, why
        self.name = f"clip-{folder.name}" if folder else "clip"
        self.dimensions: tuple[str, ...] = (name,)
        self.version = _fingerprint(folder / WEIGHTS) if folder else ""
        self._clip: _Clip | None = None

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
        """One score a picture; *not scored* when the folder is not whole, and the note says what is missing."""
        missing = self.missing()
        if missing:
            return [[Score(self.dimensions[0], None, self.name, self.version, missing)] for _ in pictures]
        values = compute(lambda: self._cosines(pictures, context.prompt))
        return [[Score(self.dimensions[0], round(100 * value, 2), self.name, self.version)] for value in values]

    def _cosines(self, pictures: Sequence[Image], prompt: str) -> list[float]:
        return self._loaded().cosines(pictures, prompt)

    def _loaded(self) -> _Clip:
        assert self.folder is not None
        if self._clip is None:
            self._clip = _Clip(self.folder, self.device)
            self.version = _fingerprint(self.folder / WEIGHTS)
        return self._clip

    def prompts(self, prompts: Sequence[str]) -> np.ndarray:
        """Where the text tower places each prompt: (n, dim) float32 of length 1, comparable by their dot products."""
        return compute(lambda: self._loaded().prompts(prompts))

    def missing(self) -> str:
        """What the folder lacks, in words; "" when it is whole."""
        if self.folder is None:
            return self._why
        needed = [CONFIG, WEIGHTS]
        if not self.folder.is_dir():
            return f"There is no adherence model in {self.folder}."
        if (self.folder / CONFIG).is_file() and _hf_tokenizer(self.folder):
            needed += ["tokenizer.json", "tokenizer_config.json"]
        lacking = [name for name in needed if not (self.folder / name).is_file()]
        return f"The adherence model in {self.folder} lacks {' and '.join(lacking)}." if lacking else ""

    def close(self) -> None:
        """Free the weights; the next picture loads them again."""
        self._clip = None


class _Clip:
    """The loaded model with its preprocessing and tokenizer; the features of the last prompt are kept."""

    def __init__(self, folder: Path, device: str) -> None:
        import open_clip

        source = f"local-dir:{folder}"
        model, _, self.preprocess = open_clip.create_model_and_transforms(source, device=device, require_pretrained=True)
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenizer: Any = open_clip.get_tokenizer(source, **({"local_files_only": True} if _hf_tokenizer(folder) else {}))
        self.device = device
        self._text: tuple[str, torch.Tensor] | None = None

    def cosines(self, pictures: Sequence[Image], prompt: str) -> list[float]:
        """-1..1 for each picture."""
        import torch

        text = self._prompt_features(prompt)
        values: list[float] = []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH):
                batch = torch.stack([self.preprocess(picture.convert("RGB")) for picture in pictures[start : start + BATCH]])
                values += (self.model.encode_image(batch.to(self.device), normalize=True) @ text).float().tolist()
        return values

    def prompts(self, prompts: Sequence[str]) -> np.ndarray:
        """(n, dim) float32, each of length 1."""
        import torch

        return torch.stack([self._read(prompt) for prompt in prompts]).float().cpu().numpy()

    def _prompt_features(self, prompt: str) -> torch.Tensor:
        if self._text is None or self._text[0] != prompt:
            self._text = prompt, self._read(prompt)
        return self._text[1]

    def _read(self, prompt: str) -> torch.Tensor:
        """(dim,), normalised: the mean of the chunks' features, each by its number of tokens."""
        import torch

        chunks = chunks_of(prompt, self._fits)
        weights = torch.tensor([float(self._tokens(chunk)) for chunk in chunks], device=self.device)
        with torch.inference_mode():
            features = self.model.encode_text(self.tokenizer(chunks).to(self.device), normalize=True)
            mean = (features * weights[:, None]).sum(0)
            return mean / mean.norm()

    def _fits(self, text: str) -> bool:
        return self._tokens(text) <= self.tokenizer.context_length

    def _tokens(self, text: str) -> int:
        """With the start and end tokens, before any cutting."""
        if hasattr(self.tokenizer, "tokenizer"):
            return len(self.tokenizer.tokenizer(text).input_ids)
        return len(self.tokenizer.encode(text)) + 2


def chunks_of(text: str, fits: Callable[[str], bool]) -> list[str]:
    """`text` in as few pieces that fit as its joints allow: cut at commas and sentence ends, at words where a part is too long,
    within a word where even that is. At least one piece; nothing is dropped but white space at the cuts."""
    chunks: list[str] = []
    for part in _JOINTS.split(text.strip()):
        for piece in [part] if fits(part) else _pieces(part, fits):
            if chunks and fits(f"{chunks[-1]} {piece}"):
                chunks[-1] = f"{chunks[-1]} {piece}"
            else:
                chunks.append(piece)
    return chunks


def _pieces(part: str, fits: Callable[[str], bool]) -> list[str]:
    """A part that does not fit, halved at the white space nearest to its middle until its pieces do."""
    if fits(part) or len(part) < 2:
        return [part]
    middle = len(part) // 2
    spaces = [place.start() for place in re.finditer(r"\s+", part) if 0 < place.start() < len(part) - 1]
    cut = min(spaces, key=lambda place: abs(place - middle), default=middle)
    return _pieces(part[:cut].strip(), fits) + _pieces(part[cut:].strip(), fits)


def _hf_tokenizer(folder: Path) -> bool:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return bool(config.get("model_cfg", {}).get("text_cfg", {}).get("hf_tokenizer_name"))


def _fingerprint(weights: Path) -> str:
    """Eight hex digits that change with the weights: a hash of the file's size, its start and its end; "" without the file."""
    if not weights.is_file():
        return ""
    size, edge = weights.stat().st_size, 1 << 20
    digest = hashlib.sha256(str(size).encode())
    with weights.open("rb") as file:
        digest.update(file.read(edge))
        file.seek(max(0, size - edge))
        digest.update(file.read(edge))
    return digest.hexdigest()[:8]
