"""Providers that tell the truth, on the loopback: the real contracts with their states, errors and bills, and faults on demand.

    async with serving("fal", draw) as demo:      # in a test's own loop
        demo.faults.append(Fault("reset", at="submit"))
        ... demo.provider, demo.key, demo.billed_micro, demo.requests, demo.leaks

    with DemoProviders(draw) as demos:            # all five, in a thread
        demos.providers, demos.env, demos["bfl"].billed_micro

They draw with whatever `draw(prompt, width, height, steps, seed) -> PNG` does, and hold no weights themselves.
"""
from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Any, Self

from models.cloud.catalogue import Provider, configured, load_providers, replace_urls
from models.cloud.demo.bfl import BflDemo
from models.cloud.demo.clock import Clock, TurnedClock
from models.cloud.demo.fal import FalDemo
from models.cloud.demo.faults import Fault
from models.cloud.demo.jobs import Bill
from models.cloud.demo.openai import OpenAiDemo
from models.cloud.demo.replicate import ReplicateDemo
from models.cloud.demo.together import TogetherDemo
from models.cloud.demo.vendor import Demo, Draw

__all__ = ["DEMOS", "Bill", "Clock", "Demo", "DemoProviders", "Draw", "Fault", "TurnedClock", "served_by", "serving"]

KINDS: tuple[type[Demo], ...] = (FalDemo, ReplicateDemo, TogetherDemo, BflDemo, OpenAiDemo)
DEMOS: Mapping[str, type[Demo]] = MappingProxyType({kind.name: kind for kind in KINDS})


def served_by(demo: Demo, provider: Provider) -> Provider:
    """The provider of the catalogue, as this demo serves it."""
    there = replace_urls(provider, demo.base_url + demo.path, pictures=demo.picture_hosts)
    return replace(there, hosts=replace(there.hosts, api=(*there.hosts.api, *demo.more_hosts)))


def make(provider: str | Provider, draw: Draw, clock: Clock | None = None, **options: Any) -> tuple[Demo, Provider]:
    """A demo that is not started yet, and the provider of the catalogue that it stands for. An OpenAI-compatible server has no address
    and no models in the catalogue; it gets one model, "flux", for $0.002."""
    given = load_providers()[provider] if isinstance(provider, str) else provider
    if not given.base_url:
        given = configured(given, "http://127.0.0.1/v1", "flux", 2000)
    return DEMOS[given.engine](draw, clock, models=given.models, **options), given


@asynccontextmanager
async def serving(provider: str | Provider, draw: Draw, clock: Clock | None = None, **options: Any) -> AsyncIterator[Demo]:
    """One provider by its name ("fal", "replicate", "together", "bfl", "openai") or as a catalogue has it, in the running loop.
    options: as `Demo` takes them. Its `.provider` is the catalogue's, with addresses and hosts replaced."""
    demo, given = make(provider, draw, clock, **options)
    await demo.start()
    try:
        demo.provider = served_by(demo, given)
        yield demo
    finally:
        await demo.stop()


class DemoProviders(Mapping[str, Demo]):
    """All of them, with a loop of their own in a thread, until `close`.

    clock: a `TurnedClock` may be turned from any thread. names: which of them. options: for every one of them, or for one by its name:
    `fal={"concurrency": 2}`.
    env: the demo keys by the names of environment variables. providers: as a catalogue, at their addresses.
    """

    def __init__(self, draw: Draw, clock: Clock | None = None, names: Iterable[str] = tuple(DEMOS), **options: Any) -> None:
        by_name = {name: options.pop(name, {}) for name in DEMOS}
        self.clock, catalogue = clock or Clock(), load_providers()
        self._made = {name: make(catalogue[name], draw, self.clock, **options | by_name[name]) for name in names}
        self._demos = {name: demo for name, (demo, _) in self._made.items()}
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._trouble: BaseException | None = None
        self.providers: Mapping[str, Provider] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="demo providers", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._trouble is not None:
            self._thread.join()
            raise self._trouble

    @property
    def env(self) -> dict[str, str]:
        return {provider.keys[0]: self[name].key for name, provider in self.providers.items()}

    @property
    def billed_micro(self) -> int:
        return sum(demo.billed_micro for demo in self.values())

    def __getitem__(self, name: str) -> Demo:
        return self._demos[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._demos)

    def __len__(self) -> int:
        return len(self._demos)

    def shut(self, name: str) -> None:
        """Makes one of them unreachable, until `reopen`. From any thread."""
        self._call(self[name].shut())

    def reopen(self, name: str) -> None:
        self._call(self[name].reopen())

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Stops the servers; who is still connected is cut off."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def _live(self) -> None:
        started: list[Demo] = []
        try:
            self._loop = asyncio.get_running_loop()
            for demo in self.values():
                started.append(demo)
                await demo.start()
            self.providers = MappingProxyType({name: served_by(demo, given) for name, (demo, given) in self._made.items()})
            for name, demo in self.items():
                demo.provider = self.providers[name]
            self._ready.set()
            await self._end.wait()
        except OSError as error:
            self._trouble = error
        finally:
            for demo in started:
                await demo.stop()
            self._ready.set()
