"""The models: what each needs, where it lies, its licence and its download."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("Models", id="models", elem_id="cs-tab-models") as tab:
        element("cs-models")
    tell_tab(tab, "models")
