"""Finds faces and bodies. YuNet where it was downloaded, else the Haar cascades that come with OpenCV. cv2 is imported when first needed.

Wu, Peng and Yu, "YuNet: a tiny millisecond-level face detector" (Machine Intelligence Research 2023); Viola and Jones, "Rapid object
detection using a boosted cascade of simple features" (CVPR 2001); Dalal and Triggs, "Histograms of oriented gradients for human
detection" (CVPR 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray
FACE_SIDE = 640  # pixels of the longest side in which faces are looked for
SURE = 0.7  # YuNet's confidence, 0..1
BELOW = 0.124  # of the distance between the eyes; measured on drawn portraits: .124 with a deviation of .007
# A person is 128 pixels high to the body detector, and in a picture smaller than its window OpenCV ends the process.
BODY_SIDE, BODY_LEAST, BODY_SURE = 480, 192, 1.0


@dataclass(frozen=True)
class Face:
    """box: (left, top, width, height) in pixels. points: (5, 2) in pixels, the eye on the picture's left, the other eye, the nose, the
    corners of the mouth left and right; None from a finder that knows no nose and mouth. eyes: (2, 2), the first two of them, where
    such a finder saw both. row: what YuNet said, for SFace."""

    box: tuple[float, float, float, float]
    points: Array | None = None
    eyes: Array | None = None
    row: Array | None = None

    @property
    def height(self) -> float:
        return self.box[3]


class Finder(Protocol):
    """note: what a person should know of what it finds. version: changes whenever it may find something else."""

    note: str
    version: str

    def faces(self, bgr: Array) -> list[Face]:
        """The largest first. bgr: (height, width, 3) uint8."""
        ...


def bgr_of(picture: Image) -> Array:
    """(height, width, 3) uint8 as OpenCV has it."""
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])


class YuNet:
    """Faces from about 10 pixels, turned ones too, with five points each. model: the path of face_detection_yunet_*.onnx."""

    note = ""

    def __init__(self, model: Path, version: str) -> None:
        import cv2

        self.version = f"yunet-{version}"
        self._net = cv2.FaceDetectorYN.create(str(model), "", (320, 320), SURE, 0.3, 500)

    def faces(self, bgr: Array) -> list[Face]:
        small, factor = _within(bgr, FACE_SIDE)
        self._net.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._net.detect(small)
        found = []
        for row in rows if rows is not None else ():
            full = np.concatenate([row[:14] / factor, row[14:]]).astype(np.float32)
            points = full[4:14].reshape(5, 2)
            # YuNet names eyes and corners from the person's side; which is left in the picture does not depend on that.
            ordered = np.concatenate([_left_first(points[:2]), points[2:3], _left_first(points[3:])])
            box = (float(full[0]), float(full[1]), float(full[2]), float(full[3]))
            found.append(Face(box, ordered, ordered[:2], full))
        return _largest_first(found)


class Haar:
    """Frontal faces from about a twentieth of the picture; no points. It looks at an equalised and a brightened copy as well, for in
    the picture as it is the cascades overlook most faces of dark skin; they still overlook many."""

    note = (
        "By the Haar cascades, a fallback that overlooks turned and covered faces and many of dark skin;"
        " download YuNet in the Quality tab."
    )

    def __init__(self) -> None:
        import cv2

        self.version = f"haar-{cv2.__version__}"
        self._cascade = cascade("frontalface_alt2")
        self._eyes = cascade("righteye_2splits"), cascade("lefteye_2splits")  # named from the person's side

    def faces(self, bgr: Array) -> list[Face]:
        import cv2

        grey, factor = _within(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), FACE_SIDE)
        least = max(24, min(grey.shape) // 20)
        if min(grey.shape) < 48:
            return []
        boxes: list[Array] = []
        bright = brightened(grey)
        for plane in (grey, cv2.equalizeHist(grey), bright):
            for box in self._cascade.detectMultiScale(plane, 1.1, 4, minSize=(least, least)):
                if all(_overlap(box, other) < 0.3 for other in boxes):
                    boxes.append(box)
        return _largest_first([self._face(bright, box, factor) for box in boxes])

    def _face(self, grey: Array, box: Array, factor: float) -> Face:
        """With its eyes, open or shut, where both are seen: in the upper part of the face, one on each side."""
        left, top, width, height = (int(side) for side in box)
        eyes = []
        for near, eye in ((0.06, self._eyes[0]), (0.5, self._eyes[1])):
            x, y = left + round(near * width), top + round(0.2 * height)
            part = grey[y : y + round(0.4 * height), x : x + round(0.44 * width)]
            found = eye.detectMultiScale(part, 1.05, 3, minSize=(max(12, width // 7),) * 2)
            if len(found):
                best = min(found, key=lambda one: abs(one[1] + one[3] / 2 - 0.5 * part.shape[0]))
                eyes.append((x + best[0] + best[2] / 2, y + best[1] + best[3] / 2))
        full = (left / factor, top / factor, width / factor, height / factor)
        if len(eyes) < 2:
            return Face(full)
        # The cascades frame an eye with its brow: the eye itself lies below the middle of what they find.
        seen = np.array(eyes)
        seen[:, 1] += BELOW * np.linalg.norm(seen[1] - seen[0])
        return Face(full, eyes=seen / factor)


def brightened(grey: Array) -> Array:
    """With a gamma of .3: what differs in the dark differs as much as in the light."""
    return (255 * (grey / 255.0) ** 0.3).astype(np.uint8)


def cascade(name: str) -> Any:
    """One of the cascades that come with OpenCV. Raises Unavailable where the package has none (OpenCV 5)."""
    import cv2

    from models.errors import Unavailable

    path = Path(cv2.__file__).parent / "data" / f"haarcascade_{name}.xml"
    found = cv2.CascadeClassifier(str(path)) if path.is_file() else None
    if found is None or found.empty():
        raise Unavailable(f"OpenCV {cv2.__version__} has no cascade {name}.", todo="Install opencv-python-headless<5.")
    return found


def bodies(bgr: Array) -> list[tuple[float, float, float, float]]:
    """Boxes (left, top, width, height) of upright people who are seen whole."""
    import cv2

    factor = min(BODY_SIDE / max(bgr.shape[:2]), 1.0)
    factor = max(factor, BODY_LEAST / min(bgr.shape[:2]))
    size = (max(BODY_LEAST, round(bgr.shape[1] * factor)), max(BODY_LEAST, round(bgr.shape[0] * factor)))
    sized = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    finder: Any = cv2.HOGDescriptor()
    finder.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
    boxes, sure = finder.detectMultiScale(sized, winStride=(8, 8), scale=1.05)
    return [
        (box[0] / factor, box[1] / factor, box[2] / factor, box[3] / factor)
        for box, weight in zip(boxes, np.ravel(sure), strict=True)
        if weight >= BODY_SURE
    ]


def people(faces: Sequence[Face], found: Sequence[tuple[float, float, float, float]]) -> int:
    """How many people faces and bodies are: a face within a body is no second person, nor are bodies that mostly overlap."""
    alone: list[Array] = []
    for body in found:
        if all(_overlap(np.array(body), other) < 0.4 for other in alone):
            alone.append(np.array(body))
    middles = [(face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2) for face in faces]
    headless = [body for body in alone if not any(_within_box(middle, body) for middle in middles)]
    return len(faces) + len(headless)


def _within_box(point: tuple[float, float], box: Array) -> bool:
    return bool(box[0] <= point[0] <= box[0] + box[2] and box[1] <= point[1] <= box[1] + box[3])


def _overlap(one: Array, other: Array) -> float:
    """Intersection over the smaller of two boxes (left, top, width, height), 0..1."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0.0, float(width)) * max(0.0, float(height)) / float(max(1, min(one[2] * one[3], other[2] * other[3])))


def _within(pixels: Array, side: int) -> tuple[Array, float]:
    """Reduced to at most `side` pixels, and by what factor; what is smaller stays."""
    import cv2

    factor = min(1.0, side / max(pixels.shape[:2]))
    if factor == 1:
        return pixels, 1.0
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), factor


def _left_first(points: Array) -> Array:
    return points[np.argsort(points[:, 0], kind="stable")]


def _largest_first(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: -face.box[2] * face.box[3])
