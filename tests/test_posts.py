"""What visitors send: where it lies and how long, how much there may be, and from which page."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from filelock import FileLock, Timeout
from gradio.utils import get_upload_folder
from image_files import encoded, picture
from test_forged_files import META, predict

from semerge.common import UserError
from semerge.inputs import MAX_BYTES
from semerge.ui import FOLDER, LOCK, posts, upload_folder
from semerge.ui.posts import from_elsewhere, held

# Gradio's queue asks pandas for what pandas has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
PNG = encoded(picture())


def upload(page: str, content: bytes = PNG, **headers: str) -> httpx.Response:
    with httpx.Client(trust_env=False, verify=False, timeout=60) as http:
        files = {"files": ("own.png", content)}
        return http.post(f"{page}gradio_api/upload", files=files, headers=headers)


def stray(folder: str | Path) -> list[str]:
    """What uploads that broke off have left."""
    return [path.name for path in Path(folder).iterdir() if path.is_file() and path.name != LOCK]


# ---- the folder ----------------------------------------------------------------------------------


def test_a_folder_of_uploads_goes_at_the_end(tmp_path: Path) -> None:
    with upload_folder(str(tmp_path / "new")) as folder:
        (folder / "hash").mkdir()
        (folder / "hash" / "own.png").write_bytes(PNG)
        assert folder.parent == tmp_path / "new" and folder.stat().st_mode & 0o077 == 0
    assert not list((tmp_path / "new").iterdir())
    with pytest.raises(KeyboardInterrupt), upload_folder(str(tmp_path)) as folder:
        raise KeyboardInterrupt
    assert not folder.exists()


def test_what_a_killed_process_left_goes_at_the_next_start(tmp_path: Path) -> None:
    left, mine, elsewhere = (tmp_path / f"{FOLDER}{x}" for x in "abc")
    for folder in (left, mine):
        (folder / "hash").mkdir(parents=True)
        (folder / "hash" / "own.png").write_bytes(PNG)
        (folder / LOCK).touch()
    other = tmp_path / "other"
    other.mkdir()
    (other / LOCK).touch()
    elsewhere.symlink_to(other)
    with FileLock(mine / LOCK), upload_folder(str(tmp_path)) as folder:
        assert {*tmp_path.iterdir()} == {mine, elsewhere, other, folder}
        assert (mine / "hash" / "own.png").exists() and (other / LOCK).exists()
        with pytest.raises(Timeout):
            FileLock(folder / LOCK, timeout=0).acquire()


def test_no_place_for_uploads_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match=r"There is no place for uploads: File exists\."):
        upload_folder(str(file)).__enter__()


# ---- how much ------------------------------------------------------------------------------------


def test_a_file_above_the_limit_is_refused_and_leaves_nothing(fake_page: str) -> None:
    at_most = upload(fake_page, bytes(MAX_BYTES))
    assert at_most.status_code == 200
    before = held(Path(get_upload_folder()))
    for size in (MAX_BYTES + posts.FORM, 3 * MAX_BYTES):
        answer = upload(fake_page, bytes(size))
        assert (answer.status_code, answer.text) == (413, "This is too large; the limit is 10 MB.")
    assert held(Path(get_upload_folder())) == before
    Path(at_most.json()[0]).unlink()


def test_all_uploads_together_have_a_limit(fake_page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts, "ROOM", held(Path(get_upload_folder())) + len(PNG) + 1000)
    (own,) = upload(fake_page).json()
    answer = upload(fake_page, os.urandom(10_000))
    assert (answer.status_code, answer.text) == (507, posts.FULL)
    assert "data" in predict(fake_page, {"path": own, **META})  # what is there is answered
    Path(own).unlink()
    assert upload(fake_page).status_code == 200


def test_a_full_disk_is_told_as_one(fake_page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        nearly = SimpleNamespace(free=posts.FREE)
        patch.setattr(posts.shutil, "disk_usage", lambda folder: nearly)
        answer = upload(fake_page)
        assert (answer.status_code, answer.text) == (507, posts.FULL)

    def full(*names: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("gradio.route_utils.Path.mkdir", full)
        patch.setattr(posts, "has_room", lambda size: True)
        answer = upload(fake_page)
        assert (answer.status_code, answer.text) == (507, posts.FULL)
    assert upload(fake_page).status_code == 200


def test_what_an_upload_that_broke_off_left_goes(tmp_path: Path) -> None:
    old, new, whole, lock = (tmp_path / x for x in ("tmpa", "tmpb", "hash/own.png", LOCK))
    whole.parent.mkdir()
    long_ago = time.time() - posts.KEEP - 60
    for file in (old, new, whole, lock):
        file.write_bytes(bytes(100))
    for file in (old, whole, lock):
        os.utime(file, (long_ago, long_ago))
    assert held(tmp_path) == 4 * (100 + posts.SMALL)
    assert not old.exists() and new.exists() and whole.exists() and lock.exists()
    assert held(tmp_path) == 3 * (100 + posts.SMALL)


def test_other_requests_are_small(fake_page: str) -> None:
    with httpx.Client(trust_env=False, verify=False, timeout=60, base_url=fake_page) as http:
        body = {"data": ["x" * posts.BODY], "fn_index": 1, "session_hash": "x"}
        for path in ("queue/join", "run/predict", "call/predict_text", "component_server"):
            answer = http.post(f"gradio_api/{path}", json=body)
            assert answer.status_code == 413
            assert answer.json() == {"detail": "This is too large; the limit is 4 MB."}
        endless = http.post("gradio_api/upload", content=iter([b"x"]))
        assert (endless.status_code, endless.text) == (411, posts.UNSIZED)


# ---- from where ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "elsewhere"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.example"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://{host}"}, True),
        ({"Origin": "http://{host}"}, False),
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "http://{host}.evil.example"}, True),
        ({"Origin": "http://localhost:1"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": ""}, True),
        ({"Origin": "https://own.example", "X-Forwarded-Host": "own.example, 10.0.0.1"}, False),
        ({"Origin": "https://evil.example", "X-Forwarded-Host": "own.example"}, True),
    ],
)
def test_posts_of_another_website_are_refused(
    fake_page: str, headers: dict[str, str], elsewhere: bool
) -> None:
    host = fake_page.removeprefix("http://").rstrip("/")
    headers = {name: value.format(host=host) for name, value in headers.items()}
    assert from_elsewhere(posts.Headers({"Host": host, **headers})) is elsewhere
    before = {*Path(get_upload_folder()).rglob("*")}
    answer = upload(fake_page, os.urandom(100), **headers)
    assert answer.status_code == (403 if elsewhere else 200)
    if elsewhere:
        assert answer.text == posts.ELSEWHERE
        assert {*Path(get_upload_folder()).rglob("*")} == before
        with httpx.Client(trust_env=False, verify=False, timeout=60, headers=headers) as http:
            for path in ("queue/join", "run/predict", "call/predict_text", "component_server"):
                assert http.post(f"{fake_page}gradio_api/{path}", json={}).status_code == 403


def test_what_the_page_has_no_use_for_is_closed(fake_page: str) -> None:
    with httpx.Client(trust_env=False, verify=False, timeout=60, base_url=fake_page) as http:
        for path in ("process_recording", "vibe-edit", "vibe-code", "stream/x", "api/predict"):
            answer = http.post(f"gradio_api/{path}", json={})
            assert (answer.status_code, answer.json()) == (404, {"detail": posts.NOTHING})
        for path in ("login", "gradio_api", ""):
            assert http.post(path, json={}).status_code == 404
    assert stray(get_upload_folder()) == []
