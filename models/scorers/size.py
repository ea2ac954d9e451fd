"""How many pixels a picture has, for rules that name a number; whether they are as many as asked for says `technical`."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from models.spec import Score, ScoreContext


class Size:
    """The longer and the shorter side, in pixels."""

    name = "size"
    version = "1"
    dimensions: tuple[str, ...] = ("longest_side", "shortest_side")

    def score(self, pictures: Sequence[Image.Image], context: ScoreContext) -> list[list[Score]]:
        """One list a picture, in the order of `dimensions`."""
        return [
            [
                Score(name, float(side), self.name, self.version)
                for name, side in zip(self.dimensions, sorted(picture.size, reverse=True), strict=True)
            ]
            for picture in pictures
        ]
