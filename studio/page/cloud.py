"""The cloud: its providers, what they cost, and what may be spent."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("Cloud", id="cloud", elem_id="cs-tab-cloud") as tab:
        element("cs-cloud")
    tell_tab(tab, "cloud")
