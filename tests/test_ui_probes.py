"""What the page keeps of its last inputs: every answer is `predict`'s, and none probes twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest
from browsing import timeless
from bundled import EXAMPLES
from concurrency import mixed_requests, sample_of
from fakes import FakeEngine, fake_suite
from markupsafe import escape
from PIL import Image

from semerge.common import UserError
from semerge.engine import ROOM, Cache, Engine, load_engine
from semerge.inputs import CleanText, DecodedImage, clean_text, decode_image
from semerge.settings import (
    CACHED,
    FINAL,
    PRESETS,
    Settings,
    valid_layers,
    valid_pools,
    valid_probes,
)
from semerge.suites import read_suite
from semerge.suites.abstention import read_abstention
from semerge.suites.examples import Examples
from semerge.ui import words
from semerge.ui.context import Context
from semerge.ui.tabs.layers import LayersTab
from semerge.ui.words import View, macro

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
STAGES = ["preprocess", "probe", "route", "merge", "predict", "total"]


def part(name: str, view: View) -> str:
    """One part of the Result panel."""
    return macro(name, view, template="panel.html")


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The probes that any engine runs: what each was asked."""
    asked: list[Any] = []
    run = Engine.probe_batch

    def counted(self: Engine, batch: Any, resolved: Any, *rest: Any) -> Any:
        asked.append(resolved.probing)
        return run(self, batch, resolved, *rest)

    monkeypatch.setattr(Engine, "probe_batch", counted)
    return asked


def predicted(engine: Engine, sample: object, settings: Settings) -> dict[str, Any]:
    return timeless(engine.predict(sample, settings).to_dict())


def asked(cache: Cache, engine: Any, sample: object, settings: Settings) -> dict[str, Any]:
    """The JSON object of an answer that may use what was probed before."""
    return dict(engine.predict(sample, settings, cache).to_dict())


def everything(engine: Engine) -> Iterator[Settings]:
    """Every probe, layer, pooling and preset, exact and fast, under two heads."""
    suite = engine.suite
    for probe, layer in itertools.product(valid_probes(suite), valid_layers(suite)):
        for pool, preset in itertools.product(valid_pools(suite, probe, layer), PRESETS):
            for fast in (False, True):
                yield Settings(probe, layer, pool, preset, fast=fast)
            yield Settings(probe, layer, pool, preset, head=suite.task_names[-1], mass="1")


# ---- the same answers ----------------------------------------------------------------------------


def test_every_answer_is_the_engines_to_the_last_bit(engine: Engine) -> None:
    probes = Cache()
    samples = [sample_of(engine, seed) for seed in range(2)]
    for settings in everything(engine):
        for sample in samples:
            assert timeless(asked(probes, engine, sample, settings)) == predicted(
                engine, sample, settings
            )


@pytest.mark.parametrize("name", ["mini-vision", "mini-text"])
def test_so_it_is_with_the_bundled_suites_and_after_the_layers_tab(name: str) -> None:
    """Whatever is known of an input already: nothing, its default, or all layers."""
    suite = read_suite(name)
    engine, probes = load_engine(suite.folder), Cache()
    assert read_abstention(suite)
    changes: list[dict[str, Any]] = [
        {}, {"fallback": "static"}, {"fast": True}, {"layer": 1}, {"probe": "base"}
    ]  # fmt: skip
    examples = EXAMPLES.of(suite.modality)[:2]
    for i, example in enumerate(examples):
        sample = decode_image(example.file) if example.file else clean_text(example.text)
        if i % 2:
            for probe in valid_probes(suite):
                whole = Settings(probe=probe, layer=FINAL)
                engine.probe(sample, whole, valid_layers(suite), probes)
        for preset in PRESETS:
            for more in changes:
                settings = Settings(preset=preset, **more)
                answer = asked(probes, engine, sample, settings)
                assert timeless(answer) == predicted(engine, sample, settings)


def test_what_is_refused_is_refused_with_the_engines_words(engine: Engine) -> None:
    probes, sample = Cache(), sample_of(engine, 0)
    other = "text" if engine.suite.modality == "image" else Image.new("RGB", (4, 4))
    for kept in (False, True):
        for what, settings in (
            (sample, Settings(fallback="static")),
            (sample, Settings(fallback="static", fast=True)),
            (sample, Settings(preset="odd")),
            (other, Settings()),
        ):
            with pytest.raises(UserError) as told:
                engine.predict(what, settings)
            with pytest.raises(UserError) as same:
                asked(probes, engine, what, settings)
            assert str(same.value) == str(told.value)
        if not kept:
            asked(probes, engine, sample, Settings())


# ---- no second probe -----------------------------------------------------------------------------


def test_another_preset_head_or_mass_does_not_probe_again(
    engine: Engine, probed: list[Any]
) -> None:
    probes, sample = Cache(), sample_of(engine, 0)
    first = asked(probes, engine, sample, Settings())
    assert len(probed) == 1 and list(first["timings_ms"]) == STAGES
    assert all(spent > 0 for stage, spent in first["timings_ms"].items() if stage != "merge")
    for preset, head in itertools.product(PRESETS, ("auto", *engine.suite.task_names)):
        for mass in (None, "1", "T*lambda"):
            again = asked(probes, engine, sample, Settings(preset=preset, head=head, mass=mass))
            spent = again["timings_ms"]
            assert (spent["preprocess"], spent["probe"]) == (None, None)
            assert spent["total"] >= spent["route"] + spent["merge"] + spent["predict"] > 0
    assert len(probed) == 1 and len(probes) == 1


def test_an_equal_input_that_is_read_again_is_the_same_input(
    engine: Engine, probed: list[Any]
) -> None:
    probes = Cache()
    for _ in range(2):
        asked(probes, engine, sample_of(engine, 0), Settings())
    sample = sample_of(engine, 0)
    plain = sample.image if isinstance(sample, DecodedImage) else sample.text
    asked(probes, engine, plain, Settings())
    assert len(probed) == 1


def test_layers_that_were_seen_are_not_probed_again(engine: Engine, probed: list[Any]) -> None:
    """The input is not prepared again for another layer, and both layers stay known."""
    probes, sample = Cache(), sample_of(engine, 0)
    asked(probes, engine, sample, Settings(layer=1))
    other = asked(probes, engine, sample, Settings(layer=2))["timings_ms"]
    assert other["preprocess"] is None and other["probe"] > 0
    for layer in (1, 2, 1):
        spent = asked(probes, engine, sample, Settings(layer=layer))["timings_ms"]
        assert (spent["preprocess"], spent["probe"]) == (None, None)
    assert len(probed) == 2 and len(probes) == 1


def test_a_layer_that_the_probe_came_by_is_known(engine: Engine, probed: list[Any]) -> None:
    probes, sample = Cache(), sample_of(engine, 1)
    asked(probes, engine, sample, Settings(layer=2))
    pools = valid_pools(engine.suite, engine.suite.defaults.probe, 1)
    wanted = [Settings(layer=1, pool=pool) for pool in pools]
    found = [asked(probes, engine, sample, settings) for settings in wanted]
    assert len(probed) == 1
    assert all(answer["timings_ms"]["probe"] is None for answer in found)
    for settings, answer in zip(wanted, found, strict=True):
        assert timeless(answer) == predicted(engine, sample, settings)


def test_the_tabs_share_what_they_probe(engine: Engine, probed: list[Any]) -> None:
    """After the Layers tab, the other tabs probe no layer of the probe that was shown there."""
    suite = engine.suite
    context = Context.make([suite], Examples(), lambda suite: engine)
    with gr.Blocks(), gr.Tabs(), gr.Tab("Layers"):
        tab = LayersTab(context)
    sample = sample_of(engine, 0)
    reached = tab.probe_all(suite.name, sample, "experts")
    assert len(probed) == 1
    for layer in valid_layers(suite):
        for pool in valid_pools(suite, "experts", layer):
            settings = Settings(probe="experts", layer=layer, pool=pool)
            answer = context.predict(suite.name, sample, settings)
            assert reached[str(layer)][pool] == answer["distances"]
    assert tab.probe_all(suite.name, sample, "experts") == reached
    assert len(probed) == 1


def test_the_opening_example_is_known_when_its_options_change() -> None:
    suite = fake_suite("text")
    context = Context.make([suite], Examples(), FakeEngine)
    engine = context.engines.get(suite.name)
    for preset in PRESETS:
        context.ask(suite.name, {"text": "Play it"}, Settings(preset=preset))
    assert (engine.probes, engine.calls) == (1, len(PRESETS))


# ---- nothing mixed up ----------------------------------------------------------------------------


def test_inputs_that_look_alike_stay_apart(engine: Engine, probed: list[Any]) -> None:
    """Other notices, another shape of the same bytes, other halves of the same words."""
    if engine.suite.modality == "image":
        image = sample_of(engine, 0).image  # 20 high, 17 wide
        turned = Image.frombytes("RGB", image.size[::-1], image.tobytes())
        alike = [DecodedImage(image), DecodedImage(image, ("Told.",)), DecodedImage(turned)]
    else:
        alike = [
            CleanText("a cat"), CleanText("a cat", notices=("Told.",)), CleanText("a", "cat"),
            CleanText("a cat", ""), CleanText("acat"),
        ]  # fmt: skip
    probes = Cache()
    for _ in range(2):
        for sample in alike:
            answer = timeless(asked(probes, engine, sample, Settings()))
            assert answer == predicted(engine, sample, Settings())
    # `predict` probes by the same function: once here for two there
    assert len(probes) == len(alike) and len(probed) == 3 * len(alike)


def test_suites_and_probe_lambdas_stay_apart() -> None:
    first, second = (FakeEngine(fake_suite("text", name=name)) for name in ("one", "two"))
    probes = Cache()
    for engine in (first, second, first):
        assert asked(probes, engine, "Play it", Settings())["suite"] == engine.suite.name
    asked(probes, first, "Play it", Settings(probe_lambda=0.1))
    assert (first.probes, second.probes, len(probes)) == (2, 1, 3)


def test_fast_and_exact_answers_stay_apart(engine: Engine, probed: list[Any]) -> None:
    probes, sample = Cache(), sample_of(engine, 0)
    wanted = {}
    for probe, layer in itertools.product(("experts", "base"), valid_layers(engine.suite)):
        for fast in (False, True):
            settings = Settings(probe=probe, layer=layer, fast=fast)
            wanted[settings] = predicted(engine, sample, settings)
    probed.clear()
    for _ in range(2):
        for settings, want in wanted.items():
            answer = asked(probes, engine, sample, settings)
            assert timeless(answer) == want
            told = [note for note in answer["notices"] if note.startswith("Fast mode: ")]
            assert len(told) == settings.fast
    assert len(probed) == len(wanted)
    # one entry of the exact ones, and one for each place of the fast ones
    assert len(probes) == 1 + len(wanted) // 2


def test_many_threads_share_it(engine: Engine) -> None:
    requests = mixed_requests([engine], 18)
    wanted = [predicted(*request) for request in requests]
    probes = Cache(entries=5)

    def ask(first: int) -> list[int]:
        """The requests that were answered wrongly, from another one on in each thread."""
        turn = [(first + i) % len(requests) for i in range(len(requests))]
        return [i for i in turn if timeless(asked(probes, *requests[i])) != wanted[i]]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [[]] * 8
    assert len(probes) == 5


# ---- bounds --------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first(engine: Engine, probed: list[Any]) -> None:
    probes = Cache(entries=2)
    samples = [sample_of(engine, seed) for seed in range(3)]
    for i in (0, 1, 0, 2, 0):  # 2 takes the place of 1
        asked(probes, engine, samples[i], Settings())
    assert len(probed) == 3 and len(probes) == 2
    asked(probes, engine, samples[1], Settings())
    assert len(probed) == 4


def test_the_bytes_are_counted_and_bounded(engine: Engine) -> None:
    probes = Cache()
    kept = engine.probe(sample_of(engine, 0), Settings(), valid_layers(engine.suite), probes)
    tensors = [kept.batch.data, *kept.distances.values(), *kept.columns.values()]
    least = sum(tensor.nbytes for tensor in tensors)
    assert least <= probes.size <= 2 * least
    one = probes.size
    quick = engine.probe(sample_of(engine, 0), Settings(probe="experts", fast=True), cache=probes)
    assert quick.early is not None
    reached = max(one.h.nbytes for one in quick.early.reached.values())
    assert probes.size >= one + quick.batch.data.nbytes + reached

    small = Cache(room=3 * one)
    for seed in range(5):
        asked(small, engine, sample_of(engine, seed), Settings())
        assert 0 < small.size <= 3 * one
    assert 1 <= len(small) < 5
    none = Cache(room=one // 4)  # what fits nowhere is answered all the same
    answer = timeless(asked(none, engine, sample_of(engine, 0), Settings()))
    assert answer == predicted(engine, sample_of(engine, 0), Settings())
    assert (len(none), none.size) == (0, 0)


def test_the_page_keeps_few() -> None:
    context = Context.make([fake_suite("text")], Examples(), FakeEngine)
    for i in range(CACHED + 5):
        context.ask("mini-text", {"text": f"sentence {i}"}, Settings())
    assert len(context.cache) == CACHED and context.cache.size < ROOM


# ---- how it is told ------------------------------------------------------------------------------


def test_a_stage_that_was_not_run_is_told_without_a_time() -> None:
    engine, probes = FakeEngine(fake_suite("text")), Cache()
    first = View(asked(probes, engine, "Play it", Settings()), engine.suite)
    assert words.kept(first) == "" and "kept" not in part("footer", first).lower()
    again = View(asked(probes, engine, "Play it", Settings(preset="hard")), engine.suite)
    told = part("footer", again)
    for stage in ("Prepare input", "Probe"):
        assert f"<dt>{stage}</dt><dd>kept</dd>" in told
    assert told.count("<dd>kept</dd>") == 2
    assert escape(words.kept(again)) in told and "static merge" in words.kept(again)
    timings = {**again.result["timings_ms"], "probe": 3.0}
    other = replace(again, result={**again.result, "timings_ms": timings})
    assert words.kept(other) == "Kept: computed for an earlier answer to the same input."
