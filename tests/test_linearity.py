"""Cross-task linearity: by hand in the plane, of two models side by side, and into a report."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from labelled import DATA, plane_engine, plane_sets
from torch import Tensor

from recipes.finish import theory
from semerge.cli import main
from semerge.data.batches import batches
from semerge.data.sets import suite_sets
from semerge.engine import Engine
from semerge.evaluation.field.disentanglement import ALPHAS
from semerge.evaluation.field.linearity import FIGURES, cosines, linearity, of_pairs
from semerge.settings import FINAL, valid_layers


def test_by_hand() -> None:
    """A point x is (x0, 3 x1) by `wide` and (3 x0, x1) by `tall`, and by half of either's weights
    (2 x0, 2 x1), their mean: features are linear in the weights."""
    found = linearity(plane_engine(), plane_sets())
    assert found["cosine"] == pytest.approx([1.0] * 2)
    assert found["coefficient"] == pytest.approx([1.0] * 2)
    points = [[(10, 1), (10, 3), (3, 10)], [(1, 10), (3, 10)]]

    def alike(x: int, y: int) -> float:
        return 3 * (x * x + y * y) / (math.hypot(x, 3 * y) * math.hypot(3 * x, y))

    means = [sum(alike(*p) for p in of) / len(of) for of in points]
    assert found["experts"] == pytest.approx([sum(means) / 2] * 2)
    with pytest.raises(ValueError, match="two tasks"):
        linearity(plane_engine(), plane_sets()[:1])


def test_cosines_of_nothing() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    b = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    assert cosines(a, b).tolist() == [0.0, 1.0, 0.0, -1.0]


def test_each_figure_is_that_of_three_models(home: Path, engine: Engine) -> None:
    sets = suite_sets(engine.suite, home / "data").sets[1:]
    found, vectors = linearity(engine, sets), engine.models.vectors
    params = [vectors.merge(torch.tensor([0.0, 0.5, 0.5])), vectors.expert(1), vectors.expert(2)]
    layers = valid_layers(engine.suite)
    points = [(layer, FINAL if layer == FINAL else "all") for layer in layers]
    sums = torch.zeros(3, len(points))
    for own in sets:
        for _, batch in batches(engine.backbone, own):

            def features(model: int, batch: object = batch) -> list[Tensor]:
                run = engine.models.representations(lambda stage: params[model], batch, points)  # type: ignore[arg-type]
                return [h for _, h in run]

            with torch.inference_mode():
                for i, (m, a, b) in enumerate(zip(*map(features, range(3)), strict=True)):
                    z = (a + b) / 2
                    cosine = torch.nn.functional.cosine_similarity
                    ratio = (m * z).sum(1) / (z * z).sum(1)
                    for row, values in enumerate((cosine(m, z), ratio, cosine(a, b))):
                        sums[row, i] += float(values.mean()) * len(batch) / len(own) / 2
    for row, name in enumerate(FIGURES):
        assert found[name] == pytest.approx(sums[row].tolist(), abs=1e-5)
    assert all(0.9 < x <= 1 + 1e-9 for x in found["cosine"])


def test_of_all_pairs(home: Path, engine: Engine) -> None:
    sets = suite_sets(engine.suite, home / "data", limit=2).sets
    found = of_pairs(engine, sets)
    names, layers = engine.suite.task_names, [*valid_layers(engine.suite)]
    assert found["layers"] == layers and found["samples"] == dict.fromkeys(names, 2)
    assert [row["tasks"] for row in found["pairs"]] == [
        [names[0], names[1]],
        [names[0], names[2]],
        [names[1], names[2]],
    ]
    assert all(len(row[name]) == len(layers) for row in found["pairs"] for name in FIGURES)


def test_both_go_into_a_report_that_is_kept(
    home: Path, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On validation samples, beside a diagnosis; all else of the report stays as it was."""
    data = DATA[engine.suite.modality](tmp_path / "data", tasks=4)
    report, js = tmp_path / "report.json", tmp_path / "a.json"
    report.write_text(json.dumps({"machine": "old", "disentanglement": 1}), encoding="utf-8")
    start = ["evaluate", "--suite", str(home / "suite"), "--data", str(data), "--limit", "4"]
    start += ["--json", str(js), "--diagnose", str(report)]
    assert main([*start, "--disentanglement", "task0,task1"]) == 0
    written = json.loads(report.read_text(encoding="utf-8"))
    assert written["machine"] == "old" and "samples" in written["diagnosis"]
    told = json.loads(js.read_text(encoding="utf-8"))
    for key in ("disentanglement", "linearity"):
        part = written[key]
        assert part["split"] == "validation" and set(part["samples"].values()) == {4}
        assert part["weights_sha256"] == engine.weights_sha256()
        assert [row["tasks"] for row in part["pairs"]] == [["task0", "task1"]]
        assert [row["tasks"] for row in told[key]["pairs"]] == [["task0", "task1"]]
    assert written["disentanglement"]["alphas"] == list(ALPHAS)
    assert main(start) == 0  # without the flag they stay
    again = json.loads(report.read_text(encoding="utf-8"))
    assert again["linearity"] == written["linearity"]
    capsys.readouterr()


def test_a_recipe_measures_both(home: Path, engine: Engine) -> None:
    found = theory(engine, suite_sets(engine.suite, home / "data", "validation"), 2)
    assert set(found) == {"disentanglement", "linearity"}
    for part in found.values():
        assert len(part["pairs"]) == 3 and set(part["samples"].values()) == {2}
        assert part["split"] == "validation"
