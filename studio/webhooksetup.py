"""Where webhooks are awaited, and what providers are told of it: the settings `cloud.webhook.*` and what may stand in them."""
from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from models.cloud.signatures import ENGINES
from models.errors import BadInput
from studio.settings import Guard, Settings


@dataclass(frozen=True)
class Setup:
    """port 0: webhooks are off. url: what providers are told, https, without a slash at its end."""

    port: int = 0
    host: str = "127.0.0.1"
    url: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Setup:
        port, host, url = (settings.get(f"cloud.webhook.{name}") for name in ("port", "host", "url"))
        return cls(port, host or cls.host, url.rstrip("/"))

    def address_for(self, engine: str) -> str:
        """What a provider of this engine is told when it is asked for a picture; "" for none."""
        return f"{self.url}/{engine}" if self.port and self.url and engine in ENGINES else ""


def check_url(value: str) -> None:
    """Raises BadInput unless providers can be told of this address: https, with nothing in it that is secret or of one moment only."""
    if not value:
        return
    field, title = "cloud.webhook.url", "The address of webhooks"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if not parts.hostname or not value.isascii() or not value.isprintable() or " " in value or port == 0:
        raise BadInput(field, f"{title} must be a URL.", "", "For example https://studio.example.com/webhooks .")
    if parts.scheme != "https":
        todo = "Put a proxy with a certificate before it."
        raise BadInput(field, f"{title} must begin with https://.", "Providers send to nothing else.", todo)
    if parts.username is not None or parts.query or parts.fragment:
        raise BadInput(field, f"{title} must have no name, password, question mark or fragment in it.", "Providers add their own.")


def check_host(value: str) -> None:
    """Raises BadInput unless it is the number of an address."""
    try:
        ipaddress.ip_address(value or "127.0.0.1")
    except ValueError:
        why, todo = "Names may mean several addresses.", "127.0.0.1 for a proxy on this machine, 0.0.0.0 for all addresses."
        raise BadInput("cloud.webhook.host", "Where webhooks are awaited must be an IP address.", why, todo) from None


# What `Settings.guards` asks before these are set.
GUARDS: Mapping[str, Guard] = MappingProxyType(
    {"cloud.webhook.url": lambda value, _who: check_url(value), "cloud.webhook.host": lambda value, _who: check_host(value)}
)
