"""A prompt made of parts: what each part says, where it stands, what a person edits, what a model does not know; and lists of words."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import BadInput, NotFound
from models.presets import load_catalogue
from models.words import read_prompt
from pipelines.phrases import load_presets, read_presets
from pipelines.prompt import KINDS, Assembled, Parts, assemble
from pipelines.request import LoraChoice
from studio.store.jobs import NotNow
from studio.studio import Studio
from studio.wildcards import Wildcards

SHOT = Parts(subject="a red mug", use="product page", context="beach", style="warm", brand=("Acme teal",), triggers=("acm3",))
FIELDS = st.sampled_from(["subject", "use", "brand", "edits", "quality", "style", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=4),
)


def knows(phrase: str) -> bool:
    return not read_prompt(load_catalogue().card("embedded"), phrase).unknown


def kinds(found: Assembled) -> list[tuple[str, str]]:
    return [(piece.kind, piece.text) for piece in found.pieces]


def sound(found: Assembled) -> bool:
    """Pieces are in order, do not overlap, and say what stands where they say it stands."""
    ends = [0, *(piece.end for piece in found.pieces)]
    return all(
        before <= piece.start < piece.end and found.text[piece.start : piece.end] == piece.text
        for before, piece in zip(ends, found.pieces, strict=False)
    )


class TestParts:
    def test_every_part_has_its_place(self) -> None:
        found = assemble(SHOT)
        assert [kind for kind, _ in kinds(found)] == [
            "quality",
            "subject",
            "context",
            "style",
            "composition",
            "technical",
            "brand",
            "trigger",
        ]
        assert " photograph of a red mug on a sandy beach, warm golden light, " in found.text
        assert found.text.endswith(", Acme teal, acm3")
        assert sound(found)

    def test_words_of_ones_own_are_as_good_as_names(self) -> None:
        found = assemble(Parts(subject="a mug", description="chipped", context="in an old barn", style="Bauhaus", season="first frost"))
        assert found.text == "a mug, chipped in an old barn, Bauhaus, first frost"

    def test_what_a_use_brings_can_be_replaced_and_left_out(self) -> None:
        found = assemble(Parts(subject="a mug", use="product page", quality="portrait", composition="", technical="tack sharp"))
        assert found.text == "professional portrait photograph of a mug, tack sharp"
        assert assemble(Parts(subject="a mug", quality="snapshot")).text == "snapshot, a mug"

    def test_a_style_that_is_a_medium_says_so_first(self) -> None:
        assert assemble(Parts(subject="a mug", use="product page", style="watercolour")).text.startswith("a watercolour painting of a mug")

    def test_nothing_is_said_twice(self) -> None:
        found = assemble(Parts(subject="a mug", use="product page", context="white studio"))
        assert found.text.count("centered composition") == 1

    def test_a_part_may_be_a_variable_that_holds_a_name(self) -> None:
        parts = Parts(subject="a $colour mug", use="$use", context="$place")
        found = assemble(parts, values={"colour": "red", "use": "product page", "place": "beach"})
        assert found.text == assemble(Parts(subject="a red mug", use="product page", context="beach")).text
        assert "in a shed" in assemble(parts, values={"colour": "red", "use": "product page", "place": "in a shed"}).text

    def test_an_unknown_use_is_refused_with_what_is_near(self) -> None:
        with pytest.raises(BadInput, match='Did you mean "product page"') as caught:
            assemble(Parts(subject="a mug", use="produkt page"))
        assert caught.value.field == "parts.use"

    def test_syntax_is_drawn_by_the_seed_and_each_part_for_itself(self) -> None:
        parts = Parts(subject="a {red|green|blue} mug", description="{old|new} <lora:glaze:0.7>", brand=("{not|drawn}",))
        found = assemble(parts, seed=7)
        assert found == assemble(parts, seed=7)
        assert found.loras == (LoraChoice("glaze", 0.7),)
        assert found.text.endswith("{not|drawn}")
        assert len({assemble(parts, seed=seed).text for seed in range(40)}) == 6
        one, other = (assemble(Parts(subject=parts.subject, style=style), seed=7).pieces[0].text for style in ("warm", "{a|b}"))
        assert one == other, "what stands in one part changed what is drawn in another"

    def test_values_are_words_whatever_they_hold(self) -> None:
        found = assemble(Parts(subject="$product"), values={"product": "{a|b} __light__ <lora:x:1>"})
        assert found.text == "{a|b} __light__ <lora:x:1>"
        assert not found.loras


class TestEdits:
    def test_an_edited_part_wins_and_stays_an_edit(self) -> None:
        found = assemble(Parts(subject="a mug", use="product page", edits={"technical": "soft {focus}", "quality": ""}))
        assert found.pieces[-1].to_dict() | {"start": 0, "end": 0} == {
            "kind": "edit", "text": "soft {focus}", "start": 0, "end": 0, "of": "technical"}  # fmt: skip
        assert found.text.startswith("a mug")

    def test_the_whole_prompt_can_be_rewritten(self) -> None:
        base = assemble(SHOT)
        edit = base.text.replace("a red mug", "a red mug with {steam}").replace(", Acme teal", "")
        found = assemble(SHOT, edit=edit)
        assert found.text == edit
        assert sound(found)
        assert ("edit", "with {steam}") in [(kind, text.strip()) for kind, text in kinds(found)]
        assert ("quality", base.pieces[0].text) in kinds(found)
        assert "brand" not in [kind for kind, _ in kinds(found)]

    def test_an_edit_that_changes_nothing_is_none(self) -> None:
        assert assemble(SHOT, edit=assemble(SHOT).text) == assemble(SHOT)

    def test_something_else_altogether_is_all_edit(self) -> None:
        assert {kind for kind, _ in kinds(assemble(SHOT, edit="42!"))} == {"edit"}

    @given(st.text(min_size=1, max_size=80).map(str.strip).filter(bool))
    def test_whatever_is_written_is_what_is_drawn(self, edit: str) -> None:
        found = assemble(SHOT, edit=edit)
        assert found.text == edit
        assert sound(found)


class TestKnownWords:
    def test_tokens_that_a_model_does_not_know_are_left_out_and_told(self) -> None:
        found = assemble(Parts(subject="a llama", use="flat lay", context="forest"), knows=knows)
        assert "arranged with even gaps" not in found.text
        assert "arranged with even gaps" in found.notes[0]
        assert "a llama on a mossy log in a forest" in found.text, "what a person asks for stays, known or not"
        assert not found.notes[0].count("llama")

    def test_an_open_vocabulary_gets_all(self) -> None:
        assert "arranged with even gaps" in assemble(Parts(subject="a llama", use="flat lay")).text

    def test_of_a_chosen_style_something_stays(self) -> None:
        assert "rustic" in assemble(Parts(subject="a mug", style="rustic"), knows=knows).text
        assert "vintage" in assemble(Parts(subject="a mug", style="vintage"), knows=lambda _phrase: False).text


class TestFromDict:
    def test_there_and_back(self) -> None:
        parts = Parts(subject="a", use="product page", composition="", brand=("b",), edits={"style": ""})
        assert Parts.from_dict(parts.to_dict()) == parts
        assert Parts.from_dict(None) == Parts()

    @pytest.mark.parametrize(
        ("data", "field"),
        [("x", "parts"), ({"sbject": "a"}, "parts.sbject"), ({"subject": 3}, "parts.subject"), ({"brand": "a"}, "parts.brand"),
         ({"triggers": ["a", 3]}, "parts.triggers.1"), ({"edits": {"edit": "a"}}, "parts.edits.edit"), ({"edits": []}, "parts.edits"),
         ({"edits": {"style": 3}}, "parts.edits.style"), ({"brand": ["x"] * 99}, "parts.brand")],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, data: object, field: str) -> None:
        with pytest.raises(BadInput) as caught:
            Parts.from_dict(data)
        assert caught.value.field == field

    @given(JSON)
    def test_nothing_but_bad_input_comes_of_any_value(self, data: object) -> None:
        try:
            parts = Parts.from_dict(data)
        except BadInput:
            return
        assert Parts.from_dict(parts.to_dict()) == parts


class TestPresets:
    def test_all_that_ship_make_a_prompt(self) -> None:
        presets = load_presets()
        for use in presets.uses:
            for context in presets.contexts:
                assert sound(assemble(Parts(subject="a red mug", use=use, context=context)))
        for style in presets.styles:
            for season in presets.seasons:
                assert sound(assemble(Parts(subject="a red mug", style=style, season=season)))

    def test_names_are_offered_with_what_they_say(self, door: httpx.Client) -> None:
        offered = door.get("/api/parts").json()
        assert set(offered) == {"quality", "use", "context", "style", "season"}
        assert {"name": "beach", "says": "on a sandy beach, sea and sand", "about": ""} in offered["context"]

    @pytest.mark.parametrize(
        ("text", "says"),
        [("[qualities]\na = 3", "qualities.a"), ('[qualities]\n[uses.x]\nquality = "z"', "uses.x.quality"),
         ('[qualities]\n[uses.x]\nabuot = "z"', "uses.x.abuot"), ("[qualities\n", "line 1")],
    )  # fmt: skip
    def test_a_mistake_in_the_data_is_told_with_its_place(self, tmp_path: Path, text: str, says: str) -> None:
        (tmp_path / "prompt.toml").write_text(text)
        with pytest.raises(BadInput, match=says):
            read_presets(tmp_path / "prompt.toml")

    def test_kinds_are_those_that_the_page_colours(self) -> None:
        assert KINDS == (
            "quality",
            "subject",
            "description",
            "context",
            "style",
            "season",
            "composition",
            "technical",
            "brand",
            "trigger",
            "edit",
        )


class TestListsOfAStudio:
    def test_a_list_is_written_covered_and_taken_back(self, tmp_path: Path) -> None:
        lists = Wildcards(tmp_path)
        shipped = lists.view("colour")
        assert shipped["shipped"]
        saved = lists.save({"name": "colour", "text": "# ours\r\nteal\r\n{dark|light} red"})
        assert (saved["lines"], saved["shipped"], saved["covers"]) == (2, False, True)
        assert lists.lists().lines("colour") == ("teal", "{dark|light} red")
        lists.save({"name": "colour", "text": "pink"})
        lists.remove("colour")
        assert lists.view("colour") == shipped
        kept = [path.read_text() for path in sorted((tmp_path / "wildcards" / ".trash").iterdir())]
        assert kept == ["# ours\nteal\n{dark|light} red\n", "pink\n"]
        with pytest.raises(NotNow):
            lists.remove("colour")
        with pytest.raises(NotFound):
            lists.view("nothing")

    def test_a_file_that_cannot_be_read_hides_no_other(self, tmp_path: Path) -> None:
        (tmp_path / "wildcards").mkdir()
        (tmp_path / "wildcards" / "broken.txt").write_bytes(b"\xff\xff")
        rows = {row["name"]: row for row in Wildcards(tmp_path).overview()["wildcards"]}  # type: ignore[attr-defined]
        assert "UTF-8" in rows["broken"]["wrong"]
        assert rows["light"]["lines"] > 5

    @pytest.mark.parametrize(
        ("data", "field"),
        [({"name": "../x", "text": "a"}, "name"), ({"name": "x"}, "text"), ({"name": "x", "text": "# a"}, "text"),
         ({"name": "x", "text": "a\n{b"}, "text"), ({"name": 3, "text": "a"}, "name"), ({"name": "x", "text": "\ud800"}, "text"),
         ({"name": "a/b", "text": "a"}, "name")],
    )  # fmt: skip
    def test_what_cannot_be_a_list_is_refused(self, tmp_path: Path, data: dict[str, object], field: str) -> None:
        (tmp_path / "wildcards").mkdir()
        (tmp_path / "wildcards" / "a").write_text("a file where a folder would have to be")
        with pytest.raises(BadInput) as caught:
            Wildcards(tmp_path).save(data)
        assert caught.value.field == field

    def test_over_http(self, door: httpx.Client, studio: Studio) -> None:
        assert door.post("/api/wildcards", json={"name": "place/ours", "text": "in our shop"}).json()["lines"] == 1
        assert door.get("/api/wildcards/place/ours").json()["text"] == "in our shop\n"
        assert studio.wildcards.lists().lines("place/o*") >= ("in our shop",)
        assert "place/ours" in {row["name"] for row in door.get("/api/wildcards").json()["wildcards"]}
        left = door.post("/api/wildcards/remove", json={"name": "place/ours"}).json()["wildcards"]
        assert "place/ours" not in {row["name"] for row in left}
        refused = door.post("/api/wildcards", json={"name": "x", "text": "{"})
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "text")
        assert door.get("/api/wildcards/..%2f..%2fstudio").status_code == 404
