"""How the page's own elements stand in a Gradio page."""
from __future__ import annotations

from html import escape

import gradio as gr


def element(tag: str, id: str | None = None, **attributes: str) -> gr.HTML:
    """Places the custom element `tag`, which a module under `static/` defines.

    Custom elements come to life wherever and whenever they enter the document, so nothing has to wait for Gradio to mount.
    """
    given = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return gr.HTML(f"<{tag}{given}></{tag}>", elem_id=id, js_on_load=None, apply_default_css=False)


def tell_tab(tab: gr.Tab, name: str) -> None:
    """Lets the page's script know that a tab was chosen, also when it comes to life only after that. No request is made."""
    tell = f"window.csTab = '{name}'; window.dispatchEvent(new CustomEvent('cs-tab', {{detail: '{name}'}}));"
    tab.select(None, js=f"() => {{ {tell} }}", api_visibility="private")
