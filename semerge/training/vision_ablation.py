"""The same experts made in three ways, briefly: with and without the terms that shape them."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from semerge.evaluation.ablation import describe
from semerge.evaluation.data import LabelledSet
from semerge.loading import Loaded
from semerge.task_vectors import TaskVectors
from semerge.training.vision import (
    logit_scale,
    strip,
    train_expert,
    training_sets,
)
from semerge.training.vision_config import VisionConfig
from semerge.training.vision_tasks import TASKS

logger = logging.getLogger(__name__)

STEPS = 150
SAMPLES = 100
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"preserve": dict.fromkeys(TASKS, 0.0), "drift": 0.0},
    "preserve": {"drift": 0.0},
    "preserve and drift": {},
}


def ablate(
    data: Path,
    out: Path,
    config: VisionConfig,
    loaded: Loaded,
    validation: list[LabelledSet],
    steps: int = STEPS,
) -> list[dict[str, Any]]:
    """Train `steps` steps a task and variant, measure on validation, keep `out/ablation.json`.

    loaded: the suite whose base and heads are used; its experts are replaced by the variants'.
    """
    path = out / "ablation.json"
    if path.exists():
        return list(json.loads(path.read_text(encoding="utf-8")))
    sets = training_sets(data, out, config)
    clip = load_file(out / "base.safetensors")
    backbone, base = config.backbone(logit_scale(clip)), strip(clip)
    rows = []
    for name, changes in VARIANTS.items():
        expert = replace(
            config.expert,
            **changes,
            batch=min(64, config.expert.batch),
            replay=min(24, config.expert.replay),
            steps=dict.fromkeys(config.expert.steps, steps),
        )
        short = replace(config, expert=expert)
        folder = out / "ablation" / name.replace(" ", "-")
        experts = [
            train_expert(short, t, base, loaded.heads[t], sets, backbone, folder)
            for t in loaded.suite.task_names
        ]
        vectors = TaskVectors(base, experts, backbone.segments)
        found = describe(replace(loaded, vectors=vectors), validation, SAMPLES)
        settings = {k: v for k, v in asdict(expert).items() if k != "steps"}
        rows.append({"experts": name, "steps": steps, "settings": settings, **found})
        logger.info("ablation, %s: %s", name, json.dumps(found))
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return rows
