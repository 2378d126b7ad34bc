"""The table of methods, probes and presets: rivals, costs, comparisons, and what can't be had."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled import plane_engine, plane_sets
from torch import Tensor

from semerge.cli import main
from semerge.common import tell
from semerge.data.batches import batches
from semerge.data.labelled import LabelledSet, Sets, read_set
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation import collect as collecting
from semerge.evaluation.collect import collect
from semerge.evaluation.dynamic import DYNAMICS
from semerge.evaluation.evaluate import STOPPED, Evaluation, Request, evaluate
from semerge.evaluation.field import costs
from semerge.evaluation.field.paired import paired
from semerge.evaluation.field.rivals import (
    ENSEMBLE,
    NOTES,
    ORACLE,
    RANDOM,
    Rival,
    Way,
    by_chance,
    contents,
)
from semerge.evaluation.measure import NOT_RUN, Interrupted, Plan, measure
from semerge.evaluation.text import aligned, field_lines
from semerge.methods import METHODS, method
from semerge.probes import PROBES
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.task_vectors import TaskVectors

LACKS = (
    "Suite {} holds no second moments of the training of task0's expert, and they can't be had "
    "once it is trained."
)
QUICK = {"steps": 2, "updates": 2, "rounds": 2, "children": 2, "per_task": 2}
QUICK |= {"generations": 3, "population": 4}


@pytest.fixture
def made() -> Iterator[None]:
    """A method that gives one merged model, one that takes long for any model, and one that needs
    what the suite has not."""

    @method("whole", title="Expert 0, twice as far", scale=0.5)
    def whole(vectors: TaskVectors) -> dict[str, Tensor]:
        return vectors.merge(torch.tensor([2.0, *[0.0] * (vectors.count - 1)]))

    @method("slow", title="Slow", dear=0)
    def slow(vectors: TaskVectors) -> TaskVectors:
        return vectors.mapped(lambda deltas: deltas / 2)

    @method("hungry", title="Hungry", needs="moments")
    def hungry(vectors: TaskVectors, moments: Any) -> TaskVectors:
        return vectors

    yield
    for name in ("whole", "slow", "hungry"):
        METHODS.remove(name)


# ---- rivals --------------------------------------------------------------------------------------


def test_the_oracle_is_nearest_to_the_own_task() -> None:
    rival = Rival(ORACLE, Settings().resolve(plane_engine().suite))
    found = rival.distances([], torch.tensor([1, 0]), 3)
    assert found.tolist() == [[1, 0, 1], [0, 1, 1]]


def test_chance_follows_from_the_sample_alone(home: Path, engine: Engine) -> None:
    samples = read_set(home / "data", "task1", "test")
    rival, tasks = Rival(RANDOM, Settings().resolve(engine.suite)), torch.zeros(0)
    whole = rival.distances([samples], tasks, 3)
    assert whole.shape == (len(samples), 3) and whole.min() > 0 and whole.max() <= 1
    backwards = samples.take(np.arange(len(samples))[::-1])
    assert rival.distances([backwards], tasks, 3).equal(whole.flip(0))
    parts = [samples.take([i]) for i in range(len(samples))]
    assert rival.distances(parts, tasks, 3).equal(whole)
    assert len(whole[:, 0].unique()) == len(samples)  # all of them are different


def test_chance_favours_no_expert() -> None:
    """Of 3,000 samples each of four is the nearest for a quarter, to three deviations."""
    drawn = torch.stack([by_chance(f"sample {i}".encode(), 4) for i in range(3000)])
    counts = drawn.argmin(1).bincount(minlength=4)
    assert (counts - 750).abs().max() < 3 * (3000 * 0.25 * 0.75) ** 0.5
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.01)


def test_equal_bytes_are_equal_samples_alone() -> None:
    def of(**samples: Any) -> list[bytes]:
        return list(contents(LabelledSet("t", "test", ("a",), np.zeros(2, dtype=int), **samples)))

    flat = np.arange(12, dtype=np.uint8)
    tall, wide = flat.reshape(1, 4, 3), flat.reshape(1, 3, 4)
    assert of(images=np.concatenate([tall, tall]))[0] != of(images=np.concatenate([wide, wide]))[0]
    first, second = of(texts=("a b", "a"), texts_b=(None, "b"))
    assert first != second
    assert of(texts=("a", "a"), texts_b=(None, ""))[0] != of(texts=("a", "a"), texts_b=("", ""))[0]


def test_the_ensemble_is_the_mean_of_all_experts_scores(home: Path, engine: Engine) -> None:
    samples = read_set(home / "data", "task2", "test")
    found = measure(engine, [samples], Plan(ensemble=True)).ensemble
    assert found is not None and (found != NOT_RUN).all()
    ((rows, batch),) = batches(engine.backbone, samples)
    for s, task in enumerate(engine.suite.tasks):
        scores = torch.zeros(len(samples), len(task.classes))
        for t in range(3):
            z = engine.expert_embedding(engine.models.place(batch), t)
            scores += engine.logits(z, task.name).softmax(1) / 3
        assert found[torch.from_numpy(rows), s].tolist() == scores.argmax(1).tolist()
    assert measure(engine, [samples], Plan()).ensemble is None


def columns(engine: Engine, *ways: Way) -> list[list[tuple[str, str, str]]]:
    """Of the plane: expert, answer with the given head and with the chosen one, by way."""
    sets = Sets("plane", "test", tuple(plane_sets()), (np.arange(3), np.arange(2)), True)
    return [
        [(row.chosen, row.se_oracle, row.se_routed) for row in rows]
        for rows in collect(engine, sets, ways).rows
    ]


def test_rivals_of_the_plane() -> None:
    """See `test_evaluate` for the points: with its own expert, which `oracle` always takes, `wide`
    answers yes, no, no and `tall` yes, no.

    `wide` moves (x0, x1) to (x0, 3 x1) and `tall` to (3 x0, x1). Under the head of `wide` yes
    scores z0 − 2 z1 and no the negative of it, so the mean of the two experts' probabilities of yes
    is that of two sigmoids of twice that. (10, 1): 4 and 28, so yes. (10, 3): −8 and 24, of which
    the second is surer: σ(−16) + σ(48) is above 1 by 1e-7, so yes. (3, 10): −57 and −11, so no.
    Under the head of `tall`, z1 − 2 z0: (1, 10): 28 and 4, so yes; (3, 10): 24 and −8, so yes."""
    engine = plane_engine("hard")
    resolved = Settings().resolve(engine.suite)
    oracle, together = columns(engine, Rival(ORACLE, resolved), Rival(ENSEMBLE, resolved))
    yes, no = "yes", "no"
    assert oracle == [
        ("wide", yes, yes), ("wide", no, no), ("wide", no, no), ("tall", yes, yes), ("tall", no, no)
    ]  # fmt: skip
    assert [row[1] for row in together] == [yes, yes, no, yes, yes]
    assert [row[0] for row in together] == ["wide", "wide", "tall", "tall", "tall"]  # by the base


@pytest.mark.parametrize("preset", ["hard", "literal"])
def test_a_rival_changes_no_other_row(home: Path, engine: Engine, preset: str) -> None:
    """Rows are the same beside rivals and alone; the oracle with `hard` is each expert itself."""
    sets = suite_sets(engine.suite, home / "data")
    resolved = Settings(preset=preset).resolve(engine.suite)
    rivals = [Rival(name, resolved) for name in (RANDOM, ORACLE, ENSEMBLE)]
    plain, chance, oracle, ensemble = collect(engine, sets, [resolved, *rivals]).rows
    assert list(plain) == list(collect(engine, sets, [resolved]).rows[0])
    assert list(chance) == list(collect(engine, sets, rivals[:1]).rows[0])
    assert all(row.right("routing") for row in oracle)
    assert [row.chosen for row in ensemble] == [row.chosen for row in plain]
    assert len({row.chosen for row in chance}) == 3
    if preset == "hard":
        assert [row.se_routed for row in oracle] == [row.expert for row in oracle]


# ---- costs ---------------------------------------------------------------------------------------


def blocks_run(
    engine: Engine, way: Way, sets: Sequence[LabelledSet], monkeypatch: pytest.MonkeyPatch
) -> float:
    """Blocks that an answer runs, a grouped one for each of its models, over those of a pass."""
    count, kind = [0], type(engine.backbone)
    block = kind.block

    def counted(self: Any, params: Any, layer: int, h: Tensor, batch: Any) -> Tensor:
        count[0] += h.shape[0] if h.dim() == 4 else 1
        return block(self, params, layer, h, batch)

    (sample,) = costs.few(engine, sets, 1)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "block", counted)
        costs.answer(engine, way, sample)
    return count[0] / engine.suite.depth


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        (Settings(probe="experts", layer=1), 1 + 4 / 2),
        (Settings(probe="experts", layer=2, preset="literal"), 1 + 4),
        (Settings(probe="experts", layer="final"), 1 + 4),
        (Settings(probe="base", layer=1, method="ties"), 1 + 4 / 2),
        (Settings(probe="cache", layer=1), 1 + 1 / 2),
        (Settings(probe="cache", layer="final", preset="hard"), 1 + 1),
    ],
    ids=lambda x: f"{x.probe} {x.layer}" if isinstance(x, Settings) else "",
)
def test_passes_are_the_blocks_that_are_run(
    home: Path,
    engine: Engine,
    settings: Settings,
    passes: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sets = suite_sets(engine.suite, home / "data").sets
    way = settings.resolve(engine.suite)
    assert costs.passes(engine, way) == passes == blocks_run(engine, way, sets, monkeypatch)


@pytest.mark.parametrize(("name", "passes"), [(ORACLE, 1), (RANDOM, 1), (ENSEMBLE, 3 + 1 / 2)])
def test_passes_of_rivals(
    home: Path, engine: Engine, name: str, passes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = suite_sets(engine.suite, home / "data").sets
    way = Rival(name, Settings(layer=1).resolve(engine.suite))
    assert costs.passes(engine, way) == passes == blocks_run(engine, way, sets, monkeypatch)


@pytest.mark.usefixtures("made")
def test_bytes_by_hand(engine: Engine) -> None:
    """Float32. Models are counted by what some expert changes, here nearly all of it."""
    vectors = engine.models.vectors
    one = 4 * vectors.numel
    own = 4 * 3 * sum(x.numel() for x in vectors.deltas(0))

    def of(**settings: Any) -> int:
        return costs.held(engine, Settings(**settings).resolve(engine.suite))

    assert of(probe="experts") == of(probe="base") == one + own  # which are rescaled themselves
    assert of(probe="experts", method="ties") == one + own + own  # and the experts beside them
    assert of(probe="experts", method="whole") == one + own + one
    assert of(probe="base", method="whole") == one + own  # the merged model is not probed
    at = engine.models.statistics[1, "mean"]
    stored = 4 * (at.mean.numel() + at.by.numel())
    assert of(probe="cache", layer=1, pool="mean") == one + own + stored
    resolved = Settings(method="ties").resolve(engine.suite)
    assert costs.held(engine, Rival(ORACLE, resolved)) == one + own


def test_an_answer_is_timed_until_it_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = [0.0], []
    monkeypatch.setattr(costs, "now", lambda device: clock[0])

    def case(batch: Any) -> None:
        asked.append(batch)
        clock[0] += batch

    cpu = torch.device("cpu")
    seconds: list[Any] = [0.005, 0.002, 0.009, 0.001]
    assert costs.timed(case, seconds, cpu) == pytest.approx(3.5)  # the median, and one run before
    assert asked == [0.005, *seconds]
    asked.clear()
    costs.timed(case, [1.0] * 8, cpu)  # type: ignore[list-item]
    assert len(asked) == 1 + costs.FEWEST


def test_the_samples_of_the_clock_come_from_all_tasks(home: Path, engine: Engine) -> None:
    sets = suite_sets(engine.suite, home / "data").sets
    found = costs.few(engine, sets, 5)
    assert [len(batch) for batch in found] == [1] * 5
    for batch, (t, i) in zip(found, [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)], strict=True):
        ((_, own),) = batches(engine.backbone, sets[t].take([i]))
        assert torch.equal(batch.data, own.data)


# ---- the rows ------------------------------------------------------------------------------------


def table_of(home: Path, engine: Engine, **request: Any) -> list[dict[str, Any]]:
    return list(evaluate(engine, Request(home / "data", **request)).table)


def test_every_row_is_that_of_its_own_run(home: Path, engine: Engine) -> None:
    """Figures, and the comparison with the best other row made anew from the rows of both runs."""
    table = table_of(home, engine, methods=("task_arithmetic", "ties"), every=("probe",))
    rows = [row for row in table if "reason" not in row]
    runs: dict[int, Evaluation] = {}
    for i, row in enumerate(table):
        if "reason" in row or row["note"]:
            continue
        settings = Settings(**{k: row[k] for k in ("method", "probe", "layer", "pool", "preset")})
        runs[i] = evaluate(engine, Request(home / "data", settings=settings))
        found = runs[i].to_dict()
        assert {k: row[k] for k in ("tasks", "average_all", "recovery")} == {
            "tasks": found["tasks"],
            "average_all": found["average"],
            "recovery": found["recovery"],
        }
    routed = [
        (row["average_all"]["se_routed"], -i)
        for i, row in enumerate(table)
        if "reason" not in row and row["data"] != ["the task of each sample"]
    ]
    (_, best), (_, second) = sorted(routed)[::-1][:2]
    assert {row["against"]["row"] for row in rows} == {-best, -second}
    assert [i for i, row in enumerate(table) if row.get("against", {}).get("row") == -second] == [
        -best
    ]
    for i, run in runs.items():
        other = table[i]["against"]["row"]
        if other in runs:
            right = [
                np.array([one.right("se_routed") for one in each.rows])
                for each in (run, runs[other])
            ]
            tasks = np.array([engine.suite.index(one.task) for one in run.rows])
            assert table[i]["against"] == {"row": other, **vars(paired(*right, tasks))}


@pytest.mark.usefixtures("made")
def test_no_cell_is_empty_without_a_reason(home: Path, engine: Engine) -> None:
    specs = ("task_arithmetic", "whole", "hungry", "ties:density=0.5")
    told: list[str] = []
    request = Request(home / "data", methods=specs, every=("probe",))
    seen: list[tuple[int, int]] = []
    found = evaluate(engine, request, notice=told.append, progress=lambda *step: seen.append(step))
    assert found.complete and seen == sorted(seen) and seen[-1] == (4 * 36, 4 * 36)
    needs = LACKS.format(engine.suite.name)
    assert told == [f"hungry is left out: {needs}"]
    absent = {(r["method"], r["probe"]): r["reason"] for r in found.table if "reason" in r}
    assert absent["hungry", None] == needs
    for spec in ("task_arithmetic", "whole", "ties:density=0.5"):
        rows = [row for row in found.table if row["method"] == spec]
        routers = {entry.name for entry in DYNAMICS if not entry.model}
        first = routers if spec == specs[0] else set()
        assert {row["probe"] for row in rows} == {*PROBES.names, RANDOM, ORACLE} | first
    shared = {"method", "title", "probe", "preset", "note", "tasks", "average_all", "average_real"}
    shared |= {"recovery", "passes", "ms", "merge", "bytes", "data", "against", "layer", "pool"}
    for row in found.table:
        if "reason" in row:
            continue
        assert set(row) == shared | {"static_lambda", "probe_lambda"}
        empty = {name for name in row if row[name] is None}
        at = {"layer", "pool", "probe_lambda"}
        merged = {"preset", "static_lambda", "merge"}
        alone = row["method"] == ENSEMBLE or row["method"] in DYNAMICS
        if alone:
            wanted = merged if row["probe"] == "experts" else merged | at | {"probe"}
        else:
            wanted = at if row["probe"] not in PROBES else set()
        assert empty == wanted
        assert row["ms"] > 0 and row["bytes"] > 0 and row["passes"] >= 1
        static = {"static_oracle", "static_routed"} <= row["average_all"].keys()
        assert static is not alone
    notes = {row["note"]: row["probe"] for row in found.table if row.get("note")}
    own = {entry.note for entry in DYNAMICS if not entry.needs}  # here are no samples
    assert notes.keys() - own == {*NOTES.values()} and own <= notes.keys()
    assert {notes[NOTES[name]] for name in (RANDOM, ORACLE)} == {RANDOM, ORACLE}
    assert sum(row["method"] == ENSEMBLE for row in found.table) == 1
    data = {row["probe"]: row["data"] for row in found.table if "reason" not in row}
    assert (data["experts"], data["base"], data[RANDOM]) == ([], [], [])
    assert data["cache"] == ["samples of each task"] and data[ORACLE] == ["the task of each sample"]
    content = found.to_dict()
    assert content["machine"]["device"] == "cpu" and content["bootstrap"]["draws"] == 2000
    json.dumps(content, allow_nan=False)
    alone = evaluate(engine, Request(home / "data")).to_dict()
    assert not {"table", "machine", "bootstrap"} & alone.keys()


@pytest.mark.usefixtures("made")
def test_what_takes_long_is_read_where_it_was_made(
    home: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))
    waits, refuses = load_engine(home / "suite"), load_engine(home / "suite", make_dear=False)
    specs = ("task_arithmetic", "slow")
    left_out = table_of(home, refuses, methods=specs)[-1]
    assert left_out["method"] == "slow" and "merge --suite" in left_out["reason"]
    made = table_of(home, waits, methods=specs)[-1]
    again = table_of(home, refuses, methods=specs)[-1]
    assert (made["merge"]["stored"], again["merge"]["stored"]) == (False, True)
    assert min(made["merge"]["seconds"], again["merge"]["seconds"]) > 0
    assert made["average_all"] == again["average_all"]


def test_a_stop_leaves_whole_methods(home: Path, engine: Engine) -> None:
    """Asked once it is in the second method: its rows would be of other samples than the first's,
    so it has none."""
    asked: list[None] = []

    def cancelled() -> bool:
        asked.append(None)
        return len(done) > 3  # three sets, each a batch: the fourth is the second method's first

    done: list[tuple[int, int]] = []
    request = Request(home / "data", methods=("task_arithmetic", "ties", "average"))
    found = evaluate(engine, request, progress=lambda *step: done.append(step), cancelled=cancelled)
    assert not found.complete and found.inspection.complete and len(found.rows) == 36
    first, *others = found.table
    assert first["average_all"] == found.to_dict()["average"] and first["against"] is None
    assert [(row["method"], row["reason"]) for row in others] == [
        ("ties", STOPPED), ("average", STOPPED)
    ]  # fmt: skip
    assert found.to_dict()["stopped"] == {"of": 36}


def test_a_stop_is_heard_while_a_method_is_made(home: Path, engine: Engine) -> None:
    steps: list[int] = []

    @method("endless", title="Endless", dear=0)
    def endless(vectors: TaskVectors) -> TaskVectors:
        for step in range(10):
            steps.append(step)
            tell(step, 10, "steps")
        return vectors

    def cancelled() -> bool:
        return 3 in steps

    try:
        request = Request(home / "data", methods=("task_arithmetic", "endless", "average"))
        found = evaluate(engine, request, cancelled=cancelled)
        rows = [(row["method"], row.get("reason")) for row in found.table]
        assert rows == [("task_arithmetic", None), ("endless", STOPPED), ("average", STOPPED)]
        assert steps == [0, 1, 2, 3] and not found.complete and len(found.rows) == 36
        assert not engine.models.is_kept("endless")
        steps.clear()
        with pytest.raises(Interrupted):
            evaluate(
                engine,
                Request(home / "data", settings=Settings(method="endless", probe="experts")),
                cancelled=cancelled,
            )
        assert steps == [0, 1, 2, 3]
    finally:
        METHODS.remove("endless")


# ---- the command ---------------------------------------------------------------------------------


def command(home: Path, *options: object) -> list[str]:
    return ["evaluate", *map(str, ("--suite", home / "suite", "--data", home / "data", *options))]


@pytest.mark.usefixtures("made")
def test_all_methods(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every one has its row or its reason; one that draws has three draws; small models wait."""
    js = tmp_path / "a.json"
    few = ["--limit", 2, "--json", js]
    few += [x for name, value in QUICK.items() for x in (f"--{name.replace('_', '-')}", value)]
    assert main(command(home, "--methods", "ties:merge=mean,all", *few)) == 0
    out, err = capsys.readouterr()
    table = json.loads(js.read_text(encoding="utf-8"))["table"]
    specs = []
    for entry in METHODS:
        names = {option.name for option in entry.options}
        quick = {name: value for name, value in QUICK.items() if name in names}
        draws: list[dict[str, int]] = [{}, {"draw": 1}, {"draw": 2}] if "draw" in names else [{}]
        specs += [METHODS.spec(entry.name, quick | draw) for draw in draws]
    assert {"dare:draw=2", "doge_ta:steps=2"} <= set(specs)
    assert [row["method"] for row in table] == ["ties:merge=mean", *specs]
    assert [row["method"] for row in table if "reason" in row] == ["ota", "hungry"]
    lacks = LACKS.format(read_suite(home / "suite").name)
    assert f"semerge: hungry is left out: {lacks}" in err
    lines = out.splitlines()
    head = next(line for line in lines if line.startswith("method  "))
    for name in ("static", "SE", "SE r.", "routing", "passes", "ms", "merge s", "MB", "data", "p"):
        assert name in head
    assert f"left out: ota, hungry: {lacks}" in lines
    assert "Published figures of WEMoE, DaWin, Auto-Switch and MASS average over batches" in out
    width = head.index("preset")
    started = [line for line in lines if line[:width].strip() and line[width:].startswith("sharp")]
    assert len(started) == len(table) - 2


def test_a_command_that_is_stopped_in_the_table_says_so(
    home: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, run, js = [], collecting.measure, tmp_path / "a.json"

    def measure(*args: Any) -> object:
        seen.append(None)
        if len(seen) == 4:  # the first batch of the second method
            signal.raise_signal(signal.SIGINT)
        return run(*args)

    monkeypatch.setattr(collecting, "measure", measure)
    assert main(command(home, "--methods", "average,ties", "--json", js)) == 130
    assert capfd.readouterr().err.endswith(
        "semerge: stopped by Ctrl+C; rows of the table that were not run say so.\n"
    )
    found = json.loads(js.read_text(encoding="utf-8"))
    assert found["n"] == 36 and [row.get("reason") for row in found["table"]] == [None, STOPPED]


# ---- as text -------------------------------------------------------------------------------------


def test_columns_lie_below_their_headings() -> None:
    rows = [{"name": "ab", "n": "7", "note": "x"}, {"name": "a", "n": "1,234", "note": ""}]
    assert aligned(rows, ("name", "note")) == [
        "name      n  note",
        "ab        7  x",
        "a     1,234",
    ]
    assert aligned([]) == []


def test_what_is_told_of_a_row() -> None:
    shares = {"static_oracle": 0.5, "se_oracle": 0.75, "se_routed": 0.7, "routing": 0.9}
    row: dict[str, Any] = {
        "method": "ties",
        "probe": "experts",
        "layer": 2,
        "pool": "mean",
        "preset": "sharp",
        "average_all": shares,
        "passes": 5.5,
        "ms": 12.34,
        "merge": {"seconds": 3.21, "stored": True},
        "bytes": 12_300_000,
        "data": [],
        "note": "",
        "against": None,
    }
    against = {"row": 0, "difference": 0.0123, "low": -1e-9, "high": 0.02, "p": 2e-5}
    other = row | {"probe": "base", "layer": 1, "against": against, "data": ["unlabelled"]}
    absent = {"method": "ties", "probe": "cache", "reason": "Why."}
    content = {
        "table": [row, other, absent],
        "machine": {"processor": "P", "threads": 1, "device": "cpu"},
        "bootstrap": {"draws": 2000, "level": 0.95, "seed": 0},
    }
    head, first, second, left_out, *rest = field_lines(content)
    assert head.split()[:4] == ["method", "probe", "layer", "preset"]  # all have the same pool

    assert first.split()[:4] == ["ties", "experts", "2", "sharp"]
    assert first.split()[4:13] == [
        "50.00", "75.00", "70.00", "90.00", "5.5", "12.3", "3.21*", "12.3", "none"
    ]  # fmt: skip
    assert first.split()[13:] == ["–", "–", "–"]
    assert second.split()[12:] == ["unlabelled", "+1.23", "+0.00", "to", "+2.00", "2e-05"]
    assert left_out == "left out: cache: Why."
    assert "2,000 paired bootstrap draws" in rest[-1] and "95%" in rest[-1]
    assert "ties, experts, 2, sharp" in rest[-1]
    assert "with * an earlier run had made it" in rest[-2]
