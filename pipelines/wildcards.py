"""Lists of words behind `__name__`: plain text files, one entry a line, in folders that nothing can be read outside of."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from pathlib import Path

from models.errors import BadInput
from pipelines.fields import listed, shown
from pipelines.grammar import WILDCARD, check_line

FILE_LIMIT = 1_000_000  # bytes
LINES_LIMIT = 20_000
NAME_LIMIT = 100
SUFFIX = ".txt"


class WordLists:
    """The lists of some folders; of equal names the first folder's counts. What was read once stays: make a new one to see changes."""

    def __init__(self, *folders: Path) -> None:
        self.folders = folders
        self._read: dict[str, tuple[str, ...]] = {}
        self._names: tuple[str, ...] | None = None

    def lines(self, name: str) -> tuple[str, ...]:
        """The entries (at least one) of a list ("colours", "places/outdoors"), or of all that a name with * fits, in the order of their
        names. Raises BadInput, on "prompt"."""
        if name not in self._read:
            names = [one for one in self.names() if fnmatch.fnmatchcase(one, name)] if "*" in name else [name]
            found = tuple(line for one in names if (path := self.path(one)) for line in read_list(path, one))
            if not found:
                raise self._missing(name)
            self._read[name] = found
        return self._read[name]

    def names(self) -> tuple[str, ...]:
        if self._names is None:
            every = {path.relative_to(folder).with_suffix("").as_posix() for folder in self.folders for path in _files(folder)}
            self._names = tuple(sorted(name for name in every if good_name(name)))
        return self._names

    def path(self, name: str) -> Path | None:
        """The file of a list; None where there is none, or where it would lie outside of its folder."""
        if not good_name(name):
            return None
        for folder in self.folders:
            path = folder / f"{name}{SUFFIX}"
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                return path
        return None

    def _missing(self, name: str) -> BadInput:
        names = self.names()
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        if self.path(name):
            return BadInput("prompt", f"The list of words __{name}__ is empty.", todo="Write at least one line into it.")
        todo = f"Did you mean __{near[0]}__?" if near else f"There are {listed(names[:20])}." if names else "There is none here yet."
        return BadInput("prompt", f"There is no list of words called __{name}__.", todo=todo)


def good_name(name: str) -> bool:
    """Whether a list may be called so: words with - . _ and spaces between, folders with /, never up and out."""
    return (
        0 < len(name) <= NAME_LIMIT
        and "*" not in name
        and bool(WILDCARD.fullmatch(name))
        and all(part and part.strip() == part and part[0] != "." for part in name.split("/"))
    )


def read_list(path: Path, name: str) -> tuple[str, ...]:
    """The entries of a file. Raises BadInput where it cannot be read as a list."""
    try:
        if path.stat().st_size > FILE_LIMIT:
            raise BadInput("prompt", f"The list __{name}__ is larger than {FILE_LIMIT // 1_000_000} MB.", todo="Split it into several.")
        return entries(path.read_text(encoding="utf-8-sig"), name)
    except UnicodeDecodeError as error:
        raise BadInput("prompt", f"The list __{name}__ is not UTF-8 text.", str(error), "Save it as UTF-8.") from error
    except OSError as error:
        raise BadInput("prompt", f"The list __{name}__ cannot be read.", error.strerror or str(error)) from error


def entries(text: str, name: str) -> tuple[str, ...]:
    """Lines that are neither empty nor a comment ("# ..."). Raises BadInput for too many."""
    found = tuple(line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#"))
    if len(found) > LINES_LIMIT:
        raise BadInput("prompt", f"The list __{name}__ has {len(found)} lines; {LINES_LIMIT} are the most.", todo="Split it into several.")
    return found


def check_list(text: str, name: str) -> tuple[str, ...]:
    """The entries of a list that a person is about to save. Raises BadInput on "text", with the line, for what could not be drawn."""
    if len(text.encode("utf-8", "surrogatepass")) > FILE_LIMIT:
        raise BadInput("text", f"A list may have {FILE_LIMIT // 1_000_000} MB.", todo="Split it into several.")
    found = entries(text, name)
    if not found:
        raise BadInput("text", "The list is empty.", todo="Write one entry a line.")
    for number, raw in enumerate(text.splitlines(), start=1):
        if (line := raw.strip()) and not line.startswith("#"):
            try:
                check_line(line)
            except BadInput as error:
                raise BadInput("text", f"Line {number}, {shown(line)}: {error.what}", error.why, error.todo) from error
    return found


def _files(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob(f"*{SUFFIX}") if path.is_file()) if folder.is_dir() else []
