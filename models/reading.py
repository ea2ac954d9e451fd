"""Prompts to embeddings: each prompt is encoded once and kept, and the encoders leave when the plan says so. Only a worker imports this."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

from models.adapters import Adapters, text_key
from models.cards import ModelCard
from models.loading import free, load_pipeline
from models.memory import MemoryPlan
from models.spec import LoraUse
from models.weights import Where

Embeddings = dict[str, torch.Tensor]
Key = tuple[object, str]  # What LoRAs do to the encoders, and the prompt.


class Reader:
    """The text half of a model. `kept_bytes` bounds the embeddings kept; the least recently used go first."""

    def __init__(self, card: ModelCard, plan: MemoryPlan, models_dir: Where = None, kept_bytes: int = 256 * 2**20) -> None:
        self._card, self._plan, self._models_dir = card, plan, models_dir
        self._device = torch.device(plan.device)
        self._pipe: Any = None
        self._adapters: Adapters | None = None
        self._kept: OrderedDict[Key, Embeddings] = OrderedDict()
        self._kept_bytes = kept_bytes
        self.encoded = 0  # Prompts that went through the encoders: what a test of the cache counts.

    def read(self, prompts: list[str], make_room: Callable[[], None], loras: tuple[LoraUse, ...] = ()) -> list[Embeddings]:
        """Embeddings of each prompt, batch of one, in main memory. `make_room` is called before encoders that take turns with the
        transformer come to the device. loras: those with a part for the text encoder change what is read. Raises BadInput (`loras.N`)."""
        how = text_key(loras)
        missing = [prompt for prompt in dict.fromkeys(prompts) if (how, prompt) not in self._kept]
        fresh: dict[Key, Embeddings] = {}
        if missing:
            if self._plan.evict:
                make_room()
            fresh = {(how, prompt): found for prompt, found in self._encode(missing, loras if how else ()).items()}
        found = []
        for prompt in prompts:
            key = (how, prompt)
            if key in self._kept:
                self._kept.move_to_end(key)
            found.append(fresh[key] if key in fresh else self._kept[key])
        self._keep(fresh)
        return found

    def _encode(self, prompts: list[str], loras: tuple[LoraUse, ...]) -> dict[str, Embeddings]:
        if self._pipe is None:
            self._pipe = load_pipeline(self._card, self._plan, self._models_dir, part="reading")
            self._adapters = Adapters.of(self._pipe, self._plan, reading=True)
        assert self._adapters is not None
        swapped = self._plan.encoders == "swapped" and not self._plan.streamed
        if swapped:
            self._pipe.to(self._device)
        try:
            self._adapters.use(loras)
            with torch.no_grad():
                return {prompt: self._encode_one(prompt) for prompt in prompts}
        finally:
            self.encoded += len(prompts)
            if self._plan.encoders == "dropped":
                self._pipe = self._adapters = None
            elif swapped:
                self._pipe.to("cpu")
            if self._plan.evict:
                free(self._device)

    def _encode_one(self, prompt: str) -> Embeddings:
        found = self._pipe.encode_prompt(prompt=prompt, device=self._device, max_sequence_length=self._card.max_tokens)
        names = ("prompt_embeds", "pooled_prompt_embeds") if self._card.clip_tokens else ("prompt_embeds",)
        return {name: tensor.detach().cpu() for name, tensor in zip(names, found, strict=False)}

    def _keep(self, fresh: dict[Key, Embeddings]) -> None:
        self._kept.update(fresh)
        while len(self._kept) > 1 and sum(_bytes(one) for one in self._kept.values()) > self._kept_bytes:
            self._kept.popitem(last=False)

    def close(self) -> None:
        """Drop encoders and embeddings."""
        self._pipe = self._adapters = None
        self._kept.clear()


def _bytes(embeddings: Embeddings) -> int:
    return sum(tensor.nbytes for tensor in embeddings.values())
