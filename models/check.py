"""What `python launch.py --check` prints: what this machine can draw with, and a timed picture to prove it."""
from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from models.cards import Catalogue, ModelCard, Tier
from models.errors import StudioError
from models.memory import SMALL, Machine, choose_family, plan
from models.presets import load_catalogue
from models.spec import ImageSpec, Picture, Preview
from models.weights import hub_cache, weights_found

Say = Callable[[str], None]
PROMPT = "a red mug on a wooden table"


def check(
    models_dir: Path | str | None = None, device: str | None = None, family: str | None = None, say: Say = print, low: bool = False
) -> int:
    """Prints the report line by line. Returns 0, or 1 if PyTorch, the device, or the family's picture failed.

    family: whose preview is drawn (default: what this machine would start with). Every other model that is on the disk and fits
    draws one picture too. low: as with --lowvram. Nothing is downloaded.
    """
    say(f"Python     {platform.python_version()} on {platform.system()} {platform.machine()}")
    machine = _torch(device, say, low)
    if machine is None:
        return 1
    _disk(models_dir, say)
    say("Hub        off: nothing is downloaded until you ask for it")
    catalogue = load_catalogue()
    found = _weights(catalogue, machine, models_dir, say)
    try:
        chosen = catalogue.family(family or choose_family(catalogue, machine, found))
    except StudioError as error:
        say(f"Family     {error}")
        return 1
    say(f"Family     {chosen.title}")
    good = _draw(catalogue.card(chosen.tiers["preview"].card), chosen.tiers["preview"], machine, models_dir, say)
    for card in catalogue.cards.values():
        if card.name in found and card.name != chosen.tiers["preview"].card:
            _draw(card, _tier_of(catalogue, card), machine, models_dir, say)
    return 0 if good else 1


def _torch(device: str | None, say: Say, low: bool = False) -> Machine | None:
    """The machine, or None if nothing can draw."""
    try:
        import torch
    except ImportError as error:
        say(f"PyTorch    missing: {error}. Run `pip install -e .` in the studio's folder.")
        return None
    build = (torch.version.cuda and f"CUDA {torch.version.cuda}") or getattr(torch.version, "hip", None) or "CPU only"
    say(f"PyTorch    {torch.__version__} ({build})")
    for line in advice(torch.__version__, torch.version.cuda, torch.cuda.is_available(), nvidia_driver()):
        say(f"           {line}")
    from models.machine import probe

    try:
        machine = probe(device, low)
    except StudioError as error:
        say(f"Device     {error}")
        return None
    say(f"Device     {machine.words}; {machine.ram:.0f} GB of main memory")
    return machine


def nvidia_driver() -> bool:
    """Whether a driver for NVIDIA GPUs is installed (its tool is there), whatever PyTorch thinks."""
    if shutil.which("nvidia-smi"):
        return True
    root = os.environ.get("SYSTEMROOT") if sys.platform == "win32" else None
    return root is not None and (Path(root) / "System32" / "nvidia-smi.exe").is_file()


def advice(version: str, cuda: str | None, available: bool, driver: bool) -> list[str]:
    """What is wrong with PyTorch's build on this machine, and the command that mends it; empty if nothing is.

    On Windows plain `pip install torch` brings a build without CUDA, and everything then runs on the CPU without a word.
    """
    if not driver or available:
        return []
    if cuda is None:
        return [
            "This machine has an NVIDIA GPU, but this PyTorch was built without CUDA: it would draw on the CPU. Mend it with",
            f"    pip install --force-reinstall torch torchvision --index-url {cuda_index(version)}",
            "(an older driver may need another index: https://pytorch.org/get-started/locally/)",
        ]
    return [
        f"This machine has an NVIDIA driver, but PyTorch (CUDA {cuda}) sees no GPU. Most often the driver is too old:",
        "update it, or choose a PyTorch for an older CUDA at https://pytorch.org/get-started/locally/",
    ]


def cuda_index(version: str) -> str:
    """PyTorch's package index of the CUDA build of this release: 13.2 from 2.15 on (as in its default build for Linux), 13.0 before."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f"https://download.pytorch.org/whl/{'cu132' if (major, minor) >= (2, 15) else 'cu130'}"


def _disk(models_dir: Path | str | None, say: Say) -> None:
    for title, folder in (("here", Path.cwd()), ("for weights", Path(models_dir) if models_dir else hub_cache())):
        there = folder.expanduser().absolute()
        while not there.exists():
            there = there.parent
        say(f"Disk       {shutil.disk_usage(there).free / 1e9:.0f} GB free {title} ({folder})")


def _weights(catalogue: Catalogue, machine: Machine, models_dir: Path | str | None, say: Say) -> set[str]:
    """Names of the cards whose weights are on the disk."""
    found = set()
    for card in catalogue.cards.values():
        folder = weights_found(card, models_dir)
        if folder:
            found.add(card.name)
        state = f"found in {folder}" if folder else f"not here ({card.download_gb:.0f} GB to download)"
        say(f"Model      {card.title}: {'shipped' if folder and card.embedded else state}; {plan(card, machine).words}")
    return found


def _tier_of(catalogue: Catalogue, card: ModelCard) -> Tier | None:
    """The first tier that draws with this card."""
    tiers: Iterable[Tier] = (tier for family in catalogue.families.values() for tier in family.tiers.values())
    return next((tier for tier in tiers if tier.card == card.name), None)


def _draw(card: ModelCard, tier: Tier | None, machine: Machine, models_dir: Path | str | None, say: Say) -> bool:
    """One picture through the engine, twice: with loading, and warm. False if it failed; what is too slow here is skipped."""
    if machine.kind == "cpu" and card.parameters.total > SMALL:
        say(f"Picture    {card.title}: skipped, it would take very long on a CPU")
        return True
    from models.local import LocalEngine

    width, height = tier.sizes["1:1"] if tier else (1024, 1024)
    steps, guidance = (tier.steps, tier.guidance) if tier else (card.steps, card.guidance)
    engine = LocalEngine(card, machine, models_dir=models_dir)
    try:
        _, cold = _timed(engine, ImageSpec(PROMPT, width, height, steps, guidance, (1,)))
        previews, warm = _timed(engine, ImageSpec(PROMPT, width, height, steps, guidance, (2,)))
    except StudioError as error:
        say(f"Picture    {card.title}: FAILED. {error}")
        return False
    finally:
        engine.close()
    say(
        f"Picture    {card.title}: {width} x {height}, {steps} steps: {warm:.2f} s"
        f" ({cold:.1f} s the first time, with loading; {previews} previews on the way)"
    )
    return True


def _timed(engine: object, spec: ImageSpec) -> tuple[int, float]:
    """Previews seen, and seconds until the picture was there."""
    import time

    started = time.perf_counter()
    events = list(engine.generate(spec))  # type: ignore[attr-defined]
    seconds = time.perf_counter() - started
    if not any(isinstance(event, Picture) for event in events):
        raise StudioError("No picture came.")
    return sum(isinstance(event, Preview) for event in events), seconds
