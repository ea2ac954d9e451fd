"""Single files in which other studios keep the parts of a model: what a file is, told from its header alone. No torch, no network.

Safetensors (plain, or cast to float8) and GGUF hold a transformer in the layout of its makers (`double_blocks.0...`), which diffusers'
`from_single_file` reads; text encoders are kept in the layout of transformers. What diffusers would read wrongly (float8 with scales of
its own, bitsandbytes) is told apart here, for it would draw noise without a word.
"""
from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Literal

from models.cards import ModelCard

Shapes = Mapping[str, tuple[int, ...]]
# Where ComfyUI, Forge and their kin keep weights, below their own folder or below its `models`.
SUBFOLDERS = (
    "diffusion_models", "unet", "checkpoints", "Stable-diffusion", "text_encoders", "text_encoder", "clip",
)  # fmt: skip
HEADER_LIMIT = 100 * 2**20  # The format's own limit for safetensors.
GGUF_INSTALL = "pip install 'contact-sheet[gguf]'"


@dataclass(frozen=True)
class Single:
    """A file that may hold a part of a model. problem: why it cannot be used, "" if it can."""

    path: Path
    part: str
    format: Literal["safetensors", "gguf"]
    bytes: int
    problem: str = ""


def singles(card: ModelCard, folders: tuple[Path, ...], configs: Path | None = None) -> list[Single]:
    """Files in `folders` that are named like a part of `card`, usable ones first, larger (more precise) ones before smaller.

    configs: a diffusers folder of the card, whose `PART/config.json` the files are measured against.
    """
    found = []
    for part, patterns in card.singles.items():
        config = configs / part / "config.json" if configs else None
        expected = json.loads(config.read_text(encoding="utf-8")) if config and config.is_file() else {}
        for path in all_names(folders):
            if matches(path.name, patterns):
                found.append(_look(path, part, expected))
    return sorted(found, key=lambda one: (bool(one.problem), one.part, -one.bytes, one.path))


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a file's name fits one of the patterns and none of those that start with "!"."""
    name = name.lower()
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    return any(fnmatch(name, one) for one in wanted) and not any(fnmatch(name, one[1:]) for one in patterns if one.startswith("!"))


def all_names(folders: tuple[Path, ...]) -> Iterator[Path]:
    """Weights in a folder, in the well-known folders below it, and one level deeper there."""
    seen = set()
    for folder in folders:
        places = [folder, *(folder / top / name for top in ("", "models") for name in SUBFOLDERS)]
        for place in places:
            if not place.is_dir():
                continue
            for pattern in ("*", "*/*") if place != folder else ("*",):
                for path in sorted(place.glob(pattern)):
                    if path.suffix in (".safetensors", ".gguf") and path not in seen and path.is_file():
                        seen.add(path)
                        yield path


def _look(path: Path, part: str, config: Mapping[str, Any]) -> Single:
    state = path.stat()
    kind: Literal["safetensors", "gguf"] = "gguf" if path.suffix == ".gguf" else "safetensors"
    try:
        shapes = header(path, state.st_mtime_ns)
    except (OSError, ValueError, struct.error) as error:
        return Single(path, part, kind, state.st_size, f"It is no whole {kind} file: {error}.")
    problem = _format_problem(shapes, kind)
    if not problem:
        problem = _transformer_problem(shapes, config) if part == "transformer" else _encoder_problem(shapes, kind, config)
    return Single(path, part, kind, state.st_size, problem)


def _format_problem(shapes: Shapes, kind: str) -> str:
    if any(key.endswith(("scale_weight", "weight_scale", "input_scale", "scaled_fp8", "weight_scale_2")) for key in shapes):
        return "Its float8 weights carry scales of their own, which diffusers does not read. Use a plain float8, 16-bit or GGUF file."
    if any(".absmax" in key or ".quant_state" in key for key in shapes):
        return "It is quantised by bitsandbytes, which the studio does not read. Use a float8, 16-bit or GGUF file."
    if kind == "gguf" and find_spec("gguf") is None:
        return f"Reading GGUF needs the package gguf: {GGUF_INSTALL}"
    return ""


def _transformer_problem(shapes: Shapes, config: Mapping[str, Any]) -> str:
    """Whether these are the weights that the card's own configuration asks for."""
    names = {key.removeprefix("model.diffusion_model."): shape for key, shape in shapes.items()}
    qkv = names.get("double_blocks.0.img_attn.qkv.weight")
    if qkv is None:
        return "It holds no FLUX transformer in the layout of its makers."
    if not config:
        return ""
    hidden = config["num_attention_heads"] * config["attention_head_dim"]
    counts = {"double_blocks": config["num_layers"], "single_blocks": config["num_single_layers"]}
    have = {name: len({key.split(".")[1] for key in names if key.startswith(f"{name}.")}) for name in counts}
    if max(qkv) != 3 * hidden or have != counts or sorted(names.get("img_in.weight", ())) != sorted((hidden, config["in_channels"])):
        return f"It is another model: {have['double_blocks']} + {have['single_blocks']} blocks {max(qkv) // 3} wide."
    if config.get("guidance_embeds", False) != any(key.startswith("guidance_in.") for key in names):
        return "It is another model: one of them takes guidance, the other does not."
    return ""


def _encoder_problem(shapes: Shapes, kind: str, config: Mapping[str, Any]) -> str:
    if kind == "gguf":
        return "Text encoders are read as safetensors only."
    names = ("shared.weight", "encoder.embed_tokens.weight", "model.embed_tokens.weight")
    words = next((shapes[key] for key in names if key in shapes), None)
    if words is None:
        return "It holds no text encoder in the layout of transformers."
    width = config.get("d_model") or config.get("hidden_size")
    return f"It is another encoder, {words[-1]} wide." if width and words[-1] != width else ""


@lru_cache(maxsize=256)
def header(path: Path, _stamp: int = 0) -> Shapes:
    """Names and shapes of a file's tensors; nothing else of it is read. Raises ValueError, OSError for what is no such file."""
    with open(path, "rb") as file:
        if path.suffix == ".gguf":
            return _gguf_header(file)
        size = path.stat().st_size
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(HEADER_LIMIT, size):
            raise ValueError("its header is cut off")
        tensors = json.loads(file.read(length))
    tensors.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    if 8 + length + end > size:
        raise ValueError(f"{8 + length + end - size} bytes are missing at its end")
    return {name: tuple(entry["shape"]) for name, entry in tensors.items()}


# GGUF: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9


def _gguf_header(file: BinaryIO) -> Shapes:
    magic, version = file.read(4), _whole(file, "<I")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("it does not start like one")
    tensors, values = _whole(file, "<Q"), _whole(file, "<Q")
    for _ in range(values):
        _text(file)
        _skip(file, _whole(file, "<I"))
    found = {}
    for _ in range(tensors):
        name = _text(file)
        shape = struct.unpack(f"<{(rank := _whole(file, '<I'))}Q", file.read(8 * rank))
        file.read(12)  # Type and offset.
        found[name] = tuple(reversed(shape))
    return found


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _TEXT:
        _text(file)
    elif kind == _ARRAY:
        inner, count = _whole(file, "<I"), _whole(file, "<Q")
        for _ in range(count):
            _skip(file, inner)
    elif kind in _SCALARS:
        file.read(_SCALARS[kind])
    else:
        raise ValueError(f"it holds a value of unknown kind {kind}")


def _whole(file: BinaryIO, layout: str) -> int:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))[0]


def _text(file: BinaryIO) -> str:
    length = _whole(file, "<Q")
    if length > HEADER_LIMIT:
        raise ValueError("a name in it is too long")
    return file.read(length).decode("utf-8")
