"""A pad to draw on, with mouse, pen or finger. Its value is a PNG as a data URL, or "".

A canvas of our own rather than `gr.Sketchpad`: two boards (white chalk on black as in MNIST, black
ink on paper as in Omniglot), opaque pixels, and nothing else on it.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import gradio as gr

from semerge.errors import UserError

SCRIPT = Path(__file__).resolve().parents[2] / "assets" / "scripts" / "sketch.js"
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
