"""Tokenizers of GPT-2 from either form in which they are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semerge.errors import UserError

END_OF_TEXT = "<|endoftext|>"  # GPT-2's one special token


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
