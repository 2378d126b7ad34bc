"""Numbers and sentences in plain English: the words of the result panel, without markup.

Every function returns plain text. Text from users and suites passes through unchanged; it is
escaped once, where it becomes HTML: in the templates, which call these functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from semerge.methods import METHODS
from semerge.probes import PROBES
from semerge.ui.view import View

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
MODELS = {
    "se": "SE-Merging",
    "expert": "Chosen expert alone",
    "base": "Base model",
    "own": "Your coefficients",
}
ABOUT = {
    "se": "coefficients set for this input",
    "static": "the same coefficients for every input",
    "expert": "no merging: the nearest expert by itself",
    "base": "before any fine-tuning",
    "own": "the coefficients that you set",
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
STAGES = {
    "preprocess": "Prepare input",
    "probe": "Probe",
    "route": "Similarity and rescaling",
    "merge": "Merge weights",
    "predict": "Second pass",
    "total": "Total",
}
KEPT = "kept"  # in place of a time
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


def whole(n: int) -> str:
    """A number of samples: 12,345."""
    return f"{n:,}"


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


def against(probe: str) -> str:
    """What a probe compares with what, as a phrase."""
    entry = PROBES[probe]
    return (entry.compares or entry.about).replace(" of this input is compared with", " against")


def method(view: View) -> str:
    """The merging method, with its options."""
    result = view.result
    options = listed([f"{k} {v}" for k, v in result.get("method_options", {}).items()] or [""])
    return METHODS[result["method"]].title + (f", {options}" if options else "")


def model(view: View, kind: str) -> str:
    """What a column is called: `se`, `static`, `expert`, `base` or `own`."""
    if kind == "static":
        return f"Static {METHODS[view.result['method']].title}"
    return MODELS[kind]


def compared(view: View) -> str:
    """What was compared with what, as a clause."""
    return PROBES[view.result["probe"]].compares


def facts(view: View) -> list[tuple[str, str]]:
    """Every setting that made a result, and what its coefficients amount to: names and values."""
    result = view.result
    total = sum(value or 0.0 for value in view.column("coefficients"))
    how = "some of them estimates" if view.estimated else "on raw distances"
    return [
        ("Probe", f"{result['probe']}: {probing(view)}"),
        ("Preset", result["preset"]),
        ("Temperature", number(result["temperature"])),
        ("Sum of coefficients", f"{number(total)} (mass {result['mass']})"),
        ("Static λ / probe λ", f"{result['lambda']:g} / {result['probe_lambda']:g}"),
        ("Margin", f"{number(result['margin'], 3)} = (d₂ − d₁) / d₂, {how}"),
        ("Entropy", f"{number(result['entropy'], 3)} (0 = one expert, 1 = all alike)"),
        ("Merging method", method(view)),
        ("Suite and weights", f"{result['suite']}, {str(result['weights_sha256'])[:12]}"),
        ("Version", result["version"]),
    ]


def made(view: View) -> str:
    """How this result was made: suite, preset and probe, in one sentence."""
    result = view.result
    mode = ", fast mode" if view.fast else ""
    if result["method"] != METHODS.names[0]:
        mode = f", method {method(view)}{mode}"
    text = (
        f"{view.suite.title}, preset {result['preset']}, probe {result['probe']}{mode}: "
        f"{probing(view)}"
    )
    if result["probe"] != "base" and result["probe_lambda"] != result["lambda"]:
        text += f"; the merged model that is probed has λ {result['probe_lambda']:g}"
    return text + "."


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
    """What happened, with this input's numbers, in one sentence."""
    return "".join(text for text, _ in sentence_parts(view))


def sentence_parts(view: View) -> list[tuple[str, str]]:
    """`sentence` as (text, role) pairs; role is "", "task", "number", "se" or "static"."""
    verb, old, new = change(view)
    head = "" if view.routed else f", read by the {view.title(view.result['head'])} head,"
    word = "at" if verb == "kept" else "from"
    parts = [
        (f"SE-Merging{' in fast mode' if view.fast else ''} recognised ", ""),
        (view.title(view.result["chosen"]), "task"),
        (f" {reached(view)}, {verb} that expert's coefficient {word} ", ""),
        (old if verb == "kept" else f"{old} to {new}", "number"),
        (f" and{head} answers ", ""),
        (view.answer("se"), "se"),
    ]
    if view.same:
        return [*parts, (f"; the static merge, {static_values(view)}, answers the same.", "")]
    parts.append((f"; the static merge keeps {static_values(view)} and answers ", ""))
    return [*parts, (view.answer("static"), "static"), (".", "")]


def static_values(view: View) -> str:
    """`0.30 for all eight`, or the range where the static coefficients differ."""
    values = [v for v in view.column("static_coefficients") if v is not None]
    low, high = number(min(values)), number(max(values))
    return f"{low if low == high else f'{low} to {high}'} for all {count(len(values))}"


def similarity_summary(view: View) -> str:
    """The similarity chart in words."""
    value = view.column("similarities")[view.chosen]
    text = f"{view.titles[view.chosen]} is the most similar ({number(value)})"
    if following := view.runner_up("similarities"):
        text += f"; next is {following[1]} ({number(following[0])})"
    text += f". The nearest two are {percent(view.result['margin'])} apart in distance."
    return f"{text} {ESTIMATES}" if view.estimated else text


def coefficient_summary(view: View) -> str:
    """The coefficient chart in words."""
    _, old, new = change(view)
    rest = view.others("coefficients")
    text = f"{view.titles[view.chosen]}: {old} before, {new} after."
    if rest:
        low, high = number(min(rest)), number(max(rest))
        others = f"The other {count(len(rest))}" if len(rest) > 1 else "The other"
        text += f" {others}: {static_values(view).split(' for all')[0]} before, "
        text += f"{low if low == high else f'{low} to {high}'} after."
    return text
