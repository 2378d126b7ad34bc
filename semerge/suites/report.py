"""report.json of a suite, read and written, and what its times were taken on. Reading it takes no
torch."""

from __future__ import annotations

import json
import logging
import os
import platform
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import semerge
from semerge.common import UserError, read_json
from semerge.suites.suite import Suite

_log = logging.getLogger(__name__)


def read_report(suite: Suite) -> dict[str, Any] | None:
    """A suite's report.json; None where there is none. Raises ValueError where there is one that is
    no JSON object."""
    return read_object(suite.path("report.json"))


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is no file. Read once as long as the file stays
    as it is, so whoever asks is not to change it. Raises ValueError where there is one that is no
    JSON object."""
    if not path.exists():
        return None
    found = read_json(path, known=True)
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def read_diagnosis(suite: Suite) -> dict[str, Any] | None:
    """The part "diagnosis" of a suite's report.json; None where there is none. Raises ValueError as
    `read_report` does."""
    found = (read_report(suite) or {}).get("diagnosis")
    return found if isinstance(found, dict) else None


def read_accuracies(suite: Suite) -> dict[str, float]:
    """By task, the accuracy of its expert on its own test samples, as the suite's report has it;
    empty where there is no report, or none that can be read."""
    try:
        tasks = ((read_report(suite) or {}).get("test") or {}).get("tasks") or {}
        found = {name: float(row["expert"]) for name, row in tasks.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s: no accuracies of experts: %r", suite.path("report.json"), error)
        return {}
    return {name: share for name, share in found.items() if 0 <= share <= 1}


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write report.json, numbers to six digits; whoever reads meanwhile has the old one or the new.
    Raises UserError where it can't be written; what was there before is still there."""
    text = json.dumps(rounded(report), indent=1, ensure_ascii=False, allow_nan=False)
    whole = path.resolve()  # of a link, the file that it leads to
    beside = whole.with_name(f".{whole.name}.{os.getpid()}")
    try:
        try:
            beside.write_text(text + "\n", encoding="utf-8")
            if whole.is_file():
                beside.chmod(stat.S_IMODE(whole.stat().st_mode))
            beside.replace(whole)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}.") from None


def rounded(value: Any) -> Any:
    """The same object with floats cut to six digits."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {str(k): rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return value


def machine(device: str) -> dict[str, Any]:
    """What times were taken on; device: where the models were."""
    import torch

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "device": device,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "semerge": semerge.__version__,
    }


def _processor() -> str:
    """The processor's name where the system tells it."""
    file = Path("/proc/cpuinfo")
    rows = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    return names[0] if names else platform.processor()
