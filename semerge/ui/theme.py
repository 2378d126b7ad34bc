"""The look: one Gradio theme, our style sheets, the page's script. Nothing comes from a network."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import gradio as gr
from markupsafe import Markup

from semerge.common import ASSETS

SHEETS = (
    "page",
    "input",
    "result",
    "terms",
    "charts",
    "share",
    "sandbox",
    "layers",
    "inspect",
    "methods",
)
STYLES = tuple(ASSETS / "styles" / f"{name}.css" for name in SHEETS)
# these hold outside the frame too, or have rules that Gradio leaves out (of containers)
HEAD_STYLES = tuple(
    ASSETS / "styles" / f"{name}.css"
    for name in ("frame", "scene", "map", "desk", "present", "phone")
)
HEAD_SCRIPTS = (
    "page",
    "links",
    "present",
    "save",
    "scene",
    "sort",
    "terms",
    "measures",
    "stale",
    "phone",
)
SCRIPTS = tuple(ASSETS / "scripts" / f"{name}.js" for name in HEAD_SCRIPTS)

# the package's semi-bold cut lacks letters, so 600 falls to bold
FONT = (gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif")
MONO = (gr.themes.LocalFont("IBM Plex Mono"), "ui-monospace", "monospace")


# what has a colour or a line, in the light and in the dark theme alike: the style sheets know both
ALIKE = {
    "var(--se-ink)": "body_text_color block_title_text_color button_secondary_text_color "
    "checkbox_label_text_color_selected",
    "var(--se-muted)": "body_text_color_subdued block_label_text_color block_info_text_color "
    "input_placeholder_color",
    "var(--se-card)": "block_background_fill checkbox_label_background_fill "
    "button_secondary_background_fill",
    "var(--se-tint)": "block_label_background_fill checkbox_label_background_fill_hover "
    "button_secondary_background_fill_hover",
    "var(--se-blue-tint)": "checkbox_label_background_fill_selected",
    "var(--se-field)": "input_background_fill",
    "var(--se-line)": "block_border_color border_color_primary",
    "var(--se-edge)": "input_border_color checkbox_border_color checkbox_label_border_color "
    "button_secondary_border_color",
    "var(--se-action)": "checkbox_background_color_selected button_primary_border_color "
    "button_primary_background_fill",
    "var(--se-action-hover)": "button_primary_background_fill_hover",
    "var(--se-on-action)": "button_primary_text_color",
    "var(--se-link)": "link_text_color",
    "1px": "input_border_width checkbox_label_border_width button_border_width",
    "none": "input_shadow",
}


def theme() -> gr.themes.Base:
    """Gradio's own components in our colours; contrast is at least 4.5:1 for text."""
    alike = {
        name + dark: value
        for value, names in ALIKE.items()
        for name in names.split()
        for dark in ("", "_dark")
    }
    hues = {"primary_hue": "blue", "neutral_hue": "slate"}
    return gr.themes.Base(**hues, radius_size="md", font=FONT, font_mono=MONO).set(
        body_background_fill="#f5f6f8",
        body_background_fill_dark="#101216",
        block_border_width="1px",
        block_title_text_weight="600",
        color_accent="var(--se-action)",
        **alike,
    )


def head() -> str:
    """What goes into the page's head: colours and frame, and the page's scripts, inline."""
    style, script = map(_together, (HEAD_STYLES, SCRIPTS))
    return f"<style>{style}</style><script>{script}</script>"


@lru_cache
def first() -> Markup:
    """The styles of what is there before the others, see `Page.first`."""
    names = ("frame", "page", "input", "result", "terms", "scene", "first")
    return Markup(_together([ASSETS / "styles" / f"{name}.css" for name in names]))


def _together(files: Iterable[Path]) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
