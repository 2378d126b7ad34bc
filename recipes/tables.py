"""What report.json says, as Markdown for the documentation and the model cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from semerge.evaluation.tables import CAUSES, WORDS

COLUMNS = {
    "base_oracle": "Base",
    "static_oracle": "Static",
    "se_oracle": "SE, given head",
    "se_routed": "SE, routed head",
    "expert": "Expert",
    "routing": "Routing",
}

NONE: dict[str, Any] = {"rows": ()}


def accuracies(report: Mapping[str, Any], titles: Mapping[str, str] | None = None) -> str:
    """Test accuracies by task, in percent, at the suite's defaults."""
    found = report["test"]
    rows = [(titles or {}).get(name, name) for name in found["tasks"]]
    figures = [*found["tasks"].values(), found["average_real"], found["average_all"]]
    names = [*rows, "**average, real tasks**", "**average, all tasks**"]
    body = [
        [name, *(percent(row[column]) for column in COLUMNS)]
        for name, row in zip(names, figures, strict=True)
        if row
    ]
    return table(["Task", *COLUMNS.values()], body)


def static(report: Mapping[str, Any]) -> str:
    """The λ of the static merge as a sentence, and whether it alone would have another."""
    own = report["defaults"]["static_lambda"]
    rows = {row["lambda"]: row["static"] for row in report["validation"].get("curve", NONE)["rows"]}
    best = max(rows, key=lambda scale: rows[scale], default=own)
    if best == own:
        return f"Static is Task Arithmetic with the given head at λ {own:g}, its best."
    return (
        f"Static is Task Arithmetic with the given head at λ {own:g}, which serves the probe too; "
        f"alone it is best at λ {best:g}, by validation: {percent(rows[best])} there, "
        f"{percent(rows[own])} at {own:g}."
    )


def presets(report: Mapping[str, Any]) -> str:
    """SE-Merging in every preset, and Task Arithmetic, as averages over all tasks."""
    body = []
    for name, row in report["presets"].items():
        body.append([f"SE-Merging, `{name}`", *_pair(row, "se_oracle"), *_pair(row, "se_routed")])
    for scale, row in report["task_arithmetic"].items():
        cells = [percent(row["average_real"]), percent(row["average_all"])]
        body.append([f"Task Arithmetic, λ {scale}", *cells, "", ""])
    head = ["", "given head, real", "given head, all", "routed head, real", "routed head, all"]
    return table(head, body)


def probes(report: Mapping[str, Any]) -> str:
    """Each probe at its best point on validation: test figures, averages over all tasks."""
    body = []
    for name, row in report["probes"].items():
        average = row.get("average_all", {})
        recovered = row.get("recovery", {}).get("all", {})
        body.append(
            [
                f"`{name}`",
                str(row["layer"]),
                "" if row["pool"] == "final" else row["pool"],
                f"{row['probe_lambda']:g}" if row["probe_lambda"] else "",
                percent(row["routing_all"]),
                percent(average.get("se_oracle", row["hard_oracle_all"])),
                percent(average.get("se_routed", row["hard_routed_all"])),
                percent(recovered.get("recovery_oracle")),
                percent(recovered.get("recovery_routed")),
            ]
        )
    head = "Probe|Layer|Pooling|Probe λ|Routing|Given head|Routed head|Recovered|Recovered, routed"
    return table(head.split("|"), body)


def routing(report: Mapping[str, Any], probe: str, probe_lambda: float) -> str:
    """Test routing accuracy of one probe by layer and pooling, over all tasks."""
    rows = [
        r
        for r in report["routing"]
        if r["probe"] == probe and r["probe_lambda"] in (probe_lambda, 0)
    ]
    layers = list(dict.fromkeys(r["layer"] for r in rows if r["layer"] != "final"))
    pools = list(dict.fromkeys(r["pool"] for r in rows if r["layer"] != "final"))
    found = {(r["layer"], r["pool"]): r["routing_all"] for r in rows}
    body = [[str(x), *(percent(found.get((x, pool))) for pool in pools)] for x in layers]
    end = found.get(("final", "final"))
    body.append(["final", percent(end), *[""] * (len(pools) - 1)])
    return table(["Layer", *pools], body)


def lines(report: Mapping[str, Any]) -> str:
    """Every line with its value, target and whether it is met."""
    body = [
        [
            WORDS.get(line["line"], line["line"]),
            line["on"],
            percent(line["value"]),
            percent(line["target"]),
            "met" if line["met"] else f"**missed**, by {CAUSES[line['cause']]}",
        ]
        for line in report["lines"]
    ]
    return table(["Line", "On", "Value", "Target", ""], body)


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [list(head), ["---"] * len(head), *[list(row) for row in body]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def percent(value: float | None) -> str:
    """0.1234 -> 12.3; nothing for None."""
    return "" if value is None else f"{100 * value:.1f}"


def _pair(row: Mapping[str, Any], column: str) -> list[str]:
    return [percent(row[on].get(column)) for on in ("average_real", "average_all")]
