"""What spares drawing: keys of what was drawn, pinned pictures, the prompts there are; and the pictures that people brought."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def cache_of_pictures(db: Database) -> None:
    db.execute(
        """CREATE TABLE cache (
        image_id INTEGER PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE,
        key TEXT NOT NULL, -- SHA-256 of every input of the picture, hex
        used TEXT NOT NULL -- when it was drawn, or last served
        )"""
    )
    db.execute("CREATE INDEX cache_key ON cache(key)")
    # The precision in which a device last drew a model: the one input that is known only where it is drawn.
    db.execute(
        "CREATE TABLE drawn_as (device TEXT NOT NULL, card TEXT NOT NULL, precision TEXT NOT NULL,"
        " PRIMARY KEY (device, card)) WITHOUT ROWID"
    )
    db.execute("ALTER TABLE images ADD COLUMN served_from INTEGER")  # the picture that this one was served from; it may be gone
    db.execute("ALTER TABLE jobs ADD COLUMN served INTEGER NOT NULL DEFAULT 0")  # candidates that came from history
    db.execute(
        "CREATE TABLE pins (image_id INTEGER PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE,"
        " person TEXT NOT NULL REFERENCES persons(name), created TEXT NOT NULL)"
    )


@migrations()
def uploads(db: Database) -> None:
    db.execute(
        """CREATE TABLE uploads ( -- the file lies once, whoever brought it; each person sees their own rows
        hash TEXT NOT NULL, -- SHA-256 of the file, hex
        person TEXT NOT NULL REFERENCES persons(name),
        path TEXT NOT NULL, -- below the data folder
        width INTEGER NOT NULL, height INTEGER NOT NULL, bytes INTEGER NOT NULL,
        created TEXT NOT NULL,
        used TEXT, -- when a job last started from it; NULL for one that was only looked at
        PRIMARY KEY (hash, person)
        ) WITHOUT ROWID"""
    )


@migrations()
def prompts(db: Database) -> None:
    """Each different prompt once, as words and as trigrams, kept in step by triggers: whoever writes pictures need not know of it."""
    db.execute("CREATE INDEX images_prompt ON images(prompt)")
    db.execute("CREATE TABLE prompts (id INTEGER PRIMARY KEY, prompt TEXT NOT NULL UNIQUE)")
    kinds = {"words": "unicode61 remove_diacritics 2", "trigrams": "trigram"}
    for name, tokenizer in kinds.items():
        db.execute(
            f"CREATE VIRTUAL TABLE prompt_{name} USING fts5(prompt, content='prompts', content_rowid='id', detail=none,"
            f" tokenize='{tokenizer}')"
        )
        db.execute(f"CREATE VIRTUAL TABLE prompt_{name}_counts USING fts5vocab(prompt_{name}, row)")
    put = "".join(f"INSERT INTO prompt_{name} (rowid, prompt) VALUES (new.id, new.prompt);" for name in kinds)
    take = "".join(
        f"INSERT INTO prompt_{name} (prompt_{name}, rowid, prompt) VALUES ('delete', old.id, old.prompt);" for name in kinds
    )
    db.execute(f"CREATE TRIGGER prompts_put AFTER INSERT ON prompts BEGIN {put} END")
    db.execute(f"CREATE TRIGGER prompts_taken AFTER DELETE ON prompts BEGIN {take} END")
    db.execute(
        "CREATE TRIGGER images_prompt_put AFTER INSERT ON images BEGIN INSERT OR IGNORE INTO prompts (prompt) VALUES (new.prompt); END"
    )
    # What was deleted for good leaves no words behind.
    db.execute(
        "CREATE TRIGGER images_prompt_taken AFTER DELETE ON images WHEN NOT EXISTS (SELECT 1 FROM images WHERE prompt = old.prompt)"
        " BEGIN DELETE FROM prompts WHERE prompt = old.prompt; END"
    )
    db.execute("INSERT OR IGNORE INTO prompts (prompt) SELECT prompt FROM images")


@migrations()
def prompt_vectors(db: Database) -> None:
    """What a prompt means, as a text tower has it. Ids are never used again: who has read up to one need not look back."""
    db.execute(
        """CREATE TABLE prompt_vectors (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        prompt_id INTEGER NOT NULL REFERENCES prompts(id) ON DELETE CASCADE,
        space TEXT NOT NULL, -- the text tower and its weights
        vector BLOB, -- float16, little endian, of length 1; NULL for a prompt with words that the tower does not know
        UNIQUE (prompt_id, space)
        )"""
    )
