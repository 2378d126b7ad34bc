"""The look: one Gradio theme, our style sheets, the page's script. Nothing comes from a network."""

from __future__ import annotations

import gradio as gr

from semerge.common import ASSETS

STYLES = tuple(
    ASSETS / "styles" / name
    for name in (
        "page.css",
        "input.css",
        "result.css",
        "charts.css",
        "share.css",
        "sandbox.css",
        "layers.css",
        "inspect.css",
    )
)
# these two hold outside the frame too, where Gradio would not let them
HEAD_STYLES = tuple(ASSETS / "styles" / name for name in ("frame.css", "present.css"))
SCRIPTS = tuple(
    ASSETS / "scripts" / name for name in ("page.js", "links.js", "present.js", "save.js")
)

# the package's semi-bold cut lacks letters, so 600 falls to bold
FONT = (gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif")
MONO = (gr.themes.LocalFont("IBM Plex Mono"), "ui-monospace", "monospace")


def theme() -> gr.themes.Base:
    """Gradio's own components in our colours; contrast is at least 4.5:1 for text."""
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        radius_size="md",
        font=FONT,
        font_mono=MONO,
    ).set(
        body_background_fill="#f5f6f8",
        body_background_fill_dark="#101216",
        body_text_color="var(--se-ink)",
        body_text_color_dark="var(--se-ink)",
        body_text_color_subdued="var(--se-muted)",
        body_text_color_subdued_dark="var(--se-muted)",
        block_background_fill="var(--se-card)",
        block_background_fill_dark="var(--se-card)",
        block_border_color="var(--se-line)",
        block_border_color_dark="var(--se-line)",
        block_border_width="1px",
        block_label_text_color="var(--se-muted)",
        block_label_text_color_dark="var(--se-muted)",
        block_label_background_fill="var(--se-tint)",
        block_label_background_fill_dark="var(--se-tint)",
        block_title_text_color="var(--se-ink)",
        block_title_text_color_dark="var(--se-ink)",
        block_title_text_weight="600",
        block_info_text_color="var(--se-muted)",
        block_info_text_color_dark="var(--se-muted)",
        border_color_primary="var(--se-line)",
        border_color_primary_dark="var(--se-line)",
        input_background_fill="var(--se-field)",
        input_background_fill_dark="var(--se-field)",
        input_border_color="var(--se-edge)",
        input_border_color_dark="var(--se-edge)",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_shadow="none",
        input_shadow_dark="none",
        checkbox_label_background_fill="var(--se-card)",
        checkbox_label_background_fill_dark="var(--se-card)",
        checkbox_label_background_fill_hover="var(--se-tint)",
        checkbox_label_background_fill_hover_dark="var(--se-tint)",
        checkbox_label_background_fill_selected="var(--se-blue-tint)",
        checkbox_label_background_fill_selected_dark="var(--se-blue-tint)",
        checkbox_label_border_width="1px",
        checkbox_label_border_width_dark="1px",
        checkbox_label_border_color="var(--se-edge)",
        checkbox_label_border_color_dark="var(--se-edge)",
        checkbox_label_text_color_selected="var(--se-ink)",
        checkbox_label_text_color_selected_dark="var(--se-ink)",
        checkbox_border_color="var(--se-edge)",
        checkbox_border_color_dark="var(--se-edge)",
        checkbox_background_color_selected="var(--se-action)",
        checkbox_background_color_selected_dark="var(--se-action)",
        button_secondary_background_fill="var(--se-card)",
        button_secondary_background_fill_dark="var(--se-card)",
        button_secondary_background_fill_hover="var(--se-tint)",
        button_secondary_background_fill_hover_dark="var(--se-tint)",
        button_secondary_border_color="var(--se-edge)",
        button_secondary_border_color_dark="var(--se-edge)",
        button_secondary_text_color="var(--se-ink)",
        button_secondary_text_color_dark="var(--se-ink)",
        button_border_width="1px",
        button_border_width_dark="1px",
        button_primary_border_color="var(--se-action)",
        button_primary_border_color_dark="var(--se-action)",
        input_placeholder_color="var(--se-muted)",
        input_placeholder_color_dark="var(--se-muted)",
        button_primary_background_fill="var(--se-action)",
        button_primary_background_fill_dark="var(--se-action)",
        button_primary_background_fill_hover="var(--se-action-hover)",
        button_primary_background_fill_hover_dark="var(--se-action-hover)",
        button_primary_text_color="var(--se-on-action)",
        button_primary_text_color_dark="var(--se-on-action)",
        link_text_color="var(--se-link)",
        link_text_color_dark="var(--se-link)",
        color_accent="var(--se-action)",
    )


def head() -> str:
    """What goes into the page's head: colours and frame, and the page's scripts, inline."""
    style, script = (
        "\n".join(file.read_text(encoding="utf-8") for file in files)
        for files in (HEAD_STYLES, SCRIPTS)
    )
    return f"<style>{style}</style><script>{script}</script>"
