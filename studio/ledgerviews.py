"""The ledger as people read it: its charges by what was asked, as JSON and as CSV.

CHARGE  {"id", "created", "person", "project", "job", "feature", "tier", "template", "provider", "model", "state", "reserved_micro",
         "settled_micro" | null, "expected_micro", "told": the provider named it, "request_id", "seconds", "numbers", "hedge_of",
         "key_source", "submitted", "ended", "error", "resolved_by"}
"""
from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.errors import BadInput
from pipelines.fields import listed, shown
from studio.costing import plain_dollars
from studio.spreadsheet import harmless
from studio.store.db import Store
from studio.store.people import Who, require_admin
from studio.store.schema.cloud import STATES

Json = dict[str, Any]
Pairs = Sequence[tuple[str, str]]
LATEST, MOST = 50, 1000
FIELDS = ("id", "created", "person", "project", "feature", "tier", "template", "provider", "model", "state", "request_id", "seconds",
          "hedge_of", "key_source", "submitted", "ended", "resolved_by")  # fmt: skip
CSV = ("id", "created", "submitted", "ended", "day", "person", "project", "feature", "tier", "template", "job", "pictures", "provider",
       "model", "state", "expected_dollars", "reserved_dollars", "settled_dollars", "told", "seconds", "request_id", "hedge_of",
       "key_source", "resolved_by", "error")  # fmt: skip


class Charges:
    """Charges that somebody may see: everybody's for an admin, others' their own. Parameters: state, provider, person, job, since, until
    (days of their reservation, included). All raise BadInput, and NotYours for other people's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def view(self, pairs: Pairs, who: Who) -> Json:
        """{"charges": [CHARGE], "total"}: the newest `count`, and how many there are."""
        given = _once(pairs)
        count = _number(given.pop("count", ""), "count", LATEST, MOST)
        rows, total = self.rows(given, who, count)
        return {"charges": [charge_view(row) for row in rows], "total": total}

    def csv(self, pairs: Pairs, who: Who) -> Iterator[str]:
        """All of them as CSV (RFC 4180), line by line; amounts in dollars with every micro-dollar."""
        return as_csv(self.rows(_once(pairs), who)[0])

    def rows(self, given: Mapping[str, str], who: Who, count: int | None = None) -> tuple[list[sqlite3.Row], int]:
        """Charges they may see, and how many there are."""
        given = dict(given)
        where, values = ["true"], list[Any]()
        person = given.pop("person", "")
        if not who.admin:
            if person not in ("", who.name):
                require_admin(who, "Only an admin may see what other people spend.")
            person = who.name
        state = given.pop("state", "")
        if state and state not in STATES:
            raise BadInput("state", f"state cannot be {shown(state)}.", f"It is one of {listed(STATES)}.")
        for column, value in (("person", person), ("state", state), ("provider", given.pop("provider", ""))):
            if value:
                where.append(f"{column} = ?")
                values.append(value)
        if job := given.pop("job", ""):
            where.append("job_id = ?")
            values.append(_number(job, "job", 0, 2**63 - 1))
        for name, sign in (("since", ">="), ("until", "<=")):
            if day := given.pop(name, ""):
                where.append(f"day {sign} ?")
                values.append(day)
        for name in given:
            raise BadInput(name[:80], "There is no such parameter here.")
        condition = " AND ".join(where)
        total = self._store.db.execute(f"SELECT count(*) FROM charges WHERE {condition}", values).fetchone()[0]
        rows = self._store.db.execute(
            f"SELECT * FROM charges WHERE {condition} ORDER BY id DESC LIMIT ?", [*values, -1 if count is None else count]
        ).fetchall()
        return rows, total


def charge_view(row: sqlite3.Row) -> Json:
    """CHARGE."""
    return {name: row[name] for name in FIELDS} | {
        "job": row["job_id"],
        "numbers": json.loads(row["numbers"]),
        "reserved_micro": row["reserved"],
        "expected_micro": row["expected"],
        "settled_micro": row["settled"],
        "told": bool(row["told"]),
        "error": json.loads(row["error"]) if row["error"] else None,
    }


def as_csv(rows: Sequence[sqlite3.Row]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)

    def written(values: Sequence[Any]) -> str:
        line.seek(0)
        line.truncate()
        writer.writerow([harmless(value) for value in values])
        return line.getvalue()

    yield written(CSV)
    for row in rows:
        error = json.loads(row["error"]) if row["error"] else {}
        other = {
            "job": row["job_id"],
            "pictures": len(json.loads(row["numbers"])),
            "error": " ".join(error[part] for part in ("what", "why") if error.get(part)),
        } | {f"{name}_dollars": plain_dollars(row[name]) for name in ("expected", "reserved", "settled")}
        yield written([other[name] if name in other else row[name] for name in CSV])


def _once(pairs: Pairs) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given:
            raise BadInput(name[:80], f"{name[:80]} is given more than once.")
        given[name] = value
    return given


def _number(value: str, field: str, default: int, most: int) -> int:
    if not value:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 20 and 1 <= int(value) <= most):
        raise BadInput(field, f"{field} cannot be {shown(value)}.", f"It is a whole number from 1 to {most}.")
    return int(value)
