"""MASS's router: the expert whose task vector reads the directions in which the activation lies.

"MASS: MoErging through Adaptive Subspace Selection", Crisostomi et al.,
https://arxiv.org/abs/2504.05342, and its code: z is the class token at the input of the MLP of
block 9 of 12, in the merged model; V_t are the right singular vectors of τt of the matrix that
reads it, as many as TSV-M keeps; r_t = ‖z − V_t V_tᵀ z‖, and softmax of the z-scores of −r weighs
the experts. The code keeps those above .2, three at most, and merges each set of them by TSV-M.
Here the preset `zscore` weighs all, the block is at three quarters of the depth, and of sentences z
is the last token. With TSV-M it is MASS whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.common import UserError
from semerge.evaluation.dynamic import Made, dynamic
from semerge.methods.matrices import stacks

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Batch
    from semerge.engine import Engine

READER = "mlp.c_fc.weight"
DEPTH = 0.75


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
    found = {name: x for name, x in stacks(models.vectors.segments[layer]) if READER in name}
    if not found:
        raise UserError(f"No expert changes what block {layer}'s MLP reads.")
    ((name, stack),) = found.items()
    bases = [read(tau, max(1, min(tau.shape) // len(stack))) for tau in stack]
    pool = "cls" if "cls" in backbone.pools else "last"
    variant = models.variant(method)

    def run(batch: Batch) -> Tensor:
        z = models.read(models.probed(variant.scale, method), batch, layer, name)
        return residuals(backbone.pool(z, pool, batch), bases)

    return Made(run, layer / backbone.depth, sum(basis.nbytes for basis in bases))


def read(tau: Tensor, rank: int) -> Tensor:
    """τ (out, in) -> its first right singular vectors (in, rank), of the eigenvectors of τᵀτ."""
    import torch

    tau = tau.double()
    return torch.linalg.eigh(tau.mT @ tau).eigenvectors[:, -rank:]


def residuals(z: Tensor, bases: list[Tensor]) -> Tensor:
    """Activations (B, n) and orthonormal columns (n, r) of T experts -> ‖z − V Vᵀ z‖, (B, T)."""
    import torch

    z = z.to(bases[0])
    return torch.stack([torch.linalg.vector_norm(z - z @ v @ v.mT, dim=1) for v in bases], dim=1)
