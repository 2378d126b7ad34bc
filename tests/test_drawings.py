"""The sketch pad's own drawings: the same on both backgrounds, by a writer training never saw."""

from __future__ import annotations

import numpy as np
import torch
from bundled import VISION, engine
from PIL import Image

from recipes.drawings import BOARDS, DIGITS, draw, drawings, recognised
from semerge.settings import Settings


def test_both_backgrounds_have_the_same_drawings() -> None:
    dark, light = drawings(copies=2).values()
    assert len(dark) == len(light) == 20 and list(BOARDS) == ["white on black", "black on white"]
    for (one, digit), (other, same) in zip(dark, light, strict=True):
        assert digit == same
        a, b = np.asarray(one), np.asarray(other)
        assert (a == 255 - b).all()
        ink = (a[..., 0] > 0).mean()
        assert 0.01 < ink < 0.35, (digit, ink)
    again = drawings(copies=2)["white on black"]
    pairs = zip(dark, again, strict=True)
    assert all((np.asarray(x) == np.asarray(y)).all() for (x, _), (y, _) in pairs)
    assert (np.asarray(dark[0][0]) != np.asarray(dark[1][0])).any()


def test_the_ink_stays_on_the_board() -> None:
    for digit in range(len(DIGITS)):
        for seed in range(10):
            image = np.asarray(draw(digit, np.random.default_rng(seed), "black", "white"))
            assert not image[[0, -1]].any() and not image[:, [0, -1]].any(), (digit, seed)


def test_what_is_counted_is_what_the_engine_answers() -> None:
    suite = engine(VISION.name)
    found = recognised(suite)
    assert found["routed"]["both"]["n"] == 200 and found["routed"]["white on black"]["n"] == 100
    chosen: dict[str, list[bool]] = {}
    for board, every in drawings().items():
        some = every[::10]
        chosen[board] = [suite.predict(image, Settings()).chosen == "mnist" for image, _ in some]
        assert all(isinstance(image, Image.Image) for image, _ in some)
    for board, hits in chosen.items():  # one of each digit: all right, none right, or between
        share = found["routed"][board]["share"]
        assert abs(float(torch.tensor(hits).double().mean()) - share) <= 0.3
        if share in (0.0, 1.0):
            assert set(hits) == {bool(share)}
