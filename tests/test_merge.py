"""The command merge: a checkpoint in the base's own layout, which this project, transformers and
open_clip open; or one sentence, and nothing is written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import published_fakes as fakes
import pytest
import torch
from concurrency import sample_of
from pickled_fakes import write_pickled
from published_suites import BASE, TOWER, clip_suite, gpt2_suite
from safetensors import safe_open
from safetensors.torch import load_file
from test_fake_suite import CLIP, GPT2, loaded
from tiny import edit, hash_files, tiny_text_suite, tiny_vision_suite
from torch import Tensor

from recipes.clip_model import build
from recipes.fake_suite import write_fake_suite
from semerge import cli
from semerge.backbones import Batch
from semerge.checkpoints import saving
from semerge.engine import Engine, load_engine, unpack
from semerge.suites import read_suite

PICKLED = fakes.image_encoder(BASE, TOWER)
OPEN_CLIP = {f"visual.{name}": x for name, x in BASE.items()} | TOWER
OPEN_CLIP |= {"logit_scale": torch.tensor(50.0).log()}


def with_base(write: Callable[[Path, fakes.Weights], object], state: fakes.Weights, layout: str):
    """A suite of CLIP experts whose base is of an open_clip layout."""

    def make(folder: Path) -> Path:
        clip_suite(folder, "fusionbench-clip")
        write(folder / "base.pt", state)
        shutil.copy(folder / "clip" / "pytorch_model.bin", folder / "tower.bin")
        tower = {"weights": "tower.bin", "layout": "hf-clip"}
        edit(folder, lambda raw: raw.update(text_tower=tower))
        edit(folder, lambda raw: raw["base"].update(weights="base.pt", layout=layout))
        return folder

    return make


SUITES: dict[str, Callable[[Path], Path]] = {
    "own layout, images": tiny_vision_suite,
    "own layout, text": tiny_text_suite,
    "hf-clip": lambda folder: clip_suite(folder, "openclip-state-dict"),
    "openclip-state-dict": with_base(fakes.write_state_dict, OPEN_CLIP, "openclip-state-dict"),
    "openclip-pickle": with_base(
        write_pickled, fakes.image_encoder(BASE, TOWER), "openclip-pickle"
    ),
    "gpt2": gpt2_suite,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))


def merge(suite: Path, out: Path, *options: str) -> None:
    assert cli.main(["merge", "--suite", str(suite), "--out", str(out), *options]) == 0


def upon(folder: Path, merged: Path) -> Engine:
    """The engine of the same suite over a merge of it."""
    other = folder.with_name("upon")
    shutil.copytree(folder, other)
    shutil.copy(merged, other / "merged.safetensors")
    layouts = {"openclip-pickle": "openclip-state-dict"}  # the same names, in a plain file

    def change(raw: dict[str, dict[str, str]]) -> None:
        base = raw["base"]
        base["weights"] = "merged.safetensors"
        if "layout" in base:
            base["layout"] = layouts.get(base["layout"], base["layout"])

    edit(other, change)
    if "layout" not in json.loads((other / "suite.json").read_text(encoding="utf-8"))["base"]:
        hash_files(other)
    return load_engine(other)


def batch_of(engine: Engine) -> Batch:
    if engine.suite.modality == "image":
        side = engine.suite.side
        return Batch(torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0)))
    content = unpack(sample_of(engine, 0), engine.suite)[0]
    return engine.models.place(engine.backbone.preprocess(*content))


@pytest.mark.parametrize(
    ("kind", "method"),
    [*((kind, "ties:density=0.3") for kind in SUITES), ("hf-clip", "iso_c"), ("gpt2", "average")],
)
def test_what_is_written_answers_as_the_engines_static_merge_to_the_last_bit(
    kind: str, method: str, tmp_path: Path
) -> None:
    folder, out = SUITES[kind](tmp_path / "suite"), tmp_path / "out.safetensors"
    name, _, option = method.partition(":")
    flags = [f"--{option.replace('=', ' ')}"] if option else []
    merge(folder, out, "--method", name, *" ".join(flags).split())
    engine, other = load_engine(folder), upon(folder, out)
    static = engine.models.copy_of(engine.models.probed(engine.variant(method).scale, method))
    read = other.models.copy_of(other.models.base)
    assert static.keys() == read.keys()
    assert all(torch.equal(static[key], read[key]) for key in static)
    batch = batch_of(engine)
    z = engine.static_embedding(batch, method=method)
    assert not torch.equal(z, engine.base_embedding(batch))
    for task in engine.suite.task_names:
        logits = other.logits(other.base_embedding(batch), task)
        assert torch.equal(logits, engine.logits(z, task))


@pytest.mark.parametrize("kind", SUITES)
def test_coefficients_are_of_the_methods_task_vectors(kind: str, tmp_path: Path) -> None:
    folder, out = SUITES[kind](tmp_path / "suite"), tmp_path / "out.safetensors"
    engine = load_engine(folder)
    own = (-0.2, 0.7, 0.1)[: len(engine.suite.tasks)]
    merge(folder, out, "--method", "ties", f"--coefficients={','.join(map(str, own))}")
    other, head = upon(folder, out), engine.suite.task_names[0]
    vectors = engine.variant("ties").vectors
    for name, x in vectors.merge(torch.tensor(own)).items():
        assert torch.equal(other.models.copy_of(other.models.base)[name], x)
    sample = sample_of(engine, 0)
    found = other.answer_with(sample, (0.0,) * len(own), head)
    expected = engine.answer_with(sample, own, head, "ties")
    assert [p.label for p in found] == [p.label for p in expected]
    assert [p.score for p in found] == pytest.approx([p.score for p in expected], rel=1e-4)
    about = safe_open(out, "pt").metadata()
    assert (about["method"], about["coefficients"]) == ("ties", ", ".join(map(str, own)))
    assert about["weights_sha256"] == engine.weights_sha256()


@pytest.mark.parametrize("kind", SUITES)
def test_names_shapes_and_what_is_no_parameter_are_the_bases(kind: str, tmp_path: Path) -> None:
    folder, out = SUITES[kind](tmp_path / "suite"), tmp_path / "out.safetensors"
    merge(folder, out)
    suite = read_suite(folder)
    found = load_file(out)
    if kind == "openclip-pickle":
        base = {name.removeprefix("model."): x for name, x in PICKLED.items()}
    elif suite.base_weights.endswith(".safetensors"):
        base = load_file(suite.path(suite.base_weights))
    else:
        base = torch.load(suite.path(suite.base_weights))
    assert {k: x.shape for k, x in found.items()} == {k: x.shape for k, x in base.items()}
    assert {x.dtype for x in found.values() if x.is_floating_point()} == {torch.float32}
    image = ("visual", "vision_model") if kind in list(SUITES)[2:5] else ("",)
    for key, x in base.items():
        if "position_ids" in key or ".attn.bias" in key or not key.startswith(image):
            assert torch.equal(found[key], x), key
    if kind == "gpt2":
        assert torch.equal(found["lm_head.weight"], found["wte.weight"])
        assert not torch.equal(found["lm_head.weight"], base["lm_head.weight"])


def test_a_head_of_its_own_stays(tmp_path: Path) -> None:
    """Where the base's lm_head is not its embedding once more."""
    folder, out = gpt2_suite(tmp_path / "suite"), tmp_path / "out.safetensors"
    file = folder / "gpt2" / "model.safetensors"
    head = torch.randn_like(load_file(file)["lm_head.weight"])
    fakes.save(load_file(file) | {"lm_head.weight": head}, file)
    merge(folder, out)
    assert torch.equal(load_file(out)["lm_head.weight"], head)


# ---- opened elsewhere ----------------------------------------------------------------------------


def shallow(folder: Path) -> Engine:
    """The engine of a fake suite of two layers."""
    edit(folder, lambda raw: raw["defaults"].update(layer=1))
    return load_engine(folder)


def opened(folder: Path, base: Path, method: str) -> Path:
    """A model's folder with a merge of the suite in place of the base."""
    home = folder.with_name("model")
    home.mkdir()
    if base.with_name("config.json").is_file():
        shutil.copy(base.with_name("config.json"), home)
    merge(folder, home / "model.safetensors", "--method", method)
    return home


def test_transformers_opens_a_clip(tmp_path: Path) -> None:
    from transformers import CLIPModel

    folder = write_fake_suite("clip-vit-b-32", tmp_path / "suite", architecture=CLIP)
    engine = shallow(folder)
    base = engine.suite.path(engine.suite.base_weights)
    model = loaded(CLIPModel, opened(folder, base, "ties")).eval()
    batch = batch_of(engine)
    with torch.inference_mode():
        features = model.get_image_features(batch.data).pooler_output
    expected = engine.static_embedding(batch, method="ties")
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(features, engine.base_embedding(batch), rtol=1e-4, atol=1e-5)
    state, own = model.state_dict(), torch.load(base)
    text = [key for key in own if key.startswith("text_") and "position_ids" not in key]
    assert len(text) == 21 and all(torch.equal(state[key], own[key]) for key in text)


def test_transformers_opens_a_gpt2(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2Model

    made = GPT2 | {"pad_id": 599, "max_length": 32}
    folder = write_fake_suite("gpt2-glue", tmp_path / "suite", architecture=made)
    engine = shallow(folder)
    base = engine.suite.path(engine.suite.base_weights)
    home = opened(folder, base, "ties")
    GPT2Config(**GPT2).save_pretrained(home)  # it is of the hub, beside no fake base
    model, info = GPT2Model.from_pretrained(home, output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"]
    assert all(key.endswith("attn.bias") for key in info["unexpected_keys"])
    state, merged = model.state_dict(), engine.merge("ties")
    assert all(torch.equal(state[name], x) for name, x in merged.items())
    batch = batch_of(engine)
    with torch.inference_mode():
        hidden = model.eval()(batch.data).last_hidden_state[:, -1]
    expected = engine.static_embedding(batch, method="ties")
    torch.testing.assert_close(hidden, expected, rtol=1e-4, atol=1e-5)


def test_open_clip_opens_a_clip_with_its_text_tower(tmp_path: Path) -> None:
    folder = SUITES["openclip-state-dict"](tmp_path / "suite")
    engine, out = load_engine(folder), tmp_path / "out.safetensors"
    merge(folder, out, "--method", "ties")
    config = engine.suite.architecture
    model = build({key: config[key] for key in ("embed_dim", "vision_cfg", "text_cfg")})
    keys = model.load_state_dict(load_file(out))
    assert not keys.missing_keys and not keys.unexpected_keys
    state = model.state_dict()
    assert all(torch.equal(state[f"visual.{n}"], x) for n, x in engine.merge("ties").items())
    assert all(torch.equal(state[name], x) for name, x in TOWER.items())


def test_open_clip_opens_a_bundled_suites_image_tower(tmp_path: Path) -> None:
    engine, out = load_engine("mini-vision"), tmp_path / "out.safetensors"
    assert cli.main(["merge", "--suite", "mini-vision", "--out", str(out)]) == 0
    config = engine.suite.architecture
    parts = {key: config[key] for key in ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu")}
    tower = build({key: x for key, x in parts.items() if key in config}).visual.eval()
    tower.load_state_dict(load_file(out))
    batch = batch_of(engine)
    with torch.inference_mode():
        found = tower(batch.data)
    torch.testing.assert_close(found, engine.static_embedding(batch), rtol=1e-4, atol=1e-5)


# ---- refused -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text_suite(tmp_path_factory.mktemp("tiny") / "suite")


REFUSED = {
    "--method none": "method 'none' is unknown; the nearest of ",
    "--method average --density 0.3": "method average has no option 'density'; it has no options.",
    "--method ties --density 3": "density must be a number from 0 to 1, not '3'.",
    "--coefficients .3,.5": "Tiny needs 3 coefficients, not 2.",
    "--coefficients .3,x,.5": "coefficient of Task 1 must be a number from -10 to 10, not 'x'.",
    "--coefficients .3,nan,.5": "coefficient of Task 1 must be a number from -10 to 10, not nan.",
    "--coefficients 11,0,0": "coefficient of Task 0 must be a number from -10 to 10, not 11.0.",
    "--out HERE/no/out.safetensors": "HERE/no is no folder, so nothing can be written there.",
    "--out HERE/out.bin": "HERE/out.bin must end in .safetensors.",
    "--out HERE/folder.safetensors": "HERE/folder.safetensors is a folder; name the file in it.",
    "--out HERE/there.safetensors": "HERE/there.safetensors is there already; --force writes over",
    f"--out HERE/{'x' * 300}.safetensors": "can't be written: File name too long.",
    "--force --out SUITE/base.safetensors": "SUITE/base.safetensors is a file of the suite itself.",
}


@pytest.mark.parametrize("words", REFUSED)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    words: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "there.safetensors").write_text("mine")
    before = listing(tmp_path) | listing(tiny)
    options = words.replace("HERE", str(tmp_path)).replace("SUITE", str(tiny)).split()
    out = ["--out", str(tmp_path / "out.safetensors")]
    assert cli.main(["merge", "--suite", str(tiny), *out, *options]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    sentence = REFUSED[words].replace("HERE", str(tmp_path)).replace("SUITE", str(tiny))
    assert sentence in said.err
    assert listing(tmp_path) | listing(tiny) == before


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


def test_a_file_that_is_there_is_replaced_where_that_is_asked_for(
    tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    merge(tiny, out)
    first = out.read_bytes()
    merge(tiny, out, "--method", "average", "--force")
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    assert out.read_bytes() != first and safe_open(out, "pt").metadata()["method"] == "average"
    merge(tiny, out, "--force")
    assert out.read_bytes() == first  # the same merge is the same file


def test_a_file_that_comes_meanwhile_stays(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, made = tmp_path / "out.safetensors", Engine.merge

    def late(self: Engine, *asked: object) -> dict[str, Tensor]:
        out.write_text("mine")
        return made(self, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "merge", late)
    assert cli.main(["merge", "--suite", str(tiny), "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err and out.read_text() == "mine"


@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_takes_no_more_is_told_and_leaves_what_was_there(
    there: bool, tiny: Path, tmp_path: Path
) -> None:
    """The system's own limit, below what is to be written."""
    out = tmp_path / "out.safetensors"
    if there:
        out.write_text("mine")
    code = (
        "import resource, sys; from semerge import cli; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); sys.exit(cli.main(sys.argv[1:]))"
    )
    words = ["merge", "--suite", str(tiny), "--out", str(out), "--force"]
    command = [sys.executable, "-c", code, *words]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, ""), run.stderr
    assert run.stderr == f"semerge: {out} can't be written: File too large.\n"
    assert [p.name for p in tmp_path.iterdir()] == [out.name] * there
    assert not there or out.read_text() == "mine"


def test_what_is_stopped_leaves_nothing(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(tensors: object, file: Path, about: object) -> None:
        file.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(saving, "save_file", stop)
    out = tmp_path / "out.safetensors"
    assert cli.main(["merge", "--suite", str(tiny), "--out", str(out)]) == 130
    assert not list(tmp_path.iterdir())


def test_a_scale_is_one_coefficient_for_all_tasks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_text_suite(tmp_path / "suite")
    merge(folder, tmp_path / "a.safetensors", "--method", "ties", "--scale", "0.7")
    merge(folder, tmp_path / "b.safetensors", "--method", "ties", "--coefficients", "0.7,0.7,0.7")
    a, b = (load_file(tmp_path / f"{name}.safetensors") for name in "ab")
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    vectors = load_engine(folder).variant("ties").vectors
    expected = vectors.merge(torch.full((3,), 0.7))
    assert all(torch.allclose(a[name].float(), expected[name], atol=2e-3) for name in a)
    start = ["merge", "--suite", str(folder), "--method"]
    out = ["--out", str(tmp_path / "c.safetensors")]
    for options, why in (
        (["ties", "--scale", "x", *out], "scale must be a number from -10 to 10, not 'x'."),
        (["ties", "--scale", "11", *out], "scale must be a number from -10 to 10"),
        (["ties", "--scale", "1", "--coefficients", "1,1,1", *out], "leave --coefficients out"),
        (["ties", "--scale", "1"], "name a file by --out"),
    ):
        assert cli.main([*start, *options]) == 2
        assert why in capsys.readouterr().err
    assert not (tmp_path / "c.safetensors").exists()
