"""The figures of one suite: what each is a ratio of. Definitions stand beside the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from semerge.bench.subject import Subject, fewer, grown
from semerge.bench.work import Case, Tell, Times, Work, interleaved
from semerge.engine import Engine
from semerge.suites.memory import available

GROWTH = (2, 4, 8, 16, 20)
TIMED = 3  # inputs of a large model that are timed one by one; sweeps take them all
HEADROOM = 1.3  # of the weights: memory that must be free before the growth is measured


def figures(
    subject: Subject,
    rounds: int,
    tell: Tell = lambda text: None,
    reference: Callable[[Work], Case] | None = None,
) -> dict[str, Any]:
    """All ratios but memory and agreement, and the times that they are made from. reference: makes
    a plain implementation of `Work.exact`, which knows no shortcut."""
    work = Work(subject)
    copy, copies = work.copy()
    cases = {
        "static": work.static,
        "exact": work.exact,
        "to_layer": work.to_layer,
        "experts_to_layer": work.experts_to_layer,
        "copy": copy,
        "merge_forward": work.merge_forward,
        "reroute": work.reroute,
    }
    if subject.weights == "trained":
        cases["fast"] = work.quick
    else:
        cases |= {"fast": work.cached(True), "fast_miss": work.cached(False)}
    cases |= {"fast_dropped": work.dropped, "dropping": work.dropping}
    if work.inputs:
        cases["sandbox"] = work.sandbox
    if reference:
        cases["reference"] = reference(work)
    timed = min(len(work.samples), TIMED if subject.weights == "random" else len(work.samples))
    found = interleaved(cases, timed, rounds, tell)
    product, products = work.product()
    sweeps = {"loop": work.loop, "sweep": work.sweep, "passes": work.passes, "product": product}
    many = interleaved(sweeps, 1, rounds, tell)
    count = work.models.vectors.count
    stages = [work.stages(i) for i in range(len(work.samples))]
    ratios = {
        "exact_over_needed": found.total("exact") / needed(found, count, copies),
        "reference_over_exact": found.ratio("reference", "exact") if reference else None,
        "fast_over_static": found.ratio("fast", "static"),
        "fast_dropped_over_static": found.ratio("fast_dropped", "static"),
        "fast_limit": found.ratio("dropping", "static"),
        "sweep_over_loop": many.ratio("loop", "sweep"),
        "sweep_limit": many.ratio("loop", "passes"),
        "sweep_bound": many.ratio("loop", "product") / products,
        "reroute_over_merge_forward": found.ratio("reroute", "merge_forward"),
        "full_ensemble_over_static": float(count),
    }
    if "fast_miss" in cases:
        ratios["fast_miss_over_static"] = found.ratio("fast_miss", "static")
    if "sandbox" in cases:
        ratios["sandbox_ms"] = 1e3 * median(found.seconds["sandbox"])
    return {
        "figures": ratios,
        "stages_ms": {name: median(s[name] for s in stages) for name in stages[0]},
        "cases_ms": {name: found.mean_ms(name) for name in cases}
        | {name: many.mean_ms(name) / len(work.swept) for name in ("loop", "sweep", "passes")},
        "copies": copies,
        "samples": timed,
        "rounds": rounds,
    }


def needed(times: Times, count: int, copies: float) -> float:
    """Seconds over all samples that no exact answer can avoid, FIGURES["exact_over_needed"]."""
    one_by_one = (1 + count) * times.total("to_layer")
    together = times.total("to_layer", "experts_to_layer")
    merging = copies * times.total("copy")
    return min(one_by_one, together) + merging + times.total("static")


def peak(make: Callable[[], Subject]) -> tuple[Subject, float | None]:
    """Make a subject and let it answer; peak_over_weights, None where the system can't tell."""
    reset_peak()
    before = resident()
    subject = make()
    resolved = subject.settings.resolve(subject.engine.suite)
    for batch in subject.samples[:2]:
        probed = subject.engine.probe_batch(subject.engine.models.place(batch), resolved)
        subject.engine.answer(probed, subject.settings)
    weights = 4 * sum(x.numel() for x in subject.engine.models.vectors.tensors())
    most = resident(peak=True)
    if before is None or most is None:
        return subject, None
    return subject, (most - before) / weights


def growth(subject: Subject, rounds: int, tell: Tell = lambda text: None) -> list[dict[str, Any]]:
    """Exact and static milliseconds by the number of experts, on random weights of this shape. Left
    out, with what was missing, where the memory does not hold the largest T."""
    vectors = subject.engine.models.vectors
    room = HEADROOM * 4 * (1 + GROWTH[-1]) * sum(s.numel for s in vectors.segments)
    free = available()
    if free is not None and free < room:
        return [
            {"left_out": f"needs {room / 1e9:.1f} GB of free memory, {free / 1e9:.1f} are here"}
        ]
    loaded, samples = grown(subject, GROWTH[-1])
    rows: list[dict[str, Any]] = []
    for count in GROWTH:
        tell(f"growth, {count} experts")
        engine = Engine(fewer(loaded, count), subject.engine.models.device)
        work = Work(Subject(engine.suite, engine, samples, "random", subject.settings))
        found = interleaved({"static": work.static, "exact": work.exact}, len(samples), rounds)
        rows.append({"experts": count, **{k: found.mean_ms(k) for k in ("static", "exact")}})
    return rows


def acceptance(found: dict[str, Any], large: bool) -> Sequence[dict[str, Any]]:
    """The limits that the project set itself, with what was measured: met, missed or not there."""
    limits = LARGE if large else SMALL
    rows = []
    for name, (sign, limit) in limits.items():
        value = found["figures"].get(name)
        met = None if value is None else (value <= limit if sign == "<=" else value >= limit)
        if met and value < IMPOSSIBLE.get(name, 0.0):
            met = None  # something disturbed the run
        rows.append({"figure": name, "limit": f"{sign} {limit:g}", "value": value, "met": met})
    return rows


IMPOSSIBLE = {"exact_over_needed": 0.95}  # whoever measures less must measure again
SMALL = {
    "exact_over_needed": ("<=", 1.5),
    "reference_over_exact": (">=", 3.0),
    "fast_over_static": ("<=", 3.0),
    "fast_agreement": (">=", 0.995),
    "sweep_over_loop": (">=", 4.0),
    "reroute_over_merge_forward": ("<=", 1.5),
    "sandbox_ms": ("<=", 300.0),
    "page_ms": ("<=", 8000.0),
}
LARGE = {
    "exact_over_needed": ("<=", 1.10),
    "reference_over_exact": (">=", 2.0),
    "fast_over_static": ("<=", 2.0),
    "fast_miss_over_static": ("<=", 3.5),
    "sweep_over_loop": (">=", 1.5),
    "reroute_over_merge_forward": ("<=", 1.3),
    "peak_over_weights": ("<=", 1.15),
}


# ---- how much memory this process has needed; Linux tells, elsewhere there is no answer ----------

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Start anew with the peak, where the system can."""
    if _CLEAR.exists():
        _CLEAR.write_text("5", encoding="ascii")


def resident(peak: bool = False) -> int | None:
    """Bytes in memory now, or the most since `reset_peak`."""
    if not _STATUS.exists():
        return None
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    key = "VmHWM:" if peak else "VmRSS:"
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(key)), None)
