"""The history as people use it: found again, rated, tagged, put on boards, thrown away and taken back."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from models.errors import BadInput, NotFound
from pipelines.fields import shown, text, whole, whole_value
from studio import files
from studio.asked import read_cursor, read_search, write_cursor
from studio.store import boards, history, images, shelf, views
from studio.store.jobs import LARGEST_ID, NotNow
from studio.store.people import EVERYONE, Who
from studio.store.views import Json

if TYPE_CHECKING:
    from studio.studio import Studio

PAGE_LIMIT = 200
IDS_LIMIT = 5000  # pictures that one bulk action or one export takes
NAME_LIMIT, TAG_LIMIT, NOTE_LIMIT = 80, 60, 4000

Pairs = Sequence[tuple[str, str]]


class History:
    """What the history's routes call. Each method takes who asks; all raise BadInput and NotFound."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    # Finding.

    def page(self, pairs: Pairs, who: Who) -> Json:
        """A page of pictures for the parameters of GET /api/history. `total` comes with the first page; it is the least there are when
        `total_exact` is false."""
        search, rest = read_search(pairs)
        limit = _number(rest.pop("limit", "60"), "limit", 1, PAGE_LIMIT)
        after = read_cursor(rest.pop("after"), search.sort) if "after" in rest else None
        _none_left(rest)
        self._check_board(search, who)
        page = history.page(self._store, who, search, after, limit)
        return {
            "images": views.image_views(self._store, page.rows, self._studio.percentiles, who),
            "next": write_cursor(page.next) if page.next else None,
            "total": page.total,
            "total_exact": page.exact,
        }

    def ids(self, pairs: Pairs, who: Who) -> Json:
        """The ids of all that match, for a selection of everything; `cut` is true where there are more than IDS_LIMIT."""
        search, rest = read_search(pairs)
        _none_left(rest)
        self._check_board(search, who)
        found = history.ids(self._store, who, search, IDS_LIMIT + 1)
        return {"ids": found[:IDS_LIMIT], "cut": len(found) > IDS_LIMIT}

    def facets(self, who: Who) -> Json:
        return history.facets(self._store, who)

    # One picture.

    def rate(self, image: int, data: Mapping[Any, Any], who: Who) -> Json:
        if "rating" not in data:
            raise BadInput("rating", "rating is missing: it must be 0 to 5, or null.")
        rating = whole(data, "rating", 0, 5, None)
        return self._change(image, who, lambda db: shelf.rate(db, [image], rating))

    def note(self, image: int, data: Mapping[Any, Any], who: Who) -> Json:
        words = text(data, "note", NOTE_LIMIT)
        return self._change(image, who, lambda db: shelf.note(db, image, words))

    def tag(self, image: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Replaces the picture's tags."""
        tags = _tags(data.get("tags"))
        return self._change(image, who, lambda db: shelf.set_tags(db, image, tags))

    # Many.

    def bulk(self, data: Mapping[Any, Any], who: Who) -> Json:
        """One action on many pictures, all in one transaction: {"done": n, "skipped": [{"id", "why"}]}. What is not theirs, or not in the
        state that the action needs, is skipped; what is on it already counts as done."""
        do = data.get("do")
        if not isinstance(do, str) or do not in _DEEDS:
            raise BadInput("do", f"do cannot be {shown(do)}.", f"The actions are {', '.join(_DEEDS)}.")
        wanted = _ids(data.get("ids"))
        deed = _DEEDS[do](self, data, who)
        if do == "delete":
            return self._purge(wanted, who)
        skipped: list[Json] = []
        with self._store.write() as db:
            able = []
            for image in wanted:
                why = self._why_not(image, do, who)
                if why:
                    skipped.append({"id": image, "why": why})
                else:
                    able.append(image)
            deed(db, able)
        self.tell(able)
        return {"done": len(able), "skipped": skipped}

    def empty_trash(self, who: Who) -> Json:
        """Deletes everything that `who` has thrown away, for good."""
        rows = self._store.db.execute("SELECT id FROM images WHERE trashed IS NOT NULL AND person = ? AND state = 'drawn'", [who.name])
        return self._purge([row["id"] for row in rows], who)

    def _purge(self, wanted: Sequence[int], who: Who) -> Json:
        able, skipped = [], []
        for image in wanted:
            why = self._why_not(image, "delete", who)
            if why:
                skipped.append({"id": image, "why": why})
            else:
                able.append(image)
        purge(self._studio, able)
        self.tell([])
        return {"done": len(able), "skipped": skipped}

    def _why_not(self, image: int, do: str, who: Who) -> str:
        """Why an action cannot be done to a picture; "" when it can."""
        try:
            row = images.image_row(self._store, image, who, own=do not in ("board", "unboard"))
        except NotFound as error:
            return error.what
        if do == "delete":
            if row["trashed"] is None:
                return f"Picture {image} is not in the trash."
            if self._store.db.execute(f"SELECT 1 FROM images WHERE id = ? AND {shelf.SETTLED}", [image]).fetchone() is None:
                return f"The job of picture {image} is not done."
        if do == "tag" and len(shelf.tags_of(row)) >= shelf.TAGS_LIMIT:
            return f"Picture {image} has {shelf.TAGS_LIMIT} tags."
        return ""

    # What each action needs; a function to be called with the transaction and the ids.

    def _do_tag(self, data: Mapping[Any, Any], who: Who) -> Any:
        [tag] = _tags([data.get("tag")], "tag")
        return lambda db, able: self._retag(db, able, lambda tags: [*tags, *([tag] if tag not in tags else [])])

    def _do_untag(self, data: Mapping[Any, Any], who: Who) -> Any:
        [tag] = _tags([data.get("tag")], "tag")
        return lambda db, able: self._retag(db, able, lambda tags: [one for one in tags if one != tag])

    def _retag(self, db: Any, able: Sequence[int], change: Callable[[list[str]], list[str]]) -> None:
        for image in able:
            before = shelf.tags_of(images.image_row(self._store, image))
            after = change(before)
            if after != before:
                shelf.set_tags(db, image, after)

    def _do_rate(self, data: Mapping[Any, Any], who: Who) -> Any:
        if "rating" not in data:
            raise BadInput("rating", "rating is missing: it must be 0 to 5, or null.")
        rating = whole(data, "rating", 0, 5, None)
        return lambda db, able: shelf.rate(db, able, rating)

    def _do_keep(self, data: Mapping[Any, Any], who: Who) -> Any:
        choice = data.get("keep")
        if "keep" not in data or not (choice is None or isinstance(choice, bool)):
            raise BadInput("keep", "keep must be true, false or null.")
        return lambda db, able: shelf.keep(db, able, choice)

    def _do_share(self, data: Mapping[Any, Any], who: Who) -> Any:
        shared = read_shared(data, who)
        return lambda db, able: shelf.share(db, able, shared)

    def _do_board(self, data: Mapping[Any, Any], who: Who) -> Any:
        board = self._own_board(data, who)
        return lambda db, able: boards.add(db, board, able)

    def _do_unboard(self, data: Mapping[Any, Any], who: Who) -> Any:
        board = self._own_board(data, who)
        return lambda db, able: boards.remove(db, board, able)

    def _own_board(self, data: Mapping[Any, Any], who: Who) -> int:
        board = whole(data, "board", 1, LARGEST_ID, None)
        if board is None:
            raise BadInput("board", "board is missing: the number of one of your boards.")
        try:
            boards.board_row(self._store, board, who, own=True)
        except NotFound as error:
            raise BadInput("board", error.what) from error
        return board

    # Boards.

    def boards(self, who: Who) -> Json:
        return {"boards": [_board_view(row, who) for row in boards.list_boards(self._store, who)]}

    def board(self, board: int, who: Who) -> Json:
        boards.board_row(self._store, board, who)
        return next(_board_view(row, who) for row in boards.list_boards(self._store, who) if row["id"] == board)

    def create_board(self, data: Mapping[Any, Any], who: Who) -> Json:
        return self.board(boards.create(self._store, who, _name(data)), who)

    def change_board(self, board: int, data: Mapping[Any, Any], who: Who) -> Json:
        """A new name, or whom it is shared with."""
        boards.board_row(self._store, board, who, own=True)
        if "name" in data:
            boards.rename(self._store, board, who, _name(data))
        if "shared" in data:
            boards.share(self._store, board, who, read_shared(data, who))
        return self.board(board, who)

    def delete_board(self, board: int, who: Who) -> Json:
        boards.delete(self._store, board, who)
        self.tell([])
        return self.boards(who)

    def order_boards(self, data: Mapping[Any, Any], who: Who) -> Json:
        boards.reorder(self._store, who, _ids(data.get("ids")))
        return self.boards(who)

    def on_board(self, board: int, do: str, data: Mapping[Any, Any], who: Who) -> Json:
        """do: "add", "remove", or "move" (before the picture `before`, or to the end)."""
        boards.board_row(self._store, board, who, own=True)
        if do == "move":
            boards.move(self._store, board, who, _ids(data.get("ids")), whole(data, "before", 1, LARGEST_ID, None))
            self.tell([])
        else:
            told = self.bulk({"do": "board" if do == "add" else "unboard", "ids": data.get("ids"), "board": board}, who)
            if told["skipped"]:
                raise NotFound(told["skipped"][0]["why"], f"{told['done']} others were done.")
        return self.board(board, who)

    # How it is told.

    def tell(self, changed: Sequence[int]) -> None:
        """Watchers hear of a few pictures one by one; of many, that they should look again."""
        if not self._studio.hub.watched:
            return
        if 0 < len(changed) <= 40:
            for image in changed:
                self._studio.tell_image(image)
        self._studio.hub.publish("history", {"changed": len(changed)})

    def _change(self, image: int, who: Who, change: Callable[[Any], None]) -> Json:
        images.image_row(self._store, image, who, own=True)
        with self._store.write() as db:
            change(db)
        self._studio.tell_image(image)
        return views.image_views(self._store, [images.image_row(self._store, image, who)], self._studio.percentiles, who)[0]

    def _check_board(self, search: history.Search, who: Who) -> None:
        if search.board is not None:
            try:
                boards.board_row(self._store, search.board, who)
            except NotFound as error:
                raise BadInput("board", error.what) from error


_DEEDS: dict[str, Callable[[History, Mapping[Any, Any], Who], Any]] = {
    "trash": lambda *_: shelf.trash,
    "restore": lambda *_: shelf.restore,
    "delete": lambda *_: None,
    "tag": History._do_tag,
    "untag": History._do_untag,
    "rate": History._do_rate,
    "board": History._do_board,
    "unboard": History._do_unboard,
    "keep": History._do_keep,
    "share": History._do_share,
}


def purge(studio: Studio, able: Sequence[int]) -> None:
    """Deletes pictures for good, with their files. Raises NotNow while a backup reads them."""

    def unlink(path: str) -> None:
        (studio.data_dir / path).unlink(missing_ok=True)
        (studio.data_dir / files.thumb_path(path)).unlink(missing_ok=True)

    if not able:
        return
    try:
        with FileLock(studio.data_dir / "backup.lock", timeout=2):
            # A few at a time, so that the queue gets its turn at the database.
            for start in range(0, len(able), 200):
                with studio.store.write() as db:
                    shelf.purge(db, able[start : start + 200], unlink)
    except Timeout:
        raise NotNow("Nothing is deleted while a backup is being made.", "It needs the files.", "Try again when it is done.") from None


def read_shared(data: Mapping[Any, Any], who: Who, field: str = "shared") -> str | None:
    """Whom to share with: null (nobody), "*" (everyone), or a project of theirs. Raises BadInput that names `field`."""
    shared = data.get(field)
    if field not in data or not (shared is None or shared == EVERYONE or shared in who.projects):
        raise BadInput(field, f'{field} must be null, "*", or one of your projects.', f"This is {shown(shared)}.")
    return shared


def _board_view(row: Any, who: Who) -> Json:
    same = ("id", "name", "person", "shared", "created", "pictures")
    cover = None if row["cover"] is None else f"/thumb/{row['cover']}.webp"
    return {name: row[name] for name in same} | {"cover": cover, "mine": row["person"] == who.name}


def _name(data: Mapping[Any, Any]) -> str:
    name = " ".join(text(data, "name", NAME_LIMIT).split())
    if not name:
        raise BadInput("name", "name is missing or empty.", todo="Give the board a name.")
    return name


def ids_of(data: Mapping[Any, Any]) -> list[int]:
    """The field `ids`, each once."""
    return _ids(data.get("ids"))


def _ids(value: object) -> list[int]:
    if not isinstance(value, list) or not value or len(value) > IDS_LIMIT:
        raise BadInput("ids", f"ids must be a list of 1 to {IDS_LIMIT} numbers.")
    return list(dict.fromkeys(whole_value(one, f"ids.{place}", 1, LARGEST_ID) for place, one in enumerate(value)))


def _tags(value: object, field: str = "tags") -> list[str]:
    """Tags as they are kept: lower case, one space between words, each once."""
    if not isinstance(value, list) or len(value) > shelf.TAGS_LIMIT:
        raise BadInput(field, f"{field} must be a list of at most {shelf.TAGS_LIMIT} words.")
    found = [" ".join(text({"tag": one}, "tag", TAG_LIMIT, field).lower().split()) for one in value]
    if not all(found):
        raise BadInput(field, "A tag is empty.", todo="Give it a word.")
    return list(dict.fromkeys(found))


def _number(value: str, field: str, low: int, high: int) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 20):
        raise BadInput(field, f"{field} must be a whole number.", f"This is {shown(value)}.")
    return whole_value(int(value), field, low, high)


def _none_left(rest: Mapping[str, str]) -> None:
    for name in rest:
        raise BadInput(name[:80], "There is no such parameter here.")
