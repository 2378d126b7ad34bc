"""What every tab is built from: the suites, their engines, the examples, the opening results.

No gradio here, so a test (or a script) can ask for a View as the app does.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from semerge.common import Progress, UserError, quoted
from semerge.inputs import CleanText, DecodedImage, clean_text, decode_image
from semerge.methods import METHODS
from semerge.probes import PROBES
from semerge.registry import Registry
from semerge.settings import (
    FINAL,
    POOLS,
    Resolved,
    Settings,
    descriptions,
    valid_pools,
    valid_probes,
)
from semerge.suites import Suite
from semerge.suites.examples import SECTIONS, Example, Examples
from semerge.ui.engines import Engines
from semerge.ui.maps import Map
from semerge.ui.runs import Runs
from semerge.ui.words import PAIR, View, excerpt


@dataclass
class Context:
    """Everything the page shows that is not in a browser."""

    suites: Mapping[str, Suite]
    examples: Examples
    engines: Engines = field(init=False)
    predict: Callable[[str, Any, Settings | Resolved], dict[str, Any]] = field(init=False)
    opening: dict[str, View] = field(default_factory=dict)  # by suite name
    seen: dict[str, Any] = field(default_factory=dict)  # by suite name: its image, as seen (PIL)
    runs: Runs = field(default_factory=Runs)  # the long tasks of all tabs
    maps: dict[str, Map | None] = field(default_factory=dict)  # by suite name, see `map`
    problems: tuple[str, ...] = ()  # what could not be read at the start, one sentence each

    @classmethod
    def make(
        cls,
        suites: Sequence[Suite],
        examples: Examples,
        load: Callable[[Suite], Any],
        fetch: Callable[[Suite, Progress], None] | None = None,
    ) -> Context:
        """A context whose engines come from `load(suite)`, after `fetch(suite, progress)` where
        the weights are on the hub; nothing is loaded yet."""
        context = cls({suite.name: suite for suite in suites}, examples)
        titles = {suite.name: suite.title for suite in suites}
        context.engines = Engines(
            titles,
            lambda name: load(context.suites[name]),
            context._open,
            None if fetch is None else lambda name, progress: fetch(context.suites[name], progress),
            [suite.name for suite in suites if suite.published],
        )
        # ZeroGPU wants its functions before the page is launched
        context.predict = on_gpu(context._predict)
        for modality, section in SECTIONS.items():
            suite, stored = context.default(modality), examples.stored.get(section)
            fits = suite and stored and stored["suite"] == suite.name
            if suite and stored and fits and tuple(stored["tasks"]) == suite.task_names:
                # shown until the engine is there, which then answers the same question again
                example = context.first[suite.name]
                context.opening[suite.name] = View(
                    stored, suite, example, opening=True, called=called({}, example)
                )
        return context

    @cached_property
    def first(self) -> dict[str, Example | None]:
        """By suite name, the example that opens it."""
        suites, opening = self.suites.values(), self.examples.opening
        return {suite.name: opening(suite.modality, suite.task_names) for suite in suites}

    @cached_property
    def cache(self) -> Any:
        """What the engines probed of the last inputs. Under ZeroGPU every call runs in a process
        of its own, so nothing is there again."""
        from semerge.engine import Cache  # imports torch: not before there is an engine

        return Cache()

    def of(self, modality: str) -> list[Suite]:
        return [suite for suite in self.suites.values() if suite.modality == modality]

    def default(self, modality: str) -> Suite | None:
        """The suite that a tab opens with."""
        found = self.of(modality)
        return found[0] if found else None

    def suite(self, name: str) -> Suite:
        if not isinstance(name, str) or name not in self.suites:
            raise UserError(f"The suite {quoted(name)} is unknown here.")
        return self.suites[name]

    def engine(self, name: str) -> Any:
        """The engine of a suite, waited for where it is not there yet. Raises UserError as
        `Engines.get` does."""
        return self.engines.loaded.get(name) or self.engines.get(name)

    def ask(self, name: str, source: Source, settings: Settings | Resolved) -> tuple[View, Any]:
        """A View of what a source names, and an image as the model sees it (PIL); None for text.
        Raises UserError where the suite, the source or the settings can't be used."""
        suite = self.suite(name)
        sample = sample_of(source, suite, self.examples)
        result = self.predict(name, sample, settings)
        example = example_of(source, suite, self.examples)
        opening = example is not None and example == self.first[name]
        names = {"called": called(source, example), "text": sentences(sample)}
        view = View(result, suite, example, opening=opening, **names)
        return view, self.engine(name).picture(sample)

    def map(self, name: str) -> Map | None:
        """The map of a suite, made once; None where it can't have one. Of the published suites only
        the report's: examples by the dozen take long there."""
        if name not in self.maps:
            suite, engine = self.suite(name), self.engine(name)
            every = self.examples.of(suite.modality) if not suite.published else ()
            own = [example for example in every if example.task in suite.task_names]
            samples = [sample_of({"example": e.index}, suite, self.examples) for e in own]
            self.maps[name] = Map.make(engine, own, samples)
        return self.maps[name]

    def _predict(self, suite: str, sample: Any, settings: Settings | Resolved) -> dict[str, Any]:
        found: dict[str, Any] = self.engine(suite).predict(sample, settings, self.cache).to_dict()
        return found

    def _open(self, name: str, engine: Any) -> None:
        """Compute the opening example of a suite, right after its engine is there."""
        suite, example = self.suites[name], self.first[name]
        if example is None:
            return
        sample = sample_of({"example": example.index}, suite, self.examples)
        result = engine.predict(sample, Settings(), self.cache).to_dict()
        self.seen[name] = engine.picture(sample)
        self.opening[name] = View(result, suite, example, opening=True, called=called({}, example))


# --------------------------------------------------------------------------------------------------
# What a visitor asked about, as a small dictionary that a page can remember.
#
# {"example": 3}, {"text": ..., "text_b": ...}, {"file": path of an upload} or {"png": bytes
# drawn}. No gradio here.

Source = dict[str, Any]
NO_IMAGE = "Choose or upload an image."
CALLED = 40  # characters of a sentence in the name of a file


def example_of(source: Source, suite: Suite, examples: Examples) -> Example | None:
    """The example that a source names; None for an input of the visitor's own. Raises UserError
    where there is no such example."""
    index = source.get("example")
    if index is None:
        return None
    found = examples.shown(suite.modality)
    if type(index) is not int or not 0 <= index < len(found):
        raise UserError("There is no such example.")
    return found[index]


def called(source: Source, example: Example | None) -> str:
    """What an input is called in the name of a file: an example's file or its first words, those of
    a sentence, or a visitor's own file."""
    if example is not None and example.file is not None:
        return example.file.stem
    if text := example.text if example is not None else source.get("text"):
        return excerpt(str(text), CALLED)
    return Path(source["file"]).stem if isinstance(source.get("file"), str) else "drawing"


def sample_of(source: Source, suite: Suite, examples: Examples) -> DecodedImage | CleanText:
    """The input that a source names, checked and decoded. Raises UserError where nothing is named,
    or what is named can't be used."""
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


def sentences(sample: DecodedImage | CleanText) -> str:
    """One or two, as one line; empty for an image."""
    if isinstance(sample, DecodedImage):
        return ""
    return PAIR.join(filter(None, (sample.text, sample.text_b)))


def reads_pairs(suite: Suite) -> bool:
    """Whether a task of the suite reads two sentences."""
    return any(task.pair for task in suite.tasks)


def first_source(suite: Suite, examples: Examples) -> Source:
    """The example that a tab opens with; empty where there is none."""
    example = examples.opening(suite.modality, suite.task_names)
    return {"example": example.index} if example else {}


# --------------------------------------------------------------------------------------------------
# A source and settings as values of a link. `semerge.ui.links` reads them.

REGISTRIES: dict[str, Registry[Any]] = {"method": METHODS, "probe": PROBES}
"""Fields of the settings whose values have options of their own."""
TEXT_LIMIT = 500
"""Characters of a visitor's own text that a link may hold."""
OWN_IMAGE = "Your own image is not in the link; everything else is."
LONG_TEXT = f"Text over {TEXT_LIMIT} characters is not in the link; everything else is."


def of_source(source: Source) -> tuple[dict[str, Any], str]:
    """A source as values of a link, and what of it the link can't hold."""
    if "example" in source:
        return {"example": source["example"]}, ""
    if "text" in source:
        texts = {key: source.get(key) or "" for key in ("text", "text_b")}
        fits = sum(map(len, texts.values())) <= TEXT_LIMIT
        return (texts, "") if fits else ({}, LONG_TEXT)
    return {}, OWN_IMAGE if source else ""


def of_settings(settings: Settings | Resolved, prefix: str = "") -> dict[str, Any]:
    """Settings as values of a link. They stay in it where they are a suite's defaults today, so
    that a link means the same when a suite gets others; what is at a default of every suite is left
    out. A method or probe has its options with it: `ties:density=0.5`."""
    found: dict[str, Any] = {}
    for name, is_ in descriptions().items():
        value = getattr(settings, name)
        if not is_.link or value == getattr(Settings, name):
            continue
        if name in REGISTRIES:
            value = REGISTRIES[name].spec(value, getattr(settings, f"{name}_options", ()))
            if value == getattr(Settings, name):
                continue
        found[prefix + name] = int(value) if is_.kind is bool else value
    return found


# --------------------------------------------------------------------------------------------------
# What a visitor chose, from the values of a form: `semerge.ui.options` makes the form.

Field = str | tuple[str, str]
"""A field of `Settings`, or an option of a method or a probe: ("method", "density")."""


class Chosen(NamedTuple):
    """Settings as an engine takes them, and as values of a link, which nobody may change."""

    settings: Resolved
    link: Mapping[str, Any]

    @classmethod
    def of(cls, suite: Suite, settings: Settings) -> Chosen:
        """Raises UserError where the settings do not fit the suite."""
        resolved = settings.resolve(suite)
        return cls(resolved, of_settings(resolved))

    @staticmethod
    def by(suite: Suite, fields: tuple[Field, ...], values: Sequence[Any]) -> Chosen:
        """What the fields of a form hold. An input mostly comes with the choices of the one before,
        so these are known. Raises UserError where they do not fit the suite."""
        try:
            return _chosen(suite, fields, *values)
        except TypeError:  # a list or an object, which no form of ours sends: refused as any other
            return _chosen.__wrapped__(suite, fields, *values)


@lru_cache(maxsize=256, typed=True)  # typed: 1 is a layer, True and 1.0 are none
def _chosen(suite: Suite, fields: tuple[Field, ...], *values: Any) -> Chosen:
    return Chosen.of(suite, settings_of(suite, fields, values))


def settings_of(suite: Suite, fields: Sequence[Field], values: Sequence[Any]) -> Settings:
    """What an older client does not send is at its default. A pooling or probe left over from
    another layer, probe or method is replaced by the default; anything else that does not fit is
    refused as the settings are resolved. Raises UserError where there is no such method or probe.
    """
    sent = {key: x for key, x in zip(fields, values, strict=False) if x is not None}
    given: dict[str, Any] = {key: x for key, x in sent.items() if isinstance(key, str)}
    method, probe = given.get("method", METHODS.names[0]), given.get("probe")
    if probe in valid_probes(suite) and probe not in valid_probes(suite, method):
        del given["probe"]
    if "pool" in given:
        fits = valid_pools(suite, probe or suite.defaults.probe, sent.get("layer", ""))
        if given["pool"] not in fits and given["pool"] in (*POOLS[suite.modality], FINAL):
            del given["pool"]
    for key, registry in REGISTRIES.items():
        if key in given:
            names = (option.name for option in registry[given[key]].options)
            given[f"{key}_options"] = {n: sent[key, n] for n in names if (key, n) in sent}
    return Settings(**given)


# --------------------------------------------------------------------------------------------------
# ZeroGPU on a Hugging Face Space: a function runs with a GPU where the package `spaces` is.

F = TypeVar("F", bound=Callable[..., object])
SECONDS = 60  # of a GPU that one call may take


def on_gpu(function: F, seconds: int = SECONDS) -> F:
    """`function` under `@spaces.GPU`; anywhere else the function itself."""
    if importlib.util.find_spec("spaces") is None:
        return function
    wrapped: F = importlib.import_module("spaces").GPU(duration=seconds)(function)
    return wrapped
