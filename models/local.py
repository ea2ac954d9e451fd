"""The engine that draws on this machine, over diffusers' own pipelines. Only a worker imports this.

A batch runs in a thread; the pipeline's step callback feeds a queue that the caller reads as an iterator. Closing the iterator raises
inside the callback, so the device stops within one step. There is no denoising loop here: steps, schedulers and guidance are diffusers'.
"""
from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps

from models.adapters import Adapters
from models.cards import ModelCard
from models.errors import BadInput, OutOfMemory, Unavailable
from models.latents import Flux1Latents, Previewer, decode, estimate, latents_of
from models.loading import free, load_pipeline
from models.memory import Machine, MemoryPlan, plan
from models.reading import Embeddings, Reader
from models.spec import Event, ImageSpec, Picture, Preview, Step
from models.threads import listen
from models.weights import Where, find_weights, gguf_gib, model_found

Emit = Callable[[Event], None]


@dataclass(frozen=True)
class _Batch:
    """What one call of the pipeline draws. images: none, one for all seeds, or one a seed (tiles)."""

    seeds: tuple[int, ...]
    images: tuple[Image.Image, ...]

    def halves(self) -> tuple[_Batch, _Batch]:
        middle = (len(self.seeds) + 1) // 2
        images = (self.images[:middle], self.images[middle:]) if len(self.images) > 1 else (self.images, self.images)
        return _Batch(self.seeds[:middle], images[0]), _Batch(self.seeds[middle:], images[1])


class LocalEngine:
    """Draws with one model on one device. Weights are loaded at the first `generate`.

    The noise of a seed is drawn by itself, on the CPU in float32: a seed gives the same picture in whatever batch it rides.
    `machine` and `plan` say where the parts live (`models.memory.plan` by default). Previews of a batch come at least
    `preview_seconds` apart; those between are not even computed.
    """

    def __init__(
        self, card: ModelCard, machine: Machine, plan: MemoryPlan | None = None, models_dir: Where = None, previews: bool = True,
        preview_seconds: float = 0.0,
    ) -> None:
        self.card, self.machine, self.models_dir = card, machine, models_dir
        self.previews, self.preview_seconds = previews, preview_seconds
        self.plan = plan or _plan(card, machine, models_dir)
        self.device = torch.device(self.plan.device)
        self._reader = Reader(card, self.plan, models_dir)
        self._pipe: Any = None
        self._adapters: Adapters | None = None
        self._previewer: Previewer | None = None
        self._most: dict[tuple[int, int], int] = {}  # Batches found to be too large, by size.
        self._busy = threading.Lock()

    def generate(self, spec: ImageSpec) -> Iterator[Event]:
        """Step and Preview events while a batch is denoised, then its Pictures one by one; then the next batch.

        Raises BadInput for what the card cannot do, Unavailable without weights, OutOfMemory if not even one picture fits. After a
        batch that did not fit, its steps are reported anew for the smaller ones.
        """
        self._check(spec)
        images = (_open(spec.image),) if spec.image is not None else ()
        return self._run(spec, images)

    def redraw(self, images: list[Image.Image], spec: ImageSpec) -> Iterator[Event]:
        """img2img from pictures in memory, one a seed of `spec` and of its size (tiles of a larger picture). Events as `generate`."""
        if not self.card.img2img:
            raise BadInput("role", f"{self.card.title} has no img2img.")
        if spec.strength is None or len(images) != len(spec.seeds):
            raise ValueError("redraw needs a strength, and one picture a seed")
        return self._run(spec, tuple(images))

    def close(self) -> None:
        """Free the device. The next `generate` loads again."""
        self._reader.close()
        self._drop_drawing()

    def _run(self, spec: ImageSpec, images: tuple[Image.Image, ...]) -> Iterator[Event]:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this engine is drawing: close its iterator before the next call")
        try:
            yield from listen(partial(self._draw_all, spec, images))
        finally:
            self._busy.release()

    def _draw_all(self, spec: ImageSpec, images: tuple[Image.Image, ...], emit: Emit) -> None:
        if not self.plan.fits:
            raise Unavailable(self.plan.words, "", "Choose a smaller model, or a machine with more memory.")
        embeddings = self._embeddings(spec)
        self._load_drawing(spec)
        waiting = [_Batch(spec.seeds, images)]
        while waiting:
            batch = waiting.pop(0)
            if len(batch.seeds) > self._batch_size(spec):
                waiting[:0] = self._split(batch, self._batch_size(spec))
                continue
            too_large = False
            try:
                self._draw(spec, batch, embeddings, emit)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                too_large = True
            if too_large:  # Outside the handler: the traceback held the tensors that did not fit.
                if self._adapters is not None:
                    self._adapters.forget()
                free(self.device)
                if len(batch.seeds) == 1:
                    raise self._out_of_memory(spec)
                self._most[spec.width, spec.height] = (len(batch.seeds) + 1) // 2
                waiting[:0] = batch.halves()

    def _batch_size(self, spec: ImageSpec) -> int:
        planned = self.plan.batch(spec.width, spec.height)
        return min(planned, self._most.get((spec.width, spec.height), planned))

    @staticmethod
    def _split(batch: _Batch, size: int) -> list[_Batch]:
        starts = range(0, len(batch.seeds), size)
        own = len(batch.images) > 1
        return [_Batch(batch.seeds[i : i + size], batch.images[i : i + size] if own else batch.images) for i in starts]

    def _draw(self, spec: ImageSpec, batch: _Batch, embeddings: list[Embeddings], emit: Emit) -> None:
        """One batch: denoise, then decode one by one."""
        started = time.perf_counter()
        pipe = self._pipe
        arguments = self._arguments(spec, batch, embeddings)
        if spec.strength is not None:
            pipe = _img2img(pipe)
        watch = _Watch(self, pipe, spec, batch.seeds, arguments.get("latents"), emit)
        output = pipe(
            **arguments, output_type="latent", callback_on_step_end=watch, callback_on_step_end_tensor_inputs=["latents"]
        ).images
        finished = latents_of(self._pipe).finished(output, spec.width, spec.height)
        _wait(self.device)
        share = (time.perf_counter() - started) / len(batch.seeds)
        for index, seed in enumerate(batch.seeds):
            begun = time.perf_counter()
            picture = self._decode(finished[index : index + 1])
            seconds = share + time.perf_counter() - begun
            emit(Picture(seed, picture, seconds, self._details(watch.total, len(batch.seeds))))

    def _decode(self, latents: torch.Tensor) -> Image.Image:
        try:
            return decode(self._pipe, latents)
        except Exception as error:
            if not is_out_of_memory(error) or self._pipe.vae.use_tiling:
                raise
        free(self.device)
        self._pipe.vae.enable_tiling()
        return decode(self._pipe, latents)

    def _details(self, steps: int, batch: int) -> dict[str, object]:
        return {
            "model": self.card.name, "device": self.machine.words, "precision": self.plan.precision, "steps_run": steps, "batch": batch,
        }  # fmt: skip

    def _arguments(self, spec: ImageSpec, batch: _Batch, embeddings: list[Embeddings]) -> dict[str, Any]:
        """Arguments for the pipeline's call."""
        count = len(batch.seeds)
        latents = latents_of(self._pipe)
        found: dict[str, Any] = {"height": spec.height, "width": spec.width, "num_inference_steps": spec.steps}
        found |= {name: _expand(tensor, count, self.device) for name, tensor in embeddings[0].items()}
        if len(embeddings) > 1:
            found |= {f"negative_{name}": _expand(tensor, count, self.device) for name, tensor in embeddings[1].items()}
        found |= self._guidance(spec)
        if spec.strength is not None:
            assert isinstance(latents, Flux1Latents)
            start = latents.encode([_fit(image, spec.width, spec.height) for image in batch.images], spec.width, spec.height)
            # Generators on the CPU, one a seed: the pipeline then draws each picture's noise from its own.
            generators = [torch.Generator("cpu").manual_seed(seed) for seed in batch.seeds]
            return found | {"image": start, "strength": spec.strength, "generator": generators}
        found["latents"] = latents.start(batch.seeds, spec.width, spec.height)
        if batch.images:
            found["image"] = batch.images[0]
        if self.card.pipeline == "FluxKontextPipeline":
            found["max_area"] = spec.width * spec.height
        return found

    def _guidance(self, spec: ImageSpec) -> dict[str, float]:
        if self.card.guidance_kind == "cfg" and self.card.clip_tokens:
            return {"true_cfg_scale": spec.guidance}
        if self.card.guidance_kind == "none":
            return {"guidance_scale": 0.0}
        return {"guidance_scale": spec.guidance}

    def _embeddings(self, spec: ImageSpec) -> list[Embeddings]:
        """Of the prompt, and of the negative one where a second pass reads it."""
        second = self.card.guidance_kind == "cfg" and spec.guidance > 1
        return self._reader.read([spec.prompt, spec.negative] if second else [spec.prompt], self._make_room, spec.loras)

    def _make_room(self) -> None:
        """The encoders need the place of the transformer."""
        if self._pipe is None or self.plan.streamed:
            return
        if self.plan.encoders == "dropped":
            self._drop_drawing()
        else:
            self._pipe.to("cpu")
            free(self.device)

    def _load_drawing(self, spec: ImageSpec) -> None:
        if self._pipe is None:
            self._pipe = load_pipeline(self.card, self.plan, self.models_dir, part="drawing")
            self._adapters = Adapters.of(self._pipe, self.plan)
            if self.previews:
                self._previewer = Previewer.of(self._pipe.vae, find_weights(self.card, self.models_dir) / "preview.safetensors")
        elif self.plan.evict and not self.plan.streamed:
            self._pipe.to(self.device)
        assert self._adapters is not None
        self._adapters.use(spec.loras)

    def _drop_drawing(self) -> None:
        self._pipe = self._adapters = self._previewer = None
        free(self.device)

    def _out_of_memory(self, spec: ImageSpec) -> OutOfMemory:
        return OutOfMemory(
            f"{self.card.title} has no room for one picture of {spec.width} x {spec.height}.",
            f"{self.machine.words} ran out of memory ({self.plan.words}).",
            "Choose a smaller size or a smaller model, or close other programs that use the device.",
        )

    def _check(self, spec: ImageSpec) -> None:
        card = self.card
        for name, value in (("width", spec.width), ("height", spec.height)):
            if value < card.multiple or value % card.multiple:
                raise BadInput(name, f"The {name} {value} does not suit {card.title}.", f"It draws multiples of {card.multiple} pixels.")
        if not spec.seeds:
            raise BadInput("seeds", "There is no seed to draw.")
        if not all(0 <= seed < 2**63 for seed in spec.seeds):
            raise BadInput("seeds", "A seed is out of range.", "Seeds run from 0 to 2**63 - 1.")
        if spec.steps < 1:
            raise BadInput("steps", "At least one step is needed.")
        if (spec.role == "none") != (spec.image is None):
            raise BadInput("image", "A picture and what it is for belong together.", f"The role is {spec.role!r}.")
        if (spec.role == "img2img" and not card.img2img) or (spec.role == "reference" and not card.reference):
            raise BadInput("role", f"{card.title} takes no picture as {spec.role}.")
        if (spec.role == "img2img") != (spec.strength is not None) or (spec.strength is not None and not 0 < spec.strength <= 1):
            raise BadInput("strength", "A strength above 0 and up to 1 belongs to img2img, and to nothing else.")
        if spec.loras and not card.lora:
            raise BadInput("loras", f"{card.title} takes no LoRA.")


class _Watch:
    """diffusers' `callback_on_step_end`: turns each step into events. What `emit` raises stops the pipeline."""

    def __init__(
        self, engine: LocalEngine, pipe: Any, spec: ImageSpec, seeds: tuple[int, ...], start: torch.Tensor | None, emit: Emit
    ) -> None:
        self._latents, self._previewer = latents_of(engine._pipe), engine._previewer
        self._spec, self._seeds, self._emit, self._pipe = spec, seeds, emit, pipe
        self._pause, self._shown = engine.preview_seconds, -math.inf
        self._before: torch.Tensor | None = None
        # FLUX.1's start is packed already; FLUX.2 packs it itself, to (B, tokens, channels).
        if start is not None:
            self._before = (start if start.ndim == 3 else start.flatten(2).transpose(1, 2)).to(engine.device)
        self.total = 0

    def __call__(self, pipe: Any, index: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        self.total = pipe.num_timesteps
        self._emit(Step(self._seeds, index + 1, self.total))
        before, self._before = self._before, tensors["latents"]
        if self._previewer is not None and time.monotonic() - self._shown >= self._pause:
            self._shown = time.monotonic()
            for seed, image in zip(self._seeds, self._preview(pipe.scheduler, before, self._before), strict=True):
                self._emit(Preview(seed, index + 1, image))
        return {}

    def _preview(self, scheduler: Any, before: torch.Tensor | None, now: torch.Tensor) -> list[Image.Image]:
        at = scheduler.step_index
        clean = estimate(before, now, float(scheduler.sigmas[at - 1]), float(scheduler.sigmas[at]))
        assert self._previewer is not None
        return self._previewer(self._latents.to_vae(clean, self._spec.width, self._spec.height))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or main memory, could not hold something: each backend says it in its own way."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text or "invalid buffer size" in text)


def _plan(card: ModelCard, machine: Machine, where: Where) -> MemoryPlan:
    return plan(card, machine, gguf_gib(model_found(card, where)))


def _img2img(pipe: Any) -> Any:
    """FluxImg2ImgPipeline over the same parts: nothing is loaded or copied."""
    from diffusers import FluxImg2ImgPipeline

    other: Any = FluxImg2ImgPipeline(**pipe.components)
    other.set_progress_bar_config(disable=True)
    return other


def _wait(device: torch.device) -> None:
    """Until the device is done, so that times are its own."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _expand(tensor: torch.Tensor, count: int, device: torch.device) -> torch.Tensor:
    return tensor.to(device).expand(count, *tensor.shape[1:]).contiguous()


def _open(path: Path) -> Image.Image:
    """A picture from disk, upright and in RGB. Raises BadInput."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput("image", f"{path.name} is not a picture that can be read.", str(error)) from error


def _fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scaled to cover width x height, the rest cut off evenly."""
    return image if image.size == (width, height) else ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
