"""python -m semerge download: fetch the weights of a published suite from the hub."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from typing import TextIO

from semerge.checkpoints.download import download
from semerge.errors import UserError
from semerge.phrases import gigabytes
from semerge.progress import silent
from semerge.suites import published_suites, read_suite


def run(args: argparse.Namespace) -> int:
    """Fetch, and say where to go on. Returns the exit code."""
    suite = read_suite(args.suite)
    if not suite.published:
        names = ", ".join(published_suites())
        raise UserError(f"the weights of {suite.name} are here; suites on the hub are {names}.")
    # nobody watches a bar in a file
    bar = Bar(sys.stderr) if sys.stderr.isatty() else silent
    download(suite, lambda text: print(text, flush=True), bar)
    print(f"{suite.name} is ready: python -m semerge predict --suite {shlex.quote(args.suite)} ...")
    return 0


class Bar:
    """One line on a terminal: a bar over all files, the rate, and the file that is coming."""

    WIDTH = 24

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.started = time.monotonic()
        self.first: int | None = None  # bytes that were here before
        self.shown = 0.0

    def __call__(self, done: int, total: int, name: str) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = done
        if done < total and now - self.shown < 0.2:
            return
        self.shown = now
        filled = round(self.WIDTH * done / max(total, 1))
        rate = (done - self.first) / max(now - self.started, 1e-3)
        bar = "#" * filled + "." * (self.WIDTH - filled)
        text = f"[{bar}] {gigabytes(done)} of {gigabytes(total)}, {gigabytes(rate)}/s  {name[-40:]}"
        end = "\n" if done == total else ""
        print(f"\r{text:100}", end=end, file=self.stream, flush=True)
