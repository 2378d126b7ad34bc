"""The bar of a download: how full, how fast, and which file is coming."""

from __future__ import annotations

import io
import re

import pytest

from semerge.checkpoints import download
from semerge.checkpoints.download import Bar

FULL, HALF = "#" * Bar.WIDTH, "#" * (Bar.WIDTH // 2) + "." * (Bar.WIDTH // 2)


def lines(bar: Bar) -> list[str]:
    """What was written over and over, without the spaces that hide a longer line before."""
    assert isinstance(bar.stream, io.StringIO)
    return [re.sub(" +(\n?)$", r"\1", line) for line in bar.stream.getvalue().split("\r")[1:]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(download.time, "monotonic", lambda: now[0])
    return now


def test_bytes_rate_and_file(clock: list[float]) -> None:
    bar = Bar(io.StringIO())
    bar(1_000_000_000, 4_000_000_000, "a/b/model.safetensors")  # here before: no part of the rate
    clock[0] += 2
    bar(2_000_000_000, 4_000_000_000, "a/b/model.safetensors")
    clock[0] += 2
    bar(4_000_000_000, 4_000_000_000, "x" * 50)
    first, second, last = lines(bar)
    assert "1.00 GB of 4.00 GB, 0.0 MB/s  a/b/model.safetensors" in first
    assert second == f"[{HALF}] 2.00 GB of 4.00 GB, 0.50 GB/s  a/b/model.safetensors"
    assert last == f"[{FULL}] 4.00 GB of 4.00 GB, 0.75 GB/s  {'x' * 40}\n"


def test_it_is_drawn_a_few_times_a_second_and_at_the_end(clock: list[float]) -> None:
    bar = Bar(io.StringIO())
    for done in range(1001):
        bar(done, 1000, "file")
        clock[0] += 0.001
    found = lines(bar)
    assert 5 <= len(found) <= 7
    assert found[-1].startswith(f"[{FULL}]") and found[-1].endswith("\n")
    assert not any("\n" in line for line in found[:-1])


def test_each_line_hides_the_one_before(clock: list[float]) -> None:
    bar = Bar(io.StringIO())
    bar(1, 3_000_000_000, "a long name of a file.safetensors")
    clock[0] += 1
    bar(2, 3_000_000_000, "b")
    assert isinstance(bar.stream, io.StringIO)
    first, second = bar.stream.getvalue().split("\r")[1:]
    assert len(first) <= len(second) == 100


def test_empty_files_have_a_line_too(clock: list[float]) -> None:
    bar = Bar(io.StringIO())
    bar(0, 0, "empty")
    assert lines(bar)[0].endswith("empty\n")
