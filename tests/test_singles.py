"""Single files of other studios: found by name, told apart by their headers, and drawn with through diffusers' own readers."""
from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import singles as made
import tiny

from models.cards import ModelCard
from models.errors import Unavailable
from models.memory import Machine, plan
from models.singles import SUBFOLDERS, all_names, header, matches
from models.spec import ImageSpec, Picture
from models.weights import Shelves, all_singles, find_model, gguf_gib, is_whole, model_found

torch = pytest.importorskip("torch")
from diffusers import FluxTransformer2DModel  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from models.local import LocalEngine  # noqa: E402
from models.single_loading import load_single  # noqa: E402

MACHINE = Machine("cpu", "CPU", 16, 16, 2)
SPEC = ImageSpec("a red mug", 64, 96, 2, 3.0, (5, 6))


@pytest.fixture
def klein(tmp_path: Path) -> ModelCard:
    return tiny.klein(tmp_path / "hub", distilled=True)


@pytest.fixture
def comfy(tmp_path: Path) -> Path:
    """ComfyUI's own folder."""
    for name in ("diffusion_models", "text_encoders", "vae"):
        (tmp_path / "ComfyUI" / "models" / name).mkdir(parents=True)
    return tmp_path / "ComfyUI"


def transformer_of(card: ModelCard) -> dict:
    return load_file(Path(card.repo) / "transformer" / "diffusion_pytorch_model.safetensors")


def without_weights(card: ModelCard, *parts: str) -> None:
    """As a download leaves it that skips what is here already."""
    for part in parts:
        for path in (Path(card.repo) / part).glob("*.safetensors*"):
            path.unlink()


def draw(card: ModelCard, where: Shelves) -> list[np.ndarray]:
    engine = LocalEngine(card, MACHINE, models_dir=where)
    try:
        return [np.asarray(e.image, dtype=np.int16) for e in engine.generate(SPEC) if isinstance(e, Picture)]
    finally:
        engine.close()


def difference(some: list[np.ndarray], others: list[np.ndarray]) -> float:
    return float(np.mean([np.abs(a - b).mean() for a, b in zip(some, others, strict=True)]))


def test_a_file_in_the_makers_layout_draws_what_the_folder_drew(klein: ModelCard, comfy: Path):
    before = draw(klein, Shelves())
    state = transformer_of(klein)
    save_file(made.flux2_as_made(state), comfy / "models" / "diffusion_models" / "flux-2-klein-4b.safetensors")
    without_weights(klein, "transformer")
    assert model_found(klein) is None

    found = find_model(klein, Shelves(folders=(comfy,)))
    assert found.files["transformer"].path.name == "flux-2-klein-4b.safetensors"
    after = draw(klein, Shelves(folders=(comfy,)))
    assert difference(before, after) == 0
    assert difference(before[:1], before[1:]) > 1  # two seeds differ: the line above says something


@pytest.mark.slow
def test_every_tensor_comes_back_from_the_makers_layout(klein: ModelCard, comfy: Path):
    state = transformer_of(klein)
    save_file(made.flux2_as_made(state), comfy / "models" / "diffusion_models" / "flux2-klein-4b.safetensors")
    found = find_model(klein, Shelves(folders=(comfy,)))
    assert not found.files  # the folder is whole, and whole folders go first
    without_weights(klein, "transformer")
    read = load_single(find_model(klein, Shelves(folders=(comfy,))), "transformer", torch.float32).state_dict()
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


@pytest.mark.slow
def test_plain_float8_is_read_and_float8_with_scales_is_refused_in_words(klein: ModelCard, comfy: Path):
    folder = comfy / "models" / "diffusion_models"
    state = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in made.flux2_as_made(transformer_of(klein)).items()}
    without_weights(klein, "transformer")
    where = Shelves(folders=(comfy,))
    scaled = state | {"double_blocks.0.img_attn.qkv.weight_scale": torch.tensor(0.5)}
    save_file(scaled, folder / "flux-2-klein-4b-fp8.safetensors")
    assert model_found(klein, where) is None
    (single,) = all_singles(klein, where)
    assert "scales of their own" in single.problem

    save_file(state, folder / "flux-2-klein-4b_float8_e4m3fn.safetensors")
    read = load_single(find_model(klein, where), "transformer", torch.bfloat16)
    assert read.dtype == torch.bfloat16
    assert torch.equal(read.x_embedder.weight, state["img_in.weight"].to(torch.bfloat16))
    assert len(draw(klein, where)) == 2


def test_gguf_is_read_quantised_and_draws_nearly_the_same(klein: ModelCard, comfy: Path):
    pytest.importorskip("gguf")
    before = draw(klein, Shelves())
    path = comfy / "models" / "unet" / "flux-2-klein-4b-Q8_0.gguf"
    path.parent.mkdir()
    made.as_gguf(path, made.flux2_as_made(transformer_of(klein)))
    without_weights(klein, "transformer")
    where = Shelves(folders=(comfy,))
    found = find_model(klein, where)
    assert found.files["transformer"].format == "gguf"
    assert gguf_gib(found) == pytest.approx(path.stat().st_size / 2**30)
    read = load_single(found, "transformer", torch.float32)
    assert type(read.transformer_blocks[0].attn.to_q).__name__ == "GGUFLinear"
    after = draw(klein, where)
    assert difference(before, after) < 3  # eight bits
    assert difference(before[:1], before[1:]) > 1


def test_gguf_without_its_package_says_what_to_install(klein: ModelCard, comfy: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("gguf")
    made.as_gguf(comfy / "models" / "diffusion_models" / "flux-2-klein-4b-Q8_0.gguf", made.flux2_as_made(transformer_of(klein)))
    without_weights(klein, "transformer")
    monkeypatch.setattr("models.singles.find_spec", lambda name: None)
    (single,) = all_singles(klein, Shelves(folders=(comfy,)))
    assert "contact-sheet[gguf]" in single.problem
    assert model_found(klein, Shelves(folders=(comfy,))) is None


@pytest.mark.slow
def test_a_text_encoder_of_another_studio_is_read(klein: ModelCard, comfy: Path):
    before = draw(klein, Shelves())
    weights = load_file(Path(klein.repo) / "text_encoder" / "model.safetensors")
    save_file(weights, comfy / "models" / "text_encoders" / "qwen_3_4b.safetensors")
    save_file(made.flux2_as_made(transformer_of(klein)), comfy / "models" / "diffusion_models" / "flux-2-klein-4b.safetensors")
    without_weights(klein, "transformer", "text_encoder")
    where = Shelves(folders=(comfy,))
    assert set(find_model(klein, where).files) == {"transformer", "text_encoder"}
    assert difference(before, draw(klein, where)) == 0

    del weights["model.layers.3.mlp.down_proj.weight"]
    save_file(weights, comfy / "models" / "text_encoders" / "qwen_3_4b.safetensors")
    with pytest.raises(Unavailable, match=r"model\.layers\.3\.mlp\.down_proj\.weight"):
        draw(klein, where)


@pytest.mark.slow
def test_another_model_under_the_same_name_is_told_apart(klein: ModelCard, tmp_path: Path, comfy: Path):
    other = tiny.flux2(tmp_path / "other")
    save_file(made.flux2_as_made(transformer_of(other)), comfy / "models" / "diffusion_models" / "flux-2-klein-4b.safetensors")
    (single,) = all_singles(klein, Shelves(folders=(comfy,)), Path(klein.repo))
    assert "takes guidance" in single.problem
    bare = comfy / "models" / "diffusion_models" / "flux-2-klein-4b-lora.safetensors"
    save_file({"lora_A.weight": torch.zeros(2, 2)}, bare)
    assert "no FLUX transformer" in next(one for one in all_singles(klein, Shelves(folders=(comfy,))) if one.path == bare).problem


def test_a_file_cut_short_is_no_model(klein: ModelCard, comfy: Path):
    path = comfy / "models" / "diffusion_models" / "flux-2-klein-4b.safetensors"
    save_file(made.flux2_as_made(transformer_of(klein)), path)
    whole = path.read_bytes()
    for length in (0, 5, 40, len(whole) - 1):
        path.write_bytes(whole[:length])
        (single,) = all_singles(klein, Shelves(folders=(comfy,)))
        assert "no whole safetensors" in single.problem
    path.write_bytes(struct.pack("<Q", 2**60) + whole[8:])
    assert "cut off" in all_singles(klein, Shelves(folders=(comfy,)))[0].problem


def test_names_and_where_they_are_looked_for(shipped, tmp_path: Path):
    dev, kontext, schnell = (shipped.card(name).singles["transformer"] for name in ("flux1-dev", "flux1-kontext-dev", "flux1-schnell"))
    assert matches("flux1-dev-Q4_K_S.gguf", dev) and matches("FLUX1-DEV-fp8.safetensors", dev)
    assert matches("flux1-dev-kontext_fp8_scaled.safetensors", kontext) and not matches("flux1-dev-kontext_fp8_scaled.safetensors", dev)
    assert matches("flux1-schnell.safetensors", schnell) and not matches("flux1-schnell.safetensors", dev)
    for name in SUBFOLDERS:
        for top in ("", "models"):
            place = tmp_path / top / name
            place.mkdir(parents=True)
            (place / "a.safetensors").touch()
    (tmp_path / "models" / "unet" / "FLUX").mkdir()
    (tmp_path / "models" / "unet" / "FLUX" / "b.gguf").touch()
    (tmp_path / "output" / "unet").mkdir(parents=True)
    (tmp_path / "output" / "unet" / "c.safetensors").touch()
    names = [str(path.relative_to(tmp_path)) for path in all_names((tmp_path, tmp_path))]
    assert len(names) == len(set(names)) == 2 * len(SUBFOLDERS) + 1
    assert not any(name.startswith("output") for name in names)


def test_headers_of_both_formats_say_the_same(klein: ModelCard, tmp_path: Path):
    pytest.importorskip("gguf")
    state = made.flux2_as_made(transformer_of(klein))
    save_file(state, tmp_path / "a.safetensors")
    made.as_gguf(tmp_path / "a.gguf", state)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert header(tmp_path / "a.safetensors") == shapes == header(tmp_path / "a.gguf")


def test_a_plan_for_gguf_weighs_the_file(shipped):
    card, gpu = shipped.card("flux1-dev"), Machine("cuda", "GPU", 12, 32, 8)
    assert plan(card, gpu).precision == "fp8"
    small = plan(card, gpu, gguf=6.3)
    assert small.fits and small.precision == "bf16" and small.quantisation == "" and "GGUF" in small.words
    assert not plan(card, replace(gpu, gib=6), gguf=6.3).fits


def test_headers_are_read_without_torch(klein: ModelCard, comfy: Path):
    code = f"""
import sys
from pathlib import Path
from models.presets import load_catalogue
from models.weights import Shelves, all_singles
print(len(all_singles(load_catalogue().card("flux2-klein-4b"), Shelves(folders=(Path({str(comfy)!r}),)))), "torch" in sys.modules)
"""
    save_file(made.flux2_as_made(transformer_of(klein)), comfy / "models" / "diffusion_models" / "flux-2-klein-4b.safetensors")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent.parent, timeout=60)
    assert done.stdout.split() == ["1", "False"], done.stderr


@pytest.mark.slow
def test_flux1_in_the_makers_layout_and_in_float8(tmp_path: Path, comfy: Path):
    """diffusers' reader takes FLUX.1 to be 3072 wide, so this one is: two blocks, 480 million parameters."""
    card = tiny.flux1(tmp_path / "hub", guidance_embeds=True)
    config_file = tmp_path / "hub" / "transformer" / "config.json"
    config = json.loads(config_file.read_text())
    config |= {"attention_head_dim": 128, "num_attention_heads": 24, "axes_dims_rope": [16, 56, 56]}
    config_file.write_text(json.dumps(config))
    state = made.flux1_as_made(1, 1, True, config["joint_attention_dim"], config["pooled_projection_dim"], config["in_channels"])
    path = comfy / "models" / "diffusion_models" / "flux1-dev-fp8.safetensors"
    # As in checkpoints that hold the whole model, with their prefix.
    save_file({f"model.diffusion_model.{name}": tensor.to(torch.float8_e4m3fn) for name, tensor in state.items()}, path)
    without_weights(card, "transformer")
    where = Shelves(folders=(comfy,))
    read = load_single(find_model(card, where), "transformer", torch.bfloat16)
    assert isinstance(read, FluxTransformer2DModel)
    _, k, _ = state["single_blocks.0.linear1.weight"][: 3 * 3072].to(torch.float8_e4m3fn).to(torch.bfloat16).chunk(3)
    assert torch.equal(read.single_transformer_blocks[0].attn.to_k.weight, k)
    shift, scale = state["final_layer.adaLN_modulation.1.bias"].to(torch.float8_e4m3fn).to(torch.bfloat16).chunk(2)
    assert torch.equal(read.norm_out.linear.bias, torch.cat([scale, shift]))
    drawn = draw(card, where)
    assert difference(drawn[:1], drawn[1:]) > 0.1
    shutil.rmtree(comfy)


def test_whole_without_a_part_asks_for_its_configuration(klein: ModelCard):
    without_weights(klein, "transformer")
    assert not is_whole(Path(klein.repo))
    assert is_whole(Path(klein.repo), without={"transformer"})
    (Path(klein.repo) / "transformer" / "config.json").unlink()
    assert not is_whole(Path(klein.repo), without={"transformer"})
