"""Hypothesis, displacements, automatic choice and the notice "no expert fits"."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import plane_engine, plane_sets, write_images, write_sentences
from tiny import tiny_text_suite, tiny_vision_suite
from torch import Tensor

from semerge.cli import main
from semerge.engine import Engine, load_engine
from semerge.evaluation import (
    abstention,
    criterion,
    diagnosis_tables,
    diagnosis_text,
    hypothesis,
)
from semerge.evaluation.abstention import EITHER, OTHER_PROBE, Calibration, Reading
from semerge.evaluation.diagnosis import candidates, diagnose
from semerge.evaluation.displacement import Displacements, describe, displacements, verdict
from semerge.evaluation.intervals import auroc, pooled, share, wilson
from semerge.evaluation.left_out import leave_out
from semerge.evaluation.measure import BASE, Interrupted, Key, Measurement, Plan, measure, probing
from semerge.evaluation.report import rounded
from semerge.evaluation.sets import Sets, suite_sets
from semerge.evaluation.unseen import OTHER, read, unseen
from semerge.loading import Loaded, load
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.task_vectors import TaskVectors

MAKERS = {"image": (tiny_vision_suite, write_images), "text": (tiny_text_suite, write_sentences)}


@pytest.fixture(scope="module", params=["image", "text"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `suite` and `data`, which holds a task that the suite does not have."""
    folder = tmp_path_factory.mktemp(request.param)
    make, write = MAKERS[request.param]
    make(folder / "suite")
    write(folder / "data", tasks=4)
    return folder


@pytest.fixture(scope="module")
def engine(home: Path) -> Engine:
    return load_engine(home / "suite")


@pytest.fixture(scope="module")
def splits(home: Path, engine: Engine) -> dict[str, Sets]:
    return {s: suite_sets(engine.suite, home / "data", s) for s in ("validation", "test")}


# ---- shares -------------------------------------------------------------------------------------


def test_intervals_of_wilson() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    for n in (1, 3, 50):
        for hits in range(n + 1):
            low, high = wilson(hits, n)
            assert 0 <= low <= hits / n <= high <= 1
    assert share(torch.tensor([True, False, True, True]))["share"] == 0.75
    both = pooled(
        [share(torch.arange(4) < 3), share(torch.arange(0) < 1), share(torch.arange(6) < 3)]
    )
    assert (both["share"], both["n"]) == (0.6, 10) and (both["low"], both["high"]) == wilson(6, 10)


def test_auroc_counts_pairs() -> None:
    low, high = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0])
    assert auroc(low, high) == pytest.approx((1 + 0.5 + 3) / 6)
    assert auroc(high, low) == pytest.approx(1 - 4.5 / 6)
    assert auroc(low, low[:0]) is None


# ---- hypothesis ---------------------------------------------------------------------------------


def test_margins_by_hand() -> None:
    d = torch.tensor([[1.0, 2.0, 4.0], [3.0, 3.0, 9.0], [8.0, 2.0, 2.5], [0.0, 0.0, 1.0]])
    d = torch.cat([d, torch.tensor([[torch.nan, 1.0, 2.0]])])
    assert hypothesis.margin_of(d).tolist() == pytest.approx([0.5, 0.0, 0.2, 0.0, 0.0])
    found = hypothesis.margins(d, torch.tensor([0, 0, 0, 1, 1]))
    assert found["n"] == 5 and found["mean"] == pytest.approx(0.14)
    assert sum(found["right"]) == 3 and sum(found["misrouted"]) == 2
    assert found["right"][0] == 2 and found["right"][10] == 1 and found["misrouted"][4] == 1
    assert found["quantiles"]["0.5"] == 0.0


def test_the_plane_of_a_map_is_the_principal_one() -> None:
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    rows = rows * torch.tensor([9.0, 4.0, 0.1, 0.1, 0.1, 0.1]) + 5
    places, explained = hypothesis.principal_plane(rows)
    centred = rows.double() - rows.double().mean(0)
    assert torch.pdist(places) == pytest.approx(torch.pdist(centred), abs=0.3)
    assert float(places[:, 0] @ places[:, 1]) == pytest.approx(0.0, abs=1e-6)
    total = float(centred.square().sum())
    assert explained[0] == pytest.approx(float(places[:, 0].square().sum()) / total)
    assert explained[0] > explained[1] > 0.01 and sum(explained) < 1
    again, _ = hypothesis.principal_plane(rows.flip(0))
    assert again.flip(0) == pytest.approx(places, abs=1e-6)  # signs are fixed
    alike, none = hypothesis.principal_plane(torch.ones(3, 1))
    assert not alike.any() and none == (0.0, 0.0)


def test_bias_is_nothing_where_the_right_expert_is_taken(
    engine: Engine, splits: dict[str, Sets]
) -> None:
    sets = splits["test"].sets
    tasks = torch.tensor([engine.suite.index(s.task) for s in sets for _ in range(len(s))])
    own = torch.nn.functional.one_hot(tasks, 3).double()
    found = hypothesis.representation_bias(engine, sets, own)
    assert found["n"] == 36 and found["average"]["se"] == pytest.approx(0.0, abs=1e-5)
    assert found["average"]["static"] > 0.01 and found["se_nearer"]["share"] == 1.0
    static = torch.full((36, 3), engine.suite.defaults.static_lambda, dtype=torch.float64)
    found = hypothesis.representation_bias(engine, sets, static)
    for row in (found["average"], *found["tasks"].values()):
        assert row["se"] == pytest.approx(row["static"], rel=1e-4)
    with pytest.raises(Interrupted):
        hypothesis.representation_bias(engine, sets, own, lambda: True)


# ---- displacements ------------------------------------------------------------------------------


def test_the_prediction_is_exact_where_the_model_is_linear() -> None:
    engine, sets = plane_engine(), plane_sets()
    point = (1, "mean")
    moved = displacements(engine, sets, point)
    # wide: (10, 1) goes to (10, 3) under `wide` and to (30, 1) under `tall`
    assert moved.gram[0].tolist() == [[4.0, 0.0], [0.0, 400.0]]
    assert moved.sizes()[0].tolist() == [2.0, 20.0]
    scales = (BASE, 0.1, 0.7)
    keys = tuple(probing("experts" if scale else "base", scale, point) for scale in scales)
    measured = measure(engine, sets, Plan(keys))
    for scale, key in zip(scales, keys, strict=True):
        assert moved.distances(scale) == pytest.approx(measured.distances[key].double(), rel=1e-5)
    found = describe(engine.suite, moved, point, {0.1: measured.distances[keys[1]]})
    assert found["tasks"]["wide"]["own"] == pytest.approx((2 + 6 + 20) / 3)
    assert found["tasks"]["wide"]["ratio"] == pytest.approx((2 + 6 + 20) / (20 + 20 + 6))
    assert found["moves_least"]["share"] == 0.8  # (3, 10) of wide is the wrong way round
    assert found["drift_correlation"] == 0.0
    rows = {row["lambda"]: row for row in found["curve"]}
    assert rows[0.1]["measured"] == rows[0.1]["predicted"] and "measured" not in rows[0.2]
    assert "nearest for 80% of the samples at λ 0.1" in verdict(found, 0.1)


def test_drifts_that_pile_up_hide_the_own_expert() -> None:
    """Three experts on one line: the own one stays, the others go the same way."""
    delta = torch.tensor([[0.1, 4.0, 5.0], [4.0, 0.1, 5.0], [4.0, 5.0, 0.1]], dtype=torch.float64)
    moved = Displacements(torch.arange(3), delta[:, :, None] * delta[:, None, :])
    assert moved.cosines() == pytest.approx(torch.ones(3, 3, 3).double())
    suite = plane_engine().suite
    suite = replace(suite, tasks=(*suite.tasks, replace(suite.tasks[0], name="third")))
    found = describe(suite, moved, (1, "mean"), {})
    shares = {row["lambda"]: row["predicted"]["share"] for row in found["curve"]}
    assert shares[0.05] == 1.0 and shares[0.5] == 0.0 and found["drift_correlation"] == 1.0
    assert "Probe at λ 0.2 or below" in verdict(found, 0.5)
    own_moves_most = Displacements(torch.tensor([1, 2, 0]), moved.gram)
    assert "wrong one at any λ" in verdict(describe(suite, own_moves_most, (1, "mean"), {}), 0.5)


# ---- the automatic choice -----------------------------------------------------------------------


def key(layer: int) -> Key:
    return Key("experts", 0.1, layer, "mean")


def test_mutual_information_by_hand() -> None:
    a = torch.tensor([0, 0, 1, 1] * 3)
    b = torch.tensor([0, 1, 0, 1] * 3)
    found = criterion.mutual_information(torch.stack([a, b, 1 - a, a * 0]), 2)
    assert found[0].tolist() == pytest.approx([1.0, 0.0, 1.0, 0.0], abs=1e-6)
    assert found == pytest.approx(found.mT)
    four = criterion.mutual_information(a[None], 4)
    assert float(four[0, 0]) == pytest.approx(math.log(2) / math.log(4))


def test_the_criterion_finds_the_good_candidates_without_labels() -> None:
    random = torch.Generator().manual_seed(0)
    tasks = torch.arange(200) % 4

    def candidate(hit: float, clear: float) -> Tensor:
        right = torch.rand(200, generator=random) < hit
        choice = torch.where(right, tasks, torch.randint(4, (200,), generator=random))
        noise = 0.1 * torch.rand(200, 4, generator=random)
        return 1 + noise - clear * torch.nn.functional.one_hot(choice, 4)

    collapsed = torch.ones(200, 4)
    collapsed[:, 2] = 0.01  # everything to one expert, with the clearest of margins
    distances = {
        key(1): candidate(0.1, 0.5),
        key(2): candidate(0.95, 0.5),
        key(3): collapsed,
        key(4): candidate(0.85, 0.4),
        key(5): candidate(0.8, 0.1),
    }
    ranked = criterion.rank(distances)
    assert [c.key.layer for c in ranked[:2]] == [2, 4] and ranked[-1].key.layer == 3
    assert ranked[-1].agreement < 1e-6 and ranked[-1].margin > 0.9
    assert [c.score for c in ranked] == sorted((c.score for c in ranked), reverse=True)
    experts = torch.zeros(4, 200, 4, dtype=torch.int16)
    measured = Measurement(tasks, torch.zeros(200, dtype=torch.int64), distances, {}, experts)
    found = criterion.against_labels(ranked, measured)
    assert found["gap"] == 0.0 and found["rank_of_pick"] == 1 and found["n"] == 200
    assert found["pick"]["layer"] == found["best"]["layer"] == 2
    assert found["pick"]["hard_oracle"] == 1.0  # every answer is class 0, and so is every label
    assert found["pick"]["hard_routed"] == found["pick"]["routing"]
    assert found["rank_correlation"] > 0.5
    with pytest.raises(ValueError, match="two candidates"):
        criterion.rank({key(1): distances[key(1)]})


def test_rank_correlation() -> None:
    assert criterion.spearman([1, 2, 3], [10, 20, 90]) == pytest.approx(1.0)
    assert criterion.spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert criterion.spearman([1, 1, 2], [5, 5, 9]) == pytest.approx(1.0)
    assert criterion.spearman([1, 1, 1], [1, 2, 3]) is None


def test_candidates_are_all_that_can_be_asked_for(engine: Engine) -> None:
    found = candidates(engine)
    assert len(set(found)) == len(found)
    assert {k.probe for k in found} == {"experts", "base", "cache"}
    assert {k.probe_lambda for k in found if k.probe == "cache"} == {0.1}
    assert {k.probe_lambda for k in found if k.probe == "experts"} == {
        0.02,
        0.05,
        0.1,
        0.125,
        0.2,
        0.3,
    }
    bare = Engine(load(replace(engine.suite, statistics=None)))
    assert {k.probe for k in candidates(bare)} == {"experts", "base"}


# ---- the notice ---------------------------------------------------------------------------------


def test_thresholds_let_the_stated_share_pass() -> None:
    d = torch.rand(400, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    reading = Reading(d, torch.rand(400, 5, generator=torch.Generator().manual_seed(1)))
    for rate in (0.01, 0.05, 0.25):
        found = abstention.calibrate(reading, rate)
        assert set(found.thresholds) == {
            "entropy",
            "margin",
            "nearest",
            "relative",
            OTHER_PROBE,
            EITHER,
        }
        for name in found.thresholds:
            alarms = float(found.unfit(reading, name).double().mean())
            assert rate - 0.006 <= alarms <= rate
        same = Calibration.from_dict(json.loads(json.dumps(found.to_dict())))
        assert same == found
    alone = abstention.calibrate(Reading(d))
    assert set(alone.thresholds) == {"entropy", "margin", "nearest", "relative"}
    for wrong in ((Reading(d[:0]), 0.05), (reading, 0.0), (reading, 1.0)):
        with pytest.raises(ValueError, match="samples and a rate"):
            abstention.calibrate(*wrong)


def test_scores_by_hand() -> None:
    d = torch.tensor([[1.0, 4.0], [6.0, 2.0], [1.0, 8.0], [5.0, 5.0]])
    found = abstention.calibrate(Reading(d), 0.5)
    assert found.usual == (1.0, 2.0)
    values = found.scores(Reading(torch.tensor([[3.0, 4.0], [torch.inf, 1.0]])))
    assert float(values["nearest"][0]) == 3.0 and float(values["relative"][0]) == 3.0
    assert float(values["margin"][0]) == 0.75
    assert all(torch.isinf(v[1]) for v in values.values())  # failed distances never fit
    flat = found.scores(Reading(torch.tensor([[2.0, 2.0]])))
    assert float(flat["entropy"]) == pytest.approx(1.0)


def test_rates_and_fallback_by_hand() -> None:
    calibration = Calibration((1.0, 1.0), {"nearest": 2.0}, 0.05, 10)
    seen = Reading(torch.tensor([[1.0, 9.0], [3.0, 9.0], [1.5, 9.0], [2.0, 9.0]]))
    kinds = {"near": Reading(seen.routing[:3]), "away": Reading(seen.routing + 5)}
    found = abstention.rates(calibration, seen, kinds)["nearest"]
    assert found["false_alarm"]["share"] == 0.25 and found["false_alarm"]["n"] == 4
    assert found["kinds"]["near"]["share"] == pytest.approx(2 / 3)
    assert found["kinds"]["away"]["share"] == 0.0 and found["kinds"]["away"]["auroc"] == 1.0
    assert found["miss"] == pytest.approx(1 / 3)
    unfit = torch.tensor([True, True, False, False])
    se, static = torch.tensor([True, False, True, False]), torch.tensor([False, True, False, True])
    assert abstention.fallback(unfit, {"oracle": (se, static)}) == {
        "n": 4,
        "fell_back": 2,
        "oracle": {"se": 0.5, "with_fallback": 0.5, "fixed": 1, "broken": 1},
    }


def test_a_suite_without_an_expert_is_the_suite_without_it(
    home: Path, engine: Engine, splits: dict[str, Sets]
) -> None:
    """The distances equal those of an engine whose suite never had the expert."""
    sets = splits["test"].sets
    for probe, layer, pool in (
        ("experts", 2, "mean"),
        ("base", 1, "all"),
        ("experts", "final", "final"),
    ):
        at = probing(probe, 0.1, (layer, pool))
        found = leave_out(engine, sets, at)
        assert found.tasks.tolist() == [0] * 12 + [1] * 12 + [2] * 12
        for t in range(3):
            kept = [k for k in range(3) if k != t]
            plan = Plan((at,))
            other = Engine(without(home, t))
            own = [s for s in sets if s.task != engine.suite.task_names[t]]
            wanted = measure(other, own, plan).distances[at]
            mine = found.readings[t].of(found.tasks != t)
            assert mine.routing.shape == (24, len(kept)) and mine.other is None
            assert mine.routing == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    cached = Key("cache", 0.1, 2, "mean")
    both = leave_out(engine, sets, at, cached)
    whole = measure(
        engine, sets, Plan((cached,), caches={("cache", 0.1): engine.models.statistics})
    ).distances[cached]
    assert both.readings[1].other is not None
    assert both.readings[1].other == pytest.approx(whole[:, [0, 2]], rel=1e-5)
    with pytest.raises(Interrupted):
        leave_out(engine, sets, at, None, lambda: True)


def without(home: Path, t: int) -> Loaded:
    """The suite as if expert t had never been."""
    whole = load(read_suite(home / "suite"))
    kept = [k for k in range(3) if k != t]
    suite = replace(whole.suite, tasks=tuple(whole.suite.tasks[k] for k in kept), statistics=None)
    rows = [0, *(1 + k for k in kept)]
    segments = [replace(s, weights=s.weights[rows]) for s in whole.vectors.segments]
    return replace(whole, suite=suite, vectors=TaskVectors.of(segments, len(kept)), statistics={})


def test_unseen_inputs_are_seeded(home: Path, engine: Engine) -> None:
    suite = engine.suite
    first, again, other = (unseen(suite, 5, seed, home / "data") for seed in (0, 0, 1))
    assert OTHER in first and len(first) == 4
    for kind, inputs in first.items():
        assert len(inputs) == 5
        assert [content(x) for x in inputs] == [content(x) for x in again[kind]]
        assert [content(x) for x in inputs] != [content(x) for x in other[kind]]
    assert OTHER not in unseen(suite, 1, 0)
    resolved = Settings().resolve(suite)
    found = read(engine, first[OTHER], resolved, Key("cache", 0.1, "final", "final"))
    assert found.routing.shape == (5, 3)
    batch = engine.backbone.preprocess(*first[OTHER][3])
    alone = engine.distances(batch, resolved)[resolved.probing]
    assert found.routing[3:4] == pytest.approx(alone, rel=1e-4)
    assert found.other is not None and found.other.shape == (5, 3)


def content(one: tuple[object, str | None]) -> tuple[object, str | None]:
    picture, second = one
    return (picture if isinstance(picture, str) else np.asarray(picture).tobytes()), second


# ---- all of it ----------------------------------------------------------------------------------


def test_the_diagnosis_states_its_samples_and_chooses_on_validation(
    home: Path, engine: Engine, splits: dict[str, Sets]
) -> None:
    told: list[str] = []
    arguments = (engine, splits["validation"], splits["test"], home / "data")
    found = diagnose(*arguments, samples=3, tell=told.append)
    text = json.dumps(found, allow_nan=False)
    assert text == json.dumps(diagnose(*arguments, samples=3)) and len(told) == 4
    assert found["samples"] == {"a_task": 3, "validation": 9, "test": 9, "seed": 0}
    assert found["hypothesis"]["n"] == found["bias"]["n"] == found["map"]["n"] == 9
    assert {r["n"] for r in found["hypothesis"]["rows"]} == {9}
    assert found["choice"]["n"] == found["abstention"]["n"] == found["choice"]["test"]["n"] == 9
    assert set(found["choice"]["by_probe"]) == {"experts", "base", "cache"}
    left = found["abstention"]["left_out"]["nearest"]
    assert left["miss"]["n"] == 9 and left["false_alarm"]["n"] == 18 and len(left["tasks"]) == 3
    assert set(found["abstention"]["made"]["either"]["kinds"]) > {OTHER}
    assert len(diagnosis_text.lines(found)) > 15
    # other test samples change no choice
    flipped = replace(splits["test"], sets=tuple(s.take(range(6, 12)) for s in splits["test"].sets))
    other = diagnose(engine, splits["validation"], flipped, home / "data", samples=3)
    assert other["choice"]["pick"] == found["choice"]["pick"]
    assert other["abstention"]["thresholds"] == found["abstention"]["thresholds"]
    assert other["abstention"]["score"] == found["abstention"]["score"]
    assert other["hypothesis"] != found["hypothesis"]
    with pytest.raises(Interrupted):
        diagnose(*arguments, samples=3, cancelled=lambda: True)


def test_evaluate_diagnoses_and_puts_it_into_a_report(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, report = tmp_path / "out.json", tmp_path / "report.json"
    report.write_text('{"suite": "tiny", "diagnosis": "old"}')
    command = ["evaluate", "--suite", str(home / "suite"), "--data", str(home / "data")]
    command += ["--limit", "4", "--diagnose"]
    assert main([*command, str(report), "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert "automatic choice on 12 unlabelled validation samples" in out
    assert "notice 'no expert fits'" in out and "right expert nearest" in out
    found = json.loads(path.read_text(encoding="utf-8"))["diagnosis"]
    assert found["samples"]["a_task"] == 4 and found["samples"]["test"] == 12
    written = json.loads(report.read_text(encoding="utf-8"))
    assert written == {"suite": "tiny", "diagnosis": rounded(found)}
    assert diagnosis_tables.hypothesis(found, "base").count("n = 12)") == 7
    assert diagnosis_tables.displacement(found).count("task") == 3
    assert diagnosis_tables.choice(found).count("12 / 12") == 4
    table = diagnosis_tables.abstention(found)
    assert f"| **{found['abstention']['score']}** |" in table and "Missed: left out" in table
    report.write_text("[]")
    assert main([*command, str(report)]) == 2
    assert "is no report" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("mini-vision", "vision"), ("mini-text", "text")])
def test_the_bundled_suites_can_be_diagnosed(data_dir: Path, name: str, kind: str) -> None:
    """No figure is pinned: only that the criterion beats a blind choice of a candidate, and the
    notice a coin, on samples that neither was made from."""
    engine, data = load_engine(name), data_dir / kind
    sets = [suite_sets(engine.suite, data, s, 8) for s in ("validation", "test")]
    found = diagnose(engine, *sets, data, samples=8)
    chance = np.mean([row["share"] for row in found["hypothesis"]["rows"]])
    assert found["choice"]["test"]["pick"]["routing"] > chance
    score = found["abstention"]["score"]
    assert found["abstention"]["left_out"][score]["miss"]["share"] < 0.9
    assert found["abstention"]["made"][score]["false_alarm"]["share"] < 0.3
