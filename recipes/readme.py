"""The README's figures, written from the suites' reports, the bench and the examples' index:
`python -m recipes.readme`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from semerge import common
from semerge.evaluation import tables
from semerge.evaluation.figures import CAUSES
from semerge.suites import Suite, available_suites, read_suite
from semerge.suites.examples import load_examples

README = Path(__file__).resolve().parents[1] / "README.md"


def parts() -> dict[str, str]:
    """What stands between the marks `<!-- name -->` and `<!-- /name -->`, by name."""
    return {
        "results": results(),
        "examples": examples(),
        "unfit": unfit(),
        "costs": costs(),
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


# --------------------------------------------------------------------------------------------------
# The README's table of what answers cost, from the figures that `bench --write` left.

BENCH = common.ASSETS / "bench.json"
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
        for name, phrase in common.FIGURES.items()
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
                common.measured(found["cases_ms"][case]) for case in ("loop", "sweep", "passes")
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
    text = common.figure(name, value)
    return f"**{text}**" if missed else text


def _limit(found: dict[str, Any], name: str) -> str:
    row = next((row for row in found["acceptance"] if row["figure"] == name), None)
    return "" if row is None else common.wanted(row)


# --------------------------------------------------------------------------------------------------
# The README's figures on the notice that no expert fits, from the diagnosis in each report.

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
