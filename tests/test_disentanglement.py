"""The weight-disentanglement error: by hand in the plane, and of pairs of tasks on a suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from labelled import plane_engine, plane_sets

from semerge.cli import main
from semerge.data.batches import batches
from semerge.data.sets import suite_sets
from semerge.engine import Engine
from semerge.evaluation.field.disentanglement import ALPHAS, disentanglement, of_pairs


def test_by_hand() -> None:
    """`wide` adds 2 α1 to the factor of x1 and `tall` 2 α2 to that of x0. At (1, 1) a point of
    `wide` is (x0, 3 x1) by its own vector and three times itself by both; yes where z0 > 2 z1: of
    (10, 1), (10, 3), (3, 10) the second changes, from 10 < 18 to 30 > 18. A point of `tall` is
    (3 x0, x1) by its own; yes where z1 > 2 z0: of (1, 10), (3, 10) the second changes, from 10 < 18
    to 30 > 18. So 1/3 + 1/2. At (0, 1): by `wide` alone each is itself, by both (3 x0, x1), and
    (10, 3) is yes in either, as are (10, 1) and not (3, 10): 0; `tall` is alone: 0."""
    found = disentanglement(plane_engine(), plane_sets(), (0.0, 1.0))
    assert found[0][0] == 0
    assert found[1][1] == pytest.approx(1 / 3 + 1 / 2)
    assert found[0][1] == 0
    # at (1, 0) `tall` is itself by its own, (x0, 3 x1) by both: (3, 10) is yes in either
    assert found[1][0] == 0
    with pytest.raises(ValueError, match="two tasks"):
        disentanglement(plane_engine(), plane_sets()[:1])


def test_each_entry_is_that_of_two_models(home: Path, engine: Engine) -> None:
    sets = suite_sets(engine.suite, home / "data").sets[:2]
    alphas = (0.5, 1.0)
    found = disentanglement(engine, sets, alphas)
    vectors = engine.models.vectors
    for i, first in enumerate(alphas):
        for j, second in enumerate(alphas):
            total = 0.0
            for own, alone in enumerate([(first, 0.0, 0.0), (0.0, second, 0.0)]):
                name, answers = sets[own].task, []
                for coefficients in (alone, (first, second, 0.0)):
                    params = vectors.merge(torch.tensor(coefficients))
                    with torch.inference_mode():
                        z = torch.cat(
                            [
                                engine.models.embedding(lambda s, p=params: p, b)  # type: ignore[misc]
                                for _, b in batches(engine.backbone, sets[own])
                            ]
                        )
                        answers.append(engine.logits(z, name).argmax(1))
                total += float((answers[0] != answers[1]).double().mean())
            assert found[i][j] == pytest.approx(total)


def test_of_all_pairs(home: Path, engine: Engine) -> None:
    sets = suite_sets(engine.suite, home / "data", limit=2).sets
    found = of_pairs(engine, sets, None, (0.0, 1.0))
    names = engine.suite.task_names
    assert [row["tasks"] for row in found["pairs"]] == [
        [names[0], names[1]],
        [names[0], names[2]],
        [names[1], names[2]],
    ]
    assert found["alphas"] == [0.0, 1.0] and set(found["samples"]) == set(names)
    for row in found["pairs"]:
        assert row["error"][0][0] == 0 and all(0 <= x <= 2 for line in row["error"] for x in line)


def test_the_command(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    js = tmp_path / "a.json"
    start = ["evaluate", "--suite", str(home / "suite"), "--data", str(home / "data")]
    start += ["--limit", "2", "--json", str(js), "--disentanglement"]
    assert main([*start, "task0,task2"]) == 0
    told = json.loads(js.read_text(encoding="utf-8"))["disentanglement"]
    assert told["alphas"] == list(ALPHAS)
    assert [row["tasks"] for row in told["pairs"]] == [["task0", "task2"]]
    capsys.readouterr()
    for text, why in (("task0", "two tasks"), ("task0,task9", "task9"), ("task0,task0", "two")):
        assert main([*start, text]) == 2
        assert why in capsys.readouterr().err
