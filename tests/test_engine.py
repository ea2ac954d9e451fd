"""The local engine, through tiny random models of every architecture it draws with."""
from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from models.cards import ModelCard
from models.errors import BadInput, OutOfMemory, Unavailable
from models.memory import Machine, plan
from models.spec import ImageSpec, LoraUse, Picture, Preview, Step

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
from models.latents import estimate, noise  # noqa: E402
from models.local import LocalEngine  # noqa: E402

MACHINE = Machine("cpu", "CPU", 16, 16, 2)
SPEC = ImageSpec("a red mug", 64, 96, 3, 3.0, (5, 6, 7))
ARCHITECTURES = {
    "cfg": tiny.flux1,
    "dev": lambda folder: tiny.flux1(folder, guidance_embeds=True),
    "kontext": tiny.kontext,
    "klein": lambda folder: tiny.klein(folder, distilled=True),
    "klein-base": lambda folder: tiny.klein(folder, distilled=False),
    "flux2": tiny.flux2,
}


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelCard]:
    root = tmp_path_factory.mktemp("tiny")
    return {name: build(root / name) for name, build in ARCHITECTURES.items()}


@pytest.fixture
def engine(cards: dict[str, ModelCard]) -> Iterator[LocalEngine]:
    """The embedded model's architecture."""
    engine = LocalEngine(cards["cfg"], MACHINE)
    yield engine
    engine.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    file = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 255, (8, 12, 3), dtype=np.uint8)).resize((128, 192)).save(file)
    return file


def pictures(engine: LocalEngine, spec: ImageSpec) -> dict[int, np.ndarray]:
    return {e.seed: np.asarray(e.image, dtype=np.int16) for e in engine.generate(spec) if isinstance(e, Picture)}


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference in levels of 255."""
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_draws_what_its_bare_pipeline_draws(cards: dict[str, ModelCard], name: str):
    card = cards[name]
    drawn = pictures(LocalEngine(card, MACHINE), SPEC)

    pipe = getattr(diffusers, card.pipeline).from_pretrained(card.repo, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    if card.clip_tokens:
        start = pipe._pack_latents(noise(SPEC.seeds, (16, 12, 8)), 3, 16, 12, 8)
    else:
        start = noise(SPEC.seeds, (128, 6, 4))
    guidance = {"guidance_scale": 3.0}
    if card.guidance_kind == "cfg" and card.clip_tokens:
        guidance = {"true_cfg_scale": 3.0, "negative_prompt": [""] * 3}
    if card.guidance_kind == "none":
        guidance = {"guidance_scale": 0.0}
    if name == "kontext":
        guidance["max_area"] = 64 * 96
    bare = pipe(
        prompt=[SPEC.prompt] * 3, width=64, height=96, num_inference_steps=3, latents=start,
        max_sequence_length=card.max_tokens, **guidance,
    ).images  # fmt: skip
    for seed, image in zip(SPEC.seeds, bare, strict=True):
        assert difference(drawn[seed], np.asarray(image, dtype=np.int16)) <= 1
    assert difference(drawn[5], drawn[6]) > 1  # Different seeds, different pictures: the comparison above says something.


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_seed_gives_the_same_picture_whatever_batch_it_rode_in(cards: dict[str, ModelCard], name: str):
    engine = LocalEngine(cards[name], MACHINE)
    together = pictures(engine, SPEC)
    again = pictures(engine, SPEC)
    other_way = pictures(engine, replace(SPEC, seeds=(7, 5, 6)))
    for seed in SPEC.seeds:
        alone = pictures(engine, replace(SPEC, seeds=(seed,)))[seed]
        assert difference(alone, together[seed]) <= 1
        assert np.array_equal(again[seed], together[seed])
        assert difference(other_way[seed], together[seed]) <= 1


def test_events_come_in_order(engine: LocalEngine):
    events = list(engine.generate(SPEC))
    assert [e.index for e in events if isinstance(e, Step)] == [1, 2, 3]
    assert all(e.seeds == SPEC.seeds and e.total == 3 for e in events if isinstance(e, Step))
    assert [(e.seed, e.index) for e in events if isinstance(e, Preview)] == [(s, i) for i in (1, 2, 3) for s in SPEC.seeds]
    assert all(e.image.size == (16, 24) for e in events if isinstance(e, Preview))
    drawn = events[-3:]
    assert [e.seed for e in drawn] == list(SPEC.seeds)
    for picture in drawn:
        assert picture.image.size == (64, 96)
        assert picture.seconds > 0
        assert picture.details["steps_run"] == 3
        assert picture.details["precision"] == "fp32"
        assert picture.details["batch"] == 3


def test_previews_keep_their_distance(cards: dict[str, ModelCard]):
    events = list(LocalEngine(cards["cfg"], MACHINE, preview_seconds=3600).generate(SPEC))
    assert {event.index for event in events if isinstance(event, Preview)} == {1}
    assert [event.index for event in events if isinstance(event, Step)] == list(range(1, SPEC.steps + 1))


def test_previews_can_be_left_out(cards: dict[str, ModelCard]):
    events = list(LocalEngine(cards["cfg"], MACHINE, previews=False).generate(SPEC))
    assert not [e for e in events if isinstance(e, Preview)]
    assert len([e for e in events if isinstance(e, Step)]) == 3


def test_a_preview_shows_the_clean_picture_on_the_way(engine: LocalEngine):
    """Half-way along a straight path the estimate is exact; the last preview is the linear map of the finished latents."""
    clean, dirt = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    at = lambda sigma: (1 - sigma) * clean + sigma * dirt  # noqa: E731
    assert torch.allclose(estimate(at(0.9), at(0.6), 0.9, 0.6), clean, atol=1e-5)
    assert torch.equal(estimate(None, at(0.6), 0.9, 0.6), at(0.6))

    seen = {}
    engine._load_drawing(SPEC)
    original = engine._previewer.__call__

    class Spy:
        def __call__(self, latents):
            seen["latents"] = latents
            return original(latents)

    engine._previewer = Spy()
    final = pictures(engine, replace(SPEC, seeds=(5,)))[5]
    from models.latents import decode

    assert difference(np.asarray(decode(engine._pipe, seen["latents"]), dtype=np.int16), final) <= 1


def test_the_fitted_map_follows_an_autoencoder():
    """On a linear stand-in for an autoencoder the fit is all but exact."""
    from models.latents import Previewer, _drawn

    class Averaging:
        device, dtype = torch.device("cpu"), torch.float32
        config = type("Config", (), {"block_out_channels": [1, 1, 1, 1]})
        mix = torch.randn(6, 12, generator=torch.Generator().manual_seed(0))

        def encode(self, pixels):
            cells = torch.nn.functional.pixel_unshuffle(torch.nn.functional.avg_pool2d(pixels, 4), 2)
            mixed = torch.einsum("oc,bchw->bohw", torch.cat([self.mix, torch.eye(12)]), cells)
            return type("Output", (), {"latent_dist": type("Mode", (), {"mode": staticmethod(lambda: mixed)})})

    vae = Averaging()
    picture = torch.from_numpy(_drawn(99, 64)).permute(2, 0, 1)[None]
    image = Previewer.of(vae)(vae.encode(picture * 2 - 1).latent_dist.mode())[0]
    wanted = torch.nn.functional.avg_pool2d(picture, 4)[0].permute(1, 2, 0).numpy() * 255
    assert image.size == (16, 16)
    assert np.abs(np.asarray(image) - wanted).mean() < 4


def test_a_fitted_map_is_kept_in_a_file(engine: LocalEngine, tmp_path: Path):
    from models.latents import Previewer

    engine._load_drawing(SPEC)
    engine._previewer.save(tmp_path / "preview.safetensors")
    again = Previewer.of(engine._pipe.vae, tmp_path / "preview.safetensors")
    latents = torch.randn(1, 16, 4, 4)
    assert np.array_equal(np.asarray(again(latents)[0]), np.asarray(engine._previewer(latents)[0]))


def test_a_prompt_is_encoded_once(engine: LocalEngine):
    list(engine.generate(SPEC))
    assert engine._reader.encoded == 2  # The prompt, and the empty negative prompt.
    list(engine.generate(replace(SPEC, seeds=(8, 9), steps=1)))
    assert engine._reader.encoded == 2
    list(engine.generate(replace(SPEC, prompt="a blue mug", steps=1)))
    assert engine._reader.encoded == 3


def test_embeddings_are_kept_within_bounds(engine: LocalEngine):
    engine._reader._kept_bytes = 1
    list(engine.generate(replace(SPEC, steps=1)))
    list(engine.generate(replace(SPEC, prompt="a blue mug", steps=1)))
    assert len(engine._reader._kept) == 1
    list(engine.generate(replace(SPEC, steps=1)))  # And what was forgotten is encoded again.
    assert engine._reader.encoded == 5


def counted(engine: LocalEngine, spec: ImageSpec) -> tuple[int, dict[int, np.ndarray]]:
    """Passes of the transformer, and the pictures."""
    engine._load_drawing(spec)
    passes = []
    handle = engine._pipe.transformer.register_forward_pre_hook(lambda *_: passes.append(1))
    drawn = pictures(engine, spec)
    handle.remove()
    return len(passes), drawn


@pytest.mark.parametrize("name", ["cfg", "klein-base"])
def test_the_second_pass_runs_only_where_guidance_needs_it(cards: dict[str, ModelCard], name: str):
    engine = LocalEngine(cards[name], MACHINE)
    guided, with_guidance = counted(engine, SPEC)
    plain, without = counted(engine, replace(SPEC, guidance=1.0))
    assert (guided, plain) == (6, 3)
    assert difference(with_guidance[5], without[5]) > 0
    _, negative = counted(engine, replace(SPEC, negative="blue bottle"))
    assert difference(negative[5], with_guidance[5]) > 0
    _, unused = counted(engine, replace(SPEC, guidance=1.0, negative="blue bottle"))
    assert np.array_equal(unused[5], without[5])


def test_distilled_guidance_is_a_number_for_the_network(cards: dict[str, ModelCard]):
    engine = LocalEngine(cards["dev"], MACHINE)
    passes, low = counted(engine, replace(SPEC, guidance=1.5))
    _, high = counted(engine, replace(SPEC, guidance=9.0))
    assert passes == 3
    assert difference(low[5], high[5]) > 0


def test_closing_the_iterator_stops_within_one_step(engine: LocalEngine):
    engine._load_drawing(SPEC)
    passes = []
    engine._pipe.transformer.register_forward_pre_hook(lambda *_: passes.append(1))
    events = engine.generate(replace(SPEC, steps=200, guidance=1.0))
    assert isinstance(next(events), Step)
    before = len(passes)
    events.close()
    assert len(passes) <= before + 2 < 200  # The step under way, and one that began while we closed.
    assert len(pictures(engine, SPEC)) == 3  # And the engine is free again.


def test_closing_while_pictures_are_decoded_leaves_the_rest(engine: LocalEngine):
    engine._load_drawing(SPEC)
    decoded = []
    engine._pipe.vae.decoder.register_forward_pre_hook(lambda *_: decoded.append(1))
    events = engine.generate(replace(SPEC, seeds=tuple(range(30)), steps=1, width=32, height=32))
    for event in events:
        if isinstance(event, Picture):
            break
    events.close()
    assert 1 <= len(decoded) < 30


def test_an_engine_draws_one_thing_at_a_time(engine: LocalEngine):
    events = engine.generate(SPEC)
    next(events)
    with pytest.raises(RuntimeError, match="drawing"):
        next(engine.generate(SPEC))
    events.close()


def test_an_error_in_the_thread_reaches_the_caller(engine: LocalEngine):
    engine._load_drawing(SPEC)

    def broken(*_):
        raise ZeroDivisionError("a bug")

    handle = engine._pipe.transformer.register_forward_pre_hook(broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(engine.generate(SPEC))
    handle.remove()
    assert len(pictures(engine, SPEC)) == 3


def cramped(engine: LocalEngine, most: int) -> list[int]:
    """Makes the device too small for batches above `most`; returns the sizes that were tried."""
    engine._load_drawing(SPEC)
    tried = []

    def too_small(_module, _args, kwargs):
        tried.append(len(kwargs["hidden_states"]))
        if tried[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    engine._pipe.transformer.register_forward_pre_hook(too_small, with_kwargs=True)
    return tried


def test_a_batch_that_does_not_fit_is_halved(cards: dict[str, ModelCard], engine: LocalEngine):
    spec = replace(SPEC, seeds=(1, 2, 3, 4, 5), steps=1, guidance=1.0)
    wanted = pictures(LocalEngine(cards["cfg"], MACHINE), spec)
    tried = cramped(engine, most=2)
    drawn = pictures(engine, spec)
    assert list(drawn) == [1, 2, 3, 4, 5]
    assert all(difference(drawn[seed], wanted[seed]) <= 1 for seed in spec.seeds)
    assert tried == [5, 3, 2, 1, 2]
    tried.clear()
    pictures(engine, spec)
    assert max(tried) <= 2  # It is not tried again at a size that failed.


def test_when_not_even_one_fits_the_error_says_what_to_do(engine: LocalEngine):
    cramped(engine, most=0)
    with pytest.raises(OutOfMemory) as error:
        list(engine.generate(SPEC))
    assert "64 x 96" in error.value.what
    assert "smaller" in error.value.todo


def test_a_picture_too_large_to_decode_is_decoded_in_tiles(engine: LocalEngine):
    spec = replace(SPEC, seeds=(5,), height=64)  # One tile: the same picture to the bit.
    wanted = pictures(engine, spec)[5]
    calls = []

    def once(*_):
        calls.append(1)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    engine._pipe.vae.decoder.register_forward_pre_hook(once)
    drawn = pictures(engine, spec)[5]
    assert engine._pipe.vae.use_tiling
    assert np.array_equal(drawn, wanted)


def test_batches_follow_the_plan(cards: dict[str, ModelCard]):
    card = cards["cfg"]
    narrow = replace(plan(card, MACHINE), megapixels=2 * 64 * 96 / 1e6)
    steps = [e.seeds for e in LocalEngine(card, MACHINE, narrow).generate(replace(SPEC, steps=1)) if isinstance(e, Step)]
    assert steps == [(5, 6), (7,)]


def test_img2img_starts_from_the_picture(cards: dict[str, ModelCard], engine: LocalEngine, photo: Path):
    spec = replace(SPEC, image=photo, role="img2img", steps=10)
    weak = list(engine.generate(replace(spec, strength=0.2)))
    assert [e.total for e in weak if isinstance(e, Step)] == [2, 2]
    drawn = {strength: pictures(engine, replace(spec, strength=strength)) for strength in (0.1, 0.9)}
    assert difference(drawn[0.1][5], drawn[0.1][6]) < difference(drawn[0.9][5], drawn[0.9][6])
    for seed in SPEC.seeds:
        alone = pictures(engine, replace(spec, strength=0.9, seeds=(seed,)))[seed]
        assert difference(alone, drawn[0.9][seed]) <= 1


def test_img2img_draws_what_the_bare_pipeline_draws(cards: dict[str, ModelCard], photo: Path):
    card = cards["dev"]
    drawn = pictures(LocalEngine(card, MACHINE), replace(SPEC, image=photo, role="img2img", steps=4, strength=0.5))
    pipe = diffusers.FluxImg2ImgPipeline.from_pretrained(card.repo, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    # The bare pipeline samples the posterior of the autoencoder; here it is given its mode, as the engine does.
    image = pipe.image_processor.preprocess(Image.open(photo).resize((64, 96), Image.Resampling.LANCZOS))
    start = (pipe.vae.encode(image).latent_dist.mode() - pipe.vae.config.shift_factor) * pipe.vae.config.scaling_factor
    bare = pipe(
        prompt="a red mug", image=start, width=64, height=96, num_inference_steps=4, strength=0.5, guidance_scale=3.0,
        generator=torch.Generator().manual_seed(5), max_sequence_length=card.max_tokens,
    ).images[0]  # fmt: skip
    assert difference(drawn[5], np.asarray(bare, dtype=np.int16)) <= 1


@pytest.mark.parametrize("name", ["kontext", "klein", "klein-base", "flux2"])
def test_a_reference_picture_is_looked_at(cards: dict[str, ModelCard], name: str, photo: Path):
    engine = LocalEngine(cards[name], MACHINE)
    spec = replace(SPEC, seeds=(5, 6), steps=2)
    without = pictures(engine, spec)
    shown = pictures(engine, replace(spec, image=photo, role="reference"))
    assert shown[5].shape == without[5].shape
    assert difference(shown[5], without[5]) > 0
    alone = pictures(engine, replace(spec, seeds=(6,), image=photo, role="reference"))[6]
    assert difference(alone, shown[6]) <= 1


def test_loras_come_and_go(engine: LocalEngine, tmp_path: Path):
    one, two = tiny.lora(tmp_path, seed=7), tiny.lora(tmp_path, seed=8)
    base = pictures(engine, SPEC)[5]

    def with_loras(*loras: LoraUse) -> np.ndarray:
        return pictures(engine, replace(SPEC, loras=loras))[5]

    full = with_loras(LoraUse(one, 1.0))
    assert difference(full, base) > 0
    assert difference(with_loras(LoraUse(one, 0.4)), full) > 0
    assert difference(with_loras(LoraUse(one, 0.0)), base) <= 0.01
    both = with_loras(LoraUse(one, 1.0), LoraUse(two, 1.0))
    assert difference(both, full) > 0
    assert np.array_equal(with_loras(LoraUse(one, 1.0)), full)
    assert np.array_equal(pictures(engine, SPEC)[5], base)  # The base is restored exactly.


def test_a_file_that_is_no_lora_is_named(cards: dict[str, ModelCard], engine: LocalEngine, tmp_path: Path):
    from safetensors.torch import save_file

    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"not tensors")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"some.other.weight": torch.zeros(2)}, foreign)
    misfit = tmp_path / "misfit.safetensors"
    name = "transformer.transformer_blocks.0.attn.to_q"
    save_file({f"{name}.lora_A.weight": torch.zeros(2, 99), f"{name}.lora_B.weight": torch.zeros(99, 2)}, misfit)
    good, base = tiny.lora(tmp_path), pictures(engine, SPEC)[5]
    for file in (junk, foreign, misfit, tmp_path / "absent.safetensors"):
        with pytest.raises(BadInput) as error:
            list(engine.generate(replace(SPEC, loras=(LoraUse(good), LoraUse(file)))))
        assert error.value.field == "loras.1"
        assert file.name in error.value.what
        assert np.array_equal(pictures(engine, SPEC)[5], base)


@pytest.mark.parametrize("encoders", ["swapped", "dropped"])
def test_encoders_that_leave_change_nothing(cards: dict[str, ModelCard], engine: LocalEngine, encoders: str):
    frugal = replace(plan(cards["cfg"], MACHINE), encoders=encoders)
    other = LocalEngine(cards["cfg"], MACHINE, frugal)
    for prompt in ("a red mug", "a blue bottle", "a red mug"):
        spec = replace(SPEC, prompt=prompt)
        assert np.array_equal(pictures(other, spec)[5], pictures(engine, spec)[5])
    if encoders == "dropped":
        assert other._reader._pipe is None


@pytest.mark.parametrize("name", ["dev", "klein", "flux2"])
def test_8_bit_weights_draw_nearly_the_same(cards: dict[str, ModelCard], name: str):
    full = replace(plan(cards[name], MACHINE), precision="bf16", text="bf16")
    small = replace(full, precision="fp8", text="fp8", encoders="swapped")
    wanted = pictures(LocalEngine(cards[name], MACHINE, full), SPEC)
    engine = LocalEngine(cards[name], MACHINE, small)
    drawn = pictures(engine, SPEC)
    stored = {p.dtype for p in engine._pipe.transformer.parameters()}
    assert torch.float8_e4m3fn in stored
    # A random network is a harsh judge: still nearer to its 16-bit self than another seed is.
    assert difference(drawn[5], wanted[5]) < difference(wanted[6], wanted[5])


@pytest.mark.parametrize("name", ["dev", "klein"])
def test_streamed_weights_draw_the_same(cards: dict[str, ModelCard], name: str):
    kept = plan(cards[name], MACHINE)
    streamed = replace(kept, encoders="swapped", streamed=True)
    wanted = pictures(LocalEngine(cards[name], MACHINE, kept), SPEC)
    drawn = pictures(LocalEngine(cards[name], MACHINE, streamed), SPEC)
    assert all(np.array_equal(drawn[seed], wanted[seed]) for seed in SPEC.seeds)


def test_close_frees_the_weights_and_the_engine_loads_again(engine: LocalEngine):
    first = pictures(engine, SPEC)[5]
    parts = [weakref.ref(engine._pipe.transformer), weakref.ref(engine._reader._pipe.text_encoder_2)]
    engine.close()
    assert all(part() is None for part in parts)
    assert np.array_equal(pictures(engine, SPEC)[5], first)


def test_what_does_not_fit_is_refused_before_it_is_loaded(cards: dict[str, ModelCard]):
    small = replace(plan(cards["cfg"], MACHINE), fits=False, words="It does not fit on this machine.")
    engine = LocalEngine(cards["cfg"], MACHINE, small)
    with pytest.raises(Unavailable, match="does not fit"):
        list(engine.generate(SPEC))
    assert engine._pipe is None
    assert engine._reader._pipe is None


def test_missing_weights_say_what_to_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    card = tiny.CATALOGUE.card("flux2-klein-4b")
    with pytest.raises(Unavailable) as error:
        list(LocalEngine(card, Machine("cpu", "CPU", 64, 64, 2)).generate(replace(SPEC, guidance=0)))
    assert "16 GB" in error.value.why
    assert "hf download black-forest-labs/FLUX.2-klein-4B" in error.value.todo


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("width", {"width": 70}),
        ("height", {"height": 0}),
        ("seeds", {"seeds": ()}),
        ("seeds", {"seeds": (2**63,)}),
        ("seeds", {"seeds": (-1,)}),
        ("steps", {"steps": 0}),
        ("image", {"role": "img2img", "strength": 0.5}),
        ("role", {"role": "reference", "image": Path("a.png")}),
        ("strength", {"strength": 0.5}),
        ("strength", {"role": "img2img", "image": Path("a.png"), "strength": 1.5}),
        ("strength", {"role": "img2img", "image": Path("a.png")}),
        ("image", {"role": "img2img", "image": Path(__file__), "strength": 0.5}),
        ("image", {"role": "img2img", "image": Path("absent.png"), "strength": 0.5}),
    ],
)
def test_what_the_card_cannot_do_is_refused_at_once(engine: LocalEngine, field: str, change: dict):
    with pytest.raises(BadInput) as error:
        engine.generate(replace(SPEC, **change))
    assert error.value.field == field


def test_the_page_can_import_what_it_needs_without_torch():
    modules = "models.errors, models.spec, models.cards, models.memory, models.machine, models.words, models.toml, models.weights"
    heavy = "torch diffusers transformers open_clip tokenizers"
    code = f"import sys, {modules}, models.finish, models.check; print([m for m in {heavy.split()} if m in sys.modules])"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
