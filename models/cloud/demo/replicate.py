"""Replicate's predictions: one resource with a status, output as a list or a string, errors as RFC 7807 has them, webhooks with an HMAC.

Faults of its own, besides those of every provider:
    nsfw           flagged pictures are left out of the list; with all of them the prediction fails
    output         `shape` "string" or "list", whatever the model usually gives
    aborted        its deadline passes before it starts; canceled: it is charged, and nothing comes
    data_removed, at "result"   input and output are no longer kept
"""
from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from models.cloud.demo.faults import Fault
from models.cloud.demo.inputs import Refusal, body_of, one_of, prompt_of, shown, whole
from models.cloud.demo.jobs import Job, Order, State
from models.cloud.demo.vendor import Demo, bearer
from models.cloud.demo.webhooks import ReplicateSigner
from models.cloud.demo.wire import Answer, Asked, as_json

RATIOS = {
    "1:1": (1024, 1024), "16:9": (1344, 768), "21:9": (1536, 640), "3:2": (1216, 832), "2:3": (832, 1216), "4:5": (896, 1088),
    "5:4": (1088, 896), "3:4": (896, 1152), "4:3": (1152, 896), "9:16": (768, 1344), "9:21": (640, 1536),
}  # fmt: skip
COMMON = {"prompt", "aspect_ratio", "seed", "output_format", "output_quality"}
OPEN = COMMON | {"num_outputs", "num_inference_steps", "go_fast", "megapixels", "disable_safety_checker"}
CLOSED = COMMON | {"safety_tolerance", "prompt_upsampling"}
STATUSES: dict[State, str] = {
    "queued": "starting", "running": "processing", "done": "succeeded", "failed": "failed", "canceled": "canceled", "aborted": "aborted",
}  # fmt: skip
LONGEST_WAIT = 60
PAGE = 100  # predictions in a list
LOW_RATE = 6  # predictions a minute, one at a time, of a customer with little credit


class ReplicateDemo(Demo):
    """low_credit_micro: below it only a few predictions are taken on."""

    name = "replicate"
    retry_header = False
    result_seconds = 3600.0
    low_credit_micro = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.signer = ReplicateSigner()

    def has_key(self, asked: Asked) -> bool:
        return bearer(asked, self.key) or bearer(asked, self.key, "Token")

    def says(self, kind: str, fault: Fault | None = None) -> Answer:
        match kind:
            case "unauthorized":
                return problem(401, "Unauthenticated", "You did not pass a valid authentication token")
            case "forbidden":
                return problem(403, "Forbidden", "You do not have permission to run this model.")
            case "quota":
                where = "https://replicate.com/account/billing#billing"
                words = f"You have insufficient credit to run this model. Go to {where} to purchase credit."
                return problem(402, "Insufficient credit", words)
            case "throttled":
                seconds = fault.get("seconds", 30) if fault else 30
                return problem(429, "Too Many Requests", f"Request was throttled. Your rate limit resets in ~{seconds}s.")
            case "missing":
                return as_json({"detail": "The requested resource could not be found.", "status": 404}, 404)
        status = fault.get("status", 500) if fault else 500
        return problem(status, "Service Unavailable" if status == 503 else "Internal server error", "An internal error occurred.")

    async def answer(self, asked: Asked) -> Answer:
        self.demand_key(asked)
        place = (asked.method, asked.path)
        if asked.method == "POST" and re.fullmatch(r"/v1/(models/[^/]+/[^/]+/)?predictions", asked.path):
            return await self.at("submit", asked, lambda fault: self._create(asked, fault))
        if place == ("GET", "/v1/account"):
            account = {"type": "user", "username": "demo", "name": "Demo", "github_url": None}
            return await self.at("check", asked, lambda _: as_json(account))
        if place == ("GET", "/v1/webhooks/default/secret"):
            return as_json({"key": self.signer.secret})
        if place == ("GET", "/v1/predictions"):
            return await self.at("list", asked, lambda _: self._list(int(asked.query.get("cursor", 0))))
        if place == ("POST", "/v1/files"):
            return await self.at("upload", asked, lambda _: self._upload(asked))
        if found := re.fullmatch(r"/v1/predictions/(\w+)(/cancel)?", asked.path):
            job = self.jobs.get(found[1])
            if job is None:
                return self.says("missing")
            if found[2] and asked.method == "POST":
                return await self.at("cancel", asked, lambda _: self._cancel(job))
            if asked.method == "GET":
                return await self.at(("poll", "result") if job.over else "poll", asked, lambda fault: self._get(job, fault))
        return self.says("missing")

    # Predictions.

    async def _create(self, asked: Asked, fault: Fault | None) -> Answer:
        body = body_of(asked)
        if asked.path == "/v1/predictions":
            model = str(body.get("version", "")).partition(":")[0]
        else:
            model = asked.path.removeprefix("/v1/models/").removesuffix("/predictions")
        if model not in self.models:
            if asked.path == "/v1/predictions":
                raise Refusal(problem(422, "Invalid version or not permitted", "The specified version does not exist (or perhaps you don't "
                                      "have permission to use it?)"))  # fmt: skip
            raise Refusal(self.says("missing"))
        given = body.get("input")
        order = self._read(model, given if isinstance(given, dict) else {})
        if fault is not None and fault.kind == "invalid":
            raise Refusal(wrong("prompt", "Invalid type. Expected: string, given: null"))
        self._admit_low()
        self.admit(order)
        hook = str(body.get("webhook") or body.get("webhook_completed") or "")
        job = self.begin(order, fault, hook, id=uuid4().hex[:26])
        job.notes |= {"input": given, "source": "api"}
        if after := asked.headers.get("cancel-after"):
            self.spawn(self._expire(job, _seconds(after)))
        if prefer := re.search(r"\bwait(?:=(\d+))?", asked.headers.get("prefer", "")):
            await self._wait(job, min(LONGEST_WAIT, int(prefer[1] or LONGEST_WAIT)))
        return as_json(self._view(job), 201 if job.over or not prefer else 202)

    def _list(self, start: int) -> Answer:
        """A page, the newest first."""
        jobs = list(self.jobs.values())[::-1]
        url = f"{self.base_url}/v1/predictions?cursor="
        after = f"{url}{start + PAGE}" if start + PAGE < len(jobs) else None
        before = f"{url}{max(0, start - PAGE)}" if start else None
        return as_json({"previous": before, "next": after, "results": [self._view(job) for job in jobs[start : start + PAGE]]})

    def _admit_low(self) -> None:
        if self.credit_micro is None or self.credit_micro >= self.low_credit_micro:
            return
        pause = 60 / LOW_RATE
        if self._recent and (since := self.clock.now() - self._recent[-1]) < pause:
            raise Refusal(self.says("throttled", Fault("throttled", seconds=max(1, round(pause - since)))))

    async def _wait(self, job: Job, seconds: float) -> None:
        """Until it is over, or the asker's patience is."""
        waits = [self.spawn(job.done.wait()), self.spawn(self.clock.sleep(seconds))]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await wait

    def _get(self, job: Job, fault: Fault | None) -> Answer:
        return as_json(self._view(job, removed=bool(fault and fault.kind == "data_removed"), odd=bool(fault and fault.kind == "unknown")))

    def _view(self, job: Job, removed: bool = False, odd: bool = False) -> dict[str, Any]:
        removed = removed or (job.over and self.clock.now() - job.ended > (self.result_seconds or 0))
        url = f"{self.foreign_url if job.has('foreign') else self.base_url}/v1/predictions/{job.id}"
        view = {
            "id": job.id,
            "model": job.order.model,
            "version": "hidden",
            "input": {} if removed else job.notes.get("input"),
            "logs": "",
            "output": None if removed else self._output(job),
            "data_removed": removed,
            "error": job.error,
            "status": "migrating" if odd or job.has("unknown") else STATUSES[job.state],
            "source": "api",
            "created_at": self.moment(job.created),
            "urls": {"get": url, "cancel": f"{url}/cancel", "web": f"https://replicate.com/p/{job.id}"},
        }
        if job.started:
            view["started_at"] = self.moment(job.started)
        if job.over:
            view["completed_at"] = self.moment(job.ended)
            view["metrics"] = {"predict_time": job.ended - (job.started or job.ended), "image_count": len(job.urls)}
        return view

    def _output(self, job: Job) -> Any:
        if job.state != "done":
            return None
        single = "kontext" in job.order.model or "-pro" in job.order.model
        if job.fault is not None and job.has("output"):
            single = job.fault.get("shape") == "string"
        if single:
            return job.urls[0] if job.urls else None
        return job.urls

    def _cancel(self, job: Job) -> Answer:
        if not job.over:
            if job.state == "running":
                self.bill(job, job.order.count)
            self.cancel(job)
        return as_json(self._view(job))

    async def _expire(self, job: Job, seconds: float) -> None:
        """The asker's deadline: free before the start, a cancelling after it."""
        await self.clock.sleep(seconds)
        if job.state == "queued":
            self.cancel(job, "aborted")
        elif not job.over:
            self._cancel(job)

    def finish(self, job: Job) -> None:
        fault = job.fault
        if fault and job.has("refused", "failed"):
            if fault.get("bills"):
                self.bill(job, job.order.count)
            refused = "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
            self.end(job, "failed", refused if fault.kind == "refused" else "Prediction interrupted; please retry (code: PA)")
        elif job.has("canceled"):
            self.bill(job, job.order.count)
            self.end(job, "canceled")
        elif job.has("aborted"):
            self.end(job, "aborted")
        elif (many := self.flag(job)) and many == len(job.pictures):
            self.end(job, "failed", "NSFW content detected. Try running it again, or try a different prompt.")
        else:
            # Those that it objects to are not in the list, and nobody pays for them.
            job.pictures = [data for data, flagged in zip(job.pictures, job.flagged, strict=True) if not flagged]
            super().finish(job)

    async def told(self, job: Job) -> None:
        if job.webhook:
            await self.signer.send(self, job.webhook, f"msg_{job.id}", self._view(job))

    # Inputs.

    def _read(self, model: str, given: dict[str, Any]) -> Order:
        name = model.rpartition("/")[2]
        single, kontext = "-pro" in name, "kontext" in name
        known = set(CLOSED if single else OPEN)
        if kontext:
            known |= {"input_image"}
        elif single:
            known |= {"image_prompt", "width", "height"}
        elif "dev" in name:
            known |= {"guidance", "image", "prompt_strength"}
        if "lora" in name:
            known |= {"lora_weights", "lora_scale", "extra_lora", "extra_lora_scale"}
        self.ignored += [f"{model}: {field}" for field in given if field not in known]

        ratio = one_of(given, "aspect_ratio", "1:1", (*RATIOS, "custom", "match_input_image") if single else RATIOS, wrong)
        width, height = RATIOS.get(ratio, RATIOS["1:1"])
        if ratio == "custom":
            width, height = whole(given, "width", 1024, 256, 1440, wrong), whole(given, "height", 1024, 256, 1440, wrong)
        if not single and one_of(given, "megapixels", "1", ("1", "0.25"), wrong) == "0.25":
            width, height = width // 2, height // 2
        if "lora" in name and (weights := given.get("lora_weights")) and urlsplit(weights).scheme not in ("http", "https", ""):
            raise Refusal(wrong("lora_weights", "Must be an address"))
        field = "input_image" if kontext else "image_prompt" if single else "image"
        urls = [given[field]] if field in known and given.get(field) else []
        return Order(
            model,
            prompt_of(given, wrong),
            width,
            height,
            whole(given, "num_inference_steps", self.models[model].default_steps, 1, 4 if "schnell" in name else 50, wrong),
            whole(given, "seed", len(self.jobs) * 7919 + 17, 0, 2**63 - 1, wrong),
            1 if single else whole(given, "num_outputs", 1, 1, 4, wrong),
            one_of(given, "output_format", "webp", ("webp", "jpg", "png"), wrong),
            len(shown(field, urls, self.stored, wrong)),
        )

    def _upload(self, asked: Asked) -> Answer:
        """One file of a multipart form."""
        boundary = asked.headers["content-type"].partition("boundary=")[2].strip('"').encode()
        part = next(part for part in asked.body.split(b"--" + boundary) if b'name="content"' in part)
        head, _, data = part.partition(b"\r\n\r\n")
        mime = found[1].decode() if (found := re.search(rb"(?i)content-type:\s*([^\r\n]+)", head)) else "application/octet-stream"
        data = data.removesuffix(b"\r\n")
        url, now = self.keep(data, mime), self.clock.now()
        file = {
            "id": uuid4().hex, "name": "content", "content_type": mime, "size": len(data), "etag": uuid4().hex, "checksums": {},
            "metadata": {}, "created_at": self.moment(now), "expires_at": self.moment(now + 86400), "urls": {"get": url},
        }  # fmt: skip
        return as_json(file, 201)


def problem(status: int, title: str, detail: str, **more: Any) -> Answer:
    said = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return as_json(said, status, {"content-type": "application/problem+json"})


def wrong(name: str, words: str) -> Answer:
    fields = [{"type": "invalid", "field": f"input.{name}", "description": words}]
    return problem(422, "Input validation failed", f"- input.{name}: {words}\n", invalid_fields=fields)


def _seconds(text: str) -> float:
    """"90", "30s", "1m", "1h30m"."""
    units = {"": 1, "s": 1, "m": 60, "h": 3600}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([smh]?)", text))
