"""LoRA adapters as PEFT stores them: W = W0 + s B A (Hu et al., arXiv 2106.09685).

A is (r, in) and B (out, r), whichever way around the adapted layer keeps W, so `fan_in_fan_out`
says nothing that the layer does not. s is alpha / r, or alpha / sqrt(r) with `use_rslora`; r and
alpha may be a module's own. An `adapter_config.json` lies beside the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from semerge.checkpoints.checkpoint import (
    Checkpoint,
    Origin,
    Shapes,
    Tensors,
    check_finite,
    check_stored,
    stored,
)
from semerge.checkpoints.files import check_harmless, read_config
from semerge.checkpoints.rawfile import RawFile
from semerge.common import UserError, listed, quoted

CONFIG = "adapter_config.json"
LARGEST = 1e6  # of a rank or alpha
MERGE = " Merge them with PEFT's merge_and_unload() and take the whole model that it returns."
# What says nothing of what the numbers mean: how they were trained, where they go (which the keys
# say), or what the file itself shows. PEFT has new keys with every release: others are refused.
HARMLESS = {
    *("peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision"),
    *("inference_mode", "peft_version", "lora_dropout", "fan_in_fan_out", "modules_to_save"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"),
    *("megatron_core", "qalora_group_size", "eva_config"),  # each of no effect by itself
}
# The others (pissa, olora, corda, loftq, lora_ga, ...) take something off the base's weights first.
STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
_KEY = re.compile(r"(?P<module>.+)\.lora_(?P<ab>[AB])(?:\.default)?\.weight")
_PLAIN = re.compile(r"\^?[\w.]+\$?")  # a pattern that is no regular expression but for its ends


class LoraCheckpoint(Tensors):
    """The parameters that adapters change, with the adapters merged in.

    origins: what each parameter of the model is made from, in the adapted model's naming. blocks:
    how the names of modules begin that may have adapters. tower: a prefix that the file's keys may
    have before those names. outputs_last: W is (in, out), as in transformers' `Conv1D`. known: a
    pattern for keys of what else may be there. Raises UserError where
    adapter_config.json is missing or asks for more than LoRA, a key is not known, half of a pair is
    missing, or a shape does not fit.
    """

    def __init__(
        self,
        raw: RawFile,
        shapes: Shapes,
        base: Checkpoint,
        origins: Mapping[str, Origin],
        blocks: str,
        *,
        tower: str = "",
        outputs_last: bool = False,
        known: str = r"(?!)",
    ) -> None:
        self.path = raw.path
        self._raw, self._base, self._outputs_last = raw, base, outputs_last
        file = raw.path.parent / CONFIG
        config = _config(file)
        _check_base(raw.path, base.path)
        weights = {}  # module in transformers' naming: (parameter, which of its equal parts, of n)
        for name, origin in origins.items():
            for part, key in enumerate(origin.keys):
                if key.startswith(blocks) and len(shapes[name]) == 2:
                    weights[key.removesuffix(".weight")] = (name, part, len(origin.keys))
        pairs: dict[str, dict[str, str]] = {}
        for key in raw.shapes:
            match = _KEY.fullmatch(key)
            if match is not None and match["module"].removeprefix(tower) in weights:
                pairs.setdefault(match["module"], {})[match["ab"]] = key
            elif not re.fullmatch(known, key):
                raise UserError(f"{raw.path}: {key} is not a known key.{MERGE}")
        if not pairs:
            raise UserError(f"{raw.path} holds no adapters.")
        # parameter: (part, of n, scale, key of A, key of B), for each part that has an adapter
        changes: dict[str, list[tuple[int, int, float, str, str]]] = {}
        for module, pair in pairs.items():
            name, part, parts = weights[module.removeprefix(tower)]
            for half, other in (("A", "B"), ("B", "A")):
                if half not in pair:
                    raise UserError(f"{raw.path}: {pair[other]} is there, but no lora_{half}.")
            rank = _whole(_of_module(config, "rank_pattern", "r", module, file), file)
            alpha = _of_module(config, "alpha_pattern", "lora_alpha", module, file)
            rows, columns = shapes[name][::-1] if outputs_last else shapes[name]
            check_stored(raw, pair["A"], (rank, columns))
            check_stored(raw, pair["B"], (rows // parts, rank))
            scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
            changes.setdefault(name, []).append((part, parts, scale, pair["A"], pair["B"]))
        super().__init__(changes)

    def __getitem__(self, name: str) -> Tensor:
        merged = self._base[name].clone()
        for part, parts, scale, key_a, key_b in self._sources[name]:
            change = scale * (stored(self._raw, key_b) @ stored(self._raw, key_a))
            check_finite(change, f"{self.path}: the product of {key_b} and {key_a}")
            merged.chunk(parts)[part].add_(change.T if self._outputs_last else change)
        return merged


def named_base(adapters: Path) -> str | None:
    """The base that adapter_config.json names, as its id on the hub; None where it names none, or
    a folder of somebody's disk."""
    config = read_config(adapters.parent / CONFIG) or {}
    return _hub_id(config.get("base_model_name_or_path"))


def name_of(base: Path) -> str | None:
    """A base's own id on the hub, by its place in the hub's cache or its config; None where neither
    tells one."""
    cached = (re.fullmatch(r"models--(.+)", part) for part in base.parts)
    names = [found[1].replace("--", "/") for found in cached if found]
    config = read_config(base.with_name("config.json")) or {}
    return _hub_id(names[-1] if names else config.get("_name_or_path"))


def _check_base(adapters: Path, base: Path) -> None:
    """Models of one shape are many, and adapters fit each. Raises UserError where the adapters name
    another one than the base itself."""
    other, named = name_of(base), named_base(adapters)
    # an owner may have been renamed, or be left out: gpt2 is openai-community/gpt2
    if named and other and named.rpartition("/")[2].lower() != other.rpartition("/")[2].lower():
        raise UserError(
            f"{adapters.parent / CONFIG}: base_model_name_or_path is {quoted(named)}, but "
            f"{base} is {quoted(other)}."
        )


def _hub_id(name: Any) -> str | None:
    known = isinstance(name, str) and re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", name)
    return name if known else None


def _config(file: Path) -> dict[str, Any]:
    """adapter_config.json, held to what can be read."""
    config = read_config(file)
    if config is None:
        raise UserError(f"{file} is missing: it says how strongly the adapters act.")
    if config.get("peft_type") != "LORA":
        raise UserError(f"{file}: peft_type is {quoted(config.get('peft_type'))}, not 'LORA'.")
    for key, valid in (("bias", ("none", None)), ("init_lora_weights", STARTS)):
        if (value := config.pop(key, None)) not in valid:
            raise UserError(f"{file}: {key} is {quoted(value)}, which can't be run here.{MERGE}")
    check_harmless(file, config, HARMLESS, "", MERGE)
    return config


def _of_module(
    config: Mapping[str, Any], pattern: str, default: str, module: str, file: Path
) -> float:
    """What a pattern says of a module, by its key that is the module's name or the end of it from a
    dot on; else what holds for all. PEFT takes the first of several keys as they were written, and
    sorts them when it saves, so several are refused where they differ."""
    own = config.get(pattern) or {}
    for name in own if isinstance(own, dict) else (own,):
        if not isinstance(own, dict) or not _PLAIN.fullmatch(name):
            raise UserError(
                f"{file}: {pattern} has {quoted(name)}, a regular expression, which can't be read."
                f"{MERGE}"
            )
    keys = [name for name in own if _fits(name, module)]
    values = [own[name] for name in keys] or [config.get(default)]
    if any(value != values[0] for value in values):
        raise UserError(
            f"{file}: {listed(keys)} of {pattern} are all of {module}, and differ.{MERGE}"
        )
    value, key = values[0], (keys or [default])[0]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST:
        raise UserError(f"{file}: {key} is {quoted(value)}, not a positive number.")
    return float(value)


def _fits(name: str, module: str) -> bool:
    end = name.strip("^$")
    return module == end or (not name.startswith("^") and module.endswith(f".{end}"))


def _whole(value: float, file: Path) -> int:
    if value != int(value):
        raise UserError(f"{file}: r is {value}, not a whole number.")
    return int(value)
