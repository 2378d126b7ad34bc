"""From a suite's description to a backbone and checked weights: what an engine starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from torch import Tensor

from semerge.abstention import Abstention, read_abstention
from semerge.backbones import GPT2, VisionTransformer
from semerge.checkpoints.bundled import Point, Statistics, check_files, read_statistics
from semerge.checkpoints.checkpoint import Checkpoint
from semerge.checkpoints.config import check_config
from semerge.checkpoints.formats import check_tower, open_base, open_expert
from semerge.checkpoints.hub import locate
from semerge.errors import UserError
from semerge.heads import open_tower, read_heads
from semerge.lineage import check_lineage
from semerge.memory import check_memory, give_back
from semerge.settings import Settings
from semerge.suite import OWN_LAYOUT, TEXT_TOWER
from semerge.suites import Suite
from semerge.task_vectors import TaskVectors
from semerge.tokenizing import read_tokenizer


@dataclass(frozen=True)
class Loaded:
    """A suite with its weights in memory."""

    suite: Suite
    backbone: VisionTransformer | GPT2
    vectors: TaskVectors
    heads: Mapping[str, Tensor]  # by task: (C, D)
    statistics: Mapping[Point, Statistics]  # by (layer, pool); empty without a cache probe
    abstention: Abstention | None = None  # the notice "no expert fits", where it was calibrated


def load(suite: Suite) -> Loaded:
    """Read all weights of a suite. Raises UserError if anything is missing or damaged."""
    try:
        Settings().resolve(suite)
    except UserError as error:
        raise UserError(f"{suite.path('suite.json')}: defaults: {error}") from None
    suite = locate(suite)
    check_files(suite)
    backbone = build_backbone(suite)
    check_memory(suite)
    # heads first: a text tower is let go before the experts come
    heads = read_heads(suite, backbone)
    give_back()
    base = open_suite_base(suite, backbone)
    experts = _Experts(suite, backbone, base)
    vectors = TaskVectors(base, experts, backbone.segments)
    if any(task.layout != OWN_LAYOUT for task in suite.tasks):
        check_lineage(vectors, suite.task_names, [suite.path(t.weights) for t in suite.tasks])
    file = suite.statistics
    statistics = read_statistics(suite, suite.path(file)) if file else {}
    return Loaded(suite, backbone, vectors, heads, statistics, read_abstention(suite))


def open_suite_base(suite: Suite, backbone: VisionTransformer | GPT2) -> Checkpoint:
    """The base of a suite, opened and compared with config.json and a text tower from elsewhere.

    Raises:
        UserError: it is missing or damaged, or one of them does not fit it.
    """
    path = suite.path(suite.base_weights)
    base = open_base(path, suite.base_layout, backbone.shapes)
    check_config(base, path, suite.base_layout, suite.architecture)
    apart = suite.head_source == TEXT_TOWER and suite.text_tower is not None
    if apart and isinstance(backbone, VisionTransformer):
        check_tower(open_tower(suite, backbone), base)
    return base


def open_suite_expert(
    suite: Suite, t: int, backbone: VisionTransformer | GPT2, base: Checkpoint
) -> Mapping[str, Tensor]:
    """The expert of task number t, opened and compared with config.json.

    Raises:
        UserError: it is missing or damaged, or comes from another base.
    """
    task = suite.tasks[t]
    path = suite.path(task.weights)
    expert = open_expert(path, task.layout, backbone.shapes, base)
    check_config(expert, path, task.layout, suite.architecture)
    return expert


class _Experts(Sequence[Mapping[str, Tensor]]):
    """The experts of a suite, opened when they are asked for, so that one at a time is held."""

    def __init__(self, suite: Suite, backbone: VisionTransformer | GPT2, base: Checkpoint) -> None:
        self._suite, self._backbone, self._base = suite, backbone, base

    def __len__(self) -> int:
        return len(self._suite.tasks)

    @overload
    def __getitem__(self, t: int) -> Mapping[str, Tensor]: ...
    @overload
    def __getitem__(self, t: slice) -> Sequence[Mapping[str, Tensor]]: ...
    def __getitem__(self, t: int | slice) -> Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]:
        if isinstance(t, slice):
            return [self[i] for i in range(len(self))[t]]
        return open_suite_expert(self._suite, t, self._backbone, self._base)


def build_backbone(suite: Suite) -> VisionTransformer | GPT2:
    """The architecture of a suite; keys of the config are those of open_clip and transformers."""
    config = suite.architecture
    return _gpt2(suite, config) if config["kind"] == "gpt2" else _open_clip(config)


def _open_clip(config: Mapping[str, Any]) -> VisionTransformer:
    vision = config["vision_cfg"]
    colours = {key: tuple(config[key]) for key in ("mean", "std") if key in config}
    return VisionTransformer(
        image_size=int(vision["image_size"]),
        patch_size=int(vision["patch_size"]),
        width=int(vision["width"]),
        layers=int(vision["layers"]),
        heads=int(vision["width"]) // int(vision.get("head_width", 64)),
        output_dim=int(config["embed_dim"]),
        mlp_ratio=float(vision.get("mlp_ratio", 4.0)),
        quick_gelu=bool(config.get("quick_gelu", False)),
        logit_scale=float(config["logit_scale"]),
        **colours,
    )


def _gpt2(suite: Suite, config: Mapping[str, Any]) -> GPT2:
    path = suite.path(config["tokenizer"])
    tokenizer = read_tokenizer(path)
    if tokenizer.get_vocab_size() > int(config["vocab_size"]):
        raise UserError(f"{path} has more tokens than the model: {tokenizer.get_vocab_size()}.")
    return GPT2(
        vocab=int(config["vocab_size"]),
        positions=int(config["n_positions"]),
        width=int(config["n_embd"]),
        layers=int(config["n_layer"]),
        heads=int(config["n_head"]),
        eps=float(config.get("layer_norm_epsilon", 1e-5)),
        tokenizer=tokenizer,
        pad_id=int(config.get("pad_id", 0)),
        max_length=int(config["max_length"]) if "max_length" in config else None,
    )
