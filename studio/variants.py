"""Advertisements in many variations: one brief becomes a batch of ten to twenty; winners are marked or read from a CSV of results, and
more is made around them. A batch of variations is a batch like any other, whose catalogue is drawn up here."""
from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, StudioError
from pipelines.batch import TARGETS, Setup, read_setup
from pipelines.catalogue import Row, read_catalogue
from pipelines.fields import listed, shown, text, whole
from pipelines.variants import Axis, Choice, Tally, around, leaders, load_axes, merits, possible, spread, tally
from studio.batchcheck import Check, template_of
from studio.store import batches
from studio.store.jobs import NotNow
from studio.store.people import Who

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
COUNT_LIMIT, USUAL_COUNT = 40, 12
AXES_LIMIT, OPTIONS_LIMIT, OPTION_LIMIT, NAME_LIMIT, BRIEF_LIMIT, TITLE_LIMIT, CSV_LIMIT = 6, 40, 200, 40, 1000, 80, 200_000
WHICH = ("row", "variation", "variant", "number", "ad", "ad name", "creative", "file", "name")
SHOWN = ("impressions", "shown", "views", "reach", "sent", "delivered")
HITS = ("conversions", "clicks", "link clicks", "purchases", "orders", "hits")
SCORES = ("score", "rate", "ctr", "roas", "conversion rate")


class Variants:
    """Any thread may ask."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._store = studio, studio.store

    def axes(self) -> Json:
        """The axes that ship, to begin with."""
        return {"axes": [_axis_view(axis) for axis in load_axes()], "targets": list(TARGETS), "count": USUAL_COUNT, "most": COUNT_LIMIT}

    def plan(self, data: Mapping[Any, Any], who: Who) -> Json:
        """{"brief", "axes"?, "count"?, "seed"?, "template"?} -> the variations that would be drawn. Raises BadInput, NotFound."""
        axes = self._axes(data)
        count = whole(data, "count", 1, COUNT_LIMIT, USUAL_COUNT)
        seed = whole(data, "seed", 0, 2**53, None)
        chosen = spread(axes, count, secrets.randbelow(2**32) if seed is None else seed)
        return self._proposal(axes, chosen)

    def check(self, data: Mapping[Any, Any], who: Who) -> Json:
        """What `start` would cost at providers: {"quote": QUOTE, null where all of it stays here}. Raises what `start` does."""
        _, rows, _, setup = self._read(data, who)
        return {"quote": Check(self._studio, setup, {}, who).run([{"line": 0, "cells": cells} for cells in rows], []).quote}

    def start(self, data: Mapping[Any, Any], who: Who) -> Json:
        """Starts a batch of variations, as `plan` or `more` proposed them and a person changed them. Raises BadInput, NotFound."""
        axes, rows, brief, setup = self._read(data, who)
        parent = whole(data, "parent", 1, 2**53, None)
        if parent is not None:
            batches.batch_row(self._store, parent, who)
        kept = {
            "brief": brief, "axes": [_axis_view(axis) for axis in axes], "template": data.get("template"),
            "fields": dict(data.get("fields") or {}),
        }  # fmt: skip
        title = text(data, "title", TITLE_LIMIT) or (brief[:60] if brief else "Variations")
        batch = batches.add_batch(
            self._store, who, title, setup.to_dict(), [axis.name for axis in axes],
            [(number, 0, cells) for number, cells in enumerate(rows, start=1)], kind="variants", unit="variation",
            brief=kept, parent=parent,
        )  # fmt: skip
        return self._studio.batches.moved(batch, who)

    def _read(self, data: Mapping[Any, Any], who: Who) -> tuple[list[Axis], list[dict[str, str]], str, Setup]:
        """Axes, rows, brief and setup. Raises BadInput for a variation that cannot be drawn."""
        axes = self._axes(data)
        rows = self._rows(data, axes)
        brief, fields = text(data, "brief", BRIEF_LIMIT), data.get("fields") or {}
        if not isinstance(fields, Mapping):
            raise BadInput("fields", f"fields must be an object; this is {shown(fields)}.")
        template = data.get("template")
        variables: dict[str, str] = {}
        if template is not None:
            use = read_setup({"templates": [template]}, []).templates[0]
            variables = {one.name: one.type for one in template_of(self._studio, use.name, use.version).variables.values()}
        elif not brief:
            raise BadInput("brief", "The brief is empty.", "", "Say what is advertised: a red mug with a lid.")
        if brief and template is None:
            fields = {**fields, "parts": {"use": "ad variant", **(fields.get("parts") or {}), "subject": brief}}
        names = [axis.name for axis in axes]
        columns = {axis.target: axis.name for axis in axes}
        asked = {"columns": columns, "fields": fields, "off_peak": data.get("off_peak")}
        setup = read_setup(asked | ({"templates": [template]} if template is not None else {}), names, variables)
        pinned = [replace(use, version=self._studio.templates.version(use.name)) if use.version is None else use for use in setup.templates]
        setup = replace(setup, templates=tuple(pinned))
        check = Check(self._studio, setup, {}, who)
        for number, cells in enumerate(rows, start=1):
            try:
                self._studio.plan(check.read(check.request(cells, 0)), who)
            except StudioError as error:
                raise BadInput(f"variations.{number - 1}", f"Variation {number}: {error.what}", error.why, error.todo) from error
        return axes, rows, brief, setup

    def mark(self, batch: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"row", "winner": true|false|null}: a person's word on a variation; how things stand by then. Raises NotFound, BadInput."""
        self._of(batch, who)
        number, winner = whole(data, "row", 1, 2**31, None), data.get("winner")
        if winner is not None and not isinstance(winner, bool):
            raise BadInput("winner", f"winner must be true, false or null; this is {shown(winner)}.")
        row = batches.one_row(self._store, batch, number or 0)
        batches.set_winners(self._store, batch, {row["number"]: winner})
        self._studio.batches.tell(batch)
        return self.standing(batch, who)

    def take_results(self, batch: int, data: Mapping[Any, Any], who: Who) -> Json:
        """{"csv": text}: what each variation brought. Those that lead beyond chance become winners, unless a person said otherwise.

        The columns are found by their names: which variation (a number, or the file's name in the ZIP), how often shown and how often
        clicked, or a score. Raises NotFound, BadInput that names the line.
        """
        self._of(batch, who)
        words = data.get("csv")
        if not isinstance(words, str) or len(words) > CSV_LIMIT:
            raise BadInput("csv", f"csv must be the text of a table, at most {CSV_LIMIT} characters.", f"This is {shown(words)}.")
        found = read_catalogue(words.encode("utf-8", "replace"))
        which, measures = _columns_of(found.columns)
        numbers = {row["number"] for row in batches.rows_of(self._store, batch, limit=COUNT_LIMIT * 4)}
        results: dict[int, Json] = {}
        for row in found.rows:
            number = _number_of(row, which, found.unit)
            if number not in numbers:
                raise BadInput("csv", f"{found.unit.capitalize()} {row.line} is about variation {number}, which this batch does not have.")
            if number in results:
                raise BadInput("csv", f"{found.unit.capitalize()} {row.line} is about variation {number}, which was there before.")
            results[number] = {name: _amount(row, column, found.unit) for name, column in measures.items()}
            if results[number].get("hits", 0) > results[number].get("shown", float("inf")):
                raise BadInput("csv", f"{found.unit.capitalize()} {row.line} has more clicks than it was shown.")
        batches.set_results(self._store, batch, results)
        axes, rows = self._axes_of(batch), batches.rows_of(self._store, batch, limit=COUNT_LIMIT * 4)
        first = leaders(self._tallies(axes, rows)) if "shown" in measures else _best_scores(axes, rows)
        batches.set_winners(self._store, batch, {row["number"]: _choice(axes, row) in first for row in rows if row["results"]})
        self._studio.batches.tell(batch)
        return self.standing(batch, who) | {"read": len(results), "led": len(first)}

    def standing(self, batch: int, who: Who) -> Json:
        """What each option brought so far, by results where there are any, else by the winners that were marked. Raises NotFound."""
        self._of(batch, who)
        axes, rows = self._axes_of(batch), batches.rows_of(self._store, batch, limit=COUNT_LIMIT * 4)
        tallies = self._tallies(axes, rows)
        by_results = any(row["results"] and "shown" in json.loads(row["results"]) for row in rows)
        tables = []
        found = tally(axes, tallies)
        for place, axis in enumerate(axes):
            options = [option for where, option in found if where == place]
            lines = [{"option": option, "variations": sum(_choice(axes, row)[place] == option for row in rows)}
                     | _tally_view(found[place, option]) for option in options]  # fmt: skip
            tables.append({"axis": axis.name, "options": [line for line in lines if line["variations"]]})
        return {
            "by": "results" if by_results else "winners", "axes": tables,
            "winners": [row["number"] for row in rows if row["winner"]], "marked": sum(row["winner"] is not None for row in rows),
        }  # fmt: skip

    def more(self, batch: int, data: Mapping[Any, Any], who: Who) -> Json:
        """Variations around the winners that nobody drew yet, as `plan` gives them, with the brief they belong to.

        Raises NotFound, and NotNow where nothing was marked as a winner.
        """
        row = self._of(batch, who)
        axes, rows = self._axes_of(batch), batches.rows_of(self._store, batch, limit=COUNT_LIMIT * 4)
        winners = [_choice(axes, one) for one in rows if one["winner"]]
        if not winners:
            raise NotNow("No variation is marked as a winner.", "", "Mark those that did best, or bring a table of results.")
        count = whole(data, "count", 1, COUNT_LIMIT, USUAL_COUNT)
        seed = whole(data, "seed", 0, 2**53, None)
        seen = [_choice(axes, one) for line in self._line(row, who) for one in batches.rows_of(self._store, line, limit=COUNT_LIMIT * 4)]
        merit = merits(tally(axes, self._tallies(axes, rows)))
        chosen = around(axes, winners, seen, count, secrets.randbelow(2**32) if seed is None else seed, merit)
        brief = json.loads(row["brief"])
        return self._proposal(axes, chosen) | brief | {"axes": [_axis_view(axis) for axis in axes], "parent": batch, "title": row["title"]}

    def same(self, batch: int, who: Who) -> Json:
        """The variations of a batch as they were, as `plan` gives them, with their brief: the start of a new one. Raises NotFound."""
        row = self._of(batch, who)
        axes, rows = self._axes_of(batch), batches.rows_of(self._store, batch, limit=COUNT_LIMIT * 4)
        return self._proposal(axes, [_choice(axes, one) for one in rows]) | json.loads(row["brief"]) | {"title": row["title"]}

    # How it is done.

    def _of(self, batch: int, who: Who) -> sqlite3.Row:
        row = batches.batch_row(self._store, batch, who)
        if row["kind"] != "variants":
            raise BadInput("batch", "This batch is no set of variations.", "It was made from a catalogue.")
        return row

    def _line(self, row: sqlite3.Row, who: Who) -> list[int]:
        """The batch and those it came from."""
        found = [row["id"]]
        while row["parent"] is not None:
            row = batches.batch_row(self._store, row["parent"], who)
            found.append(row["id"])
        return found

    def _axes_of(self, batch: int) -> list[Axis]:
        brief = json.loads(batches.batch_row(self._store, batch)["brief"])
        return [Axis(axis["name"], axis["target"], tuple(axis["options"])) for axis in brief["axes"]]

    def _axes(self, data: Mapping[Any, Any]) -> list[Axis]:
        given = data.get("axes")
        if given is None:
            return list(load_axes())
        if not isinstance(given, list) or not 1 <= len(given) <= AXES_LIMIT:
            raise BadInput("axes", f"axes must be a list of 1 to {AXES_LIMIT}; this is {shown(given)}.")
        found: list[Axis] = []
        for place, one in enumerate(given):
            where = f"axes.{place}"
            if not isinstance(one, Mapping) or set(one) != {"name", "target", "options"}:
                like = '{"name": "Light", "target": "parts.technical", "options": [...]}'
                raise BadInput(where, f"An axis is like {like}; this is {shown(one)}.")
            name, target = text(one, "name", NAME_LIMIT, f"{where}.name"), text(one, "target", 80, f"{where}.target")
            if not name or name in (axis.name for axis in found) or target in (axis.target for axis in found):
                raise BadInput(where, "Each axis has a name and a target of its own.", f"This is {shown(name)} for {shown(target)}.")
            if target not in TARGETS and not target.startswith("values."):
                raise BadInput(f"{where}.target", f"Nothing can vary at {shown(target)}.", f"It is one of {listed(TARGETS)}.")
            options = one["options"]
            if not isinstance(options, list) or not 1 <= len(options) <= OPTIONS_LIMIT:
                raise BadInput(f"{where}.options", f"An axis has 1 to {OPTIONS_LIMIT} options; this is {shown(options)}.")
            texts = [text({"option": option}, "option", OPTION_LIMIT, f"{where}.options.{number}") for number, option in enumerate(options)]
            texts = list(dict.fromkeys(words for words in texts if words))
            if not texts:
                raise BadInput(f"{where}.options", f"{name} has no options.", "", "Write some, or leave the axis out.")
            found.append(Axis(name, target, tuple(texts)))
        return found

    def _rows(self, data: Mapping[Any, Any], axes: Sequence[Axis]) -> list[dict[str, str]]:
        given = data.get("variations")
        if not isinstance(given, list) or not 1 <= len(given) <= COUNT_LIMIT:
            raise BadInput("variations", f"variations must be a list of 1 to {COUNT_LIMIT}; this is {shown(given)}.")
        names = [axis.name for axis in axes]
        rows = []
        for place, one in enumerate(given):
            if not isinstance(one, Mapping) or not set(one) <= set(names):
                raise BadInput(f"variations.{place}", f"A variation has an option for each of {listed(names)}; this is {shown(one)}.")
            cells = {name: text(one, name, OPTION_LIMIT, f"variations.{place}.{name}") for name in names if name in one}
            rows.append({name: words for name, words in cells.items() if words})
        return rows

    def _proposal(self, axes: Sequence[Axis], chosen: Sequence[Choice]) -> Json:
        rows = [dict(zip([axis.name for axis in axes], one, strict=True)) for one in chosen]
        return {"axes": [_axis_view(axis) for axis in axes], "variations": rows, "possible": possible(axes)}

    def _tallies(self, axes: Sequence[Axis], rows: Sequence[sqlite3.Row]) -> dict[Choice, Tally]:
        """What each variation brought: as its results say, else a winner among those that were drawn."""
        with_results = [(row, json.loads(row["results"])) for row in rows if row["results"]]
        counted = [(row, one) for row, one in with_results if "shown" in one]
        found: dict[Choice, Tally] = {}
        if counted:
            for row, one in counted:
                key = _choice(axes, row)
                found[key] = found.get(key, Tally()).plus(Tally(one["shown"], one["hits"]))
            return found
        marked = any(row["winner"] is not None for row in rows)
        for row in rows if marked else ():
            key = _choice(axes, row)
            found[key] = found.get(key, Tally()).plus(Tally(1.0, float(bool(row["winner"]))))
        return found


def _axis_view(axis: Axis) -> Json:
    return {"name": axis.name, "target": axis.target, "options": list(axis.options)}


def _choice(axes: Sequence[Axis], row: sqlite3.Row) -> Choice:
    cells = json.loads(row["cells"])
    return tuple(cells.get(axis.name, "") for axis in axes)


def _tally_view(one: Tally) -> Json:
    low, high = one.interval()
    return {"shown": one.shown, "hits": one.hits, "rate": one.rate, "low": low if one.shown else None, "high": high if one.shown else None}


def _best_scores(axes: Sequence[Axis], rows: Sequence[sqlite3.Row]) -> list[Choice]:
    """Where there are scores alone: the best quarter, at least one."""
    scored = sorted(((json.loads(row["results"])["score"], _choice(axes, row)) for row in rows if row["results"]), reverse=True)
    return [choice for _, choice in scored[: max(1, len(scored) // 4)]]


def _columns_of(columns: Sequence[str]) -> tuple[str, dict[str, str]]:
    """(the column that says which variation, the columns of what it brought by "shown" and "hits", or "score")."""
    plain = {" ".join(re.findall(r"[a-z0-9]+", column.lower())): column for column in reversed(columns)}

    def first(names: Sequence[str]) -> str | None:
        return next((plain[name] for name in names if name in plain), None)

    which, shown_at, hits, score = first(WHICH), first(SHOWN), first(HITS), first(SCORES)
    if which is None:
        raise BadInput("csv", "No column says which variation a line is about.", f"It has {listed(columns[:20])}.", 'Call it "variation".')
    if shown_at is not None and hits is not None:
        return which, {"shown": shown_at, "hits": hits}
    if score is not None:
        return which, {"score": score}
    todo = 'Call them "impressions" and "clicks", or bring a "score".'
    raise BadInput("csv", "No columns say what the variations brought.", f"It has {listed(columns[:20])}.", todo)


def _number_of(row: Row, which: str, unit: str) -> int:
    """The variation that a cell names: 7, "7", "Variation 7", or the file "00007-hero-shot-001.png"."""
    found = re.match(r"\D*0*([0-9]{1,6})", row.cells.get(which, ""), re.ASCII)
    if found is None:
        why = f"This is {shown(row.cells.get(which))}."
        raise BadInput("csv", f"{unit.capitalize()} {row.line} does not say which variation it is about.", why)
    return int(found[1])


def _amount(row: Row, column: str, unit: str) -> float:
    words = row.cells.get(column, "").replace(" ", "").removesuffix("%")
    # "1,234" is a number of a thousand and more; "0,5" is one of a half.
    words = re.sub(r",(?=\d{3}(\D|$))", "", words).replace(",", ".")
    try:
        amount = float(words)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < 1e12:
        raise BadInput("csv", f"{unit.capitalize()} {row.line}, {column}: {shown(row.cells.get(column))} is no number from 0 on.")
    return amount
