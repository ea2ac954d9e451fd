"""How providers have been doing: latency and errors learned from real calls, newer ones counting more, and a breaker that opens when a
model of a provider fails and lets single probes through until one comes back.

Everything is a value: `observe` answers with the health after the call, and whoever holds it keeps that. Latencies are a decayed histogram
over buckets whose bounds grow by a fifth, so that the tail is measured and not supposed; the catalogue's first guess stands in it as a few
calls. The breaker is the one of Nygard, "Release It!" (2007): closed, open, half-open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Literal

from pipelines.route import ODDS_95, State
from pipelines.routepolicy import HealthPolicy

# What became of a call. "ok" and "refused" (moderation, validation: its own answer) show that the provider is well; "failed" (capacity,
# a bug, an answer that never came, a picture that expired) that it is not, and so does "late", once, of a call that is still under way;
# "throttled": alive, and over a limit; "disabled" (auth, quota): no use until somebody changes its configuration.
Outcome = Literal["ok", "refused", "failed", "late", "throttled", "disabled"]
SHORTEST, GROWTH, BUCKETS = 0.05, 1.2, 60  # seconds; the last bucket ends at 47 minutes
TRACE = 1e-4  # calls that count less are forgotten


@dataclass(frozen=True)
class View:
    """What an offer needs to know. seconds of a call; error_rate: 0..1; slots: calls that the breaker lets through, None: any number.
    resets_at: Unix seconds; None with health "open": only a change of the configuration helps."""

    seconds_p50: float
    seconds_p95: float
    error_rate: float
    health: State
    slots: int | None = None
    resets_at: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Health:
    """Of one model of one provider.

    at: Unix seconds that the sums are decayed to. latency: calls by bucket. calls, failed: all that ended well or badly. lately: the same
    two since the breaker last closed. in_row: failures in a row. until: when the open breaker lets a probe through, None: closed.
    cooldown: seconds that it was opened for. probing: when a probe began, None: none is under way.
    """

    at: float = 0.0
    latency: Mapping[int, float] = field(default_factory=dict)
    calls: float = 0.0
    failed: float = 0.0
    lately: tuple[float, float] = (0.0, 0.0)
    in_row: int = 0
    until: float | None = None
    cooldown: float = 0.0
    probing: float | None = None

    def observe(self, outcome: Outcome, seconds: float, now: float, policy: HealthPolicy) -> Health:
        """The health after a call that took `seconds` from submit to its picture, or to its failure."""
        if outcome in ("throttled", "disabled"):  # nothing is learned of the model; see `Standing`
            return replace(self, probing=None)
        if outcome == "late":
            # How it ends is counted when it does; but nobody else should be sent after it.
            return self._worse(now, policy)
        health = self._decayed(now, policy)
        bad = outcome == "failed"
        latency = dict(health.latency)
        if outcome == "ok":
            latency[_bucket(seconds)] = latency.get(_bucket(seconds), 0.0) + 1
        calls, failed = health.lately
        health = replace(health, latency=latency, calls=health.calls + 1, failed=health.failed + bad, lately=(calls + 1, failed + bad))
        return health._worse(now, policy) if bad else health._better(now)

    def began(self, now: float) -> Health:
        """A call has begun: in a half-open breaker it is the probe."""
        return self if self.until is None else replace(self, probing=now)

    def state(self, now: float) -> State:
        return "closed" if self.until is None else "open" if now < self.until else "half-open"

    def view(self, guess: tuple[float, float], now: float, policy: HealthPolicy) -> View:
        """guess: median and 95th percentile as long as nothing is known, in seconds."""
        state = self.state(now)
        weight = self._weight(now, policy)
        errors = (weight * self.failed + policy.prior * policy.prior_errors) / (weight * self.calls + policy.prior)
        middle, tail = self._quantiles((0.5, 0.95), guess, weight, policy.prior)
        probing = self.probing is not None and now < self.probing + policy.probe_seconds
        slots = None if state == "closed" else 0 if state == "open" or probing else 1
        why = "" if state == "closed" else "is being tried again" if state == "half-open" else "is left alone after failures"
        return View(middle, tail, errors, state, slots, self.until if state == "open" else None, why)

    def quantile(self, share: float, guess: tuple[float, float], now: float, policy: HealthPolicy) -> float:
        """Seconds that `share` (0..1) of the calls took at the most."""
        return self._quantiles((share,), guess, self._weight(now, policy), policy.prior)[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"latency": {str(bucket): calls for bucket, calls in self.latency.items()}, "lately": list(self.lately)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Health:
        """What `to_dict` wrote, also after a round through JSON."""
        latency = {int(bucket): float(calls) for bucket, calls in data["latency"].items()}
        calls, failed = data["lately"]
        return cls(**dict(data) | {"latency": latency, "lately": (calls, failed)})

    def _weight(self, now: float, policy: HealthPolicy) -> float:
        """What a call that counted 1 at `at` counts now."""
        return 0.5 ** (max(0.0, now - self.at) / policy.half_life)

    def _decayed(self, now: float, policy: HealthPolicy) -> Health:
        """Older calls count less, by the time since then and by the calls since then: a busy provider is learned anew within minutes."""
        weight = self._weight(now, policy) * 0.5 ** (1 / policy.memory)
        latency = {bucket: calls * weight for bucket, calls in self.latency.items() if calls * weight > TRACE}
        calls, failed = self.lately
        return replace(
            self, at=max(self.at, now), latency=latency, calls=self.calls * weight, failed=self.failed * weight,
            lately=(calls * weight, failed * weight),
        )  # fmt: skip

    def _worse(self, now: float, policy: HealthPolicy) -> Health:
        state = self.state(now)
        if state == "open":  # it began before the breaker opened
            return self
        in_row = self.in_row + 1
        calls, failed = self.lately
        if state == "half-open":
            cooldown = min(policy.cooldown_max, 2 * self.cooldown)
        elif in_row >= policy.failures or (calls >= policy.calls and failed >= policy.error_rate * calls):
            cooldown = policy.cooldown
        else:
            return replace(self, in_row=in_row)
        return replace(self, in_row=in_row, until=now + cooldown, cooldown=cooldown, probing=None)

    def _better(self, now: float) -> Health:
        if self.state(now) == "half-open":
            return replace(self, in_row=0, until=None, cooldown=0.0, probing=None, lately=(0.0, 0.0))
        return replace(self, in_row=0)

    def _quantiles(self, shares: Sequence[float], guess: tuple[float, float], weight: float, prior: float) -> list[float]:
        """shares: ascending."""
        calls = [prior * share for share in _guessed(*guess)]
        for bucket, count in self.latency.items():
            calls[bucket] += weight * count
        found: list[float] = []
        total, below = sum(calls), 0.0
        for bucket, here in enumerate(calls):
            while len(found) < len(shares) and here and below + here >= shares[len(found)] * total:
                found.append(SHORTEST * GROWTH ** (bucket - 1 + (shares[len(found)] * total - below) / here))
            below += here
        return found + [SHORTEST * GROWTH ** (BUCKETS - 1)] * (len(shares) - len(found))


@dataclass(frozen=True)
class Standing:
    """Of a provider: until when (Unix seconds) it is over its limit, and why it is not used until its configuration changes ("": it is)."""

    resets_at: float | None = None
    disabled: str = ""


@dataclass(frozen=True)
class Healths:
    """All providers and their models, by name; those that were never called are well."""

    policy: HealthPolicy = field(default_factory=HealthPolicy)
    models: Mapping[tuple[str, str], Health] = field(default_factory=dict)
    providers: Mapping[str, Standing] = field(default_factory=dict)

    def observe(
        self, provider: str, model: str, outcome: Outcome, seconds: float, now: float, *, retry_after: float | None = None, words: str = ""
    ) -> Healths:
        """retry_after: seconds that a throttling provider asked for. words: why it is disabled."""
        health = self.models.get((provider, model), Health()).observe(outcome, seconds, now, self.policy)
        standing = self.providers.get(provider, Standing())
        if outcome == "throttled":
            until = now + (self.policy.throttled if retry_after is None else max(0.0, retry_after))
            standing = replace(standing, resets_at=max(until, standing.resets_at or 0.0))
        elif outcome == "disabled":
            standing = replace(standing, disabled=words or "it refuses this studio")
        models = {**self.models, (provider, model): health}
        if outcome == "failed" and health.until is not None:
            # A provider that is down is so with all its models: one probe at a time is enough for those that are left alone too.
            for key, one in self.models.items():
                if key[0] == provider and key[1] != model and one.until is not None and one.until < health.until:
                    models[key] = replace(one, until=health.until)
        return replace(self, models=models, providers={**self.providers, provider: standing})

    def began(self, provider: str, model: str, now: float) -> Healths:
        """A call has begun; to be told of every one, for it may be a probe."""
        health = self.models.get((provider, model))
        return replace(self, models={**self.models, (provider, model): health.began(now)}) if health and health.until else self

    def configured(self, provider: str) -> Healths:
        """Its key, its account or its settings were changed by somebody: it is tried again, breakers and all."""
        models = {
            key: replace(one, until=None, in_row=0, cooldown=0.0, probing=None, lately=(0.0, 0.0)) if key[0] == provider else one
            for key, one in self.models.items()
        }
        return replace(self, models=models, providers={name: one for name, one in self.providers.items() if name != provider})

    def view(self, provider: str, model: str, guess: tuple[float, float], now: float) -> View:
        """guess: seconds (median, 95th percentile) as the catalogue has them."""
        view = self.models.get((provider, model), Health()).view(guess, now, self.policy)
        standing = self.providers.get(provider, Standing())
        if standing.disabled:
            return replace(view, health="open", slots=0, resets_at=None, why=standing.disabled)
        if standing.resets_at is not None and now < standing.resets_at and view.health != "open":
            return replace(view, slots=0, resets_at=standing.resets_at)
        return view

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; without the policy, which is data of its own."""
        models = [{"provider": provider, "model": model, **one.to_dict()} for (provider, model), one in self.models.items()]
        return {"models": models, "providers": {name: asdict(one) for name, one in self.providers.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], policy: HealthPolicy) -> Healths:
        """What `to_dict` wrote, also after a round through JSON."""
        models = {}
        for entry in data["models"]:
            rest = {name: value for name, value in entry.items() if name not in ("provider", "model")}
            models[entry["provider"], entry["model"]] = Health.from_dict(rest)
        return cls(policy, models, {name: Standing(**one) for name, one in data["providers"].items()})


def outcome_of(kind: str) -> Outcome:
    """The outcome of a call that ended in a CloudError of `kind`."""
    match kind:
        case "moderation" | "validation":
            return "refused"
        case "auth" | "quota":
            return "disabled"
        case "throttled":
            return "throttled"
    return "failed"


def _bucket(seconds: float) -> int:
    """The bucket b with SHORTEST * GROWTH**(b - 1) < seconds <= SHORTEST * GROWTH**b; the first and the last take what lies beyond."""
    place = math.ceil(math.log(max(seconds, SHORTEST) / SHORTEST) / math.log(GROWTH))
    return min(BUCKETS - 1, place)


@lru_cache(maxsize=256)
def _guessed(middle: float, tail: float) -> tuple[float, ...]:
    """The share of calls in every bucket, on a log-normal curve with this median and this 95th percentile."""
    spread = max(1e-3, math.log(max(tail, middle) / middle) / ODDS_95)
    curve = NormalDist(math.log(middle), spread)
    below = [curve.cdf(math.log(SHORTEST * GROWTH**bucket)) for bucket in range(BUCKETS - 1)] + [1.0]
    return tuple(high - low for low, high in zip([0.0, *below], below, strict=False))
