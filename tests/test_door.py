"""Every field of a request through the HTTP door, fuzzed: a message that names the field, never a 500, no job left behind."""
from __future__ import annotations

import json
import string
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from studios import served

from models.cards import Catalogue
from pipelines.fields import safe
from pipelines.request import Request
from studio.studio import Studio

FIELDS = list(Request.__dataclass_fields__)
JSON = {"Content-Type": "application/json"}

wild_text = st.text(alphabet=st.characters(exclude_categories=()), max_size=40)  # surrogates and control characters included
numbers = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 1, 240, 241, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**400]),
    st.floats(),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e308, -0.0, 5e-324, 4.0]),
)
names = st.sampled_from(
    [
        *["", "embedded", "flux1", "flux2-klein", "preview", "standard", "premium", "1:1", "banner", "none", "img2img", "reference"],
        *["generic", "local", "cloud allowed", "../../etc/passwd", "<b>", "'; DROP TABLE jobs;--"],
    ]
)
scalars = st.one_of(st.none(), st.booleans(), numbers, wild_text, names)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(["name", "weight"]), st.text(string.ascii_letters, max_size=8)), inner, max_size=3),
    ),
    max_leaves=8,
)
prompts = st.one_of(wild_text, st.just("a red mug"), st.just("x" * 4001), st.just(""))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, shipped: Catalogue) -> Iterator[httpx.Client]:
    """One studio without a worker for the whole file: jobs that pass the door stay queued."""
    studio = Studio(tmp_path_factory.mktemp("data"), shipped, engine="scripted")
    with served(studio) as address, httpx.Client(base_url=address, timeout=60) as client:
        client.studio = studio  # type: ignore[attr-defined]
        yield client


def post(door: httpx.Client, path: str, body: Any) -> httpx.Response:
    # allow_nan and lone surrogates: what a careless client sends.
    return door.post(path, content=json.dumps(body).encode(), headers=JSON)


def newest(door: httpx.Client) -> int:
    """The id of the last job in the database itself; 0 when there is none."""
    studio: Studio = door.studio  # type: ignore[attr-defined]
    return studio.store.db.execute("SELECT coalesce(max(id), 0) FROM jobs").fetchone()[0]


def check(door: httpx.Client, body: dict[str, Any], before: int) -> None:
    answer = post(door, "/api/jobs", body)
    if answer.status_code == 201:
        job = answer.json()
        assert job["state"] == "queued"
        assert len(job["images"]) == job["draft"]
        assert 1 <= job["keep"] <= job["draft"] <= 240
        again = post(door, "/api/jobs", job["request"])
        assert again.status_code == 201, "what the door let in, it must let in again"
        assert again.json()["request"] == job["request"]
        for number in (job["id"], again.json()["id"]):
            assert door.post(f"/api/jobs/{number}/cancel", content=b"{}", headers=JSON).status_code == 200
        return
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["what"]
    strange = {safe(key[:80]) or "request" for key in body if key not in FIELDS}
    assert error["field"] in strange or error["field"].split(".")[0] in FIELDS, error
    assert newest(door) == before, "a refused request left a job behind"


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "prompt"])
def test_any_value_in_any_field(door, field):
    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(value=values)
    def fuzz(value: Any) -> None:
        check(door, {"prompt": "a red mug", field: value}, newest(door))

    fuzz()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(prompt=st.one_of(prompts, values))
def test_any_prompt(door, prompt):
    check(door, {"prompt": prompt}, newest(door))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(st.one_of(st.sampled_from(FIELDS), wild_text), values, max_size=6), prompt=prompts)
def test_any_mixture_of_fields_known_and_unknown(door, body, prompt):
    check(door, body | {"prompt": prompt}, newest(door))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(
        st.binary(max_size=60),
        wild_text.map(lambda text: text.encode("utf-8", "surrogatepass")),
        values.map(lambda v: json.dumps(v).encode()),
    )
)
def test_any_bytes(door, body):
    answer = door.post("/api/jobs", content=body, headers=JSON)
    assert answer.status_code in (201, 422), answer.text


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("digits", ["9" * 5000, "-" + "9" * 5000, "1e999999", "[" * 900 + "]" * 900])
def test_numbers_too_long_to_read_and_deep_nesting_reach_the_field(door, field, digits):
    prompt = "" if field == "prompt" else '"prompt": "a red mug", '
    answer = door.post("/api/jobs", content=f'{{{prompt}"{field}": {digits}}}'.encode(), headers=JSON)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["field"].split(".")[0] == field


def test_nesting_without_end_is_refused(door):
    answer = door.post("/api/jobs", content=b"[" * 200_000, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["what"]) == (422, "The request is nested too deeply.")


@pytest.mark.parametrize(("path", "fields"), [("/api/words", ("prompt", "family", "tier")), ("/api/images/1/promote", ("tier", "draft"))])
def test_any_value_at_the_other_doors(door, path, fields):
    @settings(max_examples=40, deadline=None)
    @given(body=st.dictionaries(st.sampled_from(fields), values))
    def fuzz(body: dict[str, Any]) -> None:
        answer = post(door, path, body)
        assert answer.status_code in (200, 404, 422), answer.text
        if answer.status_code == 422:
            assert answer.json()["error"]["field"] in fields

    fuzz()
