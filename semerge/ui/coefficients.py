"""One slider a task, for coefficients that a visitor sets. Suites differ in their number of tasks:
there are sliders for the largest, and those of the suite's tasks are visible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from semerge.suites import Suite

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

    def put(self, suite: Suite, values: Sequence[float]) -> list[Any]:
        """Updates of `inputs` that show a suite's coefficients."""
        shown = [
            gr.update(label=task.title, value=value, visible=True)
            for task, value in zip(suite.tasks, values, strict=True)
        ]
        return shown + [gr.update(visible=False)] * (len(self.inputs) - len(shown))

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
