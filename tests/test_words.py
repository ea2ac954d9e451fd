"""How prompts are read: counts, unknown words, what is cut."""
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from models.cards import ModelCard
from models.words import load_tokenizer, read_prompt

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    """A card with the embedded model's closed vocabulary (48 T5 tokens)."""
    return tiny.flux1(tmp_path_factory.mktemp("words"))


def test_tokens_are_counted_as_the_encoders_do(closed: ModelCard):
    from transformers import AutoTokenizer

    prompt = "A red mug, on the table."
    reading = read_prompt(closed, prompt)
    for name, folder in (("clip", "tokenizer"), ("t5", "tokenizer_2")):
        theirs = AutoTokenizer.from_pretrained(Path(closed.repo) / folder, local_files_only=True)
        assert reading.counts[name][0] == len(theirs(prompt).input_ids)
    assert reading.counts["clip"][1] == 77
    assert reading.counts["t5"][1] == 48
    assert not reading.unknown
    assert not reading.cut
    assert not reading.estimated


def test_unknown_words_are_found_where_they_stand(closed: ModelCard):
    prompt = "a red Portrait on portrait, bottle 50mm"
    reading = read_prompt(closed, prompt)
    assert reading.unknown == (("Portrait", 6, 14), ("portrait", 18, 26), ("50mm", 35, 39))
    assert all(prompt[start:end] == word for word, start, end in reading.unknown)


def test_the_embedded_vocabulary_marks_what_its_world_lacks(closed: ModelCard, tmp_path: Path):
    import shutil

    from models.embedded.training.tokenizers import clip_tokenizer, t5_tokenizer

    folder = tmp_path / "copy"
    shutil.copytree(closed.repo, folder)
    clip_tokenizer().save_pretrained(folder / "tokenizer")
    t5_tokenizer().save_pretrained(folder / "tokenizer_2")
    card = replace(closed, repo=str(folder))
    assert read_prompt(card, 'A red mug on the beach, close-up; soft "SALE" sign.').unknown == ()
    prompt = "Portrait of a redmug, don't zorblax-red it into 4k"
    reading = read_prompt(card, prompt)
    words = [word for word, _, _ in reading.unknown]
    assert [word for word in words if word != "4k"] == ["Portrait", "redmug", "don't", "zorblax", "into"]
    assert all(prompt[start:end] == word for word, start, end in reading.unknown)
    assert read_prompt(card, "a red mug").counts["t5"] == (4, 48)
    assert read_prompt(card, "a red mug").counts["clip"] == (5, 77)


@pytest.mark.parametrize("prompt", ["", "   ", "\u00e9t\u00e9 \U0001f600 red", "\u7ea2\u8272 mug", "red\n\nmug\t.", "x" * 4000, "don't"])
def test_any_text_can_be_read(closed: ModelCard, prompt: str):
    reading = read_prompt(closed, prompt)
    assert all(prompt[start:end] == word for word, start, end in reading.unknown)
    assert all(count >= 0 for count, _ in reading.counts.values())


def test_what_does_not_fit_is_told(closed: ModelCard):
    reading = read_prompt(closed, "red " * 47 + "mug bottle")  # 47 words and the end of text fit.
    assert reading.counts["t5"] == (50, 48)
    assert reading.cut == "mug bottle"
    assert read_prompt(closed, "red " * 47).cut == ""


def test_an_open_vocabulary_knows_every_word(tmp_path: Path):
    card = tiny.klein(tmp_path, distilled=True)
    reading = read_prompt(card, "a portrait of zorblax")
    assert reading.unknown == ()
    assert set(reading.counts) == {"llm"}
    assert not reading.estimated


def test_the_chat_around_a_prompt_counts(tmp_path: Path):
    card = tiny.klein(tmp_path, distilled=True)
    short, long = read_prompt(card, "red"), read_prompt(card, "red mug")
    assert long.counts["llm"][0] == short.counts["llm"][0] + 1
    assert short.counts["llm"][0] > 5


def test_without_the_tokenizer_counts_are_estimates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    reading = read_prompt(tiny.CATALOGUE.card("flux1-dev"), "a photograph of a red mug")
    assert reading.estimated
    assert set(reading.counts) == {"clip", "t5"}
    assert reading.counts["t5"][1] == 512
    assert 6 <= reading.counts["t5"][0] <= 14
    assert reading.unknown == ()


def test_clip_is_built_from_its_own_files(tmp_path: Path):
    """FLUX.1's repositories have no tokenizer.json for CLIP."""
    words = ["<|startoftext|>", "<|endoftext|>", "r", "e", "d", "d</w>", "re", "red</w>", "m", "u", "g</w>", "a</w>"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\nr e\nre d</w>\n", encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode("A  RED mug").tokens == ["<|startoftext|>", "a</w>", "red</w>", "m", "u", "g</w>", "<|endoftext|>"]
    assert load_tokenizer(tmp_path / "absent") is None


def test_weights_are_found_where_people_keep_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from models.weights import weights_found

    cache, own = tmp_path / "cache", tmp_path / "own"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    card = replace(tiny.CATALOGUE.card("flux1-schnell"))
    assert weights_found(card) is None
    assert weights_found(card, own) is None
    tiny.flux1(own / "FLUX.1-schnell")
    assert weights_found(card, own) == own / "FLUX.1-schnell"
    snapshot = cache / "models--black-forest-labs--FLUX.1-schnell" / "snapshots" / "abc"
    tiny.flux1(snapshot)
    assert weights_found(card) is None  # No ref: an unfinished download.
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc", encoding="utf-8")
    assert weights_found(card) == snapshot
    next((snapshot / "transformer").glob("*.safetensors")).unlink()
    assert weights_found(card) is None
