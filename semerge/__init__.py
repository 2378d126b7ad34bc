"""SE-Merging: training-free model merging, anew for every sample (arXiv 2506.18135).

The names below are loaded where they are first used, so that `import semerge` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semerge.common import UserError
    from semerge.engine import load_engine
    from semerge.inputs import clean_text, decode_image
    from semerge.settings import Settings
    from semerge.suites import available_suites, read_suite

__version__ = "0.1.0"

__all__ = [
    "Settings",
    "UserError",
    "__version__",
    "available_suites",
    "clean_text",
    "decode_image",
    "load_engine",
    "read_suite",
]

_HOMES = {
    "Settings": "settings",
    "UserError": "common",
    "available_suites": "suites",
    "clean_text": "inputs",
    "decode_image": "inputs",
    "load_engine": "engine",
    "read_suite": "suites",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
