"""A brand in the form, in a real browser: the project's own without a word, coloured in the preview, drawn, and back with the settings."""
from __future__ import annotations

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SECRET = "her own words"
TRAIL = {"title": "Trail Outdoor", "words": ["rugged look"], "palette": ["#1A2B3C", "#F5F0E8"], "profile": "product-hero"}


@pytest.fixture(scope="module")
def launched(launcher, tmp_path_factory):
    """With a login: projects belong to people."""
    studio = launcher(tmp_path_factory.mktemp("brands") / "data", "--auth", f"ada:{SECRET}")
    studio.start()
    yield studio
    studio.stop()


@pytest.fixture
def ada(launched):
    with httpx.Client(base_url=launched.url, timeout=30) as client:
        assert client.post("/login", data={"name": "ada", "password": SECRET}).status_code == 303
        yield client


def state(client: httpx.Client) -> dict:
    """A browser that is logged in as the client is."""
    same = {"domain": "127.0.0.1", "path": "/", "expires": -1, "httpOnly": True, "secure": False, "sameSite": "Lax"}
    return {"cookies": [{"name": name, "value": value} | same for name, value in client.cookies.items()], "origins": []}


def post(client: httpx.Client, path: str, **body):
    answer = client.post(path, json=body)
    answer.raise_for_status()
    return answer.json()


def test_the_project_s_brand_is_there_without_a_word_and_another_can_be_chosen(new_page, ada, expect):
    page = new_page(1600, 1000, storage_state=state(ada))
    brand, why = page.get_by_label("Brand", exact=True), page.locator("#cs-brand-why")
    expect(page.locator("#cs-profile option")).not_to_have_count(0)
    expect(brand).to_be_hidden()  # where there are none there is nothing to choose
    project = post(ada, "/api/projects", title="Spring")["name"]
    post(ada, "/api/brands", name="trail", brand=TRAIL | {"projects": [project]})
    post(ada, "/api/brands", name="bare", brand={"title": "Bare", "words": ["nothing else"]})
    page.reload()
    expect(brand).to_have_value("trail")
    expect(why).to_contain_text("From project Spring.")
    expect(why).to_contain_text("Adds rugged look.")
    expect(page.locator("#cs-profile")).to_have_value("product-hero")  # it brings its profile, which can be seen
    page.get_by_label("Prompt", exact=True).fill("a red mug")
    said = page.get_by_label("What the model reads")
    expect(said.locator('[data-kind="brand"].cs-piece')).to_have_text("rugged look")
    expect(said.get_by_role("listitem").filter(has_text="Brand")).to_be_visible()

    brand.select_option(label="Bare")
    expect(said.locator('[data-kind="brand"].cs-piece')).to_have_text("nothing else")
    expect(why).not_to_contain_text("project")
    expect(page.locator("#cs-profile")).to_have_value("generic")
    brand.select_option(label="None")
    expect(said).to_be_hidden()
    page.reload()  # a person's word holds
    expect(brand).to_have_value("")
    brand.select_option(label="Trail Outdoor")
    expect(why).to_contain_text("From project Spring.")

    page.locator("#cs-draft").fill("1")
    page.locator("#cs-keep").fill("1")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".cs-frame[data-state='drawn']").first).to_be_visible()
    request = ada.get("/api/jobs").json()["jobs"][0]["request"]
    assert (request["brand"], request["profile"], request["palette"]) == ("trail", "product-hero", TRAIL["palette"])
    assert "rugged look" in request["prompt"]

    brand.select_option(label="None")
    page.get_by_label("Prompt", exact=True).fill("something else")
    page.evaluate("request => import('/static/page/studio.js').then(({studio}) => studio.say('reuse', request))", request)
    expect(brand).to_have_value("trail")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a red mug")
    expect(page.locator("#cs-profile")).to_have_value("product-hero")
    expect(page.locator(".cs-wishes .cs-token")).to_have_count(0)  # its colours are the brand's, not a person's own
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
