"""Settings out of other tools' files, and how they fill the form. The files are made by hand from the documented formats: `foreign`."""
from __future__ import annotations

import io
import json
import time

import foreign
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.presets import load_catalogue
from pipelines.metadata import Found, read, texts_of
from pipelines.metadata.form import Filled, card_of, fill
from pipelines.plan import plan_for
from pipelines.request import Request
from studio import files

CATALOGUE = load_catalogue()


def found_in(data: bytes) -> Found:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        found = read(texts_of(image))
    assert found is not None
    return found


def filled(found: Found, family: str = "embedded", tier: str = "preview", loras=()) -> Filled:
    made = fill(found, CATALOGUE, family, tier, loras)
    Request.from_dict({"prompt": "?"} | made.form, CATALOGUE, loras=loras)
    return made


def named(unmapped: list[tuple[str, str, str]], name: str) -> tuple[str, str]:
    [(value, why)] = [(value, why) for given, value, why in unmapped if given == name]
    return value, why


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_forge(kind):
    found = found_in(foreign.png({"parameters": foreign.FORGE}) if kind == "PNG" else foreign.with_comment(foreign.FORGE, kind))
    assert found.tool == "Forge"
    assert found.settings == {
        "prompt": "a red mug on a wooden table , (steam:1.2)\nsoft light", "negative": "blurry, text", "steps": 20, "sampler": "Euler",
        "scheduler": "Simple", "cfg": 1.0, "guidance": 3.5, "seed": 1234567, "width": 896, "height": 1152, "model": "flux1-dev-fp8",
        "loras": [("Foil_v2", 0.8)],
    }  # fmt: skip
    assert {name for name, _, _ in found.unmapped} == {"emphasis", "Module 1"}

    made = filled(found)
    assert made.form == {
        "family": "flux1", "tier": "standard", "prompt": found.settings["prompt"], "steps": 20, "seed": 1234567, "guidance": 3.5,
        "size": "4:5",
    }  # fmt: skip
    assert named(made.unmapped, "size") == ("896 x 1152", "The nearest size of Standard is 4:5, 896 x 1120.")
    assert named(made.unmapped, "negative")[0] == "blurry, text"
    assert named(made.unmapped, "lora")[0] == "Foil_v2, weight 0.8"
    assert filled(found, loras=("Foil_v2",)).form["loras"] == [{"name": "Foil_v2", "weight": 0.8}]


def test_a1111_with_a_model_that_is_not_here():
    found = found_in(foreign.png({"parameters": foreign.A1111}))
    assert found.tool == "A1111"
    assert (found.settings["model"], found.settings["sampler"], found.settings["cfg"]) == ("sd_xl_base, fixed", "DPM++ 2M", 7.0)
    assert named(found.unmapped, "Clip skip") == ("2", "FLUX has no CLIP layers to skip.")

    made = filled(found)
    assert (made.form["family"], made.form["tier"], made.form["negative"], made.form["guidance"]) == ("embedded", "preview", "fog", 7.0)
    assert made.form["size"] == "4:5"
    assert named(made.unmapped, "model")[1] == "There is no such model here. The form keeps Embedded."
    assert named(made.unmapped, "sampler") == ("DPM++ 2M", "Every model here is sampled by flow-matching Euler.")
    assert named(made.unmapped, "strength")[0] == "0.4"

    # schnell takes 12 steps at most and no guidance.
    made = filled(found, "flux1")
    assert "steps" not in made.form and "guidance" not in made.form and "negative" not in made.form
    assert named(made.unmapped, "steps")[0] == "30"
    assert named(made.unmapped, "cfg")[1] == "FLUX.1-schnell takes no guidance."


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_swarm(kind):
    text = json.dumps(foreign.SWARM, indent=2)
    found = found_in(foreign.png({"parameters": text}) if kind == "PNG" else foreign.with_comment(text, kind))
    assert found.tool == "SwarmUI"
    assert found.settings["loras"] == [("Foil_v2", 0.7), ("grain", -0.5)]
    made = filled(found)
    assert (made.form["family"], made.form["tier"], made.form["size"], made.form["steps"]) == ("flux1", "preview", "16:9", 4)
    assert named(found.unmapped, "variationseed") == ("5", "Seeds are not blended here.")
    assert named(made.unmapped, "guidance")[0] == "3.5"


def test_invoke():
    found = found_in(foreign.png({"invokeai_metadata": json.dumps(foreign.INVOKE), "invokeai_graph": "{}"}))
    assert found.tool == "InvokeAI"
    assert found.settings == {
        "prompt": "a yellow lamp", "model": "FLUX.1 Krea dev", "seed": 3141592653, "steps": 28, "cfg": 1.0, "guidance": 4.0, "width": 832,
        "height": 1216, "scheduler": "euler", "loras": [("foil_v2", 0.75)],
    }  # fmt: skip
    assert {name for name, _, _ in found.unmapped} == {"vae", "t5_encoder"}
    made = filled(found, "flux1", "standard")
    assert named(made.unmapped, "model")[1] == "FLUX.1-Krea-dev is known here, but no family draws with it. The form keeps FLUX.1-dev."
    assert (made.form["guidance"], made.form["steps"]) == (4.0, 28)


def test_invoke_of_version_2():
    old = {"model_weights": "stable-diffusion-1.5", "image": {"prompt": [{"prompt": "a boat", "weight": 1.0}], "steps": 30,
           "cfg_scale": 7.5, "seed": 5, "width": 512, "height": 512, "sampler": "k_lms"}}  # fmt: skip
    found = found_in(foreign.png({"sd-metadata": json.dumps(old)}))
    assert (found.tool, found.settings["prompt"], found.settings["sampler"]) == ("InvokeAI", "a boat", "k_lms")


@pytest.mark.parametrize(
    "data",
    [
        foreign.png({"parameters": json.dumps(foreign.FOOOCUS), "fooocus_scheme": "fooocus"}),
        foreign.png({"parameters": foreign.FOOOCUS_TEXT, "fooocus_scheme": "a1111"}),
        foreign.fooocus_jpeg(json.dumps(foreign.FOOOCUS), "fooocus"),
        foreign.fooocus_jpeg(foreign.FOOOCUS_TEXT, "a1111"),
    ],
    ids=["png json", "png text", "jpeg json", "jpeg text"],
)
def test_fooocus(data):
    found = found_in(data)
    assert found.tool == "Fooocus"
    wanted = {"prompt": "a black teapot", "negative": "cup", "seed": 8765, "steps": 30, "cfg": 4.0, "width": 1152, "height": 896}
    assert found.settings | wanted == found.settings
    assert found.settings["loras"] == [("sd_xl_offset", 0.1)]
    assert {"sharpness"} <= {name.lower() for name, _, _ in found.unmapped}
    assert filled(found).form["size"] == "3:2"


def test_comfy_ksampler_walks_to_the_first_pass():
    found = found_in(foreign.png({"prompt": json.dumps(foreign.COMFY_KSAMPLER), "workflow": "{}"}))
    assert found.tool == "ComfyUI"
    assert found.settings == {
        "seed": 664154487549730, "sampler": "dpmpp_2m", "steps": 24, "scheduler": "karras", "prompt": "a fox in the snow",
        "negative": "watermark", "cfg": 6.5, "loras": [("foil_v2", 0.6)], "model": "sd_xl_base_1.0.safetensors", "width": 1216,
        "height": 832,
    }  # fmt: skip
    assert named(found.unmapped, "second pass") == ("KSampler, node 11", "Going over a picture again belongs to promotion here.")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_comfy_flux(kind):
    graph = foreign.COMFY_FLUX
    found = found_in(foreign.png({"prompt": json.dumps(graph)}) if kind == "PNG" else foreign.comfy_webp(graph))
    assert found.settings == {
        "seed": 219670278747233, "sampler": "euler", "steps": 22, "scheduler": "simple", "prompt": "a white shoe on the beach",
        "guidance": 3.2, "loras": [("foil_v2", 0.9)], "model": "flux1-dev.safetensors", "width": 1024, "height": 1024,
    }  # fmt: skip
    made = filled(found)
    assert made.form == {
        "family": "flux1", "tier": "standard", "prompt": "a white shoe on the beach", "steps": 22, "seed": 219670278747233,
        "guidance": 3.2, "size": "1:1",
    }  # fmt: skip
    assert {name for name, _, _ in made.unmapped} == {"ModelSamplingFlux", "lora"}


def test_comfy_workflow_alone():
    found = found_in(foreign.png({"workflow": json.dumps(foreign.COMFY_WORKFLOW)}))
    assert found.settings == {
        "seed": 99, "sampler": "euler", "steps": 36, "scheduler": "simple", "prompt": "a purple candle", "negative": "smoke", "cfg": 4.5,
        "model": "flux-2-klein-base-4b.safetensors",
    }  # fmt: skip
    assert {name for name, _, _ in found.unmapped} == {"start_at_step", "start picture"}
    made = filled(found)
    assert (made.form["family"], made.form["tier"]) == ("flux2-klein", "premium")
    assert (made.form["negative"], made.form["guidance"]) == ("smoke", 4.5)


def test_a_value_that_the_graph_computes_is_listed_and_not_guessed():
    graph = json.loads(json.dumps(foreign.COMFY_FLUX))
    graph["25"]["inputs"]["noise_seed"] = ["40", 0]
    graph["40"] = {"class_type": "MathExpression", "inputs": {"a": 3, "b": 4, "expression": "a * b"}}
    found = found_in(foreign.png({"prompt": json.dumps(graph)}))
    assert "seed" not in found.settings
    assert named(found.unmapped, "seed") == ("node 40", "The graph computes it while it runs.")


def test_our_own_file_gives_its_request_back(tmp_path):
    request = Request.from_dict(
        {"prompt": "a red mug", "tier": "premium", "size": "banner", "seed": 40, "draft": 3, "negative": "dust", "guidance": 4.5}, CATALOGUE
    )
    [draft, *_] = plan_for(request, CATALOGUE).first(request.seeds)
    image = foreign.seed_picture(41, 896, 320)
    about = {"id": 7, "request": request.to_dict(), "card": draft.card, "lineage": []}
    files.write_picture(tmp_path, "outputs/x/1.png", image, files.metadata(draft.spec, 41, 2, image, draft.card, about, {}))
    found = found_in((tmp_path / "outputs/x/1.png").read_bytes())
    assert found.tool == "Contact Sheet"
    made = filled(found, "flux1")
    assert made.form == {
        "family": "embedded", "tier": "premium", "prompt": "a red mug", "negative": "dust", "steps": 40, "seed": 41, "profile": "generic",
        "guidance": 4.5, "size": "banner",
    }  # fmt: skip
    assert made.unmapped == []


def test_a_photograph_has_no_settings():
    with Image.open(io.BytesIO(foreign.png({"Software": "GIMP", "Comment": "Steps: many"}))) as image:
        image.load()
        assert read(texts_of(image)) is None


@pytest.mark.parametrize(
    ("model", "card"),
    [
        ("flux1-dev-fp8.safetensors", "flux1-dev"), ("FLUX.1-schnell", "flux1-schnell"), ("flux_dev_nf4.gguf", "flux1-dev"),
        ("flux1-dev-kontext_fp8_scaled.safetensors", "flux1-kontext-dev"), ("flux-2-klein-base-4b.safetensors", "flux2-klein-base-4b"),
        ("FLUX.2 klein 9B", "flux2-klein-9b"), ("flux2-dev-Q4_K_M.gguf", "flux2-dev"), ("embedded", "embedded"), ("sd_xl_base_1.0", None),
        ("", None),
    ],
)  # fmt: skip
def test_models_are_known_by_their_files_names(model, card):
    known = card_of(model, CATALOGUE)
    assert (known.name if known else None) == card


def test_seeds_that_a_browser_cannot_hold_are_said_not_bent():
    made = filled(Found("x", {"prompt": "a mug", "seed": 2**53}))
    assert "seed" not in made.form
    assert named(made.unmapped, "seed")[0] == str(2**53)


def test_malicious_graphs_take_no_time():
    joins = {str(n): {"class_type": "Join", "inputs": {"string_a": [str(n + 1), 0], "string_b": [str(n + 1), 0]}} for n in range(400)}
    joins["400"] = {"class_type": "Join", "inputs": {"string_a": "x" * 100_000, "string_b": "y"}}
    bomb = joins | {
        "s": {"class_type": "KSampler", "inputs": {"steps": 4, "positive": ["t", 0], "latent_image": ["s", 0], "model": ["s", 0]}},
        "t": {"class_type": "CLIPTextEncode", "inputs": {"text": ["0", 0]}},
    } | {f"o{n}": {"class_type": "SaveImage", "inputs": {f"i{m}": [f"o{m}", 0] for m in range(200)}} for n in range(200)}  # fmt: skip
    texts = ["[" * 100_000, '{"a":' * 50_000, json.dumps(bomb), "(" * 1_000_000, "<lora:" * 200_000]
    texts += ["a b-" * 200_000 + "\n" + "ab " * 20_000, foreign.FORGE + ", " + 'ab cd: "' * 20_000]
    started = time.perf_counter()
    for text in texts:
        for key in ("parameters", "prompt", "workflow", "invokeai_metadata", "contact-sheet"):
            found = read({key: text})
            if found:
                filled(found)
    assert time.perf_counter() - started < 8


# Whatever a file says: nothing but a Found or None comes out, and the form of a Found is one that the door takes.

WORDS = st.sampled_from(
    ["seed", "steps", "cfg", "prompt", "positive_prompt", "negativeprompt", "model", "loras", "width", "height", "class_type", "inputs",
     "KSampler", "SamplerCustomAdvanced", "sui_image_params", "base_model", "performance", "resolution", "request", "image", "nodes",
     "links", "id", "type", "widgets_values", "guidance", "text", "positive",
     "latent_image", "1", "2"]
)  # fmt: skip
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(WORDS | st.text(max_size=8), inner, max_size=6),
    max_leaves=30,
)
KEYS = st.sampled_from(["parameters", "prompt", "workflow", "invokeai_metadata", "sd-metadata", "contact-sheet", "fooocus_scheme"])


def holds(texts: dict[str, str]) -> None:
    found = read(texts)
    if found is None:
        return
    for family in CATALOGUE.families:
        made = filled(found, family)
        json.dumps(made.form, allow_nan=False)
        for entry in made.unmapped:
            assert len(entry) == 3 and all(isinstance(part, str) for part in entry)
            "".join(entry).encode()
        assert len(made.unmapped) < 100


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, JSONS.map(json.dumps) | st.text(max_size=200), max_size=4))
def test_any_text_is_read_or_left(texts):
    holds(texts)


SAMPLES = [
    ("parameters", foreign.FORGE), ("parameters", foreign.FOOOCUS_TEXT), ("parameters", json.dumps(foreign.SWARM)),
    ("parameters", json.dumps(foreign.FOOOCUS)), ("invokeai_metadata", json.dumps(foreign.INVOKE)),
    ("prompt", json.dumps(foreign.COMFY_FLUX)), ("prompt", json.dumps(foreign.COMFY_KSAMPLER)),
    ("workflow", json.dumps(foreign.COMFY_WORKFLOW)),
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_real_texts_with_a_value_changed(sample, data):
    key, text = sample
    if not text.startswith("{"):
        at = data.draw(st.integers(0, len(text)))
        holds({key: text[:at] + data.draw(st.text(max_size=10)) + text[at + data.draw(st.integers(0, 30)) :]})
        return
    whole = json.loads(text)
    inside = whole
    for _ in range(data.draw(st.integers(1, 5))):
        if not isinstance(inside, dict | list) or not inside:
            break
        step = data.draw(st.sampled_from(sorted(inside))) if isinstance(inside, dict) else data.draw(st.integers(0, len(inside) - 1))
        if data.draw(st.booleans()):
            inside[step] = data.draw(JSONS)
            break
        inside = inside[step]
    holds({key: json.dumps(whole)})
