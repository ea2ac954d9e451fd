"""Money over HTTP; the shapes and parameters are told in `studio.money` and `studio.ledgerviews`.

GET  /api/money                          MONEY
GET  /api/money/charges                  {"charges": [CHARGE], "total"}; state, provider, person, job, since, until, count
GET  /api/money.csv                      the ledger with the same parameters but count
POST /api/money/budgets                  {"scope", "name", "day_micro" | null, "month_micro" | null} -> MONEY; admins only, as what follows
POST /api/money/credits                  {"person", "micro", "note"} -> MONEY
POST /api/money/rates                    {"hour_micro"} or {"watts", "tariff_micro"}, and {"machine_micro", "months"} -> MONEY
POST /api/money/charges/{charge}/resolve {"billed": bool, "micro"?} -> MONEY
POST /api/money/charges/resolve          {"charges": [number], "billed": bool} -> MONEY
"""
from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from studio.doors.base import Asking, Body, Json, only
from studio.ledgerviews import Charges
from studio.money import Money
from studio.store.db import now
from studio.studio import Studio


def api(studio: Studio) -> APIRouter:
    router = APIRouter(prefix="/api")
    money, ledger = Money(studio), Charges(studio.store)

    @router.get("/money")
    def overview(who: Asking) -> Any:
        return Json(money.overview(who))

    @router.get("/money.csv")
    def table(request: Request, who: Asking) -> Any:
        headers = {"Content-Disposition": f'attachment; filename="contact-sheet-ledger-{now()[:10]}.csv"', "Cache-Control": "no-store"}
        lines = ledger.csv(request.query_params.multi_items(), who)
        return StreamingResponse((line.encode("utf-8") for line in lines), media_type="text/csv; charset=utf-8", headers=headers)

    @router.get("/money/charges")
    def charges(request: Request, who: Asking) -> Any:
        return Json(ledger.view(request.query_params.multi_items(), who))

    @router.post("/money/budgets")
    def budget(data: Body, who: Asking) -> Any:
        only(data, "scope", "name", "day_micro", "month_micro")
        return Json(money.set_budget(data, who))

    @router.post("/money/credits")
    def credit(data: Body, who: Asking) -> Any:
        only(data, "person", "micro", "note")
        return Json(money.give_credit(data, who))

    @router.post("/money/rates")
    def rate(data: Body, who: Asking) -> Any:
        only(data, "hour_micro", "watts", "tariff_micro", "machine_micro", "months")
        return Json(money.set_rate(data, who))

    @router.post("/money/charges/{charge}/resolve")
    def resolve(charge: int, data: Body, who: Asking) -> Any:
        only(data, "billed", "micro")
        return Json(money.resolve(charge, data, who))

    @router.post("/money/charges/resolve")
    def resolve_all(data: Body, who: Asking) -> Any:
        only(data, "charges", "billed")
        return Json(money.resolve_all(data, who))

    return router
