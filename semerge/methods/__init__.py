"""Static merging methods, one a file: what turns experts into task vectors and a static merge.

A method is a module with two pure functions,
`effective(vectors: TaskVectors) -> TaskVectors` and
`merge(vectors: TaskVectors, scale: float) -> dict[str, Tensor]`.
SE-Merging rescales the effective task vectors, so it works on top of any of them. This file holds
the names only: it imports no torch.
"""

METHODS: tuple[str, ...] = ("task_arithmetic",)
