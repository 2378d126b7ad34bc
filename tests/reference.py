"""SE-Merging, slow and obvious: what the engine is held against.

Real open_clip and transformers modules, a deep copy with `load_state_dict` for every model, forward
hooks for the layers, one sample at a time, and plain loops over tasks. Reads the suite's files by
itself. No cleverness: if this and the engine differ, the engine is wrong.
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

State = dict[str, Tensor]


class Reference:
    def __init__(self, folder: Path) -> None:
        suite = json.loads((folder / "suite.json").read_text(encoding="utf-8"))
        base = floats(folder / suite["base"]["weights"])
        experts = []
        for task in suite["tasks"]:
            state = dict(base)
            for key, value in floats(folder / task["weights"]).items():
                state[key] = value
            experts.append(state)
        self.statistics = floats(folder / suite["statistics"])
        self._take(suite, base, experts, floats(folder / suite["heads"]))

    @classmethod
    def of(cls, suite: Any, base: State, experts: list[State], heads: State) -> Reference:
        """From weights in memory, without a cache probe; `suite` as in suite.json."""
        made = cls.__new__(cls)
        made._take(suite, base, experts, heads)
        return made

    def _take(self, suite: Any, base: State, experts: list[State], heads: State) -> None:
        self.suite, self.base, self.experts, self.heads = suite, base, experts, heads
        self.names = [task["name"] for task in self.suite["tasks"]]
        self.config = self.suite["architecture"]
        self.is_image = self.config["kind"] == "open_clip"
        self.empty = self._vision() if self.is_image else self._gpt2()
        self.models: dict[Any, nn.Module] = {}  # deep copies that were made already

    # ---- models ------------------------------------------------------------------------------

    def _vision(self) -> nn.Module:
        from open_clip.transformer import QuickGELU, VisionTransformer

        c = self.config["vision_cfg"]
        return VisionTransformer(
            image_size=c["image_size"],
            patch_size=c["patch_size"],
            width=c["width"],
            layers=c["layers"],
            heads=c["width"] // c.get("head_width", 64),
            mlp_ratio=c.get("mlp_ratio", 4.0),
            output_dim=self.config["embed_dim"],
            act_layer=QuickGELU if self.config.get("quick_gelu") else nn.GELU,
        )

    def _gpt2(self) -> nn.Module:
        from transformers import GPT2Config, GPT2Model

        c = self.config
        return GPT2Model(
            GPT2Config(
                vocab_size=c["vocab_size"],
                n_positions=c["n_positions"],
                n_embd=c["n_embd"],
                n_layer=c["n_layer"],
                n_head=c["n_head"],
                layer_norm_epsilon=c.get("layer_norm_epsilon", 1e-5),
                bos_token_id=None,  # the default lies outside a small vocabulary
                eos_token_id=None,
                use_cache=False,
            )
        )

    def model(self, state: State, name: Any = None) -> nn.Module:
        if name is not None and name in self.models:
            return self.models[name]
        model = copy.deepcopy(self.empty)
        model.load_state_dict(state)
        model.eval()
        if name is not None:
            self.models[name] = model
        return model

    def merged(self, coefficients: list[float]) -> State:
        """θ0 + Σt λt (θt - θ0), tensor by tensor."""
        state = {}
        for key in self.base:
            total = self.base[key].clone()
            for coefficient, expert in zip(coefficients, self.experts, strict=True):
                total = total + coefficient * (expert[key] - self.base[key])
            state[key] = total
        return state

    def static(self, scale: float) -> nn.Module:
        return self.model(self.merged([scale] * len(self.names)), ("static", scale))

    # ---- one forward pass ----------------------------------------------------------------------

    @torch.no_grad()
    def run(self, model: nn.Module, sample: Tensor) -> tuple[list[Tensor], Tensor]:
        """One image (1, 3, H, W) or sentence (1, N), no padding -> block outputs (N, d), (D,)."""
        outputs: list[Tensor] = []

        def hook(module: nn.Module, inputs: object, output: Any) -> None:
            outputs.append((output[0] if isinstance(output, tuple) else output)[0])

        blocks = model.transformer.resblocks if self.is_image else model.h
        handles = [block.register_forward_hook(hook) for block in blocks]
        try:
            if self.is_image:
                final = model(sample)[0]
            else:
                final = model(sample).last_hidden_state[0, -1]
        finally:
            for handle in handles:
                handle.remove()
        return outputs, final

    def representation(self, model: nn.Module, sample: Tensor, layer: Any, pool: str) -> Tensor:
        outputs, final = self.run(model, sample)
        if layer == "final":
            return final
        tokens = outputs[layer - 1]  # (N, d)
        if pool == "all":
            return tokens.flatten()
        if pool == "mean":
            return tokens.mean(dim=0)
        return {"cls": tokens[0], "last": tokens[-1]}[pool]

    # ---- the method ----------------------------------------------------------------------------

    def distances(
        self, sample: Tensor, probe: str, layer: Any, pool: str, probe_lambda: float | None = None
    ) -> list[float]:
        if probe_lambda is None:
            probe_lambda = self.suite["defaults"]["probe_lambda"]
        still = probe in ("base", "displacement")
        model = self.model(self.base, "base") if still else self.static(probe_lambda)
        r = self.representation(model, sample, layer, pool)
        distances = []
        for t in range(len(self.names)):
            if probe == "cache":
                difference = r - self.statistics[f"mean/{layer}/{pool}"][t]
                if f"whiten/{layer}/{pool}" in self.statistics:
                    difference = difference @ self.statistics[f"whiten/{layer}/{pool}"]
                else:
                    difference = difference * self.statistics[f"scale/{layer}/{pool}"]
            else:
                expert = self.model(self.experts[t], t)
                difference = r - self.representation(expert, sample, layer, pool)
            distance = float(difference.double().square().sum().sqrt())
            if probe == "displacement":
                usual = self.suite["displacements"][f"{layer}/{pool}"][self.names[t]]
                distance = usual / distance
            distances.append(distance)
        return distances

    def coefficients(self, distances: list[float], resolved: Any) -> list[float]:
        return [self.mass(resolved) * w for w in weights(distances, resolved)]

    def mass(self, resolved: Any) -> float:
        if resolved.mass == "1":
            return 1.0
        return len(self.names) * self.suite["defaults"]["static_lambda"]

    def logits(self, model: nn.Module, sample: Tensor, head: str) -> Tensor:
        z = self.run(model, sample)[1]
        if self.is_image:
            z = self.config["logit_scale"] * z / z.norm()
        warm = next(t.get("temperature", 1.0) for t in self.suite["tasks"] if t["name"] == head)
        return torch.stack([(row * z).sum() for row in self.heads[head]]) / warm

    def predict(self, sample: Tensor, coefficients: list[float], chosen: int, head: str) -> Any:
        """Logits of the four columns, all by the same head."""
        models = {
            "se": self.model(self.merged(coefficients)),
            "static": self.static(self.suite["defaults"]["static_lambda"]),
            "expert": self.model(self.experts[chosen], chosen),
            "base": self.model(self.base, "base"),
        }
        return {kind: self.logits(model, sample, head) for kind, model in models.items()}


def weights(distances: list[float], resolved: Any) -> list[float]:
    """softmax(normalised similarities / temperature), or one-hot for the preset hard."""
    tasks = range(len(distances))
    mean = sum(distances) / len(distances)
    if resolved.hard:
        nearest = min(tasks, key=lambda t: distances[t])
        return [1.0 if t == nearest else 0.0 for t in tasks]
    if resolved.similarity == "inverse":
        s = [1 / (d + 1e-12 * mean) for d in distances]
    else:
        s = [-d for d in distances]
    if resolved.normalise == "minmax":
        s = [(x - min(s)) / (max(s) - min(s)) for x in s]
    elif resolved.normalise == "zscore":
        middle = sum(s) / len(s)
        std = math.sqrt(sum((x - middle) ** 2 for x in s) / (len(s) - 1))
        s = [(x - middle) / (std + 1e-6) for x in s]
    elif resolved.normalise == "sum":
        s = [x / sum(abs(y) for y in s) for x in s]
    powers = [math.exp((x - max(s)) / resolved.temperature) for x in s]
    return [power / sum(powers) for power in powers]


def floats(path: Path) -> State:
    return {key: value.float() for key, value in load_file(path).items()}
