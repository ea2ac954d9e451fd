"""LoRAs on a loaded pipeline: several at once with weights, exchanged without loading the pipeline anew. Only a worker imports this.

Files that were used lately stay on the device, switched off (PEFT keeps adapters side by side), so going back to one takes milliseconds;
those that nobody asked for longest leave when they exceed a bound in bytes. Nothing is ever merged into the model's weights: with no
LoRA asked for, the base computes exactly what it computes without this module.
"""
from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch

from models.errors import BadInput
from models.lora import LoraFile, Pair, describe, pairs
from models.lora_names import Architecture, Part
from models.memory import GIB, MemoryPlan
from models.spec import LoraUse
from models.tensorfile import Raw, shown

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp8": torch.bfloat16}
LEAST, MOST = 64 * 2**20, GIB  # Bytes of idle LoRAs: a twentieth of the model, within these.
PARTS: tuple[Part, ...] = ("transformer", "text_encoder")
Key = tuple[Path, int, int]  # A file as it was when it was read: path, time of its last change, bytes.


@dataclass(frozen=True)
class _Resident:
    """A LoRA on the device, under PEFT's name for it."""

    name: str
    bytes: int


class Adapters:
    """The LoRAs of one pipeline, or of one half of it: those parts of a file count that the pipeline has.

    dtype: what the model computes in. kept_bytes: of LoRAs that are not in use, on the device. streamed: weights are sent to the device
    block by block; then no idle ones are kept, for what follows the computation is fixed when they are loaded.
    """

    def __init__(self, pipe: Any, dtype: torch.dtype = torch.float32, kept_bytes: int = LEAST, streamed: bool = False) -> None:
        self._pipe, self._dtype, self._streamed = pipe, dtype, streamed
        self._kept_bytes = 0 if streamed else kept_bytes
        self._architecture: Architecture = "flux2" if type(pipe).__name__.startswith("Flux2") else "flux1"
        self._modules = {part: module for part in PARTS if isinstance(module := getattr(pipe, part, None), torch.nn.Module)}
        self._resident: OrderedDict[Key, _Resident] = OrderedDict()  # The least recently used first.
        self._now: dict[Key, float] = {}
        self._layers: list[Any] = []  # PEFT's layers, in all parts.
        self._number = count(1)

    @classmethod
    def of(cls, pipe: Any, plan: MemoryPlan, reading: bool = False) -> Adapters:
        """For a pipeline that was loaded by a plan, or (reading) for its half that reads prompts."""
        kept = min(MOST, max(LEAST, int(plan.resident * GIB / 20)))
        return cls(pipe, DTYPES[plan.text if reading else plan.precision], kept, plan.streamed)

    @property
    def idle_bytes(self) -> int:
        return sum(one.bytes for key, one in self._resident.items() if key not in self._now)

    @property
    def resident(self) -> tuple[Path, ...]:
        """Files on the device, the least recently used first."""
        return tuple(key[0] for key in self._resident)

    def use(self, loras: tuple[LoraUse, ...]) -> None:
        """Exactly these, with their weights, from now on.

        Raises BadInput (`loras.N`) for a file that cannot be read or does not fit this model; then none is in use.
        """
        described = [describe(lora.path, f"loras.{index}") for index, lora in enumerate(loras)]
        for index, lora in enumerate(described):
            self._refuse_other_models(lora, f"loras.{index}")
        wanted: dict[Key, float] = {}
        places: dict[Key, tuple[int, LoraFile]] = {}
        for index, (use, lora) in enumerate(zip(loras, described, strict=True)):
            if use.weight and any(part in self._modules for part in lora.parts):
                key = key_of(use.path)
                wanted[key] = wanted.get(key, 0.0) + use.weight
                places.setdefault(key, (index, lora))
        if list(wanted.items()) == list(self._now.items()):
            return
        if self._streamed and set(wanted) != set(self._resident):
            self.unload()
        try:
            try:
                self._load_missing(places)
            except torch.OutOfMemoryError:
                self.unload()  # The idle ones may be all that is too much.
                self._load_missing(places)
        except BaseException:
            self.unload()
            raise
        self._activate(wanted)
        self._evict()

    def _load_missing(self, places: Mapping[Key, tuple[int, LoraFile]]) -> None:
        for key, (index, lora) in places.items():
            if key not in self._resident:
                self._resident[key] = self._load(lora, f"loras.{index}")

    def forget(self) -> None:
        """Take idle ones off the device."""
        self._evict(0)

    def unload(self) -> None:
        """Take all off; the model's own layers are back in place."""
        self._now = {}
        self._resident.clear()
        self._layers = []
        self._pipe.unload_lora_weights()

    def _activate(self, wanted: Mapping[Key, float]) -> None:
        names = [self._resident[key].name for key in wanted]
        for layer in self._layers:
            layer.set_adapter(names, inference_mode=True)
            for name, weight in zip(names, wanted.values(), strict=True):
                layer.set_scale(name, weight)
        for key in wanted:
            self._resident.move_to_end(key)
        self._now = dict(wanted)

    def _evict(self, bound: int | None = None) -> None:
        bound = self._kept_bytes if bound is None else bound
        leaving = []
        idle = self.idle_bytes
        for key, one in self._resident.items():
            if idle <= bound:
                break
            if key not in self._now:
                leaving.append(key)
                idle -= one.bytes
        if not leaving:
            return
        if len(leaving) == len(self._resident):
            self.unload()
            return
        from diffusers.utils.peft_utils import delete_adapter_layers

        for key in leaving:
            name = self._resident.pop(key).name
            for module in self._modules.values():
                delete_adapter_layers(module, name)

    def _refuse_other_models(self, lora: LoraFile, field: str) -> None:
        if self._architecture not in lora.architectures:
            ours, theirs = self._architecture[-1], lora.architectures[0][-1]
            raise BadInput(field, f"{lora.path.name} does not fit this model.", f"It was trained for FLUX.{theirs}, this is a FLUX.{ours}.")

    def _load(self, lora: LoraFile, field: str) -> _Resident:
        """Onto the device, switched off."""
        found = [pair for pair in pairs(lora, self._architecture, field) if pair.part in self._modules]
        state: dict[Part, dict[str, torch.Tensor]] = {}
        modules = {part: dict(module.named_modules()) for part, module in self._modules.items()}
        for pair in found:
            self._refuse_other_sizes(lora, pair, modules[pair.part], field)
            tensors = state.setdefault(pair.part, {})
            tensors[f"{pair.target}.lora_A.weight"] = self._tensor(pair.down)
            tensors[f"{pair.target}.lora_B.weight"] = self._tensor(pair.up)
        name = f"lora{next(self._number)}"
        try:
            for part, tensors in state.items():
                self._inject(part, tensors, name)
        finally:
            self._layers = [layer for module in self._modules.values() for layer in _tuned(module)]
            for layer in self._layers:
                layer.set_adapter([], inference_mode=True)
            self._now = {}
        return _Resident(name, sum(tensor.nbytes for tensors in state.values() for tensor in tensors.values()))

    def _inject(self, part: Part, tensors: Mapping[str, torch.Tensor], name: str) -> None:
        prefixed = {f"{part}.{key}": tensor for key, tensor in tensors.items()}
        module: Any = self._modules[part]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That there is another adapter, and that tensors decide which layers have one: as meant.
            if part == "transformer":
                module.load_lora_adapter(prefixed, prefix=part, adapter_name=name, _pipeline=self._pipe, low_cpu_mem_usage=True)
            else:
                self._pipe.load_lora_into_text_encoder(
                    prefixed, network_alphas=None, text_encoder=module, prefix=part, adapter_name=name, _pipeline=self._pipe
                )
        # PEFT gives a LoRA the dtype of the layer below it; below may be float8, which would ruin it.
        for path, layer in module.named_modules():
            for half in ("lora_A", "lora_B"):
                own = getattr(layer, half, None)
                if isinstance(own, torch.nn.ModuleDict) and name in own:
                    weight: Any = own[name].weight
                    if weight.dtype != self._dtype:
                        weight.data = tensors[f"{path}.{half}.weight"].to(weight.device)

    def _tensor(self, raw: Raw) -> torch.Tensor:
        if raw.kind == "BF16":
            return torch.from_numpy(raw.array).view(torch.bfloat16).to(self._dtype)
        return torch.from_numpy(raw.array).to(self._dtype)

    def _refuse_other_sizes(self, lora: LoraFile, pair: Pair, modules: Mapping[str, Any], field: str) -> None:
        layer = modules.get(pair.target)
        layer = getattr(layer, "base_layer", layer)
        size = (getattr(layer, "out_features", None), getattr(layer, "in_features", None))
        own = (pair.up.array.shape[0], pair.down.array.shape[1])
        if None in size:
            why = f"It changes {shown(pair.target)}, which the model has not."
        else:
            why = f"Its {shown(pair.target)} is {own[0]} x {own[1]}, the model's {size[0]} x {size[1]}."
        if size != own:
            raise BadInput(field, f"{lora.path.name} does not fit this model.", why)


def key_of(path: Path) -> Key:
    """What tells a file from another that takes its place."""
    state = path.stat()
    return path, state.st_mtime_ns, state.st_size


def text_key(loras: tuple[LoraUse, ...]) -> tuple[tuple[Key, float], ...]:
    """What of these LoRAs changes how a prompt is read: () for those of the transformer alone. Raises BadInput (`loras.N`)."""
    described = ((lora, describe(lora.path, f"loras.{index}")) for index, lora in enumerate(loras))
    return tuple((key_of(lora.path), lora.weight) for lora, about in described if lora.weight and "text_encoder" in about.parts)


def _tuned(module: torch.nn.Module) -> Iterator[Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return (layer for layer in module.modules() if isinstance(layer, BaseTunerLayer))
