"""The Compare tab on a labelled set: a run, its rows, its file, a cancel. With a real engine."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from labelled import write_sentences
from test_ui import HOSTILE, parse
from test_ui_compare import answered, built, values_of
from test_ui_sandbox import link
from tiny import tiny_text_suite

from semerge.common import UserError
from semerge.engine import load_engine
from semerge.suites import read_suite
from semerge.suites.examples import Examples
from semerge.ui.context import Context
from semerge.ui.links import Query
from semerge.ui.tabs import compare_html
from semerge.ui.tabs.compare import Asked, CompareTab, pair_of
from semerge.ui.tabs.compare_html import FIRST
from semerge.ui.tabs.inspect_choice import FOLDER, UPLOAD

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[CompareTab, Path]:
    """A tab with a tiny suite of text and its real engine, and a folder of labelled sentences."""
    folder = tmp_path_factory.mktemp("compare")
    suite = read_suite(tiny_text_suite(folder / "suite"))
    context = Context.make([suite], Examples(), lambda suite: load_engine(suite.folder))
    return built(context), write_sentences(folder / "data")


def of_folder(tab: CompareTab, data: Path) -> Asked:
    asked = tab._first(tab.picker.suites[0])
    pair = pair_of(asked.sides, FOLDER, 0, str(data), None)
    return replace(asked, source={"text": "own words", "text_b": ""}, pair=pair)


def handler(tab: CompareTab, name: str) -> Any:
    block: Any = tab.key
    while not isinstance(block, gr.Blocks):
        block = block.parent
    return next(f.fn for f in block.fns.values() if getattr(f.fn, "__name__", "") == name)


def run(tab: CompareTab, asked: Asked, place: str = "") -> tuple[dict[str, Any], list[list[Any]]]:
    """Press Run and wait for the end: what is shown then by name, and everything told before."""
    values = values_of(asked, place)
    begun = handler(tab, "begin")(*values)
    assert begun[0], begun[1]

    async def follow() -> list[list[Any]]:
        return [told async for told in handler(tab, "follow")(begun[0], *values)]

    *told, last = asyncio.run(follow())
    names = ("run", "cancel", "key", "look", "status", "column", "board", "table", "files", "link")
    return dict(zip(names, last, strict=True)), told


def test_a_run_counts_lists_exports_and_opens_what_differs(
    labelled: tuple[CompareTab, Path],
) -> None:
    tab, data = labelled
    asked = of_folder(tab, data)
    shown, _ = run(tab, asked, str(data))
    found = tab.kept.get(shown["key"]).found
    assert "36 samples in" in shown["status"] and shown["column"]["visible"] is True
    differ = compare_html.ids(found, FIRST)
    assert differ and f"{len(differ)} of 36 samples" in shown["table"]
    from semerge.evaluation.comparison import right

    a, b = right(found)["se"]
    assert f">{a}</strong>" in shown["board"] and f">{b}</strong>" in shown["board"]
    for html in (shown["board"], shown["table"], shown["files"]):
        parse(html)
    # exactly the rows shown
    file = compare_html.export(tab.kept, {"key": shown["key"], "filter": "all", "head": "routed"})
    assert [r["id"] for r in csv.DictReader(io.StringIO(file["text"]))] == list(differ)
    # the link says that it was run, and no longer once a setting is another
    now = replace(asked, key=shown["key"])
    assert link(tab._link(now))["run"] == "1"
    other = tuple((s, replace(x, preset="literal")) for s, x in now.sides)
    changed = replace(now, sides=other, pair=pair_of(other, FOLDER, 0, str(data), None))
    assert "run" not in link(tab._link(changed))
    # a row opens in both panels with the answers of the table
    event = SimpleNamespace(_data={"do": "open", "value": differ[-1]})
    opened = tab._row(event, *values_of(now, str(data)))  # type: ignore[arg-type]
    at = len(tab.picker.outputs) + tab.shown.index(tab.look)
    values = values_of(replace(now, look=opened[at]), str(data))
    both = answered(tab, tab._opened_row(*values))
    rows = next(pair for pair in found.rows if pair[0].id == differ[-1])
    for which, row in zip("ab", rows, strict=True):
        assert f'<bdi dir="auto">{row.se_routed}</bdi>' in both[which][2]
        assert row.label in both[which][1]
    assert 'aria-current="true"' in str(opened)


def test_what_a_link_makes_up_is_told_after_the_run(labelled: tuple[CompareTab, Path]) -> None:
    tab, data = labelled
    asked = replace(of_folder(tab, data), look=replace(FIRST, row="nowhere", page=70))
    shown, _ = run(tab, asked, str(data))
    for told in ("row &#39;nowhere&#39; is not known", "table_page &#39;71&#39; is not known"):
        assert told in shown["status"]
    values = link(shown["link"])
    assert "row" not in values and "table_page" not in values and values["run"] == "1"
    # one that there is stays
    row = compare_html.ids(tab.kept.get(shown["key"]).found, FIRST)[-1]
    shown, _ = run(tab, replace(asked, look=replace(FIRST, row=row)), str(data))
    assert "is not known" not in shown["status"] and link(shown["link"])["row"] == row


def test_filters_heads_and_pages_only_show_what_there_is(
    labelled: tuple[CompareTab, Path],
) -> None:
    tab, data = labelled
    asked = of_folder(tab, data)
    shown, _ = run(tab, asked, str(data))
    now = values_of(replace(asked, key=shown["key"]), str(data))
    found = tab.kept.get(shown["key"]).found
    for name in compare_html.FILTERS:
        event: Any = SimpleNamespace(_data={"do": "filter", "value": name})
        values = tab._view(event, *now)
        count = len(compare_html.ids(found, replace(FIRST, filter=name)))
        text = f"{count} of 36 samples"
        assert (text in values[5]) or name == "all"
    for bad in ({"do": "filter", "value": HOSTILE}, {"do": "page", "value": -1}, {}, None):
        assert tab._view(SimpleNamespace(_data=bad), *now)[1] == FIRST  # type: ignore[arg-type]
    under = tab._under("oracle", *now)
    assert under[1].head == "oracle" and "own task" in under[4]
    gone = tab._view(SimpleNamespace(_data={}), *values_of(replace(asked, key="gone"), str(data)))  # type: ignore[arg-type]
    assert "no longer kept" in gone[2] and gone[3]["visible"] is False
    with pytest.raises(UserError):
        compare_html.export(tab.kept, {"key": shown["key"], "filter": "x", "head": "routed"})


def test_a_run_is_cancelled_and_a_bad_set_is_told(labelled: tuple[CompareTab, Path]) -> None:
    tab, data = labelled
    asked = of_folder(tab, data)
    values = values_of(asked, str(data))
    begun = handler(tab, "begin")(*values)
    handler(tab, "cancel")(begun[0])

    async def follow() -> list[Any]:
        return [told async for told in handler(tab, "follow")(begun[0], *values)][-1]

    last = asyncio.run(follow())
    assert "Cancelled" in last[4] and last[2] == gr.skip()
    nowhere, _ = run(tab, asked, str(data / "nowhere"))
    assert "There is no data folder" in nowhere["status"] and nowhere["key"] == gr.skip()
    empty = handler(tab, "begin")(*values_of(asked, " "))
    assert empty[0] == "" and "Name a data folder" in empty[1]


@pytest.mark.parametrize(
    ("kind", "said"), [(FOLDER, "press Run, and it is shown"), (UPLOAD, "No link holds an upload")]
)
def test_a_link_to_a_longer_set_waits_for_run(
    labelled: tuple[CompareTab, Path], kind: str, said: str
) -> None:
    tab, data = labelled
    values = {"set": kind, "data": str(data), "run": "1"}
    restored = tab.restore(Query(values))
    status = restored[tab.restored.index(tab.set.status)]
    assert said in status
