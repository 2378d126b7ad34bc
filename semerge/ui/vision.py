"""The Vision tab: a picture by upload, clipboard, camera or pen."""

from __future__ import annotations

from typing import Any

import gradio as gr

from semerge.examples import Example
from semerge.settings import Settings
from semerge.suites import Suite
from semerge.ui import gallery
from semerge.ui.desk import Desk
from semerge.ui.result_panel import html
from semerge.ui.safe_image import SafeImage
from semerge.ui.sketch import png, sketch_pad
from semerge.ui.sources import NO_IMAGE, Source
from semerge.ui.view import View


class VisionTab(Desk):
    modality, name, waiting = "image", "vision", "Loading the vision experts"

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
            self.seen = html(gallery.seen(seen) if seen else "", elem_id="vision-seen")

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
        return view, [gallery.seen(picture)]

    def opening_extras(self) -> list[Any]:
        return [gallery.seen(self.context.seen[self.suite.name])]


def _drawn(value: Any) -> Source:
    return {"png": png(value)}


def _chosen(path: str | None, *rest: Any) -> Any:
    """The cheap check that runs before a place in the queue is taken."""
    return [gr.validate(path is not None, NO_IMAGE), *(gr.validate(True, "") for _ in rest)]
