"""Where a provider can fetch a LoRA: a public address that a person gives for one of its versions, for a file of this machine has none."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from models.errors import BadInput
from pipelines.fields import text
from studio.store.people import Who

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
URL_LIMIT = 1000


class Addresses:
    """Whoever sees a LoRA sees its addresses; its owner gives them. Raises NotFound for a version that is not there, and NotYours."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def of(self, lora: str, version: int, who: Who) -> Json:
        """{"url": text or null}."""
        self._studio.lora_rack.version(lora, version, who)
        row = self._store.db.execute("SELECT url FROM lora_urls WHERE lora = ? AND version = ?", [lora, version]).fetchone()
        return {"url": row["url"] if row else None}

    def give(self, lora: str, version: int, data: Mapping[str, Any], who: Who) -> Json:
        """url: https, or "" to take it back. Raises BadInput."""
        self._studio.loras.own(lora, who)
        self._studio.lora_rack.version(lora, version, who)
        url = text(data, "url", URL_LIMIT)
        if url and not _is_public(url):
            todo = "Put the file where anybody can fetch it, and give that address, like https://example.com/lora.safetensors."
            raise BadInput("url", "This is no public https address.", "A provider fetches the LoRA from there.", todo)
        with self._store.write() as db:
            if url:
                db.execute("INSERT OR REPLACE INTO lora_urls VALUES (?, ?, ?)", [lora, version, url])
            else:
                db.execute("DELETE FROM lora_urls WHERE lora = ? AND version = ?", [lora, version])
        return {"url": url or None}


def _is_public(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and "." in (parts.hostname or "") and not any(letter.isspace() for letter in url)
    except ValueError:  # what urllib cannot take apart
        return False
