"""Inputs that belong to no task, and the whole diagnosis: its samples, its command, its tables."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labelled import DATA

from semerge.cli import main
from semerge.common import UserError
from semerge.data.labelled import Sets
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation.diagnosis import diagnose
from semerge.evaluation.measure import Interrupted
from semerge.evaluation.misfits import OTHER, read, unseen
from semerge.evaluation.text import diagnosis_lines
from semerge.registry import Key
from semerge.settings import Settings
from semerge.suites.abstention import Beside
from semerge.suites.report import rounded, write_report


@pytest.fixture(scope="module")
def home(folder: Path, engine: Engine) -> Path:
    """A folder with `suite` and `data`, which holds a task that the suite does not have."""
    DATA[engine.suite.modality](folder.parent / "data", tasks=4)
    return folder.parent


@pytest.fixture(scope="module")
def splits(home: Path, engine: Engine) -> dict[str, Sets]:
    return {s: suite_sets(engine.suite, home / "data", s) for s in ("validation", "test")}


def test_unseen_inputs_are_seeded(home: Path, engine: Engine) -> None:
    suite = engine.suite
    first, again, other = (unseen(suite, 5, seed, home / "data") for seed in (0, 0, 1))
    assert OTHER in first and len(first) == 4
    for kind, inputs in first.items():
        assert len(inputs) == 5
        assert [content(x) for x in inputs] == [content(x) for x in again[kind]]
        assert [content(x) for x in inputs] != [content(x) for x in other[kind]]
    assert OTHER not in unseen(suite, 1, 0)
    resolved = Settings().resolve(suite)
    found = read(engine, first[OTHER], resolved, Beside(Key("cache", "final", "final", 0.1)))
    assert found.routing.shape == (5, 3)
    batch = engine.backbone.preprocess(*first[OTHER][3])
    alone = engine.distances(batch, resolved)[resolved.probing]
    assert found.routing[3:4] == pytest.approx(alone, rel=1e-4)
    assert found.other is not None and found.other.shape == (5, 3)


def content(one: tuple[object, str | None]) -> tuple[object, str | None]:
    picture, second = one
    return (picture if isinstance(picture, str) else np.asarray(picture).tobytes()), second


# ---- all of it ----------------------------------------------------------------------------------


def test_the_diagnosis_states_its_samples_and_chooses_on_validation(
    home: Path, engine: Engine, splits: dict[str, Sets]
) -> None:
    told: list[str] = []
    arguments = (engine, splits["validation"], splits["test"], home / "data")
    found = diagnose(*arguments, samples=3, tell=told.append)
    text = json.dumps(found, allow_nan=False)
    assert text == json.dumps(diagnose(*arguments, samples=3)) and len(told) == 4
    assert found["samples"] == {"a_task": 3, "validation": 9, "test": 9, "seed": 0}
    assert found["hypothesis"]["n"] == found["bias"]["n"] == found["map"]["n"] == 9
    assert {r["n"] for r in found["hypothesis"]["rows"]} == {9}
    assert found["choice"]["n"] == found["abstention"]["n"] == found["choice"]["test"]["n"] == 9
    assert set(found["choice"]["by_probe"]) == {"experts", "base", "cache"}
    left = found["abstention"]["left_out"]["nearest"]
    assert left["miss"]["n"] == 9 and left["false_alarm"]["n"] == 18 and len(left["tasks"]) == 3
    assert set(found["abstention"]["made"]["either"]["kinds"]) > {OTHER}
    without = found["abstention"]["fallback"]["left_out"]
    assert without["n"] == 9 and list(without["tasks"]) == list(engine.suite.task_names)
    assert any("left out and its task fed, given head" in x for x in diagnosis_lines(found, {}))
    assert len(diagnosis_lines(found, {})) > 15
    # other test samples change no choice
    flipped = replace(splits["test"], sets=tuple(s.take(range(6, 12)) for s in splits["test"].sets))
    other = diagnose(engine, splits["validation"], flipped, home / "data", samples=3)
    assert other["choice"]["pick"] == found["choice"]["pick"]
    assert other["abstention"]["thresholds"] == found["abstention"]["thresholds"]
    assert other["abstention"]["score"] == found["abstention"]["score"]
    assert other["hypothesis"] != found["hypothesis"]
    with pytest.raises(Interrupted):
        diagnose(*arguments, samples=3, cancelled=lambda: True)


def test_evaluate_diagnoses_and_puts_it_into_a_report(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, report = tmp_path / "out.json", tmp_path / "report.json"
    report.write_text('{"suite": "tiny", "diagnosis": "old"}')
    command = ["evaluate", "--suite", str(home / "suite"), "--data", str(home / "data")]
    command += ["--limit", "4", "--diagnose"]
    assert main([*command, str(report), "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert "automatic choice on 12 unlabelled validation samples" in out
    assert "notice 'no expert fits'" in out and "right expert nearest" in out
    found = json.loads(path.read_text(encoding="utf-8"))["diagnosis"]
    assert found["samples"]["a_task"] == 4 and found["samples"]["test"] == 12
    written = json.loads(report.read_text(encoding="utf-8"))
    assert written == {"suite": "tiny", "diagnosis": rounded(found)}


def test_reports_that_can_not_take_a_diagnosis(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told before the work: no weight is read."""
    monkeypatch.setattr("semerge.engine.load_engine", None)
    report = tmp_path / "report.json"
    command = ["evaluate", "--suite", str(home / "suite"), "--data", str(home / "data")]
    for content, sentence in (
        (b"[]", "is no report: it must hold one JSON object."),
        (b"", "can't be read as JSON: Expecting value: line 1 column 1 (char 0)."),
        (None, "can't be read: No such file or directory."),
    ):
        report.unlink(missing_ok=True)
        if content is not None:
            report.write_bytes(content)
        assert main([*command, "--diagnose", str(report)]) == 2
        assert capsys.readouterr().err == f"semerge: {report} {sentence}\n"


@pytest.mark.parametrize("cause", ["no train", "a file"])
def test_a_diagnosis_needs_both_splits(
    home: Path,
    engine: Engine,
    tmp_path: Path,
    cause: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Told before the work, with what there is for unlabelled samples."""
    monkeypatch.setattr("semerge.engine.load_engine", None)
    data = shutil.copytree(home / "data", tmp_path / "data")
    for train in data.glob("*/train.*"):
        train.unlink()
    if cause == "a file":
        data = tmp_path / "mine.csv"
        data.write_text("text,label\nhi,ant\n")
    assert (
        main(["evaluate", "--suite", str(home / "suite"), "--data", str(data), "--diagnose"]) == 2
    )
    told = capsys.readouterr().err
    assert "needs a data folder with train, from which validation is cut, and test. " in told
    reason = "There is no data folder" if cause == "a file" else "has neither train.npz nor"
    assert reason in told and "python -m semerge choose" in told and told.count("\n") == 1


def test_a_report_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link = tmp_path / "report.json", tmp_path / "link.json"
    write_report(path, {"a": 1.23456789})
    path.chmod(0o640)
    link.symlink_to(path)
    write_report(link, {"a": 2})
    assert path.read_text() == '{\n "a": 2\n}\n' and path.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError) as caught:
        write_report(path, {"a": 3})
    assert str(caught.value) == f"{path} can't be written: Read-only file system."
    assert path.read_text() == '{\n "a": 2\n}\n'
    nowhere = tmp_path / "none" / "report.json"
    with pytest.raises(UserError) as caught:
        write_report(nowhere, {})
    assert str(caught.value) == f"{nowhere} can't be written: No such file or directory."
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.json", "report.json"]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("mini-vision", "vision"), ("mini-text", "text")])
def test_the_bundled_suites_can_be_diagnosed(data_dir: Path, name: str, kind: str) -> None:
    """No figure is pinned: only that the criterion beats a blind choice of a candidate, and the
    notice a coin, on samples that neither was made from."""
    engine, data = load_engine(name), data_dir / kind
    sets = [suite_sets(engine.suite, data, s, 8) for s in ("validation", "test")]
    found = diagnose(engine, *sets, data, samples=8)
    chance = np.mean([row["share"] for row in found["hypothesis"]["rows"]])
    assert found["choice"]["test"]["pick"]["routing"] > chance
    score = found["abstention"]["score"]
    assert found["abstention"]["left_out"][score]["miss"]["share"] < 0.9
    assert found["abstention"]["made"][score]["false_alarm"]["share"] < 0.3
