"""What the engine says beside its answer, and what it does where numbers or settings fail it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from concurrency import sample_of
from equivalence import samples_of
from tiny import tiny_text_suite, tiny_vision_suite

from semerge.common import UserError
from semerge.engine import Engine, load_engine
from semerge.inputs import CleanText
from semerge.loading import load
from semerge.settings import PRESETS, Settings
from semerge.suites import read_suite


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(tiny_vision_suite(tmp_path_factory.mktemp("vision") / "suite"))


def test_a_sentence_longer_than_the_window_is_told(tmp_path: Path) -> None:
    engine = load_engine(tiny_text_suite(tmp_path / "long"))
    (notice,) = engine.predict(CleanText("many words " * 20)).notices
    assert "the model reads the first 24" in notice


def test_notices_follow_the_thresholds(tmp_path: Path) -> None:
    loud = {"near_tie": 1.0, "flat": 10.0, "far": 0.0}
    engine = load_engine(tiny_vision_suite(tmp_path / "loud", thresholds=loud))
    text = " ".join(engine.predict(sample_of(engine, 0)).notices)
    assert "Closer than usual: Task" in text
    assert "Flat routing" in text
    assert "Far away" in text
    # the unit of "far" is that of the default probe, layer and pool: elsewhere it says nothing
    elsewhere = " ".join(engine.predict(sample_of(engine, 0), Settings(layer=1)).notices)
    assert "Closer than usual" in elsewhere
    assert "Far away" not in elsewhere


def test_changed_readings_are_told(engine: Engine) -> None:
    result = engine.predict(sample_of(engine, 0), Settings(temperature=0.5, mass="1"))
    assert result.notices == ("Changed from the preset sharp: temperature 0.5.",)
    assert result.temperature == 0.5


def test_notices_of_the_input_come_first(vision: Engine) -> None:
    sample = replace(sample_of(vision, 0), notices=("Frame 1 of 3.",))
    assert vision.predict(sample).notices == ("Frame 1 of 3.",)


def test_a_probe_that_is_not_finite_falls_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One expert's activations overflow at the probe layer."""
    backbone, pool = type(engine.backbone), type(engine.backbone).pool

    def overflow(self: object, h: torch.Tensor, *rest: object) -> torch.Tensor:
        pooled = pool(self, h, *rest)
        if pooled.dim() == 3:  # the stacked experts
            pooled = pooled.index_fill(0, torch.tensor([0]), torch.inf)
        return pooled

    monkeypatch.setattr(backbone, "pool", overflow)
    result = engine.predict(sample_of(engine, 0))
    assert result.coefficients == result.static_coefficients
    assert result.predictions["se"] == result.predictions["static"]
    assert result.chosen != engine.suite.task_names[0]
    assert "static coefficients were used" in " ".join(result.notices)
    assert result.to_dict()["distances"][0] is None
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_second_pass_that_is_not_finite_falls_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = torch.full((1, 16 if engine.suite.modality == "text" else 12), torch.nan)
    monkeypatch.setattr(Engine, "merged_embedding", lambda *_: nothing)
    result = engine.predict(sample_of(engine, 0))
    assert result.coefficients == result.static_coefficients
    assert result.predictions["se"] == result.predictions["static"]
    assert "static coefficients were used" in " ".join(result.notices)


def test_nothing_finite_is_an_error_in_one_sentence(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = torch.full((1, 16 if engine.suite.modality == "text" else 12), torch.nan)
    monkeypatch.setattr(type(engine.backbone), "final", lambda *_: nothing)
    with pytest.raises(UserError, match="not finite"):
        engine.predict(sample_of(engine, 0))


def test_equal_experts_share_the_mass(tmp_path: Path) -> None:
    folder = tiny_vision_suite(tmp_path / "equal")
    loaded = load(read_suite(folder))
    same = {key: x + 0.1 for key, x in loaded.vectors.base().items()}
    vectors = type(loaded.vectors)(loaded.vectors.base(), [same] * 3, loaded.backbone.segments)
    engine = Engine(replace(loaded, vectors=vectors))
    for preset in PRESETS:
        result = engine.predict(sample_of(engine, 0), Settings(preset=preset))
        assert len(set(result.coefficients)) == 1
        assert result.margin == pytest.approx(0.0, abs=1e-6)
        assert result.entropy == pytest.approx(1.0)


def test_the_cache_probe_needs_statistics(tmp_path: Path) -> None:
    engine = load_engine(tiny_vision_suite(tmp_path / "none", statistics=None))
    with pytest.raises(UserError, match="valid are experts, base"):
        engine.predict(sample_of(engine, 0), Settings(probe="cache"))
    resolved = Settings().resolve(engine.suite)
    with pytest.raises(UserError, match="valid are experts, base"):
        engine.distances(samples_of(engine, 1)[0], resolved, probes=["cache"])


def test_distances_refuse_what_is_unknown(engine: Engine) -> None:
    (sample,) = samples_of(engine, 1)
    resolved = Settings().resolve(engine.suite)
    for unknown in ({"layers": [9]}, {"pools": ["max"]}, {"probes": ["oracle"]}):
        with pytest.raises(UserError, match="valid are"):
            engine.distances(sample, resolved, **unknown)
    other = Settings(probe="experts", probe_lambda=0.2).resolve(engine.suite)
    with pytest.raises(UserError, match="probe-lambda"):
        engine.distances(sample, other, probes=["cache"])


def test_distances_that_are_all_zero_are_told(tmp_path: Path) -> None:
    loaded = load(read_suite(tiny_vision_suite(tmp_path / "still")))
    base = loaded.vectors.base()
    vectors = type(loaded.vectors)(base, [base] * 3, loaded.backbone.segments)
    engine = Engine(replace(loaded, vectors=vectors))
    result = engine.predict(sample_of(engine, 0))
    assert max(result.distances) == pytest.approx(0.0, abs=1e-5)
    assert any(notice.startswith("All distances are 0: ") for notice in result.notices)
