"""Adam's second moments of an expert's gradients, small enough to be kept beside its weights.

Methods that weigh parameters by their curvature (OTA among them) need them, and they can't be had
once the optimiser is gone. Each matrix keeps the means of its rows and of its columns alone, as in
"Adafactor" (Shazeer and Stern, arXiv 1804.04235, section 3): their outer product over the mean of
the rows is the matrix of rank one with these means, see `expanded`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from semerge.methods.ota import COLUMNS, ROWS, moment


def second_moments(
    optimiser: torch.optim.Optimizer, params: Mapping[str, Tensor], beta: float
) -> dict[str, Tensor]:
    """The optimiser's running means of squared gradients by name, without their bias towards 0.

    The gradients are those of the whole loss, clipped, as the optimiser sees them.
    """
    found = {}
    for name, p in params.items():
        state = optimiser.state[p]
        found[name] = state["exp_avg_sq"] / (1 - beta ** float(state["step"]))
    return found


def factored(moments: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Means of rows (R,) and columns (C,) of each tensor of two or more axes, the first against
    the others; vectors as they are. In float32: half precision has no room for their smallness."""
    found = {}
    for name, value in moments.items():
        if value.dim() < 2:
            found[name] = value.float().contiguous()
        else:
            matrix = value.float().flatten(1)
            found[name + ROWS], found[name + COLUMNS] = matrix.mean(1), matrix.mean(0)
    return found


def expanded(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `factored` kept -> (R, C) or vectors by name: rows · columnsᵀ / mean of the rows."""
    found = {}
    for name, value in stored.items():
        if name.endswith(ROWS):
            matrix = name.removesuffix(ROWS)
            found[matrix] = moment(stored, matrix, (len(value), len(stored[matrix + COLUMNS])))
        elif not name.endswith(COLUMNS):
            found[name] = value
    return found


def averaged(runs: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean over several runs of one expert."""
    stored = list(runs)
    return {name: torch.stack([run[name] for run in stored]).mean(0) for name in stored[0]}
