"""One training loop for every stage of both suites: AdamW, warm-up, cosine, resumable.

All randomness of step i comes from a generator seeded by (seed, stage, i), so a run that was cut
off and goes on sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from recipes.moments import factored, second_moments

logger = logging.getLogger(__name__)

THREADS = 1
"""With which every stage is trained, whatever the machine has: sums round by it."""

Loss = Callable[[dict[str, Tensor], int, torch.Generator], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True)
class Schedule:
    """steps; lr is the peak; warmup in steps; clip bounds the gradient's norm.

    keep: what is returned is a running mean of the weights, of which each step keeps this share
    (Polyak and Juditsky, 1992); 0 for the weights of the last step.
    pull: decoupled decay like weight_decay, but towards where the stage started (L2-SP, Li et al.,
    arXiv 1802.01483), of all tensors. Task vectors stay short by it: what two of them do together
    and neither does alone is of second order in their length.
    """

    steps: int
    lr: float
    weight_decay: float = 0.0
    warmup: int = 50
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    keep: float = 0.0
    pull: float = 0.0

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine down to 1 % of the peak."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside, torch computes with so many threads; outside as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def half_products() -> Iterator[None]:
    """Inside, matrix products are of bfloat16 numbers, four times as fast on CPUs that know them.

    Weights, the residual stream, norms and sums stay in float32. Attention is made of such products
    too: the backward pass of its fused kernel is slow in bfloat16.
    """
    # what is cast without gradients would be taken from autocast's cache where they are needed
    halved = torch.autocast("cpu", torch.bfloat16, cache_enabled=False)
    with halved, sdpa_kernel(SDPBackend.MATH):
        yield


def generator(seed: int, stage: str, step: int) -> torch.Generator:
    """The randomness of one step of one stage."""
    return torch.Generator().manual_seed(
        (seed * 1_000_003 + crc32(stage.encode())) * 100_003 + step
    )


def scaled(
    base: Mapping[str, Tensor], trained: Mapping[str, Tensor], reach: float, rng: torch.Generator
) -> dict[str, Tensor]:
    """The base with a task vector added at a share, uniform from `reach` to 1: as in a merge, which
    goes only λ of the way to an expert."""
    share = reach + (1 - reach) * float(torch.rand((), generator=rng)) if reach < 1 else 1.0
    return {**base, **{n: torch.lerp(base[n], p, share) for n, p in trained.items()}}


def train(
    params: Mapping[str, Tensor],
    loss: Loss,
    schedule: Schedule,
    *,
    stage: str,
    seed: int,
    folder: Path,
    rates: Mapping[str, float] | None = None,
    moments: bool = False,
    save_every: int = 100,
) -> dict[str, Tensor]:
    """Minimise `loss(params, step, generator)` from `params`; returns trained copies.

    The result is kept as `folder/stage.safetensors`: if it is there, it is returned at once. An
    unfinished stage goes on from its last checkpoint. The file's metadata says how many `seconds`
    of training it took, over all runs.

    rates: by name, how many times the schedule's rate a tensor learns at; 1 where none is named.
    moments: whether Adam's second moments at the end are kept, see `moments_file`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"{stage}.safetensors"
    if done.exists():
        logger.info("%s: already trained", stage)
        return load_file(done)
    leaves = {n: p.detach().clone().float().requires_grad_() for n, p in params.items()}
    groups = _groups(leaves, schedule.weight_decay, rates or {})
    optimiser = torch.optim.AdamW(groups, lr=schedule.lr, betas=schedule.betas, fused=True)
    means = {n: p.detach() for n, p in leaves.items()}  # the weights themselves, if none is kept
    if schedule.keep:
        means = {n: p.clone() for n, p in means.items()}
    checkpoint = folder / f"{stage}.checkpoint"
    first, before = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        first, before = state["step"], state["seconds"]
        optimiser.load_state_dict(state["optimiser"])
        with torch.no_grad():
            for n, p in leaves.items():
                p.copy_(state["params"][n])
                means[n].copy_(state["means"][n])
    started = time.perf_counter()
    for step in range(first, schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = group["times"] * schedule.rate(step)
        value, notes = loss(leaves, step, generator(seed, stage, step))
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(leaves.values()), schedule.clip)
        if not math.isfinite(float(norm)):
            raise FloatingPointError(f"{stage}: gradient is not finite at step {step}")
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if schedule.pull:
            with torch.no_grad():
                for n, p in leaves.items():
                    p.lerp_(params[n], schedule.pull * schedule.rate(step))
        if schedule.keep:
            for n, p in leaves.items():
                means[n].lerp_(p.detach(), 1 - schedule.keep)
        if step % 50 == 49 or step == schedule.steps - 1:
            pace = (time.perf_counter() - started) / (step + 1 - first)
            told = json.dumps({k: round(v, 4) for k, v in notes.items()})
            logger.info("%s %d/%d %.3f s/step %s", stage, step + 1, schedule.steps, pace, told)
        if step % save_every == save_every - 1 and step + 1 < schedule.steps:
            state = {
                "step": step + 1,
                "seconds": before + time.perf_counter() - started,
                "optimiser": optimiser.state_dict(),
                "params": {n: p.detach() for n, p in leaves.items()},
                "means": means,
            }
            partial = checkpoint.with_suffix(".partial")
            torch.save(state, partial)
            partial.replace(checkpoint)
    trained = {n: mean.contiguous() for n, mean in means.items()}
    spent = before + time.perf_counter() - started
    if moments:  # before the weights, which say that the stage is done
        squares = second_moments(optimiser, leaves, schedule.betas[1])
        file = moments_file(folder, stage)
        file.parent.mkdir(exist_ok=True)
        save_file(factored(squares), file)
    save_file(trained, done, {"seconds": f"{spent:.0f}"})
    checkpoint.unlink(missing_ok=True)
    # in the file's order, as a later run finds them: the next stage's gradient norm adds in it
    return load_file(done)


def moments_file(folder: Path, stage: str) -> Path:
    """Where a stage keeps its factored second moments, see `moments.factored`."""
    return folder / "moments" / f"{stage}.safetensors"


def seconds(path: Path) -> float | None:
    """Seconds of training that a stage's file tells; None where it tells nothing."""
    with safe_open(path, "pt") as file:
        told = (file.metadata() or {}).get("seconds")
    return None if told is None else float(told)


def _groups(
    leaves: Mapping[str, Tensor], weight_decay: float, rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Parameter groups by rate; matrices decay, vectors do not."""
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for name, p in leaves.items():
        groups.setdefault((rates.get(name, 1.0), p.dim() > 1), []).append(p)
    return [
        {"params": tensors, "times": times, "weight_decay": weight_decay if matrices else 0.0}
        for (times, matrices), tensors in groups.items()
    ]
