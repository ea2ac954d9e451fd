"""Money over HTTP and in Insights: limits, who sees what, what pictures cost here and elsewhere, and when a GPU pays."""
from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta
from typing import Any

from histories import ask, draw
from logins import ADA, BOB, browser
from test_cloud_ledger import cost_days, cost_days_anew, spent, spent_by_hand

from models.money import DOLLAR
from studio.breakeven import Mix, Tier, break_even, month, pays_from
from studio.costing import Costing
from studio.people import hand_over
from studio.store import costs, images, ledger, trainings
from studio.store.costs import Rate, Rates
from studio.store.people import LOCAL, Who
from studio.studio import Studio

SCHNELL = "fal-ai/flux/schnell"


def money(door, status: int = 200, **fields: Any) -> Any:
    """A deed if there are fields, named by `to`; else what there is."""
    path = fields.pop("to", "")
    return ask(door.post(f"/api/money/{path}", json=fields) if path else door.get("/api/money"), status)


def pay(studio: Studio, image: int, micro: int | None, told: bool | None = None, expected: int = 3_000, model: str = SCHNELL) -> int:
    """A picture as the cloud worker would leave it: drawn by fal, its charge settled."""
    row = images.image_row(studio.store, image)
    with studio.store.write() as db:
        charge = ledger.reserve(db, ledger.of_job(db, row["job_id"], "fal", model, [row["number"]], expected))
        ledger.submitted(db, charge, {"request_id": f"r{charge}"})
        ledger.settle(db, charge, micro, 1.5, told)
        db.execute("UPDATE images SET place = ?, seconds = NULL WHERE id = ?", [f"fal {model}", image])
    return charge


def keep(studio: Studio, *ids: int) -> None:
    with studio.store.write() as db:
        for image in ids:
            images.set_verdict(db, image, "kept", [], None)


def panel(door, **query: Any) -> Any:
    return ask(door.get("/api/insights/costs", params=query))


# Limits.


def test_budgets_are_set_and_told(studio, door):
    assert money(door)["budgets"] == [
        {"scope": "studio", "name": "", "title": "The studio", "about": "", "warned": False, "day_micro": None, "month_micro": None,
         "day_spent_micro": 0, "month_spent_micro": 0}
    ]  # fmt: skip
    assert money(door)["left_micro"] is None and money(door)["tightest"] is None
    project = ask(door.post("/api/projects", json={"title": "Spring"}), 201)["name"]
    money(door, to="budgets", scope="studio", name="", day_micro=10_000, month_micro=None)
    money(door, to="budgets", scope="person", name="*", day_micro=9_000)
    told = money(door, to="budgets", scope="project", name=project, day_micro=None, month_micro=5_000)
    assert [(one["title"], one["day_micro"], one["month_micro"], one["day_spent_micro"]) for one in told["budgets"]] == [
        ("The studio", 10_000, None, 0), ("Each person", 9_000, None, None), ("Project Spring", None, 5_000, 0),
    ]  # fmt: skip
    assert told["left_micro"] == 9_000 and told["tightest"] == "local's budget for today: $0.00 of $0.009 spent"
    [image] = draw(studio, 1)
    pay(studio, image, 8_000)
    told = money(door)
    assert told["warnings"] == ["local's budget for today: $0.008 of $0.009 spent", "the studio's budget for today: $0.008 of $0.01 spent"]
    assert told["budgets"][0]["warned"] and told["budgets"][0]["day_spent_micro"] == told["budgets"][0]["month_spent_micro"] == 8_000
    assert money(door, to="budgets", scope="person", name="*")["left_micro"] == 2_000, "null takes it away"
    ask(door.post(f"/api/projects/{project}/remove", json={}))
    assert [one["scope"] for one in money(door)["budgets"]] == ["studio"], "a project's budgets go with it"


NO_AMOUNTS: list[tuple[str, dict[str, Any], str]] = [
    ("budgets", {"scope": "moon"}, "scope"), ("budgets", {"scope": "person", "name": "nobody"}, "name"),
    ("budgets", {"scope": "studio", "name": "x"}, "name"), ("budgets", {"scope": "project", "name": "x"}, "name"),
    ("budgets", {"scope": "studio", "day_micro": 0.5}, "day_micro"), ("budgets", {"scope": "studio", "month_micro": -1}, "month_micro"),
    ("budgets", {"usd": 5}, "usd"),
    ("credits", {"person": "nobody", "micro": 5}, "person"), ("credits", {"person": "local"}, "micro"),
    ("credits", {"person": "local", "micro": 1e99}, "micro"),
    ("rates", {}, "hour_micro"), ("rates", {"hour_micro": 5, "watts": 5, "tariff_micro": 5}, "hour_micro"),
    ("rates", {"watts": 5}, "tariff_micro"),
    ("rates", {"hour_micro": 5, "months": 5}, "machine_micro"), ("rates", {"hour_micro": 5, "machine_micro": 5, "months": 0}, "months"),
    ("charges/1/resolve", {"billed": "yes"}, "billed"),
    ("charges/resolve", {"charges": [1], "billed": 1}, "billed"), ("charges/resolve", {"charges": [], "billed": True}, "charges"),
    ("charges/resolve", {"charges": [True], "billed": True}, "charges"), ("charges/resolve", {"charges": 1, "billed": True}, "charges"),
]  # fmt: skip


def test_what_is_no_amount_is_refused_by_name(door):
    for to, fields, named in NO_AMOUNTS:
        assert money(door, 422, to=to, **fields)["error"]["field"] == named


def test_credits_are_given_and_taken_back(studio, door):
    money(door, to="budgets", scope="studio", day_micro=DOLLAR)
    money(door, to="credits", person="local", micro=10_000, note="for the spring sale")
    told = money(door, to="credits", person="local", micro=-4_000, note="")
    [credit] = told["credits"]
    assert (credit["granted_micro"], credit["spent_micro"], credit["left_micro"], told["left_micro"]) == (6_000, 0, 6_000, 6_000)
    given = [(one["micro"], one["by"], one["note"]) for one in credit["given"]]
    assert given == [(-4_000, "local", ""), (10_000, "local", "for the spring sale")]
    [image] = draw(studio, 1)
    pay(studio, image, 5_000)
    assert money(door)["warnings"] == ["local's credit: $0.005 of $0.006 spent"]


def test_uncertain_charges_that_are_alike_take_one_answer(studio, door):
    money(door, to="budgets", scope="studio", day_micro=DOLLAR)
    [image] = draw(studio, 1)
    job = images.image_row(studio.store, image)["job_id"]
    held = []
    with studio.store.write() as db:
        for number in range(4):
            held.append(ledger.reserve(db, ledger.of_job(db, job, "together", "schnell", [1], 3_000, task=number)))
            ledger.begin(db, held[-1])
            ledger.uncertain(db, held[-1], "The connection broke after the request was sent.")
        ledger.settle(db, held[0], 2_000)  # it has become known while the list was looked at
    money(door, 404, to="charges/resolve", charges=[held[1], 99], billed=True)
    assert len(money(door)["uncertain"]) == 3
    told = money(door, to="charges/resolve", charges=[*held[:3], held[2]], billed=True)
    found = {one["id"]: one for one in told["charges"]}
    assert [(found[one]["state"], found[one]["settled_micro"], found[one]["resolved_by"]) for one in held] == [
        ("settled", 2_000, None), ("settled", 3_000, "local"), ("settled", 3_000, "local"), ("uncertain", None, None),
    ]  # fmt: skip
    assert money(door, to="charges/resolve", charges=[held[3]], billed=False)["uncertain"] == []


def test_an_uncertain_charge_is_resolved_by_an_admin(studio, door):
    money(door, to="budgets", scope="studio", day_micro=DOLLAR)
    [image] = draw(studio, 1)
    job = images.image_row(studio.store, image)["job_id"]
    held = []
    for number in range(3):
        with studio.store.write() as db:
            held.append(ledger.reserve(db, ledger.of_job(db, job, "together", "schnell", [1], 3_000, task=number)))
            ledger.begin(db, held[-1])
            ledger.uncertain(db, held[-1], "The connection broke after the request was sent.")
    assert [one["id"] for one in money(door)["uncertain"]] == held[::-1] and money(door)["uncertain"][0]["error"]["what"]
    assert ask(door.get(f"/api/jobs/{job}"))["cost_micro"] == 9_000
    money(door, to=f"charges/{held[0]}/resolve", billed=True)
    money(door, to=f"charges/{held[1]}/resolve", billed=True, micro=2_500)
    told = money(door, to=f"charges/{held[2]}/resolve", billed=False)
    assert told["uncertain"] == [] and told["budgets"][0]["day_spent_micro"] == 5_500
    found = {one["id"]: one for one in told["charges"]}
    assert [(found[one]["state"], found[one]["settled_micro"], found[one]["told"], found[one]["resolved_by"]) for one in held] == [
        ("settled", 3_000, False, "local"), ("settled", 2_500, True, "local"), ("released", None, False, "local"),
    ]  # fmt: skip
    money(door, 409, to=f"charges/{held[0]}/resolve", billed=True)
    money(door, 404, to="charges/99/resolve", billed=True)
    view = ask(door.get(f"/api/jobs/{job}"))
    assert (view["cost_micro"], view["expected_micro"]) == (5_500, 6_000)


def test_everybody_sees_their_own_and_an_admin_all(guarded, address):
    with browser(address, "ada", ADA) as ada, browser(address, "bob", BOB) as bob:
        money(ada, to="budgets", scope="studio", day_micro=DOLLAR)
        money(ada, to="budgets", scope="person", name="ada", day_micro=DOLLAR)
        money(ada, to="credits", person="bob", micro=50_000, note="yours")
        for whose in ("ada", "bob"):
            for image in draw(guarded, 2, Who(whose)):
                pay(guarded, image, None)
        mine, all_ = money(bob), money(ada)
        assert {one["person"] for one in mine["charges"]} == {"bob"} and mine["total"] == 2 and all_["total"] == 4
        assert [one["scope"] for one in mine["budgets"]] == ["studio"] and len(all_["budgets"]) == 2
        assert mine["people"] == mine["projects"] == [] and mine["drift"] is None and [one["person"] for one in mine["credits"]] == ["bob"]
        assert mine["left_micro"] == 44_000
        for to in ("budgets", "credits", "rates", "charges/1/resolve", "charges/resolve"):
            money(bob, 403, to=to)
        assert ask(bob.get("/api/money/charges", params={"person": "ada"}), 403)
        assert bob.get("/api/money.csv", params={"person": "ada"}).status_code == 403
        assert ask(ada.get("/api/money/charges", params={"person": "bob", "count": 1}))["total"] == 2
        assert len(list(csv.DictReader(io.StringIO(bob.get("/api/money.csv").text)))) == 2
        assert {group["key"] for group in ask(bob.get("/api/insights/costs", params={"by": "person"}))["groups"]} == {"bob"}
        assert ask(bob.get("/api/insights/costs", params={"person": "*"}), 403)
        every = ask(ada.get("/api/insights/costs", params={"by": "person", "person": "*"}))
        assert {group["key"]: group["cloud_micro"] for group in every["groups"]} == {"ada": 6_000, "bob": 6_000}
        assert ask(bob.get("/api/insights/costs"))["break_even"] is None and every["break_even"]["words"]


def test_the_ledger_is_read_and_exported(studio, door):
    money(door, to="budgets", scope="studio", day_micro=DOLLAR)
    first, second = draw(studio, 2)
    pay(studio, first, 3_141)
    with studio.store.write() as db:
        job = images.image_row(studio.store, second)["job_id"]
        charge = ledger.reserve(db, ledger.of_job(db, job, "bfl", "=HYPERLINK(1)", [2], 14_000))
        ledger.release(db, charge, "It was refused before it cost anything.")
    answer = ask(door.get("/api/money/charges", params={"provider": "fal"}))
    assert answer["total"] == 1 and answer["charges"][0]["numbers"] == [1] and answer["charges"][0]["seconds"] == 1.5
    assert ask(door.get("/api/money/charges", params={"state": "released", "since": date.today().isoformat()}))["total"] in (0, 1)
    for wrong in ({"state": "lost"}, {"count": "0"}, {"moon": "1"}):
        assert ask(door.get("/api/money/charges", params=wrong), 422)["error"]["field"] in wrong
    text = door.get("/api/money.csv")
    assert text.headers["content-type"] == "text/csv; charset=utf-8" and "attachment" in text.headers["content-disposition"]
    released, settled = csv.DictReader(io.StringIO(text.text))
    said = {"settled_dollars": "0.003141", "expected_dollars": "0.003000", "told": "1", "pictures": "1"}
    assert said.items() <= settled.items()
    assert released["model"] == "'=HYPERLINK(1)" and released["settled_dollars"] == "" and released["error"].startswith("It was refused")


# What pictures cost.


def test_this_machine_s_time_has_a_price(studio, door):
    one, two, *_ = draw(studio)
    keep(studio, one, two)
    assert ask(door.get(f"/api/images/{one}"))["cost_micro"] is None
    assert panel(door)["totals"]["local_micro"] is None and panel(door)["totals"]["per_kept_micro"] == 0
    told = money(door, to="rates", watts=450, tariff_micro=320_000, machine_micro=2_400 * DOLLAR, months=48)
    assert told["rates"]["now"]["hour_micro"] == 144_000 and told["rates"]["now"]["monthly_micro"] == 50 * DOLLAR
    assert told["rates"]["now"]["words"] == "$0.144 an hour (450 W at $0.32 a kWh)"
    assert ask(door.get(f"/api/images/{one}"))["cost_micro"] == 40, "a second"
    totals = panel(door)["totals"]
    assert (totals["local_micro"], totals["cloud_micro"], totals["all_micro"], totals["per_kept_micro"]) == (160, 0, 160, 80)
    money(door, to="rates", hour_micro=3_600)
    assert panel(door)["totals"]["local_micro"] == 4, "the newest rate of a day is the day's"


def test_a_rate_holds_from_its_day_on(studio):
    with studio.store.write() as db:
        for day, hour in (("2026-03-01", 100), ("2026-05-01", 200)):
            db.execute("INSERT INTO rates (day, hour_micro, set_by, created) VALUES (?, ?, 'ada', '')", [day, hour])
    rates = Rates(studio.store)
    days = ("2025-01-01", "2026-03-01", "2026-04-30", "2026-05-01", "2027-01-01")
    assert [rates.on(day).hour_micro for day in days] == [100, 100, 100, 200, 200]
    assert Rate("", 100).micro(1) == 1 and Rate("", 3600).micro(0) == 0, "prices are rounded up"


def test_what_a_kept_picture_costs_by_what_it_was_for(studio, door):
    money(door, to="budgets", scope="studio", day_micro=DOLLAR)
    money(door, to="rates", hour_micro=3_600_000)  # a thousandth of a dollar a second
    here, there = draw(studio, 4), draw(studio, 2, tier="standard", ladder=False)
    keep(studio, here[0], here[1], there[0])
    for image in there:
        pay(studio, image, None, expected=25_000)
    by_tier = {group["key"]: group for group in panel(door, by="tier")["groups"]}
    assert by_tier["preview"]["title"] == "Preview" and by_tier["preview"]["all_micro"] == by_tier["preview"]["local_micro"] == 4_000
    assert by_tier["preview"]["per_kept_micro"] == 2_000
    assert {"cloud_micro": 50_000, "local_micro": 0, "per_kept_micro": 50_000}.items() <= by_tier["standard"].items()
    providers = [(group["key"], group["title"], group["drawn"], group["all_micro"]) for group in panel(door, by="provider")["groups"]]
    assert providers == [("fal", "fal", 2, 50_000), ("", "This machine", 4, 4_000)]
    assert [(group["title"], group["charges"]) for group in panel(door, by="feature")["groups"]] == [("Requests", 2)]
    assert [group["title"] for group in panel(door, by="template")["groups"]] == ["No template"]
    answer = panel(door, by="person", range="7")
    assert answer["totals"]["per_kept_micro"] == 18_000 and len(answer["course"]) == len(answer["steps"]) == 7
    assert sum(step["all_micro"] for step in answer["course"]) == 54_000
    rows = list(csv.DictReader(io.StringIO(door.get("/api/insights/costs.csv", params={"by": "tier"}).text)))
    assert [(row["tier"], row["all_dollars"], row["per_kept_dollars"]) for row in rows] == [
        ("standard", "0.050000", "0.050000"), ("preview", "0.004000", "0.002000"),
    ]  # fmt: skip
    assert ask(door.get("/api/insights/costs", params={"by": "moon"}), 422)
    assert cost_days(studio.store) == cost_days_anew(studio.store)


def test_batches_and_experiments_are_told_apart(studio):
    store = studio.store
    for feature in ("batch", "experiment", "batch"):
        [image] = draw(studio, 1, again=True)
        job = images.image_row(store, image)["job_id"]
        with store.write() as db:
            if feature == "batch":
                made = "INSERT INTO batches (person, kind, title, created, columns) VALUES ('local', 'variants', '', '', '[]')"
                of_batch = "INSERT INTO batch_rows (batch_id, number, line, place, cells) VALUES (?, 1, 1, 0, '{}')"
                row = db.execute(of_batch, [db.execute(made).lastrowid]).lastrowid
                db.execute("INSERT INTO batch_tries (row_id, attempt, job_id, version, started) VALUES (?, 1, ?, 1, '')", [row, job])
            else:
                made = "INSERT INTO experiments (person, title, state, version, secret, created) VALUES ('local', '', 'draft', 1, '', '')"
                pair = "INSERT INTO experiment_pairs (experiment_id, number, row, seed, place, job_a) VALUES (?, 1, 0, 1, 1, ?)"
                db.execute(pair, [db.execute(made).lastrowid, job])
            charge = ledger.of_job(db, job, "fal", SCHNELL, [1], 3_000)
        assert charge.feature == feature and charge.tier == "preview" and charge.person == "local"
    found = costs.groups(store, "feature", "2000-01-01", "2100-01-01")
    assert {key: cost.drawn for key, cost in found.items()} == {"batch": 2, "experiment": 1}
    assert cost_days(store) == cost_days_anew(store)


def test_charges_know_their_project_and_template(studio):
    [image] = draw(studio, 1)
    row = images.image_row(studio.store, image)
    with studio.store.write() as db:
        for shared, project in ((None, None), ("*", None), ("spring", "spring")):
            db.execute("UPDATE jobs SET shared = ? WHERE id = ?", [shared, row["job_id"]])
            assert ledger.of_job(db, row["job_id"], "fal", SCHNELL, [1], 1).project == project
        db.execute("UPDATE insights_groups SET key = 'hero' WHERE job_id = ? AND kind = 'template'", [row["job_id"]])
        assert ledger.of_job(db, row["job_id"], "fal", SCHNELL, [1], 1).template == "hero"


def test_trainings_of_loras_are_priced(studio, door):
    money(door, to="rates", hour_micro=3_600_000)
    dataset = ask(door.post("/api/datasets", json={"title": "mugs", "card": "embedded"}), 201)["id"]
    ask(door.post("/api/loras", json={"name": "glaze", "title": "Glaze"}), 201)
    with studio.store.write() as db:
        values = {"person": "local", "lora": "glaze", "dataset_id": dataset, "dataset": {}, "card": "embedded", "steps": 10, "note": ""}
        training = trainings.add(db, values | {"gives_way": "never"})
        moment = f"{date.today().isoformat()}T00:00:00.000Z"
        begun = "INSERT INTO training_stretches (training_id, started, seconds) VALUES (?, ?, 0)"
        stretch = db.execute(begun, [training, moment]).lastrowid
    for seconds in (30, 90):  # as it is looked at while it goes on
        studio.store.db.execute("UPDATE training_stretches SET seconds = ? WHERE id = ?", [seconds, stretch])
    [group] = panel(door, by="feature", since=date.today().isoformat())["groups"]
    assert (group["title"], group["seconds"], group["local_micro"], group["drawn"], group["per_kept_micro"]) == (
        "LoRA trainings", 90.0, 90_000, 0, None,
    )  # fmt: skip
    assert cost_days(studio.store) == cost_days_anew(studio.store)


def test_a_picture_s_share_of_its_call(studio, door):
    money(door, to="budgets", scope="studio", day_micro=DOLLAR)
    pictures = draw(studio, 4)
    job = images.image_row(studio.store, pictures[0])["job_id"]
    with studio.store.write() as db:
        lost = ledger.reserve(db, ledger.of_job(db, job, "replicate", "schnell", [1, 2, 3, 4], 12_000))
        ledger.release(db, lost, "no capacity")
        charge = ledger.reserve(db, ledger.of_job(db, job, "fal", SCHNELL, [1, 2, 3], 9_000))
        ledger.settle(db, charge, 6_001, told=True)
        # One of the three was refused, and drawn here in the end.
        db.execute("UPDATE images SET place = ? WHERE id IN (?, ?)", [f"fal {SCHNELL}", *pictures[:2]])
        db.execute("UPDATE images SET served_from = ? WHERE id = ?", [pictures[0], pictures[3]])
    shown = {one["id"]: one["cost_micro"] for one in ask(door.get(f"/api/jobs/{job}"))["images"]}
    assert [shown[image] for image in pictures] == [3_001, 3_001, None, 0]
    view = ask(door.get(f"/api/jobs/{job}"))
    assert (view["cost_micro"], view["expected_micro"]) == (6_001, 9_000)


def test_bills_that_drift_from_the_table_are_told(studio, door):
    money(door, to="budgets", scope="studio", day_micro=DOLLAR)
    pictures = draw(studio, 4)
    pay(studio, pictures[0], None)
    assert money(door)["drift"] is None, "fal named no price"
    pay(studio, pictures[1], 3_000)
    assert money(door)["drift"]["words"] == "Bills are as the table of prices says (1 of the last 30 days)."
    for image in pictures[2:]:
        pay(studio, image, 3_300, model="fal-ai/flux/dev")
    drift = money(door)["drift"]
    assert drift["alarm"] and [row["alarm"] for row in drift["rows"]] == [True, False]
    assert drift["words"] == (
        "fal billed $0.0066 for 2 calls of fal-ai/flux/dev, which the table of prices puts at $0.006: 10 % more. The table is out of date."
    )
    assert panel(door)["drift"]["alarm"]


def test_what_somebody_spent_stays_theirs(studio):
    anna = Who("anna")
    [image] = draw(studio, 1, anna)
    with studio.store.write() as db:
        db.execute("INSERT INTO budgets VALUES ('studio', '', 'day', 1000000, 'ada', '')")
    pay(studio, image, None)
    with studio.store.write() as db:
        hand_over(db, "anna", "local")
    found = costs.groups(studio.store, "person", "2000-01-01", "2100-01-01")
    assert (found["anna"].micro, found["anna"].drawn, found["local"].micro, found["local"].drawn) == (3_000, 0, 0, 1)
    assert cost_days(studio.store) == cost_days_anew(studio.store) and spent(studio.store) == spent_by_hand(studio.store)


# When a GPU pays.

MIX = Mix(drawn_per_kept=4.0, seconds=2.0, micro=3_000)
RATE = Rate("", 360_000, machine_micro=2_400 * DOLLAR, months=48)  # 100 micro-dollars a second, 50 dollars a month


def test_the_break_even_volume():
    assert MIX.here_micro(RATE) == 800 and MIX.there_micro == 12_000 and MIX.capacity == 324_000
    found = pays_from(MIX, RATE)
    assert found == 4_465, "50 dollars over 0.0112 a kept picture"
    below, at = month(MIX, RATE, found - 1), month(MIX, RATE, found)
    assert below["cheaper"] == "there" and at["cheaper"] == "here" and at["here_micro"] == 50 * DOLLAR + 800 * found
    assert month(MIX, RATE, 400_000)["machines"] == 2 and month(MIX, RATE, 900)["hours"] == 2.0
    assert pays_from(Mix(4.0, 2.0, 100), RATE) is None, "the power alone costs more"
    assert pays_from(Mix(4.0, 600.0, 60_001), RATE) is None, "it cannot draw enough"
    assert pays_from(MIX, Rate("", 360_000)) == 1, "a machine that cost nothing pays at once"


def test_the_break_even_in_words():
    tiers = [Tier("preview", "Preview", 300, 2.0, 3_000, False), Tier("premium", "Premium", 100, 40.0, 50_000, True),
             Tier("standard", "Standard", 50, None, 25_000, True)]  # fmt: skip
    answer = break_even(tiers, 450, 90, RATE)
    assert answer["known"] and answer["drawn_per_kept"] == 5.0 and [row["kept"] for row in answer["months"] if row["own"]] == [90]
    assert answer["there_micro"] == 5 * (300 * 3_000 + 100 * 50_000) // 400 and answer["here_micro"] == 5 * (300 * 200 + 100 * 4_000) // 400
    assert answer["words"] == (
        "A kept picture costs $0.00575 of this machine's time and $0.07375 at providers; the machine loses $50.00 a month."
        " It pays from 736 kept pictures a month on."
    )
    assert [row["cheaper"] for row in answer["months"]] == ["there"] * 2 + ["here"] * (len(answer["months"]) - 2)
    assert "never said" in break_even(tiers, 450, 90, None)["words"]
    assert break_even(tiers, 0, 0, RATE)["words"].startswith("Nothing was drawn")
    assert "never pays" in break_even([Tier("preview", "Preview", 9, 2.0, 100, True)], 9, 9, RATE)["words"]


def test_the_break_even_of_this_studio(studio, door):
    money(door, to="budgets", scope="studio", day_micro=DOLLAR)
    money(door, to="rates", hour_micro=36_000, machine_micro=240 * DOLLAR, months=24)
    pictures = draw(studio, 4)
    keep(studio, *pictures[:2])
    with studio.store.write() as db:  # the history's pictures bear a day of their own
        db.execute("UPDATE images SET drawn = ?", [f"{date.today().isoformat()}T00:00:00.000Z"])
    answer = Costing(studio).break_even()
    assert answer["known"] and answer["drawn_per_kept"] == 2.0
    [tier] = answer["tiers"]
    assert (tier["title"], tier["seconds"], tier["here_micro"], tier["paid"]) == ("Preview", 1.0, 10, False)
    assert tier["there_micro"] > 0, "nothing was paid for a preview yet: the table's cheapest"
    for image in pictures[2:]:
        pay(studio, image, None, expected=2_000)
    [tier] = panel(door, since=(date.today() - timedelta(1)).isoformat())["break_even"]["tiers"]
    assert (tier["drawn"], tier["there_micro"], tier["paid"]) == (4, 2_000, True)
    with studio.store.write() as db:
        db.execute("UPDATE images SET drawn = '2020-01-01T00:00:00.000Z'")
    assert Costing(studio).break_even()["words"].startswith("Nothing was drawn in the last 30 days")


def test_figures_follow_pictures_through_all_that_happens_to_them(studio, door):
    money(door, to="budgets", scope="studio", day_micro=DOLLAR)
    one, two, three, four = draw(studio)
    keep(studio, one, two)
    pay(studio, two, None)
    ask(door.post(f"/api/images/{one}/keep", json={"keep": False}))
    ask(door.post(f"/api/images/{three}/keep", json={"keep": True}))
    with studio.store.write() as db:
        db.execute("UPDATE images SET served_from = ? WHERE id = ?", [one, four])
    whole = costs.total(studio.store, "2000-01-01", "2100-01-01")
    assert (whole.drawn, whole.kept, whole.served, whole.seconds, whole.micro) == (4, 2, 1, 2.0, 3_000)
    before = cost_days(studio.store)
    assert before == cost_days_anew(studio.store)
    for do in ("trash", "delete"):
        ask(door.post("/api/images/bulk", json={"do": do, "ids": [one, two]}))
    assert cost_days(studio.store) == before, "they were drawn and paid for"
    assert studio.job(images.image_row(studio.store, three)["job_id"], LOCAL)["cost_micro"] == 3_000
    assert json.loads(ledger.of_jobs(studio.store.db, [images.image_row(studio.store, three)["job_id"]])[0]["numbers"]) == [2]
