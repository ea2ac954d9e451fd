"""LoRA files: what one is, told from its header; its layers in diffusers' terms; written as other studios load it. No torch.

Every naming is read (see `models.lora_names`) into one form: pairs (down, up) by the layer of diffusers' model they belong to, with
alpha folded into `up`. A LoRA then means W + weight * up @ down, whoever trained it. Files are written in the same form: alpha is the
rank wherever it is written at all, so that nobody who reads them scales them twice.

What is not understood whole is refused by name: a layer that is left out, or scaled wrongly, would be a silently worse picture.
"""
from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from models.errors import BadInput
from models.lora_kinds import foreign, refused_kind
from models.lora_names import ARCHITECTURES, Architecture, Meaning, Part, factors, meanings, split_key
from models.lora_words import base_of, said, triggers_of
from models.tensorfile import KINDS, BrokenFile, Header, Raw, Tensors, as_float, from_float, read_header, shown

OTHER_ENCODERS = ("text_encoder_2.", "text_encoders.t5xxl.", "lora_te2_", "lora_te3_")
TODO = "A LoRA is a .safetensors file that was trained for a FLUX model."
PEFT = "lora_adapter_metadata"  # Where diffusers keeps PEFT's configuration, alpha among it.


@dataclass(frozen=True)
class Layer:
    """A pair in a file. stem: its name there; down (rank x ins) and up (outs x rank): its tensors. scale: alpha / rank."""

    stem: str
    down: str
    up: str
    meaning: Meaning
    rank: int
    ins: int
    outs: int
    scale: float


@dataclass(frozen=True)
class LoraFile:
    """A LoRA as its header tells it.

    naming: of its layers ("mixed" where the parts differ). architectures: what it was made for; two where its few layers do not tell.
    width: of the transformer, 0 for a LoRA of the text encoder alone. double, single: blocks a model must at least have. rank: the
    largest. alpha: None where layers are scaled differently. base: the model it says it was trained on, in its trainer's words.
    notes: what of it is not used.
    """

    path: Path
    bytes: int
    naming: str
    architectures: tuple[Architecture, ...]
    width: int
    double: int
    single: int
    rank: int
    alpha: float | None
    kind: str
    triggers: tuple[str, ...]
    title: str
    licence: str
    base: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...]
    metadata: Mapping[str, str] = field(repr=False)
    layers: Mapping[Architecture, tuple[Layer, ...]] = field(repr=False)
    header: Header = field(repr=False)

    @property
    def parameters(self) -> int:
        return sum(layer.rank * (layer.ins + layer.outs) for layer in self.layers[self.architectures[0]])


@dataclass(frozen=True)
class Pair:
    """A layer of diffusers' model (named without its part) and what a LoRA adds to it: `up @ down`, outs x ins."""

    part: Part
    target: str
    down: Raw
    up: Raw

    @property
    def rank(self) -> int:
        return int(self.down.array.shape[0])


def describe(path: Path, field: str = "file") -> LoraFile:
    """What the file is. Only its header is read, and its scalars. Raises BadInput for `field`, by the file's name and the reason."""
    try:
        state = path.stat()
        if not path.is_file():
            raise BrokenFile("It is no file.")
        return _describe(path, state.st_mtime_ns, state.st_size)
    except BrokenFile as error:
        raise BadInput(field, f"{path.name} cannot be used as a LoRA.", str(error), TODO) from error
    except OSError as error:
        raise BadInput(field, f"{path.name} cannot be read.", error.strerror or type(error).__name__) from error


@lru_cache(maxsize=512)
def _describe(path: Path, _modified: int, size: int) -> LoraFile:
    header = read_header(path)
    if not header.tensors:
        raise BrokenFile("It holds no tensors.")
    refusal = refused_kind(header.tensors)
    if refusal:
        raise BrokenFile(refusal)
    with Tensors(path, header) as tensors:
        found = _pairs_of(header, tensors)
    layers: dict[Architecture, tuple[Layer, ...]] = {}
    problems: dict[Architecture, _Misfit] = {}
    for arch in ARCHITECTURES:
        try:
            layers[arch] = _layers(header, found, arch)
        except _Misfit as error:
            problems[arch] = error
    if not layers:
        other = foreign(header.tensors)
        if other:
            raise BrokenFile(f"It was trained for {other}.")
        raise BrokenFile(str(min(problems.values(), key=lambda one: one.unknown)))
    base = base_of(header.metadata)
    if len(layers) > 1:
        named = [arch for arch in layers if re.search(rf"flux[-_. ]?{arch[-1]}", base.lower())]
        layers = {arch: layers[arch] for arch in named} if len(named) == 1 else layers
    return _summed_up(path, size, header, found.notes, base, layers)


def _summed_up(
    path: Path, size: int, header: Header, notes: Sequence[str], base: str, layers: Mapping[Architecture, tuple[Layer, ...]]
) -> LoraFile:
    some = next(iter(layers.values()))
    scales = {layer.scale for layer in some}
    rank = max(layer.rank for layer in some)
    namings = {layer.meaning.naming for layer in some}
    return LoraFile(
        path, size,
        naming=namings.pop() if len(namings) == 1 else "mixed",
        architectures=tuple(layers),
        width=_width(some, next(iter(layers))),
        double=1 + max((layer.meaning.index for layer in some if layer.meaning.block == "double"), default=-1),
        single=1 + max((layer.meaning.index for layer in some if layer.meaning.block == "single"), default=-1),
        rank=rank,
        alpha=rank * scales.pop() if len(scales) == 1 else None,
        kind=header.tensors[some[0].down].kind,
        triggers=triggers_of(header.metadata),
        title=said(header.metadata, "modelspec.title", "ss_output_name", "name")[:200],
        licence=said(header.metadata, "modelspec.license", "license")[:200],
        base=base,
        parts=tuple(part for part in ("transformer", "text_encoder") if any(layer.meaning.part == part for layer in some)),
        notes=tuple(notes),
        metadata=header.metadata,
        layers=layers,
        header=header,
    )  # fmt: skip


# Pairs and their meaning.


class _Misfit(BrokenFile):
    """Why a file fits no model of an architecture. unknown: how many of its layers mean nothing there."""

    def __init__(self, why: str, unknown: int) -> None:
        super().__init__(why)
        self.unknown = unknown


@dataclass(frozen=True)
class _Found:
    """Stems with the names of their halves; their scales; what is not used."""

    stems: Mapping[str, Mapping[str, str]]
    alphas: Mapping[str, float]
    notes: tuple[str, ...]


def _pairs_of(header: Header, tensors: Tensors) -> _Found:
    stems: dict[str, dict[str, str]] = {}
    notes: set[str] = set()
    for key in header.tensors:
        if key.startswith(OTHER_ENCODERS) and not foreign([key]):
            notes.add("Its part for the second text encoder is not used.")
        elif key.endswith((".diff", ".diff_b")) or "position_embedding" in key or "text_projection" in key:
            if key.endswith((".diff", ".diff_b")) and not tensors[key].zero():
                raise BrokenFile(f"It replaces weights whole ({shown(key)}), which a LoRA beside a model cannot.")
            notes.add("Tensors of it that change nothing here are not used.")
        else:
            stem, half = split_key(key) or (key, "")
            if not half:
                raise BrokenFile(f"Its tensor {shown(key)} is no part of a LoRA.")
            if half in stems.setdefault(stem, {}):
                raise BrokenFile(f"Its layer {shown(stem)} is there twice.")
            stems[stem][half] = key
    alphas = {}
    for stem, halves in stems.items():
        for half in ("down", "up"):
            if half not in halves:
                raise BrokenFile(f"Its layer {shown(stem)} has no {half} half.")
        if "alpha" in halves:
            alphas[stem] = _alpha(header, tensors, halves["alpha"])
    if not stems:
        raise BrokenFile("It holds nothing for a FLUX transformer.")
    return _Found(stems, alphas, tuple(sorted(notes)))


def _alpha(header: Header, tensors: Tensors, key: str) -> float:
    if math.prod(header.tensors[key].shape) != 1:
        raise BrokenFile(f"Its {shown(key)} is no number.")
    value = float(as_float(tensors[key]).reshape(-1)[0])
    if not math.isfinite(value) or value <= 0:
        raise BrokenFile(f"Its {shown(key)} is {value:g}.")
    return value


def _layers(header: Header, found: _Found, arch: Architecture) -> tuple[Layer, ...]:
    """Every pair with its meaning in `arch`, shapes checked. Raises _Misfit."""
    known = {stem: next((one for one in meanings(stem) if one.architecture == arch), None) for stem in found.stems}
    unknown = [stem for stem, meaning in known.items() if meaning is None]
    if unknown:
        more = f", and {len(unknown) - 1} more of its {len(known)}," if len(unknown) > 1 else ""
        raise _Misfit(f"Its layer {shown(unknown[0])}{more} is none of FLUX.", len(unknown))
    configured = _configured(header.metadata)
    layers = []
    for stem, meaning in known.items():
        assert meaning is not None
        down, up = found.stems[stem]["down"], found.stems[stem]["up"]
        a, b = header.tensors[down], header.tensors[up]
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1] or not math.prod(a.shape) or not math.prod(b.shape):
            raise _Misfit(f"The halves of its layer {shown(stem)} do not match: {list(a.shape)} and {list(b.shape)}.", 0)
        for tensor in (a, b):
            if tensor.kind not in KINDS:
                raise _Misfit(f"Its layer {shown(stem)} is kept as {tensor.kind}, which is too coarse for a LoRA.", 0)
        rank = a.shape[0]
        scale = found.alphas[stem] / rank if stem in found.alphas else configured(meaning, rank)
        layers.append(Layer(stem, down, up, meaning, rank, a.shape[1], b.shape[0], scale))
    targets: dict[tuple[str, str], str] = {}
    for layer in layers:
        for target in layer.meaning.targets:
            other = targets.setdefault((layer.meaning.part, target), layer.stem)
            if other != layer.stem:
                raise _Misfit(f"Its layers {shown(other)} and {shown(layer.stem)} are the same layer of the model.", 0)
    _width(layers, arch)
    return tuple(layers)


def _width(layers: Sequence[Layer], arch: Architecture) -> int:
    """The one width that all shapes agree on, 0 where none tells. Raises _Misfit where they do not agree."""
    width = 0
    for layer in layers:
        if layer.meaning.part != "transformer":
            continue
        sides = [factors(target, arch) for target in layer.meaning.targets]
        outs, ins = sum(side[0] for side in sides), sides[0][1]
        for size, times in ((layer.outs, outs if all(side[0] for side in sides) else 0), (layer.ins, ins)):
            if times and (size % times or width not in (0, size // times)):
                raise _Misfit(f"Its layer {shown(layer.stem)} ({layer.outs} x {layer.ins}) is of another size than a FLUX has.", 0)
            width = size // times if times else width
    return width


def _configured(metadata: Mapping[str, str]):  # type: ignore[no-untyped-def]
    """alpha / rank by what diffusers wrote of PEFT's configuration; 1 where nothing is written."""
    try:
        found = json.loads(metadata.get(PEFT, "{}"))
    except (ValueError, RecursionError):
        found = {}
    found = found if isinstance(found, dict) else {}

    def scale(meaning: Meaning, rank: int) -> float:
        alpha = found.get(f"{meaning.part}.lora_alpha", rank)
        patterns = found.get(f"{meaning.part}.alpha_pattern", {})
        for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
            # PEFT takes these for regular expressions; what trainers write are names, and a file's expressions are not run here.
            name = str(pattern).lstrip("^").rstrip("$").replace("\\.", ".")
            if meaning.targets[0] == name or meaning.targets[0].endswith("." + name):
                alpha = value
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha) or alpha <= 0:
            raise BrokenFile(f"Its metadata give an alpha of {str(alpha)[:40]}.")
        return alpha / (math.sqrt(rank) if found.get(f"{meaning.part}.use_rslora") is True else rank)

    return scale


# Tensors.


def pairs(lora: LoraFile, arch: Architecture | None = None, field: str = "file") -> Iterator[Pair]:
    """Its layers one by one, in diffusers' terms, alpha folded in. Raises BadInput for values that are no numbers, or all zero."""
    try:
        yield from _pairs(lora, arch or lora.architectures[0])
    except (BrokenFile, OSError, ValueError) as error:
        raise BadInput(field, f"{lora.path.name} cannot be used as a LoRA.", str(error), TODO) from error


def _pairs(lora: LoraFile, arch: Architecture) -> Iterator[Pair]:
    effect = False
    with Tensors(lora.path, lora.header) as tensors:
        for layer in lora.layers[arch]:
            down, up = tensors[layer.down], tensors[layer.up]
            if not (down.finite() and up.finite()):
                raise BrokenFile(f"Its layer {shown(layer.stem)} holds values that are no numbers (NaN): its training went wrong.")
            effect = effect or not (up.zero() or down.zero())
            if layer.scale != 1:
                up = from_float(as_float(up) * layer.scale, up.kind)
                if not up.finite():
                    raise BrokenFile(f"Its layer {shown(layer.stem)} is scaled beyond what {up.kind} holds.")
            yield from split(layer.meaning, down, up, arch)
    if not effect:
        raise BrokenFile("It changes nothing: every layer of it is zero.")


def split(meaning: Meaning, down: Raw, up: Raw, arch: Architecture) -> Iterator[Pair]:
    """A pair as the pairs of the layers it is made of. Where `up` is zero but for a block a layer, each keeps its own ranks only."""
    targets = meaning.targets
    if meaning.swapped:
        shift, scale = np.split(up.array, 2)
        up = up.with_array(np.concatenate([scale, shift]))
    if len(targets) == 1:
        yield Pair(meaning.part, targets[0], down, up)
        return
    parts = [factors(target, arch)[0] for target in targets]
    unit = up.array.shape[0] // sum(parts)
    rows = np.split(up.array, np.cumsum([part * unit for part in parts])[:-1])
    each, rest = divmod(down.array.shape[0], len(targets))
    own = [slice(place * each, (place + 1) * each) for place in range(len(targets))]
    apart = each > 0 and not rest and all(_only(block, kept, up.kind) for block, kept in zip(rows, own, strict=True))
    for target, block, kept in zip(targets, rows, own, strict=True):
        if up.with_array(block).zero():
            continue  # One that nobody trained.
        if apart:
            yield Pair(meaning.part, target, down.with_array(down.array[kept]), up.with_array(np.ascontiguousarray(block[:, kept])))
        else:
            yield Pair(meaning.part, target, down, up.with_array(block))


def _only(block: np.ndarray, kept: slice, kind: str) -> bool:
    """Whether a block is zero outside the columns `kept`."""
    return Raw(block[:, : kept.start], kind).zero() and Raw(block[:, kept.stop :], kind).zero()
