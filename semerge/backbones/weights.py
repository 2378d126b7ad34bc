"""From a suite to its backbone, and from weight files in any layout to tensors by name.

A file may be safetensors or a torch file, in a layout that its architecture knows or in `semerge`,
the project's own, where an expert holds only what differs from the base. What comes out is a
mapping of float32 tensors under the names of the backbone, read when they are asked for. Keys,
shapes and types are checked when a file is opened, so opening is cheap and finds most damage.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from semerge.backbones import ARCHITECTURES
from semerge.backbones.architecture import HEAD_FILE, OWN_LAYOUT
from semerge.backbones.base import Backbone
from semerge.checkpoints import bundled
from semerge.checkpoints.checkpoint import Checkpoint, Shapes, same
from semerge.checkpoints.labels import check_labels
from semerge.checkpoints.pickled import open_pickled
from semerge.checkpoints.rawfile import RawFile
from semerge.checkpoints.weight_files import open_raw, open_weights, weights_in
from semerge.common import UserError, quoted
from semerge.suites.suite import BASE_LAYOUTS, EXPERT_LAYOUTS, Suite


def build_backbone(suite: Suite, inputs: bool = True) -> Backbone:
    """The model of a suite, without weights. inputs: False where it is to read none of its own.
    Raises UserError where what it needs to read inputs is missing or damaged."""
    return suite.kind.model.build(suite, inputs)


def open_base(path: Path, layout: str, shapes: Shapes) -> Checkpoint:
    """The base of a suite: every parameter of the backbone. shapes: of the backbone's parameters,
    by name. Raises UserError where the file is missing or damaged, or a key, shape or type is not
    the layout's."""
    if layout == OWN_LAYOUT:
        return Checkpoint(open_raw(path), same(shapes, ""), shapes)
    model = _reader(path, layout, "base_layouts", "a base", BASE_LAYOUTS)
    return model.open_base(path, layout, shapes)


def open_expert(path: Path, layout: str, shapes: Shapes, base: Checkpoint) -> Mapping[str, Tensor]:
    """An expert: every parameter that its file holds; what is left out equals the base's. Raises
    UserError as `open_base` does, and where the file shows that the expert comes from another base.
    """
    if layout == OWN_LAYOUT:
        raw = open_raw(path)
        return Checkpoint(raw, same(raw.shapes.keys() & shapes.keys(), ""), shapes)
    model = _reader(path, layout, "expert_layouts", "an expert", EXPERT_LAYOUTS)
    return model.open_expert(path, layout, shapes, base)


def check_config(
    checkpoint: Mapping[str, Any], path: Path, layout: str, architecture: Mapping[str, Any]
) -> None:
    """Compare a checkpoint, and what lies beside it, with a suite's architecture: two models may
    have the same tensors and differ in the activation or in the number of heads, and nothing fails.
    Raises UserError where they disagree."""
    if layout != OWN_LAYOUT:
        kind = ARCHITECTURES[architecture["kind"]]
        kind.model.check_config(checkpoint, path, layout, architecture)


def open_suite_base(suite: Suite, backbone: Backbone) -> Checkpoint:
    """The base of a suite, opened and compared with config.json and with what makes the heads.
    Raises UserError where it is missing or damaged, or one of them does not fit it."""
    path = suite.path(suite.base_weights)
    base = open_base(path, suite.base_layout, backbone.shapes)
    check_config(base, path, suite.base_layout, suite.architecture)
    suite.kind.model.check_base(suite, backbone, base)
    return base


def open_suite_expert(
    suite: Suite, t: int, backbone: Backbone, base: Checkpoint
) -> Mapping[str, Tensor]:
    """The expert of task number t, opened and compared with what lies beside it. Raises UserError
    where it is missing or damaged, comes from another base, or has other classes or tokens."""
    task = suite.tasks[t]
    path = suite.path(task.weights)
    expert = open_expert(path, task.layout, backbone.shapes, base)
    check_config(expert, path, task.layout, suite.architecture)
    if task.layout != OWN_LAYOUT:
        check_labels(path, task)
        suite.kind.model.check_inputs(suite, path, backbone)
    return expert


def read_heads(suite: Suite, backbone: Backbone) -> dict[str, Tensor]:
    """The head of each task by its name, (C, D). Raises UserError where a file is missing or
    damaged, or does not fit the task's classes."""
    _check_source(suite)
    if suite.head_source == HEAD_FILE:
        shapes = {task.name: (len(task.classes), backbone.output_dim) for task in suite.tasks}
        return bundled.read_heads(suite.path(str(suite.heads)), shapes)
    return suite.kind.model.read_heads(suite, backbone)


def check_heads(suite: Suite, backbone: Backbone) -> None:
    """What can be told of the heads at little cost. Raises UserError as `read_heads` does."""
    _check_source(suite)
    if suite.head_source == HEAD_FILE:
        read_heads(suite, backbone)
    else:
        suite.kind.model.check_heads(suite, backbone)


def _check_source(suite: Suite) -> None:
    if suite.head_source not in suite.kind.head_sources:
        raise UserError(
            f"{suite.path('suite.json')}: heads.from {suite.head_source!r} is not possible with "
            f"architecture.kind {suite.kind.kind!r}."
        )


def _reader(path: Path, layout: str, layouts: str, what: str, valid: Iterable[str]) -> Any:
    """The module of the architecture that has a layout among its `layouts`."""
    for architecture in ARCHITECTURES.values():
        if layout in getattr(architecture, layouts):
            return architecture.model
    raise UserError(
        f"{path}: {quoted(layout)} is no layout of {what}; valid are {', '.join(valid)}."
    )


# ---- what a file tells of itself ----------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What a weight file tells of itself. No tensor of it is kept."""

    path: Path
    layout: str
    kind: str  # of the architecture that knows the layout
    shapes: Shapes  # by the model's own names
    quick_gelu: bool | None  # None where the file says nothing of its activation
    logit_scale: float | None  # the factor on cosine similarities; None where there is none

    def count(self, pattern: str) -> int:
        """How many layers there are: one more than the last number that the pattern finds."""
        found = [int(m[1]) for key in self.shapes if (m := re.search(pattern, key))]
        return max(found, default=-1) + 1


def detect(path: Path) -> Found:
    """The layout of a file, or of the one in a model's folder, told from its keys. Raises UserError
    where the file can't be read, or has no layout that is known."""
    path = weights_in(path)
    raw, pickled = _open(path)
    keys = tuple(raw.shapes)
    for kind, architecture in ARCHITECTURES.items():
        if layout := architecture.model.layout_of(keys, pickled):
            return Found(path, layout, kind, raw.shapes, raw.quick_gelu, _logit_scale(raw))
    example = ", ".join(sorted(keys)[:3])
    raise UserError(f"{path} has no layout that is known here; its keys are {example}, ...")


def _open(path: Path) -> tuple[RawFile, bool]:
    try:
        return open_weights(path), False
    except UserError as error:
        if not path.is_file():
            raise
        try:
            return open_pickled(path), True
        except UserError:
            raise error from None


def _logit_scale(raw: RawFile) -> float | None:
    """A CLIP file holds its logarithm; what is no number there is told when the file is checked."""
    if raw.shapes.get("logit_scale") != ():
        return None
    scale = math.exp(min(float(raw.tensor("logit_scale")), 100.0))
    return scale if math.isfinite(scale) else None


def describe(base: Found, experts: Sequence[Found] = ()) -> tuple[dict[str, Any], list[str]]:
    """What suite.json says of the model whose base this is, but for its tokenizer; and what of it
    is assumed, as neither the files nor what lies beside them says it. Raises UserError where the
    file is no base."""
    path, architecture = base.path, ARCHITECTURES[base.kind]
    if base.layout not in architecture.base_layouts:
        raise UserError(
            f"{path} has the layout {base.layout}, which is an expert's; a base is a CLIPModel, a "
            "GPT2Model or the open_clip state dict or pickle of the zero-shot model."
        )
    try:
        described: tuple[dict[str, Any], list[str]] = architecture.model.describe(base, experts)
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"{path}: {error.args[0]} is missing.") from None
    except (AttributeError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"{path}: its shapes, or config.json beside it, are of no model known here: {error}."
        ) from None
    return described
