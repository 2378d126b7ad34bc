"""MASS's router: the expert whose task vector reads the directions in which the activation lies.

"MASS: MoErging through Adaptive Subspace Selection", Crisostomi et al.,
https://arxiv.org/abs/2504.05342, and its code: z is the class token at the input of the MLP of
block 9 of 12, in the merged model; V_t are the right singular vectors of τt of the matrix that
reads it, as many as TSV-M keeps; r_t = ‖z − V_t V_tᵀ z‖, and softmax of the z-scores of −r weighs
the experts. The code keeps those above .2, three at most, and merges each set of them by TSV-M.
Here the preset `zscore` weighs all, the block is at three quarters of the depth, and of sentences z
is the last token. With TSV-M it is MASS whole.

r_t / ‖z‖ at every block is what the Layers tab shows of an input: its share that lies outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semerge.common import UserError
from semerge.evaluation.dynamic import Made, dynamic
from semerge.methods.matrices import stacks

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Batch
    from semerge.engine import Engine
    from semerge.task_vectors import TaskVectors

READER = "mlp.c_fc.weight"
DEPTH = 0.75
NOUGHT = 1e-30  # length of an activation that is none


@dynamic(
    "subspace",
    title="MASS's subspaces",
    paper="arXiv 2504.05342",
    note="MASS's router, a sample at a time: residual on the directions that a task vector reads",
    published={"preset": "zscore"},
    home="tsv_m",
)
def subspace(engine: Engine, method: str) -> Made:
    """What of an MLP's input lies outside the directions that each task vector reads."""
    models, backbone = engine.models, engine.backbone
    layer = max(1, round(DEPTH * backbone.depth))
    reader = reader_at(models.vectors, layer)
    if reader is None:
        raise UserError(f"No expert changes what block {layer}'s MLP reads.")
    variant = models.variant(method)

    def run(batch: Batch) -> Tensor:
        z = models.read(models.probed(variant.scale, method), batch, layer, reader.name)
        return residuals(backbone.pool(z, pool_of(engine), batch), reader.bases)

    return Made(run, layer / backbone.depth, sum(basis.nbytes for basis in reader.bases))


@dataclass(frozen=True)
class Reader:
    """The matrix by which the MLP of a block reads, and the directions in which each task vector
    reads it: orthonormal columns (n, r), none of one that leaves the matrix as it is."""

    layer: int
    name: str
    bases: list[Tensor]


def reader_at(vectors: TaskVectors, layer: int) -> Reader | None:
    """That of a block; None where no expert changes it."""
    found = [(name, x) for name, x in stacks(vectors.segments[layer]) if READER in name]
    if not found:
        return None
    ((name, stack),) = found
    rank = max(1, min(stack.shape[1:]) // len(stack))
    return Reader(layer, name, [read(tau, rank if tau.any() else 0) for tau in stack])


def pool_of(engine: Engine) -> str:
    """Which token is looked at."""
    return "cls" if "cls" in engine.backbone.pools else "last"


def outside(
    engine: Engine, batch: Batch, readers: Sequence[Reader], probe_lambda: float, method: str
) -> list[list[float]]:
    """The share ‖z − V Vᵀ z‖ / ‖z‖ of one input's activation z that lies outside the directions
    that each expert's task vector reads, by reader: from 0, all of it within, to 1. z is the merged
    model's that is probed."""
    import torch

    models, found = engine.models, []
    with torch.inference_mode():
        for reader in readers:
            stage = models.probed(probe_lambda, method)
            z = models.read(stage, batch, reader.layer, reader.name)
            z = engine.backbone.pool(z, pool_of(engine), batch)
            size = torch.linalg.vector_norm(z.double(), dim=1).clamp(min=NOUGHT)
            found.append((residuals(z, reader.bases)[0] / size).tolist())
    return found


def read(tau: Tensor, rank: int) -> Tensor:
    """τ (out, in) -> its first right singular vectors (in, rank), of the eigenvectors of τᵀτ."""
    import torch

    tau = tau.double()
    vectors = torch.linalg.eigh(tau.mT @ tau).eigenvectors
    return vectors[:, vectors.shape[1] - rank :]


def residuals(z: Tensor, bases: list[Tensor]) -> Tensor:
    """Activations (B, n) and orthonormal columns (n, r) of T experts -> ‖z − V Vᵀ z‖, (B, T)."""
    import torch

    z = z.to(bases[0])
    return torch.stack([torch.linalg.vector_norm(z - z @ v @ v.mT, dim=1) for v in bases], dim=1)
