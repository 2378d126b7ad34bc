"""Images come by one door: what a client writes into a request is decoded by nobody."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder
from image_files import encoded, picture
from PIL import Image
from test_forged_files import META, VISION, config, predict

from semerge.ui.safe import FORGED, SafeImage, uploaded

# Gradio's queue asks pandas for what pandas has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
PNG = "data:image/png;base64," + base64.b64encode(encoded(picture())).decode()
URLS = (
    PNG.replace("data:", "DATA:"),
    "data:image/png;base64,%%%",
    "data:,x",
    "data:image/svg+xml;utf8,<svg/>",
)


def files() -> set[Path]:
    return {path for path in Path(get_upload_folder()).rglob("*") if path.is_file()}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What Pillow is asked to open, by whomever."""
    seen: list[Any] = []
    real = Image.open

    def watched(file: Any, *rest: Any, **more: Any) -> Image.Image:
        seen.append(file)
        return real(file, *rest, **more)

    monkeypatch.setattr(Image, "open", watched)
    return seen


@pytest.mark.parametrize("mark", [META, {}])
def test_a_data_url_is_refused_undecoded(
    fake_page: str, mark: dict[str, Any], opened: list[Any]
) -> None:
    before = files()
    more: list[dict[str, Any]] = [{}, {"path": None}, {"path": PNG}, {"path": "x", "size": 1}]
    for image in ({"url": PNG, **mark, **extra} for extra in more):
        assert predict(fake_page, image)["error"] == FORGED
        assert FORGED in joined(fake_page, image)
    for url in URLS:
        assert predict(fake_page, {"url": url, **mark})["error"] == FORGED
    assert files() == before and opened == []


def joined(page: str, image: Any) -> str:
    """What the check says that a click on Run is given before it gets a place in the queue."""
    with httpx.Client(trust_env=False, verify=False) as http:
        parts = config(page)["components"]
        part = {c["props"].get("elem_id"): c["id"] for c in parts}["vision-run"]
        event = next(d for d in config(page)["dependencies"] if [part, "click"] in d["targets"])
        data = [image, *VISION, *[None] * (len(event["inputs"]) - 1 - len(VISION))]
        body = {"data": data, "fn_index": event["id"], "session_hash": "x"}
        answer = http.post(f"{page}gradio_api/queue/join", json=body)
    assert answer.status_code == 400
    return answer.text


def test_an_upload_beside_a_data_url_is_no_way_in(fake_page: str, opened: list[Any]) -> None:
    with httpx.Client(trust_env=False, verify=False) as http:
        content = {"files": ("own.png", encoded(picture()))}
        (own,) = http.post(f"{fake_page}gradio_api/upload", files=content).json()
    assert uploaded(own)
    assert predict(fake_page, {"path": own, "url": PNG, **META})["error"] == FORGED
    assert opened == []
    address = f"{fake_page}gradio_api/file={own}"
    assert "data" in predict(fake_page, {"path": own, "url": address, **META})


def test_the_component_hands_on_and_shows_files_as_they_are(tmp_path: Path) -> None:
    part = SafeImage(type="filepath", image_mode=None)
    assert part.preprocess(ImageData(url=PNG)) is None
    folder = Path(get_upload_folder(), "ramp")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("ramp.png", "ramp.jpg", "ramp.gif", "ramp"):
        kind = {".jpg": "JPEG", ".gif": "GIF"}.get(Path(name).suffix, "PNG")
        content = encoded(picture(), kind)
        file = folder / name
        file.write_bytes(content)
        assert part.preprocess(ImageData(path=str(file), orig_name=name)) == str(file)
        shown = part.postprocess(str(file))
        assert Path(shown.path).read_bytes() == content
        file.unlink()
