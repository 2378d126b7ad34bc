"""The bench: what its figures are made of, and that it runs on every kind of suite."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
import torch
from equivalence import samples_of

from recipes.bench import plain
from semerge.bench import command, figures, methods, modes, subject
from semerge.bench import figures as memory
from semerge.bench import work as timing
from semerge.bench.subject import Subject
from semerge.bench.work import SIDE, Times, Work, exact, quick
from semerge.cli import main, parser
from semerge.common import FIGURES, UserError
from semerge.data.batches import picture
from semerge.data.sets import suite_sets
from semerge.engine import Engine
from semerge.inputs import clean_text
from semerge.settings import Settings


@pytest.fixture(scope="module")
def tiny(engine: Engine) -> Subject:
    settings = Settings(probe="experts", preset="sharp")
    return Subject(engine.suite, engine, tuple(samples_of(engine, 3)), "trained", settings)


def test_cases_take_turns_and_the_first_round_is_not_counted() -> None:
    calls: list[tuple[str, int]] = []
    cases = {name: lambda i, name=name: calls.append((name, i)) for name in "ab"}
    found = timing.interleaved(cases, samples=2, rounds=3)
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1)] * 4
    assert {name: len(row) for name, row in found.seconds.items()} == {"a": 2, "b": 2}


def test_medians_by_sample_and_ratios_of_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    lengths = iter([9.0, 9.0, 1.0, 2.0, 5.0, 2.0, 1.5, 2.0])  # one sample, a and b in turn

    def case(_: int) -> None:
        clock[0] += next(lengths)

    found = timing.interleaved({"a": case, "b": case}, samples=1, rounds=3)
    assert found.seconds == {"a": (1.5,), "b": (2.0,)}
    assert found.ratio("a", "b") == 0.75
    assert found.mean_ms("a", "b") == 3500


def test_needed_is_the_cheaper_way_to_the_layer_the_merge_and_one_pass() -> None:
    seconds = {"to_layer": (2.0,), "experts_to_layer": (9.0,), "copy": (0.5,), "static": (4.0,)}
    assert figures.needed(Times(seconds), count=8, copies=3.0) == 2 + 9 + 1.5 + 4
    assert figures.needed(Times(seconds), count=3, copies=3.0) == 4 * 2 + 1.5 + 4


def test_a_copy_moves_what_a_merge_must(tiny: Subject) -> None:
    work = Work(tiny)
    case, copies = work.copy()
    blocks = work.models.vectors.segments[1 if work.engine.backbone.linear_embed else 0 :]
    moved = sum((1 + 3) * s.changing + s.changing for s in blocks)
    assert 2 * len(case(0)) * copies == pytest.approx(moved)


def test_products_multiply_as_often_as_the_passes_of_a_sweep(tiny: Subject) -> None:
    """Counted by hand: every matrix of a block meets every token, once a model that runs it."""
    work = Work(tiny)
    case, products = work.product()
    case(0)
    backbone, experts = work.engine.backbone, work.models.vectors.count
    blocks = [
        sum(prod(backbone.shapes[n]) for n in names if len(backbone.shapes[n]) == 2)
        for names in backbone.segments[1:-1]
    ]
    layer = work.resolved.layer
    probed = blocks[: layer if isinstance(layer, int) else len(blocks)]
    tokens = sum(
        len(batch) * work.models.embed(work.models.base, batch).shape[-2] for batch in work.together
    )
    least = tokens * ((1 + experts) * sum(probed) + sum(blocks))
    assert least <= products * SIDE**3 <= 2 * least  # attention and heads come on top


def test_the_cases_answer_alike(tiny: Subject) -> None:
    """What is timed as exact is the engine's answer, alone, at once, and by the reference."""
    work = Work(tiny)
    reference_case = plain(work)
    one_by_one, swept = torch.cat(work.loop(0)), torch.cat(work.sweep(0))
    assert (swept - one_by_one).abs().max() <= 1e-5 * one_by_one.abs().max()
    for i in range(3):
        alone = work.exact(i)[0]
        assert (reference_case(i) - alone).abs().max() <= 1e-5 * alone.abs().max()
        chosen, z = exact(work.engine, work.samples[i], work.resolved)
        t, dropped, _ = quick(work.engine, work.samples[i], work.resolved, ratio=1e9, sure=2.0)
        assert t == int(chosen[0])
        assert (dropped - z).abs().max() <= 1e-5 * z.abs().max()


def test_the_figures_of_a_suite(tiny: Subject) -> None:
    found = figures.figures(tiny, rounds=1, reference=plain)
    made = found["figures"]
    assert {
        "exact_over_needed",
        "reference_over_exact",
        "fast_over_static",
        "sweep_over_loop",
        "reroute_over_merge_forward",
    } <= set(made)
    assert min(made.values()) > 0
    assert set(made) - {"fast_agreement"} <= set(FIGURES)
    assert figures.figures(tiny, rounds=1)["figures"]["reference_over_exact"] is None
    stages = found["stages_ms"]
    assert {"preprocess", "probe", "route", "merge", "predict", "total"} <= set(stages)
    assert min(stages.values()) >= 0 < stages["total"]


def test_modes_agree_and_are_right_as_often_as_single_requests(tiny: Subject, home: Path) -> None:
    """Agreement, accuracy and hit rate of the table, counted again with `Engine.predict`."""
    data = str(home / "data")
    found = modes.measured(tiny, data, "test", 4, rounds=1)
    rows = {row["mode"]: row for row in found["modes"]}
    engine, task_names = tiny.engine, tiny.suite.task_names
    plain = replace(tiny.settings, fast=False)
    asked = {
        modes.REFERENCE: plain,
        modes.DEFAULT: Settings(),
        modes.NAMED: replace(tiny.settings, fast=True),
        f"exact, quantised {modes.PARTS}": replace(plain, quantise=modes.PARTS),
    }
    given: dict[str, list[tuple[str, str]]] = {name: [] for name in asked}
    right: dict[str, list[bool]] = {name: [] for name in asked}
    alone = []
    for samples in suite_sets(tiny.suite, data, "test", 4, 0).sets:
        for i in range(len(samples)):
            sample = picture(samples.pixels(i)) if samples.visual else None
            sample = sample or clean_text(samples.texts[i], samples.texts_b[i])
            for name, settings in asked.items():
                result = engine.predict(sample, settings)
                label = result.predictions["se"][0].label
                given[name].append((result.chosen, label))
                own = samples.task == result.chosen
                right[name].append(own and label == samples.classes[samples.labels[i]])
                if name == modes.NAMED:
                    alone.append("expert answers alone" in result.notices[-1])
    count = len(alone)
    assert found["n"] == count >= len(task_names) * 2
    for name in asked:
        same = [a == b for a, b in zip(given[name], given[modes.REFERENCE], strict=True)]
        assert rows[name]["agreement"] == sum(same) / count
        assert rows[name]["accuracy"] == sum(right[name]) / count
    assert rows[modes.NAMED]["alone"] == sum(alone) / count
    assert rows["full ensemble"]["alone"] == 1 and rows["static"]["alone"] == 0


def test_random_weights_of_a_published_shape(tiny: Subject) -> None:
    suite = replace(tiny.suite, statistics="random")
    loaded = subject.random_weights(suite, tiny.engine.backbone)
    again = subject.random_weights(suite, tiny.engine.backbone)
    for a, b in zip(loaded.vectors.tensors(), again.vectors.tensors(), strict=True):
        assert torch.equal(a, b)
    (point,) = loaded.statistics
    assert point == (suite.defaults.layer, suite.defaults.pool)
    assert all(torch.isfinite(x).all() for x in loaded.vectors.tensors())
    fewer = subject.fewer(loaded, 2)
    assert fewer.vectors.count == len(fewer.suite.tasks) == 2
    for all_, few in zip(loaded.vectors.segments, fewer.vectors.segments, strict=True):
        assert few.weights.data_ptr() == all_.weights.data_ptr()


def test_growth_is_measured_or_says_what_was_missing(
    tiny: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = figures.growth(tiny, rounds=1)
    assert [row["experts"] for row in rows] == [2, 4, 8, 16, 20]
    assert all(row["exact"] > 0 < row["static"] for row in rows)
    monkeypatch.setattr(memory, "available", lambda: 10)
    (row,) = figures.growth(tiny, rounds=1)
    assert "GB of free memory" in row["left_out"]


def test_limits_are_met_or_missed_or_not_measured() -> None:
    found = {"figures": {"exact_over_needed": 1.2, "sweep_over_loop": 3.0}}
    rows = {row["figure"]: row["met"] for row in figures.acceptance(found, large=False)}
    assert (rows["exact_over_needed"], rows["sweep_over_loop"]) == (True, False)
    assert rows["fast_agreement"] is None
    found = {"figures": {"exact_over_needed": 0.7}}  # nothing can be faster than what it needs
    assert figures.acceptance(found, large=True)[0]["met"] is None
    assert {row["figure"] for row in figures.acceptance(found, large=True)} >= {"peak_over_weights"}


def test_memory_is_what_the_system_says() -> None:
    now = memory.resident()
    if now is None:
        pytest.skip("this system does not tell")
    memory.reset_peak()
    block = torch.ones(8_000_000)  # 32 MB
    assert (memory.resident(peak=True) or 0) - now > 24e6
    assert len(block) == 8_000_000


def test_suites_stay_side_by_side_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    for name, value in (("a", 1), ("b", 2), ("a", 3)):
        command._write(file, {"suite": name, "value": value})
    command._write(file, {"suite": "a", "value": 4, "labelled": {"split": "validation"}})
    found = json.loads(file.read_text(encoding="utf-8"))
    wanted = {"a": 3, "b": 2, "a, validation": 4}
    assert {name: row["value"] for name, row in found.items()} == wanted


def test_bad_input_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--suite", "nothing"]) == 2
    assert main(["bench", "--suite", "clip-vit-b-32", "--data", "x"]) == 2
    assert "random weights" in capsys.readouterr().err


def test_methods_that_need_no_data_are_made_and_answer(tiny: Subject) -> None:
    specs = methods.chosen(["all", "ties:density=0.5"])
    assert "ties:density=0.5" in specs and "fisher" not in specs and "ota" not in specs
    rows = methods.costs(tiny, ["lines", "ties:density=0.5"], rounds=1)
    assert [row["method"] for row in rows] == ["lines", "ties:density=0.5"]
    for row in rows:
        assert row["seconds"] > 0 and row["peak_over_weights"] >= 1
        assert row["answer_over_task_arithmetic"] > 0
    (large,) = methods.costs(replace(tiny, weights="random"), ["ties"], rounds=1)
    assert large["answer_over_task_arithmetic"] is None
    with pytest.raises(UserError, match="not made from weights alone"):
        methods.chosen(["regmean"])


def test_what_methods_cost_is_printed_and_kept_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench.json"
    asked = ["bench", "--suite", "mini-text", "--methods", "average,ties:density=0.5", "--quick"]
    assert main([*asked, "--write", str(file)]) == 0
    told = capsys.readouterr().out
    assert "average " in told and "ties:density=0.5" in told
    (found,) = json.loads(file.read_text(encoding="utf-8")).items()
    assert found[0] == "mini-text, methods" and len(found[1]["methods"]) == 2
    assert main(["bench", "--suite", "mini-text", "--methods", "fisher"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["mini-vision", "mini-text"])
def test_the_command_on_a_bundled_suite(suite: str) -> None:
    args = parser().parse_args(["bench", "--suite", suite, "--quick", "--json"])
    found = command.bench(args)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["start_ms"]["total"] > 0
    assert len(command.lines(found)) > 10
