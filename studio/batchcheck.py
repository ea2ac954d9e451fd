"""What would come of a batch, and everything that is wrong with its rows, before anything is queued."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.errors import BadInput, StudioError
from pipelines.batch import Setup, row_request
from pipelines.plan import Plan
from pipelines.request import Request
from pipelines.template import Template
from studio.quoting import Quotes
from studio.store.people import Who
from studio.store.timings import timing

if TYPE_CHECKING:
    from studio.studio import Studio

Json = dict[str, Any]
TASKS_LIMIT = 20_000  # rows x templates
FIRST, PROBLEMS_SHOWN = 5, 200


@dataclass(frozen=True)
class Line:
    """A row of a catalogue that is to be drawn with the template at `place`."""

    line: int
    place: int
    cells: Mapping[str, str]


@dataclass
class Outlook:
    """What a check found. good: the lines that can be drawn. problems: {line, column, template, what, field, cell}; column and
    cell are "" where the row as a whole is meant, or what holds for all rows."""

    good: list[Line] = field(default_factory=list)
    problems: list[Json] = field(default_factory=list)
    bad: set[tuple[int, int]] = field(default_factory=set)
    first: list[Json] = field(default_factory=list)
    draft: int = 0
    keep: int = 0
    seconds: float | None = 0.0
    quote: Json | None = None  # where a provider may draw it: what all of it would cost there

    def view(self, rows: int) -> Json:
        return {
            "rows": rows, "tasks": len(self.good) + len(self.bad), "good": len(self.good), "bad": len(self.bad),
            "problems": self.problems[:PROBLEMS_SHOWN], "problem_count": len(self.problems), "first": self.first,
            "draft": self.draft, "keep": self.keep, "seconds": self.seconds, "quote": self.quote,
        }  # fmt: skip


class Check:
    """Reads rows as the runner will. One check, one thread."""

    def __init__(self, studio: Studio, setup: Setup, pictures: Mapping[str, int | str], who: Who) -> None:
        self._studio, self._setup, self._pictures, self._who = studio, setup, pictures, who
        self._variables = [variables_of(studio, use.name, use.version) for use in setup.templates] or [{}]
        self._plans: dict[tuple[Any, ...], Plan | StudioError] = {}
        self._away: dict[tuple[Any, ...], tuple[Plan, Request, int]] = {}  # what providers may draw, with how many rows are like it

    def run(self, rows: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> Outlook:
        """rows: {"line", "cells"}; known: problems that reading the file found, {"line", "column", "what"}."""
        found = Outlook()
        broken = {problem["line"] for problem in known}
        found.problems += [{**problem, "template": "", "field": "", "cell": ""} for problem in known]
        for line in self._lines(rows):
            if line.line in broken:
                found.bad.add((line.line, line.place))
                continue
            try:
                request = self.request(line.cells, line.place)
                made = self.read(request)
                plan = self._plan(made)
            except StudioError as error:
                found.bad.add((line.line, line.place))
                found.problems.append(self._problem(line, error))
                continue
            found.good.append(line)
            if made.where != "local":
                like = (*_like(made), made.draft, made.keep, made.retries, bool(made.negative))
                self._away[like] = (plan, made, self._away.get(like, (plan, made, 0))[2] + 1)
            found.draft += made.draft
            found.keep += made.keep
            found.seconds = None if found.seconds is None or (seconds := self._seconds(plan, made)) is None else found.seconds + seconds
            if len(found.first) < FIRST:
                found.first.append(self._view(line, made))
        if self._away:
            found.quote = Quotes(self._studio).of_plans(list(self._away.values()), self._who)
        found.problems.sort(key=lambda problem: problem["line"])
        return found

    def request(self, cells: Mapping[str, str], place: int, attempt: int = 1) -> Json:
        """What is submitted for a row. Raises BadInput whose field is the target."""
        return row_request(self._setup, place, cells, self._variables[min(place, len(self._variables) - 1)], self._pictures, attempt)

    def read(self, data: Json) -> Request:
        """The request that comes of it. Raises BadInput, also for a prompt that safety stops."""
        confirmed = data.get("safety") == "confirmed"
        made = self._studio.read({name: value for name, value in data.items() if name not in ("safety", "again")}, self._who)
        stopped = [
            one for one in self._studio.safety.current().check(made.prompt, made.texts)
            if one.action == "refuse" or (one.action == "ask" and not confirmed)
        ]  # fmt: skip
        if stopped:
            todo = "Write it differently." if stopped[0].action == "refuse" else "Write it differently, or confirm it for the batch."
            raise BadInput("prompt", f'The safety rule "{stopped[0].title}" stops this prompt.', stopped[0].about, todo)
        return made

    def _lines(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
        for row in rows:
            for place in range(len(self._variables)):
                yield Line(row["line"], place, row["cells"])

    def _plan(self, made: Request) -> Plan:
        """Rows that differ in words alone are planned once. Raises what planning raised."""
        key = _like(made)
        if key not in self._plans:
            try:
                self._plans[key] = self._studio.plan(made, self._who)
            except StudioError as error:
                self._plans[key] = error
        found = self._plans[key]
        if isinstance(found, StudioError):
            raise found
        return found

    def _seconds(self, plan: Plan, made: Request) -> float | None:
        """Of drawing and measuring a row, if what passes first passes; None where nothing like it was timed."""
        sketch = plan.sketch or plan.final
        seconds = self._of(sketch.card, sketch.spec.width, sketch.spec.height, made.draft, sketch.spec.steps)
        if plan.sketch is None or seconds is None:
            return seconds
        finals = self._of(plan.final.card, plan.final.spec.width, plan.final.spec.height, made.keep, plan.final.spec.steps)
        return None if finals is None else seconds + finals

    def _of(self, card: str, width: int, height: int, pictures: int, steps: int) -> float | None:
        return timing(self._studio.store, self._studio.device()["device"]["words"], card, width, height).of_draft(pictures, steps)

    def _problem(self, line: Line, error: StudioError) -> Json:
        name = error.field or ""
        target = name if name in self._setup.columns else name.split(".")[0]
        template = self._setup.templates[line.place].name if self._setup.templates else ""
        what = " ".join(part for part in (error.what, error.why, error.todo) if part)
        column = self._setup.columns.get(target, "")
        cell = line.cells.get(column, "")
        return {"line": line.line, "column": column, "template": template, "what": what, "field": name, "cell": cell}

    def _view(self, line: Line, made: Request) -> Json:
        template = self._setup.templates[line.place].name if self._setup.templates else ""
        told = ("prompt", "negative", "family", "tier", "size", "draft", "keep", "profile", "texts", "palette")
        label = label_of(self._setup.label, line.cells, line.line)
        return {"line": line.line, "label": label, "template": template} | {name: getattr(made, name) for name in told}


def _like(made: Request) -> tuple[Any, ...]:
    return made.family, made.tier, made.size, made.steps, made.ladder, made.image, made.likeness, made.role, made.loras


def template_of(studio: Studio, name: str, version: int | None) -> Template:
    """A version of a template, the current one for None. Raises NotFound."""
    return studio.templates.current(name) if version is None else studio.templates.at(name, version)


def variables_of(studio: Studio, name: str, version: int | None) -> dict[str, str]:
    """The variables of a template: types by name. Raises NotFound."""
    return {one.name: one.type for one in template_of(studio, name, version).variables.values()}


def label_of(column: str, cells: Mapping[str, str], line: int) -> str:
    """What a row is called: its cell of the chosen column, else its first."""
    words = cells.get(column) or next(iter(cells.values()), "")
    return " ".join(words.split())[:80] or f"Line {line}"
