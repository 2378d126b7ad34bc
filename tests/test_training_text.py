"""The recipe of the text suite, end to end on made-up sentences."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tokenizers")

TASKS = ("sentiment_mr", "colours", "tools")
SMALL = 60


def write_task(folder: Path, task: str, classes: list[list[str]], seed: int) -> None:
    """A task whose classes have words of their own."""
    rng = np.random.default_rng(seed)
    (folder / task).mkdir(parents=True)
    (folder / task / "classes.json").write_text(json.dumps([c[0] for c in classes]))
    for split, n in (("train", SMALL), ("test", 12)):
        with gzip.open(folder / task / f"{split}.jsonl.gz", "wt", encoding="utf-8") as f:
            for i in range(n):
                label = i % len(classes)
                noise = [f"{task[:3]}{w}" for w in rng.integers(0, 30, 4)]
                words = [*noise, *rng.choice(classes[label], 2), f"{split}{i}"]
                f.write(json.dumps({"text": " ".join(words), "label": label}) + "\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_task(folder, "sentiment_mr", [["good", "fine"], ["bad", "dull"]], 1)
    write_task(folder, "colours", [["red"], ["green"], ["blue"]], 2)
    write_task(folder, "tools", [["saw"], ["file"]], 3)
    write_task(folder, "review_sentiment_uci", [["good"], ["bad"]], 4)
    (folder / "lm").mkdir()
    with gzip.open(folder / "lm" / "book.txt.gz", "wt", encoding="utf-8") as f:
        f.write("It was a quiet evening on the river. Nobody spoke, and the boat went on.\n" * 40)
    return folder


def test_smoke_run_leaves_its_stages_and_takes_them_up(data: Path, tmp_path: Path) -> None:
    from semerge.training.text import train_text
    from semerge.training.text_config import TextConfig

    config = replace(TextConfig(), tasks=TASKS)
    train_text(data, tmp_path / "out", config, smoke=True)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    stages = {path.relative_to(tmp_path / "out").as_posix() for path in made}
    assert stages >= {f"{stage}.safetensors" for stage in ("lm", "words", "base", "heads")}
    assert stages >= {f"experts/final/{task}.safetensors" for task in TASKS}
    train_text(data, tmp_path / "out", config, smoke=True)  # nothing is made twice
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_held_out_sentences_stay_out(data: Path) -> None:
    from semerge.evaluation.data import read_set
    from semerge.training.text_data import HeldOut, corpus_texts, fingerprint, training_set

    secret = read_set(data, "colours", "test").texts[0]
    with gzip.open(data / "lm" / "leak.txt.gz", "wt", encoding="utf-8") as f:
        f.write(f"Before. {secret.upper()}! After it.\n")
    held_out = HeldOut(data, TASKS)
    assert fingerprint(secret) in held_out.marks
    assert all(secret.lower() not in p.lower() for p in corpus_texts(data, held_out))
    for task in TASKS:
        kept = training_set(data, task, held_out)
        assert not held_out.marks & {fingerprint(t) for t in kept.texts}


def test_a_class_without_training_sentences_gets_the_projects_own() -> None:
    from semerge.evaluation.data import LabelledSet
    from semerge.training.written import COPIES, WRITTEN, with_written

    classes = ("English", "Hindi")
    found = LabelledSet("language_id", "train", classes, np.array([0, 0]), texts=("a", "b"))
    more = with_written(found)
    own = WRITTEN["language_id"]["Hindi"]
    assert more.texts == ("a", "b", *own * COPIES)
    assert more.labels.tolist() == [0, 0] + [1] * len(own) * COPIES
    assert with_written(more) is more  # it has some now
    assert with_written(replace(found, task="other")).texts == ("a", "b")
    assert all("\u0900" <= c <= "\u097f" for s in own for c in s if c.isalpha())
    assert len(set(own)) == len(own)
