"""The page: header, tabs, loading state; and every option that it is launched with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import BlocksConfig
from gradio.route_utils import FnIndexInferError
from markupsafe import Markup
from starlette.middleware import Middleware

from semerge.common import Progress, Stopwatch, UserError, naming, templates
from semerge.settings import Settings
from semerge.suites import Suite, available_suites, published_suites, read_suite
from semerge.suites.examples import Examples, load_examples
from semerge.ui import picker, theme
from semerge.ui.context import Context, Source
from semerge.ui.engines import State
from semerge.ui.links import Query
from semerge.ui.parts import html, model_event, page_event
from semerge.ui.posts import KEEP, OwnPosts, on_full_disk
from semerge.ui.safe import FirstPaint, OwnHost, OwnQuery, SafePage, busy, is_loopback, no_such
from semerge.ui.scene import picture
from semerge.ui.tabs import Tab, Update, registry
from semerge.ui.tabs.ask import Desk
from semerge.ui.words import macro

TITLE = "SE-Merging"
POLL = 0.6  # seconds between looks at the loading engines, until all have settled
_part = partial(macro, template="page.html")


def make_context(folders: Sequence[str] = (), watch: Stopwatch | None = None) -> Context:
    """The suites in `folders`, then the bundled and the published ones, each images first as the
    tabs are, and the examples.

    watch: told when each engine is there, and its opening example.

    What can't be read is left out and told on the page: one damaged file must not keep the rest
    from opening.
    """
    problems: list[str] = []
    suites: dict[str, Suite] = {}
    own: list[str] = []
    shipped = [name for name in (*available_suites(), *published_suites()) if name not in folders]
    for place in (*folders, *shipped):
        try:
            suite = read_suite(place)
            with naming(suite.folder):
                Settings().resolve(suite)  # what a tab opens with
        except UserError as error:
            problems.append(str(error))
            continue
        if place in folders:
            own.append(suite.name)
        if suites.setdefault(suite.name, suite) is not suite:
            problems.append(f"{suite.folder} is the second suite named {suite.name}.")
    try:
        examples = load_examples()
    except UserError as error:
        examples = Examples()
        problems.append(str(error))
    ordered = sorted(
        suites.values(), key=lambda s: (s.name not in own, s.published, s.modality != "image")
    )
    watch = watch or Stopwatch(False)
    context = Context.make(ordered, examples, partial(_load, watch), _fetch)
    context.problems = tuple(problems)
    return context


def _load(watch: Stopwatch, suite: Suite) -> Any:
    watch.lap(f"wait before {suite.name}")  # for the page, or for the suite before
    from semerge.engine import load_engine  # imports torch: seconds, so in the loading thread

    watch.lap("import torch and the engine")
    engine = load_engine(suite.folder, make_dear=False)
    watch.lap(f"load {suite.name}")
    return engine


def _fetch(suite: Suite, progress: Progress) -> None:
    from semerge.checkpoints.download import download
    from semerge.checkpoints.files import missing_files
    from semerge.suites.memory import check_memory

    if missing_files(suite):
        check_memory(suite)  # gigabytes that can't be loaded here need not come
    download(suite, progress=progress)


class Parts(BlocksConfig):
    """The components of a page. Gradio describes all of them anew for each visitor's first event,
    0.2 s of the processor for this page; here those that the visitor has as they were built are
    described once.

    descriptions: of a page's own components, by id; None for the page's own Parts, which change
    while it is built.
    """

    descriptions: dict[int, dict[str, Any]] | None = None

    def __init__(self, root_block: gr.Blocks) -> None:
        super().__init__(root_block)
        self.described: dict[int, dict[str, Any]] = {}

    def __copy__(self) -> Parts:
        copied = Parts(self.root_block)
        copied.__dict__ |= super().__copy__().__dict__
        copied.descriptions = self.described
        return copied

    def config_for_block(  # type: ignore[override]  # a static method there, called by instances
        self, number: int, rendered: list[int], block: Any, renderable: Any = None
    ) -> dict[str, Any]:
        make = super().config_for_block
        if (
            self.descriptions is None
            or renderable
            or self.root_block.blocks.get(number) is not block
        ):
            return make(number, rendered, block, renderable)
        if number not in self.descriptions:
            self.descriptions[number] = make(number, rendered, block)
        found = self.descriptions[number]
        return {**found, "props": {**found["props"]}}  # a visitor's values are put into the props


class Page(SafePage):
    """What `build` fills."""

    def __init__(self, context: Context, **options: Any) -> None:
        super().__init__(**options)
        self.context = context
        self.default_config = Parts(self)

    def first(self, query: Mapping[str, str]) -> Markup:
        """What is on the screen until the page's scripts have come, which takes seconds on a slow
        line: the opening example as it will be shown, or a word where the address names another
        state; and what a browser without scripts is told."""
        if "present" in query:
            return _part("without_scripts")
        # what begins so is the host's, and the theme
        plain = all(key.startswith("__") for key in query)
        suite = self.context.default("image") or self.context.default("text")
        view = self.context.opening.get(suite.name) if suite and plain else None
        file = view.example.file if view and view.example else None
        first = templates().get_template("first.html")
        html = first.render(
            view=view,
            picture=picture(view) if view else "",
            seen=picker.thumbnail(file) if file else "",
            plain=plain,
            theme=query.get("__theme", ""),
            style=theme.first(),
        )
        return _part("without_scripts") + Markup(html)


def build(context: Context) -> gr.Blocks:
    """The page. Needs no engine; the tabs fill when the engines are there."""
    with Page(context, title=TITLE, analytics_enabled=False, delete_cache=(KEEP, KEEP)) as page:
        html(_part("header"))
        for problem in context.problems:
            html(macro("failure", problem, "Left out."))
        status = html(_part("status", _first_states(context)), elem_id="status")
        notice = html("", elem_id="link-notice")
        opened = html("", elem_id="link-opened")
        built: list[Tab] = []
        with gr.Tabs(elem_id="tabs") as tabs:
            for tab in registry():
                if context.suites or not tab.needs_suite:
                    with gr.Tab(tab.label, id=tab.name, elem_id=f"{tab.name}-tab"):
                        if tab.modality is None or context.of(tab.modality):
                            built.append(tab(context))
                        else:
                            html(macro("failure", f"There is no {tab.name} suite here.", ""))
        desks = [tab for tab in built if isinstance(tab, Desk)]
        timer = _follow_loading(page, context, status, desks)
        _open_links(page, timer, tabs, notice, opened, [tab for tab in built if tab.outputs])
        _hand_over(context, tabs, notice, desks, {tab.label: tab for tab in built})
    page.queue(max_size=20, default_concurrency_limit=1, api_open=False)
    return page


def _open_links(
    page: gr.Blocks,
    timer: gr.Timer,
    tabs: gr.Tabs,
    notice: gr.HTML,
    opened: gr.HTML,
    restorable: Sequence[Tab],
) -> None:
    """Open the tab that the address names, as it was when the link was copied."""
    # what the address says, for the tab that it names: only that one takes a place in the queue
    named = {tab.name: gr.State({}) for tab in restorable}

    def select(request: gr.Request) -> Update:
        query = Query(dict(request.query_params))
        selected = {tabs: gr.Tabs(selected=query.tab)} if query.tab else {}
        return {notice: macro("notices", query.notices), **selected}

    def tell(request: gr.Request) -> Update:
        values = dict(request.query_params)
        name = Query(values).tab
        return {named[name]: values} if name in named else {opened: _part("opened")}

    # only after the tab is there: what it does as it is opened must not come after its restoring.
    # Queued, because a State tells its change by the queue alone
    page.load(select, None, [tabs, notice], **page_event()).then(
        tell, None, [opened, *named.values()], **page_event(queue=True)
    )
    for tab in restorable:

        def restore(values: dict[str, str], tab: Tab = tab) -> Update:
            query = Query(values)
            filled = tab.restore(query)
            return {notice: macro("notices", query.notices), **filled}

        state = named[tab.name]
        # the timer, because a link may have asked for a suite that has yet to come
        state.change(restore, state, [notice, *tab.outputs], **model_event()).then(
            lambda: {opened: _part("opened"), timer: gr.Timer(active=True)},
            None,
            [opened, timer],
            **page_event(),
        )


def _hand_over(
    context: Context, tabs: gr.Tabs, notice: gr.HTML, desks: Sequence[Desk], others: dict[str, Tab]
) -> None:
    """Let the buttons below a result open another tab with the same input."""
    for desk in desks:
        for label, button in desk.hand_over.items():

            def take(source: Source, name: str, tab: Tab = others[label]) -> Update:
                suite = context.suite(name)
                if suite not in tab.picker.suites:
                    told = f"{suite.title} can't be opened there; choose a bundled suite."
                    return {notice: macro("notices", [told])}
                taken = tab.take(suite, source)
                return {tabs: gr.Tabs(selected=tab.name), notice: "", **taken}

            outputs = [tabs, notice, *others[label].outputs]
            button.click(take, [desk.source, desk.options.suite], outputs, **model_event())


def _follow_loading(
    page: gr.Blocks, context: Context, status: gr.HTML, desks: list[Desk]
) -> gr.Timer:
    """Show how far the engines are, and each tab's opening example as soon as it is answered. The
    timer runs while there is something to follow."""
    filled = gr.State([])  # suites whose tab is settled, or was opened by a link
    asked = gr.State([])  # published suites that this visitor has chosen
    # not before the first look: that one alone is sure to see the address as it was opened
    timer = gr.Timer(POLL, active=False)
    panels = [component for desk in desks for component in desk.answered]

    def look(request: gr.Request, done: list[str], asked: list[str], *sources: Any) -> Update:
        shown: Update = {}
        done = list(done)
        for desk, source in zip(desks, sources, strict=True):
            name = desk.suite.name
            first = context.examples.opening(desk.modality, desk.suite.task_names)
            # whoever has asked something of his own by now keeps his answer, or still gets it
            asking = request.session_hash in desk.asking
            own = asking or first is None or source != {"example": first.index}
            state = context.engines.state(name)
            if state.settled and name not in done:
                done.append(name)
                shown |= {} if own else desk.settled(state)
        failed = [context.engines.state(name) for name in asked if context.engines.failed(name)]
        told = [*_first_states(context), *context.engines.arriving(), *failed]
        states = list({state.name: state for state in told}.values())
        running = gr.Timer(active=not all(state.settled for state in states))
        return {status: _part("status", states), timer: running, filled: done, **shown}

    def first_look(request: gr.Request, asked: list[str], *sources: Any) -> Update:
        # the tab that the address names gets its own answer
        tab = Query(dict(request.query_params)).tab
        done = [desk.suite.name for desk in desks if desk.name == tab]
        return look(request, done, asked, *sources)

    def chosen(name: str, before: list[str]) -> Update:
        # a published suite begins to come, and the status follows it until it is there or failed
        if not context.suite(name).published:
            return {timer: gr.Timer(active=True)}
        context.engines.prepare(name)
        return {timer: gr.Timer(active=True), asked: [*before, name]}

    for desk in desks:
        chooser = desk.options.suite
        chooser.input(chosen, [chooser, asked], [timer, asked], **page_event())
    inputs = [asked, *(desk.source for desk in desks)]
    outputs = [status, timer, filled, *panels]
    page.load(first_look, inputs, outputs, **page_event())
    timer.tick(look, [filled, *inputs], outputs, **page_event())
    return timer


def _first_states(context: Context) -> list[State]:
    """How far the suites are that the tabs open with; others load when somebody asks them."""
    suites = [context.default(modality) for modality in ("image", "text")]
    return [context.engines.state(suite.name) for suite in suites if suite]


def launch_options(host: str = "127.0.0.1", port: int | None = 7860) -> dict[str, Any]:
    """Everything that `launch` is called with. Nothing phones home, nothing is shared."""
    kinds: list[Any] = [OwnHost] if is_loopback(host) else []
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
        "app_kwargs": {
            "middleware": [Middleware(kind) for kind in (*kinds, OwnQuery, OwnPosts, FirstPaint)],
            "exception_handlers": {
                KeyError: no_such,
                FnIndexInferError: no_such,
                OSError: on_full_disk,
                503: busy,
            },
        },
        "head": theme.head(),
    }


def start(context: Context) -> gr.Blocks:
    """Build the page and let the engines load behind it, each tab's first suite."""
    page = build(context)
    context.engines.start([state.name for state in _first_states(context)])
    return page
