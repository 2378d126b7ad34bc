"""Methods and probes in the app: their options are controls and parts of links, with no edit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import gradio as gr
import pytest
from fakes import fake_suite
from tiny import tiny_text_suite
from visitor import Visitor

from semerge.checkpoints.made import lacking
from semerge.engine import load_engine
from semerge.methods import METHODS, method
from semerge.probes import PROBES, probe
from semerge.registry import Within
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.suites.examples import Examples
from semerge.ui import links, words
from semerge.ui.app import build
from semerge.ui.context import Context
from semerge.ui.links import Query
from semerge.ui.options import Options, in_menu

FOLD = "language-options"
Half = Annotated[float, Within(0.0, 2.0), "how much of a task vector counts"]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    suite = read_suite(tiny_text_suite(tmp_path_factory.mktemp("suite")))
    context = Context.make([suite], Examples(), lambda suite: load_engine(suite.folder))
    context.engines.start([suite.name]).join()
    return context


@pytest.fixture
def visitor(context: Context) -> Visitor:
    return Visitor(build(context))


def link(visitor: Visitor) -> dict[str, str]:
    text = str(visitor["language-link"]).partition('data-link="')[2].partition('"')[0]
    return dict(parse_qsl(text.replace("&amp;", "&")))


def ask(visitor: Visitor, text: str = "a cat and a dog") -> str:
    visitor["language-text"] = text
    visitor.press("language-run")
    return str(visitor["language-sentence"])


def test_another_method_has_its_options_and_is_told(visitor: Visitor, context: Context) -> None:
    ask(visitor)
    assert "method" not in link(visitor) and not visitor.visible(f"{FOLD}/Density")
    plain = visitor["language-answers"]
    visitor.change(f"{FOLD}/Merging method", "ties")
    assert visitor.visible(f"{FOLD}/Density") and visitor.visible(f"{FOLD}/Merge")
    assert (
        link(visitor)["method"] == "ties" and "Static TIES-Merging" in visitor["language-answers"]
    )
    visitor.change(f"{FOLD}/Density", 0.5)
    visitor.change(f"{FOLD}/Merge", "mean")
    assert link(visitor)["method"] == "ties:density=0.5,merge=mean"
    assert visitor["language-answers"] != plain
    # the same figures as the engine's own
    suite = next(iter(context.suites.values()))
    settings = Settings(method="ties", method_options={"density": 0.5, "merge": "mean"})
    want = context.engines.get(suite.name).predict("a cat and a dog", settings).to_dict()
    view, _ = context.ask(suite.name, {"text": "a cat and a dog", "text_b": ""}, settings)
    assert view.result["predictions"] == want["predictions"]
    (figures,) = [str(part) for part in _values(visitor) if "<dt>Merging method</dt>" in str(part)]
    assert "TIES-Merging, density 0.5 and merge mean" in figures
    assert "method TIES-Merging" in words.made(view)


def _values(visitor: Visitor) -> Iterator[Any]:
    yield from (value for (_, name), value in visitor._set.items() if name == "value")


def test_a_link_brings_the_method_back(context: Context) -> None:
    suite = next(iter(context.suites.values()))
    query = {"tab": "language", "suite": suite.name, "method": "ties:density=0.5,merge=mean",
             "text": "a cat and a dog", "probe": "base", "layer": "1", "pool": "mean",
             "preset": "sharp"}  # fmt: skip
    visitor = Visitor(build(context), query=query)
    visitor.load()
    assert visitor[f"{FOLD}/Merging method"] == "ties" and visitor[f"{FOLD}/Density"] == 0.5
    assert visitor[f"{FOLD}/Merge"] == "mean" and visitor.visible(f"{FOLD}/Merge")
    assert link(visitor) == query and visitor["link-notice"] == ""


@pytest.mark.parametrize(
    "bad", ["nothing", "ties:density=2", "ties:speed=1", "average:density=0.5", "<b>", "ties:", ""]
)
def test_what_a_link_makes_of_a_method_falls_back(bad: str) -> None:
    query = Query({"method": bad})
    found = links.read_settings(query, fake_suite("text"))
    assert METHODS.spec(found.method) == ("ties" if bad == "ties:" else "task_arithmetic")
    assert len(query.notices) == (bad != "ties:")


def test_a_probe_left_over_from_another_method_is_replaced() -> None:
    suite = fake_suite("text")
    with gr.Blocks():
        options = Options([suite], "x")
    sent = dict.fromkeys(options.fields) | {"method": "ties", "probe": "cache", "pool": "mean"}
    found = options.read(suite, list(sent.values()))
    assert found.probe is None and found.resolve(suite).probe == "experts"
    shown = options.follow(suite, found)[options.fields["probe"]]
    assert [name for _, name in shown["choices"]] == ["experts", "base"]
    assert shown["value"] == "experts"
    # what fits is left as it is: its visitor may have set it anew by now
    kept = options.follow(suite, options.read(suite, list((sent | {"probe": "base"}).values())))
    assert (
        "value" not in kept[options.fields["probe"]] and "value" not in kept[options.fields["pool"]]
    )


@pytest.fixture
def added() -> Iterator[None]:
    @method("shrunk", title="Shrunk vectors", place=50)
    def shrunk(vectors: Any, *, share: Half = 0.5, exact: bool = False) -> Any:
        """Scale every task vector."""
        return vectors.mapped(lambda deltas: share * deltas)

    @probe("angle", title="the angle", needs=("merged", "experts"), place=50)
    def angle(at: Any, *, side: Literal["left", "right"] = "left") -> Any:
        """One minus the cosine of the merged model's representation with the expert's."""
        import torch

        return 1 - torch.nn.functional.cosine_similarity(at.expert, at.merged, dim=-1)

    yield
    METHODS.remove("shrunk")
    PROBES.remove("angle")


def test_what_is_registered_is_on_the_page(added: None, context: Context) -> None:
    visitor = Visitor(build(context))
    ask(visitor)
    visitor.change(f"{FOLD}/Merging method", "shrunk")
    visitor.change(f"{FOLD}/Probe", "angle")
    for label in ("Share", "Exact", "Side"):
        assert visitor.visible(f"{FOLD}/{label}")
    assert not visitor.visible(f"{FOLD}/Density")
    share = visitor.part(f"{FOLD}/Share")
    assert (share.minimum, share.maximum, share.value) == (0.0, 2.0, 0.5)
    assert share.info == "How much of a task vector counts"
    visitor.change(f"{FOLD}/Share", 0.25)
    visitor.change(f"{FOLD}/Side", "right")
    asked = link(visitor)
    assert asked["method"] == "shrunk:share=0.25" and asked["probe"] == "angle:side=right"
    assert "Static Shrunk vectors" in visitor["language-answers"]
    found = links.read_settings(Query(asked), next(iter(context.suites.values())))
    assert (found.method, found.probe) == (asked["method"], asked["probe"])


def test_menus_are_in_the_words_of_the_registries(context: Context) -> None:
    page = Visitor(build(context))
    shown = dict(page.of(f"{FOLD}/Merging method", "choices"))
    assert list(shown.values()) == list(METHODS.names)
    suite = next(iter(context.suites.values()))
    assert list(shown) == [in_menu(*of) for of in lacking(suite, METHODS.names).items()]
    # what is neither made nor shipped says so, all others are their titles
    labels = zip(shown, METHODS, strict=True)
    other = {entry.name: label for label, entry in labels if label != entry.title}
    assert other and all(label.endswith("(not made here)") for label in other.values())
    assert all(METHODS[name].needs or METHODS[name].dear == 0 for name in other)
    assert page.of(f"{FOLD}/Merging method", "info") == METHODS["task_arithmetic"].about
