"""One expert with token and position tables of its own, the others with the base's: the embedding
then differs between the models, and so nothing is shared before block 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from concurrency import answers, check_threads, sample_of
from equivalence import check_answers, check_distances, close, samples_of
from reference import Reference
from safetensors.torch import load_file, save_file
from tiny import hash_files, tiny_text_suite

import semerge.models
from recipes.bench import plain
from semerge import fast
from semerge.bench.subject import Subject
from semerge.bench.work import Work
from semerge.engine import Engine, load_engine, unpack
from semerge.models import Merged
from semerge.settings import PRESETS, Settings, valid_layers

TABLES = ("wte.weight", "wpe.weight")
OWN = 1  # the task whose expert has tables of its own


@pytest.fixture(scope="module", params=[TABLES, TABLES[:1]], ids=["both", "tokens"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny_text_suite(tmp_path_factory.mktemp("tables") / "suite")
    base = load_file(made / "base.safetensors")
    random = torch.Generator().manual_seed(7)
    for t in range(3):
        file = made / "experts" / f"task{t}.safetensors"
        expert = {name: x for name, x in load_file(file).items() if name not in TABLES}
        for name in request.param if t == OWN else ():
            expert[name] = base[name] + 0.2 * torch.randn(base[name].shape, generator=random).half()
        save_file(expert, file)
    hash_files(made)
    return made


@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    return Reference(folder)


@pytest.fixture(params=[50_000_000, 0], ids=["stacked", "one by one"])
def either(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine the way of small models, and that of large ones."""
    monkeypatch.setattr(semerge.models, "STACK_LIMIT", request.param)
    return load_engine(folder)


def test_it_is_so_that_one_expert_differs(folder: Path) -> None:
    engine = load_engine(folder)
    first, token = engine.models.vectors.segments[0], TABLES[0]
    base = first.unflatten(first.weights[0])[token]
    equal = [torch.equal(first.unflatten(row)[token], base) for row in first.weights[1:]]
    assert equal == [t != OWN for t in range(3)]
    assert engine.models.start(samples_of(engine, 1)[0]) is None


def test_probes_and_answers_equal_the_reference(either: Engine, reference: Reference) -> None:
    samples = samples_of(either, 2)
    check_distances(either, reference, samples)
    check_answers(either, reference, samples)
    assert either.verify_weights()


def test_coefficients_that_are_set_equal_the_reference(
    either: Engine, reference: Reference
) -> None:
    for seed, own in enumerate(([0.0] * 3, [0.0, 1.0, 0.0], [-0.5, 1.5, 0.25], [0.3, 0.3, 0.3])):
        sample = sample_of(either, seed)
        data = either.backbone.preprocess(*unpack(sample, either.suite)[0]).data
        model = reference.model(reference.merged(own))
        for task in either.suite.tasks:
            found = {p.label: p.score for p in either.answer_with(sample, own, task.name)}
            scores = torch.tensor([found[label] for label in task.classes])
            close(scores, reference.logits(model, data, task.name).softmax(0), f"{own}")


@pytest.mark.parametrize("group", [2, 16])
def test_a_sweep_equals_one_by_one(
    either: Engine, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(either.models, "_group", group)
    samples = samples_of(either, 7)
    batch = either.backbone.collate(samples)
    for probe in ("experts", "base", "cache"):
        for preset, parts in [*((preset, None) for preset in PRESETS), ("literal", 3)]:
            settings = Settings(probe=probe, preset=preset, quantise=parts)
            resolved = settings.resolve(either.suite)
            together = either.distances(batch, resolved)[resolved.probing]
            z = either.merged_embedding(batch, either.route(together, resolved).coefficients)
            for i, sample in enumerate(samples):
                alone = either.distances(sample, resolved)[resolved.probing]
                close(together[i], alone[0], f"{probe} {preset} distances {i}")
                own = either.route(alone, resolved).coefficients
                close(z[i], either.merged_embedding(sample, own)[0], f"{probe} {preset} {i}")


def test_the_fast_mode_equals_exact_where_it_drops_nothing(
    either: Engine, reference: Reference
) -> None:
    (sample,) = samples_of(either, 1)
    for layer in valid_layers(either.suite):
        for probe in ("experts", "base"):
            resolved = Settings(probe=probe, layer=layer).resolve(either.suite)
            early = fast.probe(either.models, sample, resolved, ratio=float("inf"))
            wanted = torch.tensor(reference.distances(sample.data, *resolved.probing[:3]))
            close(early.distances[0], wanted, f"{probe} {layer}")
            for t, start in early.reached.items():
                z = either.expert_embedding(sample, t, start)
                close(z, either.expert_embedding(sample, t), f"{probe} {layer} expert {t}")


def test_a_table_is_never_merged_for_one_request(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedding is linear: what a merge reads of a table is the rows of the input's tokens."""
    engine, stages = load_engine(folder), []
    call: Callable[..., object] = Merged.__call__
    monkeypatch.setattr(Merged, "__call__", lambda s, at: (stages.append(at), call(s, at))[1])
    batch = engine.backbone.collate(samples_of(engine, 4))
    engine.merged_embedding(batch, torch.rand(4, 3, generator=torch.Generator().manual_seed(1)))
    engine.predict(sample_of(engine, 0), Settings(preset="literal", probe_lambda=0.77))
    assert stages and 0 not in stages


def test_requests_at_once_equal_those_alone_and_rerouting_probes_nothing(folder: Path) -> None:
    engine = load_engine(folder)
    check_threads([engine], threads=4, count=20)
    sample = sample_of(engine, 1)
    for settings in (Settings(), Settings(fast=True), Settings(preset="literal", fast=True)):
        found = engine.answer(engine.probe(sample, settings), settings)
        assert answers(found) == answers(engine.predict(sample, settings))


def test_the_bench_takes_such_a_suite(folder: Path) -> None:
    engine = load_engine(folder)
    settings = Settings(probe="experts", preset="sharp")
    work = Work(Subject(engine.suite, engine, tuple(samples_of(engine, 2)), "trained", settings))
    one_by_one, swept = torch.cat(work.loop(0)), torch.cat(work.sweep(0))
    close(swept, one_by_one, "sweep")
    reference_case = plain(work)
    for i in range(2):
        close(work.exact(i)[0], torch.as_tensor(reference_case(i)), f"reference {i}")
    work.experts_to_layer(0), work.passes(0), work.dropping(0)
