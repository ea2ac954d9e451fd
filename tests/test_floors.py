"""The house: who may import whom, what the page's process must never hold, and what is packed for others."""
from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("models", "pipelines", "studio")  # from the lowest to the highest
WEB = {"gradio", "fastapi", "starlette", "uvicorn"}
HEAVY = ("torch", "diffusers", "transformers", "open_clip", "torchvision", "accelerate", "peft", "rembg")


def modules(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"no modules in {package}"
    return found


def imports(path: Path) -> set[str]:
    """Top-level packages that a module imports anywhere in it, in functions and under TYPE_CHECKING too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            here = path.relative_to(ROOT).parts
            assert node.level < len(here), f"{path.relative_to(ROOT)}:{node.lineno} imports from outside its package"
            names.add(here[0] if node.level else (node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_point_down(floor):
    above = set(FLOORS[FLOORS.index(floor) + 1 :]) | {"launch", "tests", "benchmarks"}
    wrong = {str(path.relative_to(ROOT)): sorted(imports(path) & above) for path in modules(floor) if imports(path) & above}
    assert not wrong


@pytest.mark.parametrize("floor", ["models", "pipelines"])
def test_the_lower_floors_know_no_web(floor):
    wrong = {str(path.relative_to(ROOT)): sorted(imports(path) & WEB) for path in modules(floor) if imports(path) & WEB}
    assert not wrong


def test_pipelines_and_studio_never_import_what_runs_weights():
    wrong = {
        str(path.relative_to(ROOT)): sorted(imports(path) & set(HEAVY))
        for floor in FLOORS[1:]
        for path in modules(floor)
        if imports(path) & set(HEAVY)
    }
    assert not wrong


def test_presets_are_data_only():
    for path in modules("presets"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert all(isinstance(node, ast.Expr) for node in tree.body), path


def test_launch_only_reads_flags_and_starts():
    assert imports(ROOT / "launch.py") <= {"__future__", "sys", "studio", "models"}
    assert len((ROOT / "launch.py").read_text(encoding="utf-8").splitlines()) <= 40


PAGE = f"""
import sys, tempfile
from pathlib import Path
from models.presets import load_catalogue
from studio.config import quiet_libraries
quiet_libraries()
from studio.studio import Studio
from studio.doors import make_app
from studio.serve import mount_page
import studio.quick
with tempfile.TemporaryDirectory() as folder:
    studio_ = Studio(Path(folder), load_catalogue(), engine="scripted")
    make_app(studio_, mount=mount_page)
    studio_.submit({{"prompt": "a red mug", "tier": "premium"}})
    studio_.words({{"prompt": "a red mug"}})
    studio_.stop()
import gradio.component_meta
writer = gradio.component_meta.create_or_modify_pyi
print(",".join(name for name in {HEAVY!r} if name in sys.modules), writer.__module__, sep=";")
"""


def test_the_page_s_process_never_holds_torch_and_gradio_writes_no_stubs():
    done = subprocess.run([sys.executable, "-c", PAGE], capture_output=True, text=True, cwd=ROOT, timeout=180)
    assert done.returncode == 0, done.stderr
    heavy, writer = done.stdout.strip().splitlines()[-1].split(";")
    assert heavy == ""
    assert writer == "studio.quick"


# Packaging.


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_packed_and_no_test_is():
    from setuptools import find_packages

    found = set(find_packages(str(ROOT), include=project()["tool"]["setuptools"]["packages"]["find"]["include"]))
    there = {".".join(path.relative_to(ROOT).parts[:-1]) for top in (*FLOORS, "presets") for path in modules(top)}
    assert there <= found, f"folders with modules but no __init__.py: {sorted(there - found)}"
    assert not {name for name in found if name.split(".")[0] in ("tests", "benchmarks")}
    assert project()["tool"]["setuptools"]["py-modules"] == ["launch"]


def test_every_data_file_is_packed():
    listed = project()["tool"]["setuptools"]["package-data"]
    left = []
    for top in (*FLOORS, "presets"):
        data = {path for path in (ROOT / top).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
        packed = {path for pattern in listed.get(top, []) for path in (ROOT / top).glob(pattern)}
        left += [str(path.relative_to(ROOT)) for path in data - packed]
    assert not left


def test_what_is_imported_is_declared():
    names = {"argon2-cffi": "argon2", "open-clip-torch": "open_clip", "opencv-python-headless": "cv2", "pillow": "PIL",
             "scikit-learn": "sklearn", "sqlite-utils": "sqlite_utils"}  # fmt: skip
    wanted = project()["project"]["dependencies"]
    declared = {names.get(name, name.replace("-", "_")) for name in ("".join(c for c in line if c.isalnum() or c in "-_") for line in
                (line.split(">")[0].split("[")[0] for line in wanted))}  # fmt: skip
    ours = {*FLOORS, "presets", "launch", *sys.stdlib_module_names}
    used = set().union(*(imports(path) for floor in FLOORS for path in modules(floor)))
    assert used - ours <= declared


def test_the_version_is_one():
    from studio import __version__

    assert project()["project"]["version"] == __version__
