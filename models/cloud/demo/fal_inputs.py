"""What fal's models take, and what they say, in pydantic's words, of what they do not."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from models.cloud.demo import pictures
from models.cloud.demo.jobs import Order

SIZES = {
    "square_hd": (1024, 1024), "square": (512, 512), "portrait_4_3": (768, 1024), "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768), "landscape_16_9": (1024, 576),
}  # fmt: skip
RATIOS = {
    "21:9": (1568, 672), "16:9": (1392, 752), "4:3": (1184, 880), "3:2": (1248, 832), "1:1": (1024, 1024), "2:3": (832, 1248),
    "3:4": (880, 1184), "9:16": (752, 1392), "9:21": (672, 1568),
}  # fmt: skip
COMMON = {"prompt", "seed", "num_images", "output_format", "enable_safety_checker", "sync_mode", "acceleration"}
STEPPED = COMMON | {"num_inference_steps", "guidance_scale"}
LONGEST_SIDE, SHORTEST_SIDE = 14142, 64
MOST_IMAGES = 4


@dataclass
class Inputs:
    """A body, read for `model`; `wrong` fills with what is not as it should be. stored: what lies at an address of fal's own."""

    model: str
    body: Mapping[str, Any]
    default_steps: int
    some_seed: int
    stored: Callable[[str], bytes | None]
    wrong: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kontext(self) -> bool:
        return "kontext" in self.model

    @property
    def from_picture(self) -> bool:
        return "image-to-image" in self.model

    @property
    def takes_loras(self) -> bool:
        return "lora" in self.model

    def known(self) -> set[str]:
        """The fields that the model has; what else a body holds is passed over, as fal does."""
        if self.kontext:
            fields = STEPPED | {"aspect_ratio", "safety_tolerance", "image_url", "resolution_mode"}
        elif self.from_picture:
            fields = STEPPED | {"image_url", "strength"}
        else:
            fields = STEPPED | {"image_size"} | ({"image_urls"} if self.model.endswith("/edit") else set())
        return fields | ({"loras"} if self.takes_loras else set())

    def order(self) -> Order:
        prompt = self.body.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            self._complain(["prompt"], "Field required", "missing", {})
            prompt = ""
        width, height = self._size()
        shown = self._pictures()
        if self.from_picture and shown:
            width, height = pictures.check(shown[0])
        for index, lora in enumerate(self.body.get("loras") or [] if self.takes_loras else []):
            if urlsplit(lora.get("path", "")).scheme not in ("http", "https"):
                self._complain(["loras", index, "path"], "Could not load the LoRA", "value_error", lora)
        steps = self._number("num_inference_steps", self.default_steps, 1, 12 if "schnell" in self.model else 50)
        seed = self._number("seed", self.some_seed, 0, 2**64)
        count = self._number("num_images", 1, 1, MOST_IMAGES)
        format = self.body.get("output_format", "jpeg")
        if format not in ("jpeg", "png"):
            self._complain(["output_format"], "Input should be 'jpeg' or 'png'", "literal_error", format)
            format = "jpeg"
        return Order(self.model, prompt, width, height, steps, seed, count, format, len(shown))

    def _complain(self, where: list[str | int], message: str, kind: str, value: object, **context: object) -> None:
        self.wrong.append({"loc": ["body", *where], "msg": message, "type": kind, "input": value, "ctx": context})

    def _number(self, name: str, otherwise: int, low: int, high: int) -> int:
        value = self.body.get(name)
        if value is None:
            return otherwise
        if isinstance(value, int) and low <= value <= high:
            return value
        self._complain([name], f"Input should be between {low} and {high}", "value_error", value, ge=low, le=high)
        return otherwise

    def _size(self) -> tuple[int, int]:
        if self.kontext:
            return RATIOS.get(self.body.get("aspect_ratio") or "1:1", RATIOS["1:1"])
        size = self.body.get("image_size") or "landscape_4_3"
        if isinstance(size, str) and size in SIZES:
            return SIZES[size]
        sides = (size.get("width", 512), size.get("height", 512)) if isinstance(size, dict) else (0, 0)
        if all(isinstance(side, int) and SHORTEST_SIDE <= side <= LONGEST_SIDE for side in sides):
            return sides
        self._complain(["image_size"], "Width and height are out of range", "value_error", size)
        return SIZES["square"]

    def _pictures(self) -> list[bytes]:
        """What it is shown, whole."""
        several = self.model.endswith("/edit")
        name = "image_urls" if several else "image_url"
        urls = self.body.get(name) or []
        urls = [urls] if isinstance(urls, str) else urls
        if not urls and (several or self.from_picture or (self.kontext and "text-to-image" not in self.model)):
            self._complain([name], "Field required", "missing", {})
        found = []
        for url in urls if name in self.known() else []:
            try:
                data = self.stored(url) or pictures.read_data_uri(url)
                pictures.check(data)
                found.append(data)
            except ValueError as error:
                words = f"Failed to load the image. Please ensure the image is not corrupted: {error}"
                self._complain([name], words, "image_load_error", url[:80])
        return found
