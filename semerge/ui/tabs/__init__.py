"""The tabs of the page: what one is, and the registry, which finds them.

A tab is a file of this folder with a subclass of `Tab` that has a label; nothing else names it. No
gradio here: the tabs import it when `registry` first looks at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from semerge.suites import Suite
    from semerge.ui.context import Context
    from semerge.ui.links import Query
    from semerge.ui.picker import InputPicker

Update = dict[Any, Any]
"""What a handler returns: values by component. Components left out stay as they are."""


class Tab:
    """Built inside a `gr.Tab`, by its constructor; what follows is what the page asks of it.

    label: on the page. place: where it stands, lowest first. modality: of the suites that it is
    about; None where it is about all. needs_suite: whether it is left out of a page without suites.
    takes: whether another tab may hand its input over; it then has a `picker`.
    """

    label: ClassVar[str]
    place: ClassVar[int]
    modality: ClassVar[str | None] = None
    needs_suite: ClassVar[bool] = True
    takes: ClassVar[bool] = False
    name: ClassVar[str]
    """As in links and element ids: the label in small letters."""

    picker: InputPicker

    def __init_subclass__(cls) -> None:
        if "label" in vars(cls):
            cls.name = cls.label.lower()

    def __init__(self, context: Context) -> None:
        raise NotImplementedError

    @property
    def outputs(self) -> Sequence[Any]:
        """The components that `restore` and `take` may update; none where a link holds no more
        than the tab's name."""
        return ()

    def restore(self, query: Query) -> Update:
        """What a link names; what is unknown falls back, and `query.notices` tells. Runs the models
        where the tab shows an answer."""
        return {}

    def take(self, suite: Suite, source: dict[str, Any]) -> Update:
        """An input of another tab, in this one."""
        raise NotImplementedError


@lru_cache(maxsize=1)
def registry() -> tuple[type[Tab], ...]:
    """All tabs, in the order of the page."""
    found: list[type[Tab]] = []
    for info in iter_modules(__path__):
        module = import_module(f"{__name__}.{info.name}")
        found += [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, Tab)
            and value.__module__ == module.__name__
            and "label" in vars(value)
        ]
    return tuple(sorted(found, key=lambda tab: tab.place))


def names() -> tuple[str, ...]:
    """What a link may name, in the order of the page."""
    return tuple(tab.name for tab in registry())
