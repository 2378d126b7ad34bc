"""Export, and everything from trained weights to a finished suite, on tiny ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from labelled import DATA, write_sentences
from safetensors.torch import load_file
from tiny import SUITES, tiny_text_suite

from recipes import export
from recipes.export import SuiteSpec, TaskSpec, Trained, write_suite, write_weights
from recipes.finish import UNDECIDED, cached_samples, finish
from semerge.checkpoints.files import sha256_of
from semerge.data.labelled import read_set
from semerge.engine import load_engine
from semerge.evaluation.evaluate import Request, compare, evaluate
from semerge.settings import PRESETS
from semerge.suites import read_suite


def parts_of(folder: Path) -> tuple[SuiteSpec, Trained]:
    """What a training run would hand over, taken from a tiny suite: whole experts in float32."""
    suite = read_suite(folder)
    base = {name: x.float() for name, x in load_file(folder / "base.safetensors").items()}
    experts = {
        t.name: base | {name: x.float() for name, x in load_file(folder / t.weights).items()}
        for t in suite.tasks
    }
    tasks = tuple(
        TaskSpec(t.name, t.title, t.about, t.classes, t.templates, t.pair, t.real)
        for t in suite.tasks
    )
    extra = (folder / "tokenizer.json",) if suite.modality == "text" else ()
    spec = SuiteSpec("tiny", "Tiny", "For tests.", suite.modality, suite.architecture, tasks)
    return spec, Trained(base, experts, load_file(folder / "heads.safetensors"), extra)


@pytest.fixture(params=["image", "text"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return SUITES[request.param](tmp_path / "source")


def test_the_same_weights_come_back(source: Path, tmp_path: Path) -> None:
    spec, trained = parts_of(source)
    out = tmp_path / "out"
    write_weights(out, spec, trained)
    write_suite(out, spec, UNDECIDED, {}, tuple(p.name for p in trained.extra))
    suite = read_suite(out)
    assert suite.statistics is None and suite.defaults == UNDECIDED
    for file, digest in suite.sha256.items():
        assert sha256_of(out / file) == digest
    engine, original = load_engine(out), load_engine(source)
    for mine, theirs in zip(
        engine.models.vectors.tensors(), original.models.vectors.tensors(), strict=True
    ):
        assert torch.equal(mine, theirs)
    # every tensor once: an expert's file holds what it changed, as the tiny suite's do
    for task in suite.tasks:
        kept, known = load_file(out / task.weights), load_file(source / task.weights)
        assert set(kept) == set(known)
        assert {x.dtype for x in kept.values()} == {torch.float16}


def test_what_export_refuses(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, trained = parts_of(source)
    less = {name: x for name, x in trained.experts.items() if name != "task1"}
    more = trained.experts | {"task0": {"odd": torch.zeros(1)}}
    huge = trained.heads | {"task0": torch.full((2, 12), 1e6)}
    with pytest.raises(ValueError, match="task1 has no expert"):
        write_weights(tmp_path / "a", spec, replace(trained, experts=less))
    with pytest.raises(ValueError, match="not a tensor of the base"):
        write_weights(tmp_path / "b", spec, replace(trained, experts=more))
    with pytest.raises(ValueError, match="half precision"):
        write_weights(tmp_path / "c", spec, replace(trained, heads=huge))
    write_weights(tmp_path / "d", spec, trained)
    monkeypatch.setattr(export, "FILE_LIMIT", 1000)
    with pytest.raises(ValueError, match="limit is 1,000"):
        write_suite(tmp_path / "d", spec, UNDECIDED, {})


def test_finish_writes_a_suite_that_its_report_describes(source: Path, tmp_path: Path) -> None:
    spec, trained = parts_of(source)
    data = DATA[spec.modality](tmp_path / "data")
    told = {"seed": 3, "training": {"device": "cpu"}, "ablation": [], "trivial": {"task2": 0.5}}
    suite = finish(tmp_path / "out", data, spec, trained, lambda suite: told, "make it")
    report = json.loads((suite.folder / "report.json").read_text(encoding="utf-8"))
    check_report(report, suite.task_names, data)

    engine = load_engine(suite.folder)
    assert vars(engine.suite.defaults) == report["defaults"]
    assert engine.suite.statistics and engine.suite.thresholds["near_tie"] is not None
    found = evaluate(engine, Request(data)).to_dict()
    difference = compare(found, report)["difference"]
    assert max(abs(x) for x in difference.values()) < 2e-6
    assert found["fixed"] == report["test"]["fixed"]
    # the notice "no expert fits" was calibrated with these very weights
    assert engine.abstention is not None
    assert report["diagnosis"]["at"]["weights_sha256"] == engine.weights_sha256()
    for key in ("disentanglement", "linearity"):
        assert report[key]["weights_sha256"] == engine.weights_sha256()
        assert len(report[key]["pairs"]) == 3 and report[key]["split"] == "validation"
    card = (suite.folder / "README.md").read_text(encoding="utf-8")
    assert "make it" in card and "Task 2" in card and "**average, all tasks**" in card


def check_report(report: dict[str, Any], names: tuple[str, ...], data: Path) -> None:
    assert report["seed"] == 3 and report["versions"]["torch"] and report["machine"]["device"]
    assert report["test"]["data"] == report["data"]["source"]  # a name, no path
    assert set(report["presets"]) == set(PRESETS)
    default = report["defaults"]["preset"]
    assert report["presets"][default]["tasks"] == report["test"]["tasks"]
    assert set(report["probes"]) == {"experts", "base", "cache", "displacement", "cache_own"}
    assert "0.3" in report["task_arithmetic"]
    best = report["task_arithmetic"][f"{report['defaults']['static_lambda']:g}"]
    assert best["average_all"] == pytest.approx(
        report["test"]["average_all"]["static_oracle"], abs=2e-6
    )
    for name in names:
        for split in ("train", "validation", "test"):
            known = report["data"]["tasks"][name][split]
            samples = read_set(data, name, split)
            assert known == {"n": len(samples), "sha256": samples.sha256()}
    kinds = {line["line"] for line in report["lines"]}
    assert {"experts_above_static", "recovery_routed", "trivial_below"} <= kinds
    assert report["lines_met"] == sum(line["met"] for line in report["lines"])
    assert report["statistics"]["split"] == "train"


def test_cached_samples_are_seeded_balanced_and_from_train(tmp_path: Path) -> None:
    suite = read_suite(tiny_text_suite(tmp_path / "suite"))
    data = write_sentences(tmp_path / "data")
    first, again = (cached_samples(suite, data, 12) for _ in range(2))
    assert [s.texts for s in first] == [s.texts for s in again]
    for samples in first:
        assert len(samples) == 12
        counts = [int((samples.labels == c).sum()) for c in range(len(samples.classes))]
        assert max(counts) - min(counts) <= 1
        for split in ("validation", "test"):
            assert not set(samples.texts) & set(read_set(data, samples.task, split).texts)
