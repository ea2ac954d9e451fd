"""Where a batch is drawn, how providers are remembered, and what comes after a failure."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.cloud.catalogue import load_providers, price_micro
from models.errors import BadInput
from models.money import dollars
from pipelines.fallback import Next, after
from pipelines.health import Health, Healths, outcome_of
from pipelines.offers import Load, offers
from pipelines.route import Ask, Here, Offer, Route, Share, hedge, route
from pipelines.routepolicy import HealthPolicy, load_policy

POLICY = load_policy()
NOW = 1_795_000_000.0
OFF = Here(able=False, why="Its weights are not on this machine.")
IDLE = Here(able=True, wait_seconds=0.0, seconds=4.0)
BUSY = Here(able=True, wait_seconds=POLICY.busy_seconds + 60, seconds=4.0)
PREVIEW = Ask("preview", "flux1", 512, 512, 4, 4, where="cloud allowed")
STANDARD, PREMIUM = replace(PREVIEW, tier="standard"), replace(PREVIEW, tier="premium")
FAL = Offer("fal", "schnell", 3000, 1.2, 2.4, free_slots=8, quality=40, title="fal")
TOGETHER = Offer("together", "schnell", 1000, 2.0, 4.0, free_slots=8, quality=40, title="Together")
BFL = Offer("bfl", "pro", 40000, 5.0, 11.0, free_slots=8, quality=75, title="BFL")
ALL = (FAL, TOGETHER, BFL)


def go(ask: Ask, *found: Offer, here: Here = OFF, left: int | None = None) -> Route:
    return route(ask, here, found or ALL, POLICY, left, NOW)


def places(made: Route) -> list[tuple[str, int]]:
    return [(share.provider, share.count) for share in made.shares]


# This machine.


def test_this_machine_goes_first_unless_it_is_busy():
    assert go(PREVIEW, here=IDLE).local
    assert go(PREVIEW, here=replace(IDLE, wait_seconds=POLICY.busy_seconds)).local
    away = go(PREVIEW, here=BUSY)
    assert not away.local and places(away) == [("together", 4)]
    assert away.words.startswith("Here: busy for 90 s. Together: $0.001, 2.0 s; fal: $0.003, 1.2 s")


def test_a_request_that_may_not_leave_stays_however_busy_it_is_here():
    stays = replace(PREVIEW, where="local")
    assert go(stays, here=BUSY).local
    refused = go(stays)
    assert not refused.local and not refused.shares and "may not be drawn anywhere else" in refused.refused


def test_a_provider_that_would_be_later_than_this_machine_is_not_paid():
    made = go(PREVIEW, replace(FAL, seconds_p50=500.0, seconds_p95=900.0), here=BUSY)
    assert made.local and "busy for 90 s" in made.words


def test_a_deadline_makes_this_machine_busy():
    assert go(replace(PREVIEW, deadline=3.0), here=IDLE).shares, "it takes four seconds here"
    assert go(replace(PREVIEW, deadline=10.0), here=IDLE).local


def test_what_no_provider_does_is_drawn_here_and_says_why():
    made = go(PREVIEW, replace(FAL, lacks="takes no LoRA"), here=BUSY)
    assert made.local and "fal: takes no LoRA" in made.words
    assert go(PREVIEW, replace(FAL, lacks="takes no LoRA")).refused == "No provider can draw it. fal: takes no LoRA."


# The tiers' rules.


def test_each_tier_has_its_rule():
    assert places(go(PREVIEW)) == [("together", 4)]
    assert places(go(STANDARD)) == [("fal", 4)]
    assert places(go(PREMIUM)) == [("bfl", 4)]


def test_of_two_that_are_as_quick_the_cheaper_goes_first():
    near = replace(TOGETHER, seconds_p50=1.3, seconds_p95=2.6)
    assert places(go(STANDARD, FAL, near)) == [("together", 4)]


def test_one_that_fails_often_is_not_the_quickest():
    assert places(go(STANDARD, replace(FAL, error_rate=0.6), TOGETHER)) == [("together", 4)]


def test_the_unhealthy_and_the_unable_are_left_out_and_told():
    down = replace(TOGETHER, health="open", resets_at=NOW + 600, why="is left alone after failures")
    made = go(PREVIEW, down, FAL, replace(BFL, lacks="takes no negative prompt"))
    assert places(made) == [("fal", 4)]
    assert "Together: is left alone after failures until " in made.words and "BFL: takes no negative prompt" in made.words


def test_over_a_limit_until():
    made = go(PREVIEW, replace(TOGETHER, free_slots=0, resets_at=NOW + 600), FAL)
    assert places(made) == [("fal", 4)]
    assert "Together: over its limit until " in made.words


def test_a_half_open_breaker_gets_one_probe_and_the_others_the_rest():
    assert places(go(PREVIEW, replace(TOGETHER, health="half-open"), FAL)) == [("together", 1), ("fal", 3)]


# Room, waiting, spreading.


def test_candidates_spread_over_the_next_as_cheap_and_over_the_next_as_quick():
    same = replace(TOGETHER, price_micro=3000)
    assert places(go(PREVIEW, replace(FAL, free_slots=3), same)) == [("fal", 3), ("together", 1)]
    assert places(go(STANDARD, replace(FAL, free_slots=3), TOGETHER)) == [("fal", 3), ("together", 1)]


def test_a_dearer_one_is_paid_only_after_the_patience_of_the_tier():
    short = replace(TOGETHER, free_slots=1, seconds_p50=1.0)
    made = go(PREVIEW, short, FAL)
    assert places(made) == [("together", 1)] and made.waiting == 3
    assert made.again_at == NOW + 1.0, "when its call is likely to end"
    twice = 2 * POLICY.tiers["preview"].patience  # fal asks three times as much: twice its price on top
    assert places(go(replace(PREVIEW, waited=twice - 1.1), short, FAL)) == [("together", 1)]
    assert places(go(replace(PREVIEW, waited=twice), short, FAL)) == [("together", 1), ("fal", 3)]
    assert places(go(replace(PREVIEW, waited=twice), short, BFL)) == [("together", 1)], "forty times as much is another matter"


def test_a_lower_quality_is_taken_only_after_the_patience_of_premium():
    short = replace(BFL, free_slots=2)
    assert places(go(PREMIUM, short, FAL)) == [("bfl", 2)]
    assert places(go(replace(PREMIUM, waited=600.0), short, FAL)) == [("bfl", 2), ("fal", 2)]


def test_calls_are_as_many_as_there_is_room_for():
    several = replace(FAL, batch=4)
    assert go(PREVIEW, several).shares[0].calls == 4
    assert go(replace(PREVIEW, count=8), replace(several, free_slots=2)).shares[0].calls == 2


def test_models_of_one_provider_share_its_room():
    first, second = replace(FAL, free_slots=3), replace(FAL, model="dev", free_slots=3, price_micro=3000)
    made = go(PREVIEW, first, second)
    assert sum(share.count for share in made.shares) == 3 and made.waiting == 1


def test_when_nobody_has_room_it_waits_until_there_is():
    made = go(PREVIEW, replace(FAL, free_slots=0, resets_at=NOW + 30))
    assert not made.local and not made.shares and not made.refused
    assert made.again_at == NOW + 30 and made.waiting == 4


def test_who_was_tried_is_asked_again_only_when_nobody_else_is_left():
    tried = replace(PREVIEW, avoid=frozenset({"together"}))
    assert places(go(tried)) == [("fal", 4)]
    assert places(go(tried, TOGETHER)) == [("together", 4)]


# Money.


def test_what_cannot_be_afforded_is_refused_with_the_numbers():
    refused = go(PREVIEW, left=3999).refused
    assert refused == "Together, the cheapest, asks $0.004 for 4 pictures; $0.003999 may still be spent."
    assert places(go(PREVIEW, left=4000)) == [("together", 4)]


def test_the_budget_moves_the_choice():
    assert places(go(PREMIUM)) == [("bfl", 4)]
    assert places(go(PREMIUM, replace(FAL, quality=60), TOGETHER, BFL, left=4 * 3000)) == [("fal", 4)]
    assert "more than the $0.012 that are left" in go(PREMIUM, left=4 * 3000).words


def test_without_a_budget_left_it_is_drawn_here_if_it_can_be():
    made = go(PREVIEW, here=BUSY, left=0)
    assert made.local and "$0.00 may still be spent" in made.words


def test_dollars():
    assert [dollars(micro) for micro in (3000, 40_000, 1_500_000, 0, 750, 1_234_567_890, -2500)] == [
        "$0.003", "$0.04", "$1.50", "$0.00", "$0.00075", "$1,234.56789", "-$0.0025",
    ]  # fmt: skip


# Hedging.


def test_a_preview_is_hedged_past_the_quantile_and_nothing_else_is():
    made = go(PREVIEW)
    assert made.hedge_after == pytest.approx(TOGETHER.quantile(POLICY.hedge_quantile)) == pytest.approx(4.0)
    assert go(STANDARD).hedge_after is None and go(PREMIUM).hedge_after is None
    assert hedge(PREVIEW, made.shares[0], ALL, POLICY, None, NOW) == go(PREVIEW, FAL).shares[0]


def test_no_second_request_where_it_is_too_dear_or_cannot_be_paid_besides():
    slow = go(PREVIEW).shares[0]
    assert hedge(PREVIEW, slow, (TOGETHER, BFL), POLICY, None, NOW) is None, "forty times the price"
    assert hedge(PREVIEW, slow, ALL, POLICY, 4 * 3000 - 1, NOW) is None
    assert go(PREVIEW, left=4 * 1000 + 4 * 3000 - 1).hedge_after is None
    assert go(PREVIEW, left=4 * 1000 + 4 * 3000).hedge_after is not None
    assert hedge(PREVIEW, slow, (TOGETHER, replace(FAL, health="half-open")), POLICY, None, NOW) is None


def test_a_route_survives_json():
    made = go(PREVIEW, replace(TOGETHER, free_slots=1), FAL)
    assert Route.from_dict(json.loads(json.dumps(made.to_dict()))) == made


OFFERS = st.lists(
    st.builds(
        Offer,
        provider=st.sampled_from(["fal", "replicate", "together", "bfl"]),
        model=st.uuids().map(str),
        price_micro=st.integers(0, 80_000),
        seconds_p50=st.floats(0.1, 100),
        seconds_p95=st.floats(0.1, 300),
        error_rate=st.floats(0, 1),
        free_slots=st.integers(0, 10),
        resets_at=st.none() | st.floats(NOW - 100, NOW + 1000),
        quality=st.integers(0, 100),
        lacks=st.sampled_from(["", "", "takes no LoRA"]),
        health=st.sampled_from(["closed", "closed", "half-open", "open"]),
        batch=st.integers(1, 4),
    ),
    max_size=8,
)
ASKS = st.builds(
    Ask,
    tier=st.sampled_from(["preview", "standard", "premium"]),
    family=st.just("flux1"),
    width=st.just(512),
    height=st.just(512),
    steps=st.just(4),
    count=st.integers(1, 240),
    where=st.sampled_from(["local", "cloud allowed"]),
    waited=st.floats(0, 1000),
    deadline=st.none() | st.floats(0.1, 1000),
    avoid=st.frozensets(st.sampled_from(["fal", "bfl"])),
)
HERES = st.builds(Here, able=st.booleans(), wait_seconds=st.floats(0, 1000), seconds=st.floats(0, 100))


@settings(max_examples=150, deadline=None)
@given(ASKS, HERES, OFFERS, st.none() | st.integers(0, 1_000_000))
def test_whatever_is_offered_the_route_is_sound(ask, here, found, left):
    made = route(ask, here, found, POLICY, left, NOW)
    by_key = {(offer.provider, offer.model): offer for offer in found}
    assert sum([made.local, bool(made.shares) or made.waiting > 0, bool(made.refused)]) == 1, "exactly one thing is to be done"
    if ask.where == "local" or made.local or made.refused:
        assert not made.shares
    else:
        assert sum(share.count for share in made.shares) + made.waiting == ask.count, "nobody is forgotten"
        assert (made.waiting > 0) == (made.again_at is not None)
        assert made.again_at is None or made.again_at >= NOW
    assert left is None or made.price_micro <= left
    calls: dict[str, int] = {}
    for share in made.shares:
        offer = by_key[share.provider, share.model]
        assert not offer.lacks and offer.health != "open"
        assert share.price_micro == offer.price_micro * share.count
        assert share.calls <= share.count <= share.calls * offer.batch
        assert offer.health == "closed" or share.calls == 1
        calls[share.provider] = calls.get(share.provider, 0) + share.calls
    for provider, count in calls.items():
        assert count <= max(offer.free_slots for offer in found if offer.provider == provider)
    assert made.refused or made.words
    for share in made.shares:
        second = hedge(ask, share, found, POLICY, left, NOW)
        assert second is None or (second.provider != share.provider and second.count == share.count)


# Health.


def learned(seconds: list[float], guess: tuple[float, float] = (1.0, 3.0)) -> Healths:
    healths = Healths(POLICY.health)
    for number, one in enumerate(seconds):
        healths = healths.observe("fal", "m", "ok", one, NOW + number)
    return healths


def test_latency_is_learned_and_the_guess_fades():
    assert Healths(POLICY.health).view("fal", "m", (1.0, 3.0), NOW).seconds_p50 == pytest.approx(1.0, rel=0.02)
    assert Healths(POLICY.health).view("fal", "m", (1.0, 3.0), NOW).seconds_p95 == pytest.approx(3.0, rel=0.05)
    view = learned([5.0] * 200).view("fal", "m", (1.0, 3.0), NOW + 200)
    assert view.seconds_p50 == pytest.approx(5.0, rel=0.12)
    forgotten = learned([5.0] * 200).view("fal", "m", (1.0, 3.0), NOW + 86_400)
    assert forgotten.seconds_p50 == pytest.approx(1.0, rel=0.05), "after a day without a call"


def test_the_tail_is_measured():
    view = learned(([1.0] * 9 + [20.0]) * 30).view("fal", "m", (1.0, 1.2), NOW + 300)
    assert view.seconds_p50 == pytest.approx(1.0, rel=0.15) and view.seconds_p95 == pytest.approx(20.0, rel=0.2)


def test_a_change_is_noticed_within_a_hundred_calls():
    view = learned([1.0] * 300 + [4.0] * 100).view("fal", "m", (1.0, 3.0), NOW + 400)
    assert view.seconds_p50 == pytest.approx(4.0, rel=0.12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.01, 5000), min_size=1, max_size=60), st.tuples(st.floats(0.1, 50), st.floats(1, 10)))
def test_quantiles_rise_and_stay_within_what_was_seen(seconds, shape):
    guess = (shape[0], shape[0] * shape[1])
    health = Health()
    for number, one in enumerate(seconds):
        health = health.observe("ok", one, NOW + number, POLICY.health)
    found = [health.quantile(share, guess, NOW + len(seconds), POLICY.health) for share in (0.05, 0.5, 0.95)]
    assert found == sorted(found)
    assert found[0] > 0
    assert Health.from_dict(json.loads(json.dumps(health.to_dict()))) == health


def failing(count: int) -> Healths:
    healths = Healths(POLICY.health)
    for number in range(count):
        healths = healths.observe("fal", "m", "failed", 0.5, NOW + number / 10)
    return healths


def test_the_breaker_opens_probes_and_closes():
    rules = POLICY.health
    assert failing(rules.failures - 1).view("fal", "m", (1, 3), NOW + 1).health == "closed"
    healths = failing(rules.failures)
    at = healths.models["fal", "m"].until
    assert at is not None
    shut = healths.view("fal", "m", (1, 3), NOW + 1)
    assert (shut.health, shut.slots, shut.resets_at) == ("open", 0, at)
    assert healths.view("fal", "m", (1, 3), at).slots == 1
    probing = healths.began("fal", "m", at)
    assert probing.view("fal", "m", (1, 3), at + 1).slots == 0, "one probe at a time"
    assert probing.view("fal", "m", (1, 3), at + rules.probe_seconds).slots == 1, "one that never answered"
    assert probing.observe("fal", "m", "ok", 1.0, at + 1).view("fal", "m", (1, 3), at + 1).health == "closed"
    again = probing.observe("fal", "m", "failed", 1.0, at + 1)
    assert again.models["fal", "m"].until == pytest.approx(at + 1 + 2 * rules.cooldown)
    assert again.observe("fal", "m", "failed", 1.0, at + 2).models["fal", "m"].until == again.models["fal", "m"].until


def test_cooldowns_have_an_end():
    healths, at = failing(POLICY.health.failures), NOW
    for _ in range(12):
        at = healths.models["fal", "m"].until or 0.0
        healths = healths.observe("fal", "m", "failed", 1.0, at)
    assert (healths.models["fal", "m"].until or 0.0) - at == POLICY.health.cooldown_max


def test_half_of_the_calls_failing_opens_it_too():
    healths, opened = Healths(POLICY.health), False
    for number in range(40):
        healths = healths.observe("fal", "m", "failed" if number % 2 else "ok", 1.0, NOW + number)
        opened = opened or healths.view("fal", "m", (1, 3), NOW + number).health == "open"
    assert opened


def test_calls_that_hang_open_it_before_they_end():
    healths = Healths(POLICY.health)
    for _ in range(POLICY.health.failures):
        healths = healths.observe("fal", "m", "late", 30.0, NOW)
    view = healths.view("fal", "m", (1, 3), NOW)
    assert view.health == "open" and view.error_rate == POLICY.health.prior_errors, "they have not failed yet"


def test_refusals_are_no_failures():
    healths = failing(POLICY.health.failures - 1).observe("fal", "m", "refused", 1.0, NOW + 1).observe("fal", "m", "failed", 1.0, NOW + 2)
    assert healths.view("fal", "m", (1, 3), NOW + 2).health == "closed"


def test_one_probe_is_enough_for_a_provider_that_is_down():
    healths = failing(POLICY.health.failures)
    for number in range(POLICY.health.failures):
        healths = healths.observe("fal", "other", "failed", 0.5, NOW + 5 + number)
    at = healths.models["fal", "other"].until or 0.0
    healths = healths.observe("fal", "other", "failed", 0.5, at)
    assert healths.models["fal", "m"].until == healths.models["fal", "other"].until


def test_a_limit_passes_and_a_refused_key_does_not():
    healths = Healths(POLICY.health).observe("fal", "m", "throttled", 0.1, NOW, retry_after=30)
    view = healths.view("fal", "any", (1, 3), NOW + 29)
    assert (view.health, view.slots, view.resets_at) == ("closed", 0, NOW + 30)
    assert healths.view("fal", "any", (1, 3), NOW + 30).slots is None
    healths = healths.observe("fal", "m", outcome_of("auth"), 0.1, NOW, words="its key was refused")
    view = healths.view("fal", "any", (1, 3), NOW + 10**9)
    assert (view.health, view.resets_at, view.why) == ("open", None, "its key was refused")
    assert healths.configured("fal").view("fal", "any", (1, 3), NOW).health == "closed"
    assert Healths.from_dict(json.loads(json.dumps(healths.to_dict())), POLICY.health) == healths


# Offers, from the catalogue that ships.


def by_model(ask: Ask, **more: object) -> dict[str, Offer]:
    arguments: dict[str, object] = {"healths": Healths(POLICY.health), "loads": {}, "now": NOW, "off": {}} | more
    made = offers(ask, load_providers().values(), **arguments)  # type: ignore[arg-type]
    return {f"{offer.provider} {offer.model}": offer for offer in made}


def test_offers_are_priced_as_the_catalogue_says():
    providers = load_providers()
    for ask in (PREVIEW, replace(STANDARD, width=1024, height=1024, steps=24)):
        for offer in by_model(ask).values():
            model = providers[offer.provider].models[offer.model]
            assert offer.price_micro == price_micro(model, ask.width, ask.height, ask.steps, 1)
            assert offer.batch == model.capabilities.batch and offer.quality == model.quality


def test_offers_know_what_a_request_needs():
    plain = by_model(replace(STANDARD, width=1024, height=1024, steps=24, loras=("https://example.com/a",), lora_card="flux1-dev"))
    assert plain["fal fal-ai/flux-lora"].lacks == "" and plain["fal fal-ai/flux/dev"].lacks == "takes no LoRA"
    other = by_model(replace(STANDARD, width=1024, height=1024, steps=24, loras=("https://example.com/a",), lora_card="flux2-dev"))
    assert "flux1-dev" in other["fal fal-ai/flux-lora"].lacks
    private = by_model(replace(STANDARD, width=1024, height=1024, steps=24, loras=(None,), lora_card="flux1-dev"))
    assert private["fal fal-ai/flux-lora"].lacks == "its LoRA has no public address"


def test_room_is_what_limits_and_calls_leave():
    fal = load_providers()["fal"]
    free = by_model(PREVIEW, loads={"fal": Load({"x": fal.limits.concurrency - 1})})["fal fal-ai/flux/schnell"]
    assert free.free_slots == 1
    full = by_model(PREVIEW, loads={"fal": Load({"x": fal.limits.concurrency + 5})})["fal fal-ai/flux/schnell"]
    assert full.free_slots == 0


def test_a_minute_that_is_used_up_is_over_when_its_first_call_is_a_minute_old():
    most = load_providers()["replicate"].limits.per_minute
    assert most is not None
    sent = [NOW - 61, *(NOW - 50 + number / 100 for number in range(most))]
    found = by_model(PREVIEW, loads={"replicate": Load({}, sent)})["replicate black-forest-labs/flux-schnell"]
    assert found.free_slots == 0 and found.resets_at == pytest.approx(NOW + 10)
    assert by_model(PREVIEW, loads={"replicate": Load({}, sent[2:])})["replicate black-forest-labs/flux-schnell"].free_slots == 1


def test_a_provider_that_is_off_says_why():
    made = go(PREVIEW, *by_model(PREVIEW, off={"fal": "has no key"}).values())
    assert "fal: has no key" in made.words and "fal" not in [share.provider for share in made.shares]


# After a failure.


def then(kind: str, sent: str = "no", request: str | None = None, billed: int | None = None, **more: object) -> Next:
    known: dict[str, object] = {"attempts": 1, "paid": 0, "covered": True, "policy": POLICY} | more
    return after(kind, sent, request, billed, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["moderation", "validation"])
@pytest.mark.parametrize("sent", ["no", "maybe", "yes"])
def test_a_refusal_is_never_routed_around(kind, sent):
    assert then(kind, sent, "id", 0).go == then(kind, sent, None, None).go == "stop"


def test_what_surely_was_not_begun_goes_elsewhere():
    made = then("capacity")
    assert (made.go, made.charge, made.avoid) == ("elsewhere", "release", True)
    assert then("throttled", attempts=99).avoid is False and then("throttled", attempts=99).go == "elsewhere"
    assert then("auth").go == then("quota").go == "elsewhere"


def test_what_has_a_number_is_collected_and_never_sent_again():
    assert then("capacity", "yes", "id").go == then("bug", "maybe", "id").go == "resume"
    assert then("capacity", "yes", "id").charge == "keep"
    assert then("capacity", "yes", "id", final=True).go == "elsewhere", "it ended badly at the provider"


def test_what_has_no_number_is_held_and_repeated_only_if_both_can_be_paid():
    assert (then("capacity", "maybe").go, then("capacity", "maybe").charge) == ("elsewhere", "hold")
    assert (then("capacity", "maybe", covered=False).go, then("capacity", "maybe", covered=False).charge) == ("hold", "hold")


def test_what_the_provider_billed_is_settled():
    assert then("capacity", "yes", "id", 0).charge == "release"
    assert then("expired", "yes", "id", 3000).charge == "settle"


def test_it_ends_at_last():
    assert then("capacity", attempts=POLICY.attempts).go == "stop"
    assert then("expired", "yes", "id", 3000, paid=POLICY.paid_attempts - 1).go == "stop", "sooner where it costs money"
    assert then("capacity", paid=99).go == "elsewhere", "this one was free"


SENT, BILLED = st.sampled_from(["no", "maybe", "yes"]), st.none() | st.integers(0, 1000)
KINDS = st.sampled_from(["moderation", "validation", "quota", "auth", "throttled", "capacity", "expired", "bug"])


@given(KINDS, SENT, st.none() | st.just("id"), BILLED, st.integers(1, 30), st.booleans(), st.booleans())
def test_no_second_submit_unless_the_first_is_over_or_both_are_reserved(kind, sent, request, billed, attempts, covered, final):
    made = then(kind, sent, request, billed, attempts=attempts, covered=covered, final=final)
    if made.go == "elsewhere":
        assert sent == "no" or billed is not None or (made.charge == "hold" and covered)
    assert made.charge != "release" or sent == "no" or billed == 0, "nothing is given back that may have been billed"


# The rules as data.


def test_a_mistake_in_the_rules_is_told_with_its_key(tmp_path):
    from models.presets import presets_folder

    text = (presets_folder() / "routing.toml").read_text(encoding="utf-8")
    (tmp_path / "routing.toml").write_text(text.replace('rule = "best"', 'rule = "dearest"'), encoding="utf-8")
    with pytest.raises(BadInput, match=r"tiers\.premium\.rule"):
        load_policy(tmp_path)
    (tmp_path / "routing.toml").write_text(text.replace("half_life", "halflife"), encoding="utf-8")
    with pytest.raises(BadInput, match=r"health\.half_life"):
        load_policy(tmp_path)


def test_the_rules_that_ship_are_the_usual_ones_in_code():
    assert load_policy().health == HealthPolicy()


def test_share_is_a_value():
    assert Share("fal", "m", 2, 6000) == Share("fal", "m", 2, 6000)
