"""The insights: what passes, why the rest does not, and what a kept picture costs."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("Insights", id="insights", elem_id="cs-tab-insights") as tab:
        element("cs-insights")
    tell_tab(tab, "insights")
