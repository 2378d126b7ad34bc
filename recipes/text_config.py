"""Every number of the text suite's recipe, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

TASKS = (
    "sentiment_mr",
    "banking77",
    "clinc_domain",
    "snips_intent",
    "clickbait",
    "stackoverflow20",
    "language_id",
)


@dataclass(frozen=True)
class ExpertConfig:
    """How one expert is made. preserve, drift: weights of the two terms, 0 for none.

    table: whether it learns token and position tables of its own, at `table_rate` times the rate: a
    rare word comes by too seldom to be learnt at the rate of the blocks.
    """

    steps: int = 1000
    rate: float = 1e-3
    tokens: int = 900
    foreign_tokens: int = 700
    word_drop: float = 0.1
    dropout: float = 0.1
    smoothing: float = 0.1
    preserve: float = 15.0
    drift: float = 2.0
    margin: float = 0.1  # of the squared relative displacement
    probe_layer: int = 2
    table: bool = False
    table_rate: float = 5.0


@dataclass(frozen=True)
class TextConfig:
    """Tokens are counted with padding; a `step` is one batch of `tokens`."""

    tasks: tuple[str, ...] = TASKS
    seed: int = 20250618
    # the model
    vocab: int = 7000
    positions: int = 64
    grow_by: int = 6000  # tokens added after the language model, learnt on groups of sets:
    grow_from: tuple[tuple[str, ...], ...] = (
        ("sentiment_mr", "review_sentiment_uci"),
        ("stackoverflow20",),
    )
    width: int = 160
    layers: int = 4
    heads: int = 5
    # language model: task text, and `corpus_share` as many tokens of running text, `epochs` times
    lm_steps: int = 2600  # at most; 1.4 epochs
    lm_epochs: int = 2
    lm_corpus_share: float = 0.5
    lm_tokens: int = 1536
    lm_rate: float = 2e-3
    lm_decay: float = 0.05
    tokenizer_bytes: int = 3_000_000  # of running text, beside all task text
    # base: the brief multi-task phase, `base_tokens` of each task a step
    base_steps: int = 28
    base_tokens: int = 360
    base_share: Mapping[str, float] = field(default_factory=lambda: {"sentiment_mr": 2.0})  # times
    base_rate: float = 5e-4
    head_rate: float = 2e-3
    smoothing: float = 0.1
    word_drop: float = 0.1
    # words: the token table alone, as bags of words
    word_steps: int = 600
    word_tokens: int = 2000
    word_share: Mapping[str, float] = field(default_factory=lambda: {"sentiment_mr": 3.0})  # times
    word_rate: float = 2e-3
    # sums: the blocks, to know at the last token what the bag of words says
    sum_steps: int = 900
    sum_tokens: int = 1500
    sum_rate: float = 1e-3
    # the task that word counts know better than a small model: lessons of a teacher
    sentiment_sets: tuple[str, ...] = ("review_sentiment_uci",)
    sentiment_texts: tuple[str, ...] = ("subjectivity",)
    sentiment_partial: int = 3  # copies of the train part with words left out
    sentiment_mixed: int = 200_000  # sentences of two halves, for the expert alone
    teacher_letters: float = 0.312  # times the logits of the teacher that goes by letters: as wide
    letter_epochs: int = 6
    teacher_share: float = 0.5
    teacher_temperature: float = 1.5
    bag_taught: tuple[str, ...] = TASKS[1:]  # experts that learn from the bag too
    bag_sharpness: float = 2.0  # times its logits: trained with smoothed labels, it is too unsure
    # experts
    expert: ExpertConfig = ExpertConfig()
    steps_by_task: Mapping[str, float] = field(
        default_factory=lambda: {
            "sentiment_mr": 4.0,
            "banking77": 1.8,
            "stackoverflow20": 1.8,
            "clinc_domain": 2.0,
            "language_id": 1.0,
            "snips_intent": 1.6,
            "clickbait": 1.2,
        }
    )  # times expert.steps
    expert_by_task: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {"sentiment_mr": {"preserve": 3.0, "table": True}}
    )  # other numbers of ExpertConfig


def smoke_config(config: TextConfig) -> TextConfig:
    """The same recipe at a size that runs in seconds."""
    return replace(
        config,
        vocab=400,
        grow_by=50,
        positions=16,
        width=32,
        layers=3,
        heads=2,
        lm_epochs=1,
        lm_tokens=512,
        base_steps=10,
        base_tokens=128,
        word_steps=20,
        word_tokens=128,
        sum_steps=10,
        sum_tokens=256,
        sentiment_mixed=50,
        expert=replace(config.expert, steps=10, tokens=128, foreign_tokens=128),
    )
