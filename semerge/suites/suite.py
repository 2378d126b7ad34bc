"""What a suite is: base, experts, tasks, heads and defaults, and where each file comes from.

Plain data. `semerge.suites` finds suites and reads them, `semerge.checkpoints` reads the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from semerge.backbones import ARCHITECTURES
from semerge.backbones.architecture import HEAD_FILE, OWN_LAYOUT, Architecture, Sizes
from semerge.common import UserError, quoted

_KINDS = ARCHITECTURES.values()
BASE_LAYOUTS = (OWN_LAYOUT, *dict.fromkeys(x for kind in _KINDS for x in kind.base_layouts))
EXPERT_LAYOUTS = (OWN_LAYOUT, *dict.fromkeys(x for kind in _KINDS for x in kind.expert_layouts))


@dataclass(frozen=True)
class Source:
    """Where a file of a published suite lies on the hub. A file's path in suite.json is
    `owner/repo/file...`, which is also its place in a folder in hub layout. `revision` is a branch
    or a commit; a commit may be given by its beginning."""

    repo: str
    file: str
    revision: str
    size: int  # bytes; counted from the parameters where the exact size is not known
    sha256: str | None = None


@dataclass(frozen=True)
class Task:
    """One task of a suite: its words, and the file of its expert's weights."""

    name: str
    title: str
    about: str
    classes: tuple[str, ...]  # C labels, in the order of the head's rows
    templates: tuple[str, ...]  # prompts with {} for the class name; empty for text
    pair: bool  # True where an input is two sentences
    real: bool  # False where the project rendered the data itself
    weights: str  # file relative to the suite's folder
    layout: str = OWN_LAYOUT
    head: str | None = None  # its own head's file, where heads come in files
    data: Mapping[str, Any] = field(default_factory=dict)  # its labelled set on the hub
    aliases: Mapping[str, str] = field(default_factory=dict)  # other names of classes -> theirs
    temperature: float = 1.0  # logits of its head are divided by it, so that scores are calibrated
    moments: str | None = None  # the file of the second moments of its expert's training
    item: str = ""  # one input of it, as "a handwritten digit"; empty: not told


@dataclass(frozen=True)
class Defaults:
    """What a request gets that does not choose. All were chosen on a validation split."""

    probe: str
    layer: int | str
    pool: str
    preset: str
    static_lambda: float
    probe_lambda: float


@dataclass(frozen=True, eq=False)
class Suite:
    """A validated suite.json. Paths are relative to `folder`; see `path`."""

    name: str
    title: str
    about: str
    modality: str  # "image" or "text"
    architecture: Mapping[str, Any]
    tasks: tuple[Task, ...]  # T >= 2
    defaults: Defaults
    thresholds: Mapping[str, float | None]  # near_tie, flat, far; None switches a notice off
    folder: Path
    base_weights: str
    heads: str | None  # the file, where `head_source` is "file"
    statistics: str | None  # None where the cache probe is not on offer
    sha256: Mapping[str, str]  # file -> hash; complete for files in the project's own layout
    base_layout: str = OWN_LAYOUT
    head_source: str = HEAD_FILE
    text_tower: str | None = None  # None where the base's file holds it
    text_tower_layout: str | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)  # file -> its place on the hub
    family: str | None = None  # whose published figures it may be compared with
    # (layer, pool) -> how far each of T experts moves a sample on average; empty: not measured
    displacements: Mapping[tuple[int | str, str], tuple[float, ...]] = field(default_factory=dict)
    located: Mapping[str, Path] = field(default_factory=dict)  # file -> its place on this disk

    @cached_property
    def task_names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    @property
    def kind(self) -> Architecture:
        return ARCHITECTURES[self.architecture["kind"]]

    @cached_property
    def sizes(self) -> Sizes:
        return self.kind.sizes(self.architecture)

    @property
    def side(self) -> int:
        """Pixels of an image's sides as the model reads it; 0 where it reads no images."""
        return self.kind.side(self.architecture)

    @property
    def depth(self) -> int:
        """Number of residual blocks L."""
        return self.sizes.depth

    @property
    def published(self) -> bool:
        """True where weights come from the hub rather than with the suite."""
        return bool(self.sources)

    @property
    def download_size(self) -> int:
        """Bytes of all files from the hub, as suite.json states them; 0 where there are none."""
        return sum(source.size for source in self.sources.values())

    def index(self, name: str) -> int:
        """Position of a task in every list of this suite. Raises UserError if it is unknown."""
        if name not in self.task_names:
            known = ", ".join(self.task_names)
            raise UserError(
                f"task {quoted(name)} is unknown in suite {self.name}; valid are {known}."
            )
        return self.task_names.index(name)

    def task(self, name: str) -> Task:
        return self.tasks[self.index(name)]

    def task_title(self, name: str) -> str:
        """A task's name for people; the name itself where the suite has no such task."""
        return next((task.title for task in self.tasks if task.name == name), name)

    def path(self, file: str) -> Path:
        return self.located.get(file, self.folder / file)


def loaded_files(suite: Suite) -> tuple[str, ...]:
    """Every file that loading the suite reads, base first."""
    files = [suite.base_weights, *(task.weights for task in suite.tasks), suite.heads]
    files += [task.head for task in suite.tasks]
    files += [suite.text_tower, suite.statistics, *suite.kind.files(suite.architecture)]
    return tuple(dict.fromkeys(file for file in files if file))


def own_files(suite: Suite) -> tuple[str, ...]:
    """The files of the project's own making, whose hashes suite.json must state, base first."""
    foreign = {task.weights for task in suite.tasks if task.layout != OWN_LAYOUT}
    foreign |= {task.head for task in suite.tasks if task.head} | set(suite.sources)
    if suite.base_layout != OWN_LAYOUT:
        foreign |= {suite.base_weights, *suite.kind.files(suite.architecture)}
    if suite.text_tower:
        foreign.add(suite.text_tower)
    return tuple(file for file in loaded_files(suite) if file not in foreign)
