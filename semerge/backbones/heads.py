"""The heads of a suite, from wherever its suite.json says."""

from __future__ import annotations

from torch import Tensor

from semerge.backbones import GPT2, VisionTransformer
from semerge.backbones.clip import zero_shot_heads
from semerge.checkpoints import bundled
from semerge.checkpoints.checkpoint import Checkpoint
from semerge.checkpoints.formats import open_text_tower, read_score
from semerge.checkpoints.pickled import read_head
from semerge.common import UserError
from semerge.suites.suite import HEAD_FILE, HEAD_FILES, TEXT_TOWER, Suite


def read_heads(suite: Suite, backbone: VisionTransformer | GPT2) -> dict[str, Tensor]:
    """The head of each task by its name, (C, D).

    Raises:
        UserError: a file is missing or damaged, or does not fit the task's classes.
    """
    if suite.head_source == HEAD_FILE:
        width = backbone.width if isinstance(backbone, GPT2) else backbone.output_dim
        shapes = {task.name: (len(task.classes), width) for task in suite.tasks}
        return bundled.read_heads(suite.path(str(suite.heads)), shapes)
    if isinstance(backbone, GPT2):
        return _scores(suite, backbone)
    if suite.head_source == TEXT_TOWER:
        return _by_text_tower(suite, backbone)
    if suite.head_source == HEAD_FILES:
        return {
            task.name: read_head(
                suite.path(str(task.head)),
                len(task.classes),
                backbone.output_dim,
                backbone.logit_scale,
            )
            for task in suite.tasks
        }
    raise _impossible(suite)


def _scores(suite: Suite, backbone: GPT2) -> dict[str, Tensor]:
    if suite.head_source in (TEXT_TOWER, HEAD_FILES):
        raise _impossible(suite)
    return {
        task.name: read_score(suite.path(task.weights), len(task.classes), backbone.width)
        for task in suite.tasks
    }


def _by_text_tower(suite: Suite, backbone: VisionTransformer) -> dict[str, Tensor]:
    tower = open_tower(suite, backbone)
    words = [(task.classes, task.templates) for task in suite.tasks]
    config = suite.architecture["text_cfg"]
    heads = zero_shot_heads(tower, config, backbone.quick_gelu, words)
    return dict(zip(suite.task_names, heads, strict=True))


def open_tower(suite: Suite, backbone: VisionTransformer) -> Checkpoint:
    """The text tower that makes the heads of a suite, opened.

    Raises:
        UserError: suite.json does not describe one, a task has no templates, or the file is missing
            or damaged.
    """
    config = suite.architecture.get("text_cfg")
    if not isinstance(config, dict):
        raise UserError(
            f"{suite.path('suite.json')}: architecture.text_cfg is missing, so no text tower can "
            "make the heads."
        )
    for task in suite.tasks:
        if not task.templates:
            raise UserError(
                f"{suite.path('suite.json')}: task {task.name} has no templates, so no text tower "
                "can make its head."
            )
    path = suite.path(suite.text_tower or suite.base_weights)
    layout = suite.text_tower_layout or suite.base_layout
    return open_text_tower(path, layout, backbone.output_dim, config)


def _impossible(suite: Suite) -> UserError:
    kind = suite.architecture["kind"]
    return UserError(
        f"{suite.path('suite.json')}: heads.from {suite.head_source!r} is not possible with "
        f"architecture.kind {kind!r}."
    )
