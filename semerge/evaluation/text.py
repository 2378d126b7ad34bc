"""What `evaluate` prints, from assets/templates: the figures as a table, a diagnosis in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semerge.common import rendered
from semerge.evaluation.figures import HEADINGS
from semerge.methods import METHODS
from semerge.registry import TASK_ARITHMETIC
from semerge.suites.published import published_lines

Part = Mapping[str, Any]


def lines(content: dict[str, Any]) -> list[str]:
    """The object of `evaluate --json` as text."""
    tasks, config, ran = content["tasks"], content["config"], _ran(content)
    averages = {name: content[name] for name in ("average_real", "average_all")}
    text = rendered(
        "evaluation.txt",
        {"reported": None, "table": ()} | content,
        ran=ran,
        usual_method=TASK_ARITHMETIC,
        method=METHODS.title(config["method"]),
        settings=_told(config, "probe layer pool preset static_lambda probe_lambda"),
        rescaling=_told(config, "similarity normalise temperature mass quantise fallback"),
        columns=HEADINGS,
        wide=max(map(len, tasks | averages)),
        figures=tasks | {name: row for name, row in averages.items() if row},
    )
    diagnosis = diagnosis_lines(content["diagnosis"]) if "diagnosis" in content else []
    return [*text, *diagnosis, *published_lines(content.get("family"), tasks, ran)]


def diagnosis_lines(diagnosis: Part) -> list[str]:
    """What `diagnosis.diagnose` gave as text, each figure with its number of samples."""
    settings = _told(diagnosis["at"], "probe layer pool preset probe_lambda")
    return rendered("diagnosis.txt", diagnosis, settings=settings)


def _told(settings: Part, names: str) -> str:
    """These of the settings, in words; what is off is left out."""
    values = [(name.replace("_lambda", " λ"), settings[name]) for name in names.split()]
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values
        if value is not None
    )


def _ran(content: dict[str, Any]) -> str:
    """What was run, so that nobody takes a part for the whole."""
    limit = content["config"]["limit"]
    most = f", at most {limit:,} a task" if limit is not None else ""
    return f"{content['data']}: {samples_of(content)}{most}"


def samples_of(content: dict[str, Any]) -> str:
    """How many samples were run, of how many where it was stopped."""
    of = f" of {content['stopped']['of']:,}" if "stopped" in content else ""
    return f"{content['n']:,}{of} samples"
