"""The Cloud tab's facts and what an admin may do: which providers there are and how they do, their keys, tests, and the switch.

The shapes are told in `studio.doors.cloud`. No key passes through here but one that a person types, on its way to the keyring.
"""
from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.cloud import keys
from models.cloud.catalogue import CloudModel, Price, Provider, price_micro
from models.errors import BadInput, Unavailable
from models.money import dollars
from pipelines.fields import text
from pipelines.health import Healths, View
from pipelines.routewords import clock
from studio import cloudcheck, webhooksetup
from studio.licences import terms_of
from studio.providers import OPENAI
from studio.store import cloudhealth, now
from studio.store.people import Who, require_admin

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
SIDE = 1024  # of the picture by which prices are compared
ONLY_ADMINS = "Only an admin may change the cloud's settings."


class Clouds:
    """What can be asked of and done to the cloud as a whole. Methods that change something raise NotYours for whoever is no admin."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store
        self._settings, self._providers = studio.settings, studio.providers
        self._tested: dict[str, Json] = {}
        self._settings.guards["cloud.enabled"] = self._may_enable
        self._settings.guards["cloud.providers"] = self._known
        self._settings.guards |= webhooksetup.GUARDS

    def view(self, who: Who) -> Json:
        """All of it, for a person."""
        used, healths, moment = self._used(), cloudhealth.load(self._store), time.time()
        today = self._today()
        enabled, why = bool(self._settings.get("cloud.enabled")), self._why_not()
        return {
            "enabled": enabled,
            "ready": enabled and not why,
            "why": why,
            "note": self._studio.cloud.note,
            "admin": who.admin,
            "demo": self._providers.demo,
            "wait_seconds": self._settings.get("cloud.wait_seconds"),
            "budget_set": self._budget_set(),
            "today_micro": sum(one["micro"] for one in today.values()),
            "today_images": sum(one["drawn"] for one in today.values()),
            "under_way": sum(one["out"] for one in used.values()),
            "uncertain": sum(one["uncertain"] for one in used.values()),
            "stay": bool(self._settings.get("cloud.stay", who)),
            "providers": [self._provider(one, healths, used, today, moment) for one in self._providers.all().values()],
        }

    def one(self, name: str) -> Json:
        """One provider. Raises NotFound."""
        return self._provider(self._providers.one(name), cloudhealth.load(self._store), self._used(), self._today(), time.time())

    def change(self, data: Mapping[str, Any], who: Who) -> Json:
        """enabled, providers, wait_seconds, openai: {base_url, model, price_micro}. All of it or nothing."""
        require_admin(who, ONLY_ADMINS)
        changes: dict[str, Any] = {f"cloud.{name}": data[name] for name in ("providers", "wait_seconds") if name in data}
        if "openai" in data:
            changes |= self._openai(data["openai"])
        if "enabled" in data:
            changes["cloud.enabled"] = data["enabled"]
        self._settings.set(changes, who)
        self._providers.look_again()
        self._studio.cloud.configured(OPENAI if "openai" in data else "")
        return self.view(who)

    def test(self, name: str, who: Who) -> Json:
        """Asks the provider, by a call that costs nothing, whether its key works. The answer stays on show until the next."""
        require_admin(who, ONLY_ADMINS)
        provider = self._providers.one(name)
        lacking = self._providers.lacking(provider)
        if lacking:
            raise Unavailable(f"{provider.title} cannot be asked yet.", lacking)
        answer = cloudcheck.ask(name, self._studio.data_dir, self._providers.child_env())
        self._tested[name] = answer | {"when": now()}
        self._providers.look_again()
        self._studio.cloud.configured(name if answer["ok"] else "")  # whatever was wrong with its key or account is mended
        return self.one(name)

    def give_key(self, name: str, data: Mapping[str, Any], who: Who) -> Json:
        """Into the keyring. Raises BadInput for what is no key, Unavailable where this machine has no keyring."""
        require_admin(who, ONLY_ADMINS)
        provider = self._keyed(name)
        key = data.get("key")
        if not isinstance(key, str):
            raise BadInput("key", "key must be text.")
        keys.remember(provider, key)
        return self._key_changed(name)

    def forget_key(self, name: str, who: Who) -> Json:
        """Out of the keyring; what the environment has stays."""
        require_admin(who, ONLY_ADMINS)
        keys.forget(self._keyed(name))
        return self._key_changed(name)

    def changed(self) -> None:
        """The worker is started or let go, the dispatcher looks again, and whoever looks hears of it."""
        self._studio.cloud.configured()

    # What may be set.

    def _may_enable(self, value: bool, _who: Who) -> None:
        if not value:
            return
        if not self._budget_set():
            todo = "Set one in the Cloud tab, for a day or a month."
            raise BadInput("cloud.enabled", "The cloud needs a budget before it is switched on.", "Without one nothing may be spent.", todo)

    def _known(self, value: list[str], _who: Who) -> None:
        for name in value:
            self._providers.one(name)

    def _openai(self, data: object) -> Json:
        if not isinstance(data, Mapping):
            raise BadInput("openai", "openai must be an object with base_url, model and price_micro.")
        for name in data:
            if name not in ("base_url", "model", "price_micro"):
                raise BadInput(f"openai.{str(name)[:80]}", "There is no such field here.", "", "They are base_url, model and price_micro.")
        url = text(data, "base_url", 1000, "openai.base_url")
        if url and not url.startswith(("http://", "https://")):
            raise BadInput("openai.base_url", "This is no address.", "", "Write it like http://gpu.example:8000/v1.")
        return {f"cloud.{OPENAI}.{name}": data[name] for name in data}

    def _keyed(self, name: str) -> Provider:
        provider = self._providers.one(name)
        if self._providers.demo:
            why, todo = "It runs on this machine, with play money.", "Start without --demo-providers."
            raise Unavailable(f"{provider.title} takes no key here.", why, todo)
        return provider

    def _key_changed(self, name: str) -> Json:
        self._tested.pop(name, None)
        self._providers.look_again()
        self._studio.cloud.configured(name)
        return self.one(name)

    # What is known.

    def _why_not(self) -> str:
        """Why nothing can be sent, in words, or ""."""
        if not self._settings.get("cloud.enabled"):
            return "The cloud is off."
        if not self._budget_set():
            return "No budget is set."
        if not self._settings.get("cloud.providers"):
            return "No provider is chosen."
        return "" if self._providers.usable() else "No provider that is chosen has a key."

    def _budget_set(self) -> bool:
        return self._store.db.execute("SELECT 1 FROM budgets WHERE scope = 'studio' AND micro > 0").fetchone() is not None

    def _used(self) -> dict[str, Json]:
        """By provider: calls that are out, and charges that nobody is sure of."""
        rows = self._store.db.execute(
            "SELECT provider, count(*) FILTER (WHERE state != 'uncertain') AS out, count(*) FILTER (WHERE state = 'uncertain') AS uncertain"
            " FROM charges WHERE state IN ('reserved', 'submitted', 'uncertain') GROUP BY provider"
        )
        return {row["provider"]: dict(row) for row in rows}

    def _today(self) -> dict[str, Json]:
        rows = self._store.db.execute(
            "SELECT provider, sum(micro) AS micro, sum(drawn) AS drawn FROM cost_days WHERE day = ? AND provider != '' GROUP BY provider",
            [now()[:10]],
        )
        return {row["provider"]: dict(row) for row in rows}

    def _provider(self, provider: Provider, healths: Healths, used: Mapping[str, Json], today: Mapping[str, Json], moment: float) -> Json:
        source, lacking = self._providers.key_source(provider), self._providers.lacking(provider)
        chosen = provider.name in self._settings.get("cloud.providers")
        standing = healths.providers.get(provider.name)
        disabled = standing.disabled if standing else ""
        models = [] if lacking else [_model(provider, model, healths, moment) for model in provider.models.values()]
        keyless = provider.enabled_without_key or source is not None
        why = lacking or ("" if keyless else "It has no key.") or (f"It is left alone: {disabled}." if disabled else "")
        out, spent = used.get(provider.name, {}), today.get(provider.name, {})
        settings = {name: self._settings.get(f"cloud.{OPENAI}.{name}") for name in ("base_url", "model", "price_micro")}
        return {
            "name": provider.name,
            "title": provider.title,
            "engine": provider.engine,
            "terms": provider.terms,
            "enabled": chosen,
            "usable": not why,
            "why": why,
            "key": {
                "source": source, "names": list(provider.keys), "keyring": source == "keyring", "needed": not provider.enabled_without_key,
                "trouble": keys.keyring_trouble(),
            },
            **_doing(models, disabled, standing.resets_at if standing else None, moment),
            "from_micro": min((one["picture_micro"] for one in models if not one["needs_picture"]), default=None),
            "today_micro": spent.get("micro", 0),
            "today_images": spent.get("drawn", 0),
            "under_way": out.get("out", 0),
            "concurrency": provider.limits.concurrency,
            "per_minute": provider.limits.per_minute,
            "tested": self._tested.get(provider.name),
            "settings": settings if provider.engine == "openai" and not self._providers.demo else None,
            "models": models,
        }  # fmt: skip


# How providers and models are told.


def _doing(models: list[Json], disabled: str, resets_at: float | None, moment: float) -> Json:
    """health, health_words, calls, error_rate and seconds of a provider, from those of its models."""
    calls = sum(one["calls"] for one in models)
    failed = sum(one["error_rate"] * one["calls"] for one in models if one["error_rate"])
    first = max(models, key=lambda one: (one["calls"], -one["picture_micro"]), default=None)
    open_ones = [one for one in models if one["health"] != "closed"]
    health, words = "closed", "answers" if calls else "not called yet"
    if disabled:
        health, words = "open", "left alone until its settings change"
    elif open_ones:
        whole = len(open_ones) == len([one for one in models if one["calls"]])
        health = open_ones[0]["health"] if whole else "half-open"
        words = open_ones[0]["health_words"] if whole else f"{open_ones[0]['title']} {open_ones[0]['health_words']}"
    elif resets_at is not None and resets_at > moment:
        health, words = "half-open", f"over its limit until {clock(resets_at, moment)}"
    return {
        "health": health,
        "health_words": words,
        "calls": calls,
        "error_rate": failed / calls if calls else None,
        "seconds": first["seconds"] if first else {"p50": None, "p95": None, "learned": False},
    }


def _model(provider: Provider, model: CloudModel, healths: Healths, moment: float) -> Json:
    known = healths.models.get((provider.name, model.id))
    view = healths.view(provider.name, model.id, model.seconds, moment)
    # As much as the recent calls still count.
    calls = round(known.calls) if known else 0
    can = model.capabilities
    return {
        "id": model.id,
        "title": model.title,
        "serves": {family: list(tiers) for family, tiers in model.serves.items()},
        "quality": model.quality,
        "picture_micro": price_micro(model, SIDE, SIDE, None, 1),
        "price": _priced(model.price, model.default_steps),
        "price_date": model.price.date.isoformat(),
        "price_source": model.price.source,
        "licence": terms_of(provider, model)["name"],
        "licence_date": model.licence.date.isoformat() if model.licence else "",
        "licence_url": terms_of(provider, model)["url"],
        "needs_picture": can.needs_picture,
        "takes": _takes(model),
        "lacks": [
            words for words, has in (("seeds", can.seed), ("LoRAs", can.loras), ("pictures", can.references or can.img2img)) if not has
        ],
        "seconds": {"p50": view.seconds_p50, "p95": view.seconds_p95, "learned": calls > 0},
        "health": view.health,
        "health_words": _standing(view, moment, calls),
        "calls": calls,
        "error_rate": known.failed / known.calls if known and calls else None,
    }  # fmt: skip


def _standing(view: View, moment: float, calls: int) -> str:
    if view.health == "closed":
        return "answers" if calls else "not called yet"
    until = f" until {clock(view.resets_at, moment)}" if view.resets_at is not None and view.health == "open" else ""
    return f"{view.why}{until}"


def _priced(price: Price, steps: int) -> str:
    match price.kind:
        case "image":
            return f"{dollars(price.micro)} a picture"
        case "megapixel":
            further = "" if price.further_micro is None else f", each further one {dollars(price.further_micro)}"
            return f"{dollars(price.micro)} a {'begun ' if price.whole else ''}megapixel{further}"
    return f"{dollars(price.micro)} a megapixel at {steps} steps"


def _takes(model: CloudModel) -> list[str]:
    can = model.capabilities
    low, high = can.steps or (0, 0)
    shown = f"up to {can.references} reference pictures" if can.references > 1 else "a reference picture"
    said = (
        (can.steps, f"{low} to {high} steps"),
        (can.guidance, "guidance"),
        (can.negative, "a negative prompt"),
        (can.batch > 1, f"{can.batch} pictures a call"),
        (can.needs_picture, "only pictures to change"),
        (can.references and not can.needs_picture, shown),
        (can.img2img and not can.needs_picture, "a picture to start from"),
        (can.loras, f"up to {can.loras} LoRAs" if can.loras > 1 else "a LoRA"),
        (can.aspect_ratios, f"{len(can.aspect_ratios)} shapes"),
    )
    return [words for has, words in said if has]

