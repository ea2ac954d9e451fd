"""Templates: prompts as products, with pictures, variables and versions; and brands."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("Templates", id="templates", elem_id="cs-tab-templates") as tab:
        element("cs-templates")
    tell_tab(tab, "templates")
