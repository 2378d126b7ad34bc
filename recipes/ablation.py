"""The same experts made in three ways, briefly: the families, each as a curve over λ.

The task's loss alone ("plain"); experts that stay at home and move elsewhere ("preserve and
drift"); experts that move at home and stay elsewhere ("disentangled", the recipe's own). Measured
on validation, kept as `ablation.json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from recipes.curve import table
from recipes.describe_ablation import describe
from recipes.loop import THREADS, threads
from recipes.text_config import TextConfig
from recipes.vision_config import VisionConfig
from semerge.data.labelled import LabelledSet
from semerge.loading import Loaded
from semerge.task_vectors import TaskVectors

FAMILIES = ("plain", "preserve and drift", "disentangled")

logger = logging.getLogger(__name__)

STEPS = 120
SAMPLES = 100


Make = Callable[[str, int, Sequence[str]], tuple[TaskVectors, dict[str, Any]]]
"""(family, steps, tasks) -> their experts, in that order, and the numbers of the recipe."""


def ablate(
    out: Path,
    make: Make,
    loaded: Loaded,
    validation: list[LabelledSet],
    steps: int = STEPS,
) -> list[dict[str, Any]]:
    """Make every family, measure it on validation, keep the rows in `out/ablation.json`.

    loaded: the suite whose base and heads are used; its experts are replaced by the families'.
    """
    path = out / "ablation.json"
    if path.exists():
        return list(json.loads(path.read_text(encoding="utf-8")))
    rows = []
    for family in FAMILIES:
        vectors, settings = make(family, steps, loaded.suite.task_names)
        made = replace(loaded, vectors=vectors)
        found = describe(made, validation, SAMPLES)
        rows.append({"experts": family, "steps": steps, "settings": settings, **found})
        logger.info("ablation, %s: %s", family, table(found["curve"]))
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return rows


def vision_families(data: Path, out: Path, config: VisionConfig) -> Make:
    """Experts of the vision suite, from the base in `out`, without teachers and several runs."""
    from recipes.vision import logit_scale, make_heads, strip, training_sets
    from recipes.vision_expert import train_expert

    @threads(THREADS)
    def make(family: str, steps: int, tasks: Sequence[str]) -> tuple[TaskVectors, dict[str, Any]]:
        clip = load_file(out / "base.safetensors")
        backbone, base = config.backbone(logit_scale(clip)), strip(clip)
        heads, sets = make_heads(config, clip), training_sets(data, out, config)
        expert = config.expert.of(family)
        expert = replace(
            expert,
            batch=min(64, expert.batch),
            replay=min(64, expert.replay),
            teachers={},
            runs={},
            steps=dict.fromkeys(expert.steps, steps),
        )
        short = replace(config, expert=expert)
        folder = out / "ablation" / family.replace(" ", "-")
        experts = [
            train_expert(short, task, base, heads[task], sets, backbone, folder) for task in tasks
        ]
        return TaskVectors(base, experts, backbone.segments), _settings(expert)

    return make


def text_families(data: Path, out: Path, config: TextConfig) -> Make:
    """Experts of the text suite, from the base in `out`, all of as many steps."""
    from recipes.text import make_experts, prepare

    def make(family: str, steps: int, tasks: Sequence[str]) -> tuple[TaskVectors, dict[str, Any]]:
        expert = replace(config.expert.of(family), steps=steps)
        mixed = min(config.sentiment_mixed, 50 * steps)
        short = replace(
            config,
            runs=1,
            expert=expert,
            steps_by_task={},
            expert_by_task={},
            sentiment_mixed=mixed,
        )
        shop, base, heads = prepare(data, out, short)
        name = f"ablation-{family.replace(' ', '-')}"
        return make_experts(shop, base, heads, name, expert, tasks), _settings(expert)

    return make


def _settings(expert: Any) -> dict[str, Any]:
    return {k: v for k, v in asdict(expert).items() if k != "steps"}
