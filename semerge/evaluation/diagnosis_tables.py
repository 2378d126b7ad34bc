"""A report's diagnosis as Markdown, for the README, the model cards and the app.

Every share has its 95 % interval; every table states its number of samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semerge.evaluation.diagnosis_text import interval, point
from semerge.evaluation.tables import percent, table

Diagnosis = Mapping[str, Any]


def hypothesis(diagnosis: Diagnosis, probe: str) -> str:
    """Share of test samples whose own expert is nearest, by layer and pooling, for one probe."""
    rows = [row for row in diagnosis["hypothesis"]["rows"] if row["probe"] == probe]
    body = [
        [str(row["layer"]), "" if row["layer"] == row["pool"] else row["pool"], interval(row)]
        for row in rows
    ]
    return table(["Layer", "Pooling", "Own expert nearest"], body)


def displacement(diagnosis: Diagnosis) -> str:
    """How far a task's own expert and the others move its samples."""
    body = [
        [name, f"{row['own']:.3g}", f"{row['others']:.3g}", interval(row["moves_least"])]
        for name, row in diagnosis["displacement"]["tasks"].items()
    ]
    return table(["Task", "Own expert moves it by", "Others, mean", "Own moves it least"], body)


def choice(diagnosis: Diagnosis) -> str:
    """The automatic pick, over all probes and for each, beside the best by labels. Routing in
    percent: on validation, where the pick was made without labels, and on test."""
    found = diagnosis["choice"]
    body = [
        [
            name,
            f"{row['pick']['probe']}, {point(row['pick'])}",
            percent(row["pick"]["routing"]),
            f"{row['best']['probe']}, {point(row['best'])}",
            percent(row["best"]["routing"]),
            percent(row["test"]["pick"]["routing"]),
            percent(row["test"]["best_of_validation"]["routing"]),
            f"{row['n']} / {row['test']['n']}",
        ]
        for name, row in {"all probes": found, **found["by_probe"]}.items()
    ]
    head = "Among|Picked|Validation|Best by labels|Validation|Picked, test|Best, test|n"
    return table(head.split("|"), body)


def abstention(diagnosis: Diagnosis) -> str:
    """False alarms and misses of every score on test; the one that is used is in bold."""
    found = diagnosis["abstention"]
    kinds = list(next(iter(found["made"].values()))["kinds"])
    body = []
    for score, row in found["made"].items():
        left = found["left_out"].get(score)
        name = f"**{score}**" if score == found["score"] else score
        cells = [interval(row["false_alarm"]), *(interval(row["kinds"][k]) for k in kinds)]
        body.append([name, *cells, interval(left["miss"]) if left else ""])
    head = ["Score", "False alarms", *(f"Missed: {kind}" for kind in kinds), "Missed: left out"]
    return table(head, body)
