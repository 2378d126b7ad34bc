"""A device that is none: tensors on the CPU that are held to the rules of a GPU's.

    with Elsewhere() as there:
        engine = Engine(load(read_suite(folder)), DEVICE)

What was put on DEVICE, and all that is computed from it, may not meet what is on the CPU, but for
single numbers and the indices of a look-up, and has to be copied before numpy or Python reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DEVICE = "meta"  # a name that torch knows on every machine
CPU = torch.device("cpu")
READS = {Tensor.tolist, Tensor.item, Tensor.__bool__, Tensor.__float__, Tensor.__int__}


class Elsewhere(TorchFunctionMode):
    """Inside, DEVICE exists. `waits` counts how often the CPU waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def __torch_function__(
        self, call: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        first = args[0] if args else None
        if call == Tensor.device.__get__:  # type: ignore[attr-defined]
            return torch.device(DEVICE) if is_there(first) else call(first)
        if call in (Tensor.to, Tensor.cpu):
            return self._moved(call, args, kwargs)
        if call in READS and is_there(first):
            self.waits += 1
            return call(*args, **kwargs)
        if call is Tensor.numpy and is_there(first):
            raise TypeError("numpy can't read a tensor that is on a device")
        wanted = kwargs.get("device")
        there = wanted is not None and torch.device(wanted).type == DEVICE
        if there:
            kwargs["device"] = CPU
        # a device looks up by indices of the CPU; what is on the CPU has none but its own
        looked = call is Tensor.__getitem__ and is_there(first)
        given = list(tensors((args[:1] if looked else args, kwargs)))
        alone = [x for x in given if not is_there(x) and x.dim()]
        if any(map(is_there, given)):
            if alone:
                raise RuntimeError(f"{call}: tensors on two devices")
            there = True
        found = call(*args, **kwargs)
        if there:
            mark(found)
        return found

    def _moved(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        x, *rest = args
        named = [a for a in (*rest, *kwargs.values()) if isinstance(a, str | torch.device)]
        to = torch.device(named[0]).type if named else ("cpu" if call is Tensor.cpu else None)
        dtypes = [a for a in (*rest, *kwargs.values()) if isinstance(a, torch.dtype)]
        if rest and isinstance(rest[0], Tensor):  # as that one is, and where it is
            to, dtypes = DEVICE if is_there(rest[0]) else "cpu", [rest[0].dtype]
        found = x.to(*dtypes) if dtypes else x.view_as(x)
        found = found.view_as(found)  # an object of its own, so that the mark is not x's
        if to == DEVICE or (to is None and is_there(x)):
            mark(found)
        elif is_there(x):
            self.waits += 1
        return found


def is_there(x: object) -> bool:
    """Whether a tensor is on DEVICE."""
    return getattr(x, "_there", False) is True


def mark(found: object) -> None:
    """Put all tensors of an answer on DEVICE."""
    for x in tensors(found):
        x._there = True  # type: ignore[attr-defined]


def tensors(given: object) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dictionaries."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, dict):
        yield from tensors(tuple(given.values()))
    elif isinstance(given, tuple | list):
        for one in given:
            yield from tensors(one)
