"""Where the time goes between starting python and the first answer, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

_CHILD = """
import json, sys, time
laps, last = {}, time.perf_counter()
def lap(name):
    global last
    laps[name], last = 1e3 * (time.perf_counter() - last), time.perf_counter()
import torch
lap("import torch")
from semerge.bench.subject import bundled
lap("import semerge")
subject = bundled(sys.argv[1], 1)
lap("load the suite")
subject.engine.probe_batch(subject.samples[0], subject.settings.resolve(subject.suite))
lap("first probe")
print(json.dumps(laps))
"""


def start_ms(suite: str, rounds: int) -> dict[str, float]:
    """Milliseconds by stage, medians over `rounds` fresh processes; the first one warms the disk.

    Raises:
        CalledProcessError: the child failed; its error is on stderr.
    """
    laps = []
    for _ in range(rounds + 1):
        child = [sys.executable, "-c", _CHILD, suite]
        told = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True).stdout
        laps.append(json.loads(told))
    found = {stage: median(lap[stage] for lap in laps[1:]) for stage in laps[0]}
    return {**found, "total": sum(found.values())}
