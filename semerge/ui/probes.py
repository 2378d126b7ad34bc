"""What was probed of the last inputs, so that another preset, head or mass asks no model for it.

An entry is an input as its model reads it, its distances and a few embeddings: 0.03 MB for the
bundled suites, 0.6 MB for ViT-B/32. The fast mode adds the activations that it reached: 0.3 MB, and
11 MB where GPT-2 reads 512 tokens with seven experts. No gradio here, and no torch before there is
an engine.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from semerge.common import Clock
from semerge.settings import Resolved, Settings, valid_layers, valid_pools

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.engine import Probed
    from semerge.suites import Suite

ENTRIES = 32
ROOM = 64 * 2**20  # bytes, of all entries together

Key = tuple[Any, ...]


class Probes:
    """The probes of all engines of a page, the least recently used dropped first.

    Safe to share between threads. The lock is not held while a model runs: two threads that ask the
    same at once both probe, and find the same. Under ZeroGPU every call runs in a process of its
    own, so nothing is found again there.
    """

    def __init__(self, entries: int = ENTRIES, room: int = ROOM) -> None:
        self._entries, self._room = entries, room
        self._lock = threading.Lock()  # guards the dictionary
        self._kept: dict[Key, tuple[Probed, int]] = {}  # with its bytes; the last used is last

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        with self._lock:
            return sum(size for _, size in self._kept.values())

    def answer(self, engine: Any, sample: object, settings: Settings) -> dict[str, Any]:
        """The JSON object of `engine.predict(sample, settings)`. In its timings, a stage that was
        run for an earlier answer is None.

        Raises:
            UserError: as `predict`.
        """
        clock = Clock()
        probed, fresh = self._find(engine, sample, settings, (), clock)
        result: dict[str, Any] = engine.answer(probed, settings).to_dict()
        first, rest = clock.timings(), result["timings_ms"]
        spent = {stage: first[stage] + ms for stage, ms in rest.items()}
        kept = {"preprocess", "probe"} - fresh
        return {**result, "timings_ms": spent | dict.fromkeys(kept)}

    def probed(
        self, engine: Any, sample: object, settings: Settings, layers: Sequence[int | str] = ()
    ) -> Probed:
        """As `engine.probe(sample, settings, layers)`; there may be more distances.

        Raises:
            UserError: as `probe`.
        """
        return self._find(engine, sample, settings, layers, Clock())[0]

    def _find(
        self,
        engine: Any,
        sample: object,
        settings: Settings,
        layers: Sequence[int | str],
        clock: Clock,
    ) -> tuple[Probed, set[str]]:
        """What was probed, and which stages had to be run for it; `clock` has their times."""
        from semerge.engine import unpack  # imports torch

        suite = engine.suite
        resolved = settings.resolve(suite)
        content, notices = unpack(sample, suite)
        # the fast probe is one of its place alone; of exact ones, all places are gathered
        place = resolved.probing if resolved.fast else None
        key = (suite.name, _digest(content, notices), resolved.probe_lambda, place)
        everywhere = [
            (resolved.probe, layer, pool)
            for layer in layers
            for pool in valid_pools(suite, resolved.probe, layer)
        ]
        kept = self._get(key)
        clock.lap("preprocess")
        if kept is not None and kept.fits(resolved, [*engine.needed(resolved), *everywhere]):
            return kept, set()
        fresh = {"probe"}
        if kept is None:
            fresh.add("preprocess")
            notices += engine.backbone.notices(*content)
            batch = engine.models.place(engine.backbone.preprocess(*content))
            clock.lap("preprocess")
        else:
            batch, notices = kept.batch, kept.notices
        # layers on the way cost a norm each, and may be asked for next
        layers = layers or _passed(suite, resolved)
        found = engine.probe_batch(batch, resolved, notices, layers, clock)
        return self._put(key, found), fresh

    def _get(self, key: Key) -> Probed | None:
        with self._lock:
            if key not in self._kept:
                return None
            self._kept[key] = self._kept.pop(key)
            return self._kept[key][0]

    def _put(self, key: Key, found: Probed) -> Probed:
        with self._lock:
            old, _ = self._kept.pop(key, (None, 0))
            if old is not None and found.early is None:
                # what this run did not look at stays known
                found = replace(found, distances={**old.distances, **found.distances})
            self._kept[key] = found, _bytes(found)
            while len(self._kept) > self._entries or self._total() > self._room:
                del self._kept[next(iter(self._kept))]
        return found

    def _total(self) -> int:
        return sum(size for _, size in self._kept.values())


def _passed(suite: Suite, resolved: Resolved) -> list[int | str]:
    """The layers that a probe comes by, its own included."""
    layers = valid_layers(suite)
    return list(layers[: layers.index(resolved.layer) + 1])


def _digest(content: tuple[object, str | None], notices: tuple[str, ...]) -> bytes:
    """Of an input as `unpack` gives it: other pixels, sentences or notices, another digest."""
    from PIL import Image

    first, second = content
    digest = hashlib.sha256()
    if isinstance(first, Image.Image):
        digest.update(ascii((first.mode, first.size, notices)).encode())
        digest.update(first.tobytes())
    else:
        digest.update(ascii((first, second, notices)).encode())
    return digest.digest()


def _bytes(probed: Probed) -> int:
    """Memory that an entry holds: a view holds all of what it is a view of."""
    memory = [tensor.untyped_storage() for tensor in _tensors(probed)]
    return sum({one.data_ptr(): one.nbytes() for one in memory}.values())


def _tensors(probed: Probed) -> Iterator[Tensor]:
    yield probed.batch.data
    if probed.batch.lengths is not None:
        yield probed.batch.lengths
    yield from probed.distances.values()
    yield from probed.columns.values()
    if probed.early is not None:
        yield probed.early.distances
        yield from (reached.h for reached in probed.early.reached.values())
