"""The settings: a person's own, the studio's, and who there is. The head's right end: who is logged in."""
from __future__ import annotations

import gradio as gr

from studio.page.element import element, tell_tab


def build() -> None:
    with gr.Tab("Settings", id="settings", elem_id="cs-tab-settings") as tab:
        element("cs-settings")
    tell_tab(tab, "settings")


def build_account() -> None:
    element("cs-account", id="cs-account")
