"""Batch: catalogues and ad variants, their progress and what they gave."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("Batch", id="batch", elem_id="cs-tab-batch") as tab:
        element("cs-batch")
    tell_tab(tab, "batch")
