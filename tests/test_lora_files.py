"""LoRA files: every naming is read into the same layers, told by its header, written as others load it; what is none is refused by name."""
from __future__ import annotations

import json
import pickle
import re
import struct
from pathlib import Path

import loras
import numpy as np
import pytest
import singles
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.cards import Shape
from models.errors import BadInput
from models.lora import describe, pairs
from models.lora_export import EXPORTS, About, export, save_lora, write_pairs
from models.lora_fit import fitting, misfit, shape_of
from models.lora_names import fused
from models.lora_words import triggers_of
from models.presets import load_catalogue
from models.tensorfile import Raw, as_float, from_float, read_header
from models.weights import embedded_folder

CATALOGUE = load_catalogue()


def deltas(path: Path, arch=None) -> dict[tuple[str, str], np.ndarray]:
    """What each layer of diffusers' model gains."""
    found = pairs(describe(path), arch)
    return {(pair.part, pair.target): as_float(pair.up) @ as_float(pair.down) for pair in found}


def same(one: dict, other: dict, within: float = 1e-5) -> bool:
    return one.keys() == other.keys() and all(np.allclose(one[key], other[key], atol=within, rtol=1e-4) for key in one)


def same_pairs(one: Path, other: Path, card: str) -> bool:
    """The same, of files too large to multiply out: half by half."""
    found, expected = ({pair.target: pair for pair in pairs(describe(path), CATALOGUE.card(card).architecture)} for path in (one, other))
    return found.keys() == expected.keys() and all(
        np.array_equal(as_float(pair.down), as_float(expected[key].down)) and np.array_equal(as_float(pair.up), as_float(expected[key].up))
        for key, pair in found.items()
    )


def refused(path: Path, words: str = "") -> str:
    """The reason, which names the file."""
    with pytest.raises(BadInput) as error:
        for _ in pairs(describe(path, "loras.3"), field="loras.3"):
            pass
    assert error.value.field == "loras.3" and path.name in error.value.what
    assert words in error.value.why, error.value.why
    return error.value.why


# What a header tells.


def test_a_header_tells_what_a_lora_is(tmp_path):
    lora = describe(loras.embedded_lora(tmp_path / "zibble.safetensors", rank=4, text=True))
    assert (lora.naming, lora.architectures, lora.width, lora.double, lora.single) == ("diffusers", ("flux1",), 192, 2, 4)
    assert (lora.rank, lora.alpha, lora.triggers, lora.title) == (4, 4.0, ("zibble",), "zibble")
    assert lora.parts == ("transformer", "text_encoder") and lora.bytes == lora.path.stat().st_size
    assert lora.parameters == sum(4 * (outs + ins) for outs, ins in (loras.EMBEDDED | loras.TEXT).values())


def test_the_alpha_of_kohya_is_folded_in(tmp_path):
    path = loras.as_kohya(tmp_path / "k.safetensors", alpha=1, rank=4)
    lora = describe(path)
    assert (lora.naming, lora.rank, lora.alpha) == ("kohya", 4, 1.0)
    full = deltas(loras.as_kohya(tmp_path / "full.safetensors", alpha=4, rank=4))
    found = deltas(path)
    assert set(found) == {("transformer", f"transformer_blocks.0.attn.to_{one}") for one in "qkv"} | {
        ("transformer", f"single_transformer_blocks.1.{one}") for one in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    }
    assert same(found, {key: value / 4 for key, value in full.items()})


def test_the_alpha_that_diffusers_notes_is_folded_in(tmp_path):
    arrays = loras.tensors({name: loras.EMBEDDED[name] for name in list(loras.EMBEDDED)[:3]})
    noted = {"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.alpha_pattern": {"^transformer_blocks.1.attn.to_k": 2}}
    found = deltas(loras.raw_file(tmp_path / "d.safetensors", arrays, {"lora_adapter_metadata": json.dumps(noted)}))
    plain = deltas(loras.raw_file(tmp_path / "p.safetensors", arrays))
    for key, value in plain.items():
        assert np.allclose(found[key], value * (0.5 if key[1].endswith("to_k") else 2.0), atol=1e-5)


def test_words_in_metadata():
    assert triggers_of({"trained_words": '["ohwx", "tok mug"]'}) == ("ohwx", "tok mug")
    assert triggers_of({"modelspec.trigger_phrase": "ohwx, tok"}) == ("ohwx", "tok")
    statistics = {"10_mug": {"ohwx": 20, "table": 8, "sun": 3}, "1_class": {"a": 2, "b": 2}}
    assert triggers_of({"ss_tag_frequency": json.dumps(statistics)}) == ("ohwx",)
    for junk in ("{", "[" * 10000, '{"a": 3}', '{"a": {"b": []}}', "null"):
        assert triggers_of({"ss_tag_frequency": junk}) == ()
    assert triggers_of({"trained_words": "a\x00b\u202e\n" + "x" * 500})[0].startswith("a b")


def test_it_is_told_which_models_a_lora_fits(tmp_path):
    lora = describe(loras.embedded_lora(tmp_path / "e.safetensors"))
    assert [card.name for card in fitting(lora, CATALOGUE)] == ["embedded"]
    assert misfit(lora, CATALOGUE.card("flux1-dev")) == "It was trained for a model 192 wide, and FLUX.1-dev is 3072 wide."
    assert misfit(lora, CATALOGUE.card("flux2-klein-4b")) == "It was trained for FLUX.1, and FLUX.2-klein-4B is a FLUX.2."
    wide = {f"double_blocks.{block}.img_attn.proj": (3072, 3072) for block in (0, 4)}
    arrays = loras.tensors({f"diffusion_model.{name}": size for name, size in wide.items()}, rank=1)
    either = describe(loras.raw_file(tmp_path / "either.safetensors", arrays))
    assert either.architectures == ("flux1", "flux2")
    assert {"flux1-dev", "flux2-klein-4b"} <= {card.name for card in fitting(either, CATALOGUE)}
    assert not {"flux2-dev", "embedded"} & {card.name for card in fitting(either, CATALOGUE)}
    said = describe(loras.raw_file(tmp_path / "said.safetensors", arrays, {"modelspec.architecture": "Flux.2-klein-base-4B/lora"}))
    assert said.architectures == ("flux2",) and fitting(said, CATALOGUE)[0].name == "flux2-klein-base-4b"
    many = loras.tensors({"diffusion_model.double_blocks.30.img_attn.proj": (3072, 3072)}, rank=1)
    assert "30" in misfit(describe(loras.raw_file(tmp_path / "many.safetensors", many)), CATALOGUE.card("flux1-dev")) + "30"
    assert fitting(describe(tmp_path / "many.safetensors"), CATALOGUE) == []


def test_the_size_on_a_card_is_that_of_its_weights():
    card = CATALOGUE.card("embedded")
    config = json.loads((embedded_folder() / "transformer" / "config.json").read_text())
    assert card.shape == Shape.of_config(config) == shape_of(card)
    assert all(card.shape for card in CATALOGUE.cards.values())


def test_a_name_in_place_of_a_file_is_looked_at_again(tmp_path):
    path = loras.embedded_lora(tmp_path / "x.safetensors", rank=4)
    assert describe(path).rank == 4
    assert describe(loras.embedded_lora(path, rank=8)).rank == 8


# Every naming, against what others publish.


def whole_model(arch: str, rank: int = 1) -> dict[str, tuple[int, int]]:
    """Every linear layer of diffusers' own full-size model."""
    import diffusers
    import torch

    with torch.device("meta"):
        if arch == "flux1":
            model = diffusers.FluxTransformer2DModel(guidance_embeds=True)
        else:
            model = diffusers.Flux2Transformer2DModel(
                num_layers=5, num_single_layers=20, num_attention_heads=24, joint_attention_dim=7680, guidance_embeds=False
            )
    return {name: tuple(one.weight.shape) for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)}


def half_file(path: Path, layers: dict[str, tuple[int, int]], card: str) -> Path:
    """Rank 1 in 16 bits, to keep it small."""
    arrays = loras.tensors({f"transformer.{name}": size for name, size in layers.items()}, rank=1)
    halves = {name: from_float(array, "BF16") for name, array in arrays.items()}
    save_lora(path, halves, CATALOGUE.card(card), About("whole", ("ohwx",), resolution="1024x1024", licence="Apache-2.0"))
    return path


def test_flux1_in_kohyas_naming_is_what_diffusers_reads(tmp_path):
    from diffusers import FluxPipeline

    layers = whole_model("flux1")
    source = half_file(tmp_path / "d.safetensors", layers, "flux1-dev")
    export(describe(source), tmp_path / "k.safetensors", "kohya", CATALOGUE.card("flux1-dev"))
    read = FluxPipeline.lora_state_dict(str(tmp_path / "k.safetensors"))
    ours = {(pair.part, pair.target): pair for pair in pairs(describe(source))}
    # What diffusers' reader leaves without a prefix it would not load; those few layers of the top are compared by name alone.
    theirs = {key.removeprefix("transformer."): tensor for key, tensor in read.items()}
    assert {key.rsplit(".lora_", 1)[0] for key in theirs} == {target for _, target in ours} == set(layers)
    for key, tensor in theirs.items():
        pair = ours["transformer", key.rsplit(".lora_", 1)[0]]
        mine = pair.down if ".lora_A." in key else pair.up
        assert np.allclose(tensor.float().numpy(), as_float(mine)), key
    described = describe(tmp_path / "k.safetensors")
    assert described.naming == "kohya" and described.alpha == described.rank and described.width == 3072
    assert same_pairs(tmp_path / "k.safetensors", source, "flux1-dev")


def test_the_names_of_flux1_are_those_of_its_makers():
    names = {fused(target, "flux1").name for target in whole_model("flux1")}
    expected = {f"double_blocks.{block}.{side}_{one}" for block in range(19) for side in ("img", "txt")
                for one in ("mod.lin", "attn.qkv", "attn.proj", "mlp.0", "mlp.2")}  # fmt: skip
    expected |= {f"single_blocks.{block}.{one}" for block in range(38) for one in ("linear1", "linear2", "modulation.lin")}
    expected |= {f"{one}_in.{layer}" for one in ("time", "vector", "guidance") for layer in ("in_layer", "out_layer")}
    assert names == expected | {"img_in", "txt_in", "final_layer.linear", "final_layer.adaLN_modulation.1"}


def test_flux2_under_its_makers_names_is_what_diffusers_reads(tmp_path):
    import torch
    from diffusers import Flux2KleinPipeline

    layers = whole_model("flux2")
    card = CATALOGUE.card("flux2-klein-base-4b")
    source = half_file(tmp_path / "d.safetensors", layers, card.name)
    ours = {pair.target: pair for pair in pairs(describe(source))}
    assert set(ours) == set(layers)
    for tool in ("comfyui", "kohya"):
        file = tmp_path / f"{tool}.safetensors"
        export(describe(source), file, tool, card)
        assert describe(file).architectures == ("flux2",)
        assert same_pairs(file, source, card.name)
        assert not any(".alpha" in key for key in read_header(file).tensors) or tool == "kohya"
        read = {key.removeprefix("transformer."): tensor.float() for key, tensor in Flux2KleinPipeline.lora_state_dict(str(file)).items()}
        stems = {key.rsplit(".lora_", 1)[0] for key in read}
        # diffusers' reader of kohya's naming has no names for these.
        unread = {name for name in layers if "modulation" in name or name == "norm_out.linear"} if tool == "kohya" else set()
        assert stems == set(layers) - unread
        for name in stems - {"norm_out.linear"}:  # Read without turning shift and scale around, unlike diffusers' own reader of models.
            probe = torch.linspace(-1, 1, layers[name][1])
            product = (read[f"{name}.lora_B.weight"] @ (read[f"{name}.lora_A.weight"] @ probe)).numpy()
            assert np.allclose(product, as_float(ours[name].up) @ (as_float(ours[name].down) @ probe.numpy()), atol=1e-4), name
    made = {f"{name}.weight": torch.zeros(2, 2) for name in layers}
    theirs = {key.removesuffix(".weight") for key in singles.flux2_as_made(made)}
    stems = {key.removeprefix("diffusion_model.").rsplit(".lora_", 1)[0] for key in read_header(tmp_path / "comfyui.safetensors").tensors}
    assert stems == theirs


@pytest.mark.parametrize("prefix", ["transformer.", "base_model.model.", "diffusion_model.", ""])
@pytest.mark.parametrize("halves", [("lora_A", "lora_B"), ("lora_down", "lora_up"), ("lora.down", "lora.up")])
def test_prefixes_and_halves_of_many_trainers(tmp_path, prefix, halves):
    arrays = loras.tensors(loras.EMBEDDED)
    expected = deltas(loras.raw_file(tmp_path / "e.safetensors", arrays))
    renamed = {
        key.replace("transformer.", prefix, 1).replace("lora_A", halves[0]).replace("lora_B", halves[1]): array
        for key, array in arrays.items()
    }
    assert same(deltas(loras.raw_file(tmp_path / "r.safetensors", renamed)), expected)
    flat = {
        "lora_transformer_" + key.removeprefix("transformer.").rsplit(".lora_", 1)[0].replace(".", "_")
        + (".lora_down.weight" if "lora_A" in key else ".lora_up.weight"): array
        for key, array in arrays.items()
    }  # fmt: skip
    assert same(deltas(loras.raw_file(tmp_path / "f.safetensors", flat)), expected)


def test_xlabs_processors(tmp_path):
    names = {"double_blocks.0.processor.qkv_lora1": (576, 192), "double_blocks.1.processor.proj_lora2": (192, 192),
             "single_blocks.0.processor.qkv_lora": (576, 192), "single_blocks.0.processor.proj_lora": (192, 960)}  # fmt: skip
    arrays = {key.replace("lora_A", "down").replace("lora_B", "up"): value for key, value in loras.tensors(names).items()}
    found = {target for _, target in deltas(loras.raw_file(tmp_path / "x.safetensors", arrays))}
    assert found == {f"{block}.0.attn.to_{one}" for block in ("transformer_blocks", "single_transformer_blocks") for one in "qkv"} | {
        "transformer_blocks.1.attn.to_add_out", "single_transformer_blocks.0.proj_out"
    }  # fmt: skip


# Written.


@pytest.mark.parametrize("tool", EXPORTS)
def test_an_export_says_what_it_is_and_does_the_same(tmp_path, tool):
    source = loras.embedded_lora(tmp_path / "mug.safetensors", text=True)
    extra = {"contact_sheet.version": "mug/v3"}
    about = About("Mug", ("zibble",), "A mug.", "Ada", "CC-BY-4.0", "2026-11-21", "256x256", ("mug", "clay"), extra)
    digest = export(describe(source), tmp_path / "out" / "mug.safetensors", tool, loras.card(), about)
    out = tmp_path / "out" / "mug.safetensors"
    assert same(deltas(out), deltas(source)) and list(out.parent.iterdir()) == [out]
    lora = describe(out)
    assert lora.title == "Mug" and lora.triggers == ("zibble",) and lora.licence == "CC-BY-4.0" and lora.base == "embedded/lora"
    said = lora.metadata
    assert said["modelspec.sai_model_spec"] == "1.0.1" and said["modelspec.tags"] == "mug, clay" and extra.items() <= said.items()
    assert re.fullmatch(r"0x[0-9a-f]{64}", said["modelspec.hash_sha256"]) and said["ss_network_dim"] == said["ss_network_alpha"]
    import hashlib

    assert digest == hashlib.sha256(out.read_bytes()).hexdigest()
    assert export(describe(source), tmp_path / "again.safetensors", tool, loras.card(), about) == digest
    for key, tensor in lora.header.tensors.items():
        if key.endswith(".alpha"):  # The rank of that very layer.
            assert as_float(from_float(np.fromfile(out, np.float32, 1, offset=tensor.start), "F32"))[0] == lora.header.tensors[
                key.replace(".alpha", ".lora_down.weight")
            ].shape[0]  # fmt: skip


def test_forge_gets_no_flux2(tmp_path):
    arrays = loras.tensors({"diffusion_model.single_blocks.0.linear2": (3072, 12288)}, rank=1)
    lora = describe(loras.raw_file(tmp_path / "k.safetensors", arrays))
    with pytest.raises(BadInput) as error:
        export(lora, tmp_path / "no.safetensors", "forge", CATALOGUE.card("flux2-klein-4b"))
    assert error.value.field == "tool" and not (tmp_path / "no.safetensors").exists()


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_a_training_is_saved_with_its_alpha_folded_in(tmp_path, kind):
    arrays = loras.tensors(loras.EMBEDDED)
    plain = {name: from_float(array, kind) for name, array in arrays.items()}
    save_lora(tmp_path / "a.safetensors", plain, loras.card(), About("a"), alpha=8)
    for (_, target), delta in deltas(tmp_path / "a.safetensors").items():
        down, up = (as_float(plain[f"transformer.{target}.{half}.weight"]) for half in ("lora_A", "lora_B"))
        assert np.allclose(delta, 2 * up @ down, atol=0.02)
    with pytest.raises(ValueError, match="no layer"):
        save_lora(tmp_path / "b.safetensors", {"transformer.nothing.lora_A.weight": arrays[next(iter(arrays))]}, loras.card(), About())
    broken = plain | {next(iter(plain)): Raw(np.full_like(plain[next(iter(plain))].array, np.nan), kind)} if kind != "BF16" else None
    if broken:
        with pytest.raises(ValueError, match="finite"):
            save_lora(tmp_path / "c.safetensors", broken, loras.card(), About())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors"]


def test_bfloat16_rounds_as_torch_does():
    import torch

    values = np.random.default_rng(0).standard_normal(4096).astype(np.float32) * np.float32(1e3)
    values[:5] = (0.0, -0.0, np.inf, -np.inf, np.nan)
    raw = from_float(values, "BF16")
    expected = torch.from_numpy(values).to(torch.bfloat16)
    assert np.array_equal(as_float(raw), expected.float().numpy(), equal_nan=True)
    assert not raw.finite() and from_float(values[5:], "BF16").finite()


def test_loaded_back_through_diffusers(tmp_path):
    """The whole way: the pipeline's own loader, and the weights it ends with."""
    import torch
    from diffusers import FluxPipeline

    folder = tmp_path / "tiny"
    tiny.flux1(folder)
    pipe = FluxPipeline.from_pretrained(folder, local_files_only=True)
    layers = {f"transformer.{name}": tuple(one.weight.shape) for name, one in pipe.transformer.named_modules()
              if isinstance(one, torch.nn.Linear)}  # fmt: skip
    layers |= {f"text_encoder.{name}": tuple(one.weight.shape) for name, one in pipe.text_encoder.named_modules()
               if isinstance(one, torch.nn.Linear)}  # fmt: skip
    save_lora(tmp_path / "t.safetensors", loras.tensors(layers, rank=2), loras.card(), About("t"))
    added = deltas(tmp_path / "t.safetensors")
    export(describe(tmp_path / "t.safetensors"), tmp_path / "c.safetensors", "comfyui", loras.card())
    pipe.load_lora_weights(str(tmp_path), weight_name="c.safetensors", adapter_name="c")
    for part in ("transformer", "text_encoder"):
        for name, module in getattr(pipe, part).named_modules():
            if hasattr(module, "lora_A") and "c" in module.lora_A:
                assert module.scaling["c"] == 1
                delta = added.pop((part, name))
                assert np.allclose(module.get_delta_weight("c").detach().numpy(), delta, atol=1e-5)
    assert not added


# What is none.


def test_pickles_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    for name, data in (("a.safetensors", pickle.dumps(Trap())), ("b.pt", b"x" * 99), ("c.safetensors", b"PK\x03\x04" + b"0" * 99)):
        (tmp_path / name).write_bytes(data)
        assert "pickle" in refused(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_other_kinds_are_called_by_their_names(tmp_path):
    one = "transformer.transformer_blocks.0.attn.to_q"
    square = (192, 192)
    for key, words in (
        (f"{one}.lora_magnitude_vector", "DoRA"),
        (f"{one}.dora_scale", "DoRA"),
        ("lora_unet_double_blocks_0_img_attn_qkv.lokr_w1", "LoKr"),
        ("lora_unet_double_blocks_0_img_attn_qkv.hada_w1_a", "LoHa"),
        (f"{one}.lora_B.bias", "biases"),
        ("single_blocks.0.norm.key_norm.scale", "control"),
        ("clip_l", "textual inversion"),
        ("double_blocks.0.img_attn.qkv.weight", "whole model"),
        ("transformer_blocks.0.attn.to_q.weight", "whole model"),
        ("some.other.weight", "no part of a LoRA"),
    ):
        assert words in refused(loras.raw_file(tmp_path / "x.safetensors", {key: np.ones((4, 4))}))
    for stem, words in (
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", "Stable Diffusion"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", "Stable Diffusion XL"),
        ("diffusion_model.blocks.0.cross_attn.k", "Wan"),
        ("diffusion_model.layers.0.attention.to_q", "Z-Image"),
        ("transformer_blocks.0.img_mlp.net.0.proj", "Qwen-Image"),
        ("transformer.double_blocks.0.img_attn_qkv", "HunyuanVideo"),
    ):
        refused(loras.raw_file(tmp_path / "y.safetensors", loras.tensors({stem: square})), words)


def test_halves_and_values_that_do_not_fit(tmp_path):
    arrays = loras.tensors({"transformer.transformer_blocks.0.attn.to_q": (192, 192)})
    a, b = arrays
    file = tmp_path / "x.safetensors"
    refused(loras.raw_file(file, {a: arrays[a]}), "no up half")
    refused(loras.raw_file(file, {a: arrays[a][:3], b: arrays[b]}), "do not match")
    refused(loras.raw_file(file, {a: arrays[a].ravel(), b: arrays[b]}), "do not match")
    refused(loras.raw_file(file, {a: arrays[a], b: arrays[b] * 0}), "changes nothing")
    refused(loras.raw_file(file, {a: arrays[a] * np.nan, b: arrays[b]}), "NaN")
    refused(loras.raw_file(file, {a: arrays[a], b: arrays[b][:100]}), "another size")
    refused(loras.raw_file(file, arrays | {"transformer.transformer_blocks.0.attn.to_q.alpha": np.array(np.nan)}), "alpha")
    refused(loras.raw_file(file, arrays | {"transformer.transformer_blocks.0.attn.to_q.alpha": np.ones(3)}), "no number")
    flat = {key: key.replace("transformer.", "lora_transformer_", 1).replace("s.0.attn.to_q", "s_0_attn_to_q") for key in arrays}
    twice = {flat[key]: one for key, one in arrays.items()}
    refused(loras.raw_file(file, arrays | twice), "same layer")
    refused(loras.raw_file(file, {}), "no tensors")
    refused(tmp_path / "absent.safetensors")
    refused(tmp_path)


def test_headers_that_lie(tmp_path):
    file = tmp_path / "x.safetensors"
    good = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}

    def header(text: bytes, tail: bytes = b"\0" * 4, length: int | None = None) -> Path:
        file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + tail)
        return file

    refused(header(b"{}", length=2**63), "claims a header")
    refused(header(b"{}", length=2**25 + 1), "claims a header")
    refused(header(b"{}", length=500), "cut off")
    refused(header(b"[" * 200_000), "no JSON")
    refused(header(b'{"a": ' * 50_000 + b"1" + b"}" * 50_000), "no JSON")
    refused(header(b"\xff\xfe"), "no JSON")
    refused(header(b"[]"), "no table")
    refused(header(json.dumps({"__metadata__": {"a": 1}}).encode()), "metadata")
    for wrong in (
        {}, [], None, good | {"dtype": "F99"}, good | {"shape": [2]}, good | {"shape": [-1]}, good | {"shape": [1.0]},
        good | {"shape": [True]},
        good | {"shape": [2**62, 2**62]}, good | {"data_offsets": [0]}, good | {"data_offsets": [4, 0]}, good | {"shape": [1] * 99},
    ):  # fmt: skip
        refused(header(json.dumps({"a.lora_A.weight": wrong}).encode()), "wrongly")
    refused(header(json.dumps({"a.lora_A.weight": good}).encode(), tail=b"\0" * 3), "missing")
    refused(header(json.dumps({"a.lora_A.weight": good}).encode(), tail=b"\0" * 5), "too many")
    refused(header(json.dumps({"a.lora_A.weight": good, "b": good}).encode()), "follow")
    refused(header(b'{"a": %s, "a": %s}' % ((json.dumps(good).encode(),) * 2)), "twice")
    for data in (b"", b"1234", b"GGUF" + b"\0" * 50):
        file.write_bytes(data)
        refused(file)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    layers = {name: loras.EMBEDDED[name] for name in list(loras.EMBEDDED)[:4]}
    return loras.raw_file(folder / "x.safetensors", loras.tensors(layers, rank=1))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fuzzed_files_are_read_or_refused_by_name(whole, tmp_path, data):
    """Cut, overwritten, with keys and shapes changed: a LoRA comes out, or BadInput that names the file, and nothing else."""
    content = bytearray(whole.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    how = data.draw(st.sampled_from(["cut", "bytes", "header bytes", "entry", "rename", "noise"]))
    if how == "cut":
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    elif how in ("bytes", "header bytes"):
        end = len(content) if how == "bytes" else 8 + length
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    elif how == "noise":
        content = bytearray(data.draw(st.binary(max_size=300)))
    else:
        header = json.loads(content[8 : 8 + length])
        key = data.draw(st.sampled_from(sorted(header)))
        if how == "rename":
            place = data.draw(st.integers(0, len(key)))
            header[key[:place] + data.draw(st.text(max_size=6)) + key[place + data.draw(st.integers(0, 5)) :]] = header.pop(key)
        else:
            json_values = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda one: st.lists(one, max_size=3), max_leaves=6)
            header[key][data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]))] = data.draw(json_values)
        text = json.dumps(header).encode()
        content = bytearray(struct.pack("<Q", len(text)) + text + content[8 + length :])
    file = tmp_path / "fuzzed.safetensors"
    file.write_bytes(content)
    try:
        lora = describe(file, "loras.0")
        for _ in pairs(lora, field="loras.0"):
            pass
        fitting(lora, CATALOGUE)
    except BadInput as error:
        named = error.field == "loras.0" and file.name in error.what and bool(error.why)
    else:
        named = True
    assert named


def test_a_fused_layer_comes_apart_as_it_was_put_together(tmp_path):
    """Ranks stay what they were: three layers of rank 2 are one of rank 6, and three of rank 2 again."""
    layers = {f"transformer.transformer_blocks.0.attn.to_{one}": (192, 192) for one in "qkv"}
    source = loras.raw_file(tmp_path / "s.safetensors", loras.tensors(layers, 2))
    found = list(pairs(describe(source)))
    write_pairs(tmp_path / "b.safetensors", found, "bfl", loras.card(), About())
    fused_file = describe(tmp_path / "b.safetensors")
    assert fused_file.rank == 6 and list(fused_file.header.tensors) == [
        "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight", "diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight"
    ]  # fmt: skip
    back = {pair.target: pair for pair in pairs(fused_file)}
    for pair in found:
        assert np.array_equal(back[pair.target].down.array, pair.down.array) and np.array_equal(back[pair.target].up.array, pair.up.array)
