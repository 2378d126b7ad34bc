"""python -m recipes.bench: the bench, with the tests' plain implementation beside the engine."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semerge import cli
from semerge.bench import command
from semerge.bench.work import Case, Work

REFERENCE = Path(__file__).resolve().parents[1] / "tests" / "reference.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the command does; returns the exit code."""
    given = ["bench", *(sys.argv[1:] if argv is None else argv)]
    return cli.guarded(lambda: command.run(cli.parser().parse_args(given), plain))


def plain(work: Work) -> Case:
    """SE-Merging on the same weights, slow and obvious: real modules, hooks, full passes of every
    model, a deep copy for every merge."""
    reference: Any = runpy.run_path(str(REFERENCE))["Reference"]
    suite, vectors = work.engine.suite, work.models.vectors
    described = {
        "tasks": [{"name": t.name, "temperature": t.temperature} for t in suite.tasks],
        "architecture": suite.architecture,
        "defaults": {"static_lambda": suite.defaults.static_lambda},
    }
    experts = [vectors.expert(t) for t in range(vectors.count)]
    made = reference.of(described, vectors.base(), experts, work.models.heads)

    def case(i: int) -> object:
        batch, at = work.samples[i], work.resolved
        where = (at.probe, at.layer, at.pool, at.probe_lambda)
        coefficients = made.coefficients(made.distances(batch.data, *where), at)
        return made.logits(made.model(made.merged(coefficients)), batch.data, work.head)

    return case


if __name__ == "__main__":
    sys.exit(main())
