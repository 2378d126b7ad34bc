"""Order statistics over all numbers of a task vector, those that no expert changes among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def threshold(sizes: Tensor, total: int, share: float) -> Tensor:
    """The magnitude from which on that share of the largest of d = `total` entries stay, as
    published for TIES: the (d − int(share · d))-th smallest, and the smallest where that is none.
    sizes: (M,), those that some expert changes; the others are zeros. A scalar."""
    return ordered(sizes, total - len(sizes), total - int(share * total))


def ordered(values: Tensor, zeros: int, rank: int) -> Tensor:
    """The rank-th smallest, from 1 on, of numbers (M,) and as many zeros beside them; the smallest
    or the largest where there is no such rank, 0 where there are no numbers. A scalar."""
    rank = min(max(rank, 1), len(values) + zeros)
    below = int((values < 0).sum())
    if below < rank <= below + zeros or not len(values):
        return values.new_zeros(())
    return values.kthvalue(rank if rank <= below else rank - zeros).values
