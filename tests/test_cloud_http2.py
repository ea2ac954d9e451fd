"""HTTP/2 where a server offers it: one connection for many calls, and the same knowledge of what left this machine."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from models.cloud import pool as room
from models.cloud.spec import CloudError
from models.cloud.transport import Transport, TransportLimits


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of 127.0.0.1, signed by itself, and trusted by the transports of this test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, today - datetime.timedelta(1), today + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    room._certificates.cache_clear()
    return file


class Server:
    """Answers each stream as `reply` says: a body, or None, which closes the connection instead."""

    def __init__(self, reply: Callable[[int], bytes | None]) -> None:
        self.reply, self.connections, self.calls = reply, 0, 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        line = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        line.initiate_connection()
        writer.write(line.data_to_send())
        while data := await reader.read(65536):
            for event in line.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    self.calls += 1
                    body = self.reply(self.calls)
                    if body is None:
                        writer.transport.abort()
                        return
                    line.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/json")])
                    line.send_data(event.stream_id, body, end_stream=True)
            writer.write(line.data_to_send())
        writer.close()


@asynccontextmanager
async def serving(server: Server, certificate: Path) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2"])
    listening = await asyncio.start_server(server.converse, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


async def order(transport: Transport, host: str) -> bytes:
    answer = await transport.order(
        f"https://{host}/v1", title="Acme", hosts=[host], headers={}, body={"json": {"n": 1}}, deadline=transport.clock() + 5,
        explain=lambda _: None,
    )  # fmt: skip
    return answer.body


def test_many_calls_share_one_connection(certificate):
    server = Server(lambda _: b'{"ok": true}')

    async def run() -> None:
        async with serving(server, certificate) as host, Transport() as transport:
            await order(transport, host)
            assert set(await asyncio.gather(*(order(transport, host) for _ in range(20)))) == {b'{"ok": true}'}

    asyncio.run(run())
    assert (server.connections, server.calls) == (1, 21)


def test_a_connection_that_ends_after_the_call_left_is_uncertain_and_not_tried_again(certificate):
    server = Server(lambda _: None)

    async def run() -> None:
        async with serving(server, certificate) as host, Transport(TransportLimits(base=0.01)) as transport:
            with pytest.raises(CloudError) as told:
                await order(transport, host)
            assert (told.value.kind, told.value.sent) == ("capacity", "maybe")

    asyncio.run(run())
    assert server.calls == 1


def test_a_stranger_s_certificate_means_that_nothing_left(certificate, monkeypatch):
    server = Server(lambda _: b"{}")

    async def run() -> None:
        async with serving(server, certificate) as host:
            monkeypatch.delenv("SSL_CERT_FILE")
            room._certificates.cache_clear()
            async with Transport(TransportLimits(base=0.01, tries=2)) as transport:
                with pytest.raises(CloudError) as told:
                    await order(transport, host)
                assert (told.value.kind, told.value.sent) == ("capacity", "no")

    asyncio.run(run())
    assert server.calls == 0


@pytest.fixture(autouse=True)
def forgotten():
    """The next test's transports trust what they should."""
    yield
    room._certificates.cache_clear()
