"""The figures of README.md, docs/ and the model cards: `python -m recipes.readme` writes them.

They come from the suites' reports and suite.json, the bench and the examples' index. In README.md
and docs/ a part stands between the marks `<!-- name -->` and `<!-- /name -->`; a card is written
whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recipes import reliability, tables
from recipes.card import card
from semerge import common
from semerge.evaluation.field.reading import Line, read_field
from semerge.evaluation.tables import CAUSES, WORDS
from semerge.methods import METHODS
from semerge.probes import PROBES
from semerge.registry import Entry
from semerge.suites import Suite, available_suites, published_suites, read_suite
from semerge.suites.examples import load_examples
from semerge.suites.memory import need

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
KINDS = {"image": "vision", "text": "text"}  # of the command that rebuilds a suite

Report = Mapping[str, Any]


def reports() -> dict[str, tuple[Suite, Report]]:
    """Every bundled suite with its report.json, by name."""
    suites = [read_suite(name) for name in available_suites()]
    return {s.name: (s, _json(s.path("report.json"))) for s in suites}


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


# ---- writing -------------------------------------------------------------------------------------


def pages() -> dict[Path, str]:
    """Every file that holds figures, as it has to be."""
    docs = {ROOT / file: filled((ROOT / file).read_text("utf-8"), parts) for file, parts in PARTS}
    return docs | {s.path("README.md"): card(s, r, rebuild(s)) for s, r in reports().values()}


def rebuild(suite: Suite) -> str:
    """The command that makes a bundled suite again."""
    return f"python -m recipes {KINDS[suite.modality]} --data DIR --out DIR"


def filled(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """A page whose parts are put between their marks, in place of what is there."""
    for name, part in parts.items():
        before, rest = text.split(f"<!-- {name} -->\n")
        _, after = rest.split(f"<!-- /{name} -->")
        text = f"{before}<!-- {name} -->\n\n{part().strip()}\n\n<!-- /{name} -->{after}"
    return text


def write() -> None:
    """Bring all pages up to date."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


# ---- accuracies ----------------------------------------------------------------------------------


def summary() -> str:
    """Markdown: the test averages of each bundled suite, over all its tasks."""
    head = ["Suite", "Tasks", *tables.COLUMNS.values()]
    body = [
        [
            f"`{name}`",
            str(len(suite.tasks)),
            *(tables.percent(report["test"]["average_all"][key]) for key in tables.COLUMNS),
        ]
        for name, (suite, report) in reports().items()
    ]
    told = [text for suite, _ in reports().values() if (text := helped(suite))]
    return "\n\n".join([tables.table(head, body), *told])


def helped(suite: Suite) -> str:
    """Markdown: which method SE-Merging helps most and least by the suite's table of the field, and
    what is right most often there; empty where there is no table."""
    field = read_field(suite)
    if field is None or field.helped is None:
        return ""
    most, least = field.helped
    own, rival = field.summary

    def gain(line: Line) -> str:
        return f"{tables.percent(line.static)} to {tables.percent(line.se)}"

    text = (
        f"Of the methods on `{suite.name}` ({field.n:,} test samples, options and λ by validation) "
        f"SE-Merging helps {most.title} most, from {gain(most)} with the given head, and "
        f"{least.title} least, from {gain(least)}."
    )
    if own:
        text += (
            f" With the routed head {own.title} with the probe `{own.probe}` is its best row, at "
            f"{tables.percent(own.routed)}"
        )
    if own and rival:
        over = "below it" if rival.routed < own.routed else "above it"
        name = rival.title if rival.probe in ("", rival.method) else f"{rival.title}, {rival.probe}"
        text += f"; the best other row that is not told the task is {over}: {name}, "
        text += tables.percent(rival.routed)
    return text + ("." if own else "")


def results() -> str:
    """Markdown: every bundled suite's accuracies, probes, lines and how its experts were made."""
    return "\n".join(section(suite, report) for suite, report in reports().values())


def section(suite: Suite, report: Report) -> str:
    """One suite's part."""
    d, versions = suite.defaults, report["versions"]
    pool = "" if d.pool == "final" else f", pooling `{d.pool}`"
    layer = "final embedding" if d.layer == "final" else f"block {d.layer}"
    titles = {t.name: t.title for t in suite.tasks}
    met = f"{report['lines_met']} of {len(report['lines'])}"
    missed = "".join(
        f"\n- missed: {WORDS[line['line']]}, {line['on']}: "
        f"{tables.percent(line['value'])} where {tables.percent(line['target'])} was wanted; "
        f"cause: {CAUSES[line['cause']]}"
        for line in report["lines"]
        if not line["met"]
    )
    return f"""## `{suite.name}`

Test accuracy in percent on {report["test"]["n"]:,} samples, seed {report["seed"]}, torch
{versions["torch"]}, two CPU cores. Defaults, chosen on {report["validation"]["n"]:,} validation
samples: probe `{d.probe}`, {layer}{pool}, preset `{d.preset}`, λ of the probed merged
model {d.probe_lambda:g}. {tables.static(report)}

{tables.accuracies(report, titles)}

All three probes, each at its best layer on validation (averages over all tasks):

{tables.probes(report)}

{met} lines of the project's targets are met.{missed}
{ablation(report)}
`python -m semerge evaluate --suite {suite.name} --data DIR --json -` prints these figures again.
"""


def ablation(report: Report) -> str:
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


def examples() -> str:
    """How many of the app's own examples the models get right, one sentence a section."""
    hits = load_examples().hits
    return "\n".join(f"- {name}: {counted(row)}" for name, row in hits.items())


def counted(row: Mapping[str, Any]) -> str:
    """One section of the index's `hits`."""
    return (
        f"of {row['n']}, SE-Merging {row['se']}, the static merge {row['static']}, the base "
        f"{row['base']}; the right expert is chosen for {row['routing']}"
    )


# ---- methods and probes --------------------------------------------------------------------------


def choices() -> str:
    """Markdown: every probe and every method with its options."""
    return "\n\n".join(
        tables.table([room, "What it does", "Options", "Source"], [row(entry) for entry in entries])
        for room, entries in (("Probe", PROBES), ("Method", METHODS))
    )


def row(entry: Entry) -> list[str]:
    """One entry of a registry; an option with its default and what is valid."""
    options = [f"`{o.name}` ({o.default}): {o.about or o.name}; {o.valid}" for o in entry.options]
    return [f"`{entry.name}`", entry.about, "<br>".join(options), entry.paper or "this project"]


# ---- suites without weights ----------------------------------------------------------------------


def published() -> str:
    """Markdown: what the published suites are made of and take."""
    body = []
    for suite in map(read_suite, published_suites()):
        base = suite.sources[suite.base_weights].repo
        sizes = map(common.gigabytes, (suite.download_size, need(suite).total))
        body.append([f"`{suite.name}`", f"`{base}`", str(len(suite.tasks)), *sizes])
    return tables.table(["Suite", "Base", "Experts", "Download", "Memory"], body)


# ---- what answers cost ---------------------------------------------------------------------------

BENCH = common.ASSETS / "bench.json"
SMALL, LARGE = ("mini-vision", "mini-text"), ("clip-vit-b-32", "gpt2-glue")
LEFT_OUT = ("fast_limit", "full_ensemble_over_static")  # in About alone


def costs(file: Path = BENCH) -> str:
    """Markdown: every figure that `bench --write` left, by suite with its limit, and what it was
    measured on."""
    suites = _json(file)
    head = ["figure", *(f"`{s}`" for s in SMALL), "wanted", *(f"`{s}`" for s in LARGE), "wanted"]
    body = [
        [
            words["called"],
            *(cost(suites[s], name) for s in SMALL),
            limit(suites[SMALL[0]], name),
            *(cost(suites[s], name) for s in LARGE),
            limit(suites[LARGE[0]], name),
        ]
        for name, words in common.FIGURES.items()
        if name not in LEFT_OUT and any(name in bench["figures"] for bench in suites.values())
    ]
    sizes = " and ".join(f"{suites[s]['labelled']['n']:,} (`{s}`)" for s in SMALL)
    split = suites[SMALL[0]]["labelled"]["split"]
    on = suites[SMALL[0]]["machine"]
    return (
        f"{tables.table(head, body)}\n\n{sweeps(suites)}"
        f"{on['processor']}, {on['threads']} threads, Python {on['python']}, torch "
        f"{on['torch'].partition('+')[0]}; a missed line is bold.\n"
        f"Shares are over {sizes} samples of the {split} splits."
    )


def cost(bench: Mapping[str, Any], name: str) -> str:
    """One figure of a suite's bench; empty where there is none, bold where its line is missed."""
    value = bench["figures"].get(name)
    small = name == "peak_over_weights" and bench["weights"] == "trained"  # torch alone is more
    if value is None or small:
        return ""
    missed = any(row["figure"] == name and row["met"] is False for row in bench["acceptance"])
    text = common.figure(name, value)
    return f"**{text}**" if missed else text


def limit(bench: Mapping[str, Any], name: str) -> str:
    """What is wanted of a figure; empty where nothing is."""
    row = next((row for row in bench["acceptance"] if row["figure"] == name), None)
    return "" if row is None else common.wanted(row)


def sweeps(suites: Mapping[str, Any]) -> str:
    """Where the milliseconds of a sweep go, in the suites whose line it misses; else nothing."""
    text = ""
    for name in (*SMALL, *LARGE):
        bench = suites[name]
        if any(r["figure"] == "sweep_over_loop" and r["met"] is False for r in bench["acceptance"]):
            loop, sweep, passes = (
                common.measured(bench["cases_ms"][case]) for case in ("loop", "sweep", "passes")
            )
            text += (
                f"An input of `{name}` takes {loop} ms one by one and {sweep} in batches, "
                f"{passes} of them for the passes.\n"
            )
    return f"{text}\n" if text else ""


# ---- the notice that no expert fits --------------------------------------------------------------

HEAD = ["suite", "false alarms", "missed, own expert left out", "missed, made to belong to none"]
TOLD = ("noise", "random letters", "other tasks")  # of what is made; those that are told of


def unfit() -> str:
    """Markdown: how often the notice errs, by suite, and what falling back costs and gains."""
    notices = {name: r["diagnosis"]["abstention"] for name, (_, r) in reports().items()}
    body = [[f"`{name}`", *errors(notice)] for name, notice in notices.items()]
    told = "\n".join(f"- `{name}`: {gains(notice)}" for name, notice in notices.items())
    return f"{tables.table(HEAD, body)}\n\n{told}"


def errors(notice: Mapping[str, Any]) -> list[str]:
    """Shares of test samples, each with how many there were."""
    made, left_out = notice["made"][notice["score"]], notice["left_out"][notice["score"]]
    count = sum(kind["n"] for kind in made["kinds"].values())
    return [
        _share(made["false_alarm"]["share"], made["false_alarm"]["n"]),
        _share(left_out["miss"]["share"], left_out["miss"]["n"]),
        _share(made["miss"], count),
    ]


def gains(notice: Mapping[str, Any]) -> str:
    """What it misses most, and accuracies without and with the fallback, with the given head."""
    kinds = notice["made"][notice["score"]]["kinds"]
    missed = " and ".join(
        f"{tables.percent(kinds[name]['share'])} % of {name}" for name in TOLD if name in kinds
    )
    own, other = notice["fallback"], notice["fallback"]["left_out"]
    return (
        f"missed {missed}. Falling back to the static coefficients takes SE-Merging with the "
        f"given head from {_change(own)} on the suite's own tasks (n = {own['n']}), and from "
        f"{_change(other)} on tasks whose expert was left out (n = {other['n']}), where the static "
        f"merge has {tables.percent(other['oracle']['static'])} %."
    )


def _change(fallback: Mapping[str, Any]) -> str:
    given = fallback["oracle"]
    return f"{tables.percent(given['se'])} to {tables.percent(given['with_fallback'])} %"


def _share(value: float, count: int) -> str:
    return f"{tables.percent(value)} % (n = {count})"


PARTS: tuple[tuple[str, Mapping[str, Callable[[], str]]], ...] = (
    ("README.md", {"summary": summary}),
    ("docs/method.md", {"choices": choices}),
    ("docs/results.md", {"results": results, "examples": examples}),
    ("docs/costs.md", {"costs": costs}),
    ("docs/reliability.md", {"unfit": unfit, "fuzz": reliability.fuzz, "load": reliability.load}),
    ("docs/checkpoints.md", {"published": published}),
)
"""What stands where: the mark's name, and what writes it."""

if __name__ == "__main__":
    write()
