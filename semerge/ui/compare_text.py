"""What differs between two answers to one input: a sentence and a short table. No gradio here."""

from __future__ import annotations

from semerge.ui import words
from semerge.ui.markup import echo, esc, table
from semerge.ui.view import View

SETTINGS = {
    "preset": "Preset",
    "probe": "Probe",
    "layer": "Layer",
    "pool": "Pooling",
    "probe_lambda": "λ of the probed merge",
    "temperature": "Temperature",
    "mass": "Mass of the coefficients",
    "head": "Head that reads the answer",
    "fallback": "When no expert fits",
}


def differences(a: View, b: View) -> str:
    """The verdict, then every line in which the two differ."""
    rows = [line for line in _lines(a, b) if line[1] != line[2]]
    if not rows:
        return (
            '<p class="se-verdict same"><span>Nothing differs</span><small>A and B are the same '
            "configuration.</small></p>"
        )
    same, expert = a.answer("se") == b.answer("se"), a.result["chosen"] == b.result["chosen"]
    verdict = "Same answer" if same else "Different answers"
    by = "by the same expert" if expert else "by different experts"
    counted = f"{words.count(len(rows))} {'line' if len(rows) == 1 else 'lines'} of difference"
    return (
        f'<p class="se-verdict {"same" if same else "differ"}" aria-live="polite">'
        f"<span>{verdict}, {by}</span><small>{esc(counted)} between A and B</small></p>"
        + table("What differs between A and B", ("", "A", "B"), rows, kind="words")
    )


def _lines(a: View, b: View) -> list[tuple[str, ...]]:
    """Everything that is compared, as HTML: suite, settings, routing, answers, coefficients."""
    lines: list[tuple[str, ...]] = [("Suite", echo(a.suite.title), echo(b.suite.title))]
    lines += [(title, _setting(a, key), _setting(b, key)) for key, title in SETTINGS.items()]
    lines += [
        ("Expert chosen", *(echo(v.title(v.result["chosen"])) for v in (a, b))),
        ("Margin", *(words.percent(v.result["margin"]) for v in (a, b))),
        ("SE-Merging answers", *(_answer(v, "se") for v in (a, b))),
        ("The static merge answers", *(_answer(v, "static") for v in (a, b))),
    ]
    tasks = {task: v.title(task) for v in (b, a) for task in v.tasks}
    in_order = [*a.tasks, *(task for task in b.tasks if task not in a.tasks)]
    return lines + [
        (f"λ of {echo(tasks[task])}", _coefficient(a, task), _coefficient(b, task))
        for task in in_order
    ]


def _setting(view: View, key: str) -> str:
    value = view.result[key]
    if key == "layer":
        return esc(words.layer(value))
    if key == "head":
        return echo(view.title(value))
    if key == "mass":
        return "T·λ" if value == "T*lambda" else esc(value)
    if key == "fallback":
        return esc(words.FALLBACKS[value])
    if key == "pool":
        return esc(words.POOLS.get(value, "none"))
    return esc(f"{value:g}" if isinstance(value, float) else value)


def _answer(view: View, kind: str) -> str:
    best = view.result["predictions"][kind][0]
    return f"{echo(best['label'])}, score {words.percent(best['score'])}"


def _coefficient(view: View, task: str) -> str:
    if task not in view.tasks:
        return "–"
    return words.number(view.column("coefficients")[view.tasks.index(task)])


def side(which: str, view: View | None) -> str:
    """The heading of one side's panel, with the settings that it answers by."""
    said = ""
    if view is not None:
        r = view.result
        said = f"{view.suite.title}; preset {r['preset']}, probe {r['probe']}, "
        said += words.layer(r["layer"])
    return f'<div class="se-side-head"><h2>{which}</h2><p>{esc(said)}</p></div>'
