"""Methods that need something beside the weights: what they get, where it is from, where what they
make is found again, and what is said where there is none."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from concurrency import sample_of
from labelled import DATA
from safetensors.torch import save_file
from tiny import SUITES, edit, hash_files, tiny_text_suite, tiny_vision_suite
from torch import Tensor

from semerge import cli
from semerge.common import UserError
from semerge.data.samples import has_source, source
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.methods import METHODS, method
from semerge.methods.samples import Samples, real_tokens, watching
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.task_vectors import TaskVectors


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "variants"


@pytest.fixture(params=SUITES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    DATA[request.param](tmp_path / "data")
    return SUITES[request.param](tmp_path / "suite")


@pytest.fixture
def data(folder: Path) -> Path:
    return folder.with_name("data")


@pytest.fixture
def seen() -> Iterator[list[Samples]]:
    """Three methods, which note what they get: of inputs, of labels, and of second moments."""
    seen: list[Samples] = []

    @method("shares", title="Shares", needs="inputs", scale=1.0)
    def shares(vectors: TaskVectors, samples: Samples, *, samples_used: int = 3) -> TaskVectors:
        """Take a share that depends on the samples."""
        seen.append(samples)
        size = sum(float(b.data.float().mean()) for task in samples.tasks for b in task.first(2))
        return vectors.mapped(lambda deltas: deltas / (1 + abs(size)))

    @method("marked", title="Marked", needs="labels", scale=1.0)
    def marked(vectors: TaskVectors, samples: Samples) -> dict[str, Tensor]:
        """Take the second expert."""
        seen.append(samples)
        return vectors.expert(1)

    @method("curved", title="Curved", needs="moments", scale=1.0)
    def curved(vectors: TaskVectors, moments: list[dict[str, Tensor]]) -> TaskVectors:
        """Weigh each expert by one number."""
        sizes = torch.stack([of["x.rows"].mean() for of in moments])
        return vectors.mapped(lambda deltas: deltas * sizes[:, None])

    yield seen
    for name in ("shares", "marked", "curved"):
        METHODS.remove(name)


def with_samples(folder: Path, data: Path, split: str = "test") -> Engine:
    return load_engine(folder, source=source(read_suite(folder), data, split))


# ---- what a method gets --------------------------------------------------------------------------


def test_it_gets_validation_samples_of_every_task(
    folder: Path, data: Path, seen: list[Samples]
) -> None:
    engine = with_samples(folder, data)
    engine.variant("marked")
    (samples,) = seen
    sets = suite_sets(engine.suite, data, "validation").sets
    assert [task.count for task in samples.tasks] == [len(s) for s in sets] == [4, 4, 4]
    for t, (task, one) in enumerate(zip(samples.tasks, sets, strict=True)):
        assert torch.equal(task.head, engine.models.heads[one.task])
        assert task.labels is not None and sorted(task.labels) == sorted(one.labels)
        for row in range(4):
            batch = task.read([row])
            logits = samples.logits(engine.models.vectors.expert(t), t, batch)
            z = engine.expert_embedding(batch, t)
            torch.testing.assert_close(logits, engine.backbone.logits(z, task.head))
        sizes = [len(batch) for batch in task.first(3, size=2)]
        assert sizes == [2, 1] and len(next(task.first(100))) == 4
    # in no order of the file, but always the same
    again = with_samples(folder, data)
    again.variant("shares")
    assert seen[1].sha256 == samples.sha256 and seen[1].tasks[0].labels is None
    assert torch.equal(seen[1].tasks[0].read([0, 1]).data, samples.tasks[0].read([0, 1]).data)


def test_it_gets_none_of_those_that_are_evaluated(
    folder: Path, data: Path, seen: list[Samples]
) -> None:
    suite = read_suite(folder)
    for evaluated, own in (
        ("test", "validation"),
        ("train", "validation"),
        ("validation", "train"),
    ):
        load_engine(folder, source=source(suite, data, evaluated)).variant("marked")
        counts = [len(s) for s in suite_sets(suite, data, own).sets]
        assert [task.count for task in seen[-1].tasks] == counts


def test_what_linear_maps_see_is_told_by_name(folder: Path, data: Path) -> None:
    engine = with_samples(folder, data)
    samples = source(engine.suite, data)(engine.models, False)
    batch = samples.tasks[0].read(range(3))
    stage = engine.models.vectors.expert(0, 1)
    names = engine.models.vectors.segments[1].matrices
    told: dict[str, Tensor] = {}
    h = engine.backbone.embed(engine.models.vectors.expert(0, 0), batch)
    with watching({name: stage[name] for name in names}, told.__setitem__):
        after = engine.backbone.block(stage, 1, h, batch)
    assert set(told) == set(names)
    # the last of them makes what the block adds at its end
    last = next(name for name in names if "mlp.c_proj" in name)
    w = stage[last] if engine.suite.modality == "text" else stage[last].mT
    assert told[last].shape == (*h.shape[:-1], w.shape[0])
    first = next(name for name in names if "attn" in name and "out" not in name)
    ln = {k.rpartition(".")[2]: x for k, x in stage.items() if "ln_1." in k}
    expected = torch.nn.functional.layer_norm(h, h.shape[-1:], ln["weight"], ln["bias"], 1e-5)
    torch.testing.assert_close(told[first], expected)
    assert after.shape == h.shape
    tokens = real_tokens(told[first], batch)
    count = batch.data.shape[0] * h.shape[1] if batch.lengths is None else int(batch.lengths.sum())
    assert tokens.shape == (count, h.shape[-1])
    engine.backbone.block(stage, 1, h * 2, batch)  # nobody watches any more
    torch.testing.assert_close(told[first], expected)


def test_there_are_four_needs() -> None:
    with pytest.raises(ValueError, match="is no need"):
        method("other", title="Other", needs="unlabelled")  # type: ignore[arg-type]


# ---- made once -----------------------------------------------------------------------------------


def test_it_is_made_once_of_the_same_samples_and_found_without_them(
    folder: Path, data: Path, seen: list[Samples], kept: Path
) -> None:
    made = with_samples(folder, data).merge("shares")
    for engine in (with_samples(folder, data), load_engine(folder, make_dear=False)):
        found = engine.merge("shares")
        assert all(torch.equal(x, found[name]) for name, x in made.items())
        assert engine.models.is_kept("shares") and engine.verify_weights()
    assert len(seen) == len(list(kept.iterdir())) == 1
    with_samples(folder, data, "validation").variant("shares")  # of other samples
    with_samples(folder, data).variant("shares:samples_used=2")  # another option
    assert len(seen) == len(list(kept.iterdir())) == 3


def test_without_samples_the_last_used_is_found(
    folder: Path, data: Path, seen: list[Samples], kept: Path
) -> None:
    one = with_samples(folder, data).merge("shares")
    files = set(kept.iterdir())
    other = with_samples(folder, data, "validation").merge("shares")
    name = "ln_f.weight" if "ln_f.weight" in one else "ln_post.weight"
    assert not torch.equal(one[name], other[name])
    for expected, newer in ((one, files), (other, set(kept.iterdir()) - files)):
        for file in kept.iterdir():
            os.utime(file, (200 if file in newer else 100,) * 2)
        found = load_engine(folder).merge("shares")
        assert all(torch.equal(x, found[name]) for name, x in expected.items())


# ---- what is refused -----------------------------------------------------------------------------


def test_who_has_no_samples_is_told_the_command_that_makes_it(
    folder: Path, data: Path, seen: list[Samples], capsys: pytest.CaptureFixture[str]
) -> None:
    engine = load_engine(folder)
    for spec, kind in (("shares:samples_used=2", "samples"), ("marked", "labelled samples")):
        assert not engine.models.is_kept(spec)
        with pytest.raises(UserError) as caught:
            engine.predict(sample_of(engine, 0), Settings(method=spec, probe="experts"))
        said = re.fullmatch(
            rf"\w+( \(.+\))? needs {kind} of each task and is not made yet; "
            r"`python -m semerge (.+) --data DIR` makes it once\.",
            str(caught.value),
        )
        assert said and cli.main([*shlex.split(said[2]), "--data", str(data)]) == 0
        assert "is made, and kept for later" in capsys.readouterr().out
        assert engine.predict(sample_of(engine, 0), Settings(method=spec, probe="experts"))
    assert len(seen) == 2


def test_merge_and_evaluate_make_it_of_their_data(
    folder: Path,
    data: Path,
    seen: list[Samples],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--suite", str(folder), "--data", str(data)]
    out = tmp_path / "out.safetensors"
    assert cli.main(["merge", *words, "--method", "shares", "--out", str(out)]) == 0
    assert out.is_file() and len(seen) == 1
    methods = ["--methods", "task_arithmetic,shares,marked"]
    capsys.readouterr()
    assert cli.main(["evaluate", *words, *methods, "--limit", "2", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)["table"]
    assert [row["method"] for row in rows] == ["task_arithmetic", "shares", "marked"]
    assert len(seen) == 2  # shares was made of the same
    assert cli.main(["evaluate", *words, *methods, "--limit", "2", "--split", "validation"]) == 0
    assert [task.count for task in seen[-1].tasks] == [36, 36, 36]


def test_data_without_a_split_to_spare_makes_none(
    folder: Path, data: Path, seen: list[Samples], capsys: pytest.CaptureFixture[str]
) -> None:
    suite = read_suite(folder)
    assert has_source(suite, data) and not has_source(suite, "examples")
    next(iter((data / "task1").glob("train.*"))).unlink()
    assert not has_source(suite, data)
    words = ["evaluate", "--suite", str(folder), "--data", str(data), "--methods", "shares"]
    assert cli.main(words) == 2
    assert "needs samples of each task and is not made yet" in capsys.readouterr().err
    assert not seen


def test_data_that_lacks_a_task_is_refused(
    folder: Path, data: Path, seen: list[Samples], capsys: pytest.CaptureFixture[str], kept: Path
) -> None:
    (data / "task1").rename(data.with_name("elsewhere"))
    words = ["merge", "--suite", str(folder), "--data", str(data), "--method"]
    assert cli.main([*words, "shares"]) == 2
    sentence = f"{data} holds no task1, and a method that is made from samples needs some of every"
    assert capsys.readouterr().err == f"semerge: {sentence} task.\n"
    assert cli.main([*words, "ties"]) == 2
    said = "TIES-Merging is made from no samples; leave --data out."
    assert capsys.readouterr().err == f"semerge: {said}\n"
    assert not seen and not kept.exists()


def test_what_is_stopped_is_not_kept(folder: Path, data: Path, kept: Path) -> None:
    @method("stopped", title="Stopped", needs="inputs")
    def stopped(vectors: TaskVectors, samples: Samples) -> TaskVectors:
        """Be stopped by Ctrl+C."""
        raise KeyboardInterrupt

    try:
        words = ["--suite", str(folder), "--data", str(data)]
        assert cli.main(["merge", *words, "--method", "stopped"]) == 130
        assert cli.main(["evaluate", *words, "--methods", "stopped"]) == 130
        assert not kept.exists()
    finally:
        METHODS.remove("stopped")


# ---- second moments ------------------------------------------------------------------------------


def with_moments(folder: Path) -> Path:
    (folder / "moments").mkdir()
    for t in range(3):
        tensors = {"x.rows": torch.full((2,), 1.0 + t), "x.columns": torch.ones(3)}
        save_file(tensors, folder / "moments" / f"task{t}.safetensors")

    def name(raw: dict[str, list[dict[str, str]]]) -> None:
        for task in raw["tasks"]:
            task["moments"] = f"moments/{task['name']}.safetensors"

    edit(folder, name)
    hash_files(folder)
    return folder


def test_second_moments_come_with_the_suite(seen: list[Samples], tmp_path: Path) -> None:
    engine = load_engine(with_moments(tiny_vision_suite(tmp_path / "suite")), make_dear=False)
    merged, vectors = engine.merge("curved"), engine.models.vectors
    expected = vectors.merge(torch.tensor([1.0, 2.0, 3.0]))
    for name, x in expected.items():
        torch.testing.assert_close(merged[name], x, atol=1e-5, rtol=1e-5)


def test_a_suite_without_second_moments_says_so(seen: list[Samples], tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^Suite tiny-text holds no second moments of the training"
    ):
        load_engine(tiny_text_suite(tmp_path / "suite")).variant("curved")
    folder = with_moments(tiny_text_suite(tmp_path / "other"))
    engine, file = load_engine(folder), folder / "moments" / "task1.safetensors"
    save_file({"x.rows": torch.zeros(2)}, file)
    with pytest.raises(UserError, match=r"is not the file that suite\.json describes"):
        engine.variant("curved")
    file.unlink()
    with pytest.raises(UserError, match=r"task1.safetensors is missing\.$"):
        engine.variant("curved")
    edit(
        folder,
        lambda raw: raw.update(
            sha256={k: x for k, x in raw["sha256"].items() if "moments" not in k}
        ),
    )
    with pytest.raises(UserError, match=r"sha256\.moments/task0\.safetensors"):
        read_suite(folder)
