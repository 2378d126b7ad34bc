"""What is shown of an inspection as files: CSV, JSON and a page that needs no server.

The page asks for a file when its button is pressed and gets it as text: nothing is written to the
server's disk, and nobody else can fetch it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from semerge.errors import UserError
from semerge.ui.inspect_choice import Choice
from semerge.ui.inspect_look import Look
from semerge.ui.inspect_runs import Kept
from semerge.ui.markup import esc

TITLES = {"csv": "CSV", "json": "JSON", "html": "Report (HTML)"}
TYPES = {"csv": "text/csv", "json": "application/json", "html": "text/html"}
UNKNOWN = "The page asked for a file that there is not; reload it."


def exports(key: str, look: Look, choice: Choice, count: int) -> str:
    """The buttons, and the command line that gives the same rows."""
    asked = {"key": key, "look": vars(look)}
    buttons = "".join(
        f'<button type="button" class="se-button" data-key="export {kind}" '
        f'data-export="{esc(json.dumps({"kind": kind, **asked}))}">{title}</button>'
        for kind, title in TITLES.items()
    )
    return (
        f'<div class="se-exports"><h3>Save the {count:,} samples shown</h3>'
        f'<div>{buttons}<span role="status"></span></div>'
        f'<p class="se-hint">All rows, from a command line: <code>{esc(choice.command())}</code>'
        "</p></div>"
    )


def exporter(make: Callable[[Any], dict[str, str]]) -> Callable[[Any], dict[str, str]]:
    """What the page's script calls as `server.export_rows`: `make`'s file, or why there is none."""

    def export_rows(asked: Any) -> dict[str, str]:
        try:
            return make(asked)
        except UserError as error:
            return {"failure": str(error)}

    return export_rows


def export(kept: Kept, asked: Any) -> dict[str, str]:
    """The file that {"kind", "key", "look"} ask for: {"name", "type", "text"}.

    Raises:
        UserError: the inspection is gone, or a client asked for something that there is not.
    """
    if not isinstance(asked, dict) or asked.get("kind") not in TYPES:
        raise UserError(UNKNOWN)
    found = kept.get(str(asked.get("key"))).found
    kind, view = str(asked["kind"]), _look(asked.get("look")).view()
    from semerge.evaluation.exports import to_json, write_csv
    from semerge.evaluation.static_report import static_report

    if kind == "csv":
        file = io.StringIO(newline="")
        write_csv(found, file, view)
        text = file.getvalue()
    else:
        text = to_json(found, view) if kind == "json" else static_report(found, view)
    part = "" if view.filter == "all" else "-" + view.filter.replace(" ", "-")
    return {"name": f"{found.suite.name}{part}.{kind}", "type": TYPES[kind], "text": text}


def _look(raw: Any) -> Look:
    usual = vars(Look())
    if not isinstance(raw, dict) or set(raw) != set(usual):
        raise UserError(UNKNOWN)
    if any(type(raw[name]) is not type(value) for name, value in usual.items()):
        raise UserError(UNKNOWN)
    return Look(**raw)
