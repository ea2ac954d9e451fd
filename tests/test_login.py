"""Logging in and out over real HTTP: the page, the throttle, the cookie, what ends a session, and what outlives a restart."""
from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from logins import ADA, BOB, browser
from studios import served

from models.errors import BadInput, Unavailable
from studio import authfile, passwords
from studio.authfile import Entry, read_file, read_flag, take_in
from studio.login import Login, TooMany, WrongPassword
from studio.sessions import DAY, Sessions
from studio.studio import Studio


def test_the_way_in_and_out(address):
    with browser(address) as client:
        html = {"Accept": "text/html,*/*;q=0.8"}
        sent = client.get("/?a=1", headers=html)
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/%3Fa%3D1")
        page = client.get(sent.headers["location"])
        assert page.status_code == 200 and 'name="next" value="/?a=1"' in page.text
        assert "<script" not in page.text and "script-src" not in page.headers["content-security-policy"]
        assert "default-src 'none'" in page.headers["content-security-policy"]

        wrong = client.post("/login", data={"name": "ada", "password": "wrong", "next": "/?a=1"})
        assert wrong.status_code == 403 and "do not go together" in wrong.text and "set-cookie" not in wrong.headers

        entered = client.post("/login", data={"name": " ADA ", "password": ADA, "next": "/?a=1"})
        assert (entered.status_code, entered.headers["location"]) == (303, "/?a=1")
        about = client.get("/api/studio").json()
        assert (about["person"], about["admin"], about["login"]) == ("ada", True, True)
        assert client.get("/login").headers["location"] == "/"  # nothing to do there any more

        held = dict(client.cookies)
        assert client.post("/logout").headers["location"] == "/login"
        assert client.get("/api/studio").status_code == 401
        client.cookies.update(held)  # whoever kept the cookie has nothing either
        assert client.get("/api/studio").status_code == 401


def test_the_cookie_is_for_the_browser_alone(guarded, address):
    with browser(address) as client:
        answer = client.post("/login", data={"name": "bob", "password": BOB})
        cookie = answer.headers["set-cookie"]
        assert "; HttpOnly" in cookie and "; SameSite=lax" in cookie and "; Path=/" in cookie and "Secure" not in cookie
        token = cookie.split("=")[1].split(";")[0]
        assert len(token) == 43  # 256 bits in base64
        kept = guarded.store.db.execute("SELECT token FROM sessions").fetchall()
        assert len(kept) == 1 and token not in kept[0]["token"]
        assert token.encode() not in b"".join(file.read_bytes() for file in guarded.data_dir.glob("studio.db*"))
    with browser(address, headers={"X-Forwarded-Proto": "https"}) as client:  # as a proxy on this machine says
        assert "; Secure" in client.post("/login", data={"name": "bob", "password": BOB}).headers["set-cookie"]


def test_nobody_is_sent_elsewhere_after_logging_in(address):
    abroad = ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/login", "/a\r\nSet-Cookie: x=1", "")
    with browser(address) as client:
        for back in abroad:
            answer = client.post("/login", data={"name": "bob", "password": BOB, "next": back})
            assert answer.headers["location"] == "/", back
            assert client.get("/login", params={"next": back}).headers["location"] == "/", back


def test_a_login_from_another_site_s_page_is_refused(address):
    with browser(address) as client:
        answer = client.post("/login", data={"name": "bob", "password": BOB}, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403 and "set-cookie" not in answer.headers


def test_a_form_that_is_too_long_is_not_read(address):
    with browser(address) as client:
        assert client.post("/login", data={"name": "x" * 10_000, "password": "y"}).status_code == 413


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def failures(login: Login, name: str, address: str, count: int) -> int:
    """How many of `count` tries in a row were looked at."""
    looked = 0
    for _ in range(count):
        with contextlib.suppress(TooMany):
            with pytest.raises(WrongPassword):
                login.check(name, "wrong", address)
            looked += 1
    return looked


def test_failures_cost_waits_that_grow_and_a_restart_forgives_nothing(guarded):
    clock = Clock()
    login = Login(guarded.store, clock)
    waits = []
    for _ in range(9):
        while True:
            try:
                login.check("ada", "wrong", "10.0.0.1")
            except TooMany as error:
                waits.append(error.seconds)
                clock.now += error.seconds
                login = Login(guarded.store, clock)
            except WrongPassword:
                break
    assert waits == [1, 2, 4, 8, 16]
    with pytest.raises(TooMany):
        login.check("ada", ADA, "10.0.0.1")  # the right one is not looked at either
    with pytest.raises(TooMany):
        login.check("ADA ", ADA, "10.0.0.2")  # nor from elsewhere, nor by another spelling
    assert login.check("bob", BOB, "10.0.0.2") == "bob"
    clock.now += 60
    assert login.check("ada", ADA, "10.0.0.1") == "ada"
    assert failures(login, "ada", "10.0.0.3", 4) == 4  # a success forgave the name


def test_one_address_cannot_try_many_names(guarded):
    login = Login(guarded.store, Clock())
    looked = sum(failures(login, f"name{number}", "10.0.0.1", 1) for number in range(20))
    assert looked == 12
    with pytest.raises(TooMany):
        login.check("ada", ADA, "10.0.0.1")
    assert login.check("ada", ADA, "10.0.0.2") == "ada"


def test_guessing_between_one_s_own_logins_is_throttled_by_the_name(guarded):
    login = Login(guarded.store, Clock())
    looked = 0
    for _ in range(8):
        login.check("bob", BOB, "10.0.0.1")
        looked += failures(login, "ada", "10.0.0.1", 1)
    assert looked == 4


def test_many_tries_at_once_get_no_further(guarded):
    login = Login(guarded.store)
    looked: list[int] = []
    threads = [threading.Thread(target=lambda: looked.append(failures(login, "ada", "10.0.0.1", 1))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(looked) <= 5  # four free ones; a slow machine may have waited out the first second


def test_throttled_over_http_with_the_wait_in_words(address):
    with browser(address) as client:
        answers = [client.post("/login", data={"name": "nobody", "password": "x"}) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [403] * 4 + [429]
        assert answers[-1].headers["retry-after"] == "1" and "Try again in 1 s." in answers[-1].text


def test_an_unknown_name_takes_as_long_as_a_wrong_password(guarded):
    def seconds(name: str, number: int) -> float:
        started = time.thread_time()  # of this thread's processor: free of what else runs
        with pytest.raises(WrongPassword):
            Login(guarded.store).check(name, "wrong", f"{name}{number}")
        guarded.store.db.execute("DELETE FROM tries")
        return time.thread_time() - started

    pairs = [(seconds("ada", number), seconds("nobody", number)) for number in range(7)]
    known, unknown = (statistics.median(side) for side in zip(*pairs, strict=True))
    assert known > 0.01 and 0.5 < unknown / known < 2


def test_the_hash_has_the_pinned_parameters():
    kept = passwords.hashed("a password")
    assert kept.startswith("$argon2id$v=19$m=47104,t=1,p=1$") and passwords.hashed("a password") != kept
    assert passwords.matches("a password", kept) and not passwords.matches("another", kept) and not passwords.matches("a password", None)


def test_sessions_outlive_a_restart_and_two_studios_on_a_machine_keep_apart(tmp_path, shipped):
    def start(folder: str) -> Studio:
        studio = Studio(tmp_path / folder, shipped, engine="scripted", login=True)
        take_in(studio.store, [Entry("ada", ADA, True)])
        return studio

    first = start("one")
    with served(first) as address, browser(address, "ada", ADA) as client:
        cookies = dict(client.cookies)
    again, other = start("one"), start("two")
    with served(again) as address, httpx.Client(base_url=address, cookies=cookies) as client:
        assert client.get("/api/studio").json()["person"] == "ada"
    with served(other) as address, httpx.Client(base_url=address, cookies=cookies) as client:
        assert client.get("/api/studio").status_code == 401
        assert other.sessions.cookie not in cookies


def test_idle_and_old_sessions_end(guarded):
    ended: set[str] = set()
    clock = Clock()
    sessions = Sessions(guarded.store, guarded.settings, ended.update, clock)
    idle, busy = sessions.open("bob"), sessions.open("ada")
    for _ in range(29):
        clock.now += DAY
        if sessions.who(busy):
            sessions.touch(busy)
    assert sessions.who(idle) is None
    who = sessions.who(busy)
    assert who is not None and (who.name, who.admin) == ("ada", True)
    sessions.sweep()
    assert len(ended) == 1 and who.session not in ended
    clock.now += 2 * DAY  # thirty days in all, and used to the last
    assert sessions.who(busy) is None
    sessions.sweep()
    assert who.session in ended


def watch(client: httpx.Client, opened: Callable[[], object], closed: Callable[[], object]) -> threading.Thread:
    def read() -> None:
        with client.stream("GET", "/api/events", timeout=60) as stream:
            for _ in stream.iter_lines():
                opened()
        closed()

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def test_streams_end_with_their_session_and_no_other(guarded, address):
    with browser(address, "ada", ADA) as ada, browser(address, "bob", BOB) as bob, browser(address, "bob", BOB) as elsewhere:
        states = {name: [threading.Event(), threading.Event()] for name in ("ada", "bob", "elsewhere")}
        clients = {"ada": ada, "bob": bob, "elsewhere": elsewhere}
        threads = [watch(client, states[name][0].set, states[name][1].set) for name, client in clients.items()]
        for opened, _ in states.values():
            assert opened.wait(20)
        with httpx.Client(base_url=address, cookies=dict(bob.cookies)) as same:
            same.post("/logout")
        assert states["bob"][1].wait(20)
        assert not states["elsewhere"][1].is_set()
        assert ada.post("/api/people/bob/remove", json={}).status_code == 200
        assert states["elsewhere"][1].wait(20)
        assert not states["ada"][1].is_set()
        assert elsewhere.get("/api/studio").status_code == 401
        ada.post("/logout")
        assert states["ada"][1].wait(20)
        for thread in threads:
            thread.join()


def test_without_the_flags_there_is_one_person(door):
    about = door.get("/api/studio").json()
    assert (about["person"], about["admin"], about["login"]) == ("local", True, False)
    assert door.get("/login").headers["location"] == "/"
    assert door.post("/login", data={"name": "local", "password": "x"}).headers["location"] == "/"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_the_auth_file_is_read_once_a_change(guarded, tmp_path):
    store = guarded.store
    path = write(tmp_path / "people", f"# the house\n\ncleo:first password\ndan:{passwords.hashed('dan 12345')}:admin\neve:a:b:c\n")
    entries = read_file(path)
    assert [(entry.name, entry.admin) for entry in entries] == [("cleo", True), ("dan", True), ("eve", False)]
    take_in(store, entries)
    login = Login(store)
    assert [login.check(*pair, "10.0.0.1") for pair in (("cleo", "first password"), ("dan", "dan 12345"), ("eve", "a:b:c"))]
    assert b"first password" not in b"".join(file.read_bytes() for file in guarded.data_dir.glob("studio.db*"))

    store.db.execute("UPDATE persons SET password = ? WHERE name = 'cleo'", [passwords.hashed("set on the page")])
    take_in(store, read_file(path))  # unchanged: what was set on the page stays
    assert login.check("cleo", "set on the page", "10.0.0.1") == "cleo"
    token = guarded.sessions.open("cleo")
    take_in(store, read_file(write(path, "cleo:second password\n")))
    assert login.check("cleo", "second password", "10.0.0.1") == "cleo"
    assert guarded.sessions.who(token) is None  # whoever came in with the old one

    store.db.execute("UPDATE persons SET removed = 'now', password = NULL, admin = 0 WHERE name = 'cleo'")
    take_in(store, read_file(path))
    with pytest.raises(WrongPassword):
        login.check("cleo", "second password", "10.0.0.1")


def test_somebody_is_always_an_admin(guarded):
    guarded.store.db.execute("UPDATE persons SET admin = 0")
    take_in(guarded.store, [Entry("ada", ADA, True), Entry("bob", BOB, False)])
    assert [row["name"] for row in guarded.store.db.execute("SELECT name FROM persons WHERE admin")] == ["ada"]
    guarded.store.db.execute("UPDATE persons SET admin = 0, removed = 'now'")
    with pytest.raises(Unavailable):
        take_in(guarded.store, [Entry("ada", ADA, True)])


@pytest.mark.parametrize("line", ["ada", "ada:", ":password", "a b:password", "<b>:password", "ada::admin", "ada:$argon2id$junk"])
def test_a_line_that_is_none_is_named_but_not_shown(tmp_path, line):
    path = write(tmp_path / "people", f"bob:a password\n{line}\n")
    with pytest.raises(BadInput) as caught:
        read_file(path)
    assert "line 2" in str(caught.value) and "a password" not in str(caught.value) and "junk" not in str(caught.value)
    with pytest.raises(BadInput):
        read_flag(line)


def test_files_that_cannot_be_read_or_hold_nobody_or_somebody_twice(tmp_path):
    with pytest.raises(Unavailable):
        read_file(tmp_path / "nothing")
    for text in ("# nobody\n", "ada:1\nAda:2\n"):
        with pytest.raises(BadInput):
            read_file(write(tmp_path / "people", text))


def test_open_permissions_are_warned_of(tmp_path):
    path = write(tmp_path / "people", "ada:a password\n", 0o644)
    assert "passwords in it" in authfile.warning(path, read_file(path)) and "chmod 600" in authfile.warning(path, read_file(path))
    path.chmod(0o600)
    assert authfile.warning(path, read_file(path)) == ""


def test_a_hash_for_the_file_is_made_by_hand(monkeypatch, capsys):
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "eight or more")
    passwords.main()
    line = f"ada:{capsys.readouterr().out.strip()}"
    assert passwords.matches("eight or more", read_flag(line).secret)
