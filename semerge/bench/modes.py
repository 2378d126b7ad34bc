"""Every way to an answer on labelled data: how often it agrees with the exact one, and is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from semerge.backbones import Batch
from semerge.bench.subject import Subject
from semerge.bench.work import Tell, Work, interleaved, quick
from semerge.data.batches import batches
from semerge.data.sets import suite_sets
from semerge.engine import Engine
from semerge.settings import FINAL, Resolved, Settings, valid_layers, valid_pools, valid_probes

RATIOS = (1.5, 1.75, 2.0, 2.5, 3.0)  # besides the shipped mode's own
SURES = (0.8, 0.9, 0.99)
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


Mode = Callable[[Batch], Answers]


def modes(subject: Subject, tuning: bool = False) -> dict[str, Mode]:
    """Ways to an answer by name: the exact one at the validated point first, then all others.
    tuning: the fast mode's other constants too. They are to be chosen on validation, so nobody
    needs to see them on a test split."""
    engine = subject.engine
    main = subject.settings.resolve(subject.suite)
    default = Settings().resolve(subject.suite)
    whole = replace(subject.settings, quantise=PARTS).resolve(subject.suite)
    found: dict[str, Mode] = {
        REFERENCE: partial(_exact, engine, main),
        DEFAULT: partial(_exact, engine, default),
        "static": partial(_static, engine, main),
        f"exact, quantised {PARTS}": partial(_exact, engine, whole),
    }
    for layer in valid_layers(subject.suite):
        pools = valid_pools(subject.suite, "experts", layer)
        pool = main.pool if main.pool in pools else (FINAL if layer == FINAL else "mean")
        at = replace(subject.settings, layer=layer, pool=pool).resolve(subject.suite)
        found[f"exact, layer {layer}"] = partial(_exact, engine, at)
    found[NAMED] = partial(_quick, engine, main)
    if tuning:
        for ratio in RATIOS:
            found[f"fast, ratio {ratio:g}"] = partial(_quick, engine, main, ratio=ratio)
        for sure in SURES:
            found[f"fast, sure {sure:g}"] = partial(_quick, engine, main, sure=sure)
    if "cache" in valid_probes(subject.suite):
        cache = default
        if default.probe != "cache":
            cache = Settings(probe="cache", preset=main.preset).resolve(subject.suite)
        found["fast, probe cache"] = partial(_quick, engine, cache)
    found["full ensemble"] = partial(_ensemble, engine)
    return found


def measured(
    subject: Subject,
    data: str,
    split: str,
    limit: int | None,
    rounds: int,
    tell: Tell = lambda text: None,
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
    for samples in sets:
        for rows, batch in batches(subject.engine.backbone, samples):
            tell(f"modes on {samples.task}")
            tasks.append(torch.full((len(batch),), subject.suite.index(samples.task)))
            labels.append(torch.from_numpy(samples.labels[rows]))
            placed = subject.engine.models.place(batch)
            for name, mode in run.items():
                answers[name].append(mode(placed))
    joined = {name: Answers.of(parts) for name, parts in answers.items()}
    own, label = torch.cat(tasks), torch.cat(labels)
    cost = _cost(subject, run, rounds, tell)
    figures = []
    for name, found in joined.items():
        same = {other: found.equal(joined[other]) for other in (REFERENCE, DEFAULT)}
        right = (found.chosen == own) & (found.given == label)
        figures.append(
            {
                "mode": name,
                "cost": cost[name],
                "agreement": float(same[REFERENCE].double().mean()),
                "default_agreement": float(same[DEFAULT].double().mean()),
                "accuracy": float(right.double().mean()),
                "alone": float(found.alone.double().mean()),
            }
        )
    return {"split": split, "n": len(own), "limit": limit, "modes": figures}


def _cost(subject: Subject, run: dict[str, Mode], rounds: int, tell: Tell) -> dict[str, float]:
    """One input at a time, over the static pass: medians of interleaved rounds on the inputs."""
    work = Work(subject)
    cases: dict[str, Any] = {"static pass": work.static}
    for name, mode in run.items():
        cases[name] = lambda i, mode=mode: mode(work.samples[i])
    cases["static"] = work.static
    found = interleaved(cases, len(work.samples), rounds, tell)
    return {name: found.ratio(name, "static pass") for name in run}


def _classes(engine: Engine, chosen: Tensor, z: Tensor) -> Tensor:
    """The class under the chosen expert's head, sample by sample: (B,)."""
    names = engine.suite.task_names
    found = [engine.logits(z[i : i + 1], names[t]).argmax() for i, t in enumerate(chosen.tolist())]
    return torch.stack(found)


def _exact(engine: Engine, resolved: Resolved, batch: Batch) -> Answers:
    routing = engine.route(engine.distances(batch, resolved)[resolved.probing], resolved)
    z = engine.merged_embedding(batch, routing.coefficients)
    alone = routing.coefficients.max(1).values == 1
    return Answers(routing.chosen, _classes(engine, routing.chosen, z), alone)


def _static(engine: Engine, resolved: Resolved, batch: Batch) -> Answers:
    chosen = engine.route(engine.distances(batch, resolved)[resolved.probing], resolved).chosen
    given = _classes(engine, chosen, engine.static_embedding(batch))
    return Answers(chosen, given, torch.zeros(len(batch), dtype=torch.bool))


def _quick(engine: Engine, resolved: Resolved, batch: Batch, **limits: float) -> Answers:
    """One sample at a time, which is what the mode is for."""
    parts = []
    for i in range(len(batch)):
        t, z, alone = quick(engine, batch[i : i + 1], resolved, **limits)
        chosen = torch.tensor([t])
        parts.append(Answers(chosen, _classes(engine, chosen, z), torch.tensor([alone])))
    return Answers.of(parts)


def _ensemble(engine: Engine, batch: Batch) -> Answers:
    """Every expert runs to its end under its own head; the highest softmax score wins."""
    best = [
        engine.logits(engine.expert_embedding(batch, t), name).softmax(1).max(1)
        for t, name in enumerate(engine.suite.task_names)
    ]
    chosen = torch.stack([b.values for b in best]).argmax(0)  # (B,)
    answers = torch.stack([b.indices for b in best])  # (T, B)
    given = answers[chosen, torch.arange(len(chosen))]
    return Answers(chosen, given, torch.ones(len(batch), dtype=torch.bool))
