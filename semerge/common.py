"""What every room uses: the one error for people, pieces of sentences, progress, a stopwatch."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TextIO

from semerge.foreign import reason

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = Path(__file__).resolve().parent
# a wheel holds them in the package, a checkout beside it
_HOME = _PACKAGE if (_PACKAGE / "assets").is_dir() else _PACKAGE.parent
ASSETS = _HOME / "assets"
"""Suites, styles, scripts, templates, the bench's figures and their words."""
EXAMPLES = _HOME / "examples"
"""The project's own pictures and sentences."""
CACHE_ENV = "SEMERGE_CACHE"
"""Where what was made once lies, in place of the platform's cache."""


def cache_folder() -> Path:
    """$SEMERGE_CACHE, or this project's folder in the platform's cache. It may not exist yet."""
    chosen = os.environ.get(CACHE_ENV)
    if chosen:
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "semerge"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "semerge"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "semerge"


def content_key(parts: Mapping[str, Any]) -> str:
    """The hash of everything that a result depends on; the parts are JSON values."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# --------------------------------------------------------------------------------------------------
# The one exception that is meant for people, and how a command ends that they stopped.

SENTENCE = 1_000  # characters of a message
_LONG = re.compile(r"\S{512,}")  # no path of a file that people have

STOPPED, CLOSED, TERMINATED = 130, 141, 143
"""Exit codes after Ctrl+C, where nobody reads the output any more, and after SIGTERM, as shells
have them."""


class UserError(ValueError):
    """Input that can't be used, told in one clear sentence. The command line prints the sentence
    and exits with 2; the app shows it as a message and goes on. Anything else that is raised is a
    defect of this project. Names and values that are too long for a sentence are cut in it."""

    def __init__(self, text: str) -> None:
        short = _LONG.sub(lambda word: f"{word[0][:60]}...{word[0][-60:]}", text)
        super().__init__(short if len(short) <= SENTENCE else f"{short[:SENTENCE]}...")


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Inside, an error for people begins with where it is."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


@contextmanager
def reading(what: object) -> Iterator[None]:
    """Inside, a file or folder that the system refuses is one that can't be read."""
    try:
        yield
    except OSError as error:  # no right to look, or too long a name
        raise UserError(f"{what} can't be read: {error.strerror}.") from None


# --------------------------------------------------------------------------------------------------
# Small pieces of the sentences that people read.

FIGURES = json.loads((ASSETS / "figures.json").read_text(encoding="utf-8"))
"""Of a bench: what each is called and is about, in the order in which they are told: some lean on
the one before."""
DIGITS, FLOATS = 18, 300  # of a whole number in a file: as many fit into 64 bits, and a float
SHARES = ("fast_agreement", "fast_default_agreement", "fast_hit_rate")  # figures of a bench


def quoted(value: object) -> str:
    """What was typed, in one short line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def listed(names: Iterable[object]) -> str:
    """Names for a sentence: "a, b, c"."""
    return ", ".join(map(str, names))


def gigabytes(size: float) -> str:
    """Bytes in decimal units, as the hub shows them: 3.40 GB, or 4.2 MB below a tenth of one."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def first_line(error: Exception) -> str:
    """What another library's error says, short enough to stand inside a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def samples(n: int) -> str:
    """`1 sample`, `12,345 samples`."""
    return f"{n:,} sample{'' if n == 1 else 's'}"


def measured(value: float) -> str:
    """A measured value to three digits, and whole from a hundred on: 1.13, 10.6, 3,663."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def read_json(path: Path, known: bool = False) -> Any:
    """What a JSON file holds. known: read it once as long as it stays as it is; whoever asks is
    then not to change the answer. Raises UserError where it can't be read, or is no JSON."""
    try:
        if not known:
            return parsed_json(path.read_text(encoding="utf-8"))
        found = path.stat()
        return _known_json(path, found.st_mtime_ns, found.st_size)
    # JSON's and Unicode's errors are ValueErrors
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} can't be read as JSON: {reason(path, error)}.") from None


@lru_cache(maxsize=64)
def _known_json(path: Path, modified: int, size: int) -> Any:
    return parsed_json(path.read_text(encoding="utf-8"))


def parsed_json(text: str) -> Any:
    """JSON that may be anybody's. Raises ValueError or RecursionError where it is none, or holds a
    whole number that is none of a file: others can't be turned into a float, or into text."""
    return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int | float:
    if len(digits) > FLOATS:
        raise ValueError(f"the number {digits[:4]}... of {len(digits)} digits is too large")
    # tokenizers write 10**30 for "no limit"
    return int(digits) if len(digits) <= DIGITS else float(digits)


def write_text(path: Path, text: str) -> None:
    """Raises UserError where a file can't be written."""
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}.") from None


def figure(name: str, value: float) -> str:
    """A figure of a bench: shares in percent."""
    return f"{100 * value:.1f} %" if name in SHARES else measured(value)


def wanted(row: dict[str, Any]) -> str:
    """What is wanted of a figure, from a row of the bench's "acceptance": ≤ 1.5."""
    sign, limit = row["limit"].split()
    told = f"{100 * float(limit):g} %" if row["figure"] in SHARES else f"{float(limit):,g}"
    return f"{'≤' if sign == '<=' else '≥'} {told}"


# --------------------------------------------------------------------------------------------------
# What HTML is made of, and what commands print.


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Those of assets/templates. Values are escaped; one that was not given is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(ASSETS / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def rendered(template: str, content: Mapping[str, Any], **values: Any) -> list[str]:
    """The lines of a plain text among the templates."""
    return templates().get_template(template).render(content, **values).splitlines()


# --------------------------------------------------------------------------------------------------
# How far a long step is, told to whoever can show it: the command line, or the app's status.
#
# Loading calls many things, and few of them take long; so a step tells what it does without
# knowing who hears it, and the caller that can show it listens in its own thread. Where nobody
# listens, nothing happens.

Progress = Callable[[int, int, str], None]
"""(how much is done, of how much, what): bytes of a file, or captions, in the order of work."""


def silent(done: int, total: int, what: str) -> None:
    """Tells nobody."""


_listener: ContextVar[Progress] = ContextVar("listener", default=silent)


@contextmanager
def listening(progress: Progress) -> Iterator[None]:
    """Inside, `progress` hears what this thread tells."""
    before = _listener.set(progress)
    try:
        yield
    finally:
        _listener.reset(before)


@contextmanager
def stopping_at(stop: Callable[[], None]) -> Iterator[None]:
    """Inside, whatever this thread tells is heard as before, and `stop` is called each time: it may
    raise, and so end a long step where it is."""
    hears = _listener.get()

    def progress(done: int, total: int, what: str) -> None:
        hears(done, total, what)
        stop()

    with listening(progress):
        yield


def tell(done: int, total: int, what: str) -> None:
    """Say how far this thread is; 0 of `total` at the start."""
    _listener.get()(done, total, what)


def say(text: str, stream: TextIO) -> None:
    """A sentence on a line of its own, where a count may stand unfinished on the terminal's."""
    start = "\n" if stream.isatty() else ""
    print(f"{start}semerge: {text}", file=stream)


PATIENCE = 1.0  # seconds that a count goes on before it is shown


class Counter:
    """Shows a count on a stream that takes longer than a second: on a terminal a line that is
    written over, else one line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._since: float | None = None  # of a count that was begun and is not shown yet

    def __call__(self, done: int, total: int, what: str) -> None:
        if done == 0:
            self._since = perf_counter()
        if self._since is not None and perf_counter() < self._since + PATIENCE:
            return
        text = f"semerge: {done:,} of {total:,} {what}"
        if self._stream.isatty():
            end = "\n" if done == total else ""
            print(f"\r{text}", end=end, file=self._stream, flush=True)
        elif self._since is not None:
            print(text, file=self._stream, flush=True)
        self._since = None


class Stopwatch:
    """Tells on stderr how long each stage of a start took, where that is wanted."""

    def __init__(self, told: bool) -> None:
        self._told, self._last = told, perf_counter()

    def lap(self, stage: str) -> None:
        """`stage` ends now; the next one begins."""
        now = perf_counter()
        if self._told:
            # whole: print writes the end of a line apart, and two threads tell
            sys.stderr.write(f"semerge: {stage}: {1e3 * (now - self._last):.0f} ms\n")
        self._last = now
