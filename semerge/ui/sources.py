"""What a visitor asked about, as a small dictionary that a page can remember.

{"example": 3}, {"text": ..., "text_b": ...}, {"file": path of an upload} or {"png": bytes drawn}.
No gradio here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semerge.errors import UserError
from semerge.examples import Example, Examples
from semerge.inputs import CleanText, DecodedImage, clean_text, decode_image
from semerge.suites import Suite

Source = dict[str, Any]
NO_IMAGE = "Choose or upload an image."


def example_of(source: Source, suite: Suite, examples: Examples) -> Example | None:
    """The example that a source names; None for an input of the visitor's own.

    Raises:
        UserError: there is no such example.
    """
    index = source.get("example")
    if index is None:
        return None
    found = examples.of(suite.modality)
    if type(index) is not int or not 0 <= index < len(found):
        raise UserError("There is no such example.")
    return found[index]


def sample_of(source: Source, suite: Suite, examples: Examples) -> DecodedImage | CleanText:
    """The input that a source names, checked and decoded.

    Raises:
        UserError: nothing is named, or what is named can't be used.
    """
    example = example_of(source, suite, examples)
    if suite.modality == "text":
        text: Any = example.text if example else source.get("text")
        text_b: Any = example.text_b if example else source.get("text_b")
        # what is left in a hidden box belongs to another suite
        return clean_text(text, text_b if reads_pairs(suite) else None)
    content: Any = example.file if example else source.get("png", source.get("file"))
    if content is None:
        raise UserError(NO_IMAGE)
    if not isinstance(content, bytes) and not Path(content).exists():
        raise UserError("This upload has been deleted by now; please choose it again.")
    return decode_image(content)


def reads_pairs(suite: Suite) -> bool:
    """Whether a task of the suite reads two sentences."""
    return any(task.pair for task in suite.tasks)


def first_source(suite: Suite, examples: Examples) -> Source:
    """The example that a tab opens with; empty where there is none."""
    example = examples.opening(suite.modality)
    return {"example": example.index} if example else {}
