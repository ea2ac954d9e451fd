"""The demo providers held against the vendors' own clients: pointed at them, these work as they do at the vendors'."""
from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator

import fal_client
import fal_client.client
import httpx
import pytest
import replicate
import together
from demos import draw, size
from PIL import Image
from replicate.exceptions import ModelError, ReplicateError

from models.cloud.demo import Demo, DemoProviders, Fault

SCHNELL = "fal-ai/flux/schnell"
SMALL = {"prompt": "a red mug", "image_size": {"width": 256, "height": 128}, "seed": 7, "output_format": "png"}


@pytest.fixture
def demo(request) -> Iterator[Demo]:
    """The provider that the test is named after."""
    name = request.node.name.split("_")[1]
    with DemoProviders(draw, names=[name]) as demos:
        yield demos[name]
        assert demos[name].ignored == []


@pytest.fixture
def fal(demo, monkeypatch) -> Iterator[fal_client.SyncClient]:
    for name, url in (("QUEUE_URL_FORMAT", f"{demo.base_url}/"), ("RUN_URL_FORMAT", f"{demo.run_url}/"), ("REST_URL", demo.rest_url),
                      ("CDN_URL", demo.cdn_url)):  # fmt: skip
        monkeypatch.setattr(fal_client.client, name, url)
    opened: list[httpx.Client] = []  # which it never closes
    make = fal_client.SyncClient._get_cdn_client
    monkeypatch.setattr(fal_client.SyncClient, "_get_cdn_client", lambda self: opened.append(make(self)) or opened[-1])
    client = fal_client.SyncClient(key=demo.key)
    yield client
    for one in (client._client, *opened):
        one.close()


@pytest.fixture
def replicated(demo, monkeypatch) -> Iterator[replicate.Client]:
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.01")
    client = replicate.Client(api_token=demo.key, base_url=demo.base_url)
    yield client
    client._client.close()


@pytest.fixture
def togetherness(demo) -> Iterator[together.Together]:
    with together.Together(api_key=demo.key, base_url=demo.base_url, max_retries=0) as client:
        yield client


def fetched(url: str) -> bytes:
    return httpx.get(url, trust_env=False).raise_for_status().content


# fal-client.


def test_fal_submits_polls_and_gets_its_result(demo, fal):
    handle = fal.submit(SCHNELL, SMALL | {"num_images": 2})
    states = list(handle.iter_events(with_logs=True, interval=0.01))
    assert isinstance(states[-1], fal_client.Completed) and states[-1].error is None
    result = handle.get()
    assert [size(fetched(image["url"])) for image in result["images"]] == [(256, 128)] * 2
    assert result["seed"] == 7 and result["has_nsfw_concepts"] == [False, False]
    assert demo.billed == [(handle.request_id, 2 * 3000, 2)]


def test_fal_subscribes_and_runs(demo, fal):
    seen = []
    result = fal.subscribe(SCHNELL, SMALL, on_enqueue=seen.append, interval=0.01)
    assert len(seen) == 1 and len(result["images"]) == 1
    assert size(fetched(fal.run(SCHNELL, SMALL)["images"][0]["url"])) == (256, 128)
    assert len(demo.billed) == 2


def test_fal_finds_a_request_again_by_its_id(demo, fal):
    made = fal.submit(SCHNELL, SMALL)
    assert fal.result(SCHNELL, made.request_id)["seed"] == 7
    assert isinstance(fal.status(SCHNELL, made.request_id), fal_client.Completed)
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        fal.cancel(SCHNELL, made.request_id)
    assert caught.value.status_code == 400 and caught.value.response.json() == {"status": "ALREADY_COMPLETED"}


def test_fal_cancels_what_waits(demo, fal):
    demo.faults.append(Fault("stuck"))
    handle = fal.submit(SCHNELL, SMALL)
    assert isinstance(handle.status(), fal_client.Queued)
    handle.cancel()
    state = handle.status()
    assert isinstance(state, fal_client.Completed) and state.error_type == "client_cancelled"
    assert demo.billed == []


def test_fal_says_what_is_wrong_with_an_input_when_its_result_is_asked_for(demo, fal):
    handle = fal.submit(SCHNELL, {"prompt": "x", "num_inference_steps": 99})
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        handle.get(interval=0.01)
    assert caught.value.status_code == 422
    assert caught.value.message[0]["loc"] == ["body", "num_inference_steps"]
    assert isinstance(state := handle.status(), fal_client.Completed) and state.error_type == "value_error"
    assert demo.billed == []


@pytest.mark.parametrize(("fault", "status", "words"), [
    (Fault("unauthorized"), 401, "Authentication is required"),
    (Fault("quota"), 403, "User is locked. Reason: Exhausted balance."),
    (Fault("error", status=500), 500, "Internal Server Error"),
])  # fmt: skip
def test_fal_reads_refusals(demo, fal, fault, status, words):
    demo.faults.append(fault)
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        fal.submit(SCHNELL, SMALL)
    assert caught.value.status_code == status and caught.value.message.startswith(words)
    assert demo.jobs == {}


def test_fal_tells_the_model_s_failure_from_the_infrastructure_s(demo, fal):
    demo.faults.extend([Fault("failed"), Fault("failed", shape="infrastructure")])
    for kind, retryable in (("internal_server_error", "true"), ("runner_disconnected", None)):
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            fal.submit(SCHNELL, SMALL).get(interval=0.01)
        assert caught.value.response_headers.get("x-fal-retryable") == retryable
        shown = caught.value.error_type or caught.value.message[0]["type"]
        assert shown == kind


def test_fal_repeats_throttled_submits_and_resets_by_itself(demo, fal):
    """Which is why the studio does not use it: a submit that was reset was drawn and billed, and is repeated all the same."""
    demo.faults.extend([Fault("throttled"), Fault("reset")])
    fal.subscribe(SCHNELL, SMALL, interval=0.01)
    assert len(demo.billed) == 2


def test_fal_uploads(demo, fal):
    image = Image.new("RGB", (64, 48), "teal")
    url = fal.upload_image(image, format="png")
    assert url.startswith(demo.cdn_url) and size(fetched(url)) == (64, 48)
    stored = fal.upload(fetched(url), "image/png", repository="fal", fallback_repository=[])
    assert size(fetched(stored)) == (64, 48)
    # fal-client itself sends the key with the file to the address that it was given for it.
    assert {asked.method for asked in demo.leaks} == {"PUT"}
    result = fal.subscribe("fal-ai/flux/dev/image-to-image", {"prompt": "a mug", "image_url": url, "strength": 0.6}, interval=0.01)
    assert (result["images"][0]["width"], result["images"][0]["height"]) == (64, 48)


def test_fal_has_no_such_application(fal):
    with pytest.raises(fal_client.FalClientHTTPError, match="Application 'none' not found"):
        fal.submit("fal-ai/none", SMALL)


# replicate.


def test_replicate_runs(demo, replicated):
    given = {"prompt": "a red mug", "num_outputs": 2, "aspect_ratio": "16:9", "megapixels": "0.25", "output_format": "png"}
    urls = replicated.run("black-forest-labs/flux-schnell", input=given)
    assert [size(fetched(url)) for url in urls] == [(672, 384)] * 2
    assert [bill[1:] for bill in demo.billed] == [(6000, 2)]
    assert replicated.run("black-forest-labs/flux-1.1-pro", input={"prompt": "a mug"}).endswith(".webp")


def test_replicate_creates_polls_lists_and_cancels(demo, replicated):
    made = replicated.predictions.create(model="black-forest-labs/flux-schnell", input={"prompt": "a mug", "megapixels": "0.25"})
    assert made.status == "starting"
    made.wait()
    assert made.status == "succeeded" and len(made.output) == 1 and made.metrics["image_count"] == 1
    demo.faults.append(Fault("stuck", state="running"))
    stuck = replicated.predictions.create(model="black-forest-labs/flux-schnell", input={"prompt": "a mug"})
    until(lambda: stuck.reload() or stuck.status == "processing")
    stuck.cancel()
    assert stuck.status == "canceled"
    assert {one.id for one in replicated.predictions.list().results} == {made.id, stuck.id}
    # What was cancelled while it ran is charged.
    assert [bill.images for bill in demo.billed] == [1, 1]


def test_replicate_waits_with_the_submit_and_may_still_be_processing(demo, replicated):
    demo.faults.append(Fault("slow", seconds=1.5))
    began = time.monotonic()
    made = replicated.predictions.create("black-forest-labs/flux-schnell", {"prompt": "a mug", "megapixels": "0.25"}, wait=1)
    assert made.status == "processing" and 0.9 < time.monotonic() - began < 1.5
    made.wait()
    assert made.status == "succeeded"


def test_replicate_reads_problems(demo, replicated):
    def trouble(input: dict[str, object], *faults: Fault) -> ReplicateError:
        demo.faults.extend(faults)
        with pytest.raises(ReplicateError) as caught:
            replicated.predictions.create(model="black-forest-labs/flux-schnell", input=input)
        return caught.value

    wrong = trouble({"prompt": "a mug", "num_outputs": 9})
    assert (wrong.status, wrong.title) == (422, "Input validation failed") and "input.num_outputs" in (wrong.detail or "")
    poor = trouble({"prompt": "a mug"}, Fault("quota"))
    assert (poor.status, poor.title) == (402, "Insufficient credit")
    busy = trouble({"prompt": "a mug"}, Fault("throttled", seconds=30))
    assert busy.status == 429 and busy.detail == "Request was throttled. Your rate limit resets in ~30s."
    stranger = replicate.Client(api_token="r8_wrong", base_url=demo.base_url)
    with pytest.raises(ReplicateError) as caught:
        stranger.accounts.current()
    assert caught.value.status == 401
    stranger._client.close()


def test_replicate_leaves_flagged_pictures_out(demo, replicated):
    demo.faults.extend([Fault("nsfw", count=2), Fault("nsfw")])
    given = {"prompt": "a mug", "num_outputs": 3, "megapixels": "0.25"}
    assert len(replicated.run("black-forest-labs/flux-schnell", input=given)) == 1
    with pytest.raises(ModelError, match="NSFW content detected"):
        replicated.run("black-forest-labs/flux-schnell", input=given)
    assert [bill.images for bill in demo.billed] == [1]


def test_replicate_uploads_and_starts_from_the_file(demo, replicated):
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(out, "PNG")
    out.name = "start.png"
    file = replicated.files.create(out)
    assert file.content_type == "image/png" and size(fetched(file.urls["get"])) == (64, 48)
    given = {"prompt": "a mug", "image": out, "prompt_strength": 0.7, "megapixels": "0.25"}
    assert replicated.run("black-forest-labs/flux-dev", input=given)


def test_replicate_tells_who_and_what_secret(demo, replicated):
    assert replicated.accounts.current().username == "demo"
    assert replicated.webhooks.default.secret().key == demo.signer.secret


# together.


def test_together_generates(demo, togetherness):
    made = togetherness.images.generate(
        model="black-forest-labs/FLUX.1-schnell", prompt="a red mug", n=2, width=512, height=256, steps=4, seed=3, response_format="base64",
        output_format="png", negative_prompt="blur",
    )  # fmt: skip
    assert [size(base64.b64decode(one.b64_json)) for one in made.data] == [(512, 256)] * 2
    assert [one.index for one in made.data] == [0, 1]
    links = togetherness.images.generate(
        model="black-forest-labs/FLUX.1-schnell", prompt="a red mug", width=256, height=256, response_format="url"
    )
    assert size(fetched(links.data[0].url)) == (256, 256)
    # $0.003 a megapixel of a million at four steps, each picture rounded up.
    assert [(bill.micro, bill.images) for bill in demo.billed] == [(2 * 394, 2), (197, 1)]


@pytest.mark.parametrize(("fault", "error"), [
    (Fault("unauthorized"), together.AuthenticationError), (Fault("quota"), together.APIStatusError),
    (Fault("throttled"), together.RateLimitError), (Fault("error", status=503), together.InternalServerError),
    (Fault("refused"), together.UnprocessableEntityError), (Fault("reset"), together.APIConnectionError),
])  # fmt: skip
def test_together_reads_errors(demo, togetherness, fault, error):
    demo.faults.append(fault)
    with pytest.raises(error):
        togetherness.images.generate(model="black-forest-labs/FLUX.1-schnell", prompt="a mug", width=64, height=64)


def test_together_has_no_such_model(togetherness):
    with pytest.raises(together.NotFoundError, match="Unable to access model none"):
        togetherness.images.generate(model="none", prompt="a mug")


def until(met) -> None:
    end = time.monotonic() + 10
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)
