"""Which labelled set an inspection runs on, and how. No gradio here, and no torch.

A `Choice` is what the form of the Inspect tab says; a link and a command line say the same.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from semerge.errors import UserError
from semerge.evaluation.bundled_sets import EXAMPLES, example_sets
from semerge.evaluation.chosen_sets import chosen_sets, subsample
from semerge.evaluation.data import SPLITS
from semerge.evaluation.hub_data import HUB, check_hub_data
from semerge.evaluation.sets import GENERATED, GENERATED_COUNT, Sets, rendered_tasks
from semerge.evaluation.uploads import uploaded_sets
from semerge.examples import Examples
from semerge.settings import AUTO, Settings
from semerge.suites import SUITES_FOLDER, Suite
from semerge.ui.links import Query, of_settings, read_settings

FOLDER, UPLOAD = "folder", "upload"
KINDS = (EXAMPLES, GENERATED, FOLDER, UPLOAD, HUB)
LOOPBACK = ("", "127.0.0.1", "localhost", "::1")
MAX_LIMIT = 1_000_000
OWN_UPLOAD = "Your upload is not in the link; everything else is."


def on_this_computer() -> bool:
    """Whether who opens the page sits at the computer that serves it: not on a Space, and not where
    other machines may ask. Only then may a visitor name files of the server."""
    host = os.environ.get("GRADIO_SERVER_NAME", "")
    return "SPACE_ID" not in os.environ and host in LOOPBACK


@dataclass(frozen=True)
class Choice:
    """kind: of KINDS. place: the path of a folder, a file, or an upload. split: of a folder, the
    rendered tasks or the hub. task: of a file's samples; None to infer it. limit: samples a task;
    None for all."""

    suite: Suite
    kind: str = EXAMPLES
    place: str = ""
    split: str = "test"
    task: str | None = None
    limit: int | None = None
    settings: Settings = field(default_factory=Settings)

    @property
    def splits(self) -> bool:
        """Whether the set has splits."""
        return self.kind in (GENERATED, FOLDER, HUB)

    @property
    def names_task(self) -> bool:
        """Whether a task can be named for all samples."""
        return self.kind in (FOLDER, UPLOAD)

    @property
    def quick(self) -> bool:
        """Whether a link may run it without being asked once more."""
        return self.kind == EXAMPLES

    def check(self, examples: Examples) -> None:
        """Raises UserError for what can be told before anything is read."""
        if self.kind not in kinds(self.suite, examples):
            raise UserError("This labelled set is not on offer here; choose another one.")
        if self.kind == FOLDER and not self.place.strip():
            raise UserError("Name a data folder, or a .zip, .csv or .jsonl file.")
        if self.kind == UPLOAD and not self.place:
            images = self.suite.modality == "image"
            what = "a zip archive with one folder a class" if images else "a CSV or JSONL file"
            raise UserError(f"Upload {what} first.")
        if self.kind == UPLOAD and not Path(self.place).is_file():
            raise UserError("This upload has been deleted by now; please choose it again.")
        if self.limit is not None and not 1 <= self.limit <= MAX_LIMIT:
            raise UserError("The limit must be 1 or more samples a task.")
        self.settings.resolve(self.suite)

    def sets(self, examples: Examples) -> Sets:
        """The samples. Raises UserError where there are none that fit."""
        if self.kind == EXAMPLES:
            found = example_sets(self.suite, examples)
        elif self.kind == UPLOAD:
            found = uploaded_sets(self.suite, self.place, self.task)
        else:
            return self._named()
        return found if self.limit is None else subsample(found, self.limit, 0)

    def command(self) -> str:
        """The command line that gives the same rows."""
        data = {FOLDER: self._path(), UPLOAD: Path(self.place).name}.get(self.kind, self.kind)
        argv = ["python", "-m", "semerge", "evaluate", "--suite", _called(self.suite)]
        argv += ["--data", data]
        if self.splits and self.split != "test":
            argv += ["--split", self.split]
        if self.task and self._of_file():
            argv += ["--task", self.task]
        if self.limit is not None:
            argv += ["--limit", str(self.limit)]
        usual, chosen = Settings().resolve(self.suite), self.settings.resolve(self.suite)
        if chosen.preset != usual.preset:
            argv += ["--preset", chosen.preset]
        if chosen.probing != usual.probing:
            argv += ["--probe", chosen.probe, "--layer", str(chosen.layer)]
            argv += [] if chosen.layer == chosen.pool else ["--pool", chosen.pool]
        return shlex.join([*argv, "--csv", "rows.csv"])

    def link(self) -> tuple[dict[str, Any], str]:
        """As values of a link, and what of it the link can't hold. A path is named only where it
        can be asked for: the address bar of a public page never holds one."""
        found: dict[str, Any] = {"suite": self.suite.name, "set": self.kind}
        if self.kind == FOLDER:
            found["data"] = self.place.strip()
        if self.splits and self.split != "test":
            found["split"] = self.split
        if self.names_task:
            found["of"] = self.task
        found["limit"] = self.limit
        note = OWN_UPLOAD if self.kind == UPLOAD and self.place else ""
        return found | of_settings(self.settings), note

    def _named(self) -> Sets:
        """A folder or file by its path, or a set by its name."""
        place = self._path() if self.kind == FOLDER else self.kind
        try:
            # a folder says its tasks itself; what is left in the box is of another kind of set
            task = self.task if self._of_file() else None
            return chosen_sets(self.suite, place, self.split, self.limit, task=task)
        except OSError as error:
            raise UserError(f"{self.place.strip()} can't be read: {error.strerror}.") from None

    def _path(self) -> str:
        """The place with the ~ of a home expanded: quoted in a command, no shell does."""
        place = self.place.strip()
        try:
            return str(Path(place).expanduser()) if place.startswith("~") else place
        except RuntimeError:  # ~name of nobody
            return place

    def _of_file(self) -> bool:
        """Whether the samples come from one file, for which a task can be named."""
        return self.kind == UPLOAD or (self.kind == FOLDER and Path(self._path()).is_file())


def _called(suite: Suite) -> str:
    """The suite as a command names it: a shipped one by its name, another one by its folder. A
    page for everybody does not tell where on the server that is."""
    shipped = suite.folder == SUITES_FOLDER / suite.name
    return suite.name if shipped or not on_this_computer() else str(suite.folder.resolve())


def kinds(suite: Suite, examples: Examples) -> dict[str, str]:
    """The kinds of labelled sets that are on offer for a suite, with their titles."""
    own = [e for e in examples.of(suite.modality) if e.task in suite.task_names]
    found = {EXAMPLES: f"Bundled examples ({len(own)})"} if own else {}
    if rendered := rendered_tasks(suite):
        count = len(rendered) * GENERATED_COUNT["test"]
        found[GENERATED] = f"Rendered tasks ({count:,} images)"
    if on_this_computer():
        found[FOLDER] = "A folder or file on this computer"
    found[UPLOAD] = "Your upload"
    try:
        check_hub_data(suite)
    except UserError:
        return found
    return found | {HUB: "The published test sets, from the hub"}


def first_choice(suite: Suite, examples: Examples) -> Choice:
    """What the form says before anybody has touched it."""
    return Choice(suite, next(iter(kinds(suite, examples))))


def read_choice(query: Query, suite: Suite, examples: Examples) -> Choice:
    """The choice that a link names."""
    offered = tuple(kinds(suite, examples))
    kind = query.one_of("set", offered, offered[0])
    limit = query.whole("limit", 1, MAX_LIMIT, 0)
    return Choice(
        suite,
        kind,
        place=query.text("data") if kind == FOLDER else "",
        split=query.one_of("split", SPLITS, "test"),
        task=query.one_of("of", suite.task_names, "") or None,
        limit=limit or None,
        settings=replace(read_settings(query, suite), head=AUTO, fallback="route"),
    )
