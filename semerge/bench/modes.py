"""Every way to an answer on labelled data: how often it agrees with the exact one, and is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from semerge import fast
from semerge.backbones import Batch
from semerge.bench.subject import Subject
from semerge.bench.work import Work, interleaved, quick
from semerge.data.batches import batches
from semerge.data.sets import suite_sets
from semerge.engine import Engine
from semerge.settings import FINAL, Resolved, Settings, valid_layers, valid_pools, valid_probes

RATIOS = (1.5, 1.75, 2.0, 2.25, 2.5, 3.0)
SURES = (0.8, 0.9, 0.95, 0.99)
PARTS = 20  # of the mass, in the mode with quantised coefficients
NAMED = "fast"  # the mode as it is shipped, among the modes
REFERENCE, DEFAULT = "exact", "default"


class Answers(NamedTuple):
    """What B samples were answered. alone: the chosen expert's own weights answered."""

    chosen: Tensor  # (B,) int64, experts
    given: Tensor  # (B,) int64, classes under the chosen expert's head
    alone: Tensor  # (B,) bool

    @classmethod
    def of(cls, parts: Sequence[Answers]) -> Answers:
        """Those of several batches, one after the other."""
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def equal(self, other: Answers) -> Tensor:
        """Where the same expert was chosen and the same class given, bool (B,)."""
        return (self.chosen == other.chosen) & (self.given == other.given)


Run = Callable[[Batch], Answers]


@dataclass(frozen=True)
class Mode:
    """One way to an answer. single: it takes one sample at a time."""

    run: Run
    single: bool = False


def modes(subject: Subject, tuning: bool = False) -> dict[str, Mode]:
    """By name: the exact one at the validated point first, and then all others.

    tuning: the fast mode's other constants too. They are to be chosen on validation, so nobody
    needs to see them on a test split.
    """
    engine = subject.engine
    main = subject.settings.resolve(subject.suite)
    default = Settings().resolve(subject.suite)
    found = {REFERENCE: Mode(_exact(engine, main)), DEFAULT: Mode(_exact(engine, default))}
    found["static"] = Mode(_static(engine, main))
    whole = replace(subject.settings, quantise=PARTS).resolve(subject.suite)
    found[f"exact, quantised {PARTS}"] = Mode(_exact(engine, whole))
    for layer in valid_layers(subject.suite):
        pools = valid_pools(subject.suite, "experts", layer)
        pool = main.pool if main.pool in pools else (FINAL if layer == FINAL else "mean")
        at = replace(subject.settings, layer=layer, pool=pool).resolve(subject.suite)
        found[f"exact, layer {layer}"] = Mode(_exact(engine, at))
    found[NAMED] = Mode(_quick(engine, main), single=True)
    for ratio in RATIOS if tuning else ():
        if ratio != fast.RATIO:
            found[f"fast, ratio {ratio:g}"] = Mode(_quick(engine, main, ratio=ratio), single=True)
    for sure in SURES if tuning else ():
        if sure != fast.SURE:
            found[f"fast, sure {sure:g}"] = Mode(_quick(engine, main, sure=sure), single=True)
    if "cache" in valid_probes(subject.suite):
        cache = default
        if default.probe != "cache":
            cache = Settings(probe="cache", preset=main.preset).resolve(subject.suite)
        found["fast, probe cache"] = Mode(_quick(engine, cache), single=True)
    found["full ensemble"] = Mode(_ensemble(engine))
    return found


def measured(
    subject: Subject,
    data: str,
    split: str,
    limit: int | None,
    rounds: int,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Every mode's cost (over the static pass), agreement and accuracy on a labelled split.

    agreement: share of samples with the exact answer: the same expert chosen and the same class.
    default_agreement: the same with the suite's default settings. accuracy: the chosen expert is
    the right one and so is the class; the static merge is read by the head that exact chooses.
    alone: share of samples that the chosen expert's own weights answered, without a merge.
    """
    sets = suite_sets(subject.suite, data, split, limit, 0, tell).sets
    run = modes(subject, tuning=split == "validation")
    answers: dict[str, list[Answers]] = {name: [] for name in run}
    tasks, labels = [], []
    for task, many, truth in _batches(subject.engine, sets):
        tell(f"modes on {task}")
        tasks.append(torch.full((len(many),), subject.suite.index(task)))
        labels.append(truth)
        for name, mode in run.items():
            parts = [many[i : i + 1] for i in range(len(many))] if mode.single else [many]
            for part in parts:
                answers[name].append(mode.run(part))
    joined = {name: Answers.of(parts) for name, parts in answers.items()}
    own, label = torch.cat(tasks), torch.cat(labels)
    cost = _cost(subject, run, rounds, tell)
    rows = []
    for name, found in joined.items():
        same = {other: found.equal(joined[other]) for other in (REFERENCE, DEFAULT)}
        right = (found.chosen == own) & (found.given == label)
        rows.append(
            {
                "mode": name,
                "cost": cost[name],
                "agreement": float(same[REFERENCE].double().mean()),
                "default_agreement": float(same[DEFAULT].double().mean()),
                "accuracy": float(right.double().mean()),
                "alone": float(found.alone.double().mean()),
            }
        )
    return {"split": split, "n": len(own), "limit": limit, "modes": rows}


def _cost(
    subject: Subject, run: dict[str, Mode], rounds: int, tell: Callable[[str], None]
) -> dict[str, float]:
    """One input at a time, over the static pass: medians of interleaved rounds on the inputs."""
    work = Work(subject)
    cases: dict[str, Any] = {"static pass": work.static}
    for name, mode in run.items():
        cases[name] = lambda i, mode=mode: mode.run(work.samples[i])
    cases["static"] = work.static
    found = interleaved(cases, len(work.samples), rounds, tell)
    return {name: found.ratio(name, "static pass") for name in run}


def _batches(engine: Engine, sets: Any) -> Iterator[tuple[str, Batch, Tensor]]:
    for samples in sets:
        for rows, batch in batches(engine.backbone, samples):
            yield samples.task, engine.models.place(batch), torch.from_numpy(samples.labels[rows])


def _classes(engine: Engine, chosen: Tensor, z: Tensor) -> Tensor:
    """The class under the chosen expert's head, sample by sample: (B,)."""
    names = engine.suite.task_names
    found = [engine.logits(z[i : i + 1], names[t]).argmax() for i, t in enumerate(chosen.tolist())]
    return torch.stack(found)


def _exact(engine: Engine, resolved: Resolved) -> Run:
    def run(batch: Batch) -> Answers:
        routing = engine.route(engine.distances(batch, resolved)[resolved.probing], resolved)
        z = engine.merged_embedding(batch, routing.coefficients)
        alone = routing.coefficients.max(1).values == 1
        return Answers(routing.chosen, _classes(engine, routing.chosen, z), alone)

    return run


def _static(engine: Engine, resolved: Resolved) -> Run:
    def run(batch: Batch) -> Answers:
        chosen = engine.route(engine.distances(batch, resolved)[resolved.probing], resolved).chosen
        given = _classes(engine, chosen, engine.static_embedding(batch))
        return Answers(chosen, given, torch.zeros(len(batch), dtype=torch.bool))

    return run


def _quick(
    engine: Engine, resolved: Resolved, ratio: float = fast.RATIO, sure: float = fast.SURE
) -> Run:
    def run(batch: Batch) -> Answers:
        t, z, alone = quick(engine, batch, resolved, ratio, sure)
        chosen = torch.tensor([t])
        return Answers(chosen, _classes(engine, chosen, z), torch.tensor([alone]))

    return run


def _ensemble(engine: Engine) -> Run:
    """Every expert runs to its end under its own head; the highest softmax score wins."""

    def run(batch: Batch) -> Answers:
        best = [
            engine.logits(engine.expert_embedding(batch, t), name).softmax(1).max(1)
            for t, name in enumerate(engine.suite.task_names)
        ]
        chosen = torch.stack([b.values for b in best]).argmax(0)  # (B,)
        answers = torch.stack([b.indices for b in best])  # (T, B)
        given = answers[chosen, torch.arange(len(chosen))]
        return Answers(chosen, given, torch.ones(len(batch), dtype=torch.bool))

    return run
