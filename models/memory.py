"""Where a model's parts live on a machine: one pure function from a card and a machine to a plan.

A plan is the first of a short list of modes, best first, that fits with room for a decent batch; only the last mode may get by with
less. So more memory never gives a worse precision, a slower placement or a smaller batch. `docs/memory.md` is made from it:
`python -m models.memory > docs/memory.md`.

8-bit weights are stored as float8 (e4m3) and computed at 16 bits: diffusers' layerwise casting, which needs no further package.
"""
from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from models.cards import Catalogue, ModelCard
from models.presets import load_catalogue

GIB = 2**30
Precision = Literal["fp32", "bf16", "fp8"]
Encoders = Literal["kept", "swapped", "dropped"]

SMALL = 1.0  # Billions of parameters up to which a model runs at 32 bits everywhere: the same picture on every device.
ROOM = 2.2  # Megapixels a mode must be able to denoise at once: two pictures of 1024 x 1024.
MOST = {"cuda": 8.8, "mps": 2.2, "cpu": 2.2}  # Megapixels beyond which a larger batch gains nothing.
LARGEST = 1.1  # Megapixels of the largest picture drawn in one piece.
OVERHEAD = 0.4  # GiB: the scheduler, embeddings, fragmentation.
STREAM = 1.5  # GiB: the blocks under way while weights are streamed.
BYTES = {"fp32": 4.0, "bf16": 2.0, "fp8": 1.05}  # A parameter; embedders and output layers stay at 16 bits.
TEXT_BYTES = BYTES | {"fp8": 1.3}  # So do word embeddings and a part of T5.


@dataclass(frozen=True)
class Machine:
    """The device that draws. kind: "cuda", "mps" or "cpu". gib: memory of the device in GiB (for mps and cpu the machine's own).
    ram: memory of the machine in GiB. cores: processor cores. low: models take no more than a device of the next smaller class has,
    for what else runs on it."""

    kind: Literal["cuda", "mps", "cpu"]
    name: str
    gib: float
    ram: float
    cores: int = 1
    low: bool = False

    @property
    def usable(self) -> float:
        """GiB a model may take: the rest belongs to the driver, the screen, and (mps, cpu) everything else that runs."""
        gib = smaller(self.gib) if self.low else self.gib
        share = gib * 0.95 - 0.4 if self.kind == "cuda" else gib * 0.75
        return max(0.0, share)

    @property
    def words(self) -> str:
        if self.kind == "cpu":
            return f"CPU, {self.cores} {'core' if self.cores == 1 else 'cores'}"
        return f"{self.name}, {self.gib:.0f} GB{', low memory' if self.low else ''}"


CLASSES = (4, 6, 8, 12, 16, 24, 32, 48, 80, 141)  # GiB that devices are sold with; they report up to a tenth less


def smaller(gib: float) -> float:
    """The class below that of a device: 23.6 GiB is sold as 24, and the class below has 16."""
    own = next((size for size in CLASSES if gib <= size <= gib * 1.1), gib)
    below = [size for size in CLASSES if size < own]
    return float(below[-1]) if below else gib / 2


@dataclass(frozen=True)
class MemoryPlan:
    """What is kept where while a card draws.

    precision: of the transformer; text: of the text encoders. encoders: "kept" on the device, "swapped" (in the machine's memory,
    moved to the device for a new prompt, the transformer making room), "dropped" (read from disk again for a new prompt).
    streamed: weights are sent to the device block by block in every step. megapixels: how much is denoised at once.
    resident, working: GiB of weights on the device while pictures are drawn, and of everything on top of them. reading: GiB of weights
    on the device while a prompt is encoded. host: GiB in the machine's memory besides.
    fits: False where even the last mode is too large; an engine then refuses, and `words` says what is missing.
    """

    card: str
    device: str
    precision: Precision
    text: Precision
    encoders: Encoders
    streamed: bool
    megapixels: float
    vae_tiling: bool
    resident: float
    reading: float
    working: float
    host: float
    fits: bool
    words: str

    @property
    def quantisation(self) -> str:
        """"" or "fp8"."""
        return "fp8" if self.precision == "fp8" else ""

    @property
    def offload(self) -> str:
        """ "none", "encoders" or "streamed"."""
        return "streamed" if self.streamed else "none" if self.encoders == "kept" else "encoders"

    @property
    def evict(self) -> bool:
        """Whether the text encoders leave the device after encoding."""
        return self.encoders != "kept"

    def batch(self, width: int, height: int) -> int:
        """Pictures of this size (pixels) that are denoised at once: at least 1."""
        return max(1, math.floor(self.megapixels * 1e6 / (width * height)))


@dataclass(frozen=True)
class _Mode:
    precision: Precision
    text: Precision
    encoders: Encoders = "kept"
    streamed: bool = False


_CUDA = (
    _Mode("bf16", "bf16"),
    _Mode("bf16", "bf16", "swapped"),
    _Mode("fp8", "bf16"),
    _Mode("fp8", "fp8", "swapped"),
    _Mode("fp8", "fp8", "swapped", streamed=True),
)
# GGUF stays as it is in the file: it is not stored anew in 8 bits, nor streamed.
_GGUF = (_Mode("bf16", "bf16"), _Mode("bf16", "bf16", "swapped"), _Mode("bf16", "fp8", "swapped"))
_OTHER = (_Mode("bf16", "bf16"), _Mode("bf16", "bf16", "dropped"))
_SMALL = (_Mode("fp32", "fp32"),)


def plan(card: ModelCard, machine: Machine, gguf: float | None = None) -> MemoryPlan:
    """The best mode in which `card` fits on `machine`. Pure: the same answer for the same arguments, nothing is probed.

    gguf: what the transformer weighs in GiB where it is quantised in its file already.
    """
    cuda = _CUDA if gguf is None else _GGUF
    modes = _SMALL if card.parameters.total <= SMALL else cuda if machine.kind == "cuda" else _OTHER
    plans = [_weigh(card, machine, mode, mode is modes[-1], gguf) for mode in modes]
    if machine.low and not any(found.fits for found in plans):
        # The class below holds no mode of this card: then the most sparing one that this machine itself holds.
        whole = [_weigh(card, replace(machine, low=False), mode, mode is modes[-1], gguf) for mode in modes]
        plans = [found for found in reversed(whole) if found.fits] or plans
    return next((found for found in plans if found.fits), plans[-1])


def _weigh(card: ModelCard, machine: Machine, mode: _Mode, last: bool, gguf: float | None) -> MemoryPlan:
    transformer = card.parameters.transformer * 1e9 * BYTES[mode.precision] / GIB if gguf is None else gguf
    text = card.parameters.text * 1e9 * TEXT_BYTES[mode.text] / GIB
    vae = card.parameters.vae * 1e9 * (4 if mode.precision == "fp32" else 2) / GIB
    if mode.streamed:
        resident, host = STREAM + vae, transformer + text
    elif mode.encoders == "kept":
        resident, host = transformer + text + vae, 0.0
    else:
        # Encoders and transformer take turns: while one is at work the other is in the machine's memory or on the disk.
        resident = transformer + vae
        host = transformer + text if mode.encoders == "swapped" else 0.0
    scale = 2.0 if mode.precision == "fp32" else 1.0
    room = machine.usable - resident - OVERHEAD
    denoise = card.working.denoise * scale
    # Only where everything is resident may the batch grow beyond what every mode has to offer: a better mode never means a smaller one.
    most = MOST[machine.kind] if mode.encoders == "kept" and mode.precision != "fp8" else ROOM
    megapixels = min(most, max(0.0, room / denoise))
    tiling = room < card.working.decode * scale * LARGEST
    decode = card.working.decode_tile * scale if tiling else card.working.decode * scale * LARGEST
    least = LARGEST if last else ROOM
    reading = STREAM if mode.streamed else text
    fits = megapixels >= least and room >= decode and reading + OVERHEAD <= machine.usable and host <= machine.ram * 0.8
    working = OVERHEAD + max(denoise * max(megapixels, LARGEST), decode)
    found = MemoryPlan(
        card.name, machine.kind, mode.precision, mode.text, mode.encoders, mode.streamed,
        max(megapixels, LARGEST), tiling, resident, reading, working, host, fits, "",
    )  # fmt: skip
    return _with_words(found, card, machine, gguf is not None)


def _with_words(found: MemoryPlan, card: ModelCard, machine: Machine, gguf: bool) -> MemoryPlan:
    if not found.fits:
        lack = f"needs {max(found.resident + found.working, found.reading + OVERHEAD):.0f} GB on the device"
        if found.host > machine.ram * 0.8:
            lack += f" and {found.host / 0.8:.0f} GB of main memory"
        return replace(found, words=f"{card.title} does not fit on {machine.words}: it {lack}.")
    bits = {"fp32": "32 bits", "bf16": "16 bits", "fp8": "8-bit weights"}[found.precision]
    bits = "GGUF computed at 16 bits" if gguf else bits
    how = "streamed block by block" if found.streamed else f"text encoders {found.encoders}"
    return replace(found, words=f"{bits}, {how}, {found.batch(1024, 1024)} at a time at 1024 x 1024")


def choose_family(catalogue: Catalogue, machine: Machine, found: Collection[str]) -> str:
    """The family to start with: one whose weights are all on disk (`found`: names of cards) and that fits on a GPU, those that need
    no licence accepted first; otherwise the embedded family."""
    able = []
    for family in catalogue.families.values():
        cards = [catalogue.card(tier.card) for tier in family.tiers.values()]
        if any(card.embedded for card in cards) or machine.kind == "cpu":
            continue
        if all(card.name in found and plan(card, machine).fits for card in cards):
            able.append((any(card.licence.accept for card in cards), family.name))
    shipped = (f.name for f in catalogue.families.values() if all(catalogue.card(t.card).embedded for t in f.tiers.values()))
    return min(able)[1] if able else next(shipped)


EXAMPLES = (
    Machine("cpu", "CPU", 16, 16, 8),
    Machine("cpu", "CPU", 64, 64, 16),
    Machine("mps", "Apple", 32, 32, 10),
    Machine("cuda", "GPU", 8, 32, 8),
    Machine("cuda", "GPU", 12, 32, 8),
    Machine("cuda", "GPU", 16, 32, 8),
    Machine("cuda", "GPU", 24, 64, 8),
    Machine("cuda", "GPU", 80, 128, 16),
)


def table(catalogue: Catalogue, machines: tuple[Machine, ...] = EXAMPLES) -> str:
    """The document `docs/memory.md`."""
    lines = [
        "# What runs where",
        "",
        "Made by `python -m models.memory` from the function that plans memory; a test holds the two equal. These are estimates from",
        "the sizes of the parts, to be corrected by what a machine really does: a batch that does not fit is halved.",
        "",
        "Each cell: precision of the transformer; where the text encoders are while pictures are drawn; GB on the device (weights + work);",
        "pictures at once at 512 x 512 and 1024 x 1024.",
        "",
        "- **32 / 16**: bits. **8**: float8 weights, computed at 16 bits.",
        "- **kept**: text encoders stay on the device. **swapped**: they take turns with the transformer, only for a new prompt.",
        "  **dropped**: read from disk again for a new prompt. **streamed**: weights go to the device block by block in every step.",
        "- A dash: it does not fit.",
        "",
        "| model | " + " | ".join(_title(machine) for machine in machines) + " |",
        "|---" * (len(machines) + 1) + "|",
    ]
    for card in sorted(catalogue.cards.values(), key=lambda card: card.parameters.total):
        lines.append(f"| {card.title} | " + " | ".join(_cell(plan(card, machine)) for machine in machines) + " |")
    return "\n".join(lines) + "\n"


def _title(machine: Machine) -> str:
    if machine.kind == "cuda":
        return f"GPU {machine.gib:g} GB (RAM {machine.ram:g})"
    return f"{'Apple' if machine.kind == 'mps' else 'CPU'} {machine.gib:g} GB"


def _cell(found: MemoryPlan) -> str:
    if not found.fits:
        return "-"
    bits = {"fp32": "32", "bf16": "16", "fp8": "8"}[found.precision]
    where = "streamed" if found.streamed else found.encoders
    size = f"{found.resident:.1f} + {found.working:.1f}" if found.resident >= 1 else f"{found.resident + found.working:.1f}"
    return f"{bits}, {where}, {size} GB, {found.batch(512, 512)} / {found.batch(1024, 1024)}"


if __name__ == "__main__":
    print(table(load_catalogue()), end="")
