"""Loads a suite in a process of its own, answers once, and prints what that took, as JSON.

    python -m tests.measure_loading FOLDER

bytes: base and experts as float32. What counts is what the suite adds to a process that has
imported everything: its highest resident memory, less that before the suite is read. ratio: of
reading alone, over `bytes`; peak_ratio: of reading, the engine and two answers. process_bytes: the
height of the whole process, Python and torch included; before_bytes: what of it was there before.
load_seconds: `semerge.loading.load`; engine_seconds: what `Engine` makes of it; answer_seconds: the
second of two answers. cpu_seconds: of all threads together, from the start of loading to the end.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from semerge.engine import Engine
from semerge.inputs import clean_text
from semerge.loading import load
from semerge.suites import read_suite


def status(field: str) -> int:
    """Bytes of this process that lie in memory (VmRSS), or did at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    rows = dict(line.split(":", 1) for line in lines)
    return 1024 * int(rows[field].split()[0])


def main(folder: str) -> dict[str, Any]:
    torch.ones(64, 64) @ torch.ones(64, 64)  # threads and their arenas belong to the baseline
    suite = read_suite(folder)
    before, cpu = status("VmRSS"), time.process_time()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    start = time.perf_counter()
    loaded = load(suite)
    read = time.perf_counter()
    numbers = sum(x.numel() for x in loaded.vectors.base().values()) * (1 + loaded.vectors.count)
    ratio = (status("VmHWM") - before) / (4 * numbers)
    engine = Engine(loaded)
    made = time.perf_counter()
    image = suite.modality == "image"
    sample = Image.radial_gradient("L").convert("RGB") if image else clean_text("A cat sat here.")
    engine.predict(sample)
    first = time.perf_counter()
    engine.predict(sample)
    end, peak = time.perf_counter(), status("VmHWM")
    return {
        "bytes": 4 * numbers,
        "ratio": ratio,
        "peak_ratio": (peak - before) / (4 * numbers),
        "process_bytes": peak,
        "before_bytes": before,
        "load_seconds": read - start,
        "engine_seconds": made - read,
        "answer_seconds": end - first,
        "cpu_seconds": time.process_time() - cpu,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
