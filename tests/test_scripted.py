"""The scripted engine: the events of a real engine, in order; a seed is a picture; closing stops it within one step."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import Unavailable
from models.scripted import ScriptedEngine, seed_picture
from models.spec import ImageSpec, Picture, Preview, Step


def spec(seeds=(7, 8), **more) -> ImageSpec:
    return ImageSpec(**{"prompt": "a red mug", "width": 96, "height": 64, "steps": 3, "guidance": 1.0, "seeds": seeds, **more})


def test_events_come_in_the_order_of_a_real_engine():
    events = list(ScriptedEngine().generate(spec()))
    assert [type(event) for event in events] == [Step, Preview, Preview] * 3 + [Picture, Picture]
    assert [(event.index, event.total) for event in events if isinstance(event, Step)] == [(1, 3), (2, 3), (3, 3)]
    pictures = [event for event in events if isinstance(event, Picture)]
    assert [picture.seed for picture in pictures] == [7, 8]
    assert all(picture.image.size == (96, 64) and picture.image.mode == "RGB" for picture in pictures)


def test_a_seed_is_a_picture_whatever_batch_it_rode_in():
    def drawn(seeds):
        events = ScriptedEngine().generate(spec(seeds))
        return {event.seed: np.asarray(event.image) for event in events if isinstance(event, Picture)}

    together, alone = drawn((2**63 - 1, 5, 0)), drawn((5,))
    assert np.array_equal(together[5], alone[5])
    assert not np.array_equal(together[5], together[0])


def test_closing_runs_no_further_step():
    engine = ScriptedEngine()
    events = engine.generate(spec(steps=50))
    next(events)
    events.close()
    assert engine.steps_run == 1


def test_a_failing_seed_fails_its_batch_after_the_steps_before_it():
    engine = ScriptedEngine(fail_on={8: Unavailable("the device went away")})
    seen = []
    with pytest.raises(Unavailable, match="went away"):
        seen.extend(engine.generate(spec()))
    assert engine.steps_run == 2
    assert [event.seed for event in engine.generate(spec((7, 9))) if isinstance(event, Picture)] == [7, 9]


def test_a_start_picture_runs_a_share_of_the_steps(tmp_path):
    start = tmp_path / "start.png"
    seed_picture(1, 64, 64).save(start)
    events = ScriptedEngine().generate(spec(steps=20, image=start, role="img2img", strength=0.3))
    assert [event.total for event in events if isinstance(event, Step)] == [6] * 6
