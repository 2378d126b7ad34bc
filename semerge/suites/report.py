"""report.json of a suite on the disk, and what its times were taken on."""

from __future__ import annotations

import json
import os
import platform
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import semerge
from semerge.common import UserError


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
