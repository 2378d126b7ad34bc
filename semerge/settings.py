"""What a request may choose, the named presets, and the one place where choices are validated.

The paper's summaries fix an inverse l2 distance and a softmax over *normalised* similarities. They
leave open the normalisation, the temperature and the total mass of the coefficients; a `Preset`
names one reading of these. Everything that is left as None is the suite's default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from semerge.common import UserError
from semerge.methods import METHODS

if TYPE_CHECKING:
    from semerge.suites import Suite

Mass = Literal["T*lambda", "1"]

PROBES = ("experts", "base", "cache")
SIMILARITIES = ("inverse", "negative")
NORMALISERS = ("minmax", "zscore", "sum", "none")
MASSES: tuple[Mass, ...] = ("T*lambda", "1")
FALLBACKS = ("route", "static")  # what happens where no expert fits
POOLS = {"image": ("all", "cls", "mean"), "text": ("all", "mean", "last")}

FINAL = "final"  # the final embedding: the one "layer" without tokens, so without pooling
AUTO = "auto"  # the head of the chosen expert
MAX_LAMBDA = 10.0
MAX_PARTS = 1000  # of the mass, that `quantise` cuts it into


@dataclass(frozen=True)
class Preset:
    """One named reading of the rescaling step (design, section 1, steps 2 and 3).

    `hard` is the limit temperature -> 0: the nearest expert gets the whole mass.
    """

    name: str
    similarity: str
    normalise: str
    temperature: float
    mass: Mass
    hard: bool = False
    about: str = ""


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="literal",
            similarity="inverse",
            normalise="minmax",
            temperature=1.0,
            mass="T*lambda",
            about="Softmax at temperature 1 of min-max normalised inverse distances; the "
            "coefficients sum to T·λ, as those of the static merge do.",
        ),
        Preset(
            name="sharp",
            similarity="inverse",
            normalise="minmax",
            temperature=0.1,
            mass="1",
            about="The same at temperature 0.1; the coefficients sum to 1, so a clear winner is "
            "almost the expert itself.",
        ),
        Preset(
            name="hard",
            similarity="inverse",
            normalise="minmax",
            temperature=0.0,
            mass="1",
            hard=True,
            about="The nearest expert alone, with coefficient 1.",
        ),
    )
}


@dataclass(frozen=True)
class Resolved:
    """Settings with every field filled and checked against one suite."""

    probe: str
    layer: int | str  # 1..L or "final"
    pool: str  # "final" where layer is "final"
    preset: str
    head: str  # "auto" or a task's name
    method: str
    probe_lambda: float
    similarity: str
    normalise: str
    temperature: float  # 0.0 where hard
    mass: Mass
    hard: bool
    fast: bool = False  # semerge.fast: fewer passes, almost always the same answer
    fallback: str = "route"  # where no expert fits: route all the same, or "static"
    quantise: int | None = None  # coefficients are whole multiples of mass / quantise
    changed: tuple[str, ...] = ()  # "temperature 0.5": what was overridden in the preset

    @property
    def probing(self) -> tuple[str, int | str, str]:
        """(probe, layer, pool): the key of this request in `Engine.distances`."""
        return self.probe, self.layer, self.pool


@dataclass(frozen=True)
class Settings:
    """What a request may choose. None means the suite's default (or the preset's value)."""

    probe: str | None = None
    layer: int | str | None = None
    pool: str | None = None
    preset: str | None = None
    head: str = AUTO
    method: str = "task_arithmetic"
    probe_lambda: float | None = None
    similarity: str | None = None
    normalise: str | None = None
    temperature: float | None = None
    mass: str | None = None
    fast: bool = False
    fallback: str = "route"
    quantise: int | None = None

    def resolve(self, suite: Suite) -> Resolved:
        """Fill every field from the suite's defaults and the preset.

        Raises:
            UserError: a value is unknown, or the combination has no meaning; the sentence names
                what is valid.
        """
        defaults = suite.defaults
        preset_name = _one_of("preset", self.preset or defaults.preset, tuple(PRESETS))
        preset = PRESETS[preset_name]
        probe = _one_of("probe", self.probe or defaults.probe, valid_probes(suite))
        layer = _layer(defaults.layer if self.layer is None else self.layer, suite)
        pool = _pool(self.pool, probe, layer, suite)
        head = _one_of("head", self.head, (AUTO, *suite.task_names))
        method = _one_of("method", self.method, METHODS)
        probe_lambda = _number("probe-lambda", self.probe_lambda, defaults.probe_lambda)
        if not 0.0 <= probe_lambda <= MAX_LAMBDA:
            raise UserError(f"probe-lambda must lie between 0 and {MAX_LAMBDA:g}.")
        if probe == "cache" and probe_lambda != defaults.probe_lambda:
            raise UserError(
                "The cache probe's statistics were made at probe-lambda "
                f"{defaults.probe_lambda:g}; leave probe-lambda out or choose another probe."
            )

        overrides = {
            "similarity": self.similarity,
            "normalise": self.normalise,
            "temperature": self.temperature,
            "mass": self.mass,
        }
        changed = tuple(
            f"{key} {value}"
            for key, value in overrides.items()
            if value is not None and value != getattr(preset, key)
        )
        quantise = _parts(self.quantise)
        if preset.hard and changed and changed != (f"mass {self.mass}",):
            raise UserError(
                "The preset hard takes the nearest expert alone, so similarity, normalise and "
                "temperature change nothing; choose literal or sharp to vary them."
            )
        temperature = _number("temperature", self.temperature, preset.temperature)
        if temperature <= 0.0 and not preset.hard:
            raise UserError("temperature must be above 0; the preset hard is its limit at 0.")
        mass = _one_of("mass", self.mass or preset.mass, MASSES)
        fallback = _one_of("fallback", self.fallback, FALLBACKS)
        if self.fast and fallback == "static":
            raise UserError("The fast mode does not look whether an expert fits; leave one out.")
        return Resolved(
            probe=probe,
            layer=layer,
            pool=pool,
            preset=preset_name,
            head=head,
            method=method,
            probe_lambda=probe_lambda,
            similarity=_one_of("similarity", self.similarity or preset.similarity, SIMILARITIES),
            normalise=_one_of("normalise", self.normalise or preset.normalise, NORMALISERS),
            temperature=temperature,
            mass="1" if mass == "1" else "T*lambda",
            hard=preset.hard,
            fast=self.fast,
            fallback=fallback,
            quantise=quantise,
            changed=changed if quantise is None else (*changed, f"quantise {quantise}"),
        )


def checked_coefficients(
    values: Sequence[object], suite: Suite, low: float = -MAX_LAMBDA, high: float = MAX_LAMBDA
) -> tuple[float, ...]:
    """Coefficients that a user sets, one for each task of the suite.

    Raises:
        UserError: there are more or fewer, or one is no number from `low` to `high`.
    """
    count = len(suite.tasks)
    if len(values) != count:
        raise UserError(f"{suite.title} needs {count} coefficients, not {len(values)}.")
    found = []
    for value, task in zip(values, suite.tasks, strict=True):
        try:
            number = float(value) if isinstance(value, int | float) else math.nan
        except OverflowError:  # a whole number that no float holds
            number = math.nan
        if not low <= number <= high:  # nor is nan
            raise UserError(
                f"The coefficient of {task.title} must be a number from {low:g} to {high:g}, "
                f"not {_shown(value)}."
            )
        found.append(number)
    return tuple(found)


def valid_probes(suite: Suite) -> tuple[str, ...]:
    """`cache` is on offer where the suite ships statistics."""
    return PROBES if suite.statistics else tuple(p for p in PROBES if p != "cache")


def valid_pools(suite: Suite, probe: str, layer: int | str) -> tuple[str, ...]:
    """The poolings that may be asked for, in a fixed order.

    `cache` on text has no `all`: sentences differ in length, so there is no mean to compare with.
    """
    if layer == FINAL:
        return (FINAL,)
    pools = POOLS[suite.modality]
    if probe == "cache" and suite.modality == "text":
        return tuple(pool for pool in pools if pool != "all")
    return pools


def valid_layers(suite: Suite) -> tuple[int | str, ...]:
    """1..L and "final"."""
    return (*range(1, suite.depth + 1), FINAL)


def _layer(value: int | str, suite: Suite) -> int | str:
    if value == FINAL:
        return FINAL
    text = str(value)
    # isdecimal alone would let int() read other scripts' digits; a layer is typed in ASCII
    if text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= suite.depth:
        return int(text)
    raise UserError(f"layer {_shown(value)} is unknown; valid are 1 to {suite.depth} and final.")


def _pool(value: str | None, probe: str, layer: int | str, suite: Suite) -> str:
    pools = valid_pools(suite, probe, layer)
    if value is None:
        # a default made for another layer or probe may not fit this one
        return suite.defaults.pool if suite.defaults.pool in pools else pools[-1]
    if value not in pools and layer == FINAL:
        raise UserError("The layer final has no tokens to pool; leave pool out or name a layer.")
    if value not in pools and value in POOLS[suite.modality]:
        raise UserError(
            f"pool {value!r} has no meaning for the {probe} probe on {suite.modality}; "
            f"valid are {_listed(pools)}."
        )
    return _one_of("pool", value, pools)


def _number(name: str, value: float | None, default: float) -> float:
    try:
        number = float(default if value is None else value)
    except (TypeError, ValueError):
        raise UserError(f"{name} must be a number, not {_shown(value)}.") from None
    if not math.isfinite(number):
        raise UserError(f"{name} must be a finite number.")
    return number


def _parts(value: int | None) -> int | None:
    if value is not None and not 1 <= value <= MAX_PARTS:
        raise UserError(f"quantise must be a whole number from 1 to {MAX_PARTS}.")
    return value


def _one_of(name: str, value: str, valid: tuple[str, ...]) -> str:
    if value not in valid:
        raise UserError(f"{name} {_shown(value)} is unknown; valid are {_listed(valid)}.")
    return value


def _shown(value: object) -> str:
    """What was typed, in one short line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
