"""What the Insights tab reads: signals and comments as they come, and figures by day that triggers keep up to date.

Whoever writes jobs, pictures or scores need not know of them. The figures count what happened: a picture that is thrown away, or that
retention deletes for good, was still drawn, measured and paid for, so deleting takes nothing out of them. What changes (a verdict, a
person's word, whose a picture is) moves from one figure to another. A day is a day in UTC, that of the drawing.
"""
from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def signals_and_comments(db: Database) -> None:
    db.execute(
        """CREATE TABLE signals ( -- what people did with pictures, each time they did it
        id INTEGER PRIMARY KEY,
        image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        person TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN
            ('star', 'unstar', 'pick', 'reject', 'unflag', 'download', 'regenerate', 'keep-anyway', 'restore')),
        created TEXT NOT NULL
        )"""
    )
    db.execute("CREATE INDEX signals_of ON signals(image_id)")
    db.execute("CREATE INDEX signals_when ON signals(created, person, kind)")
    db.execute(
        """CREATE TABLE comments (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        person TEXT NOT NULL, -- who wrote it
        text TEXT NOT NULL,
        created TEXT NOT NULL, edited TEXT,
        deleted TEXT, deleted_by TEXT -- out of sight; whoever deleted it can take it back
        )"""
    )
    db.execute("CREATE INDEX comments_of ON comments(image_id, id)")


# What a picture is counted under, as (kind, key): everything, and what its job was made with; with two LoRAs under each of them.
_TEMPLATE = (
    "coalesce(CASE json_type({job}.request, '$.template') WHEN 'text' THEN json_extract({job}.request, '$.template')"
    " WHEN 'object' THEN json_extract({job}.request, '$.template.name') END, '')"
)
_PLAIN = {"all": "''", "tier": "{job}.tier", "profile": "{job}.profile", "template": _TEMPLATE}
_LORAS = (
    "json_each(CASE WHEN json_array_length({job}.request, '$.loras') > 0 THEN json_extract({job}.request, '$.loras') ELSE '[{{}}]' END)"
)

# A picture's share in each figure of its day.
FIGURES = {
    "drawn": "1",
    "drafts": "{row}.stage = 'draft'",
    "judged": "{row}.verdict IS NOT NULL",
    "passed": "coalesce({row}.verdict IN ('kept', 'spare'), 0)",
    "rejected": "{row}.verdict IS 'rejected'",
    "review": "{row}.verdict IS 'review'",
    "final_judged": "{row}.stage = 'final' AND {row}.verdict IS NOT NULL",
    "final_passed": "{row}.stage = 'final' AND coalesce({row}.verdict IN ('kept', 'spare'), 0)",
    "kept": "CASE {row}.kept_by_person WHEN 1 THEN 1 WHEN 0 THEN 0 ELSE {row}.verdict IS 'kept' END",  # a person's word wins
    "seconds": "CASE WHEN {row}.served_from IS NULL THEN coalesce({row}.seconds, 0) ELSE 0 END",  # history costs no device's time
}
# A score's share in the figures of its dimension and day.
MEASURES = {
    "n": "{row}.value IS NOT NULL",
    "total": "coalesce({row}.value, 0)",
    "squares": "coalesce({row}.value * {row}.value, 0)",
    "asked": "{row}.passed IS NOT NULL",
    "failed": "{row}.passed IS 0",
    "unscored": "{row}.value IS NULL",
}
_REASON = "{row}.hard IS 1 AND {row}.passed IS 0"
_COUNTED = "{row}.state = 'drawn' AND {row}.drawn IS NOT NULL"


@migrations()
def insights_by_day(db: Database) -> None:
    _groups(db)
    _pictures(db)
    _requests(db)
    _scores(db)


def _groups(db: Database) -> None:
    db.execute(
        "CREATE TABLE insights_groups (job_id INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,"
        " PRIMARY KEY (job_id, kind, key)) WITHOUT ROWID"
    )

    def rows(job: str, tables: Sequence[str]) -> str:
        plain = [_select([f"{job}.id", f"'{kind}'", key.format(job=job)], tables) for kind, key in _PLAIN.items()]
        loras = _select([f"{job}.id", "'lora'", "coalesce(json_extract(json_each.value, '$.name'), '')"], [*tables, _LORAS.format(job=job)])
        return "INSERT OR IGNORE INTO insights_groups " + " UNION ALL ".join([*plain, loras])

    db.execute(f"CREATE TRIGGER insights_jobs_grouped AFTER INSERT ON jobs BEGIN {rows('new', [])}; END")
    db.execute("CREATE TRIGGER insights_jobs_gone AFTER DELETE ON jobs BEGIN DELETE FROM insights_groups WHERE job_id = old.id; END")
    db.execute(rows("jobs", ["jobs"]))


def _pictures(db: Database) -> None:
    figures = ", ".join(f"{name} {'REAL' if name == 'seconds' else 'INTEGER'} NOT NULL" for name in FIGURES)
    db.execute(
        f"CREATE TABLE insights_days (kind TEXT NOT NULL, day TEXT NOT NULL, person TEXT NOT NULL, card TEXT NOT NULL, key TEXT NOT NULL,"
        f" {figures}, PRIMARY KEY (kind, day, person, card, key)) WITHOUT ROWID"
    )

    def count(row: str, sign: int, tables: Sequence[str] = ()) -> str:
        keys = ["kind", f"substr({row}.drawn, 1, 10)", f"{row}.person", f"{row}.card", "key"]
        shares = _signed(FIGURES, row, sign)
        if tables:
            shares = {name: f"sum({share})" for name, share in shares.items()}
        chosen = _select([*keys, *shares.values()], [*tables, "insights_groups"])
        end = " GROUP BY 1, 2, 3, 4, 5" if tables else ""
        where = f" WHERE insights_groups.job_id = {row}.job_id AND {_COUNTED.format(row=row)}"
        into = f"INSERT INTO insights_days (kind, day, person, card, key, {', '.join(shares)})"
        return f"{into} {chosen}{where}{end} ON CONFLICT (kind, day, person, card, key) DO UPDATE SET {_added(shares)}"

    db.execute(f"CREATE TRIGGER insights_images_put AFTER INSERT ON images WHEN new.state = 'drawn' BEGIN {count('new', 1)}; END")
    watched = ("state", "drawn", "stage", "verdict", "kept_by_person", "seconds", "served_from", "person")
    changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in watched)
    db.execute(
        f"CREATE TRIGGER insights_images_changed AFTER UPDATE OF {', '.join(watched)} ON images WHEN {changed}"
        f" BEGIN {count('old', -1)}; {count('new', 1)}; END"
    )
    db.execute(count("images", 1, ["images"]))


def _requests(db: Database) -> None:
    # One row a job, kept when the job is deleted: how many it was asked to keep, and how many it has delivered by now.
    db.execute(
        "CREATE TABLE insights_requests (job_id INTEGER PRIMARY KEY, day TEXT NOT NULL, person TEXT NOT NULL, card TEXT NOT NULL,"
        " state TEXT NOT NULL, asked INTEGER NOT NULL, kept INTEGER NOT NULL DEFAULT 0)"
    )
    db.execute("CREATE INDEX insights_requests_by_day ON insights_requests(day, state, person, card, asked, kept)")
    columns = "(job_id, day, person, card, state, asked)"
    row = "{job}.id, substr({job}.created, 1, 10), {job}.person, {job}.card, {job}.state, {job}.keep"
    db.execute(
        f"CREATE TRIGGER insights_jobs_put AFTER INSERT ON jobs BEGIN"
        f" INSERT INTO insights_requests {columns} VALUES ({row.format(job='new')}); END"
    )
    db.execute(
        "CREATE TRIGGER insights_jobs_changed AFTER UPDATE OF state, keep, person, card ON jobs BEGIN"
        " UPDATE insights_requests SET state = new.state, asked = new.keep, person = new.person, card = new.card WHERE job_id = new.id; END"
    )
    kept = {row: f"coalesce(({FIGURES['kept']}), 0) * ({_COUNTED})".format(row=row) for row in ("new", "old", "images")}
    add = "UPDATE insights_requests SET kept = kept + {by} WHERE job_id = new.job_id"
    db.execute(
        f"CREATE TRIGGER insights_kept_put AFTER INSERT ON images WHEN {kept['new']} BEGIN {add.format(by=kept['new'])}; END"
    )
    db.execute(
        f"CREATE TRIGGER insights_kept_changed AFTER UPDATE OF state, verdict, kept_by_person ON images WHEN {kept['new']} != {kept['old']}"
        f" BEGIN {add.format(by='(' + kept['new'] + ') - (' + kept['old'] + ')')}; END"
    )
    db.execute(f"INSERT INTO insights_requests {columns} SELECT {row.format(job='jobs')} FROM jobs")
    db.execute(
        f"UPDATE insights_requests SET kept = (SELECT coalesce(sum({kept['images']}), 0) FROM images"
        " WHERE images.job_id = insights_requests.job_id)"
    )


def _scores(db: Database) -> None:
    measures = ", ".join(f"{name} {'REAL' if name in ('total', 'squares') else 'INTEGER'} NOT NULL" for name in MEASURES)
    keys = ("dimension", "day", "person", "card", "stage", "version")
    # threshold, bound: what was asked last.
    db.execute(
        f"CREATE TABLE insights_scores ({', '.join(f'{key} TEXT NOT NULL' for key in keys)}, {measures}, threshold REAL, bound TEXT,"
        f" PRIMARY KEY ({', '.join(keys)})) WITHOUT ROWID"
    )
    groups = ("kind", "day", "person", "card", "key", "dimension")
    db.execute(
        f"CREATE TABLE insights_reasons ({', '.join(f'{key} TEXT NOT NULL' for key in groups)}, n INTEGER NOT NULL,"
        f" PRIMARY KEY ({', '.join(groups)})) WITHOUT ROWID"
    )

    def measure(score: str, image: str, sign: int, tables: Sequence[str], where: str, whole: bool = False) -> str:
        shares = _signed(MEASURES, score, sign)
        of_image = [f"substr({image}.drawn, 1, 10)", f"{image}.person", f"{image}.card", f"{image}.stage"]
        chosen = [f"{score}.dimension", *of_image, f"{score}.version"]
        newest = {name: f"{score}.{name}" for name in ("threshold", "bound")}
        if whole:
            shares = {name: f"sum({share})" for name, share in shares.items()}
            newest = {name: f"max({column})" for name, column in newest.items()}
        update = ", ".join([_added(shares), *(f"{name} = coalesce(excluded.{name}, {name})" for name in newest if sign > 0)])
        return (
            f"INSERT INTO insights_scores ({', '.join([*keys, *shares, *newest])})"
            f" {_select([*chosen, *shares.values(), *newest.values()], tables)} WHERE {_COUNTED.format(row=image)} AND {where}"
            f"{' GROUP BY 1, 2, 3, 4, 5, 6' if whole else ''} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {update}"
        )

    def reason(score: str, image: str, sign: int, tables: Sequence[str], where: str, whole: bool = False) -> str:
        chosen = ["kind", f"substr({image}.drawn, 1, 10)", f"{image}.person", f"{image}.card", "key", f"{score}.dimension"]
        n = f"{sign} * count(*)" if whole else str(sign)
        failing = f"{_COUNTED.format(row=image)} AND {_REASON.format(row=score)} AND insights_groups.job_id = {image}.job_id AND {where}"
        return (
            f"INSERT INTO insights_reasons ({', '.join([*groups, 'n'])}) {_select([*chosen, n], [*tables, 'insights_groups'])}"
            f" WHERE {failing}{' GROUP BY 1, 2, 3, 4, 5, 6' if whole else ''}"
            f" ON CONFLICT ({', '.join(groups)}) DO UPDATE SET n = n + excluded.n"
        )

    def both(score: str, image: str, sign: int, tables: Sequence[str], where: str, whole: bool = False) -> str:
        return f"{measure(score, image, sign, tables, where, whole)}; {reason(score, image, sign, tables, where, whole)};"

    more = both("new", "images", 1, ["images"], "images.id = new.image_id")
    less = both("old", "images", -1, ["images"], "images.id = old.image_id")
    db.execute(f"CREATE TRIGGER insights_scores_put AFTER INSERT ON scores BEGIN {more} END")
    db.execute(
        f"CREATE TRIGGER insights_scores_changed AFTER UPDATE OF value, threshold, bound, hard, passed ON scores BEGIN {less} {more} END"
    )
    # Somebody else's by now: what was measured goes with the picture.
    before = both("scores", "old", -1, ["scores"], "scores.image_id = old.id", True)
    after = both("scores", "new", 1, ["scores"], "scores.image_id = new.id", True)
    db.execute(
        "CREATE TRIGGER insights_scores_moved AFTER UPDATE OF state, drawn, person, card, stage ON images"
        " WHEN old.person != new.person OR old.card != new.card OR old.stage != new.stage OR old.drawn IS NOT new.drawn"
        f" OR old.state != new.state BEGIN {before} {after} END"
    )
    for statement in both("scores", "images", 1, ["images JOIN scores ON scores.image_id = images.id"], "true", True).split(";")[:-1]:
        db.execute(statement)


def _select(columns: Sequence[str], tables: Sequence[str]) -> str:
    return f"SELECT {', '.join(columns)}" + (f" FROM {', '.join(tables)}" if tables else "")


def _signed(shares: dict[str, str], row: str, sign: int) -> dict[str, str]:
    return {name: f"{sign} * ({share.format(row=row)})" for name, share in shares.items()}


def _added(shares: dict[str, str]) -> str:
    return ", ".join(f"{name} = {name} + excluded.{name}" for name in shares)
