"""Links that open the page as it is: what a tab shows as a query string, and back. No gradio here.

A link holds names, small numbers, the number of an example or a short sentence, so it works after
a restart and on another machine; never an uploaded image. Everything in it is checked: what this
page does not know falls back to the default and is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Any, TypeVar

from semerge.common import UserError
from semerge.registry import Registry
from semerge.settings import FALLBACKS, Described, Settings, descriptions
from semerge.suites import Suite
from semerge.suites.abstention import read_abstention
from semerge.suites.examples import Examples
from semerge.ui.context import REGISTRIES, TEXT_LIMIT, Source
from semerge.ui.tabs import names

Value = TypeVar("Value")


class Query:
    """The values of a link, read one by one; `notices` tells what had to be replaced."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self.notices: list[str] = []
        self.tab = self.one_of("tab", names(), "") if "tab" in self._values else ""

    def has(self, key: str) -> bool:
        return key in self._values

    def one_of(self, key: str, valid: Iterable[Value], default: Value) -> Value:
        """The one of `valid` that reads like the value in the link."""
        if key not in self._values:
            return default
        for value in valid:
            if str(value) == self._values[key]:
                return value
        return self._replaced(key, default)

    def number(self, key: str, low: float, high: float, default: float) -> float:
        if key not in self._values:
            return default
        try:
            value = float(self._values[key])
        except ValueError:
            return self._replaced(key, default)
        return value if low <= value <= high else self._replaced(key, default)

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        text = self._values.get(key)
        if text is None:
            return default
        # isdecimal alone admits digits of other scripts and numbers of any length
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            return self._replaced(key, default)
        value = int(text)
        return value if low <= value <= high else self._replaced(key, default)

    def text(self, key: str, default: str = "") -> str:
        value = self._values.get(key, default)
        return value if len(value) <= TEXT_LIMIT else self._replaced(key, default)

    def spec(self, key: str, registry: Registry[Any], valid: Iterable[str], default: str) -> str:
        """A method or probe with its options."""
        if key not in self._values:
            return default
        try:
            spec = registry.spec(self._values[key])
        except UserError:
            return self._replaced(key, default)
        return spec if registry[spec].name in valid else self._replaced(key, default)

    def _replaced(self, key: str, default: Value) -> Value:
        self.notices.append(unknown(key, self._values[key]))
        return default


def unknown(key: str, value: str) -> str:
    """What is told of a value in a link that there is not."""
    return f"The link's {key} {value[:40]!r} is not known here; the default is shown."


def read_source(query: Query, suite: Suite, examples: Examples) -> Source | None:
    """The input that a link names; None where it names none."""
    if suite.modality == "text" and (text := query.text("text")):
        return {"text": text, "text_b": query.text("text_b")}
    if query.has("example"):
        last = len(examples.shown(suite.modality)) - 1
        index = query.whole("example", 0, last, -1)
        return {"example": index} if index >= 0 else None
    return None


def read_settings(query: Query, suite: Suite, prefix: str = "", fast: bool = False) -> Settings:
    """Settings that a link names, the suite's defaults where it names none or none that fit. fast:
    whether the tab has the fast mode; it looks for no misfit, so it leaves no fallback."""
    settings = Settings()
    # the method first: which probes there are depends on it
    for name, is_ in sorted(descriptions().items(), key=lambda field: field[0] != "method"):
        if is_.link and name not in ("fast", "fallback"):
            settings = replace(settings, **{name: _read(query, prefix, name, is_, suite, settings)})
    quick = fast and query.one_of(f"{prefix}fast", (0, 1), 0) == 1
    fallbacks = FALLBACKS if read_abstention(suite) and not quick else FALLBACKS[:1]
    fallback = query.one_of(f"{prefix}fallback", fallbacks, "route")
    return replace(settings, fast=quick, fallback=fallback)


def _read(
    query: Query, prefix: str, name: str, is_: Described, suite: Suite, beside: Settings
) -> Any:
    """The value of one field, given what the link has of those before it."""
    key, usual = prefix + name, getattr(beside.resolve(suite), name)
    if name in REGISTRIES:
        return query.spec(key, REGISTRIES[name], is_.values(suite, beside), usual)
    if values := is_.values(suite, beside):
        return query.one_of(key, values, usual)
    if is_.kind is bool:
        return query.one_of(key, (0, 1), int(usual)) == 1
    return query.number(key, -inf, inf, usual)
