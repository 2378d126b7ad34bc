"""Does a suite notice what no expert fits? How is set on validation, how well shows on test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from semerge.data.labelled import LabelledSet, balanced_rows, read_set, tasks_in
from semerge.engine import Engine
from semerge.evaluation.collect import second_pass
from semerge.evaluation.hypothesis import auroc, pooled, share
from semerge.evaluation.measure import (
    Cancelled,
    Interrupted,
    Measurement,
    each_batch,
    tasks_of,
)
from semerge.inputs import clean_text
from semerge.models import END, Point
from semerge.probe import Place, run
from semerge.probes import PROBES, At, key_at
from semerge.registry import Key
from semerge.routing import (
    CLIP,
    EITHER,
    SMALL,
    Calibration,
    Reading,
    Weight,
    either,
    logarithm,
    nearest,
    scores,
    together,
)
from semerge.settings import FINAL, Resolved, valid_layers
from semerge.suites import Suite
from semerge.suites.abstention import TOGETHER, Beside

# ---- thresholds for a stated false-alarm rate, and measured rates --------------------------------
# `semerge.routing` has the scores. A threshold is the quantile of validation's own scores that lets
# the stated share pass above it; what the false-alarm rate really is, test shows.

ALONE = Beside()
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


def gauges(suite: Suite, resolved: Resolved) -> tuple[Key, ...]:
    """How far the merged model moves an input, at every block with the pooling that is probed and
    at the final embedding."""
    pool = "mean" if resolved.pool == FINAL else resolved.pool
    points = [(layer, FINAL if layer == FINAL else pool) for layer in valid_layers(suite)]
    return tuple(key_at("moved", *point, resolved.probe_lambda) for point in points)


def calibrate(
    validation: Reading, unseen: Sequence[Reading] = (), false_alarm: float = FALSE_ALARM
) -> Calibration:
    """Thresholds from validation samples, each of some task of the suite, and the weights of
    `together`, which tell them from inputs that belong to none.

    unseen: kinds of such inputs, each counting the same; without any there is no `together`. Raises
    ValueError for no sample, or a rate that is not between 0 and 1.
    """
    distances = validation.routing
    if not len(distances) or not 0 < false_alarm < 1:
        raise ValueError("thresholds need samples and a rate between 0 and 1")
    first, chosen = distances.double().amin(1), nearest(distances)
    experts = validation.experts.tolist()
    usual = first.median().repeat(distances.shape[1] + (validation.left_out is not None))
    for column, t in enumerate(experts):
        if (mine := chosen == column).any():
            usual[t] = first[mine].median()

    def limit(values: Tensor) -> float:
        return float(torch.quantile(values, 1 - false_alarm, interpolation="higher"))

    own = scores(validation, usual)
    limits = {name: limit(values) for name, values in own.items()}
    if validation.other is not None:
        limits[EITHER] = limit(either(own, limits))
    weights: dict[str, Weight] = {}
    if unseen:
        weights = fit(own, [scores(reading, usual) for reading in unseen])
        limits[TOGETHER] = limit(together(own, weights))
    return Calibration(tuple(usual.tolist()), limits, false_alarm, len(distances), weights)


RIDGE = 0.01
"""Of the squared weights, beside the mean loss: scores that say the same share their weight."""


def fit(
    own: Mapping[str, Tensor], unseen: Sequence[Mapping[str, Tensor]], steps: int = 30
) -> dict[str, Weight]:
    """Logistic regression on the scores' logarithms, own inputs against kinds of unseen ones: by
    score its mean and deviation among the own, and its weight. Newton's method. Own inputs count as
    much as all unseen ones together, and of these each kind the same."""
    names = [name for name in own if all(name in kind for kind in unseen)]
    columns = [torch.stack([logarithm(n, part[n]) for n in names], 1) for part in (own, *unseen)]
    columns = [c[torch.isfinite(c).all(1)] for c in columns]
    mean, scale = columns[0].mean(0), columns[0].std(0).clamp(min=SMALL)
    x = ((torch.cat(columns) - mean) / scale).clamp(-CLIP, CLIP)
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)  # the last weight is the bias
    y = torch.cat([torch.full((len(c),), float(i > 0)) for i, c in enumerate(columns)]).double()
    kinds = sum(len(c) > 0 for c in columns[1:])
    shares = [0.5] + [0.5 / max(1, kinds)] * len(unseen)
    counts = [(share, len(c)) for share, c in zip(shares, columns, strict=True) if len(c)]
    each = torch.cat([torch.full((n,), share / n, dtype=x.dtype) for share, n in counts])
    ridge = RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
    ridge[-1, -1] = 1e-9
    w = torch.zeros(x.shape[1], dtype=x.dtype)
    for _ in range(steps):
        p = (x @ w).sigmoid()
        slope = x.mT @ (each * (p - y)) + ridge @ w
        curvature = (x * (each * p * (1 - p))[:, None]).mT @ x + ridge
        w = w - torch.linalg.solve(curvature, slope)
    rows = zip(names, mean.tolist(), scale.tolist(), w.tolist(), strict=False)
    return {name: Weight(*row) for name, *row in rows}


def alarm_rates(
    calibration: Calibration, seen: Reading, unseen: Mapping[str, Reading]
) -> dict[str, Any]:
    """For each score the false alarms on `seen` and the misses on each kind of `unseen`. `miss`
    over all kinds counts each kind the same; `auroc` needs no threshold."""
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
    """`count` inputs of each kind, seeded; the same suite and seed give the same inputs. data: a
    data folder. The tasks in it that the suite does not have give the kind "other tasks", `count`
    samples each; without such there is none."""
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
    beside: Beside = ALONE,
    cancelled: Cancelled | None = None,
) -> Reading:
    """Inputs without labels, by the probe of `resolved` and what is `beside` it."""
    models, count = engine.models, engine.models.vectors.count
    places = [Place.of(models, key) for key in (resolved.probing, *beside.keys)]
    found: list[dict[Any, Tensor]] = []
    for start in range(0, len(inputs), BATCH_SIZE):
        if cancelled and cancelled():
            raise Interrupted
        part = [engine.backbone.preprocess(*one) for one in inputs[start : start + BATCH_SIZE]]
        batch = engine.models.place(engine.backbone.collate(part))
        distances, ends = run(models, batch, places, set(range(count)))
        sure = torch.stack([engine.confidence(ends[t], t) for t in range(count)], 1)
        found.append({**distances, "confidence": sure})
    whole: dict[Any, Tensor] = {key: torch.cat([one[key] for one in found]) for key in found[0]}
    return Reading.at(whole, resolved.probing, beside, whole["confidence"])


# ---- a suite without one of its experts, for every expert in turn --------------------------------
# The merged models are merged without the expert too. The cache probe's statistics were made with
# it, so there only the expert's own column is left out.


@dataclass(frozen=True)
class LeftOut:
    """readings[t] is of the N samples without expert t, with T − 1 columns, those of the others in
    the suite's order; tasks (N,)."""

    readings: tuple[Reading, ...]
    tasks: Tensor

    def unseen(self, apart: int | None = None) -> list[Reading]:
        """The samples of each task, without its expert, but those of one task."""
        seen = [t for t in self.tasks.unique().tolist() if t != apart]
        return [self.readings[t].of(self.tasks == t) for t in seen]

    def calibration(self, t: int, made: Sequence[Reading] = ()) -> Calibration:
        """Without expert t, from the samples of the other tasks; neither weights nor thresholds
        know of task t."""
        own = self.readings[t].of(self.tasks != t)
        return calibrate(own, [*made, *self.unseen(apart=t)] if made else ())


@torch.inference_mode()
def leave_out(
    engine: Engine,
    sets: Sequence[LabelledSet],
    key: Key,
    beside: Beside = ALONE,
    cancelled: Cancelled | None = None,
) -> LeftOut:
    """Readings without each expert in turn, at a key and beside it."""
    count, keys = engine.models.vectors.count, (key, *beside.keys)
    found: list[list[dict[Any, Tensor]]] = [[] for _ in range(count)]
    order = []
    for _, at, batch in each_batch(engine, sets, cancelled):
        order.append(at)
        for t, columns in enumerate(_without_each(engine, batch, keys)):
            found[t].append(columns)
    back = torch.cat(order).argsort()
    readings = []
    for t, parts in enumerate(found):
        whole = {name: torch.cat([one[name] for one in parts])[back] for name in parts[0]}
        readings.append(Reading.at(whole, key, beside, whole["confidence"], t))
    return LeftOut(tuple(readings), tasks_of(engine, sets))


def left_out_rates(
    validation: LeftOut, split: LeftOut, names: Sequence[str], made: Sequence[Reading] = ()
) -> dict[str, Any]:
    """For each score the misses where each expert is left out and its task fed, and the false
    alarms on the other tasks.

    What tells them without an expert comes from validation's samples of the other tasks, and from
    the made inputs `made`. `tasks` has the misses by the task that was left out, all named as in
    `names`, the suite's tasks.
    """
    by_task: dict[str, dict[str, Any]] = {}
    for t in split.tasks.unique().tolist():
        reading, own = split.readings[t], split.tasks == t
        unseen = {names[t]: reading.of(own)}
        by_task[names[t]] = alarm_rates(validation.calibration(t, made), reading.of(~own), unseen)
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
    *,
    made: Sequence[Reading] = (),
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
        unfit[own] = validation.calibration(t, made).unfit(split.readings[t].of(own), score)
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


def _without_each(
    engine: Engine, placed: Batch, keys: Sequence[Key]
) -> Iterator[dict[Any, Tensor]]:
    """By expert that is left out: distances (B, T − 1) by key and, as "confidence", the others'."""
    models, count = engine.models, engine.models.vectors.count
    of_models, points = models.representations, {key.point for key in keys} | {END}
    places = [Place.of(models, key) for key in keys]
    stored = [place.key for place in places if place.statistics is not None]
    every = engine.distances_at(placed, stored) if stored else {}
    experts = [dict(of_models(partial(models.expert, t), placed, points)) for t in range(count)]
    base = dict(of_models(models.base, placed, points))
    # all that is merged here is merged at one λ
    scale = max(key.probe_lambda for key in keys)
    sure = torch.stack([engine.confidence(experts[t][END], t) for t in range(count)], 1)
    for t in range(count):
        rest = _others(t, count)
        scales = torch.full((count,), scale, device=models.device)
        scales[t] = 0.0
        merged = {point: r.clone() for point, r in of_models(models.merged(scales), placed, points)}
        columns = {key: d[:, rest].cpu() for key, d in every.items()}
        for place in places:
            if place.key in every:
                continue
            at, usual = place.point, place.displacements
            usual = None if usual is None else usual[rest, None]
            others = torch.stack([experts[k][at] for k in rest])
            d = place.function(At(merged[at], base[at], others, None, usual))  # type: ignore[arg-type]
            columns[place.key] = (d.mT if "experts" in place.needs else d).cpu()
        yield {**columns, "confidence": sure[:, rest].cpu()}


def _others(t: int, count: int) -> list[int]:
    return [k for k in range(count) if k != t]


# ---- all of it -----------------------------------------------------------------------------------

UNSEEN = 100
"""Inputs of each kind that belong to no task."""


def misfits(
    engine: Engine,
    validation: Measurement,
    test: Measurement,
    resolved: Resolved,
    beside: Beside = ALONE,
    data: Path | None = None,
    *,
    count: int = UNSEEN,
    seed: int = 0,
    cancelled: Cancelled | None = None,
) -> dict[str, Any]:
    """Made inputs, inputs of other tasks, and each expert left out in turn, on both splits.

    The score that the notice goes by is the one with the fewest misses on validation, each kind of
    input counting the same and the left-out experts together as much as all made kinds.

    beside: what to ask beside the probe that routes, see `other_key` and `gauges`.
    data: a data folder with tasks of the suite's modality that the suite does not have. Nothing is
        fitted to these: they show what becomes of inputs of a kind that was not foreseen.
    """
    suite, names, key = engine.suite, engine.suite.task_names, resolved.probing
    cuts = {"validation": validation, "test": test}
    seen = {
        split: Reading.at(cut.distances, key, beside, cut.confidence) for split, cut in cuts.items()
    }
    far: dict[str, dict[str, Reading]] = {}
    left: dict[str, LeftOut] = {}
    for number, (split, cut) in enumerate(cuts.items()):
        inputs = unseen(suite, count, 2 * seed + number, data, split)  # never the same ones twice
        far[split] = {k: read(engine, x, resolved, beside, cancelled) for k, x in inputs.items()}
        if len(suite.tasks) > 2:  # of two experts one is left, and no margin
            left[split] = leave_out(engine, cut.sets, key, beside, cancelled)
    known = [reading for kind, reading in far["validation"].items() if kind != OTHER]
    apart = left["validation"].unseen() if left else []
    calibration = calibrate(seen["validation"], [*known, *apart])
    made = {split: alarm_rates(calibration, seen[split], far[split]) for split in cuts}
    without = {
        split: left_out_rates(left["validation"], of, names, known) for split, of in left.items()
    }
    misses = {}
    for score in calibration.thresholds:
        misses[score] = {"made": made["validation"][score]["miss"]}
        if without:
            misses[score]["left_out"] = without["validation"][score]["miss"]["share"]
    score = min(misses, key=lambda name: sum(misses[name].values()))
    run = second_pass(engine, test.sets, test, test.distances[key], resolved, cancelled)
    static = test.answers[suite.defaults.static_lambda]
    answers = {
        "oracle": (test.oracle(run.answers), test.oracle(static)),
        "routed": (test.routed(run.answers, run.chosen), test.routed(static, run.chosen)),
    }
    back = fallback(calibration.unfit(seen["test"], score), answers)
    if left:
        back["left_out"] = left_out_fallback(
            engine,
            test.sets,
            left["validation"],
            left["test"],
            resolved,
            score,
            cancelled,
            made=known,
        )
    return {
        **calibration.to_dict(),
        "inputs": count,
        "score": score,
        "other_probe": beside.other._asdict() if beside.other else None,
        "gauges": [key._asdict() for key in beside.gauges],
        "validation_misses": misses,
        "made": made["test"],
        "left_out": without.get("test", {}),
        "fallback": back,
    }
