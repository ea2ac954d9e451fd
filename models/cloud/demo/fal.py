"""fal's queue: three states, failure as a COMPLETED that carries an error, results apart from statuses, webhooks signed with Ed25519.

The queue takes every input; what the model refuses comes with the result. Faults of its own, besides those of every provider:
    invalid, refused, nsfw   `bills=True`: a 422 that is charged all the same
    failed                   `shape` "model" (default) or "infrastructure"
    gone, at "result"        the result is no longer kept
    unfinished, at "cancel"  already completed, whatever is true
"""
from __future__ import annotations

import asyncio
import json
from typing import Any

from models.cloud.demo import pictures
from models.cloud.demo.fal_inputs import Inputs
from models.cloud.demo.faults import Fault
from models.cloud.demo.inputs import Refusal, body_of
from models.cloud.demo.jobs import Job, Order
from models.cloud.demo.vendor import Demo, bearer
from models.cloud.demo.webhooks import FalSigner
from models.cloud.demo.wire import Answer, Asked, as_json


class FalDemo(Demo):
    """`run_url` answers at once, as fal.run does; `rest_url` takes uploads and shows the keys of webhooks."""

    name = "fal"
    servers = ("api", "cdn", "foreign", "run", "rest")
    result_seconds = 3600.0
    large_seconds, large = 360.0, 10_000  # results of so many bytes are kept for less long

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.signer = FalSigner()
        self._slots = asyncio.Semaphore(self.concurrency or 1_000_000)
        self._waiting: list[str] = []

    @property
    def run_url(self) -> str:
        return self._listeners["run"].url

    @property
    def rest_url(self) -> str:
        return self._listeners["rest"].url

    def has_key(self, asked: Asked) -> bool:
        return bearer(asked, self.key, "Key")

    def says(self, kind: str, fault: Fault | None = None) -> Answer:
        match kind:
            case "unauthorized":
                return as_json({"detail": "Authentication is required to access this application."}, 401)
            case "forbidden":
                return as_json({"detail": "You are not allowed to access this application."}, 403)
            case "quota":
                words = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."
                return as_json({"detail": words}, 403)
            case "throttled":
                return as_json({"detail": "Too many requests. Please slow down."}, 429)
            case "missing":
                return as_json({"detail": "Request not found"}, 404)
        status = fault.get("status", 500) if fault else 500
        kind = "runner_scheduling_failure" if status == 503 else "internal_server_error"
        return infrastructure(status, "Internal Server Error" if status == 500 else "No runner is available.", kind)

    async def answer(self, asked: Asked) -> Answer:
        if asked.server == "rest" and asked.path == "/.well-known/jwks.json":
            return as_json(self.signer.jwks())
        if asked.method in ("POST", "PUT") and asked.path.startswith(("/files/", "/storage/")):
            return await self.at("upload", asked, lambda _: self._upload(asked))
        self.demand_key(asked)
        if asked.server == "run" and asked.method == "POST":
            return await self.at("submit", asked, lambda fault: self._run(asked, fault))
        model, marker, rest = asked.path.strip("/").partition("/requests/")
        if asked.method == "POST" and not marker:
            return await self.at("submit", asked, lambda fault: self._submit(asked, fault))
        id, _, what = rest.partition("/")
        job = self._kept(model, id)
        if asked.method == "GET" and what == "status":
            return await self.at("poll" if job else "check", asked, lambda fault: self._status(job, asked, fault))
        if asked.method == "GET" and not what:
            return await self.at("result", asked, lambda fault: self._result(job, fault))
        if asked.method == "PUT" and what == "cancel":
            return await self.at("cancel", asked, lambda fault: self._cancel(job, fault))
        return as_json({"detail": "Not Found"}, 404)

    # The queue.

    def _submit(self, asked: Asked, fault: Fault | None) -> Answer:
        job = self._take(asked, fault)
        return as_json({"status": "IN_QUEUE", "request_id": job.id, **self._urls(job), "queue_position": self._place(job)})

    async def _run(self, asked: Asked, fault: Fault | None) -> Answer:
        job = self._take(asked, fault)
        await job.done.wait()
        return self._result(job, None)

    def _take(self, asked: Asked, fault: Fault | None) -> Job:
        model = asked.path.strip("/")
        if model not in self.models:
            raise Refusal(as_json({"detail": f"Application '{model.rpartition('/')[2]}' not found"}, 404))
        body = body_of(asked)
        inputs = Inputs(model, body, self.models[model].default_steps, len(self.jobs) * 7919 + 17, self.stored)
        order = inputs.order()
        self.ignored += [f"{model}: {name}" for name in body if name not in inputs.known()]
        self.admit(order)
        if inputs.wrong and fault is None:
            fault = Fault("invalid", detail=inputs.wrong)  # the queue takes it; the model says so when its turn comes
        job = self.begin(order, fault, asked.query.get("fal_webhook", ""))
        job.notes["inline"] = bool(body.get("sync_mode"))
        job.notes["seconds"] = self._lifecycle(asked)
        if limit := asked.headers.get("x-fal-request-timeout"):
            self.spawn(self._expire(job, float(limit)))
        self._waiting.append(job.id)
        return job

    def _urls(self, job: Job) -> dict[str, str]:
        # Of owner and alias alone: what the endpoint has behind them is left out.
        base = self.foreign_url if job.has("foreign") else self.base_url
        url = f"{base}/{'/'.join(job.order.model.split('/')[:2])}/requests/{job.id}"
        return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}

    def _place(self, job: Job) -> int:
        return self._waiting.index(job.id) if job.id in self._waiting else 0

    def _kept(self, model: str, id: str) -> Job | None:
        job = self.jobs.get(id)
        if job is None or not f"{job.order.model}/".startswith(f"{model}/"):
            return None
        if job.over:
            large = job.notes.get("inline") and sum(map(len, job.pictures)) >= self.large
            if self.clock.now() - job.ended > (self.large_seconds if large else self.result_seconds or 0):
                return None
        return job

    def _status(self, job: Job | None, asked: Asked, fault: Fault | None) -> Answer:
        if job is None:
            return self.says("missing")
        logs: list[object] | None = [] if asked.query.get("logs", "").lower() in ("1", "true") else None
        said: dict[str, Any] = {"request_id": job.id, **self._urls(job), "logs": logs}
        if job.has("unknown") or (fault and fault.kind == "unknown"):
            return as_json({"status": "REBALANCING", **said}, 202)
        if job.state == "queued":
            return as_json({"status": "IN_QUEUE", "queue_position": self._place(job), **said}, 202)
        if job.state == "running":
            return as_json({"status": "IN_PROGRESS", **said}, 202)
        said["metrics"] = {"inference_time": job.ended - job.started} if job.started else {}
        if job.error is not None:
            said |= {"error": job.error.words, "error_type": job.error.kind}
        return as_json({"status": "COMPLETED", **said})

    def _result(self, job: Job | None, fault: Fault | None) -> Answer:
        if job is None or (fault and fault.kind == "gone"):
            return self.says("missing")
        if not job.over:
            return as_json({"detail": "Request is still in progress"}, 400)
        answer: Answer = job.error.answer if job.error is not None else as_json(self._payload(job))
        return Answer(answer.status, answer.body, answer.headers | {"x-fal-request-id": job.id})

    def _payload(self, job: Job) -> dict[str, Any]:
        order = job.order
        images = [
            {"url": url, "width": order.width, "height": order.height, "content_type": pictures.FORMATS[order.format]} for url in job.urls
        ]
        took = job.ended - job.started
        return {
            "images": images, "timings": {"inference": took}, "seed": order.seed, "has_nsfw_concepts": job.flagged, "prompt": order.prompt,
        }  # fmt: skip

    def _cancel(self, job: Job | None, fault: Fault | None) -> Answer:
        if job is None:
            return as_json({"status": "NOT_FOUND"}, 404)
        if job.over or (fault and fault.kind == "unfinished"):
            return as_json({"status": "ALREADY_COMPLETED"}, 400)
        if job.state == "running":
            return as_json({"status": "CANCELLATION_REQUESTED"}, 202)  # and it may well be drawn, and charged, to its end
        self._forget(job)
        self.cancel(job, error=Failure(infrastructure(499, "The request was cancelled.", "client_cancelled")))
        return as_json({"status": "OK"}, 200)

    # Its turn and its end.

    async def turn(self, job: Job) -> None:
        await self._slots.acquire()
        self._forget(job)

    def end(self, job: Job, *arguments: Any, **options: Any) -> None:
        if job.state == "running":
            self._slots.release()
        super().end(job, *arguments, **options)

    def _forget(self, job: Job) -> None:
        if job.id in self._waiting:
            self._waiting.remove(job.id)

    async def _expire(self, job: Job, seconds: float) -> None:
        """The asker's limit: it bounds the wait for the start and nothing after it."""
        await self.clock.sleep(seconds)
        if job.state == "queued":
            self._forget(job)
            answer = infrastructure(504, "The request timed out before it started.", "request_timeout")
            answer.headers["x-fal-request-timeout-type"] = "user"
            self.cancel(job, "failed", Failure(answer))

    def finish(self, job: Job) -> None:
        fault, order = job.fault, job.order
        bills = bool(fault and fault.get("bills"))
        if fault and job.has("invalid", "refused", "failed"):
            if bills:
                self.bill(job, order.count)
            self.end(job, "failed", _failure(fault, order))
            return
        many = self.flag(job)
        for index in range(many):
            job.pictures[index] = pictures.black(order.width, order.height, order.format)
        seconds = job.notes["seconds"]
        if job.notes["inline"]:
            job.urls = [pictures.as_data_uri(data, order.format) for data in job.pictures]
        else:
            job.urls = [self.keep(data, order.format, seconds) for data in job.pictures]
        # What the checker blackened was drawn and is charged.
        self.bill(job, len(job.pictures))

    async def told(self, job: Job) -> None:
        if not job.webhook:
            return
        payload: dict[str, Any] = {"request_id": job.id, "gateway_request_id": job.id, "status": "OK", "error": None}
        if job.error is None:
            payload["payload"] = self._payload(job)
        else:
            payload |= {"status": "ERROR", "error": job.error.words, "payload": job.error.body}
        await self.signer.send(self, job.webhook, job.id, payload)

    # Inputs.

    def _lifecycle(self, asked: Asked) -> float | None:
        text = asked.headers.get("x-fal-object-lifecycle-preference")
        return json.loads(text).get("expiration_duration_seconds") if text else None

    def _upload(self, asked: Asked) -> Answer:
        """The three steps of fal-client: a token, a file straight to the CDN with it, or a file by way of an address of its own."""
        if asked.path == "/storage/auth/token":
            self.demand_key(asked)
            expires = self.moment(self.clock.now() + 3600).replace("Z", "+00:00")
            return as_json({"token": "demo-cdn-token", "token_type": "Bearer", "base_url": self.cdn_url, "expires_at": expires})
        if asked.path == "/storage/upload/initiate":
            self.demand_key(asked)
            body = body_of(asked)
            url = self.keep(b"", body.get("content_type", "application/octet-stream"))
            return as_json({"upload_url": url, "file_url": url})
        mime = asked.headers.get("content-type", "application/octet-stream")
        if asked.method == "PUT":
            if asked.path not in self._files:
                return self.says("missing")
            self._files[asked.path] = self._files[asked.path]._replace(data=asked.body, mime=mime)
            return Answer(200)
        if not bearer(asked, "demo-cdn-token"):
            return as_json({"detail": "Invalid token"}, 401)
        return as_json({"access_url": self.keep(asked.body, mime)})


class Failure:
    """How a request failed: `answer` is what a GET of its result says, `words` and `kind` what its status does."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.body = answer, json.loads(answer.body)
        detail = self.body["detail"]
        self.words = detail if isinstance(detail, str) else "; ".join(entry["msg"] for entry in detail)
        self.kind = answer.headers.get("x-fal-error-type") or detail[0]["type"]


def infrastructure(status: int, detail: str, kind: str) -> Answer:
    return as_json({"detail": detail, "error_type": kind}, status, {"x-fal-error-type": kind})


def _failure(fault: Fault, order: Order) -> Failure:
    if fault.kind == "failed":
        if fault.get("shape") == "infrastructure":
            return Failure(infrastructure(fault.get("status", 503), "The runner disconnected.", "runner_disconnected"))
        detail = [{"loc": ["body"], "msg": "Internal server error", "type": "internal_server_error", "input": {}}]
        return Failure(as_json({"detail": detail}, fault.get("status", 500), {"x-fal-retryable": "true"}))
    detail = fault.get("detail") or [{"loc": ["body", "prompt"], "msg": "Input is not valid", "type": "value_error", "input": order.prompt}]
    if fault.kind == "refused":
        message = "The content could not be processed because it contained material flagged by a content checker."
        detail = [{"loc": ["body", "prompt"], "msg": message, "type": "content_policy_violation", "input": order.prompt}]
    return Failure(as_json({"detail": detail}, 422, {"x-fal-retryable": "false"}))
