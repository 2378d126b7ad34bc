"""The About tab: the method, what is fixed by the paper and what is a reading, and the rates."""

from __future__ import annotations

from typing import Any

import gradio as gr

from semerge.examples import SECTIONS, Examples
from semerge.settings import FINAL, PRESETS
from semerge.suites import Suite
from semerge.ui import charts, words
from semerge.ui.context import Context
from semerge.ui.links import button
from semerge.ui.markup import esc, table
from semerge.ui.probes import ENTRIES
from semerge.ui.report import COLUMNS, Report, read_report
from semerge.ui.result_panel import chart_card, html, plot
from semerge.ui.speed import show_speed

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


def about_tab(context: Context) -> None:
    """Built inside a `gr.Tab`."""
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
