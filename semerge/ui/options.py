"""The Options fold: what a request may choose; and sliders of coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from semerge.common import gigabytes
from semerge.evaluation.tables import read_bench
from semerge.probes import PROBES
from semerge.settings import (
    AUTO,
    FINAL,
    PRESETS,
    Resolved,
    Settings,
    valid_layers,
    valid_pools,
    valid_probes,
)
from semerge.suites import Suite
from semerge.suites.abstention import read_abstention
from semerge.ui import words
from semerge.ui.safe import SafeDropdown
from semerge.ui.tabs import Update

# --------------------------------------------------------------------------------------------------
# The Options fold: suite, preset, probe, layer, pooling, head and what else a request may choose,
# with the suite's defaults.

PROBE_NAMES = {"experts": "experts (the paper's)", "base": "base", "cache": "cache"}
FAST_ABOUT = "Drops far experts early and lets a clear winner answer alone."
NO_FALLBACK = "The fast mode does not look whether an expert fits, so nothing can fall back."
NOT_FAST = "Not with the static fallback: the fast mode does not look whether an expert fits."
POOL_NAMES = {"all": "all tokens", "cls": "class token", "mean": "mean", "last": "last token"}


class Options:
    """The fold's components. `inputs` go into a handler, `read` makes Settings of their values."""

    def __init__(
        self,
        suites: Sequence[Suite],
        name: str,
        whole: bool = True,
        label: str = "Options",
        fast: bool = False,
    ) -> None:
        """whole: False for a tab that chooses its suite elsewhere and reads under every head.
        fast: whether all that the tab computes has a fast mode; a sweep over a set has none."""
        suite, self.whole = suites[0], whole
        with gr.Accordion(label, open=False, elem_classes="se-fold", elem_id=f"{name}-options"):
            self.suite = gr.Dropdown(
                [(called(s), s.name) for s in suites],
                value=suite.name,
                label="Suite",
                info="A base model with its experts",
                visible=whole and len(suites) > 1,
            )
            self.preset = gr.Radio(
                list(PRESETS),
                value=suite.defaults.preset,
                label="Preset",
                info="How similarities become coefficients",
            )
            self.preset_about = gr.Markdown(
                PRESETS[suite.defaults.preset].about, elem_classes="se-hint"
            )
            self.probe = gr.Radio(
                _probes(suite),
                value=suite.defaults.probe,
                label="Probe",
                info="What each expert is compared with",
            )
            with gr.Row():
                self.layer = gr.Dropdown(
                    _layers(suite), value=suite.defaults.layer, label="Probe layer", min_width=120
                )
                self.pool = SafeDropdown(
                    _pools(suite, suite.defaults.probe, suite.defaults.layer),
                    value=_pool(suite),
                    label="Pooling",
                    min_width=120,
                )
            self.head = gr.Dropdown(
                _heads(suite),
                value=AUTO,
                label="Head",
                info="Which classes the answer is read with",
                visible=whole,
            )
            self.fallback = gr.Radio(
                [(told, name) for name, told in words.FALLBACKS.items()],
                value="route",
                label="When no expert fits",
                visible=whole,
                **_fallback(suite, False),
            )
            self.fast: gr.Checkbox | None = None
            if fast:
                self.fast = gr.Checkbox(
                    False, label="Fast mode", elem_classes="se-switch", **_fast(suite, "route")
                )
            self.reset = gr.Button(
                "Back to the suite's defaults", size="sm", elem_classes="se-quiet"
            )

    @property
    def inputs(self) -> list[Any]:
        return [
            self.suite,
            self.preset,
            self.probe,
            self.layer,
            self.pool,
            self.head,
            self.fallback,
            *self._offered,
        ]

    @property
    def _offered(self) -> list[Any]:
        return [] if self.fast is None else [self.fast]

    @property
    def choices(self) -> list[Any]:
        """The inputs that change an answer of the same suite."""
        return self.inputs[1:]

    @staticmethod
    def read(suite: Suite, values: Sequence[Any]) -> Settings:
        """Values of `choices` -> Settings. A pooling left over from another layer or probe is
        replaced by the default; anything else that does not fit is refused by the engine. What a
        tab does not offer, or an older client does not send, is off."""
        preset, probe, layer, pool, head, fallback, *fast = values
        fits = pool in valid_pools(suite, probe or suite.defaults.probe, layer)
        return Settings(
            probe=probe,
            layer=layer,
            pool=pool if fits else None,
            preset=preset,
            head=head or AUTO,
            fast=any(value is True for value in fast),
            fallback=fallback or "route",
        )

    def follow(self, suite: Suite, chosen: Resolved) -> Update:
        """Of `followers`: the poolings that fit the probe and layer, the preset's words, and which
        of the fast mode and the fallback can be chosen beside the other."""
        found = {self.pool: _pooling(suite, chosen)}
        found[self.preset_about] = PRESETS[chosen.preset].about
        if self.fast is not None:
            found[self.fallback] = gr.update(**_fallback(suite, chosen.fast))
            found[self.fast] = gr.update(**_fast(suite, chosen.fallback))
        return found

    @property
    def followers(self) -> list[Any]:
        both = [] if self.fast is None else [self.fallback, self.fast]
        return [self.pool, self.preset_about, *both]

    @property
    def outputs(self) -> list[Any]:
        """What `put` updates."""
        return [*(self.inputs if self.whole else self.choices), self.preset_about]

    def defaults(self, suite: Suite) -> Update:
        """The options of a suite, everything at its default."""
        return self.put(suite, Settings())

    def put(self, suite: Suite, settings: Settings) -> Update:
        """The options at these settings.

        Raises:
            UserError: the suite does not know them.
        """
        s = settings.resolve(suite)
        shown = {
            self.suite: suite.name,
            self.preset: s.preset,
            self.probe: gr.update(choices=_probes(suite), value=s.probe),
            self.layer: gr.update(choices=_layers(suite), value=s.layer),
            self.pool: _pooling(suite, s),
            self.head: gr.update(choices=_heads(suite), value=s.head),
            self.fallback: gr.update(value=s.fallback, **_fallback(suite, s.fast)),
            self.preset_about: PRESETS[s.preset].about,
        }
        if not self.whole:
            del shown[self.suite]
        if self.fast is not None:
            shown[self.fast] = gr.update(value=s.fast, **_fast(suite, s.fallback))
        return shown


def _fast(suite: Suite, fallback: str) -> dict[str, Any]:
    """What the fast mode does, and whether it can be chosen beside this fallback."""
    if fallback != "route":
        return {"info": NOT_FAST, "interactive": False}
    return {"info": f"{FAST_ABOUT} {fast_agreement(suite, read_bench())}", "interactive": True}


def fast_agreement(suite: Suite, bench: Sequence[Mapping[str, Any]]) -> str:
    """How often the fast mode answers as the exact one does, as it was measured; a sentence."""
    for found in bench:
        data = found.get("labelled", {})
        row = next((row for row in data.get("modes", ()) if row["mode"] == "fast"), None)
        if found["suite"] == suite.name and row is not None:
            share, samples = words.percent(row["agreement"]), f"{data['n']:,} {data['split']}"
            return (
                "With the probe experts at its best layer and the preset sharp, "
                f"{share} of {samples} samples got the same answer as without it; see About."
            )
    return "How often the answer is the same was not measured for this suite."


def _fallback(suite: Suite, fast: bool) -> dict[str, Any]:
    """What falling back does, and whether it can be chosen: the report has to know when."""
    if fast:
        return {"info": NO_FALLBACK, "interactive": False}
    found = read_abstention(suite)
    unknown = "The report of this suite does not say when none fits."
    return {"info": found.effect() if found else unknown, "interactive": found is not None}


def called(suite: Suite) -> str:
    """A suite in the menu; one from the hub with its size."""
    if not suite.published:
        return suite.title
    return f"{suite.title}, {gigabytes(suite.download_size)} from the hub"


def _probes(suite: Suite) -> list[tuple[str, str]]:
    return [(PROBES[name].title, name) for name in valid_probes(suite)]


def _layers(suite: Suite) -> list[tuple[str, int | str]]:
    return [
        ("final embedding" if layer == FINAL else f"block {layer}", layer)
        for layer in valid_layers(suite)
    ]


def _pools(suite: Suite, probe: str, layer: int | str) -> list[tuple[str, str]]:
    names = {**POOL_NAMES, FINAL: "none"}
    return [(names[pool], pool) for pool in valid_pools(suite, probe, layer)]


def _pooling(suite: Suite, chosen: Resolved) -> Any:
    """An update of the poolings; the final embedding has none to choose."""
    choices = _pools(suite, chosen.probe, chosen.layer)
    return gr.update(choices=choices, value=chosen.pool, interactive=chosen.layer != FINAL)


def _pool(suite: Suite) -> str:
    return FINAL if suite.defaults.layer == FINAL else suite.defaults.pool


def _heads(suite: Suite) -> list[tuple[str, str]]:
    return [("auto: the chosen expert's", AUTO), *((t.title, t.name) for t in suite.tasks)]


# --------------------------------------------------------------------------------------------------
# One slider a task, for coefficients that a visitor sets. Suites differ in their number of tasks:
# there are sliders for the largest, and those of the suite's tasks are visible.

LOW, HIGH, STEP, DIGITS = -0.5, 1.5, 0.01, 2


class Coefficient(gr.Slider):
    """A slider that leaves judging a number to us, so that what is typed gets one sentence."""

    is_template = True  # the browser shows it as the slider it is

    def preprocess(self, payload: Any) -> Any:
        return payload


class Coefficients:
    """The sliders, `inputs`. They give as many values as there are; `of` keeps a suite's."""

    def __init__(self, suites: Sequence[Suite], name: str) -> None:
        first = suites[0]
        values = static(first)
        self.inputs = [
            Coefficient(
                LOW,
                HIGH,
                values[t] if t < len(values) else 0.0,
                step=STEP,
                label=first.tasks[t].title if t < len(values) else f"Task {t + 1}",
                visible=t < len(values),
                elem_id=f"{name}-coefficient-{t}",
                elem_classes="se-coefficient",
            )
            for t in range(max(len(suite.tasks) for suite in suites))
        ]

    def put(self, suite: Suite, values: Sequence[float]) -> Update:
        """The sliders at a suite's coefficients."""
        shown = [
            gr.update(label=task.title, value=value, visible=True)
            for task, value in zip(suite.tasks, values, strict=True)
        ]
        hidden = [gr.update(visible=False)] * (len(self.inputs) - len(shown))
        return dict(zip(self.inputs, shown + hidden, strict=True))

    @staticmethod
    def of(suite: Suite, values: Sequence[Any]) -> list[Any]:
        """Of the values of all sliders those of the suite's tasks, as they are."""
        return list(values[: len(suite.tasks)])


def static(suite: Suite) -> list[float]:
    """The coefficients of the suite's static merge."""
    return on_grid([suite.defaults.static_lambda] * len(suite.tasks))


def alone(suite: Suite, task: str) -> list[float]:
    """One expert by itself."""
    return [float(name == task) for name in suite.task_names]


def on_grid(values: Sequence[float | None]) -> list[float]:
    """Rounded to the sliders' step and kept in their range; what is missing is 0."""
    return [round(min(max(value or 0.0, LOW), HIGH), DIGITS) for value in values]
