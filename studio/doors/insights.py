"""The Insights tab's routes: a panel as JSON, and the same as CSV. The parameters are told in `studio.insights`."""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from models.errors import NotFound
from studio.doors.base import Asking, Json
from studio.insights import Insights
from studio.spreadsheet import PANELS, as_csv
from studio.store.db import now
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api/insights")
    insights = Insights(studio)
    panels = {
        "overview": insights.overview, "reasons": insights.reasons, "scores": insights.scores,
        "people": insights.people, "safety": insights.safety, "trials": insights.trials, "alarm": insights.alarm,
        "costs": insights.costs,
    }  # fmt: skip

    @router.get("/{panel}.csv")
    def table(request: Request, panel: str, who: Asking) -> Any:
        if panel not in PANELS:
            raise NotFound("There is no such panel.")
        text = as_csv(panel, panels[panel](request.query_params.multi_items(), who))
        headers = {"Content-Disposition": f'attachment; filename="contact-sheet-{panel}-{now()[:10]}.csv"', "Cache-Control": "no-store"}
        return Response(text.encode("utf-8"), media_type="text/csv; charset=utf-8", headers=headers)

    @router.get("/{panel}")
    def panel(request: Request, panel: str, who: Asking) -> Any:
        if panel not in panels:
            raise NotFound("There is no such panel.")
        return Json(panels[panel](request.query_params.multi_items(), who))

    return router
