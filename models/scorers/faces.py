"""Faces: how many, how large, whether they are plausible, awake, well lit, and whose they are.

Found by YuNet with its five points where the weights were downloaded, else by Haar cascades, which say that they are a fallback;
`version` tells which. Likeness is SFace's (Zhong et al., "SFace: sigmoid-constrained hypersphere loss for robust face recognition",
IEEE TIP 2021), the smile MobileFaceNet's of the OpenCV Zoo; eyes and skin are measured from the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.scorers import weights
from models.scorers.catalogue import ScorerCard
from models.scorers.colour import Array, lab, luminance, stops
from models.scorers.finding import Face, Finder, Haar, YuNet, bgr_of
from models.spec import Score, ScoreContext
from models.weights import Where

if TYPE_CHECKING:
    from PIL.Image import Image

LARGE = 0.5  # of the largest face's height: smaller ones are of passers-by
# Where eyes, nose and corners of the mouth lie in a square of 112 that frames a face: the alignment that SFace and ArcFace share
# (Deng et al., "ArcFace", CVPR 2019).
TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
HAPPY = 3  # of angry, disgust, fearful, happy, neutral, sad, surprised
SMALL = 40  # pixels of a face's height below which its parts are not measured
EYES_APART = 36  # pixels between the eyes below which lashes cannot be told from an open eye


class Networks:
    """What was downloaded for faces, read from `folder`; the second and third network when they are first needed."""

    def __init__(self, card: ScorerCard, folder: Path) -> None:
        assert card.weights is not None
        self._files = {Path(name).name.split("_")[1]: folder / name for name in card.weights.files}
        self.finder = YuNet(self._files["detection"], weights.version(card.weights, folder))
        self._recognizer: Any = None
        self._expressions: Any = None

    def embedding(self, bgr: Array, face: Face) -> Array:
        """SFace's features of a face: (1, 128) float32, compared by their cosine."""
        import cv2

        if self._recognizer is None:
            self._recognizer = cv2.FaceRecognizerSF.create(str(self._files["recognition"]), "")
        return self._recognizer.feature(self._recognizer.alignCrop(bgr, face.row)).copy()

    def smile(self, bgr: Array, face: Face) -> float:
        """0..100: how probable a happy expression is."""
        import cv2

        if self._expressions is None:
            self._expressions = cv2.dnn.readNet(str(self._files["expression"]))
        blob = cv2.dnn.blobFromImage(aligned(bgr, face), 1 / 127.5, (112, 112), (127.5, 127.5, 127.5), swapRB=True)
        self._expressions.setInput(blob)
        logits = np.asarray(self._expressions.forward(), np.float64).ravel()
        share = np.exp(logits - logits.max())
        return float(100 * share[HAPPY] / share.sum())


class Faces:
    """The dimensions of presets/scorers/faces.toml as one scorer. Networks are looked for each time and loaded once."""

    def __init__(self, card: ScorerCard, where: Where = None) -> None:
        self.card, self.where = card, where
        self.name, self.dimensions = card.name, tuple(card.dimensions)
        self.version = ""
        self._networks: tuple[Path, Networks] | None = None
        self._haar: Haar | None = None

    def finder(self) -> Finder:
        """The best finder of faces that is here."""
        networks = self._ready()
        if networks:
            return networks.finder
        if self._haar is None:
            self._haar = Haar()
        return self._haar

    def score(self, pictures: Sequence[Image], context: ScoreContext) -> list[list[Score]]:
        """One list a picture, in the order of `dimensions`; without a face what is measured on one is not scored."""
        networks, finder = self._ready(), self.finder()
        self.version = f"1-{finder.version}"
        reference = _largest(context.likeness, finder) if context.likeness is not None else None
        return [self._one(picture, context, networks, finder, reference) for picture in pictures]

    def close(self) -> None:
        """Frees the networks; the next picture loads them again."""
        self._networks = None

    def _ready(self) -> Networks | None:
        assert self.card.weights is not None
        folder = weights.found(self.card.weights, self.where)
        if folder is None:
            self._networks = None
        elif self._networks is None or self._networks[0] != folder:
            self._networks = folder, Networks(self.card, folder)
        return self._networks[1] if self._networks else None

    def _one(
        self, picture: Image, context: ScoreContext, networks: Networks | None, finder: Finder, reference: tuple[Array, Face] | None
    ) -> list[Score]:
        bgr = bgr_of(picture)
        faces = finder.faces(bgr)
        values: dict[str, float | str] = {"faces": len(faces), "extra_faces": max(0, len(faces) - 1)}
        if faces:
            values |= self._measures(bgr, faces, networks) | self._against(bgr, faces[0], networks, context, reference)
        return [self._named(name, values.get(name, "There is no face to measure."), finder.note) for name in self.dimensions]

    def _named(self, name: str, value: float | str, note: str) -> Score:
        if isinstance(value, str):
            return Score(name, None, self.name, self.version, f"{value} {note}".strip())
        return Score(name, round(float(value), 1), self.name, self.version, note)

    def _measures(self, bgr: Array, faces: Sequence[Face], networks: Networks | None) -> dict[str, float | str]:
        """Of each dimension its value, or why there is none."""
        first = faces[0]
        large = [face for face in faces if face.height >= LARGE * first.height]
        values: dict[str, float | str] = {"face_size": min(100.0, 100 * first.height / bgr.shape[0])}
        values["face_geometry"] = (
            min(geometry(face.points) for face in large if face.points is not None)
            if networks
            else "Where nose and mouth are is not known."
        )
        values["smile"] = networks.smile(bgr, first) if networks else "The model of expressions is not on this machine."
        too_small = f"The face is under {SMALL} pixels high."
        if first.height < SMALL:
            return values | dict.fromkeys(("eyes_open", "face_light", "face_contrast"), too_small)
        open_eyes = [eyes_open(bgr, face) for face in large if eyes_apart(face) >= EYES_APART]
        values["eyes_open"] = min(open_eyes, default=f"The eyes are under {EYES_APART} pixels apart.")
        values["face_light"], values["face_contrast"] = light(bgr, first), contrast(bgr, first)
        return values

    def _against(
        self, bgr: Array, face: Face, networks: Networks | None, context: ScoreContext, reference: tuple[Array, Face] | None
    ) -> dict[str, float | str]:
        """What needs a reference."""
        if reference is None:
            why = "The request names no reference picture." if context.likeness is None else "There is no face in the reference."
            return {"face_likeness": why, "skin_tone": why}
        skin = abs(stops(skin_light(bgr, face), than=skin_light(*reference)))
        if networks is None:
            return {"skin_tone": skin, "face_likeness": weights.missing(self.card, self.where)}
        one, other = networks.embedding(bgr, face).ravel(), networks.embedding(*reference).ravel()
        return {"skin_tone": skin, "face_likeness": float(100 * one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))}


def _largest(picture: Image, finder: Finder) -> tuple[Array, Face] | None:
    bgr = bgr_of(picture)
    faces = finder.faces(bgr)
    return (bgr, faces[0]) if faces else None


def geometry(points: Array) -> float:
    """0..100: how near eyes, nose and mouth (5, 2) are to where faces have them, after the best shift, turn and scale.

    The mean distance to TEMPLATE as a share of the distance between the eyes: up to a tenth is 100 (people differ, heads turn), four
    tenths are 0 (an eye on the cheek, a mouth beside the nose).
    """
    fitted = _similarity(points, TEMPLATE)
    apart = np.linalg.norm(TEMPLATE[1] - TEMPLATE[0])
    error = float(np.linalg.norm(fitted - TEMPLATE, axis=1).mean() / apart)
    return float(np.clip((0.4 - error) / 0.3, 0, 1) * 100)


def aligned(bgr: Array, face: Face) -> Array:
    """The face upright in (112, 112, 3), its points where TEMPLATE has them."""
    import cv2

    matrix = _similarity_matrix(_points(face), TEMPLATE)
    return cv2.warpAffine(bgr, matrix, (112, 112))


def eyes_open(bgr: Array, face: Face) -> float:
    """0..100 for the eye that is less open.

    A lid that is shut is skin with a thin line of lashes; between open lids there are white, iris and pupil, all of them unlike skin.
    So it is measured how high, as a share of the distance between the eyes, the largest upright stretch unlike the lid's skin is:
    100 from .105 on, 0 up to .035. Like the eye aspect ratio of Soukupova and Cech, "Real-time eye blink detection using facial
    landmarks" (CVWW 2016), for finders that give an eye but not its lids.
    """
    import cv2

    eyes, apart = _eyes(face), eyes_apart(face)
    turn = float(np.degrees(np.arctan2(eyes[1][1] - eyes[0][1], eyes[1][0] - eyes[0][0])))
    heights = []
    for eye in eyes:
        matrix = cv2.getRotationMatrix2D((float(eye[0]), float(eye[1])), turn, 100 / apart)
        matrix[:, 2] += np.array((30.0, 20.0)) - eye
        patch = cv2.warpAffine(bgr, matrix, (60, 40), flags=cv2.INTER_AREA if apart > 100 else cv2.INTER_CUBIC)
        heights.append(_aperture(patch))
    return float(np.clip((min(heights) - 0.035) / 0.07, 0, 1) * 100)


def eyes_apart(face: Face) -> float:
    """The distance between the eyes in pixels."""
    left, right = _eyes(face)
    return float(np.linalg.norm(right - left))


def _eyes(face: Face) -> Array:
    return face.eyes if face.eyes is not None else _points(face)[:2]


def _aperture(patch: Array) -> float:
    """How high the largest upright stretch unlike skin is in a patch of (40, 60) about an eye, as a share of the eyes' distance (100)."""
    import cv2

    colours = lab(cv2.GaussianBlur(patch, (3, 3), 0)[:, :, ::-1])
    skin = np.median(colours[[*range(4), *range(34, 40)]].reshape(-1, 3), axis=0)
    unlike = np.linalg.norm(colours - skin, axis=-1)
    strongest = np.percentile(unlike[8:32, 12:48], 98)
    if strongest < 8:
        return 0.0
    mask = unlike[6:34, 10:50] > max(8.0, 0.38 * strongest)
    # The brow is dark as well, and cut by the patch's upper edge: only stretches that cross the eye's middle third count.
    count, label, stats, middle = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    best = 0.0
    for number in range(1, count):
        if abs(middle[number][1] - mask.shape[0] / 2) > 9 or stats[number, cv2.CC_STAT_AREA] < 12:
            continue
        own = label == number
        tall = np.sort(own.sum(axis=0))[::-1]
        best = max(best, float(tall[: max(3, round(0.25 * np.count_nonzero(tall)))].mean()))
    return best / 100


def light(bgr: Array, face: Face) -> float:
    """0..100: 100 less twice the share of the face that is burnt out (a channel of 254 or more in what is bright) or black (L* < 8)."""
    pixels = _skin(bgr, face)
    bright = luminance(pixels)
    lost = ((pixels.max(axis=-1) >= 254) & (bright > 0.75)) | (bright < 0.0089)
    return float(100 * max(0.0, 1 - 2 * lost.mean()))


def contrast(bgr: Array, face: Face) -> float:
    """Stops between the median light of the face's left and right half."""
    left, right = _skin(bgr, face, (0.16, 0.45)), _skin(bgr, face, (0.55, 0.84))
    return abs(stops(float(np.median(luminance(left))), than=float(np.median(luminance(right)))))


def skin_light(bgr: Array, face: Face) -> float:
    """The median relative luminance of forehead, cheeks and chin, 0..1."""
    return float(np.median(luminance(_skin(bgr, face))))


def _skin(bgr: Array, face: Face, columns: tuple[float, float] = (0.18, 0.82)) -> Array:
    """(n, 3) sRGB pixels of a face's ellipse between two shares of its width: mostly skin, so that medians are of skin."""
    left, top, width, height = face.box
    rows = np.clip(np.linspace(top + 0.15 * height, top + 0.9 * height, 96), 0, bgr.shape[0] - 1).astype(int)
    across = np.linspace(columns[0], columns[1], 96)
    places = np.clip(left + across * width, 0, bgr.shape[1] - 1).astype(int)
    y, x = np.meshgrid(np.linspace(-1, 1, 96), (across - 0.5) / 0.34, indexing="ij")
    return bgr[np.ix_(rows, places)][(x**2 + y**2) <= 1][:, ::-1]


def _points(face: Face) -> Array:
    """The face's points, or where they lie in a frontal face that fills its box as the Haar cascades draw it."""
    if face.points is not None:
        return face.points
    left, top, width, height = face.box
    shares = np.array([[0.31, 0.40], [0.69, 0.40], [0.5, 0.60], [0.34, 0.79], [0.66, 0.79]])
    return shares * (width, height) + (left, top)


def _similarity_matrix(points: Array, target: Array) -> Array:
    """(2, 3): the shift, turn and scale that bring `points` nearest to `target` in the least squares sense (Umeyama, PAMI 1991)."""
    x, y = points[:, 0], points[:, 1]
    one, none = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate([np.stack([x, -y, one, none], axis=1), np.stack([y, x, none, one], axis=1)])
    a, b, tx, ty = np.linalg.lstsq(rows, np.concatenate([target[:, 0], target[:, 1]]), rcond=None)[0]
    return np.array([[a, -b, tx], [b, a, ty]])


def _similarity(points: Array, target: Array) -> Array:
    matrix = _similarity_matrix(points, target)
    return points @ matrix[:, :2].T + matrix[:, 2]
