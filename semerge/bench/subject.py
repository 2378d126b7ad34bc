"""What is measured: an engine, inputs for it, and the settings that count as exact SE-Merging."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch

from semerge.backbones import Backbone, Batch, Params
from semerge.backbones.weights import build_backbone
from semerge.checkpoints.bundled import Statistics
from semerge.engine import Engine, chosen_device, load_engine, unpack
from semerge.inputs import clean_text, decode_image
from semerge.loading import Loaded
from semerge.settings import FINAL, Settings
from semerge.suites import Suite, read_suite
from semerge.suites.examples import load_examples
from semerge.suites.report import read_report
from semerge.task_vectors import Segment, TaskVectors

SPREAD, MOVE = 0.02, 0.002  # standard deviations of random weights and of random task vectors
PRESET = "sharp"  # its coefficients are spread a little: it merges, where `hard` need not


@dataclass(frozen=True)
class Subject:
    """weights: "trained", or "random" where answers mean nothing and only times count."""

    suite: Suite
    engine: Engine
    samples: tuple[Batch, ...]
    weights: str
    settings: Settings  # probe `experts`, at the layer, pooling and λ that were chosen for it
    inputs: tuple[object, ...] = ()  # what the samples were made from, decoded; none where random
    swept: tuple[Batch, ...] = ()  # what a sweep takes, where that is more than the samples


def bundled(name: str, inputs: int) -> Subject:
    """A suite that is here with its weights; its inputs are bundled examples of every task."""
    engine = load_engine(name)
    suite = engine.suite
    found = [e for e in load_examples().of(suite.modality) if e.task in suite.task_names]
    read = tuple(
        clean_text(example.text, example.text_b)
        if example.file is None
        else decode_image(example.file)
        for example in found
    )
    every = tuple(engine.backbone.preprocess(*unpack(one, suite)[0]) for one in read)
    step = max(1, len(found) // inputs)
    return Subject(suite, engine, every[::step], "trained", validated(suite), read[::step], every)


def validated(suite: Suite) -> Settings:
    """The probe `experts` as the suite's report chose it on validation, else by its defaults."""
    settings = Settings(probe="experts", preset=PRESET)
    report = read_report(suite)
    if report is None:
        return settings
    best = report["validation"]["best"]["experts"]
    return replace(
        settings, layer=best["layer"], pool=best["pool"], probe_lambda=best["probe_lambda"]
    )


def published(name: str, inputs: int, count: int | None = None) -> Subject:
    """A published suite at its full size with random weights and inputs, made in memory. count:
    experts; default: as many as the suite has tasks. Nothing is learned. The cache probe has random
    statistics at the default layer; they cost what others cost."""
    described = read_suite(name)
    suite = replace(
        described, tasks=described.tasks[: count or len(described.tasks)], statistics="random"
    )
    loaded = random_weights(suite, build_backbone(suite, inputs=False))
    samples = random_inputs(loaded.backbone, inputs)
    engine = Engine(loaded, chosen_device())
    return Subject(suite, engine, samples, "random", Settings("experts", preset=PRESET))


def random_weights(suite: Suite, backbone: Backbone, seed: int = 0) -> Loaded:
    """Weights as both models are initialised, and experts a little off; heads likewise."""
    random, count = torch.Generator().manual_seed(seed), len(suite.tasks)
    segments = []
    for stage, names in enumerate(backbone.segments):
        shapes = tuple(tuple(backbone.shapes[n]) for n in names)
        weights = torch.empty(1 + count, sum(prod(s) for s in shapes))
        layout = backbone.outputs_last if 0 < stage <= backbone.depth else None
        segment = Segment(tuple(names), shapes, weights, torch.empty(0), layout)
        weights[0].normal_(0, SPREAD, generator=random)
        for name, view in segment.unflatten(weights[0]).items():
            if "ln_" in name and name.endswith("weight"):
                view.add_(1)
        for row in weights[1:]:
            row.normal_(0, MOVE, generator=random).add_(weights[0])
        segments.append(segment)
    width = backbone.output_dim
    heads = {t.name: torch.randn(len(t.classes), width, generator=random) for t in suite.tasks}
    point = (suite.defaults.layer, suite.defaults.pool)
    size = _pooled_size(backbone, segments[0].unflatten(segments[0].weights[0]), *point)
    mean = torch.randn(count, size, generator=random)
    statistics = {point: Statistics(mean, torch.ones(size))}
    unit = {task: torch.nn.functional.normalize(head, dim=-1) for task, head in heads.items()}
    return Loaded(suite, backbone, TaskVectors.of(segments, count), unit, statistics)


def fewer(loaded: Loaded, count: int) -> Loaded:
    """The same with its first experts alone: views, so that it costs no memory."""
    segments = [replace(s, weights=s.weights[: 1 + count]) for s in loaded.vectors.segments]
    suite = replace(loaded.suite, tasks=loaded.suite.tasks[:count])
    statistics = {point: Statistics(s.mean[:count], s.by) for point, s in loaded.statistics.items()}
    vectors = TaskVectors.of(segments, count)
    return replace(loaded, suite=suite, vectors=vectors, statistics=statistics)


def random_inputs(backbone: Backbone, count: int, seed: int = 1) -> tuple[Batch, ...]:
    """Batches of one."""
    random = torch.Generator().manual_seed(seed)
    return tuple(backbone.random(random) for _ in range(count))


def _pooled_size(backbone: Backbone, first: Params, layer: int | str, pool: str) -> int:
    """K of a pooled representation, by the embedding's own parameters."""
    if layer == FINAL:
        return backbone.output_dim
    (batch,) = random_inputs(backbone, 1)
    return backbone.pool(backbone.embed(first, batch), pool, batch).shape[-1]


def grown(subject: Subject, count: int) -> tuple[Loaded, tuple[Batch, ...]]:
    """Random weights of the same shape with `count` experts, and a few inputs for them."""
    suite, tasks = subject.suite, subject.suite.tasks
    made = [replace(tasks[t % len(tasks)], name=f"task{t}") for t in range(count)]
    loaded = random_weights(replace(suite, tasks=tuple(made)), subject.engine.backbone)
    return loaded, subject.samples[:2]
