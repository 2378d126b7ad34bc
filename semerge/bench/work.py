"""The things that are timed, each a function of a sample's number, and how they take turns.

One unit of work is one input that is prepared already (decoding and tokenising are not counted), to
the logits of one head. `exact` is the engine's own way with the probe `experts`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from semerge import fast
from semerge.backbones import Batch
from semerge.bench.subject import Subject
from semerge.engine import Engine
from semerge.models import Reached
from semerge.probes import PROBES
from semerge.result import Clock
from semerge.settings import Resolved

SWEPT = 16  # inputs that a sweep takes at once
SIDE = 1536  # of a matrix product that shows how fast the machine multiplies
COPIED = 64_000_000  # numbers at most that are copied to measure the memory's bandwidth

Case = Callable[[int], object]  # does one thing with sample i
Tell = Callable[[str], None]  # hears how far it is


@dataclass(frozen=True)
class Times:
    """Seconds by case and sample: each the median over the rounds."""

    seconds: Mapping[str, tuple[float, ...]]

    def total(self, *names: str) -> float:
        """Over all samples, of one case or of several together."""
        return sum(sum(self.seconds[name]) for name in names)

    def mean_ms(self, *names: str) -> float:
        """Milliseconds a sample."""
        return 1e3 * self.total(*names) / len(self.seconds[names[0]])

    def ratio(self, over: str, under: str) -> float:
        """How many times as long `over` takes as `under`, on the same samples."""
        return self.total(over) / self.total(under)


def interleaved(
    cases: Mapping[str, Case], samples: int, rounds: int, tell: Tell = lambda text: None
) -> Times:
    """Time all cases on samples 0 .. samples - 1. In a round every case takes every sample, one
    case after the other on the same sample, so that whatever else the machine does meets all of
    them alike. The first round is thrown away: it fills caches and memory."""
    found: dict[str, list[list[float]]] = {name: [[] for _ in range(samples)] for name in cases}
    for number in range(rounds + 1):
        tell(f"round {number} of {rounds}")
        for i in range(samples):
            for name, case in cases.items():
                began = time.perf_counter()
                case(i)
                if torch.cuda.is_initialized():  # a GPU answers before it has worked
                    torch.cuda.synchronize()
                spent = time.perf_counter() - began
                if number:
                    found[name][i].append(spent)
    return Times({name: tuple(map(median, rows)) for name, rows in found.items()})


@torch.inference_mode()
def exact(engine: Engine, batch: Batch, resolved: Resolved) -> tuple[Tensor, Tensor]:
    """Probe, route, merge, run: chosen experts (B,) and final embeddings (B, D)."""
    routing = engine.route(engine.distances(batch, resolved)[resolved.probing], resolved)
    coefficients = routing.coefficients
    return routing.chosen, engine.merged_embedding(batch, coefficients, method=resolved.method)


@torch.inference_mode()
def quick(
    engine: Engine,
    batch: Batch,
    resolved: Resolved,
    ratio: float = fast.RATIO,
    sure: float = fast.SURE,
) -> tuple[int, Tensor, bool]:
    """The fast mode on one sample: chosen expert, (1, D), whether that expert answered alone."""
    if "experts" not in PROBES[resolved.probe].needs:
        early = engine.early(batch, resolved)
    else:
        early = fast.probe(engine.models, batch, resolved, ratio)
    routing = engine.route(early.distances, resolved)
    chosen = int(routing.chosen[0])
    if fast.saturated(routing, resolved, sure):
        return chosen, engine.expert_embedding(batch, chosen, early.reached.get(chosen)), True
    return chosen, engine.merged_embedding(batch, routing.coefficients), False


class Work:
    """The cases of one subject."""

    def __init__(self, subject: Subject) -> None:
        self.engine, self.settings = subject.engine, subject.settings
        self.resolved = subject.settings.resolve(self.engine.suite)
        self.models = self.engine.models
        self.samples = [self.models.place(batch) for batch in subject.samples]
        swept = [self.models.place(batch) for batch in subject.swept or subject.samples]
        self.swept = sorted(swept, key=lambda batch: batch.data.shape[1])  # as `batches` does
        self.together = [
            self.engine.backbone.collate(self.swept[i : i + SWEPT])
            for i in range(0, len(self.swept), SWEPT)
        ]
        self.head = self.engine.suite.task_names[0]
        self.inputs = subject.inputs
        self.point = {(self.resolved.layer, self.resolved.pool)}
        self.probed = [self.engine.probe_batch(batch, self.resolved) for batch in self.samples]
        literal = replace(self.settings, preset="literal").resolve(self.engine.suite)
        self.coefficients = [
            self.engine.route(p.distances[literal.probing], literal).coefficients
            for p in self.probed
        ]

    def logits(self, z: Tensor) -> Tensor:
        return self.engine.logits(z, self.head)

    def static(self, i: int) -> Tensor:
        """One forward pass of a merged model that is in memory."""
        return self.logits(self.engine.static_embedding(self.samples[i]))

    def exact(self, i: int) -> Tensor:
        """Probe, route, merge, run."""
        return self.logits(exact(self.engine, self.samples[i], self.resolved)[1])

    def stages(self, i: int) -> dict[str, float]:
        """`exact` with a stopwatch: milliseconds by stage."""
        clock, batch = Clock(), self.samples[i]
        distances = self.engine.distances(batch, self.resolved)[self.resolved.probing]
        clock.lap("probe")
        coefficients = self.engine.route(distances, self.resolved).coefficients
        clock.lap("route")
        self.logits(self.engine.merged_embedding(batch, coefficients, clock))
        clock.lap("predict")
        return clock.timings()

    def sweep(self, _: int) -> list[Tensor]:
        """Many inputs, a batch at a time."""
        return [self.logits(exact(self.engine, b, self.resolved)[1]) for b in self.together]

    def loop(self, _: int) -> list[Tensor]:
        """The same inputs, one at a time."""
        return [self.logits(exact(self.engine, b, self.resolved)[1]) for b in self.swept]

    @torch.inference_mode()
    def passes(self, _: int) -> list[Tensor]:
        """What of a sweep no exact answer can avoid: its passes, in batches, and no merge."""
        probed = self.models.probed(self.resolved.probe_lambda)
        for batch in self.together:
            start = self.engine.start(batch, [self.resolved.probing])
            list(self.models.representations(probed, batch, self.point, start))
            for experts, begin in self.models.experts(batch, start):
                list(self.models.representations(experts, batch, self.point, begin))
        return [self.logits(self.engine.static_embedding(b)) for b in self.together]

    def product(self) -> tuple[Case, float]:
        """One large matrix product, and how many of them multiply as often as `passes`. What of a
        pass is no matrix product (attention's softmax, norms, the activation) takes no time in
        that, and every product runs as fast as the largest."""
        from torch.utils.flop_counter import FlopCounterMode

        a = torch.ones(SIDE, SIDE, device=self.models.device)
        into = torch.empty_like(a)
        with FlopCounterMode(display=False) as counter:
            self.passes(0)
        return lambda i: torch.mm(a, a, out=into), counter.get_total_flops() / (2 * SIDE**3)

    @torch.inference_mode()
    def dropping(self, i: int) -> object:
        """What of the fast mode with the probe `experts` is left in the best case: block 1 of all
        models, and the rest of one."""
        batch = self.samples[i]
        first = {(1, self.engine.backbone.pools[-1])}
        start = self.models.start(batch, 1)
        list(self.models.representations(self.models.base, batch, first, start))
        for experts, begin in self.models.experts(batch, start):
            list(self.models.representations(experts, batch, first, begin))
        h = self.models.embed(self.models.base, batch)
        return self.models.embedding(self.models.base, batch, Reached(h, 1))

    def quick(self, i: int) -> Tensor:
        """The fast mode, with whatever this sample gives it."""
        return self.logits(quick(self.engine, self.samples[i], self.resolved)[1])

    def cached(self, alone: bool) -> Case:
        """The fast mode with the cache probe at the suite's default layer; the outcome imposed.
        alone: the routing is saturated, so that the chosen expert's weights answer, which are in
        memory; otherwise its coefficients are merged."""
        resolved = replace(self.settings, probe="cache", fast=True).resolve(self.engine.suite)

        def case(i: int) -> Tensor:
            batch = self.samples[i]
            early = self.engine.early(batch, resolved)
            routing = self.engine.route(early.distances, resolved)
            if alone:
                return self.logits(self.engine.expert_embedding(batch, int(routing.chosen[0])))
            return self.logits(self.engine.merged_embedding(batch, routing.coefficients + 1e-3))

        return case

    def dropped(self, i: int) -> Tensor:
        """The fast mode with the probe `experts` where one expert wins at layer 1; imposed."""
        early = fast.probe(self.models, self.samples[i], self.resolved, ratio=1.0)
        t, start = next(iter(early.reached.items()))
        return self.logits(self.engine.expert_embedding(self.samples[i], t, start))

    @torch.inference_mode()
    def to_layer(self, i: int) -> object:
        """The probed merged model to the probe layer."""
        probed = self.models.probed(self.resolved.probe_lambda)
        return list(self.models.representations(probed, self.samples[i], self.point))

    @torch.inference_mode()
    def experts_to_layer(self, i: int) -> object:
        """All T experts to the probe layer, as the engine runs them."""
        batch = self.samples[i]
        start = self.engine.start(batch, [self.resolved.probing])
        return [
            list(self.models.representations(experts, batch, self.point, begin))
            for experts, begin in self.models.experts(batch, start)
        ]

    def copy(self) -> tuple[Case, float]:
        """A copy between two buffers, and how many of them move as much as a merge must. A merge
        reads 1 + T numbers and writes one for each number that changes; a copy reads one and writes
        one."""
        segments = self.models.vectors.segments
        blocks = segments[1:] if self.engine.backbone.linear_embed else segments
        moved = sum(s.weights.numel() + s.changing for s in blocks)
        source = torch.ones(min(moved // 2, COPIED), device=self.models.device)
        target = torch.empty_like(source)
        return lambda i: target.copy_(source), moved / (2 * len(source))

    def merge_forward(self, i: int) -> Tensor:
        """What is left when the coefficients are known: merge and run."""
        return self.logits(self.engine.merged_embedding(self.samples[i], self.coefficients[i]))

    def sandbox(self, i: int) -> object:
        """Coefficients that somebody sets, each another one: all of `Engine.answer_with`."""
        count = self.models.vectors.count
        own = [(t + 1) / count for t in range(count)]
        return self.engine.answer_with(self.inputs[i], own, self.head)

    def reroute(self, i: int) -> object:
        """Another preset for an input that was probed: all of `Engine.answer`."""
        return self.engine.answer(self.probed[i], replace(self.settings, preset="literal"))
