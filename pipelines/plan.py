"""A job's plan, made once when it is submitted: from what its drafts, its finals and its retries are drawn.

It holds everything that a later round needs, so that neither the catalogue nor a file's place is looked up again: a job that outlives
a restart, or a change of the presets, goes on as it began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from models.cards import Promotion, Tier
from models.spec import ImageSpec, LoraUse
from pipelines.funnel import Goal
from pipelines.request import consecutive
from pipelines.tasks import Draft, batch_size, even_batches, needed

if TYPE_CHECKING:
    from models.cards import Catalogue, ModelCard
    from pipelines.remedies import Remedy
    from pipelines.request import LoraChoice, PictureId, Request


A_PICTURE = Path("draft.png")  # stands for a draft that is not there yet


@dataclass(frozen=True)
class Chosen:
    """A draft that is to be finished: its number, its seed, its file, and the batch it was drawn in."""

    number: int
    seed: int
    file: Path
    batch: Draft


@dataclass(frozen=True)
class Plan:
    """final, sketch: batches without seeds, of what is delivered and of a ladder's drafts (None: candidates are drawn as finals).
    batch, sketch_batch: how many ride in one task. promotion: how a sketch becomes a final. lenient: dimensions a sketch may fail.
    negative: whether the model that drafts reads a negative prompt; guidance: the range of its guidance, None where it takes none.
    """

    goal: Goal
    final: Draft
    batch: int
    sketch: Draft | None = None
    sketch_batch: int = 1
    promotion: Promotion = "none"
    lenient: tuple[str, ...] = ()
    negative: bool = False
    guidance: tuple[float, float] | None = None
    again: bool = False

    @property
    def cards(self) -> tuple[str, ...]:
        """Every model that draws for it."""
        return tuple(dict.fromkeys([self.sketch.card, self.final.card] if self.sketch else [self.final.card]))

    @property
    def finishing(self) -> Draft:
        """The batch of its finals as it will be, once there is a draft that they start from."""
        if self.promotion not in ("img2img", "reference"):
            return self.final
        return replace(self.final, spec=replace(self.final.spec, image=A_PICTURE))

    def first(self, seeds: Sequence[int]) -> list[Draft]:
        """The batches of the first round; candidates are numbered from 1."""
        return self._batches(seeds, 1, 0, None)

    def retry(self, round: int, seeds: Sequence[int], first: int, remedy: Remedy | None = None) -> list[Draft]:
        """The batches of a later round, numbered from `first`, drawn as the first was but for what the remedy changes."""
        return self._batches(seeds, first, round, remedy)

    def finish(self, chosen: Sequence[Chosen], first: int, round: int) -> list[Draft]:
        """The batches that draw `chosen` again as finals, numbered from `first` in that order.

        The same noise draws the same picture only from the same words, so a final takes them from its draft.
        """
        drafts: list[Draft] = []
        alone = self.promotion != "same-noise"  # each final starts from a file of its own
        start = 0
        while start < len(chosen):
            end, batch = start + 1, chosen[start].batch.spec
            while not alone and end < len(chosen) and end - start < self.batch and _words(chosen[end].batch.spec) == _words(batch):
                end += 1
            spec = replace(self.final.spec, prompt=batch.prompt, seeds=tuple(one.seed for one in chosen[start:end]))
            if self.promotion == "same-noise":
                spec = replace(spec, negative=batch.negative, guidance=batch.guidance)
            elif self.promotion in ("img2img", "reference"):
                spec = replace(spec, image=chosen[start].file)
            drafts.append(replace(self.final, spec=spec, numbers=tuple(range(first + start, first + end)), round=round))
            start = end
        return drafts

    def _batches(self, seeds: Sequence[int], first: int, round: int, remedy: Remedy | None) -> list[Draft]:
        template, size = (self.sketch, self.sketch_batch) if self.sketch else (self.final, self.batch)
        spec = template.spec if remedy is None else remedy.applied(template.spec, self.negative, self.guidance)
        drafts = []
        for start, end in even_batches(len(seeds), size):
            numbers = tuple(range(first + start, first + end))
            drafts.append(replace(template, spec=replace(spec, seeds=tuple(seeds[start:end])), numbers=numbers, round=round))
        return drafts

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        plain = {name: getattr(self, name) for name in ("batch", "sketch_batch", "promotion", "negative", "again")}
        return plain | {
            "goal": self.goal.to_dict(),
            "final": self.final.to_dict(),
            "sketch": self.sketch.to_dict() if self.sketch else None,
            "lenient": list(self.lenient),
            "guidance": list(self.guidance) if self.guidance else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """What `to_dict` wrote, also after a round through JSON."""
        sketch, guidance = data["sketch"], data["guidance"]
        return cls(
            **{name: data[name] for name in ("batch", "sketch_batch", "promotion", "negative", "again")},
            goal=Goal(**data["goal"]),
            final=Draft.from_dict(data["final"]),
            sketch=Draft.from_dict(sketch) if sketch else None,
            lenient=tuple(data["lenient"]),
            guidance=(guidance[0], guidance[1]) if guidance else None,
        )


def plan_for(
    request: Request,
    catalogue: Catalogue,
    image_path: Callable[[PictureId], Path] | None = None,
    lora_path: Callable[[LoraChoice], Path] | None = None,
    again: bool = False,
) -> Plan:
    """The plan of a request.

    image_path: the file of a picture by its id, needed when the request starts from one; it raises what the picture lacks.
    lora_path: the file of a LoRA by name and version, needed when the request uses one. again: nothing is served from history.
    Raises NotFound for an unknown family or tier.
    """
    tier, card = catalogue.tier(request.family, request.tier)
    width, height = tier.sizes[request.size]
    spec = ImageSpec(
        prompt=request.prompt,
        negative=request.negative,
        width=width,
        height=height,
        steps=request.steps,
        guidance=request.guidance,
        seeds=(),
        loras=tuple(LoraUse(needed(lora_path, "lora_path")(lora), lora.weight) for lora in request.loras),
        image=needed(image_path, "image_path")(request.image) if request.image is not None else None,
        role=request.role,
        strength=request.strength,
    )
    budget = request.budget
    goal = Goal(
        request.draft, request.keep, retries=request.retries,
        images=budget.images if budget else None, seconds=budget.seconds if budget else None,
    )  # fmt: skip
    final = Draft(card.name, spec, (), tier.finish, tier.name)
    plan = Plan(goal, final, batch_size(card, tier.name), **_reads(card), again=again)
    return _with_ladder(plan, request, tier, card, catalogue) if request.ladder else plan


def _with_ladder(plan: Plan, request: Request, tier: Tier, card: ModelCard, catalogue: Catalogue) -> Plan:
    ladder = tier.ladder
    assert ladder is not None  # the door lets no other ladder in
    below, drafter = catalogue.tier(request.family, ladder.draft)
    width, height = below.sizes[request.size]
    same = drafter.name == card.name
    sketch_spec = replace(
        plan.final.spec,
        width=width,
        height=height,
        steps=below.steps,
        guidance=request.guidance if same else below.guidance,
        negative=request.negative if drafter.negative else "",
        loras=plan.final.spec.loras if drafter.lora else (),
    )
    final = plan.final
    if ladder.promotion in ("img2img", "reference"):
        role = cast(Any, ladder.promotion)
        final = replace(final, spec=replace(final.spec, image=None, role=role, strength=ladder.strength))
    return replace(
        plan,
        goal=replace(plan.goal, ladder=True, finals=ladder.finals, ratio=_image_steps(final.spec) / _image_steps(sketch_spec)),
        final=final,
        sketch=Draft(drafter.name, sketch_spec, (), None, below.name, "draft"),
        sketch_batch=batch_size(drafter, below.name),
        promotion=ladder.promotion,
        lenient=ladder.lenient,
        **_reads(drafter),
    )


def next_seeds(used: Sequence[int], count: int) -> tuple[int, ...]:
    """`count` seeds for a retry: on from the last that was used, without any that was."""
    known = set(used)
    line = consecutive(used[-1], len(known) + count + 1)
    return tuple(seed for seed in line if seed not in known)[:count]


def _reads(card: ModelCard) -> dict[str, Any]:
    return {"negative": card.negative, "guidance": None if card.guidance_kind == "none" else card.guidance_range}


def _image_steps(spec: ImageSpec) -> float:
    """Steps that are run times pixels: what a picture costs, up to a factor of the device's."""
    return max(1.0, spec.steps * (spec.strength if spec.role == "img2img" and spec.strength else 1.0)) * spec.width * spec.height


def _words(spec: ImageSpec) -> tuple[str, str, float]:
    return spec.prompt, spec.negative, spec.guidance
