"""LoRAs: what there is to wear, in which versions; how one comes in, is promoted, rolled back, taken away."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("LoRAs", id="loras", elem_id="cs-tab-loras") as tab:
        element("cs-loras")
    tell_tab(tab, "loras")
