"""Captions for pictures: by a vision-language model that is on this machine, and for the embedded model's world by its own CLIPs.

`captioner_for` says which one goes with a model. None is a network call; torch and transformers are imported when first needed.
"""
from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from models.cards import ModelCard
from models.embedded import captions as wordings
from models.errors import OutOfMemory, Unavailable
from models.presets import presets_folder
from models.scorers import CLIPS, weights
from models.scorers.catalogue import Weights, read_weights
from models.scorers.clip import WEIGHTS, Clip, clip_in, fingerprint
from models.spec import ScoreContext
from models.threads import compute
from models.toml import Table
from models.weights import Where

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Style = Literal["chat", "task", "plain"]
_HEADS = ("the image shows ", "the image depicts ", "this image shows ", "the picture shows ", "in this image, ", "there is ")
LARGEST = 1024  # pixels a side that a vision-language model is shown
# Below these shares an object or a place is not one of the embedded model's. Of 80 scenes of its world 78 are above, of 40 with a star, a
# cross or a triangle drawn over the object 30 are below.
SURE_OF_OBJECT, SURE_OF_SCENE = 0.9, 0.5
# How much nearer (cosine, of two CLIPs together) a light or a style must lie than the usual one to be named: of what is then said of 160
# scenes 98 % (light) and 96 % (style) is right, of 65 % and 31 % of the scenes that have one. Without it 92 % and 66 % would be: a word
# that a caption lacks does less harm than a wrong one.
SURE_OF_WORDS = 0.02
SHARPNESS = 40.0  # of the softmax over cosines


@dataclass(frozen=True)
class Seen:
    """What a picture shows, in words that can be put together. thing: "a red mug", "a product" where nobody knows it. setting: "on a
    wooden table, dramatic light". look: "flat illustration", "" for a photograph. sentence: all of it."""

    thing: str
    setting: str
    look: str
    sentence: str


class Captioner(Protocol):
    name: str

    @property
    def title(self) -> str: ...

    def missing(self) -> str:
        """Why it cannot say anything here; "" when it can."""
        ...

    def look(self, pictures: Sequence[Image]) -> list[Seen]:
        """Raises Unavailable, OutOfMemory."""
        ...

    def close(self) -> None:
        """Frees the weights; the next picture loads them again."""
        ...


@dataclass(frozen=True)
class CaptionerCard:
    """A vision-language model; see presets/captioners. style: "chat" (instructions in its chat template), "task" (a task token, as
    Florence-2), "plain" (no words at all, as BLIP). tokens: of an answer at most. rank: the lowest that is here is used. download: whether
    the studio offers to fetch it."""

    name: str
    title: str
    about: str
    style: Style
    ask: str
    tokens: int
    rank: int
    download: bool
    weights: Weights


@lru_cache(maxsize=1)
def load_captioners() -> dict[str, CaptionerCard]:
    """By name, the preferred first. Raises BadInput with file and dotted key."""
    found = [_read(path) for path in sorted((presets_folder() / "captioners").glob("*.toml"))]
    return {card.name: card for card in sorted(found, key=lambda card: card.rank)}


def _read(path: Path) -> CaptionerCard:
    top = Table.of_file(path)
    card = CaptionerCard(
        name=path.stem,
        title=top.text("title"),
        about=top.text("about"),
        style=cast(Style, top.text("style", choices=("chat", "task", "plain"))),
        ask=top.text("ask"),
        tokens=top.whole("tokens", low=1),
        rank=top.whole("rank"),
        download=top.flag("download"),
        weights=read_weights(top.table("weights")),
    )
    top.done()
    return card


def captioner_for(card: ModelCard, where: Where = None, device: str = "cpu", clips: Path = CLIPS) -> Captioner:
    """Who captions pictures for `card`: the embedded model has words of its own, every other takes whatever sentence comes."""
    return WordCaptioner(clips, device) if card.vocabulary == "embedded" else SentenceCaptioner(where, device)


class WordCaptioner:
    """Zero-shot classification among the embedded model's own words (Radford et al., "Learning Transferable Visual Models From Natural
    Language Supervision", 2021): by two CLIPs together, object, colour and place all at once, then light and style given those."""

    name, title = "words", "The embedded model's own words"

    def __init__(self, clips: Path = CLIPS, device: str = "cpu") -> None:
        self._folders, self._device = (clips / "a", clips / "b"), device
        self.version = "-".join(fingerprint(folder / WEIGHTS) for folder in self._folders)
        self._known: list[torch.Tensor] | None = None
        tables = [wordings.CONTRASTS[kind] for kind in ("object", "colour", "scene")]
        self._counts, self._triples = tuple(map(len, tables)), list(itertools.product(*tables))

    def missing(self) -> str:
        return "" if all((folder / WEIGHTS).is_file() for folder in self._folders) else "The small CLIPs that ship are missing."

    def look(self, pictures: Sequence[Image]) -> list[Seen]:
        if why := self.missing():
            raise Unavailable("Captions cannot be proposed.", why, "Install the studio again.")
        return compute(lambda: self._look(pictures))

    def close(self) -> None:
        self._known = None

    def _look(self, pictures: Sequence[Image]) -> list[Seen]:
        import torch

        clips = [clip_in(folder, self._device) for folder in self._folders]
        with torch.inference_mode():
            if self._known is None:
                self._known = [clip.prompts([_words(*triple) for triple in self._triples]) for clip in clips]
            context = ScoreContext("", 256, 256)
            views = [clip.pictures(pictures, context) for clip in clips]
            near = torch.stack([view @ known.T for view, known in zip(views, self._known, strict=True)]).mean(0)
            shares = (near * SHARPNESS).softmax(1).view(len(pictures), *self._counts)
            known = (shares.sum((2, 3)).amax(1) >= SURE_OF_OBJECT).tolist()
            placed = (shares.sum((1, 2)).amax(1) >= SURE_OF_SCENE).tolist()
            best = [self._triples[place] for place in near.argmax(1).tolist()]
            return [
                self._word(clips, [view[place] for view in views], best[place], known[place], placed[place])
                for place in range(len(pictures))
            ]

    def _word(self, clips: Sequence[Clip], views: Sequence[torch.Tensor], triple: tuple[str, ...], known: bool, placed: bool) -> Seen:
        what, colour, scene = triple
        plain = _words(*triple)
        light = _nearest(clips, views, {name: [f"{plain}, {one}" for one in said] for name, said in wordings._LIGHTS.items()})
        style = _nearest(clips, views, {name: [f"{head} {plain}" for head in said] for name, said in wordings._STYLE_HEADS.items()})
        thing = f"{_article(colour)} {colour} {wordings.CONTRASTS['object'][what][0]}" if known else "a product"
        place = wordings.CONTRASTS["scene"][scene][0] if placed else ""
        setting = ", ".join(part for part in (place, "" if light == "soft" else wordings._LIGHTS[light][0]) if part)
        look = "" if style == "photo" else wordings._STYLE_ITEMS[style][0]
        head = "a photo of" if style == "photo" else wordings._STYLE_HEADS[style][0]
        return Seen(thing, setting, look, " ".join(part for part in (head, thing, setting) if part))


def _words(what: str, colour: str, scene: str) -> str:
    tables = wordings.CONTRASTS
    return f"{_article(colour)} {tables['colour'][colour][0]} {tables['object'][what][0]} {tables['scene'][scene][0]}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _nearest(clips: Sequence[Clip], views: Sequence[torch.Tensor], texts: dict[str, list[str]]) -> str:
    """The name whose wordings lie nearest on the whole, the first one where it is not clear: the mean place of many wordings says more than
    any one of them."""
    import torch

    flat = [text for said in texts.values() for text in said]
    total: dict[str, float] = dict.fromkeys(texts, 0.0)
    for clip, view in zip(clips, views, strict=True):
        places, start = clip.prompts(flat), 0
        for name, said in texts.items():
            mean = places[start : start + len(said)].mean(0)
            total[name] += float(torch.dot(view, mean / mean.norm()))
            start += len(said)
    usual, best = next(iter(texts)), max(total, key=lambda name: total[name])
    return best if total[best] - total[usual] > SURE_OF_WORDS else usual


class SentenceCaptioner:
    """The first of the models in presets/captioners that is on this machine, through transformers' own classes."""

    name = "sentence"

    def __init__(self, where: Where = None, device: str = "cpu") -> None:
        self._where, self._device = where, device
        self._loaded: tuple[CaptionerCard, Path, Any, Any] | None = None  # with the model and what prepares its input

    @property
    def title(self) -> str:
        found = self.found()
        return found[0].title if found else "A vision-language model"

    def found(self) -> tuple[CaptionerCard, Path] | None:
        for card in load_captioners().values():
            folder = weights.found(card.weights, self._where)
            if folder is not None:
                return card, folder
        return None

    def missing(self) -> str:
        if self.found():
            return ""
        offered = next(card for card in load_captioners().values() if card.download)
        size = weights.size(offered.weights)
        return f"No model that writes captions is on this machine. {offered.title} is {size}, {offered.weights.licence}."

    def look(self, pictures: Sequence[Image]) -> list[Seen]:
        found = self.found()
        if found is None:
            raise Unavailable("Captions cannot be proposed.", self.missing(), "Download it beside the captions, or type them.")
        return compute(lambda: [self._look(*found, picture) for picture in pictures])

    def close(self) -> None:
        self._loaded = None

    def _look(self, card: CaptionerCard, folder: Path, picture: Image) -> Seen:
        import torch

        if self._loaded is None or self._loaded[1] != folder:
            self._loaded = (card, folder, *self._load(folder))
        _, _, model, processor = self._loaded
        small = picture.convert("RGB")
        small.thumbnail((LARGEST, LARGEST))
        inputs = _inputs(card, processor, small).to(model.device)
        for name, value in inputs.items():
            if torch.is_floating_point(value):
                inputs[name] = value.to(model.dtype)
        try:
            with torch.inference_mode():
                told = model.generate(**inputs, max_new_tokens=card.tokens, do_sample=False)
        except torch.OutOfMemoryError as error:
            what = f"{card.title} does not fit beside what is loaded."
            raise OutOfMemory(what, str(error)[:200], "Wait until nothing is drawn.") from error
        start = inputs["input_ids"].shape[1] if card.style == "chat" else 0
        sentence = tidied(processor.batch_decode(told[:, start:], skip_special_tokens=True)[0])
        return Seen("", "", "", sentence)

    def _load(self, folder: Path) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        dtype = torch.bfloat16 if self._device.startswith("cuda") else torch.float32
        try:
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
            model = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True, dtype=dtype, use_safetensors=True)
        except (OSError, ValueError, KeyError, ImportError) as error:
            why = f"{type(error).__name__}: {error}"[:300]
            raise Unavailable(f"The captioner in {folder} cannot be read.", why, "Download it again.") from error
        return model.to(self._device).eval().requires_grad_(False), processor


def _inputs(card: CaptionerCard, processor: Any, picture: Image) -> Any:
    if card.style == "plain":
        return processor(images=picture, return_tensors="pt")
    if card.style == "task":
        return processor(text=card.ask, images=picture, return_tensors="pt")
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": card.ask}]}
    text = processor.apply_chat_template([turn], add_generation_prompt=True)
    return processor(text=text, images=[picture], return_tensors="pt")


def tidied(sentence: str) -> str:
    """A model's sentence as a caption: without "The image shows", on one line, no full stop at the end of a single sentence."""
    words = " ".join(sentence.split())
    for head in _HEADS:
        if words.lower().startswith(head):
            words = words[len(head) :]
    if words.endswith(".") and ". " not in words:
        words = words[:-1]
    return words
