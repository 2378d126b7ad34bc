"""One model's representations of one batch. Relies on `Engine.models`."""

from __future__ import annotations

from torch import Tensor

from semerge.backbones import Batch
from semerge.engine import Engine
from semerge.merged import Stage
from semerge.models import Point


def represent(engine: Engine, stage: Stage, placed: Batch, point: Point) -> Tensor:
    """Representations (B, K) float32 at a (layer, pool), of a batch where the weights are."""
    return dict(engine.models.representations(stage, placed, {point}))[point].float()
