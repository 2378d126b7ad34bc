"""The Vision tab: a picture by upload, clipboard, camera or pen."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import gradio as gr

from semerge.common import ASSETS, UserError
from semerge.settings import Settings
from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.ui import markup
from semerge.ui.context import NO_IMAGE, Source
from semerge.ui.panel import html
from semerge.ui.safe import SafeImage
from semerge.ui.tabs.desk import Desk
from semerge.ui.view import View


class VisionTab(Desk):
    label, place, modality = "Vision", 10, "image"
    waiting = "Loading the vision experts"

    def layout(self, example: Example | None) -> None:
        html('<h2 class="se-title">Your image</h2>')
        with gr.Row(elem_classes="se-look"):
            with gr.Tabs(elem_classes="se-how"):
                with gr.Tab("Image", id="image"):
                    self.image = SafeImage(
                        str(example.file) if example else None,
                        type="filepath",
                        image_mode=None,
                        sources=["upload", "clipboard", "webcam"],
                        label="Image",
                        show_label=False,
                        buttons=["fullscreen"],
                        height=220,
                        placeholder="Drop an image here\n\nor click to choose one",
                        alt_text="The image that was asked about",
                        elem_id="vision-image",
                        elem_classes="se-drop",
                    )
                    self.run = gr.Button("Run", variant="primary", elem_id="vision-run")
                with gr.Tab("Draw", id="draw"):
                    self.pad = sketch_pad("vision-pad")
            seen = self.context.seen.get(self.suite.name)
            self.seen = html(markup.seen(seen) if seen else "", elem_id="vision-seen")

    @property
    def given(self) -> list[Any]:
        return [self.image]

    @property
    def extras(self) -> list[Any]:
        return [self.seen]

    def fill(self, example: Example) -> list[Any]:
        return [str(example.file)]

    def own(self, source: Source, suite: Suite) -> list[Any]:
        return [None]  # no link holds an image

    def wire(self) -> None:
        calm = {"progress_on": self.panel.headline}
        self.on(self.run.click, self.read, [self.image], validator=_chosen, **calm)
        # files, drops, pastes and the camera; `input` would also fire as an image is taken away
        self.on(self.image.upload, self.read, [self.image], **calm)
        self.on(self.pad.submit, _drawn, [self.pad], trigger="always_last")

    def read(self, *values: Any) -> Source | None:
        """An uploaded, pasted or photographed image. Taking it away asks nothing."""
        return {"file": values[0]} if values[0] is not None else None

    def answer(self, source: Source, suite: Suite, settings: Settings) -> tuple[View, list[Any]]:
        view, picture = self.context.ask(suite.name, source, settings)
        return view, [markup.seen(picture)]

    def opening_extras(self) -> list[Any]:
        return [markup.seen(self.context.seen[self.suite.name])]


def _drawn(value: Any) -> Source:
    return {"png": png(value)}


def _chosen(path: str | None, *rest: Any) -> Any:
    """The cheap check that runs before a place in the queue is taken."""
    return [gr.validate(path is not None, NO_IMAGE), *(gr.validate(True, "") for _ in rest)]


# --------------------------------------------------------------------------------------------------
# A pad to draw on, with mouse, pen or finger. Its value is a PNG as a data URL, or "".
#
# A canvas of our own rather than `gr.Sketchpad`: two boards (white chalk on black as in MNIST,
# black ink on paper as in Omniglot), opaque pixels, and nothing else on it.

SCRIPT = ASSETS / "scripts" / "sketch.js"
PREFIX = "data:image/png;base64,"
MAX_CHARACTERS = 2_000_000  # of the data URL; the pad's own drawings are below 100,000

COLOURS = (
    ("chalk", "#ffffff", "white"),
    ("ink", "#000000", "black"),
    ("red", "#c8102e", "red"),
    ("blue", "#0057b8", "blue"),
    ("yellow", "#f6c700", "yellow"),
    ("green", "#1e7a3c", "green"),
)
_SWATCHES = "".join(
    f'<button type="button" data-colour="{code}" aria-pressed="{str(name == "white").lower()}" '
    f'title="{name}" aria-label="Colour {name}"><i style="background:{code}"></i></button>'
    for _, code, name in COLOURS
)
TEMPLATE = f"""
<div class="se-pad">
  <canvas width="336" height="336" role="img" tabindex="0"
    aria-label="Drawing pad. Draw with mouse, pen or finger; Ctrl+Z takes a stroke back."></canvas>
  <div class="se-tools">
    <div role="group" aria-label="Board" class="se-segment">
      <button type="button" data-board="#000000" aria-pressed="true">Blackboard</button>
      <button type="button" data-board="#ffffff" aria-pressed="false">Paper</button>
    </div>
    <div role="group" aria-label="Colour" class="se-swatches">{_SWATCHES}</div>
    <label>Pen <input type="range" min="4" max="40" value="26" aria-label="Pen width"></label>
    <div class="se-undo">
      <button type="button" data-do="undo">Undo</button>
      <button type="button" data-do="clear">Clear</button>
    </div>
  </div>
  <p class="se-hint">A digit with chalk, a letter with ink, a road sign in colour: the answer comes
  when you lift the pen.</p>
</div>
"""


def sketch_pad(name: str) -> gr.HTML:
    """The component. Its `submit` event fires a moment after a stroke ends."""
    return gr.HTML(
        "",
        html_template=TEMPLATE,
        js_on_load=SCRIPT.read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id=name,
    )


def png(value: object) -> bytes:
    """The PNG file behind the pad's value.

    Raises:
        UserError: nothing was drawn, or the value is no PNG.
    """
    if value is None or value == "":
        raise UserError("Draw something first.")
    if not isinstance(value, str) or not value.startswith(PREFIX):
        raise UserError("This drawing is not a readable image.")
    if len(value) > MAX_CHARACTERS:
        raise UserError("This drawing is too large.")
    try:
        return base64.b64decode(value[len(PREFIX) :], validate=True)
    except (binascii.Error, ValueError):
        raise UserError("This drawing is not a readable image.") from None
