"""Whatever people type is shown as they typed it: markup that would run a script, in every place that takes text, in a real browser;
and the login itself, as a person meets it."""
from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SECRET = "her own words"
PATIENCE_MS = 45_000


def harm(where: str) -> str:
    """Short enough for a title. Were it ever markup, the page would know where from."""
    return f"<img src=x onerror=window.hacked='{where}'>"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, launcher: Any) -> Iterator[Any]:
    """A studio with a login, where everything that has a name has a harmful one."""
    studio = launcher(tmp_path_factory.mktemp("house") / "data", "--auth", f"ada:{SECRET}")
    studio.start()
    with client(studio) as ada:

        def post(path: str, **body: Any) -> dict:
            return ada.post(path, json=body).raise_for_status().json()

        post("/api/people/ada", title=harm("own-name"))
        post("/api/people", name="bob", title=harm("name"), password="his own words")
        project = post("/api/projects", title=harm("project"))
        post(f"/api/projects/{project['name']}", add=["bob"])
        job = post("/api/jobs", prompt=harm("prompt"), draft=2, keep=1)
        while ada.get(f"/api/jobs/{job['id']}").json()["state"] in ("queued", "running"):
            pass
        image = job["images"][0]["id"]
        post(f"/api/images/{image}/note", note=harm("note"))
        post(f"/api/images/{image}/tags", tags=[harm("tag")])
        board = post("/api/boards", name=harm("board"))
        post(f"/api/boards/{board['id']}/add", ids=[image])
        post(f"/api/jobs/{job['id']}/share", **{"with": project["name"]})
    yield studio
    studio.stop()


@contextlib.contextmanager
def client(studio: Any, name: str = "ada", password: str = SECRET) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=studio.url, timeout=30) as made:
        assert made.post("/login", data={"name": name, "password": password}).status_code == 303
        yield made


@pytest.fixture
def visit(browser, house) -> Iterator[Callable[..., Any]]:
    """Opens the house's login page in a fresh profile."""
    contexts = []

    def open_page(path: str = "/", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.goto(house.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()


def log_in(page: Any, name: str = "ada", password: str = SECRET) -> None:
    page.fill("#name", name)
    page.fill("#password", password)
    page.keyboard.press("Enter")


def into_studio(page: Any) -> None:
    log_in(page)
    page.wait_for_function("document.querySelector('#cs-draft')?.placeholder")


def unharmed(page: Any) -> None:
    page.wait_for_timeout(300)  # an image that cannot be loaded says so a moment later
    assert page.evaluate("window.hacked") is None


def shown(page: Any, where: str) -> None:
    """It stands on the page, letter by letter."""
    page.wait_for_function("text => document.body.innerText.includes(text)", arg=harm(where))


def test_the_markup_would_run_if_it_were_markup(visit):
    page = visit()
    into_studio(page)
    page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", harm("here"))
    page.wait_for_function("window.hacked === 'here'")


def test_prompts_notes_tags_boards_and_names(visit):
    page = visit()
    into_studio(page)
    shown(page, "prompt")
    page.locator(".cs-frame").first.click()
    page.wait_for_selector("dialog[open]")
    unharmed(page)
    page.keyboard.press("Escape")

    page.get_by_role("tab", name="History").click()
    page.wait_for_function("document.querySelectorAll('cs-history img').length > 0")
    shown(page, "board")
    page.locator("cs-history").get_by_text(harm("board")).first.click()
    page.wait_for_function("document.querySelectorAll('cs-history img').length > 0")
    unharmed(page)
    page.keyboard.press("Escape")

    page.get_by_role("tab", name="Settings").click()
    for where in ("name", "own-name", "project"):
        shown(page, where)
    page.get_by_role("button", name="Remove: bob").click()
    page.wait_for_selector("#cs-heir-bob")
    unharmed(page)


def test_notes_and_tags_in_the_loupe(visit):
    page = visit()
    into_studio(page)
    page.get_by_role("tab", name="History").click()
    page.wait_for_function("document.querySelectorAll('cs-history img').length > 0")
    # The first of the job has them; the history shows the newest first.
    page.locator("cs-history .cs-tile").last.click()
    page.wait_for_selector("dialog[open]")
    values = "[...document.querySelectorAll('dialog[open] :is(input, textarea)')].map((field) => field.value).join()"
    page.wait_for_function(f"(document.querySelector('dialog[open]').innerText + {values}).includes(\"{harm('tag')}\")")
    page.wait_for_function(f"(document.querySelector('dialog[open]').innerText + {values}).includes(\"{harm('note')}\")")
    unharmed(page)


def test_the_name_of_a_file(visit):
    page = visit()
    into_studio(page)
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    page.evaluate(
        """([name, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            for (const kind of ["dragenter", "dragover", "drop"])
                document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [harm("file") + ".png", list(buffer.getvalue())],
    )
    page.wait_for_function("document.querySelector('[src^=\"/upload/\"], [src^=\"blob:\"], dialog[open]')")
    unharmed(page)


def test_what_went_wrong(visit):
    page = visit()
    into_studio(page)
    error = {"error": {"field": None, "what": harm("what"), "why": harm("why"), "todo": harm("todo")}}
    page.route("**/api/jobs", lambda route: route.fulfill(status=409, json=error) if route.request.method == "POST" else route.continue_())
    page.fill("#cs-prompt", "a red mug")
    page.get_by_role("button", name=re.compile("^Generate")).first.click()
    for where in ("what", "why", "todo"):
        shown(page, where)
    unharmed(page)


def test_the_login_page_says_nothing_back_as_markup(visit):
    page = visit(f'/login?next=/"{harm("next")}')
    log_in(page, f'"{harm("login")}', "wrong")
    page.wait_for_selector("[role=alert]")
    assert page.input_value("#name") == f'"{harm("login")}'
    unharmed(page)


def test_logging_in_without_scripts_and_back_to_where_one_was_going(visit, house):
    page = visit("/?__theme=dark", java_script_enabled=False)
    assert page.url.startswith(f"{house.url}/login?next=")
    log_in(page, "ada", "wrong")
    page.wait_for_selector("[role=alert]")
    log_in(page)
    page.wait_for_url(f"{house.url}/?__theme=dark")


def test_the_head_says_who_and_lets_out(visit, house):
    page = visit()
    into_studio(page)
    page.wait_for_selector("cs-account .cs-who:text-is('ada')")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{house.url}/login")
    page.goto(house.url)
    page.wait_for_url(f"{house.url}/login")


def test_a_session_that_ends_leads_to_the_login_page_by_itself(visit, house):
    page = visit()
    into_studio(page)
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Lax" for cookie in page.context.cookies() if "contact-sheet" in cookie["name"])
    httpx.post(f"{house.url}/logout", cookies=cookies)  # as from another tab, or because an admin has removed them
    page.wait_for_url(re.compile("/login"))


def test_people_and_projects_by_hand(visit, house):
    page = visit()
    into_studio(page)
    page.get_by_role("tab", name="Settings").click()
    page.fill("#cs-person-name", "eve")
    page.fill("#cs-person-password", "short")
    page.get_by_role("button", name="Add person").click()
    page.get_by_text("A password has 8 to 256 characters.").wait_for()
    page.fill("#cs-person-password", "eve's own words")
    page.get_by_role("button", name="Add person").click()
    page.wait_for_selector("[data-person=eve]")
    page.fill("#cs-project-title", "Spring")
    page.get_by_role("button", name="New project").click()
    page.wait_for_selector("[data-project=spring]")
    page.select_option("#cs-join-spring", "eve")
    page.get_by_role("button", name="Add to Spring").click()
    page.get_by_role("button", name="Take eve out of Spring").wait_for()
    with client(house, "eve", "eve's own words") as eve:
        assert [project["name"] for project in eve.get("/api/studio").json()["projects"]] == ["spring"]
    days = page.get_by_label("Keep served results")
    days.fill("0")
    days.press("Tab")
    page.get_by_text("must be 1 to 3650").wait_for()
    days.fill("45")
    days.press("Tab")
    page.get_by_text("Keep served results: kept.").wait_for()
    with client(house) as ada:
        assert {one["name"]: one["value"] for one in ada.get("/api/settings").json()["settings"]}["cache.days"] == 45
    page.get_by_role("button", name="Remove: eve").click()
    page.get_by_role("button", name="Remove eve").click()
    page.locator("[data-person=eve]").get_by_text("removed").wait_for()
    with pytest.raises(AssertionError), client(house, "eve", "eve's own words"):
        pass
