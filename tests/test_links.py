"""Links without a browser: a state as a query string and back, and what a hostile one can do."""

from __future__ import annotations

import dataclasses
import html
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
import pytest
from fakes import FakeEngine, fake_examples, fake_suite
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams
from visitor import Visitor

from semerge.settings import AUTO, PRESETS, Settings, valid_layers, valid_pools, valid_probes
from semerge.suites import Suite
from semerge.suites.examples import Examples, load_examples
from semerge.ui import links, words
from semerge.ui.app import build
from semerge.ui.context import (
    LONG_TEXT,
    OWN_IMAGE,
    TEXT_LIMIT,
    Context,
    Source,
    of_settings,
    of_source,
)
from semerge.ui.links import Query
from semerge.ui.words import macro

VISION, TEXT, PAIRS = fake_suite("image"), fake_suite("text"), fake_suite("text", True, "pairs")
SETTINGS = ("preset", "probe", "layer", "pool", "head", "fast", "fallback")
KEYS = ("tab", "suite", "example", "text", "text_b", *SETTINGS)
HOSTILE = [
    "<script>alert(1)</script>",
    "\x00",
    "%00%3Cscript%3E",
    "'; DROP TABLE examples; --",
    "../../etc/passwd",
    "{{7*7}}${7*7}`",
    "\u202e\u2066txt.exe",
    "\ud800",
    "9" * 5000,
    "٣",  # a digit that int() reads
    "nan",
    "-1",
    "1e309",
    "x" * 8192,
]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return load_examples(fake_examples(tmp_path_factory.mktemp("examples")))


@pytest.fixture(scope="module")
def context(examples: Examples) -> Context:
    context = Context.make([VISION, TEXT, PAIRS], examples, FakeEngine)
    context.engines.start([VISION.name, TEXT.name, PAIRS.name]).join()
    return context


@pytest.fixture(scope="module")
def page(context: Context) -> gr.Blocks:
    return build(context)


def query_of(button: str) -> dict[str, str]:
    """The values that a browser sends for the link of this button."""
    found = re.search('data-link="([^"]*)"', button)
    assert found
    pairs = parse_qsl(html.unescape(found[1]), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)  # no key twice
    return dict(pairs)


# ---- there and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [VISION, TEXT], ids=["vision", "text"])
@pytest.mark.parametrize("prefix", ["", "b_"])
def test_every_setting_comes_back(suite: Suite, prefix: str) -> None:
    count = 0
    for probe, layer in itertools.product(valid_probes(suite), valid_layers(suite)):
        for pool, preset in itertools.product(valid_pools(suite, probe, layer), PRESETS):
            for head, fast in ((AUTO, False), (suite.task_names[-1], False), (AUTO, True)):
                settings = Settings(probe, layer, pool, preset, head, fast=fast)
                button = words.button("vision", of_settings(settings, prefix))
                query = Query(query_of(button))
                assert links.read_settings(query, suite, prefix, fast=True) == settings
                assert query.notices == []
                count += 1
    assert count > 200


@pytest.mark.parametrize("suite", [VISION, TEXT], ids=["vision", "text"])
def test_every_example_comes_back(suite: Suite, examples: Examples) -> None:
    for example in examples.of(suite.modality):
        held, note = of_source({"example": example.index})
        query = Query(query_of(words.button("language", held)))
        assert note == "" and query.tab == "language"
        assert links.read_source(query, suite, examples) == {"example": example.index}


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=250),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=250),
)
def test_a_sentence_comes_back_to_the_letter(text: str, text_b: str) -> None:
    held, note = of_source({"text": text, "text_b": text_b})
    query = Query(query_of(words.button("language", held)))
    assert note == "" and query.notices == []
    assert links.read_source(query, TEXT, Examples()) == {"text": text, "text_b": text_b}


def test_a_link_without_an_input_names_none(examples: Examples) -> None:
    for suite in (VISION, TEXT):
        assert links.read_source(Query({"tab": "vision"}), suite, examples) is None
        settings = links.read_settings(Query({}), suite)
        assert settings.resolve(suite) == Settings().resolve(suite)


# ---- limits --------------------------------------------------------------------------------------


def test_text_over_the_limit_and_images_are_never_in_a_link() -> None:
    fits = {"text": "a" * 400, "text_b": "b" * 100}
    assert of_source(fits) == (fits, "")
    for source in ({"text": "a" * 501}, {"text": "a" * 400, "text_b": "b" * 101}):
        assert of_source(source) == ({}, LONG_TEXT)
    for own in ({"file": "/tmp/upload/secret.png"}, {"png": b"\x89PNG"}):
        held, note = of_source(own)
        button = words.button("vision", {"suite": "s", **held}, note)
        assert query_of(button) == {"tab": "vision", "suite": "s"}
        assert OWN_IMAGE in button and "secret" not in button
    assert of_source({}) == ({}, "")


def test_a_lone_surrogate_does_not_break_the_link() -> None:
    held, _ = of_source({"text": "a\ud800b", "text_b": None})
    assert query_of(words.button("language", held))["text"] == "a?b"


def test_a_button_holds_no_markup_of_its_state() -> None:
    button = words.button("vision", {"head": '"><img src=x onerror=alert(1)>'}, "<b>")
    assert "<img" not in button and "<b>" not in button
    assert query_of(button)["head"] == '"><img src=x onerror=alert(1)>'


# ---- what is unknown -----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", HOSTILE)
@pytest.mark.parametrize("key", [key for key in KEYS if not key.startswith("text")])
def test_an_unknown_value_falls_back_and_is_told(key: str, bad: str, examples: Examples) -> None:
    query = Query({key: bad})
    settings = links.read_settings(query, VISION, fast=True)
    assert settings.resolve(VISION) == Settings().resolve(VISION)
    assert links.read_source(query, VISION, examples) is None
    suite = query.one_of("suite", [VISION.name], VISION.name)
    assert (suite, query.tab) == (VISION.name, "")
    (notice,) = query.notices
    assert notice.startswith(f"The link's {key} ") and notice.endswith("the default is shown.")
    assert len(notice) < 300 and notice.isprintable()
    shown = macro("notices", query.notices)
    assert "<script" not in shown and "{{" not in shown


def test_values_that_do_not_go_together_fall_back() -> None:
    query = Query({"layer": "final", "pool": "mean"})
    assert links.read_settings(query, TEXT).resolve(TEXT).probing[:3] == (
        "experts",
        "final",
        "final",
    )
    assert len(query.notices) == 1
    query = Query({"probe": "cache", "pool": "all"})  # on text `cache` has no `all`
    assert links.read_settings(query, TEXT).resolve(TEXT).probing[:3] == ("cache", 4, "mean")
    without = dataclasses.replace(TEXT, statistics=None)
    query = Query({"probe": "cache"})
    assert links.read_settings(query, without).probe == "experts" and len(query.notices) == 1


def test_of_a_key_that_is_given_twice_one_value_counts() -> None:
    query = Query(dict(QueryParams("tab=vision&layer=2&layer=99&tab=language")))
    assert query.tab == "language"
    assert links.read_settings(query, VISION).layer == VISION.defaults.layer
    assert len(query.notices) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("6", 6), ("7", 4), ("0", 4), ("٣", 4), ("1e1", 4), ("", 4), ("9" * 5000, 4)],
)
def test_whole_numbers_are_bounded(text: str, value: int) -> None:
    query = Query({"n": text})
    assert query.whole("n", 1, 6, 4) == value
    assert len(query.notices) == (text not in ("2", "6"))


@pytest.mark.parametrize(
    ("text", "value"), [("0.5", 0.5), ("-0.1", 1), ("nan", 1), ("inf", 1), ("x", 1), ("1e309", 1)]
)
def test_numbers_are_bounded(text: str, value: float) -> None:
    query = Query({"n": text})
    assert query.number("n", 0.0, 2.0, 1) == value
    assert len(query.notices) == (text != "0.5")


ANYTHING = st.one_of(st.text(max_size=60), st.sampled_from(HOSTILE), st.integers().map(str))


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_no_query_breaks_the_reading(values: Mapping[str, str]) -> None:
    folder = Path(__file__).resolve().parent.parent / "examples"
    shipped = load_examples(folder)
    for suite in (VISION, TEXT, PAIRS):
        query = Query(values)
        links.read_settings(query, suite, fast=True).resolve(
            suite
        )  # raises for what a suite does not know
        source = links.read_source(query, suite, shipped)
        if source and "example" in source:
            assert 0 <= source["example"] < len(shipped.of(suite.modality))
        elif source:
            assert all(len(text) <= TEXT_LIMIT for text in source.values())
        assert len(query.notices) <= len(values)
        assert "<script" not in macro("notices", query.notices)


# ---- the tabs Vision and Language ----------------------------------------------------------------


@pytest.fixture(scope="module")
def desks(context: Context) -> dict[str, Any]:
    import gradio as gr

    from semerge.ui.tabs.ask import LanguageTab, VisionTab

    with gr.Blocks():
        return {"vision": VisionTab(context), "language": LanguageTab(context)}


def restored(desk: Any, values: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """What a link fills in: by the name of the component, and the notices."""
    query = Query(values)
    filled = desk.restore(query)
    assert {*filled} <= {*desk.outputs} and len({*desk.outputs}) == len(desk.outputs)
    o, panel = desk.options, desk.panel
    parts = {
        **{key: o.fields[key] for key in ("preset", "probe", "layer", "pool", "head")},
        "suite": o.suite, "about": o.preset_about, "source": desk.source, "gallery": desk.gallery,
        "link": desk.link, "headline": panel.headline, "figures": panel.figures,
        "given": desk.given[0], "given_b": desk.given[-1],
    }  # fmt: skip
    return {name: _value(filled.get(part)) for name, part in parts.items()}, query.notices


def _value(update: Any) -> Any:
    return update.get("value", update) if isinstance(update, dict) else update


STATES: dict[str, tuple[str, dict[str, str], Source]] = {
    "example": (
        "vision",
        {"suite": VISION.name, "example": "9", "preset": "literal", "probe": "base", "layer": "2",
         "pool": "cls", "head": "eurosat"},
        {"example": 9},
    ),
    "final layer": (
        "vision",
        {"suite": VISION.name, "example": "0", "preset": "hard", "probe": "experts",
         "layer": "final", "pool": "final"},
        {"example": 0},
    ),
    "sentence": (
        "language",
        {"suite": TEXT.name, "text": "<b>Où?</b> & =1+1", "preset": "sharp", "probe": "cache",
         "layer": "6", "pool": "last", "head": "banking77"},
        {"text": "<b>Où?</b> & =1+1", "text_b": ""},
    ),
    "pair": (
        "language",
        {"suite": PAIRS.name, "text": "A cat sleeps.", "text_b": "It rains.", "preset": "literal",
         "probe": "experts", "layer": "3", "pool": "all"},
        {"text": "A cat sleeps.", "text_b": "It rains."},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_a_tab_is_brought_back_by_its_own_link(
    name: str, desks: dict[str, Any], context: Context, examples: Examples
) -> None:
    tab, values, source = STATES[name]
    shown, notices = restored(desks[tab], {"tab": tab, **values})
    assert notices == []
    for key in ("suite", "preset", "probe", "pool"):
        assert shown[key] == values[key]
    assert str(shown["layer"]) == values["layer"]
    assert shown["head"] == values.get("head", AUTO)
    assert shown["about"] == PRESETS[values["preset"]].about
    assert shown["source"] == source
    mark = source.get("example", -1)
    assert f'data-current="{mark}"' in shown["gallery"]
    if "example" in source:
        assert shown["given"] == str(examples.vision[source["example"]].file)
    else:
        assert (shown["given"], shown["given_b"]) == (source["text"], source["text_b"])
    # the answer is the engine's own, and the button's link is the one that was opened
    suite = context.suites[values["suite"]]
    settings = links.read_settings(Query(values), suite)
    view, _ = context.ask(suite.name, source, settings)
    assert shown["headline"] == macro("headline", view, template="panel.html")
    assert shown["figures"] == macro("figures", view, template="panel.html")
    assert query_of(shown["link"]) == {"tab": tab, **values}


def asking(page: gr.Blocks, tab: str, **options: object) -> Visitor:
    """A visitor who has set these options of a tab, by their labels."""
    visitor = Visitor(page)
    for label, value in options.items():
        visitor[f"{tab}-options/{label.replace('_', ' ')}"] = value
    return visitor


def test_the_button_holds_what_was_asked(page: gr.Blocks) -> None:
    options = {"Preset": "literal", "Probe": "base", "Probe_layer": 2, "Head": "snips_intent"}
    visitor = asking(page, "language", **options)
    opening = query_of(visitor["language-link"])
    assert opening["example"] == "0" and opening["preset"] == "sharp"

    def link_of(text: str) -> str:
        visitor["language-text"] = text
        visitor.press("language-run")
        return str(visitor["language-link"])

    assert query_of(link_of("Play it")) == {
        "tab": "language", "suite": TEXT.name, "text": "Play it", "preset": "literal",
        "probe": "base", "layer": "2", "pool": "mean", "head": "snips_intent",
    }  # fmt: skip
    long = link_of("a " * 251)
    assert "text" not in query_of(long) and LONG_TEXT in long
    assert link_of("refuse") == ""  # nothing is shown that a link could open


def test_an_upload_is_not_in_the_link_and_the_button_says_so(
    page: gr.Blocks, desks: dict[str, Any], examples: Examples
) -> None:
    visitor = asking(page, "vision", Probe="base", Probe_layer=2)
    visitor["vision-image"] = str(examples.vision[3].file)
    visitor.event("vision-image", "upload")
    link = visitor["vision-link"]
    assert OWN_IMAGE in link and "file" not in query_of(link)
    assert query_of(link)["layer"] == "2" and "mnist" not in link
    shown, notices = restored(desks["vision"], query_of(link))
    assert shown["source"] == {"example": 1} and shown["layer"] == 2 and notices == []


@pytest.mark.parametrize("tab", ["vision", "language"])
@pytest.mark.parametrize("bad", HOSTILE)
def test_a_hostile_link_opens_the_tab_at_its_defaults(
    tab: str, bad: str, desks: dict[str, Any]
) -> None:
    keys = set(KEYS) - {"tab", "text", "text_b"}
    shown, notices = restored(desks[tab], {"tab": tab, **dict.fromkeys(keys, bad)})
    assert len(notices) == len(keys)
    suite = VISION if tab == "vision" else TEXT
    assert shown["suite"] == suite.name
    assert (shown["preset"], shown["probe"], shown["layer"]) == ("sharp", "experts", 4)
    assert 'class="se-sentence"' in shown["headline"]
    assert query_of(shown["link"]) == query_of(desks[tab].link.value)


@pytest.mark.parametrize("bad", HOSTILE)
def test_a_hostile_sentence_is_a_sentence(bad: str, desks: dict[str, Any]) -> None:
    shown, notices = restored(desks["language"], {"tab": "language", "text": bad})
    text = f"{shown['headline']}{shown['link']}{macro('notices', notices)}"
    assert "<script" not in text and "\x00" not in text
    if len(bad) > TEXT_LIMIT:
        assert shown["source"] == {"example": 0} and len(notices) == 1
    else:
        assert shown["source"] == {"text": bad, "text_b": ""}
