"""Inputs that belong to no task of a suite: made here, or taken from tasks it does not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from semerge.engine import Engine
from semerge.evaluation.batches import BATCH_SIZE, picture
from semerge.evaluation.data import balanced_rows, read_set, tasks_in
from semerge.evaluation.measure import Cancelled, Interrupted, Key
from semerge.inputs import clean_text
from semerge.settings import Resolved
from semerge.suites import Suite
from semerge.unfit import Reading

Input = tuple[object, str | None]  # what `Backbone.preprocess` takes
Random = np.random.Generator

OTHER = "other tasks"
SCRIPTS = ((0x10D0, 0x10F0), (0x0561, 0x0586), (0x05D0, 0x05EA), (0x1200, 0x1240), (0x13A0, 0x13EF))
"""Georgian, Armenian, Hebrew, Ethiopic, Cherokee: scripts that no bundled task has.

Words of random letters, not sentences of a language: real sentences in other languages are what a
task of languages gives where its expert is left out."""
MARKS = tuple(".,:;!?-_#%&/()[]*+=~")


def unseen(
    suite: Suite, count: int, seed: int, data: Path | None = None, split: str = "test"
) -> dict[str, list[Input]]:
    """`count` inputs of each kind, seeded; the same suite and seed give the same inputs.

    data: a data folder. The tasks in it that the suite does not have give the kind "other tasks";
    without such there is none.
    """
    rng = np.random.default_rng([seed, 20250618])
    image = suite.modality == "image"
    side = int(suite.architecture["vision_cfg"]["image_size"]) if image else 0
    kinds: dict[str, Callable[[], Input]] = (
        {
            "noise": lambda: (_noise(rng, side), None),
            "blank": lambda: (_blank(rng, side), None),
            "random shapes": lambda: (_shapes(rng, side), None),
        }
        if image
        else {
            "random letters": lambda: (_words(rng, (0x61, 0x7B)), None),
            "letters of other scripts": lambda: (
                _words(rng, SCRIPTS[rng.integers(len(SCRIPTS))]),
                None,
            ),
            "marks and digits": lambda: (_marks(rng), None),
        }
    )
    found = {name: [make() for _ in range(count)] for name, make in kinds.items()}
    other = _other_tasks(suite, count, seed, data, split) if data else []
    return found | ({OTHER: other} if other else {})


@torch.inference_mode()
def read(
    engine: Engine,
    inputs: Sequence[Input],
    resolved: Resolved,
    other: Key | None = None,
    cancelled: Cancelled | None = None,
) -> Reading:
    """Distances of inputs without labels, by the probe of `resolved` and at `other`.

    Raises:
        Interrupted: `cancelled` said so.
    """
    keys = [resolved.probing]
    if other is not None:
        keys.append((other.probe, other.layer, other.pool))
    probes, layers, pools = (tuple(dict.fromkeys(column)) for column in zip(*keys, strict=True))
    found = []
    for start in range(0, len(inputs), BATCH_SIZE):
        if cancelled and cancelled():
            raise Interrupted
        batch = engine.backbone.collate(
            [engine.backbone.preprocess(*one) for one in inputs[start : start + BATCH_SIZE]]
        )
        placed = engine.models.place(batch)
        distances = engine.distances(placed, resolved, probes=probes, layers=layers, pools=pools)
        found.append([distances[key].cpu() for key in keys])
    return Reading(*(torch.cat(columns) for columns in zip(*found, strict=True)))


def _noise(rng: Random, side: int) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))


def _blank(rng: Random, side: int) -> Image.Image:
    return Image.new("RGB", (side, side), _colour(rng))


def _shapes(rng: Random, side: int) -> Image.Image:
    """Some lines, ellipses and boxes in any colour, on any colour."""
    image = _blank(rng, 4 * side)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 9))):
        x = np.sort(rng.integers(0, 4 * side, 2)).tolist()
        y = np.sort(rng.integers(0, 4 * side, 2)).tolist()
        box, width = (x[0], y[0], x[1] + 1, y[1] + 1), int(rng.integers(2, side // 4))
        kind = rng.integers(3)
        if kind == 0:
            draw.line((x[0], y[1], x[1], y[0]), _colour(rng), width)
        elif kind == 1:
            draw.ellipse(box, _colour(rng), _colour(rng), width=1)
        else:
            draw.rectangle(box, _colour(rng), _colour(rng), width=1)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def _colour(rng: Random) -> tuple[int, int, int]:
    r, g, b = rng.integers(0, 256, 3).tolist()
    return r, g, b


def _words(rng: Random, letters: tuple[int, int]) -> str:
    """Three to twelve words of random letters; code points from `letters[0]` below `letters[1]`."""
    words = (
        "".join(chr(c) for c in rng.integers(*letters, rng.integers(2, 10)))
        for _ in range(int(rng.integers(3, 13)))
    )
    return " ".join(words)


def _marks(rng: Random) -> str:
    alphabet = [*MARKS, *"0123456789"]
    length = int(rng.integers(1, 30))
    marks = "".join(alphabet[i] for i in rng.integers(len(alphabet), size=length))
    return " ".join(marks[i : i + 4] for i in range(0, length, 4))


def _other_tasks(suite: Suite, count: int, seed: int, data: Path, split: str) -> list[Input]:
    """`count` samples of each task in the folder that the suite does not have."""
    found: list[Input] = []
    for name in tasks_in(data):
        if name in suite.task_names:
            continue
        samples = read_set(data, name, split)
        if samples.visual != (suite.modality == "image"):
            continue
        for i in balanced_rows(samples.labels, count, seed):
            if samples.visual:
                found.append((picture(samples.pixels(i)), None))
            else:
                clean = clean_text(samples.texts[i], samples.texts_b[i])
                found.append((clean.text, clean.text_b))
    return found
