"""The steps of SE-Merging over batches: distances, routing, the second pass. An engine has them.

What one request does with one sample, evaluation does with many; this is the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from semerge import fast
from semerge.backbones import Batch
from semerge.checkpoints.bundled import Statistics
from semerge.common import UserError, quoted
from semerge.loading import Loaded
from semerge.methods.samples import Source
from semerge.models import BASE, END, Keep, Model, Models, Point, Reached, Stage, distance
from semerge.probes import PROBES, At, Probe
from semerge.registry import TASK_ARITHMETIC, Key
from semerge.result import Clock
from semerge.routing import Calibration, Reading, Routing, route
from semerge.settings import (
    FINAL,
    POOLS,
    Resolved,
    Settings,
    valid_layers,
    valid_pools,
    valid_probes,
)
from semerge.suites import Suite
from semerge.suites.abstention import Abstention, Usual

Caches = Mapping[tuple[str, float], Mapping[Point, Statistics]]
KEPT = 1024  # places, and lists of keys, that are made once and held


def moved(at: At) -> Tensor:
    """How far the merged model moves an input from the base, over the base's own size, (B, 1).
    Experts that stay where the base is on what is not their own leave it there, merged too."""
    far, size = distance(at.merged, at.base), distance(at.base, torch.zeros_like(at.base))
    return (far / size.clamp(min=1e-12))[:, None]


GAUGES = {"moved": Probe("moved", moved, "moved from the base", needs=("merged", "base"))}
"""Measured as probes are, but they tell no expert."""


def measure_of(spec: str) -> Probe:
    """The probe or gauge that a key names. Raises UserError if there is none."""
    return GAUGES.get(spec) or PROBES[spec]


@dataclass(frozen=True)
class Place:
    """A probe at one key, ready to run: what a request would look up anew each time.

    point: (layer, pool). model: the merged model that is run, where the probe needs one. function:
    the probe with its options. statistics, displacements (T,): what the suite has stored there,
    where it needs that.
    """

    key: Key
    point: Point
    model: Model
    needs: tuple[str, ...]
    function: Callable[[At], Tensor]
    statistics: Statistics | None
    displacements: Tensor | None

    @classmethod
    def of(cls, models: Models, key: Key, caches: Caches | None = None) -> Place:
        """Of a key. caches: statistics that are on trial, by (probe, λ); their probes are named as
        one likes. Raises UserError where the probe needs what the suite has not stored."""
        trial = (caches or {}).get((key.probe, key.probe_lambda))
        spec = key.probe if trial is None else "cache"
        entry, statistics, displacements = measure_of(spec), None, None
        if "statistics" in entry.needs:
            statistics = models.statistics_at(key) if trial is None else trial[key.point]
        if "displacements" in entry.needs:
            displacements = models.displacements_at(key)
        options = PROBES.chosen(spec) if spec in PROBES else {}
        function = partial(entry.function, **options)
        model = key.method, key.probe_lambda
        return cls(key, key.point, model, entry.needs, function, statistics, displacements)


def run(
    models: Models,
    batch: Batch,
    places: Collection[Place],
    ends: Collection[Model] = (),
    stacked: bool = False,
    reached: dict[Model, Reached] | None = None,
) -> tuple[dict[Key, Tensor], dict[Model, Tensor]]:
    """The one probe loop: distances (B, T) at places, and final embeddings (B, D) of models.

    Every model that is needed runs once, to the deepest layer that it is needed at; what all
    compute alike runs once for all. Experts come one after the other, or, small and `stacked`, at
    once.

    ends: models whose final embedding is wanted. reached: filled with how far models were run.
    """
    places = list({place.key: place for place in places}.values())  # each once
    wanted: dict[Model, set[Point]] = {model: {END} for model in ends if not isinstance(model, int)}
    compared: dict[Point, list[Place]] = {}  # what the experts are run for
    for place in places:
        if "merged" in place.needs:
            wanted.setdefault(place.model, set()).add(place.point)
        if "base" in place.needs:
            wanted.setdefault(BASE, set()).add(place.point)
        if "experts" in place.needs:
            compared.setdefault(place.point, []).append(place)

    def keep(model: Model) -> Keep | None:
        return None if reached is None else partial(reached.__setitem__, model)

    start = started(models, batch, [place.key.layer for place in places])
    found: dict[Model, dict[Point, Tensor]] = {}
    for model, points in wanted.items():
        stage = models.stage(model)
        found[model] = dict(models.representations(stage, batch, points, start, keep(model)))
    embeddings = {model: points[END] for model, points in found.items() if model in ends}

    def distances(place: Place, expert: Tensor | None = None, t: int | None = None) -> Tensor:
        """Of expert t, of all (t None), or without one where the probe needs none."""
        merged = found[place.model][place.point] if "merged" in place.needs else None
        base = found[BASE][place.point] if "base" in place.needs else None
        usual = place.displacements
        if usual is not None:
            usual = usual[:, None] if t is None else usual[t]
        return place.function(At(merged, base, expert, place.statistics, usual))  # type: ignore[arg-type]

    columns: dict[Key, list[Tensor]] = {}  # (B, T), or T of (B, 1)
    for place in places:
        columns[place.key] = [] if "experts" in place.needs else [distances(place)]

    alone = {model for model in ends if isinstance(model, int)}
    if compared or alone:
        whole = stacked and not alone and models.stacks(batch)
        groups = models.experts(batch, start) if whole else models.one_each(start)
        for t, (stage, begin) in enumerate(groups):
            points = set(compared) | ({END} if t in alone else set())
            own = None if whole else keep(t)
            for point, r in models.representations(stage, batch, points, begin, own):
                for place in compared.get(point, ()):
                    d = distances(place, r, None if whole else t)  # (B,) or (T, B)
                    columns[place.key].append(d.reshape(-1, len(batch)).mT)
                if point == END and t in alone:
                    embeddings[t] = r
    return {key: torch.cat(parts, dim=1) for key, parts in columns.items()}, embeddings


def started(models: Models, batch: Batch, layers: Iterable[int | str]) -> Reached | None:
    """What all models compute alike before any of these layers, if there is such."""
    numbers = [int(layer) for layer in layers if layer != FINAL]
    return models.start(batch, min(numbers, default=FINAL))


class Steps:
    """One suite in memory. Safe to share between threads; nothing is written after `__init__`.
    device: where the weights are kept and run. Routing is float64 on the CPU wherever they are. No
    other device than the CPU has been measured. make_dear, source: as `Models` has them."""

    def __init__(
        self,
        loaded: Loaded,
        device: torch.device | str = "cpu",
        make_dear: bool = True,
        source: Source | None = None,
    ) -> None:
        self.suite = loaded.suite
        self.backbone = loaded.backbone
        self.models = Models(loaded, device, make_dear, source)
        found = loaded.abstention  # made with other weights, it says nothing of these
        own = found is not None and found.weights_sha256 == self.models.sha256
        self.abstention: Abstention | None = found if own else None
        self.accuracies = loaded.accuracies if own else {}
        usual = loaded.usual
        self.usual = usual if usual and usual.weights_sha256 == self.models.sha256 else None
        notice = self.abstention
        self._calibration = Calibration.from_dict(notice.calibration) if notice else None
        self.layers = valid_layers(loaded.suite)
        self._temperatures = {task.name: task.temperature for task in loaded.suite.tasks}
        self._usual = Settings().resolve(loaded.suite).probing
        # requests ask the same again and again
        self._place = lru_cache(KEPT)(partial(Place.of, self.models))
        self._combinations = lru_cache(KEPT)(partial(combinations, self.suite))

    @torch.inference_mode()
    def distances(
        self,
        batch: Batch,
        resolved: Resolved,
        *,
        layers: Sequence[int | str] | None = None,
        pools: Sequence[str] | None = None,
        probes: Sequence[str] | None = None,
    ) -> dict[Key, Tensor]:
        """Distances of B samples to T experts, (B, T) for each key.

        Every needed model runs once, up to the deepest layer asked for; what they all compute alike
        runs once for all. Lists that are left out hold what `resolved` chose. Combinations without
        a meaning are left out of the answer; the layer "final" comes with the pool "final" alone.
        Raises UserError where the cache probe is asked for and the suite has no statistics for it.
        """
        return self.distances_at(batch, self.combinations(resolved, layers, pools, probes))

    @torch.inference_mode()
    def distances_at(
        self, batch: Batch, keys: Collection[Key], reached: dict[Model, Reached] | None = None
    ) -> dict[Key, Tensor]:
        """Distances (B, T) at these keys and no others; each must have a meaning.

        reached: filled with how far the models were run. Experts that ran as one stack are left
        out: alone they would differ in the last bits. Raises UserError where a probe with
        statistics is asked for that the suite does not have.
        """
        places = [self._place(key) for key in keys]
        return run(self.models, batch, places, stacked=True, reached=reached)[0]

    def start(self, batch: Batch, keys: Iterable[Key]) -> Reached | None:
        """What all models compute alike before any of the layers in `keys`, if there is such."""
        return started(self.models, batch, [key.layer for key in keys])

    @torch.inference_mode()
    def early(self, batch: Batch, resolved: Resolved) -> fast.Early:
        """The fast mode's probe of one sample; see `semerge.fast`."""
        needs = PROBES[resolved.probe].needs
        if "experts" not in needs or "displacements" in needs:  # the last blocks tell these apart
            distances = self.distances(batch, resolved)[resolved.probing]
            return fast.Early(distances, resolved.layer, len(self.suite.tasks), {})
        return fast.probe(self.models, batch, resolved)

    def route(self, distances: Tensor, resolved: Resolved) -> Routing:
        """Distances (B, T) -> coefficients, with the suite's static lambda and thresholds. The
        threshold `far` has the unit of one distance, so it holds for the suite's default probe,
        layer, pool and probe_lambda alone."""
        thresholds = dict(self.suite.thresholds)
        if resolved.probing != self._usual:
            thresholds["far"] = None
        return route(distances, resolved, thresholds)

    def check(self, resolved: Resolved) -> None:
        """Raises UserError where a fallback is asked for that the suite's report can't decide."""
        if resolved.fallback == "static" and self.abstention is None:
            raise UserError(
                f"The report of {self.suite.title} does not say when no expert fits, so there is "
                "nothing to fall back at; `python -m semerge evaluate --diagnose` measures it."
            )

    def watches(self, resolved: Resolved) -> bool:
        """Whether the notice "no expert fits" was calibrated for requests like this one."""
        found = self.abstention
        if found is None or resolved.fast:
            return False
        return found.at == resolved.probing

    def usual_for(self, resolved: Resolved) -> Usual | None:
        """What is usual for distances of a request like this one; None where nobody measured it."""
        if self.usual is None or resolved.fast or self.usual.at != resolved.probing:
            return None
        return self.usual

    def needed(self, resolved: Resolved) -> tuple[Key, ...]:
        """Where distances are needed: what routes, and what the notice asks beside it."""
        if self.abstention is None or not self.watches(resolved):
            return (resolved.probing,)
        return resolved.probing, *self.abstention.beside.keys

    def unfit(
        self, distances: Mapping[Key, Tensor], resolved: Resolved, confidence: Tensor
    ) -> Tensor | None:
        """Where no expert fits, bool (B,), from distances at `needed`; None where that was not
        calibrated. confidence: top scores of the experts (B, T), or of the nearest one (B, 1)."""
        found, calibration = self.abstention, self._calibration
        if found is None or calibration is None or not self.watches(resolved):
            return None
        reading = Reading.at(distances, resolved.probing, found.beside, confidence)
        return calibration.unfit(reading, found.score)

    @torch.inference_mode()
    def merged_embedding(
        self,
        batch: Batch,
        coefficients: Tensor,
        clock: Clock | None = None,
        method: str = TASK_ARITHMETIC,
    ) -> Tensor:
        """Second pass: final embeddings (B, D) of θ0 + Σt λt(x) τt, coefficients (B, T) by sample.
        The τt are the method's. Samples with the same coefficients share one merge; the others are
        run in groups."""
        models = self.models
        start = models.start(batch, FINAL)
        if len(batch) == 1:
            return models.embedding(models.merged(coefficients[0], clock, method), batch, start)

        def run(stage: Stage, at: Tensor) -> Tensor:
            begin = None if start is None else start.of(at)
            return models.embedding(stage, batch[at], begin)

        rows, inverse = torch.unique(coefficients, dim=0, return_inverse=True)
        order: list[Tensor] = []  # which samples parts[i] holds
        parts: list[Tensor] = []
        singles: list[Tensor] = []
        for i, row in enumerate(rows):
            members = (inverse == i).nonzero()[:, 0]
            if len(members) == 1 and len(rows) > 1:
                singles.append(members)
                continue
            order.append(members)
            parts.append(run(models.merged(row, clock, method), members))
        if singles:
            order.append(at := torch.cat(singles))
            begin = None if start is None else start.of(at)
            parts.append(models.one_by_one(batch[at], coefficients[at], begin, method))
        return torch.cat(parts)[torch.cat(order).argsort()]

    @torch.inference_mode()
    def static_embedding(
        self, batch: Batch, start: Reached | None = None, method: str = TASK_ARITHMETIC
    ) -> Tensor:
        """Final embeddings (B, D) of a method's static merge, from where it was left."""
        scale = self.models.variant(method).scale
        return self.models.embedding(self.models.probed(scale, method), batch, start)

    @torch.inference_mode()
    def expert_embedding(self, batch: Batch, t: int, start: Reached | None = None) -> Tensor:
        """Final embeddings (B, D) of expert t alone, from where it was left."""
        return self.models.embedding(partial(self.models.expert, t), batch, start)

    @torch.inference_mode()
    def base_embedding(self, batch: Batch, start: Reached | None = None) -> Tensor:
        """Final embeddings (B, D) of the base, from where it was left."""
        return self.models.embedding(self.models.base, batch, start)

    @torch.inference_mode()
    def logits(self, embedding: Tensor, task_name: str) -> Tensor:
        """Final embeddings (B, D) -> logits (B, C) by the head of one task, over its temperature:
        their softmax is calibrated for the task's own expert."""
        found = self.backbone.logits(embedding.float(), self.models.heads[task_name])
        return found / self._temperatures[task_name]

    @torch.inference_mode()
    def confidence(self, embedding: Tensor, t: int) -> Tensor:
        """Final embeddings (B, D) of expert t -> its top score under its own head, (B,)."""
        return self.logits(embedding, self.suite.task_names[t]).softmax(1).amax(1)

    def weights_sha256(self) -> str:
        """The hash over all loaded weights, as it was when they were loaded."""
        return self.models.sha256

    def verify_weights(self) -> bool:
        """Hash everything that is held, now: True if nothing was written since it was loaded."""
        return self.models.unchanged()

    def combinations(
        self,
        resolved: Resolved,
        layers: Iterable[int | str] | None = None,
        pools: Iterable[str] | None = None,
        probes: Iterable[str] | None = None,
    ) -> tuple[Key, ...]:
        """Every key with a meaning, without repeats. Raises UserError where a layer, a pooling or a
        probe is unknown."""
        return self._combinations(
            resolved,
            (resolved.layer,) if layers is None else tuple(layers),
            (resolved.pool,) if pools is None else tuple(pools),
            (resolved.probe,) if probes is None else tuple(probes),
        )


def combinations(
    suite: Suite,
    resolved: Resolved,
    layers: tuple[int | str, ...],
    pools: tuple[str, ...],
    probes: tuple[str, ...],
) -> tuple[Key, ...]:
    """See `Steps.combinations`."""
    for name, values, valid in (
        ("probe", [PROBES[probe].name for probe in probes], valid_probes(suite)),
        ("layer", layers, valid_layers(suite)),
        ("pool", pools, (*POOLS[suite.modality], FINAL)),
    ):
        for value in values:
            if value not in valid:
                known = ", ".join(map(str, valid))
                raise UserError(f"{name} {quoted(value)} is unknown; valid are {known}.")
    keys: dict[Key, None] = {}
    for probe in probes:
        for layer in layers:
            for pool in valid_pools(suite, probe, layer):
                if layer == FINAL or pool in pools:
                    keys[resolved.key(probe, layer, pool)] = None
    return tuple(keys)
