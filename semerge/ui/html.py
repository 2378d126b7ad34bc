"""HTML from templates: the one place where text becomes markup. Autoescape is always on.

Templates lie in assets/templates. A value is text and gets escaped, but for what another template
made: `render` answers with `Markup`, which goes in as it is. `macros.html` has what several
templates share: `echo` for words of a user or a suite, `table`, `bar`. `words` is known in all.
"""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from typing import Any

import markupsafe
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from semerge.common import ASSETS
from semerge.inputs import CleanText, DecodedImage
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


def escape(text: object) -> Markup:
    """Text as literal HTML, also inside attributes: for the few places that have no template."""
    return Markup(markupsafe.escape(str(text)).translate(_SIGNS))


def render(template: str, /, **values: Any) -> Markup:
    """A template of assets/templates, filled. Text among the values is escaped."""
    text = _environment().get_template(template).render(values)
    return Markup(text.translate(_SIGNS).strip())


def picture(image: Any) -> str:
    """An image (PIL) as a data URL, every pixel as it is."""
    data = io.BytesIO()
    image.save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def seen(image: Any, size: str = "") -> Markup:
    """An image as the model sees it (PIL), with what it says below it."""
    return macro("seen", picture(image), size or _size(image))


def given(sample: DecodedImage | CleanText, image: Any) -> Markup:
    """What was asked about, beside its answer. image: as the model sees it (PIL); None for text."""
    if isinstance(sample, DecodedImage):
        return macro("given_image", picture(image), _size(image))
    return macro("given_text", sample.text, sample.text_b)


def _size(image: Any) -> str:
    return f"{image.width}\u00a0×\u00a0{image.height}\u00a0px"


def macro(name: str, /, *args: Any, template: str = "macros.html", **values: Any) -> Markup:
    """One macro of a template, called."""
    made = getattr(_environment().get_template(template).module, name)(*args, **values)
    return Markup(str(made).translate(_SIGNS).strip())
