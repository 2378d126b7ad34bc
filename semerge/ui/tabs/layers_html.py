"""The views of the Layers tab, as HTML and charts. No gradio here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from semerge.settings import FINAL, POOLS, PROBES, Settings, valid_layers, valid_pools
from semerge.suites import SUITES_FOLDER, Suite
from semerge.suites.abstention import abstention_of
from semerge.suites.examples import Example
from semerge.ui import charts, markup, words
from semerge.ui import charts as set_charts
from semerge.ui.markup import Cell, Row, chart_head, echo, esc, heat, table
from semerge.ui.options import POOL_NAMES
from semerge.ui.view import View

# --------------------------------------------------------------------------------------------------
# One input at every layer: what its distances say, as HTML and as the View that charts read.
#
# The input is probed once, at all layers and poolings; whatever is looked at then, is routed from
# those distances by the engine's own `route`.

Reached = Mapping[str, Mapping[str, Sequence[float]]]
"""Distances of one input to the experts, by layer (as text) and pooling."""


@dataclass(frozen=True)
class Where:
    """What the tab shows. pool is the blocks'; the final embedding has none, and keeps it."""

    probe: str
    layer: int | str
    pool: str
    preset: str

    @classmethod
    def default(cls, suite: Suite) -> Where:
        d = suite.defaults
        return cls(d.probe, d.layer, block_pool(suite, d.probe, d.pool), d.preset)

    @property
    def settings(self) -> Settings:
        pool = FINAL if self.layer == FINAL else self.pool
        return Settings(self.probe, self.layer, pool, self.preset)


def block_pool(suite: Suite, probe: str, pool: str) -> str:
    """A pooling that this probe has at the blocks: the given one, else the last."""
    pools = valid_pools(suite, probe, 1)
    return pool if pool in pools else pools[-1]


def routed(suite: Suite, reached: Reached, where: Where, example: Example | None = None) -> View:
    """What the distances there are routed to: the part of a Result that they decide, as a View.

    example: the one that was asked about.

    Raises:
        UserError: the suite does not know such a place.
    """
    import torch

    from semerge.routing import route

    resolved, scale = where.settings.resolve(suite), suite.defaults.static_lambda
    distances = at(reached, where.layer, where.pool)
    found = route(torch.tensor([distances], dtype=torch.float64), resolved, scale)
    chosen = suite.task_names[int(found.chosen[0])]
    result = {
        "suite": suite.name,
        "tasks": list(suite.task_names),
        "layer": resolved.layer,
        "pool": resolved.pool,
        "probe": resolved.probe,
        "preset": resolved.preset,
        "distances": [_finite(d) for d in distances],
        "similarities": found.similarities[0].tolist(),
        "coefficients": found.coefficients[0].tolist(),
        "static_coefficients": [scale] * len(suite.tasks),
        "chosen": chosen,
        "head": chosen,
        "margin": float(found.margin[0]),
    }
    return View(result, suite, example)


def at(reached: Reached, layer: int | str, pool: str) -> Sequence[float]:
    """Distances at one layer; the final embedding has nothing to pool."""
    by_pool = reached[str(layer)]
    return by_pool[FINAL if layer == FINAL else pool]


def sentence(view: View) -> str:
    """What is nearest at this layer, and whether it is right."""
    where = words.layer(view.result["layer"])
    pool = "" if view.result["layer"] == FINAL else f", over {words.POOLS[view.result['pool']]}"
    text = (
        f'<p class="se-sentence" aria-live="polite">At {esc(where + pool)}, '
        f'<strong class="is-task">{echo(view.title(view.result["chosen"]))}</strong> is the '
        f"nearest expert, {words.percent(view.result['margin'])} nearer than the next.</p>"
    )
    truth = markup.truth(view) if view.example is not None else ""
    return f'<div class="se-headline">{text}{truth}</div>'


def changes(suite: Suite, reached: Reached, pool: str) -> str:
    """At which layers the chosen expert changes, in one sentence."""
    runs: list[tuple[str, list[int | str]]] = []
    for layer in valid_layers(suite):
        title = suite.tasks[nearest(at(reached, layer, pool))].title
        if runs and runs[-1][0] == title:
            runs[-1][1].append(layer)
        else:
            runs.append((title, [layer]))
    if len(runs) == 1:
        return f"<p>The nearest expert is <b>{echo(runs[0][0])}</b> at every layer.</p>"
    where = words.listed([words.layer(layers[0]) for _, layers in runs[1:]])
    told = ", ".join(f"<b>{echo(title)}</b> {esc(_span(layers))}" for title, layers in runs)
    return f"<p>The nearest expert changes at {esc(where)}: {told}.</p>"


def _span(layers: Sequence[int | str]) -> str:
    blocks = [layer for layer in layers if layer != FINAL]
    if not blocks:
        return "at the final embedding"
    text = f"at block {blocks[0]}"
    if len(blocks) > 1:
        text = f"at blocks {blocks[0]} to {blocks[-1]}"
    return text + (" and the final embedding" if FINAL in layers else "")


def nearest(distances: Sequence[float]) -> int:
    """The smallest finite distance, the first of equals; 0 where none is finite."""
    finite = [d if math.isfinite(d) else math.inf for d in distances]
    return finite.index(min(finite))


def tables(view: View, reached: Reached, where: Where) -> str:
    """Two heat maps, layer by expert: raw distances, and similarities as the preset makes them."""
    suite, example = view.suite, view.example
    heads = ["Layer", *(_head(title, task, example) for title, task in _named(view))]
    kinds: dict[str, list[Row]] = {"distances": [], "similarities": []}
    for layer in valid_layers(suite):
        distances = at(reached, layer, where.pool)
        similar = routed(suite, reached, replace(where, layer=layer)).column("similarities")
        depths, best = _depths(similar), nearest(distances)
        name = "final" if layer == FINAL else f"block {layer}"
        for kind, values in (("distances", distances), ("similarities", similar)):
            shown = words.distance if kind == "distances" else words.number
            cells = [
                Cell(shown(value), depth, mark="nearest" if t == best else "")
                for t, (value, depth) in enumerate(zip(values, depths, strict=True))
            ]
            kinds[kind].append(Row(name, cells, layer == where.layer))
    captions = {
        "distances": "Distance to each expert, by layer (their scale differs from layer to layer)",
        "similarities": f"Similarity to each expert, by layer, preset {where.preset}",
    }
    return "".join(heat(captions[kind], heads, rows) for kind, rows in kinds.items())


def _named(view: View) -> list[tuple[str, str]]:
    return list(zip(view.titles, view.tasks, strict=True))


def _head(title: str, task: str, example: Example | None) -> str:
    right = example is not None and example.task == task
    mark = ' <span class="se-badge right">its own</span>' if right else ""
    return echo(title) + mark


def _depths(values: Sequence[float | None]) -> list[float]:
    """Where each value lies between the row's smallest and largest."""
    known = [v for v in values if v is not None]
    low, high = min(known), max(known)
    return [(v - low) / (high - low) if v is not None and high > low else 0.0 for v in values]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# --------------------------------------------------------------------------------------------------
# What the views of a diagnosis have in common: their content, and shares with their intervals.

Part = Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """top, below: HTML around the charts. charts: by name (heading as HTML, figure)."""

    top: str
    charts: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    below: str = ""


def sampled(diagnosis: Part) -> str:
    """What the figures were measured on, as one small line."""
    size, at = diagnosis["samples"], diagnosis["at"]
    text = (
        f"Measured on {size['test']:,} test samples, at most {size['a_task']} a task (seed "
        f"{size['seed']}), at the suite's defaults: probe {at['probe']}, {point(at)}, preset "
        f"{at['preset']}. What is chosen was chosen on {size['validation']:,} validation samples. "
        "Brackets are 95\u00a0% intervals."
    )
    return f'<p class="se-hint">{esc(text)}</p>'


def point(row: Part) -> str:
    """Layer, pooling and λ of one way to measure distances."""
    text = words.layer(row["layer"])
    if row["layer"] != row["pool"]:
        text += f", {words.POOLS[row['pool']]}"
    return text + (f", λ {row['probe_lambda']:g}" if row["probe_lambda"] else "")


def interval(row: Part, count: bool = True) -> str:
    """A share with its interval, and its number of samples."""
    if not row["n"]:
        return "no samples"
    text = f"{words.percent(row['share'])} ({bounds(row)}"
    return text + (f", n = {row['n']})" if count else ")")


def bounds(row: Part, between: str = " to ") -> str:
    """The 95 % interval of a share, in percent."""
    return f"{100 * row['low']:.1f}{between}{100 * row['high']:.1f}"


def title(suite: Suite, task: str) -> str:
    """A task's name for people."""
    names = suite.task_names
    return suite.tasks[names.index(task)].title if task in names else task


def fold(summary: str, content: str) -> str:
    """A part that opens on demand."""
    return f'<details class="se-more-figures"><summary>{esc(summary)}</summary>{content}</details>'


def named(suite: Suite) -> tuple[str, str]:
    """What a command calls a suite, and the folder it lies in; of one's own only a placeholder, as
    a page tells no path of the machine that it runs on."""
    folder = suite.folder.resolve()
    if folder == SUITES_FOLDER.resolve() / folder.name:
        return suite.name, f"assets/suites/{folder.name}"
    return "FOLDER", "FOLDER"


# --------------------------------------------------------------------------------------------------
# The automatic choice of probe, λ, layer and pooling without labels, and how close it comes.


def choice_page(diagnosis: Part, suite: Suite) -> Page:
    """The pick beside the best by labels, over all probes and for each."""
    found = diagnosis["choice"]
    pick, best, test = found["pick"], found["best"], found["test"]
    same = _way(pick) == _way(best)
    close = (
        "It is the one that labels would choose too"
        if same
        else f"Labels would choose probe {_way(best)}: {words.percent(best['routing'])}, "
        f"{100 * found['gap']:.1f} points more"
    )
    top = (
        f'<p class="se-sentence">Without a label the criterion picks probe {esc(_way(pick))}: the '
        f"right expert for <strong>{words.percent(pick['routing'])}</strong>.</p>"
        f"<p>{esc(close)} (n = {found['n']:,} validation samples, {found['candidates']} "
        f"candidates; the pick is number {found['rank_of_pick']} by labels). On {test['n']:,} test "
        f"samples: {words.percent(test['pick']['routing'])} picked, "
        f"{words.percent(test['best_of_validation']['routing'])} by labels.</p>"
        "<p>A candidate is good where its choices are clear (the mean margin) and where the other "
        "candidates tell the same story (the mutual information of their choices with its own): "
        "its score is the product. The paper has no such rule; this one is ours, and no default "
        "of the suite was chosen by it.</p>"
        f"{_there(pick, suite)}{how(suite)}"
    )
    top += sampled(diagnosis) + _compared(found) + fold("The first five by score", _first(found))
    return Page(f'<div class="se-said">{top}</div>')


def how(suite: Suite) -> str:
    """How to choose by samples of one's own; it needs no diagnosis."""
    samples = "a folder or .zip of images" if suite.modality == "image" else "a file of sentences"
    command = f"python -m semerge choose --suite {named(suite)[0]} SAMPLES"
    return (
        f"<p>By samples of your own, without labels: <code>{esc(command)}</code>, where SAMPLES is "
        f"{samples}. It prints the candidates by score, and the options that the other commands "
        "take.</p>"
    )


def _there(pick: Part, suite: Suite) -> str:
    """A way to look at the pick; none where it needs a λ, which this tab has no choice of."""
    if pick["probe"] == "experts" and pick["probe_lambda"] != suite.defaults.probe_lambda:
        return ""
    state = {"tab": "layers", "suite": suite.name, "probe": pick["probe"], "layer": pick["layer"]}
    if pick["pool"] != pick["layer"]:
        state["pool"] = pick["pool"]
    return f'<p><a href="?{esc(urlencode(state))}">Open this tab at the pick</a></p>'


def _way(row: Part) -> str:
    return f"{row['probe']}, {point(row)}"


def _compared(found: Part) -> str:
    rows = [
        [
            esc(name),
            esc(_way(row["pick"])),
            words.percent(row["pick"]["routing"]),
            esc(_way(row["best"])),
            words.percent(row["best"]["routing"]),
            f"{100 * row['gap']:.1f}",
            words.percent(row["test"]["pick"]["routing"]),
            words.percent(row["test"]["best_of_validation"]["routing"]),
        ]
        for name, row in {"all probes": found, **found["by_probe"]}.items()
    ]
    heads = (
        *("Among", "Picked without labels", "Routing", "Best with labels", "Routing"),
        *("Points apart", "Picked, on test", "Best, on test"),
    )
    caption = (
        f"Right expert chosen, mean over tasks: on {found['n']:,} validation and "
        f"{found['test']['n']:,} test samples"
    )
    return table(caption, heads, rows, kind="words folded")


def _first(found: Part) -> str:
    rows = [
        [esc(_way(row)), *(f"{row[key]:.3f}" for key in ("margin", "agreement", "score"))]
        for row in found["first"]
    ]
    heads = ("Candidate", "Margin", "Agreement", "Score")
    correlation = found["rank_correlation"]
    known = "" if correlation is None else f"; rank correlation with the routing {correlation:.2f}"
    return table(f"Scores on {found['n']:,} unlabelled samples{known}", heads, rows)


# --------------------------------------------------------------------------------------------------
# When the hypothesis holds: how far its own expert and the others move an input.


def holds_page(diagnosis: Part, suite: Suite) -> Page:
    """The verdict, displacements, λ, and how alike the drifts are."""
    found, at = diagnosis["displacement"], diagnosis["at"]
    top = (
        '<h2 class="se-title">When does the hypothesis hold</h2>'
        f'<p class="se-sentence">{esc(found["verdict"])}</p>'
        "<p>An expert moves the representation of an input away from where the base model has it. "
        "For a small λ the nearest expert is the one that moves the input least: that has to be "
        "the input's own. For a larger λ the merged model drifts along what the experts' moves "
        "have in common, away from the one that did not move.</p>"
    )
    top += sampled(diagnosis)
    scale = at["probe_lambda"] if at["probe"] != "base" else None
    return Page(
        f'<div class="se-said">{top}</div>',
        {
            "moves": (_moves_head(found), _moves(found, suite)),
            "curve": (_curve_head(found, scale), set_charts.curve(found["curve"], scale)),
        },
        _moved(found, suite) + fold("How alike the experts' moves are", _alike(found, suite)),
    )


def _moves_head(found: Part) -> str:
    place = point({**found, "probe_lambda": 0})
    summary = (
        f"Mean distance that its own expert, and the others, move a task's samples, at {place} "
        f"(n = {found['n']:,}). Its own moves it least for {interval(found['moves_least'], False)}."
    )
    return chart_head("How far the experts move an input", summary, "layers", "moves")


def _moves(found: Part, suite: Suite) -> Any:
    series = {
        "base": [row["others"] for row in found["tasks"].values()],
        "se": [row["own"] for row in found["tasks"].values()],
    }
    names = {"base": "the others, mean", "se": "its own expert"}
    return charts.report([title(suite, t) for t in found["tasks"]], series, names, share=False)


def _curve_head(found: Part, scale: float | None) -> str:
    measured = [row for row in found["curve"] if "measured" in row]
    best = max(measured, key=lambda row: row["measured"]["share"])
    last = measured[-1]
    summary = (
        f"Right expert nearest: {interval(best['measured'], False)} at λ {best['lambda']:g}, "
        f"{words.percent(last['measured']['share'])} at λ {last['lambda']:g} (n = {found['n']:,}). "
        + (f"The dashed line is the suite's λ, {scale:g}." if scale else "λ 0 is the probe base.")
    )
    return chart_head("The λ of the merged model that is probed", summary, "layers", "curve")


def _moved(found: Part, suite: Suite) -> str:
    rows = [
        [
            echo(title(suite, task)),
            f"{row['own']:#.3g}",
            f"{row['others']:#.3g}",
            "–" if row["ratio"] is None else f"{row['ratio']:.2f}",
            interval(row["moves_least"]),
        ]
        for task, row in found["tasks"].items()
    ]
    heads = ("Task", "Own expert moves it by", "Others, mean", "Ratio", "Own moves it least")
    text = table("How far experts move a task's samples", heads, rows)
    curve = [
        [
            f"{row['lambda']:g}",
            interval(row["predicted"]),
            interval(row["measured"]) if "measured" in row else "–",
        ]
        for row in found["curve"]
    ]
    return text + fold(
        "Figures by λ",
        table("Right expert nearest, by λ", ("λ", "Predicted, to first order", "Measured"), curve),
    )


def _alike(found: Part, suite: Suite) -> str:
    titles = [echo(task.title) for task in suite.tasks]
    rows = [
        Row(name, [Cell(words.number(c), abs(c) ** 2 if i != j else 0.0) for j, c in enumerate(r)])
        for i, (name, r) in enumerate(zip(titles, found["correlations"], strict=True))
    ]
    caption = (
        f"Mean cosine between two experts' displacements of the same input (n = {found['n']:,}); "
        f"{found['drift_correlation']:.2f} on average"
    )
    return heat(caption, ["Expert", *titles], rows)


# --------------------------------------------------------------------------------------------------
# The paper's hypothesis on labelled samples: is the expert of an input's own task the nearest?

MODELS = {"base": "Base", "static": "Static merge", "se": "SE-Merging"}
Rows = Mapping[tuple[str, str, str], Part]  # by probe, layer, pooling


def hypothesis_page(diagnosis: Part, suite: Suite) -> Page:
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


# --------------------------------------------------------------------------------------------------
# Inputs that no expert fits: what the notice catches, and what falling back would change.

SCORES = {
    "entropy": "how alike the coefficients are",
    "margin": "how little the nearest two differ",
    "nearest": "distance to the nearest expert",
    "relative": "that distance over what is usual for this expert",
    "other probe": "distance by a second probe",
    "either": "the larger of the last two",
}


def misfits_page(diagnosis: Part, suite: Suite) -> Page:
    """The notice with its rates, every score's rates, and the fallback."""
    found = diagnosis["abstention"]
    notice, score = abstention_of(diagnosis, len(suite.tasks)), found["score"]
    made = found["made"][score]
    missed = [f"{kind} {interval(row)}" for kind, row in made["kinds"].items()]
    left = found["left_out"].get(score)
    if left:
        missed.append(f"an expert left out and its task fed {interval(left['miss'])}")
    top = (
        '<p class="se-sentence">The notice “no expert fits” comes for '
        f"<strong>{words.percent(made['false_alarm']['share'])}</strong> of the inputs that do "
        f"belong to a task ({bounds(made['false_alarm'])}, n = {made['false_alarm']['n']}).</p>"
        f"<p>It misses: {esc('; '.join(missed))}.</p>"
        f"<p>It goes by the score <b>{esc(score)}</b>, {esc(SCORES[score])}: of all scores the one "
        "with the fewest misses on validation, its threshold set there for "
        f"{100 * found['false_alarm']:g}\u00a0% false alarms on {found['n']:,} samples.</p>"
        f"{_second(found['other_probe'])}"
        f"<p>{esc(notice.effect())} The option is in the Options of the Vision and Language tabs "
        "and in <code>predict --fallback static</code>.</p>"
    )
    top += sampled(diagnosis) + _scores(found)
    if left:
        top += fold("Misses by the task that was left out", _left(left, suite))
    if without := found["fallback"].get("left_out"):
        top += fold("Falling back, by the task that was left out", _without(without, suite))
    return Page(f'<div class="se-said">{top}</div>')


def _second(other: Part | None) -> str:
    if other is None:
        return ""
    return f"<p>The second probe is {esc(other['probe'])}, {esc(point(other))}.</p>"


def _scores(found: Part) -> str:
    kinds = list(next(iter(found["made"].values()))["kinds"])
    rows = []
    for score, row in found["made"].items():
        left = found["left_out"].get(score)
        used = ' <span class="se-badge chosen">used</span>' if score == found["score"] else ""
        cells = [_short(row["false_alarm"]), *(_short(row["kinds"][kind]) for kind in kinds)]
        told = f"<b>{esc(score)}</b>{used}<br><small>{esc(SCORES.get(score, ''))}</small>"
        rows.append([told, *cells, _short(left["miss"]) if left else "–"])
    made = next(iter(found["made"].values()))
    sizes = [made["false_alarm"]["n"], *(made["kinds"][kind]["n"] for kind in kinds)]
    left = next(iter(found["left_out"].values()), None)
    names = ["False alarms", *(f"Missed: {kind}" for kind in kinds)]
    heads = ["Score", *(f"{name}, n = {n}" for name, n in zip(names, sizes, strict=True))]
    heads.append("Missed: expert left out" + (f", n = {left['miss']['n']}" if left else ""))
    return table("False alarms and misses of every score, on test", heads, rows, kind="wrap")


def _short(row: Part) -> str:
    return f"{words.percent(row['share'])}<br><small>{bounds(row, '–')}</small>"


def _left(left: Part, suite: Suite) -> str:
    rows = [[echo(title(suite, task)), interval(row)] for task, row in left["tasks"].items()]
    alarm = interval(left["false_alarm"])
    return table(f"Missed, by task; false alarms on the others {alarm}", ("Task", "Missed"), rows)


def _without(found: Part, suite: Suite) -> str:
    """Accuracy with and without the fallback where a task's expert is missing."""
    rows = [
        [echo(name), *_accuracies(row)]
        for name, row in (
            *((title(suite, task), row) for task, row in found["tasks"].items()),
            ("All", found),
        )
    ]
    caption = (
        "Accuracy on the test samples of a task whose expert was left out, with the task's own "
        "head; static: the static merge of the other experts"
    )
    heads = ("Task", "SE", "Static", "SE with fallback", "Fell back")
    return table(caption, heads, rows)


def _accuracies(row: Part) -> list[str]:
    shares = [words.percent(row["oracle"][key]) for key in ("se", "static", "with_fallback")]
    return [*shares, f"{row['fell_back']} of {row['n']}"]
