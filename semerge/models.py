"""All models of one suite as parameter dictionaries: base, experts, static merge, merges on demand.

Everything is made once, in `Models.__init__`, and only read afterwards. There are no modules: a
model is a choice of parameters, and running it is a call of the backbone's pure functions. Base and
experts are views of one matrix a stage; other models are merged from it while they run.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor

import semerge
from semerge.backbones import Backbone, Batch, Params
from semerge.checkpoints.bundled import Statistics, read_moments
from semerge.checkpoints.cache import find, is_there, keep, last_used
from semerge.checkpoints.made import command, index_of, note_made
from semerge.checkpoints.variants import key_of, ship, shipped
from semerge.common import UserError, content_key, gigabytes
from semerge.loading import Loaded
from semerge.methods import METHODS, NEEDS, Method
from semerge.methods.samples import Samples, Source, watching
from semerge.registry import TASK_ARITHMETIC, Key
from semerge.result import Clock
from semerge.settings import FINAL
from semerge.suites.memory import available, give_back
from semerge.task_vectors import TaskVectors

Point = tuple[int | str, str]  # (layer, pool)
END: Point = (FINAL, FINAL)  # the final embedding
Model = tuple[str, float] | Literal["base"] | int
"""Which model is run: (method, λ) of a static merge, the base, or an expert by its number."""
BASE: Model = "base"

STACK_LIMIT = 50_000_000  # numbers: experts that fit below it are run at once, as one grouped model
STACK_BATCH = 8  # samples: above it a stack's activations outgrow the caches, one by one is faster
HOLD_LIMIT = 50_000_000  # numbers: a model below it may be held once more, merged
MERGE_ROOM = 128_000_000  # numbers (512 MB in float32): room a thread has for merged stages
DEAR = "variants"  # of what is kept on disk
DISK = 12 * 10**9  # bytes that it may take there
VARIANTS = 4  # of other methods than the default that are held
GROUP = 16  # samples with weights of their own that are run at once, where the room allows it


@dataclass(frozen=True)
class Reached:
    """An activation h (.., B, N, d) after block `layer`; 0 is the embedding."""

    h: Tensor
    layer: int

    def of(self, rows: Tensor | slice) -> Reached:
        """Of some of the samples."""
        return Reached(self.h[rows], self.layer)


Keep = Callable[[Reached], None]


class Variant:
    """What a merging method made of the experts: what is merged statically, and what is rescaled.

    vectors: effective task vectors; the original ones where the method leaves them as they are.
    scale: λ of the static merge. held: static merges by their λ, by stage. whole: the one merged
    model that the method gave, by stage, if it gave one. original: whether `vectors` are the
    experts' own. seconds: what it took to make and to keep, with one static merge where these are
    held; or to read, where it was `stored` on the disk. Nothing here is written after it is made.
    """

    def __init__(
        self,
        vectors: TaskVectors,
        scale: float,
        held: Collection[float] = (),
        whole: Mapping[str, Tensor] | None = None,
        original: bool = True,
        seconds: float = 0.0,
        stored: bool = False,
    ) -> None:
        self.vectors, self.scale, self.original, self.stored = vectors, scale, original, stored
        began = now(vectors.device)
        self.held = {each: self._staged(vectors.merge(self._all(each))) for each in held}
        self.seconds = seconds + (now(vectors.device) - began) / max(1, len(self.held))
        self.whole = None if whole is None else self._staged(whole)
        self._sha256 = _sha256(self._tensors())

    def _all(self, scale: float) -> Tensor:
        return torch.full((self.vectors.count,), scale)

    def _staged(self, params: Mapping[str, Tensor]) -> tuple[Params, ...]:
        return tuple({name: params[name] for name in s.names} for s in self.vectors.segments)

    def _tensors(self) -> Iterator[Tensor]:
        yield from () if self.original else self.vectors.tensors()
        for stages in [*self.held.values(), self.whole or ()]:
            for params in stages:
                yield from params.values()

    def unchanged(self) -> bool:
        """Hash everything, now, and compare with what was made."""
        return _sha256(self._tensors()) == self._sha256


class Models:
    """The parameter sets of a suite and the ways to run them. device: where the weights are, in
    float32: less precise, task vectors would be rounded away. Inputs are moved there by `place`.
    make_dear: whether what takes long is made, where it is not on the disk. source: of the samples
    that methods are made from which need some; without one they are on the disk, or refused."""

    @torch.no_grad()  # no inference mode: what is made in it could never be differentiated
    def __init__(
        self,
        loaded: Loaded,
        device: torch.device | str = "cpu",
        make_dear: bool = True,
        source: Source | None = None,
    ) -> None:
        defaults = loaded.suite.defaults
        self.device = torch.device(device)
        self.backbone = loaded.backbone
        self.heads = {t: loaded.heads[t].to(device) for t in loaded.suite.task_names}
        self.statistics = {point: s.to(device) for point, s in loaded.statistics.items()}
        self.vectors = loaded.vectors.to(device)
        self._suite, self._make_dear, self._source = loaded.suite, make_dear, source
        self._scratch = Scratch()
        segments = self.vectors.segments
        stages = range(len(segments))
        self._base = tuple(self.vectors.base(stage) for stage in stages)
        self._experts = tuple(
            tuple(self.vectors.expert(t, stage) for stage in stages)
            for t in range(self.vectors.count)
        )
        numbers = sum(s.numel for s in segments)
        small = numbers * self.vectors.count <= STACK_LIMIT
        # a stage: views with a leading axis T
        self._stacked = tuple(s.unflatten(s.weights[1:]) for s in segments) if small else None
        usual = TASK_ARITHMETIC
        # the one merge that every request may probe is held; another static λ only in small models
        scales = [defaults.probe_lambda]
        if numbers <= HOLD_LIMIT:
            scales.append(defaults.static_lambda)
        self._variants = {usual: Variant(self.vectors, defaults.static_lambda, held=scales)}
        self._lock = threading.Lock()  # guards the dictionary
        merged = segments[1:] if self.backbone.linear_embed else segments  # see Merged.embed
        room = max(s.changing for s in merged) or 1
        self._group = max(1, min(GROUP, MERGE_ROOM // room))
        self.sha256 = _sha256(self._loaded_tensors())

    def place(self, batch: Batch) -> Batch:
        """A batch where the weights are."""
        return batch.to(self.device)

    # ---- choices of parameters ---------------------------------------------------------------

    def stage(self, model: Model) -> Stage:
        """The parameters of a model, stage by stage."""
        if isinstance(model, int):
            return partial(self.expert, model)
        return self.base if model == BASE else self.probed(model[1], model[0])  # type: ignore[arg-type]

    def statistics_at(self, key: Key) -> Statistics:
        """What the suite stores of the probed model's representations at a key. Raises UserError
        where it stores nothing there, or those of another merged model."""
        usual = (TASK_ARITHMETIC, self._suite.defaults.probe_lambda)
        if (key.method, key.probe_lambda) != usual:
            raise UserError("The cache probe's statistics fit the suite's own probe-lambda alone.")
        if key.point not in self.statistics:
            raise UserError("The suite has no statistics there for the cache probe.")
        return self.statistics[key.point]

    def displacements_at(self, key: Key) -> Tensor:
        """How far each expert moves a sample on average at a key, (T,). Raises UserError where the
        suite does not say."""
        if key.point not in self._suite.displacements:
            raise UserError("The suite does not say there how far its experts move samples.")
        return torch.tensor(self._suite.displacements[key.point], device=self.device)

    def base(self, stage: int) -> Params:
        """θ0."""
        return self._base[stage]

    def variant(self, method: str) -> Variant:
        """What a merging method, by its spec, makes of the experts; made once, and the last few are
        held. Raises UserError where there is no such method, it needs what is not here, or it does
        not fit into memory."""
        with self._lock:
            # a request's spec is canonical already, and this is asked several times in each
            spec = method if method in self._variants else METHODS.spec(method)
            found = self._variants.pop(spec, None) or self._made(spec)
            self._variants[spec] = found
            for old in list(self._variants)[:-VARIANTS]:
                if old != TASK_ARITHMETIC:
                    del self._variants[old]
        return found

    def _made(self, spec: str) -> Variant:
        entry = METHODS[spec]
        numbers = sum(s.numel for s in self.vectors.segments)
        wanted, free = 4 * numbers * (1 + self.vectors.count), available()
        if free is not None and wanted > free:
            free = self._let_go()
        if free is not None and wanted > free:
            raise UserError(
                f"{entry.title} needs {gigabytes(wanted)} of memory, but {gigabytes(free)} are "
                "free here."
            )
        # made once and used in whichever mode: an inference tensor could not be differentiated
        with torch.inference_mode(False), torch.no_grad():
            began, dear = now(self.device), entry.is_dear(numbers)
            made, stored = self._dear(spec) if dear else (self._computed(spec), False)
            scale, seconds = entry.scale_of(self._suite), now(self.device) - began
            if isinstance(made, TaskVectors):
                held, original = [scale] if numbers <= HOLD_LIMIT else [], made is self.vectors
                return Variant(made, scale, held, None, original, seconds, stored)
            return Variant(self.vectors, scale, whole=made, seconds=seconds, stored=stored)

    def _let_go(self) -> int | None:
        """What other methods made gives way to the next; what is free then. A request that uses it
        keeps it to its end."""
        for spec in [spec for spec in self._variants if spec != TASK_ARITHMETIC]:
            del self._variants[spec]
        give_back()
        return available()

    def _computed(self, spec: str, samples: Samples | None = None) -> TaskVectors | Params:
        """What a method gives for the suite's task vectors, made now."""
        entry = METHODS[spec]
        beside: tuple[Any, ...] = () if samples is None else (samples,)
        if entry.needs == "moments":
            moments = read_moments(self._suite)
            beside = ([{name: x.to(self.device) for name, x in of.items()} for of in moments],)
        made: TaskVectors | Params
        made = entry.function(self.vectors, *beside, **METHODS.chosen(spec))
        return made

    def _dear(self, spec: str) -> tuple[TaskVectors | Params, bool]:
        """The same from the disk, where it was made before, or else made and kept there: in
        float32, so that either answers alike; and whether it was there. What is neither there nor
        to be made may be shipped with the suite, in half precision. Raises UserError where it is
        nowhere."""
        samples = self._samples(METHODS[spec])
        key, segments = self._dear_key(spec, samples), self.vectors.segments
        makes = self._make_dear if not METHODS[spec].sampled else samples is not None
        if not makes and (key is None or not is_there(DEAR, key)):
            beside = shipped(self._suite, spec, self.sha256)
            if beside is not None:
                return self._upon(beside), True
        rows = {str(i): (self.vectors.count, s.changing) for i, s in enumerate(segments)}
        shapes = {name: tuple(x.shape) for name, x in self.vectors.base().items()}
        stored = None if key is None else find(DEAR, key, rows, shapes)
        if stored is None:
            return self._made_and_kept(spec, key, samples), False
        note_made(self._suite, spec)
        if stored.keys() == rows.keys():
            return self.vectors.with_experts([stored[stage] for stage in rows]), True
        return {name: x.to(self.device, copy=True) for name, x in stored.items()}, True

    def _upon(self, deltas: Mapping[str, Tensor]) -> TaskVectors | Params:
        """What was shipped, on the base: effective task vectors, or one merged model. Raises
        UserError where the shapes are not those of this model."""
        base, segments = self.vectors.base(), self.vectors.segments
        rows = {str(i): (self.vectors.count, s.changing) for i, s in enumerate(segments)}
        found = {name: tuple(x.shape) for name, x in deltas.items()}
        if found == rows:
            return self.vectors.with_experts(
                [s.weights[0] + deltas[str(i)].to(s.weights) for i, s in enumerate(segments)]
            )
        if found != {name: tuple(x.shape) for name, x in base.items()}:
            raise UserError("What is shipped of this method is of another model.")
        return {name: base[name] + x.to(base[name]) for name, x in deltas.items()}

    def ship(self, method: str) -> list[Path]:
        """Write what a method makes into the suite's folder, see `semerge.checkpoints.variants`."""
        spec = METHODS.spec(method)
        variant, base = self.variant(spec), self.vectors.base()
        if variant.whole is not None:
            params = {name: x for stage in variant.whole for name, x in stage.items()}
            deltas = {name: params[name] - base[name] for name in base}
        else:
            segments = variant.vectors.segments
            deltas = {str(i): s.weights[1:] - s.weights[0] for i, s in enumerate(segments)}
        samples = self._samples(METHODS[spec])
        about = {
            "version": semerge.__version__,
            "samples_sha256": None if samples is None else samples.sha256,
        }
        return ship(self._suite, spec, self.sha256, deltas, about)

    def _samples(self, entry: Method) -> Samples | None:
        """What a method is made from; None where it needs no samples, or there are none here."""
        return self.samples(entry.needs == "labels") if entry.sampled else None

    def samples(self, labelled: bool = False) -> Samples | None:
        """Samples of every task, with their labels or without; None where there are none here."""
        return None if self._source is None else self._source(self, labelled)

    def _dear_key(self, spec: str, samples: Samples | None) -> str | None:
        """Under what a method's merge is kept. One of samples that are not here: the last used, or
        None where none is kept."""
        parts = {"method": spec, "weights": self.sha256, "device": self.device.type}
        key = content_key({**parts, "version": semerge.__version__, "code": METHODS.code})
        if not METHODS[spec].sampled:
            return key
        return last_used(DEAR, f"{key}-") if samples is None else f"{key}-{samples.sha256}"

    def is_kept(self, method: str) -> bool:
        """Whether what a method makes of the experts is on the disk, or shipped with the suite."""
        spec = METHODS.spec(method)
        key = self._dear_key(spec, self._samples(METHODS[spec]))
        kept = key is not None and is_there(DEAR, key)
        return kept or key_of(spec, self.sha256) in index_of(self._suite)

    def _made_and_kept(
        self, spec: str, key: str | None, samples: Samples | None
    ) -> TaskVectors | Params:
        entry, how = METHODS[spec], command(self._suite, spec)
        if entry.sampled and samples is None:
            raise UserError(
                f"{METHODS.title(spec)} needs {NEEDS[entry.needs]} and is not made yet; "
                f"`{how}` makes it once."
            )
        if not self._make_dear:
            raise UserError(
                f"{METHODS.title(spec)} takes long to make and is not made yet; "
                f"`{how}` makes it once."
            )
        made = self._computed(spec, samples)
        if isinstance(made, TaskVectors):
            content = {str(i): s.weights[1:].cpu() for i, s in enumerate(made.segments)}
        else:
            content = {name: x.cpu().contiguous() for name, x in made.items()}
        assert key is not None  # only samples that are not here have none
        if keep(DEAR, key, content, DISK):
            note_made(self._suite, spec)
        return made

    def static(self, stage: int) -> Params:
        """θ0 + λ Σt τt at the suite's static λ."""
        usual = self._variants[TASK_ARITHMETIC]
        return self.probed(usual.scale)(stage)

    def probed(self, probe_lambda: float, method: str = TASK_ARITHMETIC) -> Stage:
        """A method's static merge at a λ: the merged model that is probed. Held, or merged on
        demand; of a method that gives one merged model, that model at any λ."""
        variant = self.variant(method)
        if variant.whole is not None:
            return variant.whole.__getitem__
        if probe_lambda in variant.held:
            return variant.held[probe_lambda].__getitem__
        return self.merged(torch.full((self.vectors.count,), probe_lambda), None, method)

    def merged(
        self, coefficients: Tensor, clock: Clock | None = None, method: str = TASK_ARITHMETIC
    ) -> Stage:
        """θ0 + Σt λt τt, merged stage by stage while it runs; coefficients (T,). Coefficients of
        one task vector alone are its row: there is nothing to merge."""
        vectors = self.variant(method).vectors
        alone = coefficients.tolist()
        if alone.count(1.0) == 1 and alone.count(0.0) == len(alone) - 1:
            return partial(vectors.expert, alone.index(1.0))
        return Merged(vectors, coefficients, self._scratch, clock)

    def copy_of(self, stage: Stage) -> dict[str, Tensor]:
        """All parameters of one model by name, copied, on the CPU."""
        params: dict[str, Tensor] = {}
        with stage if isinstance(stage, Merged) else nullcontext():
            for s in range(len(self.vectors.segments)):
                params |= {name: x.to("cpu", copy=True) for name, x in stage(s).items()}
        return params

    def expert(self, t: int, stage: int) -> Params:
        """θt = θ0 + τt, one stage of it."""
        return self._experts[t][stage]

    def stacks(self, batch: Batch) -> bool:
        """Whether `experts` come all at once for such a batch."""
        return self._stacked is not None and len(batch) <= STACK_BATCH

    def experts(
        self, batch: Batch, start: Reached | None = None
    ) -> Iterator[tuple[Stage, Reached | None]]:
        """All experts in order, and where each begins if all begin at `start`. Small ones come all
        T at once, with a group axis; others singly, without one."""
        if self._stacked is not None and self.stacks(batch):
            if start is not None:
                start = Reached(start.h.expand(self.vectors.count, *start.h.shape), start.layer)
            yield self._stacked.__getitem__, start
        else:
            yield from self.one_each(start)

    def one_each(self, start: Reached | None = None) -> Iterator[tuple[Stage, Reached | None]]:
        """All experts in order, singly, and where each begins."""
        for t in range(self.vectors.count):
            yield partial(self.expert, t), start

    # ---- running them ------------------------------------------------------------------------

    def start(self, batch: Batch, before: int | str = 1) -> Reached | None:
        """What all models compute alike, run once: the embedding, and blocks before `before`. None
        where already the embedding differs between the models."""
        segments, depth = self.vectors.segments, self.backbone.depth
        if segments[0].changing:
            return None
        h, layer = self.backbone.embed(self._base[0], batch), 0
        last = depth if before == FINAL else int(before) - 1
        while layer < last and not segments[layer + 1].changing:
            layer += 1
            h = self.backbone.block(self._base[layer], layer, h, batch)
        return Reached(h, layer)

    def embedding(self, stage: Stage, batch: Batch, start: Reached | None = None) -> Tensor:
        """Final embeddings (.., B, D) of one model, or of G at once, from `start` on."""
        return dict(self.representations(stage, batch, {END}, start))[END]

    def representations(
        self,
        stage: Stage,
        batch: Batch,
        points: Collection[Point],
        start: Reached | None = None,
        keep: Keep | None = None,
    ) -> Iterator[tuple[Point, Tensor]]:
        """Run as far as needed and yield ((layer, pool), (.., B, K)) for each point asked for.

        start: where the run begins; no point may lie at its layer or before it. keep: told, after
            the last point, from where the run could go on.
        """
        if not points:
            return
        depth = self.backbone.depth
        deepest = max(depth + 1 if layer == FINAL else int(layer) for layer, _ in points)
        with stage if isinstance(stage, Merged) else nullcontext():
            if start is None:
                start = Reached(self.embed(stage, batch), 0)
            h = start.h
            for layer in range(start.layer + 1, min(deepest, depth) + 1):
                h = self.backbone.block(stage(layer), layer, h, batch)
                for pool in self.backbone.pools:
                    if (layer, pool) in points:
                        yield (layer, pool), self.backbone.pool(h, pool, batch)
            if deepest > depth:
                yield (FINAL, FINAL), self.backbone.final(stage(depth + 1), h, batch)
        if keep:
            keep(Reached(h, min(deepest, depth)))

    def read(self, stage: Stage, batch: Batch, layer: int, name: str) -> Tensor:
        """What the matrix `name` of block `layer` reads in one model: (B, N, n)."""
        found: list[Tensor] = []
        with stage if isinstance(stage, Merged) else nullcontext():
            h = self.embed(stage, batch)
            for at in range(1, layer):
                h = self.backbone.block(stage(at), at, h, batch)
            params = stage(layer)
            with watching({name: params[name]}, lambda _, x: found.append(x)):
                self.backbone.block(params, layer, h, batch)
        return found[0]

    def embed(self, stage: Stage, batch: Batch) -> Tensor:
        """Input of the first block: (.., B, N, d)."""
        if isinstance(stage, Merged):
            return stage.embed(self.backbone, batch)
        return self.backbone.embed(stage(0), batch)

    def one_by_one(
        self,
        batch: Batch,
        coefficients: Tensor,
        start: Reached | None = None,
        method: str = TASK_ARITHMETIC,
    ) -> Tensor:
        """`each` of a method's task vectors."""
        return self.each(batch, coefficients, self.variant(method).vectors, start)

    def each(
        self,
        batch: Batch,
        coefficients: Tensor,
        vectors: TaskVectors,
        start: Reached | None = None,
    ) -> Tensor:
        """Final embeddings (B, D) of B samples, each under weights of its own: (B, T). Samples go
        in groups whose merged stages fit the room; a group's merge is one product."""
        found = []
        for first in range(0, len(batch), self._group):
            g = slice(first, first + self._group)
            begin = None if start is None else start.of(g)
            found.append(self._one_group(batch[g], vectors, coefficients[g], begin))
        return torch.cat(found)

    def _one_group(
        self, batch: Batch, vectors: TaskVectors, coefficients: Tensor, start: Reached | None
    ) -> Tensor:
        backbone = self.backbone
        with Merged(vectors, coefficients, self._scratch) as stage:
            if start is None:
                start = Reached(stage.embed(backbone, batch), 0)
            h = start.h[:, None]  # (G, 1, N, d)
            for layer in range(start.layer + 1, backbone.depth + 1):
                h = backbone.block(stage(layer), layer, h, batch)
            last = stage(backbone.depth + 1)
            # the end reads each sample's own length, so it goes sample by sample
            final = [
                backbone.final({name: x[g] for name, x in last.items()}, h[g], batch[g : g + 1])
                for g in range(len(batch))
            ]
        return torch.cat(final)  # (G, D)

    # ---- proof that nothing was written ------------------------------------------------------

    def unchanged(self) -> bool:
        """Hash everything that is held, now, and compare with what was loaded."""
        with self._lock:
            variants = list(self._variants.values())
        same = _sha256(self._loaded_tensors()) == self.sha256
        return same and all(variant.unchanged() for variant in variants)

    def _loaded_tensors(self) -> Iterator[Tensor]:
        yield from self.vectors.tensors()
        yield from self.heads.values()
        for s in self.statistics.values():
            yield from (s.mean, s.by)


def _sha256(tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def now(device: torch.device) -> float:
    """Seconds on a clock, when the device has done what it was asked: a GPU answers before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def distance(a: Tensor, b: Tensor) -> Tensor:
    """The l2 distance over the last axis, in float32 whatever the weights are: (.., K) -> (..)."""
    return torch.linalg.vector_norm(a - b, dim=-1, dtype=torch.float32)


# --------------------------------------------------------------------------------------------------
# Models that are merged while they run, one stage at a time, in memory that is used again.
#
# A merge of a whole model writes as much as one model weighs and reads it back at once. Here a
# stage is merged right before it runs, into room that its thread keeps: a request then needs room
# for one stage, and no page of it is new.

Stage = Callable[[int], Params]  # segment (0 embedding, 1..L blocks, L + 1 final) -> parameters


class Scratch:
    """Flat room for one stage, each thread its own. It grows to what was asked for at most. It is
    lent once: as long as any of the tensors that lie in it is held, nobody else has it."""

    def __init__(self) -> None:
        self._own = threading.local()

    def lend(self, lessee: object, tensors: Iterable[Tensor]) -> None:
        """Note that these tensors lie in this thread's room."""
        self._own.lease = lessee, [weakref.ref(x) for x in tensors]

    def give_back(self, lessee: object) -> None:
        """End what was lent to it, whoever still holds the tensors: a traceback may for long."""
        if getattr(self._own, "lease", (None,))[0] is lessee:
            self._own.lease = None, []

    def room(self, numbers: int, like: Tensor) -> Tensor:
        """At least `numbers` numbers, with whatever was left in them, as `like` has them. Raises
        RuntimeError where it is lent on this thread, and what lies in it still in use."""
        if any(x() is not None for x in getattr(self._own, "lease", (None, []))[1]):
            raise RuntimeError("A merged stage is still in use on this thread; merge after it.")
        room: Tensor | None = getattr(self._own, "room", None)
        if room is None or room.numel() < numbers:
            self._own.room = None  # let the smaller one go first
            with torch.inference_mode(False):  # so that it can be written to in either mode
                room = torch.empty(numbers, device=like.device, dtype=like.dtype)
            self._own.room = room
        return room


class Merged:
    """θ0 + Σt λt τt for coefficients (T,), or one model a group for (G, T).

    A call answers with one stage's parameters. They must be let go before the next call on this
    thread, whoever makes it: merge, run, and only then merge again. A `with` ends the last loan.

    clock: told what is spent on merging, as "merge"; what came before it is "predict".
    """

    def __init__(
        self,
        vectors: TaskVectors,
        coefficients: Tensor,
        scratch: Scratch,
        clock: Clock | None = None,
    ) -> None:
        self._vectors, self._scratch, self._clock = vectors, scratch, clock
        self._rows = vectors.rows(coefficients)  # (1 + T,) or (G, 1 + T)

    def __enter__(self) -> Merged:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.give_back(self)

    def __call__(self, stage: int) -> Params:
        if self._clock:
            self._clock.lap("predict")
        weights = self._vectors.segments[stage].weights
        numbers = weights.shape[1] * self._rows.shape[:-1].numel()
        room = self._scratch.room(numbers, like=weights)
        params = self._vectors.combine(self._rows, stage, room)
        self._scratch.lend(self, params.values())
        if self._clock:
            self._clock.lap("merge")
        return params

    def embed(self, backbone: Backbone, batch: Batch) -> Tensor:
        """Input of the first block, (B, N, d). Of G groups, group g embeds sample g: B = G. Where
        the embedding is linear in its parameters its outputs are merged, not its tables."""
        first = self._vectors.segments[0]
        grouped = self._rows.dim() == 2
        if backbone.linear_embed and first.changing:
            h = backbone.embed(first.unflatten(first.weights), batch)  # (1 + T, B, N, d)
            return torch.einsum("bt,tbnd->bnd" if grouped else "t,tbnd->bnd", self._rows, h)
        params = self(0)
        if not grouped:
            return backbone.embed(params, batch)
        return torch.cat(
            [
                backbone.embed({name: x[g] for name, x in params.items()}, batch[g : g + 1])
                for g in range(len(batch))
            ]
        )
