"""Every layout as base and as expert of every other one, and as what suite.json says of it: a suite
that answers, or one sentence and nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import gpt2_fakes
import published_fakes as fakes
import pytest
import torch
from pickled_fakes import write_pickled, write_pickled_head
from PIL import Image
from published_suites import BASE, BODIES, BODY, EXPERTS, SCORES, TOWER
from torch.nn.functional import normalize

from semerge import cli
from semerge.backbones import ARCHITECTURES
from semerge.common import UserError
from semerge.engine import load_engine
from semerge.inputs import CleanText
from semerge.loading import load
from semerge.suites import init_suite, read_suite

SCALE = 50.0
CLIP, GPT2 = ARCHITECTURES["open_clip"], ARCHITECTURES["gpt2"]
Write = Callable[[Path, int], Path]  # the base if the number is -1, else this expert


def clip(t: int) -> fakes.Weights:
    return BASE if t < 0 else EXPERTS[t]


def pickled(folder: Path, t: int) -> Path:
    return write_pickled(folder / "m.pt", fakes.image_encoder(clip(t), TOWER, SCALE))


WRITE: dict[str, Write] = {
    "hf-clip": lambda at, t: fakes.write_clip_model(
        at / "pytorch_model.bin", fakes.hf_clip(clip(t), TOWER, SCALE)
    ),
    "openclip-state-dict": lambda at, t: fakes.write_state_dict(
        at / "m.pt", fakes.image_encoder(clip(t), TOWER, SCALE)
    ),
    "openclip-pickle": pickled,
    "fusionbench-clip": lambda at, t: fakes.write_vision_model(at / "model.safetensors", clip(t)),
    "peft-lora": lambda at, t: fakes.write_lora(at / "adapter_model.safetensors", seed=t + 1),
    "gpt2": lambda at, t: gpt2_fakes.write_gpt2(
        at / "model.safetensors", BODY if t < 0 else BODIES[t]
    ),
    "gpt2-classifier": lambda at, t: gpt2_fakes.write_classifier(
        at / "model.safetensors", BODY if t < 0 else BODIES[t], SCORES[max(t, 0)]
    ),
    "gpt2-lora": lambda at, t: gpt2_fakes.write_adapters(
        at / "adapter_model.safetensors", SCORES[max(t, 0)], seed=t + 1
    ),
}
KIND = {
    layout: kind for kind in (CLIP, GPT2) for layout in (*kind.base_layouts, *kind.expert_layouts)
}
INPUTS = {"image": Image.linear_gradient("L").convert("RGB"), "text": CleanText("a word")}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Of each layout a base and two experts; heads for those of images."""
    home = tmp_path_factory.mktemp("files")
    made = {}
    for layout, write in WRITE.items():
        made[layout] = []
        for t in (-1, 0, 1):
            folder = home / layout / f"m{t}"
            folder.mkdir(parents=True)
            made[layout].append(write(folder, t))
            if KIND[layout] is GPT2:
                gpt2_fakes.write_tokenizer(folder)
    made["heads"] = []
    for t in range(2):
        weight = SCALE * normalize(torch.randn(2 + t, 16), dim=-1)
        made["heads"].append(write_pickled_head(home / f"head_{t}.pt", weight))
    return made


@pytest.fixture(scope="module")
def good(files: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A suite of each kind."""
    home = tmp_path_factory.mktemp("good")
    for kind in (CLIP, GPT2):
        words = options(files, kind.base_layouts[0], kind.expert_layouts[0])
        assert cli.main(["init-suite", str(home / kind.kind), *words]) == 0
    return {kind.kind: home / kind.kind for kind in (CLIP, GPT2)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))


def options(files: dict[str, list[Path]], base: str, expert: str) -> list[str]:
    words = ["--base", str(files[base][0])]
    for t in range(2):
        words += ["--expert", f"t{t}={files[expert][1 + t]}"]
        if KIND[base] is CLIP:
            words += ["--head", f"t{t}={files['heads'][t]}"]
    return words


def test_every_layout_is_here() -> None:
    assert set(WRITE) == set(KIND) and set(ARCHITECTURES.values()) == {CLIP, GPT2}


@pytest.mark.parametrize("base", WRITE)
@pytest.mark.parametrize("expert", WRITE)
def test_init_suite_makes_a_suite_or_says_why_not(
    base: str,
    expert: str,
    files: dict[str, list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kind, out = KIND[base], tmp_path / "below" / "out"
    fits = base in kind.base_layouts and expert in kind.expert_layouts
    code = cli.main(["init-suite", str(out), *options(files, base, expert)])
    said = capsys.readouterr()
    assert code == (0 if fits else 2), said.err
    if not fits:
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert not out.parent.exists()
        return
    assert f"t0: {expert}, 2 classes" in said.out and f"base {base}" in said.out
    assert load_engine(out).predict(INPUTS[kind.modality]).tasks == ("t0", "t1")


@pytest.mark.parametrize("stated", WRITE)
@pytest.mark.parametrize("real", WRITE)
def test_what_suite_json_says_of_a_file_is_held_to_it(
    stated: str, real: str, files: dict[str, list[Path]], good: dict[str, Path], tmp_path: Path
) -> None:
    """An expert's file of one layout that is said to be of another."""
    kind = KIND[real]
    shutil.copytree(good[kind.kind], tmp_path / "s")
    file = tmp_path / "s" / "suite.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    place = tmp_path / "s" / "other"
    shutil.copytree(files[real][2].parent, place)
    raw["tasks"][1] |= {"weights": f"other/{files[real][2].name}", "layout": stated}
    file.write_text(json.dumps(raw), encoding="utf-8")
    if stated == real and real in kind.expert_layouts:
        assert load(read_suite(tmp_path / "s")).vectors.count == 2
        return
    with pytest.raises(UserError) as caught:
        load(read_suite(tmp_path / "s"))
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


# ---- what a refused command leaves ---------------------------------------------------------------


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


def wrong_tower(monkeypatch: pytest.MonkeyPatch, words: list[str], tmp_path: Path) -> list[str]:
    """Told when everything is there already."""
    other = fakes.hf_clip(BASE, fakes.text_weights(77), SCALE)
    tower = fakes.write_clip_model(tmp_path / "tower" / "pytorch_model.bin", other)
    without = [
        x for at in range(0, len(words), 2) for x in words[at : at + 2] if words[at] != "--head"
    ]
    return [*without, "--text-tower", str(tower)]


def full_disk(monkeypatch: pytest.MonkeyPatch, words: list[str], tmp_path: Path) -> list[str]:
    def copied(source: Path, copy: Path) -> None:
        whole = source.read_bytes()
        copy.write_bytes(whole[:100])
        if "t1" in copy.parts:
            raise OSError(28, "No space left on device")
        copy.write_bytes(whole)

    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(init_suite.os, "link", refused)
    monkeypatch.setattr(init_suite.shutil, "copyfile", copied)
    return words


def stopped(monkeypatch: pytest.MonkeyPatch, words: list[str], tmp_path: Path) -> list[str]:
    def stop(out: Path) -> None:
        assert (out / "suite.json").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(init_suite, "_validate", stop)
    return words


def no_head(monkeypatch: pytest.MonkeyPatch, words: list[str], tmp_path: Path) -> list[str]:
    """The second head is none, which is told when the first one is there."""
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"x")
    return [*words[:-1], f"t1={bad}"]


ENDS: dict[str, tuple[Callable[..., list[str]], int]] = {
    "another model's tower": (wrong_tower, 2),
    "a full disk": (full_disk, 2),
    "Ctrl+C": (stopped, 130),
    "a damaged head": (no_head, 2),
}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("end", ENDS)
def test_a_refused_command_leaves_what_was_there_and_no_more(
    end: str,
    there: bool,
    files: dict[str, list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So that the next one, with other files of the same names, is not refused for them."""
    out = tmp_path / "below" / "out"
    if there:
        (out / "experts" / "t0").mkdir(parents=True)
        (out / "experts" / "notes.txt").write_text("mine")
        shutil.copy(files["fusionbench-clip"][1], out / "experts" / "t0" / "model.safetensors")
    before = listing(tmp_path / "below")
    words = options(files, "openclip-state-dict", "fusionbench-clip")
    spoil, code = ENDS[end]
    with pytest.MonkeyPatch.context() as patch:
        bad = spoil(patch, words, tmp_path)
        assert cli.main(["init-suite", str(out), *bad]) == code
    assert listing(tmp_path / "below") == before and (out.parent.exists() == there)
    other = options(files, "openclip-pickle", "fusionbench-clip")
    assert cli.main(["init-suite", str(out), *other]) == 0
    read_suite(out)
    assert not there or (out / "experts" / "notes.txt").read_text() == "mine"
