"""How hard are the rendered tasks? A ridge on random convolution features is the yardstick.

A task that this solves is too easy: it would say nothing about the experts.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from semerge.data.rendered import GENERATED, class_count, dataset, split_seed

LIMIT = 0.90
"""Accuracy that the ridge must stay below, with 4000 training and 1000 test pictures."""


def features(x: np.ndarray, filters: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Random convolution features of uint8 (n, s, s, 3): float32 (n, 2 * 4 * K).

    K random 6x6 colour filters on patches with contrast taken out, a rectifier of either sign,
    and the mean over a 2x2 grid of regions (Coates et al., 2011, with random filters).
    """
    n = x.shape[0]
    k = filters.shape[0]
    width = round((filters.shape[1] / 3) ** 0.5)
    out = np.empty((n, 2 * 4 * k), dtype=np.float32)
    for i in range(n):
        image = x[i].astype(np.float32) / 255.0
        windows = np.lib.stride_tricks.sliding_window_view(image, (width, width), (0, 1))
        windows = windows[::2, ::2]
        side = windows.shape[0]
        patches = windows.reshape(side * side, -1)
        patches = patches - patches.mean(1, keepdims=True)
        patches = patches / (patches.std(1, keepdims=True) + 0.05)
        response = (patches @ filters.T).reshape(side, side, k)
        half = side // 2
        parts = []
        for signed in (response - bias, -response - bias):
            active = np.maximum(signed, 0)
            for rows in (slice(0, half), slice(half, side)):
                for columns in (slice(0, half), slice(half, side)):
                    parts.append(active[rows, columns].mean((0, 1)))
        out[i] = np.concatenate(parts)
    return out


def ridge_accuracy(
    task: str, train: int = 4000, test: int = 1000, size: int = 48, filters: int = 200
) -> float:
    """Test accuracy of the best ridge over a few strengths (picked on the test set: generous)."""
    rng = np.random.Generator(np.random.PCG64(7))
    bank = rng.standard_normal((filters, 6 * 6 * 3)).astype(np.float32)
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    bias = (rng.random(filters) * 1.5).astype(np.float32)
    sets = []
    for split, n in (("train", train), ("test", test)):
        x, y = dataset(task, n, split_seed(split), size)
        sets.append((features(x, bank, bias), y))
    (a, ya), (b, yb) = sets
    mean, deviation = a.mean(0), a.std(0) + 1e-6
    a = np.concatenate([(a - mean) / deviation, np.ones((len(a), 1), np.float32)], 1)
    b = np.concatenate([(b - mean) / deviation, np.ones((len(b), 1), np.float32)], 1)
    target = 2.0 * np.eye(class_count(task))[ya] - 1.0
    gram, cross = a.T @ a, a.T @ target
    best = 0.0
    for strength in (1.0, 10.0, 100.0, 1000.0):
        weights = np.linalg.solve(gram + strength * np.eye(len(gram)), cross)
        best = max(best, float(((b @ weights).argmax(1) == yb).mean()))
    return best


def main() -> None:
    """Print accuracy of the yardstick and rendering speed of the generated tasks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--test", type=int, default=1000)
    options = parser.parse_args()
    for task in GENERATED:
        start = time.perf_counter()
        dataset(task, 200, 1)
        speed = 200 / (time.perf_counter() - start)
        accuracy = ridge_accuracy(task, options.train, options.test)
        print(f"{task}: ridge {accuracy:.3f} (limit {LIMIT}), {speed:.0f} pictures/s at 48 px")


if __name__ == "__main__":
    main()
