"""What comes after a call that failed: the same again, somebody else, waiting for what may have been begun, or an end. Pure decisions.

A refused content or a refused request ends it: nobody else is asked to draw what one has refused. What surely was not begun goes elsewhere
at no risk. What may have been begun is never blindly repeated: with a request id it is collected; without one its reservation is held,
and somebody else is asked only if the budget covers both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from models.cloud.spec import Kind, Sent
    from pipelines.routepolicy import Policy

# "resume": collect it by its request id. "elsewhere": ask the router again, with this provider in `Ask.avoid` if `Next.avoid`. "hold": no
# second request, a person or the provider's record decides. "stop": the candidates are given up, and the error is told.
Go = Literal["resume", "elsewhere", "hold", "stop"]
# What becomes of the reservation: given back, settled at what the provider billed, or held as uncertain; "keep": it stays submitted.
Charge = Literal["release", "settle", "hold", "keep"]


@dataclass(frozen=True)
class Next:
    """avoid: this provider is not asked for these candidates again. words: for the job, in a few words."""

    go: Go
    charge: Charge
    avoid: bool = False
    words: str = ""


def after(
    kind: Kind,
    sent: Sent,
    request_id: str | None,
    billed_micro: int | None,
    *,
    attempts: int,
    paid: int,
    covered: bool,
    policy: Policy,
    final: bool = False,
) -> Next:
    """kind, sent, request_id, billed_micro, final: of the CloudError. attempts: calls that failed for these candidates, this one included;
    paid: those among them, before this one, that were billed or may have been. covered: whether the budget allows as much again while
    this reservation is held."""
    charge = _charge(sent, billed_micro)
    if kind in ("moderation", "validation"):
        return Next("stop", charge, words="the provider refused it, and nobody else is asked")
    if charge == "hold" and request_id is not None and not final and kind in ("capacity", "throttled", "bug"):
        return Next("resume", "keep", words="no answer yet; it is asked for again by its number")
    # A limit passes, and whoever is over it says when: that is no failure, and no reason not to ask there again.
    avoid = kind != "throttled"
    if avoid and attempts >= policy.attempts:
        return Next("stop", charge, words=f"{attempts} calls failed")
    if charge != "release" and paid + 1 >= policy.paid_attempts:
        return Next("stop", charge, words=f"{paid + 1} calls that gave nothing were billed, or may have been")
    if charge != "hold":
        return Next("elsewhere", charge, avoid)
    if covered:
        return Next("elsewhere", "hold", avoid, "it may have been drawn and cannot be fetched; both are reserved")
    return Next("hold", "hold", words="it may have been drawn, and the budget does not cover a second call")


def _charge(sent: Sent, billed_micro: int | None) -> Charge:
    if billed_micro is not None:
        return "settle" if billed_micro else "release"
    return "release" if sent == "no" else "hold"
