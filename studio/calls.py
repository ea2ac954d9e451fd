"""From a batch to what the router is asked, and to what a provider is asked."""
from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from models.cloud.catalogue import CloudModel, Provider
from models.cloud.spec import Call, Reference
from models.errors import Unavailable
from pipelines.request import Where
from pipelines.route import Ask
from pipelines.tasks import Draft

MIMES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


def lora_addresses(db: sqlite3.Connection, draft: Draft, request: Mapping[str, Any]) -> tuple[str | None, ...]:
    """The public address of each LoRA that the batch is drawn with, None where nobody gave one."""
    if not draft.spec.loras:
        return ()
    found = []
    for one in request.get("loras") or ():
        row = db.execute("SELECT url FROM lora_urls WHERE lora = ? AND version = ?", [one["name"], one.get("version")]).fetchone()
        found.append(row["url"] if row else None)
    # The batch's LoRAs are those of its request, in order; a batch that has others cannot be told to a provider.
    return tuple(found) if len(found) == len(draft.spec.loras) else (None,) * len(draft.spec.loras)


def ask_of(
    draft: Draft, count: int, family: str, request: Mapping[str, Any], loras: Sequence[str | None], waited: float, avoid: Sequence[str]
) -> Ask:
    """What is asked of the router for `count` candidates of a batch. waited: seconds that they could have been drawn for."""
    spec = draft.spec
    return Ask(
        tier=draft.tier,
        family=family,
        width=spec.width,
        height=spec.height,
        steps=spec.steps,
        count=count,
        references=1 if spec.image is not None and spec.role == "reference" else 0,
        img2img=spec.image is not None and spec.role == "img2img",
        loras=tuple(loras),
        lora_card=draft.card,
        negative=bool(spec.negative),
        where=cast(Where, request.get("where", "local")),
        waited=waited,
        avoid=frozenset(avoid),
    )


def call_of(draft: Draft, provider: Provider, model: CloudModel, loras: Sequence[str | None], webhook: str = "") -> Call:
    """The provider's call for a batch, with the picture that it starts from read. Raises Unavailable when that is gone."""
    spec, can = draft.spec, model.capabilities
    pictures: tuple[Reference, ...] = ()
    if spec.image is not None:
        pictures = (Reference(_read(spec.image), MIMES.get(spec.image.suffix.lower(), "image/png")),)
    addresses = tuple((url, use.weight) for url, use in zip(loras, spec.loras, strict=True) if url is not None)
    return Call(
        provider=provider.name,
        model=model.id,
        prompt=spec.prompt,
        width=spec.width,
        height=spec.height,
        seeds=spec.seeds,
        negative=spec.negative,
        steps=spec.steps,
        guidance=spec.guidance if can.guidance and spec.guidance > 0 else None,
        references=pictures,
        strength=spec.strength if spec.role == "img2img" else None,
        loras=addresses,
        webhook=webhook,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable("The picture that this starts from is gone.", str(error), "Choose another one.") from error
