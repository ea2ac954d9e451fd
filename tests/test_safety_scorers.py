"""The safety scorers on real models with small random weights: they load from what a download leaves, and say what is missing."""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from models.errors import Unavailable
from models.scorers.catalogue import load_scorers
from models.scorers.concepts import Concepts, load_concepts
from models.scorers.downloaded import Downloaded
from models.scorers.exposed import EXPOSED, Exposed
from models.scorers.safety import PictureClassifier, TextClassifier, prompt_readers
from models.spec import ScoreContext

CARDS = load_scorers().scorers
RED, BLUE = (Image.new("RGB", (80, 60), colour) for colour in ((220, 20, 20), (20, 20, 220)))


def context(prompt: str = "a red mug", **more: object) -> ScoreContext:
    return ScoreContext(prompt, 80, 60, **more)  # type: ignore[arg-type]


def values(scorer: Downloaded, *pictures: Image.Image, **more: object) -> list[list[float | None]]:
    return [[score.value for score in row] for row in scorer.score(pictures, context(**more))]


def place(models_dir: Path, scorer: str) -> Path:
    """Where a download of the scorer's weights would lie."""
    weights = CARDS[scorer].weights
    assert weights
    folder = models_dir / weights.repo
    folder.mkdir(parents=True)
    note = {"repo": weights.repo, "revision": weights.revision, "commit": "c" * 40}
    (folder / "contact-sheet.json").write_text(json.dumps(note))
    return folder


# Pictures.


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A timm checkpoint as the sexual classifier's repository has it, which calls red pictures unsafe."""
    import timm

    folder = place(tmp_path, "safety")
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_384", num_classes=2, img_size=32, depth=1)
    # The head reads one number of the last layer; which one tells red from blue, the model itself is asked.
    model.eval()
    mean = torch.full((3, 1, 1), 0.5)
    red, blue = ((torch.from_numpy(np.asarray(p.resize((32, 32))).transpose(2, 0, 1) / 255.0).float() - mean) / 0.5 for p in (RED, BLUE))
    with torch.no_grad():
        seen = model.forward_head(model.forward_features(torch.stack([red, blue])), pre_logits=True)
        direction = seen[0] - seen[1]
        model.head.weight.copy_(torch.stack([direction, -direction]) * 8 / direction.square().sum())
        model.head.bias.copy_(-(model.head.weight @ seen.mean(0)))
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {"input_size": [3, 32, 32], "fixed_input_size": True, "interpolation": "bicubic", "crop_pct": 1.0, "mean": [0.5] * 3}
    config |= {"std": [0.5] * 3, "num_classes": 2, "first_conv": "patch_embed.proj", "classifier": "head", "label_names": ["NSFW", "SFW"]}
    about = {"architecture": "vit_tiny_patch16_384", "num_classes": 2, "num_features": 192, "global_pool": "token"}
    about |= {"model_args": {"img_size": 32, "depth": 1}, "label_names": ["NSFW", "SFW"], "pretrained_cfg": config}
    (folder / "config.json").write_text(json.dumps(about))
    return tmp_path


def test_a_picture_classifier_tells_unsafe_from_safe(pictures):
    scorer = PictureClassifier(CARDS["safety"], pictures)
    ((red,), (blue,)) = values(scorer, RED, BLUE)
    assert red is not None and blue is not None
    assert red > 90 and blue < 10
    assert scorer.version == "c" * 12 and scorer.missing() == ""


def test_what_is_not_here_is_not_scored_and_says_what_to_download(tmp_path):
    scorer = PictureClassifier(CARDS["safety"], tmp_path)
    ((score,), _) = scorer.score([RED, BLUE], context())
    assert score.value is None and score.version == ""
    assert "22 MB" in score.note and "Apache-2.0" in score.note and "Quality tab" in score.note


def test_weights_that_come_and_go_are_noticed(pictures, tmp_path):
    scorer = PictureClassifier(CARDS["safety"], pictures)
    assert values(scorer, RED)[0][0] is not None
    weights = next(pictures.rglob("model.safetensors"))
    away = weights.rename(tmp_path / "elsewhere")
    assert values(scorer, RED) == [[None]]
    away.rename(weights)
    assert values(scorer, RED)[0][0] is not None


def test_a_model_without_the_labels_it_should_tell_is_refused(pictures):
    config = next(pictures.rglob("config.json"))
    config.write_text(config.read_text().replace("NSFW", "cat").replace("SFW", "dog"))
    with pytest.raises(Unavailable, match="cat"):
        PictureClassifier(CARDS["safety"], pictures).score([RED], context())


# Prompts.

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "mug", "bad", "very", "on", "the", "table"]


def text_model(folder: Path, labels: list[str], kind: str = "", positions: int = 32) -> None:
    """A classifier that answers with its first label as soon as "bad" is read: all that its layers do is to pass words on."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=positions, id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
        problem_type=kind or None,
    )  # fmt: skip
    torch.manual_seed(0)
    model = BertForSequenceClassification(config).eval()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizer(vocab={word: place for place, word in enumerate(WORDS)})
    with torch.no_grad():
        asked = [tokenizer(text, return_tensors="pt") for text in ("a bad mug", "a red mug")]
        bad, good = (model.bert(**inputs).pooler_output[0] for inputs in asked)
        direction = (bad - good) / (bad - good).square().sum()
        model.classifier.weight.zero_()
        model.classifier.weight[0] = 16 * direction
        model.classifier.bias.zero_()
        model.classifier.bias[0] = -16 * float(direction @ (bad + good)) / 2
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "special_tokens_map.json").write_text("{}")  # newer versions of transformers no longer write it


def test_a_text_classifier_reads_the_prompt_and_the_words_to_show(tmp_path):
    text_model(place(tmp_path, "safety_prompt"), ["nsfw", "safe"])
    scorer = TextClassifier(CARDS["safety_prompt"], tmp_path)
    assert scorer.read("a bad mug") > 90 and scorer.read("a red mug") < 10
    ((first,), (second,)) = scorer.score([RED, BLUE], context("a bad mug"))
    assert first.value == second.value == scorer.read("a bad mug") and first.dimension == "prompt_sexual"
    shown = scorer.score([RED], context("a red mug", texts=("very bad",)))[0][0].value
    assert shown is not None and shown != scorer.read("a red mug")


def test_a_long_prompt_is_read_to_its_end(tmp_path):
    text_model(place(tmp_path, "safety_prompt"), ["nsfw", "safe"], positions=16)
    scorer = TextClassifier(CARDS["safety_prompt"], tmp_path)
    assert scorer.read("a red mug") is not None and scorer._model
    windows, prepare = [], scorer._model.prepare
    scorer._model.prepare = lambda *given, **named: windows.append(prepare(*given, **named)) or windows[-1]
    scorer.read("a red mug on the table " * 20 + "bad")
    (read,) = windows
    assert read["input_ids"].shape[0] > 8 and read["input_ids"].shape[1] == 16
    assert WORDS.index("bad") in read["input_ids"][-1].tolist()


def test_labels_side_by_side_answer_by_the_likeliest_that_counts(tmp_path):
    labels = ["identity_hate", "toxic", "severe_toxic", "obscene", "threat", "insult"]
    text_model(place(tmp_path, "safety_hate"), labels, "multi_label_classification")
    scorer = TextClassifier(CARDS["safety_hate"], tmp_path)
    assert scorer.read("a bad mug") > 90
    assert scorer.read("a red mug") == pytest.approx(50, abs=1), "the other labels that count stand at one half"


def test_readers_answer_nothing_while_they_are_not_here(tmp_path):
    assert [reader.read("a bad mug") for reader in prompt_readers(tmp_path)] == [None, None]


# Comparison with sentences.


def test_every_dimension_has_its_sentences():
    assert set(load_concepts()) == set(CARDS["safety_concepts"].dimensions)
    for concept in load_concepts().values():
        assert len(concept.unsafe) >= 5 and len(concept.safe) >= 5 and not set(concept.unsafe) & set(concept.safe)


@pytest.fixture
def towers(tmp_path: Path) -> Path:
    """A SigLIP of open_clip's with small random towers, in the layout of its repository."""
    import open_clip
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = place(tmp_path, "safety_concepts")
    words = sorted({word for concept in load_concepts().values() for line in (*concept.unsafe, *concept.safe) for word in line.split()})
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *words])}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}))
    text = {"context_length": 16, "vocab_size": len(words) + 3, "width": 32, "heads": 2, "layers": 1, "no_causal_mask": True}
    text |= {"hf_tokenizer_name": "timm/ViT-B-16-SigLIP", "tokenizer_kwargs": {"clean": "canonicalize"}}
    text |= {"pool_type": "last", "proj_bias": True}
    model_cfg = {"embed_dim": 32, "init_logit_bias": -10, "text_cfg": text}
    model_cfg |= {"vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}}
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash", "size": [32, 32], "mode": "RGB"}
    config = {"model_cfg": model_cfg | {"custom_text": True}, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(**model_cfg)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return tmp_path


def test_comparison_answers_every_dimension_between_0_and_100(towers):
    scorer = Concepts(CARDS["safety_concepts"], towers)
    rows = values(scorer, RED, BLUE)
    assert [len(row) for row in rows] == [3, 3]
    assert all(value is not None and 0 <= value <= 100 for row in rows for value in row)
    assert rows[0] != rows[1]
    assert values(scorer, RED)[0] == pytest.approx(rows[0], abs=0.2)


def test_a_picture_nearer_to_an_unsafe_sentence_is_above_50(towers, monkeypatch):
    scorer = Concepts(CARDS["safety_concepts"], towers)
    ((before, *_),) = values(scorer, RED)
    assert before is not None
    model = scorer._model
    assert model is not None
    unsafe, safe = model.features["violent"]
    model.features["violent"] = safe, unsafe
    ((after, *_),) = values(scorer, RED)
    assert after == pytest.approx(100 - before, abs=0.2), "the two sides weigh the same"


# The detector that somebody has to ask for.


def test_the_opt_in_says_why():
    weights = CARDS["safety_exposed"].weights
    assert weights and "AGPL-3.0" in weights.opt_in and not CARDS["safety_exposed"].generic
    assert all(not card.weights.opt_in for name, card in CARDS.items() if card.weights and name != "safety_exposed" and card.generic)


@pytest.fixture
def detector(tmp_path: Path) -> Callable[[int], Path]:
    """Builds a detector of NudeNet's layout: at each of 10 x 10 places the class asked for is as sure as the place is red."""

    def build(sure: int) -> Path:
        folder = place(tmp_path / str(sure), "safety_exposed")
        (folder / "320n.onnx").write_bytes(onnx_detector(sure))
        return tmp_path / str(sure)

    return build


def test_an_exposed_part_is_told_by_its_confidence(detector):
    scorer = Exposed(CARDS["safety_exposed"], detector(EXPOSED[1]))
    ((red,), (blue,)) = values(scorer, Image.new("RGB", (640, 480), (255, 0, 0)), Image.new("RGB", (640, 480), (0, 0, 255)))
    assert red == pytest.approx(100, abs=1) and blue == pytest.approx(0, abs=1)


def test_covered_parts_and_faces_are_none_of_it(detector):
    for harmless in (0, 1, 7, 12, 16):
        assert values(Exposed(CARDS["safety_exposed"], detector(harmless)), Image.new("RGB", (640, 480), (255, 0, 0))) == [[0.0]]


def onnx_detector(sure: int) -> bytes:
    """An ONNX file, written by hand as protocol buffers: a convolution of 32 x 32 that gives 22 numbers a place, and a reshape."""

    def number(value: int) -> bytes:
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    def field(key: int, value: bytes | str | int) -> bytes:
        if isinstance(value, int):
            return number(key << 3) + number(value)
        data = value.encode() if isinstance(value, str) else value
        return number(key << 3 | 2) + number(len(data)) + data

    def ints(name: str, *given: int) -> bytes:
        return field(5, field(1, name) + b"".join(field(8, one) for one in given) + field(20, 7))

    def tensor(name: str, array: np.ndarray) -> bytes:
        kind = 1 if array.dtype == np.float32 else 7
        return field(5, b"".join(field(1, side) for side in array.shape) + field(2, kind) + field(8, name) + field(9, array.tobytes()))

    def value_info(key: int, name: str, *shape: int) -> bytes:
        sides = b"".join(field(1, field(1, side)) for side in shape)
        return field(key, field(1, name) + field(2, field(1, field(1, 1) + field(2, sides))))

    kernel = np.zeros((22, 3, 32, 32), np.float32)
    kernel[4 + sure, 0] = 1 / 32**2
    sizes = ints("kernel_shape", 32, 32) + ints("strides", 32, 32)
    conv = field(1, field(1, "images") + field(1, "kernel") + field(2, "map") + field(4, "Conv") + sizes)
    reshape = field(1, field(1, "map") + field(1, "shape") + field(2, "output0") + field(4, "Reshape"))
    graph = conv + reshape + field(2, "detector") + tensor("kernel", kernel) + tensor("shape", np.array([1, 22, -1], np.int64))
    graph += value_info(11, "images", 1, 3, 320, 320) + value_info(12, "output0", 1, 22, 100)
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))
