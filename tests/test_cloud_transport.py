"""The one HTTP client: which hosts see a key, how long is waited and by whose word, what is too large, what is no picture."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from models.cloud.answers import Answer, refusal, refused_content, unbase64, wait_told, whole_picture, words_of
from models.cloud.demo.clock import Clock
from models.cloud.demo.wire import Answer as Reply
from models.cloud.demo.wire import Asked, Listener, as_json
from models.cloud.keys import learn
from models.cloud.shrink import shrink
from models.cloud.spec import CloudError, Reference
from models.cloud.transport import Transport, TransportLimits, allowed

NOW = 1_795_000_000.0


def answer(status: int = 429, body: object = "", **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def png(width: int = 8, height: int = 8, mode: str = "RGB", colour: object = None) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height), colour or "teal").save(file, "PNG")  # type: ignore[arg-type]
    return file.getvalue()


def noise(width: int, height: int) -> bytes:
    """A picture that nothing compresses well."""
    file = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(file, "PNG")
    return file.getvalue()


# Hosts.


@pytest.mark.parametrize(
    ("url", "patterns", "may"),
    [
        ("https://api.bfl.ai/v1/x", ["api.bfl.ai"], True),
        ("https://API.BFL.AI/v1/x", ["api.bfl.ai"], True),
        ("https://api.eu1.bfl.ai/v1/get_result?id=1", ["*.bfl.ai"], True),
        ("https://bfl.ai.evil.example/", ["*.bfl.ai"], False),
        ("https://evil.example/?x=.bfl.ai", ["*.bfl.ai"], False),
        ("https://evil.example#.bfl.ai", ["*.bfl.ai"], False),
        ("https://api.bfl.ai@evil.example/", ["api.bfl.ai", "*.bfl.ai"], False),
        ("https://user:secret@api.bfl.ai/", ["api.bfl.ai"], False),
        ("http://api.bfl.ai/", ["api.bfl.ai", "*.bfl.ai"], False),  # not in the clear
        ("https://api.bfl.ai:8443/", ["api.bfl.ai", "*.bfl.ai"], False),
        ("https://api.bfl.ai:443/", ["api.bfl.ai"], True),
        ("ftp://api.bfl.ai/", ["api.bfl.ai"], False),
        ("file:///etc/passwd", ["*"], False),
        ("//api.bfl.ai/", ["api.bfl.ai"], False),
        ("", ["*.bfl.ai"], False),
        ("https://[bad", ["*"], False),
        ("http://127.0.0.1:8000/x", ["127.0.0.1:8000"], True),
        ("http://127.0.0.1:8001/x", ["127.0.0.1:8000"], False),
        ("http://localhost:8000/x", ["127.0.0.1:8000"], False),
        ("http://[::1]:8000/x", ["[::1]:8000"], True),
        ("http://gpu.example:8000/v1", ["gpu.example:8000"], True),  # a person wrote that address, scheme and all
        ("http://gpu.example/v1", ["gpu.example"], False),
        ("https://gpu.example/v1", ["gpu.example"], True),
    ],
)
def test_which_hosts_are_a_provider_s_own(url, patterns, may):
    assert allowed(url, patterns) is may


# Waits.


@pytest.mark.parametrize(
    ("given_answer", "seconds"),
    [
        (answer(retry_after="7"), 7.0),
        (answer(retry_after="1.5"), 1.5),
        (answer(retry_after=email.utils.formatdate(NOW + 30, usegmt=True)), 30.0),
        # By the server's own clock, which is an hour ahead of ours.
        (answer(retry_after=email.utils.formatdate(NOW + 3630, usegmt=True), date=email.utils.formatdate(NOW + 3600, usegmt=True)), 30.0),
        (answer(retry_after=email.utils.formatdate(NOW - 30, usegmt=True)), 0.0),
        (answer(retry_after="99999999"), 3600.0),
        (answer(retry_after="soon"), None),
        (answer(body={"detail": "Request was throttled. Your rate limit resets in ~30s."}), 30.0),
        (answer(body="Please try again in 1.5 seconds."), 1.5),
        (answer(body="retry after 250ms"), 0.25),
        (answer(body="Try again in 2 minutes"), 120.0),
        (answer(body={"retry_after": 12}), 12.0),
        (answer(200, "Come again in 30s"), None),
        (answer(), None),
    ],
)
def test_when_to_come_again_is_read_from_headers_and_bodies(given_answer, seconds):
    assert wait_told(given_answer, NOW) == seconds


@given(some.text(max_size=60), some.binary(max_size=200))
def test_no_header_and_no_body_breaks_the_reading(header, body):
    told = wait_told(Answer(429, {"retry-after": header, "date": header}, body), NOW)
    assert told is None or 0 <= told <= 3600
    assert isinstance(words_of(Answer(500, {}, body).json()), str)


def clockwork(limits: TransportLimits, rand: float) -> tuple[Transport, list[float]]:
    """A transport whose clock moves only when it sleeps; the list fills with its waits."""
    now, waits = [0.0], []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    return Transport(limits, clock=lambda: now[0], sleep=sleep, rand=lambda: rand), waits


async def refusing(transport: Transport, explain, deadline: float, ask: bool = False) -> CloudError:
    """What a submit (or a question) to a server that always answers 503 ends with."""

    async def handle(asked: Asked) -> Reply:
        return as_json({"detail": "busy"}, 503)

    listener = Listener("api", handle, Clock())
    await listener.start()
    host = listener.url.removeprefix("http://")
    try:
        with pytest.raises(CloudError) as told:
            more = {"title": "Acme", "hosts": [host], "headers": {}, "deadline": deadline, "explain": explain}
            if ask:
                await transport.ask("GET", listener.url, **more)
            else:
                await transport.order(listener.url, body={"json": {}}, **more)
    finally:
        await transport.aclose()
        await listener.stop()
    return told.value


def overloaded(given_answer: Answer) -> CloudError:
    return refusal("Acme", given_answer, wait=None)


def test_the_backoff_is_full_jitter_and_bounded():
    longest, waits = clockwork(TransportLimits(tries=7, base=0.5, cap=6), 1.0)
    asyncio.run(refusing(longest, overloaded, 1000))
    assert waits == [0.5, 1, 2, 4, 6, 6]
    shortest, waits = clockwork(TransportLimits(tries=4), 0.0)
    asyncio.run(refusing(shortest, overloaded, 1000))
    assert waits == [0, 0, 0]


def test_no_wait_outlives_the_deadline():
    transport, waits = clockwork(TransportLimits(tries=99, base=1, cap=4), 1.0)
    error = asyncio.run(refusing(transport, overloaded, 9.9))
    assert waits == [1, 2, 4] and error.kind == "capacity" and error.sent == "no"


def test_a_question_is_asked_until_the_deadline_and_says_that_the_request_may_go_on():
    transport, waits = clockwork(TransportLimits(tries=1, base=1, cap=4), 1.0)
    error = asyncio.run(refusing(transport, overloaded, 30, ask=True))
    assert sum(waits) == 27 and error.sent == "yes" and error.billed_micro is None and not error.final


# Answers.


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": [{"loc": ["body", "prompt"], "msg": "too long", "type": "value_error"}]}, "body.prompt: too long"),
        ({"error": {"message": "no such model", "type": "x", "param": None, "code": None}}, "no such model"),
        ({"title": "Insufficient credit", "status": 402, "detail": "Top up."}, "Top up."),
        ({"status": "Task not found", "result": None}, "Task not found"),
        ("<html><h1>502</h1></html>", ""),
        ({"detail": "<!doctype html><p>no"}, ""),
        ({"detail": "one\n\ttwo\x00three"}, "one two three"),
        ([], ""),
        (3, ""),
    ],
)
def test_a_provider_s_words_are_one_readable_line(body, words):
    assert words_of(body) == words


def test_long_words_are_cut():
    assert len(words_of("x" * 5000)) == 300


@pytest.mark.parametrize(
    ("status", "body", "kind", "sent"),
    [
        (400, {"error": {"message": "width must be a multiple of 16"}}, "validation", "no"),
        (400, {"error": {"message": "Your request was rejected as a result of our safety system."}}, "moderation", "no"),
        (401, {}, "auth", "no"),
        (402, {}, "quota", "no"),
        (403, {}, "auth", "no"),
        (404, {}, "validation", "no"),
        (422, {"detail": "NSFW content detected"}, "moderation", "no"),
        (422, {"detail": "prompt: Field required"}, "validation", "no"),
        (429, {}, "throttled", "no"),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, "quota", "no"),
        (500, {}, "capacity", "maybe"),
        (502, "<html>", "capacity", "maybe"),
        (503, {}, "capacity", "no"),
        (504, "", "capacity", "maybe"),
        (302, "", "bug", "maybe"),
        (200, "<html>", "bug", "maybe"),
    ],
)
def test_refusals_are_told_apart(status, body, kind, sent):
    error = refusal("Acme", answer(status, body), wait=None)
    assert (error.kind, error.sent) == (kind, sent)
    assert error.final is (kind in ("validation", "moderation", "auth", "quota"))
    assert error.billed_micro == (0 if sent == "no" else None)


@pytest.mark.parametrize("words", ["a moderate breeze", "unflagged", "sensitive skin cream", "safety glasses"])
def test_words_that_only_sound_like_a_refusal(words):
    assert not refused_content(words)


def test_an_error_never_repeats_the_key_that_it_refuses():
    learn("acme-0123456789-key")
    error = refusal("Acme", answer(401, {"error": {"message": "Incorrect API key provided: acme-0123456789-key."}}), wait=None)
    assert "acme-0123456789-key" not in f"{error} {error.as_dict()} {error.args}"


# Pictures.


def test_only_whole_pictures_of_known_kinds_count():
    for kind in ("JPEG", "WEBP"):
        file = io.BytesIO()
        Image.new("RGB", (40, 30), "red").save(file, kind)
        assert whole_picture(file.getvalue(), 10**6).mime == f"image/{kind.lower()}"
        with pytest.raises(ValueError, match=r".+"):
            whole_picture(file.getvalue()[:-2], 10**6)
    data = noise(64, 64)
    assert (whole_picture(data, 10**6).width, whole_picture(data, 10**6).mime) == (64, "image/png")
    for bad in (data[: len(data) // 2], data[:-20], b"", b"<html>", b"GIF89a" + bytes(40)):
        with pytest.raises(ValueError, match=r".+"):
            whole_picture(bad, 10**6)
    with pytest.raises(ValueError, match="64 x 64"):
        whole_picture(data, 64 * 63)


@settings(deadline=None)  # the first picture loads what decodes it
@given(some.binary(max_size=300))
def test_no_bytes_break_the_decoding(data):
    for start in (b"", png()[:40], b"\xff\xd8\xff\xe0", b"RIFF\x00\x00\x00\x00WEBPVP8 "):
        with pytest.raises(ValueError, match=r".+"):
            whole_picture(start + data, 10**6)


def test_base64_is_whole_or_nothing():
    text = base64.b64encode(b"picture").decode()
    assert unbase64(text) == unbase64(f"data:image/png;base64,{text}") == b"picture"
    assert [unbase64(bad) for bad in (text[:-3], text + "!", "", None, 3)] == [None] * 5


async def fetched(handle, limits: TransportLimits, path: str = "/a.png", hosts=None):
    listener = Listener("cdn", handle, Clock())
    await listener.start()
    async with Transport(limits, sleep=lambda seconds: asyncio.sleep(0)) as transport:
        own = [listener.url.removeprefix("http://")]
        try:
            return await transport.picture(listener.url + path, title="Acme", hosts=hosts or own, deadline=transport.clock() + 5)
        finally:
            await listener.stop()


def test_a_picture_is_fetched_without_a_key_or_a_cookie_over_redirects_of_its_own_hosts():
    seen: list[Asked] = []

    async def handle(asked: Asked) -> Reply:
        seen.append(asked)
        if asked.path == "/a.png":
            return Reply(302, b"", {"location": "/b.png", "set-cookie": "track=1; Path=/"})
        return Reply(200, png(), {"content-type": "text/plain"})  # its own bytes say what it is

    shot = asyncio.run(fetched(handle, TransportLimits()))
    assert (shot.mime, shot.width) == ("image/png", 8) and [asked.path for asked in seen] == ["/a.png", "/b.png"]
    assert not [name for asked in seen for name in ("authorization", "x-key", "cookie") if name in asked.headers]


@pytest.mark.parametrize(("location", "asked"), [("http://evil.example/x.png", 3), ("/a.png", 12)])
def test_redirects_to_strangers_or_in_circles_are_not_followed(location, asked):
    seen = []

    async def handle(one: Asked) -> Reply:
        seen.append(one.path)
        return Reply(302, b"", {"location": location})

    with pytest.raises(CloudError) as told:
        asyncio.run(fetched(handle, TransportLimits(base=0.001)))
    assert told.value.sent == "yes" and len(seen) == asked


@pytest.mark.parametrize("length", [True, False])
def test_a_picture_that_is_too_large_is_dropped_as_soon_as_that_is_known(length):
    asked = []

    async def handle(one: Asked) -> Reply:
        asked.append(one)
        return Reply(200, bytes(3_000_000), manner="whole" if length else "flood")

    with pytest.raises(CloudError) as told:
        asyncio.run(fetched(handle, TransportLimits(picture_bytes=100_000, base=2.0)))
    assert "100000 bytes" in told.value.why


def test_a_stranger_s_picture_is_not_even_asked_for():
    asked = []

    async def handle(one: Asked) -> Reply:
        asked.append(one)
        return Reply(200, png())

    with pytest.raises(CloudError, match="not its own"):
        asyncio.run(fetched(handle, TransportLimits(), hosts=["pictures.acme.example"]))
    assert not asked


# Pictures on their way out.


def size_of(reference: Reference) -> tuple[int, int]:
    with Image.open(io.BytesIO(reference.data)) as image:
        image.load()
        return image.size


def test_a_small_reference_stays_lossless_and_loses_its_metadata():
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    exif[0x0112] = 6  # lies on its side
    file = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(file, "JPEG", exif=exif)
    shown = shrink(Reference(file.getvalue(), "image/jpeg"), 100_000)
    assert shown.mime == "image/png" and size_of(shown) == (20, 40) and b"taken at home" not in shown.data


def test_a_large_reference_is_brought_to_a_megapixel_and_the_limit():
    shown = shrink(Reference(noise(1280, 960), "image/png"), 700_000)
    width, height = size_of(shown)
    assert shown.mime == "image/jpeg" and len(shown.data) <= 700_000
    assert width * height <= 2**20 and abs(width / height - 4 / 3) < 0.01


def test_a_start_picture_gets_the_size_that_is_drawn_and_transparent_is_white():
    shown = shrink(Reference(png(300, 200, "RGBA", (0, 0, 0, 0)), "image/png"), 100_000, (128, 128))
    with Image.open(io.BytesIO(shown.data)) as image:
        assert image.size == (128, 128) and image.mode == "RGB" and image.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("data", [b"", b"not a picture", png()[:30]])
def test_a_reference_that_does_not_decode_costs_nothing(data):
    with pytest.raises(CloudError) as told:
        shrink(Reference(data, "image/png"), 100_000)
    assert (told.value.kind, told.value.sent) == ("validation", "no")


def test_what_fits_in_no_way_is_refused():
    with pytest.raises(CloudError, match="too large"):
        shrink(Reference(noise(512, 512), "image/png"), 3_000, (512, 512))
