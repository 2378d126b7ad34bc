"""The Layers tab: one input at every layer, and what a suite's report says of many."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from semerge.common import UserError
from semerge.methods import METHODS
from semerge.probes import PROBES
from semerge.registry import TASK_ARITHMETIC
from semerge.settings import FINAL, PRESETS, Settings, valid_layers, valid_pools, valid_probes
from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.ui import charts, maps, words
from semerge.ui.context import Context, Source, called, example_of, on_gpu, sample_of, sentences
from semerge.ui.links import Query
from semerge.ui.options import Entries
from semerge.ui.parts import (
    chart,
    heading,
    html,
    model_event,
    page_event,
    told_in_place,
    when_opened,
)
from semerge.ui.picker import InputPicker
from semerge.ui.safe import AnyChoice, AnyNumber
from semerge.ui.scene import depths, picture
from semerge.ui.tabs import Tab, Update
from semerge.ui.tabs.layers_outside import Readers, outside
from semerge.ui.tabs.layers_report import TOPICS, pages, part
from semerge.ui.tabs.layers_theory import THEORY, Theory
from semerge.ui.tabs.layers_theory import names as pair_names
from semerge.ui.words import View, given, macro

if TYPE_CHECKING:
    from semerge.engine import Engine

INPUT = "input"
PAIRED = ":"  # between a view that is open and its pair of tasks
# a chart that was drawn anew in a closed tab has a width of its own; told so, it takes the page's
FIT = "() => { setTimeout(() => window.dispatchEvent(new Event('resize')), 80); return []; }"
Known = dict[str, Any] | None  # of which suite, source, probe and method, and the distances
Reached = Mapping[str, Mapping[str, Sequence[float]]]
"""Distances of one input to the experts, by layer (as text) and pooling."""
chart_head = partial(macro, "chart_head")


class LayersTab(Tab):
    label, place, takes = "Layers", 40, True

    def __init__(self, context: Context) -> None:
        self.context = context
        self.look, self.lie = on_gpu(self._look), on_gpu(self._lie)
        self.readers = Readers()
        self.known = gr.State(None)
        self.open = gr.State(INPUT)
        with gr.Row(elem_classes="se-desk se-layers", equal_height=False):
            with gr.Column(scale=4, min_width=300, elem_classes="se-ask"):
                self.picker = InputPicker(context, self.name)
                self._lay_out_choices(self.picker.suites[0])
            with gr.Column(scale=10, min_width=320, elem_classes="se-tell"):
                with gr.Tabs(elem_id="layers-views", elem_classes="se-views") as self.tabs:
                    with gr.Tab("This input", id=INPUT):
                        self._lay_out_input()
                    self.topics = Topics(self.picker.suites[0])
                    self.theory = Theory(self.picker.suites[0])
                self.link = html(words.button(self.name, {}), elem_id="layers-link")
        self._wire()

    def _lay_out_choices(self, suite: Suite) -> None:
        usual = Where.default(suite)
        with gr.Column(elem_classes="se-input", elem_id="layers-choices"):
            heading("Where it is probed")
            self.layer = AnyNumber(
                1, suite.depth + 1, value=_number(suite, usual.layer), step=1,
                label=_label(suite), buttons=[], elem_id="layers-layer",
            )  # fmt: skip
            self.pool = AnyChoice(
                _pools(suite, usual.probe), value=usual.pool, label="Pooling", elem_id="layers-pool"
            )
            self.probe = Entries("probe", suite, self.name)
            self.preset = gr.Radio(
                list(PRESETS), value=usual.preset, label="Preset", elem_id="layers-preset"
            )
            self.method = Entries("method", suite, self.name)

    def _lay_out_input(self) -> None:
        self.given = html(elem_id="layers-given")
        self.told = html(macro("waiting", "Waiting for the models"), elem_id="layers-told")
        with gr.Column(visible=False, elem_classes="se-body") as self.body:
            with gr.Row(elem_classes="se-show", equal_height=False):
                self.scene = html(elem_id="layers-scene")
                self.map = html(elem_id="layers-input-map")
            with gr.Row(elem_classes="se-charts"):
                with gr.Column(elem_classes="se-chart se-at-similarity", min_width=280):
                    self.similar_head = html()
                    self.similar = html(elem_id="layers-similarity")
                with gr.Column(elem_classes="se-chart se-at-rescale", min_width=280):
                    self.weights_head = html()
                    self.weights = html(elem_id="layers-coefficients")
            self.changes = html(elem_id="layers-changes", elem_classes="se-changes")
            self.tables = html(elem_id="layers-tables")
            self.lies = gr.Button(
                "Show what lies outside each expert’s subspace",
                size="sm",
                elem_id="layers-lies",
            )
            self.outside = html(elem_id="layers-outside")

    # ---- wiring ------------------------------------------------------------------------------

    @property
    def _controls(self) -> list[Any]:
        return [self.layer, self.pool, self.preset, *self.probe.inputs, *self.method.inputs]

    @property
    def _shown(self) -> list[Any]:
        """What a move of the slider changes."""
        return [
            self.told, self.body, self.scene, self.similar_head, self.similar, self.weights_head,
            self.weights, self.changes, self.tables, self.link,
        ]  # fmt: skip

    @property
    def _probed(self) -> list[Any]:
        """What another input or probe changes."""
        return [*self._controls, self.known, self.given, self.map, self.outside, *self._shown]

    @property
    def outputs(self) -> list[Any]:
        probed = [*self.picker.outputs, *self._probed]
        return [*probed, self.open, self.tabs, *self.theory.outputs]

    def _wire(self) -> None:
        asked = [self.picker.suite, self.picker.source, self.known, self.open, *self._controls]
        # no probe, so no place in the models' queue: the bars follow the slider
        moved = page_event(trigger_mode="always_last")
        # what was moved while the input was probed counts as well
        after = self._moved, asked, self._shown
        self.picker.on(self._chosen, [self.known, self.open, *self._controls], self._probed)
        when_opened(self.known, self._opened, asked, self._probed)
        latest = model_event(trigger="always_last")
        again = [part.input for part in (*self.probe.inputs, *self.method.inputs)]
        gr.on(again, self._again, asked, self._probed, **latest).then(*after, **moved)
        gr.on([self.layer.input, self.pool.input, self.preset.input], *after, **moved)
        for tab in self.tabs.children:
            if tab is not self.theory.tab:
                select = partial(self._select, str(tab.id))
                tab.select(select, asked, [self.open, self.link], **page_event())
            tab.select(None, None, None, js=FIT, **page_event())
        of_pair, linked = [self.theory.pair, *asked], [self.open, self.link]
        self.theory.tab.select(self._select_pair, of_pair, linked, **page_event())
        turned = [*self.theory.of_pair, *linked]
        self.theory.pair.input(self._turned, of_pair, turned, **page_event())
        self.picker.suite.change(
            self._suited,
            [self.picker.suite, self.open],
            [*self.topics.outputs, *self.theory.outputs],
            **page_event(),
        )
        self.lies.click(
            self._outside,
            [self.picker.suite, self.picker.source, *self._controls],
            [self.outside],
            **model_event(),
        )

    # ---- handlers ----------------------------------------------------------------------------

    def _chosen(self, suite: Suite, source: Source, known: Known, *rest: Any) -> Update:
        """Another input; of another suite, from its defaults on."""
        if known is not None and known["suite"] == suite.name:
            if known["source"] == source:
                return {}  # a menu may tell a choice twice, with controls of before
            return self._again(suite.name, source, known, *rest)
        where = Where.default(suite)
        return {**self._put(suite, where), **self._show(suite, source, rest[0], where)}

    def _opened(self, name: str, source: Source, known: Known, *rest: Any) -> Update:
        return {} if known else self._again(name, source, known, *rest)

    @told_in_place
    def _again(self, name: str, source: Source, _: Known, opened: str, *controls: Any) -> Update:
        """The input has to be probed, as the controls say; those that fit are left alone."""
        suite = self.context.suite(name)
        where = self._where(suite, controls)
        at = dict(zip(self._controls, controls, strict=True))
        pool = {} if at[self.pool] == where.pool else {"value": where.pool}
        follow = {
            **self.probe.follow(suite, where.probe, where.method, at[self.probe.menu]),
            **self.method.follow(suite, where.method, where.method, at[self.method.menu]),
            self.pool: gr.update(choices=_pools(suite, where.probe), **pool),
        }
        return {**follow, **self._show(suite, source, opened, where)}

    @told_in_place
    def _moved(
        self, name: str, source: Source, known: Known, opened: str, *controls: Any
    ) -> Update:
        suite = self.context.suite(name)
        where = self._where(suite, controls)
        if known is None or not _asked(suite, source, where).items() <= known.items():
            return {}  # it is not probed yet, or was refused
        return self._draw(suite, source, known["reached"], opened, where)

    def _select(self, topic: str, name: str, source: Source, *rest: Any) -> Update:
        suite, (_, _, *controls) = self.context.suite(name), rest
        try:
            link = self._link(suite, source, topic, self._where(suite, controls))
        except UserError:
            link = ""
        return {self.open: topic, self.link: link}

    def _select_pair(self, pair: str | None, *asked: Any) -> Update:
        return self._select(_view(THEORY, pair or ""), *asked)

    def _turned(self, pair: str | None, name: str, *rest: Any) -> Update:
        """Another pair of tasks."""
        turned = self.theory.turn(self.context.suite(name), pair or "")
        return {**turned, **self._select_pair(pair, name, *rest)}

    def _suited(self, name: str, opened: str) -> Update:
        """The views of another suite. A pair of its own that is open, as by a link, stays."""
        suite = self.context.suite(name)
        return {**self.topics.show(suite), **self.theory.show(suite, opened.partition(PAIRED)[2])}

    def _outside(self, name: str, source: Source, *controls: Any) -> Update:
        """What of the input that is shown lies outside each expert's subspace."""
        suite = self.context.suite(name)
        try:
            return {self.outside: self.lie(name, source, self._where(suite, controls).method)}
        except UserError as error:
            return {self.outside: macro("failure", str(error))}

    def _show(self, suite: Suite, source: Source, opened: str, where: Where) -> Update:
        """An input that has to be probed."""
        try:
            where.settings.resolve(suite)
            sample = sample_of(source, suite, self.context.examples)
            reached, drawn = self.look(suite.name, source, where.probe, where.method)
            shown = self._draw(suite, source, reached, opened, where)
        except UserError as error:
            emptied = dict.fromkeys((self.given, self.map, self.outside), "")
            return {self.known: None, **emptied, **self._failed(error)}
        seen = self.context.engines.get(suite.name).picture(sample)
        return {
            self.known: {**_asked(suite, source, where), "reached": reached},
            self.given: given(sample, seen),
            self.map: drawn,
            self.outside: "",
            **shown,
        }

    def _draw(
        self, suite: Suite, source: Source, reached: Reached, opened: str, where: Where
    ) -> Update:
        """What distances that are known say."""
        engine = self.context.engines.get(suite.name)
        examples = self.context.examples
        example = example_of(source, suite, examples)
        text = "" if suite.modality == "image" else sentences(sample_of(source, suite, examples))
        views = routed(engine, reached, where, example, called=called(source, example), text=text)
        view, layer = views[where.layer], words.layer(where.layer)
        similar, weights = words.similarity_summary(view), words.coefficient_summary(view)
        heads = {
            self.similar_head: (f"Similarity at {layer}", similar, self.name, "similarity"),
            self.weights_head: (f"Coefficients from {layer}", weights, self.name, "coefficients"),
        }
        return {
            self.told: part("sentence", view),
            self.body: gr.update(visible=True),
            self.scene: picture(view),
            **{c: chart_head(*head, of=words.origin(view)) for c, head in heads.items()},
            self.similar: charts.rows(charts.similarity(view)),
            self.weights: charts.rows(charts.coefficients(view)),
            self.changes: changes(views),
            self.tables: tables(views, where.layer),
            self.link: self._link(suite, source, opened, where),
        }

    def _failed(self, error: UserError) -> Update:
        """One sentence, and nothing to link to."""
        told = macro("failure", str(error))
        return {self.told: told, self.body: gr.update(visible=False), self.link: ""}

    def _look(
        self, name: str, source: Source, probe: str, method: str
    ) -> tuple[dict[str, dict[str, list[float]]], str]:
        """Distances everywhere, and the map with the input on it, which goes by neither probe nor
        method; empty where the suite can't have one."""
        suite, examples = self.context.suite(name), self.context.examples
        sample, example = sample_of(source, suite, examples), example_of(source, suite, examples)
        reached, found = self.probe_all(name, sample, probe, method), self.context.map(name)
        if found is None:
            return reached, ""
        batch = maps.batch_of(self.context.engines.get(name), sample)
        spot = found.spot(batch, None if example is None else example.index)
        every = examples.of(suite.modality)
        name = called(source, example)
        return reached, maps.of_input("layers-input-map", found, spot, suite, every, name)

    def _lie(self, name: str, source: Source, method: str) -> Markup:
        """Shares of an input outside the experts' subspaces, as a table."""
        suite, examples = self.context.suite(name), self.context.examples
        engine, example = self.context.engines.get(name), example_of(source, suite, examples)
        batch = maps.batch_of(engine, sample_of(source, suite, examples))
        return outside(engine, self.readers.of(engine), batch, method, example)

    def probe_all(
        self, name: str, sample: Any, probe: str, method: str = TASK_ARITHMETIC
    ) -> dict[str, dict[str, list[float]]]:
        engine = self.context.engines.get(name)
        suite, layers = engine.suite, valid_layers(engine.suite)
        settings = Settings(probe=probe, layer=FINAL, method=method)
        resolved = settings.resolve(suite)
        probed = engine.probe(sample, settings, layers, self.context.cache)
        return {
            str(layer): {
                pool: probed.distances[resolved.key(resolved.probe, layer, pool)][0].tolist()
                for pool in valid_pools(suite, probe, layer)
            }
            for layer in layers
        }

    def _where(self, suite: Suite, controls: Sequence[Any]) -> Where:
        """What the controls say. What is left of another suite, probe or method is replaced. Raises
        UserError where an option of the probe or the method can't be this."""
        (number, pool, preset), rest = controls[:3], controls[3:]
        count = len(self.probe.inputs)
        method = self.method.read(rest[count:])
        probe = self.probe.read(rest[:count])
        if PROBES[probe].name not in valid_probes(suite, method):
            probe = Settings(method=method).resolve(suite).probe
        known = isinstance(number, int | float) and number >= 1
        layer = Where.default(suite).layer if not known else FINAL
        if known and number <= suite.depth:
            layer = int(number)
        return Where(probe, layer, block_pool(suite, probe, pool), preset, method)

    # ---- links -------------------------------------------------------------------------------

    def _put(self, suite: Suite, where: Where) -> Update:
        """The controls at a place of a suite."""
        number = _number(suite, where.layer)
        return {
            self.layer: gr.update(maximum=suite.depth + 1, value=number, label=_label(suite)),
            self.pool: gr.update(choices=_pools(suite, where.probe), value=where.pool),
            self.preset: where.preset,
            **self.probe.put(suite, where.probe, where.method),
            **self.method.put(suite, where.method, where.method),
        }

    def _link(self, suite: Suite, source: Source, opened: str, where: Where) -> str:
        values, note = self.picker.link(suite, source)
        view, _, pair = opened.partition(PAIRED)
        # of a suite that was left there may be another's pair
        known = {"pair": pair} if pair in pair_names(suite) else {}
        shown = {"show": view, **known} if view != INPUT else {}
        place = {k: v for k, v in vars(where).items() if v != TASK_ARITHMETIC}
        return words.button(self.name, {**values, **place, **shown}, note)

    def restore(self, query: Query) -> Update:
        suite, source = self.picker.read(query)
        usual = Where.default(suite)
        method = query.spec("method", METHODS, METHODS.names, usual.method)
        default = Settings(method=method).resolve(suite).probe
        probe = query.spec("probe", PROBES, valid_probes(suite, method), default)
        pool = block_pool(suite, probe, usual.pool)
        where = Where(
            probe=probe,
            layer=query.one_of("layer", valid_layers(suite), usual.layer),
            pool=query.one_of("pool", valid_pools(suite, probe, 1), pool),
            preset=query.one_of("preset", tuple(PRESETS), usual.preset),
            method=method,
        )
        opened = query.one_of("show", (INPUT, *TOPICS, THEORY), INPUT)
        if opened == THEORY:
            opened = _view(THEORY, query.one_of("pair", pair_names(suite), ""))
        return self._fill(suite, source, opened, where)

    def take(self, suite: Suite, source: Source) -> Update:
        return self._fill(suite, source, INPUT, Where.default(suite))

    def _fill(self, suite: Suite, source: Source, opened: str, where: Where) -> Update:
        return {
            **self.picker.put(suite, source),
            **self._put(suite, where),
            **self._show(suite, source, opened, where),
            self.open: opened,
            self.tabs: gr.Tabs(selected=opened.partition(PAIRED)[0]),
            **self.theory.show(suite, opened.partition(PAIRED)[2]),
        }


def _view(topic: str, pair: str) -> str:
    """What is open: a view, and in one of pairs of tasks which of them."""
    return f"{topic}{PAIRED}{pair}" if pair else topic


def _asked(suite: Suite, source: Source, where: Where) -> dict[str, Any]:
    """What distances depend on."""
    asked = {"suite": suite.name, "source": source}
    return asked | {"probe": where.probe, "method": where.method}


def _number(suite: Suite, layer: int | str) -> int:
    """A layer's place on the slider: the final embedding comes after the last block."""
    return suite.depth + 1 if layer == FINAL else int(layer)


def _label(suite: Suite) -> str:
    return f"Layer: blocks 1 to {suite.depth}, {suite.depth + 1} is the final embedding"


def _pools(suite: Suite, probe: str) -> list[tuple[str, str]]:
    return [(words.CHOICES["pool"][pool], pool) for pool in valid_pools(suite, probe, 1)]


# --------------------------------------------------------------------------------------------------
# One input at every layer. It is probed once, at all layers and poolings; whatever is looked at
# then, the engine routes from those distances.


@dataclass(frozen=True)
class Where:
    """What the tab shows. pool is the blocks'; the final embedding has none, and keeps it. The
    probe and the method are specs."""

    probe: str
    layer: int | str
    pool: str
    preset: str
    method: str = TASK_ARITHMETIC

    @classmethod
    def default(cls, suite: Suite) -> Where:
        d = suite.defaults
        return cls(d.probe, d.layer, block_pool(suite, d.probe, d.pool), d.preset)

    @property
    def settings(self) -> Settings:
        pool = FINAL if self.layer == FINAL else self.pool
        return Settings(self.probe, self.layer, pool, self.preset, method=self.method)


def block_pool(suite: Suite, probe: str, pool: str) -> str:
    """A pooling that this probe has at the blocks: the given one, else the last."""
    pools = valid_pools(suite, probe, 1)
    return pool if pool in pools else pools[-1]


def routed(
    engine: Engine,
    reached: Reached,
    where: Where,
    example: Example | None = None,
    called: str = "",
    text: str = "",
) -> dict[int | str, View]:
    """By layer, what the distances there are routed to: the part of a Result that they decide.
    example, called, text: what was asked about, see `View`. Raises UserError where the
    suite does not know such a place."""
    import torch

    suite, resolved = engine.suite, where.settings.resolve(engine.suite)
    views = {}
    for layer in valid_layers(suite):
        here = replace(resolved, layer=layer, pool=FINAL if layer == FINAL else where.pool)
        distances = reached[str(layer)][here.pool]
        routing = engine.route(torch.tensor([distances], dtype=torch.float64), here)
        chosen = suite.task_names[int(routing.chosen[0])]
        result = {
            "suite": suite.name,
            "tasks": list(suite.task_names),
            "layer": here.layer,
            "pool": here.pool,
            "probe": PROBES[here.probe].name,
            "probe_options": PROBES.chosen(here.probe),
            "method": METHODS[here.method].name,
            "method_options": METHODS.chosen(here.method),
            "preset": here.preset,
            "distances": [d if math.isfinite(d) else None for d in distances],
            "similarities": routing.similarities[0].tolist(),
            "coefficients": routing.coefficients[0].tolist(),
            "static_coefficients": [here.static_lambda] * len(suite.tasks),
            "chosen": chosen,
            "head": chosen,
            "margin": float(routing.margin[0]),
        }
        views[layer] = View(result, suite, example, called=called, text=text)
    return views


def changes(views: Mapping[int | str, View]) -> Markup:
    """At which layers the chosen expert changes, in one sentence."""
    titles = groupby(views.items(), key=lambda item: item[1].titles[item[1].chosen])
    return part("changes", [(title, [layer for layer, _ in run]) for title, run in titles])


def tables(views: Mapping[int | str, View], current: int | str) -> Markup:
    """Two heat maps, layer by expert: raw distances, and similarities as the preset makes them."""
    heat = {layer: depths(view.column("similarities")) for layer, view in views.items()}
    return part("tables", views, current, heat)


# --------------------------------------------------------------------------------------------------
# The views of a suite's report.


class Topics:
    """Their components, built inside a `gr.Tabs`: `parts`, by view or chart and what of it."""

    def __init__(self, suite: Suite) -> None:
        self.parts: dict[tuple[str, str], Any] = {}
        shown = contents(suite)
        for name, topic in TOPICS.items():
            column = {"elem_classes": "se-set", "elem_id": f"layers-{name}"}
            with gr.Tab(topic.label, id=name), gr.Column(**column):
                self.parts[name, "top"] = html(shown[name, "top"])
                if topic.charts:
                    self._lay_out(name, shown)

    def _lay_out(self, name: str, shown: Contents) -> None:
        body = gr.Column(visible=shown[name, "body"]["visible"], elem_classes="se-set")
        self.parts[name, "body"] = body
        with body:
            for row in TOPICS[name].charts:
                with gr.Row(elem_classes="se-charts"):
                    for each in row:
                        seen = shown[each, "place"]["visible"]
                        style = {"elem_classes": "se-chart", "min_width": 280}
                        with gr.Column(visible=seen, **style) as self.parts[each, "place"]:
                            self.parts[each, "head"] = html(shown.get((each, "head"), ""))
                            drawn = shown.get((each, "chart"))
                            self.parts[each, "chart"] = chart(drawn, f"layers-{each}")
            self.parts[name, "below"] = html(shown[name, "below"])

    @property
    def outputs(self) -> list[Any]:
        return list(self.parts.values())

    def show(self, suite: Suite) -> Update:
        """The views of another suite."""
        shown = contents(suite)
        return {part: shown[key] for key, part in self.parts.items() if key in shown}


Contents = Mapping[tuple[str, str], Any]


def contents(suite: Suite) -> Contents:
    """What the parts show; where there is no diagnosis, nothing of the charts."""
    shown: dict[tuple[str, str], Any] = {}
    for name, page in pages(suite).items():
        shown[name, "top"], shown[name, "below"] = page.top, page.below
        shown[name, "body"] = gr.update(visible=bool(page.charts))
        for each in chain(*TOPICS[name].charts):
            shown[each, "place"] = gr.update(visible=each in page.charts)
        for each, found in page.charts.items():
            shown[each, "head"] = chart_head(found.title, found.summary, LayersTab.name, each)
            shown[each, "chart"] = charts.plot(found.figure)
    return shown
