"""Whether a webhook is the provider's: signatures of fal and Replicate, checked over the bytes that came. Nothing here reads or sends.

fal signs `request_id\\nuser_id\\ntimestamp\\nsha256hex(body)` with Ed25519 (docs.fal.ai, "Webhooks": verification), hex in
`X-Fal-Webhook-Signature`; its public keys are a JWKS (RFC 7517, RFC 8037). Replicate signs `id.timestamp.body` with HMAC-SHA256 under the
base64 part of a `whsec_` secret (replicate.com/docs, "Verify webhooks"; the scheme of standardwebhooks.com), and sends several
signatures while the secret changes.

A signature says that the provider sent this, not that it is ours: anybody can make fal send to any address. So what was proven is a
request id to look at, which means nothing unless this studio waits for it; nothing else of a delivery is believed.
"""
from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ENGINES = ("fal", "replicate")  # whose webhooks are signed in a way that is documented
TOLERANCE = 300  # seconds that a delivery's time may differ from ours, either way
ID_LIMIT = 200
KEYS_LIMIT = 20


class Unproven(Exception):
    """A delivery that is not believed. `rekey`: whether newer keys of the provider's might prove it."""

    def __init__(self, why: str, rekey: bool = False) -> None:
        super().__init__(why)
        self.rekey = rekey


@dataclass(frozen=True)
class Delivery:
    """What was proven: the provider says that this request has ended. mark: of this very delivery, the same when it is sent once more."""

    request_id: str
    mark: str


def from_fal(headers: Mapping[str, str], body: bytes, keys: Iterable[Ed25519PublicKey], now: float) -> Delivery:
    """headers: names in lower case. keys: all that are valid, several while they change. now: seconds since 1970. Raises Unproven."""
    from cryptography.exceptions import InvalidSignature

    request_id, user, stamp, signature = (
        _header(headers, f"x-fal-webhook-{name}") for name in ("request-id", "user-id", "timestamp", "signature")
    )
    _fresh(stamp, now)
    message = "\n".join((request_id, user, stamp, hashlib.sha256(body).hexdigest())).encode()
    try:
        signed = bytes.fromhex(signature)
    except ValueError:
        raise Unproven("the signature is not hexadecimal") from None
    for key in keys:
        try:
            key.verify(signed, message)
        except InvalidSignature:
            continue
        return Delivery(request_id, signed.hex())
    raise Unproven("no key of fal's made this signature", rekey=True)


def from_replicate(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Delivery:
    """secret: `whsec_` and base64. The rest as in `from_fal`. Raises Unproven."""
    delivery, stamp, signatures = (_header(headers, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    _fresh(stamp, now)
    expected = hmac.new(_secret_bytes(secret), f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    # "v1,AAA= v1,BBB= v1a,CCC=": one for each secret that is valid just now; other versions are other schemes.
    found = [_from_base64(given) for version, _, given in (one.partition(",") for one in signatures.split()) if version == "v1"]
    if not any(hmac.compare_digest(one, expected) for one in found):
        raise Unproven("no secret of Replicate's made this signature", rekey=True)
    return Delivery(_prediction(body), delivery)


def read_jwks(data: object) -> tuple[Ed25519PublicKey, ...]:
    """The Ed25519 keys of a JSON Web Key Set; others are left out. Raises Unproven where there is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    entries = data.get("keys") if isinstance(data, Mapping) else None
    found = []
    for entry in entries[:KEYS_LIMIT] if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and (entry.get("kty"), entry.get("crv")) == ("OKP", "Ed25519") and isinstance(entry.get("x"), str):
            raw = _from_base64(entry["x"].translate(str.maketrans("-_", "+/")))
            if len(raw) == 32:
                found.append(Ed25519PublicKey.from_public_bytes(raw))
    if not found:
        raise Unproven("the provider's key set has no Ed25519 key")
    return tuple(found)


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise Unproven(f"the header {name} is missing")
    if len(value) > (ID_LIMIT if name.endswith("id") else 20 * ID_LIMIT):
        raise Unproven(f"the header {name} is too long")
    return value


def _fresh(stamp: str, now: float) -> None:
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise Unproven("its time is not a number of seconds")
    if abs(int(stamp) - now) > TOLERANCE:
        raise Unproven(f"it was sent more than {TOLERANCE} s ago, or from the future")


def _secret_bytes(secret: str) -> bytes:
    raw = _from_base64(secret.removeprefix("whsec_"))
    if not raw:
        raise Unproven("the secret of Replicate's webhooks is not one")
    return raw


def _from_base64(text: str) -> bytes:
    """Nothing for what is not base64: then it equals no signature."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _prediction(body: bytes) -> str:
    try:
        data = json.loads(body)
    except ValueError:
        raise Unproven("its body is not JSON") from None
    request_id = data.get("id") if isinstance(data, dict) else None
    if not isinstance(request_id, str) or not 0 < len(request_id) <= ID_LIMIT:
        raise Unproven("its body names no prediction")
    return request_id
