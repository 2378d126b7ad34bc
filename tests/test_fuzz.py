"""`make fuzz`, some cases a target; and that it sees what it looks for."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import fuzz
import pytest
from hypothesis import strategies as st

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
