"""Quality profiles as a studio has them: those that ship, and the versions that people made, which follow one another and never change."""
from __future__ import annotations

import sqlite3
import tomllib
from pathlib import Path

from models.presets import presets_folder
from pipelines.profile import Profile, parse_profile, profile_toml, read_profile
from studio.store import Store
from studio.store.jobs import NotNow, request_of
from studio.store.people import Who
from studio.store.versions import NOTE_LIMIT, Kind, Version, Versions

__all__ = ["DEFAULT", "NOTE_LIMIT", "Profiles", "Version"]

DEFAULT = "generic"  # what a request takes that names none; it cannot be removed


class Profiles(Versions[Profile]):
    """The quality profiles of a studio, read by page and worker alike. Any thread may ask.

    Version 0 is the profile as shipped; what is saved is a new version, and the newest one holds for what is asked from then on. A
    version that a job was asked for with is there for good, so a picture can always be judged as it was.
    """

    kind = Kind("profiles", "quality profile", "profile", "product-hero", "Quality")

    def __init__(self, store: Store, presets_dir: Path | str | None = None) -> None:
        folder = (Path(presets_dir) if presets_dir else presets_folder()) / "profiles"
        super().__init__(store, {path.stem: path for path in sorted(folder.glob("*.toml"))})

    def parse(self, text: str, name: str, version: int = 0) -> Profile:
        return parse_profile(text, name, version)

    def read(self, path: Path) -> Profile:
        return read_profile(path)

    def names(self) -> tuple[str, ...]:
        """Those that a request may name: the default first, the others in the order of their names."""
        return tuple(sorted(super().names(), key=lambda name: (name != DEFAULT, name)))

    def duplicate(self, name: str, new: str, title: str, who: Who) -> int:
        """A new profile that says what `name` says now; its version. Raises NotFound, BadInput where there is a `new` already."""
        data = tomllib.loads(self.text(name))
        return self.create(new, profile_toml(data | {"title": title or f"{data['title']} (copy)"}), who, f"Copy of {name}")

    def remove(self, name: str, who: Who) -> int:
        """Takes a profile out of what requests may name. Its versions stay, and `restore` brings it back. Raises NotFound, NotNow."""
        if name == DEFAULT:
            why = "Requests that name no profile are judged by it."
            raise NotNow(f"{self.current(name).title} cannot be removed.", why, "Change it instead.")
        return super().remove(name, who)

    def of_job(self, job: sqlite3.Row) -> Profile:
        """The profile that a job's pictures are judged by: the version it was asked for with."""
        profile = self.at(job["profile"], job["profile_version"])
        return profile.worn(job["card"]) if request_of(job).get("loras") else profile

    def stamp(self, db: sqlite3.Connection, job: int, name: str) -> int:
        """Writes down which version of its profile a new job is asked for with, inside the transaction that adds it; the version."""
        version = self.version(name)
        db.execute("UPDATE jobs SET profile_version = ? WHERE id = ?", [version, job])
        return version
