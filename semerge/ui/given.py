"""What was asked about, shown beside its answer: the image as the model sees it, or the words."""

from __future__ import annotations

from typing import Any

from semerge.inputs import CleanText, DecodedImage
from semerge.ui.gallery import seen
from semerge.ui.markup import echo


def given(sample: DecodedImage | CleanText, picture: Any) -> str:
    """The input as HTML. picture: an image as the model sees it (PIL); None for text."""
    if isinstance(sample, DecodedImage):
        return f'<div class="se-given">{seen(picture)}</div>'
    second = f" <em>{echo(sample.text_b)}</em>" if sample.text_b else ""
    return f'<blockquote class="se-given">{echo(sample.text)}{second}</blockquote>'
