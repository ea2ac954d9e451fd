"""Where a batch of candidates is drawn: on this machine, or at which providers. Pure decisions over what is known; nothing here has a
clock, asks a provider, or spends.

This machine goes first unless it is busy beyond a set wait. Among the providers that can draw it, that are well, and that the budget
allows, the tier's rule decides (presets/routing.toml): a preview goes to the cheapest that is free, a standard picture to the quickest, a
premium picture to the highest quality. Candidates that one provider has no room for spread over the next, where that is sooner or no
dearer, or when the first was waited for long enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

from models.money import dollars
from pipelines.routewords import at_home, clock, duration, numbers, pictures

if TYPE_CHECKING:
    from pipelines.request import Where
    from pipelines.routepolicy import Policy, TierPolicy

State = Literal["closed", "half-open", "open"]
FOREVER = math.inf
MOST_DEARER = 100.0  # beyond this, one is as dear as another
ODDS_95 = NormalDist().inv_cdf(0.95)
WORST = 0.99  # no provider is reckoned to fail more often than this


@dataclass(frozen=True)
class Ask:
    """What is to be drawn: `count` candidates of one batch, all of the same size.

    references: pictures shown to the model. img2img: it starts from a picture. loras: a public URL each, None where there is none;
    lora_card: what they were made for. negative, seeds: whether the request says something of them. deadline: seconds from now, None:
    no hurry. waited: seconds that the batch could have been drawn for already. avoid: providers that are asked again only when nobody
    else is left.
    """

    tier: str
    family: str
    width: int
    height: int
    steps: int
    count: int
    references: int = 0
    img2img: bool = False
    loras: tuple[str | None, ...] = ()
    lora_card: str = ""
    negative: bool = False
    seeds: bool = True
    where: Where = "local"
    deadline: float | None = None
    waited: float = 0.0
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Offer:
    """One model of one provider, as it is now.

    title: what people call the provider. price_micro: of one picture of the request. seconds_p50, seconds_p95: from submit to picture.
    error_rate: share of calls that fail. free_slots: calls that may begin now; batch: pictures that fit in one. resets_at: Unix seconds
    when a limit, or an open breaker, is over; None: unknown, and never by itself where health is "open". quality: 0..100.
    lacks: what it cannot do of the request, "" when it can. why: in words, what keeps it from being used now.
    """

    provider: str
    model: str
    price_micro: int
    seconds_p50: float
    seconds_p95: float
    error_rate: float = 0.0
    free_slots: int = 1
    resets_at: float | None = None
    quality: int = 0
    lacks: str = ""
    health: State = "closed"
    why: str = ""
    batch: int = 1
    title: str = ""

    @property
    def name(self) -> str:
        return self.title or self.provider

    def quantile(self, share: float) -> float:
        """Seconds that `share` (0..1) of its calls take at the most, read off a log-normal curve through the two that are known."""
        spread = math.log(max(self.seconds_p95, self.seconds_p50) / self.seconds_p50) / ODDS_95
        return self.seconds_p50 * math.exp(spread * NormalDist().inv_cdf(share))


@dataclass(frozen=True)
class Here:
    """This machine. able: the weights are here and fit. wait_seconds: until it would begin; seconds: for the batch, from then on.
    price_micro: of one picture, at the studio's rate. why: what it lacks, where it is not able."""

    able: bool
    wait_seconds: float = 0.0
    seconds: float = 0.0
    price_micro: int = 0
    why: str = ""


@dataclass(frozen=True)
class Share:
    """`count` of the candidates at one provider, in `calls` calls: as many as there is room for, since one by one is soonest.

    price_micro: of all of them, which is what is reserved. seconds: usual, of a call. deadline: seconds that a call may take at the most.
    late: seconds after which the breaker hears of it.
    """

    provider: str
    model: str
    count: int
    price_micro: int
    calls: int = 1
    seconds: float = 0.0
    deadline: float = 0.0
    late: float = 0.0


@dataclass(frozen=True)
class Route:
    """What to do with a batch. Exactly one of these holds: `local`; `shares` (and `waiting` candidates, asked about again at `again_at`);
    neither, and it waits until `again_at`; or `refused`, which says why and what it would cost.

    hedge_after: seconds after which a second request may be sent (see `hedge`), None: never. words: the choice explained, with numbers.
    """

    local: bool = False
    shares: tuple[Share, ...] = ()
    waiting: int = 0
    again_at: float | None = None
    hedge_after: float | None = None
    words: str = ""
    refused: str = ""

    @property
    def price_micro(self) -> int:
        return sum(share.price_micro for share in self.shares)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"shares": [asdict(share) for share in self.shares]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Route:
        """What `to_dict` wrote, also after a round through JSON."""
        return cls(**dict(data) | {"shares": tuple(Share(**share) for share in data["shares"])})


def route(ask: Ask, here: Here, offers: Sequence[Offer], policy: Policy, left_micro: int | None, now: float) -> Route:
    """Where `ask` goes. left_micro: what the budgets still allow, None: no bound. now: Unix seconds, as `resets_at` is."""
    busy = here.wait_seconds > policy.busy_seconds or (ask.deadline is not None and here.wait_seconds + here.seconds > ask.deadline)
    if here.able and (ask.where == "local" or not busy):
        return Route(local=True, words=at_home(here, busy))
    if ask.where == "local":
        return Route(refused=f"{here.why or 'It cannot be drawn on this machine.'} It may not be drawn anywhere else.")
    found = _away(ask, offers, policy, left_micro, now)
    if not here.able:
        return found
    ends = max((share.seconds for share in found.shares), default=FOREVER)
    if found.shares and ends < here.wait_seconds + here.seconds:
        return replace(found, words=f"Here: busy for {duration(here.wait_seconds)}. {found.words}")
    why = found.refused or found.words
    return Route(local=True, words=f"{at_home(here, busy)} {why}" if why else at_home(here, busy))


def hedge(ask: Ask, slow: Share, offers: Sequence[Offer], policy: Policy, left_micro: int | None, now: float) -> Share | None:
    """The second request for what `slow` was asked for and takes too long over: another provider's, reserved on top of the first. None
    where the tier allows none, or where nobody is worth it. left_micro: with the first already reserved."""
    tier = policy.tiers[ask.tier]
    if not tier.hedge:
        return None
    most = policy.hedge_dearer * slow.price_micro
    left = most if left_micro is None else min(most, left_micro)
    others = [offer for offer in _usable(ask, offers) if offer.provider not in ask.avoid | {slow.provider}]
    for offer in _ordered(others, tier, policy):
        calls = _calls(offer, {}, now)
        if offer.health == "closed" and calls * offer.batch >= slow.count and offer.price_micro * slow.count <= left:
            return _share(offer, slow.count, calls, policy)
    return None


# Providers.


def _away(ask: Ask, offers: Sequence[Offer], policy: Policy, left: int | None, now: float) -> Route:
    able = _usable(ask, offers)
    able = [offer for offer in able if offer.provider not in ask.avoid] or able
    if not able:
        return Route(refused=_nobody(ask, offers))
    cheapest = min(able, key=lambda offer: offer.price_micro)
    affordable = [offer for offer in able if left is None or offer.price_micro * ask.count <= left]
    if left is not None and not affordable:
        needed, rest = dollars(cheapest.price_micro * ask.count), dollars(max(0, left))
        return Route(refused=f"{cheapest.name}, the cheapest, asks {needed} for {pictures(ask.count)}; {rest} may still be spent.")
    tier = policy.tiers[ask.tier]
    ordered = _ordered(affordable, tier, policy)
    # Each of these could be paid for all of the candidates, so any mix of them can be paid too.
    shares, waiting, again_at = _allot(ask, ordered, tier, policy, now)
    route = Route(shares=tuple(shares), waiting=waiting, again_at=again_at)
    route = replace(route, hedge_after=_hedge_after(ask, route, offers, policy, left, now))
    return replace(route, words=_explained(ask, route, ordered, offers, left, now))


def _usable(ask: Ask, offers: Sequence[Offer]) -> list[Offer]:
    """Those that could draw it, at once or later."""
    return [offer for offer in offers if not _never(ask, offer)]


def _never(ask: Ask, offer: Offer) -> str:
    """Why an offer is no use for `ask`, however long one waits."""
    if offer.lacks:
        return offer.lacks
    if offer.health == "open" and offer.resets_at is None:
        return offer.why or "is not used until its settings change"
    if ask.deadline is not None and offer.seconds_p50 > ask.deadline:
        return f"takes {duration(offer.seconds_p50)}, and {duration(ask.deadline)} are left"
    return ""


def _ordered(offers: Sequence[Offer], tier: TierPolicy, policy: Policy) -> list[Offer]:
    """By the tier's rule, the first choice first; the names decide last, so that the same question has the same answer."""
    felt = {id(offer): _felt(offer, policy) for offer in offers}
    quickest = min((felt[id(offer)] for offer in offers), default=0.0)

    def key(offer: Offer) -> tuple[float, ...]:
        seconds = felt[id(offer)]
        if tier.rule == "cheapest":
            return offer.price_micro, seconds
        if tier.rule == "best":
            return -offer.quality, offer.price_micro, seconds
        tied = seconds <= quickest * (1 + policy.tie)
        return (0.0 if tied else seconds), offer.price_micro, seconds

    return sorted(offers, key=lambda offer: (key(offer), offer.provider, offer.model))


def _felt(offer: Offer, policy: Policy) -> float:
    """Seconds until a picture comes, the tail counted in, and the calls that fail made good."""
    seconds = offer.seconds_p50 + policy.tail * (offer.seconds_p95 - offer.seconds_p50)
    return seconds / (1 - min(offer.error_rate, WORST))


def _allot(ask: Ask, ordered: Sequence[Offer], tier: TierPolicy, policy: Policy, now: float) -> tuple[list[Share], int, float | None]:
    """Shares in the order of the rule, how many candidates wait for a place that is worth waiting for, and until when."""
    shares: list[Share] = []
    left = ask.count
    used: dict[str, int] = {}  # calls by provider: its models share its limits
    first: Offer | None = None
    for offer in ordered:
        if left == 0 or (shares and not tier.spread):
            break
        if first is not None and not _instead(ask, offer, first, used, tier, policy, now):
            continue
        calls = _calls(offer, used, now)
        count = min(left, calls * offer.batch)
        if count:
            shares.append(_share(offer, count, calls, policy))
            used[offer.provider] = used.get(offer.provider, 0) + shares[-1].calls
            left -= count
        # Nobody waits for one that is not well: the first of the others is the first choice then.
        if first is None and offer.health == "closed":
            first = offer
    if not left:
        return shares, 0, None
    # A place that is free and was passed over is taken when the patience is over; until then only the others matter.
    times = [_free_at(offer, used, now) for offer in ordered if not _calls(offer, used, now)]
    if first is not None:
        rest = [_patience(offer, first, tier) - ask.waited for offer in ordered if _calls(offer, used, now)]
        times += [now + seconds for seconds in rest if seconds > 0]
    return shares, left, min(times, default=now + ordered[0].seconds_p50)


def _instead(ask: Ask, other: Offer, first: Offer, used: Mapping[str, int], tier: TierPolicy, policy: Policy, now: float) -> bool:
    """Whether what the first choice has no room for goes to `other` now, rather than wait for a place."""
    wait = _free_at(first, used, now) - now
    if tier.rule == "quickest":
        as_good = _felt(other, policy) <= wait + _felt(first, policy)
    elif tier.rule == "best":
        as_good = other.quality >= first.quality
    else:
        as_good = other.price_micro <= first.price_micro
    return as_good or ask.waited + wait > _patience(other, first, tier)


def _patience(other: Offer, first: Offer, tier: TierPolicy) -> float:
    """Seconds that `first` is waited for rather than go to `other`."""
    if tier.rule != "cheapest":
        return tier.patience
    more = max(0, other.price_micro - first.price_micro) / max(1, first.price_micro)
    return tier.patience * min(MOST_DEARER, more)


def _calls(offer: Offer, used: Mapping[str, int], now: float) -> int:
    """Calls that may begin there now, after those that are given to it already."""
    if offer.health == "open" or _over_limit(offer, now):
        return 0
    calls = max(0, offer.free_slots - used.get(offer.provider, 0))
    return min(calls, 1) if offer.health == "half-open" else calls  # one is a probe


def _free_at(offer: Offer, used: Mapping[str, int], now: float) -> float:
    """When a place is likely to be free: at once, when a limit is over, or when one of the calls that are on their way is likely to end."""
    if _over_limit(offer, now):
        return offer.resets_at or now
    return now if _calls(offer, used, now) else now + offer.seconds_p50


def _share(offer: Offer, count: int, room: int, policy: Policy) -> Share:
    factor, low, high = policy.deadline
    deadline = min(high, max(low, factor * offer.seconds_p95))
    late = min(deadline, policy.late * offer.seconds_p95)
    return Share(offer.provider, offer.model, count, offer.price_micro * count, min(count, room), offer.seconds_p50, deadline, late)


def _over_limit(offer: Offer, now: float) -> bool:
    return offer.resets_at is not None and offer.resets_at > now


def _hedge_after(ask: Ask, route: Route, offers: Sequence[Offer], policy: Policy, left: int | None, now: float) -> float | None:
    """Past the quantile of the slowest share, where somebody is there to ask then and both can be paid. Not while pictures wait for a
    place: a second request would take one from them."""
    tier = policy.tiers[ask.tier]
    if not tier.hedge or not route.shares or route.waiting or ask.waited > tier.patience:
        return None
    rest = None if left is None else left - route.price_micro
    if not any(hedge(ask, share, offers, policy, rest, now) for share in route.shares):
        return None
    used = {(share.provider, share.model) for share in route.shares}
    return max(offer.quantile(policy.hedge_quantile) for offer in offers if (offer.provider, offer.model) in used)


# Words.


def _explained(ask: Ask, route: Route, ordered: Sequence[Offer], offers: Sequence[Offer], left: int | None, now: float) -> str:
    """ "fal: $0.003, 1.2 s; Together: over its limit until 12:04": the chosen first, then every other provider once."""
    chosen = {(share.provider, share.model): share for share in route.shares}
    parts, told = [], set()
    by_name = {(offer.provider, offer.model): offer for offer in offers}
    for key, share in chosen.items():
        count = f"{share.count} at " if share.count < ask.count else ""
        parts.append(f"{count}{by_name[key].name}: {numbers(by_name[key])}")
        told.add(share.provider)
    if route.waiting:
        parts.append(f"{route.waiting if chosen else 'waits'}{' wait' if chosen else ''} until {clock(route.again_at, now)}")
    for offer in [*ordered, *(offer for offer in offers if offer not in ordered)]:
        if offer.provider not in told:
            told.add(offer.provider)
            parts.append(f"{offer.name}: {_standing(ask, offer, left, now)}")
    return "; ".join(parts)


def _standing(ask: Ask, offer: Offer, left: int | None, now: float) -> str:
    if never := _never(ask, offer):
        return never
    if left is not None and offer.price_micro * ask.count > left:
        return f"{numbers(offer)}, more than the {dollars(max(0, left))} that are left"
    if _over_limit(offer, now):
        return f"{offer.why or 'over its limit'} until {clock(offer.resets_at, now)}"
    if offer.why:
        return offer.why
    if offer.provider in ask.avoid:
        return "was tried"
    return numbers(offer) if offer.free_slots else f"{numbers(offer)}, no place free"


def _nobody(ask: Ask, offers: Sequence[Offer]) -> str:
    if not offers:
        return "No provider that is switched on draws this family at this tier."
    said: dict[str, str] = {}
    for offer in offers:
        said.setdefault(offer.name, _never(ask, offer))
    return "No provider can draw it. " + "; ".join(f"{name}: {why}" for name, why in said.items()) + "."
