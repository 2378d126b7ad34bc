"""Which samples evaluate takes, and what its command prints and writes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from labelled import write_images
from safetensors.torch import load_file, save_file
from tiny import hash_files, tiny_vision_suite

from semerge.cli import main
from semerge.common import UserError
from semerge.data import rendered
from semerge.data import sets as sets_module
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation.dynamic import DYNAMICS
from semerge.evaluation.evaluate import Request, evaluate
from semerge.evaluation.figures import HEADINGS
from semerge.methods import METHODS
from semerge.probes import PROBES
from semerge.registry import split_specs
from semerge.settings import PRESETS
from semerge.suites import read_suite

# ---- sets ---------------------------------------------------------------------------------------


def test_limit_is_seeded_and_balanced(home: Path, engine: Engine) -> None:
    first, again, other = (
        suite_sets(engine.suite, home / "data", "test", 6, seed) for seed in (0, 0, 1)
    )
    assert [list(r) for r in first.rows] == [list(r) for r in again.rows]
    assert [list(r) for r in first.rows] != [list(r) for r in other.rows]
    assert first.total == 18 and not first.complete
    for samples in first.sets:
        counts = [int((samples.labels == c).sum()) for c in range(len(samples.classes))]
        assert max(counts) - min(counts) <= 1


def test_classes_go_by_name(tmp_path: Path) -> None:
    suite = load_engine(tiny_vision_suite(tmp_path / "suite")).suite
    write_images(tmp_path / "data")
    path = tmp_path / "data/task1/classes.json"
    for names in (["cat", "ant", "bee"], ["Cat", "a_nt", " BEE "]):
        path.write_text(json.dumps(names))
        found = suite_sets(suite, tmp_path / "data").sets[1]
        assert found.classes == ("ant", "bee", "cat") and list(found.labels[:3]) == [2, 0, 1]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ["ant", "bee", "cat", "dog"],
            "names 4 classes and task1 has 3 in the suite.",
        ),
        (
            ["bee", "cow", "cat"],
            "names its classes otherwise than suite.json, in another order.",
        ),
        (["ant", "bee", "Bee"], "names a class of task1 twice."),
    ],
)
def test_other_classes_are_refused(tmp_path: Path, names: list[str], sentence: str) -> None:
    """By their places they might be any of the suite's."""
    suite = load_engine(tiny_vision_suite(tmp_path / "suite")).suite
    write_images(tmp_path / "data")
    path = tmp_path / "data/task1/classes.json"
    path.write_text(json.dumps(names))
    with pytest.raises(UserError) as caught:
        suite_sets(suite, tmp_path / "data")
    assert str(caught.value) == f"{path} {sentence}"


def test_classes_by_other_names_keep_their_order_and_it_is_said(tmp_path: Path) -> None:
    suite = load_engine(tiny_vision_suite(tmp_path / "suite")).suite
    write_images(tmp_path / "data")
    path = tmp_path / "data/task1/classes.json"
    path.write_text(json.dumps(["ant", "wasp", "cat"]))
    told: list[str] = []
    found = suite_sets(suite, tmp_path / "data", notice=told.append).sets[1]
    assert found.classes == ("ant", "bee", "cat") and list(found.labels[:3]) == [0, 1, 2]
    assert told == [f"{path} calls the class 'bee' 'wasp'; its order is taken to be the suite's."]


def test_rendered_tasks_join_a_full_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sets_module, "GENERATED_COUNT", {"test": 8, "validation": 8})
    folder = tiny_vision_suite(tmp_path / "suite")
    path = folder / "suite.json"
    content = json.loads(path.read_text())
    content["tasks"][2] |= {"name": "charts", "title": "Charts"}
    content["tasks"][2] |= {"classes": list(rendered.CLASSES["charts"])}
    path.write_text(json.dumps(content))
    heads_for(folder, len(rendered.CLASSES["charts"]))
    engine = load_engine(folder)
    write_images(tmp_path / "data", tasks=2)
    full = evaluate(engine, Request(tmp_path / "data")).to_dict()
    assert full["data"] == f"{tmp_path / 'data'} + generated: charts"
    assert list(full["tasks"]) == ["task0", "task1", "charts"] and full["tasks"]["charts"]["n"] == 8
    alone = evaluate(engine, Request("generated", limit=4)).to_dict()
    assert list(alone["tasks"]) == ["charts"] and alone["n"] == 4 and alone["average_real"] == {}
    (tmp_path / "data/task1").rename(tmp_path / "elsewhere")
    part = evaluate(engine, Request(tmp_path / "data")).to_dict()
    assert list(part["tasks"]) == ["task0"]
    command = ["evaluate", "--suite", str(folder), "--data", "generated"]
    assert main(command) == 0 and "Charts" in capsys.readouterr().out


def heads_for(folder: Path, classes: int) -> None:
    heads = load_file(folder / "heads.safetensors")
    del heads["task2"]
    heads["charts"] = torch.randn(classes, 12, generator=torch.Generator().manual_seed(0))
    save_file(heads, folder / "heads.safetensors")
    hash_files(folder)


# ---- the command line ---------------------------------------------------------------------------


def run(home: Path, *options: str) -> int:
    return main(
        ["evaluate", "--suite", str(home / "suite"), "--data", str(home / "data"), *options]
    )


def test_json_has_the_keys_of_the_design(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "--json", "-") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == "" and found["n"] == 36 and found["split"] == "test"
    assert {"suite", "data", "config", "average", "fixed", "broken"} <= set(found)
    assert list(found["tasks"]) == ["task0", "task1", "task2"]
    for figures in found["tasks"].values():
        assert set(figures) == {"n", *HEADINGS} and 0 <= figures["se_oracle"] <= 1
    assert set(found["average"]) == set(HEADINGS)
    assert "reported" not in found and "table" not in found


def test_files_text_and_table(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    js, table = tmp_path / "a.json", tmp_path / "a.csv"
    axes = ["--layer", "all", "--pool", "all", "--probe", "all", "--preset", "all"]
    assert run(home, "--limit", "4", "--json", str(js), "--csv", str(table), *axes) == 0
    out = capsys.readouterr().out
    assert "average_real" in out and "experts" in out
    with table.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 12
    found = json.loads(js.read_text(encoding="utf-8"))
    rows = [r for r in found["table"] if "reason" not in r and not r["note"]]
    # two layers of three pools and the final one; cache on text has no pool `all`
    points = 7 + 7 + (7 if found["suite"] == "tiny-vision" else 5)
    assert len(rows) == len(PRESETS) * points
    main_row = [
        r
        for r in rows
        if all(r[k] == found["config"][k] for k in ("probe", "layer", "pool", "preset"))
    ]
    assert [r["average_all"] for r in main_row] == [found["average"]]


def test_lists_of_methods() -> None:
    assert split_specs("a, b,,ties") == ["a", "b", "ties"]
    listed = "ties:density=0.5,merge=mean,average,ties:merge=mean"
    assert split_specs(listed) == [
        "ties:density=0.5,merge=mean",
        "average",
        "ties:merge=mean",
    ]


def test_methods_and_probes_run_over_their_registries(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every method in turn, with the probes that it can have and the rivals; rows and files say
    which, and what can't be had says why."""
    suite, data = str(home / "suite"), str(home / "data")
    args = ["evaluate", "--suite", suite, "--data", data, "--probes", "all", "--json", "-"]
    methods = ["--methods", "ties:merge=mean,average,task_arithmetic", "--density", "0.5"]
    assert main([*args, *methods, "--csv", str(tmp_path / "rows.csv")]) == 0
    found = json.loads(capsys.readouterr().out)
    ties = "ties:density=0.5,merge=mean"
    assert found["config"]["method"] == ties
    rows = [(row["method"], row["probe"]) for row in found["table"] if "reason" not in row]
    others = [p.name for p in PROBES if {"statistics", "displacements"}.isdisjoint(p.needs)]
    usual = [probe for probe in PROBES.names if probe != "displacement"]
    answering = [entry.name for entry in DYNAMICS if entry.model]
    routing = [entry.name for entry in DYNAMICS if not entry.model]
    first = [row for row in rows if row[0] == ties or row[0] in answering]
    assert first == [
        *((ties, probe) for probe in (*others, "random", "oracle")),
        *first[len(others) + 2 :],
    ]
    # what routes by itself stands as a probe there, what answers by itself has none
    assert {probe for _, probe in first} == {*others, "random", "oracle", *routing, None}
    assert {method for method, _ in rows} == {
        ties,
        "average",
        "task_arithmetic",
        *answering,
        "ensemble",
    }
    assert [row for row in rows if row[0] in ("average", "task_arithmetic")] == [
        *(("average", probe) for probe in (*others, "random", "oracle")),
        *(("task_arithmetic", probe) for probe in (*usual, "random", "oracle")),
    ]
    reasons = {(r["method"], r["probe"]): r["reason"] for r in found["table"] if "reason" in r}
    unmeasured = "The suite does not say how far its experts move samples."
    assert reasons == {
        (method, probe): reason
        for method in (ties, "average", "task_arithmetic")
        for probe, reason in (
            ("displacement", unmeasured),
            ("cache", "Its statistics were made with task_arithmetic."),
        )
        if (method, probe) != ("task_arithmetic", "cache")
    }
    lines = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert all(f'"{ties}"' in line for line in lines[1:]) and len(lines) > 20

    assert main([*args[:-2], *methods]) == 0
    told = capsys.readouterr().out
    assert f"method {METHODS.title(ties)}, probe" in told
    lines = [line.split() for line in told.splitlines()]
    of_ties = [line[:2] for line in lines if line[:1] == [ties]]
    usual_rows = [[ties, probe] for probe in (*others, "random", "oracle")]
    assert of_ties[: len(usual_rows)] == usual_rows
    assert {probe for _, probe in of_ties[len(usual_rows) :]} <= set(routing)
    assert f"left out: cache with {ties}, average: Its statistics were made with" in told
    assert "left out: displacement: The suite does not say" in told


def test_every_output_tells_what_was_changed(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    js, table = tmp_path / "a.json", tmp_path / "a.csv"
    changed = ["--preset", "literal", "--temperature", "0.5", "--quantise", "9"]
    assert run(home, "--limit", "2", "--json", str(js), "--csv", str(table), *changed) == 0
    assert "temperature 0.5, mass T*lambda, quantise 9, fallback route" in capsys.readouterr().out
    config = json.loads(js.read_text(encoding="utf-8"))["config"]
    assert (config["temperature"], config["quantise"], config["fallback"]) == (0.5, 9, "route")
    with table.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {(r["temperature"], r["quantise"], r["fallback"]) for r in lines} == {
        ("0.5", "9", "route")
    }


def test_some_tasks_are_compared_with_the_matching_average(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = evaluate(load_engine(home / "suite"), Request(home / "data")).to_dict()
    report = home / "suite" / "report.json"
    report.write_text(json.dumps({"test": {"tasks": whole["tasks"]}}))
    part = tmp_path / "part"
    part.mkdir()
    for name in ("task0", "task2"):
        (part / name).symlink_to(home / "data" / name)
    (part / "unknown").mkdir()
    (part / "unknown" / "classes.json").write_text("[]")
    try:
        command = ["evaluate", "--suite", str(home / "suite"), "--data", str(part), "--json", "-"]
        assert main(command) == 0
    finally:
        report.unlink()
    out, err = capsys.readouterr()
    assert "unknown: no task of tiny" in err
    found = json.loads(out)
    assert list(found["tasks"]) == ["task0", "task2"]
    for name in found["tasks"]:
        assert found["tasks"][name] == whole["tasks"][name]
    assert found["reported"]["average"] == found["average"]
    assert set(found["reported"]["difference"].values()) == {0.0}
    assert found["reported"]["largest"]["difference"] == 0.0


def test_a_task_that_lies_off_its_report_is_named(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two tasks that err in opposite ways leave the average as it is."""
    whole = evaluate(load_engine(home / "suite"), Request(home / "data")).to_dict()
    whole["tasks"]["task0"]["expert"] += 0.25
    whole["tasks"]["task2"]["expert"] -= 0.125
    whole["tasks"]["task1"]["expert"] -= 0.125
    report = home / "suite" / "report.json"
    report.write_text(json.dumps({"test": {"tasks": whole["tasks"]}}))
    try:
        assert run(home) == 0
    finally:
        report.unlink()
    assert (
        "report.json has these figures too; the largest difference is 0.0000 in an average and "
        "0.2500 in a task (Task 0, expert)"
    ) in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("name", "part"), [("mini-vision", "vision"), ("mini-text", "text")])
def test_the_real_data_give_the_figures_of_the_report(
    name: str, part: str, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What docs/results.md says of its tables: the command prints these figures again."""
    js, suite = tmp_path / "found.json", read_suite(name)
    data = str(data_dir / part)
    assert main(["evaluate", "--suite", name, "--data", data, "--json", str(js)]) == 0
    assert "report.json has these figures too" in capsys.readouterr().out
    found = json.loads(js.read_text(encoding="utf-8"))
    report = json.loads(suite.path("report.json").read_text(encoding="utf-8"))["test"]
    assert found["n"] == report["n"] and list(found["tasks"]) == list(suite.task_names)
    for task in suite.task_names:
        own, told = found["tasks"][task], report["tasks"][task]
        for column in HEADINGS.keys() & report["average_all"].keys():
            assert own[column] == pytest.approx(told[column], abs=0.002), (task, column)
    for column in HEADINGS.keys() & report["average_all"].keys():
        assert found["average"][column] == pytest.approx(report["average_all"][column], abs=0.002)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--split", "nowhere"], "Unknown split"),
        (["--limit", "0"], "1 or more"),
        (["--layer", "9"], "layer"),
        (["--methods", "magic"], "method"),
        (["--methods", "ties:size=3"], "method ties has no option"),
        (["--methods", "ties", "--density", "2"], "density must be a number from 0 to 1"),
        (["--density", "0.5"], "--density: no method and no probe of this run has it."),
        (["--json", "-", "--csv", "-"], "stdout"),
    ],
)
def test_wrong_options_are_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert run(home, *options) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and err.count("\n") == 1


def test_a_place_that_cant_be_written_is_told_before_the_work(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("semerge.engine.load_engine", lambda *_: pytest.fail("too late"))
    for place in (tmp_path, tmp_path / "none" / "a.json", tmp_path / ("x" * 300) / "a.json"):
        for option in ("--json", "--csv"):
            assert run(home, option, str(place)) == 2
            told = UserError(f"{place} can't be written.")  # which cuts a long name
            assert capsys.readouterr() == ("", f"semerge: {told}\n")


def test_a_folder_without_tasks_is_told(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for data, words in ((tmp_path, "no task"), (tmp_path / "no", "no data folder")):
        command = ["evaluate", "--suite", str(home / "suite"), "--data", str(data)]
        assert main(command) == 2 and words in capsys.readouterr().err
    command = ["evaluate", "--suite", str(home / "suite"), "--data", "generated"]
    assert main(command) == 2 and "no rendered tasks" in capsys.readouterr().err
    long = "x" * 300
    assert main([*command[:-1], long]) == 2
    told = UserError(f"{long} can't be read: File name too long.")
    assert capsys.readouterr().err == f"semerge: {told}\n"


def test_damaged_data_are_one_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(home / "data", tmp_path / "data")
    (file,) = (data / "task1").glob("test.*")
    file.write_bytes(file.read_bytes()[:99])
    command = ["evaluate", "--suite", str(home / "suite"), "--data", str(data)]
    assert main(command) == 2
    out, err = capsys.readouterr()
    said = f"semerge: {file} is damaged or can't be read ("
    assert out == "" and err.startswith(said) and err.endswith("); make it once more.\n")
    assert err.count("\n") == 1
