"""Settings out of a picture's file, whichever tool wrote it: a module a tool, each reading its documented format into a `Found`.

Nothing in a file is trusted: lengths, depths, kinds and ranges are bounded, and what does not fit is listed instead of used.
"""
from __future__ import annotations

from collections.abc import Mapping

from pipelines.metadata import a1111, comfy, fooocus, invoke, ours, swarm
from pipelines.metadata.container import texts_of
from pipelines.metadata.found import Found

__all__ = ["Found", "read", "texts_of"]


def read(texts: Mapping[str, str]) -> Found | None:
    """The settings among the texts of a file (see `texts_of`); None when no reader knows them.

    A file may hold several tools' texts (SwarmUI can add ComfyUI's graph): the one that says most about this very picture wins.
    """
    parameters = texts.get("parameters", "")
    return (
        ours.read(texts)
        or invoke.read(texts)
        or swarm.read(parameters)
        or fooocus.read(parameters, texts.get("fooocus_scheme", ""))
        or a1111.read(parameters)
        or comfy.read(texts)
    )
