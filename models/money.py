"""Money as it is kept and as it is shown: whole micro-dollars ($1 = 1,000,000), never floats."""

from __future__ import annotations

DOLLAR = 1_000_000


def dollars(micro: int) -> str:
    """ "$0.003": exact, with two decimals at least."""
    sign, micro = ("-" if micro < 0 else ""), abs(micro)
    cents = f"{micro % DOLLAR:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}${micro // DOLLAR:,}.{cents}"
