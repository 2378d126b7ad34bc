"""The page: header, tabs, loading state; and every option that it is launched with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import gradio as gr

from semerge.errors import UserError
from semerge.examples import Examples, load_examples
from semerge.progress import Progress
from semerge.suites import Suite, available_suites, published_suites, read_suite
from semerge.ui import markup, theme
from semerge.ui.about import about_tab
from semerge.ui.compare import CompareTab
from semerge.ui.context import Context
from semerge.ui.desk import Desk
from semerge.ui.engines import State
from semerge.ui.events import model_event, page_event
from semerge.ui.inspector import InspectTab
from semerge.ui.language import LanguageTab
from semerge.ui.layers import LayersTab
from semerge.ui.links import Query
from semerge.ui.result_panel import html
from semerge.ui.sandbox import SandboxTab
from semerge.ui.tab import Tab
from semerge.ui.vision import VisionTab

TITLE = "SE-Merging"
OTHERS: dict[str, type[Any]] = {
    "Inspect": InspectTab,
    "Layers": LayersTab,
    "Sandbox": SandboxTab,
    "Compare": CompareTab,
}
POLL = 0.6  # seconds between looks at the loading engines, until all have settled
KEEP = 3600  # seconds: uploads older than this are deleted, looked for as often


def make_context(folders: Sequence[str] = ()) -> Context:
    """The suites in `folders`, then the bundled and the published ones, and the examples.

    What can't be read is left out and told on the page: one damaged file must not keep the rest
    from opening.
    """
    problems: list[str] = []
    suites: dict[str, Suite] = {}
    shipped = [name for name in (*available_suites(), *published_suites()) if name not in folders]
    for place in (*folders, *shipped):
        try:
            suite = read_suite(place)
        except UserError as error:
            problems.append(str(error))
            continue
        if suites.setdefault(suite.name, suite) is not suite:
            problems.append(f"{suite.folder} is the second suite named {suite.name}.")
    try:
        examples = load_examples()
    except UserError as error:
        examples = Examples()
        problems.append(str(error))
    context = Context.make(list(suites.values()), examples, _load, _fetch)
    context.problems = tuple(problems)
    return context


def _load(suite: Suite) -> Any:
    from semerge.engine import load_engine  # imports torch: seconds, so in the loading thread

    return load_engine(suite.folder, os.environ.get("SEMERGE_DEVICE", "cpu"))


def _fetch(suite: Suite, progress: Progress) -> None:
    from semerge.checkpoints.download import download

    download(suite, progress=progress)


def build(context: Context) -> gr.Blocks:
    """The page. Needs no engine; the tabs fill when the engines are there."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEEP, KEEP)) as page:
        html(markup.header())
        for problem in context.problems:
            html(markup.failure(problem, "Left out."))
        status = html(markup.status(_first_states(context)), elem_id="status")
        notice = html("", elem_id="link-notice")
        desks: list[Desk] = []
        others: list[Tab] = []
        with gr.Tabs(elem_id="tabs") as tabs:
            for label, make in (("Vision", VisionTab), ("Language", LanguageTab)):
                with gr.Tab(label, id=label.lower()):
                    if context.of(make.modality):
                        desks.append(make(context))
                    else:
                        html(markup.failure(f"There is no {label.lower()} suite here.", ""))
            for label, tab in OTHERS.items() if context.suites else ():
                with gr.Tab(label, id=label.lower()):
                    others.append(tab(context))
            with gr.Tab("About", id="about"):
                about_tab(context)
        _open_links(page, tabs, notice, [*desks, *others])
        _follow_loading(page, context, status, desks)
    page.queue(max_size=20, default_concurrency_limit=1, api_open=False)
    return page


def _open_links(page: gr.Blocks, tabs: gr.Tabs, notice: gr.HTML, restorable: Sequence[Tab]) -> None:
    """Open the tab that the address names, as it was when the link was copied."""

    def select(request: gr.Request) -> Any:
        name = Query(dict(request.query_params)).tab
        return gr.Tabs(selected=name) if name else gr.skip()

    def restore(tab: Tab, request: gr.Request) -> list[Any]:
        query = Query(dict(request.query_params))
        if query.tab != tab.name:
            return [gr.skip() for _ in (notice, *tab.restored)]
        values = tab.restore(query)
        return [markup.notices(query.notices), *values]

    page.load(select, None, tabs, **page_event())
    for tab in restorable:

        def load(request: gr.Request, tab: Tab = tab) -> list[Any]:
            return restore(tab, request)

        page.load(load, None, [notice, *tab.restored], **model_event())


def _follow_loading(page: gr.Blocks, context: Context, status: gr.HTML, desks: list[Desk]) -> None:
    """Show how far the engines are, and each tab's opening example as soon as it is answered."""
    filled = gr.State([])
    asked = gr.State([])  # published suites that this visitor has chosen
    timer = gr.Timer(POLL)
    panels = [component for desk in desks for component in desk.outputs]

    def look(filled: list[str], asked: list[str], *sources: Any) -> list[Any]:
        values: list[Any] = []
        done = list(filled)
        for desk, source in zip(desks, sources, strict=True):
            name = desk.suite.name
            first = context.examples.opening(desk.modality)
            # whoever has asked something of his own by now keeps his answer
            own = first is None or source != {"example": first.index}
            state = context.engines.state(name)
            fresh = state.settled and name not in done
            if fresh:
                done.append(name)
            values += desk.settled(state) if fresh and not own else [gr.skip()] * len(desk.outputs)
        failed = [context.engines.state(name) for name in asked if context.engines.failed(name)]
        shown = [*_first_states(context), *context.engines.arriving(), *failed]
        states = list({state.name: state for state in shown}.values())
        running = gr.Timer(active=not all(state.settled for state in states))
        return [markup.status(states), running, done, *values]

    def chosen(name: str, asked: list[str]) -> list[Any]:
        # a published suite begins to come, and the status follows it until it is there or failed
        if context.suite(name).published:
            context.engines.prepare(name)
            asked = [*asked, name]
        return [gr.Timer(active=True), asked]

    for desk in desks:
        chooser = desk.options.suite
        chooser.input(chosen, [chooser, asked], [timer, asked], **page_event())
    inputs = [filled, asked, *(desk.source for desk in desks)]
    outputs = [status, timer, filled, *panels]
    page.load(look, inputs, outputs, **page_event())
    timer.tick(look, inputs, outputs, **page_event())


def _first_states(context: Context) -> list[State]:
    """How far the suites are that the tabs open with; others load when somebody asks them."""
    suites = [context.default(modality) for modality in ("image", "text")]
    return [context.engines.state(suite.name) for suite in suites if suite]


def launch_options(host: str = "127.0.0.1", port: int | None = 7860) -> dict[str, Any]:
    """Everything that `launch` is called with. Nothing phones home, nothing is shared."""
    return {
        "server_name": host,
        "server_port": port,
        "share": False,
        "inbrowser": False,
        "quiet": True,
        "max_file_size": "10mb",
        "show_error": False,  # unexpected errors stay in the log; expected ones are UserErrors
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "strict_cors": True,
        "mcp_server": False,
        "pwa": False,
        "footer_links": ["api"],
        "state_session_capacity": 200,
        "max_threads": 8,
        "theme": theme.theme(),
        "css_paths": list(theme.STYLES),
        "head": theme.head(),
    }


def start(context: Context) -> gr.Blocks:
    """Build the page and let the engines load behind it, each tab's first suite."""
    page = build(context)
    context.engines.start([state.name for state in _first_states(context)])
    return page
