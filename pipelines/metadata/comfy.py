"""ComfyUI: the graph that was run, walked from the node that samples to the model, the words, the noise and the size.

Format: PNG texts `prompt` and `workflow` (ComfyUI, nodes.py, SaveImage); in WebP the EXIF tags Model and Make hold "prompt:{...}" and
"workflow:{...}".
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.metadata.found import PROMPT_LIMIT, Found, Taking, json_of
from pipelines.metadata.graph import Graph, Link, Node, of_prompt, of_workflow

MODEL_KEYS = ("unet_name", "ckpt_name", "model_name", "model_path", "gguf_name", "base_ckpt_name")
TEXT_KEYS = ("t5xxl", "text", "text_g", "prompt", "string", "positive", "value")
POSITIVE = ("positive", "conditioning", "cond1", "conditioning_1", "conditioning_to", "base_positive")
NEGATIVE = ("negative", "cond2")
TEXTS_LIMIT = 300
LATENTS = ("latent_image", "latent", "samples", "pixels", "image", "images")


def read(texts: Mapping[str, str]) -> Found | None:
    """The settings of the first of a PNG's two graphs that has a sampler; None when neither does."""
    for graph in (of_prompt(json_of(texts.get("prompt", ""))), of_workflow(json_of(texts.get("workflow", "")))):
        samplers = _samplers(graph)
        if samplers:
            return _Walk(graph, samplers).found()
    return None


def _samplers(graph: Graph) -> list[Node]:
    """The samplers in the order in which they run: the first drew the picture, those after it went over it again."""
    outputs = [node for node in graph.nodes.values() if "Save" in node.kind or "Preview" in node.kind]
    ends = [link for node in outputs for _, link in node.links()]
    last = next((node for node in graph.above(*ends) if _is_sampler(node)), None)
    last = last or next((node for node in graph.nodes.values() if _is_sampler(node)), None)
    if last is None:
        return []
    chain = [last]
    while len(chain) < 20:
        link = chain[0].inputs.get("latent_image")
        before = next((node for node in graph.above(link, through=LATENTS) if _is_sampler(node) and node not in chain), None)
        if before is None:
            return chain
        chain.insert(0, before)
    return chain


def _is_sampler(node: Node) -> bool:
    names = node.inputs.keys()
    return ("KSampler" in node.kind and "steps" in names) or ({"sigmas", "sampler"} <= names and bool({"guider", "cfg"} & names))


class _Walk:
    """One reading of a graph, from its first sampler."""

    def __init__(self, graph: Graph, samplers: list[Node]) -> None:
        self.graph, self.sampler, self.again = graph, samplers[0], samplers[1:]
        self.taking = Taking("ComfyUI")
        self.left = TEXTS_LIMIT

    def found(self) -> Found | None:
        inputs = self.sampler.inputs
        guider = self.graph.at(inputs.get("guider"))
        words = guider.inputs if guider else inputs
        self._noise(inputs)
        self._schedule(inputs)
        self._words(words)
        self._number("cfg", words.get("cfg"), 0, 1000)
        self._model(words.get("model", inputs.get("model")))
        self._latent(inputs.get("latent_image"))
        for node in self.again:
            self.taking.skip("second pass", f"{node.kind}, node {node.id}", "Going over a picture again belongs to promotion here.")
        return self.taking.found()

    def _number(self, name: str, value: object, low: float, high: float) -> None:
        known = self.graph.literal(value, int, float)
        if known is None and isinstance(value, Link):
            self.taking.skip(name, f"node {value.node}", "The graph computes it while it runs.")
        self.taking.real(name, known, low, high)

    def _whole(self, name: str, value: object, low: int, high: int = 2**63 - 1) -> None:
        known = self.graph.literal(value, int, float)
        if known is None and isinstance(value, Link):
            self.taking.skip(name, f"node {value.node}", "The graph computes it while it runs.")
        self.taking.whole(name, known, low, high)

    def _noise(self, inputs: Mapping[str, Any]) -> None:
        noise = self.graph.at(inputs.get("noise"))
        source = noise.inputs if noise else inputs
        self._whole("seed", source.get("noise_seed", source.get("seed")), 0)

    def _schedule(self, inputs: Mapping[str, Any]) -> None:
        """Steps, sampler, scheduler and strength: on a KSampler itself, on nodes of their own for the custom samplers."""
        chooser = self.graph.at(inputs.get("sampler"))
        self.taking.name("sampler", self.graph.literal((chooser.inputs if chooser else inputs).get("sampler_name"), str))
        sigmas = next((node for node in self.graph.above(inputs.get("sigmas"), through=("sigmas",)) if "steps" in node.inputs), None)
        source = sigmas.inputs if sigmas else inputs
        self._whole("steps", source.get("steps"), 1, 10_000)
        scheduler = self.graph.literal(source.get("scheduler"), str)
        self.taking.name("scheduler", scheduler or (sigmas.kind if sigmas else None))
        denoise = self.graph.literal(source.get("denoise"), int, float)
        if denoise is not None and denoise != 1:
            self.taking.real("strength", denoise, 0, 1)
        first = self.graph.literal(inputs.get("start_at_step"), int)
        if first:
            self.taking.skip("start_at_step", first, "Every picture here begins at its first step.")

    def _words(self, inputs: Mapping[str, Any]) -> None:
        positive = inputs.get("positive", inputs.get("conditioning", inputs.get("cond1")))
        self.taking.prompt(self._text(positive, POSITIVE))
        self.taking.text("negative", self._text(inputs.get("negative"), NEGATIVE + POSITIVE[1:]))
        for node in self.graph.above(positive, through=POSITIVE):
            if "guidance" in node.inputs:
                self._number("guidance", node.inputs["guidance"], 0, 1000)
            elif "ControlNet" in node.kind or "ReferenceLatent" in node.kind:
                drop = "The reference picture is not in the file; drop it too."
                self.taking.skip(node.kind, f"node {node.id}", drop if "Reference" in node.kind else "There is no ControlNet here.")

    def _text(self, link: object, through: tuple[str, ...]) -> str | None:
        """The words that a conditioning was made from; several are joined, as ComfyUI's combine does. None when there are none."""
        found: list[str] = []
        for node in self.graph.above(link, through=through):
            if "ZeroOut" in node.kind:
                return None
            typed = next((node.inputs[name] for name in TEXT_KEYS if name in node.inputs), None)
            text = self._joined(typed)
            if text and text not in found:
                found.append(text)
        return ", ".join(found) or None

    def _joined(self, value: object) -> str | None:
        """Text, also where nodes hold it or join it from parts."""
        # Joins of joins double with each level, so what may be looked at is counted over the whole file.
        self.left -= 1
        if self.left < 0:
            return None
        node = self.graph.at(value)
        if node is None:
            return value[:PROMPT_LIMIT] if isinstance(value, str) else None
        if "string_a" in node.inputs:
            delimiter = node.inputs.get("delimiter")
            parts = [self._joined(node.inputs.get(name)) for name in ("string_a", "string_b")]
            return (delimiter if isinstance(delimiter, str) else "").join(part for part in parts if part)
        inner = next((node.inputs[name] for name in TEXT_KEYS if name in node.inputs), None)
        if inner is None:
            inner = next((one for one in node.inputs.values() if isinstance(one, str)), None)
        return self._joined(inner)

    def _model(self, link: object) -> None:
        for node in self.graph.above(link, through=("model", "unet", "diffusion_model")):
            name = self.graph.literal(node.inputs.get("lora_name"), str)
            if name:
                self.taking.lora(name, self.graph.literal(node.inputs.get("strength_model"), int, float))
            # rgthree's Power Lora Loader: an object a line, each with its switch.
            for entry in node.inputs.values():
                if isinstance(entry, dict) and isinstance(entry.get("lora"), str) and entry.get("on", True) is True:
                    self.taking.lora(entry["lora"], entry.get("strength", 1.0))
            model = next((node.inputs[key] for key in MODEL_KEYS if key in node.inputs), None)
            if model is not None:
                self.taking.name("model", self.graph.literal(model, str))
                return
            if "max_shift" in node.inputs:
                self.taking.skip("ModelSamplingFlux", f"max_shift {node.inputs['max_shift']}", "The model's own shift is used here.")

    def _latent(self, link: object) -> None:
        for node in self.graph.above(link, through=LATENTS):
            if "width" in node.inputs and "height" in node.inputs and "width" not in self.taking.settings:
                sides = [self.graph.literal(node.inputs[name], int, float) for name in ("width", "height")]
                self.taking.size(*sides)
            if "LoadImage" in node.kind:
                self.taking.skip("start picture", node.inputs.get("image"), "It is not in the file; drop it too.")
