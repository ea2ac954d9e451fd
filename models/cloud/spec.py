"""What a provider is asked for, what it answers with, and how it fails: the words of the cloud.

No HTTP and no torch here: the page's process imports this module. Money is in whole micro-dollars ($1 = 1,000,000).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from models.cloud.keys import hide
from models.errors import StudioError

Kind = Literal["moderation", "validation", "quota", "auth", "throttled", "capacity", "expired", "bug"]
Sent = Literal["no", "maybe", "yes"]

# What trying the same thing at the same provider again cannot mend.
FINAL: frozenset[Kind] = frozenset({"moderation", "validation", "quota", "auth", "expired"})


@dataclass(frozen=True)
class Reference:
    """A picture that a provider is shown: an encoded file and its media type ("image/png", "image/jpeg", "image/webp")."""

    data: bytes = field(repr=False)
    mime: str


@dataclass(frozen=True)
class Call:
    """One submit. provider, model: their names in the catalogue.

    width, height: pixels; a model that takes aspect ratios or coarser multiples draws the nearest that it has (`catalogue.sized`).
    steps, guidance: None for the model's own. seeds: one a picture, 0 .. 2**63-1; as many pictures are drawn. references: pictures to
    go by, or, with a strength (0 < strength <= 1), the one to start from. loras: public address and weight of each. webhook: a public
    address that is told of the end, where the provider tells; it is never waited for.
    """

    provider: str
    model: str
    prompt: str
    width: int
    height: int
    seeds: tuple[int, ...]
    negative: str = ""
    steps: int | None = None
    guidance: float | None = None
    references: tuple[Reference, ...] = ()
    strength: float | None = None
    loras: tuple[tuple[str, float], ...] = ()
    webhook: str = ""


@dataclass(frozen=True)
class Ticket:
    """What a submit gave: enough to collect its pictures, in another process too. To be stored before the wait.

    request_id: the provider's. urls: "status", "result", "cancel", "polling", as far as the provider named them. model, count: what was
    asked for. price_micro: what it costs by the table of prices. billed_micro: what the provider says that it costs, None where it says
    nothing. pictures: the files themselves, of a provider that answers at once; no part of what is stored, so such a ticket cannot be
    collected after a restart. seconds: that the submit took.
    """

    request_id: str
    urls: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    count: int = 1
    price_micro: int = 0
    seeds: tuple[int, ...] = ()
    billed_micro: int | None = None
    pictures: tuple[bytes | None, ...] | None = field(default=None, repr=False)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """JSON-ready, without the pictures."""
        return {
            "request_id": self.request_id,
            "urls": dict(self.urls),
            "model": self.model,
            "count": self.count,
            "price_micro": self.price_micro,
            "seeds": list(self.seeds),
            "billed_micro": self.billed_micro,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ticket:
        return cls(
            request_id=data["request_id"],
            urls=dict(data["urls"]),
            model=data["model"],
            count=data["count"],
            price_micro=data["price_micro"],
            seeds=tuple(data["seeds"]),
            billed_micro=data["billed_micro"],
            seconds=data.get("seconds", 0.0),
        )


@dataclass(frozen=True)
class Drawn:
    """One picture, whole: it was decoded to its last pixel.

    seed: None where the provider did not say which of a batch's it is. flagged: the provider's safety checker objects to it (and may have
    blackened it); it is no delivery. width, height: pixels, which may differ from what was asked.
    """

    data: bytes = field(repr=False)
    mime: str
    seed: int | None
    flagged: bool = False
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Result:
    """What a call made, in the order of its seeds; None: this one was refused or is missing.

    billed_micro: what the provider said that it charged, else what its price list makes of the pictures that it made; None where neither
    tells. seconds: of the submit and of the collecting, to the last picture.
    """

    pictures: tuple[Drawn | None, ...]
    billed_micro: int | None
    seconds: float


@dataclass(frozen=True)
class Checked:
    """The answer to "does this key work?". words: for people. credit_micro: what is left there, None where the provider does not say."""

    ok: bool
    words: str
    credit_micro: int | None = None


class CloudError(StudioError):
    """A provider did not deliver.

    kind:
        moderation   the content was refused: never routed around
        validation   the provider does not take this call
        quota        no balance, or a locked account: the provider is out until somebody pays
        auth         the key is not accepted: the provider is out until its configuration changes
        throttled    too many calls; `retry_after` says when, where the provider did
        capacity     overloaded, down, out of reach, or no end before the deadline
        expired      the request or its pictures are no longer there
        bug          an answer that breaks the provider's own contract

    sent: "no": surely nothing was begun or billed; "maybe": it left this machine and no answer came (held, never blindly repeated); "yes":
    the provider took it. billed_micro: what it cost although nothing came of it, 0 where the provider says that such is free, None where
    nobody knows. final: the same call there again cannot help. retry_after: seconds.
    """

    def __init__(
        self,
        kind: Kind,
        what: str,
        why: str = "",
        todo: str = "",
        *,
        sent: Sent = "no",
        retry_after: float | None = None,
        request_id: str | None = None,
        billed_micro: int | None = None,
        final: bool | None = None,
    ) -> None:
        super().__init__(hide(what), hide(why), hide(todo))  # vendors repeat the key that they refuse
        self.kind: Kind = kind
        self.sent: Sent = sent
        self.retry_after = retry_after
        self.request_id = request_id
        self.billed_micro = 0 if sent == "no" and billed_micro is None else billed_micro
        self.final = kind in FINAL if final is None else final

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {
            "kind": self.kind,
            "sent": self.sent,
            "retry_after": self.retry_after,
            "request_id": self.request_id,
            "billed_micro": self.billed_micro,
            "final": self.final,
        }


class CloudEngine(Protocol):
    """One provider. `deadline` is a moment of the transport's monotonic clock; every method but `check` raises CloudError alone."""

    async def submit(self, call: Call, deadline: float) -> Ticket:
        """Orders pictures. Repeated by itself only where surely nothing was begun."""
        ...

    async def collect(self, ticket: Ticket, deadline: float, on_state: Callable[[str], None] | None = None) -> Result:
        """Waits for them and fetches them. Costs nothing and may be repeated, from another process too. on_state: told in a word or two
        what the provider is at ("queued, 3 ahead", "drawing"), each time that it changes."""
        ...

    async def cancel(self, ticket: Ticket) -> bool:
        """Whether the provider promised that nothing more will be made of it."""
        ...

    async def check(self) -> Checked:
        """Whether the key works, by a call that costs nothing."""
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class Recording(Protocol):
    """A provider that tells what it took of late, so that a submit whose answer was lost is found again."""

    async def recorded(self, call: Call, since: float, until: float, known: Collection[str]) -> list[Ticket]:
        """What it took between two Unix times that is like `call`, oldest first, without the requests of `known`. An empty list means
        that it took none. Raises CloudError, also where its record no longer tells."""
        ...
