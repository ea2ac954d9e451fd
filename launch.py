"""Starts the studio: `python launch.py`. Without a page: `python launch.py generate`. See --help of both."""
from __future__ import annotations

import sys

from studio.config import parse


def main() -> None:
    if sys.argv[1:2] == ["generate"]:
        from studio.generate import main as generate

        sys.exit(generate(sys.argv[2:]))

    config = parse()
    if config.check:
        from models.check import check

        sys.exit(check(config.models_dir, config.device, config.family, low=config.lowvram))

    from studio.serve import run

    sys.exit(run(config))


if __name__ == "__main__":
    main()
