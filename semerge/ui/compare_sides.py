"""The two configurations of the Compare tab: two folds of options for suites of one modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from semerge.settings import PRESETS, Settings
from semerge.suites import Suite
from semerge.ui.context import Context
from semerge.ui.links import Query, of_settings, read_settings
from semerge.ui.options import Options, called

WHICH = ("a", "b")
DEFAULTS = Settings()
Side = tuple[Suite, Settings]
Sides = tuple[Side, Side]


class SideOptions:
    """`inputs` go into a handler, `read` makes both sides of their values, `put` shows them."""

    def __init__(self, context: Context, name: str, suite: Suite) -> None:
        self.context = context
        self.options = {}
        for which in WHICH:
            label = f"Configuration {which.upper()}"
            suites = context.of(suite.modality)
            self.options[which] = Options(suites, f"{name}-{which}", label=label)
        first = usual(suite)
        self.options["b"].preset.value = first[1][1].preset

    @property
    def inputs(self) -> list[Any]:
        return [part for options in self.options.values() for part in options.inputs]

    @property
    def outputs(self) -> list[Any]:
        """What `put` fills."""
        return [p for o in self.options.values() for p in (*o.inputs, o.preset_about)]

    def read(self, values: Sequence[Any]) -> Sides:
        """Values of `inputs` -> both sides. Raises UserError where a suite is unknown."""
        half = len(values) // 2
        a, b = (self._side(values[:half]), self._side(values[half:]))
        return a, b

    def _side(self, values: Sequence[Any]) -> Side:
        suite = self.context.suite(values[0])
        return suite, Options.read(suite, values[1:])

    def put(self, sides: Sides) -> list[Any]:
        """Values of `outputs`. Raises UserError where a suite does not know its settings."""
        both = zip(self.options.values(), sides, strict=True)
        return [value for options, side in both for value in self._put_one(options, side)]

    def _put_one(self, options: Options, side: Side) -> list[Any]:
        suites = self.context.of(side[0].modality)
        name, *rest = options.put(*side)
        choices = [(called(suite), suite.name) for suite in suites]
        return [gr.update(choices=choices, value=name, visible=len(suites) > 1), *rest]


def usual(suite: Suite) -> Sides:
    """What the tab opens with: the suite's defaults against the same with another preset."""
    default = suite.defaults.preset
    other = next(name for name in PRESETS if name != default)
    return (suite, DEFAULTS), (suite, Settings(preset=other))


def link_of(sides: Sides) -> dict[str, Any]:
    """Both sides as values of a link."""
    found: dict[str, Any] = {}
    for which, (suite, settings) in zip(WHICH, sides, strict=True):
        chosen = settings.resolve(suite)
        names = ("probe", "layer", "pool", "preset", "head")
        filled = replace(settings, **{name: getattr(chosen, name) for name in names})
        found |= {f"{which}_suite": suite.name, **of_settings(filled, f"{which}_")}
    return found


def read_link(query: Query, suite: Suite, suites: Sequence[Suite]) -> Sides:
    """The sides that a link names; those that the tab opens with where it names none."""
    names = {s.name: s for s in suites}
    first = usual(suite)
    sides = []
    for which, side in zip(WHICH, first, strict=True):
        own = names[query.one_of(f"{which}_suite", tuple(names), suite.name)]
        named = query.has(f"{which}_preset") or own is not suite
        sides.append((own, read_settings(query, own, f"{which}_")) if named else side)
    return sides[0], sides[1]
