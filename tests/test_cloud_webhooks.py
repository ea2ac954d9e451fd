"""Webhooks: what is believed, what a ring changes, and a listener that has nothing else to give."""
from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from replicate.webhook import Webhooks, WebhookSigningSecret

from models.cloud import keys
from models.cloud.demo import serving
from models.cloud.demo.webhooks import FalSigner, ReplicateSigner
from models.cloud.signatures import TOLERANCE, Unproven, from_fal, from_replicate, read_jwks
from models.cloud.signers import KEYS_SECONDS, REFETCH_SECONDS, Signers, replicate_secret
from models.errors import BadInput
from studio.settings import Settings
from studio.store.people import LOCAL
from studio.studio import Studio
from studio.webhooks import EARLY_SECONDS, Bells, Listener, keep_listening, listening
from studio.webhooksetup import GUARDS, Setup, check_url

NOW = 1_790_000_000
BODY = b'{"id":"p1","status":"succeeded"}'


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def fal_headers(signer: FalSigner, request_id: str = "r1", body: bytes = BODY, when: int = NOW, **more: Any) -> dict[str, str]:
    return lower(signer.headers(request_id, body, when, **more))


# What is believed.


def test_what_fal_signed_is_believed_and_nothing_that_was_changed() -> None:
    signer = FalSigner()
    public, good = read_jwks(signer.jwks()), fal_headers(signer)
    assert from_fal(good, BODY, public, NOW).request_id == "r1"
    signatures = [("signature", value) for value in ("00" * 64, "zz", "")]
    changes = [("request-id", "r2"), ("user-id", "other"), ("timestamp", str(NOW + 1)), *signatures]
    for name, value in changes:
        with pytest.raises(Unproven):
            from_fal(good | {f"x-fal-webhook-{name}": value}, BODY, public, NOW)
    with pytest.raises(Unproven):
        from_fal(good, BODY + b" ", public, NOW)
    with pytest.raises(Unproven) as forged:
        from_fal(fal_headers(signer, forged=True), BODY, public, NOW)
    assert forged.value.rekey


@pytest.mark.parametrize("off", [-TOLERANCE, TOLERANCE])
def test_what_is_too_old_or_from_the_future_is_refused(off: int) -> None:
    fal, replicate = FalSigner(), ReplicateSigner()
    public = read_jwks(fal.jwks())
    at_the_edge, beyond = NOW + off, NOW + off + (1 if off > 0 else -1)
    assert from_fal(fal_headers(fal, when=at_the_edge), BODY, public, NOW)
    assert from_replicate(replicate.headers("m1", BODY, at_the_edge), BODY, replicate.secret, NOW)
    for deliver in (
        lambda: from_fal(fal_headers(fal, when=beyond), BODY, public, NOW),
        lambda: from_replicate(replicate.headers("m1", BODY, beyond), BODY, replicate.secret, NOW),
    ):
        with pytest.raises(Unproven) as stale:
            deliver()
        assert not stale.value.rekey


def test_one_of_several_signatures_of_replicates_is_enough() -> None:
    signer = ReplicateSigner()
    headers = signer.headers("m1", BODY, NOW)
    assert len(headers["webhook-signature"].split()) == 2
    assert from_replicate(headers, BODY, signer.secret, NOW) == from_replicate(headers, BODY, signer.secret, NOW + 1)
    retired, good = headers["webhook-signature"].split()
    for signatures in (good, f"v1,@@@ {good}", f"v2,abc {good} v1", f"{good} {retired}"):
        assert from_replicate(headers | {"webhook-signature": signatures}, BODY, signer.secret, NOW).request_id == "p1"
    for signatures in (retired, good.replace("v1,", "v2,"), good.replace("v1,", ""), "v1,", "v1"):
        with pytest.raises(Unproven):
            from_replicate(headers | {"webhook-signature": signatures}, BODY, signer.secret, NOW)


def test_replicates_own_client_believes_the_same() -> None:
    secret = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()
    digest = hmac.new(base64.b64decode(secret[6:]), b"m1.%d." % NOW + BODY, hashlib.sha256).digest()
    headers = {"webhook-id": "m1", "webhook-timestamp": str(NOW), "webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}
    Webhooks.validate(headers=headers, body=BODY.decode(), secret=WebhookSigningSecret(key=secret))
    assert from_replicate(headers, BODY, secret, NOW).request_id == "p1"


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"id": 7}', b'{"id": ""}', b"\xff\xfe"])
def test_a_body_of_replicates_that_names_no_prediction_is_refused(body: bytes) -> None:
    signer = ReplicateSigner()
    with pytest.raises(Unproven):
        from_replicate(signer.headers("m1", body, NOW), body, signer.secret, NOW)


@settings(deadline=None)
@given(headers=st.dictionaries(st.sampled_from([
    *(f"x-fal-webhook-{name}" for name in ("request-id", "user-id", "timestamp", "signature")),
    *(f"webhook-{name}" for name in ("id", "timestamp", "signature")),
]), st.text(max_size=40) | st.integers(NOW - 400, NOW + 400).map(str)), body=st.binary(max_size=40))  # fmt: skip
def test_nothing_made_up_is_believed_and_nothing_else_is_raised(headers: dict[str, str], body: bytes) -> None:
    public = (Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key(),)
    with pytest.raises(Unproven):
        from_fal(headers, body, public, NOW)
    with pytest.raises(Unproven):
        from_replicate(headers, body, "whsec_c2VjcmV0c2VjcmV0", NOW)


@pytest.mark.parametrize("data", [None, [], {}, {"keys": {}}, {"keys": [7, {"kty": "RSA"}, {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]}])
def test_a_key_set_without_a_key_is_no_key_set(data: object) -> None:
    with pytest.raises(Unproven):
        read_jwks(data)


# Keys that change.


@dataclass
class Vendors:
    """Both providers' keys, over real signers; time stands still until it is turned."""

    fal: FalSigner = field(default_factory=FalSigner)
    replicate: ReplicateSigner = field(default_factory=ReplicateSigner)
    fetched: int = 0
    down: bool = False
    now: float = 0.0

    def signers(self, client: httpx.AsyncClient) -> Signers:
        async def secret() -> str:
            self.fetched += 1
            if self.down:
                raise httpx.ConnectError("down")
            return self.replicate.secret

        return Signers(client, secret, "http://vendor/jwks.json", lambda: self.now, lambda: NOW + self.now)

    def client(self) -> httpx.AsyncClient:
        def answer(request: httpx.Request) -> httpx.Response:
            assert "authorization" not in request.headers
            self.fetched += 1
            return httpx.Response(503 if self.down else 200, json=self.fal.jwks())

        return httpx.AsyncClient(transport=httpx.MockTransport(answer))

    def sent(self, engine: str) -> dict[str, str]:
        when = int(NOW + self.now)
        return fal_headers(self.fal, when=when) if engine == "fal" else self.replicate.headers("m1", BODY, when)

    def rotate(self, engine: str) -> None:
        (self.fal if engine == "fal" else self.replicate).rotate()


@pytest.mark.parametrize("engine", ["fal", "replicate"])
def test_keys_are_kept_and_fetched_again_when_they_change(engine: str) -> None:
    async def scenario() -> None:
        vendors = Vendors()
        async with vendors.client() as client:
            signers = vendors.signers(client)
            for _ in range(3):
                await signers.prove(engine, vendors.sent(engine), BODY)
            assert vendors.fetched == 1
            vendors.now += REFETCH_SECONDS
            vendors.rotate(engine)
            await signers.prove(engine, vendors.sent(engine), BODY)
            assert vendors.fetched == 2
            vendors.now += KEYS_SECONDS
            await asyncio.gather(*(signers.prove(engine, vendors.sent(engine), BODY) for _ in range(5)))
            assert vendors.fetched == 3

    asyncio.run(scenario())


@pytest.mark.parametrize("engine", ["fal", "replicate"])
def test_wrong_signatures_do_not_make_us_ask_the_provider_each_time(engine: str) -> None:
    async def scenario() -> None:
        vendors, others = Vendors(), Vendors()
        async with vendors.client() as client:
            signers = vendors.signers(client)
            await signers.prove(engine, vendors.sent(engine), BODY)
            for _ in range(50):
                with pytest.raises(Unproven):
                    await signers.prove(engine, others.sent(engine), BODY)
            assert vendors.fetched == 1
            vendors.now = others.now = REFETCH_SECONDS
            for _ in range(50):
                with pytest.raises(Unproven):
                    await signers.prove(engine, others.sent(engine), BODY)
            assert vendors.fetched == 2
            await signers.prove(engine, vendors.sent(engine), BODY)

    asyncio.run(scenario())


@pytest.mark.parametrize("engine", ["fal", "replicate"])
def test_keys_that_cannot_be_had_are_waited_for_and_old_ones_still_count(engine: str) -> None:
    async def scenario() -> None:
        vendors = Vendors(down=True)
        async with vendors.client() as client:
            signers = vendors.signers(client)
            with pytest.raises(LookupError):
                await signers.prove(engine, vendors.sent(engine), BODY)
            vendors.down, vendors.now = False, REFETCH_SECONDS
            await signers.prove(engine, vendors.sent(engine), BODY)
            vendors.down, vendors.now = True, REFETCH_SECONDS + KEYS_SECONDS
            await signers.prove(engine, vendors.sent(engine), BODY)

    asyncio.run(scenario())


def test_replicates_secret_is_asked_for_with_the_key_and_cut_out_of_texts() -> None:
    asked: list[httpx.Request] = []
    secret = ReplicateSigner().secret

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"key": secret})

    async def scenario() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            signers = Signers(client, replicate_secret(client, "https://api.replicate.com/", lambda: "the-token"))
            with pytest.raises(Unproven):
                await signers.prove("replicate", ReplicateSigner().headers("m", BODY, int(time.time())), BODY)
            with pytest.raises(LookupError):
                nothing = Signers(client, replicate_secret(client, "https://api.replicate.com", lambda: None))
                await nothing.prove("replicate", {}, BODY)

    asyncio.run(scenario())
    assert [str(one.url) for one in asked] == ["https://api.replicate.com/v1/webhooks/default/secret"]
    assert asked[0].headers["authorization"] == "Bearer the-token"
    assert secret not in keys.hide(f"told {secret}") and secret[6:] not in keys.hide(f"told {secret[6:]}")


# Bells.


def test_a_ring_ends_one_sleep_of_its_request_alone() -> None:
    async def scenario() -> None:
        bells = Bells()
        woke: list[str] = []

        async def poll(request_id: str, seconds: float) -> None:
            with bells.hearing("fal", request_id):
                await bells.sleep(seconds)
                woke.append(request_id)
                await bells.sleep(0.02)
                woke.append(request_id)

        async with asyncio.timeout(5):
            polls = [asyncio.create_task(poll("a", 60)), asyncio.create_task(poll("b", 0.2))]
            await asyncio.sleep(0.01)
            assert bells.ring("fal", "a")
            await asyncio.gather(*polls)
        assert woke == ["a", "a", "b", "b"]
        assert not bells.ring("replicate", "a")

    asyncio.run(scenario())


def test_a_ring_before_the_wait_counts_for_two_minutes() -> None:
    async def scenario() -> None:
        now = 0.0
        bells = Bells(lambda: now)
        assert not bells.ring("fal", "a") and not bells.ring("fal", "b")
        with bells.hearing("fal", "a"):
            async with asyncio.timeout(1):
                await bells.sleep(60)
        now = EARLY_SECONDS + 1
        with bells.hearing("fal", "b"), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await bells.sleep(60)
        for number in range(5000):
            bells.ring("fal", str(number))
        assert len(bells._early) <= 1000 and not bells._events

    asyncio.run(scenario())


def test_two_waits_for_one_request_both_hear() -> None:
    async def scenario() -> None:
        bells = Bells()

        async def poll() -> None:
            with bells.hearing("fal", "a"):
                await bells.sleep(60)

        async with asyncio.timeout(5):
            polls = [asyncio.create_task(poll()) for _ in range(2)]
            await asyncio.sleep(0.01)
            bells.ring("fal", "a")
            await asyncio.gather(*polls)

    asyncio.run(scenario())


# The listener.


@contextlib.asynccontextmanager
async def awaited(vendors: Vendors) -> AsyncIterator[tuple[httpx.AsyncClient, Listener, Bells]]:
    bells = Bells()
    async with vendors.client() as asking:
        listener = Listener(bells, vendors.signers(asking))
        async with listening(listener, "127.0.0.1", 0) as port:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                yield client, listener, bells


@pytest.mark.parametrize("engine", ["fal", "replicate"])
def test_a_proven_delivery_rings_once_however_often_it_comes(engine: str) -> None:
    async def scenario() -> None:
        vendors = Vendors()
        async with awaited(vendors) as (client, listener, bells):
            request = "r1" if engine == "fal" else "p1"
            with bells.hearing(engine, request):
                for _ in range(3):
                    assert (await client.post(f"/{engine}", content=BODY, headers=vendors.sent(engine))).status_code == 200
                assert listener.counts == {"rang": 1, "repeated": 2}
                async with asyncio.timeout(1):
                    await bells.sleep(60)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await bells.sleep(60)
            # Nobody waits any more; the provider is thanked all the same, or it would send again and again.
            vendors.now += 1
            other = vendors.sent(engine) if engine == "fal" else vendors.replicate.headers("m2", BODY, int(NOW + vendors.now))
            assert (await client.post(f"/some/prefix/{engine}/", content=BODY, headers=other)).status_code == 200
            assert listener.counts["early"] == 1

    asyncio.run(scenario())


def test_it_serves_nothing_else(tmp_path: Any) -> None:
    async def scenario() -> None:
        vendors = Vendors()
        async with awaited(vendors) as (client, listener, _):
            for path in ("/", "/api/jobs", "/static/page/page.js", "/login", "/fal/../api/jobs", "/openai", "/together"):
                answer = await client.post(path, content=b"{}")
                assert (answer.status_code, answer.content) == (404, b""), path
            assert [(await client.request(method, "/fal")).status_code for method in ("GET", "PUT", "OPTIONS", "HEAD")] == [405] * 4
            good, stale = vendors.sent("fal"), fal_headers(vendors.fal, when=NOW - 3600)
            refused = [{}, stale, fal_headers(vendors.fal, forged=True), good | {"x-fal-webhook-user-id": "x"}]
            for headers in refused:
                answer = await client.post("/fal", content=BODY, headers=headers)
                assert (answer.status_code, answer.content) == (401, b"")
            assert (await client.post("/replicate", content=BODY, headers=good)).status_code == 401
            assert listener.counts == {"refused": 5}
            assert (await client.post("/fal", content=b"x" * (2**20 + 1), headers=good)).status_code == 413
            assert set(answer.headers) == {"content-length", "connection"}

    asyncio.run(scenario())


def test_while_keys_cannot_be_had_the_provider_is_told_to_come_again() -> None:
    async def scenario() -> None:
        vendors = Vendors(down=True)
        async with awaited(vendors) as (client, listener, _):
            assert (await client.post("/fal", content=BODY, headers=vendors.sent("fal"))).status_code == 503
            assert listener.counts == {"waits": 1}

    asyncio.run(scenario())


def test_connections_that_say_nothing_do_not_pile_up() -> None:
    async def scenario() -> None:
        vendors = Vendors()
        async with awaited(vendors) as (client, _, _bells):
            port = client.base_url.port
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(70)]
            assert (await client.post("/fal", content=BODY, headers=vendors.sent("fal"))).status_code == 503
            for _, writer in idle:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for _, writer in idle))
            await asyncio.sleep(0.05)
            assert (await client.post("/fal", content=BODY, headers=vendors.sent("fal"))).status_code == 200

    asyncio.run(scenario())


# Where it listens.


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def until(met: Callable[[], Any], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not met():
            await asyncio.sleep(0.01)


def test_it_follows_the_settings_and_outlives_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import studio.webhooks as webhooks

    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(webhooks, "RETRY_SECONDS", 0.02)

    async def scenario() -> None:
        vendors, said = Vendors(), []
        wanted = Setup()
        async with vendors.client() as asking, httpx.AsyncClient(trust_env=False) as client:
            listener = Listener(Bells(), vendors.signers(asking))
            busy = ["locked"]

            def setup() -> Setup:
                if busy:
                    raise sqlite3.OperationalError(busy.pop())
                return wanted

            task = asyncio.create_task(keep_listening(listener, setup, said.append))
            await until(lambda: said == [""])
            with socket.create_server(("127.0.0.1", 0)) as taken:
                wanted = Setup(taken.getsockname()[1])
                await until(lambda: "cannot be used" in said[-1])
            await until(lambda: "awaited" in said[-1])
            first = wanted.port
            wanted = Setup(free_port())
            await until(lambda: f"port {wanted.port}" in said[-1])
            assert (await client.post(f"http://127.0.0.1:{wanted.port}/fal", content=BODY)).status_code == 401
            with pytest.raises(httpx.ConnectError):
                await client.post(f"http://127.0.0.1:{first}/fal", content=BODY)
            wanted = Setup()
            await until(lambda: said[-1] == "")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "url",
    ["studio.example.com", "http://studio.example.com", "https://", "https://a b", "https://user:word@host", "https://host/?key=1", "https://host:99999"],
)  # fmt: skip
def test_addresses_that_providers_must_not_be_told(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        check_url(url)
    assert refused.value.field == "cloud.webhook.url"


def test_the_settings_are_checked(studio: Studio) -> None:
    settings = studio.settings
    settings.guards |= GUARDS
    settings.set({"cloud.webhook.url": "https://studio.example.com", "cloud.webhook.host": "::1", "cloud.webhook.port": 8443}, LOCAL)
    assert Setup.of(settings) == Setup(8443, "::1", "https://studio.example.com")
    for name, value in (("host", "localhost"), ("host", "256.1.1.1"), ("port", 65536), ("url", "http://x")):
        with pytest.raises(BadInput) as refused:
            settings.set({f"cloud.webhook.{name}": value}, LOCAL)
        assert refused.value.field == f"cloud.webhook.{name}"


def test_providers_are_told_an_address_only_where_there_is_one(studio: Studio) -> None:
    settings = Settings(studio.store)
    assert Setup.of(settings) == Setup() and Setup.of(settings).address_for("fal") == ""
    check_url("")
    check_url("https://studio.example.com/hooks/")
    there = Setup(8443, "127.0.0.1", "https://studio.example.com/hooks")
    assert there.address_for("fal") == "https://studio.example.com/hooks/fal"
    assert there.address_for("together") == "" and Setup(0, url=there.url).address_for("fal") == ""


# With a demo provider: the whole way round.


def draw(prompt: str, width: int, height: int, steps: int, seed: int) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (width, height), (seed % 256, 90, 90)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("fault", ["", "duplicate", "stale", "forged", "missing"])
def test_a_poll_wakes_when_fal_says_it_is_done_and_by_itself_when_it_does_not(fault: str) -> None:
    from models.cloud import engine_for
    from models.cloud.demo import Fault
    from models.cloud.spec import Call
    from models.cloud.transport import Transport

    async def scenario() -> tuple[float, Any]:
        bells = Bells()
        slow = 1.2  # each sleep between two polls, unless a bell ends it

        async def sleep(seconds: float) -> None:
            await bells.sleep(slow)

        async with serving("fal", draw, draw_seconds=0.3) as demo, httpx.AsyncClient(trust_env=False) as client:
            if fault:
                demo.faults.append(Fault(fault, at="webhook"))
            rest = demo.rest_url + "/.well-known/jwks.json"
            listener = Listener(bells, Signers(client, lambda: asyncio.sleep(0, ""), rest))
            transport = Transport(sleep=sleep)
            engine = engine_for(demo.provider, demo.key, transport)
            async with listening(listener, "127.0.0.1", 0) as port:
                model = next(iter(demo.provider.models))
                call = Call("fal", model, "a red mug", 256, 256, (7,), webhook=f"http://127.0.0.1:{port}/fal")
                deadline = transport.clock() + 60
                ticket = await engine.submit(call, deadline)
                began = time.monotonic()
                with bells.hearing("fal", ticket.request_id):
                    result = await engine.collect(ticket, deadline)
                took = time.monotonic() - began
            await engine.aclose()
            await transport.aclose()
            assert result.pictures[0] is not None and result.pictures[0].data == draw("", 256, 256, 4, 7)
            assert len(demo.billed) == 1 and not demo.leaks
            return took, listener.counts

    took, counts = asyncio.run(scenario())
    if fault in ("", "duplicate"):
        assert took < 1.1 and counts["rang"] == 1
    else:
        assert took >= 1.2 and not counts["rang"]


