"""What pyproject.toml can't say: the wheel holds the checkout's assets/ and examples/ too.

They become folders of the package, where `semerge.common` looks for them first.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent


class BuildWithFiles(build_py):
    """Modules, then the files that they read."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the checkout has them already
            return
        for name in ("assets", "examples"):
            place = Path(self.build_lib) / "semerge" / name
            shutil.rmtree(place, ignore_errors=True)  # what an earlier build left
            shutil.copytree(HERE / name, place)


setup(cmdclass={"build_py": BuildWithFiles})
