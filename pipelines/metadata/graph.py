"""ComfyUI's two ways to write a graph down, read into one: nodes by id, each with its class and its inputs.

`prompt` is what was run: {"3": {"class_type": "KSampler", "inputs": {"seed": 5, "model": ["4", 0], ...}}}; a pair [id, slot] is a link.
`workflow` is the editor's: nodes with positions, links apart, and widgets' values without their names.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

NODE_LIMIT = 5000
WALK_LIMIT = 20_000  # links followed in one walk
MUTED, BYPASSED = 2, 4
VALUE_KEYS = ("value", "seed", "noise_seed", "int", "float", "string", "text", "Text")

# The widgets of nodes in the order in which an editor saves their values; newer editors write the names down themselves.
CONTROL = "control_after_generate"
WIDGETS: dict[str, tuple[str, ...]] = {
    "KSampler": ("seed", CONTROL, "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": ("add_noise", "noise_seed", CONTROL, "steps", "cfg", "sampler_name", "scheduler", "start_at_step", "end_at_step"),
    "SamplerCustom": ("add_noise", "noise_seed", CONTROL, "cfg"),
    "RandomNoise": ("noise_seed", CONTROL),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "Flux2Scheduler": ("steps", "width", "height"),
    "CFGGuider": ("cfg",),
    "FluxGuidance": ("guidance",),
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl", "guidance"),
    "CLIPTextEncodeSDXL": ("width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g", "text_l"),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "EmptyFlux2LatentImage": ("width", "height", "batch_size"),
    "ModelSamplingFlux": ("max_shift", "base_shift", "width", "height"),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "UnetLoaderGGUF": ("unet_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "LoadImage": ("image", "upload"),
    "PrimitiveNode": ("value", CONTROL),
    "PrimitiveInt": ("value", CONTROL),
    "PrimitiveFloat": ("value",),
    "PrimitiveString": ("value",),
    "PrimitiveStringMultiline": ("value",),
}


@dataclass(frozen=True)
class Link:
    """An input that comes from output `slot` of another node."""

    node: str
    slot: int


@dataclass(frozen=True)
class Node:
    id: str
    kind: str
    inputs: Mapping[str, Any]  # literals, or Link

    def links(self) -> Iterator[tuple[str, Link]]:
        return ((name, value) for name, value in self.inputs.items() if isinstance(value, Link))


@dataclass(frozen=True)
class Graph:
    nodes: Mapping[str, Node] = field(default_factory=dict)

    def at(self, value: object) -> Node | None:
        """The node that a link comes from; None for a literal, or a link into nowhere."""
        return self.nodes.get(value.node) if isinstance(value, Link) else None

    def above(self, *starts: object, through: tuple[str, ...] = ()) -> Iterator[Node]:
        """The nodes upstream of links, nearest first, each once. through: names of the inputs followed; all when empty."""
        waiting, seen = deque(starts), set[str]()
        for _ in range(WALK_LIMIT):
            node = self.at(waiting.popleft()) if waiting else None
            if node is None or node.id in seen:
                if not waiting:
                    return
                continue
            seen.add(node.id)
            yield node
            waiting += [link for name, link in node.links() if not through or name in through]

    def literal(self, value: object, *kinds: type) -> Any:
        """A value of one of `kinds`, also where a primitive node gives it; None when it cannot be known without running the graph."""
        for _ in range(20):
            if not isinstance(value, Link):
                return value if isinstance(value, kinds) and not isinstance(value, bool) else None
            node = self.at(value)
            if node is None:
                return None
            named = [node.inputs[name] for name in VALUE_KEYS if name in node.inputs]
            fitting = [one for one in node.inputs.values() if isinstance(one, kinds) and not isinstance(one, bool)]
            # A node with several literals computes something from them; guessing which one would be making it up.
            value = named[0] if named else fitting[0] if len(fitting) == 1 else None
        return None


def of_prompt(data: object) -> Graph:
    """The graph of a `prompt`; empty when it is none."""
    if not isinstance(data, dict) or len(data) > NODE_LIMIT:
        return Graph()
    nodes = {}
    for name, entry in data.items():
        if isinstance(entry, dict) and isinstance(entry.get("class_type"), str) and isinstance(entry.get("inputs"), dict):
            inputs = {key: _link_of(value) for key, value in entry["inputs"].items()}
            nodes[name] = Node(name, entry["class_type"][:200], inputs)
    return Graph(nodes)


def _link_of(value: object) -> object:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and isinstance(value[1], int):
        return Link(str(value[0]), value[1])
    return value


def of_workflow(data: object) -> Graph:
    """The graph of a `workflow`; empty when it is none. Muted nodes are left out, bypassed ones and reroutes are passed through."""
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list) or len(data["nodes"]) > NODE_LIMIT:
        return Graph()
    entries = {str(entry["id"]): entry for entry in data["nodes"] if isinstance(entry, dict) and isinstance(entry.get("id"), int | str)}
    sources = _sources(data.get("links"))
    nodes = {}
    for name, entry in entries.items():
        if entry.get("mode") in (MUTED, BYPASSED) or not isinstance(entry.get("type"), str):
            continue
        inputs: dict[str, Any] = _widget_values(entry)
        for slot in _slots(entry):
            link = _followed(sources.get(_key(slot.get("link"))), entries, sources)
            if link is not None:
                inputs[str(slot.get("name"))[:200]] = link
        nodes[name] = Node(name, entry["type"][:200], inputs)
    return Graph(nodes)


def _sources(links: object) -> dict[object, Link]:
    """Where each link comes from, by its id. A link is [id, from node, from slot, to node, to slot, type], or an object of the same."""
    found: dict[object, Link] = {}
    for entry in links[: 4 * NODE_LIMIT] if isinstance(links, list) else []:
        if isinstance(entry, dict):
            entry = [entry.get("id"), entry.get("origin_id"), entry.get("origin_slot")]
        if isinstance(entry, list) and len(entry) >= 3 and isinstance(entry[2], int):
            found[_key(entry[0])] = Link(str(entry[1]), entry[2])
    return found


def _key(value: object) -> object:
    return value if isinstance(value, int | str) else None


def _slots(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    slots = entry.get("inputs")
    return [slot for slot in slots[:500] if isinstance(slot, dict)] if isinstance(slots, list) else []


def _followed(link: Link | None, entries: Mapping[str, Any], sources: Mapping[object, Link]) -> Link | None:
    """The link past reroutes and bypassed nodes, which hand on their first input of the same type."""
    for _ in range(100):
        entry = entries.get(link.node) if link else None
        if link is None or entry is None or entry.get("mode") == MUTED:
            return None
        if entry.get("type") != "Reroute" and entry.get("mode") != BYPASSED:
            return link
        outputs = entry.get("outputs")
        output = outputs[link.slot] if isinstance(outputs, list) and 0 <= link.slot < len(outputs) else None
        wanted = output.get("type") if isinstance(output, dict) and entry.get("mode") == BYPASSED else None
        link = next((sources.get(_key(slot.get("link"))) for slot in _slots(entry) if wanted is None or slot.get("type") == wanted), None)
    return None


def _widget_values(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The values typed into a node, by name."""
    values = entry.get("widgets_values")
    if isinstance(values, dict):
        return {str(name)[:200]: value for name, value in values.items()}
    if not isinstance(values, list):
        return {}
    names = WIDGETS.get(str(entry.get("type")))
    if names is None:
        slots = [slot["widget"] for slot in _slots(entry) if isinstance(slot.get("widget"), dict)]
        named = [str(widget.get("name"))[:200] for widget in slots]
        # A seed's widget is followed by what happens to it after a run, which is no input.
        names = tuple(name for one in named for name in ((one, CONTROL) if one in ("seed", "noise_seed") else (one,)))
    return dict(zip(names, values, strict=False)) if names else {f"widget_{place}": value for place, value in enumerate(values[:50])}
