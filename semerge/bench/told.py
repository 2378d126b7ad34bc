"""How the figures of a bench are told, in the README and on the About tab."""

from __future__ import annotations

from typing import Any

SHARES = ("fast_agreement", "fast_default_agreement", "fast_hit_rate")


def number(value: float) -> str:
    """A measured value to three digits, and whole from a hundred on: 1.13, 10.6, 3,663."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def figure(name: str, value: float) -> str:
    """A figure: shares in percent."""
    return f"{100 * value:.1f} %" if name in SHARES else number(value)


def limit(row: dict[str, Any]) -> str:
    """What is wanted of a figure: a row of the bench's "acceptance"."""
    sign, wanted = row["limit"].split()
    told = f"{100 * float(wanted):g} %" if row["figure"] in SHARES else f"{float(wanted):,g}"
    return f"{'≤' if sign == '<=' else '≥'} {told}"
