"""A published suite with random weights: every file in the hub's layout and full size.

    python -m recipes.fake_suite clip-vit-b-32 OUT --seed 0

OUT then is a suite of its own (`--suite OUT`): the shipped suite.json without its sources, and
`owner/repo/file` for each file. Nothing is learned, so the answers mean nothing; what it shows is
that the files are read, what that takes in time and memory, and how fast an answer comes. Keys and
shapes are those that transformers writes, spelled out here and not taken from the readers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from semerge.common import UserError, gigabytes
from semerge.suites import SUITES_FOLDER, published_suites

SPREAD = 0.02  # standard deviation of the base's weights, as both models are initialised
MOVE = 0.002  # standard deviation of what sets an expert off
LOGIT_SCALE = 4.6052  # ln 100
RESERVE = 200_000_000  # bytes that stay free on the disk
Shapes = dict[str, tuple[int, ...]]


def write_fake_suite(
    name: str, out: Path, seed: int = 0, architecture: Mapping[str, Any] | None = None
) -> Path:
    """Write a published suite's files with random weights into `out`; returns `out`.

    Args:
        architecture: replaces keys of the suite's own, for smaller models (tests).

    Raises:
        UserError: no such published suite, `out` is in use, or the disk is too small.
    """
    if name not in published_suites():
        known = ", ".join(published_suites())
        raise UserError(f"{name!r} is no published suite; there are {known}.")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty.")
    raw = json.loads((SUITES_FOLDER / name / "suite.json").read_text(encoding="utf-8"))
    sources = raw.pop("sources")
    raw["architecture"] |= dict(architecture or {})
    raw["about"] = f"Random weights in the layout of {name}: nothing is learned."
    out.mkdir(parents=True, exist_ok=True)
    if not architecture:
        _check_room(out, sum(source["bytes"] for source in sources.values()))
    for file in sources:
        (out / file).parent.mkdir(parents=True, exist_ok=True)
    random = torch.Generator().manual_seed(seed)
    {"gpt2": _write_gpt2, "open_clip": _write_clip}[raw["architecture"]["kind"]](raw, out, random)
    (out / "suite.json").write_text(json.dumps(raw, indent=1, ensure_ascii=False), "utf-8")
    return out


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + RESERVE > free:
        raise UserError(
            f"{gigabytes(size)} are to be written to {folder}, but {gigabytes(free)} are free."
        )


def _write_clip(raw: dict[str, Any], out: Path, random: torch.Generator) -> None:
    architecture = raw["architecture"]
    vision, text = architecture["vision_cfg"], architecture["text_cfg"]
    tower = _vision_shapes(vision)
    rest = _text_shapes(text) | {
        "visual_projection.weight": (architecture["embed_dim"], vision["width"]),
        "text_projection.weight": (architecture["embed_dim"], text["width"]),
    }
    base = _fill(tower, random)
    whole = base | _fill(rest, random) | {"logit_scale": torch.tensor(LOGIT_SCALE)}
    tokens = tower["vision_model.embeddings.position_embedding.weight"][0]
    whole["vision_model.embeddings.position_ids"] = torch.arange(tokens)[None]
    whole["text_model.embeddings.position_ids"] = torch.arange(text["context_length"])[None]
    torch.save(whole, out / raw["base"]["weights"])
    config = _clip_config(architecture)
    _write_json(out / raw["base"]["weights"], "config.json", config)
    del whole
    for task in raw["tasks"]:
        _save(_moved(base, random), out / task["weights"])
        _write_json(out / task["weights"], "config.json", config["vision_config"])


def _write_gpt2(raw: dict[str, Any], out: Path, random: torch.Generator) -> None:
    config = raw["architecture"]
    body = _fill(_gpt2_shapes(config), random)
    positions = config["n_positions"]
    mask = torch.ones(positions, positions).tril()[None, None]
    masks = {f"h.{i}.attn.bias": mask.clone() for i in range(config["n_layer"])}  # as on the hub
    _save(body | masks, out / raw["base"]["weights"])
    keys = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
    told = {"model_type": "gpt2", "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
    told |= {key: config[key] for key in keys}
    for task in raw["tasks"]:
        labels = len(task["classes"])
        expert = {f"transformer.{key}": x for key, x in _moved(body, random).items()}
        expert["score.weight"] = SPREAD * torch.randn(labels, config["n_embd"], generator=random)
        _save(expert, out / task["weights"])
        mine: dict[str, Any] = {"architectures": ["GPT2ForSequenceClassification"]}
        mine["pad_token_id"] = config["pad_id"]
        mine["id2label"] = {str(i): f"LABEL_{i}" for i in range(labels)}
        _write_json(out / task["weights"], "config.json", told | mine)
    _write_tokenizer(out / config["tokenizer"], config["vocab_size"])


def _write_tokenizer(vocab: Path, size: int) -> None:
    """Bytes, pairs of bytes in order, the end of the text: GPT-2's form, not its words."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves
    letters = [chr(b) for b in kept] + [chr(256 + i) for i in range(256 - len(kept))]
    pairs = [(a, b) for a in letters for b in letters][: size - len(letters) - 1]
    words = [*letters, *(a + b for a, b in pairs), "<|endoftext|>"]
    table = {word: i for i, word in enumerate(words)}
    vocab.write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
    merges = "\n".join(["#version: 0.2", *(f"{a} {b}" for a, b in pairs)])
    vocab.with_name("merges.txt").write_text(merges + "\n", encoding="utf-8")


def _fill(shapes: Shapes, random: torch.Generator) -> dict[str, Tensor]:
    """Norms are the identity, biases zero, and the rest is normal."""

    def tensor(key: str, shape: tuple[int, ...]) -> Tensor:
        norm = any(word in key for word in ("norm", "layrnorm", "ln_"))
        if key.endswith("bias"):
            return torch.zeros(shape)
        return torch.ones(shape) if norm else SPREAD * torch.randn(shape, generator=random)

    return {key: tensor(key, shape) for key, shape in shapes.items()}


def _moved(base: Mapping[str, Tensor], random: torch.Generator) -> dict[str, Tensor]:
    return {key: x + MOVE * torch.randn(x.shape, generator=random) for key, x in base.items()}


def _vision_shapes(vision: Mapping[str, Any]) -> Shapes:
    width, patch = vision["width"], vision["patch_size"]
    tokens = (vision["image_size"] // patch) ** 2 + 1
    shapes: Shapes = {
        "embeddings.class_embedding": (width,),
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.position_embedding.weight": (tokens, width),
        **_norm("pre_layrnorm", width),  # the misspelling is the real key
        **_encoder(width, vision["layers"], int(width * vision.get("mlp_ratio", 4))),
        **_norm("post_layernorm", width),
    }
    return {f"vision_model.{key}": shape for key, shape in shapes.items()}


def _text_shapes(text: Mapping[str, Any]) -> Shapes:
    width = text["width"]
    shapes: Shapes = {
        "embeddings.token_embedding.weight": (text["vocab_size"], width),
        "embeddings.position_embedding.weight": (text["context_length"], width),
        **_encoder(width, text["layers"], 4 * width),
        **_norm("final_layer_norm", width),
    }
    return {f"text_model.{key}": shape for key, shape in shapes.items()}


def _encoder(width: int, layers: int, hidden: int) -> Shapes:
    shapes: Shapes = {}
    for i in range(layers):
        at = f"encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{at}.self_attn.{name}", width, width)
        shapes |= _norm(f"{at}.layer_norm1", width) | _linear(f"{at}.mlp.fc1", hidden, width)
        shapes |= _linear(f"{at}.mlp.fc2", width, hidden) | _norm(f"{at}.layer_norm2", width)
    return shapes


def _gpt2_shapes(config: Mapping[str, Any]) -> Shapes:
    width = config["n_embd"]
    shapes: Shapes = {
        "wte.weight": (config["vocab_size"], width),
        "wpe.weight": (config["n_positions"], width),
    }
    for i in range(config["n_layer"]):
        shapes |= _norm(f"h.{i}.ln_1", width) | _norm(f"h.{i}.ln_2", width)
        # transformers' Conv1D holds (in, out)
        for name, rows, columns in (
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, 4 * width),
            ("mlp.c_proj", 4 * width, width),
        ):
            shapes[f"h.{i}.{name}.weight"] = (rows, columns)
            shapes[f"h.{i}.{name}.bias"] = (columns,)
    return shapes | _norm("ln_f", width)


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _clip_config(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of transformers 4's config.json that say what the model is."""
    vision, text = architecture["vision_cfg"], architecture["text_cfg"]

    def tower(kind: str, sizes: Mapping[str, Any], heads: int) -> dict[str, Any]:
        return {
            "architectures": ["CLIPVisionModel"] if kind == "vision" else None,
            "model_type": f"clip_{kind}_model",
            "hidden_act": "quick_gelu",
            "hidden_size": sizes["width"],
            "intermediate_size": int(sizes["width"] * sizes.get("mlp_ratio", 4)),
            "num_attention_heads": heads,
            "num_hidden_layers": sizes["layers"],
            "layer_norm_eps": 1e-5,
            "projection_dim": architecture["embed_dim"],
        }

    sides = {"image_size": vision["image_size"], "patch_size": vision["patch_size"]}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": architecture["embed_dim"],
        "vision_config": tower("vision", vision, vision["width"] // vision["head_width"]) | sides,
        "text_config": tower("text", text, text["heads"]),
    }


def _write_json(beside: Path, name: str, content: Mapping[str, Any]) -> None:
    beside.with_name(name).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    save_file(tensors, file, metadata={"format": "pt"})


def main(argv: list[str] | None = None) -> int:
    """The command. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recipes.fake_suite")
    parser.add_argument("name", help=", ".join(published_suites()))
    parser.add_argument("out", type=Path, help="an empty or new folder")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    try:
        out = write_fake_suite(args.name, args.out, args.seed)
    except UserError as error:
        print(f"semerge: {error}", file=sys.stderr)
        return 2
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out} holds {args.name} with random weights, {gigabytes(size)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
