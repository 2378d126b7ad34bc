"""All models of one suite as parameter dictionaries: base, experts, static merge, merges on demand.

Everything is made once, in `__init__`, and only read afterwards. There are no modules: a model is
a choice of parameters, and running it is a call of the backbone's pure functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from semerge.backbones import Batch, Params
from semerge.loading import Loaded
from semerge.methods import task_arithmetic
from semerge.settings import FINAL

Point = tuple[int | str, str]  # (layer, pool); ("final", "final") is the final embedding
Stage = Callable[[int], Params]  # segment (0 embedding, 1..L blocks, L + 1 final) -> parameters

STACK_LIMIT = 50_000_000  # numbers: experts that fit below it are kept stacked and run at once
GROUP = 16  # samples with weights of their own that are run at once


class Models:
    """The parameter sets of a suite and the ways to run them."""

    @torch.inference_mode()
    def __init__(self, loaded: Loaded) -> None:
        suite = loaded.suite
        self.backbone = loaded.backbone
        self.heads = {name: loaded.heads[name] for name in suite.task_names}
        self.statistics = loaded.statistics
        self.vectors = task_arithmetic.effective(loaded.vectors)
        self._base = self.vectors.base()
        self._static = task_arithmetic.merge(self.vectors, suite.defaults.static_lambda)
        self._probe_lambda = suite.defaults.probe_lambda
        self._probed = self._static
        if self._probe_lambda != suite.defaults.static_lambda:
            self._probed = task_arithmetic.merge(self.vectors, self._probe_lambda)

        numbers = sum(segment.base.numel() for segment in self.vectors.segments)
        everyone = torch.eye(self.vectors.count)
        self._stacked: tuple[Params, ...] | None = None  # a stage: tensors with a leading axis T
        if numbers * self.vectors.count <= STACK_LIMIT:
            stages = range(len(self.vectors.segments))
            self._stacked = tuple(self.vectors.merge(everyone, stage) for stage in stages)
        # a group holds GROUP copies of a stage; large models take their samples singly
        self._group = GROUP if numbers * GROUP <= STACK_LIMIT else 1
        self.sha256 = _sha256(self._loaded_tensors())
        self._derived = _sha256(self._derived_tensors())

    # ---- choices of parameters ---------------------------------------------------------------

    def base(self, stage: int) -> Params:
        """θ0."""
        return self._base

    def static(self, stage: int) -> Params:
        """θ0 + λ Σt τt at the suite's static λ."""
        return self._static

    def probed(self, probe_lambda: float) -> Stage:
        """The merged model that is probed; other λ than the suite's are merged on demand."""
        if probe_lambda == self._probe_lambda:
            return lambda stage: self._probed
        return partial(self.vectors.merge, torch.full((self.vectors.count,), probe_lambda))

    def merged(self, coefficients: Tensor) -> Stage:
        """θ0 + Σt λt τt, merged here and now; coefficients (T,)."""
        params = self.vectors.merge(coefficients)
        return lambda stage: params

    def expert(self, t: int, stage: int) -> Params:
        """θt = θ0 + τt, one stage of it."""
        if self._stacked is not None:
            return {name: tensor[t] for name, tensor in self._stacked[stage].items()}
        return self.vectors.expert(t, stage)

    def experts(self) -> Iterator[Stage]:
        """All experts in order, as grouped parameters: at once if they are stacked."""
        if self._stacked is not None:
            yield self._stacked.__getitem__
            return
        for t in range(self.vectors.count):
            yield partial(self._expert_grouped, t)

    def _expert_grouped(self, t: int, stage: int) -> Params:
        return {name: tensor[None] for name, tensor in self.expert(t, stage).items()}

    # ---- running them ------------------------------------------------------------------------

    def embedding(self, stage: Stage, batch: Batch) -> Tensor:
        """Final embeddings (.., B, D) of one model, or of G at once."""
        point: Point = (FINAL, FINAL)
        return dict(self.representations(stage, batch, {point}))[point]

    def representations(
        self, stage: Stage, batch: Batch, points: Collection[Point]
    ) -> Iterator[tuple[Point, Tensor]]:
        """Run as far as needed and yield ((layer, pool), (.., B, K)) for each point asked for."""
        if not points:
            return
        depth = self.backbone.depth
        deepest = max(depth + 1 if layer == FINAL else int(layer) for layer, _ in points)
        h = self.backbone.embed(stage(0), batch)  # (.., B, N, d)
        for layer in range(1, min(deepest, depth) + 1):
            h = self.backbone.block(stage(layer), layer, h, batch)
            for pool in self.backbone.pools:
                if (layer, pool) in points:
                    yield (layer, pool), self.backbone.pool(h, pool, batch)
        if deepest > depth:
            yield (FINAL, FINAL), self.backbone.final(stage(depth + 1), h, batch)

    def one_by_one(self, batch: Batch, coefficients: Tensor) -> Tensor:
        """Final embeddings (B, D) of B samples, each under weights of its own: (B, T)."""
        groups = torch.arange(len(batch)).split(self._group)
        return torch.cat([self._one_group(batch[g], coefficients[g]) for g in groups])

    def _one_group(self, batch: Batch, coefficients: Tensor) -> Tensor:
        merge, backbone, each = self.vectors.merge, self.backbone, range(len(batch))
        # only blocks take one sample a group; the ends are run sample by sample
        first = [backbone.embed(merge(coefficients[g], 0), batch[g : g + 1]) for g in each]
        h = torch.stack(first)  # (G, 1, N, d)
        for layer in range(1, backbone.depth + 1):
            h = backbone.block(merge(coefficients, layer), layer, h, batch)
        last = merge(coefficients, backbone.depth + 1)
        final = [
            backbone.final({name: x[g] for name, x in last.items()}, h[g], batch[g : g + 1])
            for g in each
        ]
        return torch.cat(final)  # (G, D)

    # ---- proof that nothing was written ------------------------------------------------------

    def unchanged(self) -> bool:
        """Hash everything that is held, now, and compare with what was loaded."""
        loaded, derived = _sha256(self._loaded_tensors()), _sha256(self._derived_tensors())
        return (loaded, derived) == (self.sha256, self._derived)

    def _loaded_tensors(self) -> Iterator[Tensor]:
        yield from self.vectors.tensors()
        yield from self.heads.values()
        for s in self.statistics.values():
            yield from (x for x in (s.mean, s.whiten, s.scale) if x is not None)

    def _derived_tensors(self) -> Iterator[Tensor]:
        for params in (self._static, self._probed, *(self._stacked or ())):
            yield from params.values()


def _sha256(tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
