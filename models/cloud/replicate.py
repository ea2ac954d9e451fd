"""Replicate: predictions. Made without `Prefer: wait`, so that an id is here before anything is waited for.

Flagged pictures are left out of the list; where all are, the prediction fails. It charges by the output picture: for none, nothing; an
aborted prediction (its `Cancel-After` ran out before it began) is free, and so is one that was cancelled before it started; one that was
cancelled while it ran is charged. It lists its predictions, newest first: there a submit is found whose answer was lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from models.cloud.answers import Answer, refused_content, sentence, words_of
from models.cloud.catalogue import CloudModel, Provider, call_micro, nearest_ratio, sized
from models.cloud.engine import CHECK_SECONDS, Line, Rhythm, billed_for, pictures_of, result, seed_of
from models.cloud.spec import Call, Checked, CloudError, Result, Ticket
from models.cloud.transport import Transport

STATES = {"starting": "starting", "processing": "drawing"}
OVER = ("succeeded", "failed", "canceled", "aborted")
LIST_PAGES = 20  # of a hundred each, that are looked through for a lost submit


def body_of(model: CloudModel, call: Call) -> tuple[str, dict[str, Any]]:
    """The path below the API's address and the body of a submit."""
    can = model.capabilities
    inputs: dict[str, Any] = {"prompt": call.prompt, **model.extra, **pictures_of(model, call)}
    if can.aspect_ratios:
        if call.strength is None:  # else it takes the shape of the picture that it starts from
            inputs["aspect_ratio"] = nearest_ratio(model, call.width, call.height)
    else:
        inputs["width"], inputs["height"] = sized(model, call.width, call.height)
    if call.strength is not None:
        inputs["prompt_strength"] = call.strength
    if call.steps is not None and can.steps:
        inputs["num_inference_steps"] = call.steps
    if call.guidance is not None and can.guidance:
        inputs["guidance"] = call.guidance
    if call.loras:
        inputs["lora_weights"], inputs["lora_scale"] = call.loras[0]
    if can.batch > 1:
        inputs["num_outputs"] = len(call.seeds)
    if can.seed:
        inputs["seed"] = seed_of(call)
    inputs["output_format"] = "png"
    body: dict[str, Any] = {"input": inputs}
    if call.webhook:
        body |= {"webhook": call.webhook, "webhook_events_filter": ["completed"]}
    return f"/v1/models/{model.id}/predictions", body


class ReplicateEngine:
    def __init__(self, provider: Provider, key: str, transport: Transport) -> None:
        self._line = Line(provider, transport, {"Authorization": f"Bearer {key}"})
        self._provider, self._transport = provider, transport

    async def submit(self, call: Call, deadline: float) -> Ticket:
        model = self._provider.model(call.model)
        began = self._transport.clock()
        call = await self._line.ready(call, model)
        path, body = body_of(model, call)
        # What nobody waits for any more ends by itself; whole minutes, one more than the deadline leaves.
        minutes = max(1, math.ceil((deadline - self._transport.clock()) / 60)) + 1
        headers = {"Cancel-After": f"{minutes}m"}
        answer = await self._line.order(path, body, deadline, self._submitted, headers=headers, seconds=self._transport.limits.try_)
        return self._ticket(answer.table(), model, call, self._transport.clock() - began)

    async def collect(self, ticket: Ticket, deadline: float, on_state: Callable[[str], None] | None = None) -> Result:
        rhythm = Rhythm(self._transport, self._line.title, ticket, deadline, on_state)
        while True:
            answer = await self._line.ask("GET", ticket.urls["status"], deadline, self._line.polled, request_id=ticket.request_id)
            told = answer.table()
            status = str(told.get("status"))
            if status in OVER:
                break
            rhythm.say(STATES.get(status, status[:40]))
            await rhythm.wait()
        if status != "succeeded":
            raise self._failed(status, told, ticket)
        urls = self._outputs(told, ticket)
        shots = await self._line.fetched(urls, deadline, ticket)
        return result(ticket, shots, rhythm.seconds, len(urls))

    async def cancel(self, ticket: Ticket) -> bool:
        deadline = self._transport.clock() + CHECK_SECONDS
        try:
            answer = await self._line.ask("POST", ticket.urls["cancel"], deadline, self._line.polled, request_id=ticket.request_id, tries=3)
        except CloudError:
            return False
        return answer.table().get("status") in ("canceled", "aborted")

    async def recorded(self, call: Call, since: float, until: float, known: Collection[str]) -> list[Ticket]:
        """Found by model, prompt and seed. The list has them at once; inputs are gone from it after an hour."""
        model = self._provider.model(call.model)
        wanted = body_of(model, call)[1]["input"]
        found = []
        for told in await self._listed(since):
            if str(told.get("id")) in known or told.get("model") != model.id or not since <= _moment(told) <= until:
                continue
            inputs = told.get("input")
            if told.get("data_removed") or not isinstance(inputs, dict) or not inputs:
                what = f"{self._line.title} no longer tells what it was asked for."
                raise CloudError("expired", what, "It keeps inputs for an hour.", sent="yes")
            if all(inputs.get(name) == wanted.get(name) for name in ("prompt", "seed")):
                found.append(self._ticket(told, model, call, 0.0))
        return found[::-1]

    async def _listed(self, since: float) -> list[dict[str, Any]]:
        """Predictions made since then, the newest first, and some that are older."""
        deadline = self._transport.clock() + CHECK_SECONDS
        url, found = self._line.url("/v1/predictions"), list[dict[str, Any]]()
        for _ in range(LIST_PAGES):
            told = (await self._line.ask("GET", url, deadline, self._line.polled, tries=3)).table()
            page = [one for one in told.get("results") or [] if isinstance(one, dict)]
            found += page
            url = str(told.get("next") or "")
            if not url or any(_moment(one) < since for one in page):
                return found
        raise CloudError("expired", f"{self._line.title} has taken too many requests since.", sent="yes")

    async def check(self) -> Checked:
        url = self._line.url("/v1/account")
        try:
            answer = await self._line.ask("GET", url, self._transport.clock() + CHECK_SECONDS, self._line.explained, tries=2)
        except CloudError as error:
            return Checked(False, str(error))
        who = words_of(answer.table().get("username") or "")
        return Checked(True, f"{self._line.title} accepts the key{f' of {who}' if who else ''}.")

    async def aclose(self) -> None: ...

    # Reading.

    def _ticket(self, told: dict[str, Any], model: CloudModel, call: Call, seconds: float) -> Ticket:
        id, urls = str(told["id"]), told.get("urls") or {}
        own = self._line.url(f"/v1/predictions/{id}")
        kept = {"status": str(urls.get("get") or own), "cancel": str(urls.get("cancel") or f"{own}/cancel")}
        return Ticket(id, kept, model.id, len(call.seeds), call_micro(model, call), call.seeds, seconds=seconds)

    def _submitted(self, answer: Answer) -> CloudError | None:
        if 200 <= answer.status < 300 and not answer.table().get("id"):
            return self._line.refusal(answer, "bug", "maybe")
        return self._line.explained(answer)

    def _failed(self, status: str, told: dict[str, Any], ticket: Ticket) -> CloudError:
        why = sentence(words_of(told.get("error") or ""))
        title, id = self._line.title, ticket.request_id
        if status == "failed" and refused_content(why):
            todo = "Change the prompt or the pictures."
            return CloudError("moderation", f"{title} refused the content.", why, todo, sent="yes", request_id=id, billed_micro=0)
        if status == "failed":
            what = f"{title} could not draw it."
            return CloudError("capacity", what, why, sent="yes", request_id=id, billed_micro=0, final=True)
        # What never started was not charged; what was cancelled while it ran is, for as much as was asked for.
        began = status == "canceled" and bool(told.get("started_at"))
        billed = billed_for(ticket, ticket.count) if began else 0
        what = f"{title} ended the request before it was drawn."
        why = why or ("It did not begin in time." if status == "aborted" else "It was cancelled.")
        return CloudError("capacity", what, why, sent="yes", request_id=id, billed_micro=billed, final=True)

    def _outputs(self, told: dict[str, Any], ticket: Ticket) -> list[str]:
        output = told.get("output")
        urls = [output] if isinstance(output, str) else output if isinstance(output, list) else []
        if not urls and told.get("data_removed"):
            made = (told.get("metrics") or {}).get("image_count")
            billed = billed_for(ticket, made) if isinstance(made, int) else None
            what, why = f"{self._line.title} no longer has the pictures.", "It keeps them for an hour."
            raise CloudError("expired", what, why, sent="yes", request_id=ticket.request_id, billed_micro=billed)
        if not urls or not all(isinstance(url, str) for url in urls):
            raise self._line.nothing(ticket)
        return urls


def _moment(told: dict[str, Any]) -> float:
    """When a prediction was made, in Unix seconds; long ago where it does not say."""
    try:
        return datetime.fromisoformat(str(told.get("created_at"))).timestamp()
    except ValueError:
        return 0.0
