"""From what a person gives (a template with values, a brand, parts, a prompt with syntax) to the request that is drawn.

    request = composer.compose({"template": "ecommerce-hero", "values": {"product": "running shoes"}, "draft": 8}, who)

Beside the fields of a Request, which win over what a template says, a submission may hold `parts` (see `pipelines.prompt.Parts`) and `edit`
(the whole prompt as a person rewrote it). What was composed carries its `source`, and is taken as it is when it comes again.
"""
from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from models.cards import Catalogue, ModelCard, Tier
from models.errors import BadInput, NotFound
from models.weights import Where
from models.words import read_prompt
from pipelines.fields import shown, text
from pipelines.filling import Filling, fill, literal
from pipelines.origin import read_template, read_values
from pipelines.prompt import Assembled, Parts, assemble
from pipelines.request import DRAWN_SEED_LIMIT, PROMPT_LIMIT, LoraChoice
from pipelines.syntax import Expanded, Wildcards, expand
from pipelines.template import INSTEAD, Template
from studio.store.people import Who
from studio.store.views import Json
from studio.templates import Templates
from studio.wearing import Known, choices, left_unsaid, says, unsaid, wear

EDIT_LIMIT = 4000
OWN = ("template", "values", "brand", "parts", "edit")
# Without any of these, a prompt means itself; with them it is expanded.
_SYNTAX = re.compile(r"\{[^{}]*[|$}]|__\S|<lora:|\([^()]*:\s*[\d.]+\s*\)|\\[\\{}|$_<()\[\]]")


class Brand(Protocol):
    """What a brand adds to a request. words: said in every prompt. avoid: words for the negative prompt."""

    @property
    def name(self) -> str: ...
    @property
    def words(self) -> tuple[str, ...]: ...
    @property
    def avoid(self) -> tuple[str, ...]: ...
    @property
    def palette(self) -> tuple[str, ...]: ...
    @property
    def loras(self) -> tuple[LoraChoice, ...]: ...
    @property
    def profile(self) -> str | None: ...


@dataclass(frozen=True)
class Composed:
    """data: what `Request.from_dict` takes. assembled: the prompt with its parts. negative_used: whether the model takes a negative prompt;
    negative: the whole of it. varies: whether another seed may give another prompt."""

    data: dict[str, Any]
    assembled: Assembled
    negative: str
    negative_used: bool
    varies: bool


class Composer:
    """Composes requests for one studio. Any thread may ask.

    wildcards: the studio's lists of words, as they are now. where: the places that weights, and tokenizers with them, are looked for in.
    brand: the brand of a name, or the usual one of a person for None (None where they have none); raises NotFound.
    loras: those that there are.
    """

    def __init__(
        self,
        templates: Templates,
        catalogue: Catalogue,
        wildcards: Callable[[], Wildcards | None] = lambda: None,
        where: Callable[[], Where] = lambda: None,
        brand: Callable[[str | None, Who], Brand | None] = lambda name, who: None,
        loras: Known | None = None,
    ) -> None:
        self._templates, self._catalogue, self._wildcards, self._where, self._brand = templates, catalogue, wildcards, where, brand
        self._loras = loras
        self._known: dict[tuple[str, str], bool] = {}  # phrases of the presets, by model: there are a few hundred

    def compose(self, data: Any, who: Who) -> Any:
        """The JSON value of the request that `data` asks for; `data` itself where there is nothing to compose. Raises BadInput."""
        if not isinstance(data, Mapping) or data.get("source") is not None:
            return data
        brand = self._brand_of(data, who)
        if brand is None and not any(data.get(name) for name in OWN) and not has_syntax(data.get("prompt")):
            plain = {name: value for name, value in data.items() if name not in ("parts", "edit")}
            prompt = text(data, "prompt", PROMPT_LIMIT)
            if not prompt or not unsaid(choices(data.get("loras")), self._loras, who, prompt):
                return plain
        return self._compose(data, brand, who).data

    def preview(self, data: Mapping[Any, Any], who: Who) -> Composed:
        """What would be drawn, without a seed of chance where none is given. Raises BadInput."""
        seeded = {"seed": 0, **{name: value for name, value in data.items() if value is not None}}
        return self._compose(seeded, self._brand_of(data, who), who)

    def preview_of(self, template: Template, data: Mapping[Any, Any], who: Who) -> Composed:
        """What a template that is not saved yet would come to with `values`, or else its example. Raises BadInput."""
        given = {"seed": 0, "family": data.get("family")}
        return self._compose(given, None, who, template, fill(template, read_values(data) or _exemplary(template)))

    # How it is done.

    def _compose(
        self, data: Mapping[Any, Any], brand: Brand | None, who: Who, template: Template | None = None, filling: Filling | None = None
    ) -> Composed:
        if template is None:
            template, filling = self._filled(data)
        tier, card = self._tier(data, template)
        seed = _seed(data)
        typed, edit = text(data, "prompt", PROMPT_LIMIT), text(data, "edit", EDIT_LIMIT)
        if template and typed and not edit:  # what is written beside a template is written in place of its prompt
            typed, edit = "", typed
        parts = _parts(data, template, filling, typed)
        if brand:
            parts = replace(parts, brand=(*parts.brand, *brand.words))
        values, lists = filling.words if filling else None, self._wildcards()
        written = partial(assemble, seed=seed, wildcards=lists, values=values, edit=edit, knows=self._knows(card))
        assembled = written(parts)
        if not assembled.text:
            raise BadInput("prompt", "The prompt is empty.", "", "Write what the picture should show.")
        negative, more_loras, notes = _negative(data, filling, brand, partial(expand, seed=seed, wildcards=lists, salt="negative"))
        asked = {one.name: one for one in (*assembled.loras, *more_loras)} | {one.name: one for one in choices(data.get("loras"))}
        offered = (*(brand.loras if brand else ()), *(template.loras if template else ()))
        worn = wear(tuple(asked.values()), offered, self._loras, who, tier, card)
        if words := unsaid(worn.all, self._loras, who, assembled.text):
            parts = replace(parts, triggers=(*parts.triggers, *words))
            assembled = written(parts)
            words = tuple(word for word in words if not says(assembled.text, word))
        notes = (*notes, *worn.notes, *([left_unsaid(words)] if words else []))
        request = {name: value for name, value in data.items() if name not in OWN} | {"prompt": assembled.text}
        request |= {"source": _source(data), "seed": None if data.get("seeds") else seed}
        if template and filling:
            request |= {"template": {"name": template.name, "version": template.version}, "values": filling.to_dict()}
            request |= {name: value for name, value in self._wanted(data, template, filling).items() if data.get(name) is None}
        if brand:
            request |= {"brand": brand.name}
            request |= {"palette": list(brand.palette)} if not request.get("palette") and brand.palette else {}
            request |= {"profile": brand.profile} if not request.get("profile") and brand.profile else {}
        if card.vocabulary == "embedded" and negative != (own := text(data, "negative", PROMPT_LIMIT)):
            # It was never taught what is not there: of 96 pictures at four steps 86 were right with a template's, and all without.
            negative, notes = own, (*notes, "The template's negative prompt is not sent: this small model draws worse with one.")
        request["negative"] = negative if card.negative else text(data, "negative", PROMPT_LIMIT)
        if worn.all:
            request["loras"] = _with_loras(data.get("loras"), list(worn.all))
        assembled = replace(assembled, notes=(*assembled.notes, *notes))
        varies = _varies(parts, partial(assemble, wildcards=lists, values=values), seed)
        return Composed(request, assembled, negative, card.negative, varies)

    def _filled(self, data: Mapping[Any, Any]) -> tuple[Template | None, Filling | None]:
        asked, values = read_template(data), read_values(data)
        if asked is None:
            if values:
                raise BadInput("values", "There are values, and no template that takes them.", "", "Choose a template.")
            return None, None
        name, version = str(asked["name"]), asked["version"]
        try:
            template = self._templates.current(name) if version is None else self._templates.at(name, int(str(version)))
        except NotFound as error:
            raise BadInput("template", error.what, error.why, error.todo) from error
        return template, fill(template, values)

    def _brand_of(self, data: Mapping[Any, Any], who: Who) -> Brand | None:
        """The one that is named; "" is none, and nothing said the usual one."""
        name = data.get("brand")
        if name == "":
            return None
        if name is not None and not isinstance(name, str):
            raise BadInput("brand", f"brand must be the name of a brand; this is {shown(name)}.")
        try:
            return self._brand(name, who)
        except NotFound as error:
            raise BadInput("brand", error.what, error.why, error.todo) from error

    def _tier(self, data: Mapping[Any, Any], template: Template | None) -> tuple[Tier, ModelCard]:
        """The tier and the model that will draw; the embedded one's preview where nothing is said. Raises BadInput."""
        family, tier = data.get("family") or "embedded", data.get("tier") or (template.tier if template else None) or "preview"
        try:
            return self._catalogue.tier(str(family), str(tier))
        except NotFound as error:
            field = "family" if str(family) not in self._catalogue.families else "tier"
            raise BadInput(field, error.what, error.why, error.todo) from error

    def _wanted(self, data: Mapping[Any, Any], template: Template, filling: Filling) -> dict[str, Any]:
        """What a template asks for besides its prompt, where it says anything, fitted to what the person asks for."""
        wanted: dict[str, Any] = {"tier": template.tier, "profile": template.profile, "draft": template.draft, "keep": template.keep}
        family, tier = data.get("family") or "embedded", data.get("tier") or template.tier or "preview"
        if template.size in self._catalogue.tier(str(family), str(tier))[0].sizes:
            wanted["size"] = template.size
        given = data.get("seeds")
        count = len(given) if isinstance(given, list | tuple) and given else data.get("draft")
        if isinstance(count, int) and template.keep is not None:
            wanted["keep"] = min(template.keep, max(1, count))
        wanted["texts"] = list(dict.fromkeys(words for one in template.texts if (words := filling.plain(one).strip())))
        wanted["palette"] = list(dict.fromkeys(colour for one in template.palette if (colour := filling.colour(one))))
        for role, (picture, strength) in filling.pictures.items():
            if role == "likeness":
                wanted["likeness"] = picture
            elif data.get("image") is None:
                wanted |= {"image": picture, "role": role, "strength": strength}
        return {name: value for name, value in wanted.items() if value not in (None, [], "")}

    def _knows(self, card: ModelCard) -> Callable[[str], bool] | None:
        if card.vocabulary != "embedded":
            return None
        where = self._where()

        def knows(phrase: str) -> bool:
            if (card.name, phrase) not in self._known:
                self._known[card.name, phrase] = not read_prompt(card, phrase, where).unknown
            return self._known[card.name, phrase]

        return knows


def has_syntax(prompt: object) -> bool:
    """Whether a prompt may mean something else than itself."""
    return isinstance(prompt, str) and _SYNTAX.search(prompt) is not None


def _exemplary(template: Template) -> dict[str, Any]:
    """Its example, and for what is required and has none the title in its place."""
    values: dict[str, Any] = dict(template.example)
    for name, variable in template.variables.items():
        if variable.required and variable.default is None and name not in values:
            low = variable.low if variable.low is not None else variable.high if variable.high is not None else 1
            stand_in = {"choice": variable.choices[:1], "number": [low], "colour": ["#808080"], "image": [1]}
            values[name] = next(iter(stand_in.get(variable.type, [variable.title.lower()[: variable.max_length]])))
    return values


def _seed(data: Mapping[Any, Any]) -> int:
    """The seed that syntax is expanded by: the first of the request's, or one of chance. What is no seed the request refuses."""
    seeds = data.get("seeds")
    given = seeds[0] if isinstance(seeds, list | tuple) and seeds else data.get("seed")
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if given is None:
        return secrets.randbelow(DRAWN_SEED_LIMIT)
    return given if isinstance(given, int) else 0


def _parts(data: Mapping[Any, Any], template: Template | None, filling: Filling | None, typed: str) -> Parts:
    """The template's parts with the person's own in their places; a prompt stands where the subject does."""
    own = Parts.from_dict(data.get("parts"))
    if template is None or filling is None:
        if typed and own.subject:
            raise BadInput("parts.subject", "The prompt is the subject already.", "", "Leave one of them empty.")
        return replace(own, subject=typed or own.subject)
    said = {name: filling.text(words) for name, words in template.parts.items()}
    if template.prompt:
        said["subject"] = filling.text(template.prompt)
    # Variables are the template's alone: what a person types into a part has its dollars for dollars.
    typed_parts = {name: literal(words) if isinstance(words, str) else words for name, words in own.to_dict().items()}
    return Parts.from_dict({name: words for name, words in said.items() if words or name in INSTEAD} | typed_parts)


def _negative(
    data: Mapping[Any, Any], filling: Filling | None, brand: Brand | None, expanded: Callable[..., Expanded]
) -> tuple[str, tuple[LoraChoice, ...], tuple[str, ...]]:
    """What a person typed, what the template says and what the brand avoids, in this order; LoRAs and notes of the syntax in it."""
    own = text(data, "negative", PROMPT_LIMIT)
    found = Expanded("")
    if filling and filling.template.negative:
        found = expanded(filling.text(filling.template.negative), values=filling.words)
    said = (own, found.text, *(brand.avoid if brand else ()))
    words = [word for one in said for part in one.split(",") if (word := part.strip())]
    return ", ".join(dict.fromkeys(words)), found.loras, found.notes


def _varies(parts: Parts, assembled: Callable[..., Assembled], seed: int) -> bool:
    """Whether a few other seeds give another prompt."""
    if not any(has_syntax(one) for one in vars(parts).values()):
        return False
    return len({assembled(parts, seed=seed + step).text for step in range(8)}) > 1


def _with_loras(given: Any, more: list[LoraChoice]) -> Any:
    """A request's LoRAs and others, each once; a person's own weight holds. What is no list is left for the request to refuse."""
    if given is not None and not isinstance(given, list | tuple):
        return given
    own = list(given or [])
    names = {one.name for one in choices(own)}
    exact = [one.to_dict() if one.version else {"name": one.name, "weight": one.weight} for one in more if one.name not in names]
    return own + exact


def _source(data: Mapping[Any, Any]) -> dict[str, Any]:
    """What a person gave, so that the form can show it again."""
    return {name: data[name] for name in ("prompt", "negative", "parts", "edit") if data.get(name)}


def view(composed: Composed, words: Json) -> Json:
    """JSON for the live preview; words: how the model reads the prompt (`Studio.words`)."""
    names = ("tier", "size", "profile", "draft", "keep", "texts", "palette", "image", "role", "likeness", "template", "brand")
    return words | {
        "text": composed.assembled.text,
        "pieces": [piece.to_dict() for piece in composed.assembled.pieces],
        "loras": composed.data.get("loras") or [],
        "notes": list(composed.assembled.notes),
        "negative": composed.negative,
        "negative_used": composed.negative_used,
        "varies": composed.varies,
        "request": {name: composed.data[name] for name in names if composed.data.get(name) is not None},
    }


