"""Options and λ of every method by one rule on validation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pytest

from semerge.cli import main
from semerge.data.sets import suite_sets
from semerge.engine import Engine
from semerge.evaluation.evaluate import Request, evaluate
from semerge.evaluation.field.tuning import FACTORS, accuracies, tune, without_draw
from semerge.methods import METHODS
from semerge.registry import Entry, Grid, Within
from semerge.settings import Settings


def peaked(spec: str, scales: Sequence[float]) -> list[float]:
    """Best at density .3 and twice the λ; the sum is better than the mean at any."""
    options = METHODS.chosen(spec)
    near = -abs(options["density"] - 0.3) - (options["merge"] == "mean")
    return [near - 0.1 * abs(scale - 0.6) for scale in scales]


def test_the_rule_by_hand() -> None:
    found = tune(peaked, "ties", 0.3)
    assert (found.method, found.scale) == ("ties:density=0.3", 0.6)
    assert found.accuracy == pytest.approx(0.0)
    assert found.grid == {
        "density": (0.2, 0.1, 0.3, 0.5),  # the default first
        "lambda": (0.12, 0.18, 0.24, 0.3, 0.375, 0.48, 0.6),
    }
    # each merge is measured once: the options at the method's own λ, then λ
    assert [(row["method"], row["lambda"]) for row in found.tried] == [
        ("ties", 0.3),
        ("ties:density=0.1", 0.3),
        ("ties:density=0.3", 0.3),
        ("ties:density=0.5", 0.3),
        *[("ties:density=0.3", scale) for scale in (0.12, 0.18, 0.24, 0.375, 0.48, 0.6)],
    ]
    told = found.to_dict()
    assert told["winner"] == {
        "method": "ties:density=0.3",
        "lambda": 0.6,
        "accuracy": found.accuracy,
    }
    json.dumps(told, allow_nan=False)


def test_of_equal_ones_the_published_stays() -> None:
    found = tune(lambda spec, scales: [0.5] * len(scales), "ties", 0.3)
    assert (found.method, found.scale, found.accuracy) == ("ties", 0.3, 0.5)


def test_what_a_spec_states_is_not_touched_and_one_model_has_no_scale() -> None:
    found = tune(peaked, "ties:density=0.5", None)
    assert (found.method, found.scale) == ("ties:density=0.5", None)
    assert found.grid == {} and [row["lambda"] for row in found.tried] == [None]


def test_draws_have_the_same_options() -> None:
    assert without_draw("dare:draw=2") == "dare"
    assert without_draw("dare:drop=0.3,draw=2") == "dare:drop=0.3"
    assert without_draw("ties:density=0.5") == "ties:density=0.5"


def test_grids_are_valid_and_hold_the_default() -> None:
    grids = {(e.name, o.name): o for e in METHODS for o in e.options if o.grid}
    assert len(grids) > 15
    for option in grids.values():
        assert option.grid[0] == option.default and len(set(option.grid)) == len(option.grid) > 1
        assert all(option.read(value) == value for value in option.grid)
    assert 1.0 in FACTORS

    def outside(*, share: Annotated[float, Within(0.0, 1.0), Grid(0.5, 2.0)] = 0.1) -> None:
        """A grid that leaves the range."""

    with pytest.raises(TypeError, match="grid of share"):
        _ = Entry("outside", outside, "Outside").options


def test_accuracies_are_those_of_an_evaluation(home: Path, engine: Engine) -> None:
    sets = suite_sets(engine.suite, home / "data", "validation").sets
    own = METHODS["ties"].scale_of(engine.suite)
    found = accuracies(engine, sets, "ties", [own, 2 * own])
    for scale, share in zip((own, 2 * own), found, strict=True):
        settings = Settings(method="ties", probe="experts")
        request = Request(home / "data", "validation", settings=settings, scales={"ties": scale})
        told = evaluate(engine, request)
        assert told.config["static_lambda"] == told.config["probe_lambda"] == scale
        assert told.to_dict()["average"]["static_oracle"] == pytest.approx(share)


def test_the_command(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Grid and winner are in the JSON, rows are the winners', and samples are of validation."""
    js = tmp_path / "a.json"
    arguments = ["evaluate", "--suite", str(home / "suite"), "--data", str(home / "data")]
    arguments += ["--methods", "task_arithmetic,ties,dare,dare:draw=1,ota,star", "--limit", "2"]
    assert main([*arguments, "--tune", "4", "--json", str(js)]) == 0
    content = json.loads(js.read_text(encoding="utf-8"))
    told = content["tuning"]
    assert told["split"] == "validation" and told["samples_per_task"] == 4 and told["n"] <= 12
    assert list(told["methods"]) == ["task_arithmetic", "ties", "dare", "ota", "star"]
    assert "second moments" in told["methods"]["ota"]["reason"]
    rows = {row["method"]: row for row in content["table"] if "reason" not in row}
    for name in ("task_arithmetic", "ties", "dare", "star"):
        one = told["methods"][name]
        winner = one["winner"]
        assert winner["accuracy"] == max(row["accuracy"] for row in one["tried"])
        assert {**winner} in one["tried"]
        assert rows[winner["method"]]["static_lambda"] == winner["lambda"]
    drawn = [row for row in content["table"] if row["method"].startswith("dare")]
    assert len(drawn) == 2 and drawn[0]["static_lambda"] == drawn[1]["static_lambda"]
    assert main([*arguments, "--tune", "--split", "validation"]) == 2
    assert "leave --split out" in capsys.readouterr().err
