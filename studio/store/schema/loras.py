"""LoRAs: what each version was made from, where their aliases stand and stood, and what was found in watched folders."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def loras(db: Database) -> None:
    db.execute(
        """CREATE TABLE loras (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE, -- never given twice: "ceramic/v3" means one file for good
        title TEXT NOT NULL,
        about TEXT NOT NULL DEFAULT '',
        kind TEXT NOT NULL CHECK (kind IN ('style', 'product', 'domain', 'quality')),
        owner TEXT NOT NULL REFERENCES persons(name),
        access TEXT NOT NULL CHECK (access IN ('private', 'project', 'everyone')),
        project TEXT,
        created TEXT NOT NULL,
        CHECK ((access = 'project') = (project IS NOT NULL))
        )"""
    )
    db.execute("CREATE INDEX loras_owner ON loras(owner)")
    db.execute(  # what was a project's is its owner's again
        "CREATE TRIGGER loras_project_gone AFTER DELETE ON projects BEGIN"
        " UPDATE loras SET access = 'private', project = NULL WHERE project = old.name; END"
    )
    db.execute(
        """CREATE TABLE lora_versions ( -- never changed
        lora_id INTEGER NOT NULL REFERENCES loras(id),
        number INTEGER NOT NULL CHECK (number >= 1),
        path TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, -- path: below the data folder
        card TEXT NOT NULL, base_revision TEXT NOT NULL,
        rank INTEGER, alpha REAL, -- NULL: the file does not say, or says several
        triggers TEXT NOT NULL, -- JSON: [words]
        licence TEXT NOT NULL,
        parent INTEGER, -- the version it was made from
        dataset TEXT, config TEXT, -- JSON: hashes of pictures and captions; everything that the training was told
        seed INTEGER,
        packages TEXT, samples TEXT NOT NULL, scores TEXT NOT NULL, -- JSON: {package: version}, [paths], {name: number}
        training TEXT, gpu_seconds REAL, -- NULL: it was brought, not trained here
        note TEXT NOT NULL,
        person TEXT NOT NULL REFERENCES persons(name),
        created TEXT NOT NULL,
        PRIMARY KEY (lora_id, number)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX lora_versions_file ON lora_versions(sha256)")
    db.execute(
        "CREATE TRIGGER lora_versions_stay BEFORE UPDATE ON lora_versions BEGIN"
        " SELECT RAISE(ABORT, 'a version of a LoRA never changes'); END"
    )
    db.execute(
        "CREATE TRIGGER lora_versions_remain BEFORE DELETE ON lora_versions BEGIN"
        " SELECT RAISE(ABORT, 'a version of a LoRA is never forgotten'); END"
    )
    db.execute(
        """CREATE TABLE lora_aliases (
        lora_id INTEGER NOT NULL, alias TEXT NOT NULL CHECK (alias IN ('production', 'candidate')), number INTEGER NOT NULL,
        PRIMARY KEY (lora_id, alias),
        FOREIGN KEY (lora_id, number) REFERENCES lora_versions(lora_id, number)
        ) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE lora_moves ( -- of aliases, each as it happened
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lora_id INTEGER NOT NULL REFERENCES loras(id), alias TEXT NOT NULL,
        from_number INTEGER, to_number INTEGER, -- NULL: it stood nowhere
        back INTEGER NOT NULL, -- 1: a rollback
        person TEXT NOT NULL, created TEXT NOT NULL, reason TEXT NOT NULL, forced INTEGER NOT NULL
        )"""
    )
    db.execute("CREATE INDEX lora_moves_of ON lora_moves(lora_id, id)")
    db.execute(
        """CREATE TABLE lora_verdicts ( -- what evaluations said of versions; the newest holds
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lora_id INTEGER NOT NULL, number INTEGER NOT NULL,
        verdict TEXT NOT NULL, words TEXT NOT NULL, scores TEXT NOT NULL, evaluation INTEGER,
        created TEXT NOT NULL,
        FOREIGN KEY (lora_id, number) REFERENCES lora_versions(lora_id, number)
        )"""
    )
    db.execute("CREATE INDEX lora_verdicts_of ON lora_verdicts(lora_id, number, id)")
    db.execute(
        """CREATE TABLE lora_trash (
        lora_id INTEGER NOT NULL, number INTEGER NOT NULL,
        person TEXT NOT NULL, trashed TEXT NOT NULL,
        purged TEXT, -- when its files were deleted; what it was made from stays known
        PRIMARY KEY (lora_id, number),
        FOREIGN KEY (lora_id, number) REFERENCES lora_versions(lora_id, number)
        ) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE lora_found ( -- files in watched folders, as they were when they were last looked at
        path TEXT PRIMARY KEY, bytes INTEGER NOT NULL, changed INTEGER NOT NULL, -- changed: ns since 1970
        lora_id INTEGER REFERENCES loras(id), number INTEGER, -- what it came in as
        refused TEXT NOT NULL DEFAULT '', -- or why it did not
        looked TEXT NOT NULL
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX job_loras_of ON job_loras(job_id)")
