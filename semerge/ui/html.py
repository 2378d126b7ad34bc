"""HTML from templates: the one place where text becomes markup. Autoescape is always on.

Templates lie in assets/templates. A value is text and gets escaped, but for what another template
made: `render` answers with `Markup`, which goes in as it is. `macros.html` has what several
templates share: `echo` for words of a user or a suite, `table`, `bar`. `words` is known in all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from semerge.common import ASSETS
from semerge.ui import words

# Gradio's HTML component reads its template (never its value) as Handlebars and as a JavaScript
# template string; escaping these too keeps a value harmless wherever it ends up.
_SIGNS = {ord("{"): "&#123;", ord("$"): "&#36;", ord("`"): "&#96;"}


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ASSETS / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["words"] = words
    return environment


def render(template: str, /, **values: Any) -> Markup:
    """A template of assets/templates, filled. Text among the values is escaped."""
    text = _environment().get_template(template).render(values)
    return Markup(text.translate(_SIGNS).strip())


def macro(name: str, /, *args: Any, template: str = "macros.html", **values: Any) -> Markup:
    """One macro of a template, called."""
    made = getattr(_environment().get_template(template).module, name)(*args, **values)
    return Markup(str(made).translate(_SIGNS).strip())
