"""Small GPT-2 files as they are published: F8 `write_classifier`, F9 `write_gpt2`, a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from published_fakes import Weights, save
from torch import Tensor

from semerge.backbones import GPT2

GPT = GPT2(300, 48, 32, 2, 2, pad_id=299, max_length=24)


def write_gpt2(path: Path, weights: Weights, masks: bool = True, head: bool = True) -> Path:
    """F9: GPT-2 without prefix, with what the published file holds besides."""
    state = {name: x.clone() for name, x in weights.items()}
    if masks:
        state |= _masks("", weights)
    if head:
        state["lm_head.weight"] = weights["wte.weight"].clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    save(state, path)
    return path


def write_classifier(
    path: Path,
    weights: Weights,
    score: Tensor,
    masks: bool = False,
    prefixed: bool = True,
    pad: int | None = 299,
) -> Path:
    """F8: `GPT2ForSequenceClassification`, with or without masks and a padding token."""
    body = "transformer." if prefixed else ""
    state = {body + name: x.clone() for name, x in weights.items()}
    if masks:
        state |= _masks(body, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    save({**state, "score.weight": score.clone()}, path)
    config = {
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "n_head": 2,
        "layer_norm_epsilon": 1e-05,
        "pad_token_id": pad,
    }
    (path.parent / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def write_adapters(
    path: Path, score: Tensor | None, seed: int = 0, rank: int = 4, head: str = "score.weight"
) -> Path:
    """Adapters of c_attn and c_proj (of attention and MLP), as PEFT writes them, with the head that
    `modules_to_save` keeps."""
    random = torch.Generator().manual_seed(seed)
    d = GPT.width
    state: Weights = {}
    for i in range(GPT.layers):
        for name, wide, out in (("attn.c_attn", d, 3 * d), ("mlp.c_proj", 4 * d, d)):
            at = f"base_model.model.transformer.h.{i}.{name}.lora_"
            state[f"{at}A.weight"] = 0.1 * torch.randn(rank, wide, generator=random)
            state[f"{at}B.weight"] = 0.1 * torch.randn(out, rank, generator=random)
    if score is not None:
        state[f"base_model.model.{head}"] = score
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "bias": "none"}
    config |= {"task_type": "SEQ_CLS", "modules_to_save": ["classifier", "score"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    save(state, path)
    (path.parent / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def _masks(body: str, weights: Weights) -> Weights:
    n = weights["wpe.weight"].shape[0]
    layers = sum(name.endswith("ln_1.weight") for name in weights)
    mask = torch.ones(n, n).tril().view(1, 1, n, n)
    made: Weights = {}
    for i in range(layers):
        made[f"{body}h.{i}.attn.bias"] = mask.to(torch.uint8)
        made[f"{body}h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    return made


def write_tokenizer(folder: Path, merges: int = 42) -> Path:
    """vocab.json and merges.txt of a byte-pair tokenizer with 299 tokens and <|endoftext|>."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + merges + 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = "the cat and the other cat read another thing then and there on the mat with her hat"
    tokenizer.train_from_iterator([words, "there there, the thing is on her other hat"], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    found = tokenizer.get_vocab()
    order = sorted(found, key=found.__getitem__)[:299]
    vocab = {token: i for i, token in enumerate(order)} | {"<|endoftext|>": 299}
    pairs = json.loads(tokenizer.to_str())["model"]["merges"]
    lines = [" ".join(pair) for pair in pairs if "".join(pair) in vocab]
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    text = "\n".join(["#version: 0.2", *lines, ""])
    (folder / "merges.txt").write_text(text, encoding="utf-8")
    return folder / "vocab.json"
