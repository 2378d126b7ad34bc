"""SE-Merging for one suite: probe, route, merge, predict (arXiv 2506.18135).

An engine is immutable. Everything it holds is made when it is loaded and only read afterwards; a
request owns all that it computes, but for room to merge in, which each thread keeps for itself. So
threads need no lock, and a request that dies leaves nothing behind. `predict` and the batch
functions that evaluation uses are the same way through.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import semerge
from semerge import fast
from semerge.backbones import Batch
from semerge.common import Clock, UserError, first_line
from semerge.loading import load
from semerge.models import Reached
from semerge.probe import Probing, Steps
from semerge.result import Prediction, Result
from semerge.routing import Routing
from semerge.routing import nearest as nearest_of
from semerge.settings import AUTO, POOLS, Resolved, Settings, checked_coefficients
from semerge.suites import Suite, read_suite
from semerge.suites.abstention import Abstention


def load_engine(name_or_path: str | Path, device: str | None = None) -> Engine:
    """The engine of a bundled suite, by name, or of a folder with a suite.json.

    device: as torch names it; None: what the environment variable SEMERGE_DEVICE says, else "cpu".

    Raises:
        UserError: no such suite, a file of it is missing, changed or damaged, or there is no such
            device here.
    """
    suite, where = read_suite(name_or_path), chosen_device(device)
    return Engine(load(suite), where)


def chosen_device(name: str | None = None) -> torch.device:
    """The device that `load_engine` takes.

    Raises:
        UserError: it is not here.
    """
    name = name or os.environ.get("SEMERGE_DEVICE") or "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"The device {name!r} can't be used here: {first_line(error)}.") from None
    return device


@dataclass(frozen=True)
class Probed:
    """One input and all that does not depend on how it is routed. Nothing in it is ever written.

    distances: (1, T) for each (probe, layer, pool) that was run. columns: final embeddings (1, D)
    of the models that SE-Merging is compared with: static, base, and the expert `nearest`, which
    the settings that probed would choose. early: what the fast mode found out, if asked.
    """

    batch: Batch
    notices: tuple[str, ...]
    probe_lambda: float
    distances: Mapping[Probing, Tensor]
    columns: Mapping[str, Tensor]
    nearest: int
    early: fast.Early | None = None

    def fits(self, resolved: Resolved, keys: Collection[Probing]) -> bool:
        """Whether a request that needs distances at `keys` can be answered from this."""
        if (self.early is not None) != resolved.fast or self.probe_lambda != resolved.probe_lambda:
            return False
        return all(key in self.distances for key in keys)


class Engine(Steps):
    """One suite in memory. Safe to share between threads; nothing is written after `__init__`."""

    def predict(self, sample: object, settings: Settings | None = None) -> Result:
        """Route, merge and answer for one input.

        Args:
            sample: a `DecodedImage`, a `CleanText`, a PIL image or a sentence.

        Raises:
            UserError: the settings or the input do not fit the suite.
        """
        resolved, clock = self._resolve(settings), Clock()
        return self._answer(self._probe(sample, resolved, None, clock), resolved, clock)

    def probe(
        self,
        sample: object,
        settings: Settings | None = None,
        layers: Sequence[int | str] | None = None,
    ) -> Probed:
        """The part of `predict` that a new preset, temperature, mass or head does not change.

        layers: keep the distances at all of these, with every pooling, beside those of the
            settings. They cost one run to the deepest of them; only the distances are kept.

        Raises:
            UserError: as `predict`.
        """
        resolved = self._resolve(settings)
        return self._probe(sample, resolved, layers, Clock())

    def answer(self, probed: Probed, settings: Settings | None = None) -> Result:
        """The rest of `predict`: route, merge, answer. Probes again only where it must.

        Raises:
            UserError: the settings do not fit the suite.
        """
        resolved, clock = self._resolve(settings), Clock()
        if not probed.fits(resolved, self.needed(resolved)):
            probed = self.probe_batch(probed.batch, resolved, probed.notices, clock=clock)
        return self._answer(probed, resolved, clock)

    @torch.inference_mode()
    def answer_with(
        self, sample: object, coefficients: Sequence[float], head: str
    ) -> tuple[Prediction, ...]:
        """The second pass alone: what θ0 + Σt λt τt answers for coefficients that are given.

        Args:
            sample: as `predict`.
            coefficients: λt, one for each task, in the suite's order.
            head: the task whose classes the answer is read with.

        Returns:
            all classes of the head, best first.

        Raises:
            UserError: the coefficients, the head or the input do not fit the suite.
        """
        checked = checked_coefficients(coefficients, self.suite)
        classes = self.suite.task(head).classes
        model_input, _ = unpack(sample, self.suite)
        batch = self.models.place(self.backbone.preprocess(*model_input))
        z = self.merged_embedding(batch, torch.tensor([checked], device=self.models.device))
        logits = self.logits(z, head)[0]  # (C,)
        return predictions_of({"own": logits}, classes)["own"]

    def inner_products(self) -> tuple[tuple[float, ...], ...]:
        """The inner products τi · τj of the task vectors, T x T, computed anew: λᵀ G λ is the
        squared length of Σt λt τt, which is how far a merge lies from the base."""
        return tuple(map(tuple, self.models.vectors.gram().tolist()))

    def _resolve(self, settings: Settings | None) -> Resolved:
        resolved = (settings or Settings()).resolve(self.suite)
        self.check(resolved)
        return resolved

    def _probe(
        self,
        sample: object,
        resolved: Resolved,
        layers: Sequence[int | str] | None,
        clock: Clock,
    ) -> Probed:
        model_input, notices = unpack(sample, self.suite)
        notices += self.backbone.notices(*model_input)
        batch = self.models.place(self.backbone.preprocess(*model_input))
        clock.lap("preprocess")
        return self.probe_batch(batch, resolved, notices, layers, clock)

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
        reached: dict[str | int, Reached] = {}  # the columns go on from where the probe ended
        if early is not None:
            distances = {resolved.probing: early.distances}
            reached.update(early.reached.items())
        else:
            keys = dict.fromkeys(self.needed(resolved))
            if layers is not None:
                pools = POOLS[self.suite.modality]
                keys |= dict.fromkeys(self._combinations(resolved, layers, pools, None))
            distances = self.distances_at(batch, keys, resolved.probe_lambda, reached)
        clock.lap("probe")
        nearest = int(nearest_of(distances[resolved.probing])[0])
        is_static = resolved.probe_lambda == self.suite.defaults.static_lambda
        columns = {
            "static": self.static_embedding(batch, reached.get("merged") if is_static else None),
            "base": self.base_embedding(batch, reached.get("base")),
            "expert": self.expert_embedding(batch, nearest, reached.get(nearest)),
        }
        clock.lap("predict")
        return Probed(batch, notices, resolved.probe_lambda, distances, columns, nearest, early)

    @torch.inference_mode()
    def _answer(self, probed: Probed, resolved: Resolved, clock: Clock) -> Result:
        batch, distances = probed.batch, probed.distances[resolved.probing]
        routing = self.route(distances, resolved)
        unfit = self.unfit(probed.distances, resolved)
        clock.lap("route")

        chosen = int(routing.chosen[0])
        head = self.suite.task_names[chosen] if resolved.head == AUTO else resolved.head
        coefficients = routing.coefficients  # (1, T)
        expert = probed.columns["expert"]
        if chosen != probed.nearest:  # another layer than the one that probed
            expert = self.expert_embedding(batch, chosen)
        saturated = resolved.fast and fast.saturated(routing, resolved)
        if saturated:
            coefficients = torch.nn.functional.one_hot(routing.chosen, len(self.suite.tasks))
            coefficients = coefficients.to(routing.coefficients)
        fallback = bool(routing.flags["fallback"][0])
        misfit = not fallback and unfit is not None and bool(unfit[0])
        if fallback or (misfit and resolved.fallback == "static"):
            coefficients = torch.full_like(coefficients, self.suite.defaults.static_lambda)
            z = probed.columns["static"]  # the coefficients are the static ones
        elif bool((coefficients[0, chosen] == 1.0) & (coefficients[0].count_nonzero() == 1)):
            z = expert  # one expert's weights alone
        else:
            z = self.merged_embedding(batch, coefficients, clock)  # (1, D)
        embeddings = {
            "se": z,
            "static": probed.columns["static"],
            "expert": expert,
            "base": probed.columns["base"],
        }
        if not torch.isfinite(z).all():
            embeddings["se"], fallback = embeddings["static"], True
            coefficients = torch.full_like(coefficients, self.suite.defaults.static_lambda)
        logits = {kind: self.logits(z, head)[0] for kind, z in embeddings.items()}  # (C,) each
        predictions = predictions_of(logits, self.suite.task(head).classes)
        clock.lap("predict")
        notices = (
            *probed.notices,
            *fitting(self.abstention if misfit else None, unfit is not None, resolved),
            *notices_of(routing, distances, fallback, resolved, self.suite, far=unfit is None),
        )
        if probed.early is not None:
            count = len(self.suite.tasks)
            notices += fast.notices(probed.early, saturated, resolved, count)

        return Result(
            suite=self.suite.name,
            method=resolved.method,
            preset=resolved.preset,
            probe=resolved.probe,
            layer=resolved.layer,
            pool=resolved.pool,
            tasks=self.suite.task_names,
            distances=tuple(distances[0].tolist()),
            similarities=tuple(routing.similarities[0].tolist()),
            weights=tuple(routing.weights[0].tolist()),
            coefficients=tuple(coefficients[0].tolist()),
            static_coefficients=(self.suite.defaults.static_lambda,) * len(self.suite.tasks),
            static_lambda=self.suite.defaults.static_lambda,
            probe_lambda=resolved.probe_lambda,
            similarity=resolved.similarity,
            normalise=resolved.normalise,
            temperature=resolved.temperature,
            mass=resolved.mass,
            quantise=resolved.quantise,
            fallback=resolved.fallback,
            fast=resolved.fast,
            estimated=tuple(self.suite.task_names[t] for t in fast.dropped(probed.early)),
            head=head,
            head_choice=resolved.head,
            chosen=self.suite.task_names[chosen],
            margin=float(routing.margin[0]),
            entropy=float(routing.entropy[0]),
            notices=notices,
            predictions=predictions,
            timings_ms=clock.timings(),
            input_kind=self.suite.modality,
            version=semerge.__version__,
            weights_sha256=self.models.sha256,
        )


# --------------------------------------------------------------------------------------------------
# What a person reads of one request: the input unpacked, predictions by label, notices.


def unpack(sample: object, suite: Suite) -> tuple[tuple[object, str | None], tuple[str, ...]]:
    """A sample -> (arguments of `Backbone.preprocess`, notices so far).

    Raises:
        UserError: an image for a suite of text, or the reverse.
    """
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
    """Logits (C,) by kind -> all classes with their softmax scores, best first.

    Raises:
        UserError: logits are not finite, so no answer would mean anything.
    """
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
) -> tuple[str, ...]:
    """Plain sentences about the routing of the one sample in `routing`; distances (1, T).

    far: whether to tell that no expert is near; not where `fitting` knows better.
    """
    notes = []
    flags = {name: bool(flag[0]) for name, flag in routing.flags.items()}
    if fallback:
        notes.append("Activations were not finite, so the static coefficients were used.")
    if flags["near_tie"]:
        first, second = distances[0].sort(stable=True).indices[:2].tolist()
        names = " and ".join(suite.tasks[t].title for t in (first, second))
        notes.append(f"Near tie: {names} are almost equally near.")
    if flags["flat"]:
        notes.append("Flat routing: all experts are about equally far, so the choice says little.")
    if flags["far"] and far:
        notes.append(
            "Far away: no expert is near, so this input may belong to none of the suite's tasks."
        )
    if resolved.changed:
        notes.append(f"Changed from the preset {resolved.preset}: {', '.join(resolved.changed)}.")
    return tuple(notes)


NOT_WATCHED = (
    "Whether an expert fits is known at the suite's default probe, layer and pooling alone, so "
    "nothing falls back here."
)


def fitting(misfit: Abstention | None, known: bool, resolved: Resolved) -> tuple[str, ...]:
    """What there is to say of one sample's fit.

    misfit: the suite's notice, where it comes. known: whether it was looked for.
    """
    static = resolved.fallback == "static"
    if misfit is not None:
        used = ("So the static coefficients were used.",) if static else ()
        return (misfit.sentence(), *used)
    if known or not static:
        return ()
    return (NOT_WATCHED,)
