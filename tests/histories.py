"""What the history's test files share: pictures as a worker would leave them, and questions over HTTP."""
from __future__ import annotations

from typing import Any

import httpx

from models.scripted import seed_picture
from pipelines.tasks import Draft
from studio import files
from studio.store import images, jobs
from studio.store.people import LOCAL, Who
from studio.studio import Studio

ANNA = Who("anna")


def draw(studio: Studio, draft: int = 4, who: Who = LOCAL, **fields: Any) -> list[int]:
    """A job's pictures with their files, drawn and settled as a worker would leave them; their ids."""
    with studio.store.write() as db:
        db.execute("INSERT OR IGNORE INTO persons (name, title, created) VALUES (?, ?, '')", [who.name, who.name])
    job = studio.submit({"prompt": "a red mug", "draft": draft, "keep": 1} | fields, who)
    while task := jobs.lease(studio.store, "test", 60):
        if task.kind == "judge":
            with studio.store.write() as db:
                if jobs.close_judge(db, task):
                    jobs.finish_job(db, task.job)
            continue
        batch = Draft.from_dict(task.payload)
        for number, seed in zip(batch.numbers, batch.spec.seeds, strict=True):
            path = files.picture_path("2026-11-21", task.job, number)
            image = seed_picture(seed, 64, 64)
            files.write_picture(studio.data_dir, path, image, {"parameters": batch.spec.prompt})
            with studio.store.write() as db:
                images.mark_drawn(db, task.job, number, path=path, width=64, height=64, seconds=1.0, details={})
                jobs.close_draft(db, task, stopped=False)
    return [image["id"] for image in studio.job(job["id"], who)["images"]]


def ask(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def bulk(door: httpx.Client, do: str, ids: list[int], **fields: Any) -> Any:
    return ask(door.post("/api/images/bulk", json={"do": do, "ids": ids} | fields))
