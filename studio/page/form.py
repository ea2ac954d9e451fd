"""The form: prompt, counts, size, seed, and what few need."""
from __future__ import annotations

from studio.page.element import element


def build() -> None:
    element("cs-form", id="cs-form")
