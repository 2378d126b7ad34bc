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
    """How one expert is made. Of each term the weight is told; 0 leaves the term out.

    stay: replayed inputs of the base's pre-training, unlabelled, stay where the base has them, at
    every block and at the final embedding. home: own sentences move, at the last token of blocks
    `home_from` and deeper and at the final embedding, by `home_margin` at least. Both make experts
    that change the function at home alone ("disentangled").

    reach: a merge goes only λ of the way to an expert, so the task and *home* are learnt at a
    share of the way, uniform from `reach` to 1 by step. It lowers the λ from which on the own
    expert is the nearest one.

    mining: *stay* looks at so many batches of other inputs and takes, of one batch's size, those
    that the expert moves farthest ("Online Hard Example Mining", Shrivastava et al., arXiv
    1604.03540): what an expert moves by mistake is what is routed to it. 1 takes all.

    preserve and drift: the opposite family. Own sentences stay at blocks up to `probe_layer`, and
    other text moves there by `drift_margin` at least.

    Margins are of the squared displacement relative to the base's squared norm.

    scale: the factor on logits in the task's loss. A head that the base learned in its brief look
    is flat where there are many classes: an expert would have to stretch its embeddings.
    pull: decay towards the base, see `loop.Schedule`.

    table: whether it learns token and position tables of its own, at `table_rate` times the rate: a
    rare word comes by too seldom to be learnt at the rate of the blocks. *stay* then holds at the
    tables too, at `table_stay` times its weight: blocks could make up for a moved word where one
    expert is alone, but not in a merge, where every table has moved it a little.
    """

    steps: int = 480
    rate: float = 1e-3
    tokens: int = 900
    other_tokens: int = 600
    word_drop: float = 0.1
    dropout: float = 0.1
    smoothing: float = 0.1
    scale: float = 3.0
    pull: float = 5.0
    stay: float = 8.0
    mining: int = 2
    home: float = 6.0
    home_margin: float = 0.5
    home_from: int = 2
    reach: float = 1.0
    preserve: float = 0.0
    drift: float = 0.0
    drift_margin: float = 0.1
    probe_layer: int = 2
    table: bool = False
    table_rate: float = 5.0
    table_stay: float = 6.0

    def of(self, family: str) -> ExpertConfig:
        """The same with another family's terms; "disentangled" is the recipe's own."""
        terms = {"stay": 0.0, "home": 0.0, "preserve": 0.0, "drift": 0.0}
        none = replace(self, rate=1e-3, pull=0.0, reach=1.0, mining=1, **terms)
        families = {
            "plain": none,
            "preserve and drift": replace(none, preserve=15.0, drift=2.0, other_tokens=700),
            "disentangled": self,
        }
        return families[family]


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
    base_steps: int = 22
    base_tokens: int = 360
    base_share: Mapping[str, float] = field(default_factory=lambda: {"sentiment_mr": 2.0})  # times
    base_rate: float = 5e-4
    head_rate: float = 2e-3
    smoothing: float = 0.1
    word_drop: float = 0.1
    # words: the token table alone, as bags of words
    word_steps: int = 400
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
    runs: int = 2  # an expert is the mean of so many runs' weights (Model soups, arXiv 2203.05482)
    expert: ExpertConfig = ExpertConfig()
    steps_by_task: Mapping[str, float] = field(
        default_factory=lambda: {
            "sentiment_mr": 4.5,
            "banking77": 2.0,
        }
    )  # times expert.steps
    expert_by_task: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {
            # moves no other task's sentences, so that its vector may be long
            "sentiment_mr": {
                "stay": 5.0,
                "scale": 2.0,
                "pull": 1.5,
                "table": True,
                "table_stay": 1.0,
            },
            "banking77": {"scale": 9.0, "table": True},
            "stackoverflow20": {"scale": 6.0, "table": True},
            "clinc_domain": {"scale": 6.0, "table": True},
            "snips_intent": {"home_margin": 0.8},
            "clickbait": {"home_margin": 0.8},
            "language_id": {"scale": 6.0, "pull": 3.0},
        }
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
        runs=1,
        expert=replace(config.expert, steps=10, tokens=128, other_tokens=128),
    )
