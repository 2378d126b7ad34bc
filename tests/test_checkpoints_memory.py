"""Loading a suite takes little more memory than its base and experts, at their real size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import published_fakes as fakes
import pytest
import torch
from pickled_fakes import write_pickled
from published_suites import hash_own_files, write_suite
from safetensors.torch import save_file
from torch.nn.functional import normalize

from semerge.backbones import VisionTransformer

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1.15  # times the bytes of base and experts
VIT_B_32 = VisionTransformer(224, 32, 768, 12, 12, 512, quick_gelu=True)
ARCHITECTURE: dict[str, Any] = {
    "kind": "open_clip",
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "patch_size": 32, "width": 768, "layers": 12},
    "quick_gelu": True,
    "logit_scale": 100.0,
}
TEXT = {"context_length": 77, "vocab_size": 700, "width": 64, "heads": 1, "layers": 1}
EXPERTS = 3


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("layout", ["fusionbench-clip", "openclip-state-dict", "openclip-pickle"])
def test_memory(tmp_path: Path, layout: str) -> None:
    base, text = fakes.random_weights(VIT_B_32.shapes, 0), fakes.text_weights(1, 512, TEXT)
    state = fakes.hf_clip(base, text, 100.0)
    fakes.write_clip_model(tmp_path / "clip" / "pytorch_model.bin", state, config=False)
    tasks, heads = [], {}
    for t in range(EXPERTS):
        expert = {name: x + 0.001 * (t + 1) for name, x in base.items()}
        file = f"expert{t}/{'model.safetensors' if layout == 'fusionbench-clip' else 'tuned.pt'}"
        if layout == "fusionbench-clip":
            fakes.write_vision_model(tmp_path / file, expert, heads=12)
        elif layout == "openclip-state-dict":
            encoder = fakes.image_encoder(expert, text, 100.0)
            fakes.write_state_dict(tmp_path / file, encoder)
        else:
            write_pickled(tmp_path / file, fakes.image_encoder(expert, text, 100.0))
        tasks.append({"name": f"task{t}", "weights": file, "layout": layout})
        heads[f"task{t}"] = normalize(torch.randn(2, 512), dim=-1)
    save_file(heads, tmp_path / "heads.safetensors")
    weights = {"weights": "clip/pytorch_model.bin", "layout": "hf-clip"}
    write_suite(tmp_path, ARCHITECTURE, weights, tasks, "heads.safetensors")
    hash_own_files(tmp_path)
    child = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "measure_loading.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    measured = json.loads(child.stdout)
    assert measured["bytes"] == 4 * sum(x.numel() for x in base.values()) * (1 + EXPERTS)
    assert measured["ratio"] < LIMIT
