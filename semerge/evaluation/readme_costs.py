"""The README's table of what answers cost, from the figures that `bench --write` left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from semerge import phrases
from semerge.evaluation import tables

BENCH = Path(__file__).resolve().parents[2] / "assets" / "bench.json"
SMALL, LARGE = ("mini-vision", "mini-text"), ("clip-vit-b-32", "gpt2-glue")
LEFT_OUT = ("fast_limit", "full_ensemble_over_static")  # in About alone


def costs(file: Path = BENCH) -> str:
    """Markdown: every figure that was measured, by suite with its limit, and what it was measured
    on."""
    suites = json.loads(file.read_text(encoding="utf-8"))
    head = ["figure", *(f"`{s}`" for s in SMALL), "wanted", *(f"`{s}`" for s in LARGE), "wanted"]
    body = [
        [
            phrase,
            *(_cell(suites[s], name) for s in SMALL),
            _limit(suites[SMALL[0]], name),
            *(_cell(suites[s], name) for s in LARGE),
            _limit(suites[LARGE[0]], name),
        ]
        for name, phrase in phrases.FIGURES.items()
        if name not in LEFT_OUT and any(name in found["figures"] for found in suites.values())
    ]
    sizes = " and ".join(f"{suites[s]['labelled']['n']:,} (`{s}`)" for s in SMALL)
    split = suites[SMALL[0]]["labelled"]["split"]
    on = suites[SMALL[0]]["machine"]
    return (
        f"{tables.table(head, body)}\n\n{_sweeps(suites)}"
        f"{on['processor']}, {on['threads']} threads, Python {on['python']}, torch "
        f"{on['torch'].partition('+')[0]}; a missed line is bold.\n"
        f"Shares are over {sizes} samples of the {split} splits.\n"
    )


def _sweeps(suites: dict[str, Any]) -> str:
    """Where the milliseconds of a sweep go, in the suites whose line it misses; else nothing."""
    text = ""
    for name in (*SMALL, *LARGE):
        found = suites[name]
        if any(r["figure"] == "sweep_over_loop" and r["met"] is False for r in found["acceptance"]):
            loop, sweep, passes = (
                phrases.measured(found["cases_ms"][case]) for case in ("loop", "sweep", "passes")
            )
            text += (
                f"An input of `{name}` takes {loop} ms one by one and {sweep} in batches, "
                f"{passes} of them for the passes.\n"
            )
    return f"{text}\n" if text else ""


def _cell(found: dict[str, Any], name: str) -> str:
    value = found["figures"].get(name)
    small = name == "peak_over_weights" and found["weights"] == "trained"  # torch alone is more
    if value is None or small:
        return ""
    missed = any(row["figure"] == name and row["met"] is False for row in found["acceptance"])
    text = phrases.figure(name, value)
    return f"**{text}**" if missed else text


def _limit(found: dict[str, Any], name: str) -> str:
    row = next((row for row in found["acceptance"] if row["figure"] == name), None)
    return "" if row is None else phrases.wanted(row)
