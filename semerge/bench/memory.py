"""How much memory this process has needed at most. Linux tells; elsewhere there is no answer."""

from __future__ import annotations

from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Start anew with the peak, where the system can."""
    if _CLEAR.exists():
        _CLEAR.write_text("5", encoding="ascii")


def resident() -> int | None:
    """Bytes in memory now."""
    return _kilobytes("VmRSS")


def peak() -> int | None:
    """The most bytes in memory since `reset_peak`."""
    return _kilobytes("VmHWM")


def available() -> int | None:
    """Bytes that the system can still give."""
    return _kilobytes("MemAvailable", Path("/proc/meminfo"))


def _kilobytes(key: str, file: Path = _STATUS) -> int | None:
    if not file.exists():
        return None
    lines = file.read_text(encoding="ascii").splitlines()
    found = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return 1024 * int(found[0]) if found else None
