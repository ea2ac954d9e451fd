"""The lists of words of a studio: those that ship, and text files in the data folder that people write here or put there."""
from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import BadInput, NotFound
from models.presets import presets_folder
from pipelines.fields import shown
from pipelines.wildcards import FILE_LIMIT, NAME_LIMIT, SUFFIX, WordLists, check_list, good_name, read_list
from studio.store.jobs import NotNow

FOLDER = "wildcards"
TRASH = ".trash"
SAMPLE = 6  # entries that a list shows of itself


class Wildcards:
    """Lists of words by name. Any thread may ask; each look sees the files as they are."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / FOLDER
        self.shipped = presets_folder() / FOLDER

    def lists(self) -> WordLists:
        """The lists for one request: people's own before those that ship."""
        return WordLists(self.folder, self.shipped)

    def overview(self) -> dict[str, object]:
        lists = self.lists()
        return {"wildcards": [self._view(lists, name) for name in lists.names() if lists.path(name)]}

    def view(self, name: str) -> dict[str, object]:
        """A list with its whole text. Raises NotFound."""
        path = self._path(name)
        read_list(path, name)
        return self._view(self.lists(), name) | {"text": path.read_text(encoding="utf-8-sig")}

    def save(self, data: Mapping[Any, Any]) -> dict[str, object]:
        """Writes `text` as the list `name`; what was there before goes to the trash. Raises BadInput."""
        name, text = data.get("name"), data.get("text")
        if not isinstance(name, str) or not good_name(name):
            todo = f"Use letters, digits, - and _ (and / for a folder), at most {NAME_LIMIT}: light, place/indoors."
            raise BadInput("name", f"A list of words cannot be called {shown(name)}.", todo=todo)
        if not isinstance(text, str):
            raise BadInput("text", f"A list is text of at most {FILE_LIMIT} bytes, one entry a line; this is {shown(text)}.")
        check_list(text, name)
        try:
            whole = text.replace("\r\n", "\n").rstrip().encode("utf-8") + b"\n"
        except UnicodeEncodeError as error:
            raise BadInput("text", f"The text holds half a character at place {error.start + 1}.", todo="Type it anew.") from error
        path = self.folder / f"{name}{SUFFIX}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.parent.resolve().is_relative_to(self.folder.resolve()) or path.is_symlink():
                raise BadInput("name", f"{shown(name)} leads out of the folder of lists.", todo="Choose another name.")
            self._to_trash(path, name)
            part = path.with_name(f".{path.name}.{os.getpid()}.{time.time_ns()}")
            part.write_bytes(whole)
            part.replace(path)
        except OSError as error:
            why = error.strerror or str(error)
            raise BadInput("name", f"The list {shown(name)} cannot be written.", why, "Choose another name.") from error
        return self.view(name)

    def remove(self, name: str) -> None:
        """Moves a list to the trash; one that ships comes to light again where it was covered. Raises NotFound, NotNow."""
        path = self._path(name)
        if not path.is_relative_to(self.folder):
            raise NotNow(f"The list {name} ships with the studio.", "It cannot be removed.", "Save one of the same name to cover it.")
        self._to_trash(path, name)

    def _path(self, name: str) -> Path:
        path = self.lists().path(name)
        if path is None:
            raise NotFound(f"There is no list of words called {shown(name)}.")
        return path

    def _to_trash(self, path: Path, name: str) -> None:
        if path.is_file():
            trash = self.folder / TRASH
            trash.mkdir(parents=True, exist_ok=True)
            path.replace(trash / f"{name.replace('/', '--')}.{time.time_ns()}{SUFFIX}")

    def _view(self, lists: WordLists, name: str) -> dict[str, object]:
        path = lists.path(name)
        assert path is not None
        lines: tuple[str, ...] = ()
        wrong = ""
        try:
            lines = read_list(path, name)
        except BadInput as error:
            wrong = error.what  # a file that somebody put there; the others are none the worse for it
        return {
            "name": name,
            "lines": len(lines),
            "sample": list(lines[:SAMPLE]),
            "shipped": not path.is_relative_to(self.folder),
            "covers": path.is_relative_to(self.folder) and (self.shipped / f"{name}{SUFFIX}").is_file(),
            "wrong": wrong,
        }
