"""A page of this computer alone: other names, and who comes through a proxy."""

from __future__ import annotations

import httpx
import pytest
from test_forged_files import ask

from semerge.ui.safe import NOT_HERE, is_loopback

# Gradio's queue asks pandas for what pandas has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
HERE = (
    "127.0.0.1",
    "127.0.0.1:80",
    "localhost:7860",
    "LOCALHOST",
    "127.9.9.9",
    "[::1]:7860",
    "::1",
)
ELSEWHERE = ("evil.example", "evil.example:7860", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.1",
             "localhost.evil.example", "", "[", "127.0.0.1:x@evil.example", "[::]:1")  # fmt: skip


def test_names_of_this_computer() -> None:
    assert [host for host in HERE if not is_loopback(host)] == []
    assert [host for host in ELSEWHERE if is_loopback(host)] == []


@pytest.mark.parametrize("path", ["", "config", "gradio_api/info", "gradio_api/file=/etc/passwd"])
def test_a_name_that_was_bound_to_this_computer_is_refused(fake_page: str, path: str) -> None:
    with httpx.Client(trust_env=False, verify=False) as http:
        for host in ("evil.example", "evil.example:7860", "127.0.0.1.evil.example"):
            origin = {"Host": host, "Origin": f"http://{host}"}
            answer = http.get(f"{fake_page}{path}", headers=origin)
            assert answer.status_code == 403 and "evil" not in answer.text
            assert answer.text == NOT_HERE
        assert http.get(fake_page, headers={"Host": "localhost:1"}).status_code == 200


def test_who_comes_through_a_proxy_names_no_folder(
    fake_page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of Inspect, whose run tells what it was refused for."""
    with httpx.Client(trust_env=False, verify=False) as http:
        config = http.get(f"{fake_page}config").json()
    kinds = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
    usual = {c["id"]: c["props"].get("value") for c in config["components"]}
    begins = [(part, "click") for part, name in kinds.items() if name == "inspect-run"]
    event = next(d for d in config["dependencies"] if {*map(tuple, d["targets"])} & {*begins})
    changed = {"inspect-path": "/etc", "inspect-set": "folder"}
    data = [changed.get(kinds[i], usual[i]) for i in event["inputs"]]
    said = {
        through: str(ask(fake_page, lambda d: d["id"] == event["id"], data, headers))
        for through, headers in (("nothing", {}), ("proxy", {"X-Forwarded-For": "192.0.2.1"}))
    }
    assert "not on offer here" not in said["nothing"]
    assert "not on offer here" in said["proxy"]
