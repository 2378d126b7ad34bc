"""How long starts take, each in a process of its own: of an engine, and of the app."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from statistics import median

import urllib3

PATIENCE, GLANCE = 120.0, 0.02  # seconds: until the page must answer, between two tries

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
    Raises CalledProcessError where the child failed; its error is on stderr."""
    laps = []
    for _ in range(rounds + 1):
        child = [sys.executable, "-c", _CHILD, suite]
        told = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True).stdout
        laps.append(json.loads(told))
    found = {stage: median(lap[stage] for lap in laps[1:]) for stage in laps[0]}
    return {**found, "total": sum(found.values())}


def page_ms(rounds: int) -> float:
    """Milliseconds from starting the app to the first answer to a request for its page, the median
    of `rounds`; a round before them warms the disk. Raises TimeoutError where the page did not
    answer."""
    return median([_page_ms() for _ in range(rounds + 1)][1:])


def _page_ms() -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = [sys.executable, "-m", "semerge", "demo", "--host", "127.0.0.1", "--port", str(port)]
    began = time.perf_counter()
    child = subprocess.Popen(demo, stdout=subprocess.DEVNULL)
    try:
        while not _answers(f"http://127.0.0.1:{port}/"):
            if time.perf_counter() - began > PATIENCE:
                raise TimeoutError(f"the app did not answer in {PATIENCE:g} s")
            time.sleep(GLANCE)
        return 1e3 * (time.perf_counter() - began)
    finally:
        child.terminate()
        child.wait()


def _answers(url: str) -> bool:
    try:
        # unlike most clients, this one asks no proxy, which can't tell what listens on this machine
        return urllib3.request("GET", url, timeout=PATIENCE, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
