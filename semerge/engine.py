"""SE-Merging for one suite: probe, route, merge, predict (arXiv 2506.18135).

An engine is immutable. Everything it holds is made when it is loaded and only read afterwards; a
request owns all that it computes, but for room to merge in, which each thread keeps for itself. So
threads need no lock, and a request that dies leaves nothing behind. `predict` and the batch
functions that evaluation uses are the same way through.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import semerge
from semerge import fast
from semerge.backbones import Batch
from semerge.common import UserError, first_line, quoted
from semerge.loading import load
from semerge.methods import METHODS
from semerge.methods.samples import Source
from semerge.models import BASE, Model, Reached, Variant
from semerge.probe import Steps
from semerge.registry import TASK_ARITHMETIC, Key
from semerge.result import Clock, Prediction, Result, of_100
from semerge.routing import Routing, clearer_than
from semerge.routing import nearest as nearest_of
from semerge.settings import (
    AUTO,
    CACHED,
    POOLS,
    Resolved,
    Settings,
    checked_coefficients,
)
from semerge.suites import Suite, read_suite
from semerge.suites.abstention import Abstention


def load_engine(
    suite: Suite | str | Path,
    device: str | None = None,
    make_dear: bool = True,
    source: Source | None = None,
) -> Engine:
    """The engine of a suite: one that was read, a bundled one by name, or a folder with a
    suite.json.

    device: as torch names it; None: what the environment variable SEMERGE_DEVICE says, else "cpu".
    make_dear: whether methods that take long are made where they are not on the disk, or refused.
    source: of the samples that some methods are made from, see `semerge.data.samples`; without one
    these are on the disk, or refused. Raises UserError where there is no such suite, a file of it
    is missing, changed or damaged, or there is no such device here.
    """
    described = suite if isinstance(suite, Suite) else read_suite(suite)
    where = chosen_device(device)
    return Engine(load(described), where, make_dear, source)


def chosen_device(name: str | None = None) -> torch.device:
    """The device that `load_engine` takes. Raises UserError where it is not here."""
    name = name or os.environ.get("SEMERGE_DEVICE") or "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        raise UserError(
            f"The device {quoted(name)} can't be used here: {first_line(error)}."
        ) from None
    return device


@dataclass(frozen=True)
class Probed:
    """One input and all that does not depend on how it is routed. Nothing in it is ever written.

    method: the spec of what is merged. distances: (1, T) at each key that was run.
    columns: final embeddings (1, D)
    of the models that SE-Merging is compared with: static, base, and the expert `nearest`, which
    the settings that probed would choose. early: what the fast mode found out, if asked.
    """

    batch: Batch
    notices: tuple[str, ...]
    method: str
    distances: Mapping[Key, Tensor]
    columns: Mapping[str, Tensor]
    nearest: int
    early: fast.Early | None = None

    def fits(self, resolved: Resolved, keys: Collection[Key]) -> bool:
        """Whether a request that needs distances at `keys` can be answered from this."""
        if (self.early is not None) != resolved.fast or self.method != resolved.method:
            return False
        return all(key in self.distances for key in keys)


class Engine(Steps):
    """One suite in memory. Safe to share between threads; nothing is written after `__init__`."""

    def predict(
        self,
        sample: object,
        settings: Settings | Resolved | None = None,
        cache: Cache | None = None,
    ) -> Result:
        """Route, merge and answer for one input.

        sample: a `DecodedImage`, a `CleanText`, a PIL image or a sentence. settings: what to
        choose; or what that is for this suite, where the caller knows. cache: what was probed of
        earlier inputs, to be used again; in the timings, a stage that was run for an earlier answer
        is then None. Raises UserError where the settings or the input do not fit the suite.
        """
        resolved, clock = self._resolve(settings), Clock()
        probed, kept = self._probe(sample, resolved, None, clock, cache)
        result = self._answer(probed, resolved, clock)
        if not kept:
            return result
        return replace(result, timings_ms={**result.timings_ms, **dict.fromkeys(kept)})

    def probe(
        self,
        sample: object,
        settings: Settings | None = None,
        layers: Sequence[int | str] | None = None,
        cache: Cache | None = None,
    ) -> Probed:
        """The part of `predict` that a new preset, temperature, mass or head does not change.

        layers: keep the distances at all of these, with every pooling, beside those of the
        settings. They cost one run to the deepest of them; only the distances are kept. Raises
        UserError as `predict` does.
        """
        return self._probe(sample, self._resolve(settings), layers, Clock(), cache)[0]

    def answer(self, probed: Probed, settings: Settings | None = None) -> Result:
        """The rest of `predict`: route, merge, answer. Probes again only where it must. Raises
        UserError where the settings do not fit the suite."""
        resolved, clock = self._resolve(settings), Clock()
        if not probed.fits(resolved, self.needed(resolved)):
            probed = self.probe_batch(probed.batch, resolved, probed.notices, clock=clock)
        return self._answer(probed, resolved, clock)

    @torch.inference_mode()
    def answer_with(
        self,
        sample: object,
        coefficients: Sequence[float],
        head: str,
        method: str = TASK_ARITHMETIC,
    ) -> tuple[Prediction, ...]:
        """The second pass alone: what θ0 + Σt λt τt answers for coefficients that are given, as all
        classes of the head, best first.

        sample: as `predict` takes it. coefficients: λt, one for each task, in the suite's order.
        head: the task whose classes the answer is read with. method: the spec of the method whose
        task vectors are combined. Raises UserError where one of them does not fit the suite.
        """
        checked = checked_coefficients(coefficients, self.suite)
        classes = self.suite.task(head).classes
        model_input, _ = unpack(sample, self.suite)
        batch = self.models.place(self.backbone.preprocess(*model_input))
        own = torch.tensor([checked], device=self.models.device)
        z = self.merged_embedding(batch, own, method=method)
        logits = self.logits(z, head)[0]  # (C,)
        return predictions_of({"own": logits}, classes)["own"]

    @torch.inference_mode()
    def merge(
        self, method: str = TASK_ARITHMETIC, coefficients: Sequence[float] | None = None
    ) -> dict[str, Tensor]:
        """All parameters of one merged model by name, copied: what the method, by its spec, merges
        statically; or θ0 + Σt λt τt of its task vectors, for coefficients as `answer_with` takes
        them. Raises UserError where there is no such method, or the coefficients do not fit."""
        scale = self.models.variant(method).scale
        if coefficients is None:
            return self.models.copy_of(self.models.probed(scale, method))
        checked = torch.tensor(checked_coefficients(coefficients, self.suite))
        return self.models.copy_of(self.models.merged(checked, None, method))

    def variant(self, method: str, options: Mapping[str, Any] | None = None) -> Variant:
        """What a merging method makes of the suite's experts; made once. Raises UserError as
        `Models.variant` does, and where an option does not fit the method."""
        return self.models.variant(METHODS.spec(method, options or {}))

    def inner_products(self, method: str = TASK_ARITHMETIC) -> tuple[tuple[float, ...], ...]:
        """The inner products τi · τj of a method's task vectors, T x T, computed anew: λᵀ G λ is
        the squared length of Σt λt τt, which is how far a merge lies from the base."""
        return tuple(map(tuple, self.variant(method).vectors.gram().tolist()))

    def picture(self, sample: object) -> Any:
        """An image (PIL) as the models see it; None for text. Raises UserError where the input does
        not fit the suite."""
        content, _ = unpack(sample, self.suite)
        backbone: Any = self.backbone  # those of images alone have a view
        return backbone.view(content[0]) if self.suite.modality == "image" else None

    def _resolve(self, settings: Settings | Resolved | None) -> Resolved:
        settings = settings or Settings()
        resolved = settings if isinstance(settings, Resolved) else settings.resolve(self.suite)
        self.check(resolved)
        return resolved

    def _probe(
        self,
        sample: object,
        resolved: Resolved,
        layers: Sequence[int | str] | None,
        clock: Clock,
        cache: Cache | None,
    ) -> tuple[Probed, set[str]]:
        """What was probed, and the stages that an earlier request had run."""
        model_input, notices = unpack(sample, self.suite)
        earlier: Probed | None = None
        key: tuple[Any, ...] = ()
        if cache is not None:
            # the fast probe is one of its place alone; of exact ones, all places are gathered
            place = resolved.probing if resolved.fast else None
            key = self.models.sha256, _digest(model_input, notices), resolved.method, place
            earlier = cache.get(key)
            needed = *self.needed(resolved), *self.combinations(resolved, layers or ())
            if earlier is not None and earlier.fits(resolved, needed):
                clock.lap("preprocess")
                return earlier, {"preprocess", "probe"}
            # layers on the way cost a norm each, and may be asked for next
            layers = layers or self.layers[: self.layers.index(resolved.layer) + 1]
        if earlier is None:
            notices += self.backbone.notices(*model_input)
            batch = self.models.place(self.backbone.preprocess(*model_input))
        else:
            batch, notices = earlier.batch, earlier.notices
        clock.lap("preprocess")
        probed = self.probe_batch(batch, resolved, notices, layers, clock)
        if cache is not None:
            probed = cache.put(key, probed)
        return probed, set() if earlier is None else {"preprocess"}

    @torch.inference_mode()
    def probe_batch(
        self,
        batch: Batch,
        resolved: Resolved,
        notices: tuple[str, ...] = (),
        layers: Sequence[int | str] | None = None,
        clock: Clock | None = None,
    ) -> Probed:
        """`probe` for an input that is prepared already, a batch of one."""
        clock = clock or Clock()
        early = self.early(batch, resolved) if resolved.fast else None
        reached: dict[Model, Reached] = {}  # the columns go on from where the probe ended
        if early is not None:
            distances = {resolved.probing: early.distances}
            reached.update(early.reached.items())
        else:
            keys = dict.fromkeys(self.needed(resolved))
            if layers is not None:
                pools = POOLS[self.suite.modality]
                keys |= dict.fromkeys(self.combinations(resolved, layers, pools))
            distances = self.distances_at(batch, keys, reached)
        clock.lap("probe")
        nearest = int(nearest_of(distances[resolved.probing])[0])
        static = resolved.method, resolved.static_lambda
        columns = {
            "static": self.static_embedding(batch, reached.get(static), resolved.method),
            "base": self.base_embedding(batch, reached.get(BASE)),
            "expert": self.expert_embedding(batch, nearest, reached.get(nearest)),
        }
        clock.lap("predict")
        return Probed(batch, notices, resolved.method, distances, columns, nearest, early)

    @torch.inference_mode()
    def _answer(self, probed: Probed, resolved: Resolved, clock: Clock) -> Result:
        batch, distances = probed.batch, probed.distances[resolved.probing]
        routing = self.route(distances, resolved)
        clock.lap("route")

        chosen = int(routing.chosen[0])
        head = self.suite.task_names[chosen] if resolved.head == AUTO else resolved.head
        task = self.suite.tasks[self.suite.task_names.index(head)]
        coefficients = routing.coefficients  # (1, T)
        expert = probed.columns["expert"]
        if chosen != probed.nearest:  # another layer than the one that probed
            expert = self.expert_embedding(batch, chosen)
        unfit = None
        if self.watches(resolved):
            confidence = self.confidence(expert, chosen)[:, None]
            unfit = self.unfit(probed.distances, resolved, confidence)
        saturated = resolved.fast and fast.saturated(routing, resolved)
        if saturated:
            coefficients = torch.nn.functional.one_hot(routing.chosen, len(self.suite.tasks))
            coefficients = coefficients.to(routing.coefficients)
        fallback = bool(routing.flags["fallback"][0])
        misfit = not fallback and unfit is not None and bool(unfit[0])
        if fallback or (misfit and resolved.fallback == "static"):
            coefficients = torch.full_like(coefficients, resolved.static_lambda)
            z = probed.columns["static"]  # the coefficients are the static ones
        elif (
            coefficients[0, chosen] == 1.0
            and coefficients[0].count_nonzero() == 1
            and self.models.variant(resolved.method).original
        ):
            z = expert  # one expert's weights alone
        else:
            z = self.merged_embedding(batch, coefficients, clock, resolved.method)  # (1, D)
        embeddings = {
            "se": z,
            "static": probed.columns["static"],
            "expert": expert,
            "base": probed.columns["base"],
        }
        if not torch.isfinite(z).all():
            embeddings["se"], fallback = embeddings["static"], True
            coefficients = torch.full_like(coefficients, resolved.static_lambda)
        logits = {kind: self.logits(z, head)[0] for kind, z in embeddings.items()}  # (C,) each
        predictions = predictions_of(logits, task.classes)
        clock.lap("predict")
        usual = None if fallback else self.usual_for(resolved)
        clearer = clearer_than(float(routing.margin[0]), usual.margins) if usual else None
        notices = (
            *probed.notices,
            *fitting(self.abstention if misfit else None, unfit is not None, resolved),
            *notices_of(routing, distances, fallback, resolved, self.suite, unfit is None, clearer),
        )
        estimated: tuple[int, ...] = ()
        if probed.early is not None:
            count, estimated = len(self.suite.tasks), fast.dropped(probed.early)
            notices += fast.notices(probed.early, saturated, resolved, count)

        return Result(
            suite=self.suite.name,
            **resolved.entries,
            preset=resolved.preset,
            layer=resolved.layer,
            pool=resolved.pool,
            tasks=self.suite.task_names,
            distances=tuple(distances[0].tolist()),
            similarities=tuple(routing.similarities[0].tolist()),
            coefficients=tuple(coefficients[0].tolist()),
            static_coefficients=(resolved.static_lambda,) * len(self.suite.tasks),
            static_lambda=resolved.static_lambda,
            probe_lambda=resolved.probe_lambda,
            similarity=resolved.similarity,
            normalise=resolved.normalise,
            temperature=resolved.temperature,
            mass=resolved.mass,
            quantise=resolved.quantise,
            fallback=resolved.fallback,
            fast=resolved.fast,
            estimated=tuple(self.suite.task_names[t] for t in estimated),
            head=head,
            chosen=self.suite.task_names[chosen],
            margin=float(routing.margin[0]),
            entropy=float(routing.entropy[0]),
            fits=None if unfit is None or fallback else not misfit,
            expert_accuracy=self.accuracies.get(self.suite.task_names[chosen]),
            usual_distances=(usual.distances or None) if usual else None,
            clearer=clearer,
            notices=notices,
            predictions=predictions,
            timings_ms=clock.timings(),
            version=semerge.__version__,
            weights_sha256=self.models.sha256,
        )


# --------------------------------------------------------------------------------------------------
# What a person reads of one request: the input unpacked, predictions by label, notices.


def unpack(sample: object, suite: Suite) -> tuple[tuple[object, str | None], tuple[str, ...]]:
    """A sample -> (arguments of `Backbone.preprocess`, notices so far). Raises UserError for an
    image where the suite is of text, and the reverse."""
    from PIL import Image

    from semerge.inputs import CleanText, DecodedImage, clean_text

    if isinstance(sample, Image.Image):
        sample = DecodedImage(sample.convert("RGB"), ())
    elif isinstance(sample, str):
        sample = clean_text(sample)
    if isinstance(sample, DecodedImage) and suite.modality == "image":
        return (sample.image, None), tuple(sample.notices)
    if isinstance(sample, CleanText) and suite.modality == "text":
        notices = tuple(sample.notices)
        if sample.text_b and not any(task.pair for task in suite.tasks):
            notices += ("No task of this suite reads two sentences; both were read as one text.",)
        return (sample.text, sample.text_b), notices
    raise UserError(
        f"Suite {suite.name} reads {'images' if suite.modality == 'image' else 'text'}."
    )


def predictions_of(
    logits: Mapping[str, Tensor], classes: Sequence[str]
) -> dict[str, tuple[Prediction, ...]]:
    """Logits (C,) by kind -> all classes with their softmax scores, best first. Raises UserError
    where logits are not finite, so that no answer would mean anything."""
    answers = {}
    for kind, values in logits.items():
        if not torch.isfinite(values).all():
            raise UserError("The activations of this input are not finite; there is no answer.")
        scores, order = values.softmax(dim=0).sort(descending=True, stable=True)
        answers[kind] = tuple(
            Prediction(classes[i], score)
            for i, score in zip(order.tolist(), scores.tolist(), strict=True)
        )
    return answers


def notices_of(
    routing: Routing,
    distances: Tensor,
    fallback: bool,
    resolved: Resolved,
    suite: Suite,
    far: bool = True,
    clearer: float | None = None,
) -> tuple[str, ...]:
    """Plain sentences about the routing of the one sample in `routing`; distances (1, T). far:
    whether to tell that no expert is near; not where `fitting` knows better. clearer: the share of
    test samples with a larger margin, where it is known."""
    notes = []
    flags = {name: bool(flag[0]) for name, flag in routing.flags.items()}
    if fallback:
        notes.append("Activations were not finite, so the static coefficients were used.")
    if float(distances.max()) < ZERO:
        notes.append(
            "All distances are 0: the experts do not differ here, so routing says nothing."
        )
    if flags["near_tie"]:
        first, second = distances[0].sort(stable=True).indices[:2].tolist()
        names = " and ".join(suite.tasks[t].title for t in (first, second))
        known = "" if clearer is None else f"; {of_100(clearer)} of 100 test samples are clearer"
        notes.append(f"Closer than usual: {names} are almost equally near{known}.")
    if flags["flat"]:
        notes.append("Flat routing: all experts are about equally far, so the choice says little.")
    if flags["far"] and far:
        notes.append(
            "Far away: no expert is near, so this input may belong to none of the suite's tasks."
        )
    if resolved.changed:
        notes.append(f"Changed from the preset {resolved.preset}: {', '.join(resolved.changed)}.")
    return tuple(notes)


ZERO = 1e-5  # a distance below is 0, but for rounding
NOT_WATCHED = (
    "Whether an expert fits is known at the suite's default probe, layer and pooling alone, so "
    "nothing falls back here."
)


def fitting(misfit: Abstention | None, known: bool, resolved: Resolved) -> tuple[str, ...]:
    """What there is to say of one sample's fit. misfit: the suite's notice, where it comes. known:
    whether it was looked for."""
    static = resolved.fallback == "static"
    if misfit is not None:
        used = ("So the static coefficients were used.",) if static else ()
        return (misfit.sentence(), *used)
    if known or not static:
        return ()
    return (NOT_WATCHED,)


# --------------------------------------------------------------------------------------------------
# What was probed of the last inputs. An entry is an input as its model reads it, its distances and
# a few embeddings: 0.03 MB for the bundled suites, 0.6 MB for ViT-B/32. The fast mode adds the
# activations that it reached: 0.3 MB, and 11 MB where GPT-2 reads 512 tokens with seven experts.

ROOM = 64 * 2**20  # bytes, of all entries together


class Cache:
    """Probed inputs of any number of engines, the least recently used dropped first. Safe to share
    between threads. The lock is not held while a model runs: two threads that ask the same at once
    both probe, and find the same."""

    def __init__(self, entries: int = CACHED, room: int = ROOM) -> None:
        self._limit, self._room = entries, room
        self._lock = threading.Lock()  # guards the dictionary
        self._entries: dict[tuple[Any, ...], tuple[Probed, int]] = {}  # bytes; the last used last

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        with self._lock:
            return self._total()

    def get(self, key: tuple[Any, ...]) -> Probed | None:
        """The entry, which is then the last used."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries[key] = self._entries.pop(key)
            return self._entries[key][0]

    def put(self, key: tuple[Any, ...], probed: Probed) -> Probed:
        """Store an entry; the answer also has the distances that an earlier one had."""
        with self._lock:
            old, _ = self._entries.pop(key, (None, 0))
            if old is not None and probed.early is None:
                # what this run did not look at stays known
                probed = replace(probed, distances={**old.distances, **probed.distances})
            self._entries[key] = probed, _bytes(probed)
            while len(self._entries) > self._limit or self._total() > self._room:
                del self._entries[next(iter(self._entries))]
        return probed

    def _total(self) -> int:
        return sum(size for _, size in self._entries.values())


def _digest(content: tuple[object, str | None], notices: tuple[str, ...]) -> bytes:
    """Of an input as `unpack` gives it: other pixels, sentences or notices, another digest."""
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
