"""Pictures on their way out: a ZIP with a manifest, or the sheet as paper. Asked for first, fetched once or more within the hour."""
from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, NotFound
from pipelines.fields import one_of
from studio import __version__, files
from studio.history import ids_of
from studio.licences import terms_at
from studio.printing import FRAMES_LIMIT, Frame, print_pdf, print_png
from studio.processing import Processing
from studio.store import images, signals, views
from studio.store.db import now
from studio.store.people import Who
from studio.store.views import Json
from studio.strip import stripped
from studio.zipping import Entry, stream

if TYPE_CHECKING:
    from studio.studio import Studio

KINDS = {"zip": "application/zip", "png": "image/png", "pdf": "application/pdf"}
KEPT_SECONDS, KEPT_MOST = 3600.0, 500
# In the manifest; what is only of this studio (addresses, boards' numbers) stays here.
TOLD = ("id", "job", "number", "prompt", "seed", "width", "height", "tier", "card", "steps", "guidance", "created", "verdict", "reasons",
        "kept_by_person", "rating", "note", "tags", "parent", "scores")  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What was asked for, by whom."""

    person: str
    kind: str
    ids: tuple[int, ...]
    strip: bool
    made: float  # monotonic


class Exports:
    """Orders by token, in memory: a download is a plain GET, which the browser streams to the disk by itself."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._orders: dict[str, Order] = {}
        self._lock = threading.Lock()

    def order(self, data: Mapping[Any, Any], who: Who) -> Json:
        """{"ids", "as": "zip|png|pdf", "strip": bool} -> {"url", "pictures"}. strip: without prompts, settings and scores; absent: as the
        person's settings say. Raises BadInput."""
        kind = one_of(data, "as", KINDS, "zip", "kinds")
        strip = data.get("strip")
        if strip is None:
            strip = bool(self._studio.settings.get("export.strip", who))
        if not isinstance(strip, bool):
            raise BadInput("strip", "strip must be true or false.")
        wanted = ids_of(data)
        if kind != "zip" and len(wanted) > FRAMES_LIMIT:
            raise BadInput("ids", f"A sheet takes {FRAMES_LIMIT} pictures at most; these are {len(wanted)}.", "", "Take a ZIP.")
        for place, image in enumerate(wanted):
            try:
                images.image_row(self._studio.store, image, who)
            except NotFound as error:
                raise BadInput(f"ids.{place}", error.what, error.why) from error
        token = secrets.token_urlsafe(18)
        with self._studio.store.write() as db:
            signals.note(db, wanted, who.name, "download")
        with self._lock:
            self._orders = {key: one for key, one in self._orders.items() if time.monotonic() - one.made < KEPT_SECONDS}
            while len(self._orders) >= KEPT_MOST:
                del self._orders[next(iter(self._orders))]
            self._orders[token] = Order(who.name, kind, tuple(wanted), strip, time.monotonic())
        return {"url": f"/api/exports/{token}", "pictures": len(wanted)}

    def fetch(self, token: str, who: Who) -> tuple[str, str, Iterator[bytes]]:
        """-> (file name, media type, the file piece by piece). What may no longer be seen or was deleted meanwhile is left out.
        Raises NotFound."""
        order = self._orders.get(token)
        if order is None or order.person != who.name or time.monotonic() - order.made > KEPT_SECONDS:
            raise NotFound("There is no such export.", "It is kept for an hour, for whoever asked for it.", "Ask for it again.")
        views_of = self._views(order, who)
        if not views_of:
            raise NotFound("None of these pictures is there any more.")
        name = f"contact-sheet-{now()[:10]}.{order.kind}"
        if order.kind == "zip":
            return name, KINDS[order.kind], stream(self._entries(views_of, order, who))
        frames = [Frame(view, self._studio.picture_file(view["id"], who)) for view in views_of]
        paper = print_pdf(frames, order.strip) if order.kind == "pdf" else print_png(frames, order.strip)
        return name, KINDS[order.kind], iter([paper])

    def _views(self, order: Order, who: Who) -> list[Json]:
        rows = []
        for image in order.ids:
            row = self._studio.store.db.execute("SELECT * FROM images WHERE id = ? AND state = 'drawn'", [image]).fetchone()
            if row is not None and who.sees(row["person"], row["shared"]) and (self._studio.data_dir / row["path"]).is_file():
                rows.append(row)
        found: list[Json] = []
        for start in range(0, len(rows), 500):
            found += views.image_views(self._studio.store, rows[start : start + 500], self._studio.percentiles, who)
        return found

    def _entries(self, views_of: Sequence[Json], order: Order, who: Who) -> Iterator[Entry]:
        """The manifest first, so that it can be read while the rest still comes."""
        names = {view["id"]: f"{view['job']:06d}-{view['number']:03d}.png" for view in views_of}
        manifest = self._manifest(views_of, names, order.strip)
        yield Entry("manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace"), pack=True)
        for view in views_of:
            path = files.find_picture(self._studio.data_dir, images.image_row(self._studio.store, view["id"], who)["path"])
            yield Entry(names[view["id"]], stripped(path) if order.strip else path)
            if view["processed"]:
                processed, _media = Processing(self._studio).file(view["id"], who)
                yield Entry(f"processed/{names[view['id']].removesuffix('.png')}{processed.suffix}", processed)

    def _manifest(self, views_of: Sequence[Json], names: Mapping[int, str], strip: bool) -> Json:
        told = ("job", "number", "width", "height") if strip else TOLD
        catalogue, licences = self._studio.catalogue, self._studio.shelf.licences
        cards = {}
        for name, place in sorted({("" if view["place"] else view["card"], view["place"]) for view in views_of}):
            if place:
                said = terms_at(self._studio.providers, place)
                cards[place] = {"title": said["model"], "licence": {"name": said["name"], "url": said["url"], "accepted": None}}
                continue
            try:
                card = catalogue.card(name)
            except NotFound:
                cards[name] = {"title": name}  # drawn with a model that this studio no longer knows
                continue
            licence = {"name": card.licence.name, "url": card.licence.url, "accepted": licences.accepted(card)}
            cards[name] = {"title": card.title, "licence": licence}
        return {
            "studio": f"Contact Sheet {__version__}",
            "made": now(),
            "models": cards,
            "pictures": [{"file": names[view["id"]]} | {name: view[name] for name in told} for view in views_of],
        }
