"""Tiny suites with random weights, in the real format, for any test that needs an engine.

    folder = tiny_vision_suite(tmp_path / "vision")
    engine = load_engine(folder)

Weights are seeded: the same call writes the same bytes. Nothing is learned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from semerge.backbones import GPT2, VisionTransformer

CLASSES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
SENTENCES = (
    "The cat sat on the mat.",
    "A dog and a fox met by the river at noon.",
    "Play some music, please!",
    "Où est la gare ? Vielen Dank.",
    "1, 2, 3 and 4 are numbers; so is 5.",
)
DEFAULTS = {
    "probe": "experts",
    "layer": 2,
    "pool": "mean",
    "preset": "sharp",
    "static_lambda": 0.3,
    "probe_lambda": 0.1,
}


def tiny_vision_suite(path: str | Path, tasks: int = 3, layers: int = 2, **changes: Any) -> Path:
    """A suite of images of 16 x 16 pixels; `changes` replace keys of suite.json. Its folder."""
    architecture = {
        "kind": "open_clip",
        "embed_dim": 12,
        "quick_gelu": False,
        "logit_scale": 10.0,
        "vision_cfg": {
            "image_size": 16,
            "patch_size": 8,
            "width": 16,
            "layers": layers,
            "head_width": 8,
            "mlp_ratio": 2.0,
        },
    }
    backbone = VisionTransformer(16, 8, 16, layers, 2, 12, mlp_ratio=2.0, logit_scale=10.0)
    tokens = (16 // 8) ** 2 + 1
    pools = {"all": tokens * 16, "cls": 16, "mean": 16}
    folder = Path(path)
    return _write(folder, "image", architecture, backbone.shapes, 12, tasks, layers, pools, changes)


def tiny_text_suite(path: str | Path, tasks: int = 3, layers: int = 2, **changes: Any) -> Path:
    """A suite of sentences of up to 24 tokens; the last task reads pairs. Its folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    vocab = tokenizer.get_vocab_size()
    architecture = {
        "kind": "gpt2",
        "vocab_size": vocab,
        "n_positions": 24,
        "n_embd": 16,
        "n_layer": layers,
        "n_head": 2,
        "pad_id": 0,
        "tokenizer": "tokenizer.json",
    }
    shapes = GPT2(vocab, 24, 16, layers, 2).shapes
    pools = {"mean": 16, "last": 16}
    return _write(folder, "text", architecture, shapes, 16, tasks, layers, pools, changes)


SUITES = {"image": tiny_vision_suite, "text": tiny_text_suite}
"""By modality."""


def hash_files(folder: Path) -> None:
    """Write the sha256 of every file into suite.json, after a test has changed one."""
    suite = json.loads((folder / "suite.json").read_text(encoding="utf-8"))
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "suite.json")
    suite["sha256"] = {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
    (folder / "suite.json").write_text(json.dumps(suite, indent=1), encoding="utf-8")


def edit(folder: Path, change: Callable[[Any], object]) -> None:
    """Change a suite.json as `change` changes what is read from it."""
    file = folder / "suite.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    change(raw)
    file.write_text(json.dumps(raw), encoding="utf-8")


def _write(
    folder: Path,
    modality: str,
    architecture: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
    width: int,
    tasks: int,
    layers: int,
    pools: dict[str, int],
    changes: dict[str, Any],
) -> Path:
    random = torch.Generator().manual_seed(tasks * 100 + layers)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    (folder / "experts").mkdir(parents=True, exist_ok=True)
    base = {name: 0.3 * normal(*shape) for name, shape in shapes.items()}
    base |= {name: 1 + x for name, x in base.items() if "ln_" in name and "weight" in name}
    save_file({name: x.half() for name, x in base.items()}, folder / "base.safetensors")
    names = [f"task{t}" for t in range(tasks)]
    for t, name in enumerate(names):
        # every expert keeps some tensors of the base, and all of them keep the first one
        changed = [key for i, key in enumerate(shapes) if i > 0 and i % (tasks + 1) != t]
        expert = {key: base[key].half() + 0.1 * normal(*shapes[key]).half() for key in changed}
        save_file(expert, folder / "experts" / f"{name}.safetensors")
    heads = {name: normal(2 + t, width) for t, name in enumerate(names)}
    heads = {name: torch.nn.functional.normalize(x, dim=-1) for name, x in heads.items()}
    save_file(heads, folder / "heads.safetensors")

    statistics: dict[str, Tensor] = {}
    sizes = {f"{layer}/{p}": k for layer in range(1, layers + 1) for p, k in pools.items()}
    for at, size in (sizes | {"final/final": width}).items():
        statistics[f"mean/{at}"] = normal(tasks, size)
        if at.endswith("all"):
            statistics[f"scale/{at}"] = 0.5 + normal(size).abs()
        else:
            statistics[f"whiten/{at}"] = normal(size, size - 1)
    save_file(statistics, folder / "statistics.safetensors")

    suite: dict[str, Any] = {
        "format": 1,
        "name": f"tiny-{'vision' if modality == 'image' else 'text'}",
        "title": "Tiny",
        "about": "Random weights, for tests.",
        "modality": modality,
        "architecture": architecture,
        "base": {"weights": "base.safetensors"},
        "tasks": [
            {
                "name": name,
                "title": f"Task {t}",
                "about": "",
                "classes": list(CLASSES[: 2 + t]),
                "templates": ["a photo of a {}."] if modality == "image" else [],
                "pair": modality == "text" and t == tasks - 1,
                "real": t < tasks - 1,
                "weights": f"experts/{name}.safetensors",
            }
            for t, name in enumerate(names)
        ],
        "heads": "heads.safetensors",
        "statistics": "statistics.safetensors",
        "defaults": DEFAULTS,
        "thresholds": {"near_tie": 0.0, "flat": 0.0, "far": None},
        "sha256": {},
    }
    (folder / "suite.json").write_text(json.dumps(suite | changes, indent=1), encoding="utf-8")
    hash_files(folder)
    return folder
