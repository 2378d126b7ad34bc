"""The README's figures on the notice that no expert fits, from the diagnosis in each report."""

from __future__ import annotations

import json
from typing import Any

from semerge.evaluation import tables
from semerge.suites import available_suites, read_suite

HEAD = ["suite", "false alarms", "missed, own expert left out", "missed, made to belong to none"]
KINDS = ("noise", "random letters", "other tasks")  # of what is made; those that are told of


def unfit() -> str:
    """Markdown: how often the notice errs, by suite, and what falling back costs and gains."""
    found = {}
    for name in available_suites():
        report = json.loads(read_suite(name).path("report.json").read_text(encoding="utf-8"))
        found[name] = report["diagnosis"]["abstention"]
    body = [[f"`{name}`", *errors(notice)] for name, notice in found.items()]
    told = "\n".join(f"- `{name}`: {gains(notice)}" for name, notice in found.items())
    return f"{tables.table(HEAD, body)}\n\n{told}\n"


def errors(notice: dict[str, Any]) -> list[str]:
    """Shares of test samples, each with how many there were."""
    made, left_out = notice["made"][notice["score"]], notice["left_out"][notice["score"]]
    count = sum(kind["n"] for kind in made["kinds"].values())
    return [
        _share(made["false_alarm"]["share"], made["false_alarm"]["n"]),
        _share(left_out["miss"]["share"], left_out["miss"]["n"]),
        _share(made["miss"], count),
    ]


def gains(notice: dict[str, Any]) -> str:
    """What it misses most, and accuracies without and with the fallback, with the given head."""
    kinds = notice["made"][notice["score"]]["kinds"]
    missed = " and ".join(
        f"{tables.percent(kinds[name]['share'])} % of {name}" for name in KINDS if name in kinds
    )
    own, other = notice["fallback"], notice["fallback"]["left_out"]
    return (
        f"missed {missed}. Falling back to the static coefficients takes SE-Merging with the "
        f"given head from {_change(own)} on the suite's own tasks (n = {own['n']}), and from "
        f"{_change(other)} on tasks whose expert was left out (n = {other['n']}), where the static "
        f"merge has {tables.percent(other['oracle']['static'])} %."
    )


def _change(fallback: dict[str, Any]) -> str:
    given = fallback["oracle"]
    return f"{tables.percent(given['se'])} to {tables.percent(given['with_fallback'])} %"


def _share(value: float, count: int) -> str:
    return f"{tables.percent(value)} % (n = {count})"
