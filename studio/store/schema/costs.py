"""What pictures cost: by day what was drawn, kept, computed and paid. Every report is read from it.

`cost_days` is kept right by triggers, as the figures of Insights are: whoever writes pictures, charges or trainings need not know of it. It
counts what happened, so deleting takes nothing out of it. A day is a day in UTC: a picture's that of its drawing, a charge's that of its
reservation.
"""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.cloud import COUNTS
from studio.store.schema.insights import FIGURES
from studio.store.schema.migrations import migrations

KEYS = ("day", "person", "tier", "template", "feature", "provider", "model")
# A charge's share in the figures of its day. told: the provider named the amount, so that it can be held against the table's.
_TOLD = "({row}.state = 'settled' AND {row}.told)"
SHARES = {
    "charges": "{row}.state != 'released'",
    "micro": COUNTS,
    "held": "(CASE WHEN {row}.state IN ('reserved', 'submitted', 'uncertain') THEN {row}.reserved ELSE 0 END)",
    "told": _TOLD,
    "told_micro": f"(CASE WHEN {_TOLD} THEN {{row}}.settled ELSE 0 END)",
    "told_expected": f"(CASE WHEN {_TOLD} THEN {{row}}.expected ELSE 0 END)",
}
# A picture's. seconds: of this machine, so neither a provider's nor those of what history served.
PICTURES = {
    "drawn": "1",
    "served": "{row}.served_from IS NOT NULL",  # from history, at no cost
    "kept": f"coalesce({FIGURES['kept']}, 0)",
    "seconds": "(CASE WHEN {row}.place = '' AND {row}.served_from IS NULL THEN coalesce({row}.seconds, 0) ELSE 0 END)",
}


@migrations()
def cost_days(db: Database) -> None:
    """The table, its triggers, and what was there before them. provider "" is this machine; model is then the card."""
    figures = ", ".join(f"{name} {'REAL' if name == 'seconds' else 'INTEGER'} NOT NULL DEFAULT 0" for name in (*PICTURES, *SHARES))
    db.execute(
        f"CREATE TABLE cost_days ({', '.join(f'{key} TEXT NOT NULL' for key in KEYS)}, {figures}, PRIMARY KEY ({', '.join(KEYS)}))"
        " WITHOUT ROWID"
    )
    _features(db)
    _pictures(db)
    _charges(db)
    _trainings(db)


def _features(db: Database) -> None:
    """Jobs learn what they are part of from whoever queues them, in the same transaction: a batch's row, an experiment's pair."""
    mark = "UPDATE jobs SET feature = '{feature}' WHERE id = {job};"
    for event in ("INSERT", "UPDATE OF job_id"):
        name = event.split()[0].lower()
        db.execute(
            f"CREATE TRIGGER features_batch_{name} AFTER {event} ON batch_tries WHEN new.job_id IS NOT NULL"
            f" BEGIN {mark.format(feature='batch', job='new.job_id')} END"
        )
    both = " ".join(mark.format(feature="experiment", job=f"new.{job}") for job in ("job_a", "job_b"))
    for event in ("INSERT", "UPDATE OF job_a, job_b"):
        db.execute(f"CREATE TRIGGER features_experiment_{event.split()[0].lower()} AFTER {event} ON experiment_pairs BEGIN {both} END")
    db.execute("UPDATE jobs SET feature = 'batch' WHERE id IN (SELECT job_id FROM batch_tries)")
    of_pairs = "SELECT job_a FROM experiment_pairs UNION SELECT job_b FROM experiment_pairs"
    db.execute(f"UPDATE jobs SET feature = 'experiment' WHERE id IN ({of_pairs})")


def _pictures(db: Database) -> None:
    def keys(row: str, feature: str) -> list[str]:
        template = f"coalesce((SELECT key FROM insights_groups WHERE job_id = {row}.job_id AND kind = 'template' LIMIT 1), '')"
        provider = f"substr({row}.place, 1, instr({row}.place || ' ', ' ') - 1)"
        model = f"CASE {row}.place WHEN '' THEN {row}.card ELSE substr({row}.place, instr({row}.place || ' ', ' ') + 1) END"
        return [f"substr({row}.drawn, 1, 10)", f"{row}.person", f"{row}.tier", template, feature, provider, model]

    def count(row: str, sign: int, feature: str = "", where: str = "") -> str:
        feature = feature or f"(SELECT feature FROM jobs WHERE id = {row}.job_id)"
        counted = f"{row}.state = 'drawn' AND {row}.drawn IS NOT NULL"
        return _add(keys(row, feature), _signed(PICTURES, row, sign), f"{where} {counted}" if where else f"WHERE {counted}", bool(where))

    db.execute(f"CREATE TRIGGER cost_images_put AFTER INSERT ON images WHEN new.state = 'drawn' BEGIN {count('new', 1)}; END")
    watched = ("state", "drawn", "verdict", "kept_by_person", "seconds", "served_from", "person", "place")
    changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in watched)
    drawn = "(old.state = 'drawn' OR new.state = 'drawn')"
    db.execute(
        f"CREATE TRIGGER cost_images_changed AFTER UPDATE OF {', '.join(watched)} ON images WHEN {drawn} AND ({changed})"
        f" BEGIN {count('old', -1)}; {count('new', 1)}; END"
    )
    # History may have served pictures of a job before it is known what the job is part of.
    of_job = "FROM images WHERE images.job_id = new.id AND"
    db.execute(
        "CREATE TRIGGER cost_feature_changed AFTER UPDATE OF feature ON jobs WHEN old.feature != new.feature"
        f" BEGIN {count('images', -1, 'old.feature', of_job)}; {count('images', 1, 'new.feature', of_job)}; END"
    )
    db.execute(count("images", 1, "", "FROM images WHERE"))


def _charges(db: Database) -> None:
    def count(row: str, sign: int, where: str = "WHERE true") -> str:
        return _add([f"{row}.{key}" for key in KEYS], _signed(SHARES, row, sign), where, where != "WHERE true")

    db.execute(f"CREATE TRIGGER cost_charges_put AFTER INSERT ON charges BEGIN {count('new', 1)}; END")
    db.execute(
        "CREATE TRIGGER cost_charges_changed AFTER UPDATE OF state, reserved, expected, settled, told ON charges"
        f" BEGIN {count('old', -1)}; {count('new', 1)}; END"
    )
    db.execute(count("charges", 1, "FROM charges WHERE true"))


def _trainings(db: Database) -> None:
    """The device's seconds that trainings of LoRAs take, as they are written down."""
    keys = ["substr({row}.started, 1, 10)", "person", "''", "''", "'training'", "''", "card"]

    def add(row: str, seconds: str, tables: str, grouped: bool = False) -> str:
        return _add([key.format(row=row) for key in keys], {"seconds": seconds}, tables, grouped)

    of = "FROM trainings WHERE trainings.id = new.training_id"
    db.execute(f"CREATE TRIGGER cost_stretches_put AFTER INSERT ON training_stretches BEGIN {add('new', 'new.seconds', of)}; END")
    db.execute(
        "CREATE TRIGGER cost_stretches_changed AFTER UPDATE OF seconds ON training_stretches WHEN old.seconds != new.seconds"
        f" BEGIN {add('new', 'new.seconds - old.seconds', of)}; END"
    )
    every = "FROM training_stretches JOIN trainings ON trainings.id = training_id WHERE true"
    db.execute(add("training_stretches", "training_stretches.seconds", every, True))


def _add(keys: list[str], shares: dict[str, str], rest: str, grouped: bool) -> str:
    """The statement that adds shares to the figures of their keys. grouped: over many rows at once."""
    if grouped:
        shares = {name: f"sum({share})" for name, share in shares.items()}
    end = f" GROUP BY {', '.join(str(place + 1) for place in range(len(keys)))}" if grouped else ""
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in shares)
    return (
        f"INSERT INTO cost_days ({', '.join([*KEYS, *shares])}) SELECT {', '.join([*keys, *shares.values()])} {rest}{end}"
        f" ON CONFLICT ({', '.join(KEYS)}) DO UPDATE SET {added}"
    )


def _signed(shares: dict[str, str], row: str, sign: int) -> dict[str, str]:
    return {name: f"{sign} * ({share.format(row=row)})" for name, share in shares.items()}
