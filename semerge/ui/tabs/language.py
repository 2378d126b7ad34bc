"""The Language tab: one sentence, or two where a task of the suite reads pairs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from semerge.settings import Settings
from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.ui.context import Source, reads_pairs
from semerge.ui.panel import html
from semerge.ui.tabs.desk import Desk
from semerge.ui.view import View


class LanguageTab(Desk):
    label, place, modality = "Language", 20, "text"
    waiting = "Loading the language experts"

    def layout(self, example: Example | None) -> None:
        html('<h2 class="se-title">Your sentence</h2>')
        self.text = gr.Textbox(
            example.text if example else "",
            label="Sentence",
            placeholder="Type a sentence and press Enter",
            lines=1,  # so that Enter asks; the style sheet makes room for two
            max_lines=6,
            elem_id="language-text",
        )
        self.text_b = gr.Textbox(
            (example.text_b if example else None) or "",
            label="Second sentence (for tasks that compare two)",
            lines=1,
            max_lines=4,
            visible=reads_pairs(self.suite),
            elem_id="language-text-b",
        )
        self.run = gr.Button("Run", variant="primary", elem_id="language-run")

    @property
    def given(self) -> list[Any]:
        return [self.text, self.text_b]

    def fill(self, example: Example) -> list[Any]:
        return [example.text, example.text_b or ""]

    def own(self, source: Source, suite: Suite) -> list[Any]:
        return [source["text"], gr.update(value=source["text_b"], visible=reads_pairs(suite))]

    def listing(self, suite: Suite) -> list[Any]:
        return [gr.skip(), gr.update(visible=reads_pairs(suite))]

    def wire(self) -> None:
        calm = {"progress_on": self.panel.headline}
        for event in (self.run.click, self.text.submit, self.text_b.submit):
            self.on(event, self.read, self.given, validator=_typed, **calm)

    def read(self, *values: Any) -> Source:
        return {"text": values[0], "text_b": values[1]}

    def answer(self, source: Source, suite: Suite, settings: Settings) -> tuple[View, list[Any]]:
        return self.context.ask(suite.name, source, settings)[0], []


def _typed(text: Any, *rest: Any) -> Any:
    """The cheap check that runs before a place in the queue is taken."""
    empty = not isinstance(text, str) or not text.strip()
    return [gr.validate(not empty, "Type a sentence."), *(gr.validate(True, "") for _ in rest)]
