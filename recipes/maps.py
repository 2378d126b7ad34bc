"""The map of a finished suite: its plane and its test samples' places, as `diagnose` makes them.

`python -m recipes.maps SUITE --data DIR` renews the map in a suite's report.json, and nothing else;
for a report of before maps had axes. The recipes make it with the whole diagnosis.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from semerge.common import UserError, read_json
from semerge.data.sets import subsample, suite_sets
from semerge.engine import load_engine
from semerge.evaluation.hypothesis import task_map
from semerge.suites.report import write_report


def main(argv: Sequence[str] | None = None) -> int:
    """Write a suite's map; returns the exit code."""
    parser = argparse.ArgumentParser(prog="recipes.maps")
    parser.add_argument("suite", help="a bundled suite's name, or a folder")
    parser.add_argument("--data", required=True, metavar="DIR", help="labelled data")
    args = parser.parse_args(argv)
    engine = load_engine(args.suite)
    path = engine.suite.folder / "report.json"
    report = read_json(path)
    diagnosis = report["diagnosis"]
    at, of = diagnosis["at"], diagnosis["samples"]
    if at["weights_sha256"] != engine.weights_sha256():
        raise UserError(f"{path} is of other weights; make the diagnosis anew.")
    test = subsample(suite_sets(engine.suite, args.data, "test"), of["a_task"], of["seed"])
    point = at["layer"], at["pool"]
    diagnosis["map"] = task_map(engine, test.sets, point, at["probe_lambda"])
    write_report(path, report)
    first, second = diagnosis["map"]["explained"]
    print(f"{diagnosis['map']['n']} samples; the axes hold {first:.3f} and {second:.3f}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
