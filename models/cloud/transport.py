"""One HTTP client for every provider: what may be repeated, how long it may take, how much it may send, and who may see a key.

The one thing that matters most here is whether a request left this machine. No provider has idempotency keys, so a submit is repeated only
where surely nothing was begun: no byte of it was written, or the provider answered that it refuses to begin. The client's own trace tells
the first apart from a lost answer, which is `sent="maybe"` and is never repeated here.

Backoff is full jitter (Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015). Deadlines are moments of `clock`.
"""

from __future__ import annotations

import asyncio
import fnmatch
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from models.cloud.answers import Answer, Shot, wait_told, whole_picture
from models.cloud.pool import Pool
from models.cloud.spec import CloudError, Sent

LOOPBACK = ("127.0.0.1", "localhost", "::1")
REDIRECTS = 3
Explain = Callable[[Answer], CloudError | None]


@dataclass(frozen=True)
class TransportLimits:
    """connections, idle: of the pool, for all providers together. Seconds: connect; try_ for one poll or one picture; patience: the longest
    wait for a throttled submit before the caller may choose another provider. tries: of a submit; of a picture that is gone or broken; of
    a request that is not known. base, cap: of the backoff. Bytes and pixels: of an answer, of a picture."""

    connections: int = 64
    idle: int = 16
    idle_seconds: float = 4.0  # below the servers' own: a connection that they close while it is used again loses an answer
    connect: float = 10.0
    try_: float = 30.0
    patience: float = 20.0
    tries: int = 5
    base: float = 0.5
    cap: float = 15.0
    answer_bytes: int = 2 * 2**20
    picture_bytes: int = 48 * 2**20
    picture_tries: int = 3
    unknown_tries: int = 3
    pixels: int = 64 * 10**6


class _Lost(Exception):
    """No whole answer came. sent: "no" where not a byte of the request was written."""

    def __init__(self, sent: Sent, why: str) -> None:
        super().__init__(why)
        self.sent: Sent = sent
        self.why = why


@dataclass
class _Trace:
    """Told by httpcore what a request is at."""

    begun: bool = False

    async def __call__(self, name: str, info: Mapping[str, Any]) -> None:
        self.begun = self.begun or name.endswith("send_request_headers.started")


class Transport:
    """Shared by every engine of a process; use it as `async with`, or close it."""

    def __init__(
        self,
        limits: TransportLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rand: Callable[[], float] = random.random,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.limits, self.clock, self.rand = limits or TransportLimits(), clock, rand
        self._sleep, self._wall = sleep, wall
        self._pool = Pool(self.limits.connections, self.limits.idle, self.limits.idle_seconds)

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._pool.aclose()

    # Calls that carry a key.

    async def order(
        self,
        url: str,
        *,
        title: str,
        hosts: Sequence[str],
        headers: Mapping[str, str],
        body: Mapping[str, Any],
        deadline: float,
        explain: Explain,
        seconds: float | None = None,
        cap: int | None = None,
    ) -> Answer:
        """A submit: POSTs once, and again only while surely nothing was begun. A 2xx is the caller's to read.

        body: {"json": ...}, or {"data": ..., "files": ...} for a form. explain: what an answer that is no success means. seconds: for one
        attempt, None for all that is left. cap: bytes of the answer. Raises CloudError.
        """
        _check_host(url, hosts, title, "no")
        attempt = 0
        while True:
            attempt += 1
            try:
                left = deadline - self.clock()
                answer = await self._once("POST", url, headers, body, deadline, seconds or left, cap or self.limits.answer_bytes)
            except _Lost as lost:
                error = _lost(title, lost)
            else:
                refusal = explain(answer)
                if refusal is None:
                    return answer
                error = refusal
            if error.sent != "no" or error.final or attempt >= self.limits.tries or not await self._back_off(attempt, deadline, error):
                raise error

    async def ask(
        self,
        method: str,
        url: str,
        *,
        title: str,
        hosts: Sequence[str],
        headers: Mapping[str, str],
        deadline: float,
        explain: Explain,
        request_id: str | None = None,
        tries: int | None = None,
    ) -> Answer:
        """A question that costs nothing (a poll, a result, a cancel, a check): repeated until the deadline, or `tries` times.

        explain: None for an answer that will do, else its error; what is not final is asked again. Raises CloudError, with sent "yes".
        """
        _check_host(url, hosts, title, "yes", request_id)
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._once(method, url, headers, {}, deadline, self.limits.try_, self.limits.answer_bytes)
            except _Lost as lost:
                error = _lost(title, lost)
            else:
                refusal = explain(answer)
                if refusal is None:
                    return answer
                error = refusal
            error.sent, error.request_id = "yes", request_id
            if error.billed_micro == 0:
                error.billed_micro = None  # the question was free; what it asked about may not be
            out = tries is not None and attempt >= tries
            # What a submit has just named may be unknown for a moment to the host that is asked.
            over = error.final and (error.kind != "expired" or attempt >= self.limits.unknown_tries)
            if over or out or not await self._back_off(attempt, deadline, error, patient=True):
                raise error

    # Pictures, which never carry one.

    async def picture(self, url: str, *, title: str, hosts: Sequence[str], deadline: float, request_id: str | None = None) -> Shot:
        """Fetches a picture without a key and decodes it whole. Raises CloudError: "expired" for one that is gone, "bug" for one that does
        not decode or lies on a host that is not the provider's, "capacity" for one that did not come in time."""
        attempt = bad = 0
        while True:
            attempt += 1
            try:
                answer = await self._follow(url, title, hosts, deadline, request_id)
            except _Lost as lost:
                error = _lost(title, lost, request_id)
            else:
                if answer.status == 200:
                    try:
                        return await asyncio.to_thread(whole_picture, answer.body, self.limits.pixels)
                    except ValueError as cause:
                        error = CloudError("bug", f"{title} sent a picture that is not whole.", str(cause))
                        bad += 1
                elif answer.status in (401, 403, 404, 410):
                    error = CloudError("expired", f"{title} no longer has the picture.", f"Its address answered {answer.status}.")
                    bad += 1
                else:
                    bad += answer.status < 400  # leads in circles, or to a stranger
                    wait = wait_told(answer, self._wall())
                    error = CloudError(
                        "capacity", f"{title} did not send the picture.", f"Its address answered {answer.status}.", retry_after=wait
                    )
            error.sent, error.request_id, error.billed_micro = "yes", request_id, None
            if bad >= self.limits.picture_tries or not await self._back_off(attempt, deadline, error, patient=True):
                raise error

    async def _follow(self, url: str, title: str, hosts: Sequence[str], deadline: float, request_id: str | None) -> Answer:
        _check_host(url, hosts, title, "yes", request_id)
        for _ in range(REDIRECTS + 1):
            answer = await self._once("GET", url, {}, {}, deadline, self.limits.try_ * 2, self.limits.picture_bytes)
            if answer.status not in (301, 302, 303, 307, 308) or "location" not in answer.headers:
                return answer
            url = urljoin(url, answer.headers["location"])
            if not allowed(url, hosts):
                break
        return answer

    # Time.

    async def pause(self, seconds: float, deadline: float) -> bool:
        """Sleeps, at the most until the deadline; False where it is past."""
        left = deadline - self.clock()
        if left <= 0:
            return False
        await self._sleep(min(seconds, left))
        return self.clock() < deadline

    def told(self, answer: Answer) -> float | None:
        """After how many seconds the answer says to come again, None where it does not."""
        return wait_told(answer, self._wall())

    async def _back_off(self, attempt: int, deadline: float, error: CloudError, patient: bool = False) -> bool:
        """Waits before the next attempt; False, without waiting, where it would come too late."""
        wait = self.rand() * min(self.limits.cap, self.limits.base * 2 ** (attempt - 1))
        if error.retry_after is not None:
            wait += error.retry_after
            if not patient and error.retry_after > self.limits.patience:
                return False
        if self.clock() + wait >= deadline:
            return False
        await self._sleep(wait)
        return True

    # One request.

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: Mapping[str, Any], deadline: float, seconds: float, cap: int
    ) -> Answer:
        seconds = min(seconds, deadline - self.clock())
        if seconds <= 0:
            raise _Lost("no", "There was no time left.")
        trace = _Trace()
        timeout = httpx.Timeout(seconds, connect=min(self.limits.connect, seconds))
        try:
            async with asyncio.timeout(seconds):
                async with (
                    self._pool.client() as client,
                    client.stream(method, url, headers=dict(headers), timeout=timeout, extensions={"trace": trace}, **body) as response,
                ):
                    if int(response.headers.get("content-length") or 0) > cap:
                        raise _Lost("maybe", f"It sends more than {cap} bytes.")
                    got = bytearray()
                    async for chunk in response.aiter_bytes():
                        got += chunk
                        if len(got) > cap:
                            raise _Lost("maybe", f"It sends more than {cap} bytes.")
                    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, bytes(got))
        except TimeoutError as error:
            raise _Lost("maybe" if trace.begun else "no", f"There was no answer within {seconds:.0f} s.") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as error:
            raise _Lost("maybe" if trace.begun else "no", _named(error)) from error


def allowed(url: str, patterns: Sequence[str]) -> bool:
    """Whether the address is https on a host of `patterns`, or plain http on one that names its port or is this machine.

    A pattern with a port ("127.0.0.1:8000") is matched with it, one without ("*.bfl.ai") is for the usual port alone.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    if parts.scheme not in ("https", "http") or not host or parts.username is not None or parts.password is not None:
        return False
    shown = f"[{host}]" if ":" in host else host
    usual = {"https": 443, "http": 80}[parts.scheme]
    for pattern in patterns:
        exact = pattern.lower() in ({f"{shown}:{port or usual}"} | ({shown} if port in (None, usual) else set()))
        if exact and (parts.scheme == "https" or ":" in pattern or host in LOOPBACK):
            return True
        if parts.scheme == "https" and port in (None, 443) and "*" in pattern and fnmatch.fnmatchcase(host, pattern.lower()):
            return True
    return False


def _check_host(url: str, patterns: Sequence[str], title: str, sent: Sent, request_id: str | None = None) -> None:
    if not allowed(url, patterns):
        host = urlsplit(url).netloc.rpartition("@")[2] if "//" in url else ""
        why = f"{host or 'It'} is not one of its hosts, and nothing is asked of strangers."
        raise CloudError("bug", f"{title} named an address that is not its own.", why, sent=sent, request_id=request_id, final=True)


def _lost(title: str, lost: _Lost, request_id: str | None = None) -> CloudError:
    if lost.sent == "no":
        return CloudError("capacity", f"{title} is out of reach.", lost.why, sent="no", request_id=request_id)
    what = f"{title} did not answer: whether it took the call is not known."
    return CloudError("capacity", what, lost.why, sent="maybe", request_id=request_id)


def _named(error: Exception) -> str:
    """What a library's error says, without the address that it may carry."""
    words: dict[type[Exception], str] = {
        httpx.ConnectError: "The connection was refused.",
        httpx.ConnectTimeout: "The connection took too long.",
        httpx.ReadTimeout: "The answer took too long.",
        httpx.ReadError: "The connection was cut.",
        httpx.RemoteProtocolError: "The connection was cut in the middle of the answer.",
        httpx.PoolTimeout: "Too many calls were waiting.",
    }
    return words.get(type(error), f"{type(error).__name__}.")
