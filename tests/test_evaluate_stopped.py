"""Ctrl+C during a command, and what a run tells where nobody watches a terminal."""

from __future__ import annotations

import csv
import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import recipes.__main__ as recipes
from semerge import cli
from semerge.cli import main
from semerge.evaluation import collect
from semerge.evaluation import command as watched


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """press(n, times): Ctrl+C so many times in the n-th batch, the first being 0."""

    def at(n: int, times: int) -> None:
        seen = []
        run = collect.measure

        def measure(*args: Any) -> object:
            seen.append(None)
            if len(seen) == n + 1:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            return run(*args)

        monkeypatch.setattr(collect, "measure", measure)

    return at


def command(home: Path, *options: object) -> list[str]:
    given = ["--suite", home / "suite", "--data", home / "data", *options]
    return ["evaluate", *map(str, given)]


def test_a_run_that_is_stopped_writes_what_is_done(
    home: Path,
    tmp_path: Path,
    press: Callable[[int, int], None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, part, js = (tmp_path / name for name in ("whole.csv", "part.csv", "part.json"))
    assert main(command(home, "--csv", whole)) == 0
    capfd.readouterr()
    monkeypatch.setattr(collect, "BATCH_SIZE", 5)
    before = signal.getsignal(signal.SIGINT)
    press(1, 1)  # heard before the second batch is measured
    assert main(command(home, "--csv", part, "--json", js, "--diagnose")) == 130
    assert signal.getsignal(signal.SIGINT) is before
    out, err = capfd.readouterr()
    found = json.loads(js.read_text(encoding="utf-8"))
    n = found["n"]
    assert 0 < n < 36 and found["stopped"] == {"of": 36} and "diagnosis" not in found
    assert f": {n} of 36 samples\n" in out
    assert err == watched.STOPPING + (
        f"semerge: stopped by Ctrl+C after {n} of 36 samples; the figures are of these alone.\n"
    )
    rows, of_whole = (
        list(csv.DictReader(io.StringIO(p.read_text(encoding="utf-8-sig")))) for p in (part, whole)
    )
    assert len(rows) == n
    kept = {row["id"]: row for row in of_whole}
    assert [row["se_oracle"] for row in rows] == [kept[row["id"]]["se_oracle"] for row in rows]


@pytest.mark.parametrize(("batch", "times"), [(0, 1), (1, 2)])
def test_without_anything_done_or_the_second_time_nothing_is_written(
    batch: int,
    times: int,
    home: Path,
    tmp_path: Path,
    press: Callable[[int, int], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    press(batch, times)
    assert main(command(home, "--csv", tmp_path / "a.csv")) == 130
    out, err = capfd.readouterr()
    assert out == "" and err == watched.STOPPING + "semerge: stopped by Ctrl+C.\n"
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["bench", "--suite", "mini-text"],
        ["download", "--suite", "gpt2-glue"],
        ["evaluate", "--suite", "mini-text", "--data", "d"],
        ["recipes", "text", "--data", "d", "--out", "o"],
    ],
)
def test_every_command_ends_with_a_sentence(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: SimpleNamespace(run=run))
    monkeypatch.setattr(recipes, "run", run)
    program, *rest = argv
    assert (recipes.main(rest) if program == "recipes" else main(argv)) == 130
    assert capsys.readouterr() == ("", "semerge: stopped by Ctrl+C.\n")


def test_a_log_has_a_line_for_each_tenth_and_none_for_short_runs() -> None:
    now, file = [0.0], io.StringIO()
    log = watched.Log(file, lambda: now[0])
    for done in range(1, 101):
        now[0] += 5.0
        log(done, 100)
    tenths = [f"semerge: {done} of 100 samples" for done in range(10, 101, 10)]
    assert file.getvalue().splitlines() == tenths
    quick = io.StringIO()
    log = watched.Log(quick, lambda: now[0])
    for done in range(1, 101):
        now[0] += 0.01
        log(done, 100)
    assert quick.getvalue() == ""


def test_a_terminal_has_one_line_that_is_written_over() -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    show = watched.progress(terminal)
    show(1, 2)
    show(2, 2)
    assert terminal.getvalue() == "\r1 of 2 samples\r2 of 2 samples\n"
    assert isinstance(watched.progress(io.StringIO()), watched.Log)
