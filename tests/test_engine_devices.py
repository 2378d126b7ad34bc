"""The engine on another device, in another precision, and with models too large to stack."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from equivalence import close, pair, samples_of

import semerge.models
import semerge.task_vectors
from semerge.backbones import Batch, embedding
from semerge.common import UserError
from semerge.engine import chosen_device, load_engine
from semerge.loading import load
from semerge.models import Models
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.task_vectors import TaskVectors


def test_every_tensor_follows_the_weights(folder: Path) -> None:
    """With another default device, any tensor that was made without asking where would clash."""
    engine = load_engine(folder)
    samples = samples_of(engine, 3)
    batch = engine.backbone.collate(samples)
    resolved = Settings(probe="experts", fast=True).resolve(engine.suite)
    with torch.device("meta"):  # as a default device, but one that torch 2.8 takes back whole
        for probe in ("experts", "base", "cache"):
            at = Settings(probe=probe).resolve(engine.suite)
            d = engine.distances(batch, at)[at.probing]
        z = engine.merged_embedding(batch, engine.route(d, at).coefficients)
        early = engine.early(batch[:1], resolved)
    assert {x.device.type for x in (d, z, early.distances)} == {"cpu"}


def test_the_device_is_the_environments_and_must_be_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen_device() == torch.device("cpu")
    monkeypatch.setenv("SEMERGE_DEVICE", "nowhere")
    assert load_engine(folder, "cpu").models.device == torch.device("cpu")
    for name in ("nowhere", "meta", "cuda:77"):
        monkeypatch.setenv("SEMERGE_DEVICE", name)
        with pytest.raises(UserError, match=f"The device '{name}' can't be used here: "):
            load_engine(folder)


def test_weights_and_images_are_float32_and_words_whole_numbers(folder: Path) -> None:
    models = Models(load(read_suite(folder)))
    assert {x.dtype for x in models.vectors.tensors()} == {torch.float32}
    assert {x.dtype for x in models.heads.values()} == {torch.float32}
    images, words = Batch(torch.zeros(1, 3, 4, 4)), Batch(torch.zeros(1, 4).long(), torch.ones(1))
    assert models.place(images).data.dtype == torch.float32
    assert models.place(words).data.dtype == torch.int64


def test_a_merge_of_a_loaded_suite_can_be_differentiated(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With respect to the coefficients, and to the weights that are merged."""
    monkeypatch.setattr(semerge.task_vectors, "BLOCK", 16)  # a merge outside the gradient has many
    engine = load_engine(folder)
    (sample,) = samples_of(engine, 1)
    engine.distances(sample, Settings().resolve(engine.suite))  # inference mode leaves no trace
    vectors, head = engine.models.vectors, engine.models.heads[engine.suite.task_names[0]]
    held = [x for x in (*vectors.tensors(), head) if x.is_inference()]
    assert not held

    def loss(given: TaskVectors, coefficients: torch.Tensor) -> torch.Tensor:
        z = embedding(engine.backbone, given.merge(coefficients), sample)
        return engine.backbone.logits(z, head).logsumexp(-1).sum()

    coefficients = torch.tensor([0.3, 0.2, 0.1], requires_grad=True)
    (found,) = torch.autograd.grad(loss(vectors, coefficients), coefficients)
    for t in range(3):
        step = 1e-2 * torch.eye(3)[t]
        high, low = (float(loss(vectors, (coefficients + s).detach())) for s in (step, -step))
        assert float(found[t]) == pytest.approx((high - low) / 2e-2, rel=0.05, abs=2e-3)

    leaves = [replace(s, weights=s.weights.clone().requires_grad_()) for s in vectors.segments]
    own = TaskVectors.of(leaves, 3)
    loss(own, coefficients.detach()).backward()
    block = leaves[1].weights
    assert block.grad is not None and block.grad.shape == block.shape
    # the weights of a merge are sums of rows, so each row's gradient is its coefficient's share
    assert bool(block.grad.any())
    assert torch.allclose(block.grad[1] * 0.2, block.grad[2] * 0.3, rtol=1e-4, atol=1e-7)


def test_a_merged_stage_is_lent_once(folder: Path) -> None:
    """Before, two merges that took turns on one thread wrote over each other's weights."""
    engine = load_engine(folder)
    models, (sample,) = engine.models, samples_of(engine, 1)
    one, other = (models.merged(torch.tensor(c)) for c in ([0.5, 0.25, 0.0], [0.0, 0.5, 0.25]))
    stages = range(1, engine.backbone.depth + 1)
    with pytest.raises(RuntimeError, match="A merged stage is still in use on this thread"):
        list(zip(map(one, stages), map(other, stages), strict=True))
    with pytest.raises(RuntimeError, match="still in use"):
        list(map(one, stages))
    tensor = one(1).popitem()[1]  # one of its tensors is enough
    with pytest.raises(RuntimeError, match="still in use"):
        models.embedding(other, sample)
    with ThreadPoolExecutor(1) as pool:  # another thread has its own room
        apart = pool.submit(engine.merged_embedding, sample, torch.tensor([[0.0, 0.5, 0.25]]))
        expected = apart.result()
    del tensor

    # generators of representations hold no stage while they wait, so they may take turns
    points = {(layer, "mean") for layer in stages}
    pairs = zip(*(models.representations(m, sample, points) for m in (one, other)), strict=True)
    alone = [list(models.representations(m, sample, points)) for m in (one, other)]
    for turn, (a, b) in enumerate(pairs):
        assert torch.equal(a[1], alone[0][turn][1]) and torch.equal(b[1], alone[1][turn][1])
    close(models.embedding(other, sample), expected, "after all of this")


def test_a_request_that_dies_gives_its_room_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its traceback may be kept, and with it the parameters of the stage where it ended."""
    engine = load_engine(folder)
    (sample,), block = samples_of(engine, 1), type(engine.backbone).block
    both, c = (
        engine.backbone.collate([sample] * 2),
        torch.tensor([[0.5, 0.2, 0.1], [0.1, 0.2, 0.3]]),
    )

    def fails(self: object, params: object, *rest: object) -> torch.Tensor:
        raise ArithmeticError(params)

    died = []
    for batch in (sample, both):
        with monkeypatch.context() as patch:
            patch.setattr(type(engine.backbone), "block", fails)
            with pytest.raises(ArithmeticError) as caught:
                engine.merged_embedding(batch, c[: len(batch)])
        died.append(caught.value)
        assert engine.merged_embedding(batch, c[: len(batch)]).isfinite().all()
    assert len(died) == 2 and type(engine.backbone).block is block


def test_large_models_equal_the_reference(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One expert at a time, and the static merge on demand because its λ is not the probe's."""
    monkeypatch.setattr(semerge.models, "STACK_LIMIT", 0)
    monkeypatch.setattr(semerge.models, "HOLD_LIMIT", 0)
    engine, reference = pair(folder)
    (sample,) = samples_of(engine, 1)
    assert list(engine.models.variant("task_arithmetic").held) == [0.1]
    head = engine.suite.task_names[0]
    expected = reference.logits(reference.static(0.3), sample.data, head)
    close(engine.logits(engine.static_embedding(sample), head)[0], expected, "static")
