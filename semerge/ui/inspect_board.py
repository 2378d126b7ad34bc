"""The figures of an inspection as HTML: accuracies, the counts that filter, and the matrix of tasks
and chosen experts. Buttons carry their action as JSON in `data-act`, see assets/scripts/inspect.js.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from semerge.ui import words
from semerge.ui.inspect_look import FILTERS, Look
from semerge.ui.markup import CHECK, echo, esc, table

if TYPE_CHECKING:
    from semerge.evaluation.inspection import Inspection

MODELS = {"base": "Base model", "static": "Static Task Arithmetic", "se": "SE-Merging"}


def act(label: str, key: str, pressed: bool | None = None, name: str = "", **action: Any) -> str:
    """A button of the page. label: ready HTML. key: what finds it again after the HTML was drawn
    anew, so that the focus stays. name: for a screen reader, where the label does not tell."""
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    named = f' aria-label="{esc(name)}"' if name else ""
    return (
        f'<button type="button" data-key="{esc(key)}" data-act="{esc(json.dumps(action))}"'
        f"{state}{named}>{label}</button>"
    )


def figures(found: Inspection) -> str:
    """What was run, in a sentence; accuracies as a mean over tasks; and task by task."""
    from semerge.evaluation.inspection import figures as figures_of  # imports torch

    content = figures_of(found)
    average, about = content["average"], found.about()
    split = about["split"]
    where = esc(about["data"]) if split in about["data"] else f"{esc(about['data'])}, {esc(split)}"
    lead = (
        f'<p class="se-sentence">On {about["done"]:,} samples SE-Merging is right in '
        f'<strong class="is-se">{words.percent(average["se_oracle"])}</strong> and the static '
        f'merge in <strong class="is-static">{words.percent(average["static_oracle"])}</strong>, '
        "both read with the head of the sample's own task; the right expert is chosen in "
        f"<strong>{words.percent(average['routing'])}</strong>.</p>"
        f'<p class="se-hint">From {where}. {esc(_settings(about))} '
        "Each figure is the mean over the tasks.</p>"
    )
    return f'<div class="se-figures">{lead}{_accuracies(average)}{_by_task(found, content)}</div>'


def _settings(about: Mapping[str, Any]) -> str:
    where = words.layer(about["layer"])
    pool = "" if about["layer"] == about["pool"] else f", over {words.POOLS[about['pool']]}"
    return f"Preset {about['preset']}, probe {about['probe']} at {where}{pool}."


def _accuracies(average: Mapping[str, float]) -> str:
    rows = [
        (title, *(words.percent(average[f"{kind}_{head}"]) for head in ("oracle", "routed")))
        for kind, title in MODELS.items()
    ]
    rows.append(("The task's expert alone", words.percent(average["expert"]), "–"))
    rows.append(("Right expert chosen", "–", words.percent(average["routing"])))
    heads = ("Right answers", "Own task's head", "Chosen expert's head")
    return table("Mean over tasks; the head is the one that reads the answer", heads, rows)


def _by_task(found: Inspection, content: Mapping[str, Any]) -> str:
    keys = ("base_oracle", "static_oracle", "se_oracle", "expert", "se_routed", "routing")
    rows = [
        (
            echo(found.suite.task(name).title),
            *(words.percent(row[key]) for key in keys),
            f"{row['n']:,}",
        )
        for name, row in content["tasks"].items()
    ]
    heads = ("Task", "Base", "Static", "SE", "Expert", "SE, routed", "Right expert", "Samples")
    caption = "Own task's head, but for “routed”: there a wrong expert is a wrong answer"
    return (
        '<details class="se-details"><summary>Task by task</summary>'
        f"{table(caption, heads, rows)}</details>"
    )


def board(found: Inspection, look: Look) -> str:
    """The counts and the matrix: what narrows the table."""
    return f'<div class="se-board">{_counts(found, look)}{_matrix(found, look)}</div>'


def _counts(found: Inspection, look: Look) -> str:
    from semerge.evaluation.inspection import counts  # imports torch

    numbers = counts(found, look.head)
    buttons = ""
    for name, (title, usual) in FILTERS.items():
        about = f"below {found.low_margin:.2g}" if name == "low margin" else usual
        label = f"<b>{numbers[name]:,}</b><span>{esc(title)}</span><small>{esc(about)}</small>"
        buttons += act(label, f"filter {name}", look.filter == name, do="filter", value=name)
    return f'<div class="se-counts" role="group" aria-label="Show samples">{buttons}</div>'


def _matrix(found: Inspection, look: Look) -> str:
    from semerge.evaluation.inspection import matrix  # imports torch

    titles, names = [t.title for t in found.suite.tasks], found.suite.task_names
    top = "".join(f'<th scope="col"><span>{echo(title)}</span></th>' for title in titles)
    body = ""
    for task, title, line in zip(names, titles, matrix(found), strict=True):
        if sum(line):
            cells = _cells(look, task, title, list(zip(names, titles, line, strict=True)))
            body += f'<tr><th scope="row">{echo(title)}</th>{cells}</tr>'
    caption = "Task of the sample (rows) and chosen expert (columns); a cell shows its samples"
    return (
        f'<div class="se-scroll se-matrix" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f"<table><caption>{esc(caption)}</caption><thead><tr><td></td>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cells(look: Look, task: str, title: str, line: Sequence[tuple[str, str, int]]) -> str:
    total, cells = sum(count for _, _, count in line), ""
    for chosen, other, count in line:
        if not count:
            cells += "<td>0</td>"
            continue
        own = chosen == task
        name = f"{title}, expert {other} chosen: {count} of {total}"
        mark = CHECK if own else ""
        button = act(
            f"{mark}{count:,}",
            f"cell {task} {chosen}",
            (look.task, look.chosen) == (task, chosen),
            name,
            do="cell",
            task=task,
            chosen=chosen,
        )
        # the shade says how much of the row this is; the number says it too
        share = round(100 * count / total)
        kind = "own" if own else "other"
        cells += f'<td class="{kind}" style="--share:{share}%">{button}</td>'
    return cells
