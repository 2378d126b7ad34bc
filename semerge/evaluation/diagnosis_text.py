"""A diagnosis in words: what `evaluate --diagnose` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Part = Mapping[str, Any]


def lines(diagnosis: Part) -> list[str]:
    """The figures of `diagnosis.diagnose` as text, each with its number of samples."""
    size, at = diagnosis["samples"], diagnosis["at"]
    head = (
        f"diagnosis on {size['validation']} validation and {size['test']} test samples, at most "
        f"{size['a_task']} a task, seed {size['seed']}; probe {at['probe']}, layer {at['layer']}, "
        f"pool {at['pool']}, preset {at['preset']}, probe λ {at['probe_lambda']:g}"
    )
    return [
        head,
        *_hypothesis(diagnosis),
        *_choice(diagnosis["choice"]),
        *_abstention(diagnosis["abstention"]),
    ]


def _hypothesis(diagnosis: Part) -> Iterator[str]:
    for probe, row in diagnosis["hypothesis"]["best"].items():
        yield f"  {probe:8} right expert nearest at best (test): {interval(row)}, {point(row)}"
    moved = diagnosis["displacement"]
    for name, row in moved["tasks"].items():
        yield (
            f"  {name}: its expert moves it by {row['own']:.4g}, the others by "
            f"{row['others']:.4g} on average"
        )
    yield f"  mean cosine between two experts' displacements: {moved['drift_correlation']:.2f}"
    yield f"  {moved['verdict']}"
    bias = diagnosis["bias"]
    gaps = ", ".join(f"{name} {gap:.3f}" for name, gap in bias["average"].items())
    yield f"  relative distance to the right expert's embedding (n = {bias['n']}): {gaps}"


def _choice(choice: Part) -> Iterator[str]:
    pick, best, test = choice["pick"], choice["best"], choice["test"]
    yield (
        f"automatic choice on {choice['n']} unlabelled validation samples, of "
        f"{choice['candidates']} candidates: {pick['probe']}, {point(pick)}"
    )
    yield (
        f"  routing {pick['routing']:.1%}; the best with labels has {best['routing']:.1%} "
        f"({best['probe']}, {point(best)}): {100 * choice['gap']:.1f} points away"
    )
    yield (
        f"  on {test['n']} test samples: {test['pick']['routing']:.1%} and "
        f"{test['best_of_validation']['routing']:.1%}"
    )


def _abstention(found: Part) -> Iterator[str]:
    score = found["score"]
    made = found["made"][score]
    yield (
        f"notice 'no expert fits' by the score {score}, set for {found['false_alarm']:.0%} false "
        f"alarms on {found['n']} validation samples"
    )
    yield f"  false alarms on test: {interval(made['false_alarm'])}"
    for kind, row in made["kinds"].items():
        yield f"  missed, {kind}: {interval(row)}"
    if found["left_out"]:
        left = found["left_out"][score]
        yield f"  missed, an expert left out and its task fed: {interval(left['miss'])}"
    back = found["fallback"]
    for head in ("oracle", "routed"):
        row = back[head]
        yield (
            f"  static coefficients there, {head} head: accuracy {row['se']:.1%} becomes "
            f"{row['with_fallback']:.1%} ({back['fell_back']} of {back['n']} test samples)"
        )
    if without := back.get("left_out"):  # a suite of two experts has none
        row = without["oracle"]
        yield (
            f"  static coefficients there, an expert left out and its task fed, oracle head: "
            f"accuracy {row['se']:.1%} becomes {row['with_fallback']:.1%}, static throughout "
            f"{row['static']:.1%} ({without['fell_back']} of {without['n']} test samples)"
        )


def interval(row: Part) -> str:
    """A share with its 95 % interval and its samples."""
    if not row["n"]:
        return "no samples"
    return f"{row['share']:.1%} ({row['low']:.1%} to {row['high']:.1%}, n = {row['n']})"


def point(row: Part) -> str:
    """Layer, pooling and λ of a candidate, in words."""
    words = f"layer {row['layer']}"
    if row["layer"] != row["pool"]:
        words += f", pool {row['pool']}"
    return words + (f", λ {row['probe_lambda']:g}" if row["probe_lambda"] else "")
