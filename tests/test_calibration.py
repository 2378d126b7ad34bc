"""Temperatures of heads: fitted on validation, and they change scores, never answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from labelled import plane_engine, plane_sets
from tiny import SUITES

from recipes import calibration
from semerge.common import UserError
from semerge.engine import Engine, load_engine
from semerge.evaluation.figures import calibration_error
from semerge.loading import load
from semerge.suites import read_suite


def test_calibration_error_by_hand() -> None:
    # a bin of four at .75 with one right, and a bin of one at 1, right
    assert calibration_error([0.75] * 4 + [1.0], [True, False, False, False, True]) == (
        pytest.approx(4 * (0.75 - 0.25) / 5)
    )
    # over and under in one bin make up for each other; in two they do not
    assert calibration_error([0.7, 0.7], [True, False]) == pytest.approx(0.2)
    assert calibration_error([0.9, 0.1], [False, True]) == pytest.approx(0.9)
    # the bins' upper ends belong to them: 3/15 and a little more lie apart
    assert calibration_error([0.2, 0.2000001], [True, False]) == pytest.approx(0.5, abs=1e-6)
    assert calibration_error([], []) == 0.0


def test_a_temperature_is_found_again() -> None:
    """Labels drawn from softmax(logits / 2.5): the likelihood is best near there."""
    random = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(20_000, 5, generator=random)
    labels = torch.multinomial((logits / 2.5).softmax(1), 1, generator=random)[:, 0]
    assert calibration.fit(logits, labels) == pytest.approx(2.5, rel=0.03)
    assert calibration.fit(logits / 10, labels) == pytest.approx(0.25, rel=0.03)


def test_temperatures_change_scores_alone() -> None:
    engine = plane_engine()
    tasks = tuple(replace(task, temperature=4.0) for task in engine.suite.tasks)
    warm = plane_engine()
    warm.suite = replace(warm.suite, tasks=tasks)
    errors, cool = calibration.errors(warm, plane_sets()), calibration.errors(engine, plane_sets())
    for name, row in errors["tasks"].items():
        assert row["temperature"] == 4.0
        assert row["before"] == cool["tasks"][name]["before"] == cool["tasks"][name]["after"]


@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_suite_states_them(modality: str, tmp_path: Path) -> None:
    suite = read_suite(SUITES[modality](tmp_path / "suite"))
    sample: object = "a plain sentence"
    if modality == "image":
        from PIL import Image

        sample = Image.new("RGB", (40, 40), "red")
    before = Engine(load(suite)).predict(sample)
    file = suite.folder / "suite.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    for task in raw["tasks"]:
        task["temperature"] = 3.0
    file.write_text(json.dumps(raw), encoding="utf-8")
    after = load_engine(suite.folder).predict(sample)
    for kind, scores in before.predictions.items():
        logits = torch.tensor([p.score for p in scores], dtype=torch.float64).log()
        assert [p.label for p in scores] == [p.label for p in after.predictions[kind]]
        assert [p.score for p in after.predictions[kind]] == pytest.approx(
            (logits / 3).softmax(0).tolist(), abs=1e-5
        )
    for value in (0, -1, "warm"):
        raw["tasks"][0]["temperature"] = value
        file.write_text(json.dumps(raw), encoding="utf-8")
        with pytest.raises(UserError, match="temperature"):
            read_suite(suite.folder)
