"""The README's figures, written from the suites' reports: `python -m semerge.evaluation.readme`.

A test holds the README to what this prints, so no figure in it can grow old.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from semerge.evaluation import tables
from semerge.evaluation.lines import CAUSES
from semerge.suites import Suite, available_suites, read_suite

BEGIN, END = "<!-- results -->\n", "<!-- /results -->"


def results() -> str:
    """Markdown: every bundled suite's accuracies, probes, lines and how its experts were made."""
    parts = ["## What the bundled suites show\n"]
    for name in available_suites():
        suite = read_suite(name)
        report = json.loads(suite.path("report.json").read_text(encoding="utf-8"))
        parts.append(section(suite, report))
    return "\n".join(parts)


def section(suite: Suite, report: dict[str, Any]) -> str:
    """One suite's part."""
    d, versions = suite.defaults, report["versions"]
    pool = "" if d.pool == "final" else f", pooling `{d.pool}`"
    layer = "final embedding" if d.layer == "final" else f"block {d.layer}"
    titles = {t.name: t.title for t in suite.tasks}
    met = f"{report['lines_met']} of {len(report['lines'])}"
    missed = [line for line in report["lines"] if not line["met"]]
    told = "".join(
        f"\n- missed: {tables.WORDS[line['line']]}, {line['on']}: "
        f"{tables.percent(line['value'])} where {tables.percent(line['target'])} was wanted; "
        f"cause: {CAUSES[line['cause']]}"
        for line in missed
    )
    return f"""### `{suite.name}`

Test accuracy in percent on {report["test"]["n"]:,} samples, seed {report["seed"]}, torch
{versions["torch"]}, two CPU cores. Defaults, chosen on {report["validation"]["n"]:,} validation
samples: probe `{d.probe}`, {layer}{pool}, preset `{d.preset}`, static λ {d.static_lambda:g} (the
best one), λ of the probed merged model {d.probe_lambda:g}.

{tables.accuracies(report, titles)}

All three probes, each at its best layer on validation (averages over all tasks):

{tables.probes(report)}

{met} lines of the project's targets are met.{told}
{ablation(report)}
`python -m semerge evaluate --suite {suite.name} --data DIR --json -` prints these figures again.
"""


def ablation(report: dict[str, Any]) -> str:
    """How experts made in other ways fare; nothing where the report does not say."""
    rows = report.get("ablation")
    if not rows:
        return ""
    body = [
        [
            row["experts"],
            str(row["steps"]),
            tables.percent(row["base"]),
            tables.percent(row["expert"]),
            f"{tables.percent(row['static'])} (λ {row['static_lambda']:g})",
            *(tables.percent(row["routing"][k]["routing_all"]) for k in row["routing"]),
        ]
        for row in rows
    ]
    head = ["Experts", "Steps", "Base", "Expert", "Static", *rows[0]["routing"]]
    return f"""
How the experts were made decides whether the paper's hypothesis holds. Short runs on validation;
the last columns are routing accuracies at the best layer and pooling:

{tables.table(head, body)}
"""


def write(path: Path) -> None:
    """Put the results between the README's two marks."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    path.write_text(before + BEGIN + "\n" + results() + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parents[2] / "README.md")
