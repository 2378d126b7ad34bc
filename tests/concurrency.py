"""Many threads on engines that they share, against the same requests one by one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image
from tiny import SENTENCES

from semerge.data.labelled import LabelledSet, Sets
from semerge.engine import Engine
from semerge.evaluation.collect import collect
from semerge.evaluation.figures import Row
from semerge.inputs import CleanText, DecodedImage
from semerge.settings import PRESETS, Settings, valid_layers, valid_pools, valid_probes

Request = tuple[Engine, Any, Settings]


def sample_of(engine: Engine, seed: int) -> CleanText | DecodedImage:
    """A sentence, or an image of noise."""
    if engine.suite.modality == "text":
        return CleanText(SENTENCES[seed % len(SENTENCES)])
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 17, 3), dtype=np.uint8)
    return DecodedImage(Image.fromarray(pixels))


def answers(result: object) -> dict[str, object]:
    """Everything but the timings."""
    return {k: v for k, v in vars(result).items() if k != "timings_ms"}


def mixed_requests(engines: Sequence[Engine], count: int) -> list[Request]:
    """Every probe and preset, several layers, poolings, probe lambdas and heads, exact and fast,
    whole coefficients and quantised ones, in turn."""
    requests: list[Request] = []
    for position in range(count):
        i, which = divmod(position, len(engines))
        engine = engines[which]
        suite = engine.suite
        probe = valid_probes(suite)[i % 3]
        layer = valid_layers(suite)[i % 3]
        pools = valid_pools(suite, probe, layer)
        settings = Settings(
            probe=probe,
            layer=layer,
            pool=pools[i % len(pools)],
            preset=tuple(PRESETS)[(i // 3) % len(PRESETS)],
            probe_lambda=0.25 if i % 4 == 0 and probe != "cache" else None,
            head="auto" if i % 2 else suite.task_names[i % 3],
            fast=i % 5 in (1, 3),
            quantise=4 if i % 4 == 3 else None,
        )
        requests.append((engine, sample_of(engine, i), settings))
    return requests


def sweep(engine: Engine, n: int = 12) -> tuple[tuple[Row, ...], ...]:
    """Rows of n samples of two tasks, whose coefficients are of their own, and in parts."""
    sets = []
    for task in engine.suite.tasks[:2]:
        samples = [sample_of(engine, seed) for seed in range(n)]
        labels = np.arange(n) % len(task.classes)
        if engine.suite.modality == "text":
            texts = tuple(f"{i}: {s.text}" for i, s in enumerate(samples))  # type: ignore[union-attr]
            given: dict[str, Any] = {"texts": texts, "texts_b": (None,) * n}
        else:
            given = {"images": np.stack([np.asarray(s.image) for s in samples])}  # type: ignore[union-attr]
        sets.append(LabelledSet(task.name, "test", task.classes, labels, **given))
    asked = [
        Settings(preset="literal", quantise=parts).resolve(engine.suite) for parts in (None, 4)
    ]
    rows = (np.arange(n),) * len(sets)
    return collect(engine, Sets("made", "test", tuple(sets), rows, False), asked).rows


def check_threads(
    engines: Sequence[Engine], threads: int = 16, count: int = 20, each: int = 8
) -> None:
    """Each thread asks `each` of the requests, starting at another one, beside a thread a suite
    that sweeps a labelled set, as Inspect does; equal bit for bit, nothing written.

    torch's own thread count has to be the same throughout: it decides the order of sums.
    """
    requests = mixed_requests(engines, count)

    def ask(i: int) -> dict[str, object]:
        engine, sample, settings = requests[i]
        return answers(engine.predict(sample, settings))

    assert {s.fast for *_, s in requests} == {True, False} and any(s.quantise for *_, s in requests)
    alone = [ask(i) for i in range(count)]
    swept = [sweep(engine) for engine in engines]

    def client(start: int) -> list[tuple[int, dict[str, object]]]:
        return [(i % count, ask(i % count)) for i in range(start, start + each)]

    with ThreadPoolExecutor(threads + len(engines)) as pool:
        beside = [pool.submit(sweep, engine) for engine in engines]
        for rows in pool.map(client, range(threads)):
            for i, row in rows:
                assert row == alone[i]
        assert [one.result() for one in beside] == swept
    assert all(engine.verify_weights() for engine in engines)
