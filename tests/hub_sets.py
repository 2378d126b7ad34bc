"""A stand-in of the package `datasets`: as much of it as labelled sets from the hub use."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from PIL import Image as Pillow


@dataclass
class FakeSet:
    """Rows by column, as a `datasets.Dataset`."""

    rows: list[dict[str, Any]]
    features: dict[str, Any]

    @classmethod
    def of_images(cls, labels: Sequence[int], names: Sequence[str] | None) -> FakeSet:
        """Grey pictures whose brightness is their row."""

        def png(value: int) -> bytes:
            file = io.BytesIO()
            Pillow.new("RGB", (8, 8), (value, value, value)).save(file, "PNG")
            return file.getvalue()

        rows = [{"image": {"bytes": png(i)}, "label": label} for i, label in enumerate(labels)]
        return cls(rows, {"image": None, "label": SimpleNamespace(names=names)})

    @classmethod
    def of_texts(cls, columns: Sequence[str], rows: Sequence[tuple[str, str, int]]) -> FakeSet:
        """One or two sentences a row, and a label."""
        made = [dict(zip(columns, row[:2], strict=False)) | {"label": row[2]} for row in rows]
        return cls(made, {**dict.fromkeys(columns), "label": SimpleNamespace(names=None)})

    @property
    def column_names(self) -> list[str]:
        return list(self.features)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | str) -> Any:
        return [row[key] for row in self.rows] if isinstance(key, str) else self.rows[key]

    def cast_column(self, name: str, feature: Any) -> FakeSet:
        assert feature == "undecoded" and name in self.features
        return self

    def select(self, rows: Sequence[int]) -> FakeSet:
        return FakeSet([self.rows[int(i)] for i in rows], self.features)


@dataclass
class FakeDatasets:
    """The module; `sets` by id, config and split."""

    sets: dict[tuple[str, str | None, str], FakeSet] = field(default_factory=dict)

    def load_dataset(self, name: str, config: str | None, split: str) -> FakeSet:
        known = [place[2] for place in self.sets if place[:2] == (name, config)]
        if not known:
            raise FileNotFoundError(f"no such set {name}")
        if split not in known:  # in the package's own words
            raise ValueError(f'Unknown split "{split}". Should be one of {known}.')
        return self.sets[name, config, split]

    def Image(self, decode: bool) -> str:
        return "decoded" if decode else "undecoded"
