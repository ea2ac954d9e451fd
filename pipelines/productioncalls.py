"""A provider's request as text: a Python program that needs nothing but Python, and a shell script of curl's.

Both read the key from the environment, keep it to the provider's own hosts and out of the list of processes, and send a submit once.
"""
from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from models.money import dollars
from pipelines.bundle import bundle
from pipelines.post import ENDING
from pipelines.production import Recipe, literal, one_line, post_text, sorted_imports
from pipelines.productioncloud import Order, Shown, closed

_ALONE = "models.cloud.alone"
_SPEAKS = {"fal": "fal", "replicate": "replicate", "bfl": "bfl", "together": "at_once", "openai": "at_once"}
# How each wants its key.
_HEADERS = {
    "fal": ("Authorization", "Key {key}"), "replicate": ("Authorization", "Bearer {key}"), "together": ("Authorization", "Bearer {key}"),
    "openai": ("Authorization", "Bearer {key}"), "bfl": ("x-key", "{key}"),
}  # fmt: skip


# The program.


def python_request(order: Order) -> str:
    """Python that sends it, with nothing but the standard library (and Pillow where the picture is processed in the end)."""
    recipe, provider = order.recipe, order.provider
    speaks, variable = _SPEAKS[provider.engine], provider.keys[0]
    values = {name: str(value) for name, value in (recipe.values or {}).items()}
    after = [("pipelines.post", name) for name in ("Post", "apply", "encode")] if recipe.post else []
    found = bundle([*((_ALONE, name) for name in (speaks, "Line", "filled", "read_flags")), *after])
    imports = [*found.imports, *(["import io", "from PIL import Image"] if recipe.post else [])]
    seeded = _has_seed(order.body)
    line = [
        "flags.base_url", _tuple(_HEADERS[provider.engine]), literal(variable), _tuple(provider.hosts.api), "flags.timeout",
        str(not provider.enabled_without_key),
    ]  # fmt: skip
    flags = ["ABOUT", literal(_out(recipe)), literal(provider.base_url), str(order.call.seeds[0] if seeded else None), "VALUES"]
    head = [
        '"""Draws one picture: ' + _about(order),
        "",
        *(["    pip install pillow"] if recipe.post else []),
        f"    export {variable}=..." + ("  # where it wants one" if provider.enabled_without_key else ""),
        f"    python {recipe.name}.py --help",
        *(["", f"Its terms: {provider.terms}"] if provider.terms else []),
        '"""',
        "from __future__ import annotations",
        "",
        *("\n".join(sorted_imports(sorted(set(imports)))).strip().split("\n")),
        "",
        f"ABOUT = {literal(recipe.about)}",
        "# What comes out otherwise than in the studio:",
        *(f"# - {one_line(note)}" for note in order.notes),
    ]
    tail = [
        f"VALUES = {literal(values)}" if values else "VALUES: dict[str, str] = {}",
        "BODY: dict[str, Any] = {",
        *(f"    {literal(name)}: {literal(value)}," for name, value in _marked(order).items()),
        "}",
        *([f"POST = {post_text(recipe.post)}"] if recipe.post else []),
        "",
        'if __name__ == "__main__":',
        f"    flags = read_flags({', '.join(flags)})",
        f"    line = Line({', '.join(line)})",
        f"    body = filled(BODY, {'flags.seed' if seeded else 'None'}, flags.values, Path(__file__).resolve().parent)",
        f"    picture = {speaks}(line, {literal(order.path)}, body)",
        *(["    picture = encode(apply(Image.open(io.BytesIO(picture)), POST), POST)"] if recipe.post else []),
        "    flags.out.write_bytes(picture)",
        "    print(flags.out)",
    ]
    return "\n".join(head) + "\n\n\n" + found.body + "\n\n\n" + "\n".join(tail) + "\n"


def _tuple(values: Sequence[str]) -> str:
    return f"({''.join(f'{literal(one)}, ' for one in values).rstrip()})" if len(values) < 2 else f"({', '.join(map(literal, values))})"


def _out(recipe: Recipe) -> str:
    return f"{recipe.name}.{ENDING[recipe.post.format] if recipe.post else 'png'}"


def _about(order: Order) -> str:
    """Told inside a docstring and a comment, so without what would end them: the names may be an admin's."""
    words = f"{order.model.title} at {order.provider.title}, {dollars(order.micro)} by its prices of {order.model.price.date}."
    return "".join(one for one in one_line(words) if one not in '"\\')


def _has_seed(body: Mapping[str, Any]) -> bool:
    return "seed" in body or "seed" in body.get("input", {})


def _marked(order: Order) -> dict[str, Any]:
    """The body with the names of files in place of pictures."""
    known: dict[str, dict[str, str]] = {}
    for shown, reference in zip(order.pictures, order.call.references, strict=True):
        before, told = f"data:{reference.mime};base64,", base64.b64encode(shown.data).decode()
        mark = {"file": shown.name, "sha256": hashlib.sha256(shown.data).hexdigest()}
        known |= {before + told: {**mark, "before": before}, told: {**mark, "before": ""}}

    def marked(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: marked(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [marked(one) for one in value]
        return known.get(value, value) if isinstance(value, str) else value

    return {name: marked(value) for name, value in order.body.items()}


# The shell script.

_TOOLS = """\
stop() { echo "$*" >&2; exit 1; }
# Sent once, for what got no answer may have been taken, and charged. 22: curl had an answer, a refusal; 6 and 7: it reached nobody.
submit() { curl -sS --fail-with-body --max-time "$limit" -H @<(key) -H 'Content-Type: application/json' --data-binary @- "$base$1"; }
unsent() {
  case "$1" in
    22) stop "It was refused: $2" ;;
    6 | 7) stop "$base does not answer." ;;
    *) stop "No whole answer came. It may have been taken, and charged: look there before you run this again." ;;
  esac
}
fetch() { curl -sSL --fail --retry 3 --max-time 60 --max-filesize 50331648 -o "$out.part" "$1" && mv "$out.part" "$out"; }
pause() { ((SECONDS < limit)) || stop "It took longer than $limit s. It may still be drawn, and charged."; sleep 1; }
found() { jq -er "$1" <<<"$2" || stop "The provider says that all went well, but the answer lacks $1: $2"; }"""
_ASK = """\
own="${base#*://}"
own="${own%%%%[/:]*}"
# The key goes to the provider's own hosts alone.
ask() {
  local answer
  [[ "$1" =~ ^(https?)://([A-Za-z0-9.-]+)(:[0-9]+)?/ ]] || stop "The answer leads to $1"
  case "${BASH_REMATCH[1]}://${BASH_REMATCH[2]}" in
    "http://$own" | "https://$own"%s) ;;
    *) stop "The answer leads to ${BASH_REMATCH[2]}, which is not the provider's: the key is not sent there." ;;
  esac
  answer="$(curl -sS --fail-with-body --retry 5 --max-time 60 -H @<(key) "$1")" || stop "$answer"
  printf '%%s' "$answer"
}"""
_STEPS = {
    "fal": """\
echo "fal took it as request $(found .request_id "$told")" >&2
status_url="$(found .status_url "$told")"
response_url="$(found .response_url "$told")"
while :; do
  state="$(ask "$status_url")"
  [ "$(jq -r .status <<<"$state")" != COMPLETED ] || break
  pause
done
[ -z "$(jq -r '.error // empty' <<<"$state")" ] || stop "fal could not draw it: $state"
answer="$(ask "$response_url")"
[ "$(jq '[.has_nsfw_concepts[]?] | any' <<<"$answer")" = false ] || stop "fal's safety checker refused the picture."
url="$(found '.images[0].url' "$answer")"
fetch "$url\"""",
    "replicate": """\
echo "Replicate took it as prediction $(found .id "$told")" >&2
get_url="$(found .urls.get "$told")"
state="$told"
while :; do
  case "$(jq -r .status <<<"$state")" in
    succeeded) break ;;
    failed | canceled | aborted) stop "Replicate could not draw it: $(jq -c '{status, error}' <<<"$state")" ;;
  esac
  pause
  state="$(ask "$get_url")"
done
url="$(found '.output | if type == "array" then .[0] else . end' "$state")"
fetch "$url\"""",
    "bfl": """\
echo "Black Forest Labs took it as $(found .id "$told")" >&2
polling_url="$(found .polling_url "$told")"
while :; do
  state="$(ask "$polling_url")"
  case "$(jq -r .status <<<"$state")" in
    Ready) break ;;
    Error | Failed | *Moderated | "Task not found") stop "Black Forest Labs did not draw it: $state" ;;
  esac
  pause
done
url="$(found .result.sample "$state")"
fetch "$url\"""",
    "at_once": """\
if picture="$(jq -er '.data[0].b64_json // empty' <<<"$told")"; then
  base64 -d <<<"$picture" >"$out"
else
  url="$(found '.data[0].url' "$told")"
  fetch "$url"
fi""",
}


def curl_request(order: Order) -> tuple[str, tuple[Shown, ...]]:
    """A bash script of curl and jq that sends it, and the files beside it: the body, where it carries pictures."""
    recipe, provider = order.recipe, order.provider
    speaks, variable, optional = _SPEAKS[provider.engine], provider.keys[0], provider.enabled_without_key
    header, value = _HEADERS[provider.engine]
    body = json.dumps(_closed_body(order), indent=2, ensure_ascii=False)
    beside = (Shown(f"{recipe.name}.body.json", body.encode()),) if order.pictures else ()
    read = ['here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"', f'body="$(cat "$here"/{shlex.quote(beside[0].name)})"'] if beside else [
        "IFS= read -r -d '' body <<'BODY' || true", body, "BODY",
    ]  # fmt: skip
    patterns = "".join(f" | https://{host}" for host in provider.hosts.api)
    lines = [
        "#!/usr/bin/env bash",
        f"# Draws one picture: {_about(order)}",
        f"#     export {variable}=..." + ("  # where it wants one" if optional else ""),
        f"#     bash {recipe.name}.sh [where to put the picture]",
        "# Needs bash, curl 7.76 or later, and jq. BASE_URL: another address that speaks the same; TIMEOUT: seconds for all of it (300).",
        *([f"# Its terms: {provider.terms}"] if provider.terms else []),
        f"# {one_line(recipe.about)}",
        "# What comes out otherwise than in the studio:",
        *(f"# - {one_line(note)}" for note in order.notes),
        *(["# - What the studio does to the picture in the end is left out."] if recipe.post else []),
        "set -euo pipefail",
        f': "${{{variable}:=}}"' if optional else f': "${{{variable}:?Set it to your key first.}}"',
        'base="${BASE_URL:-}" out="${1:-}" limit="${TIMEOUT:-300}"',
        f'[ -n "$base" ] || base={shlex.quote(provider.base_url)}',
        f'[ -n "$out" ] || out={shlex.quote(f"{recipe.name}.png")}',
        "",
        "# Through a pipe: what stands in a command line can be read by everybody on the machine.",
        f"key() {{ [ -z \"${variable}\" ] || printf '{header}: {value.format(key='%s')}' \"${variable}\"; }}",
        _TOOLS,
        *([] if speaks == "at_once" else [_ASK % patterns]),
        "",
        *read,
        f'told="$(submit {shlex.quote(order.path)} <<<"$body")" || unsent "$?" "$told"',
        _STEPS[speaks],
        'echo "$out"',
    ]
    return "\n".join(lines) + "\n", beside


def _closed_body(order: Order) -> Any:
    """The body as it is sent, with the recipe's values in its prompts."""

    def put(value: Any, name: str = "") -> Any:
        if isinstance(value, Mapping):
            return {key: put(one, key) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [put(one) for one in value]
        return closed(order.recipe, value) if name in ("prompt", "negative_prompt") else value

    return put(order.body)
