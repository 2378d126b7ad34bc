"""Image files of any size as the images of a labelled set: decoded when they are asked for.

A set of uploads may hold thousands of pictures of some megapixels each; their files fit in memory,
their pixels would not. What a sample gives is what `decode_image` gives for a single request.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semerge.inputs import decode_image


@dataclass(frozen=True)
class Pictures:
    """N image files, by path or as their bytes."""

    files: tuple[Path | bytes, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int | np.integer) -> np.ndarray:
        """One picture, uint8 (H, W, 3). Raises UserError for a file that is no readable image."""
        return np.asarray(decode_image(self.files[row]).image)

    def take(self, rows: np.ndarray) -> Pictures:
        """The files at `rows`, in that order."""
        return Pictures(tuple(self.files[i] for i in rows))

    def sha256(self) -> bytes:
        """A hash over the files' bytes."""
        digest = hashlib.sha256()
        for file in self.files:
            data = file if isinstance(file, bytes) else file.read_bytes()
            digest.update(hashlib.sha256(data).digest())
        return digest.digest()
