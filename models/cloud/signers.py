"""Whose signatures count: the keys that prove webhooks, fetched from providers, kept, and fetched again when they change."""
from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from models.cloud.keys import hide, learn
from models.cloud.signatures import ENGINES, Delivery, Unproven, from_fal, from_replicate, read_jwks

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

log = logging.getLogger(__name__)

FAL_KEYS = "https://rest.fal.ai/.well-known/jwks.json"
ANSWER_LIMIT = 2**18  # bytes of a key set or a secret
KEYS_SECONDS = 24 * 3600.0  # how long fetched keys are good for
REFETCH_SECONDS = 60.0  # not more often, however many wrong signatures come


class Signers:
    """Keys that prove deliveries: fetched when first needed, and again when they are old or prove nothing any more.

    client: follows no redirects. secret: asks Replicate for the secret of its webhooks, with the studio's key; "" without one.
    clock: monotonic seconds. A fetch that fails leaves what was known; without anything known the delivery waits for its next try.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        secret: Callable[[], Awaitable[str]],
        jwks_url: str = FAL_KEYS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._ask_secret, self._jwks_url = client, secret, jwks_url
        self._clock, self._wall = clock, wall
        self._known: dict[str, tuple[float, Any]] = {}  # by engine: when it was fetched, and what
        self._tried: dict[str, float] = {}
        self._locks = {engine: asyncio.Lock() for engine in ENGINES}

    async def prove(self, engine: str, headers: Mapping[str, str], body: bytes) -> Delivery:
        """headers: names in lower case. Raises Unproven, and LookupError where the provider's keys could not be had."""
        known = await self._keys(engine, None)
        try:
            return self._check(engine, headers, body, known)
        except Unproven as error:
            newer = await self._keys(engine, known) if error.rekey else known
            if newer is known:
                raise
        return self._check(engine, headers, body, newer)

    def _check(self, engine: str, headers: Mapping[str, str], body: bytes, known: Any) -> Delivery:
        return (from_fal if engine == "fal" else from_replicate)(headers, body, known, self._wall())

    async def _keys(self, engine: str, wrong: Any) -> Any:
        """The keys that count, other ones than `wrong` where there are any by now."""
        async with self._locks[engine]:
            now = self._clock()
            when, known = self._known.get(engine, (-KEYS_SECONDS, None))
            old = now - when >= KEYS_SECONDS
            if known is not None and known is not wrong and not old:
                return known
            if now - self._tried.get(engine, -REFETCH_SECONDS) >= REFETCH_SECONDS:
                self._tried[engine] = now
                try:
                    known = await (self._fal_keys() if engine == "fal" else self._replicate_secret())
                    self._known[engine] = (now, known)
                except (httpx.HTTPError, ValueError, Unproven) as error:
                    log.warning("the keys of %s's webhooks could not be fetched: %s", engine, hide(f"{type(error).__name__}: {error}"))
            if known is None:
                raise LookupError(engine)
            return known

    async def _fal_keys(self) -> tuple[Ed25519PublicKey, ...]:
        return read_jwks(await read_json(self._client, self._jwks_url, {}))

    async def _replicate_secret(self) -> str:
        secret = await self._ask_secret()
        if not secret:
            raise ValueError("there is no key to ask Replicate with")
        learn(secret)
        learn(secret.removeprefix("whsec_"))
        return secret


async def read_json(client: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> Any:
    """JSON of at most 256 KiB. Raises httpx.HTTPError, also for a redirect; ValueError."""
    async with client.stream("GET", url, headers={"Accept": "application/json", **headers}, follow_redirects=False) as answer:
        if answer.status_code != 200:
            raise httpx.HTTPError(f"{urlsplit(url).hostname} answered {answer.status_code}")
        read = b""
        async for piece in answer.aiter_bytes():
            read += piece
            if len(read) > ANSWER_LIMIT:
                raise ValueError(f"{urlsplit(url).hostname} answered with more than {ANSWER_LIMIT} bytes")
    return json.loads(read)


def replicate_secret(client: httpx.AsyncClient, base_url: str, key: Callable[[], str | None]) -> Callable[[], Awaitable[str]]:
    """What `Signers` takes as `secret`. base_url: of the catalogue, "https://api.replicate.com". key: may wait on a keyring."""

    async def ask() -> str:
        known = await asyncio.to_thread(key)
        if not known:
            return ""
        answer = await read_json(client, f"{base_url.rstrip('/')}/v1/webhooks/default/secret", {"Authorization": f"Bearer {known}"})
        secret = answer.get("key") if isinstance(answer, dict) else None
        if not isinstance(secret, str):
            raise ValueError("Replicate told no secret")
        return secret

    return ask
