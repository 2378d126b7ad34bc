"""Published weights mean the same here as in transformers, at their real sizes (random weights)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gpt2_fakes
import published_fakes as fakes
import pytest
import torch
from transformers_models import classifier, clip_model

from semerge.backbones import GPT2, Batch, VisionTransformer, embedding
from semerge.backbones.gpt2.model import read_score
from semerge.backbones.weights import open_base, open_expert

VIT_B_32 = VisionTransformer(224, 32, 768, 12, 12, 512, quick_gelu=True)
# as many layers and positions as ViT-L/14, heads of 64, but an eighth of its width
NARROW_L_14 = VisionTransformer(224, 14, 128, 24, 2, 96, quick_gelu=True)
SMALL_TEXT = {"context_length": 77, "vocab_size": 700, "width": 64, "heads": 1, "layers": 1}
GPT_2 = GPT2(50257, 1024, 768, 12, 12, pad_id=50256, max_length=512)
TOLERANCE = 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [VIT_B_32, NARROW_L_14], ids=["ViT-B-32", "ViT-L-14"])
def test_image_embeddings(tmp_path: Path, backbone: VisionTransformer) -> None:
    base = fakes.random_weights(backbone.shapes, 0)
    text = fakes.text_weights(1, backbone.output_dim, SMALL_TEXT)
    expert = fakes.tuned(base, 2)
    state = fakes.hf_clip(base, text, backbone.logit_scale)
    path = fakes.write_clip_model(tmp_path / "base" / "pytorch_model.bin", state)
    read = open_base(path, "hf-clip", backbone.shapes)
    file = fakes.write_vision_model(tmp_path / "expert" / "model.safetensors", expert)
    tuned = dict(read) | dict(open_expert(file, "fusionbench-clip", backbone.shapes, read))
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(3))
    model = clip_model(backbone, expert | {"proj": base["proj"]}, text, SMALL_TEXT)
    with torch.inference_mode():
        features = model.get_image_features(images)
        expected = getattr(features, "pooler_output", features)
        found = embedding(backbone, tuned, Batch(images))
        mixed_up = embedding(replace(backbone, quick_gelu=False), tuned, Batch(images))
    assert expected.abs().max() > 0.5
    assert (found - expected).abs().max() < TOLERANCE
    assert (mixed_up - expected).abs().max() > 10 * TOLERANCE


@pytest.mark.slow
def test_gpt2_logits(tmp_path: Path) -> None:
    body = fakes.random_weights(GPT_2.shapes, 0)
    body["wte.weight"] *= 0.5
    score = torch.randn(3, 768, generator=torch.Generator().manual_seed(1))
    path = tmp_path / "model.safetensors"
    gpt2_fakes.write_classifier(path, body, score, masks=True)
    below = gpt2_fakes.write_gpt2(tmp_path / "base.safetensors", body)
    base = open_base(below, "gpt2", GPT_2.shapes)
    read = dict(open_expert(path, "gpt2-classifier", GPT_2.shapes, base))
    random = torch.Generator().manual_seed(2)
    lengths = torch.tensor([40, 17])
    ids = torch.randint(0, 50256, (2, 40), generator=random)
    ids[1, 17:] = 50256
    mask = (torch.arange(40) < lengths[:, None]).long()
    with torch.inference_mode():
        expected = classifier(GPT_2, body, score)(input_ids=ids, attention_mask=mask).logits
        z = embedding(GPT_2, read, Batch(ids, lengths))
        found = GPT_2.logits(z, read_score(path, 3, 768))
    assert expected.abs().max() > 0.5
    assert (found - expected).abs().max() < TOLERANCE
