"""HTML of the result panel. The one place where text becomes markup, so the one that escapes it."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from semerge.inputs import CleanText, DecodedImage
from semerge.ui import words
from semerge.ui.engines import State
from semerge.ui.view import View

TOP = 5  # predictions listed in a panel


def esc(text: object) -> str:
    """Text as literal HTML, also inside attributes.

    `{`, `$` and the backtick are escaped too: Gradio's HTML component reads its template (never its
    value) as Handlebars and as a JavaScript template string, and this keeps it so for any use.
    """
    escaped = html.escape(str(text), quote=True)
    return escaped.translate({ord("{"): "&#123;", ord("$"): "&#36;", ord("`"): "&#96;"})


def echo(text: object) -> str:
    """A user's or suite's words inside a sentence: their direction can't leak out."""
    return f'<bdi dir="auto">{esc(text)}</bdi>'


def headline(view: View) -> str:
    """The sentence, why this example opens the page, the right answer, and the notices."""
    spans = []
    for text, role in words.sentence_parts(view):
        spans.append(f'<strong class="is-{role}">{echo(text)}</strong>' if role else esc(text))
    parts = [f'<p class="se-sentence" aria-live="polite">{"".join(spans)}</p>']
    if view.opening:
        parts.append(_opening(view))
    if view.example is not None:
        parts.append(truth(view))
    if view.result["notices"]:
        parts.append(notes(view.result["notices"]))
    return f'<div class="se-headline">{"".join(parts)}</div>'


def _opening(view: View) -> str:
    rates = '<a href="#rates" data-goto="about">See the overall rates</a>'
    why = "One example to start with."
    if view.right("se") and view.right("static") is False:
        why = (
            "This example was picked because the static merge misses it and SE-Merging gets it. "
            "That is not always so."
        )
    return f'<p class="se-why">{why} {rates}.</p>'


def truth(view: View) -> str:
    assert view.example is not None
    task = view.title(view.example.task)
    text = f"Right answer: <b>{echo(view.example.label)}</b> <span>({echo(task)})</span>"
    if view.routed_right is False:
        text += f'<span class="se-badge wrong">{CROSS}wrong expert chosen</span>'
    return f'<p class="se-truth">{text}</p>'


def notes(texts: Sequence[str]) -> str:
    """What the reader has to know about this result, in one box."""
    lines = "".join(f"<p>{esc(text)}</p>" for text in texts)
    return f'<div class="se-notice" role="note"><b>Note</b><div>{lines}</div></div>'


def answers(view: View) -> str:
    """SE-Merging and the static merge in two equal cards, the difference in words between them."""
    verdict = "Same answer" if view.same else "Different answers"
    mark = "same" if view.same else "differ"
    head = view.title(view.result["head"])
    source = "the chosen expert's head" if view.routed else "the head you chose"
    return (
        f'<p class="se-verdict {mark}"><span>{verdict}</span>'
        f"<small>Both read with the {echo(head)} head, {source}.</small></p>"
        f'<div class="se-pair">{card(view, "se")}{card(view, "static")}</div>'
    )


def references(view: View) -> str:
    """The chosen expert alone and the base model, for comparison."""
    return f'<div class="se-pair">{card(view, "expert")}{card(view, "base")}</div>'


CHECK = '<span aria-hidden="true">✓ </span>'
CROSS = '<span aria-hidden="true">✗ </span>'
ABOUT = {
    "se": "coefficients set for this input",
    "static": "the same coefficients for every input",
    "expert": "no merging: the nearest expert by itself",
    "base": "before any fine-tuning",
    "own": "the coefficients that you set",
}


def card(view: View, kind: str) -> str:
    """One model's answer: the best label large, then the first classes with their scores."""
    best = view.result["predictions"][kind][0]
    badges = ""
    right = view.right(kind)
    if right is not None:
        word = f"{CHECK}right" if right else f"{CROSS}wrong"
        badges += f'<span class="se-badge {"right" if right else "wrong"}">{word}</span>'
    if kind != "se" and view.answer(kind) != view.answer("se"):
        badges += '<span class="se-badge differs">differs from SE</span>'
    rows = "".join(
        _score(entry["label"], entry["score"]) for entry in view.result["predictions"][kind][:TOP]
    )
    name = words.MODELS[kind]
    hidden = len(view.result["predictions"][kind]) - TOP
    more = f'<p class="se-more">and {hidden} more classes</p>' if hidden > 0 else ""
    return (
        f'<section class="se-card {kind}" aria-label="{esc(name)}">'
        f'<header><h3>{esc(name)}</h3><p class="se-about">{ABOUT[kind]}</p></header>'
        f'<p class="se-answer">{echo(best["label"])}</p>'
        f'<p class="se-meta"><span>score {words.percent(best["score"])}</span>{badges}</p>'
        f'<ol class="se-scores">{rows}</ol>{more}</section>'
    )


def _score(label: str, score: float | None) -> str:
    width = 100 * min(max(score or 0.0, 0.0), 1.0)
    return (
        f'<li><span class="se-label">{echo(label)}</span>'
        f'<span class="se-bar" aria-hidden="true"><i style="width:{width:.2f}%"></i></span>'
        f'<span class="se-value">{words.percent(score)}</span></li>'
    )


def table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    marked: int = -1,
    kind: str = "",
) -> str:
    """A real table. Cells are ready HTML, the first of a row is its header.

    marked: the row of the chosen expert. kind: "words" for cells of text, set on the left.
    """
    top = "".join(f'<th scope="col">{esc(h)}</th>' for h in heads)
    body = ""
    for i, row in enumerate(rows):
        cells = f'<th scope="row">{row[0]}</th>' + "".join(f"<td>{c}</td>" for c in row[1:])
        body += f'<tr class="chosen">{cells}</tr>' if i == marked else f"<tr>{cells}</tr>"
    return (
        f'<div class="se-scroll" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f'<table class="se-table {kind}"><caption>{esc(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figures(view: View) -> str:
    """The figures of both charts as a table, and every setting that made them."""
    result = view.result
    rows = []
    for i, title in enumerate(view.titles):
        mark = ' <span class="se-badge chosen">chosen</span>' if i == view.chosen else ""
        rows.append([
            echo(title) + mark,
            words.distance(view.column("distances")[i]),
            words.number(view.column("similarities")[i], 3),
            words.number(view.column("static_coefficients")[i], 3),
            words.number(view.column("coefficients")[i], 3),
        ])  # fmt: skip
    heads = ("Expert", "Distance", "Similarity", "λ before", "λ after")
    facts = [
        ("Probe", f"{result['probe']}: {words.probing(view)}"),
        ("Preset", result["preset"]),
        ("Temperature", words.number(result["temperature"])),
        ("Sum of coefficients", f"{words.number(_total(view))} (mass {result['mass']})"),
        ("Static λ / probe λ", f"{result['lambda']:g} / {result['probe_lambda']:g}"),
        ("Margin", _margin(view)),
        ("Entropy", f"{words.number(result['entropy'], 3)} (0 = one expert, 1 = all alike)"),
        ("Merging method", result["method"].replace("_", " ")),
        ("Suite and weights", f"{result['suite']}, {str(result['weights_sha256'])[:12]}"),
        ("Version", result["version"]),
    ]
    terms = "".join(f"<div><dt>{k}</dt><dd>{esc(v)}</dd></div>" for k, v in facts)
    caption = f"Figures of this input {words.reached(view)}"
    if view.estimated:
        caption += f". {words.ESTIMATES}"
    return table(caption, heads, rows, view.chosen) + f'<dl class="se-facts">{terms}</dl>'


def _margin(view: View) -> str:
    how = "some of them estimates" if view.estimated else "on raw distances"
    return f"{words.number(view.result['margin'], 3)} = (d₂ − d₁) / d₂, {how}"


def _total(view: View) -> float:
    return sum(value or 0.0 for value in view.column("coefficients"))


def footer(view: View) -> str:
    """Stage timings and the download of the whole Result as JSON."""
    stages = "".join(
        f'<div class="{"total" if k == "total" else ""}"><dt>{esc(words.STAGES.get(k, k))}</dt>'
        f"<dd>{words.KEPT if v is None else words.milliseconds(v)}</dd></div>"
        for k, v in view.result["timings_ms"].items()
    )
    kept = words.kept(view)
    told = f'<p class="se-hint se-how-made">{esc(kept)}</p>' if kept else ""
    text = json.dumps(view.result, indent=2, ensure_ascii=False, allow_nan=False)
    data = base64.b64encode(text.encode("utf-8")).decode("ascii")
    name = f"semerge-{view.result['suite']}.json"
    return (
        f'<div class="se-footer"><dl class="se-stages">{stages}</dl>'
        f'<a class="se-button" download="{esc(name)}" '
        f'href="data:application/json;base64,{data}">Download JSON</a></div>'
        f'{told}<p class="se-hint se-how-made">{esc(words.made(view))}</p>'
    )


Legend = Sequence[tuple[str, str]]  # (sign, what it stands for)
LEGENDS: dict[str, Legend] = {
    "similarity": (("after", "chosen expert"), ("rest", "the others")),
    "coefficients": (("after", "after, SE-Merging"), ("before", "before, static λ")),
    "margins": (),
    "bias": (("base", "base"), ("static", "static merge"), ("se", "SE-Merging")),
    "map": (),
    "moves": (("se", "its own expert"), ("base", "the others, mean")),
    "curve": (("se", "measured"), ("base", "predicted, to first order")),
}


def chart_head(title: str, summary: str, tab: str, chart: str, legend: Legend = ()) -> str:
    """A chart's heading with buttons that save it, the chart in words, and its legend, from LEGENDS
    where the chart is there. The chart itself has the element id `tab-chart`."""
    signs = LEGENDS.get(chart, legend)
    save = "".join(
        f'<button type="button" class="se-save" data-save="{esc(tab)}-{chart}" '
        f'data-as="{kind.lower()}" aria-label="Save {kind}: {esc(title)}">Save {kind}</button>'
        for kind in ("PNG", "SVG")
    )
    keys = "".join(f'<span><i class="{k}"></i>{esc(text)}</span>' for k, text in signs)
    return (
        f'<div class="se-chart-head"><h3>{esc(title)}</h3><span>{save}</span></div>'
        f'<p class="se-summary">{esc(summary)}</p>'
        f'<p class="se-legend" aria-hidden="true">{keys}</p>'
    )


def waiting(what: str) -> str:
    """In place of a result while the models load."""
    lines = "".join(f'<i style="width:{w}%"></i>' for w in (92, 78, 55))
    return (
        f'<div class="se-wait" role="status"><p>{esc(what)}…</p>'
        f'<div class="se-skeleton" aria-hidden="true">{lines}<b></b><b></b></div></div>'
    )


INVITATION = '<p class="se-sentence">Choose an example, or use an input of your own.</p>'


def failure(message: str, lead: str = "No result.") -> str:
    """In place of a result that can't be given."""
    bold = f"<b>{esc(lead)}</b> " if lead else ""
    return f'<p class="se-failure" role="alert">{bold}{esc(message)}</p>'


def notices(texts: Sequence[str]) -> str:
    """Sentences above the tabs; nothing where there is nothing to tell."""
    items = "".join(f"<p>{esc(text)}</p>" for text in texts)
    return f'<div class="se-notice" role="status">{items}</div>' if items else ""


def status(states: Sequence[State]) -> str:
    """How far the engines are: nothing to see once all are ready."""
    items = []
    for state in states:
        if state.phase == "failed":
            what = f"<b>{esc(state.title)}: not loaded.</b>"
            items.append(f'<li class="failed"><span>{what} {esc(state.message)}</span></li>')
        elif state.phase != "ready":
            word = "waiting" if state.phase == "waiting" else "loading"
            what = f"{esc(state.title)}: {esc(state.phase)}"
            if state.phase == "fetching":
                what += f" from the hub {_share(state.share)}"
            elif state.step:
                what += f", {esc(state.step)} {_share(state.share)}"
            items.append(f'<li class="{word}"><i aria-hidden="true"></i>{what}</li>')
    if not items:
        return ""
    return f'<div role="status"><ul class="se-status">{"".join(items)}</ul></div>'


def _share(share: float) -> str:
    return f'<progress max="1" value="{share:.3f}"></progress> {share:.0%}'


# --------------------------------------------------------------------------------------------------
# A table of figures with shaded cells. The figure is in every cell and what stands out has a word,
# so the shade tells nothing that is not written.

DEEPEST = 46  # percent of colour behind the deepest cell: the text on it keeps its contrast


@dataclass(frozen=True)
class Cell:
    """text: the figure, as ready HTML. depth in [0, 1]: how deep the shade is. note: small, below
    it. mark: a word for what stands out. span: columns."""

    text: str
    depth: float = 0.0
    note: str = ""
    mark: str = ""
    span: int = 1


@dataclass(frozen=True)
class Row:
    """head: ready HTML. current: the row that the rest of the page is about."""

    head: str
    cells: Sequence[Cell]
    current: bool = False


def heat(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Row],
    groups: Sequence[tuple[str, int]] = (),
) -> str:
    """A real table; `heads` with the corner first, ready HTML as the rows' heads are.

    groups: (title, columns) of a row above the heads.
    """
    above = "".join(
        f'<th scope="colgroup" colspan="{count}">{title}</th>' for title, count in groups
    )
    top = f"<tr><td></td>{above}</tr>" if groups else ""
    top += "<tr>" + "".join(f'<th scope="col">{head}</th>' for head in heads) + "</tr>"
    body = "".join(_row(row) for row in rows)
    return (
        f'<div class="se-scroll" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f'<table class="se-table se-heat"><caption>{esc(caption)}</caption>'
        f"<thead>{top}</thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Row) -> str:
    badge = ' <span class="se-badge chosen">shown</span>' if row.current else ""
    kind = ' class="current"' if row.current else ""
    cells = "".join(_cell(cell) for cell in row.cells)
    return f'<tr{kind}><th scope="row">{row.head}{badge}</th>{cells}</tr>'


def _cell(cell: Cell) -> str:
    depth = min(max(cell.depth, 0.0), 1.0) * DEEPEST
    span = f' colspan="{cell.span}"' if cell.span > 1 else ""
    kind = ' class="marked"' if cell.mark else ""
    note = f"<small>{esc(cell.note)}</small>" if cell.note else ""
    mark = f"<b>{esc(cell.mark)}</b>" if cell.mark else ""
    return f'<td{kind}{span} style="--heat:{depth:.0f}%">{cell.text}{note}{mark}</td>'


# --------------------------------------------------------------------------------------------------
# What was asked about, shown beside its answer: the image as the model sees it, or the words.


def seen(image: Any, size: str = "") -> str:
    """The image as the model sees it (PIL), every pixel as it is."""
    data = io.BytesIO()
    image.save(data, "PNG")
    url = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")
    size = size or f"{image.width}\u00a0×\u00a0{image.height}\u00a0px"
    return (
        f'<figure class="se-seen"><img alt="The input as the model sees it, {size}" src="{url}">'
        f"<figcaption>As the model<br>sees it: {size}</figcaption></figure>"
    )


def given(sample: DecodedImage | CleanText, picture: Any) -> str:
    """The input as HTML. picture: an image as the model sees it (PIL); None for text."""
    if isinstance(sample, DecodedImage):
        return f'<div class="se-given">{seen(picture)}</div>'
    second = f" <em>{echo(sample.text_b)}</em>" if sample.text_b else ""
    return f'<blockquote class="se-given">{echo(sample.text)}{second}</blockquote>'
