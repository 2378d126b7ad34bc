"""The example images and the index of all examples; then what the bundled models make of them.

    python -m recipes.make_examples             # draw the images, write index.json
    python -m recipes.make_examples --measure   # run the bundled suites on all of them

The first command is seeded and needs numpy and Pillow alone. Images were chosen by eye from sheets
of twelve seeds a class, sentences were written, both before any model had seen them. None is left
out because a model gets it wrong.

`--measure` asks each engine with its defaults, as the app does, and writes
  - for each example, `measured`: the chosen expert, the margin of the routing, and whether the
    answers of SE-Merging, the static merge, the chosen expert alone and the base are right. All
    four use the head of the chosen expert, so after a wrong turn all four are wrong;
  - `hits`: the sums, and under `given_head` the sums where the right head is named, which is
    fairer to the static merge, as that has no routing of its own;
  - `first`: the example that the page opens with, see `opening`, and its whole Result in
    first_<section>.json;
  - `drawn`: of the digits of `recipes.strokes` the one that opens Vision, chosen in the same way,
    as strokes and as the picture drawn.png. first_vision.json is then its Result.
A section whose suite isn't there is left as it is.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from recipes.example_texts import TEXTS
from recipes.lookalikes import PAINTERS
from recipes.strokes import STROKES, pad_image
from recipes.vision_tasks import TASKS
from semerge.common import UserError
from semerge.data.rendered import render
from semerge.inputs import clean_text, decode_image
from semerge.suites.examples import EXAMPLES_FOLDER

SIZE = 320  # px
MAX_BYTES = 60_000  # an image file; only pictures with much grain come near it
FIRST_SEED = 20_250_614 << 32
"""Example k of a class is rendered with this seed + k. `render.dataset` draws its pictures with
`split_seed(split) << 32` and on, for 20250611 to 20250613, so that no split can share one."""

IMAGES: dict[str, dict[str, int]] = {
    "mnist": {
        "digit 2": 0, "digit 3": 1, "digit 4": 1, "digit 5": 8, "digit 7": 5, "digit 9": 4,
    },
    "fashion_mnist": {
        "T-shirt/top": 5, "trouser": 7, "dress": 10, "sneaker": 5, "bag": 10, "ankle boot": 1,
    },
    "cifar10": {
        "airplane": 9, "automobile": 0, "cat": 6, "frog": 3, "ship": 6, "truck": 2,
    },
    "eurosat": {
        "annual crop land": 2, "highway or road": 5, "industrial buildings": 11,
        "permanent crop land": 1, "residential buildings": 4, "river": 6,
    },
    "gtsrb": {
        "speed limit 50 km/h": 6, "priority road": 2, "stop": 5, "no entry": 5, "road work": 4,
        "roundabout mandatory": 2,
    },
    "omniglot_alphabets": {
        "Early Aramaic": 7, "Greek": 6, "Japanese (katakana)": 5, "Korean": 10, "Latin": 8,
        "Sanskrit": 7,
    },
    "charts": {
        "bar chart": 0, "line chart": 8, "scatter plot": 9, "pie chart": 6, "heat map": 3,
        "area chart": 8,
    },
    "textures": {
        "striped": 7, "dotted": 5, "chequered": 2, "zigzag": 6, "cracked": 4, "bricked": 11,
    },
}  # fmt: skip
"""task -> label -> k: chosen by eye."""

PHOTOGRAPHED = ("fashion_mnist", "cifar10", "eurosat", "gtsrb")
"""Tasks whose own data are photographs, so that their examples are marked as drawings."""

NOTES = {
    "cifar10": "These are drawings made by code; the task's own data are photos. "
    "Upload a photo of your own to see how the models do on one."
}
SUITES = {"vision": "mini-vision", "text": "mini-text"}  # section of the index -> bundled suite
KINDS = ("se", "static", "expert", "base")
SURE = 0.8  # score of an answer that opens a page, if there is one


# ---- images and index ----------------------------------------------------------------------------


def draw(task: str, label: str, k: int) -> Image.Image:
    """Example k of a class: RGB, SIZE x SIZE pixels."""
    index = TASKS[task].classes.index(label)
    return render(task, index, FIRST_SEED + k, SIZE, clean=True, painters=PAINTERS)


def encode(image: Image.Image) -> bytes:
    """PNG bytes, with a palette only where the file would be too large without."""
    data = _png(image)
    for colours in (256, 128, 64):
        if len(data) <= MAX_BYTES:
            break
        data = _png(image.quantize(colours, dither=Image.Dither.NONE))
    return data


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def fresh_index() -> dict[str, Any]:
    """The index without figures."""
    vision = [
        {
            "file": f"vision/{task}_{i}.png",
            "task": task,
            "label": label,
            "drawing": task in PHOTOGRAPHED,
            "seed": k,
        }
        for task, chosen in IMAGES.items()
        for i, (label, k) in enumerate(chosen.items())
    ]
    text = [
        {"text": sentence, "task": task, "label": label}
        for task, written in TEXTS.items()
        for label, sentence in written
    ]
    index = {"vision": vision, "text": text, "notes": NOTES, "first": {}, "hits": {}}
    return index | {"drawn": drawn_entry(next(iter(STROKES)))}


DRAWN = "drawn.png"


def drawn_entry(label: str) -> dict[str, Any]:
    """The index's entry of a digit that draws itself."""
    return {"file": DRAWN, "task": "mnist", "label": label, "strokes": STROKES[label]}


def make(folder: Path) -> None:
    """Write all images and an index without figures; other images of `vision/` are removed."""
    index = fresh_index()
    (folder / "vision").mkdir(parents=True, exist_ok=True)
    for path in (folder / "vision").glob("*.png"):
        path.unlink()
    for entry in index["vision"]:
        image = draw(entry["task"], entry["label"], entry["seed"])
        (folder / entry["file"]).write_bytes(encode(image))
    (folder / DRAWN).write_bytes(encode(pad_image(index["drawn"]["strokes"])))
    write_index(folder, index)
    for section in SUITES:
        (folder / f"first_{section}.json").unlink(missing_ok=True)


def read_index(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return index


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """The index with one example a line, so that a change of one shows as such."""
    parts = []
    for key, value in index.items():
        if isinstance(value, list):
            lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in value)
            parts.append(f' "{key}": [\n{lines}\n ]')
        else:
            parts.append(f' "{key}": {json.dumps(value, ensure_ascii=False)}')
    (folder / "index.json").write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


# ---- what the models make of them ----------------------------------------------------------------


def sample(folder: Path, entry: Mapping[str, Any]) -> Any:
    """An example as the engine takes it."""
    if "file" in entry:
        return decode_image(folder / entry["file"])
    return clean_text(entry["text"], entry.get("text_b"))


def right(result: Any, kind: str, entry: Mapping[str, Any]) -> bool:
    """Whether one column has the label. Two tasks may share a class name: the head counts too."""
    best: str = result.predictions[kind][0].label
    return bool(result.head == entry["task"] and best == entry["label"])


def measure(
    engine: Any, folder: Path, entries: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, Any], list[Any]]:
    """One section: `measured` of every example, `hits`, and all Results."""
    from semerge.settings import Settings

    measured, results, given = [], [], []
    for entry in entries:
        asked = sample(folder, entry)
        result = engine.predict(asked, Settings())
        answers = {kind: right(result, kind, entry) for kind in KINDS}
        margin = round(result.margin, 4)
        measured.append({"chosen": result.chosen, **answers, "margin": margin})
        results.append(result)
        told = engine.predict(asked, Settings(head=entry["task"]))
        given.append({kind: right(told, kind, entry) for kind in KINDS})
    sums = {kind: sum(m[kind] for m in measured) for kind in KINDS}
    # no `expert` here: the column is the chosen expert, which need not be that of the named head
    with_head = {kind: sum(g[kind] for g in given) for kind in ("se", "static", "base")}
    routing = sum(m["chosen"] == e["task"] for m, e in zip(measured, entries, strict=True))
    hits = {"n": len(measured), **sums, "routing": routing, "given_head": with_head}
    hits |= {"suite": engine.suite.name, "weights_sha256": engine.weights_sha256()}
    return measured, hits, results


def opening(measured: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> int | None:
    """Which example opens the page: picked to show the method at work, and the page says so.

    Of the examples that the static merge misses and SE-Merging gets, with the right expert chosen,
    those without a notice (near tie, flat, far away) go before those with, then those whose answer
    is SURE before the others, then the largest margin of the routing, then the first in the index.
    None if there is no such example.
    """
    fit = [i for i, m in enumerate(measured) if m["se"] and not m["static"]]

    def rank(i: int) -> tuple[bool, bool, float, int]:
        unsure = results[i].predictions["se"][0].score < SURE
        return bool(results[i].notices), unsure, -measured[i]["margin"], i

    return min(fit, key=rank) if fit else None


def measure_drawn(engine: Any, folder: Path) -> tuple[dict[str, Any], Any] | None:
    """The digit that opens Vision, with what the models make of it, and its Result: the one that
    `opening` picks, else the first that SE-Merging gets, else the first. Writes its picture. None
    where the suite knows no digits."""
    if "mnist" not in engine.suite.task_names:
        return None
    entries = [drawn_entry(label) for label in STROKES]
    pictures = [encode(pad_image(strokes)) for strokes in STROKES.values()]
    measured, results = [], []
    for entry, picture in zip(entries, pictures, strict=True):
        (folder / DRAWN).write_bytes(picture)
        (found,), _, (result,) = measure(engine, folder, [entry])
        measured.append(found)
        results.append(result)
    got = next((i for i, found in enumerate(measured) if found["se"]), 0)
    picked = opening(measured, results)
    best = got if picked is None else picked
    (folder / DRAWN).write_bytes(pictures[best])
    return entries[best] | {"measured": measured[best]}, results[best]


def write_result(file: Path, result: Mapping[str, Any]) -> None:
    """Keep a file that differs in nothing but its timings: another run then changes nothing."""
    if file.is_file():
        old = json.loads(file.read_text(encoding="utf-8"))
        if {**old, "timings_ms": None} == {**result, "timings_ms": None}:
            return
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def measure_all(folder: Path) -> list[str]:
    """Fill in the index for each bundled suite that is there; what was found, as lines."""
    from semerge.engine import load_engine
    from semerge.suites import available_suites

    index, told = read_index(folder), []
    for section, suite in SUITES.items():
        if suite not in available_suites():
            told.append(f"{section}: left as it is, suite {suite} is not in assets/suites")
            continue
        entries = index[section]
        engine = load_engine(suite)
        measured, hits, results = measure(engine, folder, entries)
        index[section] = [e | {"measured": m} for e, m in zip(entries, measured, strict=True)]
        index["hits"][section] = hits
        index["first"].pop(section, None)
        itself = measure_drawn(engine, folder) if section == "vision" else None
        if itself is not None:
            index["drawn"] = itself[0]
        first = opening(measured, results)
        file = folder / f"first_{section}.json"
        if first is None:
            file.unlink(missing_ok=True)
            told.append(f"{section}: no example is missed by the static merge and got by SE")
        else:
            index["first"][section] = first
            write_result(file, results[first].to_dict())
        if itself is not None:
            write_result(file, itself[1].to_dict())
        told.append(f"{section}: {json.dumps(hits)}, first {first}")
    index["first"] = {s: index["first"][s] for s in SUITES if s in index["first"]}
    write_index(folder, index)
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    about = "Draw the example images and write the index, or measure the models on all of them."
    parser = argparse.ArgumentParser(prog="recipes.make_examples", description=about)
    parser.add_argument("--measure", action="store_true", help="run the bundled suites")
    parser.add_argument("--folder", type=Path, default=EXAMPLES_FOLDER)
    args = parser.parse_args(arguments)
    try:
        if args.measure:
            print("\n".join(measure_all(args.folder)))
        else:
            make(args.folder)
            print(f"{args.folder}: drawn and written; figures are filled in by --measure")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
