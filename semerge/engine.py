"""SE-Merging for one suite: probe, route, merge, predict (arXiv 2506.18135).

An engine is immutable. Everything it holds is made when it is loaded and only read afterwards; a
request owns all that it computes. So threads need no lock, and a request that dies leaves nothing
behind. `predict` and the batch functions that evaluation uses are the same way through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import semerge
from semerge import answer
from semerge.backbones import Batch
from semerge.clock import Clock
from semerge.errors import UserError
from semerge.loading import Loaded, load
from semerge.models import Models, Point
from semerge.result import Result
from semerge.routing import Routing, route
from semerge.settings import (
    AUTO,
    FINAL,
    POOLS,
    Resolved,
    Settings,
    valid_layers,
    valid_pools,
    valid_probes,
)
from semerge.suites import read_suite

Probing = tuple[str, int | str, str]  # (probe, layer, pool)


def load_engine(name_or_path: str | Path) -> Engine:
    """The engine of a bundled suite, by name, or of a folder with a suite.json.

    Raises:
        UserError: no such suite, or a file of it is missing, changed or damaged.
    """
    return Engine(load(read_suite(name_or_path)))


class Engine:
    """One suite in memory. Safe to share between threads; nothing is written after `__init__`."""

    def __init__(self, loaded: Loaded) -> None:
        self.suite = loaded.suite
        self.backbone = loaded.backbone
        self.models = Models(loaded)

    # ---- one request -------------------------------------------------------------------------

    @torch.inference_mode()
    def predict(self, sample: object, settings: Settings | None = None) -> Result:
        """Route, merge and answer for one input.

        Args:
            sample: a `DecodedImage`, a `CleanText`, a PIL image or a sentence.

        Raises:
            UserError: the settings or the input do not fit the suite.
        """
        resolved = (settings or Settings()).resolve(self.suite)
        clock = Clock()
        model_input, notices = answer.unpack(sample, self.suite)
        notices += self.backbone.notices(*model_input)
        batch = self.backbone.preprocess(*model_input)
        clock.lap("preprocess")
        distances = self.distances(batch, resolved)[resolved.probing]  # (1, T)
        clock.lap("probe")
        routing = self.route(distances, resolved)
        clock.lap("route")

        chosen = int(routing.chosen[0])
        head = self.suite.task_names[chosen] if resolved.head == AUTO else resolved.head
        coefficients = routing.coefficients  # (1, T)
        z = self.merged_embedding(batch, coefficients, clock)  # (1, D)
        embeddings = {
            "se": z,
            "static": self.static_embedding(batch),
            "expert": self.expert_embedding(batch, chosen),
            "base": self.base_embedding(batch),
        }
        fallback = bool(routing.flags["fallback"][0])
        if not torch.isfinite(z).all():
            embeddings["se"], fallback = embeddings["static"], True
            coefficients = torch.full_like(coefficients, self.suite.defaults.static_lambda)
        logits = {kind: self.logits(z, head)[0] for kind, z in embeddings.items()}  # (C,) each
        predictions = answer.predictions(logits, self.suite.task(head).classes)
        clock.lap("predict")

        return Result(
            suite=self.suite.name,
            method=resolved.method,
            preset=resolved.preset,
            probe=resolved.probe,
            layer=resolved.layer,
            pool=resolved.pool,
            tasks=self.suite.task_names,
            distances=tuple(distances[0].tolist()),
            similarities=tuple(routing.similarities[0].tolist()),
            weights=tuple(routing.weights[0].tolist()),
            coefficients=tuple(coefficients[0].tolist()),
            static_coefficients=(self.suite.defaults.static_lambda,) * len(self.suite.tasks),
            static_lambda=self.suite.defaults.static_lambda,
            probe_lambda=resolved.probe_lambda,
            similarity=resolved.similarity,
            normalise=resolved.normalise,
            temperature=resolved.temperature,
            mass=resolved.mass,
            head=head,
            head_choice=resolved.head,
            chosen=self.suite.task_names[chosen],
            margin=float(routing.margin[0]),
            entropy=float(routing.entropy[0]),
            notices=(*notices, *answer.notices(routing, distances, fallback, resolved, self.suite)),
            predictions=predictions,
            timings_ms=clock.timings(),
            input_kind=self.suite.modality,
            version=semerge.__version__,
            weights_sha256=self.models.sha256,
        )

    # ---- the same, batch by batch ------------------------------------------------------------

    @torch.inference_mode()
    def distances(
        self,
        batch: Batch,
        resolved: Resolved,
        *,
        layers: Sequence[int | str] | None = None,
        pools: Sequence[str] | None = None,
        probes: Sequence[str] | None = None,
    ) -> dict[Probing, Tensor]:
        """Distances of B samples to T experts, (B, T) for each (probe, layer, pool).

        Every needed model runs once, up to the deepest layer asked for. Lists that are left out
        hold what `resolved` chose. Combinations without a meaning are left out of the answer; the
        layer "final" comes with the pool "final" alone.

        Raises:
            UserError: the cache probe is asked for and the suite has no statistics for it.
        """
        keys = self._combinations(resolved, layers, pools, probes)
        points: dict[str, set[Point]] = {"experts": set(), "base": set(), "cache": set()}
        for probe, layer, pool in keys:
            points[probe].add((layer, pool))
        if points["cache"] and resolved.probe_lambda != self.suite.defaults.probe_lambda:
            raise UserError("The cache probe's statistics fit the suite's own probe-lambda alone.")

        run = self.models.representations  # each yields (layer, pool), (.., B, K)
        probed = self.models.probed(resolved.probe_lambda)
        of_merged = dict(run(probed, batch, points["experts"] | points["cache"]))
        of_base = dict(run(self.models.base, batch, points["base"]))
        found: dict[Probing, list[Tensor]] = {key: [] for key in keys}  # columns, in order of t
        for point in points["cache"]:
            d = self.models.statistics[point].distances(of_merged[point])  # (B, T)
            found["cache", point[0], point[1]].append(d)
        of_experts = points["experts"] | points["base"]
        for experts in self.models.experts() if of_experts else ():
            for point, r in run(experts, batch, of_experts):  # (G, B, K)
                for probe, reference in (("experts", of_merged), ("base", of_base)):
                    if point in points[probe]:
                        d = torch.linalg.vector_norm(r - reference[point], dim=-1)  # (G, B)
                        found[probe, point[0], point[1]].append(d.mT)
        return {key: torch.cat(columns, dim=1) for key, columns in found.items()}  # (B, T)

    def route(self, distances: Tensor, resolved: Resolved) -> Routing:
        """Distances (B, T) -> coefficients, with the suite's static lambda and thresholds.

        The threshold `far` has the unit of one distance, so it holds for the suite's default
        probe, layer, pool and probe_lambda alone.
        """
        defaults, thresholds = self.suite.defaults, dict(self.suite.thresholds)
        usual = (defaults.probe, defaults.layer, defaults.pool, defaults.probe_lambda)
        if (*resolved.probing, resolved.probe_lambda) != usual:
            thresholds["far"] = None
        return route(distances, resolved, defaults.static_lambda, thresholds)

    @torch.inference_mode()
    def merged_embedding(
        self, batch: Batch, coefficients: Tensor, clock: Clock | None = None
    ) -> Tensor:
        """Second pass: final embeddings (B, D) of θ0 + Σt λt(x) τt, coefficients (B, T) by sample.

        Samples with the same coefficients share one merge; the others are run in groups.
        """
        rows, inverse = torch.unique(coefficients, dim=0, return_inverse=True)
        order: list[Tensor] = []  # which samples parts[i] holds
        parts: list[Tensor] = []
        singles: list[Tensor] = []
        for i, row in enumerate(rows):
            members = (inverse == i).nonzero()[:, 0]
            if len(members) == 1 and len(rows) > 1:
                singles.append(members)
                continue
            merged = self.models.merged(row)
            if clock:
                clock.lap("merge")
            order.append(members)
            parts.append(self.models.embedding(merged, batch[members]))
        if singles:
            order.append(torch.cat(singles))
            parts.append(self.models.one_by_one(batch[order[-1]], coefficients[order[-1]]))
        return torch.cat(parts)[torch.cat(order).argsort()]

    @torch.inference_mode()
    def static_embedding(self, batch: Batch) -> Tensor:
        """Final embeddings (B, D) of the static merge θ0 + λ Σt τt."""
        return self.models.embedding(self.models.static, batch)

    @torch.inference_mode()
    def expert_embedding(self, batch: Batch, t: int) -> Tensor:
        """Final embeddings (B, D) of expert t alone."""
        return self.models.embedding(partial(self.models.expert, t), batch)

    @torch.inference_mode()
    def base_embedding(self, batch: Batch) -> Tensor:
        """Final embeddings (B, D) of the base."""
        return self.models.embedding(self.models.base, batch)

    @torch.inference_mode()
    def logits(self, embedding: Tensor, task_name: str) -> Tensor:
        """Final embeddings (B, D) -> logits (B, C) by the head of one task."""
        return self.backbone.logits(embedding, self.models.heads[task_name])

    def weights_sha256(self) -> str:
        """The hash over all loaded weights, as it was when they were loaded."""
        return self.models.sha256

    def verify_weights(self) -> bool:
        """Hash everything that is held, now: True if nothing was written since it was loaded."""
        return self.models.unchanged()

    def _combinations(
        self,
        resolved: Resolved,
        layers: Iterable[int | str] | None,
        pools: Iterable[str] | None,
        probes: Iterable[str] | None,
    ) -> list[Probing]:
        """Every (probe, layer, pool) with a meaning, without repeats."""
        probes = [resolved.probe] if probes is None else list(probes)
        layers = [resolved.layer] if layers is None else list(layers)
        pools = [resolved.pool] if pools is None else list(pools)
        for name, values, valid in (
            ("probe", probes, valid_probes(self.suite)),
            ("layer", layers, valid_layers(self.suite)),
            ("pool", pools, (*POOLS[self.suite.modality], FINAL)),
        ):
            for value in values:
                if value not in valid:
                    known = ", ".join(map(str, valid))
                    raise UserError(f"{name} {value!r} is unknown; valid are {known}.")
        keys: dict[Probing, None] = {}
        for probe in probes:
            for layer in layers:
                for pool in valid_pools(self.suite, probe, layer):
                    if layer == FINAL or pool in pools:
                        keys[probe, layer, pool] = None
        return list(keys)
