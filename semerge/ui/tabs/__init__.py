"""What a tab of the page is, for the page: a name, and a state that a link can bring back."""

from __future__ import annotations

from typing import Any, Protocol

from semerge.ui.links import Query


class Tab(Protocol):
    """Built inside a `gr.Tab`. Its "Copy link" button (`links.button`) is one of its outputs."""

    name: str
    """As in links and element ids."""

    @property
    def restored(self) -> list[Any]:
        """The components that `restore` fills."""

    def restore(self, query: Query) -> list[Any]:
        """Values of `restored` for what a link names; what is unknown falls back, and
        `query.notices` tells. Runs the models where the tab shows an answer."""
