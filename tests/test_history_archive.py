"""What leaves the studio and comes back: ZIPs with a manifest, sheets on paper, backups while it runs, restores."""
from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from histories import ANNA, ask, bulk, draw
from PIL import Image

from models.errors import BadInput, Unavailable
from studio import archive, serve
from studio.config import Config, parse
from studio.history import History
from studio.store.jobs import NotNow
from studio.store.people import LOCAL
from studio.studio import Studio

ROOT = Path(__file__).parent.parent


def order(door, ids, **fields):
    told = ask(door.post("/api/exports", json={"ids": ids} | fields), 201)
    answer = door.get(told["url"])
    assert answer.status_code == 200, answer.text
    assert 'filename="contact-sheet-' in answer.headers["content-disposition"]
    return answer.content


def test_a_zip_holds_the_files_and_a_manifest(studio, door):
    ids = draw(studio, 3)
    bulk(door, "rate", ids[:1], rating=5)
    bulk(door, "tag", ids[:1], tag="héro")
    with zipfile.ZipFile(io.BytesIO(order(door, ids))) as packed:
        assert packed.testzip() is None
        manifest = json.loads(packed.read("manifest.json"))
        assert sorted(packed.namelist()) == sorted(["manifest.json", *(one["file"] for one in manifest["pictures"])])
        for image, one in zip(ids, manifest["pictures"], strict=True):
            assert packed.read(one["file"]) == studio.picture_file(image).read_bytes()
        first = manifest["pictures"][0]
        assert (first["prompt"], first["rating"], first["tags"]) == ("a red mug", 5, ["héro"])
        assert manifest["models"]["embedded"]["licence"]["name"]


def test_stripped_nothing_tells_of_the_prompt_and_the_pixels_are_the_same(studio, door):
    ids = draw(studio, 2, prompt="a secret mug")
    content = order(door, ids, strip=True)
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        everything = b"".join(packed.read(name) for name in packed.namelist())
        assert b"secret" not in everything
        one = json.loads(packed.read("manifest.json"))["pictures"][0]
        with Image.open(io.BytesIO(packed.read(one["file"]))) as out, Image.open(studio.picture_file(ids[0])) as kept:
            assert out.tobytes() == kept.tobytes()
            assert "parameters" in kept.text and "parameters" not in out.text


def test_the_sheet_on_paper_shows_every_frame(studio, door):
    ids = draw(studio, 8, prompt="a red mug " + "of a very long prompt " * 30) + draw(studio, 2, prompt="\u4e00\u53ea\u676f\u5b50")
    with Image.open(io.BytesIO(order(door, ids, **{"as": "png"}))) as sheet:
        assert sheet.format == "PNG" and sheet.width == 1754
        # Film is drawn under each frame, and paper between jobs.
        small = sheet.resize((400, 400), Image.Resampling.NEAREST).tobytes()
        film = sum(small[at : at + 3] == b"\x16\x16\x16" for at in range(0, len(small), 3))
        assert 4000 < film < 80_000
    plain = order(door, ids, **{"as": "png", "strip": True})
    with Image.open(io.BytesIO(plain)) as sheet:
        assert sheet.height > 500
    pdf = order(door, ids + draw(studio, 40), **{"as": "pdf"})
    assert pdf.startswith(b"%PDF") and pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") >= 2


def test_exports_are_the_persons_own_and_hold_only_what_they_may_see(studio, door):
    mine, theirs = draw(studio, 2), draw(studio, 1, who=ANNA)
    assert ask(door.post("/api/exports", json={"ids": mine + theirs}), 422)["error"]["field"] == "ids.2"
    told = ask(door.post("/api/exports", json={"ids": mine}), 201)
    bulk(door, "trash", mine[:1])
    History(studio).bulk({"do": "delete", "ids": mine[:1]}, LOCAL)
    with zipfile.ZipFile(io.BytesIO(door.get(told["url"]).content)) as packed:
        assert len(packed.namelist()) == 2, "the manifest and what is left"
    ask(door.get("/api/exports/none"), 404)


# Backup and restore.


def test_a_backup_over_http_holds_everything(studio, door):
    ids = draw(studio, 2)
    answer = door.get("/api/backup")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.testzip() is None
        names = set(packed.namelist())
        assert names >= {"studio.db", "backup.json", *(studio.picture_file(i).relative_to(studio.data_dir).as_posix() for i in ids)}
        assert not any(name.startswith(("thumbs", "logs", ".")) for name in names)
        assert set(json.loads(packed.read("backup.json"))["files"]) == names - {"backup.json"}


def test_a_backup_taken_while_people_work_is_whole(studio, tmp_path):
    """Pictures are drawn and thrown away for good meanwhile: every row of the copy has its file."""
    draw(studio, 12)
    stop = threading.Event()
    failures: list[BaseException] = []
    refused: list[NotNow] = []

    def work() -> None:
        history = History(studio)
        try:
            while not stop.is_set():
                ids = draw(studio, 2)
                history.bulk({"do": "trash", "ids": ids[:1]}, LOCAL)
                try:
                    history.empty_trash(LOCAL)
                except NotNow as error:  # a deletion may be refused while the backup runs
                    refused.append(error)
        except BaseException as error:  # noqa: BLE001 - told on the test's own thread
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for place in range(3):
            archive.backup(studio.data_dir, tmp_path / f"{place}.zip")
    finally:
        stop.set()
        thread.join()
    assert failures == []
    for place in range(3):
        other = tmp_path / f"restored{place}"
        other.mkdir()
        assert archive.restore(other, tmp_path / f"{place}.zip") is None
        restored = Studio(other, studio.catalogue, engine="scripted")
        found = History(restored).page([("limit", "200")], LOCAL)["images"]
        assert len(found) >= 12
        for image in found:
            with Image.open(restored.picture_file(image["id"])) as opened:
                opened.load()
        assert restored.thumb_file(found[0]["id"]).is_file()
        restored.stop()


def test_restoring_loses_nothing_of_what_was_there(studio, shipped, tmp_path):
    draw(studio, 1, prompt="before")
    archive.backup(studio.data_dir, tmp_path / "b.zip")
    later = draw(studio, 1, prompt="later")
    lost = studio.picture_file(later[0]).relative_to(studio.data_dir)
    studio.stop()
    aside = archive.restore(studio.data_dir, tmp_path / "b.zip")
    again = Studio(studio.data_dir, shipped, engine="scripted")
    assert [image["prompt"] for image in History(again).page([], LOCAL)["images"]] == ["before"]
    again.stop()
    assert aside is not None and (aside / lost).is_file() and (aside / "studio.db").is_file()
    assert not list(studio.data_dir.glob(".restore-*"))


def test_restoring_is_refused_while_a_studio_holds_the_folder(studio, tmp_path, capsys):
    draw(studio, 1)
    archive.backup(studio.data_dir, tmp_path / "b.zip")
    with serve.Holder(studio.data_dir):
        assert serve.run(Config(studio.data_dir, restore=tmp_path / "b.zip")) == 1
    assert "Another studio is using" in capsys.readouterr().err
    assert len(History(studio).page([], LOCAL)["images"]) == 1


def spoil(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        middle = data.find(b"outputs/") + 300
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        with zipfile.ZipFile(path, "w") as packed:
            if how == "other zip":
                packed.writestr("hello.txt", "hello")
            else:
                name = {"climbs": "../evil.txt", "absolute": "/tmp/evil.txt", "lock": "studio.lock"}[how]
                packed.writestr(name, "evil")
                packed.writestr("backup.json", json.dumps({"files": {name: 4}}))


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "other zip", "climbs", "absolute", "lock"])
def test_what_is_no_whole_backup_is_refused_and_changes_nothing(studio, tmp_path, how):
    draw(studio, 1)
    file = tmp_path / "b.zip"
    archive.backup(studio.data_dir, file)
    spoil(file, how)
    before = sorted(path for path in studio.data_dir.rglob("*") if "-wal" not in path.name and "-shm" not in path.name)
    with pytest.raises(BadInput):
        archive.restore(studio.data_dir, file)
    assert sorted(path for path in studio.data_dir.rglob("*") if "-wal" not in path.name and "-shm" not in path.name) == before
    assert not (tmp_path / "evil.txt").exists()


def test_one_backup_at_a_time_and_none_of_nothing(studio, tmp_path):
    with pytest.raises(Unavailable, match="nothing to back up"):
        archive.backup(tmp_path / "nowhere", tmp_path / "b.zip")
    assert not list(tmp_path.glob("b.zip*"))


@pytest.mark.slow
def test_from_the_command_line(studio, tmp_path):
    draw(studio, 1)
    launch = [sys.executable, "launch.py", "--data-dir", str(studio.data_dir)]
    done = subprocess.run([*launch, "--backup", str(tmp_path / "b.zip")], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    other = tmp_path / "other"
    done = subprocess.run([*launch[:3], str(other), "--restore", str(tmp_path / "b.zip")], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((other / "outputs").rglob("*.png"))) == 1
    assert parse(["--backup", "x"]).backup == Path("x").absolute()
