"""Rules: sentences to bars, said back in words; what is not understood is refused by name, never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BadInput
from models.scorers.catalogue import load_scorers
from pipelines.rules import BOUNDS, examples, load_phrases, read_rule

KNOWN = load_scorers()
WORDS = st.sampled_from(["sharpness", ">=", "within", "5", "no", "text", "#fff", ":", "of", "-", "background"])


def bars(text: str) -> list[tuple[str, str, float, bool]]:
    return [(bar.dimension, bar.bound, bar.threshold, bar.hard) for bar in read_rule(text, KNOWN).bars]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("no visible text", [("visible_text", "<=", 0, True)]),
        ("skin tone within 2 stops of the reference", [("skin_tone", "<=", 2, True)]),
        ("Skin tone within 1.5 stops of the reference.", [("skin_tone", "<=", 1.5, True)]),
        ("eyes open", [("eyes_open", ">=", 50, True)]),
        ("longest side >= 1600", [("longest_side", ">=", 1600, True)]),
        ("longest side at least 1600 px", [("longest_side", ">=", 1600, True)]),
        ("background within dE 5 of #FFFFFF", [("background_distance:#FFFFFF", "<=", 5, True)]),
        ("background within dE 5 of #fff", [("background_distance:#FFFFFF", "<=", 5, True)]),
        ("background within 4 of white", [("background_distance:#FFFFFF", "<=", 4, True)]),
        ("background_distance:#0a0b0c <= 3", [("background_distance:#0A0B0C", "<=", 3, True)]),
        ("exactly one product", [("product_count_off", "<=", 0, True)]),
        ("no people", [("people", "<=", 0, True)]),
        ("exactly one face", [("faces", ">=", 1, True), ("extra_faces", "<=", 0, True)]),
        ("sharpness >= 40", [("sharpness", ">=", 40, True)]),
        ("  the   Sharpness is at least 40  ", [("sharpness", ">=", 40, True)]),
        ("advisory: face light >= 60", [("face_light", ">=", 60, False)]),
        ("palette coverage at least 80 %", [("palette_coverage", ">=", 80, True)]),
        ("visible text ≤ 3 characters", [("visible_text", "<=", 3, True)]),
        ("adherence >= -5", [("adherence", ">=", -5, True)]),
    ],
)
def test_a_sentence_is_a_bar(text, asked):
    assert bars(text) == asked


@pytest.mark.parametrize(
    ("text", "named", "near"),
    [
        ("sharpnes >= 40", '"sharpnes"', "sharpness"),
        ("beauty >= 40", '"beauty"', "Quality tab"),
        ("no visible txt", "no visible txt", "no visible text"),
        ("make it pop", "make it pop", "no visible text"),
        ("sharpness > 40", "sharpness > 40", ">= or <="),
        ("sharpness = 40", "sharpness = 40", ">= or <="),
        ("sharpness >= 4 0", "sharpness >= 4 0", ""),
        ("sharpness >= 140", "Sharpness is 0 to 100", ""),
        ("sharpness >= 40 px", "px", "unit"),
        ("background_distance <= 3", "background_distance", "#FFFFFF"),
        ("background within dE 5 of mauvish", "mauvish", "#FFFFFF"),
        ("sharpness:#FFFFFF >= 4", "sharpness:#FFFFFF", "sharpness"),
        ("", "empty", ""),
        ("x" * 300, "200 characters", ""),
    ],
)
def test_what_is_not_understood_is_refused_by_name(text, named, near):
    with pytest.raises(BadInput) as caught:
        read_rule(text, KNOWN, "rules.3")
    assert caught.value.field == "rules.3"
    assert named in caught.value.what
    assert near in f"{caught.value.why} {caught.value.todo}"


def test_how_it_was_understood_is_said_in_words():
    assert read_rule("longest side >= 1600", KNOWN).words == "Longest side at least 1600 px, or the picture is rejected."
    assert read_rule("no people", KNOWN).words == "People exactly 0, or the picture is rejected."
    advisory = read_rule("advisory: skin tone within 2 stops", KNOWN).words
    assert advisory.startswith("Skin tone at most 2 stops, shown and never rejecting.") and "reference picture" in advisory
    assert "goes to review" in read_rule("skin tone within 2 stops", KNOWN).words


def test_every_phrase_that_ships_says_what_it_takes():
    assert len(examples(KNOWN)) == len(load_phrases())
    for phrase in load_phrases():
        assert any(pattern.fullmatch(phrase.example.casefold()) for pattern in phrase.patterns), phrase.example


@given(
    st.sampled_from([dimension for dimension in KNOWN.by_name.values() if dimension.argument == "none"]),
    st.sampled_from(sorted(BOUNDS)),
    st.floats(0, 1),
    st.booleans(),
)
def test_every_dimension_can_be_held_against_a_number(dimension, bound, share, by_title):
    threshold = round(dimension.low + share * (dimension.high - dimension.low), 3)
    text = f"{dimension.title if by_title else dimension.name} {bound} {threshold}"
    assert bars(text) == [(dimension.name, BOUNDS[bound], threshold, True)]


@settings(deadline=None)
@given(st.text(max_size=60) | st.lists(WORDS).map(" ".join))
def test_any_text_is_understood_or_refused(text):
    told = ""
    try:
        told = read_rule(text, KNOWN).words
    except BadInput as error:
        told = f"{error.field}: {error.what}"
    assert told.startswith("rule: ") or "picture" in told or "never rejecting" in told
