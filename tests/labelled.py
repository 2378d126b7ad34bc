"""Labelled folders for the tiny suites, and a backbone whose figures can be worked out by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from fakes import SIDES, VIT
from PIL import Image
from tiny import CLASSES, SENTENCES
from torch import Tensor

from semerge.backbones import Batch, Params
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.loading import Loaded
from semerge.suites import Defaults, Suite, Task
from semerge.task_vectors import TaskVectors


def write_images(folder: Path, tasks: int = 3, train: int = 40, test: int = 12) -> Path:
    """Random images for a tiny vision suite; even tasks in colour, odd ones in grey."""
    for t in range(tasks):
        random = np.random.default_rng(t)
        own = _classes(folder / f"task{t}", t)
        for split, n in (("train", train), ("test", test)):
            shape = (n, 20, 18, 3) if t % 2 == 0 else (n, 20, 18)
            x = random.integers(0, 256, shape, dtype=np.uint8)
            np.savez(own / f"{split}.npz", x=x, y=np.arange(n) % (2 + t))
    return folder


def write_sentences(folder: Path, tasks: int = 3, train: int = 40, test: int = 12) -> Path:
    """Sentences for a tiny text suite, no two alike; pairs from the last of three tasks on."""
    pairs = range(min(tasks - 1, 2), tasks)
    for t in range(tasks):
        random = np.random.default_rng(t)
        own = _classes(folder / f"task{t}", t)
        for split, n in (("train", train), ("test", test)):
            with gzip.open(own / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
                for i in range(n):
                    row = {"text": f"{split} {t} {i}: {random.choice(SENTENCES)}"}
                    row |= {"text_b": str(random.choice(SENTENCES))} if t in pairs else {}
                    file.write(json.dumps(row | {"label": i % (2 + t)}) + "\n")
    return folder


DATA = {"image": write_images, "text": write_sentences}


def _classes(folder: Path, t: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.json").write_text(json.dumps(CLASSES[: 2 + t]), encoding="utf-8")
    return folder


class Plane:
    """Points (x0, x1) of the plane, moved by one 2 x 2 matrix `w`; one block that does nothing."""

    depth = 1
    pools = ("all", "cls", "mean")
    segments = (("w",), ("block",), ("end",))
    width = 2
    linear_embed = False

    def preprocess(self, sample: Image.Image, second: str | None = None) -> Batch:
        pixels = np.asarray(sample)[0, :, 0].astype(np.float32) - 128  # (2,)
        return Batch(torch.from_numpy(pixels)[None])

    def collate(self, batches: Sequence[Batch]) -> Batch:
        return Batch(torch.cat([batch.data for batch in batches]))

    def embed(self, params: Params, batch: Batch) -> Tensor:
        return (batch.data @ params["w"]).unsqueeze(-2)  # (.., B, 1, 2)

    def block(self, params: Params, layer: int, h: Tensor, batch: Batch) -> Tensor:
        return h

    def final(self, params: Params, h: Tensor, batch: Batch) -> Tensor:
        return h[..., 0, :]

    def pool(self, h: Tensor, how: str, batch: Batch) -> Tensor:
        return h[..., 0, :]

    def logits(self, embedding: Tensor, head: Tensor) -> Tensor:
        return embedding @ head.mT


def plane_engine(preset: str = "hard", static_lambda: float = 0.5) -> Engine:
    """Two experts of the plane: `wide` stretches x1 threefold and `tall` x0.

    At the base an expert is nearer to the points that it moves less: `wide` to those with a large
    x0, `tall` to those with a large x1. `wide` answers 0 where z0 > 2 z1, `tall` where z1 > 2 z0.
    """
    tasks = tuple(
        Task(name, name, "", ("yes", "no"), (), False, name == "wide", "none")
        for name in ("wide", "tall")
    )
    suite = Suite(
        name="plane",
        title="Plane",
        about="",
        modality="image",
        architecture=VIT | {"vision_cfg": SIDES | {"layers": 1, "image_size": 2, "patch_size": 1}},
        tasks=tasks,
        defaults=Defaults("base", 1, "mean", preset, static_lambda, 0.5),
        thresholds={},
        folder=Path(),
        base_weights="none",
        heads="none",
        statistics=None,
        sha256={},
    )
    rest = {"block": torch.zeros(1), "end": torch.zeros(1)}
    base = {"w": torch.eye(2)} | rest
    experts = [{"w": torch.diag(torch.tensor(d))} for d in ((1.0, 3.0), (3.0, 1.0))]
    backbone = Plane()
    heads = {
        "wide": torch.tensor([[1.0, -2.0], [-1.0, 2.0]]),
        "tall": torch.tensor([[-2.0, 1.0], [2.0, -1.0]]),
    }
    vectors = TaskVectors(base, experts, backbone.segments)
    return Engine(Loaded(suite, cast(Any, backbone), vectors, heads, {}))


def plane_sets() -> list[LabelledSet]:
    """Five points whose figures `test_evaluate` works out."""
    points = {"wide": [(10, 1), (10, 3), (3, 10)], "tall": [(1, 10), (3, 10)]}
    labels = {"wide": [0, 1, 1], "tall": [0, 0]}
    return [
        LabelledSet(
            name,
            "test",
            ("yes", "no"),
            np.array(labels[name]),
            images=np.array([[p] for p in points[name]], dtype=np.uint8) + np.uint8(128),
        )
        for name in points
    ]
