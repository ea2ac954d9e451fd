"""`launch.py --demo-providers`: the Cloud tab to try without a key. Real servers on the loopback, play money, nothing leaves this machine.

The studio then lives in a data folder of its own (`data-demo` beside `data`), so that play money stands in no real ledger. Started there
without the flag, it finds the cloud switched off and the budget gone, so that play money buys nothing real either. Real keys are neither
read nor handed to any process; the demo's own are in the environment of the cloud worker alone.
"""
from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio.money import Money
from studio.providers import place_of
from studio.store import ledger
from studio.store.people import LOCAL

if TYPE_CHECKING:
    from models.cloud.demo import DemoProviders, Draw
    from studio.studio import Studio

MARK = "cloud.demo"  # in the database: this is a folder of play money
DAY_MICRO, MONTH_MICRO = 2_000_000, 20_000_000
QUEUE_SECONDS, DRAW_SECONDS = 0.4, 0.8  # what a request takes there besides the drawing
WORDS = "Demo providers: real servers on this machine, play money; nothing leaves it. Choose FLUX.1 and Where: Cloud allowed."


@contextlib.contextmanager
def demo_providers(studio: Studio, wanted: bool, engine: str) -> Iterator[DemoProviders | None]:
    """Puts them in the places of the real ones, as long as this lasts; to be entered before the studio starts.

    wanted: whether the flag was given. engine: as of `Studio`; with a scripted one they draw by script.
    """
    if not wanted:
        leave(studio)
        yield None
        return
    from models.cloud.demo import DemoProviders  # a server that hardly any studio needs

    with _drawing(engine) as draw, DemoProviders(draw, queue_seconds=QUEUE_SECONDS, draw_seconds=DRAW_SECONDS) as demos:
        studio.providers.stand_in({name: place_of(provider) for name, provider in demos.providers.items()}, demos.env)
        furnish(studio)
        yield demos


def furnish(studio: Studio) -> None:
    """Switches the cloud on with a budget, once; what somebody changes later stays. What earlier demos had taken on is gone with them."""
    if not studio.store.setting(MARK):
        studio.store.set(MARK, "1")
        Money(studio).set_budget({"scope": "studio", "day_micro": DAY_MICRO, "month_micro": MONTH_MICRO}, LOCAL)
        studio.settings.set({"cloud.enabled": True, "cloud.providers": sorted(studio.providers.all())}, LOCAL)
    with studio.store.write() as db:
        for charge in ledger.open_charges(db):
            ledger.release(db, charge["id"], "The demo provider that had it was ended.")


def leave(studio: Studio) -> None:
    """A studio over a demo's folder, without the demo: what was set for play money counts for nothing."""
    if not studio.store.setting(MARK):
        return
    studio.settings.set({"cloud.enabled": False, "cloud.providers": []}, LOCAL)
    with studio.store.write() as db:
        for charge in ledger.open_charges(db):
            ledger.release(db, charge["id"], "The demo provider that had it was ended.")
        db.execute("DELETE FROM budgets")
        db.execute("DELETE FROM credits")
    studio.store.set(MARK, "")


@contextlib.contextmanager
def _drawing(engine: str) -> Iterator[Draw]:
    if engine != "local":
        yield _scripted
        return
    from models.cloud.catalogue import load_providers
    from models.cloud.demo.drawer import Drawer

    real = {name for provider in load_providers().values() for name in provider.keys}
    drawer = Drawer({name: value for name, value in os.environ.items() if name not in real})
    try:
        yield drawer.draw
    finally:
        drawer.close()


def _scripted(prompt: str, width: int, height: int, steps: int, seed: int) -> bytes:
    from models.scripted import seed_picture

    data = io.BytesIO()
    seed_picture(seed % 2**63, width, height).save(data, "PNG", compress_level=1)
    return data.getvalue()
