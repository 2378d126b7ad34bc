"""python -m recipes.audit: whether a known fault is in the packages that are installed.

Part of `make check`. Where pip-audit is not there, or has nobody to ask, one line says so and
nothing fails: a check of the code needs no network.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

COMMAND = (sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json")
TIMEOUT = 15  # seconds that one question may take


def audit(command: Sequence[str] = (*COMMAND, "--timeout", str(TIMEOUT))) -> tuple[int, list[str]]:
    """The exit code, and what to print."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError):  # no JSON, or another one
        last = (run.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return 0, [f"audit: not done, pip-audit has no answer ({last[:200]})."]
    faults = [line for package in packages for line in _faults(package)]
    asked = sum("vulns" in package for package in packages)
    if not asked:
        return 0, [f"audit: not done, none of {len(packages)} packages could be looked up."]
    of = f"{asked} of {len(packages)} packages looked up"
    return (1 if faults else 0), [*faults, f"audit: {len(faults)} known faults, {of}."]


def _faults(package: dict[str, Any]) -> list[str]:
    return [
        f"{package['name']} {package['version']}: {fault['id']}, mended in "
        f"{', '.join(fault['fix_versions']) or 'no version yet'}"
        for fault in package.get("vulns", ())
    ]


if __name__ == "__main__":
    code, lines = audit()
    print("\n".join(lines))
    sys.exit(code)
