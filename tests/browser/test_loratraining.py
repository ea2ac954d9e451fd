"""Training a LoRA in a browser: pictures, proposed settings, and what is seen of one that runs. What runs it is tested elsewhere."""
from __future__ import annotations

import json

import httpx
import pytest
from PIL import Image
from test_datasets import drawing, packed

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def told(folder, steps: int) -> None:
    """As a training tells: a loss that falls, validation with its best at step 40, samples twice."""
    events = []
    for step in range(1, steps + 1):
        events.append({"event": "step", "step": step, "steps": 100, "loss": 1.0 / step})
        if step % 20 == 0:
            events.append({"event": "validation", "step": step, "steps": 100, "validation": abs(step - 40) / 100 + 0.2})
        if step % 30 == 0:
            place = folder / "samples" / f"{step:06d}"
            place.mkdir(parents=True)
            Image.new("RGB", (64, 64), (step * 3, 90, 120)).save(place / "0.png")
            events.append({"event": "sample", "step": step, "steps": 100, "files": [f"samples/{step:06d}/0.png"]})
    events.append({"event": "note", "step": steps, "words": "Two <b>pictures</b> were left out."})
    with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)


def test_three_steps(new_page, expect, launched):
    httpx.post(f"{launched.url}/api/queue/pause", json={}).raise_for_status()  # it waits: nothing is computed here
    page = new_page(allowed="422")
    page.get_by_role("tab", name="LoRAs").click()
    expect(page.get_by_role("heading", name="No LoRA yet")).to_be_visible()
    page.get_by_role("button", name="Train a LoRA").click()
    expect(page.get_by_role("button", name="Settings", exact=True)).to_be_disabled()

    tab = page.locator("cs-loras .cs-lt")
    # Images.
    tab.get_by_label("Product").check()
    tab.locator("#cs-ds-title").fill("Blue mugs")
    tab.locator("#cs-ds-trigger").fill("blucer")
    tab.get_by_role("button", name="Create").click()
    expect(tab.get_by_role("textbox", name="Title of the dataset")).to_have_value("Blue mugs")
    following = tab.get_by_role("button", name="Next: settings")
    expect(following).to_be_disabled()
    pictures = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": packed(drawing(n, 400, 300))} for n in range(6)]
    tab.locator("#cs-ds-files").set_input_files(pictures)
    expect(tab.locator(".cs-ds-tile")).to_have_count(6)
    following.click()

    # Settings: proposed, few of them open, refused at their field.
    expect(tab.get_by_label("Name of the LoRA")).to_have_value("blue-mugs")
    expect(tab.get_by_label("Rank", exact=True)).to_be_visible()
    expect(tab.get_by_label("Optimizer")).to_be_hidden()
    tab.get_by_label("Steps", exact=True).fill("many")
    tab.get_by_role("button", name="Begin training").click()
    expect(tab.get_by_label("Steps", exact=True)).to_be_focused()
    expect(tab.locator("#cs-lt-set-steps-error")).not_to_be_empty()
    tab.get_by_label("Steps", exact=True).fill("100")
    tab.get_by_text("Advanced", exact=True).click()
    tab.get_by_label("Optimizer").select_option("adamw")
    tab.get_by_label("Note", exact=True).fill("the first")
    with page.expect_response(lambda answer: answer.url.endswith("/api/trainings") and answer.request.method == "POST") as sent:
        tab.get_by_role("button", name="Begin training").click()
    training = sent.value.json()
    assert (training["lora"], training["steps"], training["note"]) == ("blue-mugs", 100, "the first")

    # Watch.
    expect(tab.get_by_role("heading", name="Blue mugs")).to_be_focused()
    expect(tab.get_by_text("The queue is paused.")).to_be_visible()
    told(launched.data_dir / "training" / str(training["id"]), 75)
    tab.get_by_role("button", name="Blue mugs waits").click()
    expect(tab.get_by_role("img", name="Loss over 100 steps; validation went from 0.4 to 0.4")).to_be_visible()
    expect(tab.get_by_text("Two <b>pictures</b> were left out.")).to_be_visible()
    expect(tab.get_by_text("after step 60")).to_be_visible()
    tab.get_by_role("slider", name="Samples after so many steps").press("ArrowLeft")
    expect(tab.get_by_text("after step 30")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.get_by_role("button", name="Pause", exact=True).click()
    expect(tab.get_by_text("Stopped", exact=False).first).to_be_visible()
    tab.get_by_role("button", name="Cancel", exact=True).click()
    expect(tab.get_by_text("Cancelled.")).to_be_visible()
    tab.get_by_role("button", name="All LoRAs").click()
    expect(page.get_by_role("button", name="Look at them")).to_be_visible()
    expect(page.get_by_role("button", name="Train a LoRA")).to_be_focused()
