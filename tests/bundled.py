"""The bundled suites as the tests in a browser ask them: examples, and an engine's answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fakes import served

from semerge.engine import Engine, load_engine
from semerge.inputs import decode_image
from semerge.settings import Settings
from semerge.suites import Suite, read_suite
from semerge.suites.examples import Example, load_examples
from semerge.ui.app import make_context
from semerge.ui.context import Context

VISION, TEXT = read_suite("mini-vision"), read_suite("mini-text")
EXAMPLES = load_examples()


@cache
def engine(name: str) -> Engine:
    return load_engine(name)


@contextmanager
def serving() -> Iterator[str]:
    """The app as it is shipped, with a context of its own and the engines of these tests."""
    suites = list(make_context().suites.values())
    with served(Context.make(suites, EXAMPLES, lambda suite: engine(suite.name))) as url:
        yield url


def first_of(suite: Suite, task: int) -> Example:
    """The first example of the suite's n-th task."""
    name = suite.task_names[task]
    return EXAMPLES.by_task(suite.modality, [name])[name][0]


def answer(sample: Path | bytes | str, settings: Settings | None = None) -> dict[str, Any]:
    """What the engine answers for an image file, or for a sentence."""
    if isinstance(sample, str):
        result = engine(TEXT.name).predict(sample, settings)
    else:
        result = engine(VISION.name).predict(decode_image(sample), settings)
    return json.loads(json.dumps(result.to_dict()))


def language(page: Any) -> Any:
    """Open the Language tab; returns its input box."""
    page.get_by_role("tab", name="Language").click()
    page.locator("#language-coefficients .se-value").first.wait_for()
    return page.locator("#language-text textarea")  # its label grows by what a validator says
