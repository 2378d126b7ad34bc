"""What the page says: a Result as the page shows it, in words and numbers, and as HTML.

No gradio here. Functions of words give plain text. Text becomes markup in one place, in the
templates of assets/templates, which call these functions as `words`: autoescape is on, and what
one template made goes into another as it is. `macros.html` has what several templates share.
"""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from semerge import common
from semerge.common import templates
from semerge.inputs import CleanText, DecodedImage, png_url
from semerge.methods import METHODS, Method
from semerge.probes import PROBES, Probe
from semerge.registry import TASK_ARITHMETIC
from semerge.result import of_100, today
from semerge.suites import Suite
from semerge.suites.examples import Example


@dataclass(frozen=True)
class View:
    """A Result with everything that its display needs. result: the JSON object of design section 4.
    example: the example that was asked about, if it was one: then the right answer is known.
    opening: True for the example that the page opens with. called: what the input is called, on a
    saved picture and in its file name. text: the sentences that were asked about."""

    result: Mapping[str, Any]
    suite: Suite
    example: Example | None = None
    opening: bool = False
    called: str = ""
    text: str = ""

    @property
    def tasks(self) -> list[str]:
        return list(self.result["tasks"])

    @property
    def titles(self) -> list[str]:
        """Names for people, in the order of `tasks`."""
        return [self.title(task) for task in self.tasks]

    def title(self, task: str) -> str:
        known = self.suite.task_names
        return self.suite.tasks[known.index(task)].title if task in known else task

    @property
    def chosen(self) -> int:
        """Position of the chosen expert in `tasks`."""
        return self.tasks.index(self.result["chosen"])

    @property
    def routed(self) -> bool:
        """True where the chosen expert's head answered, False where the user named another."""
        return bool(self.result["head"] == self.result["chosen"])

    def column(self, key: str) -> Sequence[float | None]:
        values: Sequence[float | None] = self.result[key]
        return values

    def others(self, key: str) -> list[float]:
        """A column without the chosen expert's value, and without those that are missing."""
        return [value for value, _ in self.beside(key)]

    def runner_up(self, key: str) -> tuple[float, str] | None:
        """The highest of the `others`, with its expert's name for people."""
        return max(self.beside(key), default=None)

    def beside(self, key: str) -> list[tuple[float, str]]:
        """The `others`, each with its expert's name for people."""
        both = zip(self.column(key), self.titles, strict=True)
        rest = [pair for i, pair in enumerate(both) if i != self.chosen]
        return [(value, title) for value, title in rest if value is not None]

    @property
    def asked(self) -> str:
        """The input, in words."""
        if self.text or self.example is None:
            return self.text or "own image"
        example = self.example
        if example.text:
            return PAIR.join(filter(None, (example.text, example.text_b)))
        number = f" {example.index + 1}" if example.index >= 0 else ""
        return f"example{number}: {example.label} ({self.title(example.task)})"

    @property
    def download(self) -> str:
        """The JSON object as a data URL, with the input and the day."""
        saved = {"input": self.asked, "date": today(), **self.result}
        text = json.dumps(saved, indent=2, ensure_ascii=False, allow_nan=False)
        data = base64.b64encode(text.encode("utf-8")).decode("ascii")
        return f"data:application/json;base64,{data}"

    def answer(self, kind: str) -> str:
        """The best label of `se`, `static`, `expert` or `base`."""
        return str(self.result["predictions"][kind][0]["label"])

    @property
    def fast(self) -> bool:
        """Whether the fast mode answered."""
        # get: the Layers tab's own routing does not tell, nor do older files
        return bool(self.result.get("fast"))

    @property
    def estimated(self) -> bool:
        """Whether some of the distances are the fast mode's estimates."""
        return bool(self.result.get("estimated"))

    @property
    def same(self) -> bool:
        """True where SE-Merging and the static merge give the same label."""
        return self.answer("se") == self.answer("static")

    @property
    def fits(self) -> bool:
        """False where no expert fits the input; True also where that is not known."""
        return self.result.get("fits") is not False

    @property
    def reliable(self) -> int | None:
        """Of 100 of its own test samples, how many the chosen expert gets right; None where the
        suite does not tell, and where no expert fits: such samples were others."""
        share = self.result.get("expert_accuracy")
        return None if share is None or not self.fits else of_100(share)

    @property
    def clearer(self) -> int | None:
        """Of 100 test samples, for how many the choice of the expert is clearer; None where the
        suite does not tell."""
        share = self.result.get("clearer")
        return None if share is None else of_100(share)

    @property
    def usual(self) -> Sequence[float | None]:
        """By expert, how far it usually is from samples of its own task; empty where the suite does
        not tell."""
        return self.result.get("usual_distances") or ()

    def right(self, kind: str) -> bool | None:
        """Whether a column is right: None where the right answer is not known. Two tasks may share
        a class name, so the head has to be the right task's as well."""
        if self.example is None:
            return None
        return self.result["head"] == self.example.task and self.answer(kind) == self.example.label

    @property
    def routed_right(self) -> bool | None:
        """Whether the chosen expert is the example's own: None where that is not known."""
        return None if self.example is None else self.result["chosen"] == self.example.task


# --------------------------------------------------------------------------------------------------
# Numbers and sentences in plain English.

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
MODELS = {
    "se": "SE-Merging",
    "expert": "Chosen expert alone",
    "base": "Base model",
    "own": "Your coefficients",
}
POOLS = {
    "all": "all tokens",
    "cls": "the class token",
    "mean": "the mean of the tokens",
    "last": "the last token",
}
FALLBACKS = {"route": "route all the same", "static": "fall back to the static coefficients"}
CHOICES: dict[str, dict[Any, str]] = {  # values in a menu, by field of the settings
    "layer": {"final": "final embedding"},
    "pool": {
        "all": "all tokens",
        "cls": "class token",
        "mean": "mean",
        "last": "last token",
        "final": "none",
    },
    "head": {"auto": "auto: the chosen expert's"},
    "fallback": FALLBACKS,
}
CENTRES = {
    "merged": "this input in the merged model",
    "base": "this input in the base model",
    "": "a distance of zero",
}
KEPT = "kept"  # in place of a time
PAIR = " | "  # between two sentences
STAMP = 60  # characters of an input in a picture that is saved
ESTIMATES = "Fast mode: distances of experts that were dropped early are estimates."


def number(value: float | None, digits: int = 2) -> str:
    """A number for a person: fixed digits, small ones not shown as zero, missing as a dash."""
    if value is None or not math.isfinite(value):
        return "–"
    if value != 0 and abs(value) < 0.5 * 10**-digits:
        return ("<" if value > 0 else ">−") + f"{10**-digits:.{digits}f}"
    return f"{value:.{digits}f}".replace("-", "−")


def distance(value: float | None) -> str:
    """A raw distance: its scale depends on layer and pooling, so four significant digits."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.4g}"


def percent(value: float | None) -> str:
    """A share in [0, 1] as a percentage; 100 % and 0 % only where they are exact."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{100 * value:.1f}"
    if text == "100.0" and value < 1:
        return ">99.9\u00a0%"
    if text == "0.0" and value > 0:
        return "<0.1\u00a0%"
    return f"{text}\u00a0%"


def excerpt(text: str, most: int = 90) -> str:
    """A text on one line, cut where it is longer than so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def file_name(*parts: str) -> str:
    """Parts of a file's name as one that every system takes, without its ending and date."""
    safe = (re.sub(r"[^\w.+-]+", "_", part).strip("._")[:48] for part in parts)
    return "-".join(part for part in ("semerge", *safe) if part)


def whole(n: int) -> str:
    """A number of samples: 12,345."""
    return f"{n:,}"


def samples(n: int) -> str:
    """`1 sample`, `12,345 samples`."""
    return common.samples(n)


def count(n: int) -> str:
    return COUNTS[n] if 0 <= n < len(COUNTS) else str(n)


def milliseconds(value: float) -> str:
    if value >= 1000:
        return f"{value / 1000:.1f}\u00a0s"
    return f"{value:.0f}\u00a0ms" if value >= 10 else f"{value:.1f}\u00a0ms"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def layer(value: int | str) -> str:
    return "the final embedding" if value == "final" else f"block {value}"


def place(row: Mapping[str, Any]) -> str:
    """Layer, pooling and λ of one way to measure distances, as a report has it."""
    text = layer(row["layer"])
    if row["layer"] != row["pool"]:
        text += f", {POOLS[row['pool']]}"
    return text + (f", λ {row['probe_lambda']:g}" if row["probe_lambda"] else "")


def interval(row: Mapping[str, Any], count: bool = True) -> str:
    """A share of a report with its 95 % interval, and its number of samples."""
    if not row["n"]:
        return "no samples"
    text = f"{percent(row['share'])} ({bounds(row)}"
    return text + (f", n = {row['n']})" if count else ")")


def bounds(row: Mapping[str, Any], between: str = " to ") -> str:
    """The interval of a share, in percent."""
    return f"{100 * row['low']:.1f}{between}{100 * row['high']:.1f}"


def limits(within: tuple[float, float]) -> str:
    """The interval of a share, beside it: `67.9–90.1`."""
    low, high = within
    return f"{100 * low:.1f}–{100 * high:.1f}"


def reached(view: View) -> str:
    """Where the experts were compared. The fast mode may have dropped them all but one before."""
    return f"{'by' if view.estimated else 'at'} {layer(view.result['layer'])}"


def probing(view: View) -> str:
    """Where and how the representations were compared, as one phrase."""
    result = view.result
    where = reached(view)
    if result["layer"] != "final" and not view.estimated:  # before that layer it is another pooling
        where += f", over {POOLS.get(result['pool'], result['pool'])}"
    return f"{against(result['probe'])}, {where}"


@lru_cache
def _probe(name: str) -> Probe:
    return PROBES[name]


@lru_cache
def _method(name: str) -> Method:
    return METHODS[name]


def against(probe: str) -> str:
    """What a probe compares with what, as a phrase."""
    entry = _probe(probe)
    return (entry.compares or entry.about).replace(" of this input is compared with", " against")


def method(view: View) -> str:
    """The merging method, with its options."""
    result = view.result
    options = listed([f"{k} {v}" for k, v in result.get("method_options", {}).items()] or [""])
    return _method(result["method"]).title + (f", {options}" if options else "")


def model(view: View, kind: str) -> str:
    """What a column is called: `se`, `static`, `expert`, `base` or `own`."""
    if kind == "static":
        return f"Static {_method(view.result['method']).title}"
    return MODELS[kind]


def compared(view: View) -> str:
    """What was compared with what, as a clause."""
    return _probe(view.result["probe"]).compares


def centre(view: View) -> str:
    """What the distances are from, a key of CENTRES."""
    return _probe(view.result["probe"]).centre


def setting(view: View) -> str:
    """What answered: suite, method, preset and probe, in one sentence."""
    result = view.result
    return (
        f"{view.suite.title}, {method(view)}, preset {result['preset']}, probe {result['probe']}: "
        f"{probing(view)}."
    )


def made(view: View) -> str:
    """How this result was made: suite, preset and probe, in one sentence."""
    result = view.result
    mode = ", fast mode" if view.fast else ""
    if result["method"] != TASK_ARITHMETIC:
        mode = f", method {method(view)}{mode}"
    text = (
        f"{view.suite.title}, preset {result['preset']}, probe {result['probe']}{mode}: "
        f"{probing(view)}"
    )
    if result["probe"] != "base" and result["probe_lambda"] != result["lambda"]:
        text += f"; the merged model that is probed has λ {result['probe_lambda']:g}"
    return text + "."


def origin(view: View) -> str:
    """What a saved picture is of: input, suite, method and preset."""
    asked = view.asked if len(view.asked) <= STAMP else view.asked[:STAMP].rstrip() + "…"
    return " · ".join([asked, view.suite.title, method(view), f"preset {view.result['preset']}"])


def kept(view: View) -> str:
    """What the stages without a time mean; empty where there are none."""
    stages = [stage for stage, spent in view.result["timings_ms"].items() if spent is None]
    if not stages:
        return ""
    also = ", as were the static merge's and the base model's answers" if "probe" in stages else ""
    return f"Kept: computed for an earlier answer to the same input{also}."


def change(view: View) -> tuple[str, str, str]:
    """The chosen expert's coefficient: `raised`, `lowered` or `kept`, before, after."""
    before = view.column("static_coefficients")[view.chosen]
    after = view.column("coefficients")[view.chosen]
    old, new = number(before), number(after)
    if old == new or before is None or after is None:
        return "kept", old, new
    return ("raised" if after > before else "lowered"), old, new


def sentence(view: View) -> str:
    """What happened, in words that need no method: the headline."""
    return "".join(text for text, _ in sentence_parts(view))


def sentence_parts(view: View) -> list[tuple[str, str]]:
    """`sentence` as (text, role) pairs; role is "", "task", "doubt", "se" or "static"."""
    task = view.suite.tasks[view.chosen]
    # what each preset but `hard` makes need not answer as its expert does
    speaker = (
        "its expert" if view.answer("se") == view.answer("expert") else "the merge made for it"
    )
    read = "" if view.routed else f"read with the {view.title(view.result['head'])} head, "
    if view.fits:
        parts = [
            ("This looks like ", ""),
            *([(task.item, "task")] if task.item else [("an input of ", ""), (task.title, "task")]),
            (f"; {read}{speaker} says ", ""),
        ]
    else:
        parts = [
            ("No expert fits this input.", "doubt"),
            (" The nearest is ", ""),
            (task.title, "task"),
            (f", and {read}{speaker} says ", ""),
        ]
    parts.append((view.answer("se"), "se"))
    if view.same:
        return [*parts, (". The one-size merge says the same.", "")]
    return [
        *parts,
        (". The one-size merge says ", ""),
        (view.answer("static"), "static"),
        (".", ""),
    ]


TERMS = {
    "base": "The model before any fine-tuning: what all experts began as.",
    "expert": "The base, fine-tuned for one task: good there, often poor elsewhere.",
    "merge": "One model made of many: the base, plus a share of what each expert changed.",
    "coefficient": "How much of an expert's changes goes into the merge, λ: 0 is none, 1 is all.",
    "head": "The last step, which turns what a model made of an input into one of some classes.",
    "probe layer": "Where inside the models this input is compared: after so many blocks.",
    "routing": "Choosing, for each input anew, which expert counts most: the nearest.",
}
"""What a visitor can't know, each in one sentence."""


def method_parts(view: View) -> list[tuple[str, str]]:
    """How the method came to the headline, with this input's numbers, as (text, role) pairs; role
    is "", a key of TERMS, "task" or "number"."""
    verb, old, new = change(view)
    mode = "SE-Merging in fast mode" if view.fast else "SE-Merging"
    where = f"{reached(view)}, the "
    parts = [
        ("Routing", "routing"),
        (f" by {mode}: {where}", ""),
        ("probe layer", "probe layer"),
        (", the ", ""),
        ("expert", "expert"),
        (" for ", ""),
        (view.title(view.result["chosen"]), "task"),
        (" is the nearest. Its ", ""),
        ("coefficient", "coefficient"),
        (" stays at " if verb == "kept" else f" is {verb} from ", ""),
        (old if verb == "kept" else f"{old} to {new}", "number"),
    ]
    if alone(view):
        parts += [
            (": here the ", ""),
            ("merge", "merge"),
            (" becomes the chosen expert itself", ""),
        ]
    else:
        parts += [(", and the ", ""), ("merge", "merge"), (" is made anew for this input", "")]
    whose = "its" if view.routed else f"the {view.title(view.result['head'])}"
    return [
        *parts,
        (f"; {whose} ", ""),
        ("head", "head"),
        (" reads the answer. The one-size, static merge is the ", ""),
        ("base", "base"),
        (f" with {static_values(view)}.", ""),
    ]


def alone(view: View) -> bool:
    """Whether the merge is the chosen expert itself: its coefficient 1, the others 0."""
    values = view.column("coefficients")
    one_hot = all(v == float(i == view.chosen) for i, v in enumerate(values))
    return one_hot and view.result["method"] == TASK_ARITHMETIC


def static_values(view: View) -> str:
    """`0.30 for all eight`, or the range where the static coefficients differ."""
    values = [v for v in view.column("static_coefficients") if v is not None]
    return f"{span(values)} for all {count(len(values))}"


def span(values: Sequence[float]) -> str:
    """`0.30`, or `0.10 to 0.30` where they differ."""
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def longest(view: View) -> float:
    """The largest of all distances that are shown, the usual ones too; never 0."""
    known = [d for d in (*view.column("distances"), *view.usual) if d is not None]
    return max((d for d in known if math.isfinite(d)), default=0.0) or 1.0


def distance_summary(view: View) -> str:
    """The distances in words."""
    distances = view.column("distances")
    at = distances[view.chosen]
    text = f"{view.titles[view.chosen]} is the nearest, at {distance(at)}"
    if view.usual:
        text += f"; its own samples usually are at {distance(view.usual[view.chosen])}"
    further = [(d, title) for d, title in view.beside("distances") if math.isfinite(d)]
    if further:
        second, title = min(further)
        text += f". The next is {title}, at {distance(second)}"
    return f"{text}. {ESTIMATES}" if view.estimated else f"{text}."


def similarity_summary(view: View) -> str:
    """The similarity chart in words."""
    value = view.column("similarities")[view.chosen]
    text = f"{view.titles[view.chosen]} is the most similar of these experts ({number(value)})"
    if following := view.runner_up("similarities"):
        text += f"; next is {following[1]} ({number(following[0])})"
    text += f". The nearest two are {percent(view.result['margin'])} apart in distance."
    return f"{text} {ESTIMATES}" if view.estimated else text


def coefficient_summary(view: View) -> str:
    """The coefficient chart in words."""
    _, old, new = change(view)
    text = f"{view.titles[view.chosen]}: {old} before, {new} after."
    if rest := view.others("coefficients"):
        others = f"The other {count(len(rest))}" if len(rest) > 1 else "The other"
        before = span([v for v in view.column("static_coefficients") if v is not None])
        text += f" {others}: {before} before, {span(rest)} after."
    return text


# --------------------------------------------------------------------------------------------------
# HTML from templates.

# Gradio's HTML component reads its template (never its value) as Handlebars and as a JavaScript
# template string; escaping these too keeps a value harmless wherever it ends up.
_SIGNS = {ord("{"): "&#123;", ord("$"): "&#36;", ord("`"): "&#96;"}


templates().globals["words"] = sys.modules[__name__]


def render(template: str, /, **values: Any) -> Markup:
    """A template of assets/templates, filled. Text among the values is escaped."""
    text = templates().get_template(template).render(values)
    return Markup(text.translate(_SIGNS).strip())


def seen(image: Any, size: str = "") -> Markup:
    """An image as the model sees it (PIL), with what it says below it."""
    return macro("seen", png_url(image), size or _size(image))


def given(sample: DecodedImage | CleanText, image: Any) -> Markup:
    """What was asked about, beside its answer. image: as the model sees it (PIL); None for text."""
    if isinstance(sample, DecodedImage):
        return macro("given_image", png_url(image), _size(image))
    return macro("given_text", sample.text, sample.text_b)


def _size(image: Any) -> str:
    return f"{image.width}\u00a0×\u00a0{image.height}\u00a0px"


_NAMED = r"[^/\\'\",;:()\s]"  # a letter of a file's name, which a space may be inside of one
_FOLDERS = re.compile(
    rf"(?<![^\s'\"(])(?:~|[A-Za-z]:)?(?:[/\\]{_NAMED}+(?: {_NAMED}+)*)+[/\\](?={_NAMED})"
)


def without_folders(text: str) -> str:
    """A sentence that names files by their folder's name alone: where on the server it lies is told
    to no client."""
    return _FOLDERS.sub(lambda path: re.split(r"[/\\]", path[0])[-2] + "/", text)


def macro(name: str, /, *args: Any, template: str = "macros.html", **values: Any) -> Markup:
    """One macro of a template, called."""
    made = getattr(templates().get_template(template).module, name)(*args, **values)
    return Markup(str(made).translate(_SIGNS).strip())


def button(tab: str, state: Mapping[str, Any], note: str = "") -> Markup:
    """The "Copy link" button of a tab. The page's script also keeps the address bar at this state.
    state: values by name; None and "" are left out. note: what the link can't hold."""
    told = {"tab": tab, **{k: v for k, v in state.items() if v not in (None, "")}}
    query = urlencode(told, errors="replace")  # a lone half of a surrogate pair has no UTF-8
    return macro("link", query, note)
