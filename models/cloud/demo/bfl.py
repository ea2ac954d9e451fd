"""Black Forest Labs: a task with a cost in credits, polled at an address of its region, its picture behind a short-lived one.

Faults of its own, besides those of every provider:
    refused     `status` "Request Moderated" (default) or "Content Moderated", which was drawn and is charged; nsfw is the latter
    lost        the task is not found where it is polled
    sick, at "poll"    HTTP 503 with valid JSON: its `status` (default "Error", which ends it) as the body has it
    short       the picture's address lives `seconds` (0) only
    drift       `factor` times the estimate, in `cost` and on the bill
"""
from __future__ import annotations

from typing import Any
from uuid import uuid4

from models.cloud.demo.faults import Fault
from models.cloud.demo.inputs import Refusal, body_of, one_of, prompt_of, shown, whole
from models.cloud.demo.jobs import Job, Order
from models.cloud.demo.vendor import Demo
from models.cloud.demo.wire import Answer, Asked, as_json

CREDIT_MICRO = 10_000
COMMON = {"prompt", "seed", "output_format", "safety_tolerance", "webhook_url", "webhook_secret"}
FLUX3_SIDES = {"768sq": 768, "1k": 1024, "2k": 2048, "4k": 4096}
STATUSES = {"queued": "Pending", "running": "Pending", "done": "Ready", "failed": "Error"}


class BflDemo(Demo):
    name = "bfl"
    servers = ("api", "cdn", "foreign", "region")
    file_seconds = 600.0

    @property
    def region_url(self) -> str:
        """Where tasks are polled: another host of BFL's."""
        return self._listeners["region"].url

    @property
    def more_hosts(self) -> tuple[str, ...]:
        return (self.region_url.partition("://")[2],)

    def has_key(self, asked: Asked) -> bool:
        return asked.headers.get("x-key") == self.key

    def says(self, kind: str, fault: Fault | None = None) -> Answer:
        match kind:
            case "unauthorized":
                return as_json({"detail": "Not authenticated - Invalid Authentication"}, 403)
            case "forbidden":
                return as_json({"detail": "Access to this model is not permitted."}, 403)
            case "quota":
                return as_json({"detail": "Insufficient credits. Please purchase more at https://api.bfl.ai."}, 402)
            case "throttled":
                return as_json({"detail": "Too many active tasks. Please wait for them to finish."}, 429)
            case "missing":
                return as_json({"detail": "Not Found"}, 404)
        status = fault.get("status", 500) if fault else 500
        return as_json({"detail": "Service temporarily unavailable." if status == 503 else "Internal server error"}, status)

    async def answer(self, asked: Asked) -> Answer:
        self.demand_key(asked)
        if (asked.method, asked.path) == ("GET", "/v1/credits"):
            return await self.at("check", asked, lambda _: as_json({"credits": self._credits()}))
        if (asked.method, asked.path) == ("GET", "/v1/get_result"):
            job = self.jobs.get(asked.query.get("id", ""))
            moments = ("poll", "result") if job and job.over else ("poll",)
            return await self.at(moments, asked, lambda fault: self._poll(asked.query.get("id", ""), job, fault))
        if asked.method == "POST" and asked.path.startswith("/v1/"):
            return await self.at("submit", asked, lambda fault: self._submit(asked, fault))
        return self.says("missing")

    def _credits(self) -> float:
        return 12_345.0 if self.credit_micro is None else self.credit_micro / CREDIT_MICRO

    def _submit(self, asked: Asked, fault: Fault | None) -> Answer:
        model = asked.path.removeprefix("/v1/")
        if model not in self.models:
            raise Refusal(self.says("missing"))
        order = self._read(model, body_of(asked))
        if fault is not None and fault.kind == "invalid":
            raise Refusal(wrong("prompt", "Input should be a valid string"))
        if self.concurrency is not None and self.active >= self.concurrency:
            raise Refusal(self.says("throttled"))
        self.admit(order)
        job = self.begin(order, fault)
        job.notes["micro"] = self.price_micro(order, 1)
        if fault is not None and fault.kind == "drift":
            job.notes["micro"] = int(job.notes["micro"] * fault.get("factor", 2))
        base = self.foreign_url if job.has("foreign") else self.region_url
        megapixels = round(order.width * order.height / 2**20, 3)
        return as_json({
            "id": job.id, "polling_url": f"{base}/v1/get_result?id={job.id}", "cost": job.notes["micro"] / CREDIT_MICRO,
            "input_mp": float(order.references), "output_mp": megapixels,
        })  # fmt: skip

    def _poll(self, id: str, job: Job | None, fault: Fault | None) -> Answer:
        view: dict[str, Any] = {"id": id, "status": "Task not found", "result": None, "progress": None, "details": None}
        if job is None or job.has("lost") or (fault and fault.kind == "lost"):
            return as_json(view, 404)
        if fault and fault.kind == "sick":
            return as_json(view | {"status": fault.get("status", "Error"), "details": {"error": "the task failed"}}, 503)
        view["status"] = STATUSES.get(job.state, "Error")
        if "flux-3" in job.order.model and not job.over:
            view["status"] = "Reasoning" if job.state == "queued" else "Generating"
        if job.has("unknown") or (fault and fault.kind == "unknown"):
            view["status"] = "Rescheduled"
        elif job.error is not None:
            view |= job.error
        elif job.state == "done":
            # With the fault "empty" it is ready, and has nothing to show.
            view["result"] = {
                "sample": job.urls[0], "prompt": job.order.prompt, "seed": job.order.seed, "start_time": job.started, "end_time": job.ended,
                "duration": job.ended - job.started,
            } if job.urls else {}  # fmt: skip
        return as_json(view)

    def finish(self, job: Job) -> None:
        fault = job.fault
        if fault and job.has("refused", "nsfw", "failed"):
            status = fault.get("status", {"refused": "Request Moderated", "nsfw": "Content Moderated"}.get(fault.kind, "Error"))
            if fault.get("bills", status == "Content Moderated"):
                self.bill(job, 1, job.notes["micro"])
            why = {"error": "the task failed"} if fault.kind == "failed" else {"Moderation Reasons": ["Derivative Works Filter"]}
            self.end(job, "failed", {"status": status, "details": why})
            return
        seconds = fault.get("seconds", 0.0) if fault and job.has("short") else None
        job.urls = [self.keep(data, job.order.format, seconds) for data in job.pictures]
        self.bill(job, len(job.pictures), job.notes["micro"] if job.pictures else 0)

    # Inputs: an unknown field is an error here.

    def _read(self, model: str, body: dict[str, Any]) -> Order:
        sized, tiered, kontext = "flux-2" in model or model == "flux-pro-1.1", "flux-3" in model, "kontext" in model
        most = self.models[model].capabilities.references
        names = ["input_image", *(f"input_image_{index}" for index in range(2, most + 1))] if "flux-2" in model or kontext else []
        known = COMMON | set(names)
        if sized:
            known |= {"width", "height"}
        if "flux-2-flex" in model:
            known |= {"steps", "guidance", "prompt_upsampling"}
        if kontext:
            known |= {"aspect_ratio", "prompt_upsampling"}
        if "1.1" in model:
            known |= {"image_prompt", "prompt_upsampling"}
        if "ultra" in model:
            known |= {"aspect_ratio", "raw", "image_prompt_strength"}
        if tiered:
            known = (COMMON - {"seed"}) | {"images", "aspect_ratio", "resolution"}
        if strange := [name for name in body if name not in known]:
            raise Refusal(wrong(strange[0], "Extra inputs are not permitted", "extra_forbidden"))

        width, height = self._size(model, body, sized, tiered)
        urls = body.get("images") or [] if tiered else [body[name] for name in (*names, "image_prompt") if body.get(name)]
        # Pictures come as bare base64 too.
        urls = [url if str(url).startswith(("data:", "http")) else f"data:image/png;base64,{url}" for url in urls]
        return Order(
            model,
            prompt_of(body, wrong),
            width,
            height,
            whole(body, "steps", self.models[model].default_steps, 1, 50, wrong),
            whole(body, "seed", len(self.jobs) * 7919 + 17, 0, 2**63 - 1, wrong),
            1,
            one_of(body, "output_format", "jpeg", ("jpeg", "png", "webp") if "flux-2" in model or tiered else ("jpeg", "png"), wrong),
            len(shown("input_image", urls, self.stored, wrong)),
        )

    def _size(self, model: str, body: dict[str, Any], sized: bool, tiered: bool) -> tuple[int, int]:
        step, low, high = (32, 256, 1440) if model == "flux-pro-1.1" else (16, 64, 4096)
        if sized:
            width, height = whole(body, "width", 1024, low, high, wrong), whole(body, "height", 1024, low, high, wrong)
            if width % step or height % step:
                raise Refusal(wrong("width" if width % step else "height", f"Input should be a multiple of {step}"))
            if width * height > 4 * 2**20:
                raise Refusal(wrong("width", "At most 4 megapixels are drawn"))
            return width, height
        across, colon, down = str(body.get("aspect_ratio") or "1:1").partition(":")
        if not (colon and across.isdecimal() and down.isdecimal() and 3 / 7 <= int(across) / int(down) <= 7 / 3):
            raise Refusal(wrong("aspect_ratio", "Input should be between 3:7 and 7:3"))
        side = FLUX3_SIDES[one_of(body, "resolution", "1k", FLUX3_SIDES, wrong)] if tiered else 2048 if "ultra" in model else 1024
        unit = (side * side / (int(across) * int(down))) ** 0.5
        return round(unit * int(across)) // 16 * 16, round(unit * int(down)) // 16 * 16


def wrong(name: str, words: str, kind: str = "value_error") -> Answer:
    return as_json({"detail": [{"loc": ["body", name], "msg": words, "type": kind, "ctx": {"id": uuid4().hex[:8]}}]}, 422)
