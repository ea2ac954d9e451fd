"""The way up of a picture that a provider drew: from its file and never from its seed alone, or words why not."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from clouds import ASKED, DOLLAR, charges, cloud_worker, far_away, set_budget, settled_down, with_cloud
from studios import served

from models.cards import Catalogue, Family
from models.cloud.demo import DemoProviders
from pipelines.promote import FROM_ELSEWHERE
from studio.providers import place_of
from studio.store import Store
from studio.store.people import LOCAL
from studio.studio import Studio

ONE = {"draft": 1, "keep": 1}


def on(studio: Studio, demos: DemoProviders, provider: str) -> None:
    """The cloud is switched on, with this provider alone."""
    studio.providers.stand_in({name: place_of(one) for name, one in demos.providers.items()}, demos.env)
    set_budget(studio.store, 10 * DOLLAR)
    with_cloud(studio, provider)
    for card in ("flux1-schnell", "flux1-dev"):
        studio.shelf.licences.accept(card, LOCAL)


def drawn(studio: Studio, folder: Path, shipped: Catalogue, **asked: object) -> int:
    """A picture that a provider drew."""
    job = studio.submit({**ASKED, **ONE, **asked})["id"]
    with cloud_worker(folder / "data", shipped):
        [image] = settled_down(studio, job)["images"]
    assert image["place"]
    return int(image["id"])


def sent(store: Store) -> list[tuple[str, str]]:
    return [(row["provider"], row["model"]) for row in charges(store)]


def test_a_provider_finishes_it_from_its_file(studio, door, demos, tmp_path, shipped):
    far_away(studio)
    on(studio, demos, "fal")
    image = drawn(studio, tmp_path, shipped, tier="standard")
    up = door.post(f"/api/images/{image}/promote", json={"tier": "premium"}).json()
    asked = up["request"]
    assert (asked["image"], asked["role"], asked["strength"], asked["where"]) == (image, "img2img", FROM_ELSEWHERE, "cloud allowed")
    with cloud_worker(tmp_path / "data", shipped):
        [final] = settled_down(studio, up["id"])["images"]
    assert final["state"] == "drawn" and final["parent"] == image
    assert [model for _, model in sent(studio.store)] == ["fal-ai/flux/dev", "fal-ai/flux/dev/image-to-image"]
    assert demos["fal"].ignored == []


def test_this_machine_finishes_it_from_its_file_too(studio, door, demos, tmp_path, shipped):
    on(studio, demos, "fal")
    image = drawn(studio, tmp_path, shipped, tier="standard")
    asked = door.post(f"/api/images/{image}/promote", json={"tier": "premium"}).json()["request"]
    assert (asked["image"], asked["role"], asked["seeds"]) == (image, "img2img", [studio.image(image)["seed"]])


def test_who_takes_no_picture_is_not_asked_to_guess_it_from_the_seed(studio, door, demos, tmp_path, shipped):
    far_away(studio)
    on(studio, demos, "bfl")
    image = drawn(studio, tmp_path, shipped, tier="standard")
    refusal = door.post(f"/api/images/{image}/promote", json={"tier": "premium"})
    assert refusal.status_code >= 400 and "starts from no picture" in refusal.json()["error"]["why"]
    assert len(charges(studio.store)) == 1


def test_the_noise_of_this_machine_stays_on_it_however_busy_it_is(studio, door, demos):
    on(studio, demos, "fal")
    job = studio.submit({**ASKED, **ONE, "tier": "standard"})
    [image] = job["images"]
    studio.store.db.execute("UPDATE images SET state = 'drawn', path = 'x.png' WHERE id = ?", [image["id"]])
    asked = door.post(f"/api/images/{image['id']}/promote", json={"tier": "premium"}).json()["request"]
    assert (asked["image"], asked["where"]) == (None, "local")
    studio.cloud.dispatcher.look()
    assert {row["job_id"] for row in charges(studio.store)} <= {job["id"]}


def same_noise(shipped: Catalogue, card: str) -> Catalogue:
    """A family whose finals are drawn from their drafts' noise."""
    family = shipped.family("flux1")
    preview, standard = (replace(family.tiers[name], card=card, loras=0) for name in ("preview", "standard"))
    assert standard.ladder is not None
    ladder = replace(standard.ladder, promotion="same-noise", strength=None)
    standard = replace(standard, promotion="same-noise", strength=None, sizes=preview.sizes, ladder=ladder)
    tiers = {"preview": preview, "standard": standard}
    return replace(shipped, families=dict(shipped.families) | {"flux1": Family("flux1", "FLUX.1", "", tiers)})


@pytest.fixture
def door_of(tmp_path: Path, shipped: Catalogue, demos: DemoProviders) -> Iterator[tuple[Studio, httpx.Client]]:
    studio = Studio(tmp_path / "data", same_noise(shipped, "flux1-dev"), engine="scripted")
    with served(studio) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield studio, client
    studio.stop()


def test_a_ladder_of_one_noise_is_drawn_here_or_finished_from_its_drafts_files(door_of, demos):
    studio, door = door_of
    on(studio, demos, "fal")
    asked = {**ASKED, "tier": "standard", "ladder": True, "draft": 2, "keep": 1}
    quote = door.post("/api/cloud/quote", json=asked).json()
    assert not quote["able"] and "the same noise" in quote["why"]
    here = door.post("/api/jobs", json=asked).json()
    studio.cloud.dispatcher.look()
    assert charges(studio.store) == [] and "the same noise" in studio.job(here["id"])["route"]

    far_away(studio)
    quote = door.post("/api/cloud/quote", json=asked).json()
    assert quote["able"], quote
    away = door.post("/api/jobs", json=asked)
    assert away.status_code == 201, away.text
    assert studio.store.db.execute(
        "SELECT json_extract(plan, '$.promotion'), json_extract(plan, '$.final.spec.strength') FROM jobs WHERE id = ?", [away.json()["id"]]
    ).fetchone()[:] == ("img2img", FROM_ELSEWHERE)

    on(studio, demos, "bfl")  # it has nothing that starts from a picture: its drafts would be paid for in vain
    refusal = door.post("/api/jobs", json=asked)
    assert refusal.status_code >= 400 and "starts from no picture" in refusal.json()["error"]["why"]
