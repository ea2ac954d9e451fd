"""What the engines share: a provider, its key and the transport; pictures on their way out and on their way in; the rhythm of polling."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.cloud.answers import Answer, Shot, refusal, unbase64, whole_picture
from models.cloud.catalogue import CloudModel, Provider, lacks, sized
from models.cloud.shrink import shrink
from models.cloud.spec import Call, CloudError, Drawn, Kind, Reference, Result, Sent, Ticket
from models.cloud.transport import Transport

SEEDS = 2**32  # that providers take; a larger one is taken modulo this
FIRST_POLL, SLOWER, SLOWEST_POLL = 0.4, 1.25, 3.0  # seconds, factor, seconds
CHECK_SECONDS = 20.0
Tell = Callable[[str], None] | None


@dataclass(frozen=True)
class Line:
    """A provider, reached with a key over the transport. headers: how this provider wants its key."""

    provider: Provider
    transport: Transport
    headers: Mapping[str, str]

    @property
    def title(self) -> str:
        return self.provider.title

    def url(self, path: str) -> str:
        return self.provider.base_url + path

    async def order(self, path: str, body: object, deadline: float, explain: Callable[[Answer], CloudError | None], **more: Any) -> Answer:
        """POSTs a submit; more: `headers`, `seconds`, `cap`, `files` (of a form, whose fields the body then is). Raises CloudError."""
        headers = {**self.headers, **more.pop("headers", {})}
        files = more.pop("files", None)
        sent = {"json": body} if files is None else {"data": body, "files": files}
        hosts = self.provider.hosts.api
        return await self.transport.order(
            self.url(path), title=self.title, hosts=hosts, headers=headers, body=sent, deadline=deadline, explain=explain, **more
        )

    async def ask(self, method: str, url: str, deadline: float, explain: Callable[[Answer], CloudError | None], **more: Any) -> Answer:
        """Asks what costs nothing; more: `request_id`, `tries`. Raises CloudError."""
        hosts = self.provider.hosts.api
        return await self.transport.ask(
            method, url, title=self.title, hosts=hosts, headers=self.headers, deadline=deadline, explain=explain, **more
        )

    def refusal(self, answer: Answer, kind: Kind | None = None, sent: Sent | None = None) -> CloudError:
        return refusal(self.title, answer, wait=self.transport.told(answer), kind=kind, sent=sent)

    def explained(self, answer: Answer) -> CloudError | None:
        """The usual reading of a submit's answer: 2xx with a JSON object will do."""
        if 200 <= answer.status < 300:
            if answer.table():
                return None
            return self.refusal(answer, "bug", "maybe")
        return self.refusal(answer)

    def polled(self, answer: Answer) -> CloudError | None:
        """The usual reading of a poll's answer: 404 and 410 are the end of it, and what is no JSON object comes again."""
        if answer.status in (404, 410):
            return self.refusal(answer, "expired")
        return self.explained(answer)

    async def ready(self, call: Call, model: CloudModel) -> Call:
        """The call with its pictures as the provider takes them. Raises CloudError for what the model cannot do."""
        if missing := lacks(model, call):
            raise CloudError("validation", f"{model.title} at {self.title} {missing}.", sent="no")
        size = sized(model, call.width, call.height) if call.strength is not None else None
        limit = self.provider.picture_bytes
        shown = [await asyncio.to_thread(shrink, reference, limit, size) for reference in call.references]
        return replace(call, references=tuple(shown))

    async def fetched(self, urls: Sequence[str], deadline: float, ticket: Ticket) -> list[Shot | None]:
        """The pictures of some addresses, None for one that is gone or broken for good. Raises CloudError where they are all so, or where
        one may yet be had by asking again. What was drawn and is not to be had was charged."""
        hosts, title = self.provider.hosts.pictures, self.title
        got = await asyncio.gather(*(self._shot(url, hosts, title, deadline, ticket) for url in urls), return_exceptions=True)
        for one in got:
            if isinstance(one, BaseException) and not (isinstance(one, CloudError) and one.kind in ("expired", "bug")):
                raise one
        lost = [one for one in got if isinstance(one, CloudError)]
        if lost and len(lost) == len(got):
            raise _charged(lost[0], ticket, len(urls))
        return [one if isinstance(one, Shot) else None for one in got]

    async def _shot(self, url: str, hosts: tuple[str, ...], title: str, deadline: float, ticket: Ticket) -> Shot:
        if url.startswith("data:"):
            return (await self.decoded([unbase64(url)], ticket))[0] or _impossible()
        return await self.transport.picture(url, title=title, hosts=hosts, deadline=deadline, request_id=ticket.request_id)

    async def decoded(self, files: Sequence[bytes | None], ticket: Ticket) -> list[Shot | None]:
        """The pictures of an answer that carried them, None for one that is broken. Raises CloudError where there is not one whole."""
        shots: list[Shot | None] = []
        why = "It sent none."
        for data in files:
            try:
                if data is None:
                    raise ValueError("Its base64 is cut short.")
                shots.append(await asyncio.to_thread(whole_picture, data, self.transport.limits.pixels))
            except ValueError as error:
                why = str(error)
                shots.append(None)
        if not any(shots):
            what, id = f"{self.title} sent no whole picture.", ticket.request_id
            raise _charged(CloudError("bug", what, why, sent="yes", request_id=id, final=True), ticket, len(files))
        return shots

    def nothing(self, ticket: Ticket) -> CloudError:
        """The error of a success without a picture, which by a list of prices for pictures costs nothing."""
        what, why = f"{self.title} sent no picture.", "It says that all went well."
        return CloudError("bug", what, why, sent="yes", request_id=ticket.request_id, billed_micro=0, final=True)


def _impossible() -> Shot:
    raise AssertionError("decoded() raises where nothing is whole")


class Rhythm:
    """When to ask again: soon at first, then ever more slowly, each time jittered so that many callers spread out."""

    def __init__(self, transport: Transport, title: str, ticket: Ticket, deadline: float, on_state: Tell) -> None:
        self._transport, self._title, self._ticket = transport, title, ticket
        self._deadline, self._tell = deadline, on_state
        self._next, self._said = FIRST_POLL, ""
        self.began = transport.clock()

    def say(self, state: str) -> None:
        """Tells what the provider is at, where that is new."""
        if state != self._said:
            self._said = state
            if self._tell is not None:
                self._tell(state)

    async def wait(self) -> None:
        """Until the next poll. Raises CloudError at the deadline: the request goes on there, and may be collected later."""
        seconds = self._next * (0.75 + self._transport.rand() / 2)
        self._next = min(self._next * SLOWER, SLOWEST_POLL)
        if not await self._transport.pause(seconds, self._deadline):
            what = f"{self._title} has not finished in time."
            why = f"It was {self._said} to the last." if self._said else ""
            raise CloudError("capacity", what, why, sent="yes", request_id=self._ticket.request_id)

    @property
    def seconds(self) -> float:
        return self._transport.clock() - self.began


def seed_of(call: Call) -> int:
    return call.seeds[0] % SEEDS


def data_url(reference: Reference) -> str:
    return f"data:{reference.mime};base64,{base64.b64encode(reference.data).decode()}"


def pictures_of(model: CloudModel, call: Call) -> dict[str, Any]:
    """The call's pictures as data: addresses, in the model's own field for them."""
    if not call.references:
        return {}
    urls = [data_url(reference) for reference in call.references]
    if model.picture_field.endswith("[]"):
        return {model.picture_field.removesuffix("[]"): urls}
    return {model.picture_field: urls[0]}


def drawn(ticket: Ticket, shots: Sequence[Shot | None], flags: Sequence[bool] = ()) -> tuple[Drawn | None, ...]:
    """One a seed. Only of a call for one picture is it known which seed drew it."""
    alone = ticket.count == 1 and len(ticket.seeds) == 1
    made: list[Drawn | None] = []
    for place in range(max(ticket.count, len(shots))):
        shot = shots[place] if place < len(shots) else None
        if shot is None:
            made.append(None)
            continue
        flagged = place < len(flags) and flags[place] is True
        made.append(Drawn(shot.data, shot.mime, ticket.seeds[0] if alone else None, flagged, shot.width, shot.height))
    return tuple(made[: ticket.count])


def result(ticket: Ticket, shots: Sequence[Shot | None], seconds: float, made: int, flags: Sequence[bool] = ()) -> Result:
    """seconds: of the collecting. made: how many pictures the provider drew, which is what it charges for where it does not say."""
    return Result(drawn(ticket, shots, flags), billed_for(ticket, made), ticket.seconds + seconds)


def billed_for(ticket: Ticket, made: int) -> int:
    """What the provider says that it charged, else what its list makes of `made` pictures. Micro-dollars."""
    if ticket.billed_micro is not None:
        return ticket.billed_micro
    return ticket.price_micro // ticket.count * min(made, ticket.count)


def _charged(error: CloudError, ticket: Ticket, made: int) -> CloudError:
    error.billed_micro = billed_for(ticket, made)
    return error
