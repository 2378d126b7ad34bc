"""Small pieces of the sentences that people read."""

from __future__ import annotations

from typing import Any

FIGURES = {  # of a bench, in the order in which they are told: some lean on the one before
    "exact_over_needed": "exact over what it can't avoid",
    "reference_over_exact": "the tests' plain implementation over exact",
    "fast_over_static": "fast over static; published: saturated, imposed",
    "fast_miss_over_static": "the same on a miss, imposed",
    "fast_dropped_over_static": "fast over static, one expert winning at block 1, imposed",
    "fast_limit": "the least that this can be",
    "fast_agreement": "fast agrees with exact",
    "fast_default_agreement": "fast agrees with the suite's default settings",
    "fast_hit_rate": "saturated routings",
    "sweep_over_loop": "one by one over in batches",
    "sweep_limit": "the most that this can be, merges for nothing",
    "sweep_bound": "the same at the speed of one large matrix product",
    "reroute_over_merge_forward": "another preset over merge and pass",
    "full_ensemble_over_static": "all experts, one after another, over static",
    "peak_over_weights": "peak memory over weights",
    "sandbox_ms": "the sandbox's answer, ms",
    "page_ms": "from the start to the page, ms",
}
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
