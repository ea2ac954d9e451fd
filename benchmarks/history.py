"""How fast the history answers: `python -m benchmarks.history [--quick]`, with 100,000 pictures (--quick: 20,000) of realistic scores.

Rows are written straight into a fresh store in bulk (no picture files: a page of the history reads none). Then the studio's own
HTTP door is asked on a loopback socket, one question at a time, each kind of question many times with other values each time, and
timed from the request to the last byte of the answer. The figures are the 95th percentile of milliseconds over all questions of a kind.
"""
from __future__ import annotations

import contextlib
import json
import random
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from benchmarks.report import Report
from models.presets import load_catalogue
from studio.store import Store

ADJECTIVES = "red blue green yellow purple orange white black brass wooden matte glossy cracked tiny tall round chipped striped".split()
THINGS = "mug vase candle bottle bowl lamp watch sneaker kettle teapot perfume chair headphone camera notebook jar ring basket".split()
PLACES = ["on a wooden table", "in the snow", "on marble", "under neon light", "at the window", "in a studio", "on a beach", "in the rain"]
EXTRAS = "soft light,hard shadow,macro,top view,side view,film grain,backlit,pastel,high key,low key,reflection,shallow focus".split(",")
TAGS = "hero packshot client-a client-b draft winter spring sale banner social print final".split()
MODELS = [("embedded", "embedded"), ("flux1", "flux1-schnell"), ("flux1", "flux1-dev"), ("flux2-klein", "flux2-klein-4b")]
TIERS = (("preview", 4), ("standard", 20), ("premium", 40))
LORAS = ("brand-a", "brand-b", "ceramic", "watercolour")
# Mean, spread, threshold, bound and gate of each dimension, as measured on real sheets.
DIMENSIONS = {
    "resolution": (100.0, 0.0, 99.5, ">=", 1),
    "sharpness": (63.0, 14.0, 45.0, ">=", 1),
    "exposure": (86.0, 9.0, 70.0, ">=", 1),
    "blockiness": (12.0, 8.0, 32.0, "<=", 1),
    "flatness": (38.0, 15.0, 75.0, "<=", 1),
    "adherence": (61.0, 19.0, 50.0, ">=", 1),
    "adherence_b": (58.0, 20.0, 50.0, ">=", 1),
}
DRAFT = 8
PEOPLE = ("local", "anna", "ben")


def fill(store: Store, pictures: int, seed: int = 0, end: datetime | None = None) -> None:
    """Writes `pictures` scored candidates in jobs of eight, over two years until `end`: most of them by "local", some by others,
    of which a few are shared; with tags, ratings, notes, boards, a trash."""
    rng = random.Random(seed)
    jobs, images, scores, tags, loras = [], [], [], [], {}
    end = end or datetime.now(UTC)
    first_job = store.db.execute("SELECT coalesce(max(id), 0) FROM jobs").fetchone()[0] + 1
    first_image = store.db.execute("SELECT coalesce(max(id), 0) FROM images").fetchone()[0] + 1
    count = -(-pictures // DRAFT)
    for i in range(count):
        job, (family, card), (tier, steps) = first_job + i, rng.choices(MODELS, (5, 2, 2, 1))[0], rng.choices(TIERS, (8, 3, 1))[0]
        person = rng.choices(PEOPLE, (90, 7, 3))[0]
        prompt = f"a {rng.choice(ADJECTIVES)} {rng.choice(THINGS)} {rng.choice(PLACES)}, {', '.join(rng.sample(EXTRAS, 3))}"
        moment = end - timedelta(days=730 * (1 - (i + 1) / count), seconds=1)
        created = _iso(moment)
        used = rng.sample(LORAS, 1) if rng.random() < 0.1 else []
        request = json.dumps({"prompt": prompt, "family": family, "tier": tier, "loras": [{"name": name, "weight": 0.8} for name in used]})
        jobs.append((job, person, request, prompt, family, tier, card, DRAFT, 2, steps, 3.5, created, created, created))
        shared = "*" if person != "local" and rng.random() < 0.1 else None
        for number in range(1, DRAFT + 1):
            image = first_image + i * DRAFT + number - 1
            failed = False
            for dimension, (mean, spread, threshold, bound, hard) in DIMENSIONS.items():
                value = min(100.0, max(0.0, rng.gauss(mean, spread)))
                passed = value >= threshold if bound == ">=" else value <= threshold
                failed = failed or not passed
                scores.append((image, dimension, round(value, 3), "bench", "1", threshold, bound, hard, int(passed)))
            verdict = "rejected" if failed else "kept" if rng.random() < 0.4 else "spare" if rng.random() < 0.97 else "review"
            rating = rng.randint(1, 5) if rng.random() < 0.12 else None
            own = sorted(rng.sample(TAGS, rng.randint(1, 3))) if rng.random() < 0.1 else []
            tags += [(tag, image) for tag in own]
            note = f"for the {rng.choice(TAGS)} page" if rng.random() < 0.02 else ""
            drawn = _iso(moment + timedelta(seconds=number * 0.1))
            path = f"outputs/{created[:10]}/{job:06d}-{number:03d}.png"
            images.append((
                image, job, number, person, rng.randrange(2**40), tier, card, prompt, steps, path, drawn,
                verdict, json.dumps(["sharpness 41 < 45"] if failed else []), rating, note, json.dumps(own),
                created if rng.random() < 0.02 else None, shared, 1_000_000 + rng.randrange(500_000),
            ))  # fmt: skip
        loras[job] = used
    with store.write() as db:
        people = [(name, name, _iso(end)) for name in PEOPLE]
        db.executemany("INSERT OR IGNORE INTO persons (name, title, created) VALUES (?, ?, ?)", people)
        db.executemany(
            "INSERT INTO jobs (id, person, state, request, prompt, family, tier, card, draft, keep, steps, guidance, profile, created,"
            " started, finished) VALUES (?, ?, 'done', ?, ?, ?, ?, ?, ?, ?, ?, ?, 'generic', ?, ?, ?)",
            jobs,
        )
        db.executemany(
            "INSERT INTO images (id, job_id, number, person, state, seed, width, height, tier, card, prompt, steps, guidance, path,"
            " seconds, drawn, verdict, reasons, rating, note, tags, trashed, shared, bytes)"
            " VALUES (?, ?, ?, ?, 'drawn', ?, 256, 256, ?, ?, ?, ?, 3.5, ?, 1.5, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            images,
        )
        db.executemany(
            "INSERT INTO scores (image_id, dimension, value, scorer, version, threshold, bound, hard, passed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            scores,
        )
        db.executemany("INSERT INTO tags VALUES (?, ?)", tags)
        board = "INSERT INTO boards (person, name, position, created) VALUES ('local', ?, ?, ?) RETURNING id"
        for place in range(5):
            made = db.execute(board, [f"Board {first_image}-{place}", place, _iso(end)]).fetchone()[0]
            some = rng.sample(range(first_image, first_image + len(images)), min(400, len(images)))
            db.executemany("INSERT INTO board_images VALUES (?, ?, ?, ?)", [(made, one, at, _iso(end)) for at, one in enumerate(some)])
    store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def pages(rng: random.Random) -> list[tuple[str, str]]:
    """(parameters, sort) whose pages are walked from the first on."""
    return [("", sort) for sort in ("newest", "oldest", "rating", "best:sharpness", "best:blockiness")]


def searches(rng: random.Random) -> str:
    thing, colour, place, extra = rng.choice(THINGS), rng.choice(ADJECTIVES), rng.choice(PLACES), rng.choice(EXTRAS)
    return rng.choice([
        thing[0], thing[:2], thing[:3], thing, f"{colour} {thing}", f"{colour} {thing} {place}", f'"{place}" {extra[:3]}', "a",
        rng.choice(TAGS), f"page {rng.choice(TAGS)}", "zebra", f"{thing} zebra", f"{colour} -{thing} (OR", f"{colour} {extra}",
    ])  # fmt: skip


def filters(rng: random.Random) -> str:
    """By a score, alone and with everything else there is; among them some that match nothing and have to look at everything."""
    dimension = rng.choice([name for name in DIMENSIONS if name != "resolution"])
    low = rng.randint(0, 100)
    score = f"score={dimension}:{low}..{min(100, low + rng.choice((2, 10, 40, 100)))}"
    return rng.choice([
        score, f"{score}&verdict=kept", f"{score}&tier=premium", f"{score}&rating={rng.randint(1, 5)}",
        f"{score}&card=flux1-dev&tier=preview", f"{score}&tag={rng.choice(TAGS)}", f"{score}&since=2026-0{rng.randint(1, 9)}-01",
        f"{score}&score=sharpness:80..", f"{score}&person=anna", f"{score}&board={rng.randint(1, 5)}", f"{score}&lora={rng.choice(LORAS)}",
        f"{score}&q={rng.choice(THINGS)}", f"{score}&sort=best:adherence", f"{score}&trashed=1", f"score={dimension}:100.5..",
        f"{score}&score=adherence:99..&score=adherence_b:99..&verdict=review",
    ])  # fmt: skip


@contextlib.contextmanager
def answering(data_dir: Path) -> Iterator[httpx.Client]:
    """The studio's own door over a data folder, without a worker."""
    import uvicorn

    from studio.doors import make_app
    from studio.studio import Studio

    studio = Studio(data_dir, load_catalogue(), engine="scripted")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # as launch.py listens
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(studio), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def ask(client: httpx.Client, query: str) -> tuple[float, dict]:
    """-> (milliseconds, the answer)."""
    started = time.perf_counter()
    answer = client.get(f"/api/history?{query}")
    milliseconds = 1000 * (time.perf_counter() - started)
    answer.raise_for_status()
    return milliseconds, answer.json()


def similar(client: httpx.Client, rng: random.Random) -> float:
    """Milliseconds until earlier results for a prompt that nobody wrote before are offered."""
    prompt = f"{rng.choice(THINGS)}, {rng.choice(ADJECTIVES)}, {rng.choice(PLACES)}, {rng.choice(EXTRAS)}"
    started = time.perf_counter()
    client.post("/api/similar", json={"prompt": prompt}).raise_for_status()
    return 1000 * (time.perf_counter() - started)


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def main() -> None:
    report = Report.start("history", "Pages, searches and filters of a long history over HTTP.")
    quick = report.args.quick
    pictures, rounds = (20_000, 60) if quick else (100_000, 240)
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        store = Store(Path(folder) / "studio.db")
        fill(store, pictures)
        store.close()
        size = (Path(folder) / "studio.db").stat().st_size / 2**20
        report.row("pictures", f"{pictures}", f"written in {time.monotonic() - started:.0f} s", f"{size:.0f} MiB of SQLite")
        with answering(Path(folder)) as client:
            ask(client, "")  # the first answer of a fresh process compiles and connects
            taken: dict[str, list[float]] = {"page": [], "search": [], "filter": []}
            slowest: dict[str, tuple[float, str]] = {}

            def note(kind: str, query: str) -> dict:
                milliseconds, answer = ask(client, query)
                taken[kind].append(milliseconds)
                slowest[kind] = max(slowest.get(kind, (0.0, "")), (milliseconds, query))
                return answer

            for fields, sort in pages(rng):
                after: str | None = ""
                for _ in range(rounds // 5):
                    answer = note("page", f"{fields}&sort={sort}" + (f"&after={after}" if after else ""))
                    after = answer["next"]
            kinds: tuple[tuple[str, Callable[[random.Random], str]], ...] = (("search", searches), ("filter", filters))
            for kind, make in kinds:
                for _ in range(rounds):
                    query = make(rng)
                    note(kind, str(httpx.QueryParams({"q": query})) if kind == "search" else query)
            alike = [similar(client, rng) for _ in range(rounds // 4)]
    for kind, values in taken.items():
        report.row(kind, f"median {statistics.median(values):.1f} ms", f"p95 {p95(values):.1f} ms", f"n {len(values)}",
                   f"slowest {slowest[kind][0]:.0f} ms: {slowest[kind][1][:80]}")  # fmt: skip
    report.row("similar prompts", f"median {statistics.median(alike):.1f} ms", f"p95 {p95(alike):.1f} ms", f"n {len(alike)}")
    for kind, values in taken.items():
        report.figure(f"history.{kind}.ms", p95(values), "ms", "<=", 50)
    report.finish()


if __name__ == "__main__":
    main()
