"""Exported requests: what is taken to a provider is what the studio would send, and the provider draws it. Run as people run them."""
from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from studios import ended

from models.cloud.catalogue import configured, load_providers
from models.cloud.demo import DemoProviders, Fault
from models.errors import BadInput
from models.presets import load_catalogue
from models.spec import ImageSpec, LoraUse
from pipelines.post import Post
from pipelines.production import Recipe, Stage, Weights
from pipelines.productioncalls import curl_request, python_request
from pipelines.productioncloud import Order, orders_of
from studio.production import Production
from studio.store.people import LOCAL
from studio.studio import Studio

CATALOGUE = load_catalogue()
SHIPPED = {name: one if one.base_url else configured(one, "http://127.0.0.1:8000/v1", "flux", 0) for name, one in load_providers().items()}
NAMES = tuple(SHIPPED)
needs_curl = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq") and shutil.which("bash")), reason="no curl or jq here")


def draw(prompt: str, width: int, height: int, steps: int, seed: int) -> bytes:
    """A picture that says what it was drawn from."""
    told, file = PngImagePlugin.PngInfo(), io.BytesIO()
    told.add_text("asked", json.dumps([prompt, width, height, steps, seed]))
    Image.new("RGB", (width, height), (seed % 256, 80, 80)).save(file, "PNG", pnginfo=told)
    return file.getvalue()


@pytest.fixture(scope="module")
def demos() -> Iterator[DemoProviders]:
    with DemoProviders(draw) as demos:
        yield demos


@pytest.fixture(autouse=True)
def _no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "demos" in request.fixturenames:
        for demo in request.getfixturevalue("demos").values():
            assert not demo.leaks
            demo.faults.clear()


def recipe(card: str = "flux1-schnell", tier: str = "preview", **more: Any) -> Recipe:
    family = "embedded" if card == "embedded" else "flux1" if card.startswith("flux1") else "flux2-klein"
    usual = {"prompt": "a red mug", "width": 1024, "height": 1024, "steps": 4, "guidance": 0.0, "seeds": (7,)}
    spec = ImageSpec(**{**usual, **more.pop("spec", {})})
    stage = Stage(Weights(CATALOGUE.card(card)), spec, **more.pop("stage", {}))
    return Recipe("mug", more.pop("about", "a mug"), (stage,), {"family": family, "tier": tier}, **more)


Done = subprocess.CompletedProcess[str]


def run(order: Order, demos: DemoProviders, folder: Path, kind: str, *flags: str, key: str | None = None) -> Done:
    """The exported text, run by a process of its own that knows nothing of this project."""
    text, beside = (python_request(order), order.pictures) if kind == "python" else curl_request(order)
    for file in beside:
        (folder / file.name).write_bytes(file.data)
    script = folder / ("mug.py" if kind == "python" else "mug.sh")
    script.write_text(text, encoding="utf-8")
    name = order.provider.name
    given = demos[name].key if key is None else key
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), order.provider.keys[0]: given, "no_proxy": "*", "LC_ALL": "C.UTF-8"}
    base = demos.providers[name].base_url
    if kind == "python":
        words = [sys.executable, "-I", str(script), "--base-url", base, "--timeout", "30", *flags]
    else:
        words, environment = ["bash", str(script)], {**environment, "BASE_URL": base, "TIMEOUT": "30"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def asked(path: Path) -> list[Any]:
    with Image.open(path) as picture:
        picture.load()
        return list(json.loads(picture.info["asked"]))


# Every provider, as people run it.


@pytest.mark.parametrize("kind", ["python", pytest.param("curl", marks=needs_curl)])
@pytest.mark.parametrize("name", NAMES)
def test_each_provider_draws_what_is_exported(name: str, kind: str, demos: DemoProviders, tmp_path: Path) -> None:
    prompt = "it's a \"red\" mug: $5 `x` ${y} \\n \u2028 BODY\nBODY\n日本"
    made = recipe("flux1-schnell", "preview", spec={"prompt": prompt})
    order = orders_of(made, SHIPPED[name], None, ())[0]
    billed = len(demos[name].billed)
    done = run(order, demos, tmp_path, kind)
    assert done.returncode == 0, done.stderr
    told, width, height, _steps, seed = asked(tmp_path / "mug.png")
    assert (told, width, height, seed) == (prompt, 1024, 1024, 7)
    assert [bill.micro for bill in demos[name].billed[billed:]] == [order.micro if name != "openai" else 2000]
    assert demos[name].ignored == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["python", pytest.param("curl", marks=needs_curl)])
@pytest.mark.parametrize("name", ["fal", "replicate", "bfl"])
def test_pictures_to_start_from_go_along(name: str, kind: str, demos: DemoProviders, tmp_path: Path) -> None:
    made = recipe("flux1-dev", "standard", spec={"role": "img2img", "strength": 0.6, "steps": 20, "guidance": 3.5})
    if name == "bfl":
        made = recipe("flux2-klein-4b", "standard", spec={"role": "reference"})
    start = draw("a start", 640, 640, 1, 1)
    order = orders_of(made, SHIPPED[name], start, ())[0]
    text = python_request(order) if kind == "python" else curl_request(order)[0]
    assert len(text) < 20_000  # the picture lies beside it
    done = run(order, demos, tmp_path, kind)
    assert done.returncode == 0, done.stderr
    assert asked(tmp_path / "mug.png")[0] == "a red mug"
    assert demos[name].jobs and demos[name].ignored == []
    if kind == "python":
        (tmp_path / order.pictures[0].name).write_bytes(start + b"x")
        words, environment = [sys.executable, "-I", "mug.py"], {order.provider.keys[0]: "k"}
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 1 and "is not the file that belongs" in done.stderr


def test_a_program_has_flags_for_seed_values_and_file(demos: DemoProviders, tmp_path: Path) -> None:
    made = recipe(spec={"prompt": "a ${colour} mug for $$5"}, values={"colour": "red"}, post=Post(width=64, height=32, format="jpeg"))
    order = orders_of(made, SHIPPED["fal"], None, ())[0]
    done = run(order, demos, tmp_path, "python", "--seed", "9", "--set", "colour=blue", "--out", "out.jpg")
    assert (done.returncode, done.stdout.strip()) == (0, "out.jpg"), done.stderr
    with Image.open(tmp_path / "out.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (64, 32))
    job = list(demos["fal"].jobs.values())[-1]
    assert (job.order.prompt, job.order.seed) == ("a blue mug for $5", 9)
    assert run(order, demos, tmp_path, "python", "--set", "no=1").returncode == 2
    script, _ = curl_request(order)
    assert '"a red mug for $5"' in script and "is left out" in script


# What goes wrong.


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["python", pytest.param("curl", marks=needs_curl)])
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_key_is_said_and_nothing_is_left_behind(name: str, kind: str, demos: DemoProviders, tmp_path: Path) -> None:
    order = orders_of(recipe(), SHIPPED[name], None, ())[0]
    before = demos[name].billed_micro
    done = run(order, demos, tmp_path, kind, key="a-wrong-key-of-mine")
    assert done.returncode != 0 and done.stderr.strip()
    assert "a-wrong-key-of-mine" not in done.stdout + done.stderr
    assert not list(tmp_path.glob("*.png*")) and demos[name].billed_micro == before
    if name != "openai":
        none = run(order, demos, tmp_path, kind, key="")
        assert none.returncode != 0 and order.provider.keys[0] in none.stderr


@pytest.mark.parametrize("kind", ["python", pytest.param("curl", marks=needs_curl)])
def test_a_submit_without_an_answer_is_sent_once(kind: str, demos: DemoProviders, tmp_path: Path) -> None:
    order = orders_of(recipe(), SHIPPED["together"], None, ())[0]
    demos["together"].faults.append(Fault("reset", at="submit"))
    before = len(demos["together"].seen("api", "POST"))
    done = run(order, demos, tmp_path, kind)
    assert done.returncode != 0 and "harged" in done.stderr
    assert len(demos["together"].seen("api", "POST")) == before + 1


@pytest.mark.parametrize("kind", ["python", pytest.param("curl", marks=needs_curl)])
def test_a_key_goes_to_no_foreign_host(kind: str, demos: DemoProviders, tmp_path: Path) -> None:
    order = orders_of(recipe("flux2-klein-4b"), SHIPPED["bfl"], None, ())[0]
    demos["bfl"].faults.append(Fault("foreign", at="submit"))
    done = run(order, demos, tmp_path, kind)
    assert done.returncode != 0 and "the key is not sent there" in done.stderr
    assert not demos["bfl"].leaks


# What it says.


@settings(deadline=None, max_examples=40)
@given(prompt=st.text(min_size=1, max_size=60), about=st.text(max_size=60), name=st.sampled_from(NAMES))
def test_what_people_wrote_stands_in_a_program_as_text_only(prompt: str, about: str, name: str) -> None:
    made = recipe(spec={"prompt": prompt}, about=about, notes=(about,))
    order = orders_of(made, SHIPPED[name], None, ())[0]
    body = next(
        ast.literal_eval(node.value) for node in ast.parse(python_request(order)).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "BODY" and node.value
    )  # fmt: skip
    assert (body.get("input") or body)["prompt"] == prompt
    script = curl_request(order)[0]
    head, _, rest = script.partition("<<'BODY' || true\n")
    assert json.loads(rest.partition("\nBODY\n")[0]) == order.body
    assert all(line.startswith("#") for line in head.split("\n") if about.strip() and about.strip() == line.strip("# "))


@needs_curl
@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_one_that_bash_reads(name: str, tmp_path: Path) -> None:
    text = curl_request(orders_of(recipe(about="a\nrm -rf x #'\"`$(date)"), SHIPPED[name], None, ())[0])[0]
    assert subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True).returncode == 0


def test_no_key_is_in_an_export(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, provider in SHIPPED.items():
        monkeypatch.setenv(provider.keys[0], f"secret-of-{name}-in-the-environment")
        order = orders_of(recipe(), provider, None, ())[0]
        for text in (python_request(order), curl_request(order)[0]):
            assert "secret-of" not in text and provider.keys[0] in text


def test_what_a_provider_cannot_do_is_said_before(tmp_path: Path) -> None:
    worn = recipe("flux1-dev", "standard", spec={"loras": (LoraUse(tmp_path / "shoes.safetensors", 0.8),), "steps": 20})
    with pytest.raises(BadInput, match="shoes has none") as refused:
        orders_of(worn, SHIPPED["fal"], None, (None,))
    assert refused.value.field == "provider"
    address = "https://example.com/shoes.safetensors"
    taken = orders_of(worn, SHIPPED["fal"], None, (address,))[0]
    assert taken.body["loras"] == [{"path": address, "scale": 0.8}]
    with pytest.raises(BadInput, match="LoRA"):
        orders_of(worn, SHIPPED["bfl"], None, (address,))
    with pytest.raises(BadInput, match="picture"):
        orders_of(recipe(spec={"role": "img2img", "strength": 0.5}), SHIPPED["openai"], draw("", 64, 64, 1, 1), ())


def test_another_family_is_drawn_larger_and_notes_say_so() -> None:
    drawn = {"width": 256, "height": 320, "steps": 20, "guidance": 3.0, "negative": "blur"}
    order = orders_of(recipe("embedded", "standard", spec=drawn), SHIPPED["fal"], None, ())[0]
    size = order.body["image_size"]
    assert 0.9 < size["width"] * size["height"] / 2**20 < 1.1 and abs(size["height"] / size["width"] - 1.25) < 0.05
    assert "num_inference_steps" not in order.body
    said = " ".join(order.notes)
    assert "another model" in said and "256 x 320" in said and "no negative prompt" in said and "seed" in said


def test_preview_is_cheapest_and_premium_the_best() -> None:
    preview = orders_of(recipe("embedded", "preview", spec={"width": 256, "height": 256}), SHIPPED["replicate"], None, ())
    assert preview[0].micro == min(one.micro for one in preview)
    premium = orders_of(recipe("flux1-dev", "premium", spec={"steps": 40}), SHIPPED["bfl"], None, ())
    assert premium[0].model.quality == max(one.model.quality for one in premium) and len(premium) > 1


# Through the studio.


@pytest.mark.slow
def test_pictures_and_templates_of_a_studio_are_taken_to_every_provider(
    start_studio: Callable[..., Studio], demos: DemoProviders, tmp_path: Path
) -> None:
    studio = start_studio()
    view = ended(studio, studio.submit({"prompt": "a red mug", "tier": "standard", "draft": 4, "keep": 1, "seed": 5})["id"])
    final = next(image for image in view["images"] if image["stage"] == "final" and image["state"] == "drawn")
    production = Production(studio)
    for name in NAMES:
        taken = production.take({"image": final["id"], "provider": name}, LOCAL)
        assert taken.cloud and taken.cloud["provider"] == name and taken.cloud["models"] and "drawn at once" in " ".join(taken.notes)
        assert taken.files == ()
        script = tmp_path / f"{name}.py"
        script.write_text(taken.text, encoding="utf-8")
        environment = {demos.providers[name].keys[0]: demos[name].key, "no_proxy": "*"}
        words = [sys.executable, "-I", str(script), "--base-url", demos.providers[name].base_url, "--out", f"{name}.png"]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert asked(tmp_path / f"{name}.png")[0] == "a red mug"
        values = {"product": "green mug"}
        template = production.take({"template": "ecommerce-hero", "provider": name, "values": values, "as": "curl"}, LOCAL)
        assert template.name == "ecommerce-hero.sh" and "green mug" in template.text
    # A picture that was started from another one takes that along.
    started = {"prompt": "a blue mug", "draft": 1, "image": final["id"], "role": "img2img", "strength": 0.5}
    second = ended(studio, studio.submit(started)["id"])
    request = {"image": second["images"][0]["id"], "provider": "fal", "as": "curl"}
    with pytest.raises(BadInput, match="cannot draw this picture"):  # no model of fal's for previews starts from one
        production.take(request, LOCAL)


def test_the_door(door: httpx.Client) -> None:
    assert {one["name"] for one in door.get("/api/export/providers").json()} == set(NAMES)
    ask = {"template": "ecommerce-hero", "values": {"product": "green mug"}, "seed": 4, "tier": "standard"}
    told = door.post("/api/export", json={**ask, "provider": "fal", "as": "curl"}).json()
    assert told["name"] == "ecommerce-hero.sh" and told["command"].startswith("FAL_KEY=... bash ecommerce-hero.sh")
    assert told["cloud"]["price"].startswith("$") and told["cloud"]["model"] in [one["model"] for one in told["cloud"]["models"]]
    other = told["cloud"]["models"][-1]["model"]
    assert door.post("/api/export", json={**ask, "provider": "fal", "as": "python", "model": other}).json()["cloud"]["model"] == other
    assert door.post("/api/export", json={**ask, "as": "json"}).json()["cloud"] is None
    wrong = ({"as": "curl"}, {"provider": "nobody"}, {"provider": "fal", "as": "toml"}, {"provider": "fal", "model": "x"}, {"provider": 7})
    assert [door.post("/api/export", json={**ask, **one}).status_code for one in wrong] == [422] * 5
    packed = door.post("/api/export/zip", json={**ask, "provider": "bfl"})
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.namelist() == ["ecommerce-hero.py"]
