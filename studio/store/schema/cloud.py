"""Money: what providers were promised and paid, and the limits on it.

The ledger's rows are only added to and moved on, never deleted, and refer to nothing: what was paid outlives its pictures and its job.
`spent`, which a reservation is held against, is kept right by triggers, in the transaction of whoever writes. All money is in whole
micro-dollars. A day is a day in UTC.
"""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations

FEATURES = ("generate", "batch", "experiment", "evaluation", "training", "test")
STATES = ("reserved", "submitted", "settled", "released", "uncertain")
OPEN = ("reserved", "submitted", "uncertain")

# What a charge takes of its limits: what was reserved until it is known what it came to.
COUNTS = "(CASE {row}.state WHEN 'settled' THEN {row}.settled WHEN 'released' THEN 0 ELSE {row}.reserved END)"


@migrations()
def ledger(db: Database) -> None:
    # What a job is part of; whoever queues it need not say so, see `costs`.
    db.execute(f"ALTER TABLE jobs ADD COLUMN feature TEXT NOT NULL DEFAULT 'generate' CHECK (feature IN {FEATURES})")
    db.execute(
        f"""CREATE TABLE charges (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id INTEGER, task_id INTEGER, -- NULL: a provider's test
        numbers TEXT NOT NULL, -- JSON: which candidates of the job
        person TEXT NOT NULL, project TEXT, -- as the job was shared then
        tier TEXT NOT NULL, template TEXT NOT NULL, feature TEXT NOT NULL CHECK (feature IN {FEATURES}),
        provider TEXT NOT NULL, model TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN {STATES}),
        reserved INTEGER NOT NULL CHECK (reserved >= 0), -- held of every limit until it is settled or released
        expected INTEGER NOT NULL CHECK (expected >= 0), -- by the table of prices
        settled INTEGER CHECK (settled >= 0),
        told INTEGER NOT NULL DEFAULT 0 CHECK (told IN (0, 1)), -- 1: the provider named the amount; 0: it is the table's
        on_credit INTEGER NOT NULL CHECK (on_credit IN (0, 1)), -- 1: the person had been given credits, and this is paid from them
        request_id TEXT, ticket TEXT, -- JSON: how to ask the provider for it again
        hedge_of INTEGER REFERENCES charges(id),
        key_source TEXT NOT NULL, -- where the key came from, never the key
        created TEXT NOT NULL,
        begun TEXT, -- when the submit may first have left this machine
        submitted TEXT, ended TEXT,
        seconds REAL, -- from the submit until the pictures were here
        error TEXT, -- JSON: what, why, todo
        resolved_by TEXT, -- who said what became of an uncertain one
        day TEXT NOT NULL, month TEXT NOT NULL, -- whose limits it counts against: those of its reservation, whenever it ends
        CHECK ((state = 'settled') = (settled IS NOT NULL))
        )"""
    )
    db.execute("CREATE INDEX charges_day ON charges(day, person)")
    db.execute("CREATE INDEX charges_job ON charges(job_id) WHERE job_id IS NOT NULL")
    db.execute("CREATE INDEX charges_task ON charges(task_id, state) WHERE task_id IS NOT NULL")
    db.execute(f"CREATE INDEX charges_open ON charges(state, provider) WHERE state IN {OPEN}")
    db.execute("CREATE INDEX charges_request ON charges(provider, request_id) WHERE request_id IS NOT NULL")
    db.execute("CREATE TRIGGER charges_stay BEFORE DELETE ON charges BEGIN SELECT raise(ABORT, 'charges are never deleted'); END")
    db.execute(
        """CREATE TABLE budgets ( -- what may be spent in a day or month. No row at all that concerns a charge: nothing
        scope TEXT NOT NULL CHECK (scope IN ('studio', 'person', 'project')),
        name TEXT NOT NULL, -- '' of the studio; '*': each person, or each project, that has none of its own
        period TEXT NOT NULL CHECK (period IN ('day', 'month')),
        micro INTEGER NOT NULL CHECK (micro >= 0),
        set_by TEXT NOT NULL, changed TEXT NOT NULL,
        PRIMARY KEY (scope, name, period)
        ) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE credits ( -- given to people, or taken back; from the first on, what they spend is paid from these
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL REFERENCES persons(name), micro INTEGER NOT NULL,
        given_by TEXT NOT NULL, note TEXT NOT NULL, created TEXT NOT NULL
        )"""
    )
    db.execute("CREATE INDEX credits_of ON credits(person, micro)")
    db.execute(
        """CREATE TABLE rates ( -- what this machine costs, the newest holds from its day on; the first also for what was before
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        day TEXT NOT NULL,
        hour_micro INTEGER NOT NULL CHECK (hour_micro >= 0), -- of drawing or training: what is reckoned with
        watts REAL, tariff_micro INTEGER, -- by which it was reckoned: power under load, and the price of a kWh; NULL: an hour's price
        machine_micro INTEGER, months INTEGER, -- what the machine cost and how long it is to last; NULL: not said
        set_by TEXT NOT NULL, created TEXT NOT NULL
        )"""
    )
    _spent(db)


def _spent(db: Database) -> None:
    """period: a day ("2026-11-21"), a month ("2026-11"), or "" for ever, which is what credits are held against."""
    db.execute(
        "CREATE TABLE spent (scope TEXT NOT NULL CHECK (scope IN ('studio', 'person', 'project', 'credit')), name TEXT NOT NULL,"
        " period TEXT NOT NULL, micro INTEGER NOT NULL, PRIMARY KEY (scope, name, period)) WITHOUT ROWID"
    )
    whose = [("studio", "''", "true"), ("person", "new.person", "true"), ("project", "new.project", "new.project IS NOT NULL")]
    rows = [(scope, name, period, when) for scope, name, when in whose for period in ("new.day", "new.month")]
    rows.append(("credit", "new.person", "''", "new.on_credit"))

    def add(by: str) -> str:
        return " ".join(
            f"INSERT INTO spent SELECT '{scope}', {name}, {period}, {by} WHERE {when}"
            " ON CONFLICT (scope, name, period) DO UPDATE SET micro = micro + excluded.micro;"
            for scope, name, period, when in rows
        )

    new, old = COUNTS.format(row="new"), COUNTS.format(row="old")
    db.execute(f"CREATE TRIGGER spent_put AFTER INSERT ON charges BEGIN {add(new)} END")
    db.execute(
        f"CREATE TRIGGER spent_changed AFTER UPDATE OF state, reserved, settled ON charges WHEN {new} != {old}"
        f" BEGIN {add(f'{new} - {old}')} END"
    )
