"""The README's figures, written from the suites' reports, the bench and the examples' index:
`python -m semerge.evaluation.readme`.

A test holds the README to what this prints, so no figure in it can grow old.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from semerge.evaluation import readme_costs, readme_unfit, tables
from semerge.evaluation.lines import CAUSES
from semerge.examples import load_examples
from semerge.suites import Suite, available_suites, read_suite

README = Path(__file__).resolve().parents[2] / "README.md"


def parts() -> dict[str, str]:
    """What stands between the marks `<!-- name -->` and `<!-- /name -->`, by name."""
    return {
        "results": results(),
        "examples": examples(),
        "unfit": readme_unfit.unfit(),
        "costs": readme_costs.costs(),
    }


def examples() -> str:
    """How many of the app's own examples the models get right, one sentence a section."""
    found = load_examples().hits
    return "\n".join(f"- {name}: {counted(found[name])}" for name in found) + "\n"


def counted(row: dict[str, Any]) -> str:
    """One section of the index's `hits`."""
    return (
        f"of {row['n']}, SE-Merging {row['se']}, the static merge {row['static']}, the base "
        f"{row['base']}; the right expert is chosen for {row['routing']}"
    )


def results() -> str:
    """Markdown: every bundled suite's accuracies, probes, lines and how its experts were made."""
    found = ["## What the bundled suites show\n"]
    for name in available_suites():
        suite = read_suite(name)
        report = json.loads(suite.path("report.json").read_text(encoding="utf-8"))
        found.append(section(suite, report))
    return "\n".join(found)


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


def between(text: str, name: str) -> str:
    """What stands between the two marks of that name."""
    return text.split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->", maxsplit=1)[0]


def write(path: Path = README) -> None:
    """Put every part between its two marks."""
    text = path.read_text(encoding="utf-8")
    for name, part in parts().items():
        before, rest = text.split(f"<!-- {name} -->\n")
        _, after = rest.split(f"<!-- /{name} -->")
        text = f"{before}<!-- {name} -->\n\n{part}\n<!-- /{name} -->{after}"
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
