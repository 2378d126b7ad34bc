"""Small pieces of the sentences that people read."""

from __future__ import annotations

from typing import Any

SHARES = ("fast_agreement", "fast_default_agreement", "fast_hit_rate")  # figures of a bench


def gigabytes(size: float) -> str:
    """Bytes in decimal units, as the hub shows them: 3.40 GB, or 4.2 MB below a tenth of one."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def first_line(error: Exception) -> str:
    """What another library's error says, short enough to stand inside a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def measured(value: float) -> str:
    """A measured value to three digits, and whole from a hundred on: 1.13, 10.6, 3,663."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def figure(name: str, value: float) -> str:
    """A figure of a bench: shares in percent."""
    return f"{100 * value:.1f} %" if name in SHARES else measured(value)


def wanted(row: dict[str, Any]) -> str:
    """What is wanted of a figure, from a row of the bench's "acceptance": ≤ 1.5."""
    sign, limit = row["limit"].split()
    told = f"{100 * float(limit):g} %" if row["figure"] in SHARES else f"{float(limit):,g}"
    return f"{'≤' if sign == '<=' else '≥'} {told}"
