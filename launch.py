"""Starts the studio: `python launch.py`. See `python launch.py --help`."""
from __future__ import annotations

import sys

from studio.config import parse


def main() -> None:
    config = parse()
    if config.check:
        from models.check import check

        sys.exit(check(config.models_dir, config.device, config.family, low=config.lowvram))

    from studio.serve import run

    sys.exit(run(config))


if __name__ == "__main__":
    main()
