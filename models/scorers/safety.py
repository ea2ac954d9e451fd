"""Content safety by classifiers: of pictures (`PictureClassifier`) and of prompts before they are drawn (`TextClassifier`).

Both are transformers' own classes over folders that were downloaded; values are the probability of the unsafe labels in per cent.
torch and transformers are imported when first needed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import Unavailable
from models.scorers.catalogue import load_scorers
from models.scorers.downloaded import Downloaded
from models.spec import ScoreContext
from models.threads import compute
from models.weights import Where

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

BATCH = 16
TOKENS = 512  # what the encoders read at once; a longer prompt is read in windows that overlap ...
OVERLAP = 64  # ... by so many tokens, and the worst window answers

# The labels that count, by scorer, in small letters. toxic-bert's "toxic", "insult" and "obscene" fire on rude words alone.
UNSAFE = {
    "safety": frozenset({"nsfw"}),
    "safety_prompt": frozenset({"nsfw"}),
    "safety_hate": frozenset({"threat", "identity_hate", "severe_toxic"}),
}


@dataclass
class _Classifier:
    """The model, what prepares its input, and the indexes of the unsafe labels."""

    model: Any
    prepare: Any
    unsafe: list[int]

    def unsafety(self, logits: torch.Tensor) -> list[float]:
        """0..100 a row: the likeliest unsafe label where labels stand side by side, their sum where one excludes the others."""
        logits = logits.float()
        if self.model.config.problem_type == "multi_label_classification":
            return (100 * logits.sigmoid()[:, self.unsafe].amax(1)).tolist()
        return (100 * logits.softmax(1)[:, self.unsafe].sum(1)).tolist()


class PictureClassifier(Downloaded[_Classifier]):
    """A picture classifier in transformers' or timm's layout. One dimension: how likely the picture is unsafe, 0..100."""

    def _load(self, folder: Path) -> _Classifier:
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        model = AutoModelForImageClassification.from_pretrained(folder, local_files_only=True)
        prepare = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        return _Classifier(model.eval().requires_grad_(False).to(self.device), prepare, _indexes(model.config, self.name))

    def _measure(self, model: _Classifier, pictures: Sequence[Image], context: ScoreContext) -> list[list[float]]:
        import torch

        values: list[float] = []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH):
                batch = [picture.convert("RGB") for picture in pictures[start : start + BATCH]]
                inputs = model.prepare(images=batch, return_tensors="pt")
                values += model.unsafety(model.model(pixel_values=inputs["pixel_values"].to(self.device)).logits)
        return [[value] for value in values]


class TextClassifier(Downloaded[_Classifier]):
    """A text classifier in transformers' layout. One dimension: how likely the prompt, or a text on the picture, is unsafe, 0..100.

    The same for every picture of a request, and known before the first is drawn: `read`.
    """

    def read(self, text: str) -> float | None:
        """How unsafe a text is, 0..100; None while the weights are not here."""
        return None if self._ready() is None else round(compute(lambda: self._unsafety(self._loaded(), text)), 1)

    def _load(self, folder: Path) -> _Classifier:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return _Classifier(model.eval().requires_grad_(False).to(self.device), tokenizer, _indexes(model.config, self.name))

    def _measure(self, model: _Classifier, pictures: Sequence[Image], context: ScoreContext) -> list[list[float]]:
        value = self._unsafety(model, said(context.prompt, context.texts))
        return [[value] for _ in pictures]

    def _unsafety(self, model: _Classifier, text: str) -> float:
        import torch

        length = min(TOKENS, model.model.config.max_position_embeddings)
        windows = model.prepare(
            text, truncation=True, max_length=length, stride=min(OVERLAP, length // 4), return_overflowing_tokens=True, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            ids, mask = windows["input_ids"].to(self.device), windows["attention_mask"].to(self.device)
            return max(model.unsafety(model.model(input_ids=ids, attention_mask=mask).logits))


def prompt_readers(where: Where = None, device: str = "cpu") -> list[TextClassifier]:
    """The text classifiers that look at a prompt before it is drawn; each answers None while its weights are not here."""
    scorers = load_scorers().scorers
    return [TextClassifier(scorers[name], where, device) for name in ("safety_prompt", "safety_hate")]


def said(prompt: str, texts: Collection[str]) -> str:
    """All that a request says: its prompt, and the words that the picture is to show."""
    return "\n".join([prompt, *texts])


def _indexes(config: Any, scorer: str) -> list[int]:
    found = [int(index) for index, label in config.id2label.items() if str(label).lower() in UNSAFE[scorer]]
    if not found:
        labels = ", ".join(str(label) for label in config.id2label.values())
        raise Unavailable(
            "The downloaded classifier does not know what it should tell.",
            f"Its labels are {labels}; none of {', '.join(sorted(UNSAFE[scorer]))} is among them.",
            "Remove it in the Quality tab and download it again.",
        )
    return found
