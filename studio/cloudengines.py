"""The engines of the cloud worker: one a provider, over one transport, with keys that are read here and nowhere else."""
from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from models.cloud import engine_for
from models.cloud.catalogue import Provider
from models.cloud.keys import key_of
from models.cloud.spec import CloudEngine, CloudError
from models.cloud.transport import Transport, TransportLimits
from studio.providers import Providers
from studio.settings import Settings
from studio.webhooks import Bells
from studio.webhooksetup import Setup

KEY_SECONDS = 60.0  # how long a key is kept before it is looked up again


class Engines:
    """To be made inside the event loop, and closed in it."""

    def __init__(self, providers: Providers, settings: Settings, bells: Bells, limits: TransportLimits | None = None) -> None:
        self._providers, self._settings, self._bells = providers, settings, bells
        self._transport = Transport(limits, sleep=bells.sleep)
        self._made: dict[str, tuple[Provider, str, CloudEngine]] = {}
        self._keys: dict[str, tuple[float, str]] = {}
        self.hearing = bells.hearing

    def clock(self) -> float:
        """What deadlines are moments of."""
        return self._transport.clock()

    @contextlib.asynccontextmanager
    async def engine(self, name: str) -> AsyncIterator[CloudEngine]:
        """A provider's engine, as it is configured now. Raises CloudError ("auth", nothing was sent) where it has no key."""
        provider = await asyncio.to_thread(self._providers.one, name)
        key = await self._key(provider)
        made = self._made.get(name)
        if made is None or made[:2] != (provider, key):
            if made is not None:
                await made[2].aclose()
            self._made[name] = made = (provider, key, engine_for(provider, key, self._transport))
        yield made[2]

    def webhook(self, provider: Provider) -> str:
        """The public address that the provider is to tell when it is done, "" for none."""
        return Setup.of(self._settings).address_for(provider.engine)

    def forget(self) -> None:
        """Keys may have changed."""
        self._keys.clear()

    async def aclose(self) -> None:
        for _, _, engine in self._made.values():
            await engine.aclose()
        await self._transport.aclose()

    async def _key(self, provider: Provider) -> str:
        found = self._keys.get(provider.name)
        if found is None or time.monotonic() - found[0] > KEY_SECONDS:
            key = await asyncio.to_thread(key_of, provider)
            if key is None and not provider.enabled_without_key:
                what = f"{provider.title} has no key."
                raise CloudError("auth", what, todo="Give it one in the Cloud tab.", sent="no")
            self._keys[provider.name] = found = (time.monotonic(), key or "")
        return found[1]
