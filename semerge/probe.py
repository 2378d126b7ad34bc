"""The steps of SE-Merging over batches: distances, routing, the second pass. An engine has them.

What one request does with one sample, evaluation does with many; this is the same code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from semerge import fast
from semerge.backbones import Batch
from semerge.common import Clock, UserError
from semerge.loading import Loaded
from semerge.models import Keep, Models, Point, Reached, Stage, distance
from semerge.routing import Routing, route
from semerge.settings import FINAL, POOLS, Resolved, valid_layers, valid_pools, valid_probes
from semerge.suites.abstention import Abstention
from semerge.unfit import Calibration, Reading

Probing = tuple[str, int | str, str]  # (probe, layer, pool)


class Steps:
    """One suite in memory. Safe to share between threads; nothing is written after `__init__`.

    device: where the weights are kept and run. Routing is float64 on the CPU wherever they are. No
    other device than the CPU has been measured.
    """

    def __init__(self, loaded: Loaded, device: torch.device | str = "cpu") -> None:
        self.suite = loaded.suite
        self.backbone = loaded.backbone
        self.models = Models(loaded, device)
        found = loaded.abstention  # made with other weights, it says nothing of these
        own = found is not None and found.weights_sha256 == self.models.sha256
        self.abstention: Abstention | None = found if own else None

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

        Every needed model runs once, up to the deepest layer asked for; what they all compute
        alike runs once for all. Lists that are left out hold what `resolved` chose. Combinations
        without a meaning are left out of the answer; the layer "final" comes with the pool "final"
        alone.

        Raises:
            UserError: the cache probe is asked for and the suite has no statistics for it.
        """
        keys = self._combinations(resolved, layers, pools, probes)
        return self.distances_at(batch, keys, resolved.probe_lambda)

    @torch.inference_mode()
    def distances_at(
        self,
        batch: Batch,
        keys: Collection[Probing],
        probe_lambda: float,
        reached: dict[str | int, Reached] | None = None,
    ) -> dict[Probing, Tensor]:
        """`distances` at these (probe, layer, pool) and no others; each must have a meaning.

        reached: filled with how far "merged", "base" and the experts, by number, were run. Experts
            that ran as one stack are left out: alone they would differ in the last bits.

        Raises:
            UserError: as `distances`.
        """
        points: dict[str, set[Point]] = {"experts": set(), "base": set(), "cache": set()}
        for probe, layer, pool in keys:
            points[probe].add((layer, pool))
        if points["cache"] and probe_lambda != self.suite.defaults.probe_lambda:
            raise UserError("The cache probe's statistics fit the suite's own probe-lambda alone.")

        def kept(model: str | int) -> Keep | None:
            return None if reached is None else partial(reached.__setitem__, model)

        start = self.start(batch, keys)
        run = self.models.representations  # yields (layer, pool), (.., B, K)
        probed = self.models.probed(probe_lambda)
        to_merged = points["experts"] | points["cache"]
        of_merged = dict(run(probed, batch, to_merged, start, kept("merged")))
        of_base = dict(run(self.models.base, batch, points["base"], start, kept("base")))
        found: dict[Probing, list[Tensor]] = {key: [] for key in keys}  # columns, in order of t
        for point in points["cache"]:
            d = self.models.statistics[point].distances(of_merged[point].float())  # (B, T)
            found["cache", point[0], point[1]].append(d)
        of_experts = points["experts"] | points["base"]
        groups = self.models.experts(batch, start) if of_experts else ()
        for t, (experts, begin) in enumerate(groups):
            keep = None if self.models.stacks(batch) else kept(t)
            for point, r in run(experts, batch, of_experts, begin, keep):  # (B, K), or (T, B, K)
                for probe, reference in (("experts", of_merged), ("base", of_base)):
                    if point in points[probe]:
                        d = distance(r, reference[point])  # (B,) or (T, B)
                        found[probe, point[0], point[1]].append(d.view(-1, len(batch)).mT)
        return {key: torch.cat(columns, dim=1) for key, columns in found.items()}  # (B, T)

    def start(self, batch: Batch, keys: Iterable[Probing]) -> Reached | None:
        """What all models compute alike before any of the layers in `keys`, if there is such."""
        numbers = [layer for _, layer, _ in keys if layer != FINAL]
        return self.models.start(batch, min((int(n) for n in numbers), default=FINAL))

    @torch.inference_mode()
    def early(self, batch: Batch, resolved: Resolved) -> fast.Early:
        """The fast mode's probe of one sample; see `semerge.fast`."""
        if resolved.probe == "cache":
            distances = self.distances(batch, resolved)[resolved.probing]
            return fast.Early(distances, resolved.layer, len(self.suite.tasks), {})
        return fast.probe(self.models, batch, resolved)

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
        return (found.at, found.probe_lambda) == (resolved.probing, resolved.probe_lambda)

    def needed(self, resolved: Resolved) -> tuple[Probing, ...]:
        """Where distances are needed: what routes, and what the notice asks beside it."""
        if self.abstention is None or self.abstention.other is None or not self.watches(resolved):
            return (resolved.probing,)
        return resolved.probing, self.abstention.other

    def unfit(self, distances: Mapping[Probing, Tensor], resolved: Resolved) -> Tensor | None:
        """Where no expert fits, bool (B,), from distances at `needed`; None where that was not
        calibrated."""
        found = self.abstention
        if found is None or not self.watches(resolved):
            return None
        other = None if found.other is None else distances[found.other].cpu()
        reading = Reading(distances[resolved.probing].cpu(), other)
        return Calibration.from_dict(found.calibration).unfit(reading, found.score)

    @torch.inference_mode()
    def merged_embedding(
        self, batch: Batch, coefficients: Tensor, clock: Clock | None = None
    ) -> Tensor:
        """Second pass: final embeddings (B, D) of θ0 + Σt λt(x) τt, coefficients (B, T) by sample.

        Samples with the same coefficients share one merge; the others are run in groups.
        """
        start = self.models.start(batch, FINAL)
        if len(batch) == 1:
            return self.models.embedding(self.models.merged(coefficients[0], clock), batch, start)

        def run(stage: Stage, at: Tensor) -> Tensor:
            begin = None if start is None else start.of(at)
            return self.models.embedding(stage, batch[at], begin)

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
            parts.append(run(self.models.merged(row, clock), members))
        if singles:
            order.append(at := torch.cat(singles))
            begin = None if start is None else start.of(at)
            parts.append(self.models.one_by_one(batch[at], coefficients[at], begin))
        return torch.cat(parts)[torch.cat(order).argsort()]

    @torch.inference_mode()
    def static_embedding(self, batch: Batch, start: Reached | None = None) -> Tensor:
        """Final embeddings (B, D) of the static merge θ0 + λ Σt τt, from where it was left."""
        return self.models.embedding(self.models.static, batch, start)

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
        """Final embeddings (B, D) -> logits (B, C) by the head of one task."""
        return self.backbone.logits(embedding.float(), self.models.heads[task_name])

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
