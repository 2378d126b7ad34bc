"""make fuzz: whatever the readers are handed, they read it or refuse it in one sentence.

    PYTHONPATH=. python tests/fuzz.py --cases 100000 --write docs/reliability.json

Hypothesis makes and shrinks the cases, a process a target. A case is a defect where it raises
anything but a UserError, takes more than 2 s of the processor (or 60 s in all), or lets the process
grow by more than 500 MB.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import published_fakes as fakes
import test_data_fuzz as samples
import torch
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from image_files import chunk, encoded, picture
from image_files import png as made_png
from pickled_fakes import write_pickled, write_pickled_head
from published_suites import BASE, EXPERTS, TOWER
from test_links import ANYTHING, KEYS
from tiny import tiny_text_suite, tiny_vision_suite

from recipes import reliability
from semerge.backbones.weights import detect, open_base, open_expert
from semerge.checkpoints.pickled import read_head
from semerge.common import EXAMPLES, SENTENCE, UserError
from semerge.engine import load_engine
from semerge.inputs import MAX_SIDE, clean_text, decode_image
from semerge.suites import SUITES_FOLDER, read_suite
from semerge.suites.examples import load_examples
from semerge.ui import links
from semerge.ui.picker import PREFIX, png

SECONDS, MEMORY, HANGS = 2.0, 500, 60  # a case; MB of the process; seconds until it is given up
BATCH, MOST = 500, 5  # cases that Hypothesis plans at a time; defects after which a target ends
Use = Callable[[Any], object]

# ---- damage --------------------------------------------------------------------------------------

REACH = 4000  # bytes from a file's start and end, where tables of contents are
PLACES = st.one_of(st.integers(0, 99), st.integers(-REACH, REACH), st.integers(0, 2**20))
EDITS = st.lists(
    st.tuples(PLACES, st.sampled_from("set set add lose cut".split()), st.binary(max_size=8)),
    max_size=3,
)


def damaged(content: bytes, edits: list[tuple[int, str, bytes]]) -> bytes:
    found = bytearray(content)
    for place, kind, new in edits:
        at = place % (len(found) + 1)
        end = {"set": at + len(new), "add": at, "lose": at + len(new), "cut": len(found)}[kind]
        found[at:end] = new if kind in ("set", "add") else b""
    return bytes(found)


def of(contents: list[bytes]) -> SearchStrategy[bytes]:
    return st.builds(damaged, st.sampled_from(contents), EDITS)


# ---- targets: what is made, and what reads it ----------------------------------------------------


def pictures(folder: Path) -> tuple[SearchStrategy[Any], Use]:
    plain = [encoded(picture(), kind) for kind in "JPEG PNG GIF BMP TIFF WEBP MPO".split()]
    packed = ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    plain += [encoded(picture(), "TIFF", compression=kind) for kind in packed]
    plain += [encoded(picture("1"), "TIFF", compression="group4")]
    plain += [encoded(picture(mode)) for mode in "L LA P 1 RGBA I;16".split()]
    plain += [encoded(picture("CMYK"), "JPEG"), encoded(picture("F"), "TIFF")]
    frames = {"save_all": True, "append_images": [picture()]}
    plain += [encoded(picture(), kind, **frames) for kind in ("GIF", "PNG")]

    def use(content: bytes) -> None:
        image = decode_image(content).image
        assert image.mode == "RGB" and max(image.size) <= MAX_SIDE and not image.info

    # checksums that hold, over a header and pixels that need not
    odd = st.sampled_from([0, 1, 400, 5000, 60_000, 2**31 - 1])
    sides = st.one_of(st.integers(8, 64), st.integers(8, 64), odd)
    bodies = st.binary(max_size=40).map(lambda row: zlib.compress(row * 2000))
    names = st.sampled_from("PLTE tRNS iCCP eXIf tEXt acTL fcTL zzzz".split()).map(str.encode)
    extra = st.lists(st.builds(chunk, names, st.binary(max_size=40)), max_size=3).map(b"".join)
    depths, colours = st.sampled_from([1, 2, 4, 8, 8, 9, 16]), st.integers(0, 7)
    made = st.builds(made_png, sides, sides, bodies, extra, depths, colours)
    return st.one_of(of(plain), made, st.binary(max_size=64)), use


def sentences(folder: Path) -> tuple[SearchStrategy[Any], Use]:
    parts = st.sampled_from(
        [*"ﷺ \u200b\u202e", "e\u0301", "👩\u200d🚀", "क\u094d\u200dष", "x" * 999]
    )
    text = st.one_of(
        st.text(st.characters(), max_size=80), st.lists(parts, max_size=12).map("".join)
    )

    def use(pair: tuple[str, str | None]) -> None:
        clean = clean_text(*pair)
        again = clean_text(clean.text, clean.text_b)
        assert (again.text, again.text_b, again.notices) == (clean.text, clean.text_b, ())

    return st.tuples(text, st.none() | text), use


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from([10**6, 2**63, 1e308, "../x", "/etc/passwd", "auto", "final", "", "x" * 9999]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def suite_files(folder: Path) -> tuple[SearchStrategy[Any], Use]:
    own = [tiny_vision_suite(folder / "vision"), tiny_text_suite(folder / "text")]
    described = [json.loads((f / "suite.json").read_text("utf-8")) for f in own]
    hub = json.loads((SUITES_FOLDER / "clip-vit-b-32" / "suite.json").read_text("utf-8"))
    places = [*own, folder]
    edits = st.lists(st.tuples(st.integers(0, 10**4), st.sampled_from(("set", "drop")), VALUES))
    case = st.tuples(st.integers(0, 2), edits.filter(lambda found: len(found) <= 4), EDITS)

    def use(asked: tuple[int, list[tuple[int, str, Any]], list[tuple[int, str, bytes]]]) -> None:
        which, changes, bytes_of = asked
        raw = json.loads(json.dumps([*described, hub][which]))
        for at, kind, value in changes:
            parts = list(nodes(raw))
            if not parts:
                break
            parent, key = parts[at % len(parts)]
            if kind == "set":
                parent[key] = value
            else:
                del parent[key]
        text = json.dumps(raw).encode()
        if not changes:  # or the text itself
            text = damaged(text, bytes_of)
        (places[which] / "suite.json").write_bytes(text)
        suite = read_suite(places[which])
        if which < len(own):
            load_engine(suite.folder)

    return case, use


def nodes(raw: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a JSON value: what it is in, and its key there."""
    for key in list(raw) if isinstance(raw, dict) else range(len(raw)):
        yield raw, key
        if isinstance(raw[key], dict | list):
            yield from nodes(raw[key])


def checkpoints(folder: Path) -> tuple[SearchStrategy[Any], Use]:
    path = fakes.write_clip_model(folder / "base" / "model.bin", fakes.hf_clip(BASE, TOWER))
    base = open_base(path, "hf-clip", fakes.VIT.shapes)
    encoder = fakes.image_encoder(EXPERTS[0], TOWER)
    old = folder / "old.pt"
    torch.save(encoder, old, _use_new_zipfile_serialization=False)
    files = {  # by layout
        "fusionbench-clip": [fakes.write_vision_model(folder / "a.safetensors", EXPERTS[0])],
        "openclip-state-dict": [fakes.write_state_dict(folder / "b.pt", encoder), old],
        "openclip-pickle": [
            write_pickled(folder / f"{bare}.pt", encoder, bare=bare) for bare in (False, True)
        ],
        "peft-lora": [fakes.write_lora(folder / "lora" / "c.safetensors")],
        "": [write_pickled_head(folder / "head.pt", 50 * torch.eye(3, 16))],
    }
    contents = [(layout, f, f.read_bytes()) for layout, many in files.items() for f in many]

    def use(asked: tuple[tuple[str, Path, bytes], list[tuple[int, str, bytes]]]) -> None:
        (layout, file, content), edits = asked
        file.write_bytes(damaged(content, edits))
        if layout:
            for tensor in dict(open_expert(file, layout, fakes.VIT.shapes, base)).values():
                assert isinstance(tensor, torch.Tensor)
        else:
            read_head(file, 3, 16, 50.0)
        detect(file)

    return st.tuples(st.sampled_from(contents), EDITS), use


def data_urls(folder: Path) -> tuple[SearchStrategy[Any], Use]:
    def url(content: bytes) -> str:
        return PREFIX + base64.b64encode(content).decode()

    whole = of([encoded(picture()), encoded(picture(), "JPEG")]).map(url)
    broken = of([url(encoded(picture())).encode()]).map(lambda text: text.decode("latin-1"))
    return st.one_of(whole, broken, VALUES), lambda value: decode_image(png(value))


def queries(folder: Path) -> tuple[SearchStrategy[Any], Use]:
    shipped = load_examples(EXAMPLES)
    suites = [read_suite(name) for name in ("mini-vision", "mini-text", "gpt2-glue")]

    def use(values: dict[str, str]) -> None:
        for suite in suites:
            query = links.Query(values)
            links.read_settings(query, suite, fast=True).resolve(suite)
            links.read_source(query, suite, shipped)
            assert len(query.notices) <= len(values)

    keys = st.sampled_from(KEYS) | st.text(max_size=8)
    return st.dictionaries(keys, ANYTHING | st.text(max_size=9), max_size=8), use


def labelled_samples(folder: Path) -> tuple[SearchStrategy[Any], Use]:
    home = folder / "t"
    home.mkdir()

    def use(asked: tuple[str, list[tuple[int, str, bytes]]]) -> None:
        kind, edits = asked
        content, name, pack = samples.FORMATS[kind]
        for file in home.iterdir():
            file.unlink()
        (home / "classes.json").write_bytes(samples.CLASSES)
        (home / name).write_bytes(pack(damaged(content, edits)))
        samples.read(folder, kind)

    return st.tuples(st.sampled_from(list(samples.FORMATS)), EDITS), use


TARGETS: dict[str, Callable[[Path], tuple[SearchStrategy[Any], Use]]] = {
    "pictures": pictures,
    "sentences": sentences,
    "suite.json": suite_files,
    "checkpoints": checkpoints,
    "data URLs": data_urls,
    "links": queries,
    "labelled samples": labelled_samples,
}

# ---- running -------------------------------------------------------------------------------------


class Defect(AssertionError):
    """A case took too long or too much memory, or was refused by more than a sentence."""


@dataclass
class Outcome:
    """seconds: of the processor, for the slowest case. memory: MB by which the process has grown
    at most."""

    cases: int = 0
    refused: int = 0
    seconds: float = 0.0
    memory: float = 0.0
    defects: list[str] = field(default_factory=list)


def attack(strategy: SearchStrategy[Any], use: Use, cases: int, number: int = 0) -> Outcome:
    """Try so many cases. number: another one makes others."""
    outcome, start = Outcome(), peak()
    last: list[Any] = [None]  # the case that was tried; after a defect it is the least one

    def one(case: Any) -> None:
        began, told = time.process_time(), ""
        outcome.cases, last[0] = outcome.cases + 1, case
        try:
            with given_up():
                use(case)
        except UserError as error:
            outcome.refused += 1
            told = str(error)
        spent, grown = time.process_time() - began, peak() - start
        outcome.seconds = max(outcome.seconds, spent)
        outcome.memory = max(outcome.memory, grown)
        if len(told.splitlines()) > 1 or len(told) > 2 * SENTENCE:
            raise Defect(f"no sentence: {told}")
        if spent > SECONDS or grown > MEMORY:
            raise Defect(f"{spent:.1f} s, {grown:,.0f} MB")

    while outcome.cases < cases and len(outcome.defects) < MOST:
        how = settings(
            max_examples=min(BATCH, cases - outcome.cases), database=None, deadline=None,
            phases=(Phase.generate, Phase.shrink), verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
        )  # fmt: skip
        try:
            seed(number + outcome.cases)(how(given(strategy)(one)))()
        except Exception as error:  # what is looked for, with the least case that Hypothesis found
            outcome.defects.append(f"{type(error).__name__}: {error} {last[0]!r}"[:2000])
    return outcome


def peak() -> float:
    """MB that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def given_up() -> Iterator[None]:
    """Inside, what does not end is ended."""

    def hangs(*_: object) -> None:
        raise Defect(f"it takes more than {HANGS} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(name: str, cases: int, number: int) -> tuple[str, dict[str, Any]]:
    """One target, in a process of its own."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        strategy, use = TARGETS[name](Path(folder))
        return name, asdict(attack(strategy, use, cases, number))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000, metavar="N", help="of all targets")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another: other cases")
    parser.add_argument("--only", choices=TARGETS, help="one target alone")
    parser.add_argument("--write", type=Path, metavar="F", help="put the figures into a JSON file")
    args = parser.parse_args()
    names = [args.only] if args.only else list(TARGETS)
    share, began = -(-args.cases // len(names)), time.perf_counter()
    found: dict[str, Any] = {}
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        work = partial(run, cases=share, number=args.seed)
        for name, outcome in pool.imap_unordered(work, names):
            found[name] = outcome
            print(name, {k: v for k, v in outcome.items() if k != "defects"}, flush=True)
            for defect in outcome["defects"]:
                print(f"  {defect}", flush=True)
    minutes = (time.perf_counter() - began) / 60
    if args.write:
        targets = {name: found[name] for name in names}
        reliability.keep(args.write, "fuzz", {"minutes": minutes, "targets": targets})
    defects = sum(len(outcome["defects"]) for outcome in found.values())
    total = sum(outcome["cases"] for outcome in found.values())
    print(f"{total:,} cases in {minutes:.1f} min: {defects} defects")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
