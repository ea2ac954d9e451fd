"""What the studio costs: `python -m benchmarks.overhead [--quick]`.

A standard batch through the studio (queue, worker, previews, PNG, database; scoring left out) over the same batch through bare
FluxPipeline, alternating in one run on the embedded family.
"""
from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.report import Report
from benchmarks.running import Running, studio
from models.presets import load_catalogue

PROMPT = "a red mug on a wooden table"


def through_studio(running: Running, count: int, seed: int) -> float:
    """Seconds from the click until the last picture is drawn, saved and announced (its scores come later)."""
    clicked = time.monotonic()
    job = running.submit(prompt=PROMPT, family="embedded", tier="standard", draft=count, seed=seed, ladder=False, retries=0)
    drawn, seconds = set(), 0.0
    for moment, name, data in running.events(300):
        if name == "image" and data["job"] == job and data["state"] == "drawn" and data["number"] not in drawn:
            drawn.add(data["number"])
            seconds = moment - clicked
        if name == "job" and data["id"] == job and data["state"] in ("done", "failed"):
            if len(drawn) != count:
                raise RuntimeError(f"drawn {len(drawn)} of {count}: {data}")
            return seconds
    raise AssertionError


def main() -> None:
    report = Report.start("overhead", "A standard batch through the studio over bare FluxPipeline.")
    runs = 3 if report.args.quick else 9
    import torch
    from diffusers import FluxPipeline

    import models.embedded

    tier, card = load_catalogue().tier("embedded", "standard")
    width, height = tier.sizes["1:1"]
    bare = FluxPipeline.from_pretrained(Path(models.embedded.__file__).parent / "checkpoint", torch_dtype=torch.float32)
    bare.set_progress_bar_config(disable=True)

    def through_pipeline(count: int, seed: int) -> float:
        started = time.monotonic()
        bare(prompt=PROMPT, negative_prompt="", true_cfg_scale=tier.guidance, guidance_scale=0.0, width=width, height=height,
             num_inference_steps=tier.steps, num_images_per_prompt=count, max_sequence_length=card.max_tokens,
             generator=[torch.Generator().manual_seed(seed + i) for i in range(count)])
        return time.monotonic() - started

    count, ours, theirs = tier.draft, [], []
    with tempfile.TemporaryDirectory() as folder, studio(Path(folder)) as running:
        running.wait_until_ready()
        running.watch()
        through_studio(running, count, 1)
        through_pipeline(count, 1)
        for run in range(runs):
            ours.append(through_studio(running, count, 100 * run))
            theirs.append(through_pipeline(count, 100 * run))
    for what, values in (("studio", ours), ("bare FluxPipeline", theirs)):
        spread = f"min {min(values):.2f}", f"max {max(values):.2f}"
        report.row(f"{what}, {count} pictures", f"median {statistics.median(values):.2f} s", *spread)
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    report.row("ratio", f"median {statistics.median(ratios):.3f}", f"min {ratios[0]:.3f}", f"max {ratios[-1]:.3f}", f"n {len(ratios)}")
    report.figure("overhead.ratio", statistics.median(ratios), "ratio", "<=", 1.10)
    report.finish()


if __name__ == "__main__":
    main()
