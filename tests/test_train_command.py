"""train --smoke: every stage of both suites, from a data folder to a suite that answers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recipes.text_config import TASKS as TEXT_TASKS
from recipes.vision_config import VisionConfig
from recipes.vision_tasks import TASKS as VISION_TASKS
from semerge.cli import main
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


@pytest.mark.parametrize("suite", ["mini-vision", "mini-text"])
def test_smoke_makes_a_suite_that_answers(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (images if suite == "mini-vision" else sentences)(tmp_path / "data")
    out = tmp_path / "out"
    command = ["train", "--suite", suite, "--data", str(data), "--out", str(out), "--smoke"]
    assert main([*command, "--seed", "5"]) == 0
    assert f"{suite} is in" in capsys.readouterr().out
    engine = load_engine(out / suite)
    known = VISION_TASKS if suite == "mini-vision" else TEXT_TASKS
    assert engine.suite.task_names == tuple(known)
    sample = (
        DecodedImage(Image.new("RGB", (60, 50), "red"), ())
        if suite == "mini-vision"
        else CleanText("good")
    )
    assert engine.predict(sample).chosen in engine.suite.task_names
    report = json.loads((out / suite / "report.json").read_text(encoding="utf-8"))
    assert report["seed"] == 5 and report["lines"]
    assert [row["experts"] for row in report["ablation"]] == [
        "plain",
        "preserve",
        "preserve and drift",
    ]
    several = VisionConfig().expert.runs if suite == "mini-vision" else {}
    stages = {"base"} | {stage for task in known for stage in several.get(task, (task,))}
    assert stages <= {stage.removeprefix("expert-") for stage in report["training"]["seconds"]}
    rendered = {"charts", "textures"} if suite == "mini-vision" else set()
    assert set(report["trivial"]) == rendered
    assert (out / suite / "README.md").is_file()


def test_what_train_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, words in (
        (["--suite", "gpt2-glue", "--data", str(tmp_path)], "train makes"),
        (["--suite", "mini-text"], "required: --data"),
        (["--suite", "mini-text", "--data", str(tmp_path / "none")], "no data folder"),
    ):
        assert main(["--out", str(tmp_path / "out"), *options]) == 2
        out, err = capsys.readouterr()
        assert out == "" and words in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    file = tmp_path / "file"
    file.touch()
    command = ["train", "--suite", "mini-text", "--data", str(tmp_path), "--out", str(file)]
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out == "" and err == f"semerge: No folder {file}/stages can be made: Not a directory.\n"
