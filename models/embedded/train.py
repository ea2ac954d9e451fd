"""Train the embedded family: `python -m models.embedded.train --work DIR [STAGE ...]`.

Stages, in order: renders, autoencoder, text, flow, clips, decoder, export, mush. Each can be stopped at any moment and goes on from
its last checkpoint in DIR; `export` writes the folders that the studio ships, and `mush` learns from what these draw. On two CPU cores
the whole takes some hours, on a GPU minutes.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch

STAGES = ("renders", "autoencoder", "text", "flow", "clips", "decoder", "export", "mush")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.embedded.train", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"some of: {' '.join(STAGES)} (default: all)")
    parser.add_argument("--work", type=Path, required=True, help="folder for renders and checkpoints (about 6 GB)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where export writes checkpoint/ and clips/")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--renders", type=int, default=16000, help="training pictures")
    parser.add_argument("--autoencoder-steps", type=int, default=3600)
    parser.add_argument("--decoder-steps", type=int, default=6000, help="total, the autoencoder's included")
    parser.add_argument("--text-steps", type=int, default=1200)
    parser.add_argument("--flow-steps", type=int, default=8000)
    parser.add_argument("--clip-steps", type=int, default=1500)
    parser.add_argument("--compile", action="store_true", help="torch.compile (needs a C++ compiler; twice as fast on a CPU)")
    args = parser.parse_args()
    unknown = set(args.stages) - set(STAGES)
    if unknown:
        parser.error(f"unknown stage {', '.join(sorted(unknown))}")
    for stage in STAGES:
        if not args.stages or stage in args.stages:
            print(f"== {stage} on {args.device}", flush=True)
            run(stage, args)


def run(stage: str, args: argparse.Namespace) -> None:
    from models.embedded.training import autoencoder, data

    renders = data.open_renders(args.work / "renders", args.renders, args.seed)
    if stage == "autoencoder":
        autoencoder.train_autoencoder(renders, args.work, steps=args.autoencoder_steps, seed=args.seed, device=args.device,
                                      compiled=args.compile)
    elif stage == "decoder":
        autoencoder.train_autoencoder(renders, args.work, steps=args.decoder_steps, seed=args.seed, device=args.device, freeze_encoder=True,
                                      compiled=args.compile)
    elif stage == "text":
        from models.embedded.training import text
        text.train_text(args.work, steps=args.text_steps, seed=args.seed, device=args.device)
    elif stage == "flow":
        from models.embedded.training import flow
        flow.train_flow(renders, args.work, steps=args.flow_steps, seed=args.seed, device=args.device, compiled=args.compile)
    elif stage == "clips":
        from models.embedded.training import clips
        clips.train_clips(args.work, steps=args.clip_steps, seed=args.seed, device=args.device)
    elif stage == "export":
        from models.embedded.training import export
        export.export(args.work, args.out, args.device)
    elif stage == "mush":
        from models.embedded.training import mush
        from models.scorers.mush import WEIGHTS
        mush.make_and_train(args.work, args.out / WEIGHTS.name, seed=args.seed)


if __name__ == "__main__":
    main()
