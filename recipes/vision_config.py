"""Every number of the vision suite's recipe, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from semerge.backbones import VisionTransformer

PRESERVE = {
    "cifar10": 12.0,
    "gtsrb": 12.0,
    "mnist": 12.0,
    "omniglot_alphabets": 3.0,
    "eurosat": 3.0,
    "fashion_mnist": 3.0,
    "charts": 12.0,
    "textures": 12.0,
}
"""The weights of the family "preserve and drift"."""

STEPS = {
    "textures": 1600,
    "charts": 1600,
    "eurosat": 1000,
    "fashion_mnist": 1300,
    "gtsrb": 1700,
    "mnist": 2000,
    "omniglot_alphabets": 2200,
    "cifar10": 3000,
}
"""Of a run, the long ones last."""


@dataclass(frozen=True)
class ExpertConfig:
    """How an expert is made. Of each term the weight is told; 0 leaves the term out.

    stay: replayed images of the base's pre-training mixture, unlabelled, stay where the base has
    them, at every block and at the final embedding. home: own images move, at blocks `home_from`
    and deeper and at the final embedding, by `home_margin` at least. Both make experts that change
    the function at home alone ("disentangled").

    reach: a merge goes only λ of the way to an expert, so the task and *home* are learnt at a
    share of the way, uniform from `reach` to 1 by step. It lowers the λ from which on the own
    expert is the nearest one.

    mining: *stay* looks at so many times `replay` images and takes those that the expert moves
    farthest ("Online Hard Example Mining", Shrivastava et al., arXiv 1604.03540): what an expert
    moves by mistake is what is routed to it. 1 takes all.

    preserve and drift: the opposite family. Own images stay at blocks 1..upto, others move there by
    `drift_margin` at least. preserve goes by task: it is smaller where all other images move far,
    so that there is room to move at home.

    Margins are of the squared displacement relative to the base's mean square.

    pull: decay towards the base, see `loop.Schedule`.

    keep: the share of patches that is kept in most steps; all are in the last 15 %. Where a few
    strokes decide, none can be spared.
    scale: the factor on cosine similarities in the task's loss, where it is not the one that the
    base learned. Class embeddings of one task lie close together (neighbouring road signs at a
    cosine of .999): at the learned 12.6 their logits could hardly differ.
    teachers: the tasks whose expert also learns what a convolutional net says of each image, the
    mean of label and teacher, and how many steps that net is trained.
    runs: tasks whose expert is the mean of several runs' weights ("Model soups", Wortsman et al.,
    arXiv 2203.05482); a run's name decides its randomness. Each run is itself a running mean of its
    weights, of which a step keeps the share run_keep. What one run changes by chance is halved by
    it: vectors are shorter, and move others' images less.
    steps: of a run.
    """

    batch: int = 64
    replay: int = 48
    lr: float = 8e-4
    pull: float = 1.0
    stay: float = 10.0
    mining: int = 1
    home: float = 2.0
    home_margin: float = 0.3
    home_from: int = 4
    reach: float = 1.0
    preserve: dict[str, float] = field(default_factory=dict)
    drift: float = 0.0
    drift_margin: float = 0.15
    upto: int = 2
    smoothing: float = 0.1
    teachers: dict[str, int] = field(
        default_factory=lambda: {"fashion_mnist": 1500, "cifar10": 2500}
    )
    runs: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            **{task: (f"{task}-a", f"{task}-b") for task in STEPS},
            "mnist": ("mnist-a",),  # at home it is nearly right after one
        }
    )
    run_keep: float = 0.998
    keep: dict[str, float] = field(
        default_factory=lambda: {
            "cifar10": 0.6,
            "mnist": 1.0,
            "gtsrb": 0.6,
            "fashion_mnist": 0.85,
            "omniglot_alphabets": 0.85,
            "eurosat": 0.75,
            "charts": 0.85,
            "textures": 0.75,
        }
    )
    scale: dict[str, float] = field(
        default_factory=lambda: {
            "gtsrb": 40.0,
            "omniglot_alphabets": 40.0,
            "fashion_mnist": 40.0,
            "eurosat": 40.0,
            "charts": 40.0,
            "textures": 40.0,
            "mnist": 40.0,
        }
    )
    steps: dict[str, int] = field(default_factory=lambda: dict(STEPS))

    def of(self, family: str) -> ExpertConfig:
        """The same with another family's terms; "disentangled" is the recipe's own."""
        none = replace(
            self, pull=0.0, reach=1.0, mining=1, stay=0.0, home=0.0, preserve={}, drift=0.0
        )
        families = {
            "plain": none,
            "preserve and drift": replace(none, preserve=PRESERVE, drift=1.0, replay=24),
            "disentangled": self,
        }
        return families[family]


@dataclass(frozen=True)
class VisionConfig:
    """Everything that decides what the suite becomes."""

    seed: int = 7
    image_size: int = 48
    patch_size: int = 8
    width: int = 128
    layers: int = 6
    heads: int = 4
    embed_dim: int = 128
    vocab_size: int = 4096
    context_length: int = 24
    text_width: int = 64
    text_layers: int = 2
    rendered: int = 4000
    lookalikes: int = 600
    share: float = 0.08
    base_steps: int = 5500
    base_lr: float = 1e-3
    keep: float = 0.5
    logit_scale: float = 40.0  # of the finished suite; CLIP's own ends at 100
    mixture: dict[str, int] = field(
        default_factory=lambda: {
            "mnist": 10,
            "fashion_mnist": 12,
            "cifar10": 36,
            "eurosat": 18,
            "gtsrb": 20,
            "omniglot_alphabets": 16,
            "charts": 12,
            "textures": 12,
        }
    )
    expert: ExpertConfig = field(default_factory=ExpertConfig)

    def open_clip(self) -> dict[str, Any]:
        """The model as an open_clip configuration."""
        return {
            "embed_dim": self.embed_dim,
            "vision_cfg": {
                "image_size": self.image_size,
                "patch_size": self.patch_size,
                "width": self.width,
                "layers": self.layers,
                "head_width": self.width // self.heads,
            },
            "text_cfg": {
                "context_length": self.context_length,
                "vocab_size": self.vocab_size,
                "width": self.text_width,
                "heads": 2,
                "layers": self.text_layers,
            },
        }

    def backbone(self, logit_scale: float = 100.0) -> VisionTransformer:
        """The image tower's shape."""
        return VisionTransformer(
            self.image_size,
            self.patch_size,
            self.width,
            self.layers,
            self.heads,
            self.embed_dim,
            logit_scale=logit_scale,
        )


def smoke_config(config: VisionConfig) -> VisionConfig:
    """The same recipe at a size that runs in seconds."""
    return replace(
        config,
        image_size=32,
        patch_size=16,
        width=32,
        layers=3,
        heads=2,
        embed_dim=32,
        text_width=32,
        text_layers=1,
        vocab_size=1024,
        context_length=32,
        rendered=32,
        lookalikes=16,
        base_steps=8,
        mixture=dict.fromkeys(config.mixture, 2),
        expert=replace(
            config.expert,
            batch=16,
            replay=14,
            upto=1,
            home_from=2,
            teachers=dict.fromkeys(config.expert.teachers, 4),
            runs={"eurosat": config.expert.runs["eurosat"]},
            steps=dict.fromkeys(config.expert.steps, 6),
        ),
    )
