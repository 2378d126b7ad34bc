"""The engine on another device, in another precision, and with models too large to stack."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from concurrency import sample_of
from equivalence import close, pair, samples_of

import semerge.models
from semerge.backbones import Batch
from semerge.common import UserError
from semerge.engine import Engine, chosen_device, load_engine
from semerge.loading import load
from semerge.models import Models
from semerge.settings import Settings
from semerge.suites import read_suite


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


def test_half_the_precision_runs_too(folder: Path) -> None:
    loaded = load(read_suite(folder))
    exact, rough = Engine(loaded), Engine(loaded, dtype=torch.bfloat16)
    assert {x.dtype for x in rough.models.vectors.tensors()} == {torch.bfloat16}
    a, b = (e.predict(sample_of(exact, 0), Settings(preset="literal")) for e in (exact, rough))
    assert b.distances == pytest.approx(a.distances, rel=0.1)
    assert b.coefficients == pytest.approx(a.coefficients, rel=0.1)


def test_a_batch_goes_where_the_weights_are(folder: Path) -> None:
    loaded = load(read_suite(folder))
    models = Models(loaded, dtype=torch.bfloat16)
    images, words = Batch(torch.zeros(1, 3, 4, 4)), Batch(torch.zeros(1, 4).long(), torch.ones(1))
    assert models.place(images).data.dtype == torch.bfloat16
    assert models.place(words).data.dtype == torch.int64


def test_large_models_equal_the_reference(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One expert at a time, and the static merge on demand because its λ is not the probe's."""
    monkeypatch.setattr(semerge.models, "STACK_LIMIT", 0)
    monkeypatch.setattr(semerge.models, "HOLD_LIMIT", 0)
    engine, reference = pair(folder)
    (sample,) = samples_of(engine, 1)
    assert list(engine.models._held) == [0.1]
    head = engine.suite.task_names[0]
    expected = reference.logits(reference.static(0.3), sample.data, head)
    close(engine.logits(engine.static_embedding(sample), head)[0], expected, "static")
