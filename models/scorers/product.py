"""The product: whether it is the reference's, how many there are, and whether somebody else is in the picture.

Likeness is measured in three ways that fail differently and are never averaged: a CLIP's embedding of the cut-out object, its colours,
and local features (Rublee et al., "ORB: an efficient alternative to SIFT or SURF", ICCV 2011) that agree on one similarity transform.
What is counted is what stands out from the background (models/scorers/ground.py); a sign or a lamp beside a product is a thing as well,
and only things of the product's colours count as a second one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.scorers.catalogue import ScorerCard
from models.scorers.clip import WEIGHTS, Clip, clip_in, fingerprint
from models.scorers.faces import Faces
from models.scorers.finding import Finder, bgr_of, bodies, people
from models.scorers.ground import Ground, alike, ground_of, sisters
from models.spec import Score, ScoreContext
from models.threads import compute

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray
MATCHED_SIDE = 512  # pixels of the longest side in which local features are compared
FEATURES = 500
RATIO = 0.8  # Lowe's: the best match must be so much nearer than the second
LEAST = 12  # features that a reference must have to be recognised by them
PROOF = 8  # matches that must agree; fewer agree by chance


class Product:
    """The dimensions of presets/scorers/product.toml as one scorer.

    faces: who finds people. tower: the folder of the CLIP whose embedding likeness is measured in, or why there is none; asked each
    time, for a download may have ended.
    """

    def __init__(self, card: ScorerCard, faces: Faces, tower: Callable[[], Path | str], device: str = "cpu") -> None:
        self.name, self.dimensions = card.name, tuple(card.dimensions)
        self._faces, self._tower, self._device = faces, tower, device
        self._clip: Clip | None = None  # kept, so that it is read once
        self.version = "1"

    def close(self) -> None:
        """Frees the weights; the next picture loads them again."""
        self._clip = None
        self._faces.close()

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
        """One list a picture, in the order of `dimensions`; what nobody asked for is left out."""
        asked = [name for name in self.dimensions if context.asked is None or name in context.asked]
        finder = self._faces.finder()
        tower = self._tower()
        seen_by = "" if isinstance(tower, str) else fingerprint(tower / WEIGHTS)
        self.version = "-".join(part for part in ("1", finder.version, seen_by) if part)
        grounds = [ground_of(picture) for picture in pictures]
        reference = None if context.likeness is None else ground_of(context.likeness)
        likeness = self._likeness(pictures, grounds, context.likeness, reference, tower) if "product_likeness" in asked else []
        rows = []
        for number, (picture, ground) in enumerate(zip(pictures, grounds, strict=True)):
            values = self._counts(picture, ground, reference, finder, asked)
            values |= self._against(picture, ground, context.likeness, reference, asked)
            if likeness:
                values["product_likeness"] = likeness[number]
            rows.append([self._named(name, values[name], finder.note if name == "people" else "") for name in asked])
        return rows

    def _named(self, name: str, value: float | str, note: str) -> Score:
        if isinstance(value, str):
            return Score(name, None, self.name, self.version, value)
        return Score(name, round(float(value), 1), self.name, self.version, note)

    def _counts(
        self, picture: Image, ground: Ground, reference: Ground | None, finder: Finder, asked: Sequence[str]
    ) -> dict[str, float | str]:
        kind = reference.things[0].colours if reference and reference.things else None
        values: dict[str, float | str] = {"product_count_off": abs(sisters(ground, kind) - 1)}
        if "people" in asked:
            bgr = bgr_of(picture)
            values["people"] = people(finder.faces(bgr), bodies(bgr))
        return values

    def _against(
        self, picture: Image, ground: Ground, likeness: Image | None, reference: Ground | None, asked: Sequence[str]
    ) -> dict[str, float | str]:
        names = ("product_likeness", "product_colour", "product_details")
        if likeness is None or reference is None:
            return dict.fromkeys(names, "The request names no reference picture.")
        if not reference.things:
            return dict.fromkeys(names, "Nothing stands out in the reference: crop it, or take one on a plain background.")
        values: dict[str, float | str] = dict.fromkeys(names, "Nothing stands out from the background.")
        kind = reference.things[0].colours
        if ground.things:
            values["product_colour"] = min(100.0, min(alike(thing.colours, kind) for thing in ground.things))
        if "product_details" in asked:
            found = details(_cut(likeness, reference), picture)
            values["product_details"] = "The reference has too few distinct points." if found is None else found
        return values

    def _likeness(
        self, pictures: Sequence[Image], grounds: Sequence[Ground], likeness: Image | None, reference: Ground | None, tower: Path | str
    ) -> list[float | str]:
        """One answer a picture; none where `_against` has said why."""
        if likeness is None or reference is None or not reference.things:
            return []
        if isinstance(tower, str):
            return [tower] * len(pictures)
        crops = [_cut(likeness, reference), *(_cut(picture, ground) for picture, ground in zip(pictures, grounds, strict=True))]
        values = compute(lambda: self._cosines(tower, crops))
        nothing = "Nothing stands out from the background."
        return [100 * value if ground.things else nothing for value, ground in zip(values, grounds, strict=True)]

    def _cosines(self, tower: Path, crops: Sequence[Image]) -> list[float]:
        """Of the first crop with each of the others."""
        self._clip = clip_in(tower, self._device)
        features = self._clip.pictures(crops, ScoreContext("", 1, 1)).float().cpu().numpy()
        return [float(value) for value in features[1:] @ features[0]]


def _cut(picture: Image, ground: Ground) -> Image:
    """The most prominent object with a little around it; the whole picture where nothing stands out."""
    return picture.convert("RGB").crop(ground.box(ground.things[0], picture.size)) if ground.things else picture.convert("RGB")


def details(reference: Image, picture: Image) -> float | None:
    """0..100: the share of the reference's features that are found again in one consistent place.

    None where the reference has too few. Fewer than PROOF matches that agree count for none.
    """
    import cv2

    orb = cv2.ORB.create(FEATURES, fastThreshold=10)
    points, wanted = orb.detectAndCompute(_grey(reference), None)
    if wanted is None or len(points) < LEAST:
        return None
    places, seen = orb.detectAndCompute(_grey(picture), None)
    if seen is None or len(places) < 2:
        return 0.0
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(wanted, seen, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < RATIO * pair[1].distance]
    if len(good) < PROOF:
        return 0.0
    start = np.array([points[match.queryIdx].pt for match in good], np.float32)
    end = np.array([places[match.trainIdx].pt for match in good], np.float32)
    cv2.setRNGSeed(0)  # RANSAC draws: the same pictures get the same value
    matrix, agree = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=4.0)
    count = 0 if matrix is None else int(np.count_nonzero(agree))
    return 100.0 * count / len(points) if count >= PROOF else 0.0


def _grey(picture: Image) -> Array:
    """uint8, with a longest side of MATCHED_SIDE: features of a small object need room."""
    from PIL.Image import Resampling

    factor = MATCHED_SIDE / max(picture.size)
    size = (max(32, round(picture.width * factor)), max(32, round(picture.height * factor)))
    return np.asarray(picture.convert("L").resize(size, Resampling.BICUBIC))
