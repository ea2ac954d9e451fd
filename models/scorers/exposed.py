"""Exposed parts of the body by NudeNet's detector (github.com/notAI-tech/NudeNet, v3), for those who opt in to its AGPL-3.0 weights.

Its weights alone are used; the code here reads what a YOLOv8 head gives, whose layout ultralytics' documentation describes: for each
of its places four numbers of a box and one confidence a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.machine import usable_cores
from models.scorers.downloaded import Downloaded
from models.spec import ScoreContext

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 320
# Of its 18 classes, by index: buttocks, female breast, female genitalia, anus and male genitalia, each exposed.
EXPOSED = (2, 3, 4, 6, 14)
BOX = 4  # numbers before the classes


class Exposed(Downloaded[Any]):
    """One dimension: the confidence of the surest exposed part, 0..100."""

    def _load(self, folder: Path) -> Any:
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        return onnxruntime.InferenceSession(folder / "320n.onnx", options, providers=["CPUExecutionProvider"])

    def _measure(self, model: Any, pictures: Sequence[Image], context: ScoreContext) -> list[list[float]]:
        name = model.get_inputs()[0].name
        return [[self._confidence(model.run(None, {name: _square(picture)})[0])] for picture in pictures]

    def _confidence(self, answer: np.ndarray) -> float:
        """answer: (1, 4 + classes, places)."""
        return 100 * float(answer[0, [BOX + index for index in EXPOSED]].max())


def _square(picture: Image) -> np.ndarray:
    """(1, 3, SIDE, SIDE) float32 in 0..1: the picture in the upper left corner, black beside or below it."""
    factor = SIDE / max(picture.size)
    small = picture.convert("RGB").resize((max(1, round(picture.width * factor)), max(1, round(picture.height * factor))))
    canvas = np.zeros((SIDE, SIDE, 3), np.float32)
    canvas[: small.height, : small.width] = np.asarray(small, np.float32) / 255
    return canvas.transpose(2, 0, 1)[None]
