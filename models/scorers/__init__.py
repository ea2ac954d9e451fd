"""What measures a picture. `scorers_for` says which scorers go with a model; `score_all` runs them and survives their failures.

No torch here: a scorer that needs it imports it when it first measures.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import StudioError
from models.scorers import weights
from models.scorers.adherence import Adherence, DownloadedAdherence, NotHere
from models.scorers.aesthetic import Aesthetic, Preference
from models.scorers.brand import Brand
from models.scorers.catalogue import ScorerCard, load_scorers
from models.scorers.concepts import Concepts
from models.scorers.contrast import Contrast
from models.scorers.exposed import Exposed
from models.scorers.faces import Faces
from models.scorers.mush import Mush
from models.scorers.product import Product
from models.scorers.recognised import Recognised
from models.scorers.safety import PictureClassifier, TextClassifier
from models.scorers.size import Size
from models.scorers.technical import Technical
from models.scorers.text import Text
from models.spec import Score, ScoreContext, Scorer

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.cards import ModelCard
    from models.weights import Where

log = logging.getLogger(__name__)

HELD_OUT = "The held-out verifier that ships knows the embedded model's world only; for other models HPSv2.1 is watched."
CLIPS = Path(__file__).parent.parent / "embedded" / "clips"


def scorers_for(
    card: ModelCard, where: Where = None, device: str = "cpu", asked: Collection[str] = (), clips: Path = CLIPS
) -> list[Scorer]:
    """The scorers for pictures of `card`: every generic one, and those that measure one of the dimensions `asked`, cheapest first.

    where: where to look for weights that were downloaded; what is not there is *not scored*, and says what to download. clips: the
    folder of the small CLIPs that ship, which know the embedded model's world only. Raises NotFound for an unknown dimension.
    """
    return [_make(scorer, card, where, device, clips) for scorer in load_scorers().wanted(asked)]


def prompt_encoder(card: ModelCard, where: Where = None, device: str = "cpu", clips: Path = CLIPS) -> Adherence | DownloadedAdherence:
    """The text tower that adherence to prompts for `card` is measured with; its `missing()` says what it lacks."""
    return _adherence(load_scorers().scorers["adherence"], card, where, device, clips)


def _make(scorer: ScorerCard, card: ModelCard, where: Where, device: str, clips: Path) -> Scorer:
    match name := scorer.name:
        case "technical":
            return Technical()
        case "adherence" | "adherence_b":
            return _adherence(scorer, card, where, device, clips)
        case "alarm":
            embedded = card.vocabulary == "embedded"
            return Adherence(clips / "alarm", "alarm", device) if embedded else NotHere("alarm", "alarm", HELD_OUT)
        case "contrast":
            return Contrast(card.vocabulary == "embedded", (clips / "a", clips / "b"), device)
        case "aesthetic":
            return Aesthetic(scorer, load_scorers().scorers["adherence"], where, device)
        case "preference":
            return Preference(scorer, where, device)
        case "mush":
            return Mush(card.vocabulary == "embedded", card.title)
        case "recognised":
            return Recognised(card.vocabulary == "embedded", card.title)
        case "size":
            return Size()
        case "text":
            return Text()
        case "faces":
            return Faces(scorer, where)
        case "product":
            return _product(scorer, card, where, device, clips)
        case "brand":
            return Brand()
        case "safety":
            return PictureClassifier(scorer, where, device)
        case "safety_prompt" | "safety_hate":
            return TextClassifier(scorer, where, device)
        case "safety_concepts":
            return Concepts(scorer, where, device)
        case "safety_exposed":
            return Exposed(scorer, where, device)
        case _:
            raise AssertionError(f"presets/scorers/{name}.toml has no scorer")


def _adherence(scorer: ScorerCard, card: ModelCard, where: Where, device: str, clips: Path) -> Adherence | DownloadedAdherence:
    """The small CLIPs that ship know the embedded model's world, and no other."""
    if card.vocabulary == "embedded":
        return Adherence(clips / ("a" if scorer.name == "adherence" else "b"), scorer.name, device)
    return DownloadedAdherence(scorer, where, device)


def _product(scorer: ScorerCard, card: ModelCard, where: Where, device: str, clips: Path) -> Product:
    """Likeness is measured by the tower that measures adherence."""
    known = load_scorers().scorers
    adherence = known["adherence"]

    def tower() -> Path | str:
        if card.vocabulary == "embedded":
            return clips / "a"
        folder = weights.found(adherence.weights, where) if adherence.weights else None
        return folder or weights.missing(adherence, where)

    return Product(scorer, Faces(known["faces"], where), tower, device)


def score_all(pictures: Sequence[Image], context: ScoreContext, scorers: Sequence[Scorer]) -> list[list[Score]]:
    """Every score of every picture: one list a picture, in the order of the scorers and of their dimensions.

    A scorer that fails gives *not scored* with the reason for each of its dimensions and pictures; what is a bug and no
    StudioError is logged with its traceback. Nothing but running out of memory or an interrupt stops the others.
    """
    rows: list[list[Score]] = [[] for _ in pictures]
    if not pictures:
        return rows
    for scorer in scorers:
        for row, scores in zip(rows, _scores_or_why_not(scorer, pictures, context), strict=True):
            row.extend(scores)
    return rows


def _scores_or_why_not(scorer: Scorer, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
    try:
        answer = scorer.score(pictures, context)
        if len(answer) != len(pictures):
            raise RuntimeError(f"{scorer.name} answered for {len(answer)} of {len(pictures)} pictures")
        return answer
    except StudioError as error:
        note = str(error)
    except Exception as error:  # a scorer's bug must not lose the pictures: it is told as not scored, and logged whole
        log.exception("scorer %s failed on %d pictures", scorer.name, len(pictures))
        note = f"{scorer.name} failed: {type(error).__name__}: {error}"[:500]
    return [[Score(name, None, scorer.name, scorer.version, note) for name in scorer.dimensions] for _ in pictures]
