"""Every stage of the vision recipe at a size of seconds, and the parts it is made of."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recipes.augment import POLICIES, Policy, augment
from recipes.clip_model import build, tokenizer, zero_shot_head
from recipes.loop import Schedule, train
from recipes.moments import expanded
from recipes.vision import train_vision
from recipes.vision_config import VisionConfig, smoke_config
from recipes.vision_data import keep_tokens, normalise, to_pixels
from recipes.vision_expert import at_home, away, farthest
from recipes.vision_tasks import TASKS
from semerge.backbones import activations, embedding
from semerge.data.labelled import validation_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Random images, no two alike, in the layout of a data folder: six real tasks, 60 a split."""
    root = tmp_path_factory.mktemp("vision")
    rng = np.random.default_rng(0)
    for name, task in TASKS.items():
        if not task.real:
            continue
        (root / name).mkdir()
        (root / name / "classes.json").write_text(json.dumps(task.classes))
        y = np.arange(60) % len(task.classes)
        for split in ("train", "test"):
            x = rng.integers(0, 256, (60, 28, 28), dtype=np.uint8)
            np.savez(root / name / f"{split}.npz", x=x, y=y)
    return root


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    return train_vision(folder, tmp_path_factory.mktemp("run"), smoke=True)


@pytest.mark.slow
def test_smoke_makes_every_file(trained):
    base = load_file(trained / "base.safetensors")
    config = smoke_config(VisionConfig())
    backbone = config.backbone()
    assert {n: tuple(t.shape) for n, t in base.items()} == backbone.shapes
    heads = load_file(trained / "heads.safetensors")
    for name, task in TASKS.items():
        expert = load_file(trained / "experts" / f"{name}.safetensors")
        assert expert.keys() == base.keys()
        assert any(not torch.equal(expert[n], base[n]) for n in base), name
        assert heads[name].shape == (len(task.classes), config.embed_dim)
        assert torch.allclose(heads[name].norm(dim=1), torch.ones(len(task.classes)), atol=1e-5)


@pytest.mark.slow
def test_heads_are_the_text_towers(trained):
    config = smoke_config(VisionConfig())
    model = build(config.open_clip())
    tower = load_file(trained / "text_tower.safetensors")
    base = load_file(trained / "base.safetensors")
    model.load_state_dict(tower | {f"visual.{n}": t for n, t in base.items()}, strict=True)
    task = TASKS["charts"]
    tokens = tokenizer(config.vocab_size, config.context_length)
    with torch.no_grad():
        head = zero_shot_head(model, tokens, task.classes, task.templates)
    assert torch.allclose(head, load_file(trained / "heads.safetensors")["charts"], atol=1e-6)


@pytest.mark.slow
def test_what_is_on_disk_is_taken_up(trained, folder):
    before = {p: p.stat().st_mtime_ns for p in trained.parent.glob("*.safetensors")}
    train_vision(folder, trained.parent, smoke=True)
    assert {p: p.stat().st_mtime_ns for p in trained.parent.glob("*.safetensors")} == before


@pytest.mark.slow
def test_validation_and_test_enter_no_training(folder, trained):
    """Training images are those of the train file that are not held out (6 of 60), in order."""
    backbone = smoke_config(VisionConfig()).backbone()
    for name in (name for name, task in TASKS.items() if task.real):
        read = {}
        for split in ("train", "test"):
            with np.load(folder / name / f"{split}.npz") as arrays:
                read[split] = to_pixels(arrays["x"], backbone).numpy(), arrays["y"]
        x, y = read["train"]
        held_out = validation_rows(name, y)
        assert held_out.sum() == 6
        with np.load(trained.parent / "images" / f"{name}.npz") as arrays:
            used, labels = arrays["x"], arrays["y"]
            real = len(labels) - int(arrays["extra"])
        assert np.array_equal(used[:real], x[~held_out]), name
        assert np.array_equal(labels[:real], y[~held_out]), name
        # nor do look-alikes, which are drawn, repeat one
        seen = {image.tobytes() for image in used}
        assert not seen & {image.tobytes() for image in (*x[held_out], *read["test"][0])}, name


@pytest.mark.parametrize("keep", [0.0, 0.9])
def test_an_interrupted_stage_goes_on_as_if_it_had_not_been(tmp_path, keep):
    def loss(p, step, rng):
        if step == stop:
            raise KeyboardInterrupt
        noise = torch.randn(3, generator=rng)
        return (p["w"] - noise).square().sum(), {}

    options = {"stage": "s", "seed": 1, "save_every": 4}
    start, schedule = {"w": torch.zeros(3)}, Schedule(steps=12, lr=0.1, warmup=2, keep=keep)
    stop = -1
    whole = train(start, loss, schedule, folder=tmp_path / "a", **options)
    stop = 9
    with pytest.raises(KeyboardInterrupt):
        train(start, loss, schedule, folder=tmp_path / "b", **options)
    stop = -1
    resumed = train(start, loss, schedule, folder=tmp_path / "b", **options)
    assert torch.equal(whole["w"], resumed["w"])
    assert not torch.equal(whole["w"], start["w"])


def test_a_stage_hands_on_what_a_later_run_would_find(tmp_path):
    """The order too: sums over all tensors round by it, and what follows would differ."""

    def loss(p, step, rng):
        return sum(x.square().sum() for x in p.values()), {}

    def stage():
        start = {"z": torch.ones(2), "a": torch.ones(3)}
        return train(start, loss, Schedule(2, 0.1), stage="s", seed=1, folder=tmp_path)

    made, found = stage(), stage()
    assert list(made) == list(found) and all(torch.equal(made[n], found[n]) for n in made)


def test_a_running_mean_keeps_its_share_of_what_was(tmp_path):
    """By hand, from the weights that runs of one, two and three steps end with."""
    seen = []

    def loss(p, step, rng):
        seen.append(p["w"].detach().clone())
        return (p["w"] - 3).square().sum(), {}

    start, schedule = {"w": torch.zeros(2)}, Schedule(steps=3, lr=0.1, warmup=1)
    last = train(start, loss, schedule, stage="last", seed=1, folder=tmp_path)["w"]
    mean = train(start, loss, replace(schedule, keep=0.75), stage="mean", seed=1, folder=tmp_path)[
        "w"
    ]
    _, one, two, *_ = seen
    by_hand = 0.25 * last + 0.75 * (0.25 * two + 0.75 * (0.25 * one))
    torch.testing.assert_close(mean, by_hand)
    assert not torch.allclose(mean, last)


@pytest.mark.slow
def test_an_expert_of_several_runs_is_the_mean_of_their_weights(trained):
    names = VisionConfig().expert.runs["eurosat"]
    runs = [load_file(trained.parent / f"{name}.safetensors") for name in names]
    expert = load_file(trained / "experts" / "eurosat.safetensors")
    assert len(runs) == 2
    for n, p in expert.items():
        torch.testing.assert_close(p, (runs[0][n] + runs[1][n]) / 2)
    assert any(not torch.equal(runs[0][n], runs[1][n]) for n in expert)


def test_a_gradient_that_is_not_finite_stops_the_training(tmp_path):
    def loss(p, step, rng):
        return p["w"].sum() * torch.tensor(float("nan")), {}

    with pytest.raises(FloatingPointError, match="step 0"):
        train({"w": torch.zeros(1)}, loss, Schedule(3, 0.1), stage="s", seed=1, folder=tmp_path)


def test_schedule_warms_up_and_comes_down():
    s = Schedule(steps=100, lr=1.0, warmup=10)
    assert s.rate(0) == pytest.approx(0.1)
    assert s.rate(9) == pytest.approx(1.0)
    assert s.rate(55) == pytest.approx(0.505, abs=1e-6)
    assert s.rate(99) < 0.02


def test_augment_of_a_still_policy_changes_nothing():
    still = Policy(rotate=0, shift=0, zoom=(1.0, 1.0), shear=0, light=0, colour=0, noise=0, erase=0)
    images = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    x = augment(images, still, torch.Generator().manual_seed(0))
    assert torch.allclose(x, images.permute(0, 3, 1, 2) / 255, atol=1e-5)


@pytest.mark.parametrize("task", POLICIES)
def test_augment_is_seeded_and_in_range(task):
    images = torch.randint(0, 256, (8, 48, 48, 3), dtype=torch.uint8)
    one, two = (augment(images, POLICIES[task], torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == (8, 3, 48, 48)
    assert 0 <= one.min() <= one.max() <= 1
    assert not torch.equal(one[0], augment(images, POLICIES[task], torch.Generator())[0])


def test_kept_tokens_are_tokens_of_the_image_and_the_class_token_stays():
    h = torch.arange(2 * 10 * 1.0).view(2, 10, 1)
    kept = keep_tokens(h, 0.5, torch.Generator().manual_seed(0))
    assert kept.shape == (2, 6 - 0 if round(0.5 * 9) == 5 else 5, 1)
    assert torch.equal(kept[:, 0], h[:, 0])
    for row, source in zip(kept, h, strict=True):
        assert len(set(row[:, 0].tolist())) == len(row)
        assert set(row[:, 0].tolist()) <= set(source[:, 0].tolist())


@pytest.mark.slow
def test_no_term_no_difference_to_plain_fine_tuning(folder, tmp_path):
    """Every term is an extra one."""
    config = smoke_config(VisionConfig())
    plain = replace(config, expert=config.expert.of("plain"))
    done = train_vision(folder, tmp_path, plain)
    expert = load_file(done / "experts" / "mnist.safetensors")
    base = load_file(done / "base.safetensors")
    z = embedding(plain.backbone(), expert, plain.backbone().normalise(torch.zeros(1, 32, 32, 3)))
    assert torch.isfinite(z).all()
    assert not torch.equal(expert["proj"], base["proj"])


def test_the_other_polarity_is_the_negative():
    still = Policy(rotate=0, shift=0, zoom=(1.0, 1.0), shear=0, light=0, colour=0, noise=0)
    images = torch.randint(0, 256, (64, 16, 16, 3), dtype=torch.uint8)
    turned = augment(images, replace(still, invert=0.5), torch.Generator().manual_seed(0))
    plain = images.permute(0, 3, 1, 2) / 255
    is_plain = (turned - plain).abs().amax((1, 2, 3)) < 1e-5
    is_negative = (turned - (1 - plain)).abs().amax((1, 2, 3)) < 1e-5
    assert (is_plain ^ is_negative).all()
    assert 16 < is_negative.sum() < 48
    assert {task for task, policy in POLICIES.items() if policy.invert} == {
        "mnist",
        "fashion_mnist",
        "omniglot_alphabets",
    }


def test_the_terms_of_an_expert_by_hand():
    """The first two images are its own, the other three replayed."""
    config = smoke_config(VisionConfig())
    backbone, rng = config.backbone(), torch.Generator().manual_seed(0)
    base, expert = (
        {n: torch.randn(s, generator=rng) * 0.1 for n, s in backbone.shapes.items()}
        for _ in range(2)
    )
    images = torch.rand(5, 3, 32, 32, generator=rng)
    batch = normalise(images, backbone)

    def outputs(params):
        return activations(backbone, params, batch), embedding(backbone, params, batch)

    (h, z), (h0, z0) = outputs(expert), outputs(base)
    moved = torch.stack(
        [
            (a - b).square().mean((1, 2)) / b.square().mean((1, 2))
            for a, b in zip(h, h0, strict=True)
        ]
    )
    final = (z - z0).square().sum(1) / z0.square().sum(1)
    turned = 1 - torch.nn.functional.cosine_similarity(z, z0)
    e = replace(config.expert, stay=2.0, home=3.0, home_margin=9.0, home_from=2)
    every = replace(e, preserve={"mnist": 4.0}, drift=5.0, drift_margin=8.0, upto=1)
    for setting in (e, replace(e, home=0.0), replace(e, stay=0.0), every, e.of("plain")):
        got, terms = at_home(backbone, base, expert, images[:2], "mnist", setting, 1.0, rng)
        if setting.stay or setting.drift:
            terms |= away(backbone, base, expert, images[2:], setting, 1.0, rng)
        torch.testing.assert_close(got, z[:2])
        by_hand = {
            "stay": setting.stay * (moved[:, 2:].mean() + turned[2:].mean()),
            "home": setting.home * (9 - torch.stack([*moved[1:, :2], final[:2]])).relu().mean(),
            "preserve": setting.preserve.get("mnist", 0.0) * moved[:1, :2].mean(),
            "drift": setting.drift * (8 - moved[:1, 2:]).relu().mean() / 8,
        }
        weights = {"stay": setting.stay, "home": setting.home, "drift": setting.drift}
        weights["preserve"] = setting.preserve.get("mnist", 0.0)
        assert set(terms) == {name for name, weight in weights.items() if weight}
        for name, term in terms.items():
            torch.testing.assert_close(term, by_hand[name], rtol=0.03, atol=1e-3)


def test_mining_takes_what_moves_farthest():
    config = smoke_config(VisionConfig())
    backbone, rng = config.backbone(), torch.Generator().manual_seed(0)
    base = {n: torch.randn(s, generator=rng) * 0.1 for n, s in backbone.shapes.items()}
    name = next(n for n in base if "positional" in n)
    images = torch.stack([torch.rand(3, 32, 32, generator=rng) for _ in range(6)])
    # one by one: a norm would take off what all features have alike
    expert = {**base, name: base[name] + 0.05 * torch.randn(base[name].shape, generator=rng)}
    e = replace(config.expert, mining=3)
    rows = farthest(backbone, base, expert, images, e, 2.0, rng)  # all patches
    z, z0 = (embedding(backbone, p, normalise(images, backbone)) for p in (expert, base))
    h, h0 = (activations(backbone, p, normalise(images, backbone)) for p in (expert, base))
    moved = torch.stack(
        [
            (a - b).square().mean((1, 2)) / b.square().mean((1, 2))
            for a, b in zip(h, h0, strict=True)
        ]
    ).mean(0)
    distance = moved + 1 - torch.nn.functional.cosine_similarity(z, z0)
    assert distance.min() > 1e-4
    assert sorted(rows.tolist()) == sorted(distance.topk(2).indices.tolist())


def test_a_family_is_a_matter_of_weights():
    own = VisionConfig().expert
    assert own.stay and not own.preserve and not own.drift
    assert own.of("disentangled") == own
    former = own.of("preserve and drift")
    assert (
        not former.stay and not former.home and former.drift and set(former.preserve) == set(TASKS)
    )
    plain = own.of("plain")
    assert not (plain.stay or plain.home or plain.preserve or plain.drift)


@pytest.mark.slow
def test_the_second_moments_lie_beside_the_experts(trained):
    shapes = smoke_config(VisionConfig()).backbone().shapes
    for name in TASKS:
        stored = load_file(trained / "experts" / "moments" / f"{name}.safetensors")
        back = expanded(stored)
        assert set(back) == set(shapes)
        assert all(torch.isfinite(x).all() and (x >= 0).all() for x in stored.values())
