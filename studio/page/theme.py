"""Gradio's theme, for its own components: achromatic greys, one accent, fonts that ship with Gradio and come from this machine."""
from __future__ import annotations

import gradio as gr
from gradio.themes.utils.colors import Color

# People judge colour on this page, so its greys have none.
NEUTRAL = Color(
    name="neutral",
    c50="#fafafa",
    c100="#f4f4f4",
    c200="#e6e6e6",
    c300="#d2d2d2",
    c400="#a0a0a0",
    c500="#707070",
    c600="#525252",
    c700="#3d3d3d",
    c800="#262626",
    c900="#1a1a1a",
    c950="#121212",
)
# The amber of the numbers along the edge of a film.
AMBER = Color(
    name="amber",
    c50="#fff8eb",
    c100="#ffedc9",
    c200="#ffdb94",
    c300="#ffc65c",
    c400="#f7b23b",
    c500="#e89c1a",
    c600="#b87400",
    c700="#8f5a00",
    c800="#6b4300",
    c900="#472d00",
    c950="#2b1b00",
)


def theme() -> gr.themes.Base:
    """The theme of every Gradio component, light and dark."""
    # 400 and 700: the semi-bold files that come with Gradio hold only part of the alphabet.
    base = gr.themes.Base(
        primary_hue=AMBER,
        secondary_hue=NEUTRAL,
        neutral_hue=NEUTRAL,
        radius_size=gr.themes.sizes.radius_sm,
        font=[gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
    )
    return base.set(
        body_background_fill="#ededed",
        body_background_fill_dark="#171717",
        body_text_color="#1a1a1a",
        body_text_color_dark="#ececec",
        block_border_width="0px",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        layout_gap="0px",
    )
