"""Completion webhooks as fal and Replicate sign and send them; to addresses on the loopback only, for the demos reach nobody else.

Faults at "webhook": duplicate (delivered `count` times, 2), stale (its time is `seconds`, 3600, ago), forged (signed with another key),
missing (never sent).
"""
from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import logging
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if TYPE_CHECKING:
    from models.cloud.demo.vendor import Demo

log = logging.getLogger(__name__)

ATTEMPTS = 3
PATIENCE = 15.0  # seconds for an answer


class FalSigner:
    """Ed25519 over id, user, time and the body's digest; the public keys stand in a JWKS."""

    user = "demo-user"

    def __init__(self) -> None:
        self._keys = [Ed25519PrivateKey.generate()]

    def rotate(self, keep_old: bool = False) -> None:
        """Signs with a new key from now on; the JWKS shows the old one too where it is kept."""
        self._keys = [Ed25519PrivateKey.generate(), *(self._keys if keep_old else ())]

    def jwks(self) -> dict[str, Any]:
        """Public keys as RFC 8037 writes them."""
        raw = [base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode() for key in self._keys]
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "x": public} for public in raw]}

    def headers(self, request_id: str, body: bytes, timestamp: int, forged: bool = False) -> dict[str, str]:
        key = Ed25519PrivateKey.generate() if forged else self._keys[0]
        message = "\n".join([request_id, self.user, str(timestamp), hashlib.sha256(body).hexdigest()]).encode()
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": self.user,
            "X-Fal-Webhook-Timestamp": str(timestamp),
            "X-Fal-Webhook-Signature": key.sign(message).hex(),
        }

    async def send(self, demo: Demo, url: str, request_id: str, payload: dict[str, Any]) -> None:
        body = json.dumps(payload).encode()
        await _deliver(demo, url, body, lambda when, forged: self.headers(request_id, body, when, forged))


class ReplicateSigner:
    """HMAC-SHA256 over id, time and body, as Standard Webhooks has it; `whsec_` and base64 is how the secret is written. The header may
    carry several signatures, of which one has to fit."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()

    def rotate(self) -> None:
        self.secret = ReplicateSigner().secret

    def headers(self, message_id: str, body: bytes, timestamp: int, forged: bool = False) -> dict[str, str]:
        secret = ReplicateSigner().secret if forged else self.secret
        good = hmac.new(base64.b64decode(secret.split("_")[1]), f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        retired = hmac.new(secrets.token_bytes(24), body, hashlib.sha256).digest()
        written = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in (retired, good))
        return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": written}

    async def send(self, demo: Demo, url: str, message_id: str, payload: dict[str, Any]) -> None:
        body = json.dumps(payload).encode()
        await _deliver(demo, url, body, lambda when, forged: self.headers(message_id, body, when, forged))


async def _deliver(demo: Demo, url: str, body: bytes, headers: Any) -> None:
    """Posts until somebody answers 2xx, a few times."""
    host = urlsplit(url).hostname or ""
    if host != "localhost" and not _loopback(host):
        log.warning("the demo sends no webhook to %s: it only reaches this machine", host)
        return
    fault = demo.faults.take("webhook")
    kind = fault.kind if fault else ""
    if kind == "missing":
        return
    when = int(demo.clock.now()) - (fault.get("seconds", 3600) if fault and kind == "stale" else 0)
    signed = {"content-type": "application/json", **headers(when, kind == "forged")}
    deliveries = fault.get("count", 2) if fault and kind == "duplicate" else 1
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
        for _ in range(deliveries):
            for attempt in range(ATTEMPTS):
                try:
                    if (await client.post(url, content=body, headers=signed)).is_success:
                        break
                except httpx.HTTPError as error:
                    log.info("the webhook did not reach %s: %s", url, error)
                if attempt + 1 < ATTEMPTS:
                    await demo.clock.sleep(2.0**attempt)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
