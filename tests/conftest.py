"""What all tests share: no network, no telemetry, one thread a process, and a reason for every test
that can't run.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semerge.engine import Engine

ROOT = Path(__file__).resolve().parent.parent
OFFLINE = ROOT / "tests" / "offline"
MOST_WORKERS = 4

# Before anything is imported that reads them. What the tests start, pytest's workers included, has
# them too; a worker reads this once more.
os.environ.update(
    GRADIO_ANALYTICS_ENABLED="False",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TRANSFORMERS_OFFLINE="1",
    NO_PROXY="127.0.0.1,localhost",
    # Python processes that tests start are guarded too, see tests/offline.
    PYTHONPATH=os.pathsep.join(
        dict.fromkeys(
            filter(None, [str(OFFLINE), str(ROOT), *os.getenv("PYTHONPATH", "").split(os.pathsep)])
        )
    ),
)
# The processes of one machine that have a thread for each of its cores wait for one another, with
# models as small as these longer than they compute.
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes `-n auto` starts: one a core, each with models or a browser of its own."""
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


FIRST = ("test_wheel.py", "test_network.py", "test_bundled.py")
"""What takes longest: last, one process would wait for the other."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in FIRST)  # stable
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


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Uploads of the pages that this process serves, and what it keeps for later, lie in folders of
    its own."""
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))
    os.environ["SEMERGE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with `vision/<task>` and `text/<task>`; skips where it is absent."""
    if reason := _no_data():
        pytest.skip(reason)
    return data_folder()


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For tests that take gigabytes: one of them at a time, in all of pytest's workers."""
    with (tmp_path_factory.getbasetemp().parent / "alone").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# ---- tiny suites, one of each modality in turn ---------------------------------------------------


@pytest.fixture(scope="module", params=["image", "text"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny suite; `home` is the folder above it."""
    from tiny import SUITES

    return SUITES[request.param](tmp_path_factory.mktemp(request.param) / "suite")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    from semerge.engine import load_engine

    return load_engine(folder)


@pytest.fixture(scope="module")
def home(folder: Path, engine: Engine) -> Path:
    """A folder with `suite` and labelled `data` for it."""
    from labelled import DATA

    DATA[engine.suite.modality](folder.parent / "data")
    return folder.parent


# ---- the page in a browser -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def diagnosed(folder: Path, engine: Engine) -> Path:
    """The tiny suite's folder, with a report.json that holds a diagnosis."""
    from labelled import DATA

    from semerge.data.sets import suite_sets
    from semerge.evaluation.diagnosis import diagnose
    from semerge.suites.report import write_report

    data = DATA[engine.suite.modality](folder.parent / "four", tasks=4)
    splits = [suite_sets(engine.suite, data, s) for s in ("validation", "test")]
    found = diagnose(engine, *splits, data, samples=6)
    write_report(folder / "report.json", {"diagnosis": found})
    return folder


@pytest.fixture(scope="module")
def diagnosis(diagnosed: Path) -> dict[str, Any]:
    """What that report holds."""
    from semerge.suites import read_suite
    from semerge.suites.report import read_diagnosis

    found = read_diagnosis(read_suite(diagnosed))
    assert found is not None
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A headless chromium (a playwright `Browser`), for tests marked `browser`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Chromium's sandbox does not work for root, as in containers.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        # Without a graphics card, what stands in for one costs more than drawing without.
        arguments.append("--disable-gpu")
        chromium = driver.chromium.launch(executable_path=chromium_path(), args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the examples that `fake_page` shows."""
    return tmp_path_factory.mktemp("drawings")


@pytest.fixture(scope="session")
def fake_page(drawings: Path) -> Iterator[str]:
    """The address of an app with fake engines, for tests that leave it as it is."""
    from fakes import fake_app

    with fake_app(drawings) as url:
        yield url


@pytest.fixture(scope="session")
def shipped_page() -> Iterator[str]:
    """The address of the app as it is shipped, for tests that leave it as it is."""
    from fakes import served

    from semerge.ui.app import make_context

    with served(make_context()) as url:
        yield url


@pytest.fixture(scope="session")
def restarted_page() -> Iterator[str]:
    """The address of the app as after a restart: it knows nothing of visits to `shipped_page`."""
    from bundled import serving

    with serving() as url:
        yield url


@pytest.fixture
def visit(browser: object, app: str) -> Iterator[Callable[..., object]]:
    """Opens the page of the file's own fixture `app`, an address, see `browsing.visits`."""
    from browsing import visits

    with visits(browser, app) as open_page:
        yield open_page
