"""The Cloud tab over HTTP. Money is whole micro-dollars ($1 = 1,000,000) in fields that end in `_micro`; times are ISO 8601 in UTC.

GET  /api/cloud                        CLOUD
POST /api/cloud/settings               {"enabled"?, "providers"?: [name], "wait_seconds"?, "openai"?: {"base_url"?, "model"?,
                                       "price_micro"?}} -> CLOUD. Admins only; enabling is refused without a budget or a usable provider.
POST /api/cloud/{provider}/test        {} -> PROVIDER with `tested`: a call that costs nothing. Admins only.
POST /api/cloud/{provider}/key         {"key": text} into the keyring of this machine -> PROVIDER. Admins only.
DELETE /api/cloud/{provider}/key       out of the keyring -> PROVIDER. Admins only.
POST /api/cloud/quote                  a request as POST /api/jobs takes it -> QUOTE: what it is expected to cost. Nothing is reserved.
GET  /api/cloud/loras/{lora}/{version} {"url": where a provider fetches it | null}
POST /api/cloud/loras/{lora}/{version} {"url": https address, "" for none} -> the same. Its owner.

CLOUD     {"enabled": bool, "ready": bool: requests that allow it can go now, "why": words where not, "note": what is wrong with its worker,
           "admin": bool, "demo": bool: the providers run on this machine and their money is play money, "wait_seconds": number,
           "budget_set": bool, "today_micro", "today_images", "under_way": calls that are out, "uncertain": charges to resolve,
           "stay": bool: this person keeps theirs here, "providers": [PROVIDER]}
PROVIDER  {"name", "title", "engine", "terms": URL, "enabled": bool, "usable": bool, "why": words where not,
           "key": {"source": "environment FAL_KEY" | "keyring" | "demo" | null, "names": [environment names], "keyring": bool: one is
                   in it, "needed": bool, "trouble": why none can be kept there, or ""},
           "health": "closed" (answers) | "half-open" (is being tried) | "open" (left alone), "health_words": words,
           "calls": how many the figures stand on, "error_rate": 0..1 | null, "seconds": {"p50", "p95", "learned": bool},
           "from_micro": the cheapest picture of 1024 x 1024 | null, "today_micro", "today_images", "under_way",
           "concurrency", "per_minute", "tested": {"ok", "words", "credit_micro", "when"} | null,
           "settings": {"base_url", "model", "price_micro"} | null, "models": [MODEL]}
MODEL     {"id", "title", "serves": {family: [tiers]}, "quality": 0..100, "picture_micro": one of 1024 x 1024 at its own steps,
           "price": "$0.003 a megapixel", "price_date", "price_source", "licence": words on what its pictures may be
           used for, "licence_date", "licence_url", "needs_picture": bool, "takes": [words], "lacks": [words],
           "seconds": {"p50", "p95", "learned"}, "health", "health_words", "calls", "error_rate"}
QUOTE     {"able": bool, "expected_micro", "at_most_micro", "words": "8 drafts by fal: $0.003 each", "why": words where not able,
           "left_micro": what may still be spent | null, "local_words": what drawing here takes,
           "licence_words": what the pictures may be used for, here and there, "" where nothing restricts them}
"""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from studio.clouds import Clouds
from studio.doors.base import Asking, Body, Json, only
from studio.loraaddresses import Addresses
from studio.quoting import Quotes
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/cloud")
    clouds, quotes, addresses = Clouds(studio), Quotes(studio), Addresses(studio)

    @router.get("")
    def view(who: Asking) -> Any:
        return Json(clouds.view(who))

    @router.post("/quote")
    def quote(data: Body, who: Asking) -> Any:
        return Json(quotes.of(data, who))

    @router.post("/settings")
    def settings(data: Body, who: Asking) -> Any:
        only(data, "enabled", "providers", "wait_seconds", "openai")
        return Json(clouds.change(data, who))

    @router.post("/{provider}/test")
    def test(provider: str, data: Body, who: Asking) -> Any:
        only(data)
        return Json(clouds.test(provider, who))

    @router.post("/{provider}/key")
    def give_key(provider: str, data: Body, who: Asking) -> Any:
        only(data, "key")
        return Json(clouds.give_key(provider, data, who))

    @router.delete("/{provider}/key")
    def forget_key(provider: str, who: Asking) -> Any:
        return Json(clouds.forget_key(provider, who))

    @router.get("/loras/{lora}/{version}")
    def lora_address(lora: str, version: int, who: Asking) -> Any:
        return Json(addresses.of(lora, version, who))

    @router.post("/loras/{lora}/{version}")
    def give_lora_address(lora: str, version: int, data: Body, who: Asking) -> Any:
        only(data, "url")
        return Json(addresses.give(lora, version, data, who))

    return router
