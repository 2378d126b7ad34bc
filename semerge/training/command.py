"""python -m semerge train: one command from a data folder to a finished suite.

`OUT/stages` holds what the stages leave, so a run that was cut off goes on where it stopped;
`OUT/<suite>` is the suite.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semerge.errors import UserError
from semerge.evaluation.data import tasks_in
from semerge.suites import Suite

SUITES = ("mini-vision", "mini-text")
SMOKE_SAMPLES = 24
"""Samples a task and split that a smoke run measures on."""

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from semerge.training.export import SuiteSpec, Trained

    # what a suite is, its weights, the seed, and what makes stages/ablation.json
    Made = tuple[SuiteSpec, Trained, int, Callable[[Suite], None] | None]


def run(args: argparse.Namespace) -> int:
    """Train, measure and write a suite. Returns the exit code."""
    if args.suite not in SUITES:
        raise UserError(f"train makes {' or '.join(SUITES)}, not {args.suite!r}.")
    data, out = Path(args.data), Path(args.out)
    tasks_in(data)  # tells at once if there is no such folder
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    stages, started = out / "stages", time.perf_counter()
    stages.mkdir(parents=True, exist_ok=True)
    train = _vision if args.suite == "mini-vision" else _text
    spec, trained, seed, ablate = train(data, stages, args.seed, args.smoke)

    from semerge.training.finish import finish, trivial_accuracies

    def told(suite: Suite) -> dict[str, Any]:
        if ablate:
            ablate(suite)
        trivial = {} if args.smoke else {"trivial": trivial_accuracies(suite)}
        return facts(stages, seed, time.perf_counter() - started) | trivial

    suite = finish(
        out / args.suite,
        data,
        spec,
        trained,
        told,
        f"python -m semerge train --suite {args.suite} --data DIR --out DIR",
        limit=SMOKE_SAMPLES if args.smoke else None,
    )
    print(f"{suite.name} is in {suite.folder}")
    return 0


def facts(stages: Path, seed: int, seconds: float) -> dict[str, Any]:
    """What the stages tell the report. `log.json` may hold device and wall times of earlier,
    interrupted runs, `ablation.json` how experts made in other ways fared."""
    found: dict[str, Any] = {"seed": seed, "training": {"device": "cpu", "this_run_s": seconds}}
    for path in (stages / "log.json", stages / "final" / "log.json"):
        if path.is_file():
            found["training"] |= json.loads(path.read_text(encoding="utf-8"))
    if (path := stages / "ablation.json").is_file():
        found["ablation"] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _vision(data: Path, stages: Path, seed: int | None, smoke: bool) -> Made:
    from semerge.training.assemble import vision_suite
    from semerge.training.vision import train_vision
    from semerge.training.vision_config import VisionConfig, smoke_config

    config = VisionConfig() if seed is None else replace(VisionConfig(), seed=seed)
    folder = train_vision(data, stages, config, smoke)
    made = smoke_config(config) if smoke else config

    def compare(suite: Suite) -> None:
        from semerge.evaluation.sets import suite_sets
        from semerge.loading import load
        from semerge.training.vision_ablation import STEPS, ablate

        limit, steps = (SMOKE_SAMPLES, 2) if smoke else (None, STEPS)
        validation = suite_sets(suite, data, "validation", limit)
        ablate(data, stages, made, load(suite), list(validation.sets), steps)

    return *vision_suite(folder, made.open_clip()), config.seed, compare


def _text(data: Path, stages: Path, seed: int | None, smoke: bool) -> Made:
    from semerge.training.assemble import text_suite
    from semerge.training.text import train_text
    from semerge.training.text_config import TextConfig, smoke_config

    config = TextConfig() if seed is None else replace(TextConfig(), seed=seed)
    train_text(data, stages, config, smoke)
    made = smoke_config(config) if smoke else config
    return *text_suite(stages, data, {"n_head": made.heads}), config.seed, None
