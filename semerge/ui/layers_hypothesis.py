"""The paper's hypothesis on labelled samples: is the expert of an input's own task the nearest?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semerge.settings import FINAL, POOLS, PROBES, valid_layers
from semerge.suites import Suite
from semerge.ui import charts, set_charts, words
from semerge.ui.heat import Cell, Row, heat
from semerge.ui.layers_page import Page, Part, bounds, fold, interval, point, sampled, title
from semerge.ui.markup import chart_head, echo, esc, table
from semerge.ui.options import POOL_NAMES

MODELS = {"base": "Base", "static": "Static merge", "se": "SE-Merging"}
Rows = Mapping[tuple[str, str, str], Part]  # by probe, layer, pooling


def page(diagnosis: Part, suite: Suite) -> Page:
    """Shares by layer and pooling, margins, bias and the map."""
    found, at = diagnosis["hypothesis"], diagnosis["at"]
    rows = {(r["probe"], str(r["layer"]), r["pool"]): r for r in found["rows"]}
    usual = rows[at["probe"], str(at["layer"]), at["pool"]]
    best = max(found["best"].values(), key=lambda row: row["share"])
    top = (
        '<p class="se-sentence">The right expert is the nearest for '
        f"<strong>{words.percent(usual['share'])}</strong> of {usual['n']:,} test samples at the "
        f"suite's defaults ({bounds(usual)}).</p><p>The largest share is {interval(best)}: probe "
        f"{esc(best['probe'])}, {esc(point(best))}. By chance it would be "
        f"{words.percent(1 / len(suite.tasks))}.</p>"
    )
    top += sampled(diagnosis) + shares(rows, found["best"], at, suite)
    return Page(
        f'<div class="se-said">{top}</div>',
        {
            "margins": (_margins_head(found["margins"]), set_charts.margins(found["margins"])),
            "bias": (_bias_head(diagnosis["bias"]), _bias(diagnosis["bias"], suite)),
            "map": (_map_head(diagnosis["map"]), _map(diagnosis["map"], suite)),
        },
        fold("Figures of these charts", _tables(diagnosis, suite)),
    )


def shares(rows: Rows, best: Part, at: Part, suite: Suite) -> str:
    """One table for every probe, layer and pooling."""
    probes = [probe for probe in PROBES if any(key[0] == probe for key in rows)]
    pools = {
        probe: [p for p in POOLS[suite.modality] if any(k[::2] == (probe, p) for k in rows)]
        for probe in probes
    }
    lines = []
    for layer in valid_layers(suite):
        cells = []
        for probe in probes:
            if layer == FINAL:
                cells.append(_share(rows[probe, FINAL, FINAL], best, at, len(pools[probe])))
            else:
                cells += [_share(rows[probe, str(layer), p], best, at) for p in pools[probe]]
        lines.append(Row("final" if layer == FINAL else f"block {layer}", cells))
    heads = ["Layer", *(POOL_NAMES[pool] for probe in probes for pool in pools[probe])]
    return heat(
        f"Right expert nearest, in percent of {next(iter(rows.values()))['n']:,} test samples",
        heads,
        lines,
        [(f"probe {probe}", len(pools[probe])) for probe in probes],
    )


def _share(row: Part, best: Part, at: Part, span: int = 1) -> Cell:
    key = (row["probe"], row["layer"], row["pool"])
    marks = []
    if key == (at["probe"], at["layer"], at["pool"]):
        marks.append("default")
    chosen = best[row["probe"]]
    if key[1:] == (chosen["layer"], chosen["pool"]):
        marks.append("best")
    text = f"{100 * row['share']:.1f}"
    return Cell(text, row["share"] ** 2, bounds(row, "–"), ", ".join(marks), span)


def _margins_head(found: Part) -> str:
    middle = found["quantiles"]["0.5"]
    summary = (
        f"The margin (d₂ − d₁) / d₂ is {words.percent(middle)} in the middle and "
        f"{words.percent(found['mean'])} on average (n = {found['n']:,}); samples by margin, "
        "above where the right expert was chosen, below where a wrong one was."
    )
    return chart_head("How clear the choice was", summary, "layers", "margins")


def _bias_head(found: Part) -> str:
    gaps = ", ".join(f"{MODELS[k]} {v:.3f}" for k, v in found["average"].items())
    summary = (
        "Distance of the final embedding to the right expert's, over the length of that: "
        f"{gaps} on average (n = {found['n']:,}). SE-Merging is nearer than the static merge for "
        f"{interval(found['se_nearer'], False)}."
    )
    return chart_head("Representation bias", summary, "layers", "bias")


def _bias(found: Part, suite: Suite) -> Any:
    series = {kind: [row[kind] for row in found["tasks"].values()] for kind in MODELS}
    return charts.report([title(suite, t) for t in found["tasks"]], series, MODELS, share=False)


def _map_head(found: Part) -> str:
    summary = (
        f"Each mark is one of {found['n']:,} test samples, where the merged model has it at "
        f"{point({**found, 'probe_lambda': 0})}: the two axes along which the samples differ most."
    )
    return chart_head("Map of the merged model's representations", summary, "layers", "map")


def _map(found: Part, suite: Suite) -> Any:
    return set_charts.task_map(found, {t.name: t.title for t in suite.tasks})


def _tables(diagnosis: Part, suite: Suite) -> str:
    bias, margins = diagnosis["bias"], diagnosis["hypothesis"]["margins"]
    rows = [("All tasks", bias["average"])]
    rows += [(title(suite, task), row) for task, row in bias["tasks"].items()]
    cells = [[echo(name), *(words.number(row[kind], 3) for kind in MODELS)] for name, row in rows]
    text = table(
        "Relative distance to the right expert's embedding", ("Task", *MODELS.values()), cells
    )
    edges = [i / margins["bins"] for i in range(margins["bins"] + 1)]
    counts = [
        [f"{low:.0%} to {high:.0%}", str(right), str(wrong)]
        for low, high, right, wrong in zip(
            edges, edges[1:], margins["right"], margins["misrouted"], strict=False
        )
    ]
    return text + table("Samples by margin", ("Margin", "Right expert", "Wrong expert"), counts)
