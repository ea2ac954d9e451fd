"""Experiments: two ways to make a picture compared over the same values and seeds, and grids over any fields."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("Experiments", id="experiments", elem_id="cs-tab-experiments") as tab:
        element("cs-experiments")
    tell_tab(tab, "experiments")
