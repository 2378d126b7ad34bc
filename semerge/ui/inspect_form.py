"""The form of the Inspect tab: suite, labelled set, its limit and the options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from semerge.errors import UserError
from semerge.evaluation.data import SPLITS
from semerge.suites import Suite
from semerge.ui.context import Context
from semerge.ui.events import page_event
from semerge.ui.inspect_choice import FOLDER, UPLOAD, Choice, first_choice, kinds
from semerge.ui.options import Options, called
from semerge.ui.result_panel import html

INFER = ""  # in the list of tasks: the labels tell
WANTED = {
    "image": "A zip archive with one folder a class, named as in the suite; up to 10 MB",
    "text": "A CSV or JSONL file with text, label and, for pairs, text_b; up to 10 MB",
}


class SetForm:
    """`inputs` go into a handler, `read` makes a Choice of their values, `put` shows one."""

    def __init__(self, context: Context, name: str) -> None:
        self.context = context
        self.suites = list(context.suites.values())
        suite = self.suites[0]
        choice = first_choice(suite, context.examples)
        with gr.Column(elem_classes="se-input se-set"):
            html('<h2 class="se-title">Labelled set</h2>')
            with gr.Row(elem_classes="se-fields"):
                self.suite = gr.Dropdown(
                    [(called(s), s.name) for s in self.suites], value=suite.name, label="Suite",
                    min_width=200, elem_id=f"{name}-suite",
                )  # fmt: skip
                self.kind = gr.Dropdown(
                    self._kinds(suite), value=choice.kind, label="Samples", min_width=200,
                    elem_id=f"{name}-set",
                )  # fmt: skip
                self.split = gr.Dropdown(
                    list(SPLITS), value="test", label="Split", visible=choice.splits,
                    min_width=110, elem_id=f"{name}-split",
                )  # fmt: skip
                self.limit = gr.Number(
                    0, label="Samples a task (0: all)", precision=0, minimum=0, min_width=110,
                    elem_id=f"{name}-limit",
                )  # fmt: skip
            with gr.Row(elem_classes="se-fields"):
                self.folder = gr.Textbox(
                    "", label="Path", visible=choice.kind == FOLDER, max_lines=1, min_width=260,
                    info="A folder as evaluate --data reads it, or a .zip, .csv or .jsonl file",
                    elem_id=f"{name}-path",
                )  # fmt: skip
                self.upload = gr.File(
                    None, label="Your labelled samples", visible=choice.kind == UPLOAD, height=132,
                    file_types=[".zip", ".csv", ".tsv", ".jsonl", ".json", ".txt"],
                    elem_id=f"{name}-upload", elem_classes="se-drop",
                )  # fmt: skip
                self.task = gr.Dropdown(
                    self._tasks(suite), value=INFER, label="Their task", min_width=200,
                    visible=choice.names_task, elem_id=f"{name}-task-of",
                )  # fmt: skip
            self.wanted = html(self._wanted(choice), elem_id=f"{name}-wanted")
            self.options = Options(self.suites, name, whole=False)

    # ---- values ------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        return [
            self.suite, self.kind, self.split, self.limit, self.folder, self.upload, self.task,
            *self.options.choices,
        ]  # fmt: skip

    def read(self, values: Sequence[Any]) -> Choice:
        """Values of `inputs` -> what they ask for. Raises UserError for what can't be."""
        name, kind, split, limit, folder, upload, task, *choices = values
        suite = self.context.suite(name)
        if not isinstance(limit, int):  # an emptied box
            limit = 0
        choice = Choice(
            suite,
            str(kind),
            place=str((upload if kind == UPLOAD else folder) or ""),
            split=str(split),
            task=task if task in suite.task_names else None,
            limit=limit or None,
            settings=Options.read(suite, choices),
        )
        choice.check(self.context.examples)
        return choice

    @property
    def outputs(self) -> list[Any]:
        """What `put` fills."""
        return [*self.inputs, self.options.preset_about, self.wanted]

    def put(self, choice: Choice) -> list[Any]:
        """Values of `outputs` that show a choice."""
        options = self.options.put(choice.suite, choice.settings)
        return [
            choice.suite.name,
            gr.update(choices=self._kinds(choice.suite), value=choice.kind),
            gr.update(value=choice.split, visible=choice.splits),
            choice.limit or 0,
            gr.update(value=choice.place if choice.kind == FOLDER else "",
                      visible=choice.kind == FOLDER),
            gr.update(value=None, visible=choice.kind == UPLOAD),
            gr.update(choices=self._tasks(choice.suite), value=choice.task or INFER,
                      visible=choice.names_task),
            *options[1:], self._wanted(choice),
        ]  # fmt: skip

    # ---- events ------------------------------------------------------------------------------

    def wire(self, *after: Any) -> None:
        """What of the form follows from other parts of it. after: handler, inputs and outputs of
        what follows every change; not by `change` events, which would send what is half changed.
        """
        options, calm = self.options, page_event()
        suite = self.suite.input(self._changed_suite, self.suite, self.outputs, **calm)
        followers = [self.split, self.folder, self.upload, self.task, self.wanted]
        kind = self.kind.input(self._changed_kind, [self.suite, self.kind], followers, **calm)
        chosen = [self.suite, options.preset, options.probe, options.layer, options.pool]
        inputs = [part.input for part in chosen[1:]]
        other = gr.on(inputs, self._follow, chosen, options.followers, **calm)
        reset = options.reset.click(
            lambda name: options.defaults(self.context.suite(name))[1:],
            self.suite,
            [*options.choices, options.preset_about],
            **calm,
        )
        for event in (suite, kind, other, reset):
            event.then(*after, **calm)
        typed = [part.input for part in (self.split, self.limit, self.folder, self.task)]
        given = [*typed, self.upload.upload, self.upload.clear]
        gr.on(given, *after, **page_event(trigger_mode="always_last"))

    def _changed_suite(self, name: str) -> list[Any]:
        return self.put(first_choice(self.context.suite(name), self.context.examples))

    def _changed_kind(self, name: str, kind: str) -> list[Any]:
        choice = Choice(self.context.suite(name), kind)
        shown = (choice.splits, kind == FOLDER, kind == UPLOAD, choice.names_task)
        return [*(gr.update(visible=visible) for visible in shown), self._wanted(choice)]

    def _follow(self, name: str, preset: Any, probe: Any, layer: Any, pool: Any) -> list[Any]:
        suite = self.context.suite(name)
        try:
            found = Options.read(suite, [preset, probe, layer, pool, None, None]).resolve(suite)
        except UserError:  # told when the run is asked for
            return [gr.skip() for _ in self.options.followers]
        return self.options.follow(suite, found)

    def _kinds(self, suite: Suite) -> list[tuple[str, str]]:
        return [(title, kind) for kind, title in kinds(suite, self.context.examples).items()]

    @staticmethod
    def _tasks(suite: Suite) -> list[tuple[str, str]]:
        return [("the one that the labels fit", INFER), *((t.title, t.name) for t in suite.tasks)]

    @staticmethod
    def _wanted(choice: Choice) -> str:
        """What an upload has to be; nothing where none is asked for."""
        if choice.kind != UPLOAD:
            return ""
        return f'<p class="se-hint">{WANTED[choice.suite.modality]}.</p>'
