"""What a program that was taken away consists of: one picture, drawn by diffusers with no studio around it.

The studio never imports this module. `pipelines.bundle` copies from it, as text, the functions that a program needs, so what people
take home is what is checked and tested here. It draws as `models.local` does: the noise of a seed on the CPU at 32 bits, and pictures
to start from encoded without chance.
"""
from __future__ import annotations

import argparse
import contextlib
import hashlib
import string
import sys
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from PIL import Image, ImageOps

from models.finish import blend, starts


def text_to_image(pipe: Any, stage: dict[str, Any], start: Image.Image | None) -> Image.Image:
    """FLUX.1 from noise: 16-channel latents, packed into 2 x 2 patches as the transformer takes them."""
    cell = 2 * pipe.vae_scale_factor
    rows, columns, channels = stage["height"] // cell, stage["width"] // cell, pipe.transformer.config.in_channels // 4
    noise = noise_of(stage["seed"], (channels, 2 * rows, 2 * columns))
    latents = noise.view(1, channels, rows, 2, columns, 2).permute(0, 2, 4, 1, 3, 5).reshape(1, rows * columns, 4 * channels)
    return pipe(**words(pipe, stage), **size(stage), latents=latents).images[0]


def image_to_image(pipe: Any, stage: dict[str, Any], start: Image.Image | None) -> Image.Image:
    """FLUX.1 from a picture: steps x strength steps are run, from as much noise as the strength says."""
    assert start is not None
    wide, high = stage["width"], stage["height"]
    with torch.no_grad():
        fitted = start if start.size == (wide, high) else ImageOps.fit(start, (wide, high), Image.Resampling.LANCZOS)
        pixels = pipe.image_processor.preprocess(fitted, height=high, width=wide).to(pipe.vae.device, pipe.vae.dtype)
        latents = (pipe.vae.encode(pixels).latent_dist.mode() - pipe.vae.config.shift_factor) * pipe.vae.config.scaling_factor
    chance = torch.Generator("cpu").manual_seed(stage["seed"])
    other = diffusers.FluxImg2ImgPipeline(**pipe.components)
    other.set_progress_bar_config(disable=True)
    return other(**words(pipe, stage), **size(stage), image=latents, strength=stage["strength"], generator=chance).images[0]


def by_instruction(pipe: Any, stage: dict[str, Any], start: Image.Image | None) -> Image.Image:
    """FLUX.1 Kontext: the picture is shown to the model, the prompt says what to change."""
    cell = 2 * pipe.vae_scale_factor
    rows, columns, channels = stage["height"] // cell, stage["width"] // cell, pipe.vae.config.latent_channels
    noise = noise_of(stage["seed"], (channels, 2 * rows, 2 * columns))
    latents = noise.view(1, channels, rows, 2, columns, 2).permute(0, 2, 4, 1, 3, 5).reshape(1, rows * columns, 4 * channels)
    area = stage["width"] * stage["height"]
    return pipe(**words(pipe, stage), **size(stage), image=start, latents=latents, max_area=area).images[0]


def flux2(pipe: Any, stage: dict[str, Any], start: Image.Image | None) -> Image.Image:
    """FLUX.2: patches of 32-channel latents; a picture to start from is shown to the model."""
    cell = 2 * pipe.vae_scale_factor
    latents = noise_of(stage["seed"], (pipe.transformer.config.in_channels, stage["height"] // cell, stage["width"] // cell))
    return pipe(**words(pipe, stage), **size(stage), image=start, latents=latents).images[0]


def noise_of(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Gaussian noise (1, *shape), float32: drawn on the CPU, so that a seed means the same on every device."""
    return torch.randn((1, *shape), generator=torch.Generator("cpu").manual_seed(seed))


def words(pipe: Any, stage: dict[str, Any]) -> dict[str, Any]:
    """The pipeline's arguments for prompt, negative prompt and guidance."""
    given: dict[str, Any] = {"prompt": stage["prompt"], "max_sequence_length": stage["max_tokens"], **stage["guidance"]}
    if stage["negative"] is not None and hasattr(pipe, "text_encoder_2"):
        given["negative_prompt"] = stage["negative"]
    elif stage["negative"]:  # FLUX.2's pipelines take the negative prompt as embeddings only
        with torch.no_grad():
            given["negative_prompt_embeds"] = pipe.encode_prompt(stage["negative"], max_sequence_length=stage["max_tokens"])[0]
    return given


def size(stage: dict[str, Any]) -> dict[str, int]:
    return {"width": stage["width"], "height": stage["height"], "num_inference_steps": stage["steps"]}


def enlarged(picture: Image.Image, scale: float) -> Image.Image:
    """`picture` resampled to `scale` times its size."""
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def redrawn(pipe: Any, stage: dict[str, Any], picture: Image.Image) -> Image.Image:
    """`picture` enlarged, then drawn over gently in overlapping tiles of its first size."""
    finish, (wide, high) = stage["finish"], picture.size
    large = enlarged(picture, finish["scale"])
    corners = [(x, y) for y in starts(large.height, high) for x in starts(large.width, wide)]
    tiles = []
    for index, (x, y) in enumerate(corners):
        tile = stage | {"seed": (stage["seed"] + 1 + index) % 2**63, "steps": finish["steps"], "strength": finish["strength"]}
        tiles.append(((x, y), image_to_image(pipe, tile, large.crop((x, y, x + wide, y + high)))))
    return blend(tiles, large.size)


def load(model: dict[str, Any], source: str, device: str) -> Any:
    """The model's pipeline on a device. A repository that is not on this machine is downloaded."""
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    made = getattr(diffusers, model["pipeline"])
    pipe = made.from_pretrained(source, revision=model["revision"], dtype=getattr(torch, model["dtype"])).to(device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def wear(pipe: Any, loras: list[dict[str, Any]], folder: Path) -> None:
    """Loads the LoRA files that a stage is drawn with, and takes off what another stage wore."""
    if pipe.get_list_adapters():
        pipe.unload_lora_weights()
    for index, lora in enumerate(loras):
        file = beside(folder, lora)
        pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=f"lora_{index}")
    if loras:
        pipe.set_adapters([f"lora_{index}" for index in range(len(loras))], [lora["weight"] for lora in loras])


def beside(folder: Path, wanted: dict[str, Any]) -> Path:
    """A file that belongs to this program; ends it when that is missing or another."""
    file = folder / wanted["file"]
    if not file.is_file():
        sys.exit(f"{file} is missing: put it there, as it was taken from the studio.")
    if hashlib.sha256(file.read_bytes()).hexdigest() != wanted["sha256"]:
        sys.exit(f"{file} is not the file that this program was made with.")
    return file


def opened(file: Path) -> Image.Image:
    """A picture from disk, upright and in RGB."""
    with Image.open(file) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def read_flags(about: str, name: str, seed: int, values: dict[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--out", type=Path, default=Path(name), help="where to put the picture: PNG, JPEG or WebP (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=seed, help="another seed draws another picture (default: %(default)s)")
    parser.add_argument("--device", default=best_device(), help="cuda, mps or cpu (default: %(default)s)")
    parser.add_argument("--model", help="a folder or a repository with the weights, in place of the one named here")
    if values:
        known = ", ".join(f"{key}={value!r}" for key, value in values.items()).replace("%", "%%")
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=f"a variable of the prompt: {known}")
    flags = parser.parse_args()
    for given in flags.set if values else ():
        key, sign, _ = given.partition("=")
        if not sign or key not in values:
            parser.error(f"--set {given}: write NAME=VALUE with one of {', '.join(values)}")
    return flags


def draw(models: dict[str, dict[str, Any]], stages: list[dict[str, Any]], flags: argparse.Namespace, values: dict[str, str]) -> Image.Image:
    """One stage after the other; each may start from what the one before has drawn."""
    here, chosen = Path(__file__).resolve().parent, values | dict(given.split("=", 1) for given in getattr(flags, "set", ()))
    last_seed, pipes, picture = stages[-1]["seed"], dict[str, Any](), None
    for stage in stages:
        model = models[stage["model"]]
        if stage["model"] not in pipes:
            pipes.clear()  # the memory of the one before
            told = flags.model if stage["model"] == stages[-1]["model"] else None
            pipes[stage["model"]] = load(model, told or source_of(model), flags.device)
        pipe = pipes[stage["model"]]
        wear(pipe, stage["loras"], here)
        now = stage | {"seed": flags.seed if stage["seed"] == last_seed else stage["seed"]}
        if values:
            now |= {key: string.Template(text).substitute(chosen) for key in ("prompt", "negative") if (text := stage[key]) is not None}
        start = picture if stage["start"] == "the picture before" else None
        if isinstance(stage["start"], dict):
            start = opened(beside(here, stage["start"]))
        picture = now["draw"](pipe, now, start)
        if now["finish"] is not None:
            picture = now["finish"]["by"](pipe, now, picture)
    assert picture is not None
    return picture


def resampled(pipe: Any, stage: dict[str, Any], picture: Image.Image) -> Image.Image:
    return enlarged(picture, stage["finish"]["scale"])


def source_of(model: dict[str, Any]) -> str:
    """Where a model is loaded from: the first of its places that is there, or a repository's name."""
    for place in model["places"]:
        with contextlib.suppress(OSError):
            if Path(place).is_dir():
                return place
    if model["repo"] is None:
        sys.exit(f"The weights of {model['title']} are not here. They come with Contact Sheet: --model FOLDER/models/embedded/checkpoint")
    return model["repo"]
