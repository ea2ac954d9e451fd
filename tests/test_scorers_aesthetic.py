"""Scorers whose weights are downloaded, at a small size with random weights in the files' own formats."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from clips import write_clip
from PIL import Image
from safetensors.torch import load_file, save_file

from models.embedded.render import render
from models.embedded.world import sample_scene
from models.presets import load_catalogue
from models.scorers import prompt_encoder, score_all, scorers_for
from models.scorers.adherence import DownloadedAdherence
from models.scorers.aesthetic import Aesthetic, Preference
from models.scorers.catalogue import ScorerCard, load_scorers
from models.scorers.clip import clip_in
from models.spec import ScoreContext
from models.threads import compute

CARDS = load_scorers().scorers
FLUX = load_catalogue().card("flux1-dev")


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(2)
    return [Image.fromarray(render(sample_scene(rng, held_out=None))) for _ in range(6)]


def place(models_dir: Path, card: ScorerCard) -> Path:
    """Where a download would put the card's files."""
    assert card.weights is not None
    return models_dir / card.weights.repo


def write_tower(models_dir: Path, name: str, seed: int) -> Path:
    folder = write_clip(place(models_dir, CARDS[name]), seed)
    (folder / "special_tokens_map.json").write_text("{}")
    return folder


def write_head(models_dir: Path, dim: int = 16) -> Path:
    """A perceptron as the published one: linear layers with gaps where the dropouts are."""
    torch.manual_seed(4)
    tensors = {}
    for index, (before, after) in zip((0, 2, 4, 6, 7), ((dim, 12), (12, 10), (10, 8), (8, 4), (4, 1)), strict=True):
        tensors[f"layers.{index}.weight"], tensors[f"layers.{index}.bias"] = torch.randn(after, before) / 3, torch.randn(after) / 9
    tensors["layers.7.bias"] += 5
    folder = place(models_dir, CARDS["aesthetic"])
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    return folder / "model.safetensors"


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    write_tower(tmp_path, "adherence", 1)
    write_tower(tmp_path, "adherence_b", 2)
    write_head(tmp_path)
    return tmp_path


def context(prompt: str = "a red mug on the table") -> ScoreContext:
    return ScoreContext(prompt, 256, 256, "flux1-dev")


def values(scorer, pictures, **more) -> list[float]:
    rows = scorer.score(pictures, context(**more))
    assert all(row[0].value is not None for row in rows), rows[0][0].note
    return [row[0].value for row in rows]


def test_adherence_of_downloaded_models_is_their_raw_cosine(models_dir, pictures):
    folder = place(models_dir, CARDS["adherence"])
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    with torch.inference_mode():
        text = model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(["a red mug on the table"]), normalize=True)[0]
        expected = [float(model.encode_image(preprocess(picture)[None], normalize=True)[0] @ text) * 100 for picture in pictures]
    assert values(DownloadedAdherence(CARDS["adherence"], models_dir), pictures) == pytest.approx(expected, abs=0.02)
    assert values(DownloadedAdherence(CARDS["adherence_b"], models_dir), pictures) != pytest.approx(expected, abs=0.5)


def test_the_aesthetic_predictor_reads_the_published_format(models_dir, pictures):
    clip = clip_in(place(models_dir, CARDS["adherence"]))
    tensors = load_file(place(models_dir, CARDS["aesthetic"]) / "model.safetensors")
    features = compute(lambda: clip.pictures(pictures, context()))
    for index in (0, 2, 4, 6, 7):
        features = features @ tensors[f"layers.{index}.weight"].T + tensors[f"layers.{index}.bias"]
    found = values(Aesthetic(CARDS["aesthetic"], CARDS["adherence"], models_dir), pictures)
    assert found == pytest.approx(features[:, 0].clamp(0, 10).tolist(), abs=0.01)
    assert len(set(found)) >= 3 and 0 < min(found) < max(found) < 10


def test_one_embedding_serves_all_who_look_through_the_same_weights(models_dir, pictures):
    adherence = DownloadedAdherence(CARDS["adherence"], models_dir)
    aesthetic = Aesthetic(CARDS["aesthetic"], CARDS["adherence"], models_dir)
    score_all(pictures[:1], context(), [adherence, aesthetic])
    assert adherence._model is aesthetic._model[0], "the weights are in memory once"
    seen = []
    encode = adherence._model.model.encode_image
    adherence._model.model.encode_image = lambda batch, normalize: seen.append(len(batch)) or encode(batch, normalize=normalize)
    score_all(pictures, context(), [adherence, aesthetic])
    assert sum(seen) == len(pictures)


def test_memory_is_free_when_nobody_holds_the_weights(models_dir, pictures):
    import weakref

    scorer = DownloadedAdherence(CARDS["adherence"], models_dir)
    scorer.score(pictures[:1], context())
    held = weakref.ref(scorer._model)
    scorer.close()
    assert held() is None


def test_what_is_missing_is_said_with_size_and_licence(tmp_path, pictures):
    (row,) = DownloadedAdherence(CARDS["adherence"], tmp_path).score(pictures[:1], context())
    assert row[0].value is None
    assert "1.71 GB" in row[0].note and "Apache-2.0" in row[0].note and "Quality tab" in row[0].note
    write_head(tmp_path)
    scorer = Aesthetic(CARDS["aesthetic"], CARDS["adherence"], tmp_path)
    (row,) = scorer.score(pictures[:1], context())
    assert row[0].value is None
    assert "through the model of Adherence" in row[0].note and "1.71 GB" in row[0].note
    write_tower(tmp_path, "adherence", 1)
    assert scorer.missing() == ""
    assert values(scorer, pictures[:1]), "a download that ended is used at once"


def test_versions_tell_weights_apart(models_dir, tmp_path_factory, pictures):
    other = tmp_path_factory.mktemp("other")
    write_tower(other, "adherence", 1)
    file = write_head(other)
    (file.parent / "contact-sheet.json").write_text(json.dumps({"repo": "r", "revision": "main", "commit": "a" * 40}))
    scorers = [Aesthetic(CARDS["aesthetic"], CARDS["adherence"], where) for where in (models_dir, other)]
    versions = {scorer.score(pictures[:1], context())[0][0].version for scorer in scorers}
    assert len(versions) == 2


def test_a_head_of_another_kind_is_told(models_dir, pictures):
    file = place(models_dir, CARDS["aesthetic"]) / "model.safetensors"
    save_file({"layers.0.weight": torch.zeros(3, 16), "layers.0.bias": torch.zeros(3)}, file)
    ((score,),) = score_all(pictures[:1], context(), [Aesthetic(CARDS["aesthetic"], CARDS["adherence"], models_dir)])
    assert score.value is None and "cannot be read" in score.note


# HPSv2.1: a checkpoint of PyTorch's with a state_dict, as training left it.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    """The name of an architecture like ViT-H-14's, at a small size, with open_clip's own tokenizer."""
    file = tmp_path_factory.mktemp("architectures") / "ViT-tiny-test.json"
    vision = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    file.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(file)
    return file.stem


def write_preference(models_dir: Path, tiny: str, **more) -> Path:
    torch.manual_seed(7)
    model = open_clip.create_model(tiny)
    folder = place(models_dir, CARDS["preference"])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "HPS_v2.1_compressed.pt"
    torch.save({"state_dict": {name: value.half() for name, value in model.state_dict().items()}, **more}, file)
    return file


def test_preference_looks_at_the_whole_picture(tmp_path, tiny, pictures):
    """A wide picture is fitted with black beside it, not cropped: what lies at its ends counts."""
    write_preference(tmp_path, tiny)
    scorer = Preference(CARDS["preference"], tmp_path, architecture=tiny)
    wide = np.asarray(pictures[0].resize((128, 48))).copy()
    other = wide.copy()
    other[:, :16] = 255 - other[:, :16]
    one, two = values(scorer, [Image.fromarray(wide), Image.fromarray(other)])
    assert -100 <= one <= 100 and abs(one - two) > 0.02


def test_preference_reads_the_whole_prompt(tmp_path, tiny, pictures):
    write_preference(tmp_path, tiny)
    scorer = Preference(CARDS["preference"], tmp_path, architecture=tiny)
    long = "a photograph of a red mug on a wooden table in soft light, " * 12
    one, other = (values(scorer, pictures[:2], prompt=long + end) for end in ("blue vase", "sale sale sale"))
    assert one != pytest.approx(other, abs=0.001)


def test_nothing_in_a_checkpoint_is_run(tmp_path, tiny, pictures):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    write_preference(tmp_path, tiny, extra=Evil())
    ((score,),) = score_all(pictures[:1], context(), [Preference(CARDS["preference"], tmp_path, architecture=tiny)])
    assert score.value is None
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_shape_is_told(tmp_path, tiny, pictures):
    file = write_preference(tmp_path, tiny)
    torch.save({"state_dict": {"visual.proj": torch.zeros(2, 2)}}, file)
    ((score,),) = score_all(pictures[:1], context(), [Preference(CARDS["preference"], tmp_path, architecture=tiny)])
    assert score.value is None and "cannot be read" in score.note


def test_a_model_gets_all_of_them_and_places_prompts(models_dir, pictures):
    scorers = {scorer.name: scorer for scorer in scorers_for(FLUX, models_dir)}
    assert {"adherence", "adherence_b", "aesthetic", "preference"} <= set(scorers)
    chosen = [scorers[name] for name in ("adherence", "adherence_b", "aesthetic")]
    rows = score_all(pictures, context(), chosen)
    assert all(score.value is not None for row in rows for score in row)
    placed = prompt_encoder(FLUX, models_dir).prompts(["a red mug", "a blue vase"])
    assert placed.shape == (2, 16) and np.linalg.norm(placed, axis=1) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_the_real_architecture_fits_what_the_code_expects():
    """ViT-H-14 without its weights: the sizes that the checkpoint has, and the tokenizer."""
    with torch.device("meta"):
        model = open_clip.create_model("ViT-H-14", device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == 986_109_441
    assert model.visual.image_size in (224, (224, 224))
    assert open_clip.get_tokenizer("ViT-H-14").context_length == 77
