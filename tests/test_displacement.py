"""The probe `displacement`: the expert that moves a sample farthest, by its own measure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from labelled import DATA
from tiny import SUITES

from semerge.cli import main
from semerge.common import UserError
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation.choice import mean_displacements
from semerge.loading import load
from semerge.probes.displacement import relative
from semerge.registry import Key
from semerge.settings import Settings, valid_probes
from semerge.suites import read_suite


def test_by_hand() -> None:
    """Expert 0 moves x by 2 and usually by 1, expert 1 by 4 and usually by 8: x is expert 0's."""
    moved, usual = torch.tensor([[2.0, 4.0], [0.0, 8.0]]), torch.tensor([1.0, 8.0])
    assert relative(moved, usual)[0].tolist() == [0.5, 2.0]
    still = relative(moved, usual)[1]
    assert torch.isfinite(still).all() and int(still.argmin()) == 1


def test_a_longer_task_vector_draws_no_more() -> None:
    moved = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)) + 0.1
    longer = moved * torch.tensor([1.0, 7.0, 0.2])
    torch.testing.assert_close(
        relative(longer, longer.mean(0)), relative(moved, moved.mean(0)), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("modality", ["image", "text"])
def test_from_samples_to_an_answer(
    modality: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = read_suite(SUITES[modality](tmp_path / "suite"))
    assert "displacement" not in valid_probes(suite)
    with pytest.raises(UserError, match="choose --write"):
        Settings(probe="displacement").resolve(suite)
    sets = suite_sets(suite, DATA[modality](tmp_path / "data"), "train", limit=4).sets
    means = mean_displacements(Engine(load(suite)), sets)
    raw = json.loads((suite.folder / "suite.json").read_text(encoding="utf-8"))
    raw["displacements"] = {
        f"{layer}/{pool}": dict(zip(suite.task_names, row, strict=True))
        for (layer, pool), row in means.items()
    }
    (suite.folder / "suite.json").write_text(json.dumps(raw), encoding="utf-8")
    engine = load_engine(suite.folder)
    assert engine.suite.displacements == means
    assert "displacement" in valid_probes(engine.suite)
    batch = next(iter(_batches(engine, sets[0])))
    for point, usual in means.items():
        at = Settings(
            probe="displacement", layer=point[0], pool=None if point[0] == "final" else point[1]
        )
        found = engine.distances(batch, at.resolve(engine.suite))
        moved = engine.distances_at(batch, [Key("base", *point)])[Key("base", *point)]
        ((key, distances),) = found.items()
        assert key == Key("displacement", *point)
        torch.testing.assert_close(distances, torch.tensor(usual) / moved, rtol=1e-4, atol=1e-6)
        one = engine.distances(batch[torch.tensor([1])], at.resolve(engine.suite))[key]
        torch.testing.assert_close(one, distances[1:2], rtol=1e-3, atol=1e-5)
    fast = engine.probe_batch(
        batch[torch.tensor([1])], replace(at, fast=True).resolve(engine.suite)
    )
    torch.testing.assert_close(fast.distances[key], distances[1:2], rtol=1e-3, atol=1e-5)


def _batches(engine: Engine, samples):  # type: ignore[no-untyped-def]
    from semerge.data.batches import batches

    return (engine.models.place(batch) for _, batch in batches(engine.backbone, samples))


@pytest.mark.parametrize(
    "row", [[1.0, 1.0, 1.0], {"task0": 1.0}, {"task0": 1.0, "task1": 0.0, "task2": 1.0}]
)
def test_what_is_no_displacement_is_refused(row: object, tmp_path: Path) -> None:
    folder = SUITES["text"](tmp_path / "suite")
    raw = json.loads((folder / "suite.json").read_text(encoding="utf-8"))
    raw["displacements"] = {"1/mean": row}
    (folder / "suite.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(UserError, match="displacements"):
        read_suite(folder)


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SUITES["text"](tmp_path / "suite")
    own = tmp_path / "own.txt"
    own.write_text("\n".join(f"sentence number {i} of mine" for i in range(8)), encoding="utf-8")
    assert main(["choose", "--suite", str(folder), str(own), "--write"]) == 0
    assert "pick: " in capsys.readouterr().out
    assert (
        main(["predict", "--suite", str(folder), "a sentence", "--json", "--probe", "displacement"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["probe"] == "displacement"
