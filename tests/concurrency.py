"""Many threads on engines that they share, against the same requests one by one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image
from tiny import SENTENCES

from semerge.engine import Engine
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
    """Every probe and preset, several layers, poolings, probe lambdas and heads, in turn."""
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
            preset=tuple(PRESETS)[(i // 3) % 3],
            probe_lambda=0.25 if i % 4 == 0 and probe != "cache" else None,
            head="auto" if i % 2 else suite.task_names[i % 3],
        )
        requests.append((engine, sample_of(engine, i), settings))
    return requests


def check_threads(engines: Sequence[Engine], threads: int = 16, count: int = 20) -> None:
    """Each thread asks all requests, starting at another one; equal bit for bit, nothing written.

    torch's own thread count has to be the same throughout: it decides the order of sums.
    """
    requests = mixed_requests(engines, count)

    def ask(i: int) -> dict[str, object]:
        engine, sample, settings = requests[i]
        return answers(engine.predict(sample, settings))

    alone = [ask(i) for i in range(count)]

    def client(start: int) -> list[tuple[int, dict[str, object]]]:
        return [(i % count, ask(i % count)) for i in range(start, start + count)]

    with ThreadPoolExecutor(threads) as pool:
        for rows in pool.map(client, range(threads)):
            for i, row in rows:
                assert row == alone[i]
    assert all(engine.verify_weights() for engine in engines)
