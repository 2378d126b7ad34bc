"""The Layers tab: one input at every layer, and what a suite's report says of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from semerge.common import UserError
from semerge.inputs import DecodedImage
from semerge.settings import FINAL, PRESETS, Settings, valid_layers, valid_pools, valid_probes
from semerge.suites import Suite
from semerge.suites.abstention import read_diagnosis
from semerge.ui import charts, links, markup, words
from semerge.ui.context import Context, Source, example_of, on_gpu, sample_of
from semerge.ui.events import model_event, page_event, when_opened
from semerge.ui.links import Query
from semerge.ui.markup import esc, given
from semerge.ui.options import POOL_NAMES, PROBE_NAMES
from semerge.ui.panel import html, plot
from semerge.ui.picker import InputPicker
from semerge.ui.safe import AnyChoice, AnyNumber
from semerge.ui.tabs import Tab, layers_html, listed
from semerge.ui.tabs.layers_html import Page, Where, block_pool, named, routed

INPUT = "input"
# a chart that was drawn anew in a closed tab has a width of its own; told so, it takes the page's
FIT = "() => { setTimeout(() => window.dispatchEvent(new Event('resize')), 80); return []; }"
WAITING = markup.waiting("Waiting for the models")
Known = dict[str, Any] | None  # of which suite and source, and the distances that it has


class LayersTab(Tab):
    label, place, takes = "Layers", 40, True

    def __init__(self, context: Context) -> None:
        self.context = context
        self.probe_all = on_gpu(self._probe_all)
        self.known = gr.State(None)
        self.open = gr.State(INPUT)
        with gr.Row(elem_classes="se-desk se-layers", equal_height=False):
            with gr.Column(scale=4, min_width=300, elem_classes="se-ask"):
                self.picker = InputPicker(context, self.name)
                self._choices(self.picker.suites[0])
            with gr.Column(scale=10, min_width=320, elem_classes="se-tell"):
                with gr.Tabs(elem_id="layers-views", elem_classes="se-views") as self.tabs:
                    with gr.Tab("This input", id=INPUT):
                        self._layout()
                    self.views = SetViews(self.picker.suites[0])
                self.link = html(links.button(self.name, {}), elem_id="layers-link")
        self._wire()

    def _choices(self, suite: Suite) -> None:
        usual = Where.default(suite)
        with gr.Column(elem_classes="se-input", elem_id="layers-choices"):
            html('<h2 class="se-title">Where it is probed</h2>')
            self.layer = AnyNumber(
                1, suite.depth + 1, value=_number(suite, usual.layer), step=1,
                label=_label(suite), buttons=[], elem_id="layers-layer",
            )  # fmt: skip
            self.pool = AnyChoice(
                _pools(suite, usual.probe), value=usual.pool, label="Pooling", elem_id="layers-pool"
            )
            self.probe = AnyChoice(
                _probes(suite), value=usual.probe, label="Probe", elem_id="layers-probe"
            )
            self.preset = gr.Radio(
                list(PRESETS), value=usual.preset, label="Preset", elem_id="layers-preset"
            )

    def _layout(self) -> None:
        self.given = html(elem_id="layers-given")
        self.told = html(WAITING, elem_id="layers-told")
        with gr.Column(visible=False, elem_classes="se-body") as self.body:
            with gr.Row(elem_classes="se-charts"):
                with gr.Column(elem_classes="se-chart", min_width=280):
                    self.similar_head = html()
                    self.similar = _chart("layers-similarity")
                with gr.Column(elem_classes="se-chart", min_width=280):
                    self.weights_head = html()
                    self.weights = _chart("layers-coefficients")
            self.changes = html(elem_id="layers-changes", elem_classes="se-changes")
            self.tables = html(elem_id="layers-tables")

    # ---- wiring ------------------------------------------------------------------------------

    @property
    def _controls(self) -> list[Any]:
        return [self.layer, self.pool, self.probe, self.preset]

    @property
    def _asked(self) -> list[Any]:
        return [self.picker.suite, self.picker.source, self.known, self.open, *self._controls]

    @property
    def _shown(self) -> list[Any]:
        """What a move of the slider changes."""
        return [
            self.told, self.body, self.similar_head, self.similar, self.weights_head, self.weights,
            self.changes, self.tables, self.link,
        ]  # fmt: skip

    @property
    def _outputs(self) -> list[Any]:
        return [*self._controls, self.known, self.given, *self._shown]

    def _wire(self) -> None:
        latest = model_event(trigger="always_last")
        self.picker.on(self._chosen, [self.known, self.open, *self._controls], self._outputs)
        when_opened(self.known, self._opened, self._asked, self._outputs)
        self.probe.input(self._again, self._asked, self._outputs, **latest)
        # no probe, so no place in the models' queue: the bars follow the slider
        moved = page_event(trigger_mode="always_last")
        for part in (self.layer, self.pool, self.preset):
            part.input(self._moved, self._asked, self._shown, **moved)
        for tab in self.tabs.children:

            def select(*values: Any, name: str = str(tab.id)) -> list[Any]:
                suite = self.context.suite(values[0])
                where = _where(suite, values[4:])
                return [name, self._link(suite, values[1], name, where)]

            tab.select(select, self._asked, [self.open, self.link], **page_event())
            tab.select(None, None, None, js=FIT, **page_event())
        self.picker.suite.change(
            lambda name: self.views.values(self.context.suite(name)),
            self.picker.suite,
            self.views.outputs,
            **page_event(),
        )

    # ---- handlers ----------------------------------------------------------------------------

    def _chosen(
        self, suite: Suite, source: Source, known: Known, opened: str, *controls: Any
    ) -> list[Any]:
        """Another input; of another suite, from its defaults on."""
        if known is not None and (known["suite"], known["source"]) == (suite.name, source):
            return _kept(self._outputs)  # a menu may tell a choice twice, with controls of before
        same = known is not None and known["suite"] == suite.name
        where = _where(suite, controls) if same else Where.default(suite)
        return self._show(suite, source, opened, where)

    def _opened(self, name: str, source: Source, known: Known, *rest: Any) -> list[Any]:
        return _kept(self._outputs) if known else self._again(name, source, known, *rest)

    def _again(
        self, name: str, source: Source, known: Known, opened: str, *controls: Any
    ) -> list[Any]:
        suite = self.context.suite(name)
        return self._show(suite, source, opened, _where(suite, controls))

    def _moved(
        self, name: str, source: Source, known: Known, opened: str, *controls: Any
    ) -> list[Any]:
        suite = self.context.suite(name)
        if known is None or (known["suite"], known["source"]) != (name, source):
            return _kept(self._shown)  # nothing is probed yet, or it was refused
        try:
            return self._values(suite, source, known, opened, _where(suite, controls))
        except UserError as error:
            return self._failed(error)

    def _show(self, suite: Suite, source: Source, opened: str, where: Where) -> list[Any]:
        """Values of `_outputs`: the input is probed."""
        controls = self._put(suite, where)
        try:
            where.settings.resolve(suite)
            sample = sample_of(source, suite, self.context.examples)
            reached = self.probe_all(suite.name, sample, where.probe)
            picture = self._seen(suite, sample)
            known = {"suite": suite.name, "source": source, "reached": reached}
            shown = self._values(suite, source, known, opened, where)
        except UserError as error:
            return [*controls, None, "", *self._failed(error)]
        return [*controls, known, given(sample, picture), *shown]

    def _values(
        self, suite: Suite, source: Source, known: Any, opened: str, where: Where
    ) -> list[Any]:
        """Values of `_shown`, from distances that are known."""
        reached = known["reached"]
        view = routed(suite, reached, where, example_of(source, suite, self.context.examples))
        place, head = words.layer(where.layer), markup.chart_head
        similar, weights = words.similarity_summary(view), words.coefficient_summary(view)
        return [
            layers_html.sentence(view),
            gr.update(visible=True),
            head(f"Similarity at {place}", similar, self.name, "similarity"),
            plot(charts.similarity(view)),
            head(f"Coefficients from {place}", weights, self.name, "coefficients"),
            plot(charts.coefficients(view)),
            layers_html.changes(suite, reached, where.pool),
            layers_html.tables(view, reached, where),
            self._link(suite, source, opened, where),
        ]

    def _failed(self, error: UserError) -> list[Any]:
        """Values of `_shown`: one sentence. There is nothing to link to."""
        told = markup.failure(str(error))
        return [told, gr.update(visible=False), *_kept(self._shown[2:-1]), ""]

    def _seen(self, suite: Suite, sample: Any) -> Any:
        """An image as the model sees it; None for text."""
        if not isinstance(sample, DecodedImage):
            return None
        return self.context.engines.get(suite.name).backbone.view(sample.image)

    def _probe_all(self, name: str, sample: Any, probe: str) -> dict[str, dict[str, list[float]]]:
        engine = self.context.engines.get(name)
        layers = valid_layers(engine.suite)
        where = Settings(probe=probe, layer=FINAL)
        probed = self.context.probes.probed(engine, sample, where, layers)
        found: dict[str, dict[str, list[float]]] = {str(layer): {} for layer in layers}
        for (of, layer, pool), distances in probed.distances.items():
            if of == probe:
                found[str(layer)][pool] = distances[0].tolist()
        return found

    # ---- links -------------------------------------------------------------------------------

    def _put(self, suite: Suite, where: Where) -> list[Any]:
        """Values of `_controls`."""
        number = _number(suite, where.layer)
        return [
            gr.update(maximum=suite.depth + 1, value=number, label=_label(suite)),
            gr.update(choices=_pools(suite, where.probe), value=where.pool),
            gr.update(choices=_probes(suite), value=where.probe),
            where.preset,
        ]

    def _link(self, suite: Suite, source: Source, opened: str, where: Where) -> str:
        values, note = self.picker.link(suite, source)
        shown = {"show": opened} if opened != INPUT else {}
        return links.button(self.name, {**values, **vars(where), **shown}, note)

    @property
    def restored(self) -> list[Any]:
        return [*self.picker.outputs, *self._outputs, self.open, self.tabs]

    def restore(self, query: Query) -> list[Any]:
        suite, source = self.picker.read(query)
        usual = Where.default(suite)
        probe = query.one_of("probe", valid_probes(suite), usual.probe)
        pool = block_pool(suite, probe, usual.pool)
        where = Where(
            probe=probe,
            layer=query.one_of("layer", valid_layers(suite), usual.layer),
            pool=query.one_of("pool", valid_pools(suite, probe, 1), pool),
            preset=query.one_of("preset", tuple(PRESETS), usual.preset),
        )
        opened = query.one_of("show", [str(tab.id) for tab in self.tabs.children], INPUT)
        return self._filled(suite, source, opened, where)

    def take(self, suite: Suite, source: Source) -> list[Any]:
        """Values of `restored` for an input that another tab hands over."""
        return self._filled(suite, source, INPUT, Where.default(suite))

    def _filled(self, suite: Suite, source: Source, opened: str, where: Where) -> list[Any]:
        shown = self._show(suite, source, opened, where)
        return [
            *listed(self.picker.outputs, self.picker.put(suite, source)),
            *shown,
            opened,
            gr.Tabs(selected=opened),
        ]


def _where(suite: Suite, controls: Sequence[Any]) -> Where:
    number, pool, probe, preset = controls
    known = isinstance(number, int | float) and number >= 1
    layer = Where.default(suite).layer if not known else FINAL
    if known and number <= suite.depth:
        layer = int(number)
    return Where(probe, layer, block_pool(suite, probe, pool), preset)


def _number(suite: Suite, layer: int | str) -> int:
    """A layer's place on the slider: the final embedding comes after the last block."""
    return suite.depth + 1 if layer == FINAL else int(layer)


def _label(suite: Suite) -> str:
    return f"Layer: blocks 1 to {suite.depth}, {suite.depth + 1} is the final embedding"


def _probes(suite: Suite) -> list[tuple[str, str]]:
    return [(PROBE_NAMES[probe], probe) for probe in valid_probes(suite)]


def _pools(suite: Suite, probe: str) -> list[tuple[str, str]]:
    return [(POOL_NAMES[pool], pool) for pool in valid_pools(suite, probe, 1)]


def _chart(name: str) -> gr.Plot:
    return gr.Plot(show_label=False, container=False, elem_id=name, elem_classes="se-plot")


def _kept(components: Sequence[Any]) -> list[Any]:
    return [gr.skip() for _ in components]


# --------------------------------------------------------------------------------------------------
# What a suite's report.json says of many inputs: four views of the Layers tab.
#
# All of it was computed by `evaluate --diagnose`; here it is only shown.


@dataclass(frozen=True)
class Kind:
    """A view: its label, its charts in rows, and what fills it."""

    label: str
    page: Callable[[Mapping[str, Any], Suite], Page]
    charts: tuple[tuple[str, ...], ...] = ()


KINDS = {
    "hypothesis": Kind("Hypothesis", layers_html.hypothesis_page, (("margins", "bias"), ("map",))),
    "holds": Kind("When it holds", layers_html.holds_page, (("moves", "curve"),)),
    "choice": Kind("Automatic choice", layers_html.choice_page),
    "fits": Kind("No expert fits", layers_html.misfits_page),
}


class SetViews:
    """Built inside a `gr.Tabs`. `values(suite)` are the values of `outputs`."""

    def __init__(self, suite: Suite) -> None:
        pages = _pages(suite)
        self.outputs: list[Any] = []
        for name, kind in KINDS.items():
            with gr.Tab(kind.label, id=name):
                self._lay_out(name, kind, pages[name])

    def _lay_out(self, name: str, kind: Kind, page: Page | str) -> None:
        filled = page if isinstance(page, Page) else Page(page)
        with gr.Column(elem_classes="se-set", elem_id=f"layers-{name}"):
            self.outputs.append(html(filled.top))
            shown = isinstance(page, Page)
            with gr.Column(visible=shown, elem_classes="se-set") as body:
                self.outputs.append(body)
                for row in kind.charts:
                    with gr.Row(elem_classes="se-charts"):
                        for chart in row:
                            head, figure = filled.charts.get(chart, ("", None))
                            with gr.Column(elem_classes="se-chart", min_width=280):
                                self.outputs.append(html(head))
                                self.outputs.append(
                                    gr.Plot(
                                        plot(figure) if figure else None,  # type: ignore[arg-type]
                                        show_label=False,
                                        container=False,
                                        elem_id=f"layers-{chart}",
                                        elem_classes="se-plot",
                                    )
                                )
                self.outputs.append(html(filled.below))

    def values(self, suite: Suite) -> list[Any]:
        """One value for each of `outputs`."""
        found: list[Any] = []
        for name, page in _pages(suite).items():
            charts = [chart for row in KINDS[name].charts for chart in row]
            if isinstance(page, Page):
                found += [page.top, gr.update(visible=True)]
                for chart in charts:
                    head, figure = page.charts[chart]
                    found += [head, plot(figure)]
                found.append(page.below)
            else:
                kept = [gr.skip() for _ in range(2 * len(charts) + 1)]
                found += [page, gr.update(visible=False), *kept]
        return found


def _pages(suite: Suite) -> dict[str, Page | str]:
    """By view its content, or one sentence in its place."""
    try:
        diagnosis = read_diagnosis(suite)
        if diagnosis is None:
            return _none(suite, "has no diagnosis yet")
        return {name: kind.page(diagnosis, suite) for name, kind in KINDS.items()}
    except (ValueError, KeyError, TypeError, IndexError):
        return _none(suite, "has a diagnosis that can't be read")


def _none(suite: Suite, what: str) -> dict[str, Page | str]:
    """By view what is told in its place. The automatic choice needs no diagnosis."""
    told: dict[str, Page | str] = dict.fromkeys(KINDS, _missing(suite, what))
    return told | {"choice": _missing(suite, what) + layers_html.how(suite)}


def _missing(suite: Suite, what: str) -> str:
    name, place = named(suite)
    command = f"python -m semerge evaluate --suite {name} --data DIR --diagnose {place}/report.json"
    return (
        f'<p class="se-failure" role="note">The report of {esc(suite.title)} {what}. This makes '
        f"it, from labelled data: <code>{esc(command)}</code></p>"
    )
