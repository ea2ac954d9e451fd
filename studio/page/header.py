"""The head of the page: its name, a tab a tier, and how the device fares."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.page.element import element, tell_tab

# Four frames on a sheet.
MARK = """<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M2 3h16v14H2z"/>
<path d="M4.5 6h4.6v3.4H4.5zm6.4 0h4.6v3.4h-4.6zm-6.4 4.9h4.6v3.4H4.5zm6.4 0h4.6v3.4h-4.6z"/></svg>"""


def build_name() -> None:
    gr.HTML(f'<h1 class="cs-name">{MARK}<span>Contact Sheet</span></h1>', elem_id="cs-name", js_on_load=None, apply_default_css=False)


def build_tiers(tiers: Sequence[dict[str, Any]]) -> None:
    """A tab a tier. Its panel says the tier's facts in a sentence; the form and the sheet stand below, for all of them."""
    for tier in tiers:
        with gr.Tab(tier["title"], id=tier["name"], elem_id=f"cs-tab-{tier['name']}") as tab:
            element("cs-facts", tier=tier["name"])
        tell_tab(tab, tier["name"])


def build_more() -> None:
    """What shows, and scrolls to, the tabs that do not fit."""
    element("cs-more", id="cs-more")


def build_status() -> None:
    element("cs-status", id="cs-status")
