"""One input at every layer: what its distances say, as HTML and as the View that charts read.

The input is probed once, at all layers and poolings; whatever is looked at then, is routed from
those distances by the engine's own `route`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from semerge.examples import Example
from semerge.settings import FINAL, Settings, valid_layers, valid_pools
from semerge.suites import Suite
from semerge.ui import markup, words
from semerge.ui.heat import Cell, Row, heat
from semerge.ui.markup import echo, esc
from semerge.ui.view import View

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
