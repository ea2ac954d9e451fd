"""Pictures and templates taken away: programs, recipes, and what stands in them."""
from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from studios import ended

from models.cards import Catalogue
from models.errors import BadInput, NotFound
from models.presets import load_catalogue
from models.spec import ImageSpec, LoraUse
from pipelines.bundle import bundle
from pipelines.plan import plan_for
from pipelines.post import Post
from pipelines.production import Beside, Recipe, Stage, Weights, open_prompt, program, recipe_data, recipe_json, recipe_toml, stages_of
from pipelines.request import Request
from pipelines.tomltext import toml
from studio.production import Production
from studio.store.people import LOCAL, Who
from studio.studio import Studio

CATALOGUE = load_catalogue()
SPEC = ImageSpec("a red mug", 64, 64, 2, 3.0, (7,), negative="blurry")
TEXT = st.text(max_size=60)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT.filter(str.isprintable), inner, max_size=3),
    max_leaves=8,
)


def stage(catalogue: Catalogue, card: str = "embedded", **changes: Any) -> Stage:
    spec = {**vars(SPEC), **{name: value for name, value in changes.items() if name in vars(SPEC)}}
    rest = {name: value for name, value in changes.items() if name not in vars(SPEC)}
    return Stage(Weights(catalogue.card(card), "main"), ImageSpec(**spec), **rest)


# What programs are made of.


def test_a_bundle_holds_what_its_functions_need_and_nothing_of_this_house():
    found = bundle([("models.alone", "redrawn")])
    scope: dict[str, Any] = {}
    assert not [line for line in found.imports if "models" in line or "pipelines" in line]
    exec("from __future__ import annotations\n" + found.body.replace("Image.Image", "object"), scope)
    assert {"redrawn", "image_to_image", "starts", "blend", "_ramp", "OVERLAP"} <= scope.keys()
    assert "by_instruction" not in scope
    with pytest.raises(KeyError):
        bundle([("models.alone", "nothing")])


def test_local_names_do_not_pull_in_functions_of_the_same_name():
    body = bundle([("pipelines.post", "apply")]).body
    assert "def read_post" not in body and "class BadInput" not in body


def test_every_model_has_a_program_that_compiles(shipped):
    for card in shipped.cards:
        compile(program(Recipe("x", "about", (stage(shipped, card),), {})), "x.py", "exec")


@settings(deadline=None, max_examples=60)
@given(prompt=TEXT, about=TEXT)
def test_what_people_wrote_stands_in_a_program_as_text_only(prompt, about):
    text = program(Recipe("x", about, (stage(CATALOGUE, prompt=prompt),), {}, notes=(about,)))
    scope = constants(text)
    assert scope["STAGES"][0]["prompt"] == prompt
    assert scope["ABOUT"] == about


def constants(text: str) -> dict[str, Any]:
    """What a program's constants are, without running what it imports."""
    import ast

    names = {"text_to_image", "image_to_image", "flux2", "by_instruction", "resampled", "redrawn"}
    tree = ast.parse(text)
    found: dict[str, Any] = {name: name for name in names}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id in ("ABOUT", "MODELS", "STAGES", "VALUES"):
            found[target.id] = eval(compile(ast.Expression(node.value), "x", "eval"), dict(found))
    return found


@settings(deadline=None)
@given(st.dictionaries(TEXT.filter(str.isprintable), VALUES, max_size=5))
def test_toml_reads_back_what_was_written(data):
    assert tomllib.loads(toml(data)) == data


def test_a_recipe_says_the_same_in_toml_and_json(shipped):
    recipe = Recipe("x", "about", (stage(shipped),), {"prompt": "a red mug", "negative": None, "texts": []}, post=Post(width=10))
    assert tomllib.loads(recipe_toml(recipe)) == json.loads(recipe_json(recipe)) == recipe_data(recipe)
    assert recipe_data(recipe)["request"] == {"prompt": "a red mug"}
    assert recipe_data(recipe)["post"] == {"width": 10, "fit": "crop"} or recipe_data(recipe)["post"] == {"width": 10}


def test_a_final_by_img2img_is_drawn_after_its_draft(shipped):
    request = Request.from_dict({"prompt": "a mug", "family": "flux1", "tier": "standard", "seed": 3, "draft": 4}, shipped)
    assert request.ladder
    first, last = stages_of(plan_for(request, shipped), 5, lambda name: Weights(shipped.card(name)), None, ())
    assert (first.weights.card.name, first.spec.width, first.seed, first.on) == ("flux1-schnell", 512, 5, False)
    assert (last.weights.card.name, last.spec.width, last.spec.strength, last.on) == ("flux1-dev", 1024, 0.5, True)
    stages = constants(program(Recipe("x", "", (first, last), {})))["STAGES"]
    assert [one["draw"] for one in stages] == ["text_to_image", "image_to_image"]
    assert [one["start"] for one in stages] == [None, "the picture before"]
    # The same noise needs no draft.
    plan = replace(plan_for(request, shipped), promotion="same-noise")
    assert len(stages_of(plan, 5, lambda name: Weights(shipped.card(name)), None, ())) == 1


def test_tiles_are_for_models_with_img2img(shipped):
    premium = shipped.family("flux1").tiers["premium"].finish
    assert '"by": redrawn' in program(Recipe("x", "", (stage(shipped, "flux1-dev", finish=premium),), {}))
    assert '"by": resampled' in program(Recipe("x", "", (stage(shipped, "flux2-klein-base-4b", finish=premium),), {}))


def test_files_lie_beside_the_program_under_their_hash(shipped, tmp_path):
    lora = tmp_path / "shoes.safetensors"
    lora.write_bytes(b"weights")
    beside = Beside.of(lora, "1-shoes.safetensors")
    spec = ImageSpec(**{**vars(SPEC), "loras": (LoraUse(lora, 0.8),)})
    recipe = Recipe("x", "", (Stage(Weights(shipped.card("embedded")), spec, loras=(beside,)),), {})
    worn = constants(program(recipe))["STAGES"][0]["loras"]
    assert worn == [{"file": "1-shoes.safetensors", "sha256": hashlib.sha256(b"weights").hexdigest(), "weight": 0.8}]
    assert recipe.files == (beside,)


# Variables of a program.


def test_values_are_opened_where_they_do_no_more_than_stand_there():
    def compose(values):
        light = {"soft": "soft light", "hard": "hard light, deep shadows"}[values["light"]]
        return f"a {values['colour']} {values['product']}, {light}, $5", f"no {values['colour']}"

    values = {"product": "mug", "light": "soft", "colour": "red", "place": ""}
    others = {"product": ("zweikorn", "$x {a|b}"), "light": ("hard",), "colour": ("blue",), "place": ("here",)}
    texts, opened = open_prompt(compose, values, others)
    assert texts == ("a ${colour} ${product}, soft light, $$5", "no ${colour}")
    assert opened == {"product": "mug", "colour": "red"}


def test_a_value_that_chooses_other_words_stays_as_it_is():
    def compose(values):
        return (f"{values['a']} and {'long' if len(values['a']) > 3 else 'short'}",)

    texts, opened = open_prompt(compose, {"a": "mug"}, {"a": ("tea", "kettle")})
    assert (texts, opened) == (("mug and short",), {})


# Over HTTP.


@pytest.fixture
def drawn(start_studio: Callable[..., Studio]) -> tuple[Studio, dict[str, Any]]:
    studio = start_studio()
    view = ended(studio, studio.submit({"prompt": "a red mug", "tier": "standard", "draft": 4, "keep": 1, "seed": 5})["id"])
    return studio, view


def test_a_picture_of_a_ladder_is_taken_as_it_was_drawn(drawn):
    studio, view = drawn
    final = next(image for image in view["images"] if image["stage"] == "final" and image["state"] == "drawn")
    taken = Production(studio).take({"image": final["id"], "as": "json"}, LOCAL)
    data = json.loads(taken.text)
    assert data["request"] | {"ladder": False, "draft": 1, "seed": final["seed"], "steps": 20, "prompt": "a red mug"} == data["request"]
    sketch, told = data["stages"]
    assert (sketch["seed"], sketch["steps"], told["seed"], told["steps"], told["width"]) == (final["seed"], 4, final["seed"], 20, 256)
    assert (data["request"]["image"], data["request"]["strength"]) == (final["parent"], 0.25)
    assert tomllib.loads(Production(studio).take({"image": final["id"], "as": "toml"}, LOCAL).text) == data
    # The request draws that very picture again: it is served from history.
    again = ended(studio, studio.submit(data["request"])["id"])
    assert again["served"] == 1 and again["images"][0]["served_from"] == final["id"]


def test_a_picture_drawn_from_another_is_a_chain_and_one_from_an_upload_a_zip(drawn, tmp_path):
    studio, view = drawn
    first = view["images"][0]["id"]
    second = ended(studio, studio.submit({"prompt": "a blue mug", "draft": 1, "image": first, "role": "img2img", "strength": 0.5})["id"])
    recipe = Production(studio).of_image(second["images"][0]["id"], LOCAL)
    assert [(one.spec.prompt, one.on) for one in recipe.stages] == [("a red mug", False), ("a blue mug", True)]
    assert recipe.request["image"] == first

    buffer = io.BytesIO()
    Image.new("RGB", (256, 256), "teal").save(buffer, "PNG")
    upload = studio.imports.take(buffer.getvalue(), {}, LOCAL)["upload"]
    third = ended(studio, studio.submit({"prompt": "a mug", "draft": 1, "image": upload, "role": "img2img"})["id"])
    taken = Production(studio).take({"image": third["images"][0]["id"]}, LOCAL)
    name, pieces = taken.packed()
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.namelist() == [taken.name, "start.png"]
        assert archive.read("start.png") == buffer.getvalue()
    assert name.endswith(".zip")


def test_nothing_is_told_of_a_picture_that_one_may_not_see(drawn):
    studio, view = drawn
    stranger = Who("stranger")
    with pytest.raises(NotFound):
        Production(studio).take({"image": view["images"][0]["id"]}, stranger)
    # Nor of what a shared picture was drawn from; and folders of this machine are for those who look after it.
    first = view["images"][0]["id"]
    second = ended(studio, studio.submit({"prompt": "a blue mug", "draft": 1, "image": first, "role": "img2img"})["id"])["images"][0]["id"]
    studio.store.db.execute("UPDATE images SET shared = '*' WHERE id = ?", [second])
    recipe = Production(studio).of_image(second, stranger)
    assert [one.spec.prompt for one in recipe.stages] == ["a blue mug"]
    assert [file.name for file in recipe.files] == ["start.png"]
    assert not any(Path(place).is_absolute() for place in recipe.stages[0].weights.places)
    assert any(Path(place).is_absolute() for place in Production(studio).of_image(second, LOCAL).stages[0].weights.places)


def test_the_door(door: httpx.Client):
    taken = door.post("/api/export", json={"template": "ecommerce-hero", "as": "toml"}).json()
    assert tomllib.loads(taken["text"])["title"] == "E-commerce hero"
    assert taken["command"].startswith("python launch.py generate --template ecommerce-hero --set ")
    asked = {"template": "ecommerce-hero", "as": "python", "values": {"product": "green mug"}, "seed": 4}
    told = door.post("/api/export", json=asked).json()
    found = constants(told["text"])
    assert found["VALUES"]["product"] == "green mug" and "${product}" in found["STAGES"][-1]["prompt"]
    assert found["STAGES"][-1]["seed"] == 4
    unknown = {"template": "ecommerce-hero", "values": {"no": 1}}
    wrong = {"as": "exe"}, {"image": 1, "as": "python"}, {"template": "nothing"}, {"image": "x"}, {}, unknown
    assert [door.post("/api/export", json=one).status_code for one in wrong] == [422, 404, 404, 422, 422, 422]
    packed = door.post("/api/export/zip", json={"template": "ecommerce-hero"})
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.namelist() == ["ecommerce-hero.py"]


def test_every_shipped_template_has_a_program(studio: Studio):
    production = Production(studio)
    for name in studio.templates.names():
        template = studio.templates.current(name)
        missing = [one.name for one in template.variables.values() if one.required and one.type == "image"]
        if missing:
            with pytest.raises(BadInput, match="missing"):
                production.take({"template": name}, LOCAL)
            continue
        compile(production.take({"template": name}, LOCAL).text, name, "exec")


# Run as it is, the program gives the studio's picture.


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, shipped: Catalogue) -> Iterator[Studio]:
    """A studio that draws with the embedded model, on the CPU."""
    studio = Studio(tmp_path_factory.mktemp("real") / "data", shipped, device="cpu")
    studio.start()
    yield studio
    studio.stop()


def run(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "program.py", *flags], cwd=folder, capture_output=True, text=True, timeout=300)


def difference(studio: Studio, image: int, text: str, folder: Path) -> float:
    """Mean absolute difference in 1/255 between a picture of the history and what a program draws."""
    (folder / "program.py").write_text(text, encoding="utf-8")
    done = run(folder, "--out", "picture.png", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "picture.png\n"
    with Image.open(folder / "picture.png") as mine, Image.open(studio.picture_file(image)) as theirs:
        assert mine.size == theirs.size
        return float(np.abs(np.asarray(mine.convert("RGB"), np.int16) - np.asarray(theirs.convert("RGB"), np.int16)).mean())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["preview", "finished", "enlarged", "from a picture", "from an upload", "template"])
def test_the_program_gives_the_studio_s_picture(real: Studio, tmp_path: Path, kind: str):
    first = {"prompt": "a red mug on a wooden table", "draft": 2, "keep": 1, "seed": 5}
    requests: dict[str, dict[str, Any]] = {
        "preview": first,
        "finished": {"prompt": "a blue bottle", "negative": "blurry", "tier": "standard", "draft": 3, "keep": 1, "seed": 9, "retries": 0},
        "enlarged": {"prompt": "a green vase", "tier": "premium", "draft": 1, "seed": 11, "ladder": False, "retries": 0, "guidance": 4.5},
        "template": {"template": "social-instagram-square", "values": {"product": "red mug"}, "draft": 1, "keep": 1, "seed": 3},
    }
    requests["template"] |= {"ladder": False, "retries": 0}
    if kind == "from a picture":
        before = ended(real, real.submit(first)["id"])["images"][0]["id"]
        requests[kind] = {"prompt": "a blue mug", "draft": 1, "image": before, "role": "img2img", "strength": 0.6, "seed": 3}
    elif kind == "from an upload":
        buffer = io.BytesIO()
        Image.linear_gradient("L").resize((300, 200)).convert("RGB").save(buffer, "PNG")
        upload = real.imports.take(buffer.getvalue(), {}, LOCAL)["upload"]
        requests[kind] = {"prompt": "a red mug", "draft": 1, "image": upload, "role": "img2img", "strength": 0.8, "size": "4:5"}
    view = ended(real, real.submit(requests[kind])["id"])
    picture = [image for image in view["images"] if image["state"] == "drawn"][-1]
    assert picture["stage"] == "final"
    taken = Production(real).take({"image": picture["id"]}, LOCAL)
    for file in taken.files:
        (tmp_path / file.name).write_bytes(file.path.read_bytes())
    if kind == "template":  # the file is what the template makes of the picture: the picture itself is compared
        real.store.db.execute("UPDATE images SET post = 'null' WHERE id = ?", [picture["id"]])
        taken = Production(real).take({"image": picture["id"]}, LOCAL)
    assert difference(real, picture["id"], taken.text, tmp_path) <= 1.0


@pytest.mark.slow
def test_a_template_s_program_draws_what_the_studio_draws_for_other_values(real: Studio, tmp_path: Path):
    request = {"template": "ecommerce-hero", "values": {"product": "blue bottle"}, "tier": "preview", "draft": 1, "keep": 1, "seed": 8}
    view = ended(real, real.submit(request)["id"])
    taken = Production(real).take({"template": "ecommerce-hero", "values": {"product": "red mug"}, "tier": "preview", "seed": 8}, LOCAL)
    (tmp_path / "program.py").write_text(taken.text.replace("POST = Post(", "POST = Post() or Post("), encoding="utf-8")
    done = run(tmp_path, "--set", "product=blue bottle", "--device", "cpu", "--out", "x.png")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "x.png") as mine, Image.open(real.picture_file(view["images"][0]["id"])) as theirs:
        assert np.abs(np.asarray(mine.convert("RGB"), np.int16) - np.asarray(theirs, np.int16)).mean() <= 1.0
    refused = run(tmp_path, "--set", "price=3")
    assert refused.returncode == 2 and "product" in refused.stderr


def test_a_program_without_its_file_says_so(tmp_path):
    """Ends before anything is drawn, with the name of what is missing."""
    from models import alone

    with pytest.raises(SystemExit, match="missing"):
        alone.beside(tmp_path, {"file": "start.png", "sha256": "0"})
    (tmp_path / "start.png").write_bytes(b"another")
    with pytest.raises(SystemExit, match="is not the file"):
        alone.beside(tmp_path, {"file": "start.png", "sha256": "0"})
