"""An images endpoint in OpenAI's shape, by its base URL: vLLM-Omni, SGLang, LiteLLM. One call that answers when it has drawn.

Steps, guidance, seed and negative prompt are fields beside OpenAI's own, as vLLM-Omni names them. Pictures to go by are sent to the
endpoint for edits, as a form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.cloud.catalogue import CloudModel, Provider, sized
from models.cloud.engine import Line, seed_of
from models.cloud.spec import Call, Checked, Result, Ticket
from models.cloud.together import answered, collected, listed
from models.cloud.transport import Transport


def body_of(model: CloudModel, call: Call) -> tuple[str, dict[str, Any]]:
    """The path below the base URL and the body of the call; with pictures to go by, the fields of a form that `files_of` goes with."""
    can = model.capabilities
    width, height = sized(model, call.width, call.height)
    body: dict[str, Any] = {"model": model.id, "prompt": call.prompt, **model.extra, "n": len(call.seeds), "size": f"{width}x{height}"}
    if call.steps is not None and can.steps:
        body["num_inference_steps"] = call.steps
    if call.guidance is not None and can.guidance:
        body["guidance_scale"] = call.guidance
    if call.negative:
        body["negative_prompt"] = call.negative
    if can.seed:
        body["seed"] = seed_of(call)
    return ("/images/edits" if call.references else "/images/generations"), body | {"response_format": "b64_json"}


def files_of(call: Call) -> list[tuple[str, tuple[str, bytes, str]]] | None:
    """The call's pictures as files of a form, as OpenAI's own client names them; None where there are none."""
    field = "image" if len(call.references) == 1 else "image[]"
    named = [(f"{place}.{shown.mime.partition('/')[2]}", shown.data, shown.mime) for place, shown in enumerate(call.references, 1)]
    return [(field, file) for file in named] or None


class OpenAIEngine:
    def __init__(self, provider: Provider, key: str, transport: Transport) -> None:
        self._line = Line(provider, transport, {"Authorization": f"Bearer {key}"} if key else {})
        self._provider, self._transport = provider, transport

    async def submit(self, call: Call, deadline: float) -> Ticket:
        model = self._provider.model(call.model)
        began = self._transport.clock()
        call = await self._line.ready(call, model)
        path, body = body_of(model, call)
        cap = self._transport.limits.picture_bytes * len(call.seeds) * 4 // 3
        answer = await self._line.order(path, body, deadline, self._line.explained, cap=cap, files=files_of(call))
        return answered(answer, model, call, self._transport.clock() - began)

    async def collect(self, ticket: Ticket, deadline: float, on_state: Callable[[str], None] | None = None) -> Result:
        return await collected(self._line, ticket, deadline)

    async def cancel(self, ticket: Ticket) -> bool:
        return False

    async def check(self) -> Checked:
        return await listed(self._line, "/models")

    async def aclose(self) -> None: ...
