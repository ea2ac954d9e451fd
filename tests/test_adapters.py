"""LoRAs on a loaded pipeline: exchanged in place, kept warm up to a bound, and gone without a trace. With the embedded model."""
from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import loras
import numpy as np
import pytest
import tiny
import torch
from diffusers import FluxPipeline

from models.adapters import Adapters
from models.errors import BadInput
from models.local import LocalEngine
from models.lora import describe, pairs
from models.lora_export import EXPORTS, export
from models.memory import Machine, plan
from models.spec import ImageSpec, LoraUse, Picture
from models.tensorfile import as_float
from models.weights import embedded_folder

MACHINE = Machine("cpu", "CPU", 16, 16, 2)
SPEC = ImageSpec("a red mug on a wooden table", 64, 64, 2, 3.0, (5,))


@pytest.fixture(scope="module")
def pipe() -> FluxPipeline:
    """The drawing half of the embedded model. Every test leaves it as it found it."""
    found = FluxPipeline.from_pretrained(embedded_folder(), local_files_only=True)
    found.text_encoder.requires_grad_(False)
    return found


@pytest.fixture
def adapters(pipe: FluxPipeline) -> Iterator[Adapters]:
    found = Adapters(pipe)
    yield found
    found.unload()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("loras")
    return [loras.embedded_lora(folder / f"l{seed}.safetensors", seed, rank=2 + seed) for seed in range(4)]


@torch.no_grad()
def velocity(pipe: FluxPipeline) -> torch.Tensor:
    """One pass of the transformer over fixed noise: what any difference in weights would show in."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return pipe.transformer(
        hidden_states=noise(1, 16, 64), encoder_hidden_states=noise(1, 8, 128), pooled_projections=noise(1, 64),
        timestep=torch.tensor([0.5]), img_ids=torch.zeros(16, 3), txt_ids=torch.zeros(8, 3), return_dict=False,
    )[0]  # fmt: skip


def merged(pipe: FluxPipeline, uses: list[tuple[Path, float]]) -> torch.Tensor:
    """The same with the LoRAs added to the weights themselves."""
    modules, before = dict(pipe.transformer.named_modules()), {}
    with torch.no_grad():
        for path, weight in uses:
            for pair in pairs(describe(path)):
                parameter = modules[pair.target].weight
                before.setdefault(pair.target, parameter.clone())
                parameter += weight * torch.from_numpy(as_float(pair.up) @ as_float(pair.down))
        found = velocity(pipe)
        for target, tensor in before.items():
            modules[target].weight.copy_(tensor)
    return found


def test_several_with_weights_are_what_their_sum_would_be(pipe, adapters, files):
    base = velocity(pipe)
    uses = [(files[0], 0.7), (files[1], -0.4), (files[2], 1.2)]
    expected, single = merged(pipe, uses), merged(pipe, [(files[0], 0.7)])
    assert torch.equal(velocity(pipe), base)
    adapters.use(tuple(LoraUse(*use) for use in uses))
    found = velocity(pipe)
    assert torch.allclose(found, expected, atol=1e-4) and not torch.allclose(found, base, atol=1e-2)
    adapters.use((LoraUse(files[0], 0.4), LoraUse(files[0], 0.3)))  # The same twice: its weights add up.
    assert torch.allclose(velocity(pipe), single, atol=1e-4)


def test_the_base_is_itself_again_bit_for_bit(pipe, adapters, files):
    base, names = velocity(pipe), [name for name, _ in pipe.transformer.named_modules()]
    weights = {name: tensor.clone() for name, tensor in pipe.transformer.state_dict().items()}
    for uses in ((files[0],), (files[0], files[1]), (files[2],)):
        adapters.use(tuple(LoraUse(path) for path in uses))
        assert not torch.equal(velocity(pipe), base)
        adapters.use(())  # Still warm, and without effect.
        assert adapters.resident and torch.equal(velocity(pipe), base)
    adapters.use((LoraUse(files[0], 0.0),))
    assert torch.equal(velocity(pipe), base)
    adapters.unload()
    assert [name for name, _ in pipe.transformer.named_modules()] == names
    assert all(torch.equal(tensor, weights[name]) for name, tensor in pipe.transformer.state_dict().items())
    assert torch.equal(velocity(pipe), base)


def test_what_else_is_warm_changes_nothing(pipe, adapters, files):
    wanted = (LoraUse(files[1], 0.8), LoraUse(files[0], 0.5))
    adapters.use(wanted)
    alone = velocity(pipe)
    for others in ((files[2], files[3]), (files[0],), ()):
        adapters.use(tuple(LoraUse(path) for path in others))
    adapters.use(wanted)
    assert torch.equal(velocity(pipe), alone)


def test_the_longest_idle_leave_when_their_bytes_exceed_the_bound(pipe, files):
    sizes = [4 * describe(path).parameters for path in files]
    adapters = Adapters(pipe, kept_bytes=sizes[0] + sizes[1])
    try:
        for path in files[:3]:
            adapters.use((LoraUse(path),))
        assert adapters.resident == tuple(files[:3])  # Two idle, just within.
        adapters.use((LoraUse(files[0]),))
        adapters.use((LoraUse(files[3]),))  # 1, 2 and 0 idle: 1 was not used for longest.
        assert files[1] not in adapters.resident and files[3] == adapters.resident[-1]
        assert adapters.idle_bytes <= sizes[0] + sizes[1]
        adapters.use(tuple(LoraUse(path) for path in files))  # Those in use stay, whatever they weigh.
        assert set(adapters.resident) == set(files) and adapters.idle_bytes == 0
        adapters.use(())
        assert adapters.idle_bytes <= sizes[0] + sizes[1]
        adapters.forget()
        assert adapters.resident == () and not any("lora" in name for name, _ in pipe.transformer.named_modules())
    finally:
        adapters.unload()


def test_a_file_in_place_of_another_is_read_anew(pipe, adapters, tmp_path):
    path = loras.embedded_lora(tmp_path / "x.safetensors", seed=1)
    adapters.use((LoraUse(path),))
    first = velocity(pipe)
    loras.embedded_lora(path, seed=2, rank=6)
    adapters.use((LoraUse(path),))
    assert not torch.equal(velocity(pipe), first)


def test_a_bad_file_is_named_and_leaves_the_base(pipe, adapters, files, tmp_path):
    base = velocity(pipe)
    (tmp_path / "junk.safetensors").write_bytes(b"not tensors")
    loras.raw_file(tmp_path / "nan.safetensors", {key: value * np.nan for key, value in loras.tensors(loras.EMBEDDED).items()})
    far = {"transformer.transformer_blocks.7.attn.to_q": (192, 192)}
    loras.raw_file(tmp_path / "far.safetensors", loras.tensors(far))
    wide = {"transformer.transformer_blocks.0.attn.to_q": (3072, 3072)}
    loras.raw_file(tmp_path / "wide.safetensors", loras.tensors(wide))
    loras.raw_file(tmp_path / "flux2.safetensors", loras.tensors({"transformer.transformer_blocks.0.ff.linear_in": (1152, 192)}))
    for name, words in (
        ("junk", "header"), ("nan", "NaN"), ("far", "has not"), ("wide", "192 x 192"), ("flux2", "FLUX.2"), ("absent", ""),
    ):  # fmt: skip
        adapters.use((LoraUse(files[1]),))
        with pytest.raises(BadInput) as error:
            adapters.use((LoraUse(files[0]), LoraUse(tmp_path / f"{name}.safetensors")))
        assert error.value.field == "loras.1" and name in error.value.what and words in error.value.why
        adapters.use(())
        assert torch.equal(velocity(pipe), base)


@pytest.mark.parametrize("tool", [*EXPORTS])
def test_an_export_draws_what_its_source_draws(pipe, adapters, files, tmp_path, tool):
    adapters.use((LoraUse(files[2]),))
    drawn = velocity(pipe)
    export(describe(files[2]), tmp_path / "x.safetensors", tool, loras.card())
    adapters.use((LoraUse(tmp_path / "x.safetensors"),))
    assert torch.allclose(velocity(pipe), drawn, atol=1e-5)


def test_going_back_to_a_warm_one_is_quick(pipe, adapters, files):
    one, two = (LoraUse(files[0]),), (LoraUse(files[1], 0.5), LoraUse(files[2]))
    adapters.use(one)
    adapters.use(two)
    took = []
    for _ in range(10):
        for uses in (one, two, ()):
            begun = time.perf_counter()
            adapters.use(uses)
            took.append(time.perf_counter() - begun)
    assert sorted(took)[len(took) // 2] < 0.05


# Through the engine.


def picture(engine: LocalEngine, spec: ImageSpec) -> np.ndarray:
    return next(np.asarray(event.image) for event in engine.generate(spec) if isinstance(event, Picture))


def test_a_lora_of_the_text_encoder_changes_how_prompts_are_read(tmp_path):
    engine = LocalEngine(loras.card(), MACHINE, previews=False)
    try:
        base = picture(engine, SPEC)
        text = loras.raw_file(tmp_path / "t.safetensors", loras.tensors(loras.TEXT, size=2.0))
        with_text = picture(engine, replace(SPEC, loras=(LoraUse(text),)))
        assert not np.array_equal(with_text, base)
        encoded = engine._reader.encoded
        assert np.array_equal(picture(engine, SPEC), base)
        assert np.array_equal(picture(engine, replace(SPEC, loras=(LoraUse(text),))), with_text)
        assert engine._reader.encoded == encoded  # Both readings are kept.
        drawing = loras.embedded_lora(tmp_path / "d.safetensors", size=0.3)
        picture(engine, replace(SPEC, loras=(LoraUse(drawing),)))
        assert engine._reader.encoded == encoded  # A LoRA of the transformer alone changes no reading.
        assert not np.array_equal(picture(engine, replace(SPEC, prompt="a blue vase", loras=(LoraUse(text, 0.5),))), base)
    finally:
        engine.close()


@pytest.mark.parametrize("how", ["fp8", "streamed", "swapped", "dropped"])
def test_every_way_to_keep_a_model_takes_loras(tmp_path, how):
    card = tiny.flux1(tmp_path / "tiny")
    mode = {"fp8": {"precision": "fp8", "text": "fp8"}, "streamed": {"streamed": True, "encoders": "swapped"}}.get(how, {"encoders": how})
    engine = LocalEngine(card, MACHINE, replace(plan(card, MACHINE), **mode), previews=False)  # type: ignore[arg-type]
    one, two = tiny.lora(tmp_path, seed=7), tiny.lora(tmp_path, seed=8)
    spec = ImageSpec("a red mug", 64, 64, 2, 3.0, (5,))
    base = picture(engine, spec)
    first = picture(engine, replace(spec, loras=(LoraUse(one),)))
    assert not np.array_equal(first, base)
    assert not np.array_equal(picture(engine, replace(spec, loras=(LoraUse(two), LoraUse(one, 0.5)))), first)
    assert np.array_equal(picture(engine, replace(spec, loras=(LoraUse(one),))), first)
    assert np.array_equal(picture(engine, spec), base)
    engine.close()


def test_float8_below_does_not_coarsen_a_lora(tmp_path):
    card = tiny.flux1(tmp_path / "tiny")
    engine = LocalEngine(card, MACHINE, replace(plan(card, MACHINE), precision="fp8", text="fp8"), previews=False)
    path = tiny.lora(tmp_path)
    picture(engine, ImageSpec("a red mug", 64, 64, 1, 3.0, (5,), loras=(LoraUse(path),)))
    expected = {pair.target: pair for pair in pairs(describe(path))}
    modules = dict(engine._pipe.transformer.named_modules())
    for target, pair in expected.items():
        (weight,) = (half.weight for half in modules[target].lora_A.values())
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, torch.from_numpy(as_float(pair.down)).to(torch.bfloat16))
    engine.close()
