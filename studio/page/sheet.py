"""The sheet: the frames of the latest jobs as they are drawn, scored and sorted, and the loupe over them."""
from __future__ import annotations

from studio.page.element import element


def build() -> None:
    element("cs-sheet", id="cs-sheet")
