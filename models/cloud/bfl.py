"""Black Forest Labs: a submit gives an address to poll, on a host of a region, and says what it costs in credits (1 = $0.01).

The result's address is signed for minutes: a picture that is refused is asked for once more by way of a fresh one. There is no cancel, and
its webhooks' scheme is documented nowhere, so it is polled. It is paid by the picture: what was refused before it was drawn, or failed,
made none. Whether one that was drawn and then withheld is charged, its documents do not say, and neither does this.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

from models.cloud.answers import Answer, Shot, words_of
from models.cloud.catalogue import CloudModel, Provider, call_micro, nearest_ratio, sized
from models.cloud.engine import CHECK_SECONDS, Line, Rhythm, result, seed_of
from models.cloud.spec import Call, Checked, CloudError, Result, Ticket
from models.cloud.transport import Transport

CREDIT_MICRO = 10_000
UNKNOWN_POLLS = 4  # a task that its own submit has just named may be unknown to the host that is polled, for a moment
SICK_POLLS = 3
STATES = {"Pending": "queued", "Reasoning": "thinking", "Generating": "drawing"}
MODERATED = ("Request Moderated", "Content Moderated")
NOT_FOUND = "Task not found"


def body_of(model: CloudModel, call: Call) -> tuple[str, dict[str, Any]]:
    """The path below the API's address and the body of a submit. An unknown field would be refused, so none is sent that is not the
    model's."""
    can = model.capabilities
    body: dict[str, Any] = {"prompt": call.prompt, **model.extra}
    if can.aspect_ratios:
        body["aspect_ratio"] = nearest_ratio(model, call.width, call.height)
    else:
        body["width"], body["height"] = sized(model, call.width, call.height)
    shown = [base64.b64encode(reference.data).decode() for reference in call.references]
    if model.picture_field.endswith("[]"):
        body |= {model.picture_field.removesuffix("[]"): shown} if shown else {}
    else:
        body |= {model.picture_field + (f"_{place}" if place > 1 else ""): data for place, data in enumerate(shown, 1)}
    if can.seed:
        body |= {"seed": seed_of(call), "output_format": "png"}
    if call.steps is not None and can.steps:
        body["steps"] = call.steps
    if call.guidance is not None and can.guidance:
        body["guidance"] = call.guidance
    return f"/v1/{model.id}", body


class BflEngine:
    def __init__(self, provider: Provider, key: str, transport: Transport) -> None:
        self._line = Line(provider, transport, {"x-key": key})
        self._provider, self._transport = provider, transport

    async def submit(self, call: Call, deadline: float) -> Ticket:
        model = self._provider.model(call.model)
        began = self._transport.clock()
        call = await self._line.ready(call, model)
        path, body = body_of(model, call)
        answer = await self._line.order(path, body, deadline, self._submitted, seconds=self._transport.limits.try_)
        told = answer.table()
        id = str(told["id"])
        url = str(told.get("polling_url") or self._line.url(f"/v1/get_result?id={id}"))
        cost, took = micro_of(told.get("cost")), self._transport.clock() - began
        urls = {"polling": url}
        return Ticket(id, urls, model.id, len(call.seeds), call_micro(model, call), call.seeds, billed_micro=cost, seconds=took)

    async def collect(self, ticket: Ticket, deadline: float, on_state: Callable[[str], None] | None = None) -> Result:
        rhythm = Rhythm(self._transport, self._line.title, ticket, deadline, on_state)
        sample = await self._sample(ticket, deadline, rhythm)
        try:
            shots: list[Shot | None] = await self._line.fetched([sample], deadline, ticket)
        except CloudError as error:
            if error.kind != "expired":
                raise
            shots = await self._line.fetched([await self._sample(ticket, deadline, rhythm)], deadline, ticket)
        return result(ticket, shots, rhythm.seconds, 1)

    async def cancel(self, ticket: Ticket) -> bool:
        return False

    async def check(self) -> Checked:
        url = self._line.url("/v1/credits")
        try:
            answer = await self._line.ask("GET", url, self._transport.clock() + CHECK_SECONDS, self._line.explained, tries=2)
        except CloudError as error:
            return Checked(False, str(error))
        left = micro_of(answer.table().get("credits"))
        return Checked(True, f"{self._line.title} accepts the key.", left)

    async def aclose(self) -> None: ...

    # Reading.

    def _submitted(self, answer: Answer) -> CloudError | None:
        if 200 <= answer.status < 300 and not answer.table().get("id"):
            return self._line.refusal(answer, "bug", "maybe")
        return self._line.explained(answer)

    async def _sample(self, ticket: Ticket, deadline: float, rhythm: Rhythm) -> str:
        """The address of the picture, once it is drawn. Raises CloudError."""
        unknown = sick = 0
        while True:
            answer = await self._line.ask("GET", ticket.urls["polling"], deadline, self._polled, request_id=ticket.request_id)
            told = answer.table()
            status = str(told.get("status"))
            if status == "Ready":
                made = told.get("result")
                if isinstance(made, dict) and isinstance(made.get("sample"), str):
                    return str(made["sample"])
                raise self._line.nothing(ticket)
            if status == NOT_FOUND:
                unknown += 1
                if unknown >= UNKNOWN_POLLS:
                    raise self._over("expired", f"{self._line.title} no longer knows the request.", told, ticket, None)
            elif status in MODERATED:
                what = f"{self._line.title} refused the content."
                raise self._over("moderation", what, told, ticket, 0 if status == MODERATED[0] else None)
            elif status in ("Error", "Failed"):
                sick += 1
                if answer.status < 500 or sick >= SICK_POLLS:  # a 503 may be the task's end, or only the host's bad moment
                    billed = 0 if answer.status < 500 else None  # a host that is sick may have drawn it all the same
                    raise self._over("capacity", f"{self._line.title} could not draw it.", told, ticket, billed)
            rhythm.say(STATES.get(status, status.lower()[:40]))
            await rhythm.wait()

    def _over(self, kind: Any, what: str, told: dict[str, Any], ticket: Ticket, billed: int | None) -> CloudError:
        details = words_of(told.get("details") or told.get("result") or "")
        why = f'Its status is "{words_of(str(told.get("status")))}"{f": {details}" if details else ""}.'
        todo = "Change the prompt or the pictures." if kind == "moderation" else ""
        return CloudError(kind, what, why, todo, sent="yes", request_id=ticket.request_id, billed_micro=billed, final=True)

    def _polled(self, answer: Answer) -> CloudError | None:
        """A task's status counts whatever HTTP status carries it: failed ones may come as 503, unknown ones as 404."""
        if isinstance(answer.table().get("status"), str) and answer.status not in (401, 402, 403, 429):
            return None
        return self._line.polled(answer)


def micro_of(credits: object) -> int | None:
    """Credits as micro-dollars, rounded up; None where that is no amount."""
    if isinstance(credits, bool) or not isinstance(credits, int | float | str):
        return None
    try:
        amount = Decimal(str(credits)) * CREDIT_MICRO
    except InvalidOperation:
        return None
    return int(amount.to_integral_value(ROUND_CEILING)) if amount.is_finite() and amount >= 0 else None
