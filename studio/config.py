"""The flags of `launch.py`, and what the page's process hands to its worker."""
from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from studio import __version__

PORT = 7860
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"


@dataclass(frozen=True)
class Config:
    """Where the studio keeps things, whom it listens to and what draws. `engine`: "local", or "scripted[:SECONDS A STEP]" in tests."""

    data_dir: Path
    host: str = LOOPBACK
    port: int = PORT
    open: bool = True
    family: str = "embedded"
    device: str | None = None
    models_dir: Path | None = None
    engine: str = "local"
    check: bool = False


@dataclass(frozen=True)
class WorkerSetup:
    """One line of JSON on the worker's standard input; the pipe stays open, and its end is the end of the worker."""

    name: str
    address: tuple[str, int]
    key: str  # hex
    data_dir: str
    family: str
    device: str | None
    models_dir: str | None
    engine: str
    lowvram: bool = False

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> WorkerSetup:
        data = json.loads(line)
        return cls(**data | {"address": tuple(data["address"])})


def parse(arguments: list[str] | None = None) -> Config:
    """Reads the command line. Exits with a message on flags it does not know, as argparse does."""
    parser = argparse.ArgumentParser(prog="launch.py", description="Contact Sheet: a local studio for Flux images.")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="D", help="for pictures and history (default ./data)")
    parser.add_argument("--port", type=_port, default=PORT, metavar="N", help=f"default {PORT}; 0 takes a free one")
    parser.add_argument("--listen", nargs="?", const=EVERYWHERE, default=LOOPBACK, metavar="IP", help="let others in (no login yet)")
    parser.add_argument("--no-open", action="store_true", help="do not open the browser")
    parser.add_argument("--family", default="embedded", metavar="F", help="models to start with: embedded, flux1, flux2-klein")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), help="default: the best there is")
    parser.add_argument("--models-dir", type=Path, metavar="D", help="folder with downloaded weights")
    parser.add_argument("--check", action="store_true", help="say what this machine can draw with, and leave")
    parser.add_argument("--version", action="version", version=f"Contact Sheet {__version__}")
    parser.add_argument("--engine", default="local", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    return Config(
        data_dir=flags.data_dir.expanduser().absolute(),
        host=flags.listen,
        port=flags.port,
        open=not flags.no_open,
        family=flags.family,
        device=flags.device,
        models_dir=flags.models_dir.expanduser().absolute() if flags.models_dir else None,
        engine=flags.engine,
        check=flags.check,
    )


def quiet_libraries() -> None:
    """Nothing phones home, and nothing is downloaded unasked: to be called before gradio or a Hugging Face library is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is 0 to 65535")
    return port
