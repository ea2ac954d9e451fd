"""Passwords as they are kept: argon2id. `python -m studio.passwords` asks for one and prints the line that an auth file takes.

The parameters are the first of those that OWASP's Password Storage Cheat Sheet holds equal (46 MiB, 1 pass, 1 lane): one core at
most is kept from the drawing. They are pinned here so that a library's new default does not change them unseen.
"""
from __future__ import annotations

import getpass
import threading

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from models.errors import BadInput

SHORTEST, LONGEST = 8, 256  # characters of a password set on the page

_HASHER = PasswordHasher(time_cost=1, memory_cost=46 * 2**10, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)
# Each takes 46 MiB: a crowd at the door waits its turn instead of filling the memory.
_TURNS = threading.BoundedSemaphore(2)


def hashed(password: str) -> str:
    """The hash to keep, about a twentieth of a second's work."""
    with _TURNS:
        return _HASHER.hash(password.encode("utf-8", "surrogatepass"))


def matches(password: str, kept: str | None) -> bool:
    """Whether `password` is the one behind `kept`. None (nobody has that name, or they cannot log in) takes as long and is False."""
    with _TURNS:
        try:
            _HASHER.verify(kept or _NOBODY, password.encode("utf-8", "surrogatepass"))
        except VerificationError:
            return False
    return kept is not None


def is_hash(text: str) -> bool:
    """Whether this is one of our hashes rather than a password. Raises BadInput for one that is broken or of another kind."""
    if not text.startswith("$argon2"):
        return False
    try:
        extract_parameters(text)
    except InvalidHashError as error:
        what = "This is no argon2 hash that can be read."
        raise BadInput("password", what, "", "Make one with: python -m studio.passwords") from error
    return True


def acceptable(password: object) -> str:
    """A password that a person sets. Raises BadInput."""
    if not isinstance(password, str) or not SHORTEST <= len(password) <= LONGEST:
        raise BadInput("password", f"A password has {SHORTEST} to {LONGEST} characters.", "", "Three or four words do well.")
    return password


# A hash that no password has, for names that nobody has.
_NOBODY = "$argon2id$v=19$m=47104,t=1,p=1$Y29udGFjdC1zaGVldC0wMA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def main() -> None:
    first, second = getpass.getpass("Password: "), getpass.getpass("Again: ")
    if first != second:
        raise SystemExit("They differ.")
    print(hashed(acceptable(first)))


if __name__ == "__main__":
    main()
