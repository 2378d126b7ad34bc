"""The engine against the slow reference, for any suite folder: used by two test files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference import Reference
from torch import Tensor

from semerge.backbones import Batch
from semerge.engine import Engine, load_engine
from semerge.settings import PRESETS, Settings, valid_layers, valid_pools, valid_probes

TOLERANCE = 1e-5
CLEAR = 1e-4  # below this margin rounding may choose


def samples_of(engine: Engine, count: int, seed: int = 0) -> list[Batch]:
    """Random images, or random sentences of different lengths, each a batch of one."""
    random = torch.Generator().manual_seed(seed)
    if engine.suite.modality == "image":
        size = engine.backbone.image_size
        return [Batch(torch.randn(1, 3, size, size, generator=random)) for _ in range(count)]
    longest, vocab = engine.backbone.positions, engine.backbone.vocab
    lengths = torch.randint(1, longest + 1, (count,), generator=random).tolist()
    lengths[0] = longest
    return [
        Batch(torch.randint(0, vocab, (1, n), generator=random), torch.tensor([n])) for n in lengths
    ]


def check_distances(engine: Engine, reference: Reference, samples: list[Batch]) -> None:
    """Every valid probe, layer and pool, one by one and in one padded batch."""
    suite = engine.suite
    resolved = Settings().resolve(suite)
    layers, probes = valid_layers(suite), valid_probes(suite)
    everything = {"layers": layers, "probes": probes, "pools": engine.backbone.pools}
    batched = engine.distances(engine.backbone.collate(samples), resolved, **everything)
    valid = {
        resolved.key(p, at, how)
        for p in probes
        for at in layers
        for how in valid_pools(suite, p, at)
    }
    assert set(batched) == valid
    for i, sample in enumerate(samples):
        alone = engine.distances(sample, resolved, **everything)
        for key in valid:
            expected = torch.tensor(reference.distances(sample.data, *key[:3]))
            assert batched[key][i].tolist() == pytest.approx(expected.tolist(), rel=TOLERANCE), key
            assert alone[key][0].tolist() == pytest.approx(expected.tolist(), rel=TOLERANCE), key


def check_answers(engine: Engine, reference: Reference, samples: list[Batch]) -> None:
    """Every preset, at every probe's default layer and pool: coefficients, choice and logits."""
    suite = engine.suite
    batch = engine.backbone.collate(samples)
    for probe in valid_probes(suite):
        for preset in PRESETS:
            resolved = Settings(probe=probe, preset=preset).resolve(suite)
            distances = torch.tensor(
                [reference.distances(s.data, *resolved.probing[:3]) for s in samples]
            )
            routing = engine.route(distances, resolved)
            z = engine.merged_embedding(batch, routing.coefficients)
            own = engine.route(engine.distances(batch, resolved)[resolved.probing], resolved)
            for i, sample in enumerate(samples):
                row = distances[i].tolist()
                coefficients = reference.coefficients(row, resolved)
                close(routing.coefficients[i], torch.tensor(coefficients), f"{preset} {probe}")
                chosen = row.index(min(row))
                assert int(routing.chosen[i]) == chosen
                if routing.margin[i] >= CLEAR:
                    assert int(own.chosen[i]) == chosen
                head = suite.task_names[chosen]
                expected = reference.predict(sample.data, coefficients, chosen, head)
                embeddings = {
                    "se": z[i : i + 1],
                    "static": engine.static_embedding(sample),
                    "expert": engine.expert_embedding(sample, chosen),
                    "base": engine.base_embedding(sample),
                }
                alone = engine.merged_embedding(sample, routing.coefficients[i : i + 1])
                close(engine.logits(alone, head)[0], expected["se"], f"{preset} {probe} alone")
                for kind, embedding in embeddings.items():
                    close(engine.logits(embedding, head)[0], expected[kind], f"{preset} {kind}")


def close(actual: Tensor, expected: Tensor, what: str) -> None:
    """Equal to 1e-5 of the largest value of the row."""
    scale = expected.abs().max().double()
    error = (actual.double() - expected.double()).abs().max() / scale
    assert error <= TOLERANCE, f"{what}: relative error {error:.1e}"


def pair(folder: Path) -> tuple[Engine, Reference]:
    return load_engine(folder), Reference(folder)
