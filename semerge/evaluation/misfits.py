"""Does a suite notice what no expert fits? Thresholds from validation, rates on test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from semerge.backbones import Batch
from semerge.data.batches import BATCH_SIZE, picture
from semerge.data.labelled import LabelledSet, Sets, balanced_rows, read_set, tasks_in
from semerge.engine import Engine
from semerge.evaluation.collect import second_pass
from semerge.evaluation.hypothesis import auroc, pooled, share
from semerge.evaluation.measure import (
    Cancelled,
    Interrupted,
    Measurement,
    each_batch,
    represent,
    tasks_of,
)
from semerge.inputs import clean_text
from semerge.models import Point
from semerge.probes import PROBES, At
from semerge.registry import Key
from semerge.routing import EITHER, Calibration, Reading, either, nearest, scores
from semerge.settings import FINAL, Resolved
from semerge.suites import Suite

# ---- thresholds for a stated false-alarm rate, and measured rates --------------------------------
# `semerge.routing` has the scores. A threshold is the quantile of validation's own scores that lets
# the stated share pass above it; what the false-alarm rate really is, test shows.

FALSE_ALARM = 0.05
"""The share of inputs that do belong to a task for which the notice may come."""


def other_key(suite: Suite, resolved: Resolved, moving: Point) -> Key | None:
    """The probe to ask beside the one that routes: `cache` at the final embedding, for one more
    run of one model, or None without statistics; where `cache` routes, `base` at the point
    `moving`, for one more run of all experts."""
    if PROBES[resolved.probe].stored:
        return Key("base", *moving)
    usual = resolved.probe_lambda == suite.defaults.probe_lambda
    if suite.statistics is None or not usual:
        return None
    return Key("cache", FINAL, FINAL, resolved.probe_lambda)


def calibrate(validation: Reading, false_alarm: float = FALSE_ALARM) -> Calibration:
    """Thresholds from validation samples, each of some task of the suite.

    Raises:
        ValueError: no sample, or a rate that is not between 0 and 1.
    """
    distances = validation.routing
    if not len(distances) or not 0 < false_alarm < 1:
        raise ValueError("thresholds need samples and a rate between 0 and 1")
    first, chosen = distances.double().amin(1), nearest(distances)
    nearest_to = [chosen == t for t in range(distances.shape[1])]
    usual = torch.stack([(first[own] if own.any() else first).median() for own in nearest_to])

    def limit(values: Tensor) -> float:
        return float(torch.quantile(values, 1 - false_alarm, interpolation="higher"))

    own = scores(validation, usual)
    limits = {name: limit(values) for name, values in own.items()}
    if validation.other is not None:
        limits[EITHER] = limit(either(own, limits))
    return Calibration(tuple(usual.tolist()), limits, false_alarm, len(distances))


def alarm_rates(
    calibration: Calibration, seen: Reading, unseen: Mapping[str, Reading]
) -> dict[str, Any]:
    """For each score the false alarms on `seen` and the misses on each kind of `unseen`.

    `miss` over all kinds counts each kind the same; `auroc` needs no threshold.
    """
    own = calibration.scores(seen)
    others = {kind: calibration.scores(reading) for kind, reading in unseen.items()}
    found: dict[str, Any] = {}
    for name, limit in calibration.thresholds.items():
        kinds = {
            kind: share(values[name] <= limit) | {"auroc": auroc(own[name], values[name])}
            for kind, values in others.items()
        }
        missed = [row["share"] for row in kinds.values() if row["n"]]
        found[name] = {
            "threshold": limit,
            "false_alarm": share(own[name] > limit),
            "kinds": kinds,
            "miss": sum(missed) / len(missed) if missed else None,
        }
    return found


def fallback(unfit: Tensor, answers: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """What becomes of the accuracy if the static coefficients are used where the notice comes.

    unfit (N,) bool; answers: by head mode, where SE-Merging and the static merge are right, bool
    (N,) each. On samples of the suite's tasks this is the price of false alarms, on those of a task
    whose expert was left out it is what the fallback is good for.
    """
    found: dict[str, Any] = {"n": len(unfit), "fell_back": int(unfit.sum())}
    for head, (se, static) in answers.items():
        mixed = torch.where(unfit, static, se)
        found[head] = {
            "se": float(se.double().mean()),
            "static": float(static.double().mean()),
            "with_fallback": float(mixed.double().mean()),
            "fixed": int((mixed & ~se).sum()),
            "broken": int((se & ~mixed).sum()),
        }
    return found


# ---- inputs that belong to no task of a suite ----------------------------------------------------

Input = tuple[object, str | None]  # what `Backbone.preprocess` takes
Random = np.random.Generator

OTHER = "other tasks"
SCRIPTS = ((0x10D0, 0x10F0), (0x0561, 0x0586), (0x05D0, 0x05EA), (0x1200, 0x1240), (0x13A0, 0x13EF))
"""Georgian, Armenian, Hebrew, Ethiopic, Cherokee: scripts that no bundled task has.

Words of random letters, not sentences of a language: real sentences in other languages are what a
task of languages gives where its expert is left out."""
MARKS = ".,:;!?-_#%&/()[]*+=~0123456789"


def _noise(rng: Random, side: int) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))


def _blank(rng: Random, side: int) -> Image.Image:
    return Image.new("RGB", (side, side), _colour(rng))


def _shapes(rng: Random, side: int) -> Image.Image:
    """Some lines, ellipses and boxes in any colour, on any colour."""
    image = _blank(rng, 4 * side)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 9))):
        left, right = np.sort(rng.integers(0, 4 * side, 2)).tolist()
        top, bottom = np.sort(rng.integers(0, 4 * side, 2)).tolist()
        width, kind = int(rng.integers(2, side // 4)), rng.integers(3)
        if kind == 0:
            draw.line((left, bottom, right, top), _colour(rng), width)
        else:
            shape = draw.ellipse if kind == 1 else draw.rectangle
            shape((left, top, right + 1, bottom + 1), _colour(rng), _colour(rng), width=1)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def _colour(rng: Random) -> tuple[int, ...]:
    return tuple(rng.integers(0, 256, 3).tolist())


def _words(rng: Random, letters: tuple[int, int]) -> str:
    """Three to twelve words of random letters; code points from `letters[0]` below `letters[1]`."""
    words = (
        "".join(map(chr, rng.integers(*letters, rng.integers(2, 10))))
        for _ in range(int(rng.integers(3, 13)))
    )
    return " ".join(words)


def _marks(rng: Random) -> str:
    length = int(rng.integers(1, 30))
    marks = "".join(MARKS[i] for i in rng.integers(len(MARKS), size=length))
    return " ".join(marks[i : i + 4] for i in range(0, length, 4))


MADE: Mapping[str, Mapping[str, Callable[[Random, int], object]]] = {
    "image": {"noise": _noise, "blank": _blank, "random shapes": _shapes},
    "text": {
        "random letters": lambda rng, _: _words(rng, (0x61, 0x7B)),
        "letters of other scripts": lambda rng, _: _words(rng, SCRIPTS[rng.integers(len(SCRIPTS))]),
        "marks and digits": lambda rng, _: _marks(rng),
    },
}
"""By modality, the kinds of input that are made; of an image its side is told."""


def unseen(
    suite: Suite, count: int, seed: int, data: Path | None = None, split: str = "test"
) -> dict[str, list[Input]]:
    """`count` inputs of each kind, seeded; the same suite and seed give the same inputs.

    data: a data folder. The tasks in it that the suite does not have give the kind "other tasks",
    `count` samples each; without such there is none.
    """
    rng = np.random.default_rng([seed, 20250618])
    image = suite.modality == "image"
    side = int(suite.architecture["vision_cfg"]["image_size"]) if image else 0
    found: dict[str, list[Input]] = {
        kind: [(make(rng, side), None) for _ in range(count)]
        for kind, make in MADE[suite.modality].items()
    }
    if data is None:
        return found
    for name in tasks_in(data):
        if name in suite.task_names:
            continue
        samples = read_set(data, name, split)
        if samples.visual != image:
            continue
        other = found.setdefault(OTHER, [])
        for i in balanced_rows(samples.labels, count, seed):
            if image:
                other.append((picture(samples.pixels(i)), None))
            else:
                clean = clean_text(samples.texts[i], samples.texts_b[i])
                other.append((clean.text, clean.text_b))
    return found


@torch.inference_mode()
def read(
    engine: Engine,
    inputs: Sequence[Input],
    resolved: Resolved,
    other: Key | None = None,
    cancelled: Cancelled | None = None,
) -> Reading:
    """Distances of inputs without labels, by the probe of `resolved` and at `other`."""
    keys = [resolved.probing] if other is None else [resolved.probing, other]
    found = []
    for start in range(0, len(inputs), BATCH_SIZE):
        if cancelled and cancelled():
            raise Interrupted
        part = [engine.backbone.preprocess(*one) for one in inputs[start : start + BATCH_SIZE]]
        distances = engine.distances_at(engine.models.place(engine.backbone.collate(part)), keys)
        found.append([distances[key].cpu() for key in keys])
    return Reading(*(torch.cat(columns) for columns in zip(*found, strict=True)))


# ---- a suite without one of its experts, for every expert in turn --------------------------------
# The merged models are merged without the expert too. The cache probe's statistics were made with
# it, so there only the expert's own column is left out.


@dataclass(frozen=True)
class LeftOut:
    """readings[t] has the N samples' distances without expert t, (N, T − 1), the columns of the
    others in the suite's order; tasks (N,)."""

    readings: tuple[Reading, ...]
    tasks: Tensor

    def calibration(self, t: int) -> Calibration:
        """Thresholds without expert t, from the samples of the other tasks."""
        return calibrate(self.readings[t].of(self.tasks != t))


@torch.inference_mode()
def leave_out(
    engine: Engine,
    sets: Sequence[LabelledSet],
    key: Key,
    other: Key | None = None,
    cancelled: Cancelled | None = None,
) -> LeftOut:
    """Distances without each expert in turn, at one or two keys."""
    count, total = engine.models.vectors.count, sum(len(s) for s in sets)
    keys = [key] if other is None else [key, other]
    found = [torch.empty(count, total, count - 1) for _ in keys]
    for _, at, batch in each_batch(engine, sets, cancelled):
        for distances, one in zip(found, keys, strict=True):
            distances[:, at] = _without_each(engine, batch, one).cpu()
    return LeftOut(tuple(map(Reading, *found)), tasks_of(engine, sets))


def left_out_rates(validation: LeftOut, split: LeftOut, names: Sequence[str]) -> dict[str, Any]:
    """For each score the misses where each expert is left out and its task fed, and the false
    alarms on the other tasks.

    The thresholds without an expert come from validation's samples of the other tasks. `tasks` has
    the misses by the task that was left out, all named as in `names`, the suite's tasks.
    """
    by_task: dict[str, dict[str, Any]] = {}
    for t in split.tasks.unique().tolist():
        reading, own = split.readings[t], split.tasks == t
        unseen = {names[t]: reading.of(own)}
        by_task[names[t]] = alarm_rates(validation.calibration(t), reading.of(~own), unseen)
    found = {}
    for score in next(iter(by_task.values())):
        kinds = {name: rates[score]["kinds"][name] for name, rates in by_task.items()}
        found[score] = {
            "miss": pooled(kinds.values()),
            "false_alarm": pooled(rates[score]["false_alarm"] for rates in by_task.values()),
            "tasks": kinds,
        }
    return found


@torch.inference_mode()
def left_out_fallback(
    engine: Engine,
    sets: Sequence[LabelledSet],
    validation: LeftOut,
    split: LeftOut,
    resolved: Resolved,
    score: str,
    cancelled: Cancelled | None = None,
) -> dict[str, Any]:
    """What becomes of the accuracy on each task without its expert, if the static coefficients of
    the other experts are used where the notice by `score` comes.

    sets: the samples of `split`. The task's own head answers: no other one has its classes. As
    `fallback`, with `tasks`: the same for each task.
    """
    names, count = engine.suite.task_names, engine.models.vectors.count
    labels = torch.from_numpy(np.concatenate([s.labels for s in sets]))
    unfit, se, static = (torch.zeros(len(labels), dtype=torch.bool) for _ in range(3))
    for t in split.tasks.unique().tolist():
        own = split.tasks == t
        unfit[own] = validation.calibration(t).unfit(split.readings[t].of(own), score)
    for t, at, batch in each_batch(engine, sets, cancelled):
        others = _others(t, count)
        routed, same = torch.zeros(2, len(at), count, dtype=torch.float64)
        routed[:, others] = engine.route(split.readings[t].routing[at], resolved).coefficients
        same[:, others] = engine.suite.defaults.static_lambda
        for right, coefficients in ((se, routed), (static, same)):
            z = engine.merged_embedding(batch, coefficients)
            right[at] = engine.logits(z, names[t]).argmax(1).cpu() == labels[at]

    def changed(rows: Tensor) -> dict[str, Any]:
        return fallback(unfit[rows], {"oracle": (se[rows], static[rows])})

    tasks = {names[t]: changed(split.tasks == t) for t in split.tasks.unique().tolist()}
    return changed(torch.arange(len(labels))) | {"tasks": tasks}


def _without_each(engine: Engine, placed: Batch, key: Key) -> Tensor:
    """T matrices of distances, (T, B, T − 1)."""
    models, count, probe = engine.models, engine.models.vectors.count, PROBES[key.probe]
    if "experts" not in probe.needs:
        every = engine.distances_at(placed, [key])[key]  # (B, T)
        return torch.stack([every[:, _others(t, count)] for t in range(count)])
    at = partial(represent, engine, placed=placed, point=key.point)
    experts = torch.stack([at(partial(models.expert, t)) for t in range(count)])  # (T, B, K)
    base = at(models.base) if "base" in probe.needs else None
    moves = "displacements" in probe.needs
    found = []
    for t in range(count):
        scales = torch.full((count,), key.probe_lambda, device=models.device)
        scales[t] = 0.0
        merged = at(models.merged(scales)) if "merged" in probe.needs else None
        rest = _others(t, count)
        usual = models.displacements_at(key)[rest, None] if moves else None
        seen = At(merged, base, experts[rest], None, usual)  # type: ignore[arg-type]
        found.append(probe.function(seen, **PROBES.chosen(key.probe)).mT)
    return torch.stack(found)


def _others(t: int, count: int) -> list[int]:
    return [k for k in range(count) if k != t]


# ---- all of it -----------------------------------------------------------------------------------

UNSEEN = 100
"""Inputs of each kind that belong to no task."""


@dataclass(frozen=True)
class Cut:
    """What was run of one split: the samples, and what they gave."""

    sets: Sets
    measured: Measurement


def misfits(
    engine: Engine,
    validation: Cut,
    test: Cut,
    resolved: Resolved,
    other: Key | None = None,
    data: Path | None = None,
    *,
    count: int = UNSEEN,
    seed: int = 0,
    cancelled: Cancelled | None = None,
) -> dict[str, Any]:
    """Made inputs, inputs of other tasks, and each expert left out in turn, on both splits.

    The score that the notice goes by is the one with the fewest misses on validation, each kind of
    input counting the same and the left-out experts together as much as all made kinds.

    other: another probe to ask beside the one that routes, see `other_key`.
    data: a data folder with tasks of the suite's modality that the suite does not have.
    """
    suite, names, key = engine.suite, engine.suite.task_names, resolved.probing
    cuts, keys = {"validation": validation, "test": test}, [key, other] if other else [key]
    seen = {
        split: Reading(*(cut.measured.distances[k] for k in keys)) for split, cut in cuts.items()
    }
    calibration = calibrate(seen["validation"])
    made: dict[str, dict[str, Any]] = {}
    left: dict[str, LeftOut] = {}
    for number, (split, cut) in enumerate(cuts.items()):
        inputs = unseen(suite, count, 2 * seed + number, data, split)  # never the same ones twice
        far = {k: read(engine, x, resolved, other, cancelled) for k, x in inputs.items()}
        made[split] = alarm_rates(calibration, seen[split], far)
        if len(suite.tasks) > 2:  # of two experts one is left, and no margin
            left[split] = leave_out(engine, cut.sets.sets, key, other, cancelled)
    without = {split: left_out_rates(left["validation"], of, names) for split, of in left.items()}
    misses = {}
    for score in calibration.thresholds:
        misses[score] = {"made": made["validation"][score]["miss"]}
        if without:
            misses[score]["left_out"] = without["validation"][score]["miss"]["share"]
    score = min(misses, key=lambda name: sum(misses[name].values()))
    sets, measured = test.sets.sets, test.measured
    run = second_pass(engine, sets, measured, measured.distances[key], resolved, cancelled)
    static = measured.answers[suite.defaults.static_lambda]
    answers = {
        "oracle": (measured.oracle(run.answers), measured.oracle(static)),
        "routed": (measured.routed(run.answers, run.chosen), measured.routed(static, run.chosen)),
    }
    back = fallback(calibration.unfit(seen["test"], score), answers)
    if left:
        back["left_out"] = left_out_fallback(
            engine, sets, left["validation"], left["test"], resolved, score, cancelled
        )
    return {
        **calibration.to_dict(),
        "inputs": count,
        "score": score,
        "other_probe": other._asdict() if other else None,
        "validation_misses": misses,
        "made": made["test"],
        "left_out": without.get("test", {}),
        "fallback": back,
    }
