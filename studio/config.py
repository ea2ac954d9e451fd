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
SHELL = "Pictures without a page, for scripts: launch.py generate --help"


@dataclass(frozen=True)
class Config:
    """Where the studio keeps things, whom it listens to and what draws. `engine`: "local", or "scripted[:SECONDS A STEP]" in tests."""

    data_dir: Path
    host: str = LOOPBACK
    port: int = PORT
    open: bool = True
    family: str | None = None  # the best whose weights are here
    device: str | None = None
    models_dir: Path | None = None
    engine: str = "local"
    check: bool = False
    backup: Path | None = None
    restore: Path | None = None
    lowvram: bool = False
    allow_hosts: tuple[str, ...] = ()
    auth: str | None = None  # NAME:PASSWORD
    auth_file: Path | None = None
    demo: bool = False  # providers on this machine stand in for the cloud's

    @property
    def login(self) -> bool:
        """Whether people have to log in."""
        return self.auth is not None or self.auth_file is not None


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
    parser = argparse.ArgumentParser(prog="launch.py", description="Contact Sheet: a local studio for Flux images.", epilog=SHELL)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="D", help="for pictures and history (default ./data)")
    parser.add_argument("--port", type=_port, default=PORT, metavar="N", help=f"default {PORT}; 0 takes a free one")
    others = "let others in: on all addresses, or on this one"
    parser.add_argument("--listen", nargs="?", const=EVERYWHERE, default=LOOPBACK, metavar="IP", help=others)
    parser.add_argument("--allow-host", nargs="+", action="extend", default=[], metavar="NAME", help="other names this studio answers to")
    people = parser.add_mutually_exclusive_group()
    people.add_argument("--auth", metavar="NAME:PASSWORD", help="ask for a login; this is the first admin (others here may see your flags)")
    people.add_argument("--auth-file", type=Path, metavar="F", help="ask for a login; lines of name:password-or-hash[:admin]")
    parser.add_argument("--open", action=argparse.BooleanOptionalAction, default=True, help="open the browser")
    parser.add_argument("--family", metavar="F", help="models to start with: embedded, flux1, flux2-klein (default: the best here)")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), help="default: the best there is")
    parser.add_argument("--lowvram", action="store_true", help="take no more memory than the next smaller class of device has")
    parser.add_argument("--models-dir", type=Path, metavar="D", help="folder with downloaded weights")
    parser.add_argument("--backup", type=Path, metavar="FILE", help="write everything in the data folder to a ZIP, and leave")
    parser.add_argument("--restore", type=Path, metavar="FILE", help="put a backup in place of the data folder's content, and leave")
    parser.add_argument("--demo-providers", action="store_true", help="try the Cloud tab: play money, and D-demo instead of D")
    parser.add_argument("--check", action="store_true", help="say what this machine can draw with, and leave")
    parser.add_argument("--version", action="version", version=f"Contact Sheet {__version__}")
    parser.add_argument("--engine", default="local", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    data_dir = flags.data_dir.expanduser().absolute()
    return Config(
        data_dir=data_dir.with_name(f"{data_dir.name}-demo") if flags.demo_providers else data_dir,
        host=flags.listen,
        port=flags.port,
        open=flags.open,
        family=flags.family,
        device=flags.device,
        models_dir=flags.models_dir.expanduser().absolute() if flags.models_dir else None,
        engine=flags.engine,
        check=flags.check,
        backup=flags.backup.expanduser().absolute() if flags.backup else None,
        restore=flags.restore.expanduser().absolute() if flags.restore else None,
        lowvram=flags.lowvram,
        allow_hosts=tuple(_host(name) for name in flags.allow_host),
        auth=flags.auth,
        auth_file=flags.auth_file.expanduser().absolute() if flags.auth_file else None,
        demo=flags.demo_providers,
    )


def quiet_libraries() -> None:
    """Nothing phones home, and nothing is downloaded unasked: to be called before gradio or a Hugging Face library is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")


def _host(text: str) -> str:
    """A name as the Host header has it, without its port: "http://Studio.lan:7860/" -> "studio.lan"."""
    name = text.lower().split("://")[-1].split("/")[0]
    return name[: name.find("]") + 1] if name.startswith("[") else name.split(":")[0]


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is 0 to 65535")
    return port
