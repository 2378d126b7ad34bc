"""The four steps of the method for one input: a sentence and a number each, for presenting.

Each is part of the Result panel and hidden until the page is presented (`?present=1`): then the
page's script shows one step at a time, by the `data-step` of these parts.
"""

from __future__ import annotations

from semerge.ui import markup, words
from semerge.ui.markup import echo, esc
from semerge.ui.view import View

STEPS = ("probe", "similarity", "rescale", "answer")
COMPARED = {
    "experts": "the merged model's representation of this input is compared with each expert's",
    "base": "the base model's representation of this input is compared with each expert's",
    "cache": "the merged model's representation of this input is compared with stored samples",
}


def probe(view: View) -> str:
    """Which expert is nearest, and the distances of all."""
    distances = view.column("distances")
    nearest = distances[view.chosen]
    where = words.reached(view)
    text = (
        f"{esc(where[0].upper() + where[1:])}, {COMPARED[view.result['probe']]}: {_named(view)} is "
        f"the nearest, at distance {_number(words.distance(nearest))}."
    )
    if view.estimated:
        text += f" {esc(words.ESTIMATES)}"
    known = [d for d in distances if d is not None]
    most = max(known, default=0.0) or 1.0
    rows = "".join(
        f'<li{" class=nearest" if i == view.chosen else ""}><span class="se-label">{echo(title)}'
        f'</span><span class="se-bar" aria-hidden="true"><i style="width:'
        f'{100 * (d or 0.0) / most:.2f}%"></i></span><span class="se-value">{words.distance(d)}'
        f"{' nearest' if i == view.chosen else ''}</span></li>"
        for i, (title, d) in enumerate(zip(view.titles, distances, strict=True))
    )
    return _step("probe", "Probe", text) + f'<ol class="se-scores se-distances">{rows}</ol>'


def similarity(view: View) -> str:
    """How similar the nearest expert is, and the next."""
    values = view.column("similarities")
    text = (
        f"The smaller the distance, the more similar: {_named(view)} has "
        f"{_number(words.number(values[view.chosen]))}"
    )
    rest = [
        (value, title)
        for i, (value, title) in enumerate(zip(values, view.titles, strict=True))
        if i != view.chosen and value is not None
    ]
    if rest:
        value, title = max(rest)
        text += f", the next, {echo(title)}, {words.number(value)}"
    return _step("similarity", "Similarity", text + ".")


def rescale(view: View) -> str:
    """What becomes of the chosen expert's coefficient, and of the others'."""
    verb, old, new = words.change(view)
    change = f"stays at {_number(new)}" if verb == "kept" else f"goes from {old} to {_number(new)}"
    rest = [v for i, v in enumerate(view.column("coefficients")) if i != view.chosen and v]
    text = f"Similarities become coefficients: that of {_named(view)} {change}"
    text += f"; the others sum to {words.number(sum(rest))}"
    return _step("rescale", "Rescale", text + ".")


def answer(view: View) -> str:
    """What the model answers that was merged with these coefficients."""
    best = view.result["predictions"]["se"][0]
    text = (
        f"Merged with these coefficients, the model answers <strong>{echo(best['label'])}</strong> "
        f"with a score of {_number(words.percent(best['score']))}; the static merge answers "
    )
    text += "the same." if view.same else f"{echo(view.answer('static'))}."
    truth = markup.truth(view) if view.example is not None else ""
    return _step("answer", "Merge and answer", text, truth)


def _step(name: str, title: str, text: str, more: str = "") -> str:
    number = STEPS.index(name) + 1
    return (
        f'<div class="se-step" data-step="{name}"><p><b>{number} {title}</b> '
        f"<span>{text}</span></p>{more}</div>"
    )


def _named(view: View) -> str:
    return f"<strong>{echo(view.titles[view.chosen])}</strong>"


def _number(text: str) -> str:
    return f'<strong class="is-number">{text}</strong>'
