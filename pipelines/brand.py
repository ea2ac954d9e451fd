"""Brands: what every picture of a brand has in common. TOML that people make; there is none that ships."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import BadInput
from models.toml import Place, Table, parse
from pipelines.fields import text as plain_text
from pipelines.request import LORA_LIMIT, LORA_WEIGHT_LIMIT, LoraChoice
from pipelines.wishes import COLOUR, PALETTE_LIMIT

TITLE_LIMIT, ABOUT_LIMIT, WORD_LIMIT, WORDS_LIMIT, PROJECTS_LIMIT = 80, 600, 80, 20, 50
# A model that is told "no logo" in its prompt draws one: they can only be avoided by the negative prompt, and found by a profile's rule.
LOGOS = ("logo", "watermark", "brand name")


@dataclass(frozen=True)
class Brand:
    """words: said in every prompt. avoid: for the negative prompt of models that take one, logos among them where logo_free.

    palette: "#RRGGBB", what pictures are measured against. loras: always on. profile: for requests that name none.
    projects: whose requests are this brand's without saying so; usual: everybody's are. always: its LoRAs ride in every request, whatever
    brand that has (a LoRA for quality). version: 0 before it is saved.
    """

    name: str
    title: str
    about: str = ""
    words: tuple[str, ...] = ()
    avoided: tuple[str, ...] = ()
    logo_free: bool = False
    palette: tuple[str, ...] = ()
    loras: tuple[LoraChoice, ...] = ()
    profile: str | None = None
    projects: tuple[str, ...] = ()
    usual: bool = False
    always: bool = False
    version: int = 0

    @property
    def avoid(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.avoided, *(LOGOS if self.logo_free else ()))))


def parse_brand(text: str, name: str, version: int = 0) -> Brand:
    """A brand from its TOML. Raises BadInput with the line, or with the dotted key."""
    return brand_of(parse(text, name), name, name, version)


def brand_of(data: Mapping[str, Any], name: str, source: Path | str = "", version: int = 0) -> Brand:
    """A brand from what its TOML says. Raises BadInput with `source` and dotted key."""
    top = Table(Place(source or name), data)
    title = _clean(top, "title", top.raw("title", None), TITLE_LIMIT)
    if not title:
        raise top.bad("title", "is missing")
    brand = Brand(
        name=name,
        title=title,
        about=_clean(top, "about", top.raw("about", None), ABOUT_LIMIT),
        words=_texts(top, "words", WORDS_LIMIT, WORD_LIMIT),
        avoided=_texts(top, "avoid", WORDS_LIMIT, WORD_LIMIT),
        logo_free=top.flag("logo_free", False),
        palette=tuple(one.upper() for one in _texts(top, "palette", PALETTE_LIMIT, 7)),
        loras=_loras(top),
        profile=_clean(top, "profile", top.raw("profile", None), 40) or None,
        projects=_texts(top, "projects", PROJECTS_LIMIT, 80),
        usual=top.flag("usual", False),
        always=top.flag("always", False),
        version=version,
    )
    for place, colour in enumerate(brand.palette):
        if not COLOUR.fullmatch(colour):
            raise top.bad(f"palette.{place}", f'must be a colour like "#1A2B3C", not {colour!r}')
    top.done()
    return brand


def to_data(brand: Brand) -> dict[str, Any]:
    """What a brand says, as its TOML would; `brand_of` gives an equal brand back."""
    data: dict[str, Any] = {
        "title": brand.title, "about": brand.about, "words": list(brand.words), "avoid": list(brand.avoided), "logo_free": brand.logo_free,
        "palette": list(brand.palette), "profile": brand.profile, "projects": list(brand.projects), "usual": brand.usual,
        "always": brand.always, "loras": [{"name": one.name, "weight": one.weight} for one in brand.loras],
    }  # fmt: skip
    return {name: value for name, value in data.items() if value not in ("", [], None, False)}


def brand_toml(brand: Brand) -> str:
    """A brand as TOML in one fixed order."""
    data = to_data(brand)
    lines = [f"{name} = {_toml(value)}" for name, value in data.items() if name != "loras"]
    for lora in data.get("loras", []):
        lines += ["", "[[loras]]", *(f"{name} = {_toml(value)}" for name, value in lora.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(_toml(one) for one in value)}]"
    # A basic string of TOML is one of JSON, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)


def _clean(table: Table, name: str, value: object, limit: int) -> str:
    try:
        return plain_text({name: value}, name, limit)
    except BadInput as error:
        raise table.bad(name, f"cannot be: {error.what}", error.todo) from error


def _texts(top: Table, name: str, most: int, limit: int) -> tuple[str, ...]:
    given = top.raw(name, [])
    if not isinstance(given, list) or len(given) > most:
        raise top.bad(name, f"must be at most {most} texts in brackets, not {given!r:.80}")
    found = [_clean(top, f"{name}.{place}", one, limit) for place, one in enumerate(given)]
    return tuple(dict.fromkeys(one for one in found if one))


def _loras(top: Table) -> tuple[LoraChoice, ...]:
    given = top.raw("loras", [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given) or len(given) > LORA_LIMIT:
        raise top.bad("loras", f"must be at most {LORA_LIMIT} tables ([[loras]])")
    found = []
    for place, entry in enumerate(given):
        table = Table(Place(top.place.file, top.place.key(f"loras.{place}")), entry)
        name = _clean(table, "name", table.raw("name", None), TITLE_LIMIT)
        if not name:
            raise table.bad("name", "is missing")
        found.append(LoraChoice(name, table.number("weight", 1.0, -LORA_WEIGHT_LIMIT, LORA_WEIGHT_LIMIT)))
        table.done()
    return tuple(found)
