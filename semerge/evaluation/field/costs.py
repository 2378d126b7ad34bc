"""What an answer by a row of the table takes: forward passes, weights in memory, milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from semerge.backbones import Batch
from semerge.data.batches import batches
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.evaluation.field.rivals import ENSEMBLE, Rival, Way, keys_of, settings_of
from semerge.evaluation.measure import ensemble_of
from semerge.models import now
from semerge.probe import Place, run
from semerge.probes import PROBES
from semerge.settings import FINAL

TIMED = 8  # samples of which the median is told
ENOUGH, FEWEST = 2.0, 3  # seconds after which a row is left at so many samples


def passes(engine: Engine, way: Way) -> float:
    """Forward passes a sample, in whole ones: what is probed counts by its share of the blocks, the
    second pass as one, and of the ensemble each expert.

    Blocks that no expert changes are counted in every model, though they are run once for all.
    """
    count = engine.models.vectors.count
    together = isinstance(way, Rival) and way.name == ENSEMBLE
    found = float(count) if together else 1.0
    if isinstance(way, Rival) and way.made is not None:
        found = way.made.passes + (not way.alone)
    for key in keys_of(way):
        needs = PROBES[key.probe].needs
        experts = count if "experts" in needs and not together else 0  # the ensemble has them
        models = ("merged" in needs) + ("base" in needs) + experts
        found += models * (1.0 if key.layer == FINAL else int(key.layer) / engine.suite.depth)
    return found


def held(engine: Engine, way: Way) -> int:
    """Bytes of the weights and statistics that must be in memory, as they lie there: the base, the
    task vectors that are rescaled, the experts that the probe runs where these are others, and a
    merged model that no task vectors make; of a dynamic method what it says. Heads, which every row
    needs, are not counted."""
    models, method = engine.models, settings_of(way).method
    vectors, variant = models.vectors, models.variant(method)
    experts = vectors.count * sum(segment.changing for segment in vectors.segments)
    numbers, stored = vectors.numel + experts, 0
    if isinstance(way, Rival) and way.made is not None:
        numbers, stored = 0 if way.alone else numbers, way.made.bytes
    for key in keys_of(way):
        needs = PROBES[key.probe].needs
        if "experts" in needs and not variant.original:
            numbers += experts
        if "merged" in needs and variant.whole is not None:
            numbers += vectors.numel
        if "statistics" in needs:
            at = models.statistics_at(key)
            stored += at.mean.nbytes + at.by.nbytes
    return numbers * vectors.segments[0].weights.element_size() + stored


@torch.inference_mode()
def answer(engine: Engine, way: Way, batch: Batch) -> Tensor:
    """What a row does with one input that is prepared already, to the scores (1, C) under the head
    of the expert that it chooses."""
    resolved, models, names = settings_of(way), engine.models, engine.suite.task_names
    experts = range(models.vectors.count)
    if isinstance(way, Rival) and way.name == ENSEMBLE:
        places = [Place.of(models, key) for key in way.keys]
        found, ends = run(models, batch, places, experts)
        chosen = int(engine.route(found[resolved.probing], resolved).chosen[0])
        return ensemble_of(engine, [ends[t] for t in experts], names[chosen])
    if isinstance(way, Rival) and way.made is not None and way.alone:
        z, own = way.made.run(batch, 0)
        if own is None:
            found = engine.distances_at(batch, way.keys)
            own = engine.route(found[resolved.probing], resolved).chosen if found else [0]
        return engine.logits(z, names[int(own[0])]).softmax(1)
    if isinstance(way, Rival) and way.made is not None:
        distances = way.made.run(batch)
    elif isinstance(way, Rival):
        distances = torch.tensor([[float(t > 0) for t in experts]])  # of any size alike
    else:
        distances = engine.distances(batch, resolved)[resolved.probing]
    routing = engine.route(distances, resolved)
    z = engine.merged_embedding(batch, routing.coefficients, method=resolved.method)
    return engine.logits(z, names[int(routing.chosen[0])]).softmax(1)


def milliseconds(engine: Engine, way: Way, samples: Sequence[Batch]) -> float:
    """The median over samples, each alone, of what `answer` takes; the first is run once before."""
    return timed(lambda batch: answer(engine, way, batch), samples, engine.models.device)


def timed(case: Callable[[Batch], object], samples: Sequence[Batch], device: torch.device) -> float:
    """Milliseconds, the median; a slow case is left at a few samples."""
    case(samples[0])
    spent: list[float] = []
    for batch in samples:
        began = now(device)
        case(batch)
        spent.append(now(device) - began)
        if len(spent) >= FEWEST and sum(spent) > ENOUGH:
            break
    return 1e3 * median(spent)


def few(engine: Engine, sets: Sequence[LabelledSet], count: int = TIMED) -> list[Batch]:
    """The first samples of all sets, in turns, prepared and each alone."""
    turns = [(own, i) for i in range(count) for own in sets if i < len(own)][:count]
    return [
        engine.models.place(batch)
        for own, i in turns
        for _, batch in batches(engine.backbone, own.take([i]))
    ]
