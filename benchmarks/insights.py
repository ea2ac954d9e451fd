"""How fast the Insights tab answers: `python -m benchmarks.insights [--quick]`, over the history of `benchmarks.history` (100,000
pictures in two years; --quick: 20,000), with what people did: 10 % of the pictures flagged, 2,000 reviewed, 500 incidents; and with
bills: every tenth picture was a provider's.

Each panel is asked over HTTP on a loopback socket, over each range, for everybody and for one person, for all models and for one, and as
CSV; timed from the request to the last byte. The figure is the 95th percentile of milliseconds; the slowest is told too.
"""
from __future__ import annotations

import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from benchmarks.history import DIMENSIONS, MODELS, PEOPLE, answering, fill, p95
from benchmarks.report import Report
from studio.store import Store, signals
from studio.store.costs import GROUPS
from studio.store.schema.insights import FIGURES

KINDS = ("violent", "sexual", "hateful", "brand")


def people(store: Store, seed: int = 1) -> None:
    """What people did with the pictures, over the same two years."""
    rng = random.Random(seed)
    rows = store.db.execute("SELECT id, person, drawn, verdict FROM images ORDER BY id").fetchall()
    flagged, reviewed, marked = rng.sample(rows, len(rows) // 10), rng.sample(rows, len(rows) // 50), rng.sample(rows, len(rows) // 200)
    with store.write() as db:
        for row in flagged:
            choice = row["verdict"] in ("kept", "spare") if rng.random() < 0.85 else rng.random() < 0.5
            signals.flagged(db, [row["id"]], choice)
            db.execute("UPDATE images SET kept_by_person = ? WHERE id = ?", [choice, row["id"]])
        db.execute("UPDATE signals SET created = (SELECT drawn FROM images WHERE images.id = image_id)")
        for rows_of, source in ((reviewed, "review"), (flagged, "sheet")):
            db.executemany(
                "INSERT INTO verdicts (image_id, person, approved, reasons, blind, source, why, chance, machine, created)"
                " VALUES (?, 'ben', ?, ?, 1, ?, 'sample', 0.05, ?, ?)",
                [
                    (row["id"], approved := int(rng.random() < 0.6), "[]" if approved else f'["{rng.choice(list(DIMENSIONS))}"]',
                     source, row["verdict"], row["drawn"])
                    for row in rows_of
                ],
            )  # fmt: skip
        db.executemany(
            "INSERT INTO incidents (person, kind, rule, list, prompt_hash, image_id, action, created) VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
            [
                (row["person"], kind := rng.choice(KINDS), f"{kind}-{rng.randint(1, 4)}", *((None, row["id"]) if i % 2 else ("x", None)),
                 "marked", row["drawn"])
                for i, row in enumerate(marked)
            ],
        )  # fmt: skip


def bills(store: Store) -> None:
    """Every tenth picture as a provider's, with its settled charge; and what this machine's time costs."""
    models = [("fal", "fal-ai/flux/schnell", 3_000), ("bfl", "flux-2-pro", 30_000), ("together", "black-forest-labs/FLUX.1-schnell", 2_700)]
    rows = store.db.execute("SELECT id, job_id, number, person, tier, drawn FROM images WHERE id % 10 = 0").fetchall()
    with store.write() as db:
        for row in rows:
            provider, model, micro = models[row["id"] // 10 % len(models)]
            db.execute(
                "INSERT INTO charges (job_id, numbers, person, tier, template, feature, provider, model, state, reserved, expected,"
                " settled, told, on_credit, key_source, created, day, month)"
                " VALUES (?, ?, ?, ?, '', 'generate', ?, ?, 'settled', ?, ?, ?, ?, 0, '', ?, ?, ?)",
                [row["job_id"], f"[{row['number']}]", row["person"], row["tier"], provider, model, micro, micro, micro, provider == "bfl",
                 row["drawn"], row["drawn"][:10], row["drawn"][:7]],
            )  # fmt: skip
            db.execute("UPDATE images SET place = ?, seconds = NULL WHERE id = ?", [f"{provider} {model}", row["id"]])
        db.execute(
            "INSERT INTO rates (day, hour_micro, machine_micro, months, set_by, created)"
            " VALUES ('2020-01-01', 144000, 2400000000, 48, 'local', '')"
        )


def questions() -> dict[str, list[str]]:
    """By panel, the parameters of every combination that the page can ask for."""
    today = datetime.now(UTC).date()
    spans = ["range=7", "range=30", "range=90", "range=365", "range=all", f"since={today - timedelta(500)}&until={today - timedelta(100)}"]
    scopes = ["", f"&person={PEOPLE[0]}", f"&card={MODELS[0][1]}", f"&person={PEOPLE[1]}&card={MODELS[2][1]}"]
    own = {
        "overview": [""], "people": [""], "safety": [""],
        "reasons": [f"&by={by}" for by in ("card", "tier", "profile", "template", "lora")],
        "scores": [f"&dimension={dimension}" for dimension in DIMENSIONS],
        "costs": [f"&by={by}" for by in GROUPS],
    }  # fmt: skip
    return {panel: [span + scope + more for span in spans for scope in scopes for more in mores] for panel, mores in own.items()}


def ask(client: httpx.Client, path: str) -> float:
    started = time.perf_counter()
    client.get(path).raise_for_status()
    return 1000 * (time.perf_counter() - started)


def check(store: Store) -> None:
    """The figures by day are those of the pictures."""
    kept = store.db.execute(f"SELECT sum({FIGURES['kept'].format(row='images')}) FROM images").fetchone()[0]
    counted = store.db.execute("SELECT sum(kept) FROM insights_days WHERE kind = 'all'").fetchone()[0]
    assert kept == counted, f"{kept} pictures are kept, {counted} were counted"
    costs = store.db.execute("SELECT sum(kept) FROM cost_days").fetchone()[0]
    assert kept == costs, f"{kept} pictures are kept, costs count {costs}"


def main() -> None:
    report = Report.start("insights", "The panels of the Insights tab over a long history, over HTTP.")
    pictures = 20_000 if report.args.quick else 100_000
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        store = Store(Path(folder) / "studio.db")
        fill(store, pictures)
        people(store)
        bills(store)
        check(store)
        store.close()
        report.row("pictures", f"{pictures}", f"written in {time.monotonic() - started:.0f} s")
        taken: dict[str, list[float]] = {}
        with answering(Path(folder)) as client:
            ask(client, "/api/studio")  # the first answer of a fresh process compiles and connects
            for panel, queries in questions().items():
                for query in queries:
                    taken.setdefault(panel, []).append(ask(client, f"/api/insights/{panel}?{query}"))
                some = queries[:: len(queries) // 4]
                taken.setdefault("csv", []).extend(ask(client, f"/api/insights/{panel}.csv?{query}") for query in some)
    for panel, values in taken.items():
        median, most = statistics.median(values), max(values)
        report.row(panel, f"median {median:.1f} ms", f"p95 {p95(values):.1f} ms", f"slowest {most:.0f} ms", f"n {len(values)}")
    every = [value for values in taken.values() for value in values]
    report.figure("insights.ms", p95(every), "ms", "<=", 200)
    report.figure("insights.slowest.ms", max(every), "ms", "<=", 200)
    report.finish()


if __name__ == "__main__":
    main()
