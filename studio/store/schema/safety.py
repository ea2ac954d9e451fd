"""Safety: the list of words as people changed it, and what was found in prompts and pictures."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def safety(db: Database) -> None:
    db.execute(
        """CREATE TABLE safety_lists ( -- never changed, only added to; 0 is the list as shipped, which has no row
        version INTEGER PRIMARY KEY CHECK (version >= 1),
        toml TEXT NOT NULL,
        person TEXT NOT NULL REFERENCES persons(name), note TEXT NOT NULL, created TEXT NOT NULL
        )"""
    )
    db.execute(
        """CREATE TABLE incidents ( -- of a prompt (prompt_hash) or of a picture (image_id); the prompt itself is not kept here
        id INTEGER PRIMARY KEY,
        person TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('sexual', 'violent', 'hateful', 'brand')),
        rule TEXT NOT NULL, -- of the list, a classifier's dimension, or a picture's dimension
        list INTEGER NOT NULL, -- the version of the list that found it
        prompt_hash TEXT, -- SHA-256 of the folded prompt, hex
        image_id INTEGER REFERENCES images(id) ON DELETE SET NULL,
        action TEXT NOT NULL CHECK (action IN ('refused', 'asked', 'confirmed', 'marked')),
        created TEXT NOT NULL
        )"""
    )
    db.execute("CREATE INDEX incidents_when ON incidents(created, person)")
    db.execute("CREATE INDEX incidents_of_prompt ON incidents(prompt_hash, person) WHERE prompt_hash IS NOT NULL")
    db.execute("CREATE INDEX incidents_of_image ON incidents(image_id) WHERE image_id IS NOT NULL")


@migrations()
def rescoring(db: Database) -> None:
    db.execute(
        """CREATE TABLE rescores ( -- pictures to be measured again where something of them could not be
        image_id INTEGER PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE, asked TEXT NOT NULL
        )"""
    )
    db.execute("CREATE INDEX scores_open ON scores(dimension, image_id) WHERE value IS NULL")
