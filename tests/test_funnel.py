"""What a job does next, as pure decisions: every way through a ladder, its retries, its budget and its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.cards import Catalogue
from models.embedded.captions import caption, gist, read
from models.embedded.world import sample_scene
from models.errors import BadInput
from models.presets import load_catalogue
from models.spec import ImageSpec
from pipelines.funnel import End, Finish, Frame, Goal, Retry, cause, decide, deliver, spent_up
from pipelines.judge import Mark, Verdict, load_profiles
from pipelines.plan import Chosen, Plan, next_seeds, plan_for
from pipelines.remedies import load_remedies, remedy_for
from pipelines.request import Request
from studio.choosing import for_stage

CATALOGUE = load_catalogue()
LADDER = Goal(draft=8, keep=2, ladder=True, retries=3, finals=2, ratio=5)


def differ(one: int, other: int) -> bool:
    return False


def drafts(*verdicts: str | None, round: int = 0, first: int = 1, seconds: float = 1.0) -> list[Frame]:
    """Drafts in the order of their ranks."""
    return [
        Frame(first + place, "draft", round, verdict, place + 1 if verdict == "spare" else None, None, seconds)
        for place, verdict in enumerate(verdicts)
    ]


def finals(made: Mapping[int, str], round: int = 0, first: int = 101, seconds: float = 5.0) -> list[Frame]:
    """Finals, by the number of the draft that each was made from."""
    return [Frame(first + i, "final", round, verdict, None, parent, seconds) for i, (parent, verdict) in enumerate(made.items())]


def test_the_best_drafts_are_finished_and_no_more_than_are_missing():
    frames = drafts("rejected", "spare", "spare", "spare")
    assert decide(LADDER, frames, 0, differ) == Finish((2, 3))


def test_a_final_that_fails_is_replaced_by_the_next_draft_before_anything_is_drafted_anew():
    frames = drafts("spare", "spare", "spare", "spare") + finals({1: "kept", 2: "rejected"})
    assert decide(LADDER, frames, 0, differ) == Finish((3,))


def test_a_round_finishes_only_so_many():
    frames = drafts(*["spare"] * 8) + finals({1: "rejected", 2: "rejected", 3: "rejected", 4: "rejected"})
    assert decide(LADDER, frames, 0, differ) == Retry(1, 8)


def test_a_retry_drafts_as_many_as_what_is_missing_is_worth():
    goal = replace(LADDER, draft=240, keep=60)
    kept = finals(dict.fromkeys(range(1, 56), "kept"))
    assert decide(goal, drafts(*["rejected"] * 240) + kept, 0, differ) == Retry(1, 20)


def test_all_that_were_asked_for_end_it():
    frames = drafts("spare", "spare", "spare") + finals({1: "kept", 2: "kept"})
    end = decide(LADDER, frames, 0, differ)
    assert end == End(2, 2, 1)
    assert isinstance(end, End) and end.text == "2 of 2 passed"


def test_the_rounds_are_used_up_and_the_end_says_so():
    frames = [frame for round in range(4) for frame in drafts("rejected", "rejected", round=round, first=1 + 2 * round)]
    end = decide(LADDER, frames + finals({1: "kept"}, round=3), 3, differ)
    assert isinstance(end, End) and end.text == "1 of 2 passed after 4 rounds"
    assert json.loads(json.dumps(end.to_dict()))["text"] == end.text


def test_what_waits_for_a_person_is_not_drawn_again():
    frames = drafts("review", "spare") + finals({2: "review", 1: "kept"})
    end = decide(LADDER, frames, 0, differ)
    assert isinstance(end, End) and end.text == "1 of 2 passed; 1 waits for review"


def test_drafts_that_only_a_person_can_decide_on_are_finished_last():
    assert decide(LADDER, drafts("review", "spare", "review"), 0, differ) == Finish((2, 1))


def test_a_draft_like_one_that_is_finished_is_passed_over():
    frames = drafts("spare", "spare", "spare")
    assert decide(LADDER, frames, 0, lambda one, other: {one, other} == {1, 2}) == Finish((1, 3))
    made = frames + finals({1: "kept"})
    assert decide(LADDER, made, 0, lambda one, other: {one, other} == {1, 2}) == Finish((3,))


def test_without_a_ladder_what_is_drawn_is_final():
    goal = Goal(draft=4, keep=2, retries=1)
    frames = [Frame(n, "final", 0, verdict, n) for n, verdict in enumerate(("kept", "rejected", "rejected", "rejected"), start=1)]
    assert decide(goal, frames, 0, differ) == Retry(1, 2)
    assert decide(replace(goal, retries=0), frames, 0, differ) == End(1, 2, 1)


def test_a_budget_of_pictures_ends_it():
    goal = replace(LADDER, images=11)
    end = decide(goal, drafts(*["rejected"] * 8), 0, differ)
    assert end == Retry(1, 1), "one draft, and its final, and one to spare for the other"
    end = decide(replace(goal, images=10), drafts(*["rejected"] * 8), 0, differ)
    assert isinstance(end, End) and end.text == "0 of 2 passed; the budget of 10 pictures was spent"
    assert decide(replace(goal, images=9), drafts(*["spare"] * 8), 0, differ) == Finish((1,))


def test_a_budget_of_seconds_leaves_room_for_the_finals():
    goal = replace(LADDER, draft=240, seconds=30.0)
    assert not spent_up(goal, drafts(*["spare"] * 8))
    assert not spent_up(goal, drafts(*["spare"] * 14))
    assert spent_up(goal, drafts(*["spare"] * 15)), "two finals cost ten seconds, and half as much again may be needed"
    assert spent_up(goal, drafts(*["spare"] * 8), batch=8) and not spent_up(goal, drafts(*["spare"] * 7), batch=8)
    assert decide(goal, drafts(*["spare"] * 20), 0, differ) == Finish((1, 2))
    end = decide(goal, drafts(*["rejected"] * 26), 0, differ)
    assert isinstance(end, End) and end.text == "0 of 2 passed; the budget of 30 s was spent"


def test_what_history_gave_costs_nothing():
    goal = replace(LADDER, seconds=12.0)
    served = [replace(frame, served=True) for frame in drafts(*["spare"] * 8)]
    assert decide(goal, served, 0, differ) == Finish((1, 2))


def test_nothing_is_dropped_before_anything_is_drawn():
    assert not spent_up(replace(LADDER, seconds=0.1), [])


VERDICTS = st.sampled_from(["spare", "rejected", "review"])


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(0, 3), st.booleans(), st.none() | st.integers(12, 60))
def test_every_job_ends_within_its_rounds_and_its_budget(data, keep, retries, ladder, images):
    """Whatever passes or fails: it ends, nothing is finished twice, no more is kept than asked for, and no budget is passed."""
    goal = Goal(draft=6, keep=keep, ladder=ladder, retries=retries, images=images)
    frames: list[Frame] = []
    step: Finish | Retry | End = Retry(0, 6)
    round = 0
    while not isinstance(step, End):
        number = len(frames) + 1
        if isinstance(step, Retry):
            round = step.round
            stage = "draft" if ladder else "final"
            for place in range(step.count):
                frames.append(Frame(number + place, stage, round, data.draw(VERDICTS), number + place, None, 1.0))
        else:
            for place, parent in enumerate(step.numbers):
                frames.append(Frame(number + place, "final", round, data.draw(VERDICTS), number + place, parent, 1.0))
        passing = [frame for frame in frames if frame.stage == "final" and frame.verdict in ("spare", "kept")]
        frames = [replace(frame, verdict="kept") if frame in passing[:keep] else frame for frame in frames]
        step = decide(goal, frames, round, differ)
    parents = [frame.parent for frame in frames if frame.parent is not None]
    assert len(parents) == len(set(parents))
    assert step.passed == sum(frame.verdict == "kept" for frame in frames) <= keep
    assert round <= retries
    assert images is None or len(frames) <= max(images, 6)


def verdict(outcome: str, rank: int | None = None, **failed: float) -> Verdict:
    marks = [Mark(name, value, 50.0, ">=", False, True, "", "", "") for name, value in failed.items()]
    return Verdict(outcome, [], marks, rank=rank)  # type: ignore[arg-type]


def test_the_first_that_differ_are_kept_and_a_twin_is_named():
    given = {1: verdict("spare", 2), 2: verdict("spare", 1), 3: verdict("spare", 3), 4: verdict("spare", 4), 5: verdict("rejected")}
    made = deliver(given, 2, lambda one, other: {one, other} == {1, 2})
    assert {number: one.verdict for number, one in made.items()} == {1: "spare", 2: "kept", 3: "kept", 4: "spare", 5: "rejected"}
    assert made[1].reasons == ["nearly the same as 2"]
    assert made[4].reasons == []


def test_the_commonest_cause_finds_its_remedy():
    blurred, dark = verdict("rejected", sharpness=40), verdict("rejected", sharpness=41, exposure=3)
    causes = cause({1: blurred, 2: dark, 3: verdict("spare", sharpness=9)})
    assert causes == {"sharpness": 2, "exposure": 1}
    remedies = load_remedies()
    found = remedy_for(causes, 2, "embedded", remedies)
    assert found is not None and found.dimension == "sharpness"
    assert remedy_for({"sharpness": 1}, 2, "embedded", remedies) is None, "half of them is chance"
    assert remedy_for({"resolution": 9}, 9, "embedded", remedies) is None
    assert remedy_for({}, 0, "embedded", remedies) is None


def test_a_remedy_adds_to_the_words_and_stays_in_range():
    spec = ImageSpec("a red mug.", 256, 256, 4, 9.0, ())
    remedies = {one.dimension: one for one in load_remedies() if not one.card}
    changed = remedies["sharpness"].applied(spec, negative=True, guidance=(1, 10))
    assert (changed.prompt, changed.negative) == ("a red mug, sharp focus", "blurry")
    assert remedies["sharpness"].applied(changed, negative=False, guidance=None) == changed, "what is there already is not said twice"
    assert remedies["adherence"].applied(spec, negative=False, guidance=(1, 10)).guidance == 10
    assert remedies["adherence"].applied(spec, negative=False, guidance=None).guidance == 9


def test_the_embedded_model_is_told_again_in_plain_words():
    found = remedy_for({"recognised": 7}, 8, "embedded", load_remedies())
    assert found is not None and remedy_for({"recognised": 7}, 8, "flux1-dev", load_remedies()) is None
    spec = ImageSpec("Gray alarm clock, sidewalk, bokeh", 256, 256, 4, 2.0, ())
    again = found.applied(spec, negative=True, guidance=(1, 10))
    assert again.prompt == "grey clock in front of a brick wall, Gray alarm clock, sidewalk, bokeh" and again.guidance == 2.0
    assert found.applied(again, negative=True, guidance=(1, 10)) == again
    unknown = replace(spec, prompt="my aunt")
    assert found.applied(unknown, negative=True, guidance=(1, 10)) == unknown


def test_after_a_retry_in_vain_the_thing_is_asked_for_alone_with_its_style_and_its_sign():
    first, last = (remedy_for({"recognised": 7}, 8, "embedded", load_remedies(), retries) for retries in (0, 2))
    assert first is not None and last is not None and (first.after, last.after) == (0, 1)
    assert remedy_for({"sharpness": 7}, 8, "embedded", load_remedies(), 2) == remedy_for({"sharpness": 7}, 8, "embedded", load_remedies())
    spec = ImageSpec('A watercolor of a red mug on the beach with a "SALE" sign, wide shot, moody lighting, 8k', 256, 256, 4, 2.0, ())
    again = last.applied(spec, negative=True, guidance=(1, 10))
    assert again.prompt == 'a watercolour of a red mug on a beach with a sign that says "SALE"'
    unknown = replace(spec, prompt="my aunt")
    assert last.applied(unknown, negative=True, guidance=(1, 10)) == unknown


@given(st.integers(0, 2**32))
def test_the_gist_of_a_caption_keeps_thing_style_and_sign(seed):
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, held_out=None, sign_share=0.5)
    told = gist(caption(scene, rng))
    assert {kind: one.name for kind, one in read(told).items()} == {"object": scene.object, "colour": scene.colour, "scene": scene.scene}
    assert [style in told for style in ("watercolour", "illustration")] == [scene.style == "watercolour", scene.style == "illustration"]
    assert (scene.sign or "sign") in told if scene.sign else "sign" not in told
    assert not any(words in told for words in ("wide", "left", "right", "close", "light"))


@pytest.mark.parametrize("text", ["[a]\ndimension = 3\n", '[a]\ndimension = "sharpness"\n', '[a]\ndimension = "x"\nguidance = 9\n'])
def test_a_mistake_in_the_remedies_is_named(tmp_path: Path, text: str):
    (tmp_path / "remedies.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as error:
        load_remedies(tmp_path)
    assert "remedies.toml" in error.value.what and (error.value.field or "").startswith("a")


def same_noise() -> Catalogue:
    """The catalogue with finals of the embedded family that start from their drafts' noise."""
    family = CATALOGUE.family("embedded")
    standard = family.tiers["standard"]
    assert standard.ladder
    ladder = replace(standard.ladder, promotion="same-noise", strength=None)
    tiers = dict(family.tiers) | {"standard": replace(standard, promotion="same-noise", strength=None, ladder=ladder)}
    return replace(CATALOGUE, families=dict(CATALOGUE.families) | {"embedded": replace(family, tiers=tiers)})


def plan(catalogue: Catalogue = CATALOGUE, **data) -> Plan:
    request = Request.from_dict({"prompt": "a red mug", "seed": 100, "tier": "standard", **data}, catalogue, loras=("foil",))
    return plan_for(request, catalogue, lambda image: Path(f"{image}.png"), lambda lora: Path(f"{lora.name}.safetensors"))


def test_drafts_cost_what_a_preview_costs_and_finals_what_the_tier_does():
    made = plan(same_noise())
    [batch] = made.first(tuple(range(100, 108)))
    assert (batch.stage, batch.tier, batch.spec.steps, batch.numbers) == ("draft", "preview", 4, tuple(range(1, 9)))
    chosen = [Chosen(number, 99 + number, Path(f"{number}.png"), batch) for number in (3, 7)]
    [final] = made.finish(chosen, 9, 0)
    assert (final.stage, final.tier, final.spec.steps, final.numbers, final.spec.seeds) == ("final", "standard", 20, (9, 10), (102, 106))
    assert final.spec.image is None and made.goal.ratio == 5
    near = plan()
    assert near.goal.ratio == 1.25, "a quarter of the way back is run"
    [first, second] = near.finish(chosen, 9, 0)
    assert (first.spec.image, first.spec.role, first.spec.strength, first.spec.seeds) == (Path("3.png"), "img2img", 0.25, (102,))
    assert (second.spec.image, second.numbers) == (Path("7.png"), (10,))


def test_another_model_starts_from_the_draft_itself():
    made = plan(family="flux1")
    [batch, *_] = made.first((1, 2))
    assert (batch.card, batch.spec.width, made.final.card) == ("flux1-schnell", 512, "flux1-dev")
    assert made.cards == ("flux1-schnell", "flux1-dev")
    finals = made.finish([Chosen(1, 1, Path("1.png"), batch), Chosen(2, 2, Path("2.png"), batch)], 3, 0)
    assert [(final.spec.image, final.spec.role, final.spec.strength, final.numbers) for final in finals] == [
        (Path("1.png"), "img2img", 0.5, (3,)), (Path("2.png"), "img2img", 0.5, (4,)),
    ]  # fmt: skip
    assert plan(family="flux2-klein").finish([Chosen(1, 1, Path("1.png"), batch)], 3, 0)[0].spec.role == "reference"


def test_a_final_takes_the_words_of_its_draft():
    made = plan()
    sharpness = next(one for one in load_remedies() if one.dimension == "sharpness")
    [first], [second] = made.first((1,)), made.retry(1, (2,), 2, sharpness)
    finals = made.finish([Chosen(2, 2, Path("2.png"), second), Chosen(1, 1, Path("1.png"), first)], 3, 1)
    assert [final.spec.prompt for final in finals] == ["a red mug, sharp focus", "a red mug"]
    assert [final.round for final in finals] == [1, 1]


@pytest.mark.parametrize(
    "data", [{}, {"ladder": False}, {"family": "flux1"}, {"budget": {"images": 40, "seconds": 9}}, {"tier": "premium"}]
)
def test_a_plan_survives_json(data):
    assert Plan.from_dict(json.loads(json.dumps(plan(**data).to_dict()))) == plan(**data)


def test_seeds_of_a_retry_go_on_and_never_come_twice():
    assert next_seeds((5, 6, 7), 2) == (8, 9)
    assert next_seeds((9, 3, 1), 4) == (2, 4, 5, 6)
    assert next_seeds((2**63 - 1,), 1) == (0,)


def test_the_door_takes_a_ladder_where_there_is_something_to_choose():
    def ladder(**data) -> bool:
        return Request.from_dict({"prompt": "a red mug", "tier": "standard", **data}, same_noise()).ladder

    assert ladder() and not ladder(tier="preview") and not ladder(draft=1) and not ladder(steps=4)
    assert ladder(draft=1, ladder=True) and not ladder(ladder=False)
    assert not ladder(family="flux2-klein", role="reference", image=3)
    asked = {"prompt": "a red mug", "family": "flux1", "tier": "standard"}
    assert not Request.from_dict(asked, CATALOGUE, here=lambda card: card.name != "flux1-schnell").ladder
    with pytest.raises(BadInput) as error:
        Request.from_dict(asked | {"ladder": True}, CATALOGUE, here=lambda card: card.name != "flux1-schnell")
    assert "schnell" in error.value.why
    for data in ({"tier": "preview"}, {"steps": 4}, {"family": "flux2-klein", "role": "reference", "image": 3}):
        with pytest.raises(BadInput) as error:
            ladder(ladder=True, **data)
        assert error.value.field == "ladder" and error.value.why


def test_a_draft_may_fail_what_finishing_mends():
    profile = load_profiles()["generic"]
    made = replace(plan(), lenient=("sharpness", "adherence"))
    assert for_stage(profile, made, "final") is profile
    bars = for_stage(profile, made, "draft").bars_for("embedded")
    assert (bars["sharpness"].hard, bars["adherence"].hard, bars["adherence_b"].hard) == (False, False, True)
