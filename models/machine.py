"""What this machine draws on. torch is imported inside `probe` only."""
from __future__ import annotations

import logging
import os
import platform
import shutil
import subprocess
import sys

from models.errors import Unavailable
from models.memory import GIB, Machine

log = logging.getLogger(__name__)


def probe(device: str | None = None, low: bool = False) -> Machine:
    """The device to draw on: `device` ("cuda", "mps", "cpu"), or the best there is; `low` uses it as the next smaller class.

    Raises Unavailable for a device that is not here.
    """
    import torch

    ram, cores = main_memory(), usable_cores()
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device is not None and not there.get(device, False):
        raise Unavailable(
            f"There is no device {device!r} here.",
            f"PyTorch {torch.__version__} sees: {', '.join(name for name, is_there in there.items() if is_there)}.",
            "Run `python launch.py --check`.",
        )
    kind = device or next(name for name, is_there in there.items() if is_there)
    if kind == "cuda":
        properties = torch.cuda.get_device_properties(0)
        return Machine("cuda", properties.name, properties.total_memory / GIB, ram, cores, low)
    if kind == "mps":
        return Machine("mps", platform.processor() or "Apple GPU", ram, ram, cores, low)
    return Machine("cpu", platform.processor() or platform.machine(), ram, ram, cores, low)


def glance(device: str | None = None, low: bool = False) -> Machine:
    """What `probe` would find, without PyTorch and in a fraction of a second: what the drivers of the system say is there."""
    ram, cores = main_memory(), usable_cores()
    if device in (None, "cuda") and (card := _first_nvidia()):
        return Machine("cuda", *card, ram, cores, low)
    if device in (None, "mps") and sys.platform == "darwin" and platform.machine() == "arm64":
        return Machine("mps", platform.processor() or "Apple GPU", ram, ram, cores, low)
    return Machine("cpu", platform.processor() or platform.machine(), ram, ram, cores, low)


def _first_nvidia() -> tuple[str, float] | None:
    """Name and memory in GiB of the first NVIDIA GPU, as its own tool tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("nvidia-smi does not answer: %s", error)
        return None
    name, _, mebibytes = told.partition("\n")[0].rpartition(",")
    return (name.strip(), float(mebibytes) / 1024) if mebibytes.strip().isdigit() else None


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def main_memory() -> float:
    """The machine's memory in GiB, or what a container allows."""
    total = _windows_memory() if sys.platform == "win32" else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _container_limit()
    return min(total, limit or total) / GIB


def _container_limit() -> int | None:
    """The memory limit of this control group (Linux) in bytes, or None."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if os.path.exists(path):
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
            return int(text) if text.isdigit() else None
    return None


def _windows_memory() -> int:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong) for name in ("total", "free", "page_total", "page_free", "virtual", "virtual_free", "extended")
        ]

    status = Status(length=ctypes.sizeof(Status))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return int(status.total)
