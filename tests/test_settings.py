"""Settings: defaults are filled, and what has no meaning is refused with what is valid."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tiny import tiny_text_suite, tiny_vision_suite

from semerge.common import UserError
from semerge.settings import PRESETS, Preset, Settings, valid_layers, valid_pools, valid_probes
from semerge.suites import Suite, read_suite


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return read_suite(tiny_vision_suite(tmp_path_factory.mktemp("v") / "suite"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return read_suite(tiny_text_suite(tmp_path_factory.mktemp("t") / "suite"))


def with_defaults(suite: Suite, **changes: object) -> Suite:
    return replace(suite, defaults=replace(suite.defaults, **changes))


def test_the_presets_are_those_of_the_design() -> None:
    assert list(PRESETS) == ["literal", "sharp", "hard", "zscore"]

    def reading(p: Preset) -> tuple[object, ...]:
        return p.similarity, p.normalise, p.temperature, p.mass, p.hard

    assert reading(PRESETS["literal"]) == ("inverse", "minmax", 1.0, "T*lambda", False)
    assert reading(PRESETS["sharp"]) == ("inverse", "minmax", 0.1, "1", False)
    assert reading(PRESETS["hard"]) == ("inverse", "minmax", 0.0, "1", True)
    assert reading(PRESETS["zscore"]) == ("negative", "zscore", 1.0, "T*lambda", False)


def test_nothing_chosen_is_the_suites_default(vision: Suite) -> None:
    r = Settings().resolve(vision)
    assert (r.probe, r.layer, r.pool, r.preset) == ("experts", 2, "mean", "sharp")
    assert (r.probe_lambda, r.head, r.method) == (0.1, "auto", "task_arithmetic")
    assert (r.similarity, r.normalise, r.temperature, r.mass) == ("inverse", "minmax", 0.1, "1")
    assert r.probing[:3] == ("experts", 2, "mean")
    assert r.changed == ()


def test_choices_replace_defaults(vision: Suite) -> None:
    r = Settings(
        probe="base",
        layer="1",
        pool="cls",
        preset="literal",
        head="task1",
        probe_lambda=0.0,
        similarity="negative",
        normalise="zscore",
        temperature=2,
        mass="1",
    ).resolve(vision)
    assert (r.layer, r.pool, r.head, r.probe_lambda) == (1, "cls", "task1", 0.0)
    assert (r.similarity, r.normalise, r.temperature, r.mass) == ("negative", "zscore", 2.0, "1")
    assert r.changed == ("similarity negative", "normalise zscore", "temperature 2", "mass 1")


def test_valid_combinations(vision: Suite, text: Suite) -> None:
    assert valid_layers(vision) == (1, 2, "final")
    assert valid_pools(vision, "cache", 1) == ("all", "cls", "mean")
    assert valid_pools(text, "base", 1) == ("all", "mean", "last")
    assert valid_pools(text, "cache", 1) == ("mean", "last")
    assert valid_pools(text, "cache", "final") == ("final",)
    assert valid_probes(vision) == ("experts", "base", "cache")
    assert valid_probes(replace(vision, statistics=None)) == ("experts", "base")


def test_defaults_that_do_not_fit_a_choice_give_way(vision: Suite, text: Suite) -> None:
    assert Settings(layer="final").resolve(vision).pool == "final"
    final = with_defaults(vision, layer="final", pool="final")
    assert Settings().resolve(final).probing[:3] == ("experts", "final", "final")
    assert Settings(layer=1).resolve(final).pool == "mean"
    whole = with_defaults(text, pool="all")
    assert Settings().resolve(whole).pool == "all"
    assert Settings(probe="cache").resolve(whole).pool == "last"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(probe="oracle"), "experts, base, cache"),
        (Settings(layer=0), "1 to 2 and final"),
        (Settings(layer=3), "1 to 2 and final"),
        (Settings(layer="-1"), "1 to 2 and final"),
        (Settings(layer="1.0"), "1 to 2 and final"),
        (Settings(layer="٢"), "1 to 2 and final"),
        (Settings(layer=True), "1 to 2 and final"),
        (Settings(layer="9" * 5000), "1 to 2 and final"),
        (Settings(pool="last"), "all, cls, mean"),
        (Settings(pool="final"), "all, cls, mean"),
        (Settings(layer="final", pool="cls"), "no tokens to pool"),
        (Settings(preset="soft"), "literal, sharp, hard, zscore"),
        (Settings(head="task9"), "auto, task0, task1, task2"),
        (Settings(method="none"), "the nearest of"),
        (Settings(method="ties", method_options={"density": 2}), "from 0 to 1"),
        (Settings(method="average", method_options={"density": 0.5}), "has no options"),
        (Settings(similarity="cosine"), "inverse, negative"),
        (Settings(normalise="l2"), "minmax, zscore, sum, none"),
        (Settings(mass="2"), r"T\*lambda, 1"),
        (Settings(temperature=0.0), "above 0"),
        (Settings(temperature=-1.0), "above 0"),
        (Settings(temperature=math.nan), "finite"),
        (Settings(temperature="warm"), "number"),
        (Settings(probe_lambda=math.inf), "finite"),
        (Settings(probe_lambda=-0.1), "between 0 and 10"),
        (Settings(probe="cache", probe_lambda=0.3), "leave probe-lambda out"),
        (Settings(preset="hard", temperature=0.5), "choose another preset"),
        (Settings(preset="hard", normalise="sum", mass="1"), "choose another preset"),
        (Settings(quantise=0), "1 to 1000"),
        (Settings(quantise=1001), "1 to 1000"),
    ],
)
def test_what_has_no_meaning_is_refused(settings: Settings, words: str, vision: Suite) -> None:
    with pytest.raises(UserError, match=words) as error:
        settings.resolve(vision)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_text_has_its_own_poolings(text: Suite) -> None:
    with pytest.raises(UserError, match="all, mean, last"):
        Settings(pool="cls").resolve(text)
    with pytest.raises(UserError, match="cache probe on text; valid are mean, last"):
        Settings(probe="cache", pool="all").resolve(text)


def test_hard_takes_another_mass(vision: Suite) -> None:
    r = Settings(preset="hard", mass="T*lambda").resolve(vision)
    assert (r.hard, r.mass, r.changed) == (True, "T*lambda", ("mass T*lambda",))


def test_values_equal_to_the_presets_are_no_change(vision: Suite) -> None:
    assert Settings(preset="sharp", temperature=0.1, mass="1").resolve(vision).changed == ()


def test_quantised_coefficients_are_a_change_of_the_preset(vision: Suite) -> None:
    r = Settings(preset="sharp", temperature=0.5, quantise=20).resolve(vision)
    assert (r.quantise, r.changed) == (20, ("temperature 0.5", "quantise 20"))


def test_settings_can_be_compared_and_hashed() -> None:
    assert Settings(layer=1) == Settings(layer=1)
    assert len({Settings(), Settings(), Settings(layer=2)}) == 2
