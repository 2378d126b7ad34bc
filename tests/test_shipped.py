"""Merges that are shipped with a suite, and menus that say what is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from concurrency import sample_of
from tiny import SUITES, edit
from torch import Tensor

from semerge.checkpoints import made as made_module
from semerge.checkpoints import variants
from semerge.checkpoints.made import FOLDER, INDEX, index_of, lacking, lacks
from semerge.checkpoints.variants import key_of, ship, shipped
from semerge.cli import main
from semerge.common import UserError
from semerge.engine import load_engine
from semerge.methods import METHODS, method
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.task_vectors import TaskVectors
from semerge.ui.options import NOT_MADE, in_menu


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def made() -> Iterator[None]:
    """Methods that take long for any model: one of task vectors, one of one model."""

    @method("slow", title="Slow", dear=0)
    def slow(vectors: TaskVectors) -> TaskVectors:
        return vectors.mapped(lambda deltas: deltas / 2)

    @method("whole", title="Whole", dear=0)
    def whole(vectors: TaskVectors) -> dict[str, Tensor]:
        return vectors.merge(torch.linspace(0.1, 0.5, vectors.count))

    yield
    for name in ("slow", "whole"):
        METHODS.remove(name)


@pytest.fixture(params=["image", "text"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return SUITES[request.param](tmp_path / "suite")


@pytest.mark.parametrize("name", ["slow", "whole"])
def test_what_is_shipped_answers_where_nothing_is_made(
    folder: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several files, none above the limit; to half precision of what it changes the same."""
    monkeypatch.setattr(variants, "LIMIT", 4000)
    command = ["merge", "--suite", str(folder), "--method", name, "--ship"]
    assert main(command) == 0
    files = sorted((folder / FOLDER).glob("*.safetensors"))
    assert len(files) >= 3 and all(file.stat().st_size < 4000 + 8000 for file in files)
    exact = load_engine(folder)
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "other"))
    found = load_engine(folder, make_dear=False)
    assert found.models.is_kept(name) and found.variant(name).stored
    base = found.models.vectors.base()
    for tensor, x in found.merge(name).items():
        wanted = exact.merge(name)[tensor]
        change = float((wanted - base[tensor]).abs().max())
        assert float((x - wanted).abs().max()) <= 2e-3 * change + 1e-6
    settings = Settings(method=name)
    answer = found.predict(sample_of(found, 0), settings).predictions["static"]
    other = exact.predict(sample_of(exact, 0), settings).predictions["static"]
    assert answer[0].label == other[0].label
    assert answer[0].score == pytest.approx(other[0].score, abs=0.02)
    before = [file.read_bytes() for file in files]
    assert main(command) == 0  # again: the same files
    assert [file.read_bytes() for file in files] == before


def test_what_was_made_here_goes_before_what_is_shipped(folder: Path) -> None:
    engine = load_engine(folder)
    deltas = {
        str(i): torch.zeros(3, s.changing) for i, s in enumerate(engine.models.vectors.segments)
    }
    ship(engine.suite, "slow", engine.models.sha256, deltas, {})
    base = engine.models.vectors.base()
    nothing = load_engine(folder, make_dear=False).merge("slow")
    assert all(torch.allclose(nothing[name], x) for name, x in base.items())
    made = engine.merge("slow")  # it may make it, so it does
    assert any(not torch.allclose(made[name], x) for name, x in base.items())
    again = load_engine(folder, make_dear=False).merge("slow")
    assert all(torch.equal(again[name], x) for name, x in made.items())


def test_what_is_not_whole_is_refused(folder: Path) -> None:
    suite = read_suite(folder)
    deltas = {"a": torch.arange(6.0).view(2, 3)}
    (file,) = ship(suite, "slow", "w", deltas, {"version": "1"})
    assert shipped(suite, "slow", "other weights") is None
    assert shipped(suite, "whole", "w") is None
    found = shipped(suite, "slow", "w")
    assert found is not None and torch.equal(found["a"], deltas["a"])
    assert index_of(suite)[key_of("slow", "w")]["version"] == "1"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match="is damaged: its hash"):
        shipped(suite, "slow", "w")
    file.unlink()
    with pytest.raises(UserError, match="can't be read"):
        shipped(suite, "slow", "w")
    (folder / FOLDER / INDEX).write_text("[", encoding="utf-8")
    with pytest.raises(UserError, match="can't be read"):
        shipped(suite, "slow", "w")
    with pytest.raises(UserError, match="no half can hold"):
        ship(suite, "slow", "w", {"a": torch.tensor([1e6])}, {})


def test_of_another_model_is_refused(folder: Path) -> None:
    engine = load_engine(folder, make_dear=False)
    ship(engine.suite, "slow", engine.models.sha256, {"0": torch.zeros(3, 1)}, {})
    with pytest.raises(UserError, match="of another model"):
        engine.variant("slow")


def test_a_menu_reads_what_is_shipped_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite, reads, read = read_suite(folder), [], made_module.read_object

    def counted(path: Path) -> Any:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(made_module, "read_object", counted)
    found = lacking(suite, METHODS.names)
    assert len(reads) == 1 and list(found) == list(METHODS.names)
    assert found == {name: lacks(suite, name) for name in METHODS.names}


def test_menus_say_what_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = read_suite(folder)
    assert lacks(suite, "ties") is None and in_menu("ties", None) == "TIES-Merging"
    told = lacks(suite, "fisher")
    assert in_menu("fisher", told) == f"Fisher merging ({NOT_MADE})"
    assert told is not None and f"merge --suite {folder} --method fisher --data DIR" in told
    assert "second moments" in str(lacks(suite, "ota"))
    assert "is not made yet" in str(lacks(suite, "slow"))
    assert main(["merge", "--suite", str(folder), "--method", "slow"]) == 0  # the command it names
    assert lacks(suite, "slow") is None
    assert lacks(suite, "whole") is not None
    assert main(["merge", "--suite", str(folder), "--method", "whole", "--ship"]) == 0
    assert lacks(suite, "whole") is None
    edit(folder, lambda raw: raw["sha256"].update({"base.safetensors": "0" * 64}))
    assert lacks(read_suite(folder), "slow") is not None  # other weights
    capsys.readouterr()
    for options, why in (
        (["ties", "--ship"], "made at once"),
        (["slow", "--ship", "--scale", "1"], "folder alone"),
        (["slow", "--ship", "--out", "x.safetensors"], "folder alone"),
    ):
        assert main(["merge", "--suite", str(folder), "--method", *options]) == 2
        assert why in capsys.readouterr().err


def test_the_index_is_what_it_says(folder: Path) -> None:
    ship(read_suite(folder), "slow", "w", {"a": torch.ones(2)}, {"samples_sha256": None})
    raw: dict[str, Any] = json.loads((folder / FOLDER / INDEX).read_text(encoding="utf-8"))
    ((key, row),) = raw.items()
    assert key == key_of("slow", "w") and row["method"] == "slow" and row["shapes"] == {"a": [2]}
    assert all((folder / FOLDER / name).is_file() for name in row["files"])
