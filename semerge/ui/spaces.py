"""ZeroGPU on a Hugging Face Space: a function runs with a GPU where the package `spaces` is."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])
SECONDS = 60  # of a GPU that one call may take


def on_gpu(function: F, seconds: int = SECONDS) -> F:
    """`function` under `@spaces.GPU`; anywhere else the function itself."""
    if importlib.util.find_spec("spaces") is None:
        return function
    wrapped: F = importlib.import_module("spaces").GPU(duration=seconds)(function)
    return wrapped
