"""Keys of cloud providers: read from the environment or the system's keyring, and cut out of whatever is written.

A key is in no database, log, picture, event or page. `key_of` is called where a provider is called, in the cloud worker; the page's
process only takes a key that a person typed to the keyring (`remember`), and tells where one comes from (`source_of`). `hide` is the
net below that: it cuts keys out of texts that others made, such as a vendor's error that repeats the key it refused, and `KeyFilter`
does so for log records. Functions may be called from any thread; those that ask the keyring may wait for a person to unlock it.
"""
from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Protocol
from urllib.parse import quote

from models.errors import BadInput, Unavailable

SERVICE = "contact-sheet"  # in the keyring
SHORTEST, LONGEST = 8, 512  # what is shorter is no secret ("EMPTY" of local servers): cutting it would tear words apart
CUT = "[key]"
_ENDINGS = ("_API_KEY", "_API_TOKEN", "_WEBHOOK_SECRET")
_NAMES = ("FAL_KEY", "FAL_KEY_SECRET", "HF_TOKEN")
# As vendors and headers write keys, whether or not this process ever knew them.
_LOOKS = (
    re.compile(r"""(?i)(\b(?:proxy-)?(?:authorization|x-key|x-api-key|api[-_]key)\b["']?\s*[:=,]\s*b?["']?(?:(?:key|bearer|basic|token)\s+)?+)[^\s"',}\])\[]{6,}"""),
    re.compile(r"(?i)(\b(?:bearer|key)\s+)(?=[a-z0-9_.:-]*[0-9])[a-z0-9_.:-]{20,}"),
    re.compile(r"(\b(?:r8_|sk-|tgp_v1_|hf_|whsec_))[A-Za-z0-9_+/=-]{16,}"),
    re.compile(r"()\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{32}\b"),  # fal's id:secret
)  # fmt: skip

log = logging.getLogger(__name__)


class Keyed(Protocol):
    """What of a provider matters here. keys: names of environment variables, the first that is set counts."""

    @property
    def name(self) -> str: ...

    @property
    def keys(self) -> tuple[str, ...]: ...


class _Seen:
    """Keys that went through this process, so that they can be cut out of its texts: they stay known when they are forgotten elsewhere."""

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def add(self, value: str) -> None:
        with self._lock:
            self._values |= {value}

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


_seen = _Seen()


def key_of(provider: Keyed) -> str | None:
    """The provider's key: from the environment, else from the keyring; None where neither has one, or the keyring cannot be asked
    (`keyring_trouble` says why)."""
    found = _from_environment(provider)
    key = found[1] if found else _from_keyring(provider.name)
    if key:
        _seen.add(key)
    return key


def source_of(provider: Keyed) -> str | None:
    """Where `key_of` finds it: "environment FAL_KEY", "keyring", or None."""
    found = _from_environment(provider)
    if found:
        return f"environment {found[0]}"
    return "keyring" if _from_keyring(provider.name) else None


def remember(provider: Keyed, key: str) -> None:
    """Puts a key that a person typed into the keyring, in place of the one that was there.

    Raises BadInput (field "key") for what cannot be a key, and Unavailable where this machine has no keyring that keeps it.
    """
    key = key.strip()
    if not SHORTEST <= len(key) <= LONGEST or not key.isascii() or not key.isprintable() or " " in key:
        # Nothing of what was typed is told again: it may be a key with a slip in it.
        why = f"A key is {SHORTEST} to {LONGEST} letters, digits and signs without spaces."
        raise BadInput("key", "This is not a key.", why, "Copy it again from the provider's page.")
    _seen.add(key)
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, provider.name, key)
        kept = keyring.get_password(SERVICE, provider.name) == key  # a keyring that is turned off takes everything and keeps nothing
    except KeyringError as error:
        raise _unavailable(provider, hide(f"{type(error).__name__}: {error}")) from None
    if not kept:
        raise _unavailable(provider, "It did not give back what was put into it.")


def forget(provider: Keyed) -> bool:
    """Takes the provider's key out of the keyring; False when it held none. What the environment has stays.

    Raises Unavailable where the keyring does not let go of it.
    """
    import keyring
    from keyring.errors import KeyringError, NoKeyringError, PasswordDeleteError

    try:
        keyring.delete_password(SERVICE, provider.name)
    except NoKeyringError:
        return False
    except PasswordDeleteError as error:
        if _from_keyring(provider.name) is None:
            return False
        raise _unavailable(provider, f"It does not let go of the key: {error}") from None
    except KeyringError as error:
        raise _unavailable(provider, f"{type(error).__name__}: {error}") from None
    return True


def keyring_trouble() -> str:
    """Why no key can be kept in this machine's keyring, in words; "" where one can, as far as is known without trying."""
    import keyring
    from keyring.backends import fail, null

    backend = keyring.get_keyring()
    if isinstance(backend, fail.Keyring | null.Keyring):
        return "This machine has no keyring, so keys have to come from the environment."
    return ""


# Cutting keys out.


def hide(text: str) -> str:
    """`text` with `[key]` in place of every key that this process knows, as it is and as URLs write it, and of whatever looks like one."""
    for secret in sorted(_forms(_known()), key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, CUT)
    for looks in _LOOKS:
        text = looks.sub(rf"\1{CUT}", text)
    return text


def learn(secret: str) -> None:
    """Makes `hide` cut this one too: a secret that came from elsewhere, such as a webhook's."""
    if len(secret) >= SHORTEST:
        _seen.add(secret)


class KeyFilter(logging.Filter):
    """Cuts keys out of a log record: its message, its traceback, its stack. It belongs on handlers, where records of every logger pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            return True  # its own mistake; the handler tells of it
        hidden = hide(message)
        if hidden != message:
            record.msg, record.args = hidden, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = hide(record.exc_text)
        if record.stack_info:
            record.stack_info = hide(record.stack_info)
        return True


def guard_logs(*handlers: logging.Handler) -> None:
    """Puts a KeyFilter on these handlers, or on all that the root logger has; one that has one keeps it."""
    for handler in handlers or logging.getLogger().handlers:
        if not any(isinstance(one, KeyFilter) for one in handler.filters):
            handler.addFilter(KeyFilter())


def _known() -> Iterator[str]:
    yield from _seen
    for name, value in os.environ.items():
        if name in _NAMES or name.endswith(_ENDINGS):
            yield value.strip()


def _forms(secrets: Iterable[str]) -> set[str]:
    """What must not be read: the secrets, the second half of those in two halves (fal's `id:secret`), and both as URLs quote them."""
    found = set()
    for secret in secrets:
        for part in (secret, secret.partition(":")[2]):
            if len(part) >= SHORTEST:
                found |= {part, quote(part, safe="")}
    return found


# Where keys are.


def _from_environment(provider: Keyed) -> tuple[str, str] | None:
    """The name of the variable and what is in it."""
    # Without what editors and shells leave around it: as a header it would be refused with the key in the message.
    values = ((name, os.environ.get(name, "").strip()) for name in provider.keys)
    return next(((name, value) for name, value in values if value), None)


def _from_keyring(name: str) -> str | None:
    import keyring
    from keyring.errors import KeyringError, NoKeyringError

    try:
        return keyring.get_password(SERVICE, name) or None
    except NoKeyringError:
        return None
    except KeyringError as error:
        log.warning("the keyring did not answer for %s: %s", name, hide(f"{type(error).__name__}: {error}"))
        return None


def _unavailable(provider: Keyed, why: str) -> Unavailable:
    names = provider.keys[0] if provider.keys else "the variable of the provider's key"
    return Unavailable("The keyring of this machine did not keep the key.", why, f"Set {names} in the environment instead.")
