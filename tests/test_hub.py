"""Downloads against a hub on the loopback: real huggingface_hub, real sockets, a process of its own."""
from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import Hub, Repo, hub

from models.hub import CHUNK, Order, Remote, wanted

ROOT = Path(__file__).parent.parent
NAME = "makers/Model-1"
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
SIZE = 3_000_000


def model(size: int = SIZE) -> dict[str, bytes]:
    """A repository as the real ones are: what diffusers reads, and as much again that it does not."""
    noise = random.Random(1)
    large = noise.randbytes(size)
    index = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "X"], "tokenizer": ["t", "Y"]}
    return {
        "model_index.json": json.dumps(index).encode(),
        "LICENSE.md": b"be kind",
        "README.md": b"a model",
        "model-1.safetensors": large,  # the same weights once more, in the layout of the makers
        "transformer/config.json": b"{}",
        WEIGHTS: large,
        "transformer/diffusion_pytorch_model.fp16.safetensors": large[: size // 2],
        "tokenizer/vocab.txt": b"a\nb\n",
        "tokenizer/tokenizer.json": b"{ }",
        "text_encoder/model.safetensors": noise.randbytes(200_000),
        "text_encoder/pytorch_model.bin": large[:100_000],
        "images/sample.png": b"png",
    }


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub() as made:
        made.repos[NAME] = Repo("c0ffee" * 6 + "c0ff", model())
        yield made


class Child:
    """The download's process, as the studio starts it."""

    def __init__(self, server: Hub, order: Order) -> None:
        # Off, as the studio's own processes have it; the download lifts it for itself.
        environment = os.environ | {"HF_ENDPOINT": server.address, "HF_HUB_OFFLINE": "1", "HF_HOME": order.cache}
        environment.pop("HF_TOKEN", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "models.hub"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment,
        )  # fmt: skip
        assert self.process.stdin
        self.process.stdin.write(order.to_line())
        self.process.stdin.flush()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def lines(self) -> Iterator[dict]:
        assert self.process.stdout
        for line in self.process.stdout:
            yield json.loads(line)

    def end(self) -> dict:
        """The last word."""
        *_, last = list(self.lines())
        return last


def order(tmp_path: Path, **changes: object) -> Order:
    return Order(**({"repo": NAME, "revision": "main", "commit": "", "cache": str(tmp_path / "hub"), "reserve": 0} | changes))


def download(server: Hub, the_order: Order) -> dict:
    with Child(server, the_order) as child:
        return child.end()


def test_what_diffusers_reads_is_fetched_and_nothing_else(server: Hub, tmp_path: Path):
    with Child(server, order(tmp_path)) as child:
        told = list(child.lines())
    assert told[-1]["event"] == "done"
    folder = Path(told[-1]["folder"])
    repo = server.repos[NAME]
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "model_index.json", "LICENSE.md", "transformer/config.json", WEIGHTS, "tokenizer/vocab.txt", "tokenizer/tokenizer.json",
        "text_encoder/model.safetensors",
    }  # fmt: skip
    assert all((folder / name).read_bytes() == repo.files[name] for name in names)
    assert folder == tmp_path / "hub" / "models--makers--Model-1" / "snapshots" / repo.commit
    assert (folder.parents[1] / "refs" / "main").read_text() == repo.commit
    assert not list((tmp_path / "hub").rglob("*.incomplete"))
    assert told[0] == {"event": "plan", "commit": repo.commit, "done": 0, "files": 7, "total": sum(len(repo.files[name]) for name in names)}
    assert told[-2]["done"] == told[0]["total"]
    assert sum(server.sent.values()) == told[0]["total"]
    # Huggingface_hub itself sees a whole model there.
    code = (
        "from huggingface_hub import snapshot_download\n"
        f"print(snapshot_download({NAME!r}, cache_dir={str(tmp_path / 'hub')!r}, allow_patterns=['*/*.json']))"
    )
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    seen = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True, timeout=60)
    assert seen.stdout.strip() == str(folder), seen.stderr


@pytest.mark.slow
def test_a_lost_connection_goes_on_where_it_ended(server: Hub, tmp_path: Path):
    server.drop[WEIGHTS] = [SIZE // 2, 0, 70_000]
    assert download(server, order(tmp_path))["event"] == "done"
    assert SIZE <= server.sent[WEIGHTS] <= SIZE + 3 * CHUNK
    assert len([path for path in server.requests("store") if path.endswith(WEIGHTS)]) == 4


def test_a_killed_download_goes_on_where_it_ended(server: Hub, tmp_path: Path):
    server.rate = 2e6
    with Child(server, order(tmp_path)) as child:
        for told in child.lines():
            if told["event"] == "progress" and told["done"] > SIZE // 2:
                break
        assert 0 < told["rate"] < 1e8 and told["eta"] > 0
        child.process.kill()
    (part,) = (tmp_path / "hub").rglob("*.part.incomplete")
    kept = part.stat().st_size
    assert kept > 100_000
    server.rate = None
    with Child(server, order(tmp_path, commit=server.repos[NAME].commit)) as child:
        told = list(child.lines())
    assert told[0]["done"] > kept  # the small files too
    assert told[-1]["event"] == "done"
    assert server.starts[WEIGHTS] == [0, kept]
    assert server.sent[WEIGHTS] <= SIZE + 2 * CHUNK  # and what was between the two when one was killed


def test_the_end_of_its_input_ends_it(server: Hub, tmp_path: Path):
    server.rate = 1e5
    with Child(server, order(tmp_path)) as child:
        assert next(child.lines())["event"] == "plan"
        assert child.process.stdin
        child.process.stdin.close()
        assert child.process.wait(10) == 0
        child.process.stdin = None


@pytest.mark.slow
def test_an_address_that_ran_out_is_asked_for_again(server: Hub, tmp_path: Path):
    server.spent = True
    server.drop[WEIGHTS] = [SIZE // 2]
    assert download(server, order(tmp_path))["event"] == "done"
    assert server.sent[WEIGHTS] <= SIZE + CHUNK


@pytest.mark.slow
def test_a_revision_is_pinned_when_it_begins(server: Hub, tmp_path: Path):
    old = server.repos[NAME].commit
    assert download(server, order(tmp_path, commit=old))["event"] == "done"
    server.repos[NAME] = Repo("f" * 40, model())
    gone = download(server, order(tmp_path / "other", commit=old))
    assert (gone["event"], gone["kind"]) == ("failed", "gone")


@pytest.mark.slow
def test_gated_says_what_to_do_with_and_without_a_token(server: Hub, tmp_path: Path):
    repo = server.repos[NAME]
    repo.tokens, repo.known = {"hf_good"}, {"hf_stranger"}
    page = f"{server.address}/{NAME}"
    nobody = download(server, order(tmp_path))
    assert nobody["kind"] == "gated" and "needs a token" in nobody["what"] and page in nobody["todo"]
    stranger = download(server, order(tmp_path, token="hf_stranger"))
    assert stranger["kind"] == "gated" and "not been let in" in stranger["why"] and page in stranger["todo"]
    wrong = download(server, order(tmp_path, token="hf_wrong"))
    assert wrong["kind"] == "token"
    assert not any("hf_" in str(answer) for answer in (nobody, stranger, wrong))
    assert sum(server.sent.values()) == 0

    with Child(server, order(tmp_path, token="hf_good")) as child:
        told = list(child.lines())
        assert child.process.stderr
        errors = child.process.stderr.read()
    assert told[-1]["event"] == "done"
    assert b"hf_good" not in errors and "hf_good" not in str(told)
    # The token is for the hub alone, not for the store behind it.
    assert {token for where, _, _, token in server.seen if where == "store"} == {""}
    assert {token for where, method, _, token in server.seen if where == "hub" and method == "GET"} >= {"hf_good"}


@pytest.mark.slow
def test_no_room_is_said_before_anything_is_fetched(server: Hub, tmp_path: Path):
    answer = download(server, order(tmp_path, reserve=10**18))
    assert answer["kind"] == "space" and "still to come" in answer["why"]
    assert sum(server.sent.values()) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_disk_that_fills_up_is_said(server: Hub, tmp_path: Path):
    folder = tmp_path / "models" / "m"
    (folder / "transformer").mkdir(parents=True)
    # The kernel's own full disk, in place of the growing file.
    os.symlink("/dev/full", folder / "transformer" / "diffusion_pytorch_model.safetensors.part")
    answer = download(server, order(tmp_path, folder=str(folder)))
    assert answer["kind"] == "space", answer
    assert os.strerror(errno.ENOSPC) in answer["why"]


@pytest.mark.slow
def test_a_damaged_file_is_not_kept(server: Hub, tmp_path: Path):
    server.damaged.add(WEIGHTS)
    answer = download(server, order(tmp_path))
    assert answer["kind"] == "damaged" and WEIGHTS in answer["what"]
    assert not list((tmp_path / "hub").rglob("*.safetensors.part*"))
    server.damaged.clear()
    assert download(server, order(tmp_path))["event"] == "done"


@pytest.mark.slow
def test_a_folder_of_ones_own_is_filled_in_plain_files(server: Hub, tmp_path: Path):
    folder = tmp_path / "models" / "model-1"
    answer = download(server, order(tmp_path, folder=str(folder), without=("transformer",)))
    assert answer == {"event": "done", "folder": str(folder)}
    assert json.loads((folder / "contact-sheet.json").read_text())["commit"] == server.repos[NAME].commit
    assert (folder / "transformer" / "config.json").is_file()
    assert not (folder / WEIGHTS).exists() and server.sent[WEIGHTS] == 0
    assert not any(path.is_symlink() or path.suffix in (".part", ".lock") for path in folder.rglob("*"))


@pytest.mark.slow
def test_a_repository_that_is_not_there_is_said(server: Hub, tmp_path: Path):
    assert download(server, order(tmp_path, repo="makers/nothing"))["kind"] == "gone"


@pytest.mark.slow
def test_no_network_is_said_and_resuming_works(server: Hub, tmp_path: Path):
    with hub() as closed:
        pass
    answer = download(closed, order(tmp_path))
    assert answer["kind"] == "network" and "Resume" in answer["todo"]


def test_patterns_take_one_copy_of_each_part():
    files = [Remote(path, len(data), "") for path, data in model().items()]
    chosen = [file.path for file in wanted(files)]
    assert chosen[-1] == WEIGHTS  # small ones first
    assert "model-1.safetensors" not in chosen
    names = ("model-00001-of-00002.safetensors", "model.safetensors.index.json", "a.bin")
    sharded = [Remote(f"text_encoder_2/{name}", 1, "") for name in names]
    assert [file.path.split("/")[1] for file in wanted(sharded)] == [names[1], names[0]]
    assert wanted(sharded, without=["text_encoder_2"]) == []


@pytest.mark.slow
def test_two_at_once_fetch_a_file_once(server: Hub, tmp_path: Path):
    server.rate = 3e6
    with Child(server, order(tmp_path)) as first:
        next(first.lines())
        time.sleep(0.3)
        with Child(server, order(tmp_path)) as second:
            assert second.end()["event"] == "done"
            assert first.end()["event"] == "done"
    assert server.sent[WEIGHTS] == SIZE
