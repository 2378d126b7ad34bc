"""Labelled samples in the shapes that people have them in: the same set in each, for the command,
the choice without labels and the app; what lies beside them is passed over and told."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inspecting import Inspector, tab_of
from labelled import write_images, write_sentences
from markupsafe import escape
from PIL import Image
from tiny import tiny_text_suite, tiny_vision_suite
from uploading import labels, refused

from semerge.cli import main
from semerge.common import UserError
from semerge.data import archives, pictures, tabular, uploads
from semerge.data.labelled import Sets
from semerge.data.sets import chosen_sets, unlabelled_sets
from semerge.data.uploads import uploaded_sets
from semerge.engine import load_engine
from semerge.evaluation.inspection import inspect, write_csv
from semerge.settings import Settings
from semerge.suites import Suite, read_suite
from semerge.suites.examples import Examples
from semerge.ui.tabs.inspect_choice import FOLDER, UPLOAD, Choice

NO_EXAMPLES = Examples((), ())


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return read_suite(tiny_text_suite(tmp_path_factory.mktemp("text")))


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return read_suite(tiny_vision_suite(tmp_path_factory.mktemp("vision")))


# ---- sentences ----------------------------------------------------------------------------------

ROWS = [("A fine, odd film", "bee"), ("So-so", "ant"), ('"Well", he said', "ant")]
COMMAS = 'text,label\n"A fine, odd film",bee\nSo-so,ant\n"""Well"", he said",ant\n'
SEMICOLONS = 'text;label\nA fine, odd film;bee\nSo-so;ant\n"""Well"", he said";ant\n'
BARE = 'text\tlabel\nA fine, odd film\tbee\nSo-so\tant\n"Well", he said\tant\n'
OBJECTS = [{"text": a, "label": b} for a, b in ROWS]
LINES = "\n".join(map(json.dumps, OBJECTS))
SHAPES = {
    "csv": COMMAS,
    "blank.csv": COMMAS.replace("So-so", ",\n   \n\nSo-so") + ",\n,\n",
    "dos.csv": "\ufeff" + COMMAS.replace("\n", "\r\n"),
    "sep.csv": f"sep=;\n{SEMICOLONS}",
    "tabs.tsv": 'text\tlabel\n"A fine, odd film"\tbee\nSo-so\tant\n"""Well"", he said"\tant\n',
    "bare.tsv": BARE,
    "little.txt": b"\xff\xfe" + BARE.encode("utf-16-le"),
    "big.txt": b"\xfe\xff" + BARE.encode("utf-16-be"),
    "named.csv": COMMAS.replace("text,label", "Sentence,Labels"),
    "number.csv": COMMAS.replace(",bee\n", ",1.0\n").replace(",ant\n", ",0\n"),
    "model.csv": COMMAS.replace(",bee\n", ",LABEL_1\n").replace(",ant\n", ",label_0\n"),
    "jsonl": LINES,
    "upper.ndjson": LINES.replace('"text"', '"Text"'),
    "floats.jsonl": LINES.replace('"bee"', "1.0").replace('"ant"', "0"),
    "json": json.dumps(OBJECTS, indent=1),
    "bytes.json": b"\xef\xbb\xbf" + json.dumps(OBJECTS).encode(),
}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_sentences_in_every_shape(text: Suite, tmp_path: Path, shape: str) -> None:
    path = write(tmp_path / f"a.{shape}", SHAPES[shape])
    (found,) = chosen_sets(text, path, task="task0").sets
    assert list(zip(found.texts, found.labels.tolist(), strict=True)) == [
        (sentence, ("ant", "bee").index(label)) for sentence, label in ROWS
    ]
    (bare,) = unlabelled_sets(text, path)
    assert bare.texts == found.texts and bare.names == found.names
    own = Choice(text, UPLOAD, str(path), task="task0").sets(NO_EXAMPLES)
    assert own.sets[0].sha256() == found.sha256()


def test_columns_as_glue_has_them(text: Suite, tmp_path: Path) -> None:
    for first, second in tabular.TEXTS[:-1]:
        path = write(tmp_path / "a.csv", f"idx,{first},{second},label,task\n7,A,B,dog,task2\n")
        (found,) = chosen_sets(text, path).sets
        assert (found.texts, found.texts_b, found.task) == (("A",), ("B",), "task2")
        missing = "text_b is missing" if first == "text" else "must name the columns text and label"
        assert missing in refused(text, write(path, f"{first},label\nA,dog\n"), "task2")
    lone = write(tmp_path / "a.csv", "question,sentence,label\nA,,dog\n")
    assert "text_b is missing" in refused(text, lone, "task2")


def test_a_second_sentence_that_nobody_reads_is_refused(text: Suite, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,text_b,label\nA,,ant\nB,C,bee\n")
    assert refused(text, path, "task0") == (
        "line 3: task0 reads one sentence, and text_b is of pairs."
    )
    assert unlabelled_sets(text, path)[0].texts_b == (None, "C")
    folder = write_sentences(tmp_path / "data")
    assert chosen_sets(text, folder).total
    odd = read_suite(tiny_text_suite(tmp_path / "odd"))
    for pair in (True, False):
        suite = replace(odd, tasks=tuple(replace(t, pair=pair) for t in odd.tasks))
        with pytest.raises(UserError, match="text_b is " + ("missing" if pair else "of pairs")):
            chosen_sets(suite, folder)


@pytest.mark.parametrize(
    ("content", "table", "wanted"),
    [
        ('"Hi" he said\tant\n"Ho" she said\tbee\n', "letters", ['"Hi" he said', '"Ho" she said']),
        ('"Hi"\tant\n"Ho"\tbee\n', "letters", ['"Hi"', '"Ho"']),
        ('"Hi, you"\tant\nHo\tbee\n', "quotes", ["Hi, you", "Ho"]),
        ('"Hi, you"\tant\nHo, you\tbee\n', "letters", ['"Hi, you"', "Ho, you"]),
        ('"say ""hi"""\tant\nHo\tbee\n', "quotes", ['say "hi"', "Ho"]),
        ('"Hi\tyou"\tant\nHo\tbee\n', "quotes", ["Hi you", "Ho"]),
        ('"Hi, she said\tant\nthe end"\tbee\n', "letters", ['"Hi, she said', 'the end"']),
    ],
)
def test_between_tabs_a_quote_is_a_letter_unless_it_can_be_none(
    text: Suite, tmp_path: Path, content: str, table: str, wanted: list[str]
) -> None:
    path = write(tmp_path / "a.tsv", f"text\tlabel\n{content}")
    assert list(chosen_sets(text, path, task="task0").sets[0].texts) == wanted
    quoted = write(tmp_path / "a.tsv", f'"text"\t"label"\n{content}')
    if table == "quotes":
        assert list(chosen_sets(text, quoted, task="task0").sets[0].texts) == wanted


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04..[Content_Types].xml..xl/workbook.xml", "an Excel workbook; save it there"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
        (b"PAR1....", "a Parquet file"),
        (b"\xff\xfet", "not UTF-16, as it says it is"),
        ('{"text": "a", "label": 0.5}', "line 1: a label is a name or a whole number, not 0.5."),
        ('{"text": "a", "label": [1]}', "line 1: a label is a name or a whole number, not [1]."),
        ('{"text": "a", "label": "ant"},\n', "line 1 ends with a comma; give one JSON object"),
        ('[{"text": "a", "label": "ant"},]', "begins as a JSON array and can't be read as one"),
        ("[" * 100_000, "begins as a JSON array and can't be read as one"),
        ("[]", "holds no samples"),
        ('["a"]', "entry 1 of the JSON array is no object."),
        ('{"text": "a", "Text": "b", "label": "ant"}', "line 1 has no text"),
        ("text,label,text_b,text_b\nhi,ant,a,\n", "must name the columns text and label"),
        ("text,label\nhi,1.5\n", "'1.5' is no class of task0"),
        ("text\tlabel\n" + '"' * 2**19, "line 2 is one too many, or too long for a table"),
        ("text,label\n" + ",\n" * 10**6, "line 1,000,001 is one too many"),
        ("text,label\nhi,LABEL_2\n", "'LABEL_2' is no class of task0"),
        ("text,label\nhi,0000000000001\n", ""),
        ("sep=;\ntext;label\nhi,there,ant\n", "line 3 has 1 cells where the first line has 2"),
    ],
)
def test_what_a_table_is_and_lacks_is_told(
    text: Suite, tmp_path: Path, content: str | bytes, words: str
) -> None:
    path = write(tmp_path / "a.csv", content)
    if words:
        assert words in refused(text, path, "task0")
    else:
        assert labels(uploaded_sets(text, path, "task0")) == {"task0": [1]}


def test_without_labels_content_says_what_a_file_is(text: Suite, tmp_path: Path) -> None:
    def found(content: str) -> tuple[str, ...]:
        return unlabelled_sets(text, write(tmp_path / "a.txt", content))[0].texts

    assert found('["one", "two"]') == found('[{"text": "one"}, {"text": "two"}]') == ("one", "two")
    assert found('{"text": "one"}\n\n{"sentence": "two"}') == ("one", "two")
    assert found("text;label\none;\ntwo;9\n") == ("one", "two")
    assert found("text\none\n[Music], please\n") == ("text", "one", "[Music], please")
    assert found("[Music]\n{one}\n") == ("[Music]", "{one}")
    with pytest.raises(UserError, match="entry 2 of the JSON array is no object"):
        found('["a", 7]')


def test_a_limit_takes_its_part_before_the_limit_of_all(
    text: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"word {i},{'ant' if i % 4 else 'bee'}\n" for i in range(40))
    path = write(tmp_path / "a.csv", f"text,label\n{rows}")
    whole = chosen_sets(text, path, task="task0")
    few = chosen_sets(text, path, task="task0", limit=8, seed=3)
    monkeypatch.setattr(uploads, "MAX_ROWS", 20)
    assert "too many samples; the limit is 20" in refused(text, path, "task0")
    again = chosen_sets(text, path, task="task0", limit=8, seed=3)
    assert again.sets[0].sha256() == few.sets[0].sha256()
    assert again.sets[0].labels.tolist().count(1) == 4 and again.total == 8
    at = [whole.sets[0].names.index(name) for name in again.sets[0].names]
    assert at == again.rows[0].tolist()
    with pytest.raises(UserError, match="too many samples; the limit is 20"):
        chosen_sets(text, path, task="task0", limit=21)
    monkeypatch.setattr(uploads, "MAX_LISTED", 30)
    with pytest.raises(UserError, match="the limit is 30"):
        chosen_sets(text, path, task="task0", limit=8)
    assert len(unlabelled_sets(text, write(path, "text\none\ntwo\n"), limit=1)[0]) == 1


def test_what_is_exported_is_read_again(text: Suite, tmp_path: Path) -> None:
    """To the same texts, tasks and labels, by Excel as UTF-8, and no cell is a formula there."""
    odd = ["=1+1", "'=1", "-2 is cold", "'''@ home", "'tis fine", 'a, "b"; c', "Où ? 你好", "x"]
    rows = [{"text": t, "label": ("ant", "bee")[i % 2], "task": "task0"} for i, t in enumerate(odd)]
    rows += [{"text": "+ A", "text_b": "@B", "label": "dog", "task": "task2"}]
    path = write(tmp_path / "a.json", json.dumps(rows))
    found = chosen_sets(text, path)
    assert main(["evaluate", "--suite", str(text.folder), "--data", str(path), "--csv",
                 str(tmp_path / "rows.csv")]) == 0  # fmt: skip
    data = (tmp_path / "rows.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    for line in csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")):
        assert not line["text"].startswith(("=", "+", "-", "@"))
    again = chosen_sets(text, tmp_path / "rows.csv")
    assert [s.sha256() for s in again.sets] == [s.sha256() for s in found.sets]
    # whose table it is not keeps its apostrophes
    other = write(tmp_path / "b.csv", "text,label\n'=1,ant\n")
    assert chosen_sets(text, other, task="task0").sets[0].texts == ("'=1",)


def test_printed_rows_begin_with_their_names(
    text: Suite, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", COMMAS)
    assert (
        main(
            [
                "evaluate",
                "--suite",
                str(text.folder),
                "--data",
                str(path),
                "--task",
                "task0",
                "--csv",
                "-",
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.startswith('"id",')
    file = io.StringIO()
    write_csv(
        inspect(load_engine(text.folder), uploaded_sets(text, path, "task0"), Settings()), file
    )
    assert file.getvalue().startswith('\ufeff"id",')


# ---- images -------------------------------------------------------------------------------------


def png(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def lay(place: Path, names: list[str] | dict[str, bytes]) -> Path:
    """Files of these names in a folder, or in a zip archive if it is called so."""
    files = names if isinstance(names, dict) else {n: png(i) for i, n in enumerate(names)}
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return place
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


CLASSES = ["ant/1.png", "bee/1.png", "bee/2.JPG"]
BOTH = [f"{split}/{name}" for split in ("train", "test") for name in CLASSES]
PLACES = ["own", "own.zip"]


def contents(found: Sets) -> dict[str, list[tuple[int, int]]]:
    return {
        s.task: [(int(y), int(s.pixels(i).sum())) for i, y in enumerate(s.labels)]
        for s in found.sets
    }


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("names", "split", "read", "notices"),
    [
        (CLASSES, "test", CLASSES, []),
        ([f"mine/{name}" for name in CLASSES], "test", None, []),
        (BOTH, "test", BOTH[3:], ["2 splits are there, test, train; test is read."]),
        (BOTH, "train", BOTH[:3], ["2 splits are there, test, train; train is read."]),
        (BOTH[:3], "test", BOTH[:3], ["1 split is there, train, which is read."]),
        ([n.replace("test", "Val") for n in BOTH], "validation", None, None),
        ([f"x/task0/{name}" for name in BOTH], "test", None, None),
    ],
)
def test_class_folders_with_or_without_splits(
    vision: Suite, tmp_path: Path, place: str, names: list[str], split: str,
    read: list[str] | None, notices: list[str] | None,
) -> None:  # fmt: skip
    told: list[str] = []
    path = lay(tmp_path / place, names)
    found = chosen_sets(vision, path, split, task="task0", notice=told.append)
    read = names[-3:] if read is None else read
    assert sorted(found.sets[0].names) == read and found.split == "upload"
    assert told == notices or notices is None
    assert contents(found)["task0"] == [
        (int("bee" in name), int(np.asarray(Image.open(io.BytesIO(png(names.index(name))))).sum()))
        for name in read
    ]
    everything = unlabelled_sets(vision, path)
    assert sorted(everything[0].names) == sorted(names)
    again: list[str] = []
    own = Choice(vision, FOLDER, str(path), split, "task0").sets(NO_EXAMPLES, again.append)
    assert own.sets[0].sha256() == found.sets[0].sha256() and again == told
    assert own.sets[0].names == found.sets[0].names


@pytest.mark.parametrize("place", PLACES)
def test_the_folders_above_say_the_task(vision: Suite, tmp_path: Path, place: str) -> None:
    wanted = {"task0": [1], "task2": [3]}
    for i, pattern in enumerate(("{task}/{name}", "{task}/test/{name}", "test/{task}/{name}")):
        names = [pattern.format(task=task, name=name) for task, name in
                 (("task2", "dog/1.png"), ("task0", "bee/1.png"))]  # fmt: skip
        (tmp_path / str(i)).mkdir()
        assert labels(chosen_sets(vision, lay(tmp_path / str(i) / place, names))) == wanted
    one = lay(tmp_path / place / "task1" if place == "own" else tmp_path / place,
              CLASSES if place == "own" else [f"task1/{n}" for n in CLASSES])  # fmt: skip
    assert labels(chosen_sets(vision, one)) == {"task1": [0, 1, 1]}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("names", "split", "words"),
    [
        (["1.png", "ant/1.png"], "test", "'1.png' lies in no class's folder"),
        (["x/ant/1.png", "task0/bee/1.png"], "test", "task 'x' is unknown"),
        (["x/y/ant/1.png", "bee/1.png"], "test", "lies in no class's folder"),
        ([*BOTH, "ant/1.png"], "test", "Some pictures lie in a split's folder, and others in none"),
        (BOTH, "validation", "There is no split 'validation'; there are test, train."),
        (BOTH[:3], "validation", "There is no split 'validation'; there are train."),
        (BOTH, "tset", "Unknown split 'tset'"),
        (["README.txt"], "test", "holds no images"),
    ],
)
def test_folders_that_are_refused(
    vision: Suite, tmp_path: Path, place: str, names: list[str], split: str, words: str
) -> None:
    with pytest.raises(UserError) as caught:
        chosen_sets(vision, lay(tmp_path / place, names), split, task="task0")
    assert words in str(caught.value)


STRAYS = {
    "ant/._1.png": b"\0\5\x16\7",
    "ant/thumbs.db": b"x",
    "bee/Desktop.ini": b"x",
    "bee/.gitkeep": b"",
    "bee/.ipynb_checkpoints/a.png": png(9),
    "README.txt": b"hi",
    "LICENSE": b"hi",
    "ant/labels.csv": b"a,b",
    "classes.json": b"[]",
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_picture_is_passed_over_and_counted(
    vision: Suite, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        name: png(i) for i, name in enumerate([*CLASSES, "ant/scan"])
    }  # a picture all the same
    path = lay(tmp_path / place, files | STRAYS)
    told: list[str] = []
    found = chosen_sets(vision, path, task="task0", notice=told.append)
    assert sorted(found.sets[0].names) == sorted(files)
    assert len(told) == 1 and told[0].startswith(f"{len(STRAYS)} files passed over, as no picture")
    assert told[0].endswith(f"and {len(STRAYS) - pictures.NAMED} more.")
    assert sorted(unlabelled_sets(vision, path)[0].names) == sorted(files)
    command = ["evaluate", "--suite", str(vision.folder), "--data", str(path), "--task", "task0"]
    assert main(command) == 0 and f"semerge: {told[0]}" in capsys.readouterr().err
    if place == "own.zip":
        app = Inspector(tab_of([vision]), kind="upload", upload=str(path), task="task0")
        app.press_run()
        assert len(app.found.rows) == len(files) and str(escape(told[0])) in app.status


@pytest.mark.parametrize("place", PLACES)
def test_a_damaged_picture_is_told_or_skipped(
    vision: Suite, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: png(i) for i, name in enumerate(CLASSES)}
    path = lay(tmp_path / place, files | {"ant/cut.png": png(7)[:40], "bee/none.png": b""})
    command = ["evaluate", "--suite", str(vision.folder), "--data", str(path), "--task", "task0"]
    assert main(command) == 2 and "semerge: 'ant/cut.png': This" in capsys.readouterr().err
    assert main([*command, "--skip-damaged", "--csv", "-"]) == 0
    captured = capsys.readouterr()
    assert "2 files skipped, as no readable picture: 'ant/cut.png', 'bee/none.png'." in captured.err
    assert {line["id"] for line in csv.DictReader(io.StringIO(captured.out))} == set(files)
    choose = ["choose", "--suite", str(vision.folder), str(path), "--skip-damaged"]
    assert main(choose) == 2 and "these are 3" in capsys.readouterr().err
    bad = lay(tmp_path / f"bad{Path(place).suffix}", {"ant/1.png": b"x"})
    with pytest.raises(UserError, match="not a readable image"):
        chosen_sets(vision, bad, task="task0", skip_damaged=True)


@pytest.mark.parametrize("place", PLACES)
def test_a_limit_reads_its_part_alone(
    vision: Suite, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lay(tmp_path / place, [f"{c}/{i}.png" for i in range(6) for c in ("ant", "bee")])
    few = chosen_sets(vision, path, task="task0", limit=4)
    monkeypatch.setattr(archives, "MAX_FILES", 5)
    with pytest.raises(UserError, match="limit is 5; a limit of samples takes a part of them"):
        chosen_sets(vision, path, task="task0")
    monkeypatch.setattr(archives, "MAX_UNPACKED", 4 * 2100)
    again = chosen_sets(vision, path, task="task0", limit=4)
    assert again.sets[0].names == few.sets[0].names and labels(again)["task0"].count(1) == 2
    assert len(unlabelled_sets(vision, path, limit=4)[0]) == 4
    monkeypatch.setattr(archives, "MAX_LISTED", 7)
    monkeypatch.setattr(pictures, "MAX_LISTED", 7)
    with pytest.raises(UserError, match=r"the limit is 7\.$"):
        chosen_sets(vision, path, task="task0", limit=4)


def test_names_as_windows_writes_them(vision: Suite, tmp_path: Path) -> None:
    path = lay(
        tmp_path / "a.zip", {"own\\": b"", "own\\ant\\1.png": png(1), "own\\bee\\2.png": png(2)}
    )
    assert chosen_sets(vision, path).sets[0].names == ("own/ant/1.png", "own/bee/2.png")


def test_a_data_folder_needs_no_labels(vision: Suite, text: Suite, tmp_path: Path) -> None:
    for suite, write_data in ((vision, write_images), (text, write_sentences)):
        folder = write_data(tmp_path / suite.modality)
        wanted = chosen_sets(suite, folder).sets
        assert [s.sha256() for s in unlabelled_sets(suite, folder)] == [s.sha256() for s in wanted]
        assert [len(s) for s in unlabelled_sets(suite, folder, limit=6)] == [2, 2, 2]


def test_a_class_may_have_other_names(vision: Suite, tmp_path: Path) -> None:
    folder = tiny_vision_suite(tmp_path / "suite")
    content = json.loads((folder / "suite.json").read_text())
    content["tasks"][0]["aliases"] = {"Formica": "ant"}
    (folder / "suite.json").write_text(json.dumps(content))
    path = lay(tmp_path / "a.zip", ["FORMICA/1.png", "bee/1.png"])
    assert labels(chosen_sets(read_suite(folder), path)) == {"task0": [0, 1]}
    content["tasks"][0]["aliases"] = {"Formica": "emu"}
    (folder / "suite.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"tasks\[0\]\.aliases\.Formica must be one of its classes"):
        read_suite(folder)
    eurosat = read_suite("mini-vision").task("eurosat")
    names = [f"{name}/1.jpg" for name in ("AnnualCrop", "SeaLake", "Forest", "Industrial")]
    found = chosen_sets(read_suite("mini-vision"), lay(tmp_path / "b", names)).sets[0]
    assert [eurosat.classes[y] for y in found.labels] == [
        "annual crop land", "forest", "industrial buildings", "sea or lake",
    ]  # fmt: skip
