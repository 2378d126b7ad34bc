"""transformers' own models with the weights of the fakes: what readers and backbones must equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import published_fakes as fakes
import torch
from torch import Tensor

from semerge.backbones import GPT2, VisionTransformer


def clip_model(
    backbone: VisionTransformer, vision: Mapping[str, Tensor], text: Mapping[str, Tensor],
    text_config: Mapping[str, int], act: str = "quick_gelu",
) -> Any:  # fmt: skip
    """A `CLIPModel` with these weights, every key of it set."""
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(
        projection_dim=backbone.output_dim,
        vision_config={
            "hidden_size": backbone.width,
            "intermediate_size": int(backbone.width * backbone.mlp_ratio),
            "num_hidden_layers": backbone.layers,
            "num_attention_heads": backbone.heads,
            "image_size": backbone.image_size,
            "patch_size": backbone.patch_size,
            "hidden_act": act,
        },
        text_config={
            "hidden_size": text_config["width"],
            "intermediate_size": 4 * text_config["width"],
            "num_hidden_layers": text_config["layers"],
            "num_attention_heads": text_config["heads"],
            "vocab_size": text_config["vocab_size"],
            "max_position_embeddings": text_config["context_length"],
            "bos_token_id": 0,
            "eos_token_id": 2,  # as in OpenAI's configs: pool at the highest id
            "hidden_act": act,
        },
    )
    with torch.device("meta"):
        model = CLIPModel(config)
    state = fakes.hf_clip(dict(vision), dict(text), backbone.logit_scale)
    ids = {
        name: torch.arange(x.shape[-1])[None]
        for name, x in model.named_buffers()
        if name.endswith("position_ids")
    }
    missing, unexpected = model.load_state_dict({**state, **ids}, strict=False, assign=True)
    assert not missing and set(unexpected) <= set(ids)
    for name, tensor in ids.items():  # not persistent, so a state dict does not reach them
        module, _, last = name.rpartition(".")
        setattr(model.get_submodule(module), last, tensor)
    return model.eval()


def classifier(backbone: GPT2, body: Mapping[str, Tensor], score: Tensor) -> Any:
    """A `GPT2ForSequenceClassification` with these weights."""
    from transformers import GPT2Config, GPT2ForSequenceClassification

    config = GPT2Config(
        vocab_size=backbone.vocab,
        n_positions=backbone.positions,
        n_embd=backbone.width,
        n_layer=backbone.layers,
        n_head=backbone.heads,
        num_labels=score.shape[0],
        pad_token_id=backbone.pad_id,
    )
    model = GPT2ForSequenceClassification(config)
    state = {f"transformer.{name}": x for name, x in body.items()} | {"score.weight": score}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and not [name for name in missing if "bias" not in name]
    return model.eval()
