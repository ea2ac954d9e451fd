"""Brands as a studio has them, and which one a request is drawn for."""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.errors import BadInput
from pipelines.brand import Brand, brand_of, brand_toml, parse_brand, to_data
from pipelines.fields import shown, text
from studio.store import Store
from studio.store.people import Who, project_titles
from studio.store.versions import TOML_LIMIT, Kind, Versions
from studio.store.views import Json


class Brands(Versions[Brand]):
    """The brands of a studio, every version that people saved. They are everybody's."""

    kind = Kind("brands", "brand", "brand", "acme-outdoor", "Templates")

    def __init__(self, store: Store) -> None:
        super().__init__(store, {})

    def parse(self, text: str, name: str, version: int = 0) -> Brand:
        return parse_brand(text, name, version)

    def read(self, path: Path) -> Brand:
        raise AssertionError(f"no brand ships; {path}")

    def choose(self, name: str | None, who: Who) -> Brand | None:
        """The brand of a name; for None the one of the only project of theirs that has one, else the usual one, where there is just one.

        The LoRAs of those that are always on ride along. Raises NotFound.
        """
        every = self.all()
        brand = self.current(name) if name else _of_project(every.values(), who) or _only(one for one in every.values() if one.usual)
        always = [one for one in every.values() if one.always and (brand is None or one.name != brand.name)]
        if brand is None:
            if not always:
                return None
            brand, always = always[0], always[1:]
        mine = {one.name for one in brand.loras}
        more = {lora.name: lora for one in always for lora in one.loras if lora.name not in mine}
        return replace(brand, loras=(*brand.loras, *more.values()))


def _of_project(brands: Collection[Brand], who: Who) -> Brand | None:
    return _only(one for one in brands if set(one.projects) & set(who.projects))


def _only(brands: Any) -> Brand | None:
    found = list(brands)
    return found[0] if len(found) == 1 else None


class Shelf:
    """Brands as the page shows them. profiles: names that there are."""

    def __init__(self, store: Store, brands: Brands, profiles: Callable[[], Collection[str]]) -> None:
        self._store, self._brands, self._profiles = store, brands, profiles

    def overview(self, who: Who) -> Json:
        """{"brands": [...], "removed": [{name, version, title}], "chosen": the one of their requests that name none, "why": what chose it}.

        why: {"by": "project" | "usual" | "always" | null, "projects": titles}; by null and projects: each of these has a brand of its own.
        """
        chosen = self._brands.choose(None, who)
        removed = []
        for name in self._brands.removed():
            last = next(one.version for one in self._brands.versions(name) if not one.removed)
            removed.append({"name": name, "version": last, "title": self._brands.at(name, last).title})
        brands = [self._card(one) for one in sorted(self._brands.all().values(), key=lambda one: one.title.casefold())]
        return {"brands": brands, "removed": removed, "chosen": chosen.name if chosen else None, "why": self._why(chosen, who)}

    def view(self, name: str, version: int | None = None) -> Json:
        version = self._brands.version(name) if version is None else version
        versions = [vars(one) for one in self._brands.versions(name)]
        return self._card(self._brands.at(name, version)) | {"toml": self._brands.text(name, version), "versions": versions}

    def changes(self, name: str, old: int, new: int) -> list[Json]:
        """What differs between two versions, by key in the order of the newer one."""
        was, now = (_flat(to_data(self._brands.at(name, version))) for version in (old, new))
        keys = [*now, *(key for key in was if key not in now)]
        return [{"key": key, "old": was.get(key), "new": now.get(key)} for key in keys if was.get(key) != now.get(key)]

    def read(self, data: Mapping[Any, Any], name: str) -> str:
        """The TOML that `toml`, or `brand` (its data), says. Raises BadInput."""
        if data.get("toml") is not None:
            words = text(data, "toml", TOML_LIMIT)
            found = parse_brand(words, name)
        elif isinstance(data.get("brand"), Mapping):
            found = brand_of(data["brand"], name)
            words = brand_toml(found)
        else:
            raise BadInput("brand", f"brand must be an object; this is {shown(data.get('brand'))}.")
        if found.profile and found.profile not in self._profiles():
            raise BadInput("profile", f"There is no quality profile called {shown(found.profile)}.", "", "The Quality tab lists them.")
        return words

    def _why(self, chosen: Brand | None, who: Who) -> Json:
        """What chose a person's brand, as `Brands.choose` does it."""
        titles = {one["name"]: one["title"] for one in project_titles(self._store, who)}
        own = [(brand, name) for brand in self._brands.all().values() for name in brand.projects if name in who.projects]
        if chosen and len({brand.name for brand, _ in own}) == 1:
            return {"by": "project", "projects": [titles.get(name, name) for _, name in own]}
        by = None if chosen is None else "usual" if chosen.usual else "always"
        return {"by": by, "projects": list(dict.fromkeys(titles.get(name, name) for _, name in own))}

    def _card(self, brand: Brand) -> Json:
        usual = {"about": "", "words": [], "avoid": [], "logo_free": False, "palette": [], "profile": None, "projects": [], "usual": False,
                 "always": False, "loras": []}  # fmt: skip
        return usual | to_data(brand) | {"name": brand.name, "version": brand.version}


def _flat(data: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in data.items():
        if name == "loras":
            flat |= {f"loras.{one['name']}": f"{one['weight']:g}" for one in value}
        else:
            flat[name] = ", ".join(value) if isinstance(value, list) else "yes" if value is True else str(value)
    return flat
