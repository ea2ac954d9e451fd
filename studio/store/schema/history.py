"""The history: what people add to pictures, and what makes a hundred thousand of them quick to search.

Three kinds of table follow the truth by triggers, so that whoever writes it need not know of them: the full text of a picture
(`images_fts`), the newest value of each of its dimensions (`marks`), and the LoRAs of a job (`job_loras`).
"""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def people_add(db: Database) -> None:
    db.execute("ALTER TABLE images ADD COLUMN rating INTEGER CHECK (rating BETWEEN 0 AND 5)")
    db.execute("ALTER TABLE images ADD COLUMN note TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE images ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'")  # JSON, in the order given; the table `tags` finds them
    db.execute("ALTER TABLE images ADD COLUMN trashed TEXT")
    db.execute("ALTER TABLE images ADD COLUMN bytes INTEGER")  # of the file; NULL until it was looked at
    # A person's word wins over the verdict. Pictures without a rating come after those with none of the stars.
    db.execute(
        "ALTER TABLE images ADD COLUMN shown TEXT GENERATED ALWAYS AS"
        " (CASE kept_by_person WHEN 1 THEN 'kept' WHEN 0 THEN 'rejected' ELSE verdict END) VIRTUAL"
    )
    db.execute("ALTER TABLE images ADD COLUMN stars INTEGER GENERATED ALWAYS AS (coalesce(rating, -1)) VIRTUAL")
    db.execute(
        "CREATE TABLE tags (tag TEXT NOT NULL, image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,"
        " PRIMARY KEY (tag, image_id)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX tags_of ON tags(image_id)")
    db.execute(
        """CREATE TABLE boards (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL REFERENCES persons(name),
        name TEXT NOT NULL COLLATE NOCASE,
        position INTEGER NOT NULL, -- among the person's boards
        shared TEXT, -- NULL nobody, '*' everyone, else a project
        created TEXT NOT NULL,
        UNIQUE (person, name)
        )"""
    )
    db.execute(
        """CREATE TABLE board_images (
        board_id INTEGER NOT NULL REFERENCES boards(id) ON DELETE CASCADE,
        image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        position INTEGER NOT NULL, -- with gaps
        added TEXT NOT NULL,
        PRIMARY KEY (board_id, image_id)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX board_order ON board_images(board_id, position, image_id)")
    db.execute("CREATE INDEX boards_of ON board_images(image_id)")


@migrations()
def found_quickly(db: Database) -> None:
    # Narrow and whole: every filter is answered from this index alone, whether it is walked or probed by id; the wide rows of
    # `images` are read for the page that is shown and no other.
    db.execute(
        "CREATE INDEX images_shelf ON images(id, trashed, person, shared, tier, card, shown, rating, drawn, job_id) WHERE state = 'drawn'"
    )
    db.execute("CREATE INDEX images_stars ON images(stars, id) WHERE state = 'drawn'")
    db.execute("CREATE INDEX images_trash ON images(trashed) WHERE trashed IS NOT NULL")

    db.execute(
        """CREATE TABLE marks ( -- the value measured last, by dimension; pictures that could not be measured have none
        dimension TEXT NOT NULL, image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE, value REAL NOT NULL,
        PRIMARY KEY (dimension, image_id)
        ) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX marks_by_value ON marks(dimension, value, image_id)")
    db.execute("CREATE INDEX marks_of ON marks(image_id)")
    db.execute("CREATE TABLE dimensions (name TEXT PRIMARY KEY, bound TEXT) WITHOUT ROWID")  # bound: the side that is good
    for event in ("INSERT", "UPDATE OF value, bound"):
        name = event.split()[0].lower()
        db.execute(
            f"""CREATE TRIGGER scores_{name} AFTER {event} ON scores BEGIN
            DELETE FROM marks WHERE dimension = new.dimension AND image_id = new.image_id;
            INSERT INTO marks SELECT new.dimension, new.image_id, new.value WHERE new.value IS NOT NULL;
            INSERT INTO dimensions VALUES (new.dimension, new.bound)
                ON CONFLICT (name) DO UPDATE SET bound = excluded.bound WHERE excluded.bound IS NOT NULL AND bound IS NOT excluded.bound;
            END"""
        )
    db.execute("INSERT OR REPLACE INTO marks SELECT dimension, image_id, value FROM scores WHERE value IS NOT NULL ORDER BY id")
    db.execute("INSERT OR REPLACE INTO dimensions SELECT dimension, max(bound) FROM scores GROUP BY dimension")

    db.execute("CREATE TABLE job_loras (lora TEXT NOT NULL, job_id INTEGER NOT NULL, PRIMARY KEY (lora, job_id)) WITHOUT ROWID")
    loras = "SELECT json_extract(value, '$.name'), {job} FROM json_each({request}, '$.loras')"
    db.execute(
        "CREATE TRIGGER jobs_loras AFTER INSERT ON jobs BEGIN INSERT OR IGNORE INTO job_loras "
        + loras.format(job="new.id", request="new.request")
        + "; END"
    )
    db.execute("CREATE TRIGGER jobs_loras_gone AFTER DELETE ON jobs BEGIN DELETE FROM job_loras WHERE job_id = old.id; END")
    every = loras.format(job="jobs.id", request="jobs.request").replace("FROM", "FROM jobs,")
    db.execute(f"INSERT OR IGNORE INTO job_loras {every}")


@migrations()
def full_text(db: Database) -> None:
    # The text itself stays in `images`. Prefixes of one to three letters have an index, for those match the most.
    db.execute(
        "CREATE VIRTUAL TABLE images_fts USING fts5(prompt, tags, note, content='images', content_rowid='id',"
        " tokenize='unicode61 remove_diacritics 2', prefix='1 2 3')"
    )
    put = "INSERT INTO images_fts (rowid, prompt, tags, note) VALUES (new.id, new.prompt, new.tags, new.note);"
    take = "INSERT INTO images_fts (images_fts, rowid, prompt, tags, note) VALUES ('delete', old.id, old.prompt, old.tags, old.note);"
    db.execute(f"CREATE TRIGGER images_text_put AFTER INSERT ON images BEGIN {put} END")
    db.execute(f"CREATE TRIGGER images_text_taken AFTER DELETE ON images BEGIN {take} END")
    db.execute(f"CREATE TRIGGER images_text_changed AFTER UPDATE OF prompt, tags, note ON images BEGIN {take} {put} END")
    db.execute("INSERT INTO images_fts (images_fts) VALUES ('rebuild')")
