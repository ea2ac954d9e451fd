"""Together: one call that answers when it has drawn, with the pictures in it. No queue, no webhook, no cancel: a lost answer is lost.

It says neither what it charged nor whether a picture was flagged. It charges for pictures: a refused or failed call costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.cloud.answers import Answer, unbase64
from models.cloud.catalogue import CloudModel, Provider, call_micro, nearest_ratio, sized
from models.cloud.engine import CHECK_SECONDS, Line, pictures_of, result, seed_of
from models.cloud.spec import Call, Checked, CloudError, Result, Ticket
from models.cloud.transport import Transport


def body_of(model: CloudModel, call: Call) -> tuple[str, dict[str, Any]]:
    """The path below the API's address and the body of the call."""
    can = model.capabilities
    body: dict[str, Any] = {"model": model.id, "prompt": call.prompt, **model.extra, **pictures_of(model, call)}
    if can.aspect_ratios:
        body["aspect_ratio"] = nearest_ratio(model, call.width, call.height)
    else:
        body["width"], body["height"] = sized(model, call.width, call.height)
    if call.steps is not None and can.steps:
        body["steps"] = call.steps
    if call.guidance is not None and can.guidance:
        body["guidance_scale"] = call.guidance
    if call.negative:
        body["negative_prompt"] = call.negative
    if call.loras:
        body["image_loras"] = [{"path": url, "scale": weight} for url, weight in call.loras]
    body |= {"seed": seed_of(call), "n": len(call.seeds), "response_format": "base64", "output_format": "png"}
    return "/v1/images/generations", body


class TogetherEngine:
    def __init__(self, provider: Provider, key: str, transport: Transport) -> None:
        self._line = Line(provider, transport, {"Authorization": f"Bearer {key}"})
        self._provider, self._transport = provider, transport

    async def submit(self, call: Call, deadline: float) -> Ticket:
        model = self._provider.model(call.model)
        began = self._transport.clock()
        call = await self._line.ready(call, model)
        path, body = body_of(model, call)
        cap = self._transport.limits.picture_bytes * len(call.seeds) * 4 // 3
        answer = await self._line.order(path, body, deadline, self._line.explained, cap=cap)
        return answered(answer, model, call, self._transport.clock() - began)

    async def collect(self, ticket: Ticket, deadline: float, on_state: Callable[[str], None] | None = None) -> Result:
        return await collected(self._line, ticket, deadline)

    async def cancel(self, ticket: Ticket) -> bool:
        return False

    async def check(self) -> Checked:
        return await listed(self._line, "/v1/models")

    async def aclose(self) -> None: ...


# Also of servers that speak OpenAI's images API, which Together's is a dialect of.


def answered(answer: Answer, model: CloudModel, call: Call, seconds: float) -> Ticket:
    """A ticket that has its pictures with it: base64, or data: addresses."""
    told = answer.table()
    data = told.get("data")
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    files: list[bytes | None] = []
    urls: dict[str, str] = {}
    for place, entry in enumerate(sorted(entries, key=_place)):
        if entry.get("b64_json") is None and isinstance(url := entry.get("url"), str) and not url.startswith("data:"):
            urls[f"picture.{place}"] = url
        files.append(unbase64(entry.get("b64_json") or entry.get("url")))
    id = str(told.get("id") or answer.headers.get("x-request-id") or "")
    price = call_micro(model, call)
    return Ticket(id, urls, model.id, len(call.seeds), price, call.seeds, pictures=tuple(files), seconds=seconds)


def _place(entry: dict[str, Any]) -> int:
    index = entry.get("index")
    return index if isinstance(index, int) else 0


async def collected(line: Line, ticket: Ticket, deadline: float) -> Result:
    """Decodes what the ticket brought, or fetches it where it brought addresses, which outlive a restart. Raises CloudError."""
    if ticket.urls:
        began = line.transport.clock()
        shots = await line.fetched([ticket.urls[name] for name in sorted(ticket.urls)], deadline, ticket)
        return result(ticket, shots, line.transport.clock() - began, len(shots))
    if ticket.pictures is None:
        what = f"{line.title} answered while the studio was stopped."
        raise CloudError("expired", what, "Its pictures were in the answer, and it keeps none.", sent="yes", request_id=ticket.request_id)
    if not ticket.pictures:
        raise line.nothing(ticket)
    shots = await line.decoded(ticket.pictures, ticket)
    return result(ticket, shots, 0.0, len(ticket.pictures))


async def listed(line: Line, path: str) -> Checked:
    """Asks for the list of models, which costs nothing."""

    def explain(answer: Answer) -> CloudError | None:
        return None if answer.status == 200 and answer.json() is not None else line.refusal(answer)

    try:
        await line.ask("GET", line.url(path), line.transport.clock() + CHECK_SECONDS, explain, tries=2)
    except CloudError as error:
        return Checked(False, str(error))
    return Checked(True, f"{line.title} accepts the key.")
