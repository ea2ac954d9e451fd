"""The ledger: limits that hold however many ask at once, charges that survive a kill at any line, and figures that follow every change."""
from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.errors import NotFound
from studio.store import Store, ledger
from studio.store.jobs import NotNow
from studio.store.ledger import Charge, OverBudget
from studio.store.schema import costs as schema
from studio.store.schema.cloud import COUNTS

ONE = Charge("local", "fal", "fal-ai/flux/schnell", 3000)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new studio's database, made once."""
    path = tmp_path_factory.mktemp("empty") / "studio.db"
    Store(path).close()
    return path


@pytest.fixture
def store(tmp_path: Path, empty: Path) -> Iterator[Store]:
    store = Store(Path(shutil.copy(empty, tmp_path)))
    yield store
    store.close()


def budget(store: Store, micro: int, scope: str = "studio", name: str = "", period: str = "day") -> None:
    with store.write() as db:
        db.execute("INSERT OR REPLACE INTO budgets VALUES (?, ?, ?, ?, 'ada', '')", [scope, name, period, micro])


def credit(store: Store, person: str, micro: int) -> None:
    with store.write() as db:
        db.execute("INSERT INTO credits (person, micro, given_by, note, created) VALUES (?, ?, 'ada', '', '')", [person, micro])


def person(store: Store, name: str) -> None:
    with store.write() as db:
        db.execute("INSERT INTO persons (name, title, created) VALUES (?, ?, '')", [name, name.title()])


def reserve(store: Store, charge: Charge = ONE, **changes: object) -> int:
    with store.write() as db:
        return ledger.reserve(db, replace(charge, **changes))  # type: ignore[arg-type]


def row(store: Store, charge: int) -> sqlite3.Row:
    return ledger.one(store.db, charge)


def spent(store: Store) -> dict[tuple[str, str, str], int]:
    return {(one["scope"], one["name"], one["period"]): one["micro"] for one in store.db.execute("SELECT * FROM spent") if one["micro"]}


def spent_by_hand(store: Store) -> dict[tuple[str, str, str], int]:
    """The same, added up from the charges."""
    found: Counter[tuple[str, str, str]] = Counter()
    for one in store.db.execute(f"SELECT *, {COUNTS.format(row='charges')} AS counts FROM charges"):
        for period in (one["day"], one["month"]):
            found["studio", "", period] += one["counts"]
            found["person", one["person"], period] += one["counts"]
            if one["project"]:
                found["project", one["project"], period] += one["counts"]
        if one["on_credit"]:
            found["credit", one["person"], ""] += one["counts"]
    return {key: micro for key, micro in found.items() if micro}


def cost_days(store: Store) -> list[tuple]:
    figures = ", ".join((*schema.PICTURES, *schema.SHARES))
    rows = store.db.execute(f"SELECT {', '.join(schema.KEYS)}, {figures} FROM cost_days ORDER BY {', '.join(schema.KEYS)}").fetchall()
    return [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in rows if any(row[len(schema.KEYS) :])]


def cost_days_anew(store: Store) -> list[tuple]:
    """The same figures, counted by the migration for a studio that had none."""
    from sqlite_utils import Database

    db = store.db
    triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND (name LIKE 'cost%' OR name LIKE 'features%')"
    for (name,) in db.execute(triggers).fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute("DROP TABLE cost_days")
    factory, db.row_factory = db.row_factory, None
    with store.write():
        schema.cost_days(Database(db))
    db.row_factory = factory
    return cost_days(store)


# What may be spent.


def test_without_a_limit_nothing_may_be_spent(store):
    with store.write() as db:
        assert ledger.left(db, "local") is None and ledger.limits(db, "local") == []
        with pytest.raises(OverBudget, match="No budget is set") as refused:
            ledger.reserve(db, ONE)
    assert refused.value.limit is None and "$0.003" in refused.value.what
    assert store.db.execute("SELECT count(*) FROM charges").fetchone()[0] == 0


def test_what_cannot_be_afforded_is_refused_with_the_numbers(store):
    budget(store, 10_000)
    first = reserve(store, expected=9_000)
    with pytest.raises(OverBudget) as refused:
        reserve(store)
    assert str(refused.value) == (
        "This costs $0.003, which the studio's budget for today does not allow. Of $0.01 $0.009 is spent or reserved: $0.001 is left."
        " An admin can raise it; or wait for the next day."
    )
    with store.write() as db:
        assert ledger.left(db, "local") == 1000
        ledger.release(db, first, "the model was busy")
        assert ledger.left(db, "local") == 10_000
    reserve(store, expected=10_000)


def test_fifty_at_once_against_a_budget_for_ten_spend_for_ten(store):
    budget(store, 10 * ONE.expected)
    start, outcomes = threading.Barrier(50), Counter()

    def ask() -> None:
        start.wait()
        try:
            reserve(store)
            outcomes["reserved"] += 1
        except OverBudget:
            outcomes["refused"] += 1

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {"reserved": 10, "refused": 40}
    assert store.db.execute("SELECT sum(reserved) FROM charges").fetchone()[0] == 10 * ONE.expected
    assert spent(store) == spent_by_hand(store)


ASK = """
import sys
from pathlib import Path
from studio.store import Store, ledger
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
got = 0
for _ in range(25):
    try:
        with store.write() as db:
            ledger.reserve(db, ledger.Charge("local", "fal", "m", 3000))
        got += 1
    except ledger.OverBudget:
        pass
print(got, flush=True)
"""


def test_processes_share_a_budget(store):
    budget(store, 10 * ONE.expected)
    both = [
        subprocess.Popen([sys.executable, "-c", ASK, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    for one in both:
        one.stdin.write("\n")
        one.stdin.flush()
    assert sum(int(one.communicate(timeout=60)[0]) for one in both) == 10


def test_every_limit_holds(store):
    person(store, "ada")
    budget(store, 100_000)
    budget(store, 9_000, "person", "ada", "month")
    budget(store, 6_000, "project", "spring")
    with store.write() as db:
        assert ledger.left(db, "local") == 100_000 and ledger.left(db, "ada") == 9_000 and ledger.left(db, "ada", "spring") == 6_000
        assert ledger.left(db, "local", "autumn") == 100_000
    reserve(store, person="ada", project="spring", expected=5_000)
    with pytest.raises(OverBudget, match="project spring's budget for today"):
        reserve(store, person="local", project="spring")
    reserve(store, person="ada")
    with pytest.raises(OverBudget, match="ada's budget for this month"):
        reserve(store, person="ada")
    reserve(store)
    assert spent(store) == spent_by_hand(store)


def test_a_budget_for_each_gives_way_to_one_s_own(store):
    for name in ("ada", "bob"):
        person(store, name)
    budget(store, 3_000, "person", ledger.EACH)
    budget(store, 9_000, "person", "bob")
    with store.write() as db:
        assert [ledger.left(db, name) for name in ("ada", "bob")] == [3_000, 9_000]
    for name, times in (("ada", 1), ("bob", 3)):
        for _ in range(times):
            reserve(store, person=name)
        with pytest.raises(OverBudget):
            reserve(store, person=name)


def test_a_new_day_has_its_own_budget_and_a_charge_stays_with_its_day(store):
    budget(store, 3_000)
    budget(store, 100_000, period="month")
    charge = reserve(store)
    day = row(store, charge)["day"]
    assert row(store, charge)["month"] == day[:7]
    with store.write() as db:
        # As if it had been reserved yesterday: what it comes to today counts against yesterday.
        db.execute("DELETE FROM spent WHERE period = ?", [day])
        db.execute("UPDATE charges SET day = '2020-01-01' WHERE id = ?", [charge])
        ledger.settle(db, charge, 4_000)
        assert [limit.left for limit in ledger.limits(db, "local")] == [3_000, 96_000]
        assert ledger.limits(db, "local", day="2020-01-01")[0].spent == 1_000, "the difference, to the day of the reservation"


def test_credits_are_spent_and_no_more(store):
    budget(store, 100_000)
    before = reserve(store)
    credit(store, "local", 7_000)
    with store.write() as db:
        assert ledger.left(db, "local") == 7_000, "what was spent before anything was given was not paid from it"
    charges = [reserve(store) for _ in range(2)]
    with pytest.raises(OverBudget, match="local's credit") as refused:
        reserve(store)
    assert refused.value.todo == "An admin can give more credit."
    with store.write() as db:
        ledger.settle(db, charges[0], 1_000)
        assert ledger.credit_of(db, "local") == (7_000, 4_000)
    credit(store, "local", -3_000)
    with store.write() as db:
        assert ledger.left(db, "local") == 0
        ledger.settle(db, before, None)
        assert ledger.credit_of(db, "local") == (4_000, 4_000)
    assert spent(store) == spent_by_hand(store)


def test_a_warning_at_eighty_percent(store):
    budget(store, 15_000)
    budget(store, 1_000_000, period="month")
    for _ in range(4):
        with store.write() as db:
            assert ledger.warned(db, "local") == []
        last = reserve(store)
    with store.write() as db:
        [limit] = ledger.warned(db, "local")
        assert limit.words == "the studio's budget for today: $0.012 of $0.015 spent"
        ledger.release(db, last, "")
        assert ledger.warned(db, "local") == []


# How a charge goes on.

STEPS: dict[str, Callable[[sqlite3.Connection, int], object]] = {
    "begin": lambda db, charge: ledger.begin(db, charge, "environment FAL_KEY"),
    "submitted": lambda db, charge: ledger.submitted(db, charge, {"request_id": "r1", "urls": {}}),
    "settled": lambda db, charge: ledger.settle(db, charge, 2_500),
    "released": lambda db, charge: ledger.release(db, charge, "refused"),
    "uncertain": lambda db, charge: ledger.uncertain(db, charge, "no answer"),
    "billed": lambda db, charge: ledger.resolve(db, charge, True, "ada"),
    "not billed": lambda db, charge: ledger.resolve(db, charge, False, "ada"),
}
# What each step makes of each state; the same state: it answers False and changes nothing; None: it is refused.
AFTER = {
    "begin": {"reserved": "reserved"},
    "submitted": {"reserved": "submitted", "uncertain": "submitted"},
    "settled": dict.fromkeys((*ledger.OPEN, "settled", "released"), "settled"),
    "released": dict.fromkeys((*ledger.OPEN, "released"), "released") | {"settled": "settled"},
    "uncertain": dict.fromkeys(ledger.OPEN, "uncertain") | {"settled": "settled", "released": "released"},
    "billed": {"uncertain": "settled"},
    "not billed": {"uncertain": "released"},
}  # fmt: skip
WAYS = {"reserved": (), "submitted": ("begin", "submitted"), "uncertain": ("begin", "uncertain"), "settled": ("submitted", "settled"),
        "released": ("released",)}  # fmt: skip


def brought_to(store: Store, state: str) -> int:
    charge = reserve(store)
    for step in WAYS[state]:
        with store.write() as db:
            STEPS[step](db, charge)
    assert row(store, charge)["state"] == state
    return charge


@pytest.mark.parametrize("step", STEPS)
def test_every_step_from_every_state(store, step):
    budget(store, 1_000_000)
    for state in WAYS:
        charge = brought_to(store, state)
        before = tuple(row(store, charge))
        wanted = AFTER[step].get(state)
        if wanted is None:
            with pytest.raises(NotNow, match=state), store.write() as db:
                STEPS[step](db, charge)
        else:
            with store.write() as db:
                done = STEPS[step](db, charge)
            assert row(store, charge)["state"] == wanted
            assert done is not False or tuple(row(store, charge)) == before, "what had ended stays as it was"
        if wanted in (None, state) and step != "begin" and (step, state) != ("uncertain", "uncertain"):
            assert tuple(row(store, charge)) == before
    assert spent(store) == spent_by_hand(store) and cost_days(store) == cost_days_anew(store)


def test_what_a_charge_keeps(store):
    budget(store, 1_000_000)
    asked = {"job": 7, "task": 9, "numbers": (1, 2), "tier": "preview", "template": "hero", "feature": "batch", "project": "spring"}
    first = reserve(store, reserved=8_000, **asked)
    second = reserve(store, hedge_of=first)
    with store.write() as db:
        ledger.begin(db, first, "keyring")
        ledger.submitted(db, first, {"request_id": "abc", "urls": {"status": "https://queue.fal.run/x"}})
        assert ledger.settle(db, first, 5_900, seconds=1.25)
        assert ledger.settle(db, second, None)
    one, other = row(store, first), row(store, second)
    kept = {"job_id": 7, "task_id": 9, "numbers": "[1, 2]", "tier": "preview", "template": "hero", "feature": "batch", "project": "spring",
            "reserved": 8_000, "expected": 3_000, "settled": 5_900, "told": 1, "key_source": "keyring", "request_id": "abc",
            "seconds": 1.25}  # fmt: skip
    assert {name: one[name] for name in kept} == kept and json.loads(one["ticket"])["urls"]
    assert one["created"] <= one["begun"] <= one["submitted"] <= one["ended"]
    assert (other["settled"], other["told"], other["hedge_of"]) == (3_000, 0, first), "a provider that names no price bills the table's"
    with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
        store.db.execute("DELETE FROM charges")
    for nothing in (0, 99, 2**70):
        with pytest.raises(NotFound), store.write() as db:
            ledger.settle(db, nothing, 1)


def test_bills_higher_than_reserved_and_bills_that_come_late_are_bills(store):
    budget(store, 10_000)
    dear, late = reserve(store), reserve(store)
    with store.write() as db:
        ledger.settle(db, dear, 9_000)
        ledger.release(db, late, "cancelled")
        assert ledger.left(db, "local") == 1_000
        ledger.settle(db, late, 3_000)
        assert ledger.left(db, "local") == 0 and ledger.limits(db, "local")[0].left == -2_000
        assert not ledger.settle(db, dear, 1), "told twice, paid once"
        assert ledger.limits(db, "local")[0].spent == 12_000
    with pytest.raises(OverBudget, match=r"\$0.00 is left"):
        reserve(store, expected=0, reserved=1)


# Killed at any line.


@pytest.mark.parametrize("committed", [False, True], ids=["inside", "after"])
@pytest.mark.parametrize("step", ["reserved", *STEPS])
def test_every_change_of_state_survives_a_kill(store, step, committed):
    """A process is killed inside the transaction, or right after it: the charge and all that follows from it have changed, or nothing."""
    budget(store, 9_000)
    charge = brought_to(store, {"billed": "uncertain", "not billed": "uncertain", "settled": "submitted"}.get(step, "reserved"))
    before = charges_of(store), spent(store), cost_days(store)
    path = store.path
    store.close()  # a connection must not be shared with the child
    child = os.fork()
    if not child:
        mine = Store(path)
        with mine.write() as db:
            ledger.reserve(db, ONE) if step == "reserved" else STEPS[step](db, charge)
            if not committed:
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    after = Store(path)
    assert (charges_of(after) != before[0]) == committed
    if not committed:
        assert (spent(after), cost_days(after)) == before[1:]
    assert spent(after) == spent_by_hand(after) and cost_days(after) == cost_days_anew(after)
    # What a worker that starts finds to look after is what is open, and nothing may be reserved beyond the budget.
    held = sum(one["reserved"] for one in ledger.open_charges(after.db))
    paid = sum(one["settled"] or 0 for one in charges_of(after))
    with after.write() as db:
        assert ledger.left(db, "local") == 9_000 - held - paid
    after.close()


def charges_of(store: Store) -> list[dict[str, object]]:
    return [dict(one) for one in store.db.execute("SELECT * FROM charges ORDER BY id")]


def test_figures_follow_whatever_happens_to_charges(store):
    random_ = random.Random(7)
    for name in ("ada", "bob"):
        person(store, name)
    budget(store, 10**9)
    budget(store, 60_000, "person", "bob")
    credit(store, "ada", 90_000)
    charges: list[int] = []
    for _ in range(400):
        with store.write() as db:
            try:
                if random_.random() < 0.4 or not charges:
                    charges.append(ledger.reserve(db, replace(
                        ONE, person=random_.choice(["local", "ada", "bob"]), expected=random_.randint(0, 5_000),
                        reserved=random_.choice([None, 6_000]), project=random_.choice([None, "spring"]),
                        tier=random_.choice(["preview", "premium"]), provider=random_.choice(["fal", "bfl"]),
                    )))  # fmt: skip
                else:
                    STEPS[random_.choice(list(STEPS))](db, random_.choice(charges))
            except (OverBudget, NotNow):
                continue
    states = Counter(one["state"] for one in store.db.execute("SELECT state FROM charges"))
    assert set(states) == set(WAYS) and spent(store) == spent_by_hand(store)
    assert cost_days(store) == cost_days_anew(store)
