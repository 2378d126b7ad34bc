"""The automatic choice of probe, λ, layer and pooling without labels, and how close it comes."""

from __future__ import annotations

from urllib.parse import urlencode

from semerge.suites import Suite
from semerge.ui import words
from semerge.ui.layers_page import Page, Part, fold, named, point, sampled
from semerge.ui.markup import esc, table


def page(diagnosis: Part, suite: Suite) -> Page:
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
