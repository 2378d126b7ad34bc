"""Makes the text suite: tokenizer, language model, words, brief multi-task base, experts.

Stages, each kept on disk in the run's folder and taken up where it ended:

1. `tokenizer.json`, `lm.safetensors`: byte-level BPE and language model on train text alone.
2. `words.safetensors`: the token table learns each task's words, as bags of words.
3. `base.safetensors`, `heads.safetensors`: a brief look at every task gives base and heads.
4. `experts/<variant>/<task>.safetensors`: blocks and final norm of each expert, heads frozen, and
   the tables where an expert has its own; `moments/` beside them holds the second moments. Where
   an expert is the mean of several runs, they are in `run-1/` and so on.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recipes.loop import THREADS, moments_file, seconds, threads
from recipes.moments import averaged
from recipes.text_config import ExpertConfig, TextConfig, smoke_config
from recipes.text_data import HeldOut, Sentences, corpus_texts, windows
from recipes.text_expert import train_expert
from recipes.text_lessons import BAGS, lessons
from recipes.text_lm import train_language_model
from recipes.text_measure import accuracies, accuracy, shown
from recipes.text_tune import train_base
from recipes.text_vocabulary import grow_table
from recipes.text_words import train_sums, train_words
from recipes.text_workshop import Workshop, open_workshop, running_text
from semerge.task_vectors import TaskVectors

Params = dict[str, Tensor]


def language_model(shop: Workshop) -> None:
    """Stage 1. The pre-trained body of a workshop with the small vocabulary, kept as a file."""
    corpus = corpus_texts(shop.data, HeldOut(shop.data, shop.config.tasks))
    running = windows(shop.model.tokenizer, corpus, shop.config.positions)
    sentences = [s for t in shop.train.values() for s in t.ids] + list(shop.extra)
    checks = [s for t in shop.validation.values() for s in t.ids[:64]]
    tokens = sum(map(len, sentences))
    shop.log(f"lm: {tokens} tokens of task text, {len(running)} windows of running text")
    params, seconds = train_language_model(
        shop.model, sentences, running, checks, shop.config, shop.folder, shop.log
    )
    save_file(params, shop.folder / "lm.safetensors", told(seconds))


def base_and_heads(shop: Workshop, lm: Params) -> tuple[Params, Params]:
    """Stages 2 and 3. The base after its brief look at every task, and the heads, in fp16."""
    base_file, heads_file = shop.folder / "base.safetensors", shop.folder / "heads.safetensors"
    if not base_file.exists():
        checks = shop.checks(limit=200)

        def check(params: Params, heads: Params) -> str:
            return shown(accuracies(shop.model, params, heads, checks))

        tasks = {t: lessons(shop, t, shop.config.smoothing) for t in shop.config.tasks}
        words_file = shop.folder / "words.safetensors"
        if not words_file.exists():
            started = time.monotonic()
            table, word_heads = bags(shop, lm["wte.weight"], tasks, checks)
            sentences = [s for t, _ in tasks.values() for s in t.ids] + list(shop.extra)
            start = lm | {"wte.weight": table}
            summed = train_sums(
                shop.model,
                start,
                torch.cat(list(word_heads.values())),
                sentences,
                shop.config,
                shop.log,
            )
            save_file(summed, words_file, told(time.monotonic() - started))
        lm = load_file(words_file)
        started = time.monotonic()
        base, heads = train_base(shop.model, lm, tasks, shop.config, shop.log, check)
        save_file(half(heads), heads_file)
        save_file(half(base), base_file, told(time.monotonic() - started))
    base = single(load_file(base_file))
    if not (shop.folder / BAGS).exists():  # base and heads may have come alone, from elsewhere
        tasks = {t: lessons(shop, t, shop.config.smoothing) for t in shop.config.tasks}
        bags(shop, base["wte.weight"], tasks, shop.checks(limit=200))
    return base, single(load_file(heads_file))


def bags(
    shop: Workshop,
    table: Tensor,
    tasks: Mapping[str, tuple[Sentences, Tensor]],
    checks: Mapping[str, Sentences],
) -> tuple[Tensor, Params]:
    """A table (V, d) that knows each task's words, and the heads of its bags of words, kept as a
    file: experts learn from what they say."""
    table, heads = train_words(table, tasks, checks, shop.config, shop.log)
    save_file(heads | {"table": table}, shop.folder / BAGS)
    return table, heads


@threads(THREADS)
def make_experts(
    shop: Workshop,
    base: Params,
    heads: Params,
    variant: str,
    expert: ExpertConfig,
    tasks: Sequence[str],
) -> TaskVectors:
    """Stage 4. One expert a task, kept in `experts/<variant>/`; rounded to fp16 as in a suite."""
    config = shop.config
    order = [*tasks[1:], *tasks[:1]]  # the longest, sentiment, goes last
    folder = shop.folder / "experts" / variant
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(expert), indent=1) + "\n")
    for task in sorted(tasks, key=order.index):
        file = folder / f"{task}.safetensors"
        if not file.exists():
            own, targets = lessons(shop, task, expert.smoothing, expert=True)
            steps = max(1, round(config.steps_by_task.get(task, 1.0) * expert.steps))
            others = [s.ids for t, s in shop.train.items() if t != task and t in tasks]
            shop.log(f"{variant}/{task}: {len(own)} sentences")
            several = config.runs > 1
            places = [folder / f"run-{i + 1}" if several else folder for i in range(config.runs)]
            runs = [
                train_expert(
                    shop.model,
                    base,
                    heads[task],
                    own,
                    targets,
                    [*others, running_text(shop)],
                    replace(expert, steps=steps, **config.expert_by_task.get(task, {})),
                    stage=task,
                    seed=[config.seed + run, 4, config.tasks.index(task)],
                    folder=place,
                )
                for run, place in enumerate(places)
            ]
            found = averaged(runs)
            if several:
                kept = moments_file(folder, task)
                kept.parent.mkdir(exist_ok=True)
                save_file(averaged(load_file(moments_file(at, task)) for at in places), kept)
                save_file(found, file, told(sum(seconds(at / file.name) or 0 for at in places)))
            before, after = (
                accuracy(shop.model, base | p, heads[task], shop.validation[task])
                for p in ({}, single(half(found)))
            )
            shop.log(f"{variant}/{task}: validation {before:.4f} -> {after:.4f}")
    made = [single(half(load_file(folder / f"{t}.safetensors"))) for t in tasks]
    return TaskVectors(base, made, shop.model.segments)


def told(seconds: float) -> dict[str, str]:
    """A file's metadata: how long its training took."""
    return {"seconds": f"{seconds:.0f}"}


def half(params: Params) -> Params:
    """As on disk."""
    return {n: p.half().contiguous() for n, p in params.items()}


def single(params: Params) -> Params:
    """As in memory."""
    return {n: p.float() for n, p in params.items()}


@threads(THREADS)
def prepare(data: Path, out: Path, config: TextConfig) -> tuple[Workshop, Params, Params]:
    """Stages 1 to 3: what every set of experts starts from."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    lm, params = out / "lm.safetensors", {}
    made = (out / "base.safetensors").exists()
    if not made and not lm.exists():
        language_model(open_workshop(data, out, config, False))
    shop = open_workshop(data, out, config)
    if not made:
        params = load_file(lm)  # a file has an order of its own, and sums round by it
        params["wte.weight"] = grow_table(params["wte.weight"], shop.model.tokenizer)
    return shop, *base_and_heads(shop, params)


def train_text(
    data: Path, out: Path, config: TextConfig | None = None, smoke: bool = False
) -> None:
    """Every stage in order, into `out`; what is on disk there is taken up, not made again."""
    config = config or TextConfig()
    shop, base, heads = prepare(data, out, smoke_config(config) if smoke else config)
    make_experts(shop, base, heads, "final", shop.config.expert, shop.config.tasks)
