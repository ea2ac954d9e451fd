"""How long things take on this machine, learned from doing them; the source of every estimate."""
from __future__ import annotations

from dataclasses import dataclass

from studio.store.db import Store

SMOOTHING = 0.3  # weight of the newest measurement


@dataclass(frozen=True)
class Timing:
    """Seconds a picture: one denoising step, the rest of drawing (decoding, finishing), scoring. None where never measured."""

    step: float | None = None
    rest: float | None = None
    judge: float | None = None

    def of_draft(self, pictures: int, steps: int) -> float | None:
        """Seconds for `pictures` with `steps` steps each left, scoring included; None when a step was never timed here."""
        if self.step is None:
            return None
        return pictures * (steps * self.step + (self.rest or 0.0) + (self.judge or 0.0))


def timing(store: Store, device: str, card: str, width: int, height: int) -> Timing:
    """This device's figures for a card and size. A size never drawn is estimated from the nearest one by its pixels."""
    row = store.db.execute(
        "SELECT *, 1.0 * ? * ? / (width * height) AS scale FROM timings WHERE device = ? AND card = ?"
        " ORDER BY abs(width * height - ? * ?), width = ? DESC LIMIT 1",
        [width, height, device, card, width, height, width],
    ).fetchone()
    if row is None:
        return Timing()
    step, rest, judge = (None if row[name] is None else row[name] * row["scale"] for name in ("step", "rest", "judge"))
    return Timing(step, rest, judge)


def learn(store: Store, device: str, card: str, width: int, height: int, **seconds: float) -> None:
    """Takes in measurements (`step`, `rest`, `judge`: seconds a picture), exponentially smoothed."""
    for name, value in seconds.items():
        assert name in ("step", "rest", "judge")
        store.db.execute(
            f"INSERT INTO timings (device, card, width, height, {name}) VALUES (?, ?, ?, ?, ?)"
            f" ON CONFLICT (device, card, width, height) DO UPDATE SET {name} ="
            f" CASE WHEN {name} IS NULL THEN excluded.{name} ELSE {name} + ? * (excluded.{name} - {name}) END",
            [device, card, width, height, value, SMOOTHING],
        )


def loadings(store: Store, device: str) -> dict[str, float]:
    """Seconds that each card takes to load on this device, by card; one that never had to be loaded is not there."""
    return {row["card"]: row["seconds"] for row in store.db.execute("SELECT card, seconds FROM loadings WHERE device = ?", [device])}


def learn_loading(store: Store, device: str, card: str, seconds: float) -> None:
    store.db.execute(
        "INSERT INTO loadings VALUES (?, ?, ?)"
        " ON CONFLICT (device, card) DO UPDATE SET seconds = seconds + ? * (excluded.seconds - seconds)",
        [device, card, max(0.0, seconds), SMOOTHING],
    )
