"""Loads a suite in a process of its own and prints what that took, as JSON.

    python measure_loading.py FOLDER

`ratio` is the highest resident memory above that before loading, over the bytes of base and
experts as float32; `seconds` is the time of `semerge.loading.load`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import torch

from semerge.loading import load
from semerge.suites import read_suite


def resident() -> int:
    """Bytes of this process that lie in memory, mapped files included."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096


def main(folder: str) -> None:
    torch.ones(64, 64) @ torch.ones(64, 64)  # threads and their arenas belong to the baseline
    before, highest, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.002):
            highest = max(highest, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    loaded = load(read_suite(folder))
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    numbers = sum(x.numel() for x in loaded.vectors.base().values()) * (1 + loaded.vectors.count)
    measured = {"ratio": (highest - before) / (4 * numbers), "seconds": seconds}
    print(json.dumps({**measured, "bytes": 4 * numbers}))


if __name__ == "__main__":
    main(sys.argv[1])
