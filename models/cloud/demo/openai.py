"""OpenAI's images API as self-hosted servers speak it (vLLM-Omni, SGLang, LiteLLM): one call, with their fields for seed and steps.

Faults of its own, besides those of every provider: fewer, truncated, as Together has them.
"""
from __future__ import annotations

import base64
import re
from typing import Any

from models.cloud.demo import pictures
from models.cloud.demo.faults import Fault
from models.cloud.demo.inputs import Refusal, body_of, one_of, prompt_of, whole
from models.cloud.demo.jobs import Job, Order
from models.cloud.demo.vendor import Demo, bearer
from models.cloud.demo.wire import Answer, Asked, as_json

KNOWN = {
    "model", "prompt", "n", "size", "response_format", "output_format", "background", "quality", "style", "user", "moderation",
    "output_compression", "seed", "num_inference_steps", "guidance_scale", "true_cfg_scale", "negative_prompt",
}  # fmt: skip


class OpenAiDemo(Demo):
    name = "openai"
    path = "/v1"

    def has_key(self, asked: Asked) -> bool:
        return bearer(asked, self.key)

    def says(self, kind: str, fault: Fault | None = None) -> Answer:
        match kind:
            case "unauthorized":
                return refused(401, "Incorrect API key provided.", "invalid_request_error", code="invalid_api_key")
            case "forbidden":
                return refused(403, "Your organization must be verified to use this model.", "invalid_request_error", code="forbidden")
            case "quota":
                words = "You exceeded your current quota, please check your plan and billing details."
                return refused(429, words, "insufficient_quota", code="insufficient_quota")
            case "throttled":
                return refused(429, "Rate limit reached for images per minute.", "requests", code="rate_limit_exceeded")
            case "missing":
                return refused(404, "Not found.", "invalid_request_error")
        status = fault.get("status", 500) if fault else 500
        return refused(status, "The server is overloaded." if status == 503 else "The server had an error.", "server_error")

    async def answer(self, asked: Asked) -> Answer:
        self.demand_key(asked)
        place = (asked.method, asked.path)
        if place == ("POST", "/v1/images/generations"):
            return await self.at("submit", asked, lambda fault: self._generate(body_of(asked), [], fault))
        if place == ("POST", "/v1/images/edits"):
            return await self.at("submit", asked, lambda fault: self._generate(*_form(asked), fault))
        if place == ("GET", "/v1/models"):
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "demo"} for name in self.models]
            return await self.at("check", asked, lambda _: as_json({"object": "list", "data": models}))
        return self.says("missing")

    async def _generate(self, body: dict[str, Any], images: list[bytes], fault: Fault | None) -> Answer:
        order = self._read(body, images)
        if fault is not None and fault.kind == "invalid":
            raise Refusal(wrong("size", "Invalid value"))
        self.admit(order)
        job = self.begin(order, fault)
        await job.done.wait()
        if job.error is not None:
            answer: Answer = job.error
            return answer
        links = body.get("response_format") == "url"
        data = [self._datum(job, index, links) for index in range(len(job.pictures))]
        return as_json({"created": int(self.clock.now()), "output_format": order.format, "data": data})

    def _datum(self, job: Job, index: int, link: bool) -> dict[str, Any]:
        if link:
            return {"url": job.urls[index]}
        text = base64.b64encode(job.pictures[index]).decode()
        if job.has("truncated") and index == len(job.pictures) - 1:
            text = text[: len(text) // 2 // 4 * 4]
        return {"b64_json": text}

    def finish(self, job: Job) -> None:
        fault = job.fault
        if fault and job.has("refused", "nsfw", "failed"):
            if fault.get("bills"):
                self.bill(job, job.order.count)
            words = "Your request was rejected as a result of our safety system."
            moderated = refused(400, words, "image_generation_user_error", code="moderation_blocked")
            broken = self.says("error", Fault("error", status=fault.get("status", 500)))
            self.end(job, "failed", broken if fault.kind == "failed" else moderated)
            return
        if fault and job.has("fewer"):
            del job.pictures[fault.get("count", job.order.count - 1) :]
        super().finish(job)

    def _read(self, body: dict[str, Any], images: list[bytes]) -> Order:
        model = body.get("model") or next(iter(self.models))
        if model not in self.models:
            raise Refusal(refused(404, f"The model `{model}` does not exist.", "invalid_request_error", "model", "model_not_found"))
        self.ignored += [f"{model}: {name}" for name in body if name not in KNOWN]
        size = re.fullmatch(r"(\d+)x(\d+)", str(body.get("size") or "1024x1024"))
        if not size or not all(64 <= int(side) <= 4096 for side in size.groups()):
            raise Refusal(wrong("size", f"Invalid value: {body.get('size')!r}"))
        for image in images:
            try:
                pictures.check(image)
            except ValueError as error:
                raise Refusal(wrong("image", str(error))) from None
        return Order(
            model,
            prompt_of(body, wrong),
            int(size[1]),
            int(size[2]),
            whole(body, "num_inference_steps", self.models[model].default_steps, 1, 100, wrong),
            whole(body, "seed", len(self.jobs) * 7919 + 17, 0, 2**63 - 1, wrong),
            whole(body, "n", 1, 1, 10, wrong),
            one_of(body, "output_format", "png", ("png", "jpeg", "webp"), wrong),
            len(images),
        )


def refused(status: int, message: str, type: str, param: str | None = None, code: str | None = None) -> Answer:
    return as_json({"error": {"message": message, "type": type, "param": param, "code": code}}, status)


def wrong(name: str, words: str) -> Answer:
    return refused(400, f"{name}: {words}", "invalid_request_error", name, "invalid_value")


def _form(asked: Asked) -> tuple[dict[str, Any], list[bytes]]:
    """Fields and pictures of a multipart form, numbers as numbers."""
    boundary = asked.headers.get("content-type", "").partition("boundary=")[2].strip('"').encode()
    if not boundary:
        raise Refusal(wrong("image", "The body is not a form."))
    fields: dict[str, Any] = {}
    images = []
    for part in asked.body.split(b"--" + boundary)[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        data = data.removesuffix(b"\r\n")
        name = found[1].decode() if (found := re.search(rb'name="([^"]*)"', head)) else ""
        if name.startswith("image"):
            images.append(data)
        else:
            text = data.decode()
            fields[name] = int(text) if re.fullmatch(r"-?\d+", text) else text
    return fields, images
