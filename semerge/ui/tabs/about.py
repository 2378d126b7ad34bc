"""The About tab: the method, what the paper fixes and what is a reading, rates and costs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import gradio as gr

from semerge import common
from semerge.evaluation.figures import CAUSES
from semerge.evaluation.tables import WORDS
from semerge.settings import FINAL, PRESETS
from semerge.suites import Suite
from semerge.suites.examples import SECTIONS, Examples
from semerge.ui import charts, words
from semerge.ui.context import Context
from semerge.ui.links import button
from semerge.ui.markup import esc, table
from semerge.ui.panel import chart_card, html, plot
from semerge.ui.probes import ENTRIES
from semerge.ui.tabs import Tab

PAPER_PROBE = "experts"
PAPER = "https://arxiv.org/abs/2506.18135"

STEPS = (
    (
        "Probe",
        "The input runs through the static merge and through every expert, up to one layer ℓ.",
        "d<sub>t</sub> = ‖ f<sub>ℓ</sub>(x; θ<sub>M</sub>) − f<sub>ℓ</sub>(x; θ<sub>t</sub>) ‖₂",
    ),
    (
        "Similarity",
        "The smaller the distance, the more similar; normalised over the tasks.",
        "s<sub>t</sub> = 1 / (d<sub>t</sub> + ε)",
    ),
    (
        "Rescale",
        "A softmax turns similarities into one coefficient an expert, for this input alone.",
        "λ<sub>t</sub>(x) = mass · softmax(ŝ / temperature)<sub>t</sub>",
    ),
    (
        "Merge and answer",
        "The experts are merged with these coefficients, and the input runs once more.",
        "θ(x) = θ<sub>0</sub> + Σ<sub>t</sub> λ<sub>t</sub>(x) τ<sub>t</sub>",
    ),
)
FIXED = (
    "λ = 0.3 for the static merge",
    "ℓ₂ distance at one designated layer",
    "inverse distance as similarity",
    "softmax over normalised similarities",
    "λ of the right expert far above the others",
    "a second, full pass",
)
READINGS = (
    "how similarities are normalised, and the temperature (the presets below)",
    "how much all coefficients sum to: T·λ or 1",
    "which layer, and how its tokens are pooled",
    "what the experts are compared with: the merged model, the base, or stored samples",
    "the static λ where 0.3 is not the best: each suite states its own",
)


class AboutTab(Tab):
    label, place, needs_suite = "About", 70, False

    def __init__(self, context: Context) -> None:
        about_tab(context)


def about_tab(context: Context) -> None:
    with gr.Column(elem_classes="se-prose"):
        html(_method())
        html(_readings())
        html('<h2 id="rates">How often it is right</h2>' + _explain())
        suites = [*context.of("image"), *context.of("text")]
        reports = [report for report in map(read_report, suites) if report]
        for number, report in enumerate(reports):
            _show(report, number)
        if not reports:
            html('<p class="se-hint">No suite here has a report yet.</p>')
        html(_examples(context.examples))
        show_speed([suite.name for suite in suites])
        html(_privacy())
        html(button("about", {}), elem_id="about-link")


def _method() -> str:
    steps = "".join(
        f"<li><h3>{esc(name)}</h3><p>{esc(text)}</p><p class='se-formula'>{formula}</p></li>"
        for name, text, formula in STEPS
    )
    return (
        "<h2>The method</h2><p>Experts that were fine-tuned from one base model can be merged into "
        "one model by adding up what each has learned: its task vector τ<sub>t</sub> = "
        "θ<sub>t</sub> − θ<sub>0</sub>. Task Arithmetic gives every expert the same coefficient λ, "
        "whatever the input, and the experts get in each other's way. SE-Merging needs no training "
        "either: it lets the merged model recognise, input by input, which expert it is about to "
        "imitate, and "
        f'sets the coefficients for that input (<a href="{PAPER}" rel="noopener">arXiv '
        f"2506.18135</a>).</p><ol class='se-steps'>{steps}</ol>"
    )


def _readings() -> str:
    fixed = "".join(f"<li>{esc(x)}</li>" for x in FIXED)
    open_ = "".join(f"<li>{esc(x)}</li>" for x in READINGS)
    presets = [[f"<b>{p.name}</b>", esc(p.about)] for p in PRESETS.values()]
    return (
        "<h2>What the paper fixes, and what is a reading</h2><div class='se-pair'>"
        "<section class='se-card'><h3>Fixed by the paper's summaries</h3>"
        f"<ul>{fixed}</ul></section><section class='se-card'>"
        f"<h3>Our readings, all of them options</h3><ul>{open_}</ul></section></div>"
        + table("Presets", ("Preset", "What it does"), presets, kind="words")
    )


def _explain() -> str:
    return (
        "<p>Two accuracies are never mixed. <b>Oracle head</b>: the task is given, as in the "
        "literature. <b>Routed head</b>: the chosen expert's head answers, as in this app; a wrong "
        "expert is then a wrong answer. The static merge is shown at its best λ on validation "
        "data. All figures are on test data that nothing was trained or tuned on.</p>"
    )


def _show(report: Report, number: int) -> None:
    """One suite's rates: chart, chart in words, table."""
    suite = report.suite
    html(f"<h3>{esc(suite.title)}</h3><p class='se-summary'>{esc(suite.about)}</p>")
    series = report.series()
    if series:
        legend = [(kind, SHORT[kind]) for kind in series]
        head = f"Accuracy of {suite.title} by task"
        drawn = plot(charts.report(report.titles, series, SHORT))
        chart_card(head, summary(report), f"report-{number}", drawn, legend)
    else:
        html(f"<p class='se-summary'>{esc(summary(report))}</p>")
    html(rates(report) + shortfalls(report))
    if report.ways or report.layers:
        with gr.Accordion(f"More of {suite.title}", open=False, elem_classes="se-fold"):
            html(more(report))


SHORT = {"base": "Base", "static": "Static", "se": "SE-Merging", "expert": "Expert"}


def summary(report: Report) -> str:
    """The rates in one sentence, from the average row."""
    row: Any = next(iter(report.averages.values()), {})
    parts = [
        f"{name} {words.percent(row[key])}"
        for name, key in (
            ("base", "base_oracle"),
            ("static merge", "static_oracle"),
            ("SE-Merging", "se_oracle"),
            ("experts", "expert"),
        )
        if key in row
    ]
    if not parts:
        return "Accuracy of each task with the oracle head."
    text = f"On average, with the oracle head: {words.listed(parts)}"
    if "se_routed" in row:
        routed = words.percent(row["se_routed"])
        text += f". As this app answers, with the routed head: SE-Merging {routed}"
        if "static_routed" in row:
            text += f", static merge {words.percent(row['static_routed'])}"
    return f"{text}. {default_probe(report.suite)}"


def default_probe(suite: Suite) -> str:
    """Which probe the suite's figures are of, and whether it is the paper's."""
    probe = suite.defaults.probe
    text = f"The probe here is {probe}: {words.PROBES[probe]}"
    if probe == PAPER_PROBE:
        return text + ", as in the paper."
    return text + f". The paper's is {PAPER_PROBE}; validation data chose this one instead."


def rates(report: Report) -> str:
    """The report as a table, averages last."""
    columns = report.columns
    rows = []
    titles = [*report.titles, *report.averages]
    for title, row in zip(titles, [*report.tasks.values(), *report.averages.values()], strict=True):
        cells = [
            f"{row[key]:,.0f}" if key == "n" and key in row else words.percent(row.get(key))
            for key in columns
        ]
        rows.append([esc(title), *cells])
    caption = f"Accuracy of {report.suite.title}"
    if report.about:
        caption += f" ({report.about})"
    return table(caption, ["Task", *(COLUMNS[key] for key in columns)], rows)


def shortfalls(report: Report) -> str:
    """What the suite was meant to show and does not."""
    if not report.missed:
        return ""
    items = "".join(f"<li>{esc(line)}</li>" for line in report.missed)
    return f'<p class="se-short">Missed of what it was meant to show:</p><ul>{items}</ul>'


COUNTED = {
    "se": "SE-Merging",
    "static": "the static merge",
    "expert": "the chosen expert alone",
    "base": "the base",
}
WAYS = {
    "oracle_real": "Oracle head, real",
    "oracle_all": "Oracle head, all",
    "routed_real": "Routed head, real",
    "routed_all": "Routed head, all",
    "routing_all": "Right expert, all",
}


def more(report: Report) -> str:
    """The other presets, probes and static λs, and the routing by layer and pooling."""
    html = ""
    if report.ways:
        keys = [key for key in WAYS if any(key in row for row in report.ways.values())]
        rows = [
            [esc(name), *(words.percent(row.get(key)) for key in keys)]
            for name, row in report.ways.items()
        ]
        caption = "Other ways to set the coefficients: average accuracy over real and all tasks"
        html += table(caption, ["", *(WAYS[key] for key in keys)], rows)
    if report.layers:
        pools = list(dict.fromkeys(pool for row in report.layers.values() for pool in row))
        tokens = [pool for pool in pools if pool != FINAL]
        rows = []
        for layer, row in report.layers.items():
            # the final embedding has no tokens to pool: one figure for the whole row
            cells = [row.get(FINAL) if layer == FINAL else row.get(pool) for pool in tokens]
            rows.append([esc(words.layer(layer)), *map(words.percent, cells)])
        heads = ["Layer", *(words.POOLS.get(pool, pool) for pool in tokens)]
        html += table("How often the right expert is chosen, by layer and pooling", heads, rows)
    return html


def _examples(examples: Examples) -> str:
    """How many of the app's own examples the models get right, if the index says so."""
    lines = "".join(
        f"<li><b>{esc(section.capitalize())}</b>: {esc(hits(found))}</li>"
        for section in SECTIONS.values()
        if isinstance(found := examples.hits.get(section), dict) and isinstance(found.get("n"), int)
    )
    if not lines:
        return ""
    return (
        "<h2>The examples</h2><p>They were made by this project, with code or written for it; the "
        "opening ones were picked because the static merge misses them and SE-Merging gets them. "
        f"So many of all examples does each model get right:</p><ul>{lines}</ul>"
    )


def hits(found: dict[str, Any]) -> str:
    """One section of the index's `hits` as a sentence."""
    text = f"of {found['n']} examples, {_counted(found)}"
    if isinstance(found.get("routing"), int):
        text += f"; the right expert is chosen for {found['routing']}"
    given = found.get("given_head")
    if isinstance(given, dict) and _counted(given):
        text += f". With the right head given: {_counted(given)}"
    return text + "."


def _counted(row: dict[str, Any]) -> str:
    parts = [
        f"{name} {row[kind]}" for kind, name in COUNTED.items() if isinstance(row.get(kind), int)
    ]
    return words.listed(parts) if parts else ""


def _privacy() -> str:
    return (
        "<h2>Your input</h2><p>Images and sentences are read on the machine that runs this app and "
        "sent nowhere else. Uploaded files are deleted within two hours; what the "
        f"models read of the last {ENTRIES} inputs stays in memory, so that another option is "
        "answered sooner. A softmaxed similarity is no probability that the input belongs to a "
        "task: an input of none of the tasks still gets an expert.</p>"
    )


# --------------------------------------------------------------------------------------------------
# What an answer costs, on the About tab: the figures of `python -m semerge bench --write`.

BENCH = common.ASSETS / "bench.json"
FAST = "fast"
COST = (
    "How often each agrees with exact, by its cost in passes of the static merge; the table below "
    "has the numbers."
)
MOST = {"sweep_over_loop": "sweep_limit"}  # a figure, and what it can be here at most
SWEPT = {"loop": "one by one", "sweep": "in batches", "passes": "in batches, the passes alone"}
MARKS = (
    ("exact", "exact"),
    ("se", "fast"),
    ("static", "static merge"),
    ("other", "the suite's default, full ensemble"),
)
_log = logging.getLogger(__name__)


def show_speed(order: Sequence[str] = (), file: Path = BENCH) -> None:
    """Built inside a column. Nothing where nobody has measured yet.

    order: names of suites; those with trained weights come first.
    """
    measured = read_bench(file)
    if not measured:
        return
    place = {name: number for number, name in enumerate(order)}
    last = len(place)
    suites = sorted(
        measured, key=lambda found: (found["weights"] != "trained", place.get(found["suite"], last))
    )
    html(
        '<h2 id="speed">What it costs</h2><p>Ratios of times on one machine, measured in turns by '
        "<code>python -m semerge bench</code>; what ends in ms is in milliseconds. Exact is "
        "SE-Merging with the probe experts; the fast mode drops experts early and may answer "
        "otherwise: how often it agrees is told.</p>"
    )
    html(figures(suites))
    with gr.Accordion("What each figure is", open=False, elem_classes="se-fold"):
        html(meanings(suites))
    html(times(suites))
    if grown := growth(suites):
        html(grown)
    for number, found in enumerate(suites):
        modes = found.get("labelled", {}).get("modes", ())
        if modes:
            title = f"Ways to an answer of {found['suite']}"
            drawn = plot(charts.cost(modes))
            chart_card(title, COST, f"cost-{number}", drawn, MARKS)
            html(ways(found))


def read_bench(file: Path) -> Sequence[dict[str, Any]]:
    """The figures by suite; none where the file is not there or can't be read."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError):
        _log.exception("%s can't be read", file)
        return ()
    return [found for name, found in raw.items() if "figures" in found and name == found["suite"]]


def fast_agreement(suite: Suite, file: Path = BENCH) -> str:
    """How often the fast mode answers as the exact one does, as it was measured; a sentence."""
    for found in read_bench(file):
        data = found.get("labelled", {})
        row = next((row for row in data.get("modes", ()) if row["mode"] == FAST), None)
        if found["suite"] == suite.name and row is not None:
            share, samples = words.percent(row["agreement"]), f"{data['n']:,} {data['split']}"
            return (
                "With the probe experts at its best layer and the preset sharp, "
                f"{share} of {samples} samples got the same answer as without it; see About."
            )
    return "How often the answer is the same was not measured for this suite."


def figures(suites: Sequence[dict[str, Any]]) -> str:
    """Every figure by suite, with its limit, and what they were measured on."""
    rows = [
        (esc(_called(name)), *(_figure(found, name) for found in suites))
        for name in _in_order(found["figures"] for found in suites)
    ]
    heads = ("Figure", *_heads(suites))
    return table("Figures, and what was wanted", heads, rows, kind="stacked") + _places(suites)


def _figure(found: dict[str, Any], name: str) -> str:
    """A value and its limit; empty where the suite has no such figure."""
    if name not in found["figures"]:
        return ""
    value = found["figures"][name]
    shown = "not measured" if value is None else common.figure(name, value)
    row = next((row for row in found["acceptance"] if row["figure"] == name), None)
    if row is None:
        return shown
    met = {True: ", met", False: ", missed"}.get(row["met"], "")
    hints = [common.wanted(row) + met]
    most = found["figures"].get(MOST.get(name, ""))
    if row["met"] is False and most is not None:
        hints.append(f"at most {common.measured(most)} here")
    return "<br>".join([shown, *(f'<span class="se-hint">{esc(hint)}</span>' for hint in hints)])


def meanings(suites: Sequence[dict[str, Any]]) -> str:
    """What every figure is, and its name in the files of the bench, by which others mention it."""
    about = {name: text for found in suites for name, text in found["about"].items()}
    terms = "".join(
        f"<div><dt>{esc(_called(name))} <code>{esc(name)}</code></dt>"
        f"<dd>{esc(about[name])}</dd></div>"
        for name in _in_order([about])
    )
    return f'<dl class="se-facts long">{terms}</dl>'


def times(suites: Sequence[dict[str, Any]]) -> str:
    """Where the milliseconds of an exact answer and of a start go, by suite."""
    rows = []
    for what, key in (("an exact answer", "stages_ms"), ("a start", "start_ms")):
        parts = [found.get(key) or {} for found in suites]
        for stage in _union(parts):
            cells = (common.measured(part[stage]) if stage in part else "" for part in parts)
            rows.append((f"{what}: {esc(stage)}", *cells))
    for case, what in SWEPT.items():
        if case in _union(found.get("cases_ms", {}) for found in suites):
            cells = (_milliseconds(found.get("cases_ms", {}).get(case)) for found in suites)
            rows.append((f"an input of a set: {what}", *cells))
    return table("Milliseconds by stage, medians", ("Stage", *_heads(suites)), rows)


def growth(suites: Sequence[dict[str, Any]]) -> str:
    """Milliseconds of an answer by the number of experts; nothing where nobody measured it."""
    rows = []
    for found in suites:
        measured = [row for row in found.get("growth", ()) if "experts" in row]
        for case in ("exact", "static") if measured else ():
            by_count = {row["experts"]: row[case] for row in measured}
            rows.append((f"{esc(found['suite'])}: {case}", by_count))
        for row in found.get("growth", ()):
            if "left_out" in row:
                rows.append((f"{esc(found['suite'])}: {esc(row['left_out'])}", {}))
    counts = sorted({count for _, by_count in rows for count in by_count})
    if not counts:
        return ""
    body = [(name, *(_milliseconds(found.get(n)) for n in counts)) for name, found in rows]
    heads = ("Experts", *map(str, counts))
    return table("Milliseconds by the number of experts, on random weights", heads, body)


def _milliseconds(value: float | None) -> str:
    return "" if value is None else common.measured(value)


def _heads(suites: Sequence[dict[str, Any]]) -> list[str]:
    return [found["suite"] for found in suites]


def _places(suites: Sequence[dict[str, Any]]) -> str:
    """What was measured where: a line for all suites of one kind on one machine."""
    alike: dict[str, list[str]] = {}
    for found in suites:
        on = found["machine"]
        where = f"{on['processor']}, {on['threads']} threads, torch {on['torch']}"
        alike.setdefault(f"{found['weights']} weights; {where}", []).append(
            f"{found['suite']} ({found['experts']} experts)"
        )
    lines = "<br>".join(esc(f"{words.listed(who)}: {what}.") for what, who in alike.items())
    return f'<p class="se-hint">{lines}</p>'


def _called(name: str) -> str:
    """A figure in words; by its own name where it has none."""
    phrase = common.FIGURES.get(name)
    return phrase[:1].upper() + phrase[1:] if phrase else name


def _in_order(names: Iterable[Iterable[str]]) -> list[str]:
    """Each figure once, in the order in which their words are to be read; others last."""
    found = _union(names)
    known = [name for name in common.FIGURES if name in found]
    return [*known, *(name for name in found if name not in common.FIGURES)]


def _union(names: Iterable[Iterable[str]]) -> list[str]:
    """Each name once, in the order of its first appearance."""
    return list(dict.fromkeys(chain.from_iterable(names)))


def ways(found: dict[str, Any]) -> str:
    """Every way to an answer: cost, agreement, accuracy."""
    data = found["labelled"]
    rows = [
        (
            esc(row["mode"]),
            f"{row['cost']:.2f}",
            words.percent(row["agreement"]),
            words.percent(row["default_agreement"]),
            words.percent(row["accuracy"]),
            words.percent(row["alone"]),
        )
        for row in data["modes"]
    ]
    heads = ("Way", "Cost", "Agrees with exact", "with the default", "Right", "Expert alone")
    return table(f"{found['suite']}, {data['split']}: {data['n']:,} samples", heads, rows)


# --------------------------------------------------------------------------------------------------
# A suite's report.json as rows for a table and series for a chart. No gradio, no markup.
#
# The report is read by its keys: a task's figures are those of `evaluate --json`. Keys that are
# missing are left out, so an older or a shorter report still shows what it has.

COLUMNS = {
    "n": "Samples",
    "base_oracle": "Base",
    "static_oracle": "Static",
    "se_oracle": "SE",
    "expert": "Expert",
    "static_routed": "Static, routed",
    "se_routed": "SE, routed",
    "routing": "Right expert",
}
SERIES = {"base": "base_oracle", "static": "static_oracle", "se": "se_oracle", "expert": "expert"}
AVERAGES = {
    "average": "Average",
    "average_all": "Average, all tasks",
    "average_real": "Average, real tasks",
}


WAY_KEYS = ("oracle_real", "oracle_all", "routed_real", "routed_all", "routing_all")


@dataclass(frozen=True)
class Report:
    """What is shown of one suite's test figures. Accuracies are fractions."""

    suite: Suite
    tasks: Mapping[str, Mapping[str, float]]  # by task name
    averages: Mapping[str, Mapping[str, float]]  # by title
    about: str  # data, split, settings in one line
    ways: Mapping[str, Mapping[str, float]]  # by way to set the coefficients: keys of WAYS
    layers: Mapping[str, Mapping[str, float]]  # right expert chosen: by layer, by pooling
    missed: tuple[str, ...]  # what the suite was meant to show and does not, as sentences

    @property
    def columns(self) -> list[str]:
        """Keys that at least one row has, in order."""
        rows = [*self.tasks.values(), *self.averages.values()]
        return [key for key in COLUMNS if any(key in row for row in rows)]

    @property
    def titles(self) -> list[str]:
        return [_title(self.suite, task) for task in self.tasks]

    def series(self) -> dict[str, list[float | None]]:
        """By kind of model: the accuracy of each task with the oracle head, in [0, 1]."""
        found = {
            kind: [row.get(key) for row in self.tasks.values()] for kind, key in SERIES.items()
        }
        return {kind: v for kind, v in found.items() if any(x is not None for x in v)}


def read_report(suite: Suite) -> Report | None:
    """The report beside a suite's weights; None where there is none that can be read."""
    try:
        raw = json.loads(suite.path("report.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    found = _evaluation(raw)
    if found is None:
        return None
    return Report(
        suite=suite,
        tasks={str(name): _numbers(row) for name, row in found["tasks"].items()},
        averages=_averages(found),
        about=_about(raw, found),
        ways=_ways(raw),
        layers=_layers(raw),
        missed=_missed(raw, suite),
    )


def _evaluation(raw: Any) -> dict[str, Any] | None:
    """The object that holds `tasks`: the report itself, or one inside it (`test` first)."""
    if not isinstance(raw, dict):
        return None
    tasks = raw.get("tasks")
    if isinstance(tasks, dict) and tasks and all(_is_row(row) for row in tasks.values()):
        return raw
    inner = sorted((v for v in raw.items() if isinstance(v[1], dict)), key=lambda v: v[0] != "test")
    return next((found for _, value in inner if (found := _evaluation(value))), None)


def _averages(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Averages by title. Where every task is real the two averages are one."""
    rows = {title: _numbers(found[k]) for k, title in AVERAGES.items() if _is_row(found.get(k))}
    if len(rows) == 2 and len({tuple(row.items()) for row in rows.values()}) == 1:
        return {AVERAGES["average"]: next(iter(rows.values()))}
    return rows


def _about(raw: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    parts = [f"{found['split']} split" if isinstance(found.get("split"), str) else "test split"]
    config = found.get("config", raw.get("defaults"))
    if isinstance(config, dict):
        keys = ("probe", "layer", "pool", "preset")
        parts += [f"{key} {config[key]}" for key in keys if config.get(key) is not None]
        if config.get("layer") == "final":
            parts = [part for part in parts if not part.startswith("pool")]
    return ", ".join(parts)


def _ways(raw: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Static λs, presets and probes, each with its averages."""
    found: dict[str, dict[str, float]] = {}
    for scale, row in _objects(raw, "task_arithmetic"):
        pairs = (("oracle_real", "average_real"), ("oracle_all", "average_all"))
        found[f"Static, λ {scale}"] = {a: row[b] for a, b in pairs if _is_number(row.get(b))}
    figures = (("oracle", "se_oracle"), ("routed", "se_routed"), ("routing", "routing"))
    for group, kind in (("presets", "preset"), ("probes", "probe")):
        for name, row in _objects(raw, group):
            averages = {on: row.get(f"average_{on}") for on in ("real", "all")}
            cells = {
                f"{way}_{on}": average[key]
                for on, average in averages.items()
                for way, key in figures
                if isinstance(average, dict) and _is_number(average.get(key))
            }
            if cells:
                found[f"SE, {kind} {name}"] = cells
    return found


def _layers(raw: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How often the right expert is chosen with the default probe, by layer and pooling."""
    rows, defaults = raw.get("routing"), raw.get("defaults")
    found: dict[str, dict[str, float]] = {}
    if not isinstance(rows, list) or not isinstance(defaults, dict):
        return found
    for row in rows:
        if not isinstance(row, dict) or row.get("probe") != defaults.get("probe"):
            continue
        if row.get("probe_lambda") in (defaults.get("probe_lambda"), 0.0) and _is_number(
            row.get("routing_all")
        ):
            found.setdefault(str(row.get("layer")), {})[str(row.get("pool"))] = row["routing_all"]
    return found


def _missed(raw: Mapping[str, Any], suite: Suite) -> tuple[str, ...]:
    lines = raw.get("lines")
    found = []
    for line in lines if isinstance(lines, list) else []:
        if not isinstance(line, dict) or line.get("met") is not False:
            continue
        value, target = line.get("value"), line.get("target")
        if _is_number(value) and _is_number(target):
            what = WORDS.get(str(line.get("line")), str(line.get("line")).replace("_", " "))
            on = {"real": "real tasks", "all": "all tasks"}.get(str(line.get("on")))
            on = on or _title(suite, str(line.get("on")))
            cause = CAUSES.get(str(line.get("cause")))
            by = f"; cause: {cause}" if cause else ""
            told = f"{what}, {on}: {value:.1%} where {target:.1%} was wanted{by}"
            found.append(told.replace("%", "\u00a0%"))
    return tuple(found)


def _title(suite: Suite, task: str) -> str:
    names = suite.task_names
    return suite.tasks[names.index(task)].title if task in names else task


def _objects(raw: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    value = raw.get(key)
    items = value.items() if isinstance(value, dict) else ()
    return [(str(name), row) for name, row in items if isinstance(row, dict)]


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and bool(_numbers(row))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {key: row[key] for key in COLUMNS if _is_number(row.get(key))}
