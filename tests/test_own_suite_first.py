"""A suite that is named at the start and stands first: tabs open with an example that it has."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from tiny import tiny_vision_suite
from visitor import Visitor

from semerge.suites import read_suite
from semerge.suites.examples import load_examples
from semerge.ui.app import build, make_context
from semerge.ui.picker import OWN, InputPicker

EXAMPLES = load_examples()
OMNIGLOT = 34
OPENING = EXAMPLES.first["vision"]  # opens what has no example of its own


def shown(visitor: Visitor, name: str) -> int:
    """The example in a list, which has to hold it."""
    value = visitor[f"{name}-example"]
    assert value in [one for _, one in visitor.of(f"{name}-example", "choices")]
    assert isinstance(value, int)
    return value


@pytest.mark.parametrize("name", ["clip-vit-b-32", "tiny"])
def test_tabs_open_with_an_example_of_the_first_suite(name: str, tmp_path: Path) -> None:
    """Or with the one that opens all others, where it has none; a warning of Gradio is an error."""
    place = str(tiny_vision_suite(tmp_path / "own")) if name == "tiny" else name
    suite = read_suite(place)
    context = make_context([place])
    visitor = Visitor(build(context))
    mine = [e.index for e in EXAMPLES.shown("image") if e.task in suite.task_names]
    assert bool(mine) == (name != "tiny") and OMNIGLOT not in mine
    expected = mine or [OPENING]
    for tab in ("compare", "layers", "sandbox"):
        number = shown(visitor, tab)
        assert number in expected or visitor[f"{tab}-suite"] != suite.name
    assert visitor["compare-suite"] == suite.name
    first = EXAMPLES.opening("image", suite.task_names)
    assert first is not None and first.index in expected
    assert visitor.of("vision-examples", "props")["current"] == first.index


def test_an_example_of_another_suite_is_in_the_list_while_it_is_asked_about(tmp_path: Path) -> None:
    """A link may name any of them."""
    suite = read_suite(tiny_vision_suite(tmp_path / "own"))
    with gr.Blocks() as page:
        picker = InputPicker(make_context([str(suite.folder)]), "own", [suite])
    visitor, put = Visitor(page), SimpleNamespace(name="put", outputs=picker.outputs)
    for number in (0, OMNIGLOT):
        visitor._take(put, picker.put(suite, {"example": number}))
        assert shown(visitor, "own") == number
        assert len(visitor.of("own-example", "choices")) == 2
    visitor._take(put, picker.put(suite, {}))
    assert visitor["own-example"] == OWN and len(visitor.of("own-example", "choices")) == 1
