"""What all tests share: no network, no telemetry, and a reason for every test that can't run."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OFFLINE = ROOT / "tests" / "offline"

# Before anything is imported that reads them.
os.environ.update(
    GRADIO_ANALYTICS_ENABLED="False",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TRANSFORMERS_OFFLINE="1",
    NO_PROXY="127.0.0.1,localhost",
    # Python processes that tests start are guarded too, see tests/offline.
    PYTHONPATH=os.pathsep.join(
        filter(None, [str(OFFLINE), str(ROOT), os.environ.get("PYTHONPATH", "")])
    ),
)

import network_guard  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

network_guard.install()

# The same examples on every run, and no failure because a shared machine is slow.
settings.register_profile("semerge", derandomize=True, deadline=None, database=None)
settings.load_profile("semerge")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow")
    parser.addoption("--browser", action="store_true", help="run the tests marked browser")
    parser.addoption("--fail-on-skip", action="store_true", help="a skipped test is a failure")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {
        "slow": None if config.getoption("--slow") else "slow: run by make test-full",
        "browser": _no_browser(config),
        "data": _no_data(),
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not session.config.getoption("--fail-on-skip"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line("\nA skipped test is a failure here (--fail-on-skip).", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def data_folder() -> Path:
    """Where the labelled data is: $SEMERGE_DATA, else ../shared/data beside the repository."""
    return Path(os.environ.get("SEMERGE_DATA") or ROOT.parent / "shared" / "data")


def chromium_path() -> str | None:
    """The system's chromium, or the one that $SEMERGE_CHROMIUM names."""
    named = os.environ.get("SEMERGE_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


def _no_data() -> str | None:
    folder = data_folder()
    there = (folder / "vision").is_dir() and (folder / "text").is_dir()
    return None if there else f"no labelled data in {folder} (SEMERGE_DATA names another folder)"


def _no_browser(config: pytest.Config) -> str | None:
    if not config.getoption("--browser"):
        return "drives a browser: run by make browser-test"
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return None if chromium_path() else "chromium is not installed"


@pytest.fixture(autouse=True)
def only_loopback() -> Iterator[None]:
    """Fails a test during which anything tried to leave this machine, even if it was caught."""
    before = len(network_guard.ATTEMPTS)
    yield
    attempts = network_guard.ATTEMPTS[before:]
    assert not attempts, f"the network was used: {attempts}"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with `vision/<task>` and `text/<task>`; skips where it is absent."""
    if reason := _no_data():
        pytest.skip(reason)
    return data_folder()


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A headless chromium (a playwright `Browser`), for tests marked `browser`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Chromium's sandbox does not work for root, as in containers.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = driver.chromium.launch(executable_path=chromium_path(), args=arguments)
        yield chromium
        chromium.close()
