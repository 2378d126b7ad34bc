"""report.json of a suite on the disk."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
