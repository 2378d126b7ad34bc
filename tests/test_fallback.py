"""The notice "no expert fits" in the engine and on the command line, and the fallback there."""

from __future__ import annotations

import json
import logging
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from concurrency import answers, sample_of
from tiny import SUITES, tiny_vision_suite

from semerge.cli import main
from semerge.common import UserError
from semerge.data.batches import picture
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation.collect import collect
from semerge.inputs import clean_text
from semerge.loading import load
from semerge.result import Result
from semerge.routing import Calibration, Reading
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.suites.abstention import Abstention, abstention_of, read_abstention
from semerge.suites.report import read_diagnosis, write_report

STATIC = Settings(fallback="static")


def diagnosis_of(folder: Path) -> dict[str, Any]:
    """What the suite's report holds, to be changed at will."""
    found = read_diagnosis(read_suite(folder))
    assert found is not None
    return deepcopy(found)  # a report is read once: what is changed here must be a copy


def with_limit(folder: Path, limit: float, score: str = "either") -> Engine:
    """The suite's engine, with a notice that comes where the score is above `limit`. score: its
    name, or how it begins."""
    found = diagnosis_of(folder)
    score = next(name for name in found["abstention"]["thresholds"] if name.startswith(score))
    found["abstention"]["score"] = score
    found["abstention"]["thresholds"][score] = limit
    loaded = load(read_suite(folder))
    return Engine(replace(loaded, abstention=abstention_of(found, 3)))


def without(folder: Path) -> Engine:
    return Engine(replace(load(read_suite(folder)), abstention=None))


def test_a_notice_that_stays_away_changes_nothing(diagnosed: Path) -> None:
    quiet, plain = with_limit(diagnosed, 1e9), without(diagnosed)
    known = {"fits": True}  # at the default probe, layer and pooling alone
    for seed in range(3):
        sample = sample_of(plain, seed)
        for settings in (Settings(), Settings(layer=1), Settings(preset="literal")):
            expected = answers(plain.predict(sample, settings)) | ({} if settings.layer else known)
            assert answers(quiet.predict(sample, settings)) == expected
        expected = answers(plain.predict(sample)) | known
        assert answers(quiet.predict(sample, STATIC)) == expected | {"fallback": "static"}
    assert quiet.verify_weights()


SCORES = ("together", "either", "nearest", "relative", "other probe", "entropy", "doubt")


@pytest.mark.parametrize("score", [*SCORES, "still at 1", "still at final"])
def test_where_no_expert_fits_the_static_coefficients_can_answer(
    diagnosed: Path, score: str
) -> None:
    engine, plain = with_limit(diagnosed, -1e9, score), without(diagnosed)
    sample = sample_of(engine, 0)
    told, back = engine.predict(sample), engine.predict(sample, STATIC)
    expected = plain.predict(sample)
    assert engine.abstention is not None
    # told, but routed all the same
    assert told.notices == (engine.abstention.sentence(), *expected.notices)
    assert told.predictions == expected.predictions and told.fits is False
    assert told.coefficients == expected.coefficients != told.static_coefficients
    # and with the fallback
    assert back.coefficients == back.static_coefficients
    assert back.predictions["se"] == back.predictions["static"] == expected.predictions["static"]
    assert back.chosen == expected.chosen and back.distances == expected.distances
    assert back.notices[1] == "So the static coefficients were used."


def test_the_notice_is_that_of_the_calibration(diagnosed: Path) -> None:
    """The engine's word for a sample is what evaluation computes from the same distances."""
    found = diagnosis_of(diagnosed)["abstention"]
    calibration = Calibration.from_dict(found)
    engine = load_engine(diagnosed)
    notice = engine.abstention
    assert notice is not None and notice.score == found["score"]
    for seed in range(8):
        result = engine.predict(sample_of(engine, seed))
        probed = engine.probe(sample_of(engine, seed))
        chosen = engine.suite.index(result.chosen)
        sure = engine.confidence(engine.expert_embedding(probed.batch, chosen), chosen)[:, None]
        reading = Reading.at(probed.distances, notice.at, notice.beside, sure)
        unfit = calibration.unfit(reading, found["score"])
        assert (notice.sentence() in result.notices) is bool(unfit[0])


def test_a_probe_is_used_again_only_where_it_knows_enough(
    diagnosed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = with_limit(diagnosed, -1.0)
    sample = sample_of(engine, 0)
    whole = engine.probe(sample)
    # another layer's probe lacks the second distances that the notice asks for at the default
    elsewhere = engine.probe(sample, Settings(layer=1), layers=[1, 2])
    assert answers(engine.answer(elsewhere)) == answers(engine.predict(sample))
    monkeypatch.setattr(Engine, "probe_batch", lambda *_, **__: pytest.fail("probed again"))
    assert engine.answer(whole, STATIC).coefficients == (0.3,) * 3


def test_it_holds_where_it_was_calibrated_alone(diagnosed: Path) -> None:
    engine = with_limit(diagnosed, -1.0)
    sample = sample_of(engine, 0)
    for settings in (Settings(layer=1), Settings(probe="base"), Settings(probe_lambda=0.2)):
        assert "No expert fits" not in " ".join(engine.predict(sample, settings).notices)
        result = engine.predict(sample, replace(settings, fallback="static"))
        assert "nothing falls back here" in " ".join(result.notices)
        assert result.coefficients != result.static_coefficients
    fast = engine.predict(sample, Settings(fast=True))
    assert "No expert fits" not in " ".join(fast.notices)
    with pytest.raises(UserError, match="fast mode"):
        engine.predict(sample, Settings(fast=True, fallback="static"))
    with pytest.raises(UserError, match="fallback 'base' is unknown; valid are route, static"):
        engine.predict(sample, Settings(fallback="base"))


def test_a_sweep_falls_back_where_single_requests_do(diagnosed: Path) -> None:
    """With a limit that parts the samples, and merges beside those that fall back."""
    asked = [replace(STATIC, preset="literal"), Settings(preset="literal")]
    loose = with_limit(diagnosed, -1.0)
    sets = suite_sets(loose.suite, diagnosed.parent / "four", limit=4)
    samples = [
        picture(part.pixels(i)) if part.visual else clean_text(part.texts[i], part.texts_b[i])
        for part in sets.sets
        for i in range(len(part))
    ]
    nearest = sorted(min(loose.predict(sample).distances) for sample in samples)
    middle = len(nearest) // 2
    engine = with_limit(diagnosed, sum(nearest[middle - 1 : middle + 1]) / 2, "nearest")
    resolved = [settings.resolve(engine.suite) for settings in asked]
    found = collect(engine, sets, resolved)
    fell = 0
    for sample, *rows in zip(samples, *found.rows, strict=True):
        for settings, row in zip(asked, rows, strict=True):
            result = engine.predict(sample, settings)
            assert (row.chosen, row.se_routed) == (result.chosen, label(result, "se"))
            assert row.static_routed == label(result, "static")
        fell += engine.predict(sample, asked[0]).coefficients == (0.3,) * 3
    assert 0 < fell < len(samples)
    with pytest.raises(UserError, match="nothing to fall back at"):
        collect(without(diagnosed), sets, resolved)


def label(result: Result, kind: str) -> str:
    return result.predictions[kind][0].label


def test_distances_that_failed_are_told_once(
    diagnosed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = with_limit(diagnosed, -1.0)
    real = Engine.distances_at

    def broken(*arguments: Any) -> Any:
        return {key: d * float("nan") for key, d in real(*arguments).items()}

    monkeypatch.setattr(Engine, "distances_at", broken)
    text = " ".join(engine.predict(sample_of(engine, 0)).notices)
    assert "not finite" in text and "No expert fits" not in text


def test_a_calibration_of_other_weights_says_nothing(diagnosed: Path) -> None:
    found = diagnosis_of(diagnosed)
    found["at"]["weights_sha256"] = "0" * 64
    loaded = load(read_suite(diagnosed))
    engine = Engine(replace(loaded, abstention=abstention_of(found, 3)))
    assert engine.abstention is None
    with pytest.raises(UserError, match="evaluate --diagnose"):
        engine.predict(sample_of(engine, 0), STATIC)


def test_its_words_have_the_measured_figures(diagnosed: Path) -> None:
    found = diagnosis_of(diagnosed)["abstention"]
    notice = read_abstention(read_suite(diagnosed))
    assert isinstance(notice, Abstention)
    made, left = found["made"][found["score"]], found["left_out"][found["score"]]["miss"]
    for value, n in (
        (made["false_alarm"]["share"], made["false_alarm"]["n"]),
        (made["miss"], sum(kind["n"] for kind in made["kinds"].values())),
        (left["share"], left["n"]),
    ):
        assert f"{100 * value:.1f}\u00a0% of" in notice.sentence()
        assert f"(n = {n})" in notice.sentence()
    back = found["fallback"]
    assert f"{back['fell_back']} of {back['n']} test samples" in notice.effect()
    for head in ("oracle", "routed"):
        for key in ("se", "with_fallback"):
            assert f"{100 * back[head][key]:.1f}\u00a0%" in notice.effect()
    left = back["left_out"]
    assert f"{left['fell_back']} of {left['n']} of that task's" in notice.effect()
    for key in ("se", "with_fallback"):
        assert f"{100 * left['oracle'][key]:.1f}\u00a0%" in notice.effect().split("left out")[1]
    # of two experts none can be left out
    price = {name: part for name, part in back.items() if name != "left_out"}
    two = replace(notice, left_out=None, fallback=price)
    assert "left out" not in two.sentence() + two.effect()


@pytest.mark.parametrize(
    "report",
    ["{", "[1]", '{"diagnosis": {"at": {}}}', '{"diagnosis": {"at": 3, "abstention": 4}}'],
)
def test_a_report_that_cannot_be_read_is_told_and_the_suite_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, report: str
) -> None:
    folder = tiny_vision_suite(tmp_path / "suite")
    (folder / "report.json").write_text(report, encoding="utf-8")
    with caplog.at_level(logging.WARNING, "semerge.suites.abstention"):
        engine = load_engine(folder)
    assert engine.abstention is None and "no notice from its diagnosis" in caplog.text
    assert engine.predict(sample_of(engine, 0)).notices == ()


def test_a_calibration_of_another_suite_is_refused(diagnosed: Path) -> None:
    found = diagnosis_of(diagnosed)
    with pytest.raises(ValueError, match="not this suite's"):
        abstention_of(found, 4)
    found["abstention"] |= {"score": "still at final/final", "gauges": []}
    with pytest.raises(ValueError, match="has no gauge"):
        abstention_of(found, 3)
    found["abstention"] |= {"score": "either", "other_probe": None}
    with pytest.raises(ValueError, match="another probe"):
        abstention_of(found, 3)


def test_the_command_falls_back_like_the_engine(
    diagnosed: Path, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # the same suite with a limit that every input is above
    folder = SUITES[engine.suite.modality](tmp_path / "suite")
    found = diagnosis_of(diagnosed)
    score = found["abstention"]["score"]
    found["abstention"]["thresholds"][score] = -1.0
    write_report(folder / "report.json", {"diagnosis": found})
    given = "The cat sat on the mat."
    if engine.suite.modality == "image":
        given = str(tmp_path / "x.png")
        sample_of(engine, 1).image.save(given)  # type: ignore[union-attr]
    command = ["predict", "--suite", str(folder), given, "--json"]
    for extra, static in (([], False), (["--fallback", "static"], True)):
        assert main([*command, *extra]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["coefficients"] == printed["static_coefficients"]) is static
        assert printed["notices"][0].startswith("No expert fits: ")
    (folder / "report.json").unlink()
    assert main([*command, "--fallback", "static"]) == 2
    assert "does not say when no expert fits" in capsys.readouterr().err
