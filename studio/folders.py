"""Folders of weights: how big they are, how much room there is, and how they are deleted."""
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from models.weights import cached_repo, hub_cache


def free(place: Path) -> int:
    """Bytes that are free where `place` is or would be."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def weight(folder: Path) -> int:
    """Bytes of a folder's files, through links: the cache's snapshots are nothing else."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def delete(folder: Path) -> int:
    """Bytes that were freed."""
    freed = weight(folder) if folder.is_dir() else 0
    if folder.is_dir():
        shutil.rmtree(folder)
    return freed


def delete_cached(repo: str, commit: str = "") -> int:
    """Removes a repository from Hugging Face's cache, or one commit of it, and what belongs to nothing else; bytes that were freed."""
    from huggingface_hub import scan_cache_dir

    if not hub_cache().is_dir():
        return 0
    cache = scan_cache_dir(hub_cache())
    commits = [
        revision.commit_hash
        for one in cache.repos if one.repo_id == repo and one.repo_type == "model"
        for revision in one.revisions if commit in ("", revision.commit_hash)
    ]  # fmt: skip
    if not commits:
        return 0
    strategy = cache.delete_revisions(*commits)
    freed = strategy.expected_freed_size
    strategy.execute()
    return freed


def delete_begun(repo: str, commit: str, whole: Callable[[Path], bool]) -> int:
    """What a download left in Hugging Face's cache that never became whole; bytes that were freed."""
    freed = 0
    for part in (cached_repo(repo) / "blobs").glob("*.part.incomplete"):
        freed += part.stat().st_size
        part.unlink()
    snapshot = cached_repo(repo) / "snapshots" / commit
    if commit and snapshot.is_dir() and not whole(snapshot):
        freed += delete_cached(repo, commit)
    return freed
