"""Keys: where they come from, where they are kept, and that no text keeps one."""
from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import keyring
import pytest
from keyring.backends import fail, null
from rings import Kept

from models.cloud import keys
from models.errors import BadInput, Unavailable

ID = "0f9a4c52-9b3d-4c7e-8f11-2f1d6c7b8a90"
HALF = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Provider:
    name: str = "fal"
    keys: tuple[str, ...] = ("FAL_KEY",)


FAL = Provider()


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """A keyring of this test's own, and an environment without keys."""
    for name in ("FAL_KEY", "REPLICATE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    before, ring = keyring.get_keyring(), Kept()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def test_a_key_comes_from_the_environment_before_the_keyring(ring: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys.key_of(FAL) is None and keys.source_of(FAL) is None
    keys.remember(FAL, "  from-the-keyring-1\n")
    assert keys.key_of(FAL) == "from-the-keyring-1" and keys.source_of(FAL) == "keyring"
    monkeypatch.setenv("FAL_KEY", " from-the-environment-1\r\n")
    assert keys.key_of(FAL) == "from-the-environment-1" and keys.source_of(FAL) == "environment FAL_KEY"
    monkeypatch.setenv("FAL_KEY", "   ")
    assert keys.source_of(FAL) == "keyring"


def test_the_first_variable_that_is_set_counts(ring: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    two = Provider("fal", ("FIRST_API_KEY", "SECOND_API_KEY"))
    monkeypatch.setenv("SECOND_API_KEY", "second-key")
    assert keys.source_of(two) == "environment SECOND_API_KEY"
    monkeypatch.setenv("FIRST_API_KEY", "first-key")
    assert keys.key_of(two) == "first-key"


def test_each_provider_has_its_own_entry_under_one_service(ring: Kept) -> None:
    keys.remember(FAL, "the-fal-key")
    keys.remember(Provider("replicate", ("REPLICATE_API_TOKEN",)), "the-replicate-key")
    assert ring.entries == {("contact-sheet", "fal"): "the-fal-key", ("contact-sheet", "replicate"): "the-replicate-key"}
    assert keys.forget(FAL) and not keys.forget(FAL)
    assert ring.entries == {("contact-sheet", "replicate"): "the-replicate-key"}


@pytest.mark.parametrize("typed", ["", "short", "two words of it", "schlüssel-mit-umlaut", "with\x00control-characters", "k" * 513])
def test_what_cannot_be_a_key_is_refused_without_telling_it_again(ring: Kept, typed: str) -> None:
    with pytest.raises(BadInput) as refused:
        keys.remember(FAL, typed)
    assert refused.value.field == "key" and not ring.entries
    assert not typed or typed not in str(refused.value)


def test_a_machine_without_a_keyring_says_so(ring: Kept) -> None:
    assert keys.keyring_trouble() == ""
    keyring.set_keyring(fail.Keyring())
    assert keys.key_of(FAL) is None and not keys.forget(FAL)
    assert "no keyring" in keys.keyring_trouble()
    with pytest.raises(Unavailable, match="Set FAL_KEY in the environment"):
        keys.remember(FAL, "a-key-to-keep")


def test_a_keyring_that_is_turned_off_does_not_seem_to_keep(ring: Kept) -> None:
    keyring.set_keyring(null.Keyring())
    with pytest.raises(Unavailable, match="did not give back"):
        keys.remember(FAL, "a-key-to-keep")


def test_a_locked_keyring_has_no_key_and_tells_the_log(ring: Kept, caplog: pytest.LogCaptureFixture) -> None:
    keys.remember(FAL, "a-locked-away-key")
    ring.locked = True
    assert keys.key_of(FAL) is None
    assert "nobody unlocked it" in caplog.text
    with pytest.raises(Unavailable, match="nobody unlocked it"):
        keys.forget(FAL)
    with pytest.raises(Unavailable, match="nobody unlocked it"):
        keys.remember(FAL, "another-key-of-it")


def test_hide_cuts_keys_as_they_are_and_as_urls_write_them(ring: Kept) -> None:
    keys.remember(FAL, f"{ID}:{HALF}")
    for written in (f"{ID}:{HALF}", f"{ID}%3A{HALF}", HALF):
        assert keys.hide(f"https://host/?key={written}&seed=7") == "https://host/?key=[key]&seed=7"


def test_hide_knows_the_environment_without_having_been_asked(ring: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "quite-a-plain-token")
    monkeypatch.setenv("SOME_SERVICE_API_KEY", "EMPTY")
    assert keys.hide("token quite-a-plain-token was refused; EMPTY stays") == "token [key] was refused; EMPTY stays"


def test_a_key_that_was_forgotten_is_still_cut(ring: Kept) -> None:
    keys.remember(FAL, "forgotten-but-known")
    keys.forget(FAL)
    assert keys.hide("it was forgotten-but-known") == "it was [key]"


def test_the_longer_of_two_keys_is_cut_whole(ring: Kept) -> None:
    keys.learn("one-key-of-two")
    keys.learn("one-key-of-two-and-more")
    assert keys.hide("one-key-of-two-and-more, one-key-of-two") == "[key], [key]"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Key abc-def-123", "Authorization: Key [key]"),
        ("{'authorization': 'Bearer unknown-token'}", "{'authorization': 'Bearer [key]'}"),
        ('{"x-key": "unknown-token"}', '{"x-key": "[key]"}'),
        ("(b'x-key', b'unknown-token')", "(b'x-key', b'[key]')"),
        ("Incorrect API key provided: sk-proj-AbCdEfGhIjKlMnOpQrStUv", "Incorrect API key provided: sk-[key]"),
        ("r8_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789a is revoked", "r8_[key] is revoked"),
        (f"no user has {ID}:abcdefabcdefabcdefabcdefabcdefab", "no user has [key]"),
        ("signed by whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "signed by whsec_[key]"),
    ],
)
def test_what_looks_like_a_key_is_cut(text: str, hidden: str) -> None:
    assert keys.hide(text) == hidden
    assert keys.hide(hidden) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "a key light from the left, a keyboard and a bearer of good news",
        "the key is under the mat: a red mug, 1024x1024, seed 18446744073709551615",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "request 0f9a4c52-9b3d-4c7e-8f11-2f1d6c7b8a90 is in the queue",
        "high key photograph of porcelain-figurine-number-4",
    ],
)
def test_what_people_write_stays(text: str) -> None:
    assert keys.hide(text) == text


def test_log_records_lose_keys_everywhere(ring: Kept) -> None:
    keys.remember(FAL, "never-in-a-log-1")
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    keys.guard_logs(handler)
    keys.guard_logs(handler)
    assert len(handler.filters) == 1
    logger = logging.getLogger("test.keys")
    logger.addHandler(handler)
    try:
        logger.error("asked with %s and %r", "never-in-a-log-1", {"x-key": "never-in-a-log-1"})
        try:
            raise ValueError("refused never-in-a-log-1")
        except ValueError:
            logger.exception("it failed", stack_info=True)
        logger.error("%d of them", 3)
    finally:
        logger.removeHandler(handler)
    told = out.getvalue()
    assert "never-in-a-log-1" not in told
    assert "asked with [key]" in told and "ValueError: refused [key]" in told and "3 of them" in told
