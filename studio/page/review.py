"""The review: pictures that wait for a person's verdict, and what the verdicts teach."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("Review", id="review", elem_id="cs-tab-review") as tab:
        element("cs-review")
    tell_tab(tab, "review")
