"""The demo providers by themselves: states, bills, limits, expiry, webhooks, and each way in which an answer may go wrong."""
from __future__ import annotations

import asyncio
import base64
import email.utils
import http.server
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from demos import draw, size
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from replicate.webhook import Webhooks, WebhookSigningSecret, WebhookValidationError

from models.cloud.catalogue import load_providers, price_micro, sized
from models.cloud.demo import DEMOS, Demo, DemoProviders, Fault, TurnedClock, make
from models.cloud.demo.cases import cases
from models.cloud.demo.faults import LOST
from models.cloud.demo.jobs import Order
from models.cloud.signatures import Unproven, from_fal, read_jwks

ROOT = Path(__file__).parents[1]
SCHEMES = {
    "fal": ("authorization", "Key {}"), "replicate": ("authorization", "Bearer {}"), "together": ("authorization", "Bearer {}"),
    "bfl": ("x-key", "{}"), "openai": ("authorization", "Bearer {}"),
}  # fmt: skip
SUBMITS: dict[str, tuple[str, dict[str, Any]]] = {
    "fal": ("/fal-ai/flux/schnell", {"prompt": "a mug", "image_size": {"width": 64, "height": 64}, "seed": 7}),
    "replicate": ("/v1/models/black-forest-labs/flux-schnell/predictions", {"input": {"prompt": "a mug", "megapixels": "0.25"}}),
    "together": ("/v1/images/generations", {"model": "black-forest-labs/FLUX.1-schnell", "prompt": "a mug", "width": 64, "height": 64}),
    "bfl": ("/v1/flux-2-klein-4b", {"prompt": "a mug", "width": 64, "height": 64}),
    "openai": ("/v1/images/generations", {"model": "flux", "prompt": "a mug", "size": "64x64"}),
}


class Customer:
    """One with a key."""

    def __init__(self, demo: Demo, client: httpx.Client) -> None:
        self.demo, self.client = demo, client

    def submit(self, **more: Any) -> httpx.Response:
        path, body = SUBMITS[self.demo.name]
        if self.demo.name == "replicate":
            body = {**body, "input": body["input"] | more}
        return self.post(path, body if self.demo.name == "replicate" else body | more)

    def post(self, path: str, body: object, **options: Any) -> httpx.Response:
        return self.client.post(self.demo.base_url + path, json=body, **options)

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self.client.get(url, **options)

    def ended(self) -> Any:
        """The newest job, once it is over."""
        until(lambda: self.demo.jobs and all(job.over for job in self.demo.jobs.values()))
        return list(self.demo.jobs.values())[-1]


@pytest.fixture
def customer() -> Iterator[Callable[..., Customer]]:
    """A customer of a demo that is started for it."""
    open_ones: list[Any] = []

    def start(name: str, clock: TurnedClock | None = None, **options: Any) -> Customer:
        demos = DemoProviders(draw, clock, names=[name], **options)
        header, scheme = SCHEMES[name]
        client = httpx.Client(headers={header: scheme.format(demos[name].key)}, timeout=10, trust_env=False)
        open_ones.extend([client, demos])
        return Customer(demos[name], client)

    yield start
    for one in open_ones:
        one.close()


def until(met: Callable[[], Any], seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)
    return found


# Money.


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([(provider, model) for provider in load_providers().values() for model in provider.models.values()]),
    st.integers(256, 2048), st.integers(256, 2048), st.integers(1, 50), st.integers(1, 4), st.integers(0, 3),
)  # fmt: skip
def test_it_bills_what_the_table_of_prices_says(which, width, height, steps, count, references):
    """Two reckonings of one list: the studio's from what is asked for, the demo's from what is drawn."""
    provider, model = which
    demo = DEMOS[provider.engine](draw, models=provider.models)
    across, down = sized(model, width, height)
    order = Order(model.id, "a mug", across, down, steps, 1, count, references=references)
    assert demo.price_micro(order, count) == price_micro(model, width, height, steps, count, references)


@pytest.mark.parametrize("name", DEMOS)
def test_a_request_is_drawn_and_billed_once(customer, name):
    one = customer(name)
    assert one.submit().status_code in (200, 201)
    job = one.ended()
    assert job.state == "done" and one.demo.billed == [(job.id, job.micro, 1)] and job.micro > 0
    assert one.demo.ignored == [] and one.demo.leaks == []


@pytest.mark.parametrize("name", DEMOS)
def test_no_money_no_drawing(customer, name):
    one = customer(name, credit_micro=1)
    answer = one.submit()
    expected = {
        "fal": (403, "User is locked. Reason: Exhausted balance."), "replicate": (402, "Insufficient credit"),
        "together": (402, "Credit limit exceeded"), "bfl": (402, "Insufficient credits"), "openai": (429, "insufficient_quota"),
    }  # fmt: skip
    status, words = expected[name]
    assert answer.status_code == status and words in answer.text and one.demo.jobs == {}


def test_credit_goes_down_by_what_was_billed(customer):
    one = customer("bfl", credit_micro=1_000_000)
    cost = one.submit().json()["cost"]
    one.ended()
    assert one.get(f"{one.demo.base_url}/v1/credits").json()["credits"] == pytest.approx(100 - cost) and cost == 1.4


# Keys.


@pytest.mark.parametrize("name", DEMOS)
def test_another_provider_s_scheme_is_no_key(customer, name):
    one = customer(name)
    path, body = SUBMITS[name]
    for header, scheme in {("authorization", "Key {}"), ("authorization", "Bearer {}"), ("x-key", "{}")} - {SCHEMES[name]}:
        headers = {header: scheme.format(one.demo.key)}
        answer = httpx.post(one.demo.base_url + path, json=body, headers=headers, trust_env=False)
        assert answer.status_code == (403 if name == "bfl" else 401), header
    assert one.demo.jobs == {}


def test_a_key_that_goes_where_it_does_not_belong_is_seen(customer):
    one = customer("fal")
    one.submit()
    (url,) = one.ended().urls
    assert size(httpx.get(url, trust_env=False).content) == (64, 64)
    assert one.demo.leaks == []
    one.get(url)
    one.get(f"{one.demo.foreign_url}/fal-ai/flux/requests/1/status")
    assert [asked.server for asked in one.demo.leaks] == ["cdn", "foreign"]


# Ways in which an answer goes wrong, on the wire.


@pytest.mark.parametrize("kind", LOST)
def test_an_answer_that_is_lost_is_of_a_job_that_is_drawn_and_billed(customer, kind):
    one = customer("replicate")
    one.demo.faults.append(Fault(kind, pace=5.0))
    if kind in ("html", "garbled"):
        answer = one.submit()
        assert answer.is_success
        with pytest.raises(json.JSONDecodeError):
            answer.json()
    elif kind == "flood":
        path, body = SUBMITS["replicate"]
        with one.client.stream("POST", one.demo.base_url + path, json=body) as answer:
            assert sum(map(len, next_ones(answer.iter_raw(), 20))) > 4_000
    else:
        one.client.timeout = 0.3
        with pytest.raises(httpx.ReadTimeout if kind in ("hang", "trickle") else httpx.TransportError):
            one.submit()
    assert one.ended().state == "done"
    assert len(one.demo.billed) == 1


def next_ones(chunks: Iterator[bytes], count: int) -> list[bytes]:
    return [next(chunks) for _ in range(count)]


@pytest.mark.parametrize("kind", ["reset", "hang"])
def test_an_answer_may_also_be_missing_because_nothing_began(customer, kind):
    one = customer("fal")
    one.demo.faults.append(Fault(kind, accepted=False))
    one.client.timeout = 0.3
    with pytest.raises(httpx.TransportError):
        one.submit()
    assert one.demo.jobs == {} and one.submit().is_success


def test_a_body_that_is_shorter_than_promised(customer):
    one = customer("together")
    one.demo.faults.append(Fault("short"))
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        one.submit()


def test_nobody_there(customer):
    one = customer("openai")
    demos = DemoProviders(draw, names=["openai"])
    try:
        url = demos["openai"].base_url
        demos.shut("openai")
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)
        demos.reopen("openai")
        assert demos["openai"].base_url == url and httpx.get(url, trust_env=False).status_code == 401
    finally:
        demos.close()
    assert one.demo.connections == 0


def test_when_to_come_again_is_said_in_seconds_as_a_date_in_the_body_or_not(customer):
    one = customer("together")
    one.demo.faults.extend([Fault("throttled", retry_after=3), Fault("throttled", retry_after="date", seconds=5), Fault("throttled")])
    said = [one.submit() for _ in range(3)]
    assert [answer.status_code for answer in said] == [429] * 3
    assert said[0].headers["retry-after"] == "3" and "retry-after" not in said[2].headers
    when = email.utils.parsedate_to_datetime(said[1].headers["retry-after"]).timestamp()
    assert 2 < when - time.time() <= 5.1
    other = customer("replicate", per_minute=1)
    assert other.submit().status_code == 201
    throttled = other.submit()
    assert throttled.status_code == 429 and "retry-after" not in throttled.headers and "resets in ~60s" in throttled.json()["detail"]


def test_gateways_speak_html(customer):
    one = customer("bfl")
    one.demo.faults.extend([Fault("error", status=502), Fault("error", status=503), Fault("error", status=502, accepted=True)])
    first, second, third = (one.submit() for _ in range(3))
    assert first.status_code == 502 and first.headers["content-type"] == "text/html" and "nginx" in first.text
    assert second.status_code == 503 and "detail" in second.json()
    assert third.status_code == 502 and one.ended().state == "done"
    assert len(one.demo.jobs) == 1


def test_a_redirect_leads_abroad(customer):
    one = customer("fal")
    one.demo.faults.append(Fault("redirect"))
    answer = one.submit()
    assert answer.status_code == 302 and answer.headers["location"].startswith(one.demo.foreign_url)


def test_pictures_are_damaged_expire_and_are_gone(customer):
    clock = TurnedClock()
    one = customer("bfl", clock)
    one.submit()
    (url,) = one.ended().urls
    one.demo.faults.extend([Fault("damaged", "download"), Fault("expired", "download", status=404)])
    with pytest.raises(OSError, match=r"(?i)truncated"):
        size(httpx.get(url, trust_env=False).content)
    assert httpx.get(url, trust_env=False).status_code == 404
    assert size(httpx.get(url, trust_env=False).content) == (64, 64)
    clock.advance(601)
    assert httpx.get(url, trust_env=False).status_code == 403
    assert httpx.get(f"{one.demo.cdn_url}/files/none.png", trust_env=False).status_code == 404


def test_a_connection_is_used_again_and_many_are_served_at_once(customer):
    one = customer("fal")
    for _ in range(5):
        one.submit()
    assert one.demo.connections == 1

    async def many() -> list[int]:
        async with httpx.AsyncClient(headers=dict(one.client.headers), timeout=30, trust_env=False) as client:
            path, body = SUBMITS["fal"]
            answers = await asyncio.gather(*(client.post(one.demo.base_url + path, json=body) for _ in range(60)))
        return [answer.status_code for answer in answers]

    assert asyncio.run(many()) == [200] * 60
    one.ended()
    assert len(one.demo.billed) == 65 == len({bill.request_id for bill in one.demo.billed})


def test_bodies_come_in_pieces_and_after_a_nod(customer):
    one = customer("openai")
    path, body = SUBMITS["openai"]
    data = json.dumps(body).encode()
    answer = one.client.post(one.demo.base_url + path, content=iter([data[:9], data[9:]]), headers={"expect": "100-continue"})
    assert answer.is_success


# fal.


def test_fal_queues_beyond_its_concurrency_and_says_how_many_are_ahead(customer):
    clock = TurnedClock()
    one = customer("fal", clock, fal={"concurrency": 1}, draw_seconds=10)
    tickets = [one.submit().json() for _ in range(3)]
    until(lambda: clock.sleeping == 1)

    def states() -> list[tuple[str, int | None]]:
        said = [one.get(ticket["status_url"]).json() for ticket in tickets]
        return [(state["status"], state.get("queue_position")) for state in said]

    assert states() == [("IN_PROGRESS", None), ("IN_QUEUE", 0), ("IN_QUEUE", 1)]
    assert one.get(tickets[1]["response_url"]).status_code == 400
    clock.advance(10)
    until(lambda: states() == [("COMPLETED", None), ("IN_PROGRESS", None), ("IN_QUEUE", 0)])
    assert one.client.put(tickets[1]["cancel_url"]).json() == {"status": "CANCELLATION_REQUESTED"}
    assert one.client.put(tickets[2]["cancel_url"]).json() == {"status": "OK"}
    clock.advance(10)
    until(lambda: len(one.demo.billed) == 2)  # what was only asked to stop was drawn and charged
    assert one.client.put(f"{one.demo.base_url}/fal-ai/flux/requests/none/cancel").json() == {"status": "NOT_FOUND"}


def test_fal_ends_what_does_not_start_in_time(customer):
    clock = TurnedClock()
    one = customer("fal", clock, queue_seconds=60)
    path, body = SUBMITS["fal"]
    ticket = one.post(path, body, headers={"x-fal-request-timeout": "30"}).json()
    until(lambda: clock.sleeping == 2)
    clock.advance(31)
    said = until(lambda: (state := one.get(ticket["status_url"]).json())["status"] == "COMPLETED" and state)
    assert said["error_type"] == "request_timeout"
    answer = one.get(ticket["response_url"])
    assert answer.status_code == 504 and answer.headers["x-fal-request-timeout-type"] == "user"
    assert one.demo.billed == []


def test_fal_keeps_results_for_an_hour_and_large_ones_for_six_minutes(customer):
    clock = TurnedClock()
    one = customer("fal", clock)
    plain, large = one.submit().json(), one.submit(sync_mode=True, image_size={"width": 1024, "height": 1024}, output_format="png").json()
    one.ended()
    data = one.get(large["response_url"]).json()["images"][0]["url"]
    assert data.startswith("data:image/png;base64,")
    one.demo.jobs[large["request_id"]].pictures[0] += bytes(one.demo.large)
    clock.advance(361)
    assert [one.get(ticket["response_url"]).status_code for ticket in (plain, large)] == [200, 404]
    clock.advance(3600)
    assert one.get(plain["response_url"]).status_code == 404


def test_fal_blackens_what_its_checker_objects_to_and_charges_for_it(customer):
    one = customer("fal")
    one.demo.faults.append(Fault("nsfw", count=1))
    ticket = one.submit(num_images=2, output_format="png").json()
    one.ended()
    result = one.get(ticket["response_url"]).json()
    assert result["has_nsfw_concepts"] == [True, False]
    files = [httpx.get(image["url"], trust_env=False).content for image in result["images"]]
    colours = [Image.open(io.BytesIO(data)).convert("RGB").getcolors() for data in files]
    assert colours[0] == [(64 * 64, (0, 0, 0))] and colours[1] != colours[0]
    assert one.demo.billed[0].images == 2
    # A prompt can do it too.
    one.submit(prompt="a nude figure")
    assert one.ended().flagged == [True]


def test_fal_may_charge_for_what_it_refuses(customer):
    one = customer("fal")
    one.demo.faults.extend([Fault("refused"), Fault("refused", bills=True)])
    for _ in range(2):
        ticket = one.submit().json()
        one.ended()
        answer = one.get(ticket["response_url"])
        assert answer.status_code == 422 and answer.json()["detail"][0]["type"] == "content_policy_violation"
    assert [bill.request_id for bill in one.demo.billed] == [ticket["request_id"]]


def test_fal_passes_over_what_a_model_does_not_have_and_the_demo_notes_it(customer):
    one = customer("fal")
    assert one.submit(negative_prompt="blur").is_success
    assert one.demo.ignored == ["fal-ai/flux/schnell: negative_prompt"]


# Replicate.


def test_replicate_aborts_for_free_what_does_not_start_and_charges_for_what_it_cancels_later(customer):
    clock = TurnedClock()
    one = customer("replicate", clock, queue_seconds=30, draw_seconds=100)
    path, body = SUBMITS["replicate"]
    early = one.post(path, body, headers={"cancel-after": "20s"}).json()
    late = one.post(path, body, headers={"cancel-after": "1m"}).json()
    until(lambda: clock.sleeping == 4)
    clock.advance(20)
    until(lambda: one.get(early["urls"]["get"]).json()["status"] == "aborted")
    clock.advance(10)
    until(lambda: one.get(late["urls"]["get"]).json()["status"] == "processing")
    until(lambda: clock.sleeping == 2)
    clock.advance(30)
    until(lambda: one.get(late["urls"]["get"]).json()["status"] == "canceled")
    assert [bill.request_id for bill in one.demo.billed] == [late["id"]]


def test_replicate_removes_data_after_an_hour(customer):
    clock = TurnedClock()
    one = customer("replicate", clock)
    made = one.submit().json()
    one.ended()
    assert len(one.get(made["urls"]["get"]).json()["output"]) == 1
    clock.advance(3601)
    late = one.get(made["urls"]["get"]).json()
    assert late["data_removed"] is True and late["output"] is None and late["input"] == {} and late["status"] == "succeeded"


def test_replicate_is_slow_with_little_credit(customer):
    one = customer("replicate", credit_micro=100_000)
    one.demo.low_credit_micro = 5_000_000
    assert one.submit().status_code == 201
    assert one.submit().json()["detail"].startswith("Request was throttled. Your rate limit resets in ~")


# BFL.


def test_bfl_is_polled_at_another_host_of_its_own(customer):
    one = customer("bfl")
    told = one.submit().json()
    assert told["polling_url"].startswith(one.demo.region_url) and one.demo.region_url != one.demo.base_url
    assert one.demo.region_url.partition("://")[2] in one.demo.provider.hosts.api
    one.ended()
    said = one.get(told["polling_url"]).json()
    assert said["status"] == "Ready" and size(httpx.get(said["result"]["sample"], trust_env=False).content) == (64, 64)
    assert one.get(f"{one.demo.region_url}/v1/get_result?id=none").json()["status"] == "Task not found"


def test_bfl_refuses_what_it_does_not_know(customer):
    one = customer("bfl")
    for field, value in (("steps", 20), ("width", 63), ("width", 72), ("input_image", "nothing")):
        answer = one.submit(**{field: value})
        assert answer.status_code == 422 and answer.json()["detail"][0]["loc"] == ["body", field], value
    assert one.post("/v1/flux-2-flex", {"prompt": "a mug", "steps": 20, "guidance": 4}).is_success
    assert one.post("/v1/flux-3-image", {"prompt": "a mug", "seed": 1}).status_code == 422
    assert one.post("/v1/flux-none", {"prompt": "a mug"}).status_code == 404


def test_bfl_s_two_refusals_and_what_they_cost(customer):
    one = customer("bfl")
    one.demo.faults.extend([Fault("refused"), Fault("refused", status="Content Moderated"), Fault("failed"), Fault("drift", factor=2)])
    said = []
    for _ in range(4):
        told = one.submit().json()
        one.ended()
        said.append((one.get(told["polling_url"]).json()["status"], told["cost"]))
    assert said == [("Request Moderated", 1.4), ("Content Moderated", 1.4), ("Error", 1.4), ("Ready", 2.8)]
    assert [bill.micro for bill in one.demo.billed] == [14000, 28000]


def test_bfl_takes_so_many_tasks_at_once(customer):
    clock = TurnedClock()
    one = customer("bfl", clock, bfl={"concurrency": 2}, draw_seconds=5)
    assert [one.submit().status_code for _ in range(3)] == [200, 200, 429]
    until(lambda: clock.sleeping == 2)
    clock.advance(5)
    one.ended()
    assert one.submit().status_code == 200 and one.demo.most_at_once == 2


def test_bfl_says_503_with_a_status_in_it(customer):
    one = customer("bfl")
    one.demo.faults.append(Fault("sick", "poll", status="Pending"))
    told = one.submit().json()
    one.ended()
    first, second = one.get(told["polling_url"]), one.get(told["polling_url"])
    assert (first.status_code, first.json()["status"], second.json()["status"]) == (503, "Pending", "Ready")


# Together, and the OpenAI-compatible.


@pytest.mark.parametrize("name", ["together", "openai"])
def test_fewer_and_truncated_pictures(customer, name):
    one = customer(name)
    one.demo.faults.extend([Fault("fewer"), Fault("truncated"), Fault("empty")])
    fewer, truncated, empty = (one.submit(n=2).json()["data"] for _ in range(3))
    assert len(fewer) == 1 and len(truncated) == 2 and empty == []
    assert size(base64.b64decode(truncated[0]["b64_json"])) == (64, 64)
    with pytest.raises(OSError, match=r"(?i)truncated"):
        size(base64.b64decode(truncated[1]["b64_json"]))
    assert [bill.images for bill in one.demo.billed] == [1, 2]


def test_who_leaves_before_the_end_pays(customer):
    clock = TurnedClock()
    one = customer("together", clock, draw_seconds=60)
    one.client.timeout = 0.2
    with pytest.raises(httpx.ReadTimeout):
        one.submit()
    until(lambda: clock.sleeping == 1)
    clock.advance(60)
    until(lambda: len(one.demo.billed) == 1)


def test_openai_takes_pictures_as_a_form(customer):
    one = customer("openai")
    files = [("image[]", ("a.png", draw("", 32, 32, 1, 1), "image/png")), ("image[]", ("b.png", draw("", 32, 32, 1, 2), "image/png"))]
    url = f"{one.demo.base_url}/v1/images/edits"
    answer = one.client.post(url, data={"prompt": "a mug", "size": "128x64", "n": 2}, files=files)
    assert [size(base64.b64decode(entry["b64_json"])) for entry in answer.json()["data"]] == [(128, 64)] * 2
    broken = one.client.post(url, data={"prompt": "a mug"}, files=[("image", ("a.png", b"no", "image/png"))])
    assert broken.status_code == 400 and broken.json()["error"]["param"] == "image"
    assert one.client.post(url, json={"prompt": "a mug"}).status_code == 400


# Webhooks.


class Inbox:
    """Takes what is posted to it on the loopback."""

    def __init__(self) -> None:
        self.mail: list[tuple[dict[str, str], bytes]] = []
        inbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                inbox.mail.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


def test_fal_s_webhooks_are_signed_and_its_keys_change(customer, inbox):
    one = customer("fal")
    path, body = SUBMITS["fal"]

    def delivered(*faults: Fault) -> tuple[dict[str, str], bytes]:
        before = len(inbox.mail)
        one.demo.faults.extend(faults)
        one.post(f"{path}?fal_webhook={inbox.url}", body)
        until(lambda: len(inbox.mail) > before)
        return inbox.mail[-1]

    def keys() -> Any:
        return read_jwks(httpx.get(f"{one.demo.rest_url}/.well-known/jwks.json", trust_env=False).json())

    headers, sent = delivered()
    job = one.ended()
    assert from_fal(headers, sent, keys(), time.time()).request_id == job.id == json.loads(sent)["request_id"]
    assert json.loads(sent)["status"] == "OK" and json.loads(sent)["payload"]["images"][0]["url"] == job.urls[0]
    with pytest.raises(Unproven):
        from_fal(headers, sent + b" ", keys(), time.time())

    old = keys()
    one.demo.signer.rotate(keep_old=True)
    headers, sent = delivered()
    assert len(keys()) == 2 and from_fal(headers, sent, keys(), time.time())
    with pytest.raises(Unproven) as caught:
        from_fal(headers, sent, old, time.time())
    assert caught.value.rekey

    for fault in (Fault("stale", "webhook"), Fault("forged", "webhook")):
        headers, sent = delivered(fault)
        with pytest.raises(Unproven):
            from_fal(headers, sent, keys(), time.time())
    headers, sent = delivered(Fault("failed"))
    assert json.loads(sent)["status"] == "ERROR" and json.loads(sent)["payload"]["detail"]


def test_webhooks_come_twice_or_never(customer, inbox):
    one = customer("replicate")
    path, body = SUBMITS["replicate"]
    one.demo.faults.extend([Fault("duplicate", "webhook"), Fault("missing", "webhook")])
    one.post(path, body | {"webhook": inbox.url})
    until(lambda: len(inbox.mail) == 2)
    assert inbox.mail[0][1] == inbox.mail[1][1] and inbox.mail[0][0]["webhook-id"] == inbox.mail[1][0]["webhook-id"]
    one.post(path, body | {"webhook": inbox.url})
    one.ended()
    until(lambda: not one.demo.faults)
    assert len(inbox.mail) == 2


def test_replicate_s_webhooks_are_signed_as_its_own_client_checks_them(customer, inbox):
    one = customer("replicate")
    path, body = SUBMITS["replicate"]
    secret = WebhookSigningSecret(key=one.get(f"{one.demo.base_url}/v1/webhooks/default/secret").json()["key"])
    one.demo.faults.extend([Fault("stale", "webhook"), Fault("forged", "webhook")])
    for count in (1, 2, 3):
        one.post(path, body | {"webhook": inbox.url})
        until(lambda count=count: len(inbox.mail) == count)
    for (headers, sent), fits in zip(inbox.mail, (False, False, True), strict=True):
        if fits:
            Webhooks.validate(headers=headers, body=sent.decode(), secret=secret, tolerance=300)
            assert len(headers["webhook-signature"].split()) == 2  # one of a retired secret is beside it
        else:
            with pytest.raises(WebhookValidationError):
                Webhooks.validate(headers=headers, body=sent.decode(), secret=secret, tolerance=300)


def test_webhooks_reach_nobody_beyond_this_machine(customer, caplog):
    one = customer("fal")
    path, body = SUBMITS["fal"]
    one.post(f"{path}?fal_webhook=http://192.0.2.1/hook", body)
    one.ended()
    until(lambda: "only reaches this machine" in caplog.text)


# The whole.


@pytest.mark.slow
@pytest.mark.parametrize("name", DEMOS)
def test_every_case_has_a_fault_that_its_provider_understands(customer, name):
    """Each is met by what would meet it: no fault stays in the queue, and none fails the demo itself."""
    one = customer(name)
    names = [case.name for case in cases(name)]
    assert len(names) == len(set(names)) > 25
    one.client.timeout = 0.25
    for case in cases(name):
        one.demo.faults.append(case.fault())
        _live_through(one)
        assert not one.demo.faults or case.times > 1, case
        one.demo.faults.clear()


def _live_through(one: Customer) -> None:
    """A submit, a poll, the result and the pictures, whatever becomes of each."""
    before = set(one.demo.jobs)
    path, body = SUBMITS[one.demo.name]
    try:
        told = json.loads(_some(one, "POST", one.demo.base_url + path, json=body))
    except ValueError:
        told = {}
    urls = [told.get("status_url"), told.get("response_url"), told.get("polling_url"), (told.get("urls") or {}).get("get")]
    ids = set(one.demo.jobs) - before
    if ids and not any(one.demo.jobs[id].has("stuck") for id in ids):
        until(lambda: all(one.demo.jobs[id].over for id in ids))
        urls += [url for id in ids for url in one.demo.jobs[id].urls if url.startswith("http")]
    for url in filter(None, urls):
        _some(one, "GET", url)


def _some(one: Customer, method: str, url: str, **options: Any) -> bytes:
    """As much of an answer as comes soon, b"" where none does."""
    data = b""
    try:
        with one.client.stream(method, url, **options) as answer:
            for chunk in answer.iter_raw():
                data += chunk
                if len(data) > 1_000_000:  # it floods
                    break
    except httpx.TransportError:
        pass
    assert b"demo itself" not in data
    return data


def test_many_drawn_at_once_are_billed_to_the_micro_dollar():
    with DemoProviders(draw) as demos:
        assert set(demos) == set(DEMOS) == set(demos.providers) and len(demos.env) == 5

        async def all_of_them() -> None:
            async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
                for name, demo in demos.items():
                    header, scheme = SCHEMES[name]
                    path, body = SUBMITS[name]
                    calls = [client.post(demo.base_url + path, json=body, headers={header: scheme.format(demo.key)}) for _ in range(8)]
                    assert all(answer.is_success for answer in await asyncio.gather(*calls))

        asyncio.run(all_of_them())
        until(lambda: all(job.over for demo in demos.values() for job in demo.jobs.values()))
        assert demos.billed_micro == sum(bill.micro for demo in demos.values() for bill in demo.billed) > 0
        assert all(len(demo.billed) == 8 for demo in demos.values())


def test_a_drawing_that_fails_is_a_failed_request(customer, caplog):
    def broken(*_: object) -> bytes:
        raise OSError("no ink")

    demo, provider = make("fal", broken)
    assert provider.name == "fal" and demo.base_url
    with DemoProviders(broken, names=["fal"]) as demos:
        one = Customer(demos["fal"], httpx.Client(headers={"authorization": f"Key {demos['fal'].key}"}, trust_env=False))
        ticket = one.submit().json()
        one.ended()
        assert one.get(ticket["response_url"]).status_code == 500 and one.demo.billed == []
        one.client.close()
    assert "no ink" in caplog.text


def test_servers_hold_no_weights_and_no_web_framework():
    names = ("torch", "diffusers", "starlette", "uvicorn", "gradio")
    script = f"import sys, models.cloud.demo, models.cloud.demo.drawer; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
