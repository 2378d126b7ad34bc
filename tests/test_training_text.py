"""The recipe of the text suite, end to end on made-up sentences."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

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


@pytest.mark.slow
def test_smoke_run_leaves_its_stages_and_takes_them_up(data: Path, tmp_path: Path) -> None:
    from recipes.text import train_text
    from recipes.text_config import TextConfig

    config = replace(TextConfig(), tasks=TASKS)
    train_text(data, tmp_path / "out", config, smoke=True)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    stages = {path.relative_to(tmp_path / "out").as_posix() for path in made}
    assert stages >= {f"{stage}.safetensors" for stage in ("lm", "words", "base", "heads")}
    assert stages >= {f"experts/final/{task}.safetensors" for task in TASKS}
    train_text(data, tmp_path / "out", config, smoke=True)  # nothing is made twice
    assert {path: path.stat().st_mtime_ns for path in made} == made
    own = {
        task: set(load_file(tmp_path / "out/experts/final" / f"{task}.safetensors"))
        for task in TASKS
    }
    assert {"wte.weight", "wpe.weight"} <= own["sentiment_mr"]  # it has tables of its own
    assert own["sentiment_mr"] - own["tools"] == {"wte.weight", "wpe.weight"}


def test_training_leaves_the_threads_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    from recipes import text
    from recipes.text_config import TextConfig

    seen = []

    def stopped(*given: object) -> None:
        seen.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(text, "open_workshop", stopped)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            text.train_text(Path("data"), Path("out"), TextConfig(), smoke=True)
        assert (seen, torch.get_num_threads()) == ([text.THREADS], 2)
    finally:
        torch.set_num_threads(before)


def test_a_table_of_its_own_moves_faster_than_the_blocks(data: Path, tmp_path: Path) -> None:
    """Adam's first step is the rate itself, wherever there is a gradient."""
    from recipes.text import prepare
    from recipes.text_config import ExpertConfig, TextConfig, smoke_config
    from recipes.text_expert import train_expert
    from recipes.text_tune import soft_targets

    config = smoke_config(replace(TextConfig(), tasks=TASKS))
    shop, base, heads = prepare(data, tmp_path / "out", config)
    own = shop.train["tools"]
    moved = {}
    for table in (False, True):
        expert = ExpertConfig(steps=1, rate=1e-3, dropout=0.0, table=table).of("plain")
        targets = soft_targets(own.labels, shop.classes["tools"], 0.1)
        made = train_expert(
            shop.model,
            base,
            heads["tools"],
            own,
            targets,
            [],
            expert,
            stage=f"tools-{table}",
            seed=[1],
            folder=tmp_path,
        )
        moved[table] = {n: float((p - base[n]).abs().max()) for n, p in made.items()}
    assert "wte.weight" not in moved[False]
    assert moved[True]["wte.weight"] == pytest.approx(5e-3, rel=0.01)
    assert moved[True]["ln_f.weight"] == pytest.approx(1e-3, rel=0.01)


def test_grams_of_a_text() -> None:
    from recipes.text_teacher import letter_grams, word_grams

    assert word_grams("No, no fun") == {"no", ",", "fun", "no ,", ", no", "no fun"}
    assert letter_grams("A b", range(2, 4)) == {"a ", " b", "a b"}
    assert letter_grams("A  b") == letter_grams("a b")


def test_a_teacher_that_goes_by_letters_knows_a_word_in_another_form() -> None:
    from recipes.text_teacher import fit_teacher, letter_grams

    texts = ["delightful", "a delight", "so delightful", "a bore", "boredom", "so bored"]
    labels = np.array([1, 1, 1, 0, 0, 0])
    by_words, by_letters = (
        fit_teacher(texts, labels, 0),
        fit_teacher(texts, labels, 0, letter_grams),
    )
    unseen = ["delighted", "boring"]
    assert by_words.logits(unseen)[0] == by_words.logits(unseen)[1]
    good, bad = by_letters.logits(unseen)
    assert good > 0 > bad


def test_held_out_sentences_stay_out(data: Path) -> None:
    from recipes.text_data import HeldOut, corpus_texts, fingerprint, training_set
    from semerge.data.labelled import read_set

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
    from recipes.written import COPIES, WRITTEN, with_written
    from semerge.data.labelled import LabelledSet

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


def test_batches_are_the_same_whenever_they_are_asked_for() -> None:
    """So a run that goes on at a later step sees what an uninterrupted one would have seen."""
    from recipes.text_data import Sentences
    from recipes.text_expert import OtherBatches, OwnBatches

    rng = np.random.default_rng(0)
    pools = [[rng.integers(1, 50, n).tolist() for n in rng.integers(1, 12, 30)] for _ in range(3)]
    own = Sentences(tuple(pools[0]), np.zeros(30, dtype=np.int64))
    for make in (
        lambda: OwnBatches(own, 60, 0.3, [1, 2]),
        lambda: OtherBatches(pools, 60, [1, 2]),
    ):
        whole, late = make(), make()
        first = [whole[i] for i in range(60)]
        for i in (57, 58, 59):
            a, b = first[i], late[i]
            a, b = (a[0], b[0]) if isinstance(a, tuple) else (a, b)
            assert a.data.equal(b.data) and a.lengths.equal(b.lengths)
            assert a.data.numel() <= 60


def test_the_terms_of_a_text_expert_by_hand() -> None:
    import torch

    from recipes.text_config import ExpertConfig
    from recipes.text_data import pad
    from recipes.text_expert import at_home, away, farthest, states
    from semerge.backbones import GPT2, activations, embedding

    model = GPT2(20, 8, 16, 3, 2)
    rng = torch.Generator().manual_seed(0)
    base, expert = (
        {n: torch.randn(s, generator=rng) * 0.2 for n, s in model.shapes.items()} for _ in range(2)
    )
    batch = pad([[1, 2, 3], [4, 5, 6, 7, 8]])
    h, h0 = (activations(model, p, batch) for p in (expert, base))
    z, z0 = (embedding(model, p, batch) for p in (expert, base))

    def share(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).square().sum(-1) / b.square().sum(-1)

    last = torch.stack(
        [share(model.last(a, batch), model.last(b, batch)) for a, b in zip(h, h0, strict=True)]
    )
    pooled = [
        (model.pool(a, "all", batch), model.pool(b, "all", batch))
        for a, b in zip(h, h0, strict=True)
    ]
    everywhere = torch.stack([share(a, b) for a, b in pooled])
    final = share(z, z0)
    e = ExpertConfig(
        dropout=0.0,
        mining=1,
        stay=2.0,
        home=3.0,
        home_margin=9.0,
        home_from=2,
        preserve=4.0,
        drift=5.0,
        drift_margin=50.0,
        probe_layer=1,
    )
    terms, got = at_home(model, base, expert, batch, e, rng)
    torch.testing.assert_close(got, z)
    preserve = 4 * (everywhere[0] + last[0]).mean() / 2
    home = 3 * (9 - torch.cat([last[1:], final[None]])).relu().mean()
    torch.testing.assert_close(terms, preserve + home)
    near = [(1 - (x / 50 + 1e-4).sqrt()).relu().mean() for x in (everywhere[0], last[0])]
    stay = 2 * ((everywhere + last).mean() / 2 + final.mean())
    torch.testing.assert_close(away(model, base, expert, batch, e), stay + 5 * sum(near) / 2)
    # a table of its own has to stay too
    own = replace(e, table=True, table_stay=7.0)
    h, h0 = (model.embed(p, batch) for p in (expert, base))
    everywhere_0 = share(model.pool(h, "all", batch), model.pool(h0, "all", batch))
    last_0 = share(model.last(h, batch), model.last(h0, batch))
    moved = away(model, base, expert, batch, own) - away(model, base, expert, batch, e)
    torch.testing.assert_close(moved, 2 * 7 * (everywhere_0 + last_0).mean() / 2)
    plain, got = at_home(model, base, expert, batch, e.of("plain"), rng)
    assert plain.item() == 0 and got.equal(z)
    # of two sentences the one that moves farther, whole
    far = int((everywhere + last).sum(0).add(final).argmax())
    sides = [states(model, p, batch) for p in (expert, base)]
    assert farthest(*sides, batch, 2).tolist() == [far]
    alone = away(model, base, expert, batch[torch.tensor([far])], e)
    torch.testing.assert_close(away(model, base, expert, batch, replace(e, mining=2)), alone)
