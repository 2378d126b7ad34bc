"""Registries: what is added one file at a time, methods and probes, with typed options.

An entry is a function. Its keyword-only parameters are its options: their annotations say what may
be chosen, their defaults what is chosen if nobody does. Whoever offers options (command line, app,
links, validation, cache keys) reads them from here, so an entry is added in its own file alone.

    density: Annotated[float, Within(0, 1), "share of each task vector that stays"] = 0.2
    merge: Annotated[Literal["sum", "mean"], "how entries that agree are combined"] = "sum"

An entry with its options is named by a *spec*: `ties`, or `ties:density=0.5,merge=mean`. A spec is
plain text, so it is a part of keys, rows, reports and links as it is. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import pkgutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, get_args, get_origin

from semerge.common import UserError, listed, quoted

LISTED, NEAREST = 12, 5  # names in a sentence: all of them, or those that are most alike

TASK_ARITHMETIC = "task_arithmetic"
"""The spec of the default method."""


class Within(NamedTuple):
    """The numbers that an option may have, both ends included."""

    low: float
    high: float


class Grid:
    """The values of an option that are tried where it is chosen on validation, besides its default.
    An option without a grid stays as it is."""

    def __init__(self, *values: Any) -> None:
        self.values = values


Share = Annotated[float, Within(0.0, 1.0)]
Seed = Annotated[int, Within(0, 9999), "seed of what is drawn at random"]


class Key(NamedTuple):
    """Where distances are measured: all that they depend on beside the sample and the weights.
    probe, method: specs. layer: 1..L or "final". probe_lambda: λ of the merged model that is
    probed, 0 for a probe that runs none; then the method is the default's too."""

    probe: str
    layer: int | str
    pool: str
    probe_lambda: float = 0.0
    method: str = TASK_ARITHMETIC

    @property
    def point(self) -> tuple[int | str, str]:
        """(layer, pool)."""
        return self.layer, self.pool


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter of an entry's function. kind: bool, int, float or str. choices:
    all values of a str. within: the range of a number. grid: what is tried on validation, the
    default first; () where it stays as it is."""

    name: str
    kind: type
    default: Any
    about: str = ""
    choices: tuple[str, ...] = ()
    within: Within | None = None
    grid: tuple[Any, ...] = ()

    @property
    def valid(self) -> str:
        """What may be chosen, in words."""
        if self.kind is bool:
            return "yes, no"
        if self.choices:
            return listed(self.choices)
        number = "a whole number" if self.kind is int else "a number"
        if self.within is None:
            return number
        return f"{number} from {self.within.low:g} to {self.within.high:g}"

    def read(self, value: Any) -> Any:
        """A value, or the text that stands for it in a link or on the command line. Raises
        UserError where it is none of the valid ones."""
        found = self._parsed(value)
        if found is None:
            raise UserError(f"{self.name} must be {self.valid}, not {quoted(value)}.")
        return found

    def _parsed(self, value: Any) -> Any:
        if self.kind is bool:
            words = {"yes": True, "no": False, "true": True, "false": False}
            return value if isinstance(value, bool) else words.get(str(value).lower())
        if self.choices:
            return value if value in self.choices else None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        low, high = self.within or (-math.inf, math.inf)
        if not math.isfinite(number) or not low <= number <= high:
            return None
        if self.kind is int:
            return int(number) if number == int(number) else None
        return number


@dataclass(frozen=True)
class Entry:
    """What every registered function has beside itself. title: for people. paper: the identifier of
    its source, or "" where it is the project's own. place: where it stands in lists; the first one
    is the default."""

    name: str
    function: Callable[..., Any]
    title: str
    paper: str = ""
    place: int = 100

    @property
    def about(self) -> str:
        """The first paragraph of the function's docstring."""
        return " ".join((inspect.getdoc(self.function) or "").partition("\n\n")[0].split())

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """The function's keyword-only parameters. Raises TypeError where one has no default, or an
        annotation that says no type."""
        return tuple(
            _option(p, self.function)
            for p in inspect.signature(self.function).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        )


def _option(parameter: inspect.Parameter, function: Callable[..., Any]) -> Option:
    hint = parameter.annotation
    if isinstance(hint, str):  # the others may name types that are there for the checker alone
        hint = eval(hint, vars(inspect.getmodule(function) or object()) | function.__globals__)
    extras: Sequence[Any] = ()
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    kind = str if choices else hint
    if kind not in (bool, int, float, str) or parameter.default is parameter.empty:
        raise TypeError(f"{function.__name__}: option {parameter.name} needs a type and a default")
    within = next((x for x in extras if isinstance(x, Within)), None)
    about = next((x for x in extras if isinstance(x, str)), "")
    tried = next((x.values for x in extras if isinstance(x, Grid)), ())
    grid = tuple(dict.fromkeys((parameter.default, *tried))) if tried else ()
    found = Option(parameter.name, kind, parameter.default, about, choices, within, grid)
    if any(found._parsed(value) is None for value in grid):
        raise TypeError(f"{function.__name__}: the grid of {parameter.name} has what is not valid")
    return found


E = TypeVar("E", bound=Entry)


ALL = "all"
"""In place of specs: every entry."""


def split_specs(text: str) -> list[str]:
    """Specs in a list: a comma goes before a name, or before another option of the same spec."""
    found: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if found and ":" in found[-1] and ":" not in part and "=" in part:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


class Registry(Generic[E]):
    """The entries of one room, by name. Its files are imported when they are first needed."""

    def __init__(self, room: str, noun: str) -> None:
        self._room, self._noun = room, noun
        self._entries: dict[str, E] = {}
        self._complete = False
        self._loading = threading.RLock()  # again by the files that it imports

    def add(self, entry: E) -> None:
        """Take in an entry. Raises ValueError where the name is taken by another function, or is no
        word."""
        known = self._entries.get(entry.name)
        if not entry.name.isidentifier() or (known and known.function is not entry.function):
            raise ValueError(f"{self._noun} {entry.name!r}: the name is taken, or is no word")
        _ = entry.options  # a wrong annotation is told here
        self._entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """Forget an entry: for examples and tests."""
        self._all().pop(name, None)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of lists; the first is the default."""
        return tuple(entry.name for entry in self)

    @property
    def options(self) -> dict[str, Option]:
        """The options of all entries by name; entries that share a name share its meaning."""
        return {option.name: option for entry in reversed(list(self)) for option in entry.options}

    @cached_property
    def code(self) -> str:
        """The hash of the room's files: a part of the keys of what its entries make."""
        folder = Path(next(iter(import_module(self._room).__path__)))
        files = sorted(folder.glob("*.py"))
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    def __iter__(self) -> Iterator[E]:
        return iter(sorted(self._all().values(), key=lambda entry: (entry.place, entry.name)))

    def __contains__(self, spec: object) -> bool:
        return str(spec).partition(":")[0] in self._all()

    def __getitem__(self, spec: str) -> E:
        """The entry that a spec names. Raises UserError where there is no such entry."""
        name = str(spec).partition(":")[0]
        if name not in self._all():
            valid, count = self.names, len(self.names)
            words = f"valid are {listed(valid)}"
            if count > LISTED:
                near = get_close_matches(name, valid, NEAREST, cutoff=0.0)
                words = f"the nearest of {count} valid ones are {listed(near)}"
            raise UserError(f"{self._noun} {quoted(name)} is unknown; {words}.")
        return self._all()[name]

    def spec(self, spec: str, options: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> str:
        """The canonical spec of an entry with options, those of `spec` itself included: what is
        left at its default is left out. Raises UserError where there is no such entry or option, or
        a value is none of the valid ones."""
        entry, chosen = self[spec], self._stated(spec)
        chosen.update(options)
        known = {option.name: option for option in entry.options}
        for name in chosen:
            if name not in known:
                has = f"has {listed(tuple(known))}" if known else "has no options"
                raise UserError(
                    f"{self._noun} {entry.name} has no option {quoted(name)}; it {has}."
                )
        parts = []
        for name, option in known.items():
            value = option.read(chosen[name]) if chosen.get(name) is not None else option.default
            if value != option.default:
                parts.append(f"{name}={_text(value)}")
        return entry.name + (f":{','.join(parts)}" if parts else "")

    def chosen(self, spec: str) -> dict[str, Any]:
        """All options of a spec with their values, the defaults among them. Raises UserError as
        `spec` does."""
        stated = self._stated(self.spec(spec))
        return {o.name: o.read(stated.get(o.name, o.default)) for o in self[spec].options}

    def title(self, spec: str) -> str:
        """A spec in words: "TIES-Merging (density 0.5)"."""
        stated = self._stated(self.spec(spec))
        parts = ", ".join(f"{name} {value}" for name, value in stated.items())
        return self[spec].title + (f" ({parts})" if parts else "")

    def _stated(self, spec: str) -> dict[str, Any]:
        text = str(spec).partition(":")[2]
        return dict(part.partition("=")[::2] for part in text.split(",") if part)

    def _all(self) -> dict[str, E]:
        if not self._complete:
            with self._loading:
                for module in pkgutil.iter_modules(import_module(self._room).__path__):
                    import_module(f"{self._room}.{module.name}")
                self._complete = True
        return self._entries


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value) if isinstance(value, float) else str(value)
