"""Does a suite fit? Counted before a byte of it is read, so that a small machine says no in a
sentence instead of being ended by its system."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path

from semerge.backbones.architecture import TEXT_TOWER, parameters
from semerge.common import UserError, gigabytes
from semerge.suites.suite import Suite

FLOAT = 4  # bytes of a weight in memory, whatever it has on disk
MERGES = 2  # models beside base and experts: the static merge, and the one made for a request
RESERVE = 500_000_000  # bytes for activations and what is read but not kept


@dataclass(frozen=True)
class Need:
    """Bytes that a loaded suite takes."""

    model: int  # one set of weights: the base, or an expert
    experts: int  # how many there are
    working: int  # merges, the text tower while heads are built, activations

    @property
    def total(self) -> int:
        return self.model * (1 + self.experts) + self.working


def need(suite: Suite) -> Need:
    """What a suite takes, from its architecture alone. An adapter counts as a whole expert."""
    model = FLOAT * parameters(suite.sizes.shapes)
    tower = 0
    if suite.head_source == TEXT_TOWER:
        tower = FLOAT * parameters(suite.kind.tower_shapes(suite.architecture))
    return Need(model, len(suite.tasks), MERGES * model + tower + RESERVE)


def check_memory(suite: Suite, root: Path = Path("/")) -> None:
    """Raises UserError, with the numbers, where a suite does not fit into what is free now. Where
    the system does not say what is free (it does on Linux), nothing is refused."""
    wanted, free = need(suite), available(root)
    if free is not None and wanted.total > free:
        raise UserError(
            f"{suite.title} needs {gigabytes(wanted.total)} of memory (base and "
            f"{wanted.experts} experts of {gigabytes(wanted.model)} each, "
            f"{gigabytes(wanted.working)} to work in), but {gigabytes(free)} are free here."
        )


def available(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: the least of what the machine has and what each
    control group above the process leaves; None where neither is told. `root` is for tests."""
    limits = [_machine(root / "proc/meminfo"), *_groups(root)]
    told = [limit for limit in limits if limit is not None]
    return max(0, min(told)) if told else None


def give_back() -> None:
    """Return to the system what was freed. glibc keeps freed pieces of some megabytes for itself,
    a text tower's say, and then the experts need room beside them; other C libraries have no such
    call, and nothing is done."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _machine(file: Path) -> int | None:
    try:
        rows = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        return int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):  # no Linux, or an old one
        return None


def _groups(root: Path) -> list[int | None]:
    """What is left of the limits of control groups, version 2 and 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        if not controllers:
            names = ("memory.max", "memory.current", "inactive_file")
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        own = top / path.strip("/")
        # inside a container the path may be the host's, and only the top is there
        above = [folder for folder in own.parents if folder.is_relative_to(top)]
        found += [_left(folder, *names) for folder in (own, *above)]
    return found


def _left(folder: Path, limit: str, usage: str, cache: str) -> int | None:
    """The limit, less what is used and could not be dropped; None where there is no limit."""
    try:
        most, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        rows = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
        return None if most == "max" else int(most) - used + int(rows.get(cache, 0))
    except (OSError, ValueError):
        return None
