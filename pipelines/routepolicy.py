"""The rules of routing as data: presets/routing.toml, read into what `pipelines.route` and `pipelines.health` go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from models.presets import presets_folder
from models.toml import Table

Rule = Literal["cheapest", "quickest", "best"]
WEEK = 7 * 24 * 3600.0


@dataclass(frozen=True)
class TierPolicy:
    """rule: who goes first. spread: whether one request's candidates may go to several providers. patience: seconds to wait for a place
    rather than be later, or get less, elsewhere; of "cheapest", for each time its price that another asks on top. hedge: whether a
    second request may be sent where the first is slow."""

    rule: Rule
    spread: bool
    patience: float
    hedge: bool


@dataclass(frozen=True)
class HealthPolicy:
    """half_life: seconds, memory: calls, after which a call counts half. prior: calls that the first guess is worth, of which the share
    `prior_errors` failed. failures: in a row, that open the breaker; error_rate: share that does, once there are `calls` recent ones.
    cooldown: seconds until a first probe, doubled with each that fails, up to cooldown_max. probe_seconds: after which a silent probe is
    forgotten. throttled: seconds to stay away when a provider does not say for how long."""

    half_life: float = 1800.0
    memory: float = 60.0
    prior: float = 8.0
    prior_errors: float = 0.02
    failures: int = 3
    error_rate: float = 0.5
    calls: float = 8.0
    cooldown: float = 20.0
    cooldown_max: float = 600.0
    probe_seconds: float = 120.0
    throttled: float = 15.0


@dataclass(frozen=True)
class Policy:
    """busy_seconds: the queue here is busy when it begins later than this. tail: weight of the 95th percentile in what a provider takes.
    tie: share within which two are as quick. hedge_quantile, hedge_dearer: when a second request goes out, and how much dearer it may
    be. late: so many times its 95th percentile makes a call late. attempts: calls that may fail for a picture before it is given up,
    paid_attempts: those of them that cost something, or may have. deadline: (factor on the 95th percentile, lowest, highest) seconds of
    a call."""

    busy_seconds: float
    tail: float
    tie: float
    hedge_quantile: float
    hedge_dearer: float
    late: float
    attempts: int
    paid_attempts: int
    deadline: tuple[float, float, float]
    tiers: Mapping[str, TierPolicy]
    health: HealthPolicy


def load_policy(presets_dir: Path | str | None = None) -> Policy:
    """That below `presets_dir` (default: the one that ships). Raises BadInput with file and dotted key."""
    top = Table.of_file((Path(presets_dir) if presets_dir else presets_folder()) / "routing.toml")
    tiers, deadline = top.table("tiers"), top.table("deadline")
    low = deadline.number("low", low=1, high=WEEK)
    policy = Policy(
        busy_seconds=top.number("busy_seconds", low=0, high=WEEK),
        tail=top.number("tail", low=0, high=1),
        tie=top.number("tie", low=0, high=10),
        hedge_quantile=top.number("hedge_quantile", low=0.5, high=0.999),
        hedge_dearer=top.number("hedge_dearer", low=1),
        late=top.number("late", low=1),
        attempts=top.whole("attempts", low=1, high=100),
        paid_attempts=top.whole("paid_attempts", low=1, high=100),
        deadline=(deadline.number("factor", low=1), low, deadline.number("high", low=low, high=WEEK)),
        tiers={name: _tier(tiers.table(name)) for name in tiers.data},
        health=_health(top.table("health")),
    )
    for table in (top, tiers, deadline):
        table.done()
    return policy


def _tier(table: Table) -> TierPolicy:
    rule = cast(Rule, table.text("rule", choices=("cheapest", "quickest", "best")))
    tier = TierPolicy(rule, table.flag("spread"), table.number("patience", low=0, high=WEEK), table.flag("hedge"))
    table.done()
    return tier


def _health(table: Table) -> HealthPolicy:
    cooldown = table.number("cooldown", low=1, high=WEEK)
    health = HealthPolicy(
        half_life=table.number("half_life", low=1, high=WEEK),
        memory=table.number("memory", low=1, high=1e6),
        prior=table.number("prior", low=0.1, high=1000),
        prior_errors=table.number("prior_errors", low=0, high=0.5),
        failures=table.whole("failures", low=1, high=100),
        error_rate=table.number("error_rate", low=0.05, high=1),
        calls=table.number("calls", low=1, high=1000),
        cooldown=cooldown,
        cooldown_max=table.number("cooldown_max", low=cooldown, high=WEEK),
        probe_seconds=table.number("probe_seconds", low=1, high=WEEK),
        throttled=table.number("throttled", low=1, high=WEEK),
    )
    table.done()
    return health
