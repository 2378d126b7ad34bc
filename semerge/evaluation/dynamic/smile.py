"""SMILE: in each linear map a token takes what one expert adds, by a gate that is not trained.

"SMILE: Zero-Shot Sparse Mixture of Low-Rank Experts Construction From Pre-Trained Foundation
Models", Tang et al., https://arxiv.org/abs/2408.10174, and FusionBench's code. Of τt of each
matrix the first k singular triplets stay, Ut Σt Vtᵀ; for a token x the gate is |v_tᵀ x|, v_t the
first right singular vector; the expert with the largest gate adds Ut Σt Vtᵀ x and what it changes
in the bias. What is no linear map is the base's. The gate sees no singular value, as published. k
is 128 of 768 there, so a sixth of the directions here. There the task is given; here no output
says which head is to answer, so that is left to the suite's routing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from semerge.evaluation.dynamic import Made, dynamic
from semerge.methods.matrices import stacks, svd
from semerge.task_vectors import Segment

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Batch
    from semerge.engine import Engine

SHARE = 6  # of the directions one in so many stays


@dynamic(
    "smile",
    title="SMILE",
    paper="arXiv 2408.10174",
    model=True,
    head="routed",
    note="each token of each linear map takes one expert's low-rank part; the head is by the "
    "suite's routing",
)
def smile(engine: Engine, method: str) -> Made:
    """The base, with what one expert adds for each token of each linear map."""
    from torch import nn
    from torch.overrides import TorchFunctionMode

    models = engine.models
    experts: dict[int, Experts] = {}
    for segment in models.vectors.segments:
        base = segment.unflatten(segment.weights[0])
        for name, stack in stacks(segment):
            experts[base[name].data_ptr()] = Experts.of(stack.float(), bias_changes(segment, name))

    class Gated(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            found = function(*args, **(kwargs or {}))
            if function is nn.functional.linear and args[1].data_ptr() in experts:
                return found + experts[args[1].data_ptr()].add(args[0])
            return found

    def run(batch: Batch, own: int) -> tuple[Tensor, None]:
        with Gated():
            return engine.base_embedding(batch), None

    numbers = models.vectors.numel + sum(one.numbers for one in experts.values())
    return Made(run, 1.0, 4 * numbers)


def bias_changes(segment: Segment, name: str) -> Tensor | None:
    """What the experts change in the bias of a matrix, (T, out); None where none does: then it
    lies with what is the base's in every model."""
    bias = name.replace("weight", "bias")
    if bias not in segment.own:
        return None
    return segment.unflatten(segment.weights[1:] - segment.weights[0])[bias]


@dataclass(frozen=True)
class Experts:
    """What T experts add to one linear map. left: U Σ, (T, out, k). right: V, (T, in, k), the first
    column the gate's. bias: (T, out), zeros where they change none."""

    left: Tensor
    right: Tensor
    bias: Tensor

    @classmethod
    def of(cls, stack: Tensor, bias: Tensor | None = None, rank: int | None = None) -> Experts:
        """Of τ1 .. τT, (T, out, in). rank: how many triplets stay, by default one in six."""
        import torch

        rank = rank or max(1, min(stack.shape[1:]) // SHARE)
        left, right = (
            stack.new_zeros(*stack.shape[:2], rank),
            stack.new_zeros(len(stack), stack.shape[2], rank),
        )
        for t, tau in enumerate(stack):
            u, sigma, v = svd(tau, rank)
            left[t, :, : len(sigma)], right[t, :, : len(sigma)] = u * sigma, v
        return cls(left, right, torch.zeros_like(left[..., 0]) if bias is None else bias)

    @property
    def numbers(self) -> int:
        """How many are held."""
        return self.left.numel() + self.right.numel() + self.bias.numel()

    def gate(self, x: Tensor) -> Tensor:
        """Tokens (.., in) -> |v_{t,1}ᵀ x|, (.., T)."""
        return (x @ self.right[..., 0].mT).abs()

    def add(self, x: Tensor) -> Tensor:
        """Tokens (.., in) -> what the expert with the largest gate adds, (.., out)."""
        import torch

        chosen = torch.nn.functional.one_hot(self.gate(x).argmax(-1), len(self.left)).to(x.dtype)
        own = torch.einsum("...i,tik->...tk", x, self.right) * chosen[..., None]
        return torch.einsum("...tk,tok->...o", own, self.left) + chosen @ self.bias
