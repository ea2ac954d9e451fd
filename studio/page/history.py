"""The history: every picture there is, newest first."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("History", id="history", elem_id="cs-tab-history") as tab:
        element("cs-history")
    tell_tab(tab, "history")
