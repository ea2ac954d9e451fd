"""Evaluations of LoRAs: what was drawn to judge a version, what it said, who looked at it; and what is tried out in live use."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def evaluations(db: Database) -> None:
    db.execute(
        """CREATE TABLE evaluations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lora_id INTEGER NOT NULL, number INTEGER NOT NULL,
        against INTEGER, -- the version that it is compared with; NULL: none
        person TEXT NOT NULL REFERENCES persons(name),
        card TEXT NOT NULL, family TEXT NOT NULL, tier TEXT NOT NULL,
        setup TEXT NOT NULL, -- JSON of a pipelines Setup
        state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
        space TEXT, -- whose embeddings these are; of different spaces none compare
        result TEXT, verdict TEXT, words TEXT, -- once it is done
        error TEXT, -- JSON: why it failed
        automatic INTEGER NOT NULL DEFAULT 0, -- 1: begun because its training had ended
        created TEXT NOT NULL, finished TEXT, removed TEXT,
        FOREIGN KEY (lora_id, number) REFERENCES lora_versions(lora_id, number)
        )"""
    )
    db.execute("CREATE INDEX evaluations_of ON evaluations(lora_id, number, id)")
    db.execute("CREATE INDEX evaluations_open ON evaluations(id) WHERE state = 'running'")
    db.execute(
        """CREATE TABLE evaluation_cells (
        evaluation_id INTEGER NOT NULL REFERENCES evaluations(id), number INTEGER NOT NULL, -- as pipelines.evaluation.cells orders them
        job_id INTEGER, place INTEGER, -- no reference: what was seen outlives its picture. NULL: to be asked for
        tries INTEGER NOT NULL DEFAULT 0,
        image_id INTEGER, seen TEXT, -- JSON {"flaws", "values"}, or {"why"}: it is left out. NULL until it is judged
        PRIMARY KEY (evaluation_id, number)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX evaluation_cells_job ON evaluation_cells(job_id)")
    db.execute(
        """CREATE TABLE evaluation_vectors ( -- embeddings, which the worker makes: a row with neither vector nor why waits for it
        evaluation_id INTEGER NOT NULL REFERENCES evaluations(id),
        kind TEXT NOT NULL CHECK (kind IN ('cell', 'dataset', 'concept', 'ordinary')),
        number INTEGER NOT NULL,
        source TEXT NOT NULL, -- a path below the data folder, or a prompt
        vector BLOB, why TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (evaluation_id, kind, number)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX evaluation_vectors_open ON evaluation_vectors(evaluation_id) WHERE vector IS NULL AND why = ''")
    db.execute(
        """CREATE TABLE lora_looks ( -- a person's word that they have looked at what a version draws
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lora_id INTEGER NOT NULL, number INTEGER NOT NULL,
        person TEXT NOT NULL REFERENCES persons(name), created TEXT NOT NULL,
        FOREIGN KEY (lora_id, number) REFERENCES lora_versions(lora_id, number)
        )"""
    )
    db.execute("CREATE INDEX lora_looks_of ON lora_looks(lora_id, number)")
    # Whether a training's version is evaluated by itself: 1 or 0, as it was when the training was asked for.
    db.execute("ALTER TABLE trainings ADD COLUMN evaluate INTEGER NOT NULL DEFAULT 0")


@migrations()
def trials(db: Database) -> None:
    db.execute(
        """CREATE TABLE lora_trials ( -- a share of the requests that would get production gets the candidate
        lora_id INTEGER PRIMARY KEY REFERENCES loras(id),
        share REAL NOT NULL CHECK (share > 0 AND share < 1),
        person TEXT NOT NULL REFERENCES persons(name), created TEXT NOT NULL
        )"""
    )
    db.execute(
        """CREATE TABLE lora_trial_jobs ( -- which of the two a request got by chance
        job_id INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
        lora_id INTEGER NOT NULL REFERENCES loras(id),
        arm TEXT NOT NULL CHECK (arm IN ('production', 'candidate')),
        number INTEGER NOT NULL, -- the version that this was
        production INTEGER NOT NULL, candidate INTEGER NOT NULL, -- the two at that moment: what is compared
        share REAL NOT NULL, created TEXT NOT NULL,
        PRIMARY KEY (job_id, lora_id)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX lora_trial_jobs_of ON lora_trial_jobs(lora_id, production, candidate)")


@migrations()
def lora_words(db: Database) -> None:
    db.execute(
        """CREATE TABLE lora_words ( -- how a version is described: what was said later holds, and the version itself stays as it came
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lora_id INTEGER NOT NULL, number INTEGER NOT NULL,
        triggers TEXT NOT NULL, licence TEXT NOT NULL, note TEXT NOT NULL, -- triggers: JSON
        person TEXT NOT NULL REFERENCES persons(name), created TEXT NOT NULL,
        FOREIGN KEY (lora_id, number) REFERENCES lora_versions(lora_id, number)
        )"""
    )
    db.execute("CREATE INDEX lora_words_of ON lora_words(lora_id, number, id)")
    columns = [row[1] for row in db.execute("PRAGMA table_info(lora_versions)").fetchall()]
    later = "(SELECT {name} FROM lora_words AS said WHERE said.lora_id = v.lora_id AND said.number = v.number ORDER BY id DESC LIMIT 1)"
    told = [
        f"coalesce({later.format(name=name)}, v.{name}) AS {name}" if name in ("triggers", "licence", "note") else f"v.{name}"
        for name in columns
    ]  # fmt: skip
    db.execute(f"CREATE VIEW lora_versions_told AS SELECT {', '.join(told)} FROM lora_versions AS v")
