"""CLIPs in open_clip's format, each loaded once for whoever measures with it: where pictures and prompts lie, comparable by cosine.

Radford et al., "Learning transferable visual models from natural language supervision" (ICML 2021) and its kin, such as Zhai et al.,
"Sigmoid loss for language image pre-training" (ICCV 2023). torch and open_clip are imported when first needed.
"""
from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from models.spec import ScoreContext

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
BATCH = 16
# Where a prompt may be cut: after a comma, a semicolon, a colon or the end of a sentence, and at line breaks.
_JOINTS = re.compile(r"(?<=[,;:.!?])\s+|\n+")
_loaded: WeakValueDictionary[tuple[Path, str], Clip] = WeakValueDictionary()


def held(weights: Path, device: str, load: Callable[[], Clip]) -> Clip:
    """What `load` makes of `weights`, the same one for all who hold it; its memory is free when nobody does any more.

    To be called on the computing thread.
    """
    clip = _loaded.get((weights, device))
    if clip is None:
        clip = _loaded[weights, device] = load()
    return clip


def clip_in(folder: Path, device: str = "cpu") -> Clip:
    """The CLIP of a folder, as `held`.

    The folder is read by open_clip as "local-dir:": `open_clip_config.json` ({"model_cfg": ..., "preprocess_cfg": ...}),
    `open_clip_model.safetensors` and, when `model_cfg.text_cfg.hf_tokenizer_name` is set, the tokenizer's files
    (`tokenizer.json`, `tokenizer_config.json`). Nothing is downloaded.
    """
    return held(folder / WEIGHTS, device, lambda: _read(folder, device))


class Clip:
    """A loaded model with its preprocessing and its tokenizer; where the last prompt lies is kept. `name` tells its weights apart."""

    def __init__(self, model: Any, preprocess: Any, tokenizer: Any, device: str, name: str) -> None:
        self.model: Any = model.eval().requires_grad_(False)
        self.preprocess, self.tokenizer, self.device, self.name = preprocess, tokenizer, device, name
        self._text: tuple[str, torch.Tensor] | None = None

    def pictures(self, pictures: Sequence[Image], context: ScoreContext) -> torch.Tensor:
        """(pictures, dim), each of length 1. Once for all scorers of a pass that look through the same weights."""
        return context.shared.once(("embedding", self.name), lambda: self._look(pictures))

    def prompt(self, prompt: str) -> torch.Tensor:
        """(dim,), of length 1: the mean of the places of the prompt's chunks, each by its number of tokens. Nothing is cut off."""
        import torch

        if self._text is None or self._text[0] != prompt:
            chunks = chunks_of(prompt, self._fits)
            weights = torch.tensor([float(self._tokens(chunk)) for chunk in chunks], device=self.device)
            with torch.inference_mode():
                features = self.model.encode_text(self.tokenizer(chunks).to(self.device), normalize=True)
                mean = (features * weights[:, None]).sum(0)
                self._text = prompt, mean / mean.norm()
        return self._text[1]

    def prompts(self, prompts: Sequence[str]) -> torch.Tensor:
        """(prompts, dim), each of length 1; those that fit are read in one batch."""
        import torch

        with torch.inference_mode():
            if all(self._fits(prompt) for prompt in prompts):
                return self.model.encode_text(self.tokenizer(list(prompts)).to(self.device), normalize=True)
            return torch.stack([self.prompt(prompt) for prompt in prompts])

    def cosines(self, pictures: Sequence[Image], context: ScoreContext) -> list[float]:
        """-1..1 for each picture: how near it is to the context's prompt."""
        import torch

        with torch.inference_mode():
            return (self.pictures(pictures, context) @ self.prompt(context.prompt)).float().tolist()

    def _look(self, pictures: Sequence[Image]) -> torch.Tensor:
        import torch

        found = []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH):
                batch = torch.stack([self.preprocess(picture.convert("RGB")) for picture in pictures[start : start + BATCH]])
                found.append(self.model.encode_image(batch.to(self.device), normalize=True))
            return torch.cat(found)

    def _fits(self, text: str) -> bool:
        return self._tokens(text) <= self.tokenizer.context_length

    def _tokens(self, text: str) -> int:
        """With the start and end tokens, before any cutting."""
        if hasattr(self.tokenizer, "tokenizer"):
            return len(self.tokenizer.tokenizer(text).input_ids)
        return len(self.tokenizer.encode(text)) + 2


def lacking(folder: Path) -> list[str]:
    """The files that a folder lacks to be read."""
    needed = [CONFIG, WEIGHTS]
    if (folder / CONFIG).is_file() and _hf_tokenizer(folder):
        needed += ["tokenizer.json", "tokenizer_config.json"]
    return [name for name in needed if not (folder / name).is_file()]


def fingerprint(weights: Path) -> str:
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


def _read(folder: Path, device: str) -> Clip:
    import open_clip

    source = f"local-dir:{folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(source, device=device, require_pretrained=True)
    tokenizer = open_clip.get_tokenizer(source, **({"local_files_only": True} if _hf_tokenizer(folder) else {}))
    return Clip(model, preprocess, tokenizer, device, fingerprint(folder / WEIGHTS))


def _hf_tokenizer(folder: Path) -> bool:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return bool(config.get("model_cfg", {}).get("text_cfg", {}).get("hf_tokenizer_name"))
