"""Small suites of files in published layouts, each a folder with its suite.json."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import gpt2_fakes
import published_fakes as fakes
import torch
from gpt2_fakes import GPT
from pickled_fakes import write_pickled
from published_fakes import CLIP_ARCHITECTURE, VIT

BASE = fakes.random_weights(VIT.shapes, 0)
EXPERTS = [fakes.tuned(BASE, 1 + t) for t in range(3)]
TOWER = fakes.text_weights(9)
CLASSES = (("cat", "dog"), ("red", "green", "blue"), ("one thing", "another thing"))
TEMPLATES = ("a photo of a {}.", "one {}")
BODY = fakes.random_weights(GPT.shapes, 20)
BODIES = [fakes.tuned(BODY, 21 + t) for t in range(2)]
SCORES = [torch.randn(2 + t, 32, generator=torch.Generator().manual_seed(t)) for t in range(2)]


def write_suite(
    folder: Path, architecture: dict[str, Any], base: dict[str, str], tasks: list[dict[str, Any]],
    heads: object,
) -> Path:  # fmt: skip
    """suite.json for weights that are in the folder already."""
    plain = {"about": "", "real": True, "pair": False, "classes": ["cat", "dog"]}
    plain["templates"] = ["a photo of a {}.", "one {}"] if "vision_cfg" in architecture else []
    suite = {
        "format": 1,
        "name": "published",
        "title": "Published",
        "about": "",
        "modality": "image" if "vision_cfg" in architecture else "text",
        "architecture": architecture,
        "base": base,
        "tasks": [{**plain, "title": task["name"], **task} for task in tasks],
        "heads": heads,
        "defaults": {
            "probe": "experts",
            "layer": 1,
            "pool": "mean",
            "preset": "sharp",
            "static_lambda": 0.3,
            "probe_lambda": 0.3,
        },
        "thresholds": {"near_tie": None, "flat": None, "far": None},
        "sha256": {},
    }
    (folder / "suite.json").write_text(json.dumps(suite), encoding="utf-8")
    return folder


def hash_own_files(folder: Path) -> None:
    """State the hash of heads.safetensors, as a suite has to for files of the project's own."""
    suite = json.loads((folder / "suite.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256((folder / "heads.safetensors").read_bytes()).hexdigest()
    suite["sha256"] = {"heads.safetensors": digest}
    (folder / "suite.json").write_text(json.dumps(suite), encoding="utf-8")


def write_expert(folder: Path, layout: str, t: int) -> str:
    state = fakes.image_encoder(EXPERTS[t], TOWER)
    if layout == "fusionbench-clip":
        file = f"expert{t}/model.safetensors"
        fakes.write_vision_model(folder / file, EXPERTS[t])
    elif layout == "peft-lora":
        file = f"expert{t}/adapter_model.safetensors"
        fakes.write_lora(folder / file, seed=t)
    elif layout == "openclip-state-dict":
        file = f"expert{t}Val/nonlinear_finetuned.pt"
        fakes.write_state_dict(folder / file, state)
    else:
        file = f"expert{t}/finetuned.pt"
        write_pickled(folder / file, state, bare=t == 1)
    return file


def clip_suite(folder: Path, layout: str, heads: object = None, **changes: Any) -> Path:
    """Three experts in one layout, over openai's."""
    fakes.write_clip_model(folder / "clip" / "pytorch_model.bin", fakes.hf_clip(BASE, TOWER))
    tasks = [
        {
            "name": f"task{t}",
            "weights": write_expert(folder, layout, t),
            "layout": layout,
            "classes": list(CLASSES[t]),
            "templates": list(TEMPLATES),
            "head": f"head_{t}.pt",
        }
        for t in range(3)
    ]
    base = {"weights": "clip/pytorch_model.bin", "layout": "hf-clip"}
    architecture = {**CLIP_ARCHITECTURE, **changes}
    return write_suite(folder, architecture, base, tasks, heads or {"from": "text-tower"})


def gpt2_suite(folder: Path, pairs: bool = True) -> Path:
    gpt2_fakes.write_tokenizer(folder / "gpt2")
    gpt2_fakes.write_gpt2(folder / "gpt2" / "model.safetensors", BODY)
    tasks = []
    for t, (body, score) in enumerate(zip(BODIES, SCORES, strict=True)):
        file = f"expert{t}/model.safetensors"
        gpt2_fakes.write_classifier(folder / file, body, score, masks=t == 0, pad=(299, None)[t])
        classes = ["no", "yes", "maybe"][: len(score)]
        tasks.append({"name": f"task{t}", "weights": file, "layout": "gpt2-classifier"})
        tasks[-1] |= {"classes": classes, "pair": pairs}
    architecture = {
        "kind": "gpt2",
        "vocab_size": 300,
        "n_positions": 48,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 2,
        "pad_id": 299,
        "max_length": 24,
        "tokenizer": "gpt2/vocab.json",
    }
    base = {"weights": "gpt2/model.safetensors", "layout": "gpt2"}
    return write_suite(folder, architecture, base, tasks, {"from": "expert"})
