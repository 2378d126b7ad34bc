"""init-suite for open_clip's layouts, whose heads come from elsewhere, and for what is no suite."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import published_fakes as fakes
import pytest
import torch
from pickled_fakes import write_pickled, write_pickled_head
from PIL import Image
from published_suites import BASE, EXPERTS, TOWER
from torch.nn.functional import normalize

from semerge import cli
from semerge.engine import load_engine
from semerge.settings import Settings
from semerge.suites import read_suite

SCALE = 50.0  # not OpenAI's: the file says it


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is on the hub in families B and C, small: encoders, heads, a CLIPModel beside them."""
    home = tmp_path_factory.mktemp("files")
    for form, state in {"zeroshot": BASE, "T0": EXPERTS[0], "T1": EXPERTS[1]}.items():
        whole = fakes.image_encoder(state, TOWER, SCALE)
        fakes.write_state_dict(home / "state" / f"{form}.pt", whole)
        write_pickled(home / "pickle" / f"{form}.pt", whole, bare=form == "T1", quick=False)
    for t in range(2):
        weight = SCALE * normalize(torch.randn(4 + t, 16), dim=-1)
        write_pickled_head(home / f"head_T{t}.pt", weight)
    fakes.write_clip_model(home / "clip" / "pytorch_model.bin", fakes.hf_clip(BASE, TOWER, SCALE))
    other = fakes.hf_clip(BASE, fakes.text_weights(77), SCALE)
    fakes.write_clip_model(home / "other" / "pytorch_model.bin", other)
    return home


def words(files: Path, form: str, *more: object) -> list[str]:
    """The command's options for a suite of the two experts in one form."""
    options = ["--base", files / form / "zeroshot.pt"]
    for t in range(2):
        options += ["--expert", f"t{t}={files / form / f'T{t}.pt'}"]
    return [str(option) for option in (*options, *more)]


def heads(files: Path) -> list[str]:
    return [x for t in range(2) for x in ("--head", f"t{t}={files / f'head_T{t}.pt'}")]


def init(out: Path, *options: str) -> int:
    return cli.main(["init-suite", str(out), *options])


def refused(capsys: pytest.CaptureFixture[str], out: Path, *options: str) -> str:
    assert init(out, *options) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert not (out / "suite.json").exists()
    return captured.err


def test_pickles_with_their_heads_answer(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my suite"
    assert init(out, *words(files, "pickle", *heads(files))) == 0
    printed = capsys.readouterr().out
    assert "t0: openclip-pickle, 4 classes" in printed and "t1: openclip-pickle, 5" in printed
    assert printed.endswith(f"--suite {shlex.quote(str(out))} ...\n")  # can be pasted
    suite = read_suite(out)
    # what the files say of themselves, not what holds for OpenAI's
    assert suite.architecture["quick_gelu"] is False
    assert suite.architecture["logit_scale"] == pytest.approx(SCALE)
    result = load_engine(out).predict(
        Image.linear_gradient("L").convert("RGB"), Settings(head="t1")
    )
    assert {p.label for p in result.predictions["se"]} == {f"class {i}" for i in range(5)}


def test_a_base_without_text_tower_needs_one_or_heads(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, options = tmp_path / "out", words(files, "state")
    told = refused(capsys, out, *options)
    assert "zeroshot.pt has no text tower to make heads with: name a CLIPModel" in told
    wrong = refused(capsys, out, *options, "--text-tower", str(files / "state/zeroshot.pt"))
    assert "has the layout openclip-state-dict; a CLIPModel is wanted" in wrong
    assert init(out, *options, "--text-tower", str(files / "clip/pytorch_model.bin")) == 0
    assert load_engine(out).predict(Image.linear_gradient("L").convert("RGB")).tasks == ("t0", "t1")


def test_a_text_tower_of_another_model_is_refused(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*words(files, "state"), "--text-tower"]
    told = refused(capsys, tmp_path / "out", *options, str(files / "other/pytorch_model.bin"))
    assert "positional_embedding of the text tower is not that of" in told
    assert told.endswith("this text tower is another model's.\n")
    # and when a suite is loaded, whoever wrote it
    assert init(tmp_path / "mine", *options, str(files / "clip/pytorch_model.bin")) == 0
    capsys.readouterr()
    tower = tmp_path / "mine" / "text_tower" / "pytorch_model.bin"
    tower.unlink()
    tower.write_bytes((files / "other" / "pytorch_model.bin").read_bytes())
    image = tmp_path / "image.png"
    Image.linear_gradient("L").save(image)
    assert cli.main(["predict", "--suite", str(tmp_path / "mine"), str(image)]) == 2
    assert "this text tower is another model's" in capsys.readouterr().err


def test_a_head_that_does_not_fit_is_refused(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = write_pickled_head(tmp_path / "head.pt", 3 * torch.eye(4, 16))
    first, second = heads(files)[:2], ["--head", f"t1={head}"]
    told = refused(capsys, tmp_path / "out", *words(files, "state", *first, *second))
    assert "head.pt: rows of weight have lengths 3 to 3, not the logit scale 50" in told
    second = ["--head", f"t1={files / 'state' / 'T1.pt'}"]
    told = refused(capsys, tmp_path / "out", *words(files, "state", *first, *second))
    assert "T1.pt holds a OrderedDict, not a pickled module" in told


def test_names_of_folders_inside_a_suite_are_free(files: Path, tmp_path: Path) -> None:
    base, *rest = (files / "state" / f"{name}.pt" for name in ("zeroshot", "T0", "T1"))
    named = ("base", "text_tower")
    experts = [x for n, f in zip(named, rest, strict=True) for x in ("--expert", f"{n}={f}")]
    tower = ["--text-tower", str(files / "clip/pytorch_model.bin")]
    assert init(tmp_path / "out", "--base", str(base), *experts, *tower) == 0
    raw = json.loads((tmp_path / "out" / "suite.json").read_text(encoding="utf-8"))
    assert [task["weights"] for task in raw["tasks"]] == [
        "experts/base/T0.pt",
        "experts/text_tower/T1.pt",
    ]


def test_what_is_no_file_and_no_folder_is_told(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, out = files / "state", tmp_path / "out"
    one, two = (f"t{t}={state / f'T{t}.pt'}" for t in range(2))

    def say(base: Path, *experts: str, out: Path = out) -> str:
        pairs = [x for expert in experts for x in ("--expert", expert)]
        return refused(capsys, out, "--base", str(base), *pairs, *heads(files))

    assert f"{state} is a folder; name the file in it." in say(state, one, two)
    assert f"{state} is a folder; name the file in it." in say(
        state / "zeroshot.pt", one, f"t1={state}"
    )
    assert "--expert t1 is the same file as t0" in say(
        state / "zeroshot.pt", one, f"t1={state / 'T0.pt'}"
    )
    taken = tmp_path / "taken"
    taken.write_text("", encoding="utf-8")
    for place in (taken, taken / "below"):
        assert f"{place} can't be written: " in say(state / "zeroshot.pt", one, two, out=place)
