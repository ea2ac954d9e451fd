"""What demo providers draw with: the embedded family, in a process of its own, for weights have no place beside servers.

`python -m models.cloud.demo.drawer` reads a line of JSON (prompt, width, height, steps, seed) and writes a line of JSON, {"bytes": n} and
then a PNG of n bytes, or {"error": words}. It ends when its standard input does.
"""
from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from models.errors import StudioError, Unavailable

SIDE = 256  # px: the embedded family draws at about the area of such a square; what is asked for is a resampling of it
MOST_STEPS = 20


class Drawer:
    """`draw` as `Demo` wants it, from any thread, one picture at a time. The process starts with the first, and again where it died.

    env: of the process; to be without keys, for it needs none.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env = dict(os.environ if env is None else env) | {"HF_HUB_OFFLINE": "1"}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def draw(self, prompt: str, width: int, height: int, steps: int, seed: int) -> bytes:
        """Raises Unavailable where the process ended, and with its words where it could not draw."""
        asked = {"prompt": prompt, "width": width, "height": height, "steps": steps, "seed": seed}
        with self._lock:
            process = self._started()
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps(asked).encode() + b"\n")
                process.stdin.flush()
                told = json.loads(process.stdout.readline() or b"{}")
            except BrokenPipeError:
                told = {}
            data = process.stdout.read(told["bytes"]) if "bytes" in told else b""
            if not told:  # Its pipes are closed, though it may take a while to be gone.
                self._end(process)
        if not data:
            raise Unavailable("The demo providers could not draw.", told.get("error", "Their drawing process ended."))
        return data

    def close(self) -> None:
        """Ends the process; a picture that it is at is lost."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
            with self._lock:
                self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.communicate()
        self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise Unavailable("The demo providers have ended.")
        if self._process is not None and self._process.poll() is not None:
            self._end(self._process)
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "models.cloud.demo.drawer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parents[3],
                env=self._env,
                start_new_session=os.name == "posix",  # Ctrl+C in the terminal is for the studio
            )
        return self._process


def drawn_size(width: int, height: int, multiple: int) -> tuple[int, int]:
    """What is drawn for a picture of this shape: about SIDE x SIDE pixels."""
    unit = (SIDE * SIDE / (width * height)) ** 0.5
    return max(multiple, round(width * unit / multiple) * multiple), max(multiple, round(height * unit / multiple) * multiple)


def main() -> None:
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not stand between the pictures
    _serve(sys.stdin.buffer, out)


def _serve(asked: BinaryIO, out: BinaryIO) -> None:
    from models.local import LocalEngine
    from models.machine import probe
    from models.presets import load_catalogue
    from models.spec import ImageSpec, Picture

    card = load_catalogue().card("embedded")
    engine = LocalEngine(card, probe("cpu"), previews=False)  # the studio's worker has the device
    while line := asked.readline():
        order = json.loads(line)
        width, height = drawn_size(order["width"], order["height"], card.multiple)
        seed, steps = order["seed"] % 2**63, min(order["steps"], MOST_STEPS)
        spec = ImageSpec(order["prompt"], width, height, steps, card.guidance, (seed,))
        try:
            picture = next(event for event in engine.generate(spec) if isinstance(event, Picture))
        except StudioError as error:
            _tell(out, {"error": str(error)})
            continue
        data = io.BytesIO()
        picture.image.resize((order["width"], order["height"]), Image.Resampling.LANCZOS).save(data, "PNG", compress_level=1)
        _tell(out, {"bytes": data.tell()}, data.getvalue())


def _tell(out: BinaryIO, head: Mapping[str, object], data: bytes = b"") -> None:
    out.write(json.dumps(head).encode() + b"\n" + data)
    out.flush()


if __name__ == "__main__":
    main()
