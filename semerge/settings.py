"""What a request may choose, the named presets, and the one place where choices are validated.

The paper's summaries fix an inverse l2 distance and a softmax over *normalised* similarities. They
leave open the normalisation, the temperature and the total mass of the coefficients; a `Preset`
names one reading of these. Everything that is left as None is the suite's default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from semerge.common import UserError, listed, quoted
from semerge.methods import METHODS
from semerge.probes import PROBES, key_at
from semerge.registry import TASK_ARITHMETIC, Key

if TYPE_CHECKING:
    from semerge.suites import Suite

Mass = Literal["T*lambda", "1"]
Options = Mapping[str, Any] | Sequence[tuple[str, Any]]

SIMILARITIES = ("inverse", "negative")
NORMALISERS = ("minmax", "zscore", "sum", "none")
MASSES: tuple[Mass, ...] = ("T*lambda", "1")
FALLBACKS = ("route", "static")  # what happens where no expert fits
POOLS = {"image": ("all", "cls", "mean"), "text": ("all", "mean", "last")}

FINAL = "final"  # the final embedding: the one "layer" without tokens, so without pooling
AUTO = "auto"  # the head of the chosen expert
MAX_LAMBDA = 10.0
CACHED = 32  # inputs whose probes a cache of the engine holds
MAX_PARTS = 1000  # of the mass, that `quantise` cuts it into


@dataclass(frozen=True)
class Preset:
    """One named reading of the rescaling step (design, section 1, steps 2 and 3). `hard` is the
    limit temperature -> 0: the nearest expert gets the whole mass."""

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
            about="The nearest expert alone, with coefficient 1: here the merge becomes the chosen "
            "expert itself.",
        ),
        Preset(
            name="zscore",
            similarity="negative",
            normalise="zscore",
            temperature=1.0,
            mass="T*lambda",
            about="Softmax at temperature 1 of the negative distances' z-scores, as MASS "
            "(arXiv 2504.05342) has it; the coefficients sum to T·λ.",
        ),
    )
}


@dataclass(frozen=True)
class Described:
    """What a field of `Settings` is for people. Command line, links and the app's options fold
    are made from this, so a field is described here and nowhere else.

    kind: str, int, float or bool. choices: the values of one suite, for a menu. fixed: all values,
    where they depend on no suite. link: whether a link carries it. override: whether it takes the
    place of the preset's own value. sweep: whether an evaluation can go through all values.
    """

    label: str
    about: str
    kind: type = str
    choices: Callable[[Suite, Settings], Sequence[object]] | None = None
    fixed: tuple[str, ...] = ()
    metavar: str | None = None
    link: bool = False
    override: bool = False
    sweep: bool = False

    def values(self, suite: Suite, chosen: Settings) -> tuple[Any, ...]:
        """What a menu offers for a suite, beside what else is chosen; () where any value goes."""
        return tuple(self.choices(suite, chosen)) if self.choices else self.fixed


def described(default: Any, label: str, about: str, **more: Any) -> Any:
    """A field of `Settings` with its description."""
    return field(default=default, metadata={"described": Described(label, about, **more)})


def descriptions() -> dict[str, Described]:
    """Every described field of `Settings`, in order."""
    return {f.name: f.metadata["described"] for f in fields(Settings) if "described" in f.metadata}


@dataclass(frozen=True)
class Resolved:
    """Settings with every field filled and checked against one suite."""

    probe: str  # a spec: a name, with the options that are not at their default
    layer: int | str  # 1..L or "final"
    pool: str  # "final" where layer is "final"
    preset: str
    head: str  # "auto" or a task's name
    method: str  # a spec
    static_lambda: float  # of the static merge, and what the mass "T*lambda" is made of
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
    probing: Key = field(init=False, compare=False)  # where this request measures distances
    # method, method_options, probe, probe_options: the specs, taken apart for a Result
    entries: Mapping[str, Any] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "probing", self.key(self.probe, self.layer, self.pool))
        specs = (("method", METHODS, self.method), ("probe", PROBES, self.probe))
        entries: dict[str, Any] = {}
        for name, registry, spec in specs:
            entries |= {name: registry[spec].name, f"{name}_options": registry.chosen(spec)}
        object.__setattr__(self, "entries", entries)

    def key(self, probe: str, layer: int | str, pool: str) -> Key:
        """The same place with another probe, layer or pooling."""
        return key_at(probe, layer, pool, self.probe_lambda, self.method)


@dataclass(frozen=True)
class Settings:
    """What a request may choose. None means the suite's default (or the preset's value)."""

    probe: str | None = described(
        None,
        "Probe",
        "what each expert is compared with",
        choices=lambda suite, chosen: valid_probes(suite, chosen.method),
        metavar="P",
        link=True,
        sweep=True,
    )
    layer: int | str | None = described(
        None,
        "Probe layer",
        "1..L, or final",
        choices=lambda suite, chosen: valid_layers(suite),
        metavar="L",
        link=True,
        sweep=True,
    )
    pool: str | None = described(
        None,
        "Pooling",
        "all, cls or mean; text: all, mean or last",
        choices=lambda suite, chosen: valid_pools(
            suite,
            suite.defaults.probe if chosen.probe is None else chosen.probe,
            suite.defaults.layer if chosen.layer is None else chosen.layer,
        ),
        metavar="P",
        link=True,
        sweep=True,
    )
    preset: str | None = described(
        None,
        "Preset",
        "how similarities become coefficients",
        fixed=tuple(PRESETS),
        sweep=True,
        link=True,
    )
    head: str = described(
        AUTO,
        "Head",
        "which classes the answer is read with: auto, or a task",
        choices=lambda suite, chosen: (AUTO, *suite.task_names),
        metavar="auto|TASK",
        link=True,
    )
    method: str = described(
        TASK_ARITHMETIC,
        "Merging method",
        "what is merged statically, and rescaled",
        choices=lambda suite, chosen: METHODS.names,
        metavar="M",
        link=True,
    )
    probe_lambda: float | None = described(
        None,
        "Probe λ",
        "λ of the merged model that is probed",
        kind=float,
        metavar="F",
        override=True,
    )
    similarity: str | None = described(
        None,
        "Similarity",
        "of a distance",
        fixed=SIMILARITIES,
        override=True,
    )
    normalise: str | None = described(
        None,
        "Normalisation",
        "of similarities over the tasks",
        fixed=NORMALISERS,
        override=True,
    )
    temperature: float | None = described(
        None, "Temperature", "of the softmax", kind=float, metavar="F", override=True
    )
    mass: str | None = described(
        None,
        "Mass",
        "the sum of the coefficients",
        fixed=MASSES,
        override=True,
    )
    fast: bool = described(
        False, "Fast mode", "fewer passes, almost always the same answer", kind=bool, link=True
    )
    fallback: str = described(
        "route",
        "When no expert fits",
        "where no expert fits: route all the same, or use the static coefficients",
        fixed=FALLBACKS,
        link=True,
    )
    quantise: int | None = described(
        None,
        "Parts",
        "coefficients in whole N-ths of the mass; samples with equal ones share a merge",
        kind=int,
        metavar="N",
        override=True,
    )
    method_options: Options = ()
    probe_options: Options = ()

    def __post_init__(self) -> None:
        for name in ("method_options", "probe_options"):  # so that settings can be keys
            pairs = dict(getattr(self, name)).items()
            object.__setattr__(self, name, tuple(sorted(pairs)))

    def resolve(self, suite: Suite) -> Resolved:
        """Fill every field from the suite's defaults and the preset. Raises UserError where a value
        is unknown, or the combination has no meaning; the sentence names what is valid."""
        defaults = suite.defaults
        method = METHODS.spec(self.method, self.method_options)
        usual = method == TASK_ARITHMETIC
        preset_name = _one_of("preset", self.preset, tuple(PRESETS), defaults.preset)
        preset = PRESETS[preset_name]
        probe = self._probe(suite, method)
        layer = _layer(defaults.layer if self.layer is None else self.layer, suite)
        pool = _pool(self.pool, probe, layer, suite)
        head = _one_of("head", self.head, (AUTO, *suite.task_names))
        static_lambda = METHODS[method].scale_of(suite)
        # another method has no λ of its own for the probe: its static merge is what is probed
        own = defaults.probe_lambda if usual else static_lambda
        probe_lambda = _number("probe-lambda", self.probe_lambda, own)
        if not 0.0 <= probe_lambda <= MAX_LAMBDA:
            raise UserError(f"probe-lambda must lie between 0 and {MAX_LAMBDA:g}.")
        if "statistics" in PROBES[probe].needs and probe_lambda != defaults.probe_lambda:
            raise UserError(
                f"The {probe} probe's statistics were made at probe-lambda "
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
        quantise = self.quantise
        if quantise is not None and not 1 <= quantise <= MAX_PARTS:
            raise UserError(f"quantise must be a whole number from 1 to {MAX_PARTS}.")
        if preset.hard and changed and changed != (f"mass {self.mass}",):
            raise UserError(
                "The preset hard takes the nearest expert alone, so similarity, normalise and "
                "temperature change nothing; choose another preset to vary them."
            )
        temperature = _number("temperature", self.temperature, preset.temperature)
        if temperature <= 0.0 and not preset.hard:
            raise UserError("temperature must be above 0; the preset hard is its limit at 0.")
        mass = _one_of("mass", self.mass, MASSES, preset.mass)
        fallback = _one_of("fallback", self.fallback, FALLBACKS)
        if not isinstance(self.fast, bool):
            raise UserError(f"fast must be true or false, not {quoted(self.fast)}.")
        if self.fast and fallback == "static":
            raise UserError("The fast mode does not look whether an expert fits; leave one out.")
        return Resolved(
            probe=probe,
            layer=layer,
            pool=pool,
            preset=preset_name,
            head=head,
            method=method,
            static_lambda=static_lambda,
            probe_lambda=probe_lambda,
            similarity=_one_of("similarity", self.similarity, SIMILARITIES, preset.similarity),
            normalise=_one_of("normalise", self.normalise, NORMALISERS, preset.normalise),
            temperature=temperature,
            mass="1" if mass == "1" else "T*lambda",
            hard=preset.hard,
            fast=self.fast,
            fallback=fallback,
            quantise=quantise,
            changed=changed if quantise is None else (*changed, f"quantise {quantise}"),
        )

    def _probe(self, suite: Suite, method: str) -> str:
        """The probe's spec: the suite's default, or the first that this method can have."""
        valid = valid_probes(suite, method)
        if self.probe is None:
            default = suite.defaults.probe
            return PROBES.spec(default if default in valid else valid[0], self.probe_options)
        spec = PROBES.spec(self.probe, self.probe_options)
        name = PROBES[spec].name
        if name in valid:
            return spec
        if name == "displacement":
            raise UserError(
                "The suite does not say how far its experts move samples on average; "
                "`python -m semerge choose --write` measures it."
            )
        if name in valid_probes(suite):
            raise UserError(
                f"The {name} probe's statistics were made with {TASK_ARITHMETIC}; "
                f"with {METHODS[method].name} valid are {listed(valid)}."
            )
        return _one_of("probe", name, valid)


def checked_coefficients(
    values: Sequence[object], suite: Suite, low: float = -MAX_LAMBDA, high: float = MAX_LAMBDA
) -> tuple[float, ...]:
    """Coefficients that a user sets, one for each task of the suite. Raises UserError where there
    are more or fewer, or one is no number from `low` to `high`."""
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
                f"not {quoted(value)}."
            )
        found.append(number)
    return tuple(found)


def valid_probes(suite: Suite, method: str = TASK_ARITHMETIC) -> tuple[str, ...]:
    """Names of the probes on offer: one that needs statistics or displacements where the suite has
    them, statistics for the method that they were made with."""
    return tuple(probe.name for probe in PROBES if not lacking(suite, probe.name, method))


def lacking(suite: Suite, probe: str, method: str = TASK_ARITHMETIC) -> str | None:
    """Why a suite has a probe not on offer with a method; None where it is."""
    needs = PROBES[probe].needs
    if "displacements" in needs and not suite.displacements:
        return "The suite does not say how far its experts move samples."
    if "statistics" in needs and not suite.statistics:
        return "The suite has no statistics for it."
    if "statistics" in needs and METHODS.spec(method) != TASK_ARITHMETIC:
        return f"Its statistics were made with {TASK_ARITHMETIC}."
    return None


def valid_pools(suite: Suite, probe: str, layer: int | str) -> tuple[str, ...]:
    """The poolings that may be asked for, in a fixed order. A probe with statistics has no `all` on
    text: sentences differ in length, so there is no mean to compare with."""
    if layer == FINAL:
        return (FINAL,)
    pools = POOLS[suite.modality]
    stored = probe in PROBES and "statistics" in PROBES[probe].needs
    if stored and suite.modality == "text":
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
    raise UserError(f"layer {quoted(value)} is unknown; valid are 1 to {suite.depth} and final.")


def _pool(value: str | None, probe: str, layer: int | str, suite: Suite) -> str:
    pools = valid_pools(suite, probe, layer)
    if value is None:
        # a default made for another layer or probe may not fit this one
        return suite.defaults.pool if suite.defaults.pool in pools else pools[-1]
    if value not in pools and layer == FINAL:
        raise UserError("The layer final has no tokens to pool; leave pool out or name a layer.")
    if value not in pools and value in POOLS[suite.modality]:
        raise UserError(
            f"pool {quoted(value)} has no meaning for the {probe} probe on {suite.modality}; "
            f"valid are {listed(pools)}."
        )
    return _one_of("pool", value, pools)


def _number(name: str, value: float | None, default: float) -> float:
    try:
        number = float(default if value is None else value)
    except (TypeError, ValueError):
        raise UserError(f"{name} must be a number, not {quoted(value)}.") from None
    if not math.isfinite(number):
        raise UserError(f"{name} must be a finite number.")
    return number


def _one_of(name: str, value: str | None, valid: tuple[str, ...], default: str = "") -> str:
    value = default if value is None else value
    if value not in valid:
        raise UserError(f"{name} {quoted(value)} is unknown; valid are {listed(valid)}.")
    return value
