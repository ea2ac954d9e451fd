"""One training from its first step to its last, or to the moment it is asked to stop; it goes on from its own checkpoints.

Data-parallel through accelerate: every process computes other micro-batches, gradients are averaged once a step, so N processes take
the steps of one with N times the accumulation. On the CPU a training that was stopped and gone on with ends with the very weights of
one that ran through: batches and noise come from the seed and the step, and a checkpoint holds all else.
"""
from __future__ import annotations

import math
import os
import time
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.cards import ModelCard
from models.loading import quiet
from models.machine import probe
from models.memory import Machine, plan
from models.training import checkpoint, material, triggers
from models.training.adapter import Adapter
from models.training.checkpoint import Progress
from models.training.drawing import Drawer
from models.training.families import family_of
from models.training.files import write_lora
from models.training.flow import Batches, Flow
from models.training.material import Cache, Sample
from models.training.optimizers import optimizer_of, rate_at
from models.training.quantise import to_device
from models.training.recipe import Ask, Example, Job, Tell, TrainingError, scaled
from models.training.remembering import Remembering, captions_of
from models.training.wording import texts_of
from models.weights import Found, Where, find_model

Ended = Literal["done", "gave way"]


class _GiveWay(Exception):
    """Asked to stop while nothing is trained yet."""


class Trainer:
    """`run` once. tell: is handed every event (only by the first process). ask: called before every step."""

    def __init__(self, job: Job, card: ModelCard, tell: Tell, ask: Ask, machine: Machine | None = None, where: Where = None) -> None:
        quiet()
        self.job, self.card, self.recipe, self.where = job, card, job.recipe, where
        self.machine = machine or probe()
        # Making caches of a large model may take the first process an hour, while the others wait.
        patience = InitProcessGroupKwargs(timeout=timedelta(hours=6))
        self.accelerator = Accelerator(cpu=self.machine.kind == "cpu", kwargs_handlers=[patience])
        self.device = self.accelerator.device
        self.first = self.accelerator.is_main_process
        self._tell, self._ask = tell, ask
        self.progress = Progress()
        self._began = 0.0

    def run(self) -> Ended:
        """Raises TrainingError, StudioError (no weights), and whatever a device raises when its memory is full."""
        with _short_attention(self.device):
            try:
                self._prepare()
            except _GiveWay:
                return "gave way"
            self._resume()
            return self._train()

    # Before the first step

    def _prepare(self) -> None:
        recipe, card = self.recipe, self.card
        found = find_model(card, self.where)
        self.revision = _revision(found)
        planned = plan(card, self.machine)
        cache = Cache(self.job.folder / "cache")
        examples = self._sized()
        captions = captions_of(examples, recipe, card.embedded)
        pairs = triggers.pairs_of(examples, recipe, card.embedded)
        with self._first_alone():
            self.note("Reading the captions.")
            texts = material.read_texts(
                {"", *captions.all(), *texts_of(examples, recipe, card.embedded), *(s.prompt for s in recipe.samples), *sum(pairs, ())},
                card, planned, self.where, self.revision, cache, self._between,
            )  # fmt: skip
        if (share := triggers.heard(texts, pairs)) is not None and (words := triggers.words(recipe.trigger, share)):
            self.note(words)
        dtype = torch.float32 if recipe.precision == "fp32" else torch.bfloat16
        texts = {prompt: {name: tensor.to(dtype) for name, tensor in embeds.items()} for prompt, embeds in texts.items()}
        self.note(f"Loading {card.title}.")
        pipe = material.load_drawing(card, planned, recipe.precision, self.where)
        self.family = family_of(pipe, recipe.guidance)
        with self._first_alone():
            self.note("Reading the pictures.")
            samples = material.encode(examples, self.family, self.device, self.revision, cache, self._between)
        self.adapter = Adapter(pipe.transformer, recipe)
        to_device(pipe.transformer, self.device, recipe.quantise)
        self.drawer = Drawer(self.family, card, recipe, texts, self.device)
        remembered: list[Sample] = []
        if captions.drawn:
            with self._first_alone():
                self.note(f"The base draws {len(captions.drawn)} pictures to remember itself by.")
                sizes = list(dict.fromkeys(example.size for example in examples))
                remembered = self.drawer.remembered(list(captions.drawn), sizes, self.revision, cache, self._between)
        if recipe.training_adapter:
            self.adapter.assist(material.adapter_file(recipe.training_adapter, self.where))
        if recipe.gradient_checkpointing:
            pipe.transformer.enable_gradient_checkpointing()
        self.flow = Flow(self.family, self.adapter, recipe, texts, self.device, card.embedded)
        self._divide(samples)
        self.remembering = Remembering(recipe, captions, self.learnt, remembered) if recipe.prior.kind != "none" else None
        self.optimizer = optimizer_of(list(self.adapter.weights.values()), recipe)

    def _sized(self) -> list[Example]:
        sizes = self.recipe.resolutions
        return [
            example.at(scaled(example.size, resolution, self.card.multiple)) if resolution else example
            for example in self.job.examples
            for resolution in (sizes or (0,))
        ]

    def _divide(self, samples: list[Sample]) -> None:
        """Hold out a share of the pictures, all their sizes with them; never so many that fewer than four are left."""
        sizes = max(1, len(self.recipe.resolutions))
        pictures = len(samples) // sizes
        held = min(math.ceil(self.recipe.validation * pictures), max(0, pictures - 4))
        order = np.random.default_rng([self.recipe.seed, 7]).permutation(pictures)
        out = set(order[:held].tolist())
        self.learnt = [sample for index, sample in enumerate(samples) if index // sizes not in out]
        self.held = [sample for index, sample in enumerate(samples) if index // sizes in out] or self.learnt
        if not held and self.recipe.patience:
            self.note("No picture is held out: the validation loss is that of the training's own pictures.")
        self.batches = Batches([sample.size for sample in self.learnt], self.recipe.batch, self.recipe.seed)

    def _resume(self) -> None:
        there = checkpoint.whole(self.job.folder / "checkpoints")
        own = self.recipe.fingerprint()
        if not there:
            self.progress = Progress(fingerprint=own, dataset=self.job.hash, threads=torch.get_num_threads())
            return
        self.progress, state, optimizer = checkpoint.load(there[-1])
        if (self.progress.fingerprint, self.progress.dataset) != (own, self.job.hash):
            raise TrainingError(
                "settings", "This training cannot go on.", "Its settings or pictures were changed after it began.", "Start a new training."
            )
        self.adapter.restore(state)
        self.optimizer.load_state_dict(optimizer)
        if self.device.type == "cpu" and torch.get_num_threads() != self.progress.threads:
            torch.set_num_threads(self.progress.threads)
        self.note(f"Going on from step {self.progress.step}.", resumed=self.progress.step)

    # Steps

    def _train(self) -> Ended:
        recipe, progress = self.recipe, self.progress
        self._began, self._before = time.monotonic(), progress.seconds
        if progress.step == 0 and not progress.curve:
            self._validate()
            self._sample()
        kept = False
        while progress.step < recipe.steps and not progress.finished:
            asked = self._asked()
            if asked == "give way":
                self._save()
                return "gave way"
            if asked == "keep":
                kept = True
                break
            self._step()
            last = progress.step == recipe.steps
            if progress.step % recipe.validate_every == 0 or last:
                self._validate()
                if recipe.patience and progress.worse >= recipe.patience:
                    self.note(f"No better for {progress.worse} validations: the best was step {progress.best_step}.")
                    progress.finished = True
            if recipe.sample_every and (progress.step % recipe.sample_every == 0 or last or progress.finished):
                self._sample()
            if progress.step % recipe.save_every == 0 or last or progress.finished:
                self._save()
        self._finish(kept)
        return "done"

    def _step(self) -> None:
        recipe, progress, world = self.recipe, self.progress, self.accelerator.num_processes
        rate = recipe.rate * rate_at(progress.step, recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        concept, prior = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for part in range(recipe.accumulation):
            place = (progress.step * recipe.accumulation + part) * world + self.accelerator.process_index
            rng = np.random.default_rng([recipe.seed, place])
            loss = self.flow.concept([self.learnt[i] for i in self.batches[place]], rng)
            (loss / recipe.accumulation).backward()
            concept += loss.detach() / recipe.accumulation
            if self.remembering is not None:
                loss = self.flow.prior(*self.remembering.rows(place, rng), rng)
                (loss * recipe.prior.weight / recipe.accumulation).backward()
                prior += loss.detach() / recipe.accumulation
        weights = list(self.adapter.weights.values())
        losses = self._averaged(weights, concept, prior)
        norm = float(torch.nn.utils.clip_grad_norm_(weights, recipe.clip))
        if not (math.isfinite(losses[0]) and math.isfinite(losses[1]) and math.isfinite(norm)):
            raise TrainingError(
                "nan", f"The loss is no longer a number at step {progress.step + 1}.",
                f"At a learning rate of {recipe.rate:g} the weights ran away." if progress.step else "The first step already failed.",
                f"Start again with a third of the rate ({recipe.rate / 3:.1g})" + (" and precision fp32." if recipe.precision == "bf16"
                and not progress.step else "."), "rate",
            )  # fmt: skip
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        self.adapter.average(progress.step)
        progress.seconds = self._before + time.monotonic() - self._began
        told = {"loss": round(losses[0], 6), "rate": rate, "memory": round(self._memory(), 2)}
        if self.remembering is not None:
            told["prior"] = round(losses[1], 6)
        self.tell("step", **told)

    def _averaged(self, weights: list[torch.nn.Parameter], *losses: torch.Tensor) -> list[float]:
        """Gradients and losses as the mean over all processes."""
        if self.accelerator.num_processes > 1:
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients] + [torch.stack(losses)])
            flat = self.accelerator.reduce(flat, "mean")
            *parts, mean = flat.split([gradient.numel() for gradient in gradients] + [len(losses)])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))
            losses = tuple(mean)
        return [float(loss) for loss in losses]

    # Between steps

    def _validate(self) -> None:
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        with self.adapter.averaged():
            mine = sum(self.flow.validation(sample, index) for index, sample in enumerate(self.held) if index % world == rank)
        total = torch.tensor(mine, dtype=torch.float64, device=self.device if self.device.type != "mps" else "cpu")
        loss = float(self.accelerator.reduce(total, "sum") if world > 1 else total) / len(self.held)
        progress = self.progress
        progress.curve.append((progress.step, loss))
        # The untrained adapter is what the others are measured against, and is never the best of them.
        if progress.step and (progress.best is None or loss < progress.best):
            progress.best, progress.best_step, progress.worse = loss, progress.step, 0
            if self.first:
                self._write(self.job.folder / "best.safetensors")
        elif progress.step:
            progress.worse += 1
        self.tell("validation", validation=round(loss, 6), best=progress.best_step == progress.step and progress.step > 0)

    def _sample(self) -> None:
        """Pictures at fixed prompts and seeds: only the first process draws them."""
        if not self.recipe.samples or not self.recipe.sample_every:
            return
        if self.first:
            folder = self.job.folder / "samples" / f"{self.progress.step:06d}"
            folder.mkdir(parents=True, exist_ok=True)
            side = max(self.recipe.resolutions, default=0)
            size = scaled((1, 1), side, self.card.multiple) if side else self.job.examples[0].size
            files = []
            with self.adapter.averaged(), self.adapter.off("assistant"):
                for number, asked in enumerate(self.recipe.samples):
                    file = folder / f"{number}.png"
                    temporary = file.with_suffix(".tmp")
                    self.drawer.sample(asked, size).save(temporary, format="PNG")
                    os.replace(temporary, file)
                    files.append(file.relative_to(self.job.folder).as_posix())
            self.tell("sample", files=files)
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        """A checkpoint, once for each step."""
        self.progress.seconds = self._before + time.monotonic() - self._began
        if self.first:
            folder = self.job.folder / "checkpoints"
            folder.mkdir(exist_ok=True)
            lora = folder / f".{self.progress.step:06d}.safetensors"
            self._write(lora)
            made = checkpoint.save(folder, self.progress, self.adapter.state(), lora, self.optimizer.state_dict())
            lora.unlink()
            self.tell("checkpoint", files=[made.relative_to(self.job.folder).as_posix()])
        self.accelerator.wait_for_everyone()

    def _write(self, file: Path) -> None:
        write_lora(file, self.adapter.best(), self.job, self.card, self.progress)

    def _finish(self, kept: bool) -> None:
        progress, best = self.progress, self.job.folder / "best.safetensors"
        if self.first and (progress.best is None or not best.is_file()):
            self._write(best)
            progress.best_step = progress.step
        if kept:
            self.note(f"Stopped at step {progress.step} and kept: the best was step {progress.best_step}.")
        self.tell("done", best_step=progress.best_step, validation=progress.best, files=["best.safetensors"])
        self.accelerator.wait_for_everyone()

    # Talk

    def note(self, words: str, **more: Any) -> None:
        self.tell("note", words=words, **more)

    def tell(self, event: str, **more: Any) -> None:
        if not self.first:
            return
        progress = self.progress
        told: dict[str, Any] = {"event": event, "step": progress.step, "steps": self.recipe.steps, "seconds": round(progress.seconds, 2)}
        if event == "step":
            stretch = progress.seconds - self._before
            done = progress.step - getattr(self, "_first_step", progress.step - 1)
            self._first_step = getattr(self, "_first_step", progress.step - 1)
            told["eta"] = round(stretch / max(1, done) * (self.recipe.steps - progress.step), 1)
        self._tell(told | more)

    def _asked(self) -> str:
        """What any of the processes was asked."""
        asked = self._ask()
        if self.accelerator.num_processes > 1:
            code = torch.tensor({"": 0, "keep": 1, "give way": 2}[asked], device=self.device)
            return ("", "keep", "give way")[int(self.accelerator.gather(code.view(1)).max())]
        return asked

    def _between(self) -> None:
        if self._ask() == "give way" and self.accelerator.num_processes == 1:
            raise _GiveWay

    def _first_alone(self) -> AbstractContextManager[None]:
        """The first process makes what is kept on disk; the others then find it there."""
        return self.accelerator.main_process_first() if self.accelerator.num_processes > 1 else nullcontext()

    def _memory(self) -> float:
        """The most memory taken so far in GiB: of the device, or of this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**30
        if self.device.type == "mps":
            return torch.mps.driver_allocated_memory() / 2**30
        return _peak()


def _peak() -> float:
    import sys

    if sys.platform == "win32":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def _revision(found: Found) -> str:
    """What tells these weights from others: the commit, or names and sizes where nothing tells the commit."""
    if found.revision:
        return found.revision
    files = sorted((file.relative_to(found.folder).as_posix(), file.stat().st_size) for file in found.folder.rglob("*.safetensors"))
    return repr(files)


def _short_attention(device: torch.device) -> AbstractContextManager[None]:
    """The CPU's flash kernel is slower than plain matrix products for sequences as short as a small model's."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
