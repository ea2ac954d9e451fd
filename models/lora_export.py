"""LoRA files written as others load them: diffusers, ComfyUI and Forge, each at the right strength, with what a file should say of itself.

alpha is the rank in whatever is written, so `weight` means the same everywhere: ComfyUI and Forge take a missing alpha for the rank,
diffusers too, and kohya's naming, which has always had an `.alpha`, says it. Metadata follow the ModelSpec
(https://github.com/Stability-AI/ModelSpec) with kohya's `ss_` names beside it, which is what the galleries of other studios read.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.cards import ModelCard
from models.errors import BadInput
from models.lora import LoraFile, Pair, pairs
from models.lora_names import HALVES, Architecture, Naming, Part, factors, fused, halves, meanings
from models.tensorfile import Raw, as_float, content_hash, from_float, raw_of, write

# Which naming each studio is sure to load. ComfyUI knows diffusers' names for FLUX.1; for FLUX.2 the makers' are the ones it has always
# known. Forge loads FLUX.1 only.
EXPORTS: Mapping[str, Mapping[Architecture, Naming]] = {
    "diffusers": {"flux1": "diffusers", "flux2": "diffusers"},
    "comfyui": {"flux1": "diffusers", "flux2": "bfl"},
    "forge": {"flux1": "diffusers"},
    "kohya": {"flux1": "kohya", "flux2": "kohya"},
}
IMPLEMENTATION = {"flux1": "https://github.com/black-forest-labs/flux", "flux2": "https://github.com/black-forest-labs/flux2"}


@dataclass(frozen=True)
class About:
    """What a file says of itself. date: ISO 8601. resolution: "1024x1024". extra: further metadata, by their whole names."""

    title: str = ""
    triggers: tuple[str, ...] = ()
    description: str = ""
    author: str = ""
    licence: str = ""
    date: str = ""
    resolution: str = ""
    tags: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, lora: LoraFile) -> About:
        """What a file says already."""
        said = lora.metadata.get
        tags = tuple(tag.strip() for tag in said("modelspec.tags", "").split(",") if tag.strip())
        return cls(
            lora.title or lora.path.stem, lora.triggers, said("modelspec.description", ""), said("modelspec.author", ""), lora.licence,
            said("modelspec.date", ""), said("modelspec.resolution", ""), tags,
        )  # fmt: skip


def export(lora: LoraFile, to: Path, tool: str, card: ModelCard, about: About | None = None) -> str:
    """The LoRA as `tool` ("diffusers", "comfyui", "forge", "kohya") loads it for `card`, written to `to`. Returns its SHA-256.

    Raises BadInput ("tool") for what the tool cannot load, and what `models.lora.pairs` raises.
    """
    naming = EXPORTS.get(tool, {}).get(card.architecture)
    if naming is None:
        raise BadInput("tool", f"No file for {tool} can be made of a LoRA for {card.title}.", todo=f"Choose one of {', '.join(EXPORTS)}.")
    return write_pairs(to, list(pairs(lora, card.architecture)), naming, card, about or About.of(lora))


def save_lora(path: Path, layers: Mapping[str, Any], card: ModelCard, about: About, alpha: float | None = None) -> str:
    """A trained adapter as a file that diffusers and ComfyUI load, with metadata. Returns its SHA-256.

    layers: tensors (torch or numpy) by PEFT's names with their part ("transformer.transformer_blocks.0.attn.to_q.lora_A.weight",
    "text_encoder.encoder.layers.0.self_attn.q_proj.lora_B.weight"), as `get_peft_model_state_dict` gives them. alpha: that of the
    training where it is not the rank; it is folded into the up halves. Raises ValueError for names that are no layer of the card's
    architecture, for halves that do not match, and for values that are not finite.
    """
    raws = {name: raw_of(tensor) for name, tensor in layers.items()}
    found = []
    for name, down in raws.items():
        half = next((one for one in HALVES[:2] if name.endswith(one[0])), None)
        if half is None:
            if not any(name.endswith(one[1]) for one in HALVES[:2]):
                raise ValueError(f"{name} is no half of a pair")
            continue
        stem = name.removesuffix(half[0])
        meaning = next((one for one in meanings(stem) if one.architecture == card.architecture), None)
        up = raws.get(stem + half[1])
        if meaning is None or len(meaning.targets) != 1 or meaning.naming != "diffusers":
            raise ValueError(f"{stem} is no layer of {card.name}")
        if up is None or up.array.shape[1] != down.array.shape[0]:
            raise ValueError(f"the halves of {stem} do not match")
        if not (up.finite() and down.finite()):
            raise ValueError(f"{stem} holds values that are not finite")
        if alpha is not None and alpha != down.array.shape[0]:
            up = from_float(as_float(up) * (alpha / down.array.shape[0]), up.kind)
        found.append(Pair(meaning.part, meaning.targets[0], down, up))
    return write_pairs(path, found, "diffusers", card, about)


def write_pairs(path: Path, found: list[Pair], naming: Naming, card: ModelCard, about: About) -> str:
    """Pairs in diffusers' terms under the names of `naming`. Returns the file's SHA-256; the file is written whole or not at all."""
    tensors: dict[str, Raw] = {}
    ranks = []
    for name, part, down, up in _named(found, naming, card.architecture):
        names = halves(name, part, naming)
        tensors[names[0]], tensors[names[1]] = down, up
        ranks.append(down.array.shape[0])
        if naming == "kohya":
            tensors[names[0].removesuffix(".lora_down.weight") + ".alpha"] = from_float(np.array(ranks[-1], np.float32), up.kind)
    return write(path, tensors, metadata(card, about, max(ranks), content_hash(tensors.items())))


def metadata(card: ModelCard, about: About, rank: int, content: str) -> dict[str, str]:
    """What other studios read of a file. content: `tensorfile.content_hash` of its tensors."""
    spec = {
        "sai_model_spec": "1.0.1",
        "architecture": architecture_of(card),
        "implementation": IMPLEMENTATION[card.architecture],
        "title": about.title,
        "description": about.description,
        "author": about.author,
        "date": about.date,
        "license": about.licence,
        "trigger_phrase": ", ".join(about.triggers),
        "tags": ", ".join(about.tags),
        "resolution": about.resolution,
        "prediction_type": "",  # Flow matching; the specification has no word for it.
        "hash_sha256": f"0x{content}",
    }
    found = {f"modelspec.{name}": value for name, value in spec.items() if value}
    found |= {
        "format": "pt",
        "ss_base_model_version": card.architecture,
        "ss_network_module": "networks.lora_flux" if card.architecture == "flux1" else "networks.lora_flux_2",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "base_model": card.name if card.embedded else card.repo,
    }
    if about.title:
        found["ss_output_name"] = about.title
    if about.triggers:
        found["trained_words"] = ", ".join(about.triggers)
    return found | dict(about.extra)


def architecture_of(card: ModelCard) -> str:
    """As ModelSpec names a LoRA of the card: "flux-1-dev/lora"."""
    return re.sub(r"^flux(\d)", r"flux-\1", card.name) + "/lora"


# diffusers' layers as the makers'.


def _named(found: Iterable[Pair], naming: Naming, arch: Architecture) -> Iterable[tuple[str, Part, Raw, Raw]]:
    """(name, part, down, up) for each layer of a naming."""
    groups: dict[str, dict[str, Pair]] = {}
    for pair in found:
        if pair.part == "text_encoder" or naming == "diffusers":
            yield pair.target, pair.part, pair.down, pair.up
        else:
            groups.setdefault(fused(pair.target, arch).name, {})[pair.target] = pair
    for name, members in groups.items():
        whole = fused(next(iter(members)), arch)
        down, up = _fuse(members, whole.targets, arch) if len(whole.targets) > 1 else _pair(members[whole.targets[0]])
        if whole.swapped:
            scale, shift = np.split(up.array, 2)
            up = up.with_array(np.concatenate([shift, scale]))
        yield name, "transformer", down, up


def _pair(pair: Pair) -> tuple[Raw, Raw]:
    return pair.down, pair.up


def _fuse(members: Mapping[str, Pair], targets: tuple[str, ...], arch: Architecture) -> tuple[Raw, Raw]:
    """Several layers as one: up is block-diagonal, and layers that nobody trained are rows of zeros.

    Where all share one down half, as layers that were one do, the ups are simply put below one another.
    """
    some = next(iter(members.values()))
    width = some.down.array.shape[1]
    kinds = {raw.kind for pair in members.values() for raw in _pair(pair)}
    kind = some.up.kind if len(kinds) == 1 else "F32"
    present = [(target, members[target]) for target in targets if target in members]
    first = present[0][1].down
    shared = len(kinds) == 1 and all(np.array_equal(pair.down.array, first.array) for _, pair in present)
    rank = present[0][1].rank if shared else sum(pair.rank for _, pair in present)
    rows, column = [], 0
    for target in targets:
        pair = members.get(target)
        height = factors(target, arch)[0] * width
        block = np.zeros((height, rank), _dtype(kind, some))
        if pair is not None:
            start = 0 if shared else column
            block[:, start : start + pair.rank] = _as(pair.up, kind)
            column += pair.rank
        rows.append(block)
    down = first.array if shared else np.concatenate([_as(pair.down, kind) for _, pair in present])
    return Raw(down, kind), Raw(np.concatenate(rows), kind)


def _as(raw: Raw, kind: str) -> np.ndarray:
    return raw.array if raw.kind == kind else from_float(as_float(raw), kind).array


def _dtype(kind: str, some: Pair) -> Any:
    return some.up.array.dtype if some.up.kind == kind else np.float32
