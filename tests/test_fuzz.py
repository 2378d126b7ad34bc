"""`make fuzz`, some cases a target; and that it sees what it looks for."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import asdict
from pathlib import Path

import fuzz
import pytest
from hypothesis import strategies as st

from recipes import reliability
from semerge.common import UserError


@pytest.mark.filterwarnings("ignore")  # of decoders, on damaged files
@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_every_target_is_read_or_refused(name: str, tmp_path: Path) -> None:
    strategy, use = fuzz.TARGETS[name](tmp_path)
    outcome = fuzz.attack(strategy, use, 20)
    assert outcome.cases >= 20 and outcome.defects == []


def raising(value: int) -> None:
    if value > 5:
        raise KeyError(value)
    raise UserError("No.")


def chatty(value: int) -> None:
    raise UserError(f"{value}\nTraceback")


def test_what_raises_is_shrunk_and_told() -> None:
    outcome = fuzz.attack(st.integers(0, 1000), raising, 200)
    assert outcome.refused and len(outcome.defects) == fuzz.MOST
    assert all(told.startswith("KeyError: 6") for told in outcome.defects)


def test_what_is_no_sentence_or_takes_too_much_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no sentence" in fuzz.attack(st.just(1), chatty, 1).defects[0]
    with monkeypatch.context() as patch:
        patch.setattr(fuzz, "SECONDS", -1)
        assert " s, " in fuzz.attack(st.just(1), lambda value: None, 1).defects[0]
    with monkeypatch.context() as patch:
        patch.setattr(fuzz, "peak", iter(range(0, 10**6, 600)).__next__)
        assert "00 MB" in fuzz.attack(st.just(1), lambda value: None, 1).defects[0]
    before = signal.getsignal(signal.SIGALRM)
    monkeypatch.setattr(fuzz, "HANGS", 1)
    assert "more than 1 s" in fuzz.attack(st.just(1), lambda value: time.sleep(60), 1).defects[0]
    assert signal.getsignal(signal.SIGALRM) == before


def test_the_figures_are_kept_and_told(tmp_path: Path) -> None:
    file = tmp_path / "reliability.json"
    assert reliability.fuzz(file) == reliability.load(file) == reliability.NOT_YET
    found = asdict(fuzz.Outcome(cases=1200, refused=7, seconds=0.126, memory=3.6, defects=["x"]))
    reliability.keep(file, "fuzz", {"minutes": 2.2, "targets": {"pictures": found}})
    tally = {"users": 5, "length": 20.0, "answers": 1057, "refused": 10, "different": 0, "busy": 2}
    tally |= {"errors": [], "seconds": {"50": 0.5, "90": 1.25, "99": 3.0}}
    reliability.keep(file, "load", {**tally, "memory": [900.2, 910.0], "files": [16, 16]})
    told, day = reliability.fuzz(file), json.loads(file.read_text("utf-8"))["fuzz"]["date"]
    assert "| pictures | 1,200 | 7 | 0.13 s | 4 MB | 1 |" in told
    assert "1,200 cases in 2 minutes on " in told and told.endswith(f", {day}.")
    told = reliability.load(file)
    for row in ("| 90 % answered within | 1.25 s |", "at the end | 900 MB, 910 MB |"):
        assert row in told
    assert "| answers that differ | 0 |" in told and "5 users for 20 s on " in told
