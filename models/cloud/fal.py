"""fal: a queue. A submit gives addresses to poll; failure is a COMPLETED that carries an error; pictures lie on a CDN of its own.

Its documents: nobody pays for server errors or for waiting in the queue; a 422 of the model may be charged. What its safety checker
blackens was drawn and is charged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from models.cloud.answers import Answer, refused_content, words_of
from models.cloud.catalogue import CloudModel, Provider, call_micro, nearest_ratio, sized
from models.cloud.engine import CHECK_SECONDS, Line, Rhythm, billed_for, pictures_of, result, seed_of
from models.cloud.spec import Call, Checked, CloudError, Kind, Result, Ticket
from models.cloud.transport import Transport

KEPT_SECONDS = 3600  # for which fal keeps the pictures, as long as it keeps the result
LOCKED = ("locked", "balance", "billing")
REFUSED = ("content_policy_violation", "content_policy")


def body_of(model: CloudModel, call: Call) -> tuple[str, dict[str, Any]]:
    """The path below the queue's address, with the address that is told of the end, and the body of a submit."""
    width, height = sized(model, call.width, call.height)
    body: dict[str, Any] = {"prompt": call.prompt, **model.extra, **pictures_of(model, call)}
    if model.capabilities.aspect_ratios:
        body["aspect_ratio"] = nearest_ratio(model, call.width, call.height)
    elif call.strength is None:  # else it draws at the size of the picture that it starts from
        body["image_size"] = {"width": width, "height": height}
    if call.strength is not None:
        body["strength"] = call.strength
    if call.steps is not None and model.capabilities.steps:
        body["num_inference_steps"] = call.steps
    if call.guidance is not None and model.capabilities.guidance:
        body["guidance_scale"] = call.guidance
    if call.loras:
        body["loras"] = [{"path": url, "scale": weight} for url, weight in call.loras]
    body |= {"seed": seed_of(call), "num_images": len(call.seeds), "output_format": "png"}
    hook = f"?fal_webhook={quote(call.webhook, safe='')}" if call.webhook else ""
    return f"/{model.id}{hook}", body


class FalEngine:
    def __init__(self, provider: Provider, key: str, transport: Transport) -> None:
        self._line = Line(provider, transport, {"Authorization": f"Key {key}"})
        self._provider, self._transport = provider, transport

    async def submit(self, call: Call, deadline: float) -> Ticket:
        model = self._provider.model(call.model)
        began = self._transport.clock()
        call = await self._line.ready(call, model)
        path, body = body_of(model, call)
        headers = {
            # Bounds the wait for the start alone: what nobody waits for any more is not begun.
            "X-Fal-Request-Timeout": str(max(1, int(deadline - self._transport.clock()))),
            "X-Fal-Object-Lifecycle-Preference": json.dumps({"expiration_duration_seconds": KEPT_SECONDS}),
        }
        answer = await self._line.order(path, body, deadline, self._submitted, headers=headers, seconds=self._transport.limits.try_)
        told = answer.table()
        id = str(told["request_id"])
        # The endpoint's own path is left out of its requests' addresses: owner and alias alone.
        base = f"{self._line.url('/' + '/'.join(model.id.split('/')[:2]))}/requests/{id}"
        urls = {
            "status": str(told.get("status_url") or f"{base}/status"),
            "result": str(told.get("response_url") or base),
            "cancel": str(told.get("cancel_url") or f"{base}/cancel"),
        }
        took = self._transport.clock() - began
        return Ticket(id, urls, model.id, len(call.seeds), call_micro(model, call), call.seeds, seconds=took)

    async def collect(self, ticket: Ticket, deadline: float, on_state: Callable[[str], None] | None = None) -> Result:
        rhythm = Rhythm(self._transport, self._line.title, ticket, deadline, on_state)
        while (well := await self._done(ticket, deadline, rhythm)) is None:
            await rhythm.wait()
        made = await self._made(ticket, deadline, well)
        urls = [str(image.get("url")) for image in made["images"]]
        flags = [flag is True for flag in made.get("has_nsfw_concepts") or []]
        if len(flags) >= len(urls) and all(flags[: len(urls)]):
            billed = billed_for(ticket, len(urls))
            what = f"{self._line.title} refused the content."
            raise CloudError(
                "moderation", what, "Its safety checker flagged every picture.", "Change the prompt.",
                sent="yes", request_id=ticket.request_id, billed_micro=billed,
            )  # fmt: skip
        shots = await self._line.fetched(urls, deadline, ticket)
        return result(ticket, shots, rhythm.seconds, len(urls), flags)

    async def cancel(self, ticket: Ticket) -> bool:
        deadline = self._transport.clock() + CHECK_SECONDS
        try:
            answer = await self._line.ask(
                "PUT", ticket.urls["cancel"], deadline, _any_below_500(self._line), request_id=ticket.request_id, tries=3
            )
        except CloudError:
            return False
        return answer.table().get("status") == "OK"  # CANCELLATION_REQUESTED may well be drawn, and charged, to its end

    async def check(self) -> Checked:
        """Asks for a request that does not exist: a good key is told that there is none."""
        model = next(iter(self._provider.models))
        url = self._line.url(f"/{'/'.join(model.split('/')[:2])}/requests/{uuid4()}/status")

        def explain(answer: Answer) -> CloudError | None:
            return None if answer.status in (200, 202, 404, 422) else self._submitted(answer)

        try:
            await self._line.ask("GET", url, self._transport.clock() + CHECK_SECONDS, explain, tries=2)
        except CloudError as error:
            return Checked(False, str(error))
        return Checked(True, f"{self._line.title} accepts the key.")

    async def aclose(self) -> None: ...

    # Reading.

    def _submitted(self, answer: Answer) -> CloudError | None:
        if answer.status == 403 and any(word in words_of(answer.json()).lower() for word in LOCKED):
            return self._line.refusal(answer, "quota")
        if answer.status in (200, 201, 202) and not answer.table().get("request_id"):
            return self._line.refusal(answer, "bug", "maybe")
        if answer.status >= 500 and answer.headers.get("x-fal-retryable", "").lower() == "true":
            return self._line.refusal(answer, sent="no")
        return self._line.explained(answer)

    async def _done(self, ticket: Ticket, deadline: float, rhythm: Rhythm) -> bool | None:
        """Whether it ended well; None while it has not ended."""
        answer = await self._line.ask("GET", ticket.urls["status"], deadline, self._polled, request_id=ticket.request_id)
        told = answer.table()
        match told.get("status"):
            case "COMPLETED":
                return not told.get("error")
            case "IN_QUEUE":
                ahead = told.get("queue_position")
                rhythm.say(f"queued, {ahead} ahead" if ahead else "queued")
            case "IN_PROGRESS":
                rhythm.say("drawing")
            case other:
                rhythm.say(str(other).lower()[:40])
        return None

    def _polled(self, answer: Answer) -> CloudError | None:
        if answer.status == 403 and any(word in words_of(answer.json()).lower() for word in LOCKED):
            return self._line.refusal(answer, "quota")
        return self._line.polled(answer)

    async def _made(self, ticket: Ticket, deadline: float, well: bool) -> dict[str, Any]:
        """The model's answer, which is its error where it failed. Raises CloudError."""
        try:
            answer = await self._line.ask("GET", ticket.urls["result"], deadline, self._read, request_id=ticket.request_id)
        except CloudError as error:
            if error.kind == "expired" and well:  # drawn, charged, and no longer kept
                error.billed_micro = billed_for(ticket, ticket.count)
            raise
        if answer.status >= 400:
            raise self._failed(answer, ticket)
        told = answer.table()
        images = told.get("images")
        if not isinstance(images, list) or not images or not all(isinstance(image, dict) for image in images):
            raise self._line.nothing(ticket)
        return told

    def _read(self, answer: Answer) -> CloudError | None:
        """A gateway's trouble comes again; the model's own error is the answer, as fal marks it."""
        if answer.status in (404, 410):
            return self._line.refusal(answer, "expired")
        if answer.status in (401, 402, 403, 429):
            return self._submitted(answer)
        if answer.status >= 400 and (answer.table().get("detail") and (answer.status < 500 or "x-fal-request-id" in answer.headers)):
            return None
        return self._line.explained(answer)

    def _failed(self, answer: Answer, ticket: Ticket) -> CloudError:
        detail = answer.table().get("detail")
        kinds = [str(entry.get("type")) for entry in detail if isinstance(entry, dict)] if isinstance(detail, list) else []
        kinds.append(answer.headers.get("x-fal-error-type", ""))
        said = words_of(answer.json())
        kind: Kind
        billed: int | None = 0
        if any(one in REFUSED for one in kinds) or refused_content(said):
            kind, billed = "moderation", None
        elif answer.status >= 500 or answer.status in (408, 499):
            kind = "capacity"
        else:
            kind, billed = "validation", None
        error = self._line.refusal(answer, kind, "yes")
        error.request_id, error.billed_micro, error.final = ticket.request_id, billed, True
        return error


def _any_below_500(line: Line) -> Callable[[Answer], CloudError | None]:
    return lambda answer: None if answer.status < 500 and answer.status != 429 else line.refusal(answer)
