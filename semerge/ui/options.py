"""The Options fold: suite, preset, probe, layer, pooling and head, with the suite's defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from semerge.abstention import read_abstention
from semerge.phrases import gigabytes
from semerge.settings import AUTO, FINAL, PRESETS, PROBES, Settings, valid_layers, valid_pools
from semerge.suites import Suite
from semerge.ui.safe_choice import SafeDropdown

PROBE_NAMES = {"experts": "experts (the paper's)", "base": "base", "cache": "cache"}
FALLBACK_NAMES = [
    ("route all the same", "route"),
    ("fall back to the static coefficients", "static"),
]
POOL_NAMES = {"all": "all tokens", "cls": "class token", "mean": "mean", "last": "last token"}


class Options:
    """The fold's components. `inputs` go into a handler, `read` makes Settings of their values."""

    def __init__(
        self, suites: Sequence[Suite], name: str, whole: bool = True, label: str = "Options"
    ) -> None:
        """whole: False for a tab that chooses its suite elsewhere and reads under every head."""
        suite = suites[0]
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
                FALLBACK_NAMES,
                value="route",
                label="When no expert fits",
                visible=whole,
                **_effect(suite),
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
        ]

    @property
    def choices(self) -> list[Any]:
        """The inputs that change an answer of the same suite."""
        return self.inputs[1:]

    @staticmethod
    def read(suite: Suite, values: Sequence[Any]) -> Settings:
        """Values of `choices` -> Settings. A pooling left over from another layer or probe is
        replaced by the default; anything else that does not fit is refused by the engine."""
        preset, probe, layer, pool, head, fallback = values
        fits = pool in valid_pools(suite, probe or suite.defaults.probe, layer)
        return Settings(
            probe=probe,
            layer=layer,
            pool=pool if fits else None,
            preset=preset,
            head=head or AUTO,
            fallback=fallback or "route",
        )

    def follow(self, suite: Suite, result: Any) -> list[Any]:
        """Updates of `followers`: the poolings that fit the probe and layer, the preset's words."""
        probe, layer, pool = result["probe"], result["layer"], result["pool"]
        choices = _pools(suite, probe, layer)
        about = PRESETS[result["preset"]].about
        return [gr.update(choices=choices, value=pool, interactive=layer != FINAL), about]

    @property
    def followers(self) -> list[Any]:
        return [self.pool, self.preset_about]

    def defaults(self, suite: Suite) -> list[Any]:
        """Updates of `inputs` and `preset_about` for a suite, everything at its default."""
        return Options.put(suite, Settings())

    @staticmethod
    def put(suite: Suite, settings: Settings) -> list[Any]:
        """Updates of `inputs` and `preset_about` that show these settings.

        Raises:
            UserError: the suite does not know them.
        """
        s = settings.resolve(suite)
        pools = _pools(suite, s.probe, s.layer)
        return [
            suite.name,
            s.preset,
            gr.update(choices=_probes(suite), value=s.probe),
            gr.update(choices=_layers(suite), value=s.layer),
            gr.update(choices=pools, value=s.pool, interactive=s.layer != FINAL),
            gr.update(choices=_heads(suite), value=s.head),
            gr.update(value=s.fallback, **_effect(suite)),
            PRESETS[s.preset].about,
        ]


def _effect(suite: Suite) -> dict[str, Any]:
    """What falling back does, and whether the report knows when: without that, no choice."""
    found = read_abstention(suite)
    unknown = "The report of this suite does not say when none fits."
    return {"info": found.effect() if found else unknown, "interactive": found is not None}


def called(suite: Suite) -> str:
    """A suite in the menu; one from the hub with its size."""
    if not suite.published:
        return suite.title
    return f"{suite.title}, {gigabytes(suite.download_size)} from the hub"


def _probes(suite: Suite) -> list[tuple[str, str]]:
    return [
        (PROBE_NAMES[probe], probe)
        for probe in PROBES
        if probe != "cache" or suite.statistics is not None
    ]


def _layers(suite: Suite) -> list[tuple[str, int | str]]:
    return [
        ("final embedding" if layer == FINAL else f"block {layer}", layer)
        for layer in valid_layers(suite)
    ]


def _pools(suite: Suite, probe: str, layer: int | str) -> list[tuple[str, str]]:
    names = {**POOL_NAMES, FINAL: "none"}
    return [(names[pool], pool) for pool in valid_pools(suite, probe, layer)]


def _pool(suite: Suite) -> str:
    return FINAL if suite.defaults.layer == FINAL else suite.defaults.pool


def _heads(suite: Suite) -> list[tuple[str, str]]:
    return [("auto: the chosen expert's", AUTO), *((t.title, t.name) for t in suite.tasks)]
