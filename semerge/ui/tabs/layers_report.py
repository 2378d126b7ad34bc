"""What a suite's report.json says of many inputs: four views of the Layers tab. No gradio here.

All of it was computed by `evaluate --diagnose`; here it is only shown. A view is a `Page`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

from jinja2 import UndefinedError
from markupsafe import Markup

from semerge.probes import PROBES
from semerge.settings import FINAL, POOLS, valid_layers
from semerge.suites import SUITES_FOLDER, Suite
from semerge.suites.abstention import abstention_of, read_diagnosis
from semerge.ui import charts, words
from semerge.ui.words import macro

Part = Mapping[str, Any]  # of a diagnosis
part = partial(macro, template="layers.html")
table = partial(macro, "table")
echo = partial(macro, "echo")


class Chart(NamedTuple):
    title: str
    summary: str
    figure: Any  # plotly's


class Page(NamedTuple):
    """What a view shows: HTML, charts by name, HTML. One sentence alone where there is no
    diagnosis."""

    top: Markup
    charts: Mapping[str, Chart] = {}
    below: Markup = Markup()


class Topic(NamedTuple):
    """A view. label: of its tab. page: what a diagnosis says of it. charts: names, row by row."""

    label: str
    page: Callable[[Part, Suite], Page]
    charts: tuple[tuple[str, ...], ...] = ()


class Cell(NamedTuple):
    """A cell of a heat map. depth in [0, 1]: how deep its shade is. note: small, below the text.
    mark: a word for what stands out. span: columns."""

    text: str
    depth: float = 0.0
    note: str = ""
    mark: str = ""
    span: int = 1


class Row(NamedTuple):
    """A row of a heat map. current: the one that the rest of the page is about."""

    head: str
    cells: Sequence[Cell]
    current: bool = False


def pages(suite: Suite) -> dict[str, Page]:
    """By name in TOPICS."""
    try:
        diagnosis = read_diagnosis(suite)
        if diagnosis is not None:
            return {name: topic.page(diagnosis, suite) for name, topic in TOPICS.items()}
        what = "has no diagnosis yet"
    except (ValueError, LookupError, TypeError, AttributeError, UndefinedError):
        what = "has a diagnosis that can't be read"
    name, folder = _named(suite)
    made = f"evaluate --suite {name} --data DIR --diagnose {folder}/report.json"
    missing = partial(part, "missing", suite.title, what, f"python -m semerge {made}")
    # the automatic choice needs no diagnosis
    return dict.fromkeys(TOPICS, Page(missing())) | {"choice": Page(missing(_choosing(suite)))}


def _named(suite: Suite) -> tuple[str, str]:
    """What a command calls a suite, and the folder it lies in; of one's own only a placeholder, as
    a page tells no path of the machine that it runs on."""
    folder = suite.folder.resolve()
    if folder == SUITES_FOLDER.resolve() / folder.name:
        return suite.name, f"assets/suites/{folder.name}"
    return "FOLDER", "FOLDER"


def _choosing(suite: Suite) -> tuple[str, str]:
    """The command that chooses by samples of one's own, and what these are."""
    samples = "a folder or .zip of images" if suite.modality == "image" else "a file of sentences"
    return f"python -m semerge choose --suite {_named(suite)[0]} SAMPLES", samples


# --------------------------------------------------------------------------------------------------
# The paper's hypothesis: is the expert of an input's own task the nearest?

MODELS = {"base": "Base", "static": "Static merge", "se": "SE-Merging"}
Rows = Mapping[tuple[str, str, str], Part]  # by probe, layer, pooling


def hypothesis(diagnosis: Part, suite: Suite) -> Page:
    """Shares by layer and pooling, margins, bias and the map."""
    found, at, bias = diagnosis["hypothesis"], diagnosis["at"], diagnosis["bias"]
    rows = {(r["probe"], str(r["layer"]), r["pool"]): r for r in found["rows"]}
    usual = rows[at["probe"], str(at["layer"]), at["pool"]]
    best = max(found["best"].values(), key=lambda row: row["share"])
    cells = shares(rows, found["best"], at, suite)
    drawn = {
        "margins": _margins(found["margins"]),
        "bias": _bias(bias, suite),
        "map": _map(diagnosis["map"], suite),
    }
    figures = _bias_table(bias, suite), _margins_table(found["margins"])
    return Page(
        part("hypothesis", diagnosis, usual, best, len(suite.tasks), cells),
        drawn,
        part("hypothesis_figures", *figures),
    )


def shares(rows: Rows, best: Part, at: Part, suite: Suite) -> Markup:
    """One table for every probe, layer and pooling."""
    probes = [probe for probe in PROBES.names if any(key[0] == probe for key in rows)]
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
    count = words.whole(next(iter(rows.values()))["n"])
    heads = ["Layer", *(words.CHOICES["pool"][pool] for probe in probes for pool in pools[probe])]
    groups = [(f"probe {probe}", len(pools[probe])) for probe in probes]
    caption = f"Right expert nearest, in percent of {count} test samples"
    return part("heat", caption, heads, lines, groups)


def _share(row: Part, best: Part, at: Part, span: int = 1) -> Cell:
    place, top = (row["layer"], row["pool"]), best[row["probe"]]
    marks = []
    if (row["probe"], *place) == (at["probe"], at["layer"], at["pool"]):
        marks.append("default")
    if place == (top["layer"], top["pool"]):
        marks.append("best")
    text = f"{100 * row['share']:.1f}"
    return Cell(text, row["share"] ** 2, words.bounds(row, "–"), ", ".join(marks), span)


def _margins(found: Part) -> Chart:
    summary = (
        f"The margin (d₂ − d₁) / d₂ is {words.percent(found['quantiles']['0.5'])} in the middle "
        f"and {words.percent(found['mean'])} on average (n = {words.whole(found['n'])}); samples "
        "by margin, above where the right expert was chosen, below where a wrong one was."
    )
    return Chart("How clear the choice was", summary, charts.margins(found))


def _margins_table(found: Part) -> Markup:
    edges = [i / found["bins"] for i in range(found["bins"] + 1)]
    counts = zip(edges, edges[1:], found["right"], found["misrouted"], strict=False)
    rows = [[f"{low:.0%} to {high:.0%}", right, wrong] for low, high, right, wrong in counts]
    return table("Samples by margin", ("Margin", "Right expert", "Wrong expert"), rows)


def _bias(found: Part, suite: Suite) -> Chart:
    gaps = ", ".join(f"{MODELS[kind]} {gap:.3f}" for kind, gap in found["average"].items())
    summary = (
        "Distance of the final embedding to the right expert's, over the length of that: "
        f"{gaps} on average (n = {words.whole(found['n'])}). SE-Merging is nearer than the static "
        f"merge for {words.interval(found['se_nearer'], False)}."
    )
    series = {kind: [row[kind] for row in found["tasks"].values()] for kind in MODELS}
    titles = [suite.task_title(task) for task in found["tasks"]]
    figure = charts.report(titles, series, MODELS, share=False)
    return Chart("Representation bias", summary, figure)


def _bias_table(found: Part, suite: Suite) -> Markup:
    tasks = [(suite.task_title(task), row) for task, row in found["tasks"].items()]
    rows = [
        [echo(name), *(words.number(row[kind], 3) for kind in MODELS)]
        for name, row in [("All tasks", found["average"]), *tasks]
    ]
    caption = "Relative distance to the right expert's embedding"
    return table(caption, ("Task", *MODELS.values()), rows)


def _map(found: Part, suite: Suite) -> Chart:
    summary = (
        f"Each mark is one of {words.whole(found['n'])} test samples, where the merged model has "
        f"it at {_point(found)}: the two axes along which the samples differ most."
    )
    figure = charts.task_map(found, {task.name: task.title for task in suite.tasks})
    return Chart("Map of the merged model's representations", summary, figure)


def _point(found: Part) -> str:
    """Layer and pooling alone."""
    return words.place({**found, "probe_lambda": 0})


# --------------------------------------------------------------------------------------------------
# When the hypothesis holds: how far its own expert and the others move an input.


def holds(diagnosis: Part, suite: Suite) -> Page:
    """The verdict, displacements, λ, and how alike the drifts are."""
    found, at = diagnosis["displacement"], diagnosis["at"]
    scale = at["probe_lambda"] if at["probe"] != "base" else None
    return Page(
        part("holds", diagnosis),
        {"moves": _moves(found, suite), "curve": _curve(found, scale)},
        part(
            "holds_figures", _moves_table(found, suite), _curve_table(found), _alike(found, suite)
        ),
    )


def _moves(found: Part, suite: Suite) -> Chart:
    summary = (
        "Mean distance that its own expert, and the others, move a task's samples, at "
        f"{_point(found)} (n = {words.whole(found['n'])}). Its own moves it least for "
        f"{words.interval(found['moves_least'], False)}."
    )
    rows, titles = found["tasks"].values(), [suite.task_title(task) for task in found["tasks"]]
    series = {"base": [row["others"] for row in rows], "se": [row["own"] for row in rows]}
    names = {"base": "the others, mean", "se": "its own expert"}
    figure = charts.report(titles, series, names, share=False)
    return Chart("How far the experts move an input", summary, figure)


def _moves_table(found: Part, suite: Suite) -> Markup:
    rows = [
        [
            echo(suite.task_title(task)),
            f"{row['own']:#.3g}",
            f"{row['others']:#.3g}",
            "–" if row["ratio"] is None else f"{row['ratio']:.2f}",
            words.interval(row["moves_least"]),
        ]
        for task, row in found["tasks"].items()
    ]
    heads = ("Task", "Own expert moves it by", "Others, mean", "Ratio", "Own moves it least")
    return table("How far experts move a task's samples", heads, rows)


def _curve(found: Part, scale: float | None) -> Chart:
    measured = [row for row in found["curve"] if "measured" in row]
    best = max(measured, key=lambda row: row["measured"]["share"])
    last = measured[-1]
    summary = (
        f"Right expert nearest: {words.interval(best['measured'], False)} at λ {best['lambda']:g}, "
        f"{words.percent(last['measured']['share'])} at λ {last['lambda']:g} "
        f"(n = {words.whole(found['n'])}). "
        + (f"The dashed line is the suite's λ, {scale:g}." if scale else "λ 0 is the probe base.")
    )
    figure = charts.curve(found["curve"], scale)
    return Chart("The λ of the merged model that is probed", summary, figure)


def _curve_table(found: Part) -> Markup:
    rows = [
        [
            f"{row['lambda']:g}",
            words.interval(row["predicted"]),
            words.interval(row["measured"]) if "measured" in row else "–",
        ]
        for row in found["curve"]
    ]
    heads = ("λ", "Predicted, to first order", "Measured")
    return table("Right expert nearest, by λ", heads, rows)


def _alike(found: Part, suite: Suite) -> Markup:
    titles = [echo(task.title) for task in suite.tasks]
    rows = [
        Row(name, [Cell(words.number(c), abs(c) ** 2 if i != j else 0.0) for j, c in enumerate(r)])
        for i, (name, r) in enumerate(zip(titles, found["correlations"], strict=True))
    ]
    caption = (
        "Mean cosine between two experts' displacements of the same input "
        f"(n = {words.whole(found['n'])}); {found['drift_correlation']:.2f} on average"
    )
    return part("heat", caption, ["Expert", *titles], rows)


# --------------------------------------------------------------------------------------------------
# The automatic choice of probe, λ, layer and pooling without labels, and how close it comes.


def choice(diagnosis: Part, suite: Suite) -> Page:
    """The pick beside the best by labels, over all probes and for each."""
    found = diagnosis["choice"]
    compared, first = _compared(found), _first(found)
    at = _address(found["pick"], suite)
    return Page(part("choice", diagnosis, at, _choosing(suite), compared, first))


def _address(pick: Part, suite: Suite) -> str:
    """The query of a link to the pick; empty where it needs a λ, which the tab has no choice of."""
    if pick["probe"] == "experts" and pick["probe_lambda"] != suite.defaults.probe_lambda:
        return ""
    state = {"tab": "layers", "suite": suite.name, "probe": pick["probe"], "layer": pick["layer"]}
    return urlencode(state | ({"pool": pick["pool"]} if pick["pool"] != pick["layer"] else {}))


def _compared(found: Part) -> Markup:
    rows = [
        [
            name,
            part("way", row["pick"]),
            words.percent(row["pick"]["routing"]),
            part("way", row["best"]),
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
        f"Right expert chosen, mean over tasks: on {words.whole(found['n'])} validation and "
        f"{words.whole(found['test']['n'])} test samples"
    )
    return table(caption, heads, rows, kind="words folded")


def _first(found: Part) -> Markup:
    rows = [
        [part("way", row), *(f"{row[key]:.3f}" for key in ("margin", "agreement", "score"))]
        for row in found["first"]
    ]
    heads = ("Candidate", "Margin", "Agreement", "Score")
    correlation = found["rank_correlation"]
    known = "" if correlation is None else f"; rank correlation with the routing {correlation:.2f}"
    return table(f"Scores on {words.whole(found['n'])} unlabelled samples{known}", heads, rows)


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


def fits(diagnosis: Part, suite: Suite) -> Page:
    """The notice with its rates, every score's rates, and the fallback."""
    found = diagnosis["abstention"]
    score = found["score"]
    made, left = found["made"][score], found["left_out"].get(score)
    missed = [f"{kind} {words.interval(row)}" for kind, row in made["kinds"].items()]
    if left:
        missed.append(f"an expert left out and its task fed {words.interval(left['miss'])}")
    without = found["fallback"].get("left_out")
    return Page(
        part(
            "fits",
            diagnosis,
            made,
            missed,
            about=SCORES[score],
            effect=abstention_of(diagnosis, len(suite.tasks)).effect(),
            scores=_scores(found),
            left=_left(left, suite) if left else "",
            without=_without(without, suite) if without else "",
        )
    )


def _scores(found: Part) -> Markup:
    made, left = found["made"], found["left_out"]
    first = next(iter(made.values()))
    kinds = list(first["kinds"])
    rows = []
    for score, row in made.items():
        rates = [row["false_alarm"], *(row["kinds"][kind] for kind in kinds)]
        name = part("score", score, SCORES.get(score, ""), score == found["score"])
        last = part("share", left[score]["miss"]) if score in left else "–"
        rows.append([name, *(part("share", rate) for rate in rates), last])
    named = {"False alarms": first["false_alarm"]}
    named |= {f"Missed: {kind}": first["kinds"][kind] for kind in kinds}
    heads = ["Score", *(f"{name}, n = {row['n']}" for name, row in named.items())]
    some = next(iter(left.values()), None)
    heads.append("Missed: expert left out" + (f", n = {some['miss']['n']}" if some else ""))
    return table("False alarms and misses of every score, on test", heads, rows, kind="wrap")


def _left(left: Part, suite: Suite) -> Markup:
    rows = [
        [echo(suite.task_title(task)), words.interval(row)] for task, row in left["tasks"].items()
    ]
    alarm = words.interval(left["false_alarm"])
    return table(f"Missed, by task; false alarms on the others {alarm}", ("Task", "Missed"), rows)


def _without(found: Part, suite: Suite) -> Markup:
    """Accuracy with and without the fallback where a task's expert is missing."""
    rows = []
    for name, row in [*found["tasks"].items(), ("All", found)]:
        accuracies = [words.percent(row["oracle"][k]) for k in ("se", "static", "with_fallback")]
        fell = f"{row['fell_back']} of {row['n']}"
        rows.append([echo(suite.task_title(name)), *accuracies, fell])
    caption = (
        "Accuracy on the test samples of a task whose expert was left out, with the task's own "
        "head; static: the static merge of the other experts"
    )
    return table(caption, ("Task", "SE", "Static", "SE with fallback", "Fell back"), rows)


TOPICS = {
    "hypothesis": Topic("Hypothesis", hypothesis, (("margins", "bias"), ("map",))),
    "holds": Topic("When it holds", holds, (("moves", "curve"),)),
    "choice": Topic("Automatic choice", choice),
    "fits": Topic("No expert fits", fits),
}
