"""Are earlier prompts found again when somebody words them otherwise? `python -m benchmarks.similar [--quick]`

Scenes of the embedded family's world, each worded twice by the family's own captions: the first wordings are in the history, the second
are asked for. Found: the scene's first wording is among the three that are offered. By words alone, and with the meanings that the
worker's text tower gives. Then how long the page's process takes with a history of many prompts.
"""
from __future__ import annotations

import base64
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import Report
from models.embedded.captions import caption
from models.embedded.world import Scene, triples
from models.presets import load_catalogue
from models.scorers import prompt_encoder
from studio.meaning import Meanings, Reading
from studio.similar import SHOWN, Similar
from studio.store import Store
from studio.store.people import LOCAL
from studio.store.scores import Percentiles

SCENES, QUICK_SCENES = 400, 120
PROMPTS, QUICK_PROMPTS = 50_000, 10_000
ASKED = 50


def main() -> None:
    report = Report.start("similar", __doc__ or "")
    quick = report.args.quick
    rng = np.random.default_rng(17)
    everything = triples(True) + triples(False)
    scenes = [Scene(*everything[place]) for place in rng.permutation(len(everything))[: QUICK_SCENES if quick else SCENES]]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "studio.db")
        remember(store, first := [caption(scene, rng) for scene in scenes])
        second = [caption(scene, rng) for scene in scenes]

        card = load_catalogue().card("embedded")
        encoder = prompt_encoder(card)
        reading = Reading(store, card, None, encoder, lambda event, **answer: None)
        seconds = -time.perf_counter()
        while reading.catch_up():
            pass
        seconds += time.perf_counter()
        report.row("reading a prompt", f"{1000 * seconds / len(scenes):.1f} ms", f"n {len(scenes)}")

        by_words = Similar(store, Percentiles(store), Meanings(store, lambda prompt: False))
        report.share("found by words", hits(by_words, first, second), len(scenes))

        def ask(prompt: str) -> bool:
            hear(meanings, reading.space, prompt, encoder.prompts([prompt])[0])
            return True

        meanings = Meanings(store, ask)
        with_meaning = hits(Similar(store, Percentiles(store), meanings), first, second)
        report.share("found with meanings", with_meaning, len(scenes))

        times = page_times(store, reading.space, rng, QUICK_PROMPTS if quick else PROMPTS)
        report.row("comparing", f"median {np.percentile(times, 50):.1f} ms", f"p95 {np.percentile(times, 95):.1f} ms",
                   f"{QUICK_PROMPTS if quick else PROMPTS} prompts, n {len(times)}")  # fmt: skip
        store.close()
    report.figure("similar.found", with_meaning / len(scenes), "share", ">=", 0.9)
    report.figure("similar.compare.ms", float(np.percentile(times, 95)), "ms", "<=", 50)
    report.finish()


def remember(store: Store, prompts: list[str]) -> None:
    """A drawn picture a prompt."""
    with store.write() as db:
        job = db.execute(
            "INSERT INTO jobs (person, state, request, prompt, family, tier, card, draft, keep, steps, guidance, profile, created)"
            " VALUES ('local', 'done', '{}', '', 'embedded', 'preview', 'embedded', 1, 1, 4, 3, 'generic', '2026-11-21') RETURNING id"
        ).fetchone()["id"]
        db.executemany(
            "INSERT INTO images (job_id, number, person, state, seed, width, height, tier, card, prompt, steps, guidance, path, drawn)"
            " VALUES (?, ?, 'local', 'drawn', 1, 256, 256, 'preview', 'embedded', ?, 4, 3, 'outputs/x.png', '2026-11-21')",
            [(job, number, prompt) for number, prompt in enumerate(prompts)],
        )


def hits(similar: Similar, first: list[str], second: list[str]) -> int:
    """How many of `second` offer their counterpart in `first`."""
    found = 0
    for wanted, prompt in zip(first, second, strict=True):
        results = similar.find({"prompt": prompt, "limit": SHOWN}, 0.0, LOCAL)["results"]
        found += any(one["image"]["prompt"] == wanted for one in results)
    return found


def hear(meanings: Meanings, space: str, prompt: str, vector: np.ndarray) -> None:
    meanings.heard({"prompt": prompt, "space": space, "vector": base64.b64encode(vector.astype("<f2").tobytes()).decode()})


def page_times(store: Store, space: str, rng: np.random.Generator, count: int) -> list[float]:
    """Milliseconds to compare a prompt with `count` others, whose places are drawn at random."""
    remember(store, [f"filler {number}" for number in range(count)])
    dim = len(store.db.execute("SELECT vector FROM prompt_vectors WHERE vector IS NOT NULL LIMIT 1").fetchone()["vector"]) // 2
    vectors = rng.normal(size=(count, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with store.write() as db:
        ids = [row["id"] for row in db.execute("SELECT id FROM prompts WHERE prompt LIKE 'filler %' ORDER BY id")]
        rows = [(prompt, space, vector.astype("<f2").tobytes()) for prompt, vector in zip(ids, vectors, strict=True)]
        db.executemany("INSERT INTO prompt_vectors (prompt_id, space, vector) VALUES (?, ?, ?)", rows)
    meanings = Meanings(store, lambda prompt: False)
    hear(meanings, space, "first", vectors[0])
    meanings.near("first", LOCAL, 60)  # reads them all, once
    times = []
    for place in rng.integers(count, size=ASKED):
        hear(meanings, space, "asked", vectors[place])
        started = time.perf_counter()
        assert f"filler {place}" in meanings.near("asked", LOCAL, 60)
        times.append(1000 * (time.perf_counter() - started))
    return times


if __name__ == "__main__":
    main()
