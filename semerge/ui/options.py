"""The Options fold: what a request may choose; and sliders of coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from semerge.checkpoints.made import lacking
from semerge.common import gigabytes
from semerge.evaluation.tables import read_bench
from semerge.methods import METHODS
from semerge.registry import Option
from semerge.settings import (
    FINAL,
    PRESETS,
    Described,
    Resolved,
    Settings,
    descriptions,
)
from semerge.suites import Suite
from semerge.suites.abstention import read_abstention
from semerge.ui import words
from semerge.ui.context import REGISTRIES, Field, settings_of
from semerge.ui.parts import fold
from semerge.ui.safe import AnyChoice, AnyNumber, SafeDropdown
from semerge.ui.tabs import Update

# --------------------------------------------------------------------------------------------------
# The Options fold: the suite, what `Settings` describes and a link can hold, and the options of the
# method and of the probe that are chosen. A field is named below only where it is more than its
# kind: where it stands, and what follows from others.

FAST_ABOUT = "Drops far experts early and lets a clear winner answer alone."
NO_FALLBACK = "The fast mode does not look whether an expert fits, so nothing can fall back."
NOT_FAST = "Not with the static fallback: the fast mode does not look whether an expert fits."
FIRST = ("preset", "probe", "layer", "pool", "head", "fallback", "fast")  # others come after them
OPEN = ("preset", "probe", "fallback")  # menus whose choices are all to be seen
PAIRS = ("layer", "pool")  # side by side, and what they say needs no further word
FOLLOWING = ("pool", "fallback", "fast")  # what `Options.follow` looks at, beside the entries
SINGLE = ("head", "fallback")  # of one answer: not for what reads a set under every head


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
        suite, self.whole, self.effects = suites[0], whole, Effects()
        known = {key: is_ for key, is_ in descriptions().items() if is_.link}
        self.fields: dict[str, Any] = {}  # by the field of Settings, in the order of `inputs`
        self.entries: dict[str, Entries] = {}  # those of the fields that have options
        usual = Settings().resolve(suite)
        with fold(label, elem_id=f"{name}-options"):
            self.suite = SafeDropdown(
                [(called(s), s.name) for s in suites],
                value=suite.name,
                label="Suite",
                info="A base model with its experts",
                visible=whole and len(suites) > 1,
            )
            for key in (*FIRST, *(key for key in known if key not in FIRST)):
                if key == PAIRS[0]:
                    with gr.Row():
                        for one in PAIRS:
                            self._add(one, known[one], suite, usual, min_width=120)
                elif key in REGISTRIES:
                    info = {} if key == "method" else {"info": _sentence(known[key].about)}
                    self.entries[key] = Entries(key, suite, name, **info)
                    self.fields[key] = self.entries[key].menu
                elif key not in PAIRS and (key != "fast" or fast):
                    visible = whole or key not in SINGLE
                    self._add(key, known[key], suite, usual, visible=visible)
            self.reset = gr.Button(
                "Back to the suite's defaults", size="sm", elem_classes="se-quiet"
            )
        self.keys: tuple[Field, ...] = (*self.fields, *self.further)  # what `choices` are

    def _add(self, key: str, is_: Described, suite: Suite, usual: Resolved, **options: Any) -> None:
        if key not in (*PAIRS, "fast", "fallback"):
            options["info"] = _sentence(is_.about)
        shown = {**options, **self._shown(key, suite, usual)}
        self.fields[key] = _component(key, is_, label=is_.label, **shown)
        if key == "preset":
            self.preset_about = gr.Markdown(PRESETS[usual.preset].about, elem_classes="se-hint")

    @property
    def further(self) -> dict[tuple[str, str], Any]:
        """The options of methods and probes, by field and option."""
        every = self.entries.items()
        return {(key, name): part for key, e in every for name, part in e.options.items()}

    @property
    def choices(self) -> list[Any]:
        """The inputs that change an answer of the same suite."""
        return [*self.fields.values(), *self.further.values()]

    @property
    def inputs(self) -> list[Any]:
        return [self.suite, *self.choices]

    @property
    def outputs(self) -> list[Any]:
        """What `put` updates."""
        return [*(self.inputs if self.whole else self.choices), self.preset_about]

    @property
    def followers(self) -> list[Any]:
        """What `follow` updates."""
        parts = [self.fields[key] for key in (*FOLLOWING, *REGISTRIES) if key in self.fields]
        return [*parts, *self.further.values(), self.preset_about]

    def read(self, suite: Suite, values: Sequence[Any]) -> Settings:
        """Values of `choices` -> Settings; see `settings_of`."""
        return settings_of(suite, self.keys, values)

    def follow(self, suite: Suite, settings: Settings) -> Update:
        """What of the fold follows from other parts of it: which probes and poolings fit, the
        preset's words, the options of the method and the probe, and which of the fast mode and the
        fallback can be chosen beside the other. No choice that fits is touched. Raises UserError
        where the suite does not know these settings."""
        chosen = settings.resolve(suite)
        update: Update = {self.preset_about: PRESETS[chosen.preset].about}
        for key in FOLLOWING:
            if key in self.fields:
                shown = self._shown(key, suite, chosen)
                if getattr(settings, key) is not None:
                    del shown["value"]
                update[self.fields[key]] = gr.update(**shown)
        for key, entries in self.entries.items():
            sent = str(getattr(settings, key)).partition(":")[0]
            update |= entries.follow(suite, getattr(chosen, key), chosen.method, sent)
        return update

    def defaults(self, suite: Suite) -> Update:
        """The options of a suite, everything at its default."""
        return self.put(suite, Settings())

    def put(self, suite: Suite, settings: Settings) -> Update:
        """The options at these settings. Raises UserError where the suite does not know them."""
        chosen = settings.resolve(suite)
        update: Update = {self.suite: suite.name} if self.whole else {}
        update[self.preset_about] = PRESETS[chosen.preset].about
        for key, part in self.fields.items():
            if key not in REGISTRIES:
                update[part] = gr.update(**self._shown(key, suite, chosen))
        for key, entries in self.entries.items():
            update |= entries.put(suite, getattr(chosen, key), chosen.method)
        return update

    def _shown(self, key: str, suite: Suite, chosen: Resolved) -> dict[str, Any]:
        """Value, choices and what else the component of a field shows for these settings."""
        is_ = descriptions()[key]
        shown: dict[str, Any] = {"value": getattr(chosen, key)}
        beside = Settings(probe=chosen.probe, layer=chosen.layer, method=chosen.method)
        if values := is_.values(suite, beside):
            shown["choices"] = [(_named(key, x, suite), x) for x in values]
        if key == "pool":  # the final embedding has none to choose
            shown["interactive"] = chosen.layer != FINAL
        elif key == "fast":
            leaves, about = chosen.fallback == "route", self.effects.of_fast(suite)
            shown |= {"info": about if leaves else NOT_FAST, "interactive": leaves}
        elif key == "fallback":  # the report has to know when none fits
            known, about = self.effects.of_fallback(suite)
            shown["info"] = NO_FALLBACK if chosen.fast else about
            shown["interactive"] = known and not chosen.fast
        return shown


class Effects:
    """What the fast mode and the fallback were measured to do, read once a suite."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str | None]] = {}

    def of_fast(self, suite: Suite) -> str:
        return f"{FAST_ABOUT} {self._of(suite)[0]}"

    def of_fallback(self, suite: Suite) -> tuple[bool, str]:
        """Whether the suite's report tells when no expert fits, and what falling back does."""
        effect = self._of(suite)[1]
        unknown = "The report of this suite does not say when none fits."
        return effect is not None, unknown if effect is None else effect

    def _of(self, suite: Suite) -> tuple[str, str | None]:
        if suite.name not in self._known:
            abstention = read_abstention(suite)
            effect = abstention.effect() if abstention else None
            self._known[suite.name] = fast_agreement(suite, read_bench()), effect
        return self._known[suite.name]


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


def called(suite: Suite) -> str:
    """A suite in the menu; one from the hub with its size."""
    if not suite.published:
        return suite.title
    return f"{suite.title}, {gigabytes(suite.download_size)} from the hub"


def _named(key: str, value: Any, suite: Suite) -> str:
    """A value of a field in its menu."""
    if key == "head" and value in suite.task_names:
        return suite.task(value).title
    return words.CHOICES.get(key, {}).get(value, f"block {value}" if key == "layer" else str(value))


def _sentence(text: str) -> str:
    """What a field is, for its menu: the command line's further words are left out."""
    text = text.partition(":")[0]
    return text[:1].upper() + text[1:]


def _component(key: str, is_: Described, **options: Any) -> Any:
    if is_.kind is bool:
        return gr.Checkbox(elem_classes="se-switch", **options)
    if "choices" not in options:
        return gr.Number(**options)
    return (AnyChoice if key in OPEN else SafeDropdown)(**options)


def _further(option: Option, **options: Any) -> Any:
    """The component of one option of a method or a probe."""
    name = option.name.replace("_", " ")
    options |= {"label": name[:1].upper() + name[1:], "info": _sentence(option.about) or None}
    if option.kind is bool:
        return gr.Checkbox(elem_classes="se-switch", **options)
    if option.choices:
        return AnyChoice(list(option.choices), **options)
    if option.within is None:
        return gr.Number(precision=0 if option.kind is int else None, **options)
    low, high = option.within
    step = 1 if option.kind is int else (high - low) / 100
    return AnyNumber(low, high, step=step, **options)


# --------------------------------------------------------------------------------------------------
# A method or a probe by itself, for tabs that show their other settings otherwise.


class Entries:
    """The menu of a field whose values have options, "method" or "probe", and a component for each
    of these options; those of the chosen entry are shown."""

    def __init__(self, key: str, suite: Suite, name: str, **options: Any) -> None:
        """options: of the menu's component."""
        self.key, self.registry, usual = key, REGISTRIES[key], Settings().resolve(suite)
        spec, is_ = getattr(usual, key), descriptions()[key]
        shown = options | self._menu(suite, spec, usual.method)
        self.menu = _component(key, is_, label=is_.label, elem_id=f"{name}-{key}", **shown)
        self.options = {
            option.name: _further(option, **self._option(option, spec))
            for option in self.registry.options.values()
        }

    @property
    def inputs(self) -> list[Any]:
        """What `read` reads, and `put` and `follow` update."""
        return [self.menu, *self.options.values()]

    def read(self, values: Sequence[Any]) -> str:
        """The spec of what is chosen. Raises UserError where there is no such entry, or an option
        can't have this value."""
        name, *rest = values
        sent = dict(zip(self.options, rest, strict=True))
        own = [option.name for option in self.registry[name].options]
        return self.registry.spec(name, {n: sent[n] for n in own if sent[n] is not None})

    def put(self, suite: Suite, spec: str, method: str) -> Update:
        """An entry with its options. method: the one beside which it is chosen."""
        options = self.registry.options
        return {
            self.menu: gr.update(**self._menu(suite, spec, method)),
            **{
                part: gr.update(**self._option(options[name], spec))
                for name, part in self.options.items()
            },
        }

    def follow(self, suite: Suite, spec: str, method: str, menu: Any) -> Update:
        """What follows from a choice: which entries and options are shown. No value is touched but
        of a menu that is at another entry."""
        update = self.put(suite, spec, method)
        for part in self.options.values():
            del update[part]["value"]
        if self.registry[spec].name == menu:
            del update[self.menu]["value"]
        return update

    def _menu(self, suite: Suite, spec: str, method: str) -> dict[str, Any]:
        names = descriptions()[self.key].values(suite, Settings(method=method))
        entry = self.registry[spec]
        if self.key != "method":
            choices = [(self.registry[name].title, name) for name in names]
            return {"choices": choices, "value": entry.name}
        why = lacking(suite, (*names, spec))
        choices = [(in_menu(name, why[name]), name) for name in names]
        told = f"{entry.title} {why[spec]}. " if why[spec] else ""
        return {"choices": choices, "value": entry.name, "info": told + entry.about}

    def _option(self, option: Option, spec: str) -> dict[str, Any]:
        chosen = self.registry.chosen(spec)
        return {"value": chosen.get(option.name, option.default), "visible": option.name in chosen}


def in_menu(method: str, why: str | None) -> str:
    """A method in its menu; one that can't be chosen at once says so. why: see `lacking`."""
    title = METHODS[method].title
    return title if why is None else f"{title} ({NOT_MADE})"


NOT_MADE = "not made here"

# --------------------------------------------------------------------------------------------------
# One slider a task, for coefficients that a visitor sets. Suites differ in their number of tasks:
# there are sliders for the largest, and those of the suite's tasks are visible.

LOW, HIGH, STEP, DIGITS = -0.5, 1.5, 0.01, 2
LEADS = "The expert that SE-Merging chooses"


class Coefficients:
    """The sliders, `inputs`. They give as many values as there are; `of` keeps a suite's. Where a
    task `leads`, its slider is the first; the others stay in the suite's order."""

    def __init__(self, suites: Sequence[Suite], name: str) -> None:
        first = suites[0]
        values = static(first)
        self.inputs = [
            AnyNumber(
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

    def put(self, suite: Suite, values: Sequence[float], leads: str = "") -> Update:
        """The sliders at a suite's coefficients, which are in the order of its tasks."""
        shown = [
            gr.update(
                label=suite.tasks[t].title,
                value=values[t],
                info=LEADS if suite.task_names[t] == leads else "",
                visible=True,
            )
            for t in _places(suite, leads)
        ]
        hidden = [gr.update(visible=False)] * (len(self.inputs) - len(shown))
        return dict(zip(self.inputs, shown + hidden, strict=True))

    @staticmethod
    def of(suite: Suite, values: Sequence[Any], leads: str = "") -> list[Any]:
        """Of the values of all sliders those of the suite's tasks, in their order, as they are."""
        at = dict(zip(_places(suite, leads), values, strict=False))
        return [at.get(t) for t in range(len(suite.tasks))]


def _places(suite: Suite, leads: str) -> list[int]:
    """The numbers of the tasks in the order of their sliders."""
    return sorted(range(len(suite.tasks)), key=lambda t: suite.task_names[t] != leads)


def static(suite: Suite, method: str = METHODS.names[0]) -> list[float]:
    """The coefficients of a method's static merge."""
    return on_grid([METHODS[method].scale_of(suite)] * len(suite.tasks))


def alone(suite: Suite, task: str) -> list[float]:
    """One expert by itself."""
    return [float(name == task) for name in suite.task_names]


def between(suite: Suite, first: str, second: str, share: float) -> list[float]:
    """The straight line from one expert by itself (share 0) to another (share 1)."""
    at = {first: 1.0 - share, second: share}
    return on_grid([at.get(name, 0.0) for name in suite.task_names])


def on_grid(values: Sequence[float | None]) -> list[float]:
    """Rounded to the sliders' step and kept in their range; what is missing is 0."""
    return [round(min(max(value or 0.0, LOW), HIGH), DIGITS) for value in values]
