"""What the engine saves must not change an answer: reuse, grouping, dropping."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from concurrency import sample_of
from equivalence import close, samples_of

import semerge.models
import semerge.task_vectors
from semerge import fast
from semerge.data.batches import batches
from semerge.data.labelled import read_set
from semerge.engine import Engine, load_engine
from semerge.evaluation.measure import BASE, Plan, measure
from semerge.loading import Loaded, load
from semerge.models import Scratch
from semerge.settings import PRESETS, Settings, valid_layers
from semerge.suites import read_suite
from semerge.task_vectors import TaskVectors


def shown(result: object) -> dict[str, object]:
    return {k: v for k, v in vars(result).items() if k != "timings_ms"}


def count_blocks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes the layer of every block that is run from now on."""
    layers: list[int] = []
    block = type(engine.backbone).block

    def noted(self: object, params: object, layer: int, *rest: object) -> torch.Tensor:
        layers.append(layer)
        return block(self, params, layer, *rest)

    monkeypatch.setattr(type(engine.backbone), "block", noted)
    return layers


# ---- what is repeated ------------------------------------------------------------------------


def test_a_new_preset_probes_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = sample_of(engine, 1)
    probed = engine.probe(sample)
    asked = [Settings(preset=p) for p in PRESETS]
    asked += [Settings(head=t) for t in engine.suite.task_names]
    asked += [Settings(temperature=0.3), Settings(mass="T*lambda"), Settings(normalise="zscore")]
    expected = [shown(engine.predict(sample, settings)) for settings in asked]
    layers = count_blocks(engine, monkeypatch)
    for settings, right in zip(asked, expected, strict=True):
        layers.clear()
        assert shown(engine.answer(probed, settings)) == right
        # one second pass, of two blocks; the chosen expert alone was run when it was probed
        assert layers == ([] if settings.preset == "hard" else [1, 2])


def test_a_new_layer_reuses_what_was_kept(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sample, layers = sample_of(engine, 2), valid_layers(engine.suite)
    probed = engine.probe(sample, layers=layers)
    expected = {at: shown(engine.predict(sample, Settings(layer=at))) for at in layers}
    monkeypatch.setattr(Engine, "distances", lambda *_, **__: pytest.fail("probed again"))
    for at in layers:
        assert shown(engine.answer(probed, Settings(layer=at))) == expected[at]


def test_what_was_not_probed_is_probed_then(engine: Engine) -> None:
    sample = sample_of(engine, 0)
    probed = engine.probe(sample)
    for settings in (Settings(layer=1), Settings(probe="base"), Settings(probe_lambda=0.2)):
        assert shown(engine.answer(probed, settings)) == shown(engine.predict(sample, settings))


@pytest.mark.parametrize("probe", ["experts", "base"])
def test_columns_go_on_from_where_the_probe_ended(
    folder: Path, probe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a large suite: experts one by one, and the static merge is what is probed."""
    monkeypatch.setattr(semerge.models, "STACK_LIMIT", 0)
    engine = load_engine(folder)
    (sample,) = samples_of(engine, 1)
    scale = engine.suite.defaults.static_lambda
    settings = Settings(probe=probe, layer=1, probe_lambda=scale).resolve(engine.suite)
    layers = count_blocks(engine, monkeypatch)
    probed = engine.probe_batch(sample, settings)
    count = len(engine.suite.tasks)
    # T experts and what they are compared with to block 1; two of the three columns go on at 2
    assert layers == [1] * (1 + count) + ([2, 1, 2, 2] if probe == "experts" else [1, 2, 2, 2])
    wanted = {
        "static": engine.static_embedding(sample),
        "base": engine.base_embedding(sample),
        "expert": engine.expert_embedding(sample, probed.nearest),
    }
    for name, z in wanted.items():
        assert torch.equal(probed.columns[name], z), name


# ---- sweeps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["STACK_BATCH", "GROUP"])
def test_a_sweep_equals_one_by_one(
    folder: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is run together: all experts at once or not, samples in groups or alone."""
    monkeypatch.setattr(semerge.models, limit, 3 if limit == "GROUP" else 0)
    engine = load_engine(folder)
    samples = samples_of(engine, 7)
    batch = engine.backbone.collate(samples)
    for preset in PRESETS:
        resolved = Settings(probe="experts", preset=preset).resolve(engine.suite)
        together = engine.distances(batch, resolved)[resolved.probing]
        routed = engine.route(together, resolved).coefficients
        z = engine.merged_embedding(batch, routed)
        for i, sample in enumerate(samples):
            alone = engine.distances(sample, resolved)[resolved.probing]
            close(together[i], alone[0], f"{preset} distances {i}")
            own = engine.route(alone, resolved).coefficients
            close(z[i], engine.merged_embedding(sample, own)[0], f"{preset} sample {i}")


def test_quantised_samples_with_equal_coefficients_share_a_merge(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(folder)
    samples = samples_of(engine, 7)
    batch = engine.backbone.collate(samples)
    resolved = Settings(probe="experts", preset="literal", quantise=3).resolve(engine.suite)
    routed = engine.route(engine.distances(batch, resolved)[resolved.probing], resolved)
    rows, counts = torch.unique(routed.coefficients, dim=0, return_counts=True)
    assert counts.max() > 1  # without a pair the test would show nothing
    merged = []
    monkeypatch.setattr(
        semerge.models.Models,
        "merged",
        lambda self, row, *rest, make=semerge.models.Models.merged: (
            merged.append(row.tolist()) or make(self, row, *rest)
        ),
    )
    z = engine.merged_embedding(batch, routed.coefficients)
    assert sorted(merged) == sorted(rows[counts > 1].tolist())
    for i, sample in enumerate(samples):
        close(z[i], engine.merged_embedding(sample, routed.coefficients[i : i + 1])[0], f"row {i}")


def test_the_room_for_merging_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage that is merged fits it: patches too, which here outweigh a block. Token tables do
    so as well, but are never merged."""
    loaded = load(read_suite(folder))
    base, experts = loaded.vectors.base(), [loaded.vectors.expert(t) for t in range(3)]
    name = "conv1.weight" if loaded.suite.modality == "image" else "wte.weight"
    for t, own in enumerate(experts):
        own[name] = base[name] + 0.1 * t
    vectors = TaskVectors(base, experts, loaded.backbone.segments)
    loaded = replace(loaded, vectors=vectors)
    first, *others = (s.changing for s in vectors.segments)
    assert first > max(others)
    numbers = first if name == "conv1.weight" else max(others)
    engine = Engine(loaded)
    asked: list[int] = []
    room = Scratch.room
    monkeypatch.setattr(
        Scratch, "room", lambda self, n, like: (asked.append(n), room(self, n, like))[1]
    )
    batch = engine.backbone.collate(samples_of(engine, 5))
    rows = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    for limit, group in ((2 * numbers, 2), (2 * numbers - 1, 1), (1, 1)):
        monkeypatch.setattr(semerge.models, "MERGE_ROOM", limit)
        engine = Engine(loaded)
        assert engine.models._group == group
        asked.clear()
        engine.merged_embedding(batch, rows)
        assert max(asked) == group * numbers


@pytest.mark.parametrize("numbers", [1, 7, 8, 9, 24, 29])
@pytest.mark.parametrize("given", [True, False])
def test_a_merge_in_blocks_is_the_sum_of_its_rows(
    numbers: int, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole blocks, none, and a rest; into room that is larger than what is merged."""
    monkeypatch.setattr(semerge.task_vectors, "BLOCK", 4)
    random = torch.Generator().manual_seed(numbers)
    base, *experts = [{"w": torch.randn(numbers, generator=random)} for _ in range(4)]
    vectors = TaskVectors(base, experts, (("w",),))
    coefficients = torch.tensor([0.5, -0.25, 2.0])
    room = torch.full((40,), torch.nan) if given else None
    want = base["w"].double()
    for c, expert in zip(coefficients.tolist(), experts, strict=True):
        want = want + c * (expert["w"].double() - base["w"].double())
    merged = vectors.merge(coefficients, 0, room)["w"]
    assert torch.allclose(merged.double(), want, rtol=1e-5, atol=1e-5)
    if room is not None:
        assert merged.data_ptr() == room.data_ptr()
        assert room[numbers:].isnan().all()


# ---- what all models share -------------------------------------------------------------------


def shared_first(loaded: Loaded, blocks: int) -> Loaded:
    """The same suite where the embedding and the first blocks are the base's in every expert."""
    vectors, kept = loaded.vectors, range(1 + blocks)
    base = vectors.base()
    experts = []
    for t in range(vectors.count):
        own = vectors.expert(t)
        own |= {name: base[name] for stage in kept for name in vectors.segments[stage].names}
        experts.append(own)
    return replace(loaded, vectors=TaskVectors(base, experts, loaded.backbone.segments))


@pytest.mark.parametrize("blocks", [0, 1])
def test_shared_stages_run_once(folder: Path, blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = shared_first(load(read_suite(folder)), blocks)
    engine = Engine(loaded)
    assert [s.changing > 0 for s in loaded.vectors.segments[: 1 + blocks]] == [False] * (1 + blocks)
    samples = samples_of(engine, 3)
    batch = engine.backbone.collate(samples)
    resolved = Settings(probe="experts", layer=2).resolve(engine.suite)
    layers = count_blocks(engine, monkeypatch)
    found = engine.distances(batch, resolved)[resolved.probing]
    assert layers.count(1) == (1 if blocks else 2)  # together, or the merged model and the experts
    for t in range(3):
        points = {(2, resolved.pool)}
        run = engine.models.representations
        ((_, r),) = run(lambda stage, t=t: engine.models.expert(t, stage), batch, points)
        ((_, m),) = run(engine.models.probed(resolved.probe_lambda), batch, points)
        close(found[:, t], (r - m).norm(dim=-1), f"expert {t}")
    rows = torch.tensor([[0.2, 0.1, 0.6], [1.0, 0.0, 0.0], [0.3, 0.3, 0.3]])
    z = engine.merged_embedding(batch, rows)
    for i, sample in enumerate(samples):
        params = engine.models.vectors.merge(rows[i])
        close(z[i], engine.models.embedding(lambda stage, p=params: p, sample)[0], f"{i}")


def test_a_labelled_set_runs_shared_stages_once(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of `evaluate` and of Inspect: base, merges and experts begin where they part."""
    engine = Engine(shared_first(load(read_suite(folder)), 1))
    samples = read_set(home / "data", "task1", "test")
    resolved = Settings(probe="experts", layer=2).resolve(engine.suite)
    key = resolved.probing
    layers = count_blocks(engine, monkeypatch)
    found = measure(engine, [samples], Plan((key,), (BASE, 0.3)))
    # then block 2 of the base, of both merges, and of every expert
    assert layers == [1] + [2] * 6
    ((rows, batch),) = batches(engine.backbone, samples)
    plain = engine.models.representations
    ((_, m),) = plain(engine.models.probed(resolved.probe_lambda), batch, {key.point})
    for t in range(3):
        ((_, r),) = plain(partial(engine.models.expert, t), batch, {key.point})
        close(found.distances[key][rows, t], (r - m).norm(dim=-1), f"expert {t}")


def test_task_vectors_are_views_of_one_matrix(folder: Path) -> None:
    vectors = load(read_suite(folder)).vectors
    for segment in vectors.segments:
        assert segment.weights.shape == (1 + vectors.count, segment.changing)
        rows = segment.unflatten(segment.weights)
        for t in range(vectors.count):
            own = segment.unflatten(segment.weights[1 + t])
            moving = [n for n in segment.names if own[n].data_ptr() == rows[n][1 + t].data_ptr()]
            assert moving == list(segment.names)
    for segment, deltas in zip(vectors.segments, vectors.deltas(), strict=True):
        assert torch.equal(deltas, segment.weights[1:] - segment.weights[0])
    alone = torch.eye(vectors.count)
    for t in range(vectors.count):
        merged, expert = vectors.merge(alone[t]), vectors.expert(t)
        assert all(torch.equal(merged[name], expert[name]) for name in expert)
    with pytest.raises(IndexError):
        vectors.expert(-1)
    with pytest.raises(ValueError, match="2 coefficients for 3"):
        vectors.merge(torch.zeros(2))


# ---- the fast mode ---------------------------------------------------------------------------


def test_a_fast_probe_that_drops_nothing_is_exact(engine: Engine) -> None:
    for layer in valid_layers(engine.suite):
        for probe in ("experts", "base"):
            resolved = Settings(probe=probe, layer=layer).resolve(engine.suite)
            (sample,) = samples_of(engine, 1)
            early = fast.probe(engine.models, sample, resolved, ratio=float("inf"))
            exact = engine.distances(sample, resolved)[resolved.probing]
            close(early.distances[0], exact[0], f"{probe} {layer}")
            assert (early.layer, early.left) == (layer, 3)


def test_the_nearest_at_the_first_layer_wins_if_the_others_are_dropped(engine: Engine) -> None:
    (sample,) = samples_of(engine, 1)
    resolved = Settings(probe="experts", layer=2).resolve(engine.suite)
    first = Settings(probe="experts", layer=1, pool=resolved.pool).resolve(engine.suite)
    d = engine.distances(sample, first)[first.probing][0]
    early = fast.probe(engine.models, sample, resolved, ratio=1.0)
    assert (early.layer, early.left, list(early.reached)) == (1, 1, [int(d.argmin())])
    close(early.distances[0], d, "estimates are the distances where the experts were dropped")


def test_an_expert_goes_on_from_where_the_probe_left_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = sample_of(engine, 3)
    settings = Settings(probe="experts", layer=2, preset="hard", fast=True)
    exact = engine.predict(sample, replace(settings, fast=False))
    layers = count_blocks(engine, monkeypatch)
    probed = engine.probe(sample, settings)
    layers.clear()
    result = engine.answer(probed, settings)
    assert layers == []
    assert "Fast mode" in " ".join(result.notices)
    assert "Fast mode" not in " ".join(exact.notices)
    if result.chosen == exact.chosen:
        for a, b in zip(result.predictions["se"], exact.predictions["se"], strict=True):
            assert (a.label, a.score) == (b.label, pytest.approx(b.score, abs=1e-5))


def test_a_result_tells_its_mode_and_what_is_estimated(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, sample = engine.suite.task_names, sample_of(engine, 3)
    exact = engine.predict(sample, Settings(probe="experts", quantise=5)).to_dict()
    assert (exact["fast"], exact["estimated"], exact["quantise"]) == (False, [], 5)
    assert exact["fallback"] == "route"
    settings = Settings(probe="experts", layer=2, fast=True)
    for ratio, dropped in ((1.0, 2), (float("inf"), 0)):
        monkeypatch.setattr(fast.probe, "__defaults__", (ratio,))
        told = engine.predict(sample, settings).to_dict()
        assert told["fast"] and len(told["estimated"]) == dropped
        assert told["chosen"] not in told["estimated"] and {*told["estimated"]} <= {*names}
    of_cache = engine.predict(sample, Settings(probe="cache", fast=True)).to_dict()
    assert (of_cache["fast"], of_cache["estimated"]) == (True, [])


def test_saturated_means_one_expert_and_a_mass_of_one(engine: Engine) -> None:
    near = torch.tensor([[1e-6, 1.0, 1.0]])
    for preset, alone in (("sharp", True), ("hard", True), ("literal", False)):
        resolved = Settings(preset=preset).resolve(engine.suite)
        assert fast.saturated(engine.route(near, resolved), resolved) == alone
    resolved = Settings(preset="sharp").resolve(engine.suite)
    broken = torch.tensor([[1e-6, torch.nan, 1.0]])
    assert not fast.saturated(engine.route(broken, resolved), resolved)
