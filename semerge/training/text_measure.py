"""Accuracies and routing of a set of experts: what every choice of the recipe is made on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semerge.backbones import GPT2, activations
from semerge.task_vectors import TaskVectors
from semerge.training.text_data import Sentences

Params = Mapping[str, Tensor]
GRID = tuple(round(0.05 * k, 2) for k in range(1, 21))
PROBE_LAMBDAS = (0.05, 0.1, 0.15, 0.2, 0.3)


def subset(sentences: Sentences, limit: int, seed: int) -> Sentences:
    """At most `limit` sentences, seeded, in order of length (to waste no padding)."""
    rows = np.random.default_rng([seed, 9]).permutation(len(sentences))[:limit]
    return sentences.take(sorted(rows, key=lambda i: len(sentences.ids[i])))


def chunks(n: int, size: int = 64) -> list[np.ndarray]:
    return [np.arange(i, min(i + size, n)) for i in range(0, n, size)]


@torch.no_grad()
def embeddings(model: GPT2, params: Params, sentences: Sentences) -> Tensor:
    """Final embeddings (n, d)."""
    found = []
    for rows in chunks(len(sentences)):
        batch, _ = sentences.batch(rows)
        found.append(model.final(params, activations(model, params, batch)[-1], batch))
    return torch.cat(found)


def accuracy(model: GPT2, params: Params, head: Tensor, sentences: Sentences) -> float:
    """Share of right answers with the task's own head."""
    chosen = model.logits(embeddings(model, params, sentences), head).argmax(-1).numpy()
    return float((chosen == sentences.labels).mean())


def accuracies(
    model: GPT2, params: Params, heads: Params, sets: Mapping[str, Sentences]
) -> dict[str, float]:
    found = {t: accuracy(model, params, heads[t], s) for t, s in sets.items()}
    return found | {"average": float(np.mean(list(found.values())))}


def static_merges(
    model: GPT2, vectors: TaskVectors, heads: Params, sets: Mapping[str, Sentences]
) -> dict[float, dict[str, float]]:
    """Task Arithmetic at every λ of the grid."""
    ones = torch.ones(vectors.count)
    return {lam: accuracies(model, vectors.merge(lam * ones), heads, sets) for lam in GRID}


@torch.no_grad()
def routing(
    model: GPT2,
    vectors: TaskVectors,
    heads: Params,
    sets: Mapping[str, Sentences],
    names: Sequence[str],
) -> dict[str, dict[str, object]]:
    """Per `probe/layer/pool`: share of own expert nearest, accuracies of the `hard` preset.

    sets may hold some of the tasks; `names` are all tasks in the order of the vectors.
    """
    ones = torch.ones(vectors.count)
    experts = [vectors.expert(t) for t in range(vectors.count)]
    probes = {"base": vectors.base()} | {
        f"experts@{lam}": vectors.merge(lam * ones) for lam in PROBE_LAMBDAS
    }
    found: dict[str, dict[str, list[Tensor]]] = {}
    right: dict[str, list[Tensor]] = {t: [] for t in sets}
    for task, sentences in sets.items():
        for rows in chunks(len(sentences)):
            batch, labels = sentences.batch(rows)
            probed = {p: _representations(model, w, batch) for p, w in probes.items()}
            per_expert = [_representations(model, w, batch) for w in experts]
            correct = [
                model.logits(r["final/-"], heads[task]).argmax(-1) == labels for r in per_expert
            ]
            right[task].append(torch.stack(correct, 1))  # (B, T)
            for probe, representation in probed.items():
                for key, f in representation.items():
                    d = torch.stack([(f - r[key]).norm(dim=-1) for r in per_expert], 1)
                    found.setdefault(f"{probe}/{key}", {}).setdefault(task, []).append(d)
    result: dict[str, dict[str, object]] = {}
    for key, by_task in found.items():
        share, oracle, routed = {}, {}, {}
        for task, parts in by_task.items():
            own = names.index(task)
            chosen = torch.cat(parts).argmin(1)
            correct_all = torch.cat(right[task]).float()
            hit = (chosen == own).float()
            share[task] = float(hit.mean())
            answered = correct_all[torch.arange(len(chosen)), chosen]
            oracle[task] = float(answered.mean())
            routed[task] = float((hit * correct_all[:, own]).mean())
        result[key] = {
            "routing": float(np.mean(list(share.values()))),
            "by_task": share,
            "hard_oracle": float(np.mean(list(oracle.values()))),
            "hard_routed": float(np.mean(list(routed.values()))),
        }
    return result


def _representations(model: GPT2, params: Params, batch: object) -> dict[str, Tensor]:
    outputs = activations(model, params, batch)  # type: ignore[arg-type]
    found = {
        f"{layer}/{pool}": model.pool(h, pool, batch)  # type: ignore[arg-type]
        for layer, h in enumerate(outputs, 1)
        for pool in model.pools
    }
    return found | {"final/-": model.final(params, outputs[-1], batch)}  # type: ignore[arg-type]


def measure(
    model: GPT2, vectors: TaskVectors, heads: Params, sets: Mapping[str, Sentences]
) -> dict[str, Any]:
    """Everything that choices are made on; sets in the order of the vectors."""
    tasks = list(sets)
    experts = {
        t: accuracy(model, vectors.expert(i), heads[t], sets[t]) for i, t in enumerate(tasks)
    }
    experts["average"] = float(np.mean(list(experts.values())))
    static = static_merges(model, vectors, heads, sets)
    best = max(static, key=lambda lam: static[lam]["average"])
    return {
        "base": accuracies(model, vectors.base(), heads, sets),
        "experts": experts,
        "static": {str(k): v for k, v in static.items()},
        "static_lambda": best,
        "routing": routing(model, vectors, heads, sets, tasks),
    }


def summary(found: dict[str, Any], top: int = 8) -> str:
    """A few lines for the log: gap, best probes, and how much of the gap they recover."""
    best = found["static_lambda"]
    static, expert = found["static"][str(best)]["average"], found["experts"]["average"]
    lines = [
        f"base    {shown(found['base'])}",
        f"experts {shown(found['experts'])}",
        f"static  {shown(found['static'][str(best)])} at {best}",
        "static by lambda "
        + " ".join(f"{k}:{v['average']:.3f}" for k, v in found["static"].items()),
    ]
    rows = sorted(found["routing"].items(), key=lambda kv: -kv[1]["routing"])[:top]
    for key, r in rows:
        oracle = (r["hard_oracle"] - static) / (expert - static + 1e-9)
        routed = (r["hard_routed"] - static) / (expert - static + 1e-9)
        by_task = " ".join(f"{t[:5]} {v:.2f}" for t, v in r["by_task"].items())
        lines.append(
            f"{key:22s} routing {r['routing']:.4f} recovers oracle {oracle:.3f} "
            f"routed {routed:.3f} ({by_task})"
        )
    return "\n".join(lines)


def shown(by_task: dict[str, float]) -> str:
    return " ".join(f"{t[:9]} {v:.3f}" for t, v in by_task.items())
