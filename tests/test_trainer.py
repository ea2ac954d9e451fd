"""The LoRA trainer on small models of the real classes: what it feeds, what it keeps, how it goes on and how it fails."""
from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image, ImageDraw

from models.cards import ModelCard
from models.errors import BadInput
from models.memory import Machine
from models.presets import load_catalogue
from models.scorers.contrast import named
from models.training.recipe import Prior, Recipe, SamplePrompt, TrainingError, scaled
from models.training.wording import reworded, shortened
from pipelines.training import config, events, failures, presets
from pipelines.training.__main__ import main

ROOT = Path(__file__).parent.parent
CPU = Machine("cpu", "CPU", 16, 16, 2)
SIZE = 64


def write_pictures(folder: Path, count: int = 6, size: int = SIZE) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    images = []
    for number in range(count):
        picture = Image.new("RGB", (size, size), tuple(int(v) for v in rng.integers(0, 255, 3)))
        ImageDraw.Draw(picture).ellipse((8, 8, size - 10, size - 20), fill="orange")
        file = folder / "images" / f"{number}.png"
        picture.save(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        images.append({
            "file": f"images/{number}.png", "sha256": digest, "caption": "a zubot on the table", "width": size, "height": size,
            "crop": None, "size": [size, size],
        })  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps({"images": images, "hash": "abc"}), encoding="utf-8")


def recipe(**more) -> Recipe:
    told = {
        "name": "zubot", "kind": "product", "card": "flux1-dev", "trigger": "zubot", "rank": 4, "alpha": 4.0, "rate": 1e-2, "warmup": 2,
        "steps": 8, "batch": 2, "precision": "fp32", "validation": 0.3, "validate_every": 2, "save_every": 3, "sample_every": 0,
    }  # fmt: skip
    return Recipe(**(told | more))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A folder of weights whose "flux1-dev" and "flux2-klein-base-4b" are tiny."""
    folder = tmp_path_factory.mktemp("weights")
    tiny.flux1(folder / "flux1-dev", guidance_embeds=True)
    tiny.klein(folder / "flux2-klein-base-4b", distilled=False)
    return folder


def card_of(weights: Path, name: str) -> ModelCard:
    """The card, for a model as small as it is here: its prompts are short."""
    return tiny._card(replace(load_catalogue().card(name), max_tokens=12), weights / name)


@pytest.fixture
def run(tmp_path, weights) -> Callable:
    """Trains in tmp_path/NAME; what it told. asked: after which step it is asked for what."""

    def train(settings: Recipe, name: str = "run", asked: tuple[int, str] = (10**6, "")) -> list[dict]:
        from models.training.trainer import Trainer

        folder = tmp_path / name
        if not folder.exists():
            write_pictures(folder)
            (weights / "cache").mkdir(exist_ok=True)
            (folder / "cache").symlink_to(weights / "cache")  # Made once for all tests: keys tell what is whose.
        config.write_run(folder, replace(settings, rate=min(settings.rate, 1.0)))
        job = config.read_job(folder)
        told: list[dict] = []

        def ask() -> str:
            return asked[1] if told and told[-1]["step"] >= asked[0] else ""

        Trainer(replace(job, recipe=settings), card_of(weights, settings.card), told.append, ask, CPU).run()
        return told

    return train


def pipe_of(weights: Path, card: str):
    from models.memory import plan
    from models.training.material import load_drawing

    found = card_of(weights, card)
    return load_drawing(found, plan(found, CPU), "fp32", None)


# What is fed.


@pytest.mark.parametrize("card", ["flux1-dev", "flux2-klein-base-4b"])
def test_the_transformer_is_fed_as_its_pipeline_feeds_it(weights, card):
    import torch

    from models.latents import latents_of
    from models.training.families import family_of

    pipe = pipe_of(weights, card)
    family = family_of(pipe, 3.5)
    seen: list[dict] = []
    pipe.transformer.register_forward_pre_hook(lambda _m, _a, kwargs: seen.append(dict(kwargs)), with_kwargs=True)
    text = {"prompt_embeds": torch.randn(1, 5, pipe.transformer.config.joint_attention_dim)}
    more: dict = {}
    if card == "flux1-dev":
        text["pooled_prompt_embeds"] = torch.randn(1, 24)
    else:
        more = {"negative_prompt_embeds": text["prompt_embeds"]}
    start = latents_of(pipe).start((1,), 64, 48)
    pipe(**text, **more, width=64, height=48, num_inference_steps=1, guidance_scale=3.5, latents=start, output_type="latent")
    noisy = pipe._unpack_latents(start, 48, 64, pipe.vae_scale_factor) if card == "flux1-dev" else start
    with torch.no_grad():
        family.velocity(noisy, seen[0]["timestep"].float(), text)
    theirs, ours = seen[0], seen[-1]
    for name in ("hidden_states", "timestep", "encoder_hidden_states", "pooled_projections", "txt_ids", "img_ids", "guidance"):
        if theirs.get(name) is None:
            assert ours.get(name) is None, name
        else:
            assert torch.equal(theirs[name].float(), ours[name].float()), name


@pytest.mark.parametrize("card", ["flux1-dev", "flux2-klein-base-4b"])
def test_latents_are_what_the_autoencoder_decodes(weights, card):
    import torch

    from models.latents import latents_of
    from models.training.families import family_of

    pipe = pipe_of(weights, card)
    family = family_of(pipe, 1.0)
    picture = Image.effect_noise((64, 48), 80).convert("RGB")
    with torch.no_grad():
        mean, _ = family.encode(picture, (64, 48))
        pixels = pipe.image_processor.preprocess(picture, height=48, width=64)
        wanted = pipe.vae.encode(pixels).latent_dist.mode()
    assert torch.allclose(latents_of(pipe).to_vae(family.pack(mean), 64, 48), wanted, atol=1e-4)


@pytest.mark.parametrize("tokens", [64, 1024, 4096])
def test_noise_levels_are_shifted_as_the_scheduler_shifts_them(tokens):
    import torch
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    from models.training.families import shifted

    scheduler = tiny._scheduler()
    sigmas = np.array([0.9, 0.6, 0.3, 0.05], dtype=np.float32)
    scheduler.set_timesteps(sigmas=sigmas.tolist(), mu=calculate_shift(tokens))
    assert torch.allclose(shifted(torch.from_numpy(sigmas), scheduler.config, tokens), scheduler.sigmas[:4], atol=1e-6)


def test_every_picture_is_seen_once_a_round_in_batches_of_one_size():
    from models.training.flow import Batches

    sizes = [(64, 64)] * 5 + [(96, 64)] * 3
    batches = Batches(sizes, 2, seed=1)
    assert batches.round == 5
    first = [batches[place] for place in range(5)]
    assert {index for batch in first for index in batch} == set(range(8))
    assert all(len({sizes[index] for index in batch}) == 1 and len(batch) == 2 for batch in first)
    assert [Batches(sizes, 2, seed=1)[place] for place in (7, 3, 12)] == [batches[7], batches[3], batches[12]]
    assert [batches[place] for place in range(5, 10)] != first


# Going on.


def settings_of_everything() -> Recipe:
    prior = Prior(kind="output", pictures=2, steps=2, decoys=0.3, others=0.3)
    return recipe(ema=0.9, prior=prior, caption_dropout=0.2, word_dropout=0.5, rewording=0.5, schedule="cosine", alpha=2.0)


def test_a_resumed_training_ends_with_the_very_weights_of_one_that_ran_through(run, tmp_path):
    settings = settings_of_everything()
    run(settings, "whole")
    told = run(settings, "parts", (2, "give way"))
    assert told[-1]["event"] == "checkpoint" and told[-1]["step"] == 2
    run(settings, "parts", (5, "give way"))
    told = run(settings, "parts")
    assert told[-1]["event"] == "done" and any("resumed" in event for event in told)
    for name in ("best.safetensors", "checkpoints/000008/adapter.safetensors", "checkpoints/000003/lora.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name


def test_a_training_whose_settings_changed_does_not_go_on(run, tmp_path):
    run(recipe(), "run", (3, "give way"))
    with pytest.raises(TrainingError, match="changed after it began"):
        run(recipe(rate=1e-3), "run")
    assert run(recipe(steps=9, patience=50), "run")[-1]["event"] == "done"


def test_a_checkpoint_that_was_being_written_counts_for_nothing(run, tmp_path):
    from models.training import checkpoint

    run(recipe(), "run")
    folder = tmp_path / "run" / "checkpoints"
    half = folder / ".000009.tmp"
    half.mkdir()
    (folder / "000010").mkdir()
    (folder / "000010" / checkpoint.STATE).write_text("{}")
    assert [one.name for one in checkpoint.whole(folder)] == ["000008"]
    assert sorted(one.name for one in folder.glob("*/lora.safetensors")) == ["lora.safetensors"] * 3


def test_stopped_and_kept_ends_as_done_with_the_best_so_far(run, tmp_path):
    told = run(recipe(steps=500, save_every=100), asked=(6, "keep"))
    assert told[-1]["event"] == "done" and told[-1]["step"] == 6 and told[-1]["best_step"] > 0
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_training_stops_early_and_keeps_the_best_not_the_last(run, tmp_path, monkeypatch):
    from models.training.flow import Flow

    values = iter([5.0, 3.0, 4.0, 4.0, 4.0, 4.0])
    current = {}

    def validation(self, sample, index):
        if index == 0:
            current["value"] = next(values)
        return current["value"]

    monkeypatch.setattr(Flow, "validation", validation)
    told = run(recipe(steps=100, save_every=2, patience=2))
    assert told[-1]["event"] == "done" and told[-1]["best_step"] == 2 and told[-1]["step"] == 6
    from safetensors.torch import load_file

    folder = tmp_path / "run"
    best, at_two = load_file(folder / "best.safetensors"), load_file(folder / "checkpoints/000002/lora.safetensors")
    last = load_file(folder / "checkpoints/000006/lora.safetensors")
    assert all((best[name] == at_two[name]).all() for name in best)
    assert any((best[name] != last[name]).any() for name in best)


def test_the_validation_loss_is_the_same_every_time_and_falls(run):
    told = [event["validation"] for event in run(recipe(steps=20, validate_every=10, batch=3)) if event["event"] == "validation"]
    again = [event["validation"] for event in run(recipe(steps=20, validate_every=10, batch=3), "again") if event["event"] == "validation"]
    assert told == again
    assert told[-1] < told[0] - 0.005


# What comes out.


@pytest.mark.parametrize("card", ["flux1-dev", "flux2-klein-base-4b"])
def test_the_file_does_in_diffusers_what_the_adapter_did_in_training(run, tmp_path, weights, card):
    import torch
    from safetensors.torch import load_file

    targets = ("attention", "feedforward", "single", "modulation")
    run(recipe(card=card, alpha=8.0, targets=targets, steps=4))
    folder = tmp_path / "run"
    pipe = pipe_of(weights, card)
    pipe.load_lora_weights(str(folder), weight_name="best.safetensors", adapter_name="zubot", local_files_only=True)
    kept = load_file(folder / "checkpoints/000004/adapter.safetensors")
    modules = dict(pipe.transformer.named_modules())
    checked = 0
    for name, tensor in kept.items():
        if name.endswith("lora_B.weight"):
            layer = modules[name.removeprefix("weights.").removesuffix(".lora_B.weight")]
            down = kept[name.replace("lora_B", "lora_A")]
            effect = layer.scaling["zubot"] * layer.lora_B["zubot"].weight @ layer.lora_A["zubot"].weight
            assert torch.allclose(effect, 2.0 * tensor @ down, atol=1e-4), name
            checked += 1
    assert checked > 8


def test_without_its_adapter_the_model_is_the_base_again(weights):
    import torch

    from models.training.adapter import Adapter
    from models.training.families import family_of

    pipe = pipe_of(weights, "flux1-dev")
    family = family_of(pipe, 1.0)
    given = (torch.randn(1, 16, 8, 8), torch.tensor([0.4]))
    text = {"prompt_embeds": torch.randn(1, 5, 32), "pooled_prompt_embeds": torch.randn(1, 24)}
    with torch.no_grad():
        before = family.velocity(*given, text)
        adapter = Adapter(pipe.transformer, recipe())
        for weight in adapter.weights.values():
            weight.add_(0.5)
        assert not torch.equal(family.velocity(*given, text), before)
        with adapter.off():
            assert torch.equal(family.velocity(*given, text), before)


def test_samples_are_drawn_at_fixed_prompts_and_seeds(run, tmp_path):
    samples = (SamplePrompt("a zubot", 3), SamplePrompt("a zubot in the studio", 4, 64, 96))
    told = run(recipe(samples=samples, sample_every=4, sample_steps=2, card="flux1-dev"))
    files = [file for event in told if event["event"] == "sample" for file in event["files"]]
    assert files == [f"samples/{step:06d}/{number}.png" for step in (0, 4, 8) for number in (0, 1)]
    pictures = []
    for name in files:
        with Image.open(tmp_path / "run" / name) as picture:
            pictures.append((picture.size, picture.tobytes()))
    assert pictures[0][0] == (64, 64) and pictures[1][0] == (64, 96)
    assert pictures[0] != pictures[-2]


@pytest.mark.parametrize("kind", ["fp8", "nf4"])
def test_a_narrow_layer_computes_nearly_the_same_and_passes_gradients_on(kind):
    import torch

    from models.training.quantise import NarrowLinear

    torch.manual_seed(0)
    linear = torch.nn.Linear(192, 100)
    narrow = NarrowLinear(linear, kind, torch.device("cpu"))
    bytes_each = sum(buffer.nbytes for buffer in (narrow.codes, narrow.scales)) / linear.weight.numel()
    assert bytes_each < {"fp8": 1.05, "nf4": 0.6}[kind]
    given = torch.randn(7, 192, requires_grad=True)
    wanted = torch.autograd.grad(linear(given).square().sum(), given)[0]
    found = torch.autograd.grad(narrow(given).square().sum(), given)[0]
    assert (narrow(given) - linear(given)).square().mean() / linear(given).square().mean() < {"fp8": 1e-3, "nf4": 1e-2}[kind]
    assert (found - wanted).square().mean() / wanted.square().mean() < {"fp8": 2e-3, "nf4": 2e-2}[kind]


@pytest.mark.parametrize("more", [
    {"quantise": "nf4", "gradient_checkpointing": True, "precision": "bf16"}, {"quantise": "fp8", "card": "flux2-klein-base-4b"},
    {"resolutions": (32, 64)}, {"prior": Prior("images", pictures=2, steps=1)},
])  # fmt: skip
def test_other_ways_to_train_learn_too(run, more):
    told = [event["validation"] for event in run(recipe(steps=16, validate_every=8, **more)) if event["event"] == "validation"]
    assert told[-1] < told[0]


def test_a_training_adapter_is_active_while_training_frozen_and_absent_from_the_file_and_the_samples(run, tmp_path, weights):
    from safetensors.torch import load_file

    from models.training.adapter import ASSISTANT, Adapter

    file = tiny.lora(tmp_path, scale=2.0)
    samples = (SamplePrompt("a zubot", 3),)
    told = run(recipe(steps=2, training_adapter=str(file), samples=samples, sample_every=2, sample_steps=2))
    plain = run(recipe(steps=2, samples=samples, sample_every=2, sample_steps=2), "plain")
    losses = [[event["loss"] for event in events if event["event"] == "step"] for events in (told, plain)]
    assert losses[0][0] != losses[1][0]
    first = "samples/000000/0.png"
    assert (tmp_path / "run" / first).read_bytes() == (tmp_path / "plain" / first).read_bytes()
    names = [set(load_file(tmp_path / name / "best.safetensors")) for name in ("run", "plain")]
    assert names[0] == names[1]
    pipe = pipe_of(weights, "flux1-dev")
    adapter = Adapter(pipe.transformer, recipe())
    adapter.assist(file)
    learning = {name for name, parameter in pipe.transformer.named_parameters() if parameter.requires_grad}
    assert learning and not any(ASSISTANT in name for name in learning) and len(learning) == len(adapter.weights)
    with pytest.raises(TrainingError, match="not on this machine"):
        run(recipe(training_adapter="nobody/nothing"), "missing")


# Failures.


def test_a_loss_that_is_no_number_is_told(run):
    with pytest.raises(TrainingError) as caught:
        run(recipe(rate=1e30))
    assert caught.value.cause == "nan" and caught.value.field == "rate" and "third" in caught.value.todo


@pytest.mark.parametrize("how", ["no picture", "changed", "gone"])
def test_a_bad_picture_is_told_by_name(run, tmp_path, how):
    folder = tmp_path / "run"
    write_pictures(folder)
    file = folder / "images/4.png"
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(b"no picture at all")
    if how == "no picture":
        told = json.loads((folder / "dataset.json").read_text())
        told["images"][4]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        (folder / "dataset.json").write_text(json.dumps(told))
    with pytest.raises(TrainingError, match=r"4\.png") as caught:
        run(recipe())
    assert caught.value.cause == "image"


def test_full_memory_says_what_to_lower():
    failure = failures.failure_of(RuntimeError("CUDA out of memory. Tried to allocate 3 GiB"), recipe())
    assert failure["cause"] == "memory" and failure["field"] == "gradient_checkpointing" and "batch" in failure["todo"]
    failure = failures.failure_of(MemoryError(), recipe(gradient_checkpointing=True, batch=1, precision="bf16"))
    assert failure["field"] == "quantise"


def test_the_end_of_a_process_is_read(tmp_path):
    assert failures.failure_of_exit(tmp_path, 0) is None and failures.failure_of_exit(tmp_path, 75) is None
    assert failures.failure_of_exit(tmp_path, -9)["cause"] == "memory"
    assert "SIGSEGV" in failures.failure_of_exit(tmp_path, -11)["why"]
    failures.write(tmp_path, failures.failure_of(TrainingError("nan", "It ran away."), None))
    assert failures.failure_of_exit(tmp_path, 1)["cause"] == "nan"


def test_a_model_that_is_not_there_and_a_missing_optimizer_are_told(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(TrainingError, match="pip install bitsandbytes"):
        run(recipe(optimizer="adamw8bit"))
    write_pictures(tmp_path / "other")
    config.write_run(tmp_path / "other", recipe(card="flux2-klein-base-9b"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert main([str(tmp_path / "other"), "--device", "cpu"]) == 1
    failure = json.loads((tmp_path / "other/failure.json").read_text())
    assert failure["cause"] == "base" and "hf download" in failure["todo"]
    assert events.read_events(tmp_path / "other")[0][-1]["event"] == "failed"


# The folder.


@pytest.mark.parametrize(("line", "place"), [
    ("rank = 0", "rank"), ("rate = 'fast'", "rate"), ("kind = 'person'", "kind"), ("steps = 10.5", "steps"), ("card = 'sdxl'", "card"),
    ("targets = ['every']", "targets"), ("colour = 1", "colour"), ("[prior]\nkind = 'x'", "prior.kind"),
    ("[prior]\nothers = 0.6\ndecoys = 0.6", "prior.others"), ("resolutions = [7]", "resolutions"),
    ("[[samples]]\nprompt = 'a'\n[[samples]]\nseed = 3", "samples.1.prompt"),
])  # fmt: skip
def test_a_mistake_in_run_toml_is_told_with_its_place(line, place):
    name = line.split(" ")[0]
    good = {"name": "'x'", "kind": "'style'", "card": "'embedded'"}
    text = "\n".join(f"{key} = {value}" for key, value in good.items() if key != name) + "\n" + line
    with pytest.raises(BadInput) as caught:
        config.parse_recipe(text, cards=("embedded",))
    assert caught.value.field == place and "run.toml" in caught.value.what


def test_run_toml_reads_back_as_it_was_written(tmp_path):
    settings = replace(settings_of_everything(), samples=(SamplePrompt('a "red" mug', 4, 64, 32),), resolutions=(512, 768))
    config.write_run(tmp_path, settings)
    assert config.read_run(tmp_path) == settings


def test_a_picture_outside_the_folder_is_refused(tmp_path):
    write_pictures(tmp_path)
    config.write_run(tmp_path, recipe())
    told = json.loads((tmp_path / "dataset.json").read_text())
    told["images"][1]["file"] = "../secret.png"
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    with pytest.raises(BadInput, match="outside"):
        config.read_job(tmp_path)


@pytest.mark.parametrize(("caption", "plain"), [
    ("a zubot on a table", "a on a table"), ("zubot, a red mug", "a red mug"), ("a red mug, Zubot, snow", "a red mug, snow"),
    ("zubots", "zubots"), ("zubot", ""),
])  # fmt: skip
def test_a_caption_without_its_trigger(caption, plain):
    assert config.without_trigger(caption, "zubot") == plain
    assert config.without_trigger("a zubot here", "zubot", "vase") == "a vase here"
    assert config.with_trigger("zubots", "zubot") == "zubot, zubots" and config.with_trigger("A ZUBOT", "zubot") == "A ZUBOT"


def test_events_of_steps_that_were_done_anew_do_not_count(tmp_path):
    write = events.Writer(tmp_path)
    for step in (1, 2, 3):
        write({"event": "step", "step": step, "loss": step / 10})
    write.close()
    with (tmp_path / events.EVENTS).open("a") as file:
        file.write('{"event": "st')  # Killed in the middle of a line.
    found, offset = events.read_events(tmp_path)
    assert len(found) == 3
    write = events.Writer(tmp_path)
    write({"event": "note", "step": 1, "resumed": 1, "words": "Going on from step 1."})
    write({"event": "step", "step": 2, "loss": 0.9})
    write.close()
    more, _ = events.read_events(tmp_path, offset)
    assert events.curves(found + more)["loss"] == [(1, 0.1), (2, 0.9)]


# Presets.


@pytest.mark.parametrize("kind", ["style", "product", "domain", "quality"])
@pytest.mark.parametrize(("card", "least"), [("flux1-dev", 12), ("flux2-klein-base-4b", 8), ("flux2-klein-base-9b", 12)])
def test_there_is_a_preset_for_every_kind_and_memory(kind, card, least):
    found = load_catalogue().card(card)
    before = 0.0
    for gib in (8, 12, 16, 24, 32, 48, 80):
        machine = Machine("cuda", "GPU", gib * 0.985, 64, 8)
        proposal = presets.propose(found, kind, machine, 20)
        assert proposal.fits == (gib >= least), (gib, proposal.words)
        if proposal.fits:
            assert before <= proposal.gib <= machine.usable
            before = proposal.gib
    assert not presets.propose(found, kind, CPU, 20).fits


def test_presets_count_steps_by_pictures_and_refuse_distilled_models():
    card = load_catalogue().card("flux1-dev")
    machine = Machine("cuda", "GPU", 24, 64, 8)
    assert [presets.propose(card, "style", machine, count).recipe.steps for count in (4, 30, 500)] == [500, 900, 2000]
    assert presets.propose(load_catalogue().card("embedded"), "style", CPU, 20).fits
    with pytest.raises(BadInput, match="flux2-klein-base-4b"):
        presets.propose(load_catalogue().card("flux2-klein-4b"), "style", machine, 20)


@pytest.mark.parametrize(("size", "resolution", "wanted"), [((64, 64), 32, (32, 32)), ((96, 64), 64, (80, 48)), ((256, 16), 64, (256, 16))])
def test_a_resolution_keeps_the_shape(size, resolution, wanted):
    assert scaled(size, resolution, 16) == wanted


def test_what_the_page_imports_has_no_torch():
    code = "import sys, pipelines.training.presets, pipelines.training.failures, pipelines.training.events; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "False"


# Processes.


def command(folder: Path, weights: Path, *before: str, lines: bool = False) -> list[str]:
    start = list(before) or [sys.executable]
    more = ["--lines"] if lines else []
    return [*start, "-m", "pipelines.training", str(folder), "--device", "cpu", "--models-dir", str(weights), *more]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def wait_for_step(folder: Path, step: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if any(event.get("step", 0) >= step for event in events.read_events(folder)[0]):
            return
        time.sleep(0.02)


@pytest.mark.slow
def test_the_end_of_standard_input_and_sigterm_make_it_give_way(tmp_path, weights):
    write_pictures(tmp_path / "run")
    config.write_run(tmp_path / "run", recipe(steps=5000))
    for lines in (True, False):
        process = subprocess.Popen(
            command(tmp_path / "run", weights, lines=lines), cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        wait_for_step(tmp_path / "run", 10 if lines else 40, process)
        if lines:
            process.stdin.close()
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75
        process.stdin.close()
    assert events.read_events(tmp_path / "run")[0][-1]["event"] == "checkpoint"
    (tmp_path / "run" / "stop").touch()
    assert subprocess.run(command(tmp_path / "run", weights), cwd=ROOT, env=ENVIRONMENT, check=False).returncode == 0
    assert (tmp_path / "run" / "best.safetensors").is_file()


@pytest.mark.slow
def test_killed_at_ten_random_moments_the_end_is_the_same(tmp_path, weights):
    settings = replace(settings_of_everything(), steps=120, save_every=7, validate_every=10)
    for name in ("whole", "killed"):
        write_pictures(tmp_path / name)
        config.write_run(tmp_path / name, settings)
    assert subprocess.run(command(tmp_path / "whole", weights), cwd=ROOT, env=ENVIRONMENT, check=False).returncode == 0
    rng = random.Random(4)
    kills = 0
    for number in range(10):
        process = subprocess.Popen(command(tmp_path / "killed", weights), cwd=ROOT, env=ENVIRONMENT)
        wait_for_step(tmp_path / "killed", number * 11 + rng.randrange(11), process)
        time.sleep(rng.random() * 0.2)
        if process.poll() is None:
            process.kill()
            kills += 1
        process.wait()
    assert subprocess.run(command(tmp_path / "killed", weights), cwd=ROOT, env=ENVIRONMENT, check=False).returncode == 0
    assert kills >= 8
    for name in ("best.safetensors", "checkpoints/000120/adapter.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


@pytest.mark.slow
def test_two_processes_learn_as_one_with_doubled_accumulation(tmp_path, weights):
    settings = replace(settings_of_everything(), steps=12, sample_every=0)
    for name, accumulation in (("one", 2), ("two", 1)):
        write_pictures(tmp_path / name)
        config.write_run(tmp_path / name, replace(settings, accumulation=accumulation))
    assert subprocess.run(command(tmp_path / "one", weights), cwd=ROOT, env=ENVIRONMENT, check=False).returncode == 0
    launch = (sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")  # fmt: skip
    assert subprocess.run(command(tmp_path / "two", weights, *launch), cwd=ROOT, env=ENVIRONMENT, check=False).returncode == 0
    assert not (tmp_path / "two/failure.json").exists()
    one, two = (events.curves(events.read_events(tmp_path / name)[0]) for name in ("one", "two"))
    for curve in ("loss", "prior", "validation"):
        assert [step for step, _ in one[curve]] == [step for step, _ in two[curve]] and one[curve]
        assert np.allclose([value for _, value in one[curve]], [value for _, value in two[curve]], rtol=1e-3, atol=1e-5), curve


def test_words_left_out_of_a_caption_leave_the_trigger():
    caption = "a photo of a blue ZUBOT at the beach, cool light"
    forms = shortened(caption, "zubot", seed=1)
    assert len(forms) >= 6 and len(set(forms)) == len(forms) and forms == shortened(caption, "zubot", seed=1)
    assert all("ZUBOT" in form and len(form.split()) < len(caption.split()) for form in forms)
    assert shortened("zubot", "zubot", seed=1) == ()
    assert all(shortened("a red mug", "", seed=1))


def test_a_caption_in_other_words_asks_for_the_same_thing():
    caption = "qriso style, a Teal bottle in the snow"
    forms = reworded(caption, "qriso", seed=1)
    assert len(forms) >= 6 and len(set(forms)) == len(forms) and forms == reworded(caption, "qriso", seed=1)
    asked = {"object": "bottle", "colour": "teal", "scene": "snow"}
    assert all(form.startswith("qriso style, a ") and named(form).items() >= asked.items() for form in forms)
    assert any("light" in form for form in forms)
    assert all("mug" in form for form in reworded("a red mug", "mug", seed=1))  # a trigger that is one of those words stays
    assert any(form.startswith("nothing known") for form in reworded("nothing known", "", seed=1))
