"""Write the folder that `FluxPipeline.from_pretrained` loads, in 16 bits."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

from models.embedded.training import clips
from models.embedded.training.flow import load_autoencoder, load_transformer
from models.embedded.training.text import load_text
from models.latents import Previewer

SHIFT = 1.0  # of the sigmas while sampling


def pipeline(work: Path, device: str = "cpu") -> FluxPipeline:
    """The pipeline of the last checkpoints in `work`, in float32."""
    saved = torch.load(work / "latents.pt", weights_only=True, mmap=True)
    vae = load_autoencoder(work, device)
    vae.register_to_config(shift_factor=saved["shift"], scaling_factor=saved["scale"])
    text = load_text(work, device)
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT, use_dynamic_shifting=False), vae=vae, text_encoder=text.clip,
        tokenizer=text.clip_tokenizer, text_encoder_2=text.t5, tokenizer_2=text.t5_tokenizer, transformer=load_transformer(work, device),
    )


def export(work: Path, out: Path, device: str) -> None:
    """Replace `out`/checkpoint; the old one is kept until the new one is whole."""
    new, old = out / "checkpoint.new", out / "checkpoint"
    shutil.rmtree(new, ignore_errors=True)
    pipe = pipeline(work, "cpu").to(torch.float16)
    pipe.save_pretrained(new, safe_serialization=True)
    for name in ("text_encoder", "text_encoder_2"):
        # transformers computes in the configured type, diffusers in float32 unless told otherwise: without this a plain
        # `from_pretrained` would mix the two.
        file = new / name / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
    Previewer.fit(pipe.vae.float()).save(new / "preview.safetensors")  # so that no worker has to fit it at its start
    shutil.rmtree(old, ignore_errors=True)
    new.rename(old)
    print(f"exported to {old}: {sum(f.stat().st_size for f in old.rglob('*') if f.is_file()) / 1e6:.1f} MB")
    clips.export_clips(work, out)
