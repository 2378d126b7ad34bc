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
from zlib import crc32

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

logger = logging.getLogger(__name__)

Loss = Callable[[dict[str, Tensor], int, torch.Generator], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True)
class Schedule:
    """steps; lr is the peak; warmup in steps; clip bounds the gradient's norm.

    keep: what is returned is a running mean of the weights, of which each step keeps this share
    (Polyak and Juditsky, 1992); 0 for the weights of the last step.
    """

    steps: int
    lr: float
    weight_decay: float = 0.0
    warmup: int = 50
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    keep: float = 0.0

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine down to 1 % of the peak."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside, torch computes with so many threads; outside as before. Sums round by it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def generator(seed: int, stage: str, step: int) -> torch.Generator:
    """The randomness of one step of one stage."""
    return torch.Generator().manual_seed(
        (seed * 1_000_003 + crc32(stage.encode())) * 100_003 + step
    )


def train(
    params: Mapping[str, Tensor],
    loss: Loss,
    schedule: Schedule,
    *,
    stage: str,
    seed: int,
    folder: Path,
    save_every: int = 200,
) -> dict[str, Tensor]:
    """Minimise `loss(params, step, generator)` from `params`; returns trained copies.

    The result is kept as `folder/stage.safetensors`: if it is there, it is returned at once. An
    unfinished stage goes on from its last checkpoint. The file's metadata says how many `seconds`
    of training it took, over all runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"{stage}.safetensors"
    if done.exists():
        logger.info("%s: already trained", stage)
        return load_file(done)
    leaves = {n: p.detach().clone().float().requires_grad_() for n, p in params.items()}
    decayed = [p for p in leaves.values() if p.dim() > 1]
    plain = [p for p in leaves.values() if p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": schedule.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
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
            group["lr"] = schedule.rate(step)
        value, notes = loss(leaves, step, generator(seed, stage, step))
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(leaves.values()), schedule.clip)
        if not math.isfinite(float(norm)):
            raise FloatingPointError(f"{stage}: gradient is not finite at step {step}")
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
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
    save_file(trained, done, {"seconds": f"{spent:.0f}"})
    checkpoint.unlink(missing_ok=True)
    # in the file's order, as a later run finds them: the next stage's gradient norm adds in it
    return load_file(done)
