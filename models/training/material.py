"""Pictures and captions as the transformer takes them, computed once and kept in the training's folder, keyed by what they come from.

Files are written whole or not at all; a training that was killed while it made them goes on with those that are there.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.cards import ModelCard
from models.loading import free, load_pipeline
from models.memory import MemoryPlan
from models.reading import Embeddings, Reader
from models.training.families import Family
from models.training.recipe import Example, TrainingError
from models.weights import Where, cached_snapshots, shelves_of

Step = Callable[[], None]  # Called between two pieces of work: may raise to stop there.


@dataclass(frozen=True)
class Sample:
    """One picture at one size. mean, deviation: (1, C, h, w), float32, on the CPU."""

    mean: torch.Tensor
    deviation: torch.Tensor
    caption: str
    plain: str
    size: tuple[int, int]


class Cache:
    """`DIR/cache`: a safetensors file an entry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, kind: str, *key: object) -> dict[str, torch.Tensor] | None:
        try:
            with safe_open(self._file(kind, key), framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError):
            return None

    def put(self, tensors: dict[str, torch.Tensor], kind: str, *key: object) -> None:
        file = self._file(kind, key)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
        os.replace(temporary, file)

    def _file(self, kind: str, key: tuple[object, ...]) -> Path:
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        return self.folder / f"{kind}-{digest}.safetensors"


def read_texts(
    prompts: Iterable[str], card: ModelCard, plan: MemoryPlan, where: Where, revision: str, cache: Cache, between: Step
) -> dict[str, Embeddings]:
    """Embeddings of every prompt, on the CPU. The encoders are loaded only if one is not kept yet, and gone afterwards."""
    found: dict[str, Embeddings] = {}
    reader = None
    for prompt in sorted(set(prompts)):
        kept = cache.get("text", prompt, card.repo, revision, card.max_tokens)
        if kept is None:
            between()
            reader = reader or Reader(card, replace(plan, encoders="kept"), where)
            kept = reader.read([prompt], lambda: None)[0]
            cache.put(kept, "text", prompt, card.repo, revision, card.max_tokens)
        found[prompt] = kept
    if reader is not None:
        reader.close()
        free(torch.device(plan.device))
    return found


def load_drawing(card: ModelCard, plan: MemoryPlan, precision: Literal["fp32", "bf16"], where: Where) -> Any:
    """Transformer and autoencoder in main memory, whence they go to the device as the training wants them."""
    return load_pipeline(card, replace(plan, device="cpu", precision=precision, streamed=False), where, part="drawing")


def encode(examples: Iterable[Example], family: Family, device: torch.device, revision: str, cache: Cache, between: Step) -> list[Sample]:
    """Latents of every picture. The autoencoder is on the device only while it is needed. Raises TrainingError for a bad picture."""
    found = []
    moved = False
    for example in examples:
        key = (example.sha256, example.crop, example.size, revision)
        kept = cache.get("latents", *key)
        if kept is None:
            between()
            if not moved:
                family.vae.to(device)
                moved = True
            with torch.no_grad():
                mean, deviation = family.encode(open_picture(example), example.size)
            kept = {"mean": mean.cpu(), "deviation": deviation.cpu()}
            if not torch.isfinite(kept["mean"]).all():
                raise TrainingError("image", f"{example.file.name} cannot be learnt from.", "Its latents are not numbers.", "Leave it out.")
            cache.put(kept, "latents", *key)
        found.append(Sample(kept["mean"], kept["deviation"], example.caption, example.plain, example.size))
    if moved:
        family.vae.to("cpu")
        free(device)
    return found


def open_picture(example: Example) -> Image.Image:
    """Upright, in RGB (transparency on white), cropped, and scaled to cover its size. Raises TrainingError naming the file."""
    try:
        data = example.file.read_bytes()
    except OSError as error:
        raise TrainingError("image", f"{example.file.name} cannot be read.", error.strerror or str(error), "Put it back.") from error
    if hashlib.sha256(data).hexdigest() != example.sha256:
        raise TrainingError("image", f"{example.file.name} is not the picture it was.", "Its content was changed.", "Start a new training.")
    try:
        with Image.open(example.file) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise TrainingError("image", f"{example.file.name} is not a picture that can be read.", str(error), "Leave it out.") from error
    if example.crop is not None:
        image = image.crop(example.crop)
    return ImageOps.fit(image, example.size, Image.Resampling.LANCZOS)


def adapter_file(name: str, where: Where) -> Path:
    """A file, or the one safetensors file of a repository in the folder of weights or Hugging Face's cache. Raises TrainingError."""
    given = Path(name).expanduser()
    if given.is_file():
        return given
    models_dir = shelves_of(where).models_dir
    places = [models_dir / name, models_dir / given.name] if models_dir else []
    for folder in (*places, *cached_snapshots(name, "main")):
        files = sorted(folder.glob("*.safetensors"))
        if files:
            return files[0]
    raise TrainingError(
        "base", "The training adapter is not on this machine.", f"{name} keeps a distilled model what it is while it is trained.",
        f"Run `hf download {name}`, or train the model that it was distilled from.", "training_adapter",
    )  # fmt: skip
