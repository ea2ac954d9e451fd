"""Captions: the embedded model's own words by its CLIPs, vision-language models through transformers' own classes, and their wording."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import captioner
from models.captioner import Seen, SentenceCaptioner, WordCaptioner, captioner_for, load_captioners, tidied
from models.embedded.render import render
from models.embedded.world import sample_scene
from models.errors import Unavailable
from pipelines.captioning import worded
from pipelines.dataset import load_kinds

KINDS, _ = load_kinds()


def picture(scene) -> Image.Image:
    return Image.fromarray(np.asarray(render(scene)))


@pytest.mark.slow
def test_the_embedded_model_s_words():
    rng = np.random.default_rng(2026)
    scenes = [sample_scene(rng, held_out=None) for _ in range(24)]
    seen = WordCaptioner().look([picture(scene) for scene in scenes])
    right = [f"{scene.colour} " in one.thing and scene.object.split()[-1] in one.thing for scene, one in zip(scenes, seen, strict=True)]
    assert np.mean(right) >= 0.9
    placed = [captioner.wordings.CONTRASTS["scene"][scene.scene][0] in one.setting for scene, one in zip(scenes, seen, strict=True)]
    assert np.mean(placed) >= 0.95


def test_who_captions_for_which_model(shipped):
    assert isinstance(captioner_for(shipped.card("embedded")), WordCaptioner)
    found = captioner_for(shipped.card("flux1-dev"), "/nowhere")
    assert isinstance(found, SentenceCaptioner) and "on this machine" in found.missing()
    with pytest.raises(Unavailable):
        found.look([Image.new("RGB", (64, 64))])


def test_cards_are_whole():
    cards = load_captioners()
    assert list(cards) == ["florence2", "smolvlm", "blip"]
    assert [name for name, card in cards.items() if card.download] == ["smolvlm"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("style", "[trigger], a red mug on a beach, warm light"),
        ("product", "[trigger] on a beach, warm light, flat illustration"),
        ("quality", "[trigger], a red mug on a beach, warm light, flat illustration"),
    ],
)
def test_wording_leaves_out_what_is_to_be_learned(kind, said):
    seen = Seen("a red mug", "on a beach, warm light", "flat illustration", "an illustration of a red mug on a beach")
    assert worded(seen, KINDS[kind]) == said


def test_wording_has_no_gaps():
    assert worded(Seen("a product", "", "", "a photo of a product"), KINDS["product"]) == "[trigger]"
    assert worded(Seen("", "", "", "a dog on a lawn"), KINDS["style"]) == "[trigger], a dog on a lawn"
    assert tidied("The image shows a dog\n on a lawn.") == "a dog on a lawn"
    assert tidied("A dog. It runs.") == "A dog. It runs."


@pytest.fixture(scope="module")
def blip(tmp_path_factory) -> Path:
    """A folder of models with a small BLIP of random weights, in the layout of the real one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *"a the red mug dog on table beach with of photo".split()]
    raw = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = BertTokenizerFast(tokenizer_object=raw)
    text = {
        "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
        "encoder_hidden_size": 32, "projection_dim": 16, "max_position_embeddings": 64, "bos_token_id": 5, "eos_token_id": 3,
        "pad_token_id": 0, "sep_token_id": 3,
    }  # fmt: skip
    same = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    vision = {name: text[name] for name in same} | {"image_size": 32, "patch_size": 16}
    folder = tmp_path_factory.mktemp("models") / "Salesforce" / "blip-image-captioning-large"
    BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    if not (folder / "preprocessor_config.json").is_file():  # newer releases of transformers keep both in one file
        both = json.loads((folder / "processor_config.json").read_text())
        (folder / "preprocessor_config.json").write_text(json.dumps(both["image_processor"]))
    return folder.parents[1]


@pytest.mark.slow
def test_a_model_on_disk_is_used_through_its_own_classes(blip, shipped):
    found = captioner_for(shipped.card("flux1-dev"), blip)
    assert found.missing() == "" and found.title == "BLIP large"
    seen = found.look([Image.new("RGB", (90, 60), "red"), Image.new("RGB", (60, 90), "blue")])
    assert all(one.thing == "" and one.sentence for one in seen)
    assert worded(seen[0], KINDS["style"]).startswith("[trigger], ")
    found.close()
    assert found.look([Image.new("RGB", (90, 60), "red")])[0] == seen[0]


@pytest.mark.slow
def test_a_broken_one_says_so(blip, tmp_path, shipped):
    folder = tmp_path / "Salesforce" / "blip-image-captioning-large"
    folder.mkdir(parents=True)
    for path in (blip / "Salesforce" / "blip-image-captioning-large").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "config.json").write_text("{}")
    with pytest.raises(Unavailable, match="cannot be read"):
        captioner_for(shipped.card("flux1-dev"), tmp_path).look([Image.new("RGB", (64, 64))])
