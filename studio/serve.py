"""From flags to a page that answers: the data folder's lock, the socket, the worker, the server."""
from __future__ import annotations

import ipaddress
import json
import logging
import logging.handlers
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from models.cloud.keys import guard_logs
from models.errors import StudioError, Unavailable
from models.presets import load_catalogue
from studio import archive
from studio.authfile import read_file, read_flag, take_in, warning
from studio.config import EVERYWHERE, LOOPBACK, Config, quiet_libraries
from studio.demo import WORDS as DEMO_WORDS
from studio.demo import demo_providers
from studio.quick import import_gradio
from studio.studio import Studio

if TYPE_CHECKING:
    from fastapi import FastAPI

GRACE_SECONDS = 2


def run(config: Config) -> int:
    """Serves until Ctrl+C; the process's exit status."""
    quiet_libraries()
    try:
        if config.backup:
            size = archive.backup(config.data_dir, config.backup)
            print(f"{config.backup} holds everything in {config.data_dir}: {size / 1e6:.1f} MB")
            return 0
        with Holder(config.data_dir) as holder:
            if config.restore:
                _restore(config.data_dir, config.restore)
            else:
                _serve(config, holder)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


class Holder:
    """The lock on a data folder: one studio at a time. The system lets go of it when the process ends, however it does."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._note = data_dir / "studio.json"  # beside the lock: a locked file cannot be read on Windows
        self._lock: FileLock | None = None

    def __enter__(self) -> Holder:
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._data_dir / "studio.lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            raise Unavailable(
                f"Another studio is using {self._data_dir}.", self._holder(), "Use that one, or start this one with another --data-dir."
            ) from None
        except OSError as error:
            raise Unavailable(f"The data folder {self._data_dir} cannot be used.", str(error), "Choose another --data-dir.") from error
        self._note.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._lock is not None
        self._note.unlink(missing_ok=True)
        self._lock.release()

    def say(self, url: str = "", doing: str = "") -> None:
        """Tells the next comer who holds the lock, and what for where it has no page."""
        self._note.write_text(json.dumps({"pid": os.getpid(), "url": url, "doing": doing}), encoding="utf-8")

    def _holder(self) -> str:
        if not self._note.exists():
            return "It is just starting or ending."
        note = json.loads(self._note.read_text(encoding="utf-8"))
        return f"It is process {note['pid']}, " + (f"at {note['url']} ." if note["url"] else f"{note['doing']}; it ends by itself.")


def _restore(data_dir: Path, file: Path) -> None:
    aside = archive.restore(data_dir, file)
    print(f"{data_dir} is as it was when {file.name} was made.")
    if aside is not None:
        print(f"What was there before lies in {aside}; delete it when it is not needed.")


def _serve(config: Config, holder: Holder) -> None:
    _log_to(config.data_dir / "logs")
    with _listen(config) as listener:
        url = f"http://{_written(LOOPBACK if config.host == EVERYWHERE else config.host)}:{listener.getsockname()[1]}"
        holder.say(url)
        studio = Studio(
            config.data_dir, load_catalogue(), config.family, config.engine, config.device, config.models_dir, config.login, config.lowvram
        )
        if config.login:
            _let_in(studio, config)
        with demo_providers(studio, config.demo, config.engine):
            # The worker imports torch while this process imports gradio.
            studio.start()
            try:
                _answer(studio, listener, config, url)
            finally:
                studio.stop()


def _let_in(studio: Studio, config: Config) -> None:
    """Takes in the people of the flags. Raises BadInput, Unavailable."""
    entries = read_file(config.auth_file) if config.auth_file else [read_flag(config.auth or "")]
    if config.auth_file and (wrong := warning(config.auth_file, entries)):
        print(wrong, file=sys.stderr, flush=True)
    take_in(studio.store, entries)


def _answer(studio: Studio, listener: socket.socket, config: Config, url: str) -> None:
    import uvicorn

    from studio.doors import LOCAL_HOSTS, make_app

    app = make_app(studio, hosts=[*LOCAL_HOSTS, *_names(config.host), *config.allow_hosts], mount=mount_page)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            _announce(config, url, studio.shelf.chosen)

        def handle_exit(self, sig: int, frame: Any) -> None:
            studio.hub.close()  # an open stream would keep the server waiting
            super().handle_exit(sig, frame)

    options = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS, ws="none")
    Server(options).run(sockets=[listener])


def mount_page(app: FastAPI, studio: Studio) -> None:
    """Puts the Gradio page at "/" and its scripts and styles below /static/page/ (/static/ is Gradio's)."""
    import_gradio()
    import gradio

    import studio.page as page

    app.mount(page.STATIC_URL, page.static(), name="static")
    gradio.mount_gradio_app(
        app,
        page.build(studio),
        path="/",
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        footer_links=[],
        show_error=False,
        max_file_size="64mb",
        # A second lock behind the gate's; handlers of Gradio's find the name in gr.Request.username.
        auth_dependency=lambda request: who.name if (who := request.scope.get("who")) else None,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        **page.options(),
    )


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # Said to be TCP, or asyncio leaves Nagle's delay on, and answers of two packets come 40 ms late.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # on Windows it would let two servers share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        what = f"Port {config.port} of {config.host} cannot be used."
        raise Unavailable(what, str(error.strerror), "Choose another with --port N.") from error
    return listener


def _names(host: str) -> list[str]:
    """Names and addresses by which others on the network may call us, given what we listen on."""
    if host == LOOPBACK:
        return []
    if host != EVERYWHERE:
        return [_written(host)]
    name = socket.gethostname()
    found = {name, f"{name}.local"}
    try:
        found.update(str(entry[4][0]) for entry in socket.getaddrinfo(name, None, socket.AF_INET))
    except OSError as error:
        logging.getLogger(__name__).warning("this machine does not know its own name: %s", error)
    # A datagram socket that is "connected" sends nothing, but learns which of our addresses faces the network.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            found.add(probe.getsockname()[0])
        except OSError as error:
            logging.getLogger(__name__).warning("no network to listen on: %s", error)
    return sorted(found)


def _written(host: str) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _beyond(host: str) -> bool:
    """Whether others than this machine can reach what listens on `host`."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _announce(config: Config, url: str, chosen: str) -> None:
    print(f"Contact Sheet is at {url}   (Ctrl+C ends it)", flush=True)
    if chosen:
        print(chosen, flush=True)
    if config.demo:
        print(DEMO_WORDS, flush=True)
    if _beyond(config.host) and not config.login:
        print(
            "Warning: there is no login, so anybody who can reach this machine over the network sees every picture, and can draw, change\n"
            "and delete. Ask for a login with --auth NAME:PASSWORD or --auth-file FILE, or leave --listen out.",
            file=sys.stderr,
            flush=True,
        )
    elif _beyond(config.host):
        print("Passwords and pictures travel unencrypted; beyond a network you trust put it behind a proxy with https.", flush=True)
    if config.open:
        # Some browsers keep the caller waiting until they are closed.
        _in_background(lambda: webbrowser.open(url))


def _in_background(call: Callable[[], object]) -> None:
    threading.Thread(target=call, name="browser", daemon=True).start()


def _log_to(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(folder / "studio.log", maxBytes=2 * 2**20, backupCount=3)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    guard_logs(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
