"""Quality: profiles with their bars and rules, what measures them, and safety."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("Quality", id="quality", elem_id="cs-tab-quality") as tab:
        element("cs-quality")
    tell_tab(tab, "quality")
