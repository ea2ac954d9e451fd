"""Every engine against a real server of its provider on the loopback: what arrives, what is told apart, what is repeated and never is."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from models.cloud import engine_for
from models.cloud.catalogue import Provider, configured, lacks, load_providers
from models.cloud.demo import DEMOS, Demo, Fault, serving
from models.cloud.spec import Call, CloudEngine, CloudError, Reference, Ticket
from models.cloud.transport import Transport, TransportLimits

NAMES = sorted(DEMOS)
SLOW = pytest.mark.slow  # the rest of a matrix, of which one row runs always
QUEUES = [name for name in NAMES if name not in ("together", "openai")]  # that give an id before they draw
QUICK = TransportLimits(base=0.01, cap=0.02, try_=0.5, tries=3)
SECONDS = 8.0
LOST = ("hang", "trickle", "short", "flood", "html", "garbled")
QUESTIONED = ("hang", "short", "html", "garbled", "throttled", "redirect", "error", "damaged")
Body = Callable[[Demo, CloudEngine, Transport], Awaitable[None]]


def draw(prompt: str, width: int, height: int, steps: int, seed: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (seed % 256, steps % 256, len(prompt) % 256)).save(file, "PNG", compress_level=1)
    return file.getvalue()


async def soon(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.01))


def against(name: str | Provider, body: Body, *faults: Fault, key: str | None = None, limits: TransportLimits = QUICK, **options) -> None:
    """Runs `body` with an engine and the demo it talks to; nothing may have leaked by the end."""

    async def run() -> None:
        async with serving(name, draw, **options) as demo, Transport(limits, sleep=soon) as transport:
            demo.faults.extend(faults)
            assert demo.provider is not None
            await body(demo, engine_for(demo.provider, demo.key if key is None else key, transport), transport)
            assert not demo.leaks and not demo.seen("foreign")
            assert not demo.ignored, "fields that the provider does not know"

    asyncio.run(asyncio.wait_for(run(), 30))


def order(demo: Demo, index: int = 0, **more) -> Call:
    provider = demo.provider
    assert provider is not None
    model = list(provider.models)[index]
    return Call(**{"provider": provider.name, "model": model, "prompt": "a red mug", "width": 512, "height": 512, "seeds": (7,)} | more)


def posts(demo: Demo) -> int:
    return len([asked for asked in demo.requests if asked.method == "POST" and asked.server == "api"])


async def drawn(engine: CloudEngine, transport: Transport, call: Call, seconds: float = SECONDS):
    ticket = await engine.submit(call, transport.clock() + seconds)
    return ticket, await engine.collect(ticket, transport.clock() + seconds)


async def failing(doing: Awaitable[object]) -> CloudError:
    with pytest.raises(CloudError) as told:
        await doing
    return told.value


# What goes well.


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_drawn_and_costs_what_the_provider_bills(name):
    async def body(demo, engine, transport):
        states: list[str] = []
        call = order(demo, steps=4)
        ticket = await engine.submit(call, transport.clock() + SECONDS)
        assert ticket.price_micro > 0 and ticket.seeds == (7,)
        result = await engine.collect(ticket, transport.clock() + SECONDS, states.append)
        (picture,) = result.pictures
        assert picture.mime == "image/png" and picture.seed == 7 and not picture.flagged
        with Image.open(io.BytesIO(picture.data)) as image:
            assert image.size == (picture.width, picture.height)
            assert image.getpixel((3, 3))[0] == 7  # drawn from the seed that was asked
        assert [(bill.micro, bill.images) for bill in demo.billed] == [(result.billed_micro, 1)]
        assert states == list(dict.fromkeys(states))

    against(name, body)


@pytest.mark.parametrize("name", ["replicate", *(pytest.param(one, marks=SLOW) for one in NAMES if one != "replicate")])
def test_every_model_takes_the_call_that_it_does_not_lack(name):
    """Each of them, with all that it can do; an unknown or wrong field is refused or noted by the demo."""
    png = Reference(draw("shown", 300, 200, 1, 9), "image/png")

    async def body(demo, engine, transport):
        for index, model in enumerate(demo.provider.models.values()):
            can = model.capabilities
            shown = can.img2img or can.needs_picture
            call = order(
                demo,
                index,
                width=1024,
                height=1024,
                seeds=tuple(range(can.batch)),
                steps=can.steps[0] if can.steps else None,
                guidance=3.0 if can.guidance else None,
                negative="rain" if can.negative else "",
                references=(png,) * (1 if shown else can.references),
                strength=0.6 if can.img2img else None,
                loras=(("https://example.com/a.safetensors", 0.8),) * can.loras,
            )
            assert lacks(model, call) == ""
            before = demo.billed_micro
            ticket, result = await drawn(engine, transport, call)
            assert len(result.pictures) == can.batch and all(result.pictures), model.id
            assert demo.billed_micro - before == result.billed_micro == ticket.price_micro, model.id
            assert (result.pictures[0].seed is None) is (can.batch > 1)

    against(name, body)


@pytest.mark.parametrize("name", QUEUES)
def test_another_process_collects_what_this_one_ordered(name):
    async def body(demo, engine, transport):
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        kept = json.loads(json.dumps(ticket.to_dict()))
        async with Transport(QUICK, sleep=soon) as other:
            result = await engine_for(demo.provider, demo.key, other).collect(Ticket.from_dict(kept), other.clock() + SECONDS)
        assert result.pictures[0] is not None and len(demo.billed) == 1 and posts(demo) == 1

    against(name, body)


@pytest.mark.parametrize("name", ["together", "openai"])
def test_an_answer_that_was_not_kept_is_gone_and_says_so(name):
    async def body(demo, engine, transport):
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        error = await failing(engine.collect(Ticket.from_dict(ticket.to_dict()), transport.clock() + SECONDS))
        assert (error.kind, error.sent, error.final, error.billed_micro) == ("expired", "yes", True, None)

    against(name, body)


@pytest.mark.parametrize("name", ["fal", "replicate"])
def test_the_webhook_is_told_to_the_provider_and_no_one_else(name):
    async def body(demo, engine, transport):
        await engine.submit(order(demo, webhook="http://127.0.0.1:9/told?of=x"), transport.clock() + SECONDS)
        assert next(iter(demo.jobs.values())).webhook == "http://127.0.0.1:9/told?of=x"

    against(name, body)


def test_where_a_queue_is_at_is_told_once_each():
    async def body(demo, engine, transport):
        states: list[str] = []
        await engine.submit(order(demo), transport.clock() + SECONDS)
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        await engine.collect(ticket, transport.clock() + SECONDS, states.append)
        assert states[-1] == "drawing" and any(state.startswith("queued") for state in states) and len(set(states)) == len(states)

    against("fal", body, draw_seconds=0.15, concurrency=1)


# Keys.


@pytest.mark.parametrize("name", NAMES)
def test_a_key_is_tested_for_nothing_and_a_wrong_one_says_so_without_repeating_itself(name):
    async def body(demo, engine, transport):
        good = await engine.check()
        assert good.ok and demo.provider.title in good.words
        assert good.credit_micro == (123_450_000 if name == "bfl" else None)
        bad = await engine_for(demo.provider, "wrong-key-12345678", transport).check()
        assert not bad.ok and "does not accept the key" in bad.words and "wrong-key-12345678" not in bad.words
        assert not demo.billed

    against(name, body)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("fault", "kind"), [("unauthorized", "auth"), pytest.param("forbidden", "auth", marks=SLOW), ("quota", "quota")])
def test_keys_and_money_are_told_apart_and_asked_once(name, fault, kind):
    async def body(demo, engine, transport):
        error = await failing(engine.submit(order(demo), transport.clock() + SECONDS))
        assert (error.kind, error.sent, error.final, error.billed_micro) == (kind, "no", True, 0)
        assert posts(demo) == 1 and not demo.billed

    against(name, body, Fault(fault))


# Before and after sending.


@pytest.mark.parametrize("name", NAMES)
def test_what_never_left_is_known_not_to_have(name):
    async def run() -> None:
        async with Transport(QUICK, sleep=soon) as transport:
            async with serving(name, draw) as demo:
                engine, call = engine_for(demo.provider, demo.key, transport), order(demo)
            error = await failing(engine.submit(call, transport.clock() + 2))
            assert (error.kind, error.sent, error.final, error.billed_micro) == ("capacity", "no", False, 0)

    asyncio.run(run())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["reset", *(pytest.param(one, marks=SLOW) for one in LOST)])
def test_a_lost_answer_is_uncertain_and_never_asked_for_twice(name, kind):
    async def body(demo, engine, transport):
        error = await failing(engine.submit(order(demo), transport.clock() + 0.4))
        assert (error.sent, error.final, error.billed_micro) == ("maybe", False, None)
        assert error.kind == ("bug" if kind in ("html", "garbled") else "capacity")
        assert posts(demo) == 1
        assert demo.billed_micro <= 40_000  # what was reserved for it covers it

    against(name, body, Fault(kind, pace=0.2), limits=replace(QUICK, picture_bytes=2**21))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("status", [500, pytest.param(502, marks=SLOW), pytest.param(504, marks=SLOW)])
def test_a_gateway_s_error_is_uncertain_too(name, status):
    async def body(demo, engine, transport):
        error = await failing(engine.submit(order(demo), transport.clock() + SECONDS))
        assert (error.kind, error.sent) == ("capacity", "maybe") and posts(demo) == 1

    against(name, body, Fault("error", status=status))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "fault", [{"retry_after": 1}, pytest.param({"retry_after": "date"}, marks=SLOW), pytest.param({"retry_after": None}, marks=SLOW)]
)
def test_throttling_is_waited_for_and_then_drawn_once(name, fault):
    async def body(demo, engine, transport):
        _, result = await drawn(engine, transport, order(demo), 60)
        assert result.pictures[0] is not None and posts(demo) == 2 and len(demo.billed) == 1

    against(name, body, Fault("throttled", **{"seconds": 1} | fault))


@pytest.mark.parametrize("name", NAMES)
def test_a_503_is_asked_again_and_no_more_often_than_allowed(name):
    async def body(demo, engine, transport):
        error = await failing(engine.submit(order(demo), transport.clock() + SECONDS))
        assert (error.kind, error.sent, error.final) == ("capacity", "no", False)
        assert posts(demo) == QUICK.tries and not demo.billed

    against(name, body, Fault("error", status=503, times=9))


def test_a_long_wait_goes_back_to_who_may_choose_another():
    async def body(demo, engine, transport):
        error = await failing(engine.submit(order(demo), transport.clock() + 600))
        assert (error.kind, error.sent, error.retry_after) == ("throttled", "no", 45.0) and posts(demo) == 1

    against("replicate", body, Fault("throttled", seconds=45))


# Polling and fetching.


MET = [
    pytest.param(kind, moment, marks=() if kind == "reset" and moment != "result" else SLOW)
    for kind in ("reset", *QUESTIONED)
    for moment in (("download",) if kind == "damaged" else ("poll", "result", "download"))
]


@pytest.mark.parametrize("name", QUEUES)
@pytest.mark.parametrize(("kind", "moment"), MET)
def test_questions_are_asked_again_and_nothing_is_ordered_twice(name, kind, moment):
    async def body(demo, engine, transport):
        _, result = await drawn(engine, transport, order(demo), 20)
        assert result.pictures[0] is not None and posts(demo) == 1
        assert demo.billed_micro == result.billed_micro

    # A hang that is met in the middle costs one try; two faults in a row are survived as well as one.
    against(name, body, Fault(kind, at=moment, times=1 if kind == "hang" else 2, retry_after=0), limits=replace(QUICK, try_=0.3))


@pytest.mark.parametrize("name", QUEUES)
def test_pictures_that_are_gone_were_paid_for_all_the_same(name):
    async def body(demo, engine, transport):
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        error = await failing(engine.collect(ticket, transport.clock() + SECONDS))
        assert (error.kind, error.sent, error.final) == ("expired", "yes", True)
        assert error.request_id == ticket.request_id and error.billed_micro == demo.billed_micro > 0

    against(name, body, Fault("expired", at="download", times=99))


def test_a_signed_address_that_ran_out_is_asked_for_afresh():
    async def body(demo, engine, transport):
        _, result = await drawn(engine, transport, order(demo))
        assert result.pictures[0] is not None

    against("bfl", body, Fault("expired", at="download", times=QUICK.picture_tries))


@pytest.mark.parametrize("name", QUEUES)
def test_no_stranger_is_polled(name):
    async def body(demo, engine, transport):
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        error = await failing(engine.collect(ticket, transport.clock() + SECONDS))
        assert (error.kind, error.sent, error.final) == ("bug", "yes", True) and "not its own" in error.what
        assert error.request_id == ticket.request_id

    against(name, body, Fault("foreign"))


@pytest.mark.parametrize("name", QUEUES)
def test_the_deadline_ends_the_wait_and_not_the_request(name):
    async def body(demo, engine, transport):
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        error = await failing(engine.collect(ticket, transport.clock() + 0.1))
        assert (error.kind, error.sent, error.final, error.billed_micro) == ("capacity", "yes", False, None)
        assert error.request_id == ticket.request_id
        result = await engine.collect(ticket, transport.clock() + SECONDS)
        assert result.pictures[0] is not None and len(demo.billed) == 1

    against(name, body, Fault("slow", seconds=0.4))


@pytest.mark.parametrize("name", QUEUES)
def test_an_unheard_of_state_is_waited_through_and_named(name):
    async def body(demo, engine, transport):
        states: list[str] = []
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        assert (await engine.collect(ticket, transport.clock() + SECONDS, states.append)).pictures[0] is not None
        assert {"rebalancing", "migrating", "rescheduled"} & set(states)

    against(name, body, Fault("unknown", at="poll"), draw_seconds=0.05)


@pytest.mark.parametrize("name", QUEUES)
def test_a_request_that_is_not_there_is_over_soon(name):
    async def body(demo, engine, transport):
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        lost = replace(ticket, request_id="0000", urls={at: url.replace(ticket.request_id, "0000") for at, url in ticket.urls.items()})
        error = await failing(engine.collect(lost, transport.clock() + SECONDS))
        assert (error.kind, error.sent, error.final) == ("expired", "yes", True)

    against(name, body)


# What the provider does not draw.


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_content_is_told_as_that(name):
    async def body(demo, engine, transport):
        error = await failing(drawn(engine, transport, order(demo)))
        assert error.kind == "moderation" and error.final and "refused the content" in error.what
        assert error.billed_micro in (0, None) and not demo.billed

    against(name, body, Fault("refused"))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_checker_flags_is_refused_and_settled_at_what_was_billed(name):
    async def body(demo, engine, transport):
        error = await failing(drawn(engine, transport, order(demo)))
        assert error.kind == "moderation" and error.final
        # BFL does not say whether it charges for what it withheld.
        assert error.billed_micro == (None if name == "bfl" else demo.billed_micro)

    against(name, body, Fault("nsfw"))


def test_one_flagged_picture_of_several_is_marked_by_fal_and_missing_at_replicate():
    async def fal(demo, engine, transport):
        _, result = await drawn(engine, transport, order(demo, seeds=(1, 2, 3)))
        assert [picture.flagged for picture in result.pictures] == [True, False, False]
        assert result.billed_micro == demo.billed_micro == 9_000

    async def replicate(demo, engine, transport):
        _, result = await drawn(engine, transport, order(demo, seeds=(1, 2, 3)))
        assert [picture is None for picture in result.pictures] == [False, False, True]
        assert result.billed_micro == demo.billed_micro == 6_000

    against("fal", fal, Fault("nsfw", count=1))
    against("replicate", replicate, Fault("nsfw", count=1))


@pytest.mark.parametrize("name", NAMES)
def test_an_invalid_call_is_told_in_the_provider_s_words(name):
    async def body(demo, engine, transport):
        error = await failing(drawn(engine, transport, order(demo)))
        assert error.kind == "validation" and error.final and len(error.why) > 10 and not demo.billed

    against(name, body, Fault("invalid"))


@pytest.mark.parametrize("name", NAMES)
def test_what_a_model_lacks_is_refused_before_a_byte_leaves(name):
    async def body(demo, engine, transport):
        error = await failing(engine.submit(order(demo, width=16384, height=512), transport.clock() + SECONDS))
        assert (error.kind, error.sent) == ("validation", "no") and not demo.requests

    against(name, body)


@pytest.mark.parametrize("name", QUEUES)
def test_a_failed_drawing_is_over_and_free(name):
    async def body(demo, engine, transport):
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        error = await failing(engine.collect(ticket, transport.clock() + SECONDS))
        assert (error.kind, error.sent, error.final, error.billed_micro) == ("capacity", "yes", True, 0)
        assert error.request_id == ticket.request_id and not demo.billed

    against(name, body, Fault("failed"))


def test_fal_s_infrastructure_fails_in_its_own_shape():
    async def body(demo, engine, transport):
        error = await failing(drawn(engine, transport, order(demo)))
        assert (error.kind, error.billed_micro, error.final) == ("capacity", 0, True) and "runner" in error.why

    against("fal", body, Fault("failed", shape="infrastructure"))


def test_what_fal_may_have_charged_for_is_not_called_free():
    async def body(demo, engine, transport):
        error = await failing(drawn(engine, transport, order(demo)))
        assert error.kind == "validation" and error.billed_micro is None and demo.billed_micro == 3_000

    against("fal", body, Fault("invalid", bills=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_success_without_a_picture_is_a_failure(name):
    async def body(demo, engine, transport):
        error = await failing(drawn(engine, transport, order(demo)))
        assert (error.kind, error.sent, error.final) == ("bug", "yes", True)
        assert error.billed_micro == demo.billed_micro == 0

    against(name, body, Fault("empty"))


@pytest.mark.parametrize("name", ["together", "openai"])
@pytest.mark.parametrize(("kind", "billed"), [("fewer", 2), ("truncated", 3)])
def test_fewer_and_broken_pictures_of_a_batch_are_missing(name, kind, billed):
    async def body(demo, engine, transport):
        ticket, result = await drawn(engine, transport, order(demo, seeds=(1, 2, 3)))
        assert [picture is None for picture in result.pictures] == [False, False, True]
        assert result.billed_micro == demo.billed_micro == ticket.price_micro // 3 * billed

    against(name, body, Fault(kind))


def test_bfl_s_own_cost_is_what_is_settled():
    async def body(demo, engine, transport):
        ticket, result = await drawn(engine, transport, order(demo))
        assert ticket.billed_micro == result.billed_micro == demo.billed_micro == 21_000 != ticket.price_micro

    against("bfl", body, Fault("drift", factor=1.5))


@pytest.mark.parametrize("status", ["Error", "Pending"])
def test_bfl_s_503_with_json_is_read_as_what_it_says(status):
    async def body(demo, engine, transport):
        _, result = await drawn(engine, transport, order(demo))
        assert result.pictures[0] is not None

    against("bfl", body, Fault("sick", at="poll", status=status))


@pytest.mark.parametrize(("kind", "pictures"), [("aborted", 0), ("canceled", 2)])
def test_replicate_s_ends_are_told_apart(kind, pictures):
    async def body(demo, engine, transport):
        error = await failing(drawn(engine, transport, order(demo, seeds=(1, 2))))
        assert (error.kind, error.final, error.billed_micro) == ("capacity", True, 3000 * pictures)
        assert demo.billed_micro == error.billed_micro

    against("replicate", body, Fault(kind))


@pytest.mark.parametrize("shape", ["string", "list"])
def test_replicate_gives_a_list_or_a_string(shape):
    async def body(demo, engine, transport):
        _, result = await drawn(engine, transport, order(demo))
        assert result.pictures[0] is not None

    against("replicate", body, Fault("output", shape=shape))


def test_replicate_s_removed_data_is_expired_and_was_paid():
    async def body(demo, engine, transport):
        error = await failing(drawn(engine, transport, order(demo)))
        assert error.kind == "expired" and error.billed_micro == demo.billed_micro == 3_000

    against("replicate", body, Fault("data_removed", at="result", times=9))


def test_an_openai_server_is_shown_pictures_by_a_form():
    png = Reference(draw("shown", 30, 20, 1, 9), "image/png")
    able = configured(load_providers()["openai"], "http://127.0.0.1/v1", "flux", 2_000, references=2)

    async def body(demo, engine, transport):
        for many in (1, 2):
            _, result = await drawn(engine, transport, order(demo, references=(png,) * many, steps=3))
            assert result.pictures[0].width == 512
            assert next(reversed(demo.jobs.values())).order.references == many
        assert demo.seen(method="POST") == ["/v1/images/edits"] * 2 and demo.billed_micro == 4_000

    against(able, body)


# Cancelling.


@pytest.mark.parametrize(("name", "state", "promised"), [("fal", "queued", True), ("fal", "running", False), ("replicate", "queued", True)])
def test_a_cancel_says_whether_it_is_sure(name, state, promised):
    async def body(demo, engine, transport):
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        while state == "running" and not any(job.state == "running" for job in demo.jobs.values()):
            await asyncio.sleep(0.01)
        assert await engine.cancel(ticket) is promised
        assert not demo.billed

    against(name, body, Fault("stuck", state=state))


@pytest.mark.parametrize("name", ["together", "bfl", "openai"])
def test_where_there_is_no_cancel_none_is_promised(name):
    async def body(demo, engine, transport):
        ticket = await engine.submit(order(demo), transport.clock() + SECONDS)
        assert await engine.cancel(ticket) is False

    against(name, body)


# Many at once.


@SLOW
def test_many_calls_share_a_bounded_pool():
    async def body(demo, engine, transport):
        results = await asyncio.gather(*(drawn(engine, transport, order(demo, seeds=(seed,)), 25) for seed in range(60)))
        assert sorted(result.pictures[0].seed for _, result in results) == list(range(60))
        assert len(demo.billed) == 60

        assert 1 < demo.most_open <= 8
        await asyncio.sleep(0.8)
        assert demo.open_now == 0  # nobody asks for anything more, so nothing is held open

    against("bfl", body, limits=replace(QUICK, connections=8, idle=8, idle_seconds=0.3, try_=20))


def test_the_engines_bring_no_torch_along():
    code = "import sys; from models.cloud import bfl, fal, openai, replicate, together; print({'torch', 'gradio'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parent.parent)
    assert done.stdout.strip() == "set()", done.stderr
