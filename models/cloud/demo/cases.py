"""Every fault that the providers' reference names, as something to go through: by provider and moment."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from models.cloud.demo.faults import LOST, Fault

Moment = Literal["before", "after", "polling", "downloading"]


@dataclass(frozen=True)
class Case:
    """moment: before a submit is taken on, after it was, while it is waited for, while its pictures are fetched."""

    name: str
    moment: Moment
    kind: str
    at: str
    times: int = 1
    details: Mapping[str, Any] = field(default_factory=dict)

    def fault(self) -> Fault:
        """A fresh one, for a demo's queue."""
        return Fault(self.kind, self.at, self.times, **self.details)


def cases(engine: str) -> tuple[Case, ...]:
    """What may befall a request at "fal", "replicate", "together", "bfl" or "openai". None of them lasts for longer than `times`
    requests, except where the job itself is spoilt. "hang", "trickle", "flood" and "stuck" end only by the asker's own limits."""
    queued, found = engine in ("fal", "replicate", "bfl"), [*_refused(), *_lost(), *_jobs(engine)]
    if queued:
        found += [*_wire("polling", "poll"), *_wire("downloading", "download")]
        found += [
            Case("expired 403", "downloading", "expired", "download", details={"status": 403}),
            Case("expired 404", "downloading", "expired", "download", details={"status": 404}),
            Case("expired for good", "downloading", "expired", "download", times=10_000, details={"status": 403}),
            Case("damaged", "downloading", "damaged", "download"),
            Case("damaged for good", "downloading", "damaged", "download", times=10_000),
            Case("polled abroad", "polling", "foreign", "submit"),
            Case("redirected poll", "polling", "redirect", "poll"),
            Case("redirected picture", "downloading", "redirect", "download"),
            Case("key taken away", "polling", "unauthorized", "poll"),
            Case("never drawn", "polling", "stuck", "submit"),
            Case("never finished", "polling", "stuck", "submit", details={"state": "running"}),
            Case("a state nobody knows", "polling", "unknown", "poll", times=2),
            Case("no state anybody knows", "polling", "unknown", "submit"),
        ]
    return tuple(found + _own(engine))


def _refused() -> list[Case]:
    """Nothing is begun."""
    plain = {"accepted": False}
    return [
        Case("throttled, seconds", "before", "throttled", "submit", details={"retry_after": 1, "seconds": 1}),
        Case("throttled, date", "before", "throttled", "submit", details={"retry_after": "date", "seconds": 1}),
        Case("throttled, no word when", "before", "throttled", "submit", details={"seconds": 1}),
        Case("throttled for good", "before", "throttled", "submit", times=10_000, details={"seconds": 1}),
        *(Case(f"error {status}", "before", "error", "submit", details={"status": status}) for status in (500, 502, 503, 504)),
        Case("error 503 for good", "before", "error", "submit", times=10_000, details={"status": 503}),
        Case("reset before it began", "before", "reset", "submit", details=plain),
        Case("hangs before it began", "before", "hang", "submit", details=plain),
        Case("redirected submit", "before", "redirect", "submit"),
        *(Case(kind, "before", kind, "submit") for kind in ("unauthorized", "forbidden", "quota")),
    ]


def _lost() -> list[Case]:
    """It is drawn and billed, and the answer does not come as it should."""
    broken = [{"accepted": True, "status": status} for status in (500, 502, 504)]
    return [
        *(Case(f"{kind} after it began", "after", kind, "submit", details={"pace": 1.0}) for kind in LOST),
        *(Case(f"error {details['status']} after it began", "after", "error", "submit", details=details) for details in broken),
    ]


def _wire(moment: Moment, at: str) -> list[Case]:
    return [
        *(Case(f"{kind} at {at}", moment, kind, at, details={"pace": 1.0}) for kind in LOST),
        *(Case(f"error {status} at {at}", moment, "error", at, details={"status": status}) for status in (500, 502, 503, 504)),
        Case(f"throttled at {at}", moment, "throttled", at, details={"retry_after": 1, "seconds": 1}),
    ]


def _jobs(engine: str) -> list[Case]:
    own = [
        Case("refused", "after", "refused", "submit"),
        Case("flagged", "after", "nsfw", "submit"),
        Case("invalid", "after" if engine == "fal" else "before", "invalid", "submit"),
        Case("failed", "after", "failed", "submit"),
        Case("empty", "after", "empty", "submit"),
        Case("slow", "after", "slow", "submit", details={"seconds": 0.5}),
    ]
    return own if engine in ("fal", "replicate", "bfl") else [*own, Case("never answers", "after", "stuck", "submit")]


def _own(engine: str) -> list[Case]:
    match engine:
        case "fal":
            return [
                Case("invalid, and billed", "after", "invalid", "submit", details={"bills": True}),
                Case("refused, and billed", "after", "refused", "submit", details={"bills": True}),
                Case("failed in the infrastructure", "after", "failed", "submit", details={"shape": "infrastructure"}),
                Case("one of two flagged", "after", "nsfw", "submit", details={"count": 1}),
                Case("result gone", "polling", "gone", "result", times=10_000),
                Case("result resets", "polling", "reset", "result"),
                Case("result throttled", "polling", "throttled", "result", details={"retry_after": 1}),
                Case("result 502", "polling", "error", "result", details={"status": 502}),
            ]
        case "replicate":
            return [
                Case("one of two flagged", "after", "nsfw", "submit", details={"count": 1}),
                Case("output is a string", "after", "output", "submit", details={"shape": "string"}),
                Case("aborted", "polling", "aborted", "submit"),
                Case("canceled", "polling", "canceled", "submit"),
                Case("data removed", "polling", "data_removed", "result", times=10_000),
            ]
        case "bfl":
            return [
                Case("content moderated", "after", "refused", "submit", details={"status": "Content Moderated"}),
                Case("task lost", "polling", "lost", "submit"),
                Case("task lost for a moment", "polling", "lost", "poll"),
                Case("503 with JSON", "polling", "sick", "poll", times=10_000),
                Case("503 with JSON that is pending", "polling", "sick", "poll", details={"status": "Pending"}),
                Case("cost is twice the estimate", "after", "drift", "submit"),
                Case("short address", "downloading", "short", "submit"),
            ]
    return [
        Case("fewer pictures", "after", "fewer", "submit"),
        Case("base64 cut short", "after", "truncated", "submit"),
    ]
