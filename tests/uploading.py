"""What tests of uploads share: the sentence of a refusal, and the labels that were read."""

from __future__ import annotations

from pathlib import Path

import pytest

from semerge.common import UserError
from semerge.data.labelled import Sets
from semerge.data.uploads import uploaded_sets
from semerge.suites import Suite


def refused(suite: Suite, path: Path, task: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        uploaded_sets(suite, path, task)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 400
    return sentence


def labels(found: Sets) -> dict[str, list[int]]:
    return {s.task: s.labels.tolist() for s in found.sets}
