"""The cloud among people in a real browser: credits and their end, what stays here, a LoRA's public address, and a batch's price."""
from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from logins import ADA, BOB, browser
from lorafiles import embedded_lora

pytestmark = [pytest.mark.slow, pytest.mark.browser]
WORDS = {"ada": ADA, "bob": BOB}
GOODS = b"prompt\na red mug\na blue bowl\na green box\n"
ASKED = {"family": "flux1", "tier": "preview", "size": "1:1", "retries": 0}


@pytest.fixture(scope="module")
def launched(launcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """The demo's providers and two people, of whom ada is an admin; `new_page` opens this one. The cloud is on: five dollars a day."""
    folder = tmp_path_factory.mktemp("people")
    (folder / "people").write_text("".join(f"{name}:{words}{':admin' if name == 'ada' else ''}\n" for name, words in WORDS.items()))
    (folder / "people").chmod(0o600)
    studio = launcher(folder / "data", "--demo-providers", "--auth-file", str(folder / "people"))
    studio.start()
    with door(studio, "ada") as ada:
        post(ada, "money/budgets", scope="studio", day_micro=5_000_000, month_micro=None)
        post(ada, "cloud/settings", enabled=True, providers=["fal"], wait_seconds=0)
    yield studio
    studio.stop()


def door(launched, name: str):
    """A client that is logged in."""
    return browser(launched.url, name, WORDS[name])


def post(client: httpx.Client, path: str, **body: object) -> dict:
    answer = client.post(f"/api/{path}", json=body)
    answer.raise_for_status()
    return answer.json()


@pytest.fixture
def page_of(launched, new_page):
    """Opens the page of somebody who is logged in."""

    def open_page(name: str, **options):
        with door(launched, name) as client:
            cookies = list(client.cookies.jar)
        state = {"cookies": [{"name": one.name, "value": one.value, "domain": "127.0.0.1", "path": "/", "expires": -1, "httpOnly": True,
                              "secure": False, "sameSite": "Lax"} for one in cookies], "origins": []}  # fmt: skip
        return new_page(storage_state=state, **options)

    return open_page


def choose_cloud(page):
    page.locator(".cs-advanced summary", has_text="Advanced").click()
    page.get_by_label("Model family").select_option("flux1")
    page.get_by_label("Prompt", exact=True).fill("a red mug")
    page.get_by_label("Draft", exact=True).fill("2")
    page.get_by_role("radiogroup", name="Where it may be drawn").get_by_label("Cloud allowed").check()
    return page.locator(".cs-where-said")


def test_credit_is_given_and_who_has_none_left_is_told(launched, page_of, expect):
    ada = page_of("ada", width=1600)
    ada.get_by_role("tab", name="Cloud").click()
    credits = ada.get_by_role("region", name="Credits")
    credits.get_by_label("Give credit to").select_option("bob")
    credits.get_by_label("Dollars").fill("0.006")
    credits.get_by_label("What for").fill("autumn")
    credits.get_by_role("button", name="Give").click()
    expect(credits.get_by_role("listitem")).to_contain_text("$0.006 left of $0.006")

    bob = page_of("bob", width=400)
    said = choose_cloud(bob)
    expect(said).to_contain_text("$0.006, 2 pictures by fal at $0.003. $0.006 may still be spent.")
    with door(launched, "bob") as client:
        post(client, "jobs", **ASKED, prompt="something to do first", draft=40, keep=1)
        away = post(client, "jobs", **ASKED, prompt="a red mug", draft=2, keep=1, where="cloud allowed")["id"]
        end = time.monotonic() + 60
        while not all(one["place"] for one in client.get(f"/api/jobs/{away}").json()["images"] if one["state"] == "drawn") or not any(
            one["state"] == "drawn" for one in client.get(f"/api/jobs/{away}").json()["images"]
        ):
            assert time.monotonic() < end
            time.sleep(0.1)
        post(client, "jobs", **ASKED, prompt="another thing to do first", draft=120, keep=1)
        late = post(client, "jobs", **ASKED, prompt="a blue mug", draft=2, keep=1, where="cloud allowed")["id"]
    # It is drawn here all the same, when its turn comes.
    expect(bob.locator(f".cs-job:has(#cs-job-{late}) .cs-route")).to_contain_text("$0.00 may still be spent")
    bob.get_by_label("Draft", exact=True).fill("3")
    expect(said).to_contain_text("This costs $0.009, which bob's credit does not allow.")
    bob.evaluate("document.querySelector('#cs-tab-cloud-button').click()")
    expect(bob.get_by_role("region", name="Credits").get_by_role("listitem")).to_contain_text("$0 left of $0.006")
    expect(bob.get_by_role("button", name="Give", exact=True)).to_be_hidden()


def test_what_stays_here_says_so_where_it_is_chosen(launched, page_of, expect):
    with door(launched, "ada") as client:
        post(client, "projects", title="Secret launch")
    ada = page_of("ada")
    ada.evaluate("document.querySelector('#cs-tab-settings-button').click()")
    project = ada.locator("li[data-project]", has_text="Secret launch")
    project.get_by_role("switch", name="Stays here").check()
    expect(project).to_contain_text("stays on this machine")
    with door(launched, "ada") as client:
        post(client, "settings", **{"cloud.stay": True})
    ada.reload()
    where = ada.get_by_role("radiogroup", name="Where it may be drawn")
    expect(where.get_by_label("Cloud allowed")).to_be_disabled()
    expect(ada.locator(".cs-where-said")).to_have_text("Settings say that yours stay here.")
    with door(launched, "ada") as client:
        post(client, "settings", **{"cloud.stay": False})
    expect(where.get_by_label("Cloud allowed")).to_be_enabled()


def test_a_lora_s_public_address_is_given_where_its_version_is(launched, page_of, tmp_path: Path, expect):
    ada = page_of("ada", allowed="422")
    ada.get_by_role("tab", name="LoRAs").click()
    ada.get_by_label("LoRA files").set_input_files([embedded_lora(tmp_path / "Night market.safetensors", 77)])
    expect(ada.locator(".cs-lo-open[data-name=night-market]")).to_be_visible()
    ada.get_by_role("button", name="Put these away").click()
    ada.locator(".cs-lo-open[data-name=night-market]").click()
    ada.locator(".cs-lo-more summary", has_text="For the cloud").click()
    address = ada.get_by_label("Public address, for the cloud")
    address.fill("http://example.com/x.safetensors")
    address.press("Tab")
    expect(ada.locator(".cs-lo-address [role=alert]")).to_contain_text("no public https address")
    address.fill("https://example.com/night-market.safetensors")
    address.press("Tab")
    expect(ada.get_by_text("Providers fetch it from there.")).to_be_visible()
    expect(ada.locator(".cs-lo-address [role=alert]")).to_be_empty()


@pytest.mark.parametrize("width", [1600, 400])
def test_a_batch_says_what_all_of_it_costs_before_it_starts(launched, page_of, expect, width):
    ada = page_of("ada", width=width)
    ada.locator(".cs-advanced summary", has_text="Advanced").click()
    ada.get_by_label("Model family").select_option("flux1")
    ada.evaluate("document.querySelector('#cs-tab-batch-button').click()")
    ada.get_by_role("button", name="From a catalogue").click()
    ada.set_input_files("#cs-b-file", files=[{"name": "autumn.csv", "mimeType": "text/csv", "buffer": GOODS}])
    ada.get_by_label("Candidates a row").fill("2")
    ada.get_by_label("To keep a row").fill("1")
    where = ada.locator(".cs-b-where")
    expect(where.get_by_label("On this machine")).to_be_checked()
    where.get_by_label("Cloud allowed").check()
    expect(where).to_contain_text("$0.018, 6 pictures by fal at $0.003.")
    ada.get_by_label("Candidates a row").fill("3")
    expect(where).to_contain_text("$0.027, 9 pictures by fal at $0.003.")
    assert ada.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
