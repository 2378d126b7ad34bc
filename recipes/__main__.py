"""python -m recipes vision|text: one command from a data folder to a finished suite.

`OUT/stages` holds what the stages leave, so a run that was cut off goes on where it stopped;
`OUT/train.log` is its log; `OUT/<suite>` is the suite.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.folders import overlay, replaced
from semerge.cli import Parser, guarded
from semerge.common import UserError
from semerge.data.labelled import tasks_in
from semerge.suites import Suite

SUITES = {"vision": "mini-vision", "text": "mini-text"}
EXPERTS = (
    "disentangled: regularised by replay of the base's pre-training inputs, without labels, to "
    "change the function on their own inputs alone"
)
LOOK = 100
"""Validation samples a task for a look at the curve over λ."""
SMOKE_SAMPLES = 24
"""Samples a task and split that a smoke run measures on."""

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from recipes.ablation import Make
    from recipes.export import SuiteSpec, Trained

    # what a suite is, its weights, the seed, what makes experts for the ablation, and notes
    # for the card on how it was made
    Made = tuple[SuiteSpec, Trained, int, Make, dict[str, str]]


def main(argv: Sequence[str] | None = None) -> int:
    """Train, measure and write a suite; returns the exit code."""
    return guarded(lambda: run(parser().parse_args(argv)))


def parser() -> Parser:
    """The options of `python -m recipes`."""
    root = Parser(prog="recipes", description="Rebuild a bundled suite.", allow_abbrev=False)
    root.add_argument("suite", choices=tuple(SUITES), help="which one")
    root.add_argument(
        "--data",
        required=True,
        nargs="+",
        metavar="DIR",
        help="data folders; a file of a later one stands for the same file of an earlier one",
    )
    root.add_argument("--out", required=True, metavar="DIR", help="where the suite goes")
    root.add_argument("--seed", type=int, metavar="N", help="default: the recipe's own")
    root.add_argument(
        "--curve",
        action="store_true",
        help=f"train, print what {LOOK} validation samples a task say over λ, and stop there",
    )
    root.add_argument("--smoke", action="store_true", help="every stage, tiny and fast")
    return root


def run(args: argparse.Namespace) -> int:
    """Train, measure and write a suite. Returns the exit code."""
    folders, out = [Path(folder) for folder in args.data], Path(args.out)
    for folder in folders:
        tasks_in(folder)  # tells at once if there is no such folder
    stages = out / "stages"
    try:
        stages.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"No folder {stages} can be made: {error.strerror}.") from None
    with log_to(out / "train.log"):
        print(rebuild(args, folders, stages))
    return 0


def rebuild(args: argparse.Namespace, folders: Sequence[Path], stages: Path) -> str:
    """All stages and the finished suite, which goes beside `stages`; what to say of them."""
    data, out = overlay(folders, stages / "data"), stages.parent
    train = _vision if args.suite == "vision" else _text
    spec, trained, seed, make, notes = train(data, stages, args.seed, args.smoke)

    from recipes.ablation import STEPS, ablate
    from recipes.curve import curve, table
    from recipes.finish import finish, trivial_accuracies, undecided
    from semerge.data.sets import suite_sets
    from semerge.engine import load_engine
    from semerge.loading import load

    if args.curve:
        suite = undecided(out / f"{SUITES[args.suite]}-undecided", spec, trained)
        samples = SMOKE_SAMPLES if args.smoke else LOOK
        sets = suite_sets(suite, data, "validation", samples).sets
        return table(curve(load_engine(suite.folder), sets))
    limit, steps = (SMOKE_SAMPLES, 2) if args.smoke else (None, STEPS)

    def told(suite: Suite) -> dict[str, Any]:
        validation = suite_sets(suite, data, "validation", limit)
        ablate(stages, make, load(suite), list(validation.sets), steps)
        found = facts(stages, seed) | {"trivial": trivial_accuracies(suite, limit)}
        found["training"] |= notes
        for file, folder in replaced(folders).items():
            found["training"][file] = f"from the data folder {folder}"
        return found

    made = finish(
        out / SUITES[args.suite],
        data,
        spec,
        trained,
        told,
        f"python -m recipes {args.suite} --data {' '.join(['DIR'] * len(folders))} --out DIR",
        limit=limit,
    )
    return f"{made.name} is in {made.folder}"


@contextmanager
def log_to(file: Path) -> Iterator[None]:
    """What is logged goes to the file, behind what is there, and to stderr."""
    handlers: list[logging.Handler] = [
        logging.FileHandler(file, encoding="utf-8"),
        logging.StreamHandler(),
    ]
    root, level = logging.getLogger(), logging.getLogger().level
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%m-%d %H:%M:%S"))
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def facts(stages: Path, seed: int) -> dict[str, Any]:
    """What the stages tell the report: device, seconds of training, and `ablation.json`."""
    from recipes.loop import THREADS

    spent = seconds_of(stages)
    found: dict[str, Any] = {
        "seed": seed,
        "training": {
            "device": f"CPU ({platform.machine()}), {THREADS} thread(s)",
            "wall_time": f"{sum(spent.values()) / 60:.0f} minutes of training",
            "seconds": spent,
        },
    }
    if (path := stages / "ablation.json").is_file():
        found["ablation"] = json.loads(path.read_text(encoding="utf-8"))
    return found


def seconds_of(stages: Path) -> dict[str, float]:
    """Seconds that each stage trained, over all runs, as its file's metadata say."""
    from recipes.loop import seconds

    files = [*stages.glob("*.safetensors"), *stages.glob("experts/final/*.safetensors")]
    spent = {path.stem: seconds(path) for path in sorted(files)}
    return {stage: value for stage, value in spent.items() if value is not None}


def _vision(data: Path, stages: Path, seed: int | None, smoke: bool) -> Made:
    from recipes.ablation import vision_families
    from recipes.assemble import vision_suite
    from recipes.vision import train_vision
    from recipes.vision_config import VisionConfig, smoke_config

    config = VisionConfig() if seed is None else replace(VisionConfig(), seed=seed)
    folder = train_vision(data, stages, config, smoke)
    made = smoke_config(config) if smoke else config
    make = vision_families(data, stages, made)
    notes = {
        "base": f"{made.base_steps} steps of {sum(made.mixture.values())} labelled images of all "
        "tasks",
        "experts": EXPERTS,
    }
    return *vision_suite(folder, made.open_clip()), config.seed, make, notes


def _text(data: Path, stages: Path, seed: int | None, smoke: bool) -> Made:
    from recipes.ablation import text_families
    from recipes.assemble import text_suite
    from recipes.text import train_text
    from recipes.text_config import TextConfig, smoke_config

    config = TextConfig() if seed is None else replace(TextConfig(), seed=seed)
    train_text(data, stages, config, smoke)
    made = smoke_config(config) if smoke else config
    make = text_families(data, stages, made)
    notes = {
        "base": f"a language model; then each task's labels for {made.word_steps} steps as bags of "
        f"words and {made.base_steps} steps as sentences",
        "experts": EXPERTS,
    }
    return *text_suite(stages, data, {"n_head": made.heads}), config.seed, make, notes


if __name__ == "__main__":
    sys.exit(main())
