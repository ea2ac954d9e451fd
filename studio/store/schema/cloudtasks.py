"""Batches that a provider draws: which they are, where each picture was drawn, what was learned of providers, what is under way."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def cloud_tasks(db: Database) -> None:
    # NULL: the device draws it. A batch for the cloud without a charge waits for the dispatcher, because its model is not here.
    db.execute("ALTER TABLE tasks ADD COLUMN place TEXT CHECK (place = 'cloud')")
    db.execute("ALTER TABLE tasks ADD COLUMN route TEXT")  # JSON of a pipelines Route: the choice, in words too
    # '' here, else provider and model ("fal fal-ai/flux/schnell"); 'cloud' before one is chosen for a model that is not here.
    db.execute("ALTER TABLE images ADD COLUMN place TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE jobs ADD COLUMN where_words TEXT NOT NULL DEFAULT ''")  # why it is drawn where it is, as last decided
    db.execute("ALTER TABLE jobs ADD COLUMN away TEXT NOT NULL DEFAULT '[]'")  # JSON: its cards whose weights were not here
    db.execute("CREATE INDEX tasks_cloud ON tasks(state, id) WHERE place = 'cloud' AND state IN ('waiting', 'leased')")
    # One row: JSON of pipelines Healths, learned from real calls.
    db.execute("CREATE TABLE cloud_health (id INTEGER PRIMARY KEY CHECK (id = 1), state TEXT NOT NULL)")


@migrations()
def lora_addresses(db: Database) -> None:
    # Where a provider can fetch a LoRA: a public address that a person gave for one of its versions.
    db.execute(
        "CREATE TABLE lora_urls (lora TEXT NOT NULL REFERENCES loras(name), version INTEGER NOT NULL, url TEXT NOT NULL,"
        " PRIMARY KEY (lora, version)) WITHOUT ROWID"
    )
