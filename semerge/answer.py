"""What a person reads of one request: the input unpacked, predictions by label, notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from semerge.abstention import Abstention
from semerge.errors import UserError
from semerge.result import Prediction
from semerge.routing import Routing
from semerge.settings import Resolved
from semerge.suites import Suite


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


def predictions(
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


def notices(
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
