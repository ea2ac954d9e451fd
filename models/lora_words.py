"""What a LoRA file says of itself: trigger words, titles, the base it was trained on. Pure; whatever a file says is only text."""
from __future__ import annotations

import json
from collections.abc import Mapping


def triggers_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The words that call the LoRA up: as the file says, else tags that every caption of its training had (kohya's statistics)."""
    for key in ("trained_words", "modelspec.trigger_phrase", "trigger_words", "trigger_word"):
        value = metadata.get(key, "").strip()
        if value:
            try:
                listed = json.loads(value)
            except (ValueError, RecursionError):
                listed = value.split(",")
            words = listed if isinstance(listed, list) else [value]
            return tuple(dict.fromkeys(clean for word in words[:32] if (clean := _clean(str(word))[:100])))
    return _common_tags(metadata.get("ss_tag_frequency", ""))


def _common_tags(statistics: str) -> tuple[str, ...]:
    try:
        folders = json.loads(statistics or "{}")
    except (ValueError, RecursionError):
        return ()
    found: dict[str, None] = {}
    for tags in folders.values() if isinstance(folders, dict) else ():
        counts = {tag: count for tag, count in tags.items() if type(count) is int} if isinstance(tags, dict) else {}
        # The trigger stands in every caption, so alone at the top; several tags that are level tell nothing.
        top = [tag for tag, count in counts.items() if count == max(counts.values())]
        if len(top) == 1 and len(counts) > 1 and counts[top[0]] > 1:
            found[_clean(top[0])[:100]] = None
    return tuple(found)


def base_of(metadata: Mapping[str, str]) -> str:
    """The model it was trained on, in its trainer's words, "" if nothing says it."""
    return said(metadata, "modelspec.architecture", "ss_base_model_version", "ss_sd_model_name", "base_model", "baseModel")[:200]


def said(metadata: Mapping[str, str], *keys: str) -> str:
    """The first of these that says something, on one line."""
    return next((clean for key in keys if (clean := _clean(metadata.get(key, "")))), "")


def _clean(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text[:4000]).split())
