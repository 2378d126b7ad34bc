"""Temperatures of the heads: scores of a task's own expert that mean what they say.

`python -m recipes.calibration SUITE --data DIR` fits those of a finished suite and puts them into
its suite.json; the recipes do so by themselves.

"On Calibration of Modern Neural Networks" (Guo et al., arXiv 1706.04599): one number a head, fitted
on validation by the likelihood; it changes no answer.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semerge.common import read_json, write_text
from semerge.data.batches import batches
from semerge.data.labelled import LabelledSet
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation.figures import calibration_error

LIMITS = (1 / 32, 32.0)
"""Between which a temperature is looked for."""
STEPS = 60


def fit(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the smallest cross entropy, to three digits; logits (N, C), labels (N,).

    The cross entropy is convex in the inverse temperature, so a golden section finds it.
    """
    low, high = (math.log(limit) for limit in LIMITS)
    golden = (math.sqrt(5) - 1) / 2

    def loss(log: float) -> float:
        return float(F.cross_entropy(logits.double() / math.exp(log), labels))

    for _ in range(STEPS):
        first, second = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, second) if loss(first) <= loss(second) else (first, high)
    return float(f"{math.exp((low + high) / 2):.3g}")


def temperatures(engine: Engine, validation: Sequence[LabelledSet]) -> dict[str, float]:
    """Of every task's head, for its own expert."""
    return {s.task: fit(*own_logits(engine, s)) for s in validation}


def errors(engine: Engine, sets: Sequence[LabelledSet]) -> dict[str, Any]:
    """Expected calibration errors of the experts on their own tasks, by task and on average, with
    the suite's temperatures (`after`) and without (`before`)."""
    tasks = {}
    for samples in sets:
        logits, labels = own_logits(engine, samples)
        temperature = engine.suite.task(samples.task).temperature
        row: dict[str, float] = {"n": len(labels), "temperature": temperature}
        for name, scale in (("before", 1.0), ("after", temperature)):
            scores, answers = (logits / scale).softmax(1).max(1)
            row[name] = calibration_error(scores.tolist(), (answers == labels).tolist())
        tasks[samples.task] = row
    average = {k: sum(t[k] for t in tasks.values()) / len(tasks) for k in ("before", "after")}
    return {"tasks": tasks, "average": average}


@torch.inference_mode()
def own_logits(engine: Engine, samples: LabelledSet) -> tuple[Tensor, Tensor]:
    """Logits (N, C) of a task's own expert, at temperature 1, and labels (N,)."""
    t, head = engine.suite.index(samples.task), engine.models.heads[samples.task]
    found = torch.empty(len(samples), len(samples.classes))
    for rows, batch in batches(engine.backbone, samples):
        z = engine.expert_embedding(engine.models.place(batch), t)
        found[rows] = engine.backbone.logits(z.float(), head).cpu()
    return found, torch.from_numpy(samples.labels)


def main(argv: Sequence[str] | None = None) -> int:
    """Write a suite's temperatures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="recipes.calibration")
    parser.add_argument("suite", help="a bundled suite's name, or a folder")
    parser.add_argument("--data", required=True, metavar="DIR", help="labelled data")
    args = parser.parse_args(argv)
    engine = load_engine(args.suite)
    fitted = temperatures(engine, suite_sets(engine.suite, args.data, "validation").sets)
    path = engine.suite.folder / "suite.json"
    raw = read_json(path)
    for task in raw["tasks"]:
        task["temperature"] = fitted[task["name"]]
        print(f"{task['name']}: temperature {task['temperature']:g}")
    write_text(path, json.dumps(raw, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
