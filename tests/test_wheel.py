"""The wheel, built and installed without a network, answers from any folder as a checkout does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest
from processes import PATIENCE, ROOT, SHIELDS

from semerge import __version__
from semerge.common import ASSETS, EXAMPLES

# what a checkout has, so that what is left out is left out by choice
SOURCE = ("semerge", "assets", "examples", "recipes", "tests", "app.py", "setup.py")
SOURCE += ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md")
SOURCE += ("requirements.txt",)
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "-q")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy, as building writes beside the sources."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCE:
        if (ROOT / name).is_dir():
            unread = shutil.ignore_patterns("__pycache__", "*.pyi")
            shutil.copytree(ROOT / name, copy / name, ignore=unread)
        else:
            shutil.copy(ROOT / name, copy / name)
    out = tmp_path_factory.mktemp("wheel")
    build = (*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", out, copy)
    subprocess.run(build, check=True)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed: a folder that is on the path of `environment`."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run((*PIP, "install", "--no-deps", "--no-index", "-t", home, wheel), check=True)
    return home


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """Variables under which the installed package is found, this checkout is not, and whoever
    reaches for the network fails."""
    rest = {name: value for name, value in os.environ.items() if name not in SHIELDS}
    guard = ROOT / "tests" / "offline"
    return {**rest, "PYTHONPATH": os.pathsep.join((str(guard), str(home)))}


def test_the_wheel_holds_the_package_and_its_files_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.partition("/")[0] for name in names} == {
        "semerge",
        f"semerge-{__version__}.dist-info",
    }
    for folder in (ASSETS, EXAMPLES):
        there = {path for path in folder.rglob("*") if path.is_file()}
        inside = {f"semerge/{path.relative_to(ROOT).as_posix()}" for path in there}
        assert inside and inside == {n for n in names if n.startswith(f"semerge/{folder.name}/")}
    modules = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("semerge/**/*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def test_commands_answer_from_another_folder(
    home: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    def semerge(*arguments: object) -> str:
        return subprocess.run(
            [home / "bin" / "semerge", *map(str, arguments)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    told = json.loads(semerge("suites", "--json"))
    assert {row["name"] for row in told if row["here"]} == {"mini-vision", "mini-text"}
    image = shutil.copy(EXAMPLES / "vision" / "gtsrb_0.png", tmp_path / "sign.png")
    answer = json.loads(semerge("predict", "--suite", "mini-vision", "--json", image))
    assert answer["chosen"] == "gtsrb" and answer["predictions"]["se"]


def test_the_demo_opens_from_another_folder(
    home: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = [home / "bin" / "semerge", "demo", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("w+") as log:
        demo = subprocess.Popen(start, cwd=tmp_path, env=environment, stdout=log, stderr=log)
        try:
            page = fetched(f"http://127.0.0.1:{port}/", demo)
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.wait(PATIENCE)
        log.seek(0)
        told = log.read()
    assert told.startswith(f"SE-Merging opens at http://127.0.0.1:{port} (Ctrl+C ends it)")
    assert "Traceback" not in told, told
    # scripts of assets/ are in the page's head, the opening example in its configuration
    assert '"title":"SE-Merging"' in page
    assert "data-theme-switch" in page and "Left out." not in page


def fetched(url: str, server: subprocess.Popen) -> str:
    """The page, as soon as it is served; no proxy is asked for it."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + PATIENCE
    while True:
        assert server.poll() is None and time.monotonic() < end, "the app does not start"
        try:
            with direct.open(url, timeout=10) as response:
                return str(response.read(), "utf-8")
        except urllib.error.URLError:
            time.sleep(0.1)
