"""Published suites in the app: chosen from the menu, fetched behind the page, or refused."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub_stand_in import StandIn
from hub_suite import published_vision_suite
from PIL import Image
from tiny import tiny_vision_suite

from semerge.common import UserError
from semerge.engine import load_engine
from semerge.inputs import decode_image
from semerge.settings import Settings
from semerge.suites import published_suites, read_suite
from semerge.suites.examples import Examples
from semerge.ui import context as spaces
from semerge.ui import engines as module
from semerge.ui.app import make_context
from semerge.ui.context import Context
from semerge.ui.engines import FAILED, FETCHING, READY, WAITING, Engines
from semerge.ui.options import called
from semerge.ui.words import macro


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GLANCE", 0.2)


def test_the_menu_holds_them_after_the_bundled_ones() -> None:
    context = make_context()
    for modality in ("image", "text"):
        suites = context.of(modality)
        flags = [suite.published for suite in suites]
        assert flags == sorted(flags) and any(flags) and not flags[0]
    assert called(read_suite("clip-vit-b-32")) == (
        "CLIP ViT-B/32 (FusionBench), 3.40 GB from the hub"
    )
    # one that is named at the start is what its tab opens with, and stands there once
    first = make_context(["gpt2-glue"]).of("text")
    assert [suite.name for suite in first] == ["gpt2-glue", "mini-text"]


def test_without_network_one_sentence_and_the_bundled_suite_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from semerge.checkpoints.download import download

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    bundled = read_suite(tiny_vision_suite(tmp_path / "suite"))
    suites = [bundled, *map(read_suite, published_suites())]
    context = Context.make(
        suites,
        Examples(),
        lambda suite: SimpleNamespace(suite=suite),
        lambda suite, progress: download(suite, progress=progress),
    )
    with pytest.raises(UserError, match="; start with HF_HUB_OFFLINE=0 to fetch") as error:
        context.engines.get("clip-vit-b-32", patience=60)
    text = str(error.value)
    assert text.startswith("CLIP ViT-B/32 (FusionBench) is not on this disk: 3.40 GB have yet to")
    assert text.count("\n") == 0 and text.endswith(".")
    assert context.engines.state("clip-vit-b-32").phase == FAILED
    (logged,) = caplog.records  # the sentence again, with no traceback
    assert logged.getMessage() == f"suite clip-vit-b-32 can't be loaded: {text}"
    assert not logged.exc_info
    assert context.engines.get("tiny-vision", patience=60).suite is bundled


def test_one_is_fetched_from_the_hub_while_the_bundled_one_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the page does it: its own loading, the hub's files, real engines."""
    bundled = tiny_vision_suite(tmp_path / "bundled")
    with StandIn() as hub:
        address = f"http://127.0.0.1:{hub.port}"
        for name, value in {
            "HF_HUB_OFFLINE": False,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "ENDPOINT": address,
            "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        }.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        published = published_vision_suite(tmp_path, hub, "far")
        go = hub.holds["model.safetensors"] = threading.Event()
        context = make_context([str(bundled), str(published)])
        image = decode_image(Image.linear_gradient("L"))
        try:
            with pytest.raises(UserError, match=r"^far is being fetched \(\d+%\); other suites"):
                context.predict("far", image, Settings())
            while not 0 < context.engines.state("far").share < 1:
                time.sleep(0.02)
            (state,) = context.engines.arriving()
            assert state.phase == FETCHING
            shown = macro("status", [state], template="page.html")
            assert "far: fetching from the hub <progress" in shown and "%" in shown
            want = load_engine(bundled).predict(image).to_dict()
            here = context.predict("tiny-vision", image, Settings())
            assert {**here, "timings_ms": 0} == {**want, "timings_ms": 0}
            assert context.engines.state("far").phase == FETCHING
        finally:
            go.set()
        assert context.engines._settled["far"].wait(60)
        assert context.engines.state("far").message == ""
        # the same weights, from the hub
        far = context.predict("far", image, Settings())
        assert far["distances"] == here["distances"] and far["suite"] == "far"
        assert context.engines.arriving() == [] and hub.starts("model.safetensors")


def test_what_can_not_be_loaded_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Space with 16 GB, where other suites have taken some of it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("semerge.suites.memory.available", lambda root: 14 * 10**9)
    fetched: list[str] = []
    monkeypatch.setattr(
        "semerge.checkpoints.download.download", lambda suite, progress: fetched.append(suite.name)
    )
    context = make_context()
    with pytest.raises(
        UserError, match=r"^CLIP ViT-L/14 .* needs 14\.37 GB of memory .* 14\.00 GB"
    ):
        context.engines.get("clip-vit-l-14", patience=60)
    assert fetched == [] and context.engines.failed("clip-vit-l-14")
    assert not (tmp_path / "hub").exists()


def test_others_answer_while_one_is_fetched() -> None:
    go = threading.Event()
    told: list[tuple[int, int, str]] = []

    def fetch(name: str, progress: Any) -> None:
        progress(34, 100, "file")
        told.append((34, 100, name))
        assert go.wait(60)

    engines = Engines({"here": "Here", "far": "Far"}, lambda n: n, None, fetch, ["far"])
    with pytest.raises(UserError, match=r"^Far is being fetched \(34%\); other suites answer"):
        engines.get("far")
    assert engines.get("here") == "here"
    (state,) = engines.arriving()
    assert (state.phase, state.share) == (FETCHING, 0.34)
    shown = macro("status", [state], template="page.html")
    assert 'Far: fetching from the hub <progress max="1" value="0.340"></progress> 34%' in shown
    go.set()
    engines.start([]).join()
    assert engines._settled["far"].wait(60)
    assert engines.get("far") == "far" and engines.state("far").phase == READY
    assert engines.arriving() == [] and len(told) == 1


def test_one_that_failed_is_tried_again() -> None:
    network: list[bool] = []

    def fetch(name: str, progress: Any) -> None:
        if not network:
            raise UserError("The hub can't be reached.")

    engines = Engines({"far": "Far"}, lambda n: n, None, fetch, ["far"])
    assert engines.state("far").phase == WAITING
    for _ in range(2):
        with pytest.raises(UserError, match="can't be reached"):
            engines.get("far")
    network.append(True)
    assert engines.get("far") == "far"


def test_zero_gpu_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(x: int) -> int:
        return x + 1

    assert spaces.on_gpu(plain) is plain
    asked: list[int] = []

    def gpu(duration: int) -> Any:
        asked.append(duration)
        return lambda function: lambda *args: 100 + function(*args)

    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=gpu))
    monkeypatch.setattr(spaces.importlib.util, "find_spec", lambda name: object())
    assert spaces.on_gpu(plain)(1) == 102
    assert asked == [spaces.SECONDS]
