"""From the folder that a training run leaves to what a suite says of itself and its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from recipes.export import SuiteSpec, TaskSpec, Trained
from recipes.items import ITEMS

MAX_LOGIT_SCALE = 4.6
"""Where CLIP's learned scale is cut off, as a logarithm."""


def vision_suite(folder: Path, open_clip: Mapping[str, Any]) -> tuple[SuiteSpec, Trained]:
    """`mini-vision` from `folder`: base, experts, heads and text tower as safetensors.

    open_clip: the model's configuration (embed_dim, vision_cfg, text_cfg).
    """
    from recipes.vision_tasks import TASKS

    heads = load_file(folder / "heads.safetensors")
    tower = folder / "text_tower.safetensors"
    log_scale = float(load_file(tower)["logit_scale"])
    tasks = tuple(
        TaskSpec(
            name,
            t.title,
            t.about,
            t.classes,
            t.templates,
            real=t.real,
            aliases=t.aliases,
            item=ITEMS.get(name, ""),
        )
        for name, t in TASKS.items()
        if name in heads
    )
    spec = SuiteSpec(
        name="mini-vision",
        title="Mini Vision",
        about="A small CLIP, pre-trained by this project on a mixture of eight image tasks, and "
        "one expert a task, fine-tuned from it with the zero-shot heads frozen.",
        modality="image",
        architecture={
            "kind": "open_clip",
            **open_clip,
            "quick_gelu": False,
            "logit_scale": math.exp(min(log_scale, MAX_LOGIT_SCALE)),
        },
        tasks=tasks,
    )
    return spec, _trained(folder, spec, heads, (tower,))


def text_suite(folder: Path, data: Path, shape: Mapping[str, int]) -> tuple[SuiteSpec, Trained]:
    """`mini-text` from `folder`: base, experts, heads as safetensors, and tokenizer.json.

    data: the folder whose classes.json name the classes. shape: n_head and, if need be, other keys
    of transformers' GPT2Config; width, depth, window and vocabulary are read off the weights.
    """
    from recipes.text_tasks import TASKS

    heads, base = load_file(folder / "heads.safetensors"), load_file(folder / "base.safetensors")
    known = [name for name in TASKS if name in heads]
    names = known + sorted(set(heads) - set(known))
    tasks = []
    for name in names:
        title, about = TASKS.get(name, (name.replace("_", " "), ""))
        classes = json.loads((data / name / "classes.json").read_text(encoding="utf-8"))
        tasks.append(TaskSpec(name, title, about, tuple(classes), item=ITEMS.get(name, "")))
    vocabulary, width = base["wte.weight"].shape
    layers = 1 + max(int(n.split(".")[1]) for n in base if n.startswith("h."))
    spec = SuiteSpec(
        name="mini-text",
        title="Mini Text",
        about="A small GPT-2, pre-trained by this project as a language model and briefly on "
        "seven text tasks, and one expert a task, fine-tuned from it with the heads frozen.",
        modality="text",
        architecture={
            "kind": "gpt2",
            "vocab_size": vocabulary,
            "n_positions": base["wpe.weight"].shape[0],
            "n_embd": width,
            "n_layer": layers,
            "pad_id": 0,
            "tokenizer": "tokenizer.json",
            **shape,
        },
        tasks=tuple(tasks),
    )
    return spec, _trained(folder, spec, heads, (folder / "tokenizer.json",))


def _trained(
    folder: Path, spec: SuiteSpec, heads: Mapping[str, Tensor], extra: tuple[Path, ...]
) -> Trained:
    experts = folder / "experts"
    if (experts / "final").is_dir():  # beside other families, made for the ablation
        experts = experts / "final"
    moments = {t.name: experts / "moments" / f"{t.name}.safetensors" for t in spec.tasks}
    return Trained(
        base=load_file(folder / "base.safetensors"),
        experts={t.name: load_file(experts / f"{t.name}.safetensors") for t in spec.tasks},
        heads={t.name: heads[t.name] for t in spec.tasks},
        extra=extra,
        moments={name: load_file(file) for name, file in moments.items() if file.is_file()},
    )
