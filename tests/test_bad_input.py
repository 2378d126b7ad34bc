"""Bad input as people and attackers bring it, against the running app: 65 kinds, by number.

`ELSEWHERE` names the tests of those that need a browser, another machine or more than a page.
"""

from __future__ import annotations

import json
import re
import threading
import time
import unicodedata
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import served
from gradio.utils import get_upload_folder
from image_files import encoded, picture, png
from PIL import Image, PngImagePlugin
from safetensors.torch import load_file, save_file
from tiny import edit, hash_files, tiny_text_suite, tiny_vision_suite

from recipes.client import Client, Refused
from semerge.common import UserError
from semerge.data.uploads import uploaded_sets
from semerge.engine import Engine, load_engine
from semerge.suites import read_suite
from semerge.suites.examples import Examples
from semerge.ui.app import make_context
from semerge.ui.context import NO_IMAGE, Context
from semerge.ui.safe import BUSY, FORGED

# Gradio's queue asks pandas for what pandas has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
TESTS = Path(__file__).parent
ELSEWHERE = {
    13: "test_posts.py::test_a_file_above_the_limit_is_refused_and_leaves_nothing",
    15: "test_one_door.py::test_a_data_url_is_refused_undecoded",
    31: "test_forged_files.py::test_a_path_of_the_server_is_refused",
    32: "test_forged_files.py::test_an_address_is_refused_without_a_request",
    42: "test_ui.py::test_charts_escape_labels_and_survive_missing_numbers",
    43: "test_comparison.py::test_cells_that_a_spreadsheet_would_run_are_quoted",
    44: "test_api_values.py::test_a_value_of_another_kind_is_refused",
    57: "test_checkpoints_pickle.py::test_a_payload_is_not_run",
    59: "test_network.py::test_the_app_as_it_is_started",
    61: "test_engine_notices.py::test_distances_that_are_all_zero_are_told",
    62: "test_browser_links.py::test_a_link_opens_the_same_state_after_a_restart",
    64: "test_posts.py::test_a_full_disk_is_told_as_one",
    65: "test_browser_narrow.py::test_the_page_holds_at_the_width_of_a_magnified_one",
}


def test_every_kind_has_its_test() -> None:
    numbers = r'(?:def test|_and)_(\d\d)(?=_)|(?:id=f?"|^    ")(\d\d) ?'
    pairs = re.findall(numbers, Path(__file__).read_text("utf-8"), re.M)
    here = {int(n or id) for n, id in pairs}
    assert here | {*ELSEWHERE} == {*range(1, 66)}
    for place in ELSEWHERE.values():
        file, name = place.split("::")
        assert f"def {name}(" in (TESTS / file).read_text("utf-8"), place


# ---- the app: tiny suites, real engines ----------------------------------------------------------


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    home = tmp_path_factory.mktemp("suites")
    folders = tiny_vision_suite(home / "vision"), tiny_text_suite(home / "text")
    return {engine.suite.name: engine for engine in map(load_engine, folders)}


@pytest.fixture(scope="module")
def context(engines: dict[str, Engine]) -> Context:
    suites = [engine.suite for engine in engines.values()]
    return Context.make(suites, Examples(), lambda suite: engines[suite.name])


@pytest.fixture(scope="module")
def page(context: Context) -> Iterator[str]:
    with served(context) as url:
        yield url


@pytest.fixture(scope="module")
def client(page: str) -> Iterator[Client]:
    with Client(page) as client:
        yield client


def answer(result: dict[str, Any]) -> dict[str, Any]:
    """All but times, and what is said of the input."""
    return {k: v for k, v in result.items() if k not in ("timings_ms", "notices")}


@pytest.fixture(scope="module")
def good(client: Client) -> dict[str, Any]:
    return answer(client.image(encoded(picture())))


def refused(client: Client, good: dict[str, Any], content: bytes, name: str = "own.png") -> str:
    """The sentence for a file, after which the next one is answered."""
    with pytest.raises(Refused) as caught:
        client.image(content, name)
    assert answer(client.image(encoded(picture()))) == good
    told = str(caught.value)
    assert told.endswith(".") and len(told) < 200 and "Traceback" not in told
    return told


# ---- images --------------------------------------------------------------------------------------


def test_01_no_image(client: Client) -> None:
    with pytest.raises(Refused) as caught:
        client.fire("vision-run", "click")
    assert caught.value.status == 422 and NO_IMAGE in str(caught.value)  # before the queue
    with pytest.raises(Refused, match=NO_IMAGE):
        client.ask("predict_image", Image=None)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"
CUT_JPEG, CUT_PNG = (encoded(picture(), kind)[:-300] for kind in ("JPEG", "PNG"))
ZEROS = zlib.compress(bytes(9401) * 9400, 1)


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        pytest.param(b"", "own.png", "not a readable image: it is empty", id="02"),
        pytest.param(b"just a sentence", "own.png", "not a readable image", id="03"),
        pytest.param(HTML, "own.jpg", "not a readable image", id="04"),
        pytest.param(SVG, "own.svg", "SVG drawings are not supported", id="05"),
        pytest.param(SVG, "own.png", "SVG drawings are not supported", id="06"),
        pytest.param(CUT_JPEG, "own.jpg", "file is incomplete", id="07 JPEG"),
        pytest.param(CUT_PNG, "own.png", "file is incomplete", id="07 PNG"),
        pytest.param(png(60_000, 60_000), "own.png", "the limit is 25 megapixels", id="08"),
        pytest.param(png(9400, 9400, ZEROS), "own.png", "limit is 25 megapixels", id="09"),
        pytest.param(png(0, 0), "own.png", "incomplete or damaged", id="10"),
        pytest.param(encoded(Image.new("L", (1, 1))), "own.png", "too small", id="11"),
        pytest.param(encoded(Image.new("L", (5000, 1))), "own.png", "50 times", id="12"),
        pytest.param(b"\0\0\0\x18ftypheic" + bytes(99), "a.heic", "incomplete or damaged", id="26"),
        pytest.param(encoded(picture(), "ICO"), "own.ico", "not a readable image", id="27 ICO"),
        pytest.param(encoded(picture(), "PPM"), "own.ppm", "not a readable image", id="27 PPM"),
        pytest.param(b"8BPS\0\1" + bytes(99), "own.psd", "not a readable image", id="27 PSD"),
    ],
)
def test_02_to_12_what_is_no_picture_is_told(
    client: Client, good: dict[str, Any], content: bytes, name: str, words: str
) -> None:
    assert words in refused(client, good, content, name)


@pytest.mark.parametrize("content", [HTML, SVG])
@pytest.mark.parametrize("name", ["own.html", "own.svg", "own.jpg", "own"])
def test_04_no_upload_is_shown_as_a_page(client: Client, content: bytes, name: str) -> None:
    path = client.upload(content, name)["path"]
    shown = client.http.get(f"gradio_api/file={path}")
    attached = shown.headers.get("content-disposition", "").startswith("attachment")
    assert attached or shown.headers["content-type"] in ("image/jpeg", "text/plain; charset=utf-8")


def test_14_a_large_body(client: Client, good: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="the limit is 4 MB") as caught:
        client.ask("predict_image", Image={"url": f"data:image/png;base64,{'A' * 11 * 2**20}"})
    assert caught.value.status == 413
    with pytest.raises(Refused, match=re.escape(FORGED)):
        client.ask("predict_image", Image={"url": f"data:image/png;base64,{'A' * 2**21}"})
    assert answer(client.image(encoded(picture()))) == good


def ramp(bits: int) -> Image.Image:
    grey = np.tile(np.arange(256), (64, 1))
    return Image.fromarray((grey * 257).astype(np.uint16) if bits == 16 else grey.astype(np.uint8))


def noise(alpha: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 4), dtype=np.uint8)
    pixels[..., 3] = alpha
    return Image.fromarray(pixels)


def palette() -> tuple[bytes, Image.Image]:
    """A picture of which one colour is transparent, and the same on white."""
    image = picture().quantize(8)
    shown = image.convert("RGB")
    shown.paste((255, 255, 255), mask=image.point([255] + [0] * 255, "L"))
    return encoded(image, transparency=0), shown


def grey(mode: str) -> Image.Image:
    return picture("1" if mode == "1" else "L").convert(mode)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
    image = picture()
    return encoded(image if inverse is None else image.transpose(inverse), exif=exif)


def profiled() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "x" * 2_000_000)
    return encoded(picture(), pnginfo=info, icc_profile=b"no profile", exif=b"Exif\0\0broken")


def few() -> Image.Image:
    """Of few colours: a GIF keeps it as it is."""
    return picture("L").quantize(9)


def frames(kind: str) -> bytes:
    return encoded(picture(), kind, save_all=True, append_images=[noise(255).convert("RGB")])


FRAMES = "holds several frames; only the first one is used"


@pytest.mark.parametrize(
    ("content", "same", "notice"),
    [
        pytest.param(encoded(grey("L")), grey("L"), "", id="16 L"),
        pytest.param(encoded(grey("LA")), grey("L"), "", id="16 LA"),
        pytest.param(encoded(grey("1")), grey("1"), "", id="16 1"),
        pytest.param(encoded(ramp(16)), ramp(8), "", id="17"),
        pytest.param(
            encoded(Image.fromarray(np.asarray(ramp(8)) / np.float32(255)), "TIFF"),
            ramp(8), "The grey values, 0 to 1, were rescaled", id="18",
        ),
        pytest.param(
            encoded(Image.new("CMYK", (48, 32), (0, 255, 255, 0)), "TIFF"),
            Image.new("RGB", (48, 32), "red"), "converted from CMYK", id="19",
        ),
        pytest.param(palette()[0], palette()[1], "", id="20"),
        pytest.param(encoded(noise(0)), Image.new("RGB", (48, 32), "white"), "", id="21"),
        pytest.param(frames("GIF"), picture().quantize(256), FRAMES, id="22 GIF"),
        pytest.param(frames("PNG"), picture(), FRAMES, id="22 PNG"),
        *(pytest.param(turned(i), picture(), "", id=f"23 {i}") for i in range(1, 9)),
        pytest.param(profiled(), picture(), "without the file's colour profile", id="24"),
        pytest.param(frames("TIFF"), picture(), FRAMES, id="27 TIFF"),
        pytest.param(encoded(few(), "GIF"), few(), "", id="28"),
    ],
)  # fmt: skip
def test_16_to_28_unusual_pictures_are_answered_as_what_they_show(
    client: Client, content: bytes, same: Image.Image, notice: str
) -> None:
    result, plain = client.image(content), client.image(encoded(same.convert("RGB")))
    if notice == FRAMES and content.startswith(b"GIF"):
        with Image.open(BytesIO(content)) as first:
            plain = client.image(encoded(first.convert("RGB")))
    assert answer(result) == answer(plain)
    said = [text for text in result["notices"] if text not in plain["notices"]]
    assert len(said) == bool(notice) and notice in "".join(said)


def test_25_no_position_is_in_what_is_shown(client: Client) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    content = encoded(picture(), "JPEG", exif=exif)
    with Image.open(BytesIO(content)) as image:
        assert image.getexif().get_ifd(0x8825)
    shown = client.fire("vision-run", "click", vision_image=client.upload(content, "own.jpg"))
    urls = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", json.dumps(shown))
    assert len(urls) == 1
    with Image.open(BytesIO(b64decode(urls[0]))) as image:
        assert not image.getexif() and not image.info


NAMES = (
    "<img src=x onerror=alert(1)>.png", "../../x.png", "x" * 300 + ".png", "😀.png",
    "a\u202egnp.exe", "PHOTO.JPG", "photo", "a\nb.png", "'\"`;$(x).png", ".png", "CON", "%00.png",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_29_and_30_names_are_no_paths_and_no_markup(
    client: Client, good: dict[str, Any], name: str
) -> None:
    own = client.upload(encoded(picture()), name)
    folder = Path(get_upload_folder()).resolve()
    assert Path(own["path"]).parent.parent.resolve() == folder
    assert answer(client.ask("predict_image", Image=own)) == good
    shown = client.fire("vision-run", "click", vision_image=own)
    assert "<img src=x" not in json.dumps(shown)


# ---- sentences -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " \t\n ", "\u200b\u200b\ufeff", "\u2800", None])
def test_33_nothing_is_told(client: Client, text: Any) -> None:
    with pytest.raises(Refused, match=r"Type a sentence\."):
        client.text(text)


@pytest.mark.parametrize("text", ["a", "😀", "?!", "."])
def test_34_little_is_answered(client: Client, text: str) -> None:
    assert client.text(text)["suite"] == "tiny-text"


def test_35_two_million_letters(client: Client) -> None:
    with pytest.raises(Refused, match=r"2,000,000 characters; the limit is 2,000\."):
        client.text("a" * 2_000_000)


def test_36_more_tokens_than_the_window(client: Client) -> None:
    notices = client.text("漢字" * 200)["notices"]
    assert "The text has 1200 tokens; the model reads the first 24." in notices


@pytest.mark.parametrize("text", ["a\0 cat\u202e", "\ufeffa\u00a0cat", "\u0085a\u200e cat\u0007"])
def test_37_what_is_invisible_changes_nothing(client: Client, text: str) -> None:
    assert answer(client.text(text)) == answer(client.text("a cat"))


SCRIPTS = ("مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "你好，世界", "e\u0301a", "👩‍🚀 👨‍👩‍👧")
MARKUP = (
    "<script>alert(1)</script>", "[x](javascript:alert(1))", "$\\latex$", "{{handlebars}}", "${js}",
    "| a | b |", "<b onmouseover=x>", "&lt;i&gt;", "</textarea><svg onload=x>",
)  # fmt: skip


@pytest.mark.parametrize("text", SCRIPTS)
def test_38_other_scripts_are_shown_as_they_are(client: Client, text: str) -> None:
    assert f'<bdi dir="auto">{unicodedata.normalize("NFC", text)}</bdi>' in echoed(client, text)


def echoed(client: Client, text: str) -> str:
    """What Compare shows of a sentence."""
    shown = client.fire("sandbox-text", "submit", sandbox_text=text, sandbox_suite="tiny-text")
    return str(shown["sandbox-given"])


def test_39_composed_and_decomposed(client: Client) -> None:
    texts = (unicodedata.normalize(form, "Où est l’été ?") for form in ("NFC", "NFD"))
    composed, decomposed = (answer(client.text(text)) for text in texts)
    assert composed == decomposed


def test_40_half_a_letter(client: Client) -> None:
    with pytest.raises(Refused, match="not valid Unicode"):
        client.text("\ud800")


@pytest.mark.parametrize("text", MARKUP)
def test_41_markup_is_shown_literally(client: Client, text: str) -> None:
    (shown,) = re.findall(r'<bdi dir="auto">(.*?)</bdi>', echoed(client, text))
    assert unescape(shown) == text and not {*shown} & {*"<>$"}


LAYERS = (float("nan"), float("inf"), "abc", -1, 1.0000001, 0, 3, 1e308, True)


@pytest.mark.parametrize("layer", LAYERS)
def test_45_layers_that_there_are_not(client: Client, layer: Any) -> None:
    with pytest.raises(Refused, match=r"[Ll]ayer .*(1|final|2)"):
        client.text("a cat", Probe_layer=layer)
    assert client.text("a cat", Probe_layer=1)["layer"] == 1


@pytest.mark.parametrize(
    "query",
    ["suite=none&tab=zzz", "tab=vision&layer=99&pool=x", f"text={'x' * 8000}", "tab=a&tab=b&tab=",
     "text=%00%ff&x=%", "__theme=%3Cscript%3E", "page=x&deep_link=../../etc", "%", "a=" * 900],
)  # fmt: skip
def test_46_a_query_of_any_kind_opens_the_page(client: Client, query: str) -> None:
    answer = client.http.get(f"?{query}")
    assert answer.status_code == 200 and "gradio_config" in answer.text
    assert "x" * 8000 not in answer.text and "<script>%3C" not in answer.text


def test_47_labels_without_end(engines: dict[str, Engine], tmp_path: Path) -> None:
    """The app takes labels with a set alone."""
    suite, file = engines["tiny-text"].suite, tmp_path / "own.csv"

    def read(labels: list[str], task: str | None = None) -> list[int]:
        rows = "".join(f"sentence {i},{label}\n" for i, label in enumerate(labels))
        file.write_text(f"text,label\n{rows}", encoding="utf-8")
        return list(uploaded_sets(suite, file, task).sets[0].labels)

    assert read(["ant", "ANT", " ant "], "task0") == [0] * 3
    for labels in ([f"l{i}" for i in range(4000)], ["x" * 5000], ["a"]):
        with pytest.raises(UserError, match="are the classes of no task") as caught:
            read(labels)
        assert len(str(caught.value)) < 1000


# ---- many at once, and what breaks ---------------------------------------------------------------


def test_48_and_49_everybody_gets_his_own_answer(
    client: Client, engines: dict[str, Engine], page: str
) -> None:
    """As one by one, to the bit, images and sentences together; the full queue says so."""
    images = [encoded(picture(size=(48 + i, 32))) for i in range(5)]
    asks: list[Callable[[], dict[str, Any]]] = [
        *(lambda content=content: client.image(content) for content in images),
        *(lambda i=i: client.text(f"sentence number {i}") for i in range(5)),
    ]
    alone = [answer(ask()) for ask in asks]
    assert len({json.dumps(one) for one in alone}) == 10
    told: list[str] = []

    def visitor(i: int) -> bool:
        while True:
            try:
                return answer(asks[i % 10]()) == alone[i % 10]
            except Refused as error:
                told.append(str(error))
                time.sleep(0.5)

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(visitor, range(50)))
    assert {*told} <= {BUSY}
    assert all(engine.verify_weights() for engine in engines.values())
    direct = client.http.post("gradio_api/run/predict_text", json={"data": ["x", "", "tiny-text"]})
    assert direct.status_code == 404


class Gate:
    """Holds what an engine does, and lets it go or fail."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, engine: Engine, fails: bool = False
    ) -> None:
        self.came, self.open = threading.Event(), threading.Event()
        real = type(engine.backbone).embed

        def embed(backbone: Any, *given: Any) -> Any:
            self.came.set()
            assert self.open.wait(60)
            if fails:
                raise RuntimeError("injected secret")
            return real(backbone, *given)

        monkeypatch.setattr(type(engine.backbone), "embed", embed)


def test_50_who_goes_away_leaves_nothing(
    client: Client, engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines["tiny-text"]
    before = answer(client.text("the one after"))
    with monkeypatch.context() as patch:
        gate = Gate(patch, engine)
        names = [*client.usual["predict_text"].values()]
        body = {"data": ["gone", *names[1:]]}
        event = client.http.post("gradio_api/call/predict_text", json=body).json()["event_id"]
        with client.http.stream("GET", f"gradio_api/call/predict_text/{event}"):
            assert gate.came.wait(60)
        gate.open.set()
    assert answer(client.text("the one after")) == before and engine.verify_weights()


def test_51_what_breaks_inside_stays_inside(
    client: Client, engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines["tiny-text"]
    with monkeypatch.context() as patch:
        Gate(patch, engine, fails=True).open.set()
        with pytest.raises(Refused) as caught:
            client.text("another that breaks")
        assert "secret" not in str(caught.value)
    assert client.text("another that breaks")["suite"] == "tiny-text" and engine.verify_weights()


def test_52_a_full_queue_is_told_and_the_others_are_answered(
    client: Client, engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, engines["tiny-text"])
    told: list[str] = []
    full = threading.Event()

    def ask(i: int) -> str:
        try:
            return str(client.text(f"queued {i}")["suite"])
        except Refused as error:
            told.append(str(error))
            full.set()
            return ""

    with ThreadPoolExecutor(30) as pool:
        waiting = [pool.submit(ask, i) for i in range(30)]
        assert full.wait(60)
        gate.open.set()
        answers = [one.result() for one in waiting]
    assert {*told} == {BUSY} and 1 <= len(told) <= 10
    assert answers.count("tiny-text") == 30 - len(told)


def test_53_requests_leave_neither_files_nor_memory(client: Client) -> None:
    def held() -> tuple[int, int]:
        files = sum(path.is_file() for path in Path(get_upload_folder()).rglob("*"))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return files, pages * 4096

    contents = [encoded(picture(size=(40 + i, 32))) for i in range(5)]
    for content in contents:  # what is probed of the last inputs is remembered
        client.image(content)
    files, memory = held()
    for content in contents * 2:
        client.image(content)
        client.text(f"sentence of {len(content)} bytes")
    now = held()
    assert now[0] == files and now[1] < memory + 50 * 2**20


def test_54_a_double_click_is_one_run(client: Client) -> None:
    config = client.http.get("config").json()
    ids = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
    runs = {"vision-run", "language-run", "inspect-run", "compare-run"}
    modes = {
        ids[i]: d["trigger_mode"]
        for d in config["dependencies"]
        for i, kind in d["targets"]
        if ids.get(i) in runs and kind == "click"
    }
    assert modes == dict.fromkeys(runs, "once")


def test_55_two_tabs_do_not_see_each_other(client: Client) -> None:
    with ThreadPoolExecutor(2) as pool:
        texts = ("first of two", "second of two") * 3
        shown = list(pool.map(lambda text: echoed(client, text), texts))
    assert [text in html for text, html in zip(texts, shown, strict=True)] == [True] * 6
    assert not any(texts[1 - i % 2] in html for i, html in enumerate(shown))


# ---- files of a suite ----------------------------------------------------------------------------


BIAS = "ln_f.bias"


def truncate(folder: Path) -> None:
    file = folder / "experts" / "task0.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def change(values: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change the tensors of an expert."""

    def write(folder: Path) -> None:
        file = folder / "experts" / "task0.safetensors"
        tensors = {k: v.clone() for k, v in load_file(file).items()}
        values(tensors)
        save_file(tensors, file)

    return write


def header(text: bytes, length: int | None = None) -> Callable[[Path], None]:
    """Another table of contents."""

    def write(folder: Path) -> None:
        size = len(text) if length is None else length
        content = size.to_bytes(8, "little") + text + bytes(8)
        (folder / "experts" / "task0.safetensors").write_bytes(content)

    return write


def swap(folder: Path) -> None:
    """Two experts under each other's names."""
    first, second = (folder / "experts" / f"task{i}.safetensors" for i in range(2))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def describe(edited: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Another suite.json."""
    return lambda folder: edit(folder, edited)


ENTRY = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {  # name: (damage, words of the sentence)
    "missing": (lambda at: (at / "base.safetensors").unlink(), "base.safetensors is missing"),
    "truncated": (truncate, "task0.safetensors"),
    "shape": (change(lambda t: t.update({BIAS: t[BIAS][:3]})), f"{BIAS} has shape"),
    "nan": (change(lambda t: t[BIAS].fill_(float("nan"))), "finite"),
    "extra": (change(lambda t: t.update(extra=t[BIAS].clone())), "extra is not a known key"),
    "swapped": (swap, "task0.safetensors is not the file"),
    "architecture": (describe(lambda raw: raw["architecture"].update(n_embd=32)), "has shape"),
    "58 header": (header(b"{}", 2**40), "task0.safetensors"),
    "58 twice": (
        header(b"{" + ENTRY + b"," + ENTRY.replace(b"0,4", b"4,8") + b"}"),
        "task0.safetensors",
    ),
    "58 deep": (header(b"[" * 100_000), "task0.safetensors"),
}


def test_56_and_58_broken_files_are_told_and_the_page_opens(tmp_path: Path) -> None:
    for name, (damage, _) in BROKEN.items():
        folder = tiny_text_suite(tmp_path / name, name=name.replace(" ", "-"))
        damage(folder)
        if name not in ("missing", "swapped"):
            hash_files(folder)
    folder = tiny_text_suite(tmp_path / "sound", name="sound")
    edit(tiny_text_suite(tmp_path / "layer"), lambda raw: raw["defaults"].update(layer=9))
    told = f"{tmp_path / 'layer'}: layer 9 is unknown; valid are 1 to 2 and final."
    assert make_context([str(tmp_path / "layer")]).problems == (told,)
    suites = [read_suite(tmp_path / name) for name in (*BROKEN, "sound")]
    opened = Context.make(suites, Examples(), lambda suite: load_engine(suite.folder))
    with served(opened) as page, Client(page) as client:
        assert client.http.get("").status_code == 200
        assert client.text("a cat", Suite="sound")["suite"] == "sound"
        for name, (_, words) in BROKEN.items():
            with pytest.raises(Refused, match=words) as caught:
                client.text("a cat", Suite=name.replace(" ", "-"))
            assert str(tmp_path) not in str(caught.value)
        assert client.text("a dog", Suite="sound")["suite"] == "sound"


def test_60_equal_experts_are_a_tie(tmp_path: Path) -> None:
    thresholds = {"near_tie": 0.02, "flat": 0.98, "far": None}
    folder = tiny_text_suite(tmp_path / "equal", thresholds=thresholds)
    first = folder / "experts" / "task0.safetensors"
    for name in ("task1", "task2"):
        (folder / "experts" / f"{name}.safetensors").write_bytes(first.read_bytes())
    hash_files(folder)
    engine = load_engine(folder)
    context = Context.make([engine.suite], Examples(), lambda suite: engine)
    with served(context) as page, Client(page) as client:
        result = client.text("a cat")
    assert result["chosen"] == "task0" and len({*result["coefficients"]}) == 1
    assert result["margin"] == 0 and any(
        "tie" in text or "equal" in text for text in result["notices"]
    )


def test_63_behind_a_proxy_with_a_prefix(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/merge")
    with served(context) as page, Client(page) as client:
        text = client.http.get("").text
        root = client.http.get("config").json()["root"]
        assert root.endswith("/merge")
        for asset in {*re.findall(r'(?:src|href)="([^"]+\.(?:js|css))"', text)}:
            path = asset.removeprefix(page.rstrip("/")).removeprefix("/merge").lstrip("./")
            assert client.http.get(path).status_code == 200, asset
        assert client.text("a cat")["suite"] == "tiny-text"
