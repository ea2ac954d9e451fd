"""The panels of the Insights tab as CSV (RFC 4180): a row a step, a group or a rule, with bare numbers that a spreadsheet can plot."""
from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from studio.costing import plain_dollars
from studio.store.insights import PICTURES, REQUESTS
from studio.store.views import Json

Row = Sequence[Any]
OVERVIEW = (*PICTURES, *REQUESTS, "seconds_per_kept", "delivered_per_request", "text_match", "per_10000")
SHARES = ("pass_rate", "final_pass_rate", "filled_rate", "agreement")


def as_csv(panel: str, answer: Json) -> str:
    """One of PANELS, as the panel answered."""
    header, rows = PANELS[panel](answer)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([harmless(value) for value in row] for row in rows)
    return text.getvalue()


def harmless(value: Any) -> Any:
    """What people named is text to a spreadsheet, and never a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _overview(answer: Json) -> tuple[Row, Iterable[Row]]:
    header = ["first", "last", *OVERVIEW, *SHARES]
    rows = (
        [step["first"], step["last"], *(step[name] for name in OVERVIEW), *(_value(step[name]) for name in SHARES)]
        for step in answer["course"]
    )
    return header, rows


def _reasons(answer: Json) -> tuple[Row, Iterable[Row]]:
    names = [reason["name"] for reason in answer["reasons"]]
    same = ("drawn", "judged", "passed", "rejected", "review", "kept", "seconds")
    rows = (
        [group["key"], group["title"], *(group[name] for name in same), _value(group["pass_rate"]), group["seconds_per_kept"],
         *(group["reasons"].get(name, 0) for name in names)]
        for group in answer["groups"]
    )  # fmt: skip
    return [answer["by"], "title", *same, "pass_rate", "seconds_per_kept", *(f"rejected for {name}" for name in names)], rows


def _scores(answer: Json) -> tuple[Row, Iterable[Row]]:
    rows = (
        [answer["dimension"], line["card"], first, point["n"], point["mean"], point["spread"], point["threshold"], _value(point["failed"])]
        for line in answer["lines"]
        for first, point in zip(answer["steps"], line["points"], strict=True)
    )
    return ["dimension", "model", answer["step"], "pictures", "mean", "standard_deviation", "threshold", "failed"], rows


def _people(answer: Json) -> tuple[Row, Iterable[Row]]:
    rows: list[Row] = [["verdict", studio, people, n] for studio, cells in answer["table"].items() for people, n in cells.items()]
    rows += [["reason", reason["name"], "refused", reason["n"]] for reason in answer["named"]]
    rows += [["signal", signal["kind"], "", signal["n"]] for signal in answer["signals"]]
    return ["what", "studio", "people", "count"], rows


def _safety(answer: Json) -> tuple[Row, Iterable[Row]]:
    rows = (["picture" if rule["picture"] else "prompt", rule["kind"], rule["rule"], rule["action"], rule["n"]] for rule in answer["rules"])
    return ["of", "kind", "rule", "action", "count"], rows


def _value(share: Json | None) -> float | None:
    return None if share is None else share["value"]


def _alarm(answer: Json) -> tuple[Row, Iterable[Row]]:
    place = answer["place"] or {}
    return ["requests", "place", "low", "high"], [[answer["requests"], *(place.get(name) for name in ("value", "low", "high"))]]


def _trials(answer: Json) -> tuple[Row, Iterable[Row]]:
    def bounds(one: Json | None) -> Row:
        return [one[name] if one else None for name in ("value", "low", "high")]

    rows = (
        [pair["lora"], pair["production"], pair["candidate"], measure["name"], *pair["requests"], *bounds(measure["production"]),
         *bounds(measure["candidate"]), *bounds(measure["difference"])]
        for pair in answer["trials"] for measure in pair["measures"]
    )  # fmt: skip
    names = [f"{of}{end}" for of in ("production_share", "candidate_share", "difference") for end in ("", "_low", "_high")]
    return ["lora", "production", "candidate", "measure", "production_requests", "candidate_requests", *names], rows


COSTS = ("drawn", "kept", "seconds", "charges")
AMOUNTS = ("cloud", "held", "local", "all", "per_kept")


def _costs(answer: Json) -> tuple[Row, Iterable[Row]]:
    rows = (
        [group["key"], group["title"], *(group[name] for name in COSTS), *(plain_dollars(group[f"{name}_micro"]) for name in AMOUNTS)]
        for group in answer["groups"]
    )
    return [answer["by"], "title", *COSTS, *(f"{name}_dollars" for name in AMOUNTS)], rows


PANELS: dict[str, Callable[[Json], tuple[Row, Iterable[Row]]]] = {
    "overview": _overview, "reasons": _reasons, "scores": _scores, "people": _people, "safety": _safety, "trials": _trials, "alarm": _alarm,
    "costs": _costs,
}  # fmt: skip
