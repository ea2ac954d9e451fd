"""What the demo providers have in common: addresses, a key, jobs that are drawn and billed once, files that expire, faults."""
from __future__ import annotations

import asyncio
import datetime
import email.utils
import inspect
import logging
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from models.cloud.catalogue import CloudModel, Provider
from models.cloud.demo import pictures
from models.cloud.demo.clock import Clock
from models.cloud.demo.faults import KEYED, LOST, Fault, Faults
from models.cloud.demo.inputs import Refusal
from models.cloud.demo.jobs import Bill, Job, Order, State
from models.cloud.demo.wire import Answer, Asked, Listener, as_html

log = logging.getLogger(__name__)

Draw = Callable[[str, int, int, int, int], bytes | Awaitable[bytes]]
SECRETS = ("authorization", "x-key", "x-api-key", "cookie")
FLAG_WORDS = ("nsfw", "nude", "naked")  # in a prompt: the safety checker flags every picture of it
FOREIGN = "foreign"


class Kept(NamedTuple):
    data: bytes
    mime: str
    expires: float


class Demo:
    """A provider on the loopback: `base_url` for the API, `cdn_url` for pictures, `foreign_url` for where no key may ever go.

    draw(prompt, width, height, steps, seed) -> PNG, called in a thread (or awaited where it is a coroutine function). key: what it takes
    as its customer's. models: what it has, by id, and what each costs. credit_micro: None for a customer without a bottom. queue_seconds,
    draw_seconds: what a request takes by the clock besides the drawing. concurrency, per_minute: its limits, None for none.

    billed: what was charged so far. faults: what is to go wrong. requests: everything that came, headers and all. ignored: fields of
    bodies that the model does not have and the provider, as they do, passed over: a caller that knows its provider sends none.
    """

    name = ""
    path = ""  # of the API, behind its address
    provider: Provider  # the catalogue's, at this demo's addresses, once it serves
    retry_header = True  # whether its 429 says in a header when to come again
    file_seconds = 3600.0  # how long its picture addresses live
    result_seconds: float | None = None  # how long its results do
    servers: tuple[str, ...] = ("api", "cdn", FOREIGN)

    def __init__(
        self,
        draw: Draw,
        clock: Clock | None = None,
        *,
        models: Mapping[str, CloudModel],
        key: str = "",
        credit_micro: int | None = None,
        queue_seconds: float = 0.0,
        draw_seconds: float = 0.0,
        concurrency: int | None = None,
        per_minute: int | None = None,
    ) -> None:
        self.draw, self.clock, self.models = draw, clock or Clock(), dict(models)
        self.key = key or f"demo-{self.name}-key"
        self.credit_micro = credit_micro
        self.queue_seconds, self.draw_seconds = queue_seconds, draw_seconds
        self.concurrency, self.per_minute = concurrency, per_minute
        self.billed: list[Bill] = []
        self.faults = Faults()
        self.requests: list[Asked] = []
        self.ignored: list[str] = []
        self.jobs: dict[str, Job] = {}
        self.most_at_once = 0
        self._files: dict[str, Kept] = {}
        self._recent: deque[float] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listeners = {name: Listener(name, self._handle, self.clock) for name in self.servers}

    @property
    def base_url(self) -> str:
        return self._listeners["api"].url

    @property
    def cdn_url(self) -> str:
        return self._listeners["cdn"].url

    @property
    def foreign_url(self) -> str:
        # Another host by name, on the same loopback.
        return self._listeners[FOREIGN].url.replace("127.0.0.1", "localhost")

    @property
    def picture_hosts(self) -> tuple[str, ...]:
        """Where its pictures lie, as patterns of hosts."""
        return (_host(self.cdn_url),)

    @property
    def more_hosts(self) -> tuple[str, ...]:
        """Hosts besides the API's that may see the key."""
        return ()

    @property
    def billed_micro(self) -> int:
        return sum(bill.micro for bill in self.billed)

    @property
    def leaks(self) -> list[Asked]:
        """Requests that carried a key to where it does not belong."""
        return [asked for asked in self.requests if asked.server in ("cdn", FOREIGN) and self._carries_key(asked)]

    def seen(self, server: str = "api", method: str | None = None) -> list[str]:
        """Paths of the requests that a server got."""
        return [asked.path for asked in self.requests if asked.server == server and method in (None, asked.method)]

    @property
    def connections(self) -> int:
        """How many were ever made to the API."""
        return self._listeners["api"].connections

    @property
    def open_now(self) -> int:
        """Connections to any of its servers that nobody has closed."""
        return sum(listener.open_now for listener in self._listeners.values())

    @property
    def most_open(self) -> int:
        """The most connections that one of its servers had at once."""
        return max(listener.most_open for listener in self._listeners.values())

    async def start(self) -> None:
        for listener in self._listeners.values():
            await listener.start()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._listeners.values():
            await listener.stop()

    async def shut(self) -> None:
        """The API is out of reach: connections are refused. What it has begun goes on."""
        await self._listeners["api"].stop()

    async def reopen(self) -> None:
        """Back at the same address."""
        await self._listeners["api"].start(self._listeners["api"].port)

    # What each provider says in its own words.

    @abstractmethod
    async def answer(self, asked: Asked) -> Answer:
        """A request to one of its own servers."""

    @abstractmethod
    def says(self, kind: str, fault: Fault | None = None) -> Answer:
        """Its answer to what is in `KEYED`, "error", "throttled" and "missing" (no such thing)."""

    @abstractmethod
    def has_key(self, asked: Asked) -> bool:
        """Whether the request carries the key in the way that this provider wants it."""

    def finish(self, job: Job) -> None:
        """Its pictures are drawn: flags, errors and addresses, by the job's fault. Bills."""
        job.urls = [self.keep(data, job.order.format) for data in job.pictures]
        self.bill(job, len(job.pictures))

    async def told(self, job: Job) -> None:
        """The job is over: whom it tells."""

    # Requests.

    async def _handle(self, asked: Asked) -> Answer:
        self.requests.append(asked)
        try:
            if asked.server == FOREIGN:
                return as_html(200, "nobody you know")
            if asked.server == "cdn" and asked.method in ("GET", "HEAD"):
                return await self.at("download", asked, lambda fault: self._download(asked, fault))
            return await self.answer(asked)
        except Refusal as refusal:
            return refusal.answer

    async def at(self, moments: str | tuple[str, ...], asked: Asked, do: Callable[[Fault | None], Awaitable[Answer] | Answer]) -> Answer:
        """Does what a request at this moment asks for, unless a fault that waits for the moment has it otherwise."""
        fault = self.faults.take(*((moments,) if isinstance(moments, str) else moments))
        if fault is None:
            return await _awaited(do(None))
        if fault.kind in KEYED:
            return self.says(fault.kind, fault)
        if fault.kind == "redirect":
            return Answer(302, b"", {"location": f"{self.foreign_url}{asked.path}"})
        begins = fault.get("accepted", fault.kind in LOST)
        if fault.kind in LOST:
            return ruined(await _awaited(do(None)) if begins else Answer(), fault)
        if fault.kind in ("status", "error", "throttled"):
            if begins:
                await _awaited(do(None))
            return self._refused(fault)
        return await _awaited(do(fault))

    def _refused(self, fault: Fault) -> Answer:
        if fault.kind == "status":
            body = fault.get("body", b"")
            return Answer(fault.get("status", 500), body.encode() if isinstance(body, str) else body, dict(fault.get("headers") or {}))
        if fault.kind == "error" and fault.get("status") in (502, 504):
            return as_html(fault.get("status"), "502 Bad Gateway" if fault.get("status") == 502 else "504 Gateway Time-out")
        answer = self.says(fault.kind, fault)
        if (after := fault.get("retry_after")) is not None:
            if after == "date":
                after = email.utils.formatdate(self.clock.now() + fault.get("seconds", 2), usegmt=True)
            answer.headers["retry-after"] = str(after)
        return answer

    def demand_key(self, asked: Asked) -> None:
        """Ends the handler where the key is wrong, or there is none, or it is in another provider's scheme."""
        if not self.has_key(asked):
            raise Refusal(self.says("unauthorized"))

    def admit(self, order: Order) -> None:
        """Ends the handler where there are too many requests, or too little money for this one."""
        now = self.clock.now()
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if self.per_minute is not None and len(self._recent) >= self.per_minute:
            seconds = max(1, round(self._recent[0] + 60 - now))
            header: dict[str, Any] = {"retry_after": seconds} if self.retry_header else {}
            raise Refusal(self._refused(Fault("throttled", seconds=seconds, **header)))
        if self.credit_micro is not None and self.credit_micro < self.price_micro(order, order.count):
            raise Refusal(self.says("quota"))
        self._recent.append(now)

    def _carries_key(self, asked: Asked) -> bool:
        texts = [*asked.headers.values(), *asked.query.values(), asked.path]
        reads = asked.method in ("GET", "HEAD")  # an upload has a token of its own
        return any(self.key in text for text in texts) or (reads and any(name in asked.headers for name in SECRETS))

    # Jobs.

    @property
    def active(self) -> int:
        return sum(not job.over for job in self.jobs.values())

    def begin(self, order: Order, fault: Fault | None = None, webhook: str = "", id: str = "") -> Job:
        """Takes an order on: from here on it will be drawn and billed, whether or not anybody asks for it."""
        job = Job(id or str(uuid4()), order, self.clock.now(), fault, webhook)
        self.jobs[job.id] = job
        self.most_at_once = max(self.most_at_once, self.active)
        job.task = self.spawn(self._work(job))
        return job

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def end(self, job: Job, state: State, error: Any = None) -> None:
        job.state, job.ended = state, self.clock.now()
        if error is not None:
            job.error = error
        job.done.set()
        self.spawn(self.told(job))

    def cancel(self, job: Job, state: State = "canceled", error: Any = None) -> None:
        """Stops it where it is."""
        assert job.task is not None
        job.task.cancel()
        self.end(job, state, error)

    async def _work(self, job: Job) -> None:
        if self.queue_seconds:
            await self.clock.sleep(self.queue_seconds)
        if job.has("stuck") and job.fault is not None and job.fault.get("state") != "running":
            await asyncio.Event().wait()
        await self.turn(job)
        job.state, job.started = "running", self.clock.now()
        if job.has("stuck"):
            await asyncio.Event().wait()
        if job.fault is not None and job.has("slow"):
            await self.clock.sleep(job.fault.get("seconds", 1.0))
        try:
            job.pictures = await self._pictures(job)
        except Exception:
            log.exception("the demo could not draw %s", job.id)
            job.fault = Fault("failed")
        if self.draw_seconds:
            await self.clock.sleep(self.draw_seconds)
        self.finish(job)
        if not job.over:
            self.end(job, "done")

    async def turn(self, job: Job) -> None:
        """Waits for the job's turn. A provider that queues holds it back here."""

    async def _pictures(self, job: Job) -> list[bytes]:
        order = job.order
        if order.prompt and any(word in order.prompt.lower().split() for word in FLAG_WORDS) and job.fault is None:
            job.fault = Fault("nsfw")
        if job.has("empty", "failed", "invalid", "refused"):
            return []
        found = []
        for index in range(order.count):
            # What a batch's later pictures are drawn from, no provider says.
            arguments = (order.prompt, order.width, order.height, order.steps, order.seed + index)
            if inspect.iscoroutinefunction(self.draw):
                png = await self.draw(*arguments)
            else:
                png = await asyncio.to_thread(self.draw, *arguments)
            found.append(await asyncio.to_thread(pictures.converted, png, order.format))
        return found

    def flag(self, job: Job) -> int:
        """Marks the pictures that the safety checker objects to, by the job's fault; how many."""
        many = 0
        if job.fault is not None and job.has("nsfw"):
            many = min(job.fault.get("count", len(job.pictures)), len(job.pictures))
        job.flagged = [index < many for index in range(len(job.pictures))]
        return many

    # Money.

    def price_micro(self, order: Order, count: int) -> int:
        """By the list, in micro-dollars, each picture rounded up: reckoned from what is drawn, in whole numbers throughout."""
        model = self.models[order.model]
        price, pixels, unit = model.price, order.width * order.height, model.price.pixels
        if price.whole:
            pixels = -(-pixels // unit) * unit
        if price.further_micro is None:
            rate = price.micro * pixels  # micro-dollars x `unit`, so that nothing is rounded before the end
        else:
            rate = price.micro * unit + price.further_micro * max(0, pixels - unit)
        if price.kind == "image":
            rate = price.micro * unit
        shown = order.references * model.input_price.micro if model.input_price else 0
        steps, usual = (order.steps, model.default_steps) if price.kind == "megapixel_step" else (1, 1)
        return count * -(-(rate * steps + shown * unit * usual) // (unit * usual))

    def bill(self, job: Job, images: int, micro: int | None = None) -> None:
        """Charges for so many pictures, once a job."""
        assert not any(bill.request_id == job.id for bill in self.billed), f"{job.id} would be billed twice"
        job.micro = self.price_micro(job.order, images) if micro is None else micro
        if job.fault is not None and job.has("drift") and micro is None:
            job.micro = int(job.micro * job.fault.get("factor", 2))
        if not job.micro and not images:
            return
        self.billed.append(Bill(job.id, job.micro, images))
        if self.credit_micro is not None:
            self.credit_micro -= job.micro

    # Files.

    def keep(self, data: bytes, format: str, seconds: float | None = None) -> str:
        """The address of a picture, for as long as this provider keeps them."""
        path = f"/files/{uuid4().hex}.{format.rpartition('/')[2]}"
        self._files[path] = Kept(data, pictures.FORMATS.get(format, format), self.clock.now() + (seconds or self.file_seconds))
        return self.cdn_url + path

    def stored(self, url: str) -> bytes | None:
        """What lies at an address of this provider's own, None where that is nothing or not its own."""
        kept = self._files.get(url.removeprefix(self.cdn_url)) if url.startswith(self.cdn_url) else None
        return kept.data if kept and kept.expires > self.clock.now() else None

    def _download(self, asked: Asked, fault: Fault | None) -> Answer:
        kept = self._files.get(asked.path)
        if kept is None:
            return Answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {"content-type": "application/xml"})
        if fault is not None and fault.kind == "damaged":
            return Answer(200, kept.data[: len(kept.data) // 2], {"content-type": kept.mime})
        if kept.expires <= self.clock.now() or (fault is not None and fault.kind == "expired"):
            words = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
            return Answer(fault.get("status", 403) if fault else 403, words, {"content-type": "application/xml"})
        return Answer(200, kept.data, {"content-type": kept.mime})

    def moment(self, seconds: float) -> str:
        """As JSON writes it."""
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def ruined(answer: Answer, fault: Fault) -> Answer:
    """An answer that does not arrive as it was meant."""
    match fault.kind:
        case "html":
            return as_html(200, "We'll be right back")
        case "garbled":
            answer.body = answer.body[: len(answer.body) // 2]
        case "reset" | "hang" | "trickle" | "short" | "flood":
            answer.manner = fault.kind
            answer.pace = fault.get("pace", answer.pace)
    return answer


def _host(url: str) -> str:
    return url.partition("://")[2]


def bearer(asked: Asked, key: str, scheme: str = "Bearer") -> bool:
    return asked.headers.get("authorization", "") == f"{scheme} {key}"


async def _awaited(value: Awaitable[Answer] | Answer) -> Answer:
    return await value if inspect.isawaitable(value) else value
