"""The cache probe's statistics, against plain loops over samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny import SUITES, hash_files

from recipes import statistics
from recipes.statistics import CACHE, CACHE_OWN, SHRINKAGE, build, whitening
from semerge.data.batches import batches
from semerge.data.labelled import LabelledSet, read_set
from semerge.engine import Engine, load_engine
from semerge.probes import At
from semerge.probes.cache import cache

SCALE = 0.1


@pytest.fixture(scope="module")
def samples(home: Path, engine: Engine) -> list[LabelledSet]:
    return [read_set(home / "data", name, "train") for name in engine.suite.task_names]


def representations(
    engine: Engine, samples: LabelledSet, coefficients: torch.Tensor, layer: int, pool: str
) -> torch.Tensor:
    """One sample at a time through the merge with `coefficients`, float64 (n, K)."""
    params = engine.models.vectors.merge(coefficients)
    rows = []
    for _, batch in batches(engine.backbone, samples, size=1):
        h = engine.backbone.embed(params, batch)
        for block in range(1, layer + 1):
            h = engine.backbone.block(params, block, h, batch)
        rows.append(engine.backbone.pool(h, pool, batch)[0])
    return torch.stack(rows).double()


def ledoit_wolf(centred: np.ndarray) -> np.ndarray:
    """The shrunk covariance by the sums of the paper, one sample at a time."""
    n, k = centred.shape
    s = centred.T @ centred / n
    target = np.trace(s) / k * np.eye(k)
    distance = ((s - target) ** 2).sum() / k
    noise = sum(((np.outer(x, x) - s) ** 2).sum() / k for x in centred) / n**2
    share = min(noise, distance) / distance
    return share * target + (1 - share) * s


def test_means_and_metric_equal_the_plain_way(engine: Engine, samples: list[LabelledSet]) -> None:
    everyone = torch.full((3,), SCALE)
    found = build(engine, samples, [SCALE])[CACHE, SCALE][2, "mean"]
    r = [representations(engine, s, everyone, 2, "mean") for s in samples]
    means = torch.stack([x.mean(0) for x in r])
    assert found.mean == pytest.approx(means.float(), rel=1e-4, abs=1e-5)
    assert found.by.dim() == 2
    centred = torch.cat([x - m for x, m in zip(r, means, strict=True)]).numpy()
    inverse = np.linalg.inv(ledoit_wolf(centred))
    for x in torch.cat(r)[:5]:
        at = At(x.float()[None], None, None, found)  # type: ignore[arg-type]
        plain = [float(np.sqrt((x - m).numpy() @ inverse @ (x - m).numpy())) for m in means]
        assert cache(at)[0].tolist() == pytest.approx(plain, rel=2e-3)


def test_pool_all_has_variances(engine: Engine, samples: list[LabelledSet]) -> None:
    found = build(engine, samples, [SCALE])[CACHE, SCALE]
    if engine.suite.modality == "text":
        assert not [point for point in found if point[1] == "all"]
        return
    r = [representations(engine, s, torch.full((3,), SCALE), 1, "all") for s in samples]
    variance = torch.cat([x - x.mean(0) for x in r]).square().mean(0)
    variance = (1 - SHRINKAGE) * variance + SHRINKAGE * variance.mean()
    at = found[1, "all"]
    assert at.by.dim() == 1 and at.by == pytest.approx(variance.rsqrt().float(), rel=1e-4)
    assert at.mean == pytest.approx(torch.stack([x.mean(0) for x in r]).float(), rel=2e-3, abs=1e-3)


def test_the_variant_uses_each_experts_own(engine: Engine, samples: list[LabelledSet]) -> None:
    found = build(engine, samples, [SCALE, 0.3], own=True)
    assert set(found) == {(name, x) for name in (CACHE, CACHE_OWN) for x in (SCALE, 0.3)}
    own = found[CACHE_OWN, SCALE][1, "mean"].mean
    for t, s in enumerate(samples):
        plain = representations(engine, s, torch.eye(3)[t], 1, "mean").mean(0)
        assert own[t] == pytest.approx(plain.float(), rel=1e-4, abs=1e-5)
    assert not torch.allclose(own, found[CACHE, SCALE][1, "mean"].mean, rtol=1e-2)


def test_written_statistics_are_read_back(
    engine: Engine, samples: list[LabelledSet], tmp_path: Path
) -> None:
    made = build(engine, samples, [SCALE])[CACHE, SCALE]
    folder = SUITES[engine.suite.modality](tmp_path / "suite")
    about = statistics.record(samples, SCALE)
    statistics.save(folder / "statistics.safetensors", made, about)
    hash_files(folder)
    read = load_engine(folder).models.statistics
    assert set(read) == set(made) == set(statistics.points(engine))
    for point, s in made.items():
        assert read[point].mean.equal(s.mean) and read[point].by.equal(s.by)
    with safe_open(folder / "statistics.safetensors", "pt") as file:
        assert file.metadata()["samples_per_task"] == "36"
        assert file.metadata()["split"] == "train"
        assert file.metadata()["samples_sha256"] == about["samples_sha256"]


def test_every_task_is_needed_in_order(engine: Engine, samples: list[LabelledSet]) -> None:
    for wrong in (samples[:2], samples[::-1]):
        with pytest.raises(ValueError, match="every task"):
            build(engine, wrong, [SCALE])


def test_whitening_of_few_or_equal_rows_stays_finite() -> None:
    few = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.isfinite(whitening(few - few.mean(0))).all()
    assert whitening(torch.zeros(5, 4, dtype=torch.float64)).equal(torch.eye(4).double())


def test_whitened_rows_have_no_shape() -> None:
    """With many samples there is little to shrink: covariance of r @ W is nearly the identity."""
    random = torch.Generator().manual_seed(1)
    mixing = torch.randn(6, 6, generator=random, dtype=torch.float64)
    r = torch.randn(50_000, 6, generator=random, dtype=torch.float64) @ mixing
    white = (r - r.mean(0)) @ whitening(r - r.mean(0))
    assert white.mT @ white / len(r) == pytest.approx(torch.eye(6).double(), abs=0.06)
