"""The engine: equal to the reference, immutable, safe under threads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from concurrency import answers, check_threads, sample_of
from equivalence import check_answers, check_distances, close, pair, samples_of
from PIL import Image
from tiny import tiny_text_suite, tiny_vision_suite

import semerge.models
from semerge.backbones import GPT2, VisionTransformer
from semerge.common import UserError
from semerge.engine import Engine, load_engine
from semerge.inputs import CleanText
from semerge.settings import PRESETS, Settings, valid_layers, valid_pools, valid_probes

KEYS = [
    "suite",
    "method",
    "method_options",
    "preset",
    "probe",
    "probe_options",
    "layer",
    "pool",
    "tasks",
    "distances",
    "similarities",
    "coefficients",
    "static_coefficients",
    "lambda",
    "probe_lambda",
    "similarity",
    "normalise",
    "temperature",
    "mass",
    "quantise",
    "fallback",
    "fast",
    "estimated",
    "head",
    "chosen",
    "margin",
    "entropy",
    "fits",
    "expert_accuracy",
    "usual_distances",
    "clearer",
    "notices",
    "predictions",
    "timings_ms",
    "version",
    "weights_sha256",
]


# ---- equal to the reference ------------------------------------------------------------------


def test_distances_equal_the_reference(folder: Path) -> None:
    engine, reference = pair(folder)
    check_distances(engine, reference, samples_of(engine, 4))


def test_answers_equal_the_reference(folder: Path) -> None:
    engine, reference = pair(folder)
    check_answers(engine, reference, samples_of(engine, 4))


def test_another_probe_lambda_equals_the_reference(folder: Path) -> None:
    engine, reference = pair(folder)
    (sample,) = samples_of(engine, 1)
    resolved = Settings(probe="experts", probe_lambda=0.45).resolve(engine.suite)
    actual = engine.distances(sample, resolved)[resolved.probing][0]
    close(
        actual, torch.tensor(reference.distances(sample.data, *resolved.probing[:3], 0.45)), "0.45"
    )


def test_unstacked_experts_equal_the_reference(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semerge.models, "STACK_LIMIT", 0)  # the way of large models
    engine, reference = pair(folder)
    samples = samples_of(engine, 3)
    check_distances(engine, reference, samples)
    check_answers(engine, reference, samples)
    assert engine.verify_weights()


def test_predict_equals_the_reference(folder: Path) -> None:
    engine, reference = pair(folder)
    for seed in range(3):
        sample = sample_of(engine, seed)
        content = sample.text if isinstance(sample, CleanText) else sample.image
        data = engine.backbone.preprocess(content).data
        for preset in PRESETS:
            settings = Settings(preset=preset)
            result = engine.predict(sample, settings)
            resolved = settings.resolve(engine.suite)
            distances = reference.distances(data, *resolved.probing[:3])
            close(torch.tensor(result.distances), torch.tensor(distances), preset)
            coefficients = reference.coefficients(list(result.distances), resolved)
            close(torch.tensor(result.coefficients), torch.tensor(coefficients), preset)
            chosen = engine.suite.index(result.chosen)
            expected = reference.predict(data, coefficients, chosen, result.head)
            classes = engine.suite.task(result.head).classes
            for kind, logits in expected.items():
                scores = {p.label: p.score for p in result.predictions[kind]}
                actual = torch.tensor([scores[name] for name in classes])
                close(actual, logits.softmax(0), f"{preset} {kind}")


def test_hard_equals_the_chosen_expert(engine: Engine) -> None:
    result = engine.predict(sample_of(engine, 1), Settings(preset="hard"))
    for se, expert in zip(result.predictions["se"], result.predictions["expert"], strict=True):
        assert se.label == expert.label
        assert se.score == pytest.approx(expert.score, abs=1e-5)


def test_batches_equal_single_samples(engine: Engine) -> None:
    """Rows that share coefficients and rows that do not, in any order."""
    samples = samples_of(engine, 7)
    shared, other = torch.tensor([0.2, 0.1, 0.6]), torch.tensor([1.0, 0.0, 0.0])
    rows = torch.rand(7, 3, generator=torch.Generator().manual_seed(0))
    rows[1] = rows[4] = rows[6] = shared
    rows[2] = rows[3] = other
    together = engine.merged_embedding(engine.backbone.collate(samples), rows)
    for i, sample in enumerate(samples):
        close(together[i], engine.merged_embedding(sample, rows[i : i + 1])[0], f"row {i}")


# ---- the result ------------------------------------------------------------------------------


def test_json_has_the_keys_of_the_design(engine: Engine) -> None:
    result = engine.predict(sample_of(engine, 0)).to_dict()
    assert list(result) == KEYS
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert list(result["predictions"]) == ["se", "static", "expert", "base"]
    assert list(result["timings_ms"]) == [
        *("preprocess", "probe", "route", "merge", "predict", "total")
    ]
    classes = engine.suite.task(result["head"]).classes
    for column in result["predictions"].values():
        assert sorted(row["label"] for row in column) == sorted(classes)
        scores = [row["score"] for row in column]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1.0, abs=1e-6)
    stages = dict(result["timings_ms"])
    assert stages.pop("total") == pytest.approx(sum(stages.values()))
    assert min(stages.values()) >= 0


def test_a_named_head_leaves_the_routing_alone(engine: Engine) -> None:
    auto = engine.predict(sample_of(engine, 2))
    for name in engine.suite.task_names:
        named = engine.predict(sample_of(engine, 2), Settings(head=name))
        assert (named.head, named.chosen) == (name, auto.chosen)
        assert named.coefficients == auto.coefficients
        labels = {p.label for p in named.predictions["base"]}
        assert labels == set(engine.suite.task(name).classes)


def test_every_combination_predicts(engine: Engine) -> None:
    suite, sample = engine.suite, sample_of(engine, 0)
    for probe in valid_probes(suite):
        for layer in valid_layers(suite):
            for pool in valid_pools(suite, probe, layer):
                for preset in PRESETS:
                    settings = Settings(probe=probe, layer=layer, pool=pool, preset=preset)
                    result = engine.predict(sample, settings)
                    assert (result.probe, result.layer, result.pool) == (probe, layer, pool)
                    mass = 1.0 if PRESETS[preset].mass == "1" else 0.9
                    assert sum(result.coefficients) == pytest.approx(mass)


def test_raw_images_and_sentences_are_taken_too(engine: Engine) -> None:
    sample = sample_of(engine, 0)
    raw = sample.text if isinstance(sample, CleanText) else sample.image
    assert answers(engine.predict(raw)) == answers(engine.predict(sample))


def test_the_wrong_kind_of_input_is_refused(engine: Engine) -> None:
    wrong = Image.new("RGB", (8, 8)) if engine.suite.modality == "text" else "a sentence"
    with pytest.raises(UserError, match="reads"):
        engine.predict(wrong)


def test_pairs(tmp_path: Path) -> None:
    engine = load_engine(tiny_text_suite(tmp_path / "pairs"))
    both = engine.predict(CleanText("The cat sat.", "A dog."))
    assert both.notices == ()
    assert both.distances != engine.predict(CleanText("The cat sat.")).distances


# ---- shared state ----------------------------------------------------------------------------


def test_sixteen_threads_equal_one_bit_for_bit(engine: Engine) -> None:
    check_threads([engine])


@pytest.mark.parametrize("stage", ["embed", "block", "final", "pool", "logits"])
def test_a_request_that_dies_leaves_nothing_behind(
    engine: Engine, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answers(engine.predict(sample_of(engine, 0)))

    def die(*_: object) -> None:
        raise RuntimeError("injected")

    with monkeypatch.context() as patch:
        patch.setattr(type(engine.backbone), stage, die)
        with pytest.raises(RuntimeError, match="injected"):
            engine.predict(sample_of(engine, 0))
    assert engine.verify_weights()
    assert answers(engine.predict(sample_of(engine, 0))) == before


def test_the_hash_sees_every_tensor(tmp_path: Path) -> None:
    folder = tiny_vision_suite(tmp_path / "hash")
    engine = load_engine(folder)
    assert engine.weights_sha256() == load_engine(folder).weights_sha256()
    models = engine.models
    held = [
        models.vectors.segments[1].weights,
        models.vectors.segments[0].rest,
        models.heads["task1"],
        models.statistics[1, "mean"].mean,
        models.static(3)["proj"],
        models.probed(0.1)(2)["transformer.resblocks.1.ln_1.bias"],
        models.expert(1, 2)["transformer.resblocks.1.ln_1.bias"],
    ]
    for tensor in held:
        old = tensor.clone()
        with torch.inference_mode():
            tensor.add_(1)
        assert not engine.verify_weights()
        with torch.inference_mode():
            tensor.copy_(old)
        assert engine.verify_weights()


def test_predict_keeps_no_graph(engine: Engine) -> None:
    assert not engine.base_embedding(samples_of(engine, 1)[0]).requires_grad
    assert isinstance(engine.backbone, (VisionTransformer, GPT2))
