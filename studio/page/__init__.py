"""The page: what a person sees.

Gradio gives the shell (tabs, theme, the places where later rooms put their components); what moves while pictures arrive is
ours. Each area is a custom element (`<cs-form>`, `<cs-sheet>`, ...) defined by a plain ES module under `static/` and fed by
the studio's own JSON routes and one event stream, never by Gradio generators: those hold a connection each and die with the tab.
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from studio.page import (
    batch,
    cloud,
    experiments,
    form,
    header,
    history,
    insights,
    loras,
    models,
    quality,
    review,
    settings,
    sheet,
    templates,
)
from studio.page.theme import theme

if TYPE_CHECKING:
    from studio.studio import Studio

FOLDER = Path(__file__).parent / "static"
# Below, not at, /static/: Gradio serves its own fonts and scripts from there.
STATIC_URL = "/static/page"
STYLES = (
    "tokens.css", "shell.css", "form.css", "promptparts.css", "sheet.css", "loupe.css", "views.css", "history.css", "models.css",
    "queue.css", "drop.css", "settings.css", "quality.css", "scorers.css", "review.css", "insights.css", "comments.css", "loras.css",
    "experiments.css", "dataset.css", "templates.css", "versions.css", "grids.css", "batch.css", "production.css", "refine.css",
    "loratrain.css", "evaluation.css", "cloud.css",
)  # fmt: skip


def build(studio: Studio) -> gr.Blocks:
    """The page of a studio, to be mounted with `options()`. It holds no state: whatever it shows is asked of the JSON routes."""
    about = studio.about()
    tiers = about["families"][0]["tiers"]
    # fill_width: the sheet takes what the window has. Analytics would leave the machine.
    with gr.Blocks(title="Contact Sheet", analytics_enabled=False, fill_width=True) as page:
        with gr.Row(elem_id="cs-header"):
            header.build_name()
            # "wrap" keeps Gradio from hiding tabs in a menu; shell.css has them in one line.
            with gr.Tabs(elem_id="cs-tabs", overflow_behavior="wrap"):
                header.build_tiers(tiers)
                loras.build()
                templates.build()
                review.build()
                history.build()
                experiments.build()
                batch.build()
                insights.build()
                quality.build()
                models.build()
                cloud.build()
                settings.build()
            header.build_more()
            header.build_status()
            settings.build_account()
        # Outside the tabs, for a component has one parent: a tier's tab only sets the tier of this one form.
        with gr.Row(elem_id="cs-desk"):
            form.build()
            sheet.build()
    return page


def options() -> dict[str, Any]:
    """What `gradio.mount_gradio_app` has to be told besides the page itself."""
    links = [f'<link rel="stylesheet" href="{STATIC_URL}/{name}">' for name in STYLES]
    script = f'<script type="module" src="{STATIC_URL}/page.js"></script>'
    return {"theme": theme(), "head": "\n".join([*links, script]), "favicon_path": str(FOLDER / "favicon.png")}


def static() -> StaticFiles:
    """The page's scripts and styles, to be mounted at STATIC_URL."""
    return _Fresh(directory=FOLDER)


class _Fresh(StaticFiles):
    """Files that the browser asks about each time (and fetches once): after an update no old module may meet a new one."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response

