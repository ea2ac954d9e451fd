"""The Cloud tab's routes: what it is told, the switch, keys, tests of a provider, what a request would cost, and what stays here."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import keyring
import pytest
from clouds import ASKED, DOLLAR, draw, set_budget, with_cloud
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError
from logins import ADA, BOB, browser
from lorafiles import embedded_lora

from models.cloud.catalogue import load_providers, price_micro
from models.cloud.demo import DemoProviders
from studio.loras import Made
from studio.providers import place_of
from studio.store import ledger
from studio.store.ledger import Charge
from studio.store.people import LOCAL, Who
from studio.studio import Studio

KEY = "a-key-that-nobody-may-read-0123456789"


class Ring(KeyringBackend):
    """A keyring that lives as long as the test."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.entries:
            raise PasswordDeleteError("no such password")
        del self.entries[service, username]


@pytest.fixture(autouse=True)
def ring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ring]:
    """A keyring of each test's own, and an environment without keys."""
    for provider in load_providers().values():
        for name in provider.keys:
            monkeypatch.delenv(name, raising=False)
    before, own = keyring.get_keyring(), Ring()
    keyring.set_keyring(own)
    yield own
    keyring.set_keyring(before)


@pytest.fixture(scope="module")
def demos() -> Iterator[DemoProviders]:
    with DemoProviders(draw) as found:
        yield found


def stand_in(studio: Studio, demos: DemoProviders, **keys: str) -> None:
    studio.providers.stand_in({name: place_of(one) for name, one in demos.providers.items()}, demos.env | keys)


def provider(view: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in view["providers"] if one["name"] == name)


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def test_it_is_off_and_needs_a_budget_before_it_is_on(studio, door, ring):
    view = door.get("/api/cloud").json()
    assert not view["enabled"] and not view["ready"] and not view["budget_set"] and view["why"] == "The cloud is off."
    assert [one["name"] for one in view["providers"]] == ["bfl", "fal", "openai", "replicate", "together"]
    ring.entries["contact-sheet", "fal"] = KEY
    # A key alone switches nothing on, and neither does either door without a budget.
    assert not door.get("/api/cloud").json()["enabled"]
    for path, body in (("/api/cloud/settings", {"enabled": True}), ("/api/settings", {"cloud.enabled": True})):
        error = refused(door.post(path, json=body), 422)
        assert error["field"] == "cloud.enabled" and "budget" in error["what"]
    set_budget(studio.store, DOLLAR)
    view = door.post("/api/cloud/settings", json={"enabled": True}).json()
    assert view["enabled"] and not view["ready"] and view["why"] == "No provider is chosen."
    view = door.post("/api/cloud/settings", json={"providers": ["replicate"]}).json()
    assert view["why"] == "No provider that is chosen has a key." and provider(view, "replicate")["why"] == "It has no key."
    view = door.post("/api/cloud/settings", json={"providers": ["fal", "replicate"], "wait_seconds": 7}).json()
    assert view["ready"] and view["wait_seconds"] == 7 and provider(view, "fal")["usable"]
    assert refused(door.post("/api/cloud/settings", json={"providers": ["nobody"]}), 404)
    assert refused(door.post("/api/cloud/settings", json={"wait": 3}), 422)["field"] == "wait"
    assert door.post("/api/cloud/settings", json={"enabled": False}).json()["enabled"] is False


def test_a_key_goes_to_the_keyring_and_never_comes_back(studio, door, ring, tmp_path):
    answer = door.post("/api/cloud/fal/key", json={"key": KEY})
    assert ring.entries == {("contact-sheet", "fal"): KEY}
    assert answer.json()["key"] == {"source": "keyring", "names": ["FAL_KEY"], "keyring": True, "needed": True, "trouble": ""}
    slip = refused(door.post("/api/cloud/fal/key", json={"key": f"{KEY} and more"}), 422)
    assert slip["field"] == "key" and KEY not in json.dumps(slip) and ring.entries["contact-sheet", "fal"] == KEY
    assert refused(door.post("/api/cloud/fal/key", json={"key": 7}), 422)["field"] == "key"
    everything = answer.text + door.get("/api/cloud").text + door.get("/api/settings").text
    studio.store.db.execute("PRAGMA wal_checkpoint")
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in everything and KEY.encode() not in kept
    assert door.request("DELETE", "/api/cloud/fal/key", headers={"Content-Type": "application/json"}).json()["key"]["source"] is None
    assert not ring.entries
    assert refused(door.post("/api/cloud/nobody/key", json={"key": KEY}), 404)


def test_the_environment_s_key_is_named_and_not_shown(door, monkeypatch):
    monkeypatch.setenv("REPLICATE_API_TOKEN", KEY)
    answer = door.get("/api/cloud")
    assert provider(answer.json(), "replicate")["key"]["source"] == "environment REPLICATE_API_TOKEN" and KEY not in answer.text


def test_the_test_button_asks_the_provider_in_a_process_of_its_own(studio, door, demos):
    stand_in(studio, demos)
    assert door.get("/api/cloud").json()["demo"]
    told = door.post("/api/cloud/fal/test", json={}).json()["tested"]
    assert told["ok"] and told["words"]
    stand_in(studio, demos, FAL_KEY=KEY)
    answer = door.post("/api/cloud/fal/test", json={})
    told = answer.json()["tested"]
    assert not told["ok"] and "key" in told["words"].lower() and KEY not in answer.text
    assert provider(door.get("/api/cloud").json(), "fal")["tested"] == told, "it stays on show"
    assert demos["fal"].billed_micro == 0
    assert refused(door.post("/api/cloud/fal/key", json={"key": KEY}), 503), "the demo takes no real key"


def test_one_s_own_server_needs_an_address_a_model_and_a_price(studio, door):
    own = provider(door.get("/api/cloud").json(), "openai")
    assert not own["usable"] and own["models"] == [] and own["from_micro"] is None and "price" in own["why"]
    assert refused(door.post("/api/cloud/openai/test", json={}), 503)["why"] == own["why"]
    for wrong in ({"base_url": "gpu:8000"}, {"price_micro": -1}, {"url": "http://gpu:8000"}, []):
        assert "openai" in refused(door.post("/api/cloud/settings", json={"openai": wrong}), 422)["field"]
    half = {"base_url": "http://gpu.example:8000/v1", "model": "flux-schnell"}
    own = provider(door.post("/api/cloud/settings", json={"openai": half}).json(), "openai")
    assert not own["usable"], "no price is not a price of nothing"
    own = provider(door.post("/api/cloud/settings", json={"openai": {"price_micro": 0}}).json(), "openai")
    assert own["usable"] and own["from_micro"] == 0 and own["settings"] == half | {"price_micro": 0}


def test_what_it_would_cost_is_said_before_it_is_sent(studio, door, demos):
    stand_in(studio, demos)
    asked = ASKED | {"draft": 5, "keep": 1}
    assert door.post("/api/cloud/quote", json=asked).json()["why"] == "The cloud is switched off."
    set_budget(studio.store, DOLLAR)
    with_cloud(studio, "fal")
    studio.store.db.execute("DELETE FROM budgets")
    assert door.post("/api/cloud/quote", json=asked).json()["why"] == "No budget is set."
    set_budget(studio.store, DOLLAR)
    quote = door.post("/api/cloud/quote", json=asked).json()
    one = price_micro(load_providers()["fal"].model("fal-ai/flux/schnell"), 512, 512, None, 1)
    assert quote["able"] and quote["expected_micro"] == 5 * one == quote["at_most_micro"] and quote["left_micro"] == DOLLAR
    assert quote["words"] == "5 pictures by fal at $0.003"
    studio.settings.set({"cloud.providers": ["fal", "together"]}, LOCAL)
    many = door.post("/api/cloud/quote", json=asked | {"draft": 240}).json()
    parts = re.findall(r"(\d+) (?:pictures )?by \w+ at \$([0-9.]+)", many["words"])
    assert sum(int(count) for count, _ in parts) == 240, many["words"]
    assert many["expected_micro"] == sum(int(count) * round(float(price) * 1e6) for count, price in parts)
    studio.settings.set({"cloud.providers": ["fal"]}, LOCAL)
    assert door.post("/api/cloud/quote", json=asked | {"retries": 2}).json()["at_most_micro"] == 15 * one
    assert refused(door.post("/api/cloud/quote", json=asked | {"draft": 0}), 422)["field"] == "draft"
    nobody = door.post("/api/cloud/quote", json={"prompt": "a red mug", "where": "cloud allowed"}).json()
    assert not nobody["able"] and nobody["why"], "no provider draws the family that ships"
    set_budget(studio.store, 4 * one)
    short = door.post("/api/cloud/quote", json=asked).json()
    assert not short["able"] and "$0.015" in short["why"] and "$0.012" in short["why"]
    studio.settings.set({"cloud.stay": True}, LOCAL)
    set_budget(studio.store, DOLLAR)
    assert "stay" in door.post("/api/cloud/quote", json=asked).json()["why"]
    assert not studio.store.db.execute("SELECT count(*) FROM charges").fetchone()[0], "a quote reserves nothing"


def test_a_ladder_s_price_is_that_of_its_drafts_and_its_finals(studio, door, demos):
    stand_in(studio, demos)
    set_budget(studio.store, 10 * DOLLAR)
    with_cloud(studio, "bfl")
    asked = {"prompt": "a red mug", "family": "flux2-klein", "tier": "standard", "draft": 6, "keep": 2, "ladder": True}
    quote = door.post("/api/cloud/quote", json=asked).json()
    assert quote["able"], quote
    drafts, finals = quote["words"].split(", ")
    assert drafts.startswith("6 drafts by Black Forest Labs at $") and finals.startswith("2 finals by Black Forest Labs at $")
    assert quote["at_most_micro"] > quote["expected_micro"]


def test_an_uncertain_charge_is_resolved_also_when_its_job_is_long_deleted(studio, door):
    set_budget(studio.store, DOLLAR)
    with studio.store.write() as db:
        charge = ledger.reserve(db, Charge("local", "fal", "fal-ai/flux/schnell", 3000, job=4711, numbers=(1,)))
        ledger.begin(db, charge)
        ledger.uncertain(db, charge, "fal did not answer.")
    assert door.get("/api/cloud").json()["uncertain"] == 1
    answer = door.post(f"/api/money/charges/{charge}/resolve", json={"billed": True})
    assert answer.status_code == 200 and not answer.json()["uncertain"]
    view = door.get("/api/cloud").json()
    assert view["uncertain"] == 0 and view["today_micro"] == 3000


def test_only_an_admin_changes_the_cloud(address, ring):
    with browser(address, "bob", BOB) as bob:
        view = bob.get("/api/cloud").json()
        assert view["admin"] is False and view["providers"]
        for path in ("settings", "fal/test", "fal/key"):
            assert refused(bob.post(f"/api/cloud/{path}", json={"key": KEY} if path.endswith("key") else {}), 403)
        assert refused(bob.request("DELETE", "/api/cloud/fal/key", headers={"Content-Type": "application/json"}), 403)
        assert bob.post("/api/settings", json={"cloud.stay": True}).status_code == 200, "what is theirs they decide themselves"
        assert bob.get("/api/cloud").json()["stay"] is True
    assert not ring.entries


def test_a_project_that_stays_here_says_so(address):
    with browser(address, "bob", BOB) as bob, browser(address, "ada", ADA) as ada:
        project = bob.post("/api/projects", json={"title": "Secret launch"}).json()
        assert project["local_only"] is False
        assert bob.post(f"/api/projects/{project['name']}", json={"local_only": True}).json()["local_only"] is True
        assert bob.post(f"/api/projects/{project['name']}", json={"title": "Launch"}).json()["local_only"] is True
        assert refused(bob.post(f"/api/projects/{project['name']}", json={"local_only": "yes"}), 422)["field"] == "local_only"
        other = ada.post("/api/projects", json={"title": "Hers"}).json()
        ada.post(f"/api/projects/{other['name']}", json={"add": ["bob"]})
        assert refused(bob.post(f"/api/projects/{other['name']}", json={"local_only": True}), 403)


def test_a_lora_s_public_address_is_its_owner_s_to_give(guarded, address, tmp_path):
    with browser(address, "bob", BOB) as bob, browser(address, "ada", ADA):
        lora = bob.post("/api/loras", json={"name": "glaze", "title": "Glaze"}).json()
        guarded.loras.register(lora["name"], Made(embedded_lora(tmp_path / "made.safetensors"), "embedded"), Who("bob"))
        path = f"/api/cloud/loras/{lora['name']}/1"
        assert bob.get(path).json() == {"url": None}
        url = "https://example.com/glaze.safetensors"
        assert bob.post(path, json={"url": url}).json() == {"url": url} == bob.get(path).json()
        for wrong in ("http://example.com/x", "https://localhost/x", "file:///etc/passwd", "https://[", "https://ex ample.com/"):
            assert refused(bob.post(path, json={"url": wrong}), 422)["field"] == "url"
        assert refused(bob.post(f"/api/cloud/loras/{lora['name']}/9", json={"url": url}), 404)
        assert bob.post(path, json={"url": ""}).json() == {"url": None}
