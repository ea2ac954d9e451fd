"""Pictures drawn by others for money: one engine a provider over one transport, and what is known of each before a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.cloud.catalogue import Provider
    from models.cloud.spec import CloudEngine
    from models.cloud.transport import Transport


def engine_for(provider: Provider, key: str, transport: Transport) -> CloudEngine:
    """The engine of a provider. Imports it, and with it the HTTP client, only here."""
    match provider.engine:
        case "fal":
            from models.cloud.fal import FalEngine

            return FalEngine(provider, key, transport)
        case "replicate":
            from models.cloud.replicate import ReplicateEngine

            return ReplicateEngine(provider, key, transport)
        case "together":
            from models.cloud.together import TogetherEngine

            return TogetherEngine(provider, key, transport)
        case "bfl":
            from models.cloud.bfl import BflEngine

            return BflEngine(provider, key, transport)
        case "openai":
            from models.cloud.openai import OpenAIEngine

            return OpenAIEngine(provider, key, transport)
