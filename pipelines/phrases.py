"""What the names of uses, places, styles and seasons say to a model: the data of presets/prompt.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from models.toml import Table
from pipelines.fields import listed

if TYPE_CHECKING:
    from pipelines.prompt import Kind, Parts


@dataclass(frozen=True)
class Preset:
    """What a name says. text: to the model, after the subject. quality: the name of a quality, "" for none of its own."""

    name: str
    text: str = ""
    quality: str = ""
    composition: str = ""
    technical: str = ""
    about: str = ""

    @property
    def says(self) -> str:
        return ", ".join(filter(None, (self.text, self.composition, self.technical)))


@dataclass(frozen=True)
class Presets:
    """presets/prompt.toml, each table by name."""

    qualities: Mapping[str, str]
    uses: Mapping[str, Preset]
    contexts: Mapping[str, Preset]
    styles: Mapping[str, Preset]
    seasons: Mapping[str, Preset]

    def say(self, parts: Parts) -> dict[Kind, tuple[str, bool]]:
        """The text of every part that is not brand or trigger, and whether it comes from here and not from a person."""
        use, context = self.uses.get(parts.use), self.contexts.get(parts.context)
        style, season = self.styles.get(parts.style), self.seasons.get(parts.season)
        prefix = (style and style.quality) or (use and use.quality) or ""
        composition = ", ".join(one.composition for one in (use, context) if one and one.composition)
        quality = (self.qualities.get(parts.quality, parts.quality), parts.quality in self.qualities) if parts.quality is not None else None
        return {
            "quality": quality or (self.qualities.get(prefix, ""), True),
            "subject": (parts.subject, False),
            "description": (parts.description, False),
            "context": (context.text, True) if context else (parts.context, False),
            "style": (style.text, True) if style else (parts.style, False),
            "season": (season.text, True) if season else (parts.season, False),
            "composition": (composition, True) if parts.composition is None else (parts.composition, False),
            "technical": (use.technical if use else "", True) if parts.technical is None else (parts.technical, False),
        }

    def has(self, part: str, name: str) -> bool:
        tables = {"use": self.uses, "context": self.contexts, "style": self.styles, "season": self.seasons, "quality": self.qualities}
        return name in tables[part]

    def to_dict(self) -> dict[str, object]:
        """What a form offers: for each part that has names, the names with what they say."""
        offers: dict[str, object] = {"quality": [{"name": name, "says": says, "about": ""} for name, says in self.qualities.items()]}
        for part, table in (("use", self.uses), ("context", self.contexts), ("style", self.styles), ("season", self.seasons)):
            offers[part] = [{"name": one.name, "says": one.says, "about": one.about} for one in table.values()]
        return offers


@cache
def load_presets() -> Presets:
    """The shipped data. Raises BadInput, with file and dotted key, if it is not as it should be."""
    with resources.as_file(resources.files("presets") / "prompt.toml") as path:
        return read_presets(path)


def read_presets(path: Path) -> Presets:
    whole = Table.of_file(path)
    words = whole.table("qualities")
    qualities = {name: words.text(name) for name in words.data}
    tables = {}
    for kind in ("uses", "contexts", "styles", "seasons"):
        table = whole.table(kind)
        tables[kind] = {name: _preset(name, table.table(name), qualities) for name in table.data}
    whole.done()
    return Presets(qualities, **tables)


def _preset(name: str, table: Table, qualities: Mapping[str, str]) -> Preset:
    quality = table.text("quality", "")
    if quality and quality not in qualities:
        raise table.bad("quality", f"names no quality: {quality!r}", f"There are {listed(qualities)}.")
    preset = Preset(
        name, table.text("text", ""), quality, table.text("composition", ""), table.text("technical", ""), table.text("about", "")
    )
    table.done()
    return preset
