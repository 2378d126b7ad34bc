"""The app without a browser: words, markup, charts, loading, launch options, and the live API."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from browsing import timeless
from fakes import FakeEngine, fake_app, fake_examples, fake_suite
from gradio.blocks import BlocksConfig
from gradio.state_holder import SessionState
from markupsafe import escape
from PIL import Image

from semerge.common import UserError
from semerge.result import today
from semerge.settings import PRESETS, Settings
from semerge.suites.examples import Example, Examples, load_examples
from semerge.ui import charts, picker, words
from semerge.ui.context import Context
from semerge.ui.engines import Engines
from semerge.ui.words import View, macro

# Gradio's queue asks pandas for what pandas has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")

HOSTILE = "<script>alert(1)</script><b onclick='x'>{{y}}${z}`"


def part(name: str, view: View) -> str:
    """One part of the Result panel."""
    return macro(name, view, template="panel.html")


def status(engines: Engines) -> str:
    return macro("status", engines.states(), template="page.html")


def view_of(modality: str = "image", seed: str = "a", **changes: Any) -> View:
    """A View of a fake Result; `changes` replace keys of the JSON object."""
    suite = fake_suite(modality)
    result = FakeEngine(suite).predict(seed).to_dict()
    return View({**result, **changes}, suite)


def with_answers(view: View, se: str, static: str) -> View:
    """The same view, with other best labels."""
    predictions = {k: list(v) for k, v in view.result["predictions"].items()}
    for kind, label in (("se", se), ("static", static), ("expert", se)):
        predictions[kind] = [{"label": label, "score": 0.9}, *predictions[kind]]
    return dataclasses.replace(view, result={**view.result, "predictions": predictions})


# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.3, "0.30"), (0.0, "0.00"), (1e-4, "<0.01"), (-1e-4, ">−0.01"), (-1.5, "−1.50"), (None, "–"),
     (float("nan"), "–"), (float("inf"), "–")],
)  # fmt: skip
def test_numbers_are_never_rounded_to_a_lie(value: float | None, expected: str) -> None:
    assert words.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.0, "100.0 %"), (0.99999, ">99.9 %"), (0.0, "0.0 %"), (1e-5, "<0.1 %"), (0.4567, "45.7 %")],
)
def test_percent_is_full_or_nil_only_where_it_is_exact(value: float, expected: str) -> None:
    assert words.percent(value) == expected.replace(" ", "\u00a0")


def called(view: View, item: str) -> View:
    """The view, with what one input of the chosen task is called."""
    tasks = tuple(
        dataclasses.replace(t, item=item if t.name == view.result["chosen"] else "another")
        for t in view.suite.tasks
    )
    return dataclasses.replace(view, suite=dataclasses.replace(view.suite, tasks=tasks))


def method_text(view: View) -> str:
    return "".join(text for text, _ in words.method_parts(view))


def test_the_headline_tells_what_it_looks_like_and_both_answers_in_plain_words() -> None:
    view = with_answers(view_of(chosen="mnist", head="mnist"), "digit 3", "digit 8")
    said = "; its expert says digit 3. The one-size merge says digit 8."
    assert words.sentence(called(view, "a handwritten digit")) == (
        f"This looks like a handwritten digit{said}"
    )
    assert words.sentence(view) == f"This looks like an input of MNIST{said}"
    roles = {role: text for text, role in words.sentence_parts(view)}
    assert (roles["se"], roles["static"], roles["task"]) == ("digit 3", "digit 8", "MNIST")


def test_the_headline_names_no_expert_where_the_merge_answers_otherwise() -> None:
    view = with_answers(view_of(chosen="mnist", head="mnist"), "digit 3", "digit 8")
    predictions = {**view.result["predictions"], "expert": [{"label": "digit 5", "score": 0.9}]}
    other = dataclasses.replace(view, result={**view.result, "predictions": predictions})
    assert "; the merge made for it says digit 3." in words.sentence(other)


def test_the_sentence_says_so_when_both_answer_the_same() -> None:
    text = words.sentence(with_answers(view_of(), "digit 3", "digit 3"))
    assert text.endswith("says digit 3. The one-size merge says the same.")


def test_the_sentence_tells_a_head_that_the_user_chose() -> None:
    view = view_of(head="eurosat", chosen="mnist")
    assert "read with the EuroSAT head, " in words.sentence(view)
    assert "; the EuroSAT head reads the answer." in method_text(view)


def test_the_second_line_tells_expert_layer_and_coefficients_in_the_methods_terms() -> None:
    view = view_of()
    text = method_text(view)
    after = words.number(view.column("coefficients")[view.chosen])
    assert (
        f"at block 4, the probe layer, the expert for {view.title(view.result['chosen'])}" in text
    )
    assert f"is raised from 0.30 to {after}" in text
    assert text.endswith("static merge is the base with 0.30 for all eight.")
    used = [role for _, role in words.method_parts(view) if role in words.TERMS]
    assert sorted(used) == sorted(words.TERMS)
    # and each has one sentence, where the glossary and the buttons agree on its name
    glossary = macro("glossary", template="page.html")
    html = part("headline", view)
    for term, sentence in words.TERMS.items():
        assert sentence.count(".") == 1 and sentence.endswith(".")
        key = f"term-{term.replace(' ', '-')}"
        assert f'<dd id="{key}">{escape(sentence)}</dd>' in glossary
        assert html.count(f'aria-describedby="{key}"') == 1


def test_a_merge_that_is_the_chosen_expert_itself_is_called_that() -> None:
    view = view_of()
    alone = [float(i == view.chosen) for i in range(8)]
    same = dataclasses.replace(view, result={**view.result, "coefficients": alone})
    assert "here the merge becomes the chosen expert itself" in method_text(same)
    assert "becomes" not in method_text(view)
    # of another method's task vectors the sum is not the expert
    ties = dataclasses.replace(same, result={**same.result, "method": "ties"})
    assert "becomes" not in method_text(ties)


def test_each_task_lists_its_classes(tmp_path: Path) -> None:
    for modality, kind in (("image", "image"), ("text", "text")):
        suite = fake_suite(modality)
        html = str(picker.content(suite, Examples()))
        for i, task in enumerate(suite.tasks, 1):
            key = f"classes-{kind}-{i}"
            assert f'popovertarget="{key}">{len(task.classes)} classes</button>' in html
            held = html.split(f'id="{key}"', 1)[1].split("</div>", 1)[0]
            assert [escape(c) for c in task.classes] == [
                re.sub(r"<.*?>", "", item) for item in re.findall(r"<li>(.*?)</li>", held)
            ]


@pytest.mark.parametrize(("after", "verb"), [(0.9, "raised"), (0.1, "lowered"), (0.3, "kept")])
def test_the_change_of_the_coefficient_is_named(after: float, verb: str) -> None:
    view = view_of()
    values = list(view.column("coefficients"))
    values[view.chosen] = after
    changed = dataclasses.replace(view, result={**view.result, "coefficients": values})
    assert words.change(changed)[0] == verb
    assert ("stays at" if verb == "kept" else verb) in method_text(changed)


def test_softmaxed_similarity_is_never_called_a_probability() -> None:
    view = view_of()
    text = part("headline", view) + part("answers", view) + part("figures", view)
    text += words.similarity_summary(view) + words.coefficient_summary(view)
    assert "probab" not in text.lower()


def test_a_probe_lambda_of_its_own_is_shown() -> None:
    assert "λ 0.02" in words.made(view_of(probe_lambda=0.02))
    assert "λ" not in words.made(view_of()) and "block 4, over the mean" in words.made(view_of())


def test_missing_numbers_are_dashes_not_crashes() -> None:
    view = view_of(distances=[None] * 8, margin=None, entropy=None)
    assert "–" in part("figures", view)
    assert words.similarity_summary(view)


# ---- markup --------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Checks that every tag that is opened is closed, in order."""

    VOID = frozenset(("img", "br", "input", "path", "circle"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def parse(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert not tags.open
    return tags


def hostile_view() -> View:
    """Every string that a user or a suite can set is hostile."""
    view = with_answers(view_of(), HOSTILE, HOSTILE + "2")
    tasks = tuple(dataclasses.replace(t, title=HOSTILE) for t in view.suite.tasks)
    suite = dataclasses.replace(view.suite, tasks=tasks, title=HOSTILE)
    result = {**view.result, "notices": [HOSTILE], "preset": HOSTILE, "version": HOSTILE}
    return View(result, suite, Example(0, "mnist", HOSTILE), opening=True)


@pytest.mark.parametrize(
    "name", ["headline", "answers", "references", "probe", "figures", "footer"]
)
def test_markup_is_well_formed_and_escapes_everything(name: str) -> None:
    html = part(name, hostile_view())
    tags = parse(html)
    assert not [t for t, a in tags.seen if t == "script" or any(k.startswith("on") for k in a)]
    assert "{{" not in html and "${" not in html and "`" not in html


def test_differences_are_told_by_words() -> None:
    html = part("answers", with_answers(view_of(), "digit 3", "digit 8"))
    assert "Different answers" in html and "differs from SE" in html
    html = part("answers", with_answers(view_of(), "digit 3", "digit 3"))
    assert "Same answer" in html and "differs" not in html


def test_right_and_wrong_need_the_right_tasks_head() -> None:
    view = with_answers(view_of(head="mnist", chosen="mnist"), "digit 3", "digit 8")
    known = dataclasses.replace(view, example=Example(0, "mnist", "digit 3"))
    assert known.right("se") is True and known.right("static") is False
    # the same class name of another task is no right answer
    other = dataclasses.replace(known, result={**view.result, "head": "charts"})
    assert other.right("se") is False
    assert view.right("se") is None


def test_the_opening_example_says_why_it_was_picked_only_if_it_is_true() -> None:
    view = with_answers(view_of(head="mnist", chosen="mnist"), "digit 3", "digit 8")
    first = dataclasses.replace(view, example=Example(0, "mnist", "digit 3"), opening=True)
    assert "Picked because SE-Merging gets it and the static merge" in part("headline", first)
    assert 'data-goto="about"' in part("headline", first)
    same = dataclasses.replace(with_answers(first, "digit 8", "digit 8"))
    assert "Picked because" not in part("headline", same)


def test_doubt_comes_first_and_mutes_the_answers() -> None:
    view = with_answers(view_of(fits=False, expert_accuracy=0.784), "digit 3", "digit 8")
    sentence = words.sentence(view)
    assert sentence.startswith(
        "No expert fits this input. The nearest is MNIST, and its expert says"
    )
    assert "digit 3" in sentence and "digit 8" in sentence and "looks like" not in sentence
    shown = part("answers", view)
    # on both cards, and in the line that a phone keeps in sight
    assert 'class="se-pair unfit"' in shown and shown.count("no expert fits") == 3
    # how often the expert is right is said of samples of its own task, which this is not
    assert view.reliable is None and "of 100" not in part("headline", view)


@pytest.mark.parametrize("fits", [True, None])
def test_how_often_the_expert_is_right_stands_beside_the_answer(fits: bool | None) -> None:
    view = view_of(fits=fits, expert_accuracy=0.784)
    headline = part("headline", view)
    assert "Right in <b>78 of 100</b> such inputs" in headline
    assert "This looks like" in headline and "unfit" not in part("answers", view)
    assert "of 100" not in part("headline", view_of(fits=fits, expert_accuracy=None))


def test_the_picked_example_says_so_however_it_is_asked_for(tmp_path: Path) -> None:
    suite, examples = fake_suite(), load_examples(fake_examples(tmp_path))
    context = Context.make([suite], examples, FakeEngine)
    context.engines.start([suite.name])
    first = examples.opening("image", suite.task_names)
    assert first is not None
    settings = Settings(preset="literal").resolve(suite)
    for source, opens in (({"example": first.index}, True), ({"example": first.index + 1}, False)):
        view, _ = context.ask(suite.name, source, settings)
        assert view.opening is opens
        assert ('href="#rates"' in part("headline", view)) is opens


def test_an_entropy_that_is_always_0_is_not_shown() -> None:
    assert "<dt>Entropy</dt>" in part("figures", view_of())
    assert "Entropy" not in part("figures", view_of(temperature=0.0, preset="hard"))


def test_one_sample_is_one() -> None:
    assert (words.samples(1), words.samples(0), words.samples(1234)) == (
        "1 sample", "0 samples", "1,234 samples",
    )  # fmt: skip


def test_the_table_has_the_figures_of_the_result() -> None:
    view = view_of()
    html = part("figures", view)
    assert html.count("<tr") == 9 and html.count("chosen</span>") == 1
    for value in view.column("coefficients"):
        assert words.number(value, 3).replace("<", "&lt;") in html or words.number(value, 3) in html


def test_the_download_is_the_result_itself() -> None:
    import base64

    view = view_of("text", "ein Satz mit ümlaut")
    data = re.search(r"base64,([^\"]+)\"", part("footer", view))
    saved = json.loads(base64.b64decode(data[1])) if data else {}
    assert saved.pop("input") == view.asked and saved.pop("date") == today()
    assert saved == view.result


# ---- charts --------------------------------------------------------------------------------------


def test_the_similarity_chart_holds_the_results_numbers_in_order() -> None:
    view = view_of()
    chart = charts.similarity(view)
    told = f"{words.number(view.column('similarities')[view.chosen])} chosen"
    assert [row.value for row in chart.rows if row.chosen] == [told]
    assert [row.title for row in chart.rows] == view.titles
    assert [row.length for row in chart.rows] == pytest.approx(view.column("similarities"))
    assert {row.start for row in chart.rows} == {0.0} and chart.zero == 0
    html = charts.rows(chart)
    assert html.count("<li") == 8 and html.count("chosen</span>") == 1
    for row in chart.rows:
        assert f"width:{100 * row.length:.2f}%" in html and row.title in html


def test_the_coefficient_chart_holds_before_and_after() -> None:
    view = view_of()
    chart = charts.coefficients(view)
    assert [row.length for row in chart.rows] == pytest.approx(view.column("coefficients"))
    assert [row.mark for row in chart.rows] == pytest.approx(view.column("static_coefficients"))
    html = charts.rows(chart)
    assert html.count("<b style=") == 8  # another shape, not another colour alone
    assert html.count("→") == 8


def test_charts_escape_labels_and_survive_missing_numbers() -> None:
    text = charts.rows(charts.similarity(hostile_view()))
    assert "<script" not in text
    view = view_of(similarities=[None] * 8, coefficients=[None] * 8)
    for chart in (charts.similarity(view), charts.coefficients(view)):
        assert all(row.length == 0 and "–" in row.value for row in chart.rows)
        assert charts.rows(chart).count("width:0.00%") == 8


@pytest.mark.parametrize("values", [[-3.0, -1, -2, -4, -5, -6, -7, -8], [1e6] * 8, [0.0] * 8])
def test_charts_fit_any_range(values: list[float]) -> None:
    chart = charts.similarity(view_of(similarities=values))
    for row in chart.rows:
        assert 0 <= row.start <= row.start + row.length <= 1 + 1e-9
    places = [place for place, _ in chart.ticks]
    assert 2 <= len(places) <= 6 and places == sorted(places)
    assert min(places) >= 0 and max(places) <= 1 + 1e-9
    assert any(text == "0" and place == chart.zero for place, text in chart.ticks)


# ---- loading -------------------------------------------------------------------------------------


def test_engines_load_once_in_order_and_are_waited_for() -> None:
    loaded: list[str] = []

    def load(name: str) -> str:
        loaded.append(name)
        time.sleep(0.05)
        return name.upper()

    engines = Engines({"a": "A", "b": "B"}, load)
    engines.start(["a", "b"])
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(engines.get("b"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["B"] * 5 and loaded == ["a", "b"]


def test_a_broken_suite_is_told_and_leaves_the_others_alone() -> None:
    def load(name: str) -> str:
        if name == "bad":
            raise UserError("The file x is damaged.")
        if name == "worse":
            raise RuntimeError("internal path /etc")
        return name

    engines = Engines({"bad": "Bad", "worse": "Worse", "good": "Good"}, load)
    engines.start(["bad", "worse", "good"]).join()
    assert engines.get("good") == "good"
    with pytest.raises(UserError, match="The file x is damaged"):
        engines.get("bad")
    with pytest.raises(UserError, match="see the log") as error:
        engines.get("worse")
    assert "/etc" not in str(error.value)
    with pytest.raises(UserError, match="unknown"):
        engines.get("nobody")


def test_an_engine_that_takes_too_long_is_told() -> None:
    engines = Engines({"a": "A"}, lambda name: time.sleep(1))
    with pytest.raises(UserError, match="still loading"):
        engines.get("a", patience=0.05)


def test_the_status_names_what_is_loading_and_nothing_when_ready() -> None:
    engines = Engines({"a": HOSTILE}, str)
    assert "waiting" in status(engines)
    parse(status(engines))
    engines.start(["a"]).join()
    assert status(engines) == ""


# ---- examples and report -------------------------------------------------------------------------


def test_examples_are_read_and_grouped(tmp_path: Path) -> None:
    examples = load_examples(fake_examples(tmp_path))
    assert len(examples.vision) == 32 and len(examples.text) == 56
    opening = examples.opening("image")
    assert opening and opening.index == 1
    grouped = examples.by_task("image", ["mnist", "nothing"])
    assert len(grouped["mnist"]) == 4 and grouped["nothing"] == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vision": [{"file": "../x.png", "task": "a", "label": "b"}]}, "no file of"),
        ({"text": [{"task": "a", "label": "b"}]}, "text.*missing"),
        ({"vision": {}}, "must be a list"),
        ({"first": {"text": 999}}, "names no example"),
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = fake_examples(tmp_path) / "index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        load_examples(tmp_path)


def test_a_folder_without_an_index_has_no_examples(tmp_path: Path) -> None:
    assert load_examples(tmp_path).opening("image") is None


ROW = {"n": 10, "base_oracle": 0.2, "static_oracle": 0.5, "se_oracle": 0.9, "expert": 0.91,
       "se_routed": 0.88, "static_routed": 0.4, "routing": 0.97}  # fmt: skip


@pytest.mark.parametrize("nest", [lambda r: r, lambda r: {"other": 1, "test": r}])
def test_a_report_is_read_by_its_keys(tmp_path: Path, nest: Any) -> None:
    from semerge.evaluation.tables import read_rates
    from semerge.ui.tabs.about import rates, summary

    suite = dataclasses.replace(fake_suite(), folder=tmp_path)
    assert read_rates(suite) is None
    line = {"line": "expert", "on": "mnist", "met": False, "value": 0.836, "target": 0.85}
    report = {"tasks": {"mnist": ROW, "<b>": {**ROW, "expert": None}}, "average": ROW, "split": "t"}
    report["lines"] = [line, {**line, "met": True}]
    (tmp_path / "report.json").write_text(json.dumps(nest(report)))
    found = read_rates(suite)
    assert found and found.titles == ["MNIST", "<b>"]
    assert found.series()["expert"] == [0.91, None]
    if "test" not in nest(report):
        (missed,) = found.missed
        assert "MNIST: 83.6\u00a0% where 85.0\u00a0% was wanted" in missed
    assert "<b></th>" not in rates(found) and "90.0\u00a0%" in rates(found)
    assert "SE-Merging 90.0\u00a0%" in summary(found) and "88.0\u00a0%" in summary(found)
    parse(rates(found))


# ---- the live app --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[str]:
    """The page with fake engines, served on a free port: its address."""
    with fake_app(folder) as url:
        yield url


@pytest.fixture(scope="module")
def client(app: str) -> Any:
    from gradio_client import Client

    return Client(app, verbose=False)


VISION = ("mini-vision", "sharp", "experts", 4, "mean", "auto")
TEXT = ("mini-text", "sharp", "experts", 4, "mean", "auto")


def ask_image(client: Any, file: Path, *choices: Any) -> Any:
    from gradio_client import handle_file

    return client.predict(handle_file(file), *(choices or VISION), api_name="/predict_image")


def test_launch_options_are_safe() -> None:
    from semerge.ui.app import launch_options

    options = launch_options()
    assert options["server_name"] == "127.0.0.1"
    for key in (
        "share",
        "show_error",
        "run_history",
        "enable_monitoring",
        "ssr_mode",
        "mcp_server",
    ):
        assert options[key] is False
    assert options["strict_cors"] is True and options["max_file_size"] == "10mb"
    assert "allowed_paths" not in options
    assert all(Path(path).is_file() for path in options["css_paths"])
    assert "http" not in options["head"]


def test_styles_and_scripts_ask_no_network() -> None:
    from semerge.ui import picker, theme

    scripts = picker.SCRIPTS.glob("*.js")
    for file in (*theme.STYLES, *theme.HEAD_STYLES, *theme.SCRIPTS, *scripts):
        text = file.read_text(encoding="utf-8")
        assert "http:" not in text and "https:" not in text and "@import" not in text


def test_the_api_answers_with_the_commands_json(client: Any, folder: Path) -> None:
    from semerge.inputs import decode_image

    file = folder / "vision" / "gtsrb_2.png"
    answer = ask_image(client, file)
    expected = FakeEngine(fake_suite()).predict(decode_image(file), Settings()).to_dict()
    assert timeless(answer) == timeless(json.loads(json.dumps(expected)))
    answer = client.predict("Play some music", "", *TEXT, api_name="/predict_text")
    expected = FakeEngine(fake_suite("text")).predict("Play some music").to_dict()
    assert timeless(answer) == timeless(json.loads(json.dumps(expected)))


def test_settings_reach_the_engine(client: Any, folder: Path) -> None:
    choices = ("mini-vision", "literal", "base", "final", "mean", "eurosat")
    answer = ask_image(client, folder / "vision" / "mnist_0.png", *choices)
    got = [answer[k] for k in ("preset", "probe", "layer", "pool", "head")]
    assert got == ["literal", "base", "final", "final", "eurosat"]


def bad_files(folder: Path) -> dict[str, bytes]:
    png = (folder / "vision" / "mnist_0.png").read_bytes()
    return {
        "empty.png": b"",
        "text.png": b"this is no image",
        "page.jpg": b"<html><script>alert(1)</script></html>",
        "cut.png": png[: len(png) // 2],
        "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "vector.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }


@pytest.mark.parametrize(
    "name", ["empty.png", "text.png", "page.jpg", "cut.png", "vector.png", "vector.svg"]
)
def test_a_bad_image_gets_one_sentence_and_the_next_one_works(
    client: Any, folder: Path, tmp_path: Path, name: str
) -> None:
    from gradio_client.exceptions import AppError

    file = tmp_path / name
    file.write_bytes(bad_files(folder)[name])
    with pytest.raises(AppError) as error:
        ask_image(client, file)
    text = str(error.value)
    assert re.search("image|SVG", text) and "Traceback" not in text and "\n" not in text
    assert ask_image(client, folder / "vision" / "mnist_0.png")["suite"] == "mini-vision"


def test_unusual_images_get_an_answer(client: Any, folder: Path, tmp_path: Path) -> None:
    picture = Image.open(folder / "vision" / "eurosat_0.png")
    saved = {
        "deep.png": Image.effect_noise((64, 64), 50).convert("I;16"),
        "clear.png": picture.convert("RGBA"),
        "frames.gif": picture,
    }
    for name, image in saved.items():
        more = {"save_all": True, "append_images": [picture.rotate(90)]} if "gif" in name else {}
        image.save(tmp_path / name, **more)
        assert ask_image(client, tmp_path / name)["suite"] == "mini-vision"


def test_a_huge_image_is_refused_before_it_is_decoded(client: Any, tmp_path: Path) -> None:
    from gradio_client.exceptions import AppError

    file = tmp_path / "huge.png"
    Image.new("1", (9400, 9400)).save(file)
    with pytest.raises(AppError, match="megapixels"):
        ask_image(client, file)


def test_a_deleted_upload_is_told_without_its_path() -> None:
    from semerge.suites.examples import Examples

    suite = fake_suite()
    context = Context.make([suite], Examples(), FakeEngine)
    with pytest.raises(UserError, match="deleted") as error:
        context.ask(suite.name, {"file": "/tmp/gradio/gone.png"}, Settings())
    assert "/tmp" not in str(error.value)


def test_no_image_and_no_sentence_are_told(client: Any) -> None:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match="Choose or upload an image"):
        client.predict(None, *VISION, api_name="/predict_image")
    for text in ("", "   ", "\u200b\u200b"):
        with pytest.raises(AppError, match="Type a sentence"):
            client.predict(text, "", *TEXT, api_name="/predict_text")


@pytest.mark.parametrize("text", [HOSTILE, "😀", "=1+1", "שלום", "a" * 2000, "\x00nul\u202e"])
def test_strange_sentences_get_an_answer(client: Any, text: str) -> None:
    assert client.predict(text, "", *TEXT, api_name="/predict_text")["suite"] == "mini-text"


def test_refusals_and_crashes_are_told_apart(client: Any) -> None:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match=r"This sentence is refused\."):
        client.predict("refuse", "", *TEXT, api_name="/predict_text")
    with pytest.raises(AppError) as error:
        client.predict("fail", "", *TEXT, api_name="/predict_text")
    assert "secret" not in str(error.value)
    with pytest.raises(AppError, match="2,000"):
        client.predict("a" * 100_000, "", *TEXT, api_name="/predict_text")


def test_only_the_two_endpoints_are_public(client: Any) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/predict_image", "/predict_text"}


def test_the_page_and_its_config_name_no_other_host(app: str) -> None:
    import httpx

    with httpx.Client(trust_env=False, verify=False) as http:
        page = http.get(app).text
        direct = http.post(app + "gradio_api/run/predict_text", json={"data": ["x", "", *TEXT]})
    assert direct.status_code == 404  # the queue can't be passed by
    hosts = set(re.findall(r"https?://([\w.-]+)", page))
    # named by gradio, never asked: metadata of the page, and what a file component's API shows
    meta = {
        "github.com",
        "gradio.app",
        "www.gradio.app",
        "raw.githubusercontent.com",
        "www.w3.org",
        "127.0.0.1",
    }
    assert hosts <= {*meta, "arxiv.org", "localhost"}


def test_opening_examples_are_computed_with_the_engines(folder: Path) -> None:
    suite = fake_suite("image")
    context = Context.make([suite], load_examples(fake_examples(folder)), FakeEngine)
    assert not context.opening
    context.engines.start([suite.name]).join()
    view = context.opening[suite.name]
    assert view.opening and view.example and view.example.index == 1
    assert view.result["suite"] == suite.name and context.seen[suite.name].size == (48, 48)


def test_a_stored_opening_result_is_there_before_the_engines(tmp_path: Path) -> None:
    suite = fake_suite("text")
    stored = FakeEngine(suite).predict("x").to_dict()
    (fake_examples(tmp_path) / "first_text.json").write_text(json.dumps(stored))
    context = Context.make([suite], load_examples(tmp_path), FakeEngine)
    assert context.opening[suite.name].result == json.loads(json.dumps(stored))
    # of another suite it would be wrong
    other = fake_suite("text", name="other")
    assert not Context.make([other], load_examples(tmp_path), FakeEngine).opening


def test_a_damaged_suite_is_told_and_the_page_opens(tmp_path: Path) -> None:
    from semerge.ui.app import build, make_context

    (tmp_path / "suite.json").write_text("{")
    context = make_context([str(tmp_path), str(tmp_path / "nowhere")])
    assert len(context.problems) == 2 and "can't be read as JSON" in context.problems[0]
    texts = [str(c["props"].get("value")) for c in build(context).get_config_file()["components"]]
    assert any("can&#39;t be read as JSON" in text for text in texts)


def test_a_second_suite_of_a_name_is_told_and_the_first_one_counts() -> None:
    from semerge.suites import SUITES_FOLDER
    from semerge.ui.app import make_context

    folder = SUITES_FOLDER / "mini-text"
    context = make_context([str(folder)])
    assert context.problems == (f"{folder} is the second suite named mini-text.",)
    assert list(context.suites)[:2] == ["mini-text", "mini-vision"]
    assert list(make_context().suites)[:2] == ["mini-vision", "mini-text"]


def test_the_app_gives_a_real_engines_numbers(tmp_path: Path) -> None:
    from tiny import tiny_text_suite, tiny_vision_suite

    from semerge.engine import load_engine
    from semerge.suites import read_suite
    from semerge.suites.examples import Examples

    folders = [tiny_vision_suite(tmp_path / "v"), tiny_text_suite(tmp_path / "t")]
    suites = [read_suite(folder) for folder in folders]
    engines = {suite.name: load_engine(suite.folder) for suite in suites}
    context = Context.make(suites, Examples(), lambda suite: engines[suite.name])
    file = tmp_path / "x.png"
    Image.effect_mandelbrot((64, 48), (-3, -2.5, 2, 2.5), 100).save(file)
    settings = Settings(preset="literal", layer=1)
    view, seen = context.ask(suites[0].name, {"file": str(file)}, settings)
    same = engines[suites[0].name].predict(Image.open(file), settings).to_dict()
    assert {**view.result, "timings_ms": 0} == {**same, "timings_ms": 0}
    assert seen.size == (16, 16)
    view, _ = context.ask(suites[1].name, {"text": "a cat and a dog"}, settings)
    same = engines[suites[1].name].predict("a cat and a dog", settings).to_dict()
    assert {**view.result, "timings_ms": 0} == {**same, "timings_ms": 0}
    for name in ("headline", "answers", "references", "probe", "figures", "footer"):
        parse(part(name, view))


def test_a_page_without_any_suite_still_opens() -> None:
    from semerge.suites.examples import Examples
    from semerge.ui.app import build

    page = build(Context.make([], Examples(), FakeEngine))
    texts = [str(c["props"].get("value")) for c in page.get_config_file()["components"]]
    assert any("There is no vision suite here" in text for text in texts)


def test_options_offer_what_the_suite_has() -> None:
    import gradio as gr

    from semerge.ui.options import Options

    suite = dataclasses.replace(fake_suite("text"), statistics=None)
    with gr.Blocks():
        options = Options([suite], "x")
        updates = options.defaults(suite)
        whole = Options([fake_suite("text")], "y")
    assert [c[1] for c in updates[options.fields["probe"]]["choices"]] == ["experts", "base"]
    assert [c[1] for c in updates[options.fields["layer"]]["choices"]] == [
        1,
        2,
        3,
        4,
        5,
        6,
        "final",
    ]
    read = whole.read(fake_suite("text"), ("sharp", "cache", 4, "all", "auto", None))
    assert read.pool is None  # `all` has no meaning for the cache probe on text
    assert set(PRESETS) == {"literal", "sharp", "hard", "zscore"}


def test_drawings_are_checked() -> None:
    from semerge.ui.picker import png

    with pytest.raises(UserError, match="Draw something"):
        png("")
    for bad in (7, "data:text/html;base64,AAAA", "data:image/png;base64,%%%"):
        with pytest.raises(UserError, match="not a readable image"):
            png(bad)
    with pytest.raises(UserError, match="too large"):
        png("data:image/png;base64," + "A" * 3_000_000)
    assert png("data:image/png;base64,AAAA") == b"\x00\x00\x00"


def test_the_image_as_seen_is_shown_pixel_by_pixel() -> None:
    from semerge.ui.words import seen

    html = seen(Image.new("RGB", (48, 48), "red"))
    parse(html)
    assert "48\u00a0×\u00a048\u00a0px" in html and 'alt="The input as the model sees it' in html


def test_a_visitor_has_the_parts_as_they_were_built() -> None:
    """What Gradio would describe for each visitor, and nobody's values but their own."""
    import gradio as gr

    from semerge.suites.examples import Examples
    from semerge.ui.app import build

    page = build(Context.make([fake_suite("image"), fake_suite("text")], Examples(), FakeEngine))
    first, second = SessionState(page), SessionState(page)
    own = {k: BlocksConfig.config_for_block(k, [], v) for k, v in page.blocks.items()}
    assert first.config_values == second.config_values == own
    number = next(k for k, v in page.blocks.items() if getattr(v, "elem_id", "") == "language-text")
    first._update_value_in_config(number, "mine")
    first[number] = gr.Textbox(label="another")
    first._update_config(number)
    assert second.config_values == SessionState(page).config_values == own
    assert first.config_values[number]["props"]["label"] == "another"


def test_the_page_says_what_it_needs(app: str) -> None:
    with httpx.Client(trust_env=False, verify=False) as http:
        page = http.get(app).text
    (told,) = re.findall(r"<noscript>(.*?)</noscript>", page)
    assert re.sub(r"<.*?>", "", told) == (
        "This page needs JavaScript. Without it, python -m semerge predict gives the same answers."
    )
