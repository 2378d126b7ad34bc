"""The automatic choice from a user's own samples: what is read, what is chosen, what is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_text_suite, tiny_vision_suite

from semerge import common
from semerge.cli import main, parser
from semerge.common import UserError
from semerge.data import archives
from semerge.data.batches import picture
from semerge.data.sets import suite_sets, unlabelled_sets
from semerge.data.uploads import unlabelled_set
from semerge.engine import Engine
from semerge.evaluation import choice
from semerge.evaluation.choice import choose, options
from semerge.evaluation.diagnosis import candidates
from semerge.evaluation.measure import Interrupted
from semerge.inputs import clean_text, decode_image
from semerge.registry import Key
from semerge.settings import FINAL, Settings
from semerge.suites import Suite, read_suite


@pytest.fixture(scope="module")
def own(home: Path, engine: Engine) -> Path:
    """Some samples of every task, without labels: a folder of images, or a file of sentences."""
    sets = suite_sets(engine.suite, home / "data", limit=4).sets
    if engine.suite.modality == "text":
        lines = [line for s in sets for line in s.texts]
        (home / "own.txt").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
        return home / "own.txt"
    for s in sets:
        (home / "own" / s.task).mkdir(parents=True)
        for i in range(len(s)):
            picture(s.pixels(i)).save(home / "own" / s.task / f"{i}.png")
    (home / "own" / ".DS_Store").write_bytes(b"of a desktop")
    return home / "own"


def settings_of(key: Key) -> Settings:
    return Settings(
        probe=key.probe,
        layer=key.layer,
        pool=None if key.layer == FINAL else key.pool,
        probe_lambda=key.probe_lambda if key.probe == "experts" else None,
    )


def test_the_choice_is_that_of_single_requests(own: Path, engine: Engine) -> None:
    """Each sample asked for by itself at each candidate, and ranked."""
    if engine.suite.modality == "text":
        lines = own.read_text(encoding="utf-8").split("\n\n")
        samples = [clean_text(line) for line in lines]
    else:
        samples = [decode_image(path) for path in sorted(own.rglob("*.png"))]
    distances = {}
    for key in candidates(engine):
        rows = [engine.probe(x, settings_of(key)).distances for x in samples]
        distances[key] = torch.cat([row[key] for row in rows])
    # the suite stores no displacements: these samples' own stand for them
    distances |= {
        Key("displacement", *key.point): d.mean(0) / d
        for key, d in distances.items()
        if key.probe == "base"
    }
    expected = {c.key: c for c in choice.rank(distances)}
    found = choose(engine, unlabelled_sets(engine.suite, own))
    assert found.n == len(samples) == 12 and len(found.ranked) == len(expected)
    for candidate in found.ranked:
        assert candidate.score == pytest.approx(expected[candidate.key].score, rel=1e-3)
        assert candidate.margin == pytest.approx(expected[candidate.key].margin, rel=1e-3)
    scores = [candidate.score for candidate in found.ranked]
    assert scores == sorted(scores, reverse=True)
    assert found.ranked[found.default - 1].key == Settings().resolve(engine.suite).probing
    nearest = distances[found.pick.key].argmin(1).tolist()
    names = engine.suite.task_names
    point, base = found.pick.key.point, distances[Key("base", *found.pick.key.point)]
    farthest = (base / base.mean(0)).argmax(1)
    for row in found.curve:
        at = distances[Key("experts", *point, row["lambda"])]
        agrees = at.argmin(1) == farthest
        assert row["agrees"] == pytest.approx(float(agrees.double().mean()))
    assert [row["lambda"] for row in found.curve] == sorted(
        {k.probe_lambda for k in distances if k.probe == "experts"}
    )
    assert found.chosen == {name: nearest.count(t) for t, name in enumerate(names)}
    seen: list[tuple[int, int]] = []
    choose(engine, unlabelled_sets(engine.suite, own), lambda *step: seen.append(step))
    assert seen[-1] == (12, 12)
    with pytest.raises(Interrupted):
        choose(engine, unlabelled_sets(engine.suite, own), cancelled=lambda: True)


def test_every_candidates_options_ask_for_it(engine: Engine) -> None:
    for key in candidates(engine):
        words = ["predict", "--suite", "S", "x", *options(key).split()]
        args = parser().parse_args(words)
        asked = Settings(
            probe=args.probe, layer=args.layer, pool=args.pool, probe_lambda=args.probe_lambda
        )
        assert asked.resolve(engine.suite).probing == key


def test_the_command(
    own: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "PATIENCE", 0.0)  # counts are shown at once
    command = ["choose", "--suite", str(folder), str(own)]
    assert main([*command, "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    stray = "semerge: 1 file passed over, as no picture: '.DS_Store'.\n" if own.is_dir() else ""
    assert captured.err == f"{stray}semerge: 0 of 12 samples\n"
    assert found["n"] == 12 == sum(found["chosen"].values())
    assert len(found["ranked"]) == found["candidates"] and found["pick"] == found["ranked"][0]
    assert found["options"].startswith(f"--probe {found['pick']['probe']} --layer ")
    assert main(command) == 0
    out = capsys.readouterr().out.splitlines()
    assert "12 unlabelled samples" in out[0] and f"pick: {found['options']}" in out
    assert f"{found['pick']['score']:.3f}" in out[2] and len(out) == 16
    assert main([*command, "--limit", "8", "--seed", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 8


def test_what_the_command_refuses(
    own: Path,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one line, and before any weight is read."""
    monkeypatch.setattr("semerge.engine.load_engine", None)
    for words, sentence in (
        ([str(tmp_path / "none")], f"There is no file or folder {tmp_path / 'none'}."),
        (["x" * 5000], "can't be read: File name too long."),
        ([str(own), "--limit", "0"], "The limit must be 1 or more samples."),
    ):
        assert main(["choose", "--suite", str(folder), *words]) == 2
        captured = capsys.readouterr()
        assert sentence in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_samples_that_decide_nothing(own: Path, engine: Engine) -> None:
    whole = unlabelled_set(engine.suite, own)
    with pytest.raises(UserError, match="among 3 experts needs 6 samples or more, of all tasks"):
        choose(engine, [whole.take(range(5))])
    with pytest.raises(UserError, match="nothing to choose by; use samples of several tasks"):
        choose(engine, [whole.take([0] * 8)])


# ---- what is read -------------------------------------------------------------------------------


@pytest.fixture
def vision(tmp_path: Path) -> Suite:
    return read_suite(tiny_vision_suite(tmp_path / "vision"))


@pytest.fixture
def text(tmp_path: Path) -> Suite:
    return read_suite(tiny_text_suite(tmp_path / "text"))


def refused(suite: Suite, path: Path) -> str:
    with pytest.raises(UserError) as caught:
        unlabelled_set(suite, path)
    return str(caught.value)


def test_images_are_read_from_a_folder_or_an_archive(
    vision: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, packed = tmp_path / "own", tmp_path / "own.zip"
    names = ("a/0.png", "a/1.png", "b/0.png", "c.png")
    with zipfile.ZipFile(packed, "w") as archive:
        for i, name in enumerate(names):
            (own / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 12), (40 * i, 0, 0)).save(own / name)
            archive.write(own / name, name)
    (own / "a" / ".DS_Store").write_bytes(b"of a desktop")
    found, again = unlabelled_set(vision, own), unlabelled_set(vision, packed)
    # a folder's own files come before those in its folders
    assert sorted(found.names) == sorted(again.names) == sorted(names)
    for i, name in enumerate(found.names):
        assert np.array_equal(found.pixels(i), again.pixels(again.names.index(name)))
    few = unlabelled_set(vision, own, 3, 1)
    assert len(few) == 3 and set(few.names) < set(found.names)
    assert np.array_equal(few.pixels(2), found.pixels(found.names.index(few.names[2])))

    assert refused(vision, own / "c.png").endswith("put the images into one of these.")
    (tmp_path / "empty").mkdir()
    assert refused(vision, tmp_path / "empty").startswith(f"{tmp_path / 'empty'} holds no images")
    (own / "b" / "d.csv").write_text("a,b")  # no picture by its name, and the next one by nothing
    (own / "b" / "notes").write_text("a,b")
    assert len(unlabelled_set(vision, own)) == 4
    (own / "b" / "d.png").write_text("a,b")
    assert refused(vision, own).startswith("'b/d.png': This file is not a readable image")
    notices: list[str] = []
    fine = unlabelled_set(vision, own, skip_damaged=True, notice=notices.append)
    assert sorted(fine.names) == sorted(names) and notices == [
        "3 files passed over, as no picture: 'a/.DS_Store', 'b/d.csv', 'b/notes'.",
        "1 file skipped, as no readable picture: 'b/d.png'.",
    ]
    monkeypatch.setattr(archives, "MAX_FILES", 4)
    assert refused(vision, own) == (
        f"{own} holds too many files; the limit is 4; a limit of samples takes a part of them."
    )
    assert len(unlabelled_set(vision, own, 3, 1, skip_damaged=True)) >= 2


def test_sentences_are_read_from_lines_or_columns(text: Suite, tmp_path: Path) -> None:
    lines = tmp_path / "a.txt"
    lines.write_bytes(b'\xef\xbb\xbfone, two\r\n\r\n  {"three"}\n')
    found = unlabelled_set(text, lines)
    assert found.texts == ("one, two", '{"three"}') and found.names == ("line 1", "line 3")
    table = tmp_path / "a.csv"
    table.write_text('label,text,text_b\n,"one, two",b\nunheard of,three,\n')
    found = unlabelled_set(text, table)
    assert found.texts == ("one, two", "three") and found.texts_b == ("b", None)
    objects = tmp_path / "a.jsonl"
    objects.write_text('{"text": "one", "task": 3}\n{"text": "two", "label": [1]}\n')
    assert unlabelled_set(text, objects).texts == ("one", "two")

    assert "name a text file with one sentence on each line" in refused(text, tmp_path)
    for name, content, sentence in (
        ("a.txt", "", "This file is empty."),
        ("a.txt", "fine\n" + "x" * 2001, "line 2: The sentence has 2,001 characters"),
        ("a.txt", "ok\n" * 5001, "too many samples; the limit is 5,000; a limit of samples"),
        ("a.txt", "a\0b", "NUL"),
        ("a.csv", "line\nhi\n", "must name the column text, and may name text_b."),
        ("a.csv", "text,label\n,ant\n", "line 2 has no text."),
        ("a.jsonl", '{"text": 3}', "line 1: text must be text."),
    ):
        (tmp_path / name).write_text(content)
        assert sentence in refused(text, tmp_path / name)
