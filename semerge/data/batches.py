"""Labelled samples as model-ready batches, prepared exactly as a single request is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from semerge.backbones import Backbone, Batch
from semerge.common import naming
from semerge.data.labelled import LabelledSet
from semerge.inputs import clean_text

BATCH_SIZE = 64
"""Samples a batch: enough to keep a core busy, little enough for its cache."""


def batches(
    backbone: Backbone, samples: LabelledSet, size: int = BATCH_SIZE
) -> Iterator[tuple[np.ndarray, Batch]]:
    """(rows, batch) pairs that cover a set once. Sentences of like length go together, which
    saves padding; `rows` says which samples a batch holds."""
    if samples.visual:
        for start in range(0, len(samples), size):
            rows = np.arange(start, min(start + size, len(samples)))
            yield rows, prepared(backbone, samples, rows)
        return
    sentences = [_sentence(backbone, samples, i) for i in range(len(samples))]
    order = np.argsort([s.data.shape[1] for s in sentences], kind="stable")
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield rows, backbone.collate([sentences[i] for i in rows])


def prepared(backbone: Backbone, samples: LabelledSet, rows: Sequence[int] | np.ndarray) -> Batch:
    """Some samples of a set as one batch, in the order of `rows`."""
    if samples.visual:
        one = [backbone.preprocess(picture(samples.pixels(i))) for i in rows]
    else:
        one = [_sentence(backbone, samples, i) for i in rows]
    return backbone.collate(one)


def _sentence(backbone: Backbone, samples: LabelledSet, row: int) -> Batch:
    with naming(f"{samples.task}/{samples.split}/{row}"):
        clean = clean_text(samples.texts[row], samples.texts_b[row])
    return backbone.preprocess(clean.text, clean.text_b)


def picture(pixels: np.ndarray) -> Image.Image:
    """uint8 (H, W) or (H, W, 3) -> an RGB image."""
    return Image.fromarray(pixels).convert("RGB")
