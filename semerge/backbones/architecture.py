"""What a suite can be told of an architecture without its weights: no torch is imported here.

Every package of this room is one architecture. Its `__init__` describes it by an `ARCHITECTURE`, an
object of a class made from the one below, and is as light as this file. Its module `model` computes
and has these functions, which `semerge.backbones.weights` calls:

    build(suite) -> Backbone
    open_base(path, layout, shapes) -> Checkpoint
    open_expert(path, layout, shapes, base) -> Checkpoint, or another mapping of tensors
    check_config(checkpoint, path, layout, architecture): compares with what lies beside it
    check_inputs(suite, path, backbone): compares an expert's tokenizer beside it with the suite's
    check_base(suite, backbone, base): compares a base with what else makes the heads
    check_heads(suite, backbone): what can be told of heads without making them
    read_heads(suite, backbone) -> heads (C, D) by task, where they are in no file of the project's
    layout_of(keys, pickled) -> the layout of a file with these keys, or None
    describe(base, experts) -> what suite.json says of the model, and what of it is assumed
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, Protocol

from semerge.common import UserError, quoted

OWN_LAYOUT = "semerge"
"""Safetensors in the project's own naming, each file's hash in suite.json."""

HEAD_FILE, TEXT_TOWER, IN_EXPERT, HEAD_FILES = "file", "text-tower", "expert", "files"
HEAD_SOURCES = (HEAD_FILE, TEXT_TOWER, IN_EXPERT, HEAD_FILES)
"""One file of the project's own; the base's text tower; inside each expert; a file a task."""

LARGEST, DEEPEST = 1_000_000, 1_000
"""No number of a model's description, or beside it in suite.json, is beyond the first, and no
number of layers beyond the second: each has parameters that are named one by one."""

Shapes = dict[str, tuple[int, ...]]


class Sizes(Protocol):
    """The sizes of one model, which its `Backbone` has too."""

    @property
    def pools(self) -> tuple[str, ...]:
        """Ways to pool a block's output: of `all`, `cls`, `mean`, `last`."""

    @property
    def depth(self) -> int:
        """L, the number of residual blocks."""

    @property
    def shapes(self) -> Shapes:
        """Every parameter's shape, in the order of the forward pass."""

    @property
    def outputs_last(self) -> bool:
        """Whether the 2-D weights of its blocks are (in, out), or else (out, in)."""


class Architecture:
    """A kind of model that suites can be of.

    kind: in suite.json. modality: of what it reads, "image" or "text". base_layouts,
    expert_layouts: in which its published weights come. head_sources: where its heads can come
    from. json_files: keys of its description that name a file in the suite's folder.
    """

    kind: ClassVar[str]
    modality: ClassVar[str]
    base_layouts: ClassVar[tuple[str, ...]]
    expert_layouts: ClassVar[tuple[str, ...]]
    head_sources: ClassVar[tuple[str, ...]]
    json_files: ClassVar[tuple[str, ...]] = ()

    @property
    def model(self) -> Any:
        """The module that computes. It imports torch."""
        return import_module(f"{type(self).__module__}.model")

    def check(self, raw: Mapping[str, Any]) -> None:
        """Check what suite.json says of the model: a wrong number would end in a division by zero,
        or in a model that is not the one meant. Raises UserError where a key is missing, is no
        number of its kind, or does not fit another one. The sentence names the key; it has no file
        and no full stop."""
        raise NotImplementedError

    def sizes(self, raw: Mapping[str, Any]) -> Sizes:
        """The sizes of a model whose description was checked."""
        raise NotImplementedError

    def files(self, raw: Mapping[str, Any]) -> tuple[str, ...]:
        """What is read beside the weights, in the suite's folder."""
        return ()

    def side(self, raw: Mapping[str, Any]) -> int:
        """Pixels of an image's sides as the model reads it; 0 where it reads no images."""
        return 0

    def tower_shapes(self, raw: Mapping[str, Any]) -> Shapes:
        """Shapes of what is read for the heads alone, and then let go."""
        return {}


def parameters(shapes: Mapping[str, Sequence[int]]) -> int:
    """The count of numbers in tensors of these shapes."""
    return sum(math.prod(shape) for shape in shapes.values())


# ---- how a description is checked ---------------------------------------------------------------


def check_whole(
    raw: Mapping[str, Any], keys: tuple[str, ...], where: str, optional: bool = False
) -> None:
    """Keys that must be there, as whole numbers from 1 on."""
    for key in keys:
        if optional and key not in raw:
            continue
        value, largest = raw.get(key), DEEPEST if "layer" in key else LARGEST
        if not is_whole(value) or not 1 <= value <= largest:  # type: ignore[operator]
            valid = f"a whole number from 1 to {largest:,}"
            raise UserError(f"{where}{key} must be {valid}, not {quoted(value)}")


def check_positive(raw: Mapping[str, Any], key: str, where: str, optional: bool = False) -> None:
    """A key that must be there as a positive number."""
    value = raw.get(key)
    if not (optional and key not in raw) and not (is_number(value) and value > 0):  # type: ignore[operator]
        raise UserError(f"{where}{key} must be a positive number, not {quoted(value)}")


def check_divides(whole: int, part: int, key: str, other: str) -> None:
    """A number that must divide another."""
    if whole % part:
        raise UserError(f"{key} {part} does not divide {other} {whole}")


def is_whole(value: object) -> bool:
    """Whether a JSON value is a whole number; true and false are none, though Python's are."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a JSON value is a number that a model may have."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= LARGEST  # type: ignore[arg-type]
