"""Scorers by use on pictures whose truth is known by construction, both ways: they fire on the defect and are silent without it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from portraits import Portrait, portrait

from models.embedded.render import render, spoil
from models.embedded.world import Scene, sample_scene
from models.presets import load_catalogue
from models.scorers import scorers_for
from models.scorers.colour import ciede2000, lab
from models.scorers.faces import TEMPLATE, geometry
from models.scorers.text import Reading, best_substring, quoted, text_match, unwanted_text, visible_text
from models.spec import ScoreContext, Scorer

RED, WHITE, BLUE = "#CC1622", "#FFFFFF", "#1C4ED6"


def drawn(**changes: object) -> Image.Image:
    return Image.fromarray(render(Scene(**{"object": "bottle", "colour": "red", "scene": "studio", **changes})))


def photograph(name: str) -> Image.Image:
    """A real one from an installed package's own data."""
    return Image.open(Path(find_spec("sklearn").origin).parent / "datasets" / "images" / name).convert("RGB")


def words(*lines: str, size: int = 512) -> Image.Image:
    picture = Image.new("RGB", (size, size), (236, 232, 224))
    for number, line in enumerate(lines):
        ImageDraw.Draw(picture).text((40, 60 + 110 * number), line, font=ImageFont.load_default(56), fill=(30, 40, 90))
    return picture


@pytest.fixture(scope="module")
def by_name() -> dict[str, Scorer]:
    asked = ["text_match", "faces", "people", "coherence"]
    return {scorer.name: scorer for scorer in scorers_for(load_catalogue().card("embedded"), asked=asked)}


def values(scorer: Scorer, picture: Image.Image, **context: object) -> dict[str, float | None]:
    (scores,) = scorer.score([picture], ScoreContext(**{"prompt": "", "width": 512, "height": 512, **context}))
    return {score.dimension: score.value for score in scores}


# Text


def test_words_that_were_asked_for_are_found_and_others_are_not_wanted(by_name: dict[str, Scorer]) -> None:
    right = values(by_name["text"], words("SUMMER SALE", "up to 50% off"), texts=("Summer Sale", "UP TO 50% OFF"))
    assert right == {"text_match": 100, "words_found": 100, "unwanted_text": 0, "visible_text": 19}
    wrong = values(by_name["text"], words("SUMMER SOLE", "www.shop.com"), texts=("Summer Sale",))
    assert wrong["text_match"] == 90 and wrong["words_found"] == 50
    assert wrong["unwanted_text"] == 10


def test_no_words_are_read_into_pictures_without_any(by_name: dict[str, Scorer]) -> None:
    rng = np.random.default_rng(2)
    scenes = [Image.fromarray(render(sample_scene(rng, held_out=None, sign_share=0))) for _ in range(4)]
    visible = [values(by_name["text"], picture)["visible_text"] for picture in (*scenes, photograph("flower.jpg"))]
    assert visible == [0] * 5


def test_signs_of_the_embedded_family_are_read_at_256_pixels(by_name: dict[str, Scorer]) -> None:
    for sign in ("SALE", "NEW", "OPEN"):
        picture = drawn(object="mug", scene="table", sign=sign)
        assert values(by_name["text"], picture, prompt=f'a mug with a "{sign}" sign')["text_match"] == 100
        assert values(by_name["text"], picture, prompt='a mug with a "GIFT" sign')["text_match"] <= 50


def test_without_words_asked_for_the_match_is_not_scored(by_name: dict[str, Scorer]) -> None:
    (scores,) = by_name["text"].score([words("HELLO")], ScoreContext("a sign", 512, 512))
    assert scores[0].value is None and "between quotes" in scores[0].note and scores[3].value == 5


def test_the_best_substring() -> None:
    assert best_substring("sale", "bigsaleday") == (0, 3, 7)
    assert best_substring("open", "xxofenxx")[0] == 1
    assert best_substring("abc", "") == (3, 0, 0)
    assert quoted('a "SALE" and \u201cNeu\u201d, it\'s \u00abbon\u00bb') == ("SALE", "Neu", "bon")
    readings = [Reading("BALE", 0.95), Reading("H", 0.99), Reading("maybe", 0.6)]
    assert text_match(readings, ["Sale"]) == 75
    assert (visible_text(readings), unwanted_text(readings, ["Sale"]), unwanted_text(readings, [])) == (4, 0, 4)


# Faces


def test_faces_are_counted(by_name: dict[str, Scorer]) -> None:
    two = portrait(Portrait(scale=0.35, x=0.28), Portrait(scale=0.35, x=0.74))
    assert [values(by_name["faces"], picture)["faces"] for picture in (portrait(), two, drawn(), photograph("china.jpg"))] == [1, 2, 0, 0]
    assert values(by_name["faces"], two)["extra_faces"] == 1


def test_the_fallback_says_that_it_is_one(by_name: dict[str, Scorer]) -> None:
    (scores,) = by_name["faces"].score([portrait()], ScoreContext("", 512, 512))
    assert all("Haar" in score.note and score.version.startswith("1-haar") for score in scores)
    unknown = {score.dimension for score in scores if score.value is None}
    assert unknown == {"face_geometry", "smile", "face_likeness", "skin_tone"}


@pytest.mark.parametrize("skin", [(214, 168, 140), (240, 205, 190), (180, 130, 100)])
def test_open_eyes_are_told_from_shut_ones(by_name: dict[str, Scorer], skin: tuple[int, int, int]) -> None:
    assert values(by_name["faces"], portrait(Portrait(skin=skin)))["eyes_open"] > 80
    assert values(by_name["faces"], portrait(Portrait(skin=skin, left=False, right=False)))["eyes_open"] < 50


def test_skin_is_compared_in_stops_and_light_by_halves(by_name: dict[str, Scorer]) -> None:
    reference = portrait()
    darker = Image.fromarray((255 * ((np.asarray(reference) / 255) ** 2.2 / 4) ** (1 / 2.2)).astype(np.uint8))
    assert values(by_name["faces"], reference, likeness=reference)["skin_tone"] == 0
    assert values(by_name["faces"], darker, likeness=reference)["skin_tone"] == pytest.approx(2, abs=0.3)
    assert values(by_name["faces"], portrait(Portrait(side=2)))["face_contrast"] == pytest.approx(2, abs=0.4)
    assert values(by_name["faces"], reference)["face_contrast"] < 0.2


def test_a_burnt_out_face_is_badly_lit(by_name: dict[str, Scorer]) -> None:
    burnt = Image.fromarray(np.clip(np.asarray(portrait(Portrait(skin=(240, 205, 190)))) * 1.35, 0, 255).astype(np.uint8))
    assert values(by_name["faces"], portrait())["face_light"] > 95
    assert values(by_name["faces"], burnt)["face_light"] < 50


def test_geometry_is_about_the_face_not_about_its_place() -> None:
    turned = TEMPLATE @ np.array([[0.9, -0.4], [0.4, 0.9]]) * 3 + 40
    assert geometry(turned) == 100
    broken = TEMPLATE.copy()
    broken[0] += (10, 45)  # an eye on the cheek
    assert geometry(broken) < 50


# Product


def test_the_product_of_the_reference_is_told_from_another(by_name: dict[str, Scorer]) -> None:
    reference = drawn()
    others = (drawn(jitter_seed=5), drawn(colour="blue"), drawn(object="mug"))
    same, blue, mug = (values(by_name["product"], picture, likeness=reference) for picture in others)
    assert same["product_colour"] < 4 < 12 < blue["product_colour"]
    assert same["product_details"] > 15 > mug["product_details"]
    assert same["product_likeness"] > max(blue["product_likeness"], mug["product_likeness"])


def test_one_product_is_one_and_two_or_none_are_off(by_name: dict[str, Scorer]) -> None:
    rng = np.random.default_rng(4)
    scenes = [sample_scene(rng, held_out=None, sign_share=0) for _ in range(40)]
    pictures = {
        0: [render(scene) for scene in scenes],
        1: [spoil(scene, kind, rng) for scene in scenes[:20] for kind in ("doubled", "empty")],
    }
    off = {
        truth: [values(by_name["product"], Image.fromarray(p), asked=frozenset({"product_count_off"}))["product_count_off"] for p in some]
        for truth, some in pictures.items()
    }
    assert np.mean([value == 0 for value in off[0]]) >= 0.85
    assert np.mean([value >= 1 for value in off[1]]) >= 0.7


def test_people_are_found_and_products_are_none(by_name: dict[str, Scorer]) -> None:
    asked = frozenset({"people"})
    assert values(by_name["product"], portrait(), asked=asked) == {"people": 1}
    assert values(by_name["product"], drawn(), asked=asked) == {"people": 0}
    assert values(by_name["product"], Image.new("RGB", (40, 40), "white"), asked=asked) == {"people": 0}  # smaller than a window


# Brand


def test_ciede2000_gives_the_published_differences() -> None:
    """Of the test data of Sharma, Wu and Dalal (2005)."""
    pairs = np.array([
        [50, 2.6772, -79.7751, 50, 0, -82.7485, 2.0425], [50, 2.5, 0, 73, 25, -18, 27.1492], [50, 2.5, 0, 50, 0, -2.5, 4.3065],
        [22.7233, 20.0904, -46.694, 23.0331, 14.973, -42.5619, 2.0373], [2.0776, 0.0795, -1.135, 0.9033, -0.0636, -0.5514, 0.9082],
    ])
    assert ciede2000(pairs[:, :3], pairs[:, 3:6]) == pytest.approx(pairs[:, 6], abs=1e-4)
    assert lab(np.array([255, 255, 255])) == pytest.approx([100, 0, 0], abs=0.01)


def test_the_palette_is_kept_or_not(by_name: dict[str, Scorer]) -> None:
    flag = Image.new("RGB", (300, 200), RED)
    flag.paste(Image.new("RGB", (150, 200), WHITE))
    kept = values(by_name["brand"], flag, palette=(RED, WHITE))
    assert (kept["palette_distance"], kept["palette_coverage"], kept["off_brand"]) == (pytest.approx(0, abs=0.5), 100, 0)
    broken = values(by_name["brand"], flag, palette=(BLUE, WHITE))
    assert broken["palette_distance"] > 20 and broken["palette_coverage"] == 50 and broken["off_brand"] == pytest.approx(50, abs=2)
    none = values(by_name["brand"], flag)
    assert none["palette_distance"] is none["off_brand"] is None and none["coherence"] == 100


def test_the_background_is_measured_behind_the_object(by_name: dict[str, Scorer]) -> None:
    white = Image.new("RGB", (256, 256), WHITE)
    ImageDraw.Draw(white).ellipse((70, 70, 190, 220), fill=RED)
    name = "background_distance:#FFFFFF"
    clean = values(by_name["brand"], white, asked=frozenset({name}))
    cluttered = values(by_name["brand"], photograph("china.jpg"), asked=frozenset({name}))
    assert clean[name] < 1 and clean["background_cleanliness"] > 95
    assert cluttered[name] > 20 and cluttered["background_cleanliness"] < 60
    tinted = Image.fromarray((np.asarray(white) * (0.94, 0.92, 0.86)).astype(np.uint8))
    assert values(by_name["brand"], tinted, asked=frozenset({name}))[name] > 5


def test_hues_that_clash_are_less_coherent(by_name: dict[str, Scorer]) -> None:
    def stripes(*hues: int) -> Image.Image:
        picture = Image.new("RGB", (60 * len(hues), 100))
        for number, hue in enumerate(hues):
            picture.paste(f"hsl({hue}, 70%, 50%)", (60 * number, 0, 60 * number + 60, 100))
        return picture

    assert values(by_name["brand"], stripes(200, 215, 230))["coherence"] == 100
    assert values(by_name["brand"], stripes(0, 60, 120, 180, 240, 300))["coherence"] < 70
