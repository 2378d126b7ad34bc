"""Published dynamic methods beside SE-Merging, one a file: rows of the table that no request has.

Most are *routers*: of each sample they give distances to the experts, and the second pass is that
of every row. Others answer with *models* of their own. A file has one function:

    @dynamic("centroid", title="nearest centroid", needs="inputs", note="...")
    def centroid(engine: Engine, method: str) -> Made: ...

It gets the engine and the spec of the method in whose rows it stands, and gives what runs on a
batch. `note` is what a reader must know of it: what it is told, what of it is trained, what this
project chose. All of them see one sample at a time, whatever else its batch holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from semerge.common import UserError
from semerge.registry import Entry, Registry

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Batch
    from semerge.engine import Engine
    from semerge.methods.samples import Samples
    from semerge.probe import Steps
    from semerge.task_vectors import TaskVectors

F = TypeVar("F", bound=Callable[..., Any])
Head = Literal["told", "own", "routed"]
PLAIN: Mapping[str, Any] = {"preset": "literal", "similarity": "negative", "normalise": "none"}
"""Softmax of the negative distances as they are, at temperature 1, the mass T·λ."""


@dataclass(frozen=True)
class Made:
    """One of them, ready to run.

    run: of a router, a batch -> distances (B, T), none negative. Of a model, a batch of one task
    and that task's position, which only those that are told it look at -> final embeddings (B, D),
    and the expert whose head answers, (B,), of those that choose it themselves. passes: whole
    forward passes a sample, without the second one of a router. bytes: of a router what it holds
    beside base and task vectors, of a model all that it holds but the heads.
    """

    run: Callable[..., Any]
    passes: float
    bytes: int


@dataclass(frozen=True)
class Dynamic(Entry):
    """One dynamic method. model: whether it answers with models of its own, or else routes. head:
    of a model, whose head answers: that of the task that it is told, of the expert that it chooses
    itself, or of the one that the suite's routing chooses. needs: "inputs" where it is made from
    samples of each task. published: the settings of the rescaling that it was published with; it
    has a row with these beside the one with the suite's preset. home: the method beside which it
    was published; it has rows there too."""

    model: bool = False
    head: Head = "routed"
    needs: Literal["", "inputs"] = ""
    note: str = ""
    published: Mapping[str, Any] = field(default_factory=dict)
    home: str = ""

    @property
    def told(self) -> bool:
        """Whether it knows each sample's task, so that it is no rival but a ceiling."""
        return self.model and self.head == "told"


DYNAMICS: Registry[Dynamic] = Registry("semerge.evaluation.dynamic", "dynamic method")


def dynamic(name: str, *, title: str, **more: Any) -> Callable[[F], F]:
    """Register a function as the dynamic method `name`; see `Dynamic` for the rest."""

    def register(function: F) -> F:
        DYNAMICS.add(Dynamic(name, function, title, **more))
        return function

    return register


def told(engine: Engine, vectors: TaskVectors, size: int) -> Made:
    """The expert of each sample's own task, of other task vectors than the suite's. size: bytes of
    all that is held."""

    def run(batch: Batch, own: int) -> tuple[Tensor, None]:
        return engine.models.embedding(partial(vectors.expert, own), batch), None

    return Made(run, 1.0, size)


def over(engine: Engine, vectors: TaskVectors) -> Steps:
    """The suite with other task vectors."""
    from semerge.loading import Loaded
    from semerge.probe import Steps

    models = engine.models
    loaded = Loaded(engine.suite, engine.backbone, vectors, models.heads, models.statistics)
    return Steps(loaded, models.device)


def samples_of(engine: Engine) -> Samples:
    """Samples of every task that are not evaluated. Raises UserError where there are none."""
    found = engine.models.samples()
    if found is None:
        raise UserError(
            "It is made from samples of each task, which are cut from train of a data folder."
        )
    return found


def base_features(engine: Engine, most: int) -> list[Tensor]:
    """Final embeddings of the base, float64 (n, D), of the first `most` samples of each task."""
    import torch

    with torch.inference_mode():
        return [
            torch.cat([engine.base_embedding(batch).double() for batch in task.first(most)])
            for task in samples_of(engine).tasks
        ]
