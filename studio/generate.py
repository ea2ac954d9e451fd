"""`python launch.py generate`: the studio's queue, worker and history from the shell, with files, JSON and exit codes for scripts."""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from PIL import Image

from models.errors import BadInput, NotFound, StudioError, Unavailable
from models.presets import load_catalogue
from pipelines.fields import listed
from pipelines.post import ENDING, apply, encode
from studio import files
from studio.config import quiet_libraries
from studio.generateflags import make_parser, request_data
from studio.serve import Holder
from studio.store import images, jobs, views
from studio.store.people import LOCAL, Who, person_row, projects_of
from studio.store.posts import posts_of
from studio.store.views import Json
from studio.strip import stripped
from studio.studio import Studio

DONE, FAILED, REFUSED, TOO_FEW, CANCELLED, TOO_LONG = range(6)
POLL_SECONDS = 0.2
TELL_SECONDS = 10.0  # between two lines of progress where they cannot replace each other
PAUSED_SECONDS = 2.0


class Ended(BaseException):
    """A signal asks the process to end. No Exception: whatever is caught on the way, this is not."""

    def __init__(self, number: int) -> None:
        self.status = 128 + number
        super().__init__(f"signal {number}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; its exit status (see the end of --help)."""
    flags = make_parser().parse_args(arguments)
    quiet_libraries()
    try:
        with _signals():
            return _run(flags)
    except (BadInput, NotFound) as error:
        field = f"{error.field}: " if error.field and not error.field.startswith("-") else ""
        print(f"{field}{error}", file=sys.stderr)
        return REFUSED
    except StudioError as error:
        print(error, file=sys.stderr)
        return FAILED
    except Ended as error:
        return error.status


def _run(flags: argparse.Namespace) -> int:
    data_dir = flags.data_dir.expanduser().absolute()
    with contextlib.ExitStack() as stack:
        place = _Place(data_dir, stack)
        if not flags.list:
            place.hold("drawing from the shell")
        models_dir = flags.models_dir.expanduser().absolute() if flags.models_dir else None
        studio = Studio(data_dir, load_catalogue(), flags.family, flags.engine, flags.device, models_dir, lowvram=flags.lowvram)
        stack.callback(studio.stop)  # before the data folder is given back
        who = _person(studio, flags.person)
        if flags.list:
            print(_listing(studio, flags.template, who))
            return DONE
        data = request_data(flags, {"family": studio.family})
        flags.out.mkdir(parents=True, exist_ok=True)
        job = studio.submit(_with_pictures(studio, data, who), who)["id"]
        try:
            view = _wait(studio, place, job, who, flags)
        except Ended:
            _cancel(studio, job, who)
            raise
        if view is None:
            _cancel(studio, job, who)
            print(f"Job {job} was not done after {flags.timeout:g} s, and is cancelled.", file=sys.stderr)
        return _deliver(studio, job, who, flags, timed_out=view is None)


class _Place:
    """The data folder: this process holds it and draws, or another studio does."""

    def __init__(self, data_dir: Path, stack: contextlib.ExitStack) -> None:
        self._data_dir, self._stack = data_dir, stack
        self._held = self._drawing = False

    def hold(self, doing: str) -> None:
        """Takes the folder if nobody has it. It is given back last of all, after the worker has ended."""
        holder = Holder(self._data_dir)
        try:
            holder.__enter__()
        except Unavailable:
            if not self._data_dir.is_dir():
                raise
            return
        later = self._stack.pop_all()
        self._stack.push(holder)
        self._stack.push(later)
        self._held = True
        holder.say(doing=doing)

    def draw(self, studio: Studio, job: int) -> None:
        """Sees to it that somebody draws: starts a worker of our own where nobody else has one, or has one no longer."""
        if not self._held:
            self.hold(f"drawing job {job} from the shell")
        if self._held and not self._drawing:
            self._drawing = True
            studio.start()


def _person(studio: Studio, name: str | None) -> Who:
    """Whose job it is. Raises BadInput."""
    with_password = studio.store.db.execute("SELECT name FROM persons WHERE password IS NOT NULL AND removed IS NULL ORDER BY name")
    people = [row["name"] for row in with_password]
    if name is None and people:
        raise BadInput("--person", "People log in to this studio.", "", f"Say whose job it is: --person {people[0]}.")
    if name is None:
        return LOCAL
    row = person_row(studio.store, name)
    if row is None:
        raise BadInput("--person", f"There is no person {name!r} in this studio.", "", f"There are {listed(people)}." if people else "")
    return Who(row["name"], bool(row["admin"]) or row["name"] == LOCAL.name, projects_of(studio.store, row["name"]))


def _listing(studio: Studio, name: str | None, who: Who) -> str:
    """The templates, or the variables of one."""
    if name is None:
        found = studio.templates.all()
        width = max(len(one) for one in found)
        return "\n".join(f"{one:{width}}  {template.title}" for one, template in sorted(found.items()))
    template = studio.templates.current(name.partition("@")[0])
    lines = [f"{template.title}: {template.about}" if template.about else template.title]
    for variable in template.variables.values():
        about = variable.help or variable.title
        kind = f"{variable.type}: {', '.join(variable.choices)}" if variable.choices else variable.type
        usual = "required" if variable.required else f"default {variable.default}" if variable.default is not None else "may be left out"
        lines.append(f"  --set {variable.name}=...  {about} ({kind}; {usual})")
    return "\n".join(lines)


def _with_pictures(studio: Studio, data: dict[str, Any], who: Who) -> dict[str, Any]:
    """`data` with the files among its pictures brought to the studio. Raises BadInput."""
    asked = {"family": data["family"], "tier": data.get("tier") or "preview"}

    def brought(given: object, field: str) -> object:
        if not isinstance(given, str) or given.isdecimal():
            return int(given) if isinstance(given, str) else given
        path = Path(given).expanduser()
        if not path.is_file():
            return given  # an upload's id, or refused as what it is
        return studio.imports.take(path.read_bytes(), asked, who)["upload"]

    found = data | {name: brought(data[name], name) for name in ("image", "likeness") if data.get(name) is not None}
    template = found.get("template")
    if isinstance(template, dict) and found.get("values"):
        variables = studio.templates.current(str(template["name"])).variables
        values = {name: brought(value, name) if name in variables and variables[name].type == "image" else value
                  for name, value in found["values"].items()}  # fmt: skip
        found["values"] = values
    return found


def _wait(studio: Studio, place: _Place, job: int, who: Who, flags: argparse.Namespace) -> Json | None:
    """The job once it has ended; None when --timeout was over first."""
    end = time.monotonic() + flags.timeout if flags.timeout is not None else None
    line = _Line(sys.stderr, flags.quiet)
    paused_since: float | None = None
    try:
        while True:
            place.draw(studio, job)
            view = studio.job_view(jobs.job_row(studio.store, job, who))
            if view["state"] not in ("queued", "running"):
                return view
            if end is not None and time.monotonic() > end:
                return None
            why = studio.queue.why_paused() or ("this job is paused" if view["paused"] else "")
            paused_since = (paused_since or time.monotonic()) if why else None
            held = paused_since is not None and time.monotonic() - paused_since > PAUSED_SECONDS
            line.say(f"Job {job}: {_progress(view)}" + (f"; the queue waits: {why}" if held else ""))
            time.sleep(POLL_SECONDS)
    finally:
        line.end()


def _progress(view: Json) -> str:
    if view["state"] == "queued":
        ahead = (view["position"] or 1) - 1
        return f"queued, {ahead} before it" if ahead > 0 else "queued"
    drawn = f"{view['done']} drawn"
    steps = f", step {view['step']} of {view['steps']}" if view["step"] else ""
    left = f", {view['eta']:.0f} s left" if view["eta"] else ""
    again = f", round {view['round'] + 1} of {view['rounds']}" if view["round"] else ""
    return drawn + again + steps + left


class _Line:
    """Progress on a terminal as one line that changes, elsewhere as a line now and then."""

    def __init__(self, out: TextIO, quiet: bool) -> None:
        self._out, self._quiet, self._live = out, quiet, out.isatty()
        self._last, self._told = "", -TELL_SECONDS

    def say(self, words: str) -> None:
        if self._quiet or words == self._last:
            return
        if self._live:
            self._out.write(f"\r{words}\x1b[K")
        elif time.monotonic() - self._told >= TELL_SECONDS:
            self._out.write(f"{words}\n")
            self._told = time.monotonic()
        else:
            return
        self._last = words
        self._out.flush()

    def end(self) -> None:
        if self._live and self._last:
            self._out.write("\r\x1b[K")
            self._out.flush()


def _cancel(studio: Studio, job: int, who: Who) -> None:
    with contextlib.suppress(jobs.NotNow):  # it has ended meanwhile
        studio.cancel(job, who)


def _deliver(studio: Studio, job: int, who: Who, flags: argparse.Namespace, timed_out: bool) -> int:
    """Writes pictures and scores; the exit status."""
    row = jobs.job_row(studio.store, job, who)
    view = studio.job_view(row)
    drawn = [one for one in images.of_job(studio.store, job, who) if one["state"] == "drawn"]
    told = views.image_views(studio.store, drawn, studio.percentiles, who)
    told.sort(key=lambda one: (one["verdict"] != "kept", one["rank"] is None, one["rank"] or 0, one["number"]))
    written = {}
    for one in told:
        if flags.all or one["verdict"] == "kept":
            written[one["id"]] = _write(studio, one["id"], who, flags)
    kept = sum(one["verdict"] == "kept" for one in told)
    status = _status(view, kept, timed_out)
    report = {
        "job": job, "exit": status, "state": view["state"], "outcome": view["outcome"], "error": view["error"],
        "kept": kept, "asked": view["keep"], "request": view["request"],
        "pictures": [_picture(one, written.get(one["id"])) for one in told],
    }  # fmt: skip
    text = json.dumps(report, indent=2, ensure_ascii=False)
    if flags.json == "-":
        print(text)
    else:
        path = Path(flags.json).expanduser() if flags.json else flags.out / f"{job:06d}.json"
        path.write_text(text + "\n", encoding="utf-8")
        for one in told:
            if one["id"] in written:
                print(written[one["id"]])
    _tell(view, kept, status, sys.stderr)
    return status


def _status(view: Json, kept: int, timed_out: bool) -> int:
    if timed_out:
        return TOO_LONG
    if view["state"] != "done":
        return CANCELLED if view["state"] == "cancelled" else FAILED
    return DONE if kept >= view["keep"] else TOO_FEW


def _tell(view: Json, kept: int, status: int, out: TextIO) -> None:
    if view["error"]:
        print(" ".join(part for part in (view["error"][name] for name in ("what", "why", "todo")) if part), file=out)
    elif status == CANCELLED:
        print(f"Job {view['id']} was cancelled.", file=out)
    elif status == TOO_FEW:
        words = view["outcome"] or f"{kept} of {view['keep']} passed"
        print(f"Job {view['id']}: {words}.", file=out)


def _write(studio: Studio, image: int, who: Who, flags: argparse.Namespace) -> str:
    """A picture's file in --out; its path. Raises StudioError when it cannot be written."""
    source = studio.picture_file(image, who)
    post = posts_of(studio.store, [image]).get(image)
    path = flags.out / (f"{source.stem}.{ENDING[post[0].format]}" if post else source.name)
    try:
        if post is not None:  # as its template says; made anew from the pixels, it says nothing of itself
            with Image.open(source) as opened:
                files.write_whole(path, encode(apply(opened, post[0]), post[0]))
        else:
            files.write_whole(path, stripped(source) if flags.strip else source.read_bytes())
    except OSError as error:
        raise StudioError(f"{path} cannot be written.", error.strerror or str(error), "Choose another --out.") from error
    return os.fspath(path)


def _picture(view: Json, path: str | None) -> Json:
    """A picture as a script wants it."""
    names = ("id", "number", "rank", "verdict", "reasons", "seed", "prompt", "width", "height", "tier", "card", "steps", "guidance",
             "stage", "round", "seconds", "served_from", "parent")  # fmt: skip
    measured = ("dimension", "title", "value", "unit", "better", "threshold", "bound", "passed", "hard", "note", "scorer", "version")
    scores = [{name: score[name] for name in measured} for score in view["scores"]]
    return {"file": path, **{name: view[name] for name in names}, "scores": scores}


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Ctrl+C and SIGTERM as Ended, so that what was queued is taken back."""

    def end(number: int, _frame: object) -> None:
        for one in before:
            signal.signal(one, signal.SIG_DFL)  # who asks twice does not want to wait
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
