"""A suite, an engine and examples without weights or torch, for tests of the user interface.

The engine's numbers come from a hash of the input: the same input gives the same Result, another
input another one. Nothing here is learned; only the shape of the answers is true.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from semerge.common import UserError
from semerge.registry import TASK_ARITHMETIC
from semerge.result import Prediction, Result
from semerge.settings import Resolved, Settings, checked_coefficients
from semerge.suites import Defaults, Suite, Task

if TYPE_CHECKING:
    from semerge.ui.context import Context

DIGITS = tuple(f"digit {i}" for i in range(10))
SIDES = {"image_size": 48, "patch_size": 6, "width": 64, "layers": 6}
VIT = {"kind": "open_clip", "embed_dim": 64, "vision_cfg": SIDES}
GPT2 = {"kind": "gpt2", "n_layer": 6, "n_embd": 64, "n_head": 2}
GPT2 |= {"vocab_size": 512, "n_positions": 64}
TIMINGS = {"preprocess": 1.2, "probe": 21.4, "route": 0.3, "merge": 6.1, "predict": 9.8}
VISION = {  # name: (title, about, classes)
    "mnist": ("MNIST", "Handwritten digits", DIGITS),
    "fashion_mnist": ("Fashion-MNIST", "Garments", ("T-shirt/top", "trouser", "coat", "boot")),
    "cifar10": ("CIFAR-10", "Animals and vehicles", ("airplane", "bird", "cat", "dog", "ship")),
    "eurosat": ("EuroSAT", "Land from space", ("forest", "river", "highway", "residential")),
    "gtsrb": ("GTSRB", "German traffic signs", ("stop", "yield", "no entry", "priority road")),
    "omniglot_alphabets": ("Omniglot alphabets", "Letters", ("Greek", "Latin", "Futurama")),
    "charts": ("Charts", "Kinds of charts", ("bar chart", "line chart", "pie chart", "heat map")),
    "textures": ("Textures", "Repeating patterns", ("striped", "dotted", "chequered", "woven")),
}
TEXT = {
    "sentiment_mr": ("Film reviews", "Praise or complaint", ("negative", "positive")),
    "banking77": ("Banking77", "Questions to a bank", ("card arrival", "atm support", "top up")),
    "clinc_domain": ("CLINC domains", "What is asked about", ("travel", "kitchen", "work")),
    "snips_intent": ("Snips intents", "Commands", ("get weather", "play music", "rate book")),
    "clickbait": ("Clickbait", "Headlines", ("news", "clickbait")),
    "stackoverflow20": ("Stack Overflow", "Programming", ("matlab", "haskell", "svn", "bash")),
    "language_id": ("Languages", "Which language", ("English", "French", "German", "Tamil")),
}
SENTENCES = {
    "sentiment_mr": "A slow start, but the last hour is worth every minute .",
    "banking77": "I ordered a new card two weeks ago and it still has not come.",
    "clinc_domain": "how long does a flight from oslo to lisbon take",
    "snips_intent": "Play the new album by that singer on my kitchen speaker",
    "clickbait": "17 Things You Only Know If You Grew Up By The Sea",
    "stackoverflow20": "How can I fold over a list lazily without a stack overflow?",
    "language_id": "Le marché ouvre chaque samedi matin près de la gare.",
}


def fake_suite(modality: str = "image", pair: bool = False, name: str = "") -> Suite:
    """A suite of the bundled shape without any file behind it."""
    tasks = tuple(
        Task(
            name=name,
            title=title,
            about=about,
            classes=classes,
            templates=("a photo of {}.",),
            pair=pair,
            real=name not in ("charts", "textures"),
            weights=f"experts/{name}.safetensors",
        )
        for name, (title, about, classes) in (VISION if modality == "image" else TEXT).items()
    )
    image = modality == "image"
    return Suite(
        name=name or ("mini-vision" if image else "mini-text"),
        title=name or ("Mini Vision" if image else "Mini Text"),
        about="A small CLIP and eight experts." if image else "A small GPT-2 and seven experts.",
        modality=modality,
        architecture=VIT if image else GPT2,
        tasks=tasks,
        defaults=Defaults("experts", 4, "mean", "sharp", 0.3, 0.3),
        thresholds={"near_tie": 0.02, "flat": 0.98, "far": None},
        folder=Path(),
        base_weights="base.safetensors",
        heads="heads.safetensors",
        statistics="statistics.safetensors",
        sha256={},
    )


@dataclass(frozen=True)
class FakeBatch:
    """An input that is prepared: itself."""

    content: object
    data: Any
    lengths: None = None


class FakeBackbone:
    def notices(self, content: object, second: str | None) -> tuple[str, ...]:
        return ()

    def preprocess(self, content: object, second: str | None) -> FakeBatch:
        import torch

        return FakeBatch(content, torch.zeros(1))

    def view(self, image: Image.Image) -> Image.Image:
        return image.convert("RGB").resize((48, 48))


class FakeEngine:
    """Answers like the engine: `predict(input, settings) -> Result`, deterministic per input.

    `probe_batch` and `answer` give the same in two parts; `calls` and `probes` count.
    """

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.backbone = FakeBackbone()
        self.models = SimpleNamespace(place=lambda batch: batch)
        self.calls = self.probes = 0

    def route(self, distances: Any, resolved: Resolved) -> Any:
        from semerge.routing import route

        return route(distances, resolved)

    def predict(
        self,
        sample: object,
        settings: Settings | Resolved | None = None,
        cache: Any = None,
    ) -> Result:
        self.calls += 1
        asked = settings or Settings()
        chosen = asked if isinstance(asked, Resolved) else asked.resolve(self.suite)
        result = self._answer(sample, chosen)
        if cache is None:
            return result
        import torch

        from semerge.engine import Probed

        content = getattr(sample, "image", None) or getattr(sample, "text", sample)
        key = self.suite.name, getattr(content, "tobytes", lambda: content)(), chosen.probing
        if cache.get(key) is None:
            self.probes += 1
            cache.put(key, Probed(FakeBatch(content, torch.zeros(1)), (), chosen.method, {}, {}, 0))
            return result
        kept = dict.fromkeys(("preprocess", "probe"))
        return replace(result, timings_ms={**result.timings_ms, **kept})

    def _answer(self, sample: object, chosen: Resolved) -> Result:
        text = getattr(sample, "text", sample)
        if text == "fail":
            raise RuntimeError("internal secret /etc/shadow")
        if text == "refuse":
            raise UserError("This sentence is refused.")
        sample = getattr(sample, "image", sample)
        raw = sample.tobytes() if isinstance(sample, Image.Image) else str(text).encode()
        rng = random.Random(hashlib.sha256(raw + str(chosen.layer).encode()).hexdigest())
        names, count = self.suite.task_names, len(self.suite.tasks)
        distances = [rng.uniform(4, 9) for _ in names]
        best = rng.randrange(count)
        distances[best] = rng.uniform(1.5, 4)
        inverse = [1 / d for d in distances]
        low, high = min(inverse), max(inverse)
        similar = [(s - low) / (high - low) for s in inverse]
        exps = [math.exp(s / (chosen.temperature or 1e-2)) for s in similar]
        weights = [e / sum(exps) for e in exps]
        mass = count * 0.3 if chosen.mass == "T*lambda" else 1.0
        head = names[best] if chosen.head == "auto" else chosen.head
        two = sorted(distances)[:2]
        entropy = -sum(w * math.log(w) for w in weights if w > 0) / math.log(count)
        return Result(
            suite=self.suite.name, method=chosen.method, method_options={}, preset=chosen.preset,
            probe=chosen.probe, probe_options={},
            layer=chosen.layer, pool=chosen.pool, tasks=names, distances=tuple(distances),
            similarities=tuple(similar),
            coefficients=tuple(mass * w for w in weights), static_coefficients=(0.3,) * count,
            static_lambda=0.3, probe_lambda=chosen.probe_lambda, similarity=chosen.similarity,
            normalise=chosen.normalise, temperature=chosen.temperature, mass=chosen.mass,
            quantise=chosen.quantise, fallback=chosen.fallback, fast=chosen.fast,
            estimated=_estimated(chosen, dict(zip(names, distances, strict=True))), head=head,
            chosen=names[best], margin=(two[1] - two[0]) / two[1],
            fits=None, expert_accuracy=None, usual_distances=None, clearer=None,
            entropy=entropy, notices=_notices(chosen, count),
            weights_sha256="0" * 64, version="0.0",
            predictions={k: self._ranked(rng, head) for k in ("se", "static", "expert", "base")},
            timings_ms={**TIMINGS, "total": sum(TIMINGS.values())},
        )  # fmt: skip

    def answer_with(
        self,
        sample: object,
        coefficients: Sequence[float],
        head: str,
        method: str = TASK_ARITHMETIC,
    ) -> tuple[Prediction, ...]:
        """The class at the place that the coefficients' sum in hundredths names is the best."""
        checked = checked_coefficients(coefficients, self.suite)
        classes = self.suite.task(head).classes
        best = round(100 * sum(checked)) % len(classes)
        rest = [label for i, label in enumerate(classes) if i != best]
        score = 0.4 / len(rest)
        return (Prediction(classes[best], 0.6), *(Prediction(label, score) for label in rest))

    def inner_products(self, method: str = TASK_ARITHMETIC) -> tuple[tuple[float, ...], ...]:
        """Task vectors at right angles, of length 2."""
        count = range(len(self.suite.tasks))
        return tuple(tuple(4.0 if i == j else 0.0 for i in count) for j in count)

    def picture(self, sample: Any) -> Any:
        return self.backbone.view(sample.image) if self.suite.modality == "image" else None

    def _ranked(self, rng: random.Random, head: str) -> tuple[Prediction, ...]:
        classes = self.suite.task(head).classes
        scores = [rng.random() ** 4 + 1e-3 for _ in classes]
        pairs = sorted(zip(classes, scores, strict=True), key=lambda p: -p[1])
        return tuple(Prediction(label, score / sum(scores)) for label, score in pairs)


def _estimated(chosen: Resolved, distances: dict[str, float]) -> tuple[str, ...]:
    """Those that the fast mode dropped: all but the nearest two."""
    if not chosen.fast or chosen.probe == "cache":
        return ()
    kept = sorted(distances, key=lambda task: distances[task])[:2]
    return tuple(task for task in distances if task not in kept)


def _notices(chosen: Resolved, count: int) -> tuple[str, ...]:
    """Of the fast mode: two experts were left at block 1, and one answers alone."""
    if not chosen.fast:
        return ()
    import torch

    from semerge import fast

    return fast.notices(fast.Early(torch.zeros(1), 1, 2, {}), True, chosen, count)


def fake_examples(folder: Path, drawn: bool = False) -> Path:
    """Write four small drawings a vision task, eight sentences a text task, and their index; drawn:
    and one that draws itself."""
    vision, text = [], []
    for t, (task, (_, _, classes)) in enumerate(VISION.items()):
        for i in range(4):
            file = folder / "vision" / f"{task}_{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            _drawing(t, i).save(file)
            entry = {"file": f"vision/{file.name}", "task": task, "drawing": task == "cifar10"}
            vision.append({**entry, "label": classes[i % len(classes)]})
    for task, (_, _, classes) in TEXT.items():
        for i in range(8):
            words = SENTENCES[task] if i == 0 else f"{SENTENCES[task]} ({i})"
            text.append({"text": words, "task": task, "label": classes[i % len(classes)]})
    hits = {
        "vision": {"n": 32, "se": 29, "static": 18, "expert": 30, "base": 12},
        "text": {"n": 56, "se": 50, "static": 33, "expert": 52, "base": 21},
    }
    index = {"vision": vision, "text": text, "first": {"vision": 1, "text": 0}, "hits": hits}
    if drawn:
        strokes = [[[80, 60], [80, 280]], [[80, 170], [250, 170]]]
        _drawing(0, 9).save(folder / "drawn.png")
        entry = {"file": "drawn.png", "task": "mnist", "label": "digit 4", "strokes": strokes}
        index = {**index, "drawn": entry}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def _drawing(task: int, variant: int) -> Image.Image:
    rng = random.Random(task * 10 + variant)
    dark = task in (0, 1)
    image = Image.new("RGB", (96, 96), "black" if dark else (235, 232, 224))
    draw = ImageDraw.Draw(image)
    for _ in range(3 + task):
        box = sorted(rng.sample(range(8, 88), 2)), sorted(rng.sample(range(8, 88), 2))
        shape = (box[0][0], box[1][0], box[0][1], box[1][1])
        ink = "white" if dark else tuple(rng.randrange(30, 220) for _ in range(3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(shape, outline=ink, width=6)
    return image


@contextmanager
def fake_app(
    folder: Path,
    gate: threading.Event | None = None,
    more: Sequence[Suite] = (),
    drawn: bool = False,
) -> Iterator[str]:
    """The whole app with fake engines on a free port; yields its address.

    gate: engines wait for it while they load, so that a test can see the page before.
    more: further suites beside the two. drawn: whether Vision opens with what draws itself.
    """
    from semerge.suites.examples import load_examples
    from semerge.ui.context import Context

    def load(suite: Suite) -> FakeEngine:
        if gate is not None:
            assert gate.wait(300)
        return FakeEngine(suite)

    suites = [fake_suite("image"), fake_suite("text"), *more]
    with served(Context.make(suites, load_examples(fake_examples(folder, drawn)), load)) as url:
        yield url


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def served(context: Context) -> Iterator[str]:
    """The whole app on a free port; yields its address.

    Of the system's own choice: Gradio tries one after another from 7860 on, and of two processes
    that do so at a time one fails.
    """
    from semerge.ui.app import launch_options, start

    page = start(context)
    _, url, _ = page.launch(**launch_options(port=free_port()), prevent_thread_lock=True)
    try:
        yield url
    finally:
        page.close()
