"""What a suite's report.json says of many inputs: four views of the Layers tab. No gradio here.

All of it was computed by `evaluate --diagnose`; here it is only shown. A view is a `Page`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

from jinja2 import UndefinedError
from markupsafe import Markup

from semerge.probes import PROBES
from semerge.settings import POOLS, valid_layers
from semerge.suites import SUITES_FOLDER, Suite
from semerge.suites.abstention import abstention_of
from semerge.suites.report import read_diagnosis, read_report
from semerge.ui import charts
from semerge.ui.words import macro

Part = Mapping[str, Any]  # of a diagnosis
part = partial(macro, template="layers.html")


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


def pages(suite: Suite) -> dict[str, Page]:
    """By name in TOPICS."""
    try:
        diagnosis = read_diagnosis(suite)
        if diagnosis is not None:
            return {name: topic.page(diagnosis, suite) for name, topic in TOPICS.items()}
        what = "has no diagnosis yet"
    except (ValueError, LookupError, TypeError, AttributeError, UndefinedError):
        what = "has a diagnosis that can't be read"
    missing = partial(part, "missing", suite.title, what, command(suite))
    # the automatic choice needs no diagnosis
    return dict.fromkeys(TOPICS, Page(missing())) | {"choice": Page(missing(_choosing(suite)))}


def command(suite: Suite, more: str = "") -> str:
    """What writes the figures of a suite into its report. more: further options."""
    name, folder = _named(suite)
    made = f"evaluate --suite {name} --data DIR {more}--diagnose {folder}/report.json"
    return f"python -m semerge {made}"


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


def hypothesis(diagnosis: Part, suite: Suite) -> Page:
    """Shares by layer and pooling, margins, bias and the map."""
    found, bias = diagnosis["hypothesis"], diagnosis["bias"]
    rows = {(r["probe"], str(r["layer"]), r["pool"]): r for r in found["rows"]}
    pooled = [(row["probe"], row["pool"]) for row in found["rows"]]
    pools = {
        probe: [pool for pool in POOLS[suite.modality] if (probe, pool) in pooled]
        for probe in PROBES.names
        if any(row["probe"] == probe for row in found["rows"])
    }
    margins, plane = found["margins"], diagnosis["map"]
    gaps = {kind: [row[kind] for row in bias["tasks"].values()] for kind in MODELS}
    drawn = {
        "margins": Chart(
            "How clear the choice was", part("margins", margins), charts.margins(margins)
        ),
        "bias": Chart(
            "Representation bias",
            part("bias", bias, MODELS),
            charts.report(_titles(bias, suite), gaps, MODELS, share=False),
        ),
        "map": Chart(
            "Map of the merged model's representations",
            part("map", plane),
            charts.task_map(plane, {task.name: task.title for task in suite.tasks}),
        ),
    }
    return Page(
        part("hypothesis", diagnosis, rows, pools, valid_layers(suite), len(suite.tasks)),
        drawn,
        part("hypothesis_figures", bias, margins, MODELS, suite),
    )


def _titles(found: Part, suite: Suite) -> list[str]:
    """Of the tasks that a part has figures of."""
    return [suite.task_title(task) for task in found["tasks"]]


# --------------------------------------------------------------------------------------------------
# When the hypothesis holds: how far its own expert and the others move an input.


def holds(diagnosis: Part, suite: Suite) -> Page:
    """The verdict, displacements, λ, and how alike the drifts are."""
    found, at = diagnosis["displacement"], diagnosis["at"]
    scale = at["probe_lambda"] if at["probe"] != "base" else None
    rows = found["tasks"].values()
    series = {"base": [row["others"] for row in rows], "se": [row["own"] for row in rows]}
    names = {"base": "the others, mean", "se": "its own expert"}
    drawn = {
        "moves": Chart(
            "How far the experts move an input",
            part("moves", found),
            charts.report(_titles(found, suite), series, names, share=False),
        ),
        "curve": Chart(
            "The λ of the merged model that is probed",
            part("curve", found, scale),
            charts.curve(found["curve"], scale),
        ),
    }
    return Page(part("holds", diagnosis), drawn, part("holds_figures", found, suite))


# --------------------------------------------------------------------------------------------------
# The same over λ: one λ for the static merge and for the probe.

CURVES = {
    "static": "static merge",
    "nearest": "own expert is nearest",
    "hard_given": "SE-Merging, given head",
    "hard_routed": "SE-Merging, routed head",
}


def curves(diagnosis: Part, suite: Suite) -> Page:
    """Of the suite's experts, and of the families that its recipe was chosen among."""
    found = diagnosis.get("curve")
    if found is None:
        return Page(part("no_curve"))
    at, report = diagnosis["at"], read_report(suite) or {}
    rows = found["rows"]
    series = {text: [(r["lambda"], r[key]) for r in rows] for key, text in CURVES.items()}
    drawn = {
        "over": Chart(
            "The suite's own experts",
            part("over", found, at["static_lambda"]),
            charts.over_lambda(series, tuple(charts.OVER_LAMBDA.values()), at["static_lambda"]),
        )
    }
    measured = (row for row in report.get("ablation", ()) if "curve" in row)  # older reports: none
    families = {row["experts"]: row["curve"]["rows"] for row in measured}
    for key, title in (("nearest", "Own expert is nearest"), ("static", "Static merge")):
        if families:
            lines = {name: [(r["lambda"], r[key]) for r in of] for name, of in families.items()}
            figure = charts.over_lambda(lines, charts.FAMILIES[: len(lines)])
            drawn[f"families-{key}"] = Chart(title, part("families"), figure)
    return Page(part("curves", diagnosis), drawn, part("curve_figures", rows, CURVES, families))


# --------------------------------------------------------------------------------------------------
# The automatic choice of probe, λ, layer and pooling without labels, and how close it comes.


def choice(diagnosis: Part, suite: Suite) -> Page:
    """The pick beside the best by labels, over all probes and for each."""
    at = _address(diagnosis["choice"]["pick"], suite)
    return Page(part("choice", diagnosis, at, _choosing(suite)))


def _address(pick: Part, suite: Suite) -> str:
    """The query of a link to the pick; empty where it needs a λ, which the tab has no choice of."""
    if pick["probe"] == "experts" and pick["probe_lambda"] != suite.defaults.probe_lambda:
        return ""
    state = {"tab": "layers", "suite": suite.name, "probe": pick["probe"], "layer": pick["layer"]}
    return urlencode(state | ({"pool": pick["pool"]} if pick["pool"] != pick["layer"] else {}))


# --------------------------------------------------------------------------------------------------
# Inputs that no expert fits: what the notice catches, and what falling back would change.


def fits(diagnosis: Part, suite: Suite) -> Page:
    """The notice with its rates, every score's rates, and the fallback."""
    effect = abstention_of(diagnosis, len(suite.tasks)).effect()
    return Page(part("fits", diagnosis, suite, effect))


TOPICS = {
    "hypothesis": Topic("Hypothesis", hypothesis, (("margins", "bias"), ("map",))),
    "holds": Topic("When it holds", holds, (("moves", "curve"),)),
    "curves": Topic("Over λ", curves, (("over",), ("families-nearest", "families-static"))),
    "choice": Topic("Automatic choice", choice),
    "fits": Topic("No expert fits", fits),
}
