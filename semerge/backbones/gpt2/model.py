"""GPT-2 (Radford et al., 2019) as transformers lays it out, read at the last real token.

Parameter names and the order of operations are those of `transformers.GPT2Model`; tests hold the
two equal. Sentences are padded on the right: with causal attention no real token ever sees the
padding, so no mask is needed.
"""

from __future__ import annotations

import filecmp
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semerge.backbones.architecture import is_whole
from semerge.backbones.base import Backbone, Batch, Params, attention, layer_norm, linear, stages
from semerge.backbones.gpt2 import ARCHITECTURE, GPT2Sizes
from semerge.checkpoints.checkpoint import Checkpoint, Shapes, check_same, head_of, prefix_of, same
from semerge.checkpoints.files import read_config
from semerge.checkpoints.lora import LoraCheckpoint
from semerge.checkpoints.weight_files import open_weights
from semerge.common import UserError, quoted
from semerge.foreign import reason
from semerge.suites.suite import Suite

END_OF_TEXT = "<|endoftext|>"  # the one special token
RANDOM_TOKENS = 32  # of a random sentence
HEAD_WIDTH = 64  # of every published GPT-2
LIMIT = 512  # tokens, of what an init-suite makes
TIED = "lm_head.weight"  # the embedding of its tokens once more
HEADS = {  # the key of a head, by layout
    "gpt2": re.escape(TIED),
    "gpt2-classifier": r"score\.weight",
    "gpt2-lora": r"score\.weight",  # PEFT's modules_to_save
}
# what tokenizer_config.json may ask for that is not done here
TOKENIZER = (("add_bos_token", False), ("do_lower_case", False), ("truncation_side", "right"))
# what config.json may not have otherwise
USUAL = (
    ("model_type", "gpt2"),
    ("scale_attn_weights", True),
    ("scale_attn_by_inverse_layer_idx", False),
)
PROBE = "Two words, TWO  spaces: naïve 12.5% can't"  # case, accents, spaces, digits, contractions
ATTENTION_MASKS = r"h\.\d+\.attn\.(bias|masked_bias)"
GELU_TANH = ("gelu_new", "gelu_pytorch_tanh")  # two names of one function


@dataclass(frozen=True)
class GPT2(GPT2Sizes):
    """A GPT-2 body. max_length: a limit below its window, in tokens."""

    tokenizer: Any = None  # a tokenizers.Tokenizer; needed by preprocess alone
    pad_id: int = 0
    max_length: int | None = None

    linear_embed = True  # rows of two tables, added
    attention = ("attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight")

    @cached_property
    def segments(self) -> tuple[tuple[str, ...], ...]:
        return stages(self.shapes, r"h\.\d+\.")

    @property
    def limit(self) -> int:
        """The longest input that is read, in tokens."""
        return min(self.positions, self.max_length or self.positions)

    def encode(self, text: str, second: str | None = None) -> tuple[list[int], int]:
        """Token ids as the model reads them, and how many there were before the cut.

        A pair is one sequence, first sentence first, with nothing in between. What is too long is
        cut at the end of the longer sentence, token by token, as transformers' "longest_first".
        Padding tokens at the end are no input: transformers pools before them.
        """
        first, rest = self._ids(text), self._ids(second) if second else []
        total = len(first) + len(rest)
        for _ in range(total - self.limit):
            (first if len(first) > len(rest) else rest).pop()
        ids = first + rest
        while ids and ids[-1] == self.pad_id:
            ids.pop()
        return ids or [self.pad_id], total

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text).ids)

    def notices(self, sample: object, second: str | None = None) -> tuple[str, ...]:
        """Says so where the text is longer than the window."""
        _, n = self.encode(str(sample), second)
        if n <= self.limit:
            return ()
        part = f"{self.limit} of them" if second else f"the first {self.limit}"
        return (f"The text has {n} tokens; the model reads {part}.",)

    def preprocess(self, sample: object, second: str | None = None) -> Batch:
        """A sentence (and a second one, for pair tasks) -> ids (1, N) and lengths (1,)."""
        if not isinstance(sample, str):
            raise TypeError(f"expected a sentence, got {type(sample).__name__}")
        ids, _ = self.encode(sample, second)
        return Batch(torch.tensor([ids]), torch.tensor([len(ids)]))

    def random(self, generator: torch.Generator) -> Batch:
        """A sentence of random tokens."""
        size = min(RANDOM_TOKENS, self.positions)
        ids = torch.randint(self.vocab, (1, size), generator=generator)
        return Batch(ids, torch.tensor([size]))

    def collate(self, batches: Sequence[Batch]) -> Batch:
        longest = max(b.data.shape[1] for b in batches)
        rows = [F.pad(b.data, (0, longest - b.data.shape[1]), value=self.pad_id) for b in batches]
        lengths = [b.lengths for b in batches if b.lengths is not None]
        return Batch(torch.cat(rows), torch.cat(lengths))

    def embed(self, params: Params, batch: Batch) -> Tensor:
        wte, wpe = params["wte.weight"], params["wpe.weight"]
        n = batch.data.shape[1]
        if wte.dim() == 2:
            return F.embedding(batch.data, wte) + wpe[:n]  # (B, N, d)
        return wte[:, batch.data] + wpe[:, None, :n]  # (G, B, N, d)

    def block(self, params: Params, layer: int, h: Tensor, batch: Batch) -> Tensor:
        at = f"h.{layer - 1}."

        def p(name: str) -> Tensor:
            return params[at + name]

        def conv1d(x: Tensor, name: str) -> Tensor:
            return linear(x, p(f"{name}.weight").mT, p(f"{name}.bias"))

        x = layer_norm(h, p("ln_1.weight"), p("ln_1.bias"), self.eps)
        x = attention(conv1d(x, "attn.c_attn"), self.heads, causal=True)
        h = h + conv1d(x, "attn.c_proj")
        x = layer_norm(h, p("ln_2.weight"), p("ln_2.bias"), self.eps)
        x = F.gelu(conv1d(x, "mlp.c_fc"), approximate="tanh")
        return h + conv1d(x, "mlp.c_proj")

    def last(self, h: Tensor, batch: Batch) -> Tensor:
        """The activation at each sentence's last real token: (.., B, N, d) -> (.., B, d)."""
        assert batch.lengths is not None
        rows = torch.arange(len(batch), device=h.device)
        return h[..., rows, batch.lengths - 1, :]

    def final(self, params: Params, h: Tensor, batch: Batch) -> Tensor:
        x = self.last(h, batch)
        return layer_norm(x, params["ln_f.weight"], params["ln_f.bias"], self.eps)

    def pool(self, h: Tensor, how: str, batch: Batch) -> Tensor:
        if how == "last":
            return self.last(h, batch)
        real = batch.real().unsqueeze(-1)  # (B, N, 1)
        h = h * real
        if how == "all":
            return h.flatten(-2)
        if how == "mean":
            return h.sum(-2) / real.sum(-2)
        raise ValueError(f"pool {how!r}: GPT-2 has {', '.join(self.pools)}")

    def logits(self, embedding: Tensor, head: Tensor) -> Tensor:
        """score: embeddings (B, D), weight (C, D) -> (B, C)."""
        return embedding @ head.mT


def build(suite: Suite, inputs: bool = True) -> GPT2:
    """The model of a suite. inputs: False where it is not to read sentences, and so needs no
    tokenizer. Raises UserError where the tokenizer is missing or damaged, or has more tokens than
    the model."""
    config = suite.architecture
    tokenizer = None
    if inputs:
        path = suite.path(config["tokenizer"])
        tokenizer = read_tokenizer(path)
        if tokenizer.get_vocab_size() > int(config["vocab_size"]):
            raise UserError(f"{path} has more tokens than the model: {tokenizer.get_vocab_size()}.")
    return GPT2(
        **asdict(ARCHITECTURE.sizes(config)),
        tokenizer=tokenizer,
        pad_id=int(config.get("pad_id", 0)),
        max_length=int(config["max_length"]) if "max_length" in config else None,
    )


def read_tokenizer(path: Path) -> Any:
    """A `tokenizers.Tokenizer` from tokenizer.json, or from vocab.json with merges.txt beside it,
    and from the tokenizer_config.json beside either. Raises UserError where a file is missing or
    damaged, or asks for what the model is not given."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    merges = path.with_name("merges.txt")
    for file in (path, merges) if path.name == "vocab.json" else (path,):
        if not file.is_file():
            raise UserError(f"{file} is missing.")
    try:
        if path.name == "vocab.json":
            tokenizer = Tokenizer(models.BPE.from_file(str(path), str(merges)))
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False, special=True)])
        else:
            tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises bare Exception
        raise UserError(f"{path} can't be read as a tokenizer: {reason(path, error)}.") from None
    # state that a tokenizer.json may carry; length is the backbone's business
    tokenizer.no_truncation()
    tokenizer.no_padding()
    file = path.with_name("tokenizer_config.json")
    config = read_config(file) or {}
    for key, usual in TOKENIZER:
        if config.get(key, usual) != usual:
            raise UserError(f"{file}: {key} is {quoted(config[key])}; only {usual} can be run.")
    # transformers lets it decide over tokenizer.json too
    words = tokenizer.pre_tokenizer
    if "add_prefix_space" in config and isinstance(words, pre_tokenizers.ByteLevel):
        words.add_prefix_space = bool(config["add_prefix_space"])
    return tokenizer


def tokenizer_beside(path: Path) -> Path | None:
    """The tokenizer that transformers would take with a file of weights."""
    files = (path.with_name(name) for name in ("tokenizer.json", "vocab.json"))
    return next((file for file in files if file.is_file()), None)


def check_inputs(suite: Suite, path: Path, backbone: Backbone) -> None:
    """Compare a tokenizer that lies beside an expert with the suite's, by its words, its merges and
    some text. Raises UserError where they differ: the expert would read another text."""
    file, own = tokenizer_beside(path), suite.path(suite.architecture["tokenizer"])
    if file is None or not isinstance(backbone, GPT2) or backbone.tokenizer is None:
        return
    names = ("tokenizer_config.json", "merges.txt", file.name)
    if file.name == own.name and all(_equal(file.with_name(x), own.with_name(x)) for x in names):
        return  # to read one takes a while
    if _reading(read_tokenizer(file)) != _reading(backbone.tokenizer):
        raise UserError(f"{file} reads other tokens than the suite's tokenizer, {own}.")


def _equal(file: Path, other: Path) -> bool:
    there = file.is_file(), other.is_file()
    return there[0] == there[1] and (not there[0] or filecmp.cmp(file, other, shallow=False))


def _reading(tokenizer: Any) -> tuple[Any, ...]:
    """What tells two tokenizers apart that read some text otherwise."""
    model = json.loads(tokenizer.to_str())["model"]
    merges = [x if isinstance(x, str) else " ".join(x) for x in model["merges"]]
    return model["vocab"], merges, tokenizer.encode(PROBE).ids


# ---- its published weights: transformers' GPT2Model, GPT2LMHeadModel and classifiers ------------


def open_base(path: Path, layout: str, shapes: Shapes) -> Checkpoint:
    """The body of a file, whatever head it has."""
    raw = open_weights(path)
    body = prefix_of(raw, "transformer.")
    known = rf"{re.escape(body)}{ATTENTION_MASKS}|{HEADS[layout]}"
    base = Checkpoint(raw, same(shapes, body), shapes, known)
    if TIED in raw.shapes:
        base.copies = {TIED: "wte.weight"}
    return base


def open_expert(
    path: Path, layout: str, shapes: Shapes, base: Checkpoint
) -> Checkpoint | LoraCheckpoint:
    """The same: a `GPT2ForSequenceClassification` holds all of the body. Or its adapters."""
    if layout != "gpt2-lora":
        return open_base(path, layout, shapes)
    return LoraCheckpoint(
        open_weights(path),
        shapes,
        base,
        same(shapes, ""),
        "h.",
        tower="transformer.",
        outputs_last=GPT2Sizes.outputs_last,
        known=HEADS[layout],
    )


def check_config(
    checkpoint: Mapping[str, Any], path: Path, layout: str, architecture: Mapping[str, Any]
) -> None:
    """Compare activation, heads, epsilon and padding."""
    file = path.parent / "config.json"
    config = read_config(file) or {}
    activation = config.get("activation_function", "gelu_new")
    if activation not in GELU_TANH:
        raise UserError(f"{file}: activation_function {quoted(activation)} is not gelu_new.")
    for key, usual in USUAL:
        if config.get(key, usual) != usual:
            raise UserError(f"{file}: {key} is {quoted(config[key])}; only {usual} can be run.")
    check_same(file, config, "n_head", int(architecture["n_head"]))
    epsilon = float(architecture.get("layer_norm_epsilon", 1e-5))
    check_same(file, config, "layer_norm_epsilon", epsilon)
    # some configs lack the token; whoever made the expert then padded with what the suite states
    if config.get("pad_token_id") is not None:
        check_same(file, config, "pad_token_id", int(architecture.get("pad_id", 0)))


def check_base(suite: Suite, backbone: Backbone, base: Checkpoint) -> None:
    """Nothing else makes its heads."""


def check_heads(suite: Suite, backbone: Backbone) -> None:
    """They cost nothing to read, so they are read."""
    read_heads(suite, backbone)


def read_heads(suite: Suite, backbone: Backbone) -> dict[str, Tensor]:
    """The classifier of each expert, from its own file."""
    width = backbone.output_dim
    return {
        task.name: read_score(suite.path(task.weights), len(task.classes), width)
        for task in suite.tasks
    }


def read_score(path: Path, rows: int, width: int) -> Tensor:
    """The head (C, D) in the file of a `GPT2ForSequenceClassification`, or beside its adapters.
    Raises UserError where there is none, or it does not have a row for each class."""
    raw = open_weights(path)
    score = raw.tensor("score.weight") if "score.weight" in raw.shapes else None
    return head_of(path, "score.weight", score, rows, width)


def layout_of(keys: Sequence[str], pickled: bool) -> str | None:
    """By its token table; a classifier has a head too. Adapters by the layers that they are of."""
    if any(re.search(r"(^|\.)h\.\d+\.(attn|mlp)\.c_\w+\.lora_[AB]\.", key) for key in keys):
        return "gpt2-lora"
    if not any(re.search(r"(^|\.)wte\.weight$", key) for key in keys):
        return None
    return "gpt2-classifier" if "score.weight" in keys else "gpt2"


def describe(base: Any, experts: Sequence[Any]) -> tuple[dict[str, Any], list[str]]:
    """By shapes, and by the config.json of the base, or else of its experts."""
    own = {key.removeprefix("transformer."): shape for key, shape in base.shapes.items()}
    (vocabulary, width), positions = own["wte.weight"], own["wpe.weight"][0]
    configs = [read_config(x.path.with_name("config.json")) or {} for x in (base, *experts)]

    def told(key: str) -> Any:
        return next((x[key] for x in configs if x.get(key) is not None), None)

    tokens = [read_config(x.path.with_name("tokenizer_config.json")) or {} for x in experts]
    lengths = [config.get("model_max_length") for config in tokens]
    limits = [n for n in lengths if isinstance(n, int) and is_whole(n) and n > 0]
    limit = min(LIMIT, positions, *limits)
    heads, pad, eps = map(told, ("n_head", "pad_token_id", "layer_norm_epsilon"))
    assumed = [] if limit in limits else [f"sentences are cut at {limit} tokens"]
    if heads is None:
        assumed.append(f"attention heads are {HEAD_WIDTH} wide")
    if pad is None:
        assumed.append(f"the padding token is the last, {vocabulary - 1}")
    model = {
        "kind": "gpt2",
        "vocab_size": vocabulary,
        "n_positions": positions,
        "n_embd": width,
        "n_layer": base.count(r"^(?:transformer\.)?h\.(\d+)\."),
        "n_head": max(1, width // HEAD_WIDTH) if heads is None else heads,
        # GPT-2's end of text, which FusionBench pads with
        "pad_id": vocabulary - 1 if pad is None else pad,
        "max_length": limit,
    }
    return model if eps is None else {**model, "layer_norm_epsilon": eps}, assumed
