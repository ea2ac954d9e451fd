"""Templates in a real browser: searched, used, changed and restored, brought from other studios; their variables as fields of the form."""
from __future__ import annotations

import re

import httpx
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MUG = {
    "title": "Mug shelf",
    "about": "Mugs on a shelf",
    "use": "Test use",
    "tags": ["shelf"],
    "prompt": "a $colour mug, $material, {on a shelf|on a shelf}, for $$5",
    "negative": "blurry",
    "size": "4:5",
    "profile": "product-hero",
    "draft": 3,
    "variables": {
        "colour": {"type": "colour", "help": "Of the glaze"},
        "material": {"type": "choice", "choices": ["stoneware", "steel"], "default": "steel"},
        "words": {"type": "text", "required": False},
        "count": {"type": "number", "low": 1, "high": 9, "required": False},
        "photo": {"type": "image", "required": False},
    },
    "texts": ["$words"],
    "example": {"colour": "#FF0000"},
}


@pytest.fixture
def mug(launched, request):
    """A template of this test's own; its name."""
    name = f"mug-{abs(hash(request.node.name)) % 10**8}"
    httpx.post(f"{launched.url}/api/templates", json={"name": name, "template": MUG | {"title": f"Mug {name}"}}).raise_for_status()
    yield name
    httpx.post(f"{launched.url}/api/templates/{name}/remove", json={})


@pytest.fixture
def gallery(new_page, expect):
    def open_tab(**options):
        page = new_page(**options)
        page.evaluate("document.querySelector('#cs-tab-templates-button').click()")
        expect(page.locator(".cs-t-card").first).to_be_visible()
        return page

    return open_tab


def test_the_gallery_is_searched_by_words_and_tags(gallery, mug, expect):
    page = gallery()
    page.get_by_role("searchbox", name="Search templates").fill("mug shelf")
    expect(page.locator(".cs-t-card")).to_have_count(1)
    page.get_by_role("searchbox").fill("zzz")
    expect(page.get_by_text("No template fits these words.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name="headshot", exact=True).click()
    expect(page.get_by_role("button", name="headshot", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".cs-t-card")).to_have_count(3)


def test_a_template_becomes_fields_of_the_form_and_a_job(gallery, launched, mug, expect):
    page = gallery(allowed="422")
    page.get_by_role("searchbox").fill(mug)
    expect(page.locator(".cs-t-card")).to_have_count(1)
    page.locator(".cs-t-card").hover()
    page.get_by_role("button", name=f"Use Mug {mug}").click()
    expect(page.locator("#cs-template")).to_have_value(mug)
    expect(page.locator("#cs-prompt")).to_be_hidden()
    expect(page.locator("#cs-value-material")).to_have_value("steel")
    expect(page.locator('.cs-sizes input[value="4:5"]')).to_be_checked()
    expect(page.locator("#cs-draft")).to_have_attribute("placeholder", "3")

    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#cs-value-colour-error")).to_contain_text("Colour is missing")
    expect(page.locator("#cs-value-colour")).to_be_focused()
    page.locator("#cs-value-colour").fill("navy blue")
    page.locator("#cs-value-words").fill("FIVE")
    expect(page.get_by_role("region", name="What the model reads")).to_contain_text("a navy blue mug, steel, on a shelf, for $5")

    before = len(launched.jobs())
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("cs-form .cs-form-error")).to_be_hidden()
    page.wait_for_function("n => fetch('/api/jobs').then(r => r.json()).then(d => d.jobs.length > n)", arg=before)
    job = launched.jobs()[0]
    assert (job["template"], job["template_version"], job["draft"]) == (mug, 1, 3)
    assert job["request"]["prompt"] == "a navy blue mug, steel, on a shelf, for $5"
    assert job["request"]["texts"] == ["FIVE"] and job["request"]["profile"] == "product-hero"

    page.reload()
    expect(page.locator("#cs-template")).to_have_value(mug)
    expect(page.locator("#cs-value-colour")).to_have_value("navy blue")


def test_the_whole_prompt_can_be_written_by_hand(new_page, launched, mug, expect):
    page = new_page()
    page.locator("#cs-template").select_option(mug)
    page.locator("#cs-value-colour").fill("#FF0000")
    page.get_by_role("button", name="Write the whole prompt by hand").click()
    expect(page.locator("#cs-prompt")).to_have_value("a red mug, steel, on a shelf, for $5")
    page.locator("#cs-prompt").fill("a red mug under the stars")
    before = len(launched.jobs())
    page.get_by_role("button", name="Generate").click()
    page.wait_for_function("n => fetch('/api/jobs').then(r => r.json()).then(d => d.jobs.length > n)", arg=before)
    job = launched.jobs()[0]
    assert job["request"]["prompt"] == "a red mug under the stars" and job["template"] == mug
    page.get_by_role("button", name="Back to the template").click()
    expect(page.locator("#cs-prompt")).to_be_hidden()
    page.locator("#cs-template").select_option("")
    expect(page.locator("#cs-prompt")).to_be_visible()


def test_a_change_is_tried_saved_compared_and_restored(gallery, launched, mug, expect):
    page = gallery()
    page.get_by_role("searchbox").fill(mug)
    page.locator(f'.cs-t-open[data-name="{mug}"]').click()
    expect(page.locator(".cs-t-text")).to_contain_text("a red mug, steel")
    prompt = page.locator("#cs-t-prompt")
    prompt.fill("a $colour cup of $materials")
    expect(page.locator(".cs-t-side .cs-error")).to_contain_text("Did you mean $material?")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    prompt.fill("a $colour cup of $material")
    expect(page.locator(".cs-t-text")).to_have_text("a red cup of steel")
    page.get_by_label("Why this was changed").fill("cups sell better")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".cs-t-history summary")).to_have_text("Versions (2)")

    page.locator(".cs-t-history summary").click()
    expect(page.locator(".cs-t-versions")).to_contain_text("cups sell better")
    page.get_by_role("button", name="Changes of version 2").click()
    expect(page.locator(".cs-t-diff dt")).to_have_text(["prompt"])
    expect(page.locator(".cs-t-diff ins").first).to_contain_text("cup")
    page.get_by_role("button", name="Restore version 1").click()
    expect(page.locator(".cs-t-text")).to_contain_text("a red mug, steel")
    assert httpx.get(f"{launched.url}/api/templates/{mug}").json()["version"] == 3


def test_variables_are_added_renamed_and_seen_in_the_toml(gallery, launched, mug, expect):
    page = gallery()
    page.get_by_role("searchbox").fill(mug)
    page.locator(f'.cs-t-open[data-name="{mug}"]').click()
    expect(page.locator(".cs-t-variables > li")).to_have_count(5)
    name = page.locator('.cs-t-variables > li[data-name="material"] .cs-t-name')
    name.fill("stuff")
    name.press("Tab")
    page.get_by_role("button", name="Add a variable").click()
    expect(page.locator(".cs-t-variables > li")).to_have_count(6)
    expect(page.locator(".cs-t-text")).to_contain_text("a red mug, steel")
    page.get_by_role("button", name="Edit as TOML").click()
    expect(page.get_by_label("The template as TOML")).to_have_value(re.compile(r"\[variables\.stuff\]"))
    page.get_by_role("button", name="Edit as a form").click()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".cs-t-history summary")).to_have_text("Versions (2)")
    assert list(httpx.get(f"{launched.url}/api/templates/{mug}").json()["template"]["variables"])[1] == "stuff"


def test_styles_of_other_studios_are_brought_and_taken(gallery, expect):
    page = gallery()
    styles = b'name,prompt,negative_prompt\n---,,\nBrought style,"film photo of {prompt}, grain",dull\n'
    page.get_by_label("Templates as a file").set_input_files({"name": "styles.csv", "mimeType": "text/csv", "buffer": styles})
    expect(page.locator(".cs-t-head h2")).to_have_text("Brought style")
    page.get_by_role("button", name="Export").last.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Fooocus").click()
    assert "film photo of {prompt}, grain" in download.value.path().read_text()


def test_the_tab_fits_a_narrow_window(gallery, mug, expect):
    page = gallery(width=400, height=900)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.get_by_role("searchbox").fill(mug)
    page.locator(f'.cs-t-open[data-name="{mug}"]').click()
    expect(page.locator(".cs-t-text")).to_contain_text("mug")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_what_people_typed_is_text(gallery, launched, expect):
    evil = "<img src=x onerror=alert(1)>"
    template = {"title": evil, "prompt": f"{evil} $thing", "variables": {"thing": {"type": "text", "title": evil, "default": evil}}}
    httpx.post(f"{launched.url}/api/templates", json={"name": "evil", "template": template}).raise_for_status()
    page = gallery()
    page.locator('.cs-t-open[data-name="evil"]').click()
    expect(page.locator(".cs-t-head h2")).to_have_text(evil)
    expect(page.locator(".cs-t-text")).to_contain_text(evil)
    assert page.locator("cs-templates img[src='x']").count() == 0
    httpx.post(f"{launched.url}/api/templates/evil/remove", json={})
