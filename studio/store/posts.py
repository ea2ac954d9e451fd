"""What is done to pictures after they were drawn. A draft of a ladder is no result: what its template says is for the final."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.post import ENDING, Post, read_post
from studio.store.db import Store

# The person's word, else the template's.
_POST = "coalesce(images.post, CASE WHEN images.stage = 'final' THEN jobs.post END, 'null')"


def posts_of(store: Store, ids: Sequence[int]) -> dict[int, tuple[Post, bool]]:
    """For those pictures that are processed at all: how, and whether a person said so (else their template did)."""
    rows = store.db.execute(
        f"""SELECT images.id, images.post IS NOT NULL AS own, {_POST} AS post FROM images JOIN jobs ON jobs.id = images.job_id
        WHERE images.id IN ({", ".join("?" * len(ids))}) AND {_POST} != 'null'""",
        list(ids),
    )
    return {row["id"]: (read_post(json.loads(row["post"])), bool(row["own"])) for row in rows}


def post_view(image: int, found: tuple[Post, bool] | None) -> dict[str, Any] | None:
    """JSON of a picture's post-processing; None where it stays as drawn."""
    if found is None:
        return None
    post, own = found
    return {"post": post.to_dict(), "own": own, "url": f"/processed/{image}.{ENDING[post.format]}"}


def set_post(db: sqlite3.Connection, image: int, post: Post | None, own: bool = True) -> str | None:
    """What a person says of a picture, None for as drawn; with own=False it is as its template says again. The path of the file that holds
    no longer, if there is one."""
    old = db.execute("SELECT post_path FROM images WHERE id = ?", [image]).fetchone()["post_path"]
    words = json.dumps(post.to_dict() if post else None, sort_keys=True) if own else None
    db.execute("UPDATE images SET post = ?, post_path = NULL WHERE id = ?", [words, image])
    return old


def stamp(db: sqlite3.Connection, job: int, post: Mapping[str, Any]) -> None:
    """Writes down what a new job's template says is done to its pictures, inside the transaction that adds the job."""
    if post:
        db.execute("UPDATE jobs SET post = ? WHERE id = ?", [json.dumps(read_post(post).to_dict(), sort_keys=True), job])
