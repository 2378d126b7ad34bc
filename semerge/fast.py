"""The fast mode: fewer passes for almost always the same answer. Opt-in, and labelled.

Exact SE-Merging runs the merged model and all T experts to the probe layer, merges, and runs the
merge from the start. Two things save most of it, and both can only err where experts are near:

1. An expert that is much farther than the nearest one at an early layer does not become the nearest
   later. It is dropped there; when one expert is left, the probe ends.
2. A routing that gives nearly everything to one expert, with a mass of 1, makes a merge that is
   nearly that expert. Then the expert answers, from the layer to which the probe ran it: nothing is
   merged, and the weights are in memory as they are.

`RATIO` and `SURE` are chosen on the validation splits of the bundled suites: the smallest that
agree with exact on 99.75 % of the samples of either, half of the disagreement that the project
allows itself. `python -m semerge bench` with `--data DIR --split validation --limit 0`
prints the table; agreement is then told on the test splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from semerge.backbones import Batch
from semerge.models import Models, Reached
from semerge.probes import PROBES, At
from semerge.routing import Routing
from semerge.settings import FINAL, Resolved

RATIO = 2.25  # an expert farther than this times the nearest one is dropped
SURE = 0.95  # the share of the mass with which an expert answers alone


@dataclass(frozen=True)
class Early:
    """What the fast probe found out about one sample.

    distances: (1, T). Those of dropped experts are estimates: the smallest distance times the ratio
    at which they were dropped. layer: where the probe ended. left: experts not dropped.
    reached: by expert, the activation with which it can go on.
    """

    distances: Tensor
    layer: int | str
    left: int
    reached: Mapping[int, Reached]


def probe(models: Models, batch: Batch, resolved: Resolved, ratio: float = RATIO) -> Early:
    """A probe that compares one model with the experts, for one sample; far ones are dropped.
    Before the probe layer, `cls` and the final embedding are replaced by the mean of the tokens: an
    early class token knows too little."""
    backbone, depth = models.backbone, models.backbone.depth
    key, entry = resolved.probing, PROBES[resolved.probe]
    based = "merged" not in entry.needs
    against = models.base if based else models.probed(key.probe_lambda, key.method)
    measure = partial(entry.function, **PROBES.chosen(resolved.probe))

    def distance(r: Tensor, expert: Tensor) -> Tensor:
        at = At(None if based else r, r if based else None, expert, None)  # type: ignore[arg-type]
        found: Tensor = measure(at)
        return found.view(-1)

    early = "mean" if resolved.pool in ("cls", FINAL) else resolved.pool
    last = depth if resolved.layer == FINAL else int(resolved.layer)
    start = models.start(batch, 1)
    reference = models.embed(against, batch) if start is None else start.h
    left = list(range(models.vectors.count))
    ratios = torch.ones(len(left), device="cpu")
    h: list[Tensor] = []  # of the experts in `left`, (1, N, d) each

    for layer in range(1, last + 1):
        reference = backbone.block(against(layer), layer, reference, batch)
        if layer == 1:
            groups = _first(models, batch, start)
            h = [one for group in groups for one in group.view(-1, *reference.shape)]
        else:
            h = [
                backbone.block(models.expert(t, layer), layer, one, batch)
                for t, one in zip(left, h, strict=True)
            ]
            groups = h
        deciding = layer == resolved.layer
        how = resolved.pool if deciding else early
        r = backbone.pool(reference, how, batch)  # (1, K)
        near = torch.cat([distance(r, backbone.pool(g, how, batch)) for g in groups])
        kept = _kept(near, left, ratios, torch.inf if deciding else ratio)
        left, h = [left[i] for i in kept], [h[i] for i in kept]
        reached = {t: Reached(one, layer) for t, one in zip(left, h, strict=True)}
        if deciding or len(left) == 1:
            return Early(_estimates(near, ratios), layer, len(left), reached)
    end = depth + 1
    z = backbone.final(against(end), reference, batch)
    ends = [
        backbone.final(models.expert(t, end), one, batch) for t, one in zip(left, h, strict=True)
    ]
    near = torch.cat([distance(z, one) for one in ends])
    _kept(near, left, ratios, torch.inf)
    return Early(_estimates(near, ratios), FINAL, len(left), reached)


def dropped(early: Early | None) -> tuple[int, ...]:
    """The experts whose distances are estimates; none where `early` is None: an exact probe."""
    if early is None or not early.reached:  # a probe with statistics runs no expert
        return ()
    return tuple(t for t in range(early.distances.shape[1]) if t not in early.reached)


def saturated(routing: Routing, resolved: Resolved, sure: float = SURE) -> bool:
    """Whether one expert gets nearly all of a mass of 1, for the one sample of `routing`."""
    alone = resolved.mass == "1" and float(routing.weights[0].max()) >= sure
    return alone and not bool(routing.flags["fallback"][0])


def notices(early: Early, alone: bool, resolved: Resolved, count: int) -> tuple[str, ...]:
    """What a reader must know of an answer that the fast mode gave."""
    if "experts" not in PROBES[resolved.probe].needs:
        found = "one pass probed"
    elif early.left < count:
        found = (
            f"{count - early.left} of {count} experts were dropped early (their distances are "
            f"estimates) and the probe ended at layer {early.layer}"
        )
    else:
        found = "no expert could be dropped early"
    return (f"Fast mode: {found}; {'the expert answers alone' if alone else 'a merge answers'}.",)


def _first(models: Models, batch: Batch, start: Reached | None) -> list[Tensor]:
    """All experts after block 1: (1, N, d) each, or all at once as (T, 1, N, d)."""
    found = []
    for experts, begin in models.experts(batch, start):
        h = models.embed(experts, batch) if begin is None else begin.h
        found.append(models.backbone.block(experts(1), 1, h, batch))
    return found


def _kept(near: Tensor, left: list[int], ratios: Tensor, limit: float) -> list[int]:
    """Note how many times as far as the nearest each expert in `left` is; positions to keep. near:
    (len(left),). What is not finite is never dropped: routing must see it."""
    relative = (near / near.min().clamp_min(torch.finfo(torch.float32).tiny)).cpu()
    ratios[left] = relative
    return [i for i, r in enumerate(relative.tolist()) if not r > limit]


def _estimates(near: Tensor, ratios: Tensor) -> Tensor:
    """(1, T): the distances of those that are left, and what the ratios say of the others."""
    return (near.min().cpu() * ratios)[None]
