"""What a suite's report.json says of many inputs: four views of the Layers tab.

All of it was computed by `evaluate --diagnose`; here it is only shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from semerge.abstention import read_diagnosis
from semerge.suites import Suite
from semerge.ui import layers_choice, layers_holds, layers_hypothesis, layers_misfits
from semerge.ui.layers_page import Page, named
from semerge.ui.markup import esc
from semerge.ui.result_panel import html, plot


@dataclass(frozen=True)
class Kind:
    """A view: its label, its charts in rows, and what fills it."""

    label: str
    page: Callable[[Mapping[str, Any], Suite], Page]
    charts: tuple[tuple[str, ...], ...] = ()


KINDS = {
    "hypothesis": Kind("Hypothesis", layers_hypothesis.page, (("margins", "bias"), ("map",))),
    "holds": Kind("When it holds", layers_holds.page, (("moves", "curve"),)),
    "choice": Kind("Automatic choice", layers_choice.page),
    "fits": Kind("No expert fits", layers_misfits.page),
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
    return told | {"choice": _missing(suite, what) + layers_choice.how(suite)}


def _missing(suite: Suite, what: str) -> str:
    name, place = named(suite)
    command = f"python -m semerge evaluate --suite {name} --data DIR --diagnose {place}/report.json"
    return (
        f'<p class="se-failure" role="note">The report of {esc(suite.title)} {what}. This makes '
        f"it, from labelled data: <code>{esc(command)}</code></p>"
    )
