"""A studio that believes whoever asks: `python -m benchmarks.people FOLDER NAME ...`, for measuring with many people.

The door, the page and the worker are the real ones. Only the login is left out: the name comes in the header X-Person, through
FastAPI's own seam for tests. The engine is scripted. It prints its address and serves until its standard input ends.
"""
from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from fastapi import Request

from studio.config import quiet_libraries

ENGINE = "scripted:0.0"


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    quiet_libraries()
    import uvicorn

    from models.cards import load_catalogue
    from studio.doors import make_app
    from studio.doors.base import who_asks
    from studio.serve import mount_page
    from studio.store import now
    from studio.store.people import LOCAL, Who
    from studio.studio import Studio

    (folder / "logs").mkdir(parents=True)
    studio = Studio(folder, load_catalogue(), engine=ENGINE)
    for name in names:
        studio.store.db.execute("INSERT INTO persons (name, title, created) VALUES (?, ?, ?)", [name, name.title(), now()])

    def person(request: Request) -> Who:
        name = request.headers.get("x-person")
        return Who(name) if name else LOCAL

    app = make_app(studio, mount=mount_page)
    app.dependency_overrides[who_asks] = person
    studio.start()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list | None = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            print(f"http://127.0.0.1:{port}", flush=True)

    server = Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False, timeout_graceful_shutdown=1, ws="none"))

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        studio.hub.close()
        server.should_exit = True

    threading.Thread(target=end_with_parent, daemon=True).start()
    server.run()
    os._exit(0)  # the studio is stopped by now; nothing of the server's threads is waited for


if __name__ == "__main__":
    main()
