"""Files that a client names without having uploaded them: one sentence, nothing read or fetched."""

from __future__ import annotations

import json
import secrets
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio.data_classes import ImageData
from hub_stand_in import StandIn

from semerge.ui.safe import FORGED, SafeImage

META = {"meta": {"_type": "gradio.FileData"}}
VISION = ["mini-vision", "sharp", "experts", 4, "mean", "auto", "route", False]


@pytest.fixture(scope="module")
def folder(drawings: Path) -> Path:
    return drawings


@pytest.fixture(scope="module")
def app(fake_page: str) -> str:
    return fake_page


@cache
def config(app: str) -> dict[str, Any]:
    """The parts and events of a page, which takes some time to say them."""
    with httpx.Client(trust_env=False, verify=False, timeout=60) as http:
        return dict(http.get(f"{app}config").json())


def ask(app: str, wanted: Any, data: list[Any], headers: Any = None) -> dict[str, Any]:
    """What an event answers a client that writes its request itself, and leaves further options at
    their defaults. wanted: dependency -> bool."""
    with httpx.Client(trust_env=False, verify=False, timeout=60, headers=headers) as http:
        events = config(app)["dependencies"]
        index, inputs = next((d["id"], d["inputs"]) for d in events if wanted(d))
        session = secrets.token_hex(4)
        data = [*data, *[None] * (len(inputs) - len(data))]
        body = {"data": data, "fn_index": index, "session_hash": session}
        assert http.post(f"{app}gradio_api/queue/join", json=body).status_code == 200
        address = f"{app}gradio_api/queue/data?session_hash={session}"
        with http.stream("GET", address) as lines:
            for line in lines.iter_lines():
                told = json.loads(line.removeprefix("data: ")) if line else {}
                if told.get("msg") == "process_completed":
                    return dict(told["output"])
    raise AssertionError("the event was not answered")


def predict(app: str, image: Any) -> dict[str, Any]:
    return ask(app, lambda d: d["api_name"] == "predict_image", [image, *VISION])


@pytest.mark.parametrize("mark", [META, {}])
def test_a_path_of_the_server_is_refused(app: str, folder: Path, mark: dict[str, Any]) -> None:
    """Even where it is an image that could be read."""
    outside = folder / "vision" / "mnist_0.png"
    for path in ("/etc/passwd", str(outside), f"../..{outside}", "\x00", "x" * 5000):
        answer = predict(app, {"path": path, **mark})
        assert answer["error"] == FORGED, (path, answer)
    with httpx.Client(trust_env=False, verify=False) as http:
        files = {"files": ("own.png", outside.read_bytes())}
        (own,) = http.post(f"{app}gradio_api/upload", files=files).json()
    assert predict(app, {"path": own, **mark})["data"][0]["suite"] == "mini-vision"
    # out of the folder of uploads again
    climbing = f"{Path(own).parent}/{'../' * 12}{str(outside).lstrip('/')}"
    assert predict(app, {"path": climbing, **mark})["error"] == FORGED


@pytest.mark.parametrize("mark", [META, {}])
def test_an_address_is_refused_without_a_request(app: str, mark: dict[str, Any]) -> None:
    with StandIn() as server:
        address = f"http://127.0.0.1:{server.port}/x.png"
        assert predict(app, {"path": address, **mark})["error"] == FORGED
        assert predict(app, {"path": "x.png", "url": address, **mark})["error"] == FORGED
        assert predict(app, {"url": address, **mark})["error"] == "Choose or upload an image."
        assert server.seen == []


def test_something_else_in_a_files_place_is_refused(app: str) -> None:
    for image in ("/etc/passwd", 5, ["x"], {"path": 5}):
        assert predict(app, image)["error"] == FORGED


def test_a_labelled_set_is_an_upload_too(app: str, folder: Path) -> None:
    """In Compare, whose run is told by the queue."""
    (folder / "own.csv").write_text("text,label\nsecret,x\n", encoding="utf-8")
    with httpx.Client(trust_env=False, verify=False) as http:
        config = http.get(f"{app}config").json()
    kinds = {c["id"]: c["props"].get("elem_id") for c in config["components"]}

    def reads_set(event: dict[str, Any]) -> bool:
        named = [kinds[i] for i in event["inputs"]]
        return "compare-upload" in named and event["queue"] is not False

    event = next(d for d in config["dependencies"] if reads_set(d))
    for mark in (META, {}):
        data = [
            {"path": str(folder / "own.csv"), **mark} if kinds[i] == "compare-upload" else None
            for i in event["inputs"]
        ]
        assert ask(app, lambda d: d["id"] == event["id"], data)["error"] == FORGED


def test_the_image_input_itself_hands_on_no_other_path(folder: Path) -> None:
    with pytest.raises(gr.Error, match="was not uploaded here"):
        SafeImage().preprocess(ImageData(path=str(folder)))
    assert SafeImage().preprocess(ImageData()) is None
