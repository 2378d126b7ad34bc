"""Accuracies that others have published for the checkpoints of a family, in percent.

A family is a set of checkpoints: figures of one say nothing about another, so a suite is compared
with its own family alone. All have the task given (the oracle head). Sources: FusionBench's
documentation (docs/modelpool/clip_vit.md, gpt2_classification.md at 54c9e8c), and for the
AdaMerging lineage the table of WUDI-Merging's README. SE-Merging's own averages (arXiv 2506.18135)
come without a word on the checkpoints; they stand in the families whose baselines its margins fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CLIP_TASKS = tuple("sun397 stanford-cars resisc45 eurosat svhn gtsrb mnist dtd".split())
GLUE_TASKS = tuple("cola mnli mrpc qnli qqp rte sst2".split())
LINEAGE_SOURCE = "the README of WUDI-Merging"


@dataclass(frozen=True)
class Family:
    """One set of checkpoints and what was measured on it."""

    title: str
    source: str
    tasks: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]  # method -> a figure a task, then their average


def _rows(text: str) -> dict[str, tuple[float, ...]]:
    """`method: figures` a line; a lone figure is the average."""
    found = {}
    for line in text.strip().splitlines():
        method, _, figures = line.partition(":")
        found[method.strip()] = tuple(float(figure) for figure in figures.split())
    return found


FAMILIES = {
    "fusionbench-clip-vit-b-32": Family(
        "FusionBench checkpoints, ViT-B/32",
        "FusionBench, docs/modelpool/clip_vit.md",
        CLIP_TASKS,
        _rows("""
            Pre-trained: 63.2 59.8 60.7 46.0 31.6 32.5 48.2 43.9 48.2
            Fine-tuned: 75.0 78.3 95.2 99.0 97.3 98.9 99.6 79.7 90.3
            Simple Average: 65.4 62.6 70.8 76.9 64.5 54.9 86.3 50.9 66.5
            Task Arithmetic 0.3: 57.1 55.7 64.9 76.7 77.9 68.5 96.1 47.2 68.0
            TIES 0.3: 67.1 64.2 74.1 76.8 77.7 69.4 94.1 54.0 72.2
            RegMean: 68.6 70.0 84.6 95.4 92.6 83.4 98.4 66.1 82.4
            AdaMerging, layer-wise: 67.9 71.3 83.5 92.7 87.4 92.9 98.2 67.0 82.6
            WUDI: 68.0 72.5 85.0 94.6 94.8 94.9 99.3 66.6 84.5
            WEMoE (dynamic): 73.7 76.8 93.4 98.2 96.8 98.2 99.6 76.6 89.2
        """),
    ),
    "fusionbench-clip-vit-b-16": Family(
        "FusionBench checkpoints, ViT-B/16",
        "FusionBench, docs/modelpool/clip_vit.md",
        CLIP_TASKS,
        _rows("""
            Pre-trained: 55.3
            Fine-tuned: 78.9 85.9 96.6 99.0 97.6 99.0 99.7 82.3 92.3
            Task Arithmetic 0.3: 77.1
        """),
    ),
    "fusionbench-clip-vit-l-14": Family(
        "FusionBench checkpoints, ViT-L/14",
        "FusionBench, docs/modelpool/clip_vit.md",
        CLIP_TASKS,
        _rows("""
            Pre-trained: 64.6
            Fine-tuned: 82.8 92.9 97.4 99.2 97.9 99.2 99.8 85.5 94.3
            Simple Average: 80.0
            Task Arithmetic 0.3: 72.0 79.0 80.5 86.0 87.5 83.5 98.0 58.8 80.7
            TIES 0.3: 74.7 83.3 86.4 91.3 89.7 85.2 97.8 63.9 84.0
            RegMean: 90.4
            AdaMerging, layer-wise: 78.1 90.7 90.8 96.5 94.8 97.5 98.6 81.3 91.0
            WEMoE (dynamic): 81.5 92.3 96.5 98.8 97.6 99.4 99.6 84.5 93.8
        """),
    ),
    "fusionbench-gpt2-glue": Family(
        "FusionBench checkpoints, GPT-2 on GLUE",
        "FusionBench, docs/modelpool/gpt2_classification.md",
        GLUE_TASKS,
        _rows("""
            Base body, experts' heads: 30.9 33.0 31.4 49.2 63.2 52.7 50.9 44.5
            Fine-tuned: 76.8 82.1 80.4 88.3 89.6 65.3 91.2 82.0
            Simple Average: 55.0 55.1 51.0 57.6 76.7 44.8 52.5 56.1
            RegMean: 61.7 70.4 65.4 69.7 78.8 56.0 79.7 68.8
            Task Arithmetic 0.3: 68.3 64.0 71.8 66.9 80.8 46.2 79.2 68.2
            Task Arithmetic 0.5: 68.7 68.6 69.6 70.5 81.8 47.3 83.6 70.0
            TIES 0.6: 68.4 71.4 68.4 69.6 82.4 47.7 81.8 70.0
            SE-Merging (its paper): 76.86
        """),
    ),
    "task-vectors-vit-b-32": Family(
        "task_vectors checkpoints (Ilharco et al.), ViT-B/32",
        LINEAGE_SOURCE,
        CLIP_TASKS,
        _rows("""
            Pre-trained: 62.3 59.7 60.7 45.5 31.4 32.6 48.5 43.8 48.0
            Fine-tuned: 79.2 77.7 96.1 99.7 97.5 98.7 99.7 79.4 90.8
            Weight averaging: 65.3 63.4 71.4 71.7 64.2 52.8 87.5 50.1 65.8
            Task Arithmetic: 55.2 54.9 66.7 78.9 80.2 69.7 97.3 50.4 69.1
            TIES: 59.8 58.6 70.7 79.7 86.2 72.1 98.3 54.2 72.4
            AdaMerging++ (test-time): 66.6 68.3 82.2 94.2 89.6 89.0 98.3 60.6 81.1
            WUDI: 71.1 71.0 85.7 95.6 94.2 94.7 99.5 69.7 85.2
            SE-Merging (its paper): 84.96
        """),
    ),
    "task-vectors-vit-l-14": Family(
        "task_vectors checkpoints (Ilharco et al.), ViT-L/14",
        LINEAGE_SOURCE,
        CLIP_TASKS,
        _rows("""
            Pre-trained: 66.8 77.7 71.0 59.9 58.4 50.5 76.3 55.3 64.5
            Fine-tuned: 82.3 92.4 97.4 100.0 98.1 99.2 99.7 84.1 94.2
            Weight averaging: 72.1 81.6 82.6 91.9 78.2 70.7 97.1 62.8 79.6
            Task Arithmetic: 73.9 82.1 86.6 94.1 87.9 86.7 98.9 65.6 84.5
            TIES: 76.5 85.0 89.3 95.7 90.3 83.3 99.0 68.8 86.0
            AdaMerging++ (test-time): 79.4 90.3 91.6 97.4 93.4 97.5 99.0 79.2 91.0
            WUDI: 81.0 91.0 94.2 99.2 96.3 98.1 99.6 81.2 92.6
        """),
    ),
}
"""By the `family` of a suite.json."""


def published_lines(
    family: str | None, found: Mapping[str, Mapping[str, float]], ran: str
) -> list[str]:
    """A family's table in text, with a run's own figures of the same tasks above it.

    found: task -> {"base_oracle", "static_oracle", "se_oracle", "expert", ...} as fractions. The
    average of the run stands there only where all of the family's tasks were run. ran: on what, in
    words: published figures are of whole test sets, which these need not be.
    """
    if family is None or family not in FAMILIES:
        return []
    known = FAMILIES[family]
    own = {
        "here: base": "base_oracle",
        "here: static merge": "static_oracle",
        "here: SE-Merging": "se_oracle",
        "here: experts": "expert",
    }
    wide = max(len(name) for name in (*known.rows, *own))
    lines = [
        (
            f"published for the same family of checkpoints: {known.title} ({known.source}); "
            f"task given; here: {ran}"
        ),
        " ".join([" " * wide, *(f"{task[:8]:>8}" for task in known.tasks), f"{'average':>8}"]),
    ]
    for name, column in own.items():
        values = [100 * found[t][column] if t in found else None for t in known.tasks]
        there = [value for value in values if value is not None]
        mean = sum(there) / len(there) if len(there) == len(values) else None
        lines.append(_line(name, wide, [*values, mean]))
    blank = [None] * len(known.tasks)
    for name, figures in known.rows.items():
        cells = [*blank, *figures] if len(figures) == 1 else list(figures)
        lines.append(_line(name, wide, cells))
    return lines


def _line(name: str, wide: int, figures: Sequence[float | None]) -> str:
    cells = [" " * 8 if figure is None else f"{figure:8.1f}" for figure in figures]
    return " ".join([f"{name:{wide}}", *cells]).rstrip()
