"""Together: one call that answers when it has drawn. No queue, no webhook, no cancel; who leaves before the end pays all the same.

Faults of its own, besides those of every provider (a submit has no state, so "stuck" is a call that never ends):
    fewer      `count` (one less than asked) pictures come
    truncated  the base64 of the last picture is cut
"""
from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

from models.cloud.demo.faults import Fault
from models.cloud.demo.inputs import Refusal, body_of, one_of, prompt_of, shown, whole
from models.cloud.demo.jobs import Job, Order
from models.cloud.demo.vendor import Demo, bearer
from models.cloud.demo.wire import Answer, Asked, as_json

KNOWN = {
    "model", "prompt", "steps", "seed", "n", "width", "height", "negative_prompt", "guidance_scale", "response_format", "output_format",
    "disable_safety_checker",
}  # fmt: skip
MOST_LORAS = 2


class TogetherDemo(Demo):
    name = "together"

    def has_key(self, asked: Asked) -> bool:
        return bearer(asked, self.key)

    def says(self, kind: str, fault: Fault | None = None) -> Answer:
        match kind:
            case "unauthorized":
                return refused(401, "Invalid API key provided. You can find your API key at https://api.together.ai/settings/api-keys.",
                               "invalid_request_error", code="invalid_api_key")  # fmt: skip
            case "forbidden":
                return refused(403, "This model is not available to your organization.", "access_denied")
            case "quota":
                return refused(402, "Credit limit exceeded. Please add credits to your account.", "credit_limit", code="credit_limit")
            case "throttled":
                words = "You have been rate limited. Your rate limit changes with your recent usage. Please try again later."
                return refused(429, words, "rate_limit", code="rate_limit_exceeded")
            case "missing":
                return refused(404, "Not found.", "not_found")
        status = fault.get("status", 500) if fault else 500
        if status == 503:
            return refused(503, "The server is overloaded or not ready yet.", "service_unavailable", code="overloaded")
        return refused(status, "Internal server error.", "server_error")

    async def answer(self, asked: Asked) -> Answer:
        self.demand_key(asked)
        if (asked.method, asked.path) == ("POST", "/v1/images/generations"):
            return await self.at("submit", asked, lambda fault: self._generate(asked, fault))
        if (asked.method, asked.path) == ("GET", "/v1/models"):
            return await self.at("check", asked, lambda _: as_json([self._listed(name) for name in self.models]))
        return self.says("missing")

    def _listed(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 0, "type": "image", "display_name": name, "organization": name.split("/")[0]}

    async def _generate(self, asked: Asked, fault: Fault | None) -> Answer:
        body = body_of(asked)
        order = self._read(body)
        if fault is not None and fault.kind == "invalid":
            raise Refusal(refused(422, "Input validation error", "invalid_request_error", "prompt"))
        self.admit(order)
        job = self.begin(order, fault, id=f"demo{len(self.jobs):05d}-4Yz6hd")
        await job.done.wait()
        if job.error is not None:
            answer: Answer = job.error
            return answer
        links = body.get("response_format") == "url"
        data = [self._datum(job, index, links) for index in range(len(job.pictures))]
        return as_json({"id": job.id, "model": order.model, "object": "list", "data": data})

    def _datum(self, job: Job, index: int, link: bool) -> dict[str, Any]:
        if link:
            return {"index": index, "type": "url", "url": job.urls[index]}
        text = base64.b64encode(job.pictures[index]).decode()
        if job.has("truncated") and index == len(job.pictures) - 1:
            text = text[: len(text) // 2 // 4 * 4]  # still base64, no longer a picture
        return {"index": index, "type": "b64_json", "b64_json": text}

    def finish(self, job: Job) -> None:
        fault = job.fault
        if fault and job.has("refused", "nsfw"):
            if fault.get("bills"):
                self.bill(job, job.order.count)
            words = "NSFW content detected in the prompt or the pictures. Please try another prompt."
            self.end(job, "failed", refused(422, words, "invalid_request_error", "prompt", "content_policy_violation"))
            return
        if fault and job.has("failed"):
            self.end(job, "failed", self.says("error", Fault("error", status=fault.get("status", 500))))
            return
        if fault and job.has("fewer"):
            del job.pictures[fault.get("count", job.order.count - 1) :]
        super().finish(job)

    def _read(self, body: dict[str, Any]) -> Order:
        model = body.get("model")
        if not isinstance(model, str) or model not in self.models:
            words = f"Unable to access model {model}. Please visit https://api.together.ai/models to view the list of supported models."
            raise Refusal(refused(404, words, "invalid_request_error", "model", "model_not_available"))
        known = KNOWN | ({"image_url"} if "kontext" in model else set())
        if "FLUX.2" in model:
            known |= {"reference_images", "image_loras"}
        self.ignored += [f"{model}: {name}" for name in body if name not in known]

        loras = body.get("image_loras") or [] if "FLUX.2" in model else []
        if len(loras) > MOST_LORAS or any(urlsplit(lora.get("path", "")).scheme not in ("http", "https") for lora in loras):
            raise Refusal(wrong("image_loras", f"takes {MOST_LORAS} public addresses at the most"))
        urls = [body["image_url"]] if "kontext" in model and "image_url" in body else body.get("reference_images") or []
        return Order(
            model,
            prompt_of(body, wrong),
            whole(body, "width", 1024, 64, 1792, wrong),
            whole(body, "height", 1024, 64, 1792, wrong),
            whole(body, "steps", self.models[model].default_steps, 1, 12 if "schnell" in model else 50, wrong),
            whole(body, "seed", len(self.jobs) * 7919 + 17, 0, 2**63 - 1, wrong),
            whole(body, "n", 1, 1, 4, wrong),
            one_of(body, "output_format", "jpeg", ("jpeg", "png"), wrong),
            len(shown("image_url", urls, self.stored, wrong)),
        )


def wrong(name: str, words: str) -> Answer:
    return refused(400, f"{name}: {words}", "invalid_request_error", name)


def refused(status: int, message: str, type: str, param: str | None = None, code: str | None = None) -> Answer:
    return as_json({"error": {"message": message, "type": type, "param": param, "code": code}}, status)
