"""The same experts made in three ways, briefly: with and without the terms that shape them.

The answer to "does the recipe do it?": the task's loss alone, with the representation-preserving
term, and with the drift term as well. Measured on validation, kept as `ablation.json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from recipes.describe_ablation import describe
from recipes.text_config import TextConfig
from recipes.vision_config import VisionConfig
from semerge.data.labelled import LabelledSet
from semerge.loading import Loaded
from semerge.task_vectors import TaskVectors

logger = logging.getLogger(__name__)

STEPS = 120
SAMPLES = 100


@dataclass(frozen=True)
class Variant:
    """Which of the two terms an expert's loss has."""

    name: str
    preserve: bool
    drift: bool


VARIANTS = (
    Variant("plain", False, False),
    Variant("preserve", True, False),
    Variant("preserve and drift", True, True),
)

Make = Callable[[Variant, int, Sequence[str]], tuple[TaskVectors, dict[str, Any]]]
"""(variant, steps, tasks) -> their experts, in that order, and the numbers of the recipe."""


def ablate(
    out: Path,
    make: Make,
    loaded: Loaded,
    validation: list[LabelledSet],
    steps: int = STEPS,
) -> list[dict[str, Any]]:
    """Make every variant, measure it on validation, keep the rows in `out/ablation.json`.

    loaded: the suite whose base and heads are used; its experts are replaced by the variants'.
    """
    path = out / "ablation.json"
    if path.exists():
        return list(json.loads(path.read_text(encoding="utf-8")))
    rows = []
    for variant in VARIANTS:
        vectors, settings = make(variant, steps, loaded.suite.task_names)
        found = describe(replace(loaded, vectors=vectors), validation, SAMPLES)
        rows.append({"experts": variant.name, "steps": steps, "settings": settings, **found})
        logger.info("ablation, %s: %s", variant.name, json.dumps(found))
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return rows


def vision_variants(data: Path, out: Path, config: VisionConfig) -> Make:
    """Experts of the vision suite, from the base in `out`."""
    from recipes.vision import logit_scale, make_heads, strip, train_expert, training_sets

    def make(
        variant: Variant, steps: int, tasks: Sequence[str]
    ) -> tuple[TaskVectors, dict[str, Any]]:
        clip = load_file(out / "base.safetensors")
        backbone, base = config.backbone(logit_scale(clip)), strip(clip)
        heads, sets = make_heads(config, clip), training_sets(data, out, config)
        usual = config.expert
        expert = replace(
            usual,
            preserve=usual.preserve if variant.preserve else dict.fromkeys(usual.preserve, 0.0),
            drift=usual.drift if variant.drift else 0.0,
            batch=min(64, usual.batch),
            replay=min(24, usual.replay),
            taught=(),
            runs={},
            steps=dict.fromkeys(usual.steps, steps),
        )
        short = replace(config, expert=expert)
        folder = out / "ablation" / variant.name.replace(" ", "-")
        experts = [
            train_expert(short, task, base, heads[task], sets, backbone, folder) for task in tasks
        ]
        return TaskVectors(base, experts, backbone.segments), _settings(expert)

    return make


def text_variants(data: Path, out: Path, config: TextConfig) -> Make:
    """Experts of the text suite, from the base in `out`."""
    from recipes.text import make_experts, prepare

    def make(
        variant: Variant, steps: int, tasks: Sequence[str]
    ) -> tuple[TaskVectors, dict[str, Any]]:
        usual = config.expert
        expert = replace(
            usual,
            preserve=usual.preserve if variant.preserve else 0.0,
            drift=usual.drift if variant.drift else 0.0,
            steps=steps,
        )
        mixed = min(config.sentiment_mixed, 50 * steps)
        short = replace(
            config, expert=expert, steps_by_task={}, expert_by_task={}, sentiment_mixed=mixed
        )
        shop, base, heads = prepare(data, out, short)
        name = f"ablation-{variant.name.replace(' ', '-')}"
        return make_experts(shop, base, heads, name, expert, tasks), _settings(expert)

    return make


def _settings(expert: Any) -> dict[str, Any]:
    return {k: v for k, v in asdict(expert).items() if k != "steps"}
