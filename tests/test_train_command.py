"""python -m recipes --smoke: each stage of both suites, from data to a suite that answers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recipes.__main__ import SUITES, main
from recipes.curve import SCALES
from recipes.text_config import TASKS as TEXT_TASKS
from recipes.vision_config import VisionConfig, smoke_config
from recipes.vision_tasks import TASKS as VISION_TASKS
from semerge.engine import load_engine
from semerge.inputs import CleanText, DecodedImage


def images(folder: Path) -> Path:
    random = np.random.default_rng(0)
    for name, task in VISION_TASKS.items():
        if task.real:
            (folder / name).mkdir(parents=True)
            (folder / name / "classes.json").write_text(json.dumps(task.classes))
            for split, n in (("train", 60), ("test", 20)):
                x = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
                np.savez(folder / name / f"{split}.npz", x=x, y=np.arange(n) % len(task.classes))
    return folder


def more_photos(folder: Path) -> Path:
    """A training set that stands for the one of `images`, without a test split."""
    random, classes = np.random.default_rng(1), VISION_TASKS["cifar10"].classes
    (folder / "cifar10").mkdir(parents=True)
    (folder / "cifar10" / "classes.json").write_text(json.dumps(classes))
    x = random.integers(0, 256, (90, 28, 28), dtype=np.uint8)
    np.savez(folder / "cifar10" / "train.npz", x=x, y=np.arange(90) % len(classes))
    return folder


def sentences(folder: Path) -> Path:
    for task in (*TEXT_TASKS, "review_sentiment_uci", "subjectivity"):
        (folder / task).mkdir(parents=True)
        (folder / task / "classes.json").write_text('["one", "two"]')
        for split, n in (("train", 60), ("test", 12)):
            with gzip.open(folder / task / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
                for i in range(n):
                    text = f"{task} {split} sentence {i} is {'good' if i % 2 else 'bad'}"
                    file.write(json.dumps({"text": text, "label": i % 2}) + "\n")
    (folder / "lm").mkdir()
    with gzip.open(folder / "lm" / "book.txt.gz", "wt", encoding="utf-8") as file:
        file.write("It was a quiet evening on the river. Nobody spoke.\n" * 60)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["vision", "text"])
def test_smoke_makes_a_suite_that_answers(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, visual = SUITES[recipe], recipe == "vision"
    folders = [(images if visual else sentences)(tmp_path / "data")]
    if visual:
        folders.append(more_photos(tmp_path / "more"))
    out = tmp_path / "out"
    command = [recipe, "--data", *map(str, folders), "--out", str(out), "--smoke", "--seed", "5"]
    assert main(command) == 0
    assert f"{suite} is in" in capsys.readouterr().out
    assert main([*command, "--curve"]) == 0  # the stages are there; the suite stays as it is
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("base ") and [float(row.split()[0]) for row in rows] == list(SCALES)
    engine = load_engine(out / suite)
    known = VISION_TASKS if visual else TEXT_TASKS
    assert engine.suite.task_names == tuple(known)
    sample = DecodedImage(Image.new("RGB", (60, 50), "red"), ()) if visual else CleanText("good")
    assert engine.predict(sample).chosen in engine.suite.task_names
    log = (out / "train.log").read_text(encoding="utf-8")
    report = json.loads((out / suite / "report.json").read_text(encoding="utf-8"))
    assert report["seed"] == 5 and report["lines"]
    assert [row["experts"] for row in report["ablation"]] == [
        "plain",
        "preserve and drift",
        "disentangled",
    ]
    assert {0.3, 0.6, 1.0} <= {row["lambda"] for row in report["ablation"][0]["curve"]["rows"]}
    assert "cifar10" in log if visual else "sentiment_mr" in log
    card = (out / suite / "README.md").read_text(encoding="utf-8")
    assert "- experts: disentangled" in card and "- base: " in card
    described = json.loads((out / suite / "suite.json").read_text(encoding="utf-8"))
    for task in described["tasks"]:
        assert task["moments"] in described["sha256"]
        assert (out / suite / task["moments"]).is_file()
    if visual:
        splits = report["data"]["tasks"]["cifar10"]
        assert (splits["train"]["n"], splits["validation"]["n"], splits["test"]["n"]) == (81, 9, 20)
        assert report["training"]["cifar10/train.npz"] == "from the data folder more"
    several = smoke_config(VisionConfig()).expert.runs if visual else {}
    stages = {"base"} | {stage for task in known for stage in several.get(task, (task,))}
    assert stages <= {stage.removeprefix("expert-") for stage in report["training"]["seconds"]}
    rendered = {"charts", "textures"} if visual else set()
    assert set(report["trivial"]) == rendered
    assert (out / suite / "README.md").is_file()


def test_what_the_recipes_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    for argv, words in (
        (["clip-vit-b-32", "--data", str(tmp_path), *out], "choose from"),
        (["text", *out], "required: --data"),
        (["text", "--data", str(tmp_path)], "required: --out"),
        (["text", "--data", str(tmp_path / "none"), *out], "no data folder"),
    ):
        assert main(argv) == 2
        printed, err = capsys.readouterr()
        assert printed == "" and words in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    file = tmp_path / "file"
    file.touch()
    assert main(["text", "--data", str(tmp_path), "--out", str(file)]) == 2
    printed, err = capsys.readouterr()
    assert printed == "" and err == (
        f"semerge: No folder {file}/stages can be made: Not a directory.\n"
    )
