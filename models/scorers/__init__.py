"""What measures a picture. `scorers_for` says which scorers go with a model; `score_all` runs them and survives their failures.

No torch here: a scorer that needs it imports it when it first measures.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import StudioError
from models.scorers.adherence import Adherence
from models.scorers.technical import Technical
from models.spec import Score, ScoreContext, Scorer

if TYPE_CHECKING:
    from PIL.Image import Image

    from models.cards import ModelCard

log = logging.getLogger(__name__)

CLIPS = Path(__file__).parent.parent / "embedded" / "clips"


def scorers_for(card: ModelCard, clips: Path = CLIPS, device: str = "cpu") -> list[Scorer]:
    """The scorers for pictures of `card`, cheapest first.

    clips: the folder that holds `a` and `b`, the two small CLIPs. They know the embedded model's world only, so they are
    asked about its pictures only; for other models adherence is *not scored* and says so.
    """
    if card.vocabulary != "embedded":
        why = f"No adherence model for {card.title} is installed; the one that ships knows the embedded model's world only."
        return [Technical(), Adherence(None, "adherence", why=why), Adherence(None, "adherence_b", why=why)]
    return [Technical(), Adherence(clips / "a", "adherence", device), Adherence(clips / "b", "adherence_b", device)]


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
