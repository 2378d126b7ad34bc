"""The pictures that the project renders: seeded, balanced, the same at every size, not too easy."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from recipes.lookalikes import LOOKALIKES, PAINTERS, difficulty
from semerge.data import rendered as r
from semerge.data.rendered.drawing import Dice

TASKS = r.GENERATED + LOOKALIKES
EVERY = [(task, label) for task in TASKS for label in range(PAINTERS[task].classes)]


def picture(task, label, seed, size=48, **options):
    return r.render(task, label, seed, size, painters=PAINTERS, **options)


def values(task, label, seed, size=48, **options):
    return np.asarray(picture(task, label, seed, size, **options))


def test_surface():
    assert set(r.CLASSES) == set(r.GENERATED)
    assert all(len(set(names)) == r.class_count(task) for task, names in r.CLASSES.items())
    assert [PAINTERS[task].classes for task in LOOKALIKES] == [10, 10, 10, 10, 43, 8]


def test_dice_are_the_same_everywhere():
    dice = Dice(1, 2, 3)
    found = [dice.unit(), dice.i(0, 1000), dice.u(-1, 1)]
    assert found == pytest.approx([0.67047226, 111, 0.02301816], abs=1e-7)


@pytest.mark.parametrize(("task", "label"), EVERY)
@pytest.mark.parametrize("clean", [False, True])
def test_each_class_renders(task, label, clean):
    drawn = picture(task, label, 11, clean=clean)
    assert drawn.mode == "RGB" and drawn.size == (48, 48)
    again = values(task, label, 11, clean=clean)
    assert np.array_equal(np.asarray(drawn), again)
    assert not np.array_equal(again, values(task, label, 12, clean=clean))


@pytest.mark.parametrize(("task", "label"), EVERY)
def test_clean_pictures_are_not_empty(task, label):
    flat = task == "eurosat" and label in (1, 9)  # forest and water are nearly one colour
    assert values(task, label, 3, 96, clean=True).std() > (1.0 if flat else 8.0)


@pytest.mark.parametrize("task", TASKS)
def test_size_does_not_change_the_picture(task):
    for label in range(min(5, PAINTERS[task].classes)):
        small = values(task, label, 5).astype(float)
        large = picture(task, label, 5, 240).resize((48, 48), Image.Resampling.BOX)
        difference = np.abs(np.asarray(large, dtype=float) - small).mean()
        assert difference < max(4.0, 0.2 * small.std()), (label, difference)


@pytest.mark.parametrize("task", TASKS)
def test_labels_look_different(task):
    a, b = values(task, 0, 7).astype(float), values(task, 1, 7).astype(float)
    assert np.abs(a - b).mean() > 1.0


@pytest.mark.parametrize("task", TASKS)
def test_data_set_is_balanced_and_a_longer_one_begins_with_a_shorter(task):
    count = PAINTERS[task].classes
    x, y = r.dataset(task, 2 * count, 4, painters=PAINTERS)
    assert x.shape == (2 * count, 48, 48, 3) and x.dtype == np.uint8 and y.dtype == np.int64
    assert (np.bincount(y) == 2).all()
    first, labels = r.dataset(task, count, 4, painters=PAINTERS)
    assert np.array_equal(x[:count], first) and np.array_equal(y[:count], labels)


def test_splits_are_disjoint():
    seeds = [r.split_seed(split) for split in ("train", "val", "test")]
    assert len(set(seeds)) == 3 and min(seeds) > 0
    for task in r.GENERATED:
        prints = [{image.tobytes() for image in r.dataset(task, 40, seed)[0]} for seed in seeds]
        assert len(set.union(*prints)) == 3 * 40


def test_another_process_draws_the_same():
    code = (
        "import hashlib; from recipes.lookalikes import PAINTERS; from semerge.data import rendered"
        " as r; print(hashlib.sha256(b''.join(r.render(t, 1, 9, 48, painters=PAINTERS).tobytes()"
        " for t in PAINTERS)).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout and len(runs[0].stdout) == 65


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: r.render("maps", 0, 0, 48), "unknown task"),
        (lambda: r.render("charts", 8, 0, 48), "out of range"),
        (lambda: r.render("charts", -1, 0, 48), "out of range"),
        (lambda: r.render("charts", 0, -1, 48), "negative"),
        (lambda: r.split_seed("dev"), "unknown split"),
    ],
)
def test_wrong_use_is_refused(call, part):
    with pytest.raises(ValueError, match=part):
        call()


@pytest.mark.parametrize("task", r.GENERATED)
def test_too_hard_for_random_features_but_not_noise(task):
    """A small version of the check; `python -m recipes.lookalikes.difficulty` is the full."""
    accuracy = difficulty.ridge_accuracy(task, train=400, test=200, filters=40)
    assert 1.3 / r.class_count(task) < accuracy < difficulty.LIMIT
