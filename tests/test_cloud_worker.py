"""From a request to a picture that a provider drew: dispatch, calls, money and rows, against demo providers on the loopback."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clouds import ASKED, charges, cloud_worker, draw, far_away, settled_down, spent, stand_in, with_cloud

from models.cards import Catalogue
from models.cloud.demo import DemoProviders
from studio.studio import Studio


@pytest.fixture
def demos(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoProviders]:
    demos = DemoProviders(draw)
    stand_in(monkeypatch, demos)
    yield demos
    demos.close()


@pytest.fixture
def cloudy(demos: DemoProviders, studio: Studio) -> Studio:
    """A studio without a device, whose requests can only be drawn by providers."""
    far_away(studio)
    return studio


@pytest.mark.parametrize("provider", ["fal", "replicate", "together", "bfl", "openai"])
def test_a_request_is_drawn_by_a_provider_and_paid_to_the_micro_dollar(
    cloudy: Studio, demos: DemoProviders, tmp_path: Path, shipped: Catalogue, provider: str
) -> None:
    with_cloud(cloudy, provider)
    family, tier = ("flux2-klein", "standard") if provider == "bfl" else ("flux1", "preview")
    asked = {**ASKED, "family": family, "tier": tier, "draft": 2, "keep": 1}
    job = cloudy.submit(asked)["id"]
    with cloud_worker(tmp_path / "data", shipped):
        view = settled_down(cloudy, job)
    drawn = [one for one in view["images"] if one["state"] == "drawn"]
    assert len(drawn) == 2
    assert all(one["place"].startswith(f"{provider} ") and one["seconds"] is None for one in drawn)
    assert all((tmp_path / "data" / row["path"]).is_file() for row in cloudy.store.db.execute("SELECT path FROM images"))
    assert {row["state"] for row in charges(cloudy.store)} == {"settled"}
    assert spent(cloudy.store) == demos[provider].billed_micro > 0
    assert demos[provider].leaks == []
    assert provider in view["route"].lower() or view["route"]
    assert view["where"] == "cloud allowed"
