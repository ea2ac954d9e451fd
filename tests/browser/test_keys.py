"""The sheet by keyboard: culling, undo, two and several side by side, 1:1 in step, seeds, and that no key acts while a person types."""
from __future__ import annotations

import re
import zipfile

import httpx
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOCUSED = "document.activeElement.getAttribute('aria-label')"


def submitted(answer) -> bool:
    """The answer to a new job, not the list of jobs."""
    return answer.url.endswith("/api/jobs") and answer.request.method == "POST"


@pytest.fixture
def sheet(new_page, launched, expect):
    """Opens the page on a job of `draft` drawn candidates; the page, the job as the sheet shows it, and its frames by number."""

    def open_sheet(draft: int = 4, **request):
        made = launched.draw(draft=draft, keep=1, **request)
        page = new_page()
        shown = page.locator(".cs-job").first
        expect(shown.locator(".cs-frame[data-developed]")).to_have_count(draft)
        # Keepers have gone ahead: the first frame is whichever was kept.
        shown.locator(".cs-shot").first.focus()
        return page, made, shown

    return open_sheet


def numbers(shown) -> list[int]:
    return [int(text) for text in shown.locator(".cs-number").all_text_contents()]


def stored(launched, made: dict) -> dict[int, tuple[object, object]]:
    """(flag, stars) by frame number, from the database."""
    return {image["number"]: (image["kept_by_person"], image["rating"]) for image in launched.job(made["id"])["images"]}


def test_pick_reject_unflag_and_stars_with_undo_and_redo(sheet, launched, expect):
    page, made, shown = sheet()
    first, second, third, _ = numbers(shown)
    frames = shown.locator(".cs-frame")
    page.keyboard.press("x")
    expect(frames.nth(0)).to_have_attribute("data-verdict", "rejected")
    page.keyboard.press("4")
    expect(frames.nth(0).locator(".cs-stars .cs-icon")).to_have_count(4)
    said = re.compile(rf"^Frame {first}, rejected by you, 4 stars, resolution 100 passes")
    expect(frames.nth(0).locator(".cs-shot")).to_have_attribute("aria-label", said)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+P")  # and on to the next frame
    page.keyboard.press("Shift+2")
    expect(frames.nth(2).locator(".cs-stars .cs-icon")).to_have_count(2)
    expect(frames.nth(1)).to_have_attribute("data-verdict", "kept")
    now = stored(launched, made)
    assert (now[first], now[second], now[third]) == ((False, 4), (True, None), (None, 2))

    toast = page.locator(".cs-toast").first
    for deed in (f"2 stars for frame {third}", f"frame {second} picked", f"4 stars for frame {first}", f"frame {first} rejected"):
        page.keyboard.press("Control+z")
        expect(toast).to_have_text(f"Undone: {deed}")
    assert set(stored(launched, made).values()) == {(None, None)}
    page.keyboard.press("Control+z")
    expect(toast).to_have_text("Nothing to undo")
    page.keyboard.press("Control+Shift+z")
    expect(toast).to_have_text(f"Done again: frame {first} rejected")
    page.keyboard.press("Control+y")
    expect(toast).to_have_text(f"Done again: 4 stars for frame {first}")
    assert stored(launched, made)[first] == (False, 4)
    shown.locator(".cs-shot").first.focus()
    page.keyboard.press("u")
    page.keyboard.press("0")
    expect(frames.nth(0).locator(".cs-stars")).to_be_hidden()
    expect(frames.nth(0)).not_to_have_attribute("data-verdict", "rejected")
    assert stored(launched, made)[first][0] is None
    assert not stored(launched, made)[first][1]


def test_no_key_acts_while_a_person_types(sheet, launched, expect):
    page, made, _ = sheet(2)
    page.locator("#cs-prompt").fill("")
    page.locator("#cs-prompt").press_sequentially("pxu5gecnzt?")
    expect(page.locator("#cs-prompt")).to_have_value("pxu5gecnzt?")
    page.locator("#cs-seed").press_sequentially("31")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("x")  # nor while nothing has the focus
    assert page.locator("dialog[open]").count() == 0
    assert set(stored(launched, made).values()) == {(None, None)}


def test_what_is_selected_is_judged_together(sheet, launched, expect):
    page, made, shown = sheet()
    order = numbers(shown)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".cs-bar-count")).to_have_text("2 frames selected")
    assert page.evaluate(FOCUSED).startswith(f"Frame {order[2]}, selected")
    page.keyboard.press("5")
    expect(shown.locator(".cs-stars:visible")).to_have_count(2)
    shown.locator(".cs-shot").nth(3).click(modifiers=["Control"])
    expect(page.locator(".cs-bar-count")).to_have_text("3 frames selected")
    page.get_by_role("toolbar").get_by_role("button", name="Reject", exact=True).click()
    expect(shown.locator(".cs-frame[data-verdict=rejected]")).to_have_count(3)
    now = stored(launched, made)
    assert [now[number] for number in order] == [(None, None), (False, 5), (False, 5), (False, None)]
    shown.locator(".cs-shot").nth(3).focus()
    page.keyboard.press("Control+z")  # one deed, taken back whole
    expect(shown.locator(".cs-frame[data-verdict=rejected]")).to_have_count(0)
    page.keyboard.press("Control+a")
    expect(page.locator(".cs-bar-count")).to_have_text("4 frames selected")
    page.keyboard.press("Escape")
    expect(page.locator(".cs-bar-chosen")).to_be_hidden()
    shown.locator(".cs-shot").nth(0).click(modifiers=["Control"])
    shown.locator(".cs-shot").nth(2).click(modifiers=["Shift"])
    expect(page.locator(".cs-bar-count")).to_have_text("3 frames selected")
    page.keyboard.press("ArrowRight")  # a frame that is not among them is meant alone
    page.keyboard.press("3")
    expect(shown.locator(".cs-frame").nth(3).locator(".cs-stars .cs-icon")).to_have_count(3)
    assert stored(launched, made)[order[0]] == (None, None)


def test_to_the_next_tier_and_back_while_it_waits(sheet, launched, expect):
    page, made, shown = sheet(2)
    number = numbers(shown)[0]
    blocker = httpx.post(f"{launched.url}/api/jobs", json={"prompt": "a slow lamp", "draft": 24, "steps": 40}).json()["id"]
    expect(page.locator(".cs-job")).not_to_have_count(1)
    shown = page.locator(".cs-job", has=page.locator(f"#cs-job-{made['id']}"))
    shown.locator(".cs-shot").first.focus()
    before = shown.locator(".cs-shot").first.bounding_box()
    page.keyboard.press("t")
    toast = page.locator(".cs-toast").first
    expect(toast).to_contain_text(f"frame {number} to Standard")
    promoted = launched.jobs()[0]
    assert promoted["tier"] == "standard" and promoted["state"] == "queued"
    expect(page.locator(f"#cs-job-{promoted['id']}")).to_be_visible()
    assert page.evaluate(FOCUSED).startswith(f"Frame {number}"), "the focus stays for the next key"
    assert abs(shown.locator(".cs-shot").first.bounding_box()["y"] - before["y"]) < 400
    page.keyboard.press("Control+z")
    expect(toast).to_have_text(f"Undone: frame {number} to Standard")
    assert launched.job(promoted["id"])["state"] == "cancelled"
    httpx.post(f"{launched.url}/api/jobs/{blocker}/cancel", json={})
    page.keyboard.press("Control+Shift+z")
    expect(toast).to_contain_text("Done again")
    again = launched.finished(launched.jobs()[0]["id"])
    assert again["state"] == "done" and again["tier"] == "standard"
    page.keyboard.press("Control+z")
    expect(toast).to_contain_text(f"Job {again['id']} cannot be taken back. It is done.")


def test_compare_two_with_a_slider(sheet, launched, expect):
    page, made, shown = sheet(3)
    order = numbers(shown)
    page.keyboard.press("c")
    compare = page.get_by_role("dialog", name="Compare two")
    slider = compare.get_by_role("slider")
    expect(slider).to_be_focused()
    left, right = compare.locator(".cs-side-name").all()
    expect(left).to_have_attribute("aria-label", re.compile(f"^left: frame {order[0]} of job {made['id']}, Preview, kept"))
    expect(right).to_have_attribute("aria-pressed", "true")
    ends = "getComputedStyle(document.querySelector('.cs-over')).clipPath"
    halfway = page.evaluate(ends)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(slider).to_have_js_property("value", "46")
    assert page.evaluate(ends) != halfway
    stage = compare.locator(".cs-stage").bounding_box()
    page.mouse.click(stage["x"] + stage["width"] * 0.8, stage["y"] + 40)
    expect(slider).to_have_js_property("value", "80")
    page.keyboard.press("PageDown")  # the third takes the place of the second
    expect(right).to_have_attribute("aria-label", re.compile(f"^right: frame {order[2]} "))
    page.keyboard.press("x")
    expect(right).to_have_attribute("data-verdict", "rejected")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("5")
    expect(left).to_have_attribute("aria-label", re.compile("5 stars"))
    now = stored(launched, made)
    assert (now[order[0]], now[order[1]], now[order[2]]) == ((None, 5), (None, None), (False, None))
    page.keyboard.press("Control+z")
    expect(compare.locator(".cs-toast")).to_contain_text("Undone: 5 stars")
    page.keyboard.press("Escape")
    expect(compare).to_be_hidden()
    page.wait_for_function(f"{FOCUSED}.startsWith('Frame {order[0]}')")


def test_what_was_promoted_is_compared_with_what_it_came_from(sheet, launched, expect):
    page, made, _ = sheet(2)
    page.keyboard.press("t")
    expect(page.locator(".cs-job")).not_to_have_count(1)
    promoted = launched.finished(launched.jobs()[0]["id"])
    job = page.locator(".cs-job").first
    expect(job.locator(".cs-frame[data-developed]")).to_have_count(1)
    job.locator(".cs-shot").focus()
    page.keyboard.press("c")
    names = page.get_by_role("dialog", name="Compare two").locator(".cs-side-name")
    expect(names.nth(0)).to_have_attribute("aria-label", re.compile(f"job {made['id']}, Preview"))
    expect(names.nth(1)).to_have_attribute("aria-label", re.compile(f"job {promoted['id']}, Standard"))


def test_survey_several_until_the_best_are_left(sheet, launched, expect):
    page, made, shown = sheet()
    order = numbers(shown)
    page.keyboard.press("Control+a")
    page.keyboard.press("n")
    survey = page.get_by_role("dialog", name="Survey: 4 frames")
    tiles = page.locator(".cs-survey-shot")
    expect(tiles).to_have_count(4)
    expect(tiles.nth(0)).to_be_focused()
    boxes = [tile.bounding_box() for tile in tiles.all()]
    assert len({round(box["width"]) for box in boxes}) == 1
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")  # rejects and takes out
    expect(tiles).to_have_count(3)
    page.keyboard.press("Escape")  # takes out, and that is all
    expect(tiles).to_have_count(2)
    now = stored(launched, made)
    assert [now[number][0] for number in order] == [None, False, None, None]
    page.keyboard.press("Control+z")
    expect(tiles).to_have_count(3)
    page.wait_for_function(f"{FOCUSED}.startsWith('Frame {order[1]}')")  # back where it was in the row
    page.keyboard.press("g")
    expect(survey).to_be_hidden()
    page.keyboard.press("Escape")
    page.keyboard.press("n")  # one is kept only, so all of the job
    expect(tiles).to_have_count(4)
    for left in (3, 2, 1):
        page.keyboard.press("Escape")
        expect(tiles).to_have_count(left)
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_one_to_one_in_step(sheet, launched, expect):
    page, _, shown = sheet(3, size="3:2")
    place = "all => all.map(one => [one.style.width, one.style.height, one.style.left, one.style.top].join(' '))"
    page.keyboard.press("z")
    images = shown.locator(".cs-shot img")
    here = images.evaluate_all(place)
    assert len(set(here)) == 1 and here[0].startswith("320px 224px"), here
    for _ in range(2):
        page.keyboard.press("+")
    closer = images.evaluate_all(place)
    assert len(set(closer)) == 1 and closer[0].startswith("1280px 896px"), closer
    page.keyboard.press("Shift+ArrowRight")
    moved = images.evaluate_all(place)
    assert len(set(moved)) == 1 and moved != closer
    assert page.locator(".cs-bar-chosen").is_hidden(), "while zoomed, Shift and the arrows move the spot"
    box = shown.locator(".cs-shot").first.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 40, steps=4)
    page.mouse.up()
    dragged = images.evaluate_all(place)
    assert len(set(dragged)) == 1 and dragged != moved
    assert page.locator("dialog[open]").count() == 0, "a drag is no click"
    shown.locator(".cs-shot").first.focus()
    page.keyboard.press("Escape")
    assert set(images.evaluate_all(place)) == {"   "}
    page.keyboard.press("e")
    big = page.locator(".cs-big")
    expect(page.locator(".cs-loupe .cs-score").first).to_be_visible()
    page.keyboard.press("z")
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowDown")
    spot = big.evaluate("one => one.style.cssText.match(/left.*/)[0]")
    page.keyboard.press("ArrowRight")
    assert big.evaluate("one => one.style.cssText.match(/left.*/)[0]") == spot, "the next picture shows the same spot"


def test_the_list_of_keys_has_every_key(sheet, expect):
    page, _, _ = sheet(1)
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_be_visible()
    listed = keys.locator("kbd").all_text_contents()
    asked = ["←", "→", "↑", "↓", *"PXUGECNZTV?012345", "Ctrl Enter", "Ctrl Shift Enter", "Esc", "Ctrl Z", "Ctrl Shift Z"]
    assert [key for key in asked if key not in listed] == []
    missing = page.evaluate("""async () => {
        const { ACTS, HELP } = await import('/static/page/keys.js');
        const told = HELP.flatMap(([, rows]) => rows.flatMap(([, , acts]) => acts));
        return ACTS.filter((act) => !told.includes(act));
    }""")
    assert missing == [], "keys that the list does not tell of"
    page.keyboard.press("?")
    expect(keys).to_be_hidden()


def test_generate_and_to_the_front_of_the_queue(sheet, launched, expect):
    page, _, shown = sheet(1)
    page.locator("#cs-prompt").fill("a grey kettle")
    page.locator("#cs-draft").fill("1")
    shown.locator(".cs-shot").first.focus()
    with page.expect_response(submitted) as usual:
        page.keyboard.press("Control+Enter")
    expect(page.locator(".cs-job-prompt").first).to_have_text("a grey kettle")
    with page.expect_response(submitted) as urgent:
        page.locator("#cs-prompt").press("Control+Shift+Enter")
    assert [sent.value.request.post_data_json.get("front") for sent in (usual, urgent)] == [None, True]
    for sent in (usual, urgent):
        assert launched.finished(sent.value.json()["id"])["prompt"] == "a grey kettle"


def test_escape_in_the_form_cancels_at_the_second_press(new_page, launched, expect):
    page = new_page()
    page.locator("#cs-prompt").fill("a slow kettle")
    page.locator("#cs-draft").fill("96")
    page.get_by_text("Advanced").click()
    page.locator("#cs-steps").fill("40")
    page.keyboard.press("Control+Enter")
    job = page.locator(".cs-job").first
    expect(job.locator(".cs-how")).to_contain_text("step")
    page.locator("#cs-prompt").press("Escape")
    expect(page.locator(".cs-toast").first).to_contain_text("Press Esc again to cancel job")
    assert launched.jobs()[0]["state"] == "running"
    page.locator("#cs-prompt").press("Escape")
    expect(job.locator(".cs-how")).to_contain_text("cancelled")


def test_a_job_is_held_and_goes_on(new_page, launched, expect):
    page = new_page()
    page.locator("#cs-prompt").fill("a patient clock")
    page.locator("#cs-draft").fill("40")
    page.keyboard.press("Control+Enter")
    job = page.locator(".cs-job").first
    expect(job.locator(".cs-job-prompt")).to_have_text("a patient clock")
    job.get_by_role("button", name="Pause").click()
    expect(job.locator(".cs-how")).to_contain_text("paused")
    assert launched.jobs()[0]["paused"] is True
    job.get_by_role("button", name="Resume").click()
    expect(job.locator(".cs-how")).not_to_contain_text("paused")
    job.get_by_role("button", name="Cancel").click()
    expect(job.locator(".cs-how")).to_contain_text("cancelled")


def test_seeds_random_fixed_and_going_on(new_page, launched, expect):
    page = new_page()
    seed = page.locator("#cs-seed")
    modes = page.get_by_role("radiogroup", name="Seed of each run")
    page.locator("#cs-prompt").fill("a brown bottle")
    page.locator("#cs-draft").fill("3")

    def run() -> list[int]:
        """Sends the form; the seeds of its job."""
        with page.expect_response(submitted) as sent:
            page.locator("#cs-prompt").press("Control+Enter")
        return launched.finished(sent.value.json()["id"])["request"]["seeds"]

    first, second = run(), run()
    assert first != second, "random: drawn anew each run"
    modes.get_by_role("radio", name="Fixed").check()
    expect(seed).to_have_value(str(second[0]))  # the latest job's is held
    seed.fill("700")
    assert run() == [700, 701, 702]
    modes.get_by_role("radio", name="+1").check()
    expect(seed).to_have_value("700")
    assert run() == [700, 701, 702]
    expect(seed).to_have_value("703")
    assert run() == [703, 704, 705]
    page.reload()
    expect(seed).to_have_value("706")
    expect(modes.get_by_role("radio", name="+1")).to_be_checked()
    modes.get_by_role("radio", name="Random").check()
    expect(seed).to_have_value("")


def test_a_variation_of_a_candidate(sheet, launched, expect):
    page, made, shown = sheet(2, size="4:5", prompt="a pink lamp")
    number = numbers(shown)[0]
    image = next(one for one in made["images"] if one["number"] == number)
    page.keyboard.press("v")
    start = page.locator(".cs-field-start")
    expect(start).to_contain_text(f"Variation of frame {number} of job {made['id']}")
    expect(page.locator(".cs-send .cs-primary")).to_be_focused()
    start.get_by_role("slider").press("ArrowLeft")
    with page.expect_response(submitted) as sent:
        page.locator(".cs-send .cs-primary").press("Enter")
    expect(page.locator(".cs-job").first.locator(".cs-origin")).to_be_visible()
    request = launched.finished(sent.value.json()["id"])["request"]
    assert {name: request[name] for name in ("prompt", "size", "image", "role", "parent")} == {
        "prompt": "a pink lamp", "size": "4:5", "image": image["id"], "role": "img2img", "parent": image["id"],
    }  # fmt: skip
    assert request["strength"] == pytest.approx(0.55)
    assert request["seed"] != image["seed"]
    start.get_by_role("button", name="Start from noise again").click()
    expect(start).to_be_hidden()


def test_motion_is_reduced_where_it_is_asked_for(new_page, expect):
    asked = new_page(reduced_motion="reduce")
    assert asked.evaluate("document.documentElement.dataset.csMotion") == "reduce"
    page = new_page(reduced_motion="no-preference")
    assert page.evaluate("document.documentElement.dataset.csMotion") == "full"
    page.get_by_role("toolbar").get_by_role("button", name="Keys").click()
    page.get_by_role("checkbox", name="Reduce motion").check()
    moving = "[...document.querySelectorAll('*')].filter((one) => parseFloat(getComputedStyle(one).transitionDuration) > 0).length"
    assert page.evaluate(moving) == 0
    page.reload()
    page.wait_for_function("document.querySelector('#cs-draft')?.placeholder")
    assert page.evaluate("document.documentElement.dataset.csMotion") == "reduce", "the browser remembers it"


@pytest.mark.parametrize("width", [400, 1600])
def test_frames_of_every_shape_are_laid_out(new_page, launched, expect, width):
    """Each takes about the same area of the sheet, none is wider than it, all show the whole picture."""
    sizes = ["1:1", "4:5", "3:2", "16:9", "9:16", "banner"]
    for size in sizes:
        launched.draw(size=size, draft=6)
    launched.draw(draft=6)  # the latest is shown larger
    page = new_page(width, 900)
    expect(page.locator(".cs-job").nth(len(sizes))).to_be_attached()  # they come in one by one
    areas = {}
    for job, size in zip(page.locator(".cs-job").all()[1:7], reversed(sizes), strict=True):
        job.scroll_into_view_if_needed()
        expect(job.locator(".cs-frame[data-developed]")).to_have_count(6)
        boxes = [shot.bounding_box() for shot in job.locator(".cs-shot").all()]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes), size
        assert max(box["height"] for box in boxes) < 900 * 0.6, size
        natural = job.locator(".cs-shot img").first.evaluate("one => one.naturalWidth / one.naturalHeight")
        assert boxes[0]["width"] / boxes[0]["height"] == pytest.approx(natural, rel=0.02), size
        areas[size] = boxes[0]["width"] * boxes[0]["height"]
    assert max(areas.values()) / min(areas.values()) < 2.6, areas


def test_a_job_is_taken_away(sheet, expect):
    page, made, shown = sheet(3, prompt="a green book")
    more = shown.get_by_role("button", name="More for job")
    for name, count in (("Keepers", 1), ("All pictures", 3)):
        more.click()
        with page.expect_download() as found:
            page.locator(".cs-menu").get_by_role("button", name=name).click()
        with zipfile.ZipFile(found.value.path()) as archive:
            assert sum(entry.endswith(".png") for entry in archive.namelist()) == count
    more.click()
    with page.expect_download() as found:
        page.locator(".cs-menu").get_by_role("button", name="Sheet as PDF").click()
    assert found.value.path().read_bytes().startswith(b"%PDF")
    more.click()
    with page.expect_response(submitted) as sent:
        page.locator(".cs-menu").get_by_role("button", name="Draw more").click()
    again = sent.value.json()["request"]
    assert again["prompt"] == "a green book" and again["seeds"] != made["request"]["seeds"]
    expect(page.locator(f"#cs-job-{sent.value.json()['id']}")).to_be_visible()
