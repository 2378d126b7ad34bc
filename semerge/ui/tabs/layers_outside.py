"""The Layers tab's table of one input: what of it lies outside each expert's subspace, by block.

It is MASS's projection residual over the input's length, see `semerge.evaluation.dynamic.subspace`.
No gradio here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from markupsafe import Markup

from semerge.common import UserError
from semerge.suites.examples import Example
from semerge.ui.tabs.layers_report import part

if TYPE_CHECKING:
    from semerge.backbones import Batch
    from semerge.engine import Engine
    from semerge.evaluation.dynamic.subspace import Reader

TOKENS = {"cls": "class token", "last": "last token"}


class Readers:
    """The directions that task vectors read, made when they are first asked for and held for the
    last suite: of a large model they take a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: tuple[str, list[Reader]] = "", []

    def of(self, engine: Engine) -> list[Reader]:
        """Of every block whose reading matrix some expert changes. Raises UserError where there is
        none."""
        from semerge.evaluation.dynamic.subspace import reader_at

        with self._lock:
            of, found = self._held
            if of != engine.weights_sha256():
                layers = range(1, engine.suite.depth + 1)
                every = (reader_at(engine.models.vectors, layer) for layer in layers)
                found = [reader for reader in every if reader is not None]
                self._held = engine.weights_sha256(), found
        if not found:
            raise UserError("No expert of this suite changes what the MLPs of the blocks read.")
        return found


def outside(
    engine: Engine, readers: list[Reader], batch: Batch, method: str, example: Example | None
) -> Markup:
    """The shares of an input, prepared and alone, that lie outside, layer by expert. method: the
    spec of what is merged and probed."""
    from semerge.evaluation.dynamic import subspace

    suite = engine.suite
    shares = subspace.outside(engine, batch, readers, suite.defaults.probe_lambda, method)
    rows = [(reader.layer, row) for reader, row in zip(readers, shares, strict=True)]
    own = example.task if example else ""
    heads = [part("expert", task.title, task.name == own) for task in suite.tasks]
    bases = readers[0].bases
    size = max(basis.shape[1] for basis in bases), bases[0].shape[0]
    titles = [task.title for task in suite.tasks]
    return part("outside", rows, ["Layer", *heads], titles, size, TOKENS[subspace.pool_of(engine)])
