"""Backup and restore of a whole data folder: everything that cannot be made again, while the studio runs.

A backup is a ZIP: `studio.db` (copied by SQLite itself, so that it is one moment's truth), every file that lies in the data folder
but thumbnails, logs and locks, and last of all `backup.json`, which says what must be there. The database comes first: a picture's
file is there before its row is, so no row of the copy lacks its file; and nothing is deleted while a backup is being made.
"""
from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from models.errors import BadInput, StudioError, Unavailable
from studio import __version__
from studio.store.db import Store, now
from studio.zipping import CHUNK, Entry, stream

MANIFEST, DATABASE = "backup.json", "studio.db"
# Made again by themselves, or about this run of the studio.
LEFT_OUT = ("thumbs", "logs", "studio.lock", "studio.json", "backup.lock", "studio.db", "studio.db-wal", "studio.db-shm")
TRAINING, CACHE = "training", "cache"  # a training's cache is made again from its pictures
GROWING = ("events.jsonl", "log.txt")  # of a training: written on while they are read
ASIDE = "before-restore-"


def backup(data_dir: Path, file: Path) -> int:
    """Writes a backup to `file`, which is whole or not there; its bytes. A studio may be using the folder meanwhile.

    Raises Unavailable when there is nothing to back up or another backup is being made, StudioError when `file` cannot be written.
    """
    temporary = file.with_name(file.name + ".tmp")
    try:
        with open(temporary, "wb") as out:
            for piece in pieces(data_dir):
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StudioError(f"The backup {file} could not be written.", str(error), "Make room, or choose another place.") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return file.stat().st_size


def pieces(data_dir: Path) -> Iterator[bytes]:
    """The backup as it is sent. Raises Unavailable before the first piece."""
    if not (data_dir / DATABASE).is_file():
        raise Unavailable(f"There is nothing to back up in {data_dir}.", "It holds no studio.db.", "Give its folder with --data-dir.")
    with _alone(data_dir), tempfile.TemporaryDirectory(prefix=".backup-", dir=data_dir) as folder:
        snapshot = Path(folder) / DATABASE
        _copy_database(data_dir / DATABASE, snapshot)
        yield from stream(_entries(data_dir, snapshot))


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Deleting for good takes the same lock."""
    try:
        with FileLock(data_dir / "backup.lock", timeout=5):
            yield
    except Timeout:
        raise Unavailable("A backup of this folder is being made already.", "", "Wait until it is done.") from None


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source, timeout=30)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy, pages=2000, sleep=0.01)  # in steps, so that the queue can write in between
        copy.execute("PRAGMA journal_mode=DELETE")


def _entries(data_dir: Path, snapshot: Path) -> Iterator[Entry]:
    sizes = {DATABASE: snapshot.stat().st_size}
    yield Entry(DATABASE, snapshot, pack=True)
    for path in sorted(files_of(data_dir)):
        name = path.relative_to(data_dir).as_posix()
        try:
            if path.name in GROWING:
                data = path.read_bytes()
                sizes[name] = len(data)
                yield Entry(name, data, pack=True)
                continue
            sizes[name] = path.stat().st_size
        except FileNotFoundError:
            continue  # what is not a picture may go at any time: an upload that nobody used, a download's part
        yield Entry(name, path)
    about = {"studio": __version__, "made": now(), "files": sizes}
    yield Entry(MANIFEST, json.dumps(about, indent=1).encode(), pack=True)


def files_of(data_dir: Path) -> Iterator[Path]:
    for top in data_dir.iterdir():
        if top.name in LEFT_OUT or top.name.startswith((".", ASIDE)) or top.is_symlink():
            continue
        if top.is_file():
            yield top
        else:
            yield from (
                path for path in top.rglob("*") if path.is_file() and not path.is_symlink() and path.suffix != ".tmp"
                and not (top.name == TRAINING and path.relative_to(top).parts[1:2] == (CACHE,))
            )  # fmt: skip


def restore(data_dir: Path, file: Path) -> Path | None:
    """Puts the content of a backup in place of what is in `data_dir`, whose lock the caller holds. What was there is moved aside, into a
    folder that is returned (None where there was nothing): a restore loses nothing.

    All is unpacked and checked before anything is moved. Raises BadInput for a file that is no whole backup, StudioError.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=data_dir) as folder:
            fresh = Path(folder)
            _unpack(file, fresh)
            _check_database(fresh / DATABASE)
            return _swap(data_dir, fresh)
    except OSError as error:
        raise StudioError(f"The backup {file} could not be restored.", str(error), "Make room, and look at the data folder.") from error


def _unpack(file: Path, fresh: Path) -> None:
    bad = "It may have been cut off while it was copied."
    try:
        with zipfile.ZipFile(file) as archive:
            if MANIFEST not in archive.namelist():
                raise BadInput("restore", f"{file} is not a backup of the studio.", f"It has no {MANIFEST}.")
            sizes = json.loads(archive.read(MANIFEST))["files"]
            need, free = sum(sizes.values()), shutil.disk_usage(fresh).free
            if need > free:
                raise StudioError(f"There is no room for the backup: it takes {need / 1e9:.1f} GB, {free / 1e9:.1f} are free.")
            for name, size in sizes.items():
                path = PurePosixPath(name)
                if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0] or path.parts[0] in LEFT_OUT[:5]:
                    raise BadInput("restore", f"{file} holds a file of the name {name!r}, which no backup does.")
                place = fresh / path
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, open(place, "wb") as target:  # reading to the end checks the CRC
                    left = size
                    while chunk := source.read(CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            break
                        target.write(chunk)
                    if left:
                        raise BadInput("restore", f"{name} in {file} has another size than the backup says.", bad)
    except FileNotFoundError as error:
        raise BadInput("restore", f"There is no file {file}.") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, EOFError) as error:
        raise BadInput("restore", f"{file} is not a whole backup.", f"{error} {bad}") from error


def _check_database(path: Path) -> None:
    """Whole, and of no newer studio: opening it as the store does brings it up to date too."""
    store = Store(path)
    try:
        wrong = store.db.execute("PRAGMA quick_check").fetchone()[0]
        if wrong != "ok":
            raise BadInput("restore", "The database in the backup is damaged.", wrong)
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        store.close()


def _swap(data_dir: Path, fresh: Path) -> Path | None:
    held = {"studio.lock", "studio.json", "backup.lock", fresh.name}
    there = [path for path in data_dir.iterdir() if path.name not in held and not path.name.startswith(ASIDE)]
    aside = None
    if there:
        aside = data_dir / f"{ASIDE}{now().replace(':', '-')}"
        aside.mkdir()
        for path in there:
            os.replace(path, aside / path.name)
    for path in fresh.iterdir():
        os.replace(path, data_dir / path.name)
    return aside
