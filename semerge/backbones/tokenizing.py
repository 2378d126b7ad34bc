"""Tokenizers: of GPT-2 from either form in which they are published, and that of CLIP."""

from __future__ import annotations

import gzip
import html
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semerge.common import UserError

END_OF_TEXT = "<|endoftext|>"  # GPT-2's one special token
CLIP_MERGES = "bpe_simple_vocab_16e6.txt.gz"  # in open_clip's folder
CLIP_WORDS = r"(?i)'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
BYTES, SPECIAL = 256, 2  # tokens of CLIP that are no merges: bytes within and at the end of a word


def read_tokenizer(path: Path) -> Any:
    """A `tokenizers.Tokenizer` from tokenizer.json, or from vocab.json with merges.txt beside it.

    Raises:
        UserError: a file is missing or damaged.
    """
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
        raise UserError(f"{path} can't be read as a tokenizer: {error}.") from None
    # state that a tokenizer.json may carry; length is the backbone's business
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class ClipTokenizer:
    """Texts to token ids as `open_clip.tokenizer.SimpleTokenizer` makes them, by the package
    `tokenizers` and open_clip's file of merges; open_clip itself is not imported.

    vocab_size: 514 and the number of merges, the first of the file.
    """

    def __init__(self, vocab_size: int, context_length: int) -> None:
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers

        merges = _clip_merges()[: vocab_size - 2 * BYTES - SPECIAL]
        letters = _byte_letters()
        tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
        vocab = {token: i for i, token in enumerate(tokens)}
        self.start, self.end = len(tokens), len(tokens) + 1
        self.context_length = context_length
        self._words = Tokenizer(models.BPE(vocab, merges, end_of_word_suffix="</w>"))
        self._words.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(B, context_length), 0 after the end; a text that is too long is cut before its end."""
        ids = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        cleaned = [_cleaned(text) for text in texts]
        for row, found in zip(ids, self._words.encode_batch(cleaned), strict=True):
            tokens = [self.start, *found.ids[: self.context_length - 2], self.end]
            row[: len(tokens)] = torch.tensor(tokens)
        return ids


def _cleaned(text: str) -> str:
    import ftfy

    whole = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(whole.split()).lower()


def _clip_merges() -> list[tuple[str, str]]:
    spec = importlib.util.find_spec("open_clip")  # looks, and imports nothing
    if spec is None or spec.origin is None:
        raise UserError("The package open_clip_torch is needed: it holds CLIP's tokens.")
    with gzip.open(Path(spec.origin).with_name(CLIP_MERGES), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[1:]
    return [(first, second) for first, second in (line.split() for line in lines if line)]


def _byte_letters() -> list[str]:
    """One printable character a byte, those that print as they are first."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    shown += range(ord("®"), ord("ÿ") + 1)
    return [chr(b) for b in shown] + [chr(BYTES + n) for n in range(BYTES - len(shown))]
