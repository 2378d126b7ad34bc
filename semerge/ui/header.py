"""The top of the page."""

from __future__ import annotations


def header() -> str:
    """Name, what it is, and the buttons that change how the whole page looks."""
    return (
        f'<header class="se-header">{LOGO}<div><h1>SE-Merging</h1><p>One model merged from many '
        "experts, which recognises for each input the expert that it needs.</p></div>"
        '<button type="button" class="se-button" data-present>Present</button>'
        '<button type="button" class="se-button" data-theme-switch '
        'aria-label="Theme: switch between light and dark">'
        '<span aria-hidden="true">◐</span> <span>Theme</span></button></header>'
    )


LOGO = (
    '<svg viewBox="0 0 48 48" width="44" height="44" aria-hidden="true" class="se-logo">'
    '<path d="M8 10 C22 10 22 24 40 24 M8 24 H40 M8 38 C22 38 22 24 40 24"/>'
    '<circle cx="8" cy="10" r="4"/><circle cx="8" cy="24" r="4" class="on"/>'
    '<circle cx="8" cy="38" r="4"/><circle cx="40" cy="24" r="6" class="on"/></svg>'
)
