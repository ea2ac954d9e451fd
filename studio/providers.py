"""The providers of this studio: those that ship, the one of its settings, and, to try the tab without a key, others in their places.

The page's process and the cloud worker each make one: what differs (the demo's addresses and its keys) travels in the environment that
`child_env` gives a child, never in the database.
"""
from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.cloud import keys
from models.cloud.catalogue import Hosts, Provider, configured, load_providers, replace_urls
from models.errors import NotFound
from pipelines.fields import shown
from studio.settings import Settings

Place = str | Mapping[str, Any]  # a base URL, or what `place_of` makes
DEMO = "CONTACT_SHEET_DEMO_PROVIDERS"  # JSON in a child's environment: the name of a provider -> where the demo serves it
DEMO_MICRO = 2000  # what the demo takes for a picture of the one that has no list price
FRESH_SECONDS = 15.0  # how long it is remembered where a key is: a keyring may take its time
OPENAI = "openai"  # the one whose address, model and price come from the settings


class Providers:
    """Any thread may ask. demo: base URLs by name, None for what this process's environment says; with any, only those are there, and
    no real key is read or handed on. demo_keys: environment names with the demo's keys, for children alone."""

    def __init__(self, settings: Settings, demo: Mapping[str, Place] | None = None, demo_keys: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._shipped = load_providers()
        self._demo = dict(json.loads(os.environ.get(DEMO, "{}")) if demo is None else demo)
        self._demo_keys = dict(demo_keys or {})
        self._sources: dict[str, tuple[float, str | None]] = {}  # by provider: when it was looked for, and where its key is

    @property
    def demo(self) -> bool:
        """Whether they run on this machine and their money is play money."""
        return bool(self._demo)

    def stand_in(self, places: Mapping[str, Place], demo_keys: Mapping[str, str]) -> None:
        """From now on the demo's. To be called before the studio starts."""
        self._demo, self._demo_keys = dict(places), dict(demo_keys)

    def all(self) -> Mapping[str, Provider]:
        """By name, in the order of their names. One that lacks an address or a price is there too; see `lacking`."""
        if self._demo:
            return {name: _served_by_demo(self._shipped[name], place) for name, place in sorted(self._demo.items())}
        return {name: self._filled(provider) for name, provider in self._shipped.items()}

    def one(self, name: str) -> Provider:
        """Raises NotFound."""
        found = self.all().get(name)
        if found is None:
            raise NotFound(f"There is no provider {shown(name)}.")
        return found

    def lacking(self, provider: Provider) -> str:
        """What its settings lack before it can be called, or ""."""
        if not provider.base_url:
            return "Give its address, model and price."
        return ""

    def key_source(self, provider: Provider) -> str | None:
        """Where its key comes from: "environment FAL_KEY", "keyring", "demo", or None where there is none."""
        if self._demo:
            return "demo"
        when, source = self._sources.get(provider.name, (-math.inf, None))
        if time.monotonic() - when > FRESH_SECONDS:
            source = keys.source_of(provider)
            self._sources[provider.name] = time.monotonic(), source
        return source

    def look_again(self) -> None:
        """A key may have come or gone."""
        self._sources.clear()

    def usable(self) -> Mapping[str, Provider]:
        """Those that an admin chose, that lack nothing, and that have a key or need none."""
        chosen = set(self._settings.get("cloud.providers"))
        return {
            name: provider
            for name, provider in self.all().items()
            if name in chosen and not self.lacking(provider) and (provider.enabled_without_key or self.key_source(provider))
        }

    def child_env(self) -> dict[str, str]:
        """The environment of a process that calls providers: this one's, and in the demo its addresses and keys without any real one."""
        if not self._demo_keys:  # no demo, or one that this process was told of: then its environment holds the demo's keys already
            return dict(os.environ)
        real = {name for provider in self._shipped.values() for name in provider.keys}
        return {name: value for name, value in os.environ.items() if name not in real} | self._demo_keys | {DEMO: json.dumps(self._demo)}

    def _filled(self, provider: Provider) -> Provider:
        if provider.base_url:
            return provider
        url, model, micro = (self._settings.get(f"cloud.{OPENAI}.{name}") for name in ("base_url", "model", "price_micro"))
        # Without a price nothing is known of what it would cost, which is not the same as nothing.
        return configured(provider, url, model, micro) if url and model and micro is not None else provider


def place_of(provider: Provider) -> dict[str, Any]:
    """Where a demo serves this provider, JSON-ready: its address, who may see its key, where its pictures lie, its first model."""
    hosts = {"api": list(provider.hosts.api), "pictures": list(provider.hosts.pictures)}
    return {"url": provider.base_url, **hosts, "model": next(iter(provider.models))}


def _served_by_demo(provider: Provider, place: Place) -> Provider:
    place = {"url": place} if isinstance(place, str) else place
    if not provider.base_url:
        provider = configured(provider, place["url"], place.get("model", "flux1-schnell"), DEMO_MICRO)
    there = replace_urls(provider, place["url"])
    return replace(there, hosts=Hosts(tuple(place["api"]), tuple(place["pictures"]))) if "api" in place else there
