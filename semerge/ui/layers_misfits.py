"""Inputs that no expert fits: what the notice catches, and what falling back would change."""

from __future__ import annotations

from semerge.abstention import abstention_of
from semerge.suites import Suite
from semerge.ui import words
from semerge.ui.layers_page import Page, Part, bounds, fold, interval, point, sampled, title
from semerge.ui.markup import echo, esc, table

SCORES = {
    "entropy": "how alike the coefficients are",
    "margin": "how little the nearest two differ",
    "nearest": "distance to the nearest expert",
    "relative": "that distance over what is usual for this expert",
    "other probe": "distance by a second probe",
    "either": "the larger of the last two",
}


def page(diagnosis: Part, suite: Suite) -> Page:
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
