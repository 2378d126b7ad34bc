"""What `predict` is asked for, read one by one, and tables of the answers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semerge.common import UserError, naming, quoted
from semerge.data.pictures import Picture
from semerge.data.tabular import OBJECTS, TABLES
from semerge.data.uploads import unlabelled_set
from semerge.inputs import CleanText, DecodedImage, clean_text, decode_image
from semerge.result import Result
from semerge.suites import Suite
from semerge.suites.class_names import Notice

FILES = (".txt", *TABLES, *OBJECTS)
"""How files of sentences are called."""
WIDTH = 40  # characters of an input in a table on the screen
FIRST = ("input", "text", "text_b", "chosen", "margin", "entropy", "fits")
LAST = ("notices", "suite", "weights_sha256")


@dataclass(frozen=True)
class Question:
    """One input, and what it is called. It is decoded when it is asked for, as thousands of
    pictures fit in memory where their pixels would not."""

    where: str
    content: Picture | tuple[str, str | None]

    @property
    def texts(self) -> tuple[str, str]:
        """The sentence or pair; empty for a picture."""
        return (
            (self.content[0], self.content[1] or "")
            if isinstance(self.content, tuple)
            else ("", "")
        )

    def sample(self) -> DecodedImage | CleanText:
        """Raises UserError where it can't be used."""
        if isinstance(self.content, tuple):
            return clean_text(*self.content)
        return decode_image(self.content)


def questions(
    suite: Suite,
    inputs: Sequence[str],
    text_b: str | None = None,
    skip_damaged: bool = False,
    notice: Notice = lambda text: None,
) -> tuple[list[Question], bool]:
    """All that is asked, each one checked; and whether it is a list, even of one.

    inputs: image files, folders and zip archives of images; or sentences, and files of them as
    `unlabelled_set` reads them. text_b: the second sentence of a single one. skip_damaged: of
    folders and archives. Raises UserError where one can't be used; one sentence.
    """
    image = suite.modality == "image"
    if image and text_b is not None:
        raise UserError(f"suite {suite.name} reads images; --text-b belongs to text.")
    found: list[Question] = []
    many = len(inputs) > 1
    for one in inputs:
        if not _is_place(one, image):
            question = Question(one, Path(one) if image else (one, text_b))
            with naming(quoted(one)) if len(inputs) > 1 and not image else nullcontext():
                question.sample()
            found.append(question)
            continue
        many = True
        samples = unlabelled_set(suite, one, skip_damaged=skip_damaged, notice=notice)
        contents = (
            samples.files.files
            if samples.files is not None
            else zip(samples.texts, samples.texts_b, strict=True)
        )
        joined = f"{one}/" if image else f"{one}: " if len(inputs) > 1 else ""
        found += [Question(f"{joined}{n}", c) for n, c in zip(samples.names, contents, strict=True)]
    if many and text_b is not None:
        raise UserError("--text-b goes with one sentence; a table has a column text_b.")
    return found, many


def _is_place(one: str, image: bool) -> bool:
    """Whether an input names others. Raises UserError where it is called like a file that there is
    not, and no sentence."""
    try:
        path = Path(one)
        kind = path.suffix.lower()
        if image:
            return path.is_dir() or (kind == ".zip" and path.is_file())
        if kind not in FILES or path.is_file():
            return kind in FILES
    except (OSError, ValueError):  # too long a name, or NUL in it: no file's
        return False
    if one.split() == [one]:
        raise UserError(f"There is no file {quoted(one)}.")
    return False


# ---- tables of answers ---------------------------------------------------------------------------


def rows(asked: list[Question], results: list[Result]) -> list[str]:
    """Results as lines of text: the expert chosen, and the first answer of SE-Merging and of the
    static merge."""
    cells = [("input", "chosen", "margin", "SE", "score", "static", "score")]
    for question, result in zip(asked, results, strict=False):
        se, static = (result.predictions[kind][0] for kind in ("se", "static"))
        scores = (f"{one.score:.3f}" for one in (se, static))
        where = question.where
        short = where if len(where) <= WIDTH else f"{where[: WIDTH - 1]}…"
        first, second = scores
        margin = f"{result.margin:.1%}"
        cells.append((short, result.chosen, margin, se.label, first, static.label, second))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    pairs = [zip(row, widths, strict=True) for row in cells]
    return ["  ".join(cell.ljust(width) for cell, width in row).rstrip() for row in pairs]


def table(asked: list[Question], results: list[Result]) -> str:
    """Results as a CSV file: what was asked, the expert chosen, the first answer of each column
    with its score, and every setting."""
    from semerge.evaluation.inspection import write_table  # imports torch

    records = list(_records(asked, results))
    answers = [name for name in records[0] if name in _answers(results[0])]
    rest = [name for name in records[0] if name not in (*FIRST, *answers, *LAST)]
    file = io.StringIO()
    write_table(file, (*FIRST, *answers, *LAST, *rest), records)
    return file.getvalue()


def _records(asked: list[Question], results: list[Result]) -> Iterator[dict[str, Any]]:
    for question, result in zip(asked, results, strict=False):
        told = result.to_dict()
        options = {k: json.dumps(v) for k, v in told.items() if k.endswith("_options")}
        single = {k: v for k, v in told.items() if not isinstance(v, list | dict)}
        text, text_b = question.texts
        yield {
            **single,
            **options,
            **_answers(result),
            "notices": " ".join(result.notices),
            "input": question.where,
            "text": text,
            "text_b": text_b,
        }


def _answers(result: Result) -> dict[str, Any]:
    """The first answer of each column, and its score."""
    found: dict[str, Any] = {}
    for kind, answers in result.predictions.items():
        found |= {kind: answers[0].label, f"{kind}_score": answers[0].score}
    return found
