"""A ladder on the sheet: drafts, finals, what fell short; and the form's part in it."""
from __future__ import annotations

import json
import re

import httpx
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def strict(launched) -> str:
    """A profile that few scripted pictures pass: their adherence is 55..95, and spread evenly."""
    launched.start()
    toml = httpx.get(f"{launched.url}/api/profiles/generic/toml").text
    toml = re.sub(r"\[(thresholds|gates)\.embedded\][^\[]*", "", toml)
    toml = re.sub(r'(\[dimensions\.adherence\]\nbound = ">="\nthreshold = )[\d.]+\ngate = "\w+"', r'\g<1>78.5\ngate = "hard"', toml)
    answer = httpx.post(f"{launched.url}/api/profiles", json={"name": "strict", "toml": toml})
    assert answer.status_code in (200, 201), answer.text
    return "strict"


def on_sheet(page, job: dict):
    return page.locator(".cs-job", has=page.locator(f"#cs-job-{job['id']}"))


def test_the_best_drafts_are_finished_large_and_first(new_page, launched, expect):
    page = new_page(1600, 1000)
    page.locator("#cs-tab-standard-button").click()
    page.locator("#cs-prompt").fill("a lamp on a ladder")
    page.locator("#cs-draft").fill("6")
    # Every height the job had: places for the finals are there from the start, so nothing moves when they come.
    page.evaluate("""() => {
        window.heights = new Set();
        new MutationObserver(() => {
            const job = document.querySelector('.cs-job');
            if (job?.querySelector('.cs-job-prompt').textContent === 'a lamp on a ladder') window.heights.add(job.offsetHeight);
        }).observe(document.querySelector('cs-sheet'), {subtree: true, attributes: true, childList: true});
    }""")
    page.keyboard.press("Control+Enter")
    job = page.locator(".cs-job", has_text="a lamp on a ladder").first
    finals, drafts = job.locator("[data-stage=final]"), job.locator("[data-stage=draft]")
    expect(finals.locator(".cs-vacant")).to_have_count(2)
    expect(finals).to_contain_text("the best drafts come here")
    expect(drafts.locator(".cs-frame")).to_have_count(6)
    expect(job.locator(".cs-how")).to_contain_text("2 kept of 6 drafts")
    expect(finals.locator(".cs-frame[data-verdict=kept][data-developed]")).to_have_count(2)
    expect(finals.locator(".cs-vacant")).to_have_count(0)
    assert len(page.evaluate("[...window.heights]")) == 1, "the sheet moved while pictures came in"
    wide = finals.locator(".cs-frame").first.bounding_box()
    small = drafts.locator(".cs-frame").first.bounding_box()
    assert wide["y"] < small["y"] and wide["width"] > 1.5 * small["width"], "finals large and first, drafts small"
    assert drafts.locator(".cs-number").all_text_contents() == list("123456"), "drafts stay as they were drawn"
    made = launched.job(launched.jobs()[0]["id"])
    parents = {image["id"]: image["number"] for image in made["images"]}
    final = next(image for image in made["images"] if image["stage"] == "final")
    draft = drafts.locator(".cs-frame").nth(parents[final["parent"]] - 1)
    expect(draft.locator(".cs-relation")).to_have_text(f"finished as {final['number']}")
    draft.locator(".cs-relation").click()
    expect(page.locator(".cs-shot:focus")).to_have_attribute("aria-label", re.compile(f"^Frame {final['number']}, finished, kept"))
    page.reload()
    expect(job.locator("[data-stage=final] .cs-frame")).to_have_count(2)
    expect(job.locator("[data-stage=final] .cs-relation").first).to_have_text(re.compile(r"from draft \d"))


def test_a_job_that_fell_short_says_so_and_goes_on(new_page, launched, strict, expect):
    how = {"tier": "standard", "draft": 4, "keep": 4, "ladder": True, "retries": 1, "profile": strict, "seed": 5}
    made = launched.draw(prompt="a vase that hardly passes", **how)
    assert made["passed"] < 4, made["outcome"]
    page = new_page(1600, 1000)
    job = on_sheet(page, made)
    outcome = job.locator(".cs-outcome")
    expect(outcome).to_contain_text(made["outcome"])
    expect(outcome).to_contain_text(f"{made['passed']} of 4 passed after 2 rounds")
    drafts = job.locator("[data-stage=draft]")
    expect(drafts.locator(".cs-round")).to_have_text("Round 2: asked for “vase, a vase that hardly passes”")
    rejected = drafts.locator(".cs-frame[data-verdict=rejected]").first
    expect(rejected.locator(".cs-why")).to_have_text(re.compile(r"^adherence \d+(\.\d+)? < 78\.5"))
    rejected.hover()
    rejected.get_by_role("button", name="Keep").click()
    expect(drafts.locator(".cs-frame[data-verdict=kept]")).to_have_count(1)
    kept = drafts.locator(".cs-frame[data-verdict=kept]")
    kept.locator(".cs-shot").focus()
    page.keyboard.press("x")
    expect(drafts.locator(".cs-frame[data-verdict=kept]")).to_have_count(0)
    page.locator(".cs-shot:focus").hover()
    page.locator(".cs-frame:has(.cs-shot:focus)").get_by_role("button", name="Restore").click()
    number = int(page.locator(".cs-frame:has(.cs-shot:focus) .cs-number").text_content())
    expect(page.locator(".cs-frame:has(.cs-shot:focus)").get_by_role("button", name="Keep")).to_have_count(1)
    assert launched.job(made["id"])["images"][number - 1]["kept_by_person"] is None
    with page.expect_request(lambda asked: asked.url.endswith("/api/jobs") and asked.method == "POST") as sent:
        outcome.get_by_role("button", name="Draw more").click()
    assert sent.value.post_data_json["profile"] == strict and "seeds" not in sent.value.post_data_json
    expect(page.locator(".cs-job", has_text="a vase that hardly passes")).to_have_count(2)


def test_many_drafts_of_an_old_job_are_put_away(new_page, launched, expect):
    made = launched.draw(tier="standard", draft=14, keep=2, prompt="fourteen drafts")
    page = new_page(1600, 1000)
    job = on_sheet(page, made)
    expect(job.locator("[data-stage=draft]")).to_contain_text("14 drawn, 2 finished")
    expect(job.locator(".cs-frame:visible")).to_have_count(2)
    handle = job.get_by_role("button", name="Drafts")
    expect(handle).to_have_attribute("aria-expanded", "false")
    handle.click()
    expect(job.locator(".cs-frame:visible")).to_have_count(16)


def open_quality(page) -> None:
    page.locator(".cs-wishes > summary").click()


def test_the_form_asks_for_what_a_picture_must_show(new_page, launched, strict, expect):
    page = new_page(1600, 1200, allowed="422")
    page.locator("#cs-tab-standard-button").click()
    ladder = page.get_by_role("switch", name="Draft first, finish the best")
    expect(ladder).to_be_checked()
    page.locator("#cs-prompt").fill("a mug with everything asked")
    page.locator("#cs-draft").fill("4")
    page.locator("#cs-keep").fill("1")
    open_quality(page)
    page.locator("#cs-profile").select_option("banner-text")
    expect(page.locator(".cs-wishes")).to_contain_text("Rejects by")
    expect(page.locator(".cs-wishes")).to_contain_text("It also measures words and colours")
    page.locator("#cs-texts").fill("SUMMER SALE, 50 % off")
    page.locator("#cs-texts").press("Enter")
    expect(page.get_by_role("list", name="Words it must show").locator("li")).to_have_text(["SUMMER SALE", "50 % off"])
    page.locator("#cs-palette").fill("mauve")
    page.locator("#cs-palette").press("Enter")
    expect(page.locator(".cs-field-palette")).to_contain_text("Write a colour like #1A2B3C.")
    page.locator("#cs-palette").fill("#1a2b3c fff #fff")
    page.locator("#cs-palette").press("Enter")
    expect(page.get_by_role("list", name="Colours to keep to").locator("li")).to_have_text(["#1A2B3C", "#FFFFFF"])
    expect(page.locator(".cs-wishes")).not_to_contain_text("It also measures")
    page.locator("#cs-retries").fill("0")
    page.locator("#cs-images").fill("3")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#cs-retries-error")).to_contain_text("4 drafts and 1 finals are 5 pictures")
    expect(page.locator("#cs-images")).to_have_attribute("aria-invalid", "true")
    page.locator("#cs-images").fill("40")
    page.locator("#cs-seconds").fill("90.5")
    with page.expect_response(lambda answer: answer.url.endswith("/api/jobs") and answer.request.method == "POST") as sent:
        page.keyboard.press("Control+Enter")
    asked = sent.value.json()["request"]
    assert (asked["profile"], asked["texts"], asked["palette"]) == ("banner-text", ["SUMMER SALE", "50 % off"], ["#1A2B3C", "#FFFFFF"])
    assert (asked["ladder"], asked["retries"], asked["budget"]) == (True, 0, {"images": 40, "seconds": 90.5})
    launched.finished(sent.value.json()["id"])

    # A reload loses none of it, and an earlier request brings all of it back.
    page.reload()
    expect(page.get_by_role("list", name="Words it must show").locator("li")).to_have_count(2)
    for remove in ("SUMMER SALE", "50 % off", "#1A2B3C", "#FFFFFF"):
        page.get_by_role("button", name=f"Remove {remove}").click()
    page.locator("#cs-images").fill("")
    page.locator("#cs-profile").select_option(strict)
    job = page.locator(".cs-job", has_text="a mug with everything asked").first
    job.get_by_role("button", name="Reuse settings").click()
    expect(page.get_by_role("list", name="Words it must show").locator("li")).to_have_text(["SUMMER SALE", "50 % off"])
    expect(page.get_by_role("list", name="Colours to keep to").locator("li")).to_have_text(["#1A2B3C", "#FFFFFF"])
    expect(page.locator("#cs-profile")).to_have_value("banner-text")
    assert [page.locator(f"#cs-{name}").input_value() for name in ("retries", "images", "seconds")] == ["0", "40", "90.5"]
    ladder.click()
    with page.expect_response(lambda answer: answer.url.endswith("/api/jobs") and answer.request.method == "POST") as sent:
        page.locator("#cs-prompt").press("Control+Enter")
    assert sent.value.json()["request"]["ladder"] is False
    launched.finished(sent.value.json()["id"])


def test_a_frame_becomes_the_likeness(new_page, launched, expect):
    made = launched.draw(draft=2, keep=1, prompt="the mug to resemble")
    page = new_page(1600, 1200)
    job = on_sheet(page, made)
    shot = job.locator(".cs-frame[data-developed] .cs-shot").first
    shot.click()
    page.get_by_role("dialog").get_by_role("button", name="Use as…").click()
    page.get_by_role("button", name="It must look like this").click()
    expect(page.locator(".cs-likeness-words")).to_have_text(re.compile(rf"Frame \d of job {made['id']}"))
    # Dropped on the place itself, no menu is asked.
    page.get_by_role("button", name="No likeness").click()
    shot.drag_to(page.locator("#cs-likeness"))
    expect(page.locator(".cs-likeness-words")).to_have_text(re.compile(rf"Frame \d of job {made['id']}"))
    page.locator("#cs-prompt").fill("another mug like it")
    page.locator("#cs-draft").fill("1")
    page.locator("#cs-keep").fill("1")
    with page.expect_response(lambda answer: answer.url.endswith("/api/jobs") and answer.request.method == "POST") as sent:
        page.keyboard.press("Control+Enter")
    assert sent.value.json()["request"]["likeness"] in [image["id"] for image in made["images"]]
    launched.finished(sent.value.json()["id"])


def test_the_loupe_tells_measures_as_people_think_of_them(new_page, launched, expect):
    made = launched.draw(draft=2, keep=1, prompt="a mug under the loupe")
    page = new_page(1600, 1000)

    def measured(route):
        answer = route.fetch()
        image = answer.json()
        like = image["scores"][0]
        far = {"dimension": "background_distance:#FFFFFF", "title": "Background distance", "unit": "dE", "better": "lower", "value": 7.25}
        held = {"threshold": 5, "bound": "<=", "passed": False, "hard": True, "percentile": 88.0, "note": ""}
        none = {"dimension": "aesthetic", "title": "Aesthetic", "unit": "", "value": None, "threshold": None, "passed": None}
        image["scores"] += [like | far | held, like | none | {"note": "Its weights are not on this machine."}]
        image["reasons"] = ["background_distance:#FFFFFF 7.25 > 5"]
        route.fulfill(response=answer, body=json.dumps(image))

    page.route(re.compile(r"/api/images/\d+$"), measured)
    on_sheet(page, made).locator(".cs-frame[data-developed] .cs-shot").first.click()
    loupe = page.get_by_role("dialog")
    first = loupe.locator(".cs-score").first
    expect(first.locator(".cs-score-name")).to_have_text("Background distance #FFFFFF")
    expect(first.locator("b")).to_have_text("7.3 dE")
    expect(first.locator(".cs-score-note")).to_have_text("at most 5 dE · better than 12 % of this model's pictures here")
    left = loupe.locator(".cs-score-fold", has_text="Not scored")
    left.locator("summary").click()
    expect(left).to_contain_text("Its weights are not on this machine.")
    loupe.get_by_role("button", name="What scorers need, and their downloads").click()
    expect(loupe).to_be_hidden()
    expect(page.locator("#cs-tab-quality-button")).to_have_attribute("aria-selected", "true")
