"""`python launch.py --check`: what it says, and its exit status."""
from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny

from models import check as checking
from models import weights
from models.check import advice, check, cuda_index


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny random model where the embedded one would lie, and an empty hub cache."""
    pytest.importorskip("torch")
    folder = tmp_path / "checkpoint"
    tiny.flux1(folder)
    monkeypatch.setattr(weights, "embedded_folder", lambda: folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder


def test_a_machine_without_downloads_draws_a_picture(shipped: Path, lines: list[str]):
    assert check(device="cpu", say=lines.append) == 0
    report = "\n".join(lines)
    assert "PyTorch    " in report
    assert "CPU, " in report
    assert "GB free here" in report
    assert "off: nothing is downloaded" in report
    assert "Embedded: shipped" in report
    assert "FLUX.2-klein-4B: not here (16 GB to download)" in report
    assert any(line.startswith("Picture    Embedded: 256 x 256, 4 steps: ") and "4 previews" in line for line in lines)


def test_weights_on_the_disk_are_drawn_with_too(shipped: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    tiny.klein(tmp_path / "models" / "FLUX.2-klein-4B", distilled=True)
    assert check(tmp_path / "models", "cpu", say=lines.append) == 0
    assert any("FLUX.2-klein-4B: found in" in line for line in lines)
    assert any("FLUX.2-klein-4B: skipped" in line for line in lines)
    lines.clear()
    monkeypatch.setattr(checking, "SMALL", 100)  # As if the CPU were no hindrance.
    assert check(tmp_path / "models", "cpu", say=lines.append) == 0
    assert any(line.startswith("Picture    FLUX.2-klein-4B: 512 x 512, 4 steps: ") for line in lines)


def test_a_picture_that_fails_gives_a_bad_exit_status(shipped: Path, lines: list[str]):
    shutil.rmtree(shipped)
    assert check(device="cpu", say=lines.append) == 1
    assert any("Picture    Embedded: FAILED." in line for line in lines)


def test_an_unknown_device_or_family_is_told(shipped: Path, lines: list[str]):
    assert check(device="abacus", say=lines.append) == 1
    assert "no device 'abacus'" in lines[-1]
    assert check(device="cpu", family="sd15", say=lines.append) == 1
    assert "no family named 'sd15'" in lines[-1]


def test_a_cpu_build_beside_a_gpu_is_caught_with_the_command_that_mends_it():
    said = "\n".join(advice("2.15.0+cpu", None, available=False, driver=True))
    assert "pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cu132" in said


@pytest.mark.parametrize(
    ("cuda", "available", "driver", "said"),
    [("13.2", True, True, ""), (None, False, False, ""), ("13.2", False, False, ""), ("13.2", False, True, "driver is too old")],
)
def test_nothing_is_advised_where_nothing_is_wrong(cuda: str | None, available: bool, driver: bool, said: str):
    found = "\n".join(advice("2.15.0", cuda, available, driver))
    assert said in found
    assert bool(found) == bool(said)


def test_the_index_follows_the_release():
    assert cuda_index("2.12.1").endswith("cu130")
    assert cuda_index("2.15.0+cpu").endswith("cu132")
