"""LoRA adapters as PEFT stores them: W = W0 + s B A (Hu et al., arXiv 2106.09685).

s is alpha / r, or alpha / sqrt(r) with `use_rslora`. An `adapter_config.json` lies beside the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from semerge.checkpoints.checkpoint import Checkpoint, Origin, Shapes, Tensors, check_stored, stored
from semerge.checkpoints.files import read_config
from semerge.checkpoints.rawfile import RawFile
from semerge.common import UserError, quoted

CONFIG = "adapter_config.json"
# Each of these changes what an adapter means, when it is set.
_UNSUPPORTED = (
    "use_dora",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "fan_in_fan_out",
    "lora_bias",
    "layer_replication",
)
_KEY = re.compile(
    r"(?:base_model\.model\.)?(?:vision_model\.)?(?P<module>.+)"
    r"\.lora_(?P<ab>[AB])(?:\.default)?\.weight"
)


class LoraCheckpoint(Tensors):
    """The parameters that adapters change, with the adapters merged in.

    origins: what each parameter of the model is made from, in the adapted model's naming. blocks:
    how the names of modules begin that may have adapters. Raises UserError where
    adapter_config.json is missing or asks for more than plain LoRA, a key is not known, half of a
    pair is missing, or a shape does not fit.
    """

    def __init__(
        self,
        raw: RawFile,
        shapes: Shapes,
        base: Checkpoint,
        origins: Mapping[str, Origin],
        blocks: str,
    ) -> None:
        self.path = raw.path
        self._raw, self._base = raw, base
        rank, self._scale = _config(raw.path.parent / CONFIG)
        _check_base(raw.path, base.path)
        weights = {}  # module in transformers' naming: (parameter, which of its equal parts, of n)
        for name, origin in origins.items():
            for part, key in enumerate(origin.keys):
                if key.startswith(blocks) and len(shapes[name]) == 2:
                    weights[key.removesuffix(".weight")] = (name, part, len(origin.keys))
        pairs: dict[str, dict[str, str]] = {}
        for key in raw.shapes:
            match = _KEY.fullmatch(key)
            if match is None or match["module"] not in weights:
                raise UserError(f"{raw.path}: {key} is not a known key.")
            pairs.setdefault(match["module"], {})[match["ab"]] = key
        if not pairs:
            raise UserError(f"{raw.path} holds no adapters.")
        # parameter: (part, of n, key of A, key of B), for each of its parts that has an adapter
        changes: dict[str, list[tuple[int, int, str, str]]] = {}
        for module, pair in pairs.items():
            name, part, parts = weights[module]
            for half, other in (("A", "B"), ("B", "A")):
                if half not in pair:
                    raise UserError(f"{raw.path}: {pair[other]} is there, but no lora_{half}.")
            rows, columns = shapes[name]
            check_stored(raw, pair["A"], (rank, columns))
            check_stored(raw, pair["B"], (rows // parts, rank))
            changes.setdefault(name, []).append((part, parts, pair["A"], pair["B"]))
        super().__init__(changes)

    def __getitem__(self, name: str) -> Tensor:
        merged = self._base[name].clone()
        for part, parts, key_a, key_b in self._sources[name]:
            change = self._scale * (stored(self._raw, key_b) @ stored(self._raw, key_a))
            merged.chunk(parts)[part].add_(change)
        return merged


def named_base(adapters: Path) -> str | None:
    """The base that adapter_config.json names, as its id on the hub; None where it names none, or
    a folder of somebody's disk."""
    config = read_config(adapters.parent / CONFIG) or {}
    return _hub_id(config.get("base_model_name_or_path"))


def _check_base(adapters: Path, base: Path) -> None:
    """Models of one shape are many, and adapters fit each. Raises UserError where the adapters name
    another one than the base's own config, or its place in the hub's cache."""
    cached = (re.fullmatch(r"models--(.+)", part) for part in base.parts)
    names = [found[1].replace("--", "/") for found in cached if found]
    config = read_config(base.with_name("config.json")) or {}
    other = _hub_id(names[-1] if names else config.get("_name_or_path"))
    named = named_base(adapters)
    # an owner may have been renamed, or be left out: gpt2 is openai-community/gpt2
    if named and other and named.rpartition("/")[2].lower() != other.rpartition("/")[2].lower():
        raise UserError(
            f"{adapters.parent / CONFIG}: base_model_name_or_path is {quoted(named)}, but "
            f"{base} is {quoted(other)}."
        )


def _hub_id(name: Any) -> str | None:
    known = isinstance(name, str) and re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", name)
    return name if known else None


def _config(path: Path) -> tuple[int, float]:
    """Rank r and scale s of adapter_config.json."""
    config = read_config(path)
    if config is None:
        raise UserError(f"{path} is missing: it says how strongly the adapters act.")
    if config.get("peft_type") != "LORA":
        raise UserError(f"{path}: peft_type is {quoted(config.get('peft_type'))}, not 'LORA'.")
    for key in _UNSUPPORTED:
        if config.get(key):
            raise UserError(f"{path}: {key} is set; only plain LoRA can be read.")
    if config.get("bias", "none") != "none":
        raise UserError(f"{path}: bias is {quoted(config['bias'])}; only 'none' can be read.")
    rank, alpha = _number(config, "r", path), _number(config, "lora_alpha", path)
    if rank != int(rank):
        raise UserError(f"{path}: r is {rank}, not a whole number.")
    return int(rank), alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _number(config: Mapping[str, Any], key: str, path: Path) -> float:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UserError(f"{path}: {key} is {quoted(value)}, not a positive number.")
    return float(value)
