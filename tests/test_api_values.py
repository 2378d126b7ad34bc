"""What a client of the API may send in a value's place: one sentence, and nothing made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

# Gradio's queue asks pandas for what pandas has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
Call = Callable[[dict[str, Any]], tuple[str, Any]]
BAD = ([], ["a"], {"a": 1}, float("nan"), 1e308, True, 5, "\ud800", [[1]], "x" * 5000)


@pytest.fixture(scope="module")
def call(fake_page: str) -> Call:
    """What predict_text answers, as ("complete" or "error", data); the usual values but these."""
    with httpx.Client(trust_env=False, verify=False) as http:
        named = http.get(f"{fake_page}gradio_api/info").json()["named_endpoints"]
    labels = [p["label"] for p in named["/predict_text"]["parameters"]]
    usual = [p.get("parameter_default") for p in named["/predict_text"]["parameters"]]

    def ask(changed: dict[str, Any]) -> tuple[str, Any]:
        assert changed.keys() <= set(labels)
        return posted(fake_page, [changed.get(x, y) for x, y in zip(labels, usual, strict=True)])

    return ask


def posted(page: str, data: list[Any], name: str = "predict_text") -> tuple[str, Any]:
    address = f"{page}gradio_api/call/{name}"
    with httpx.Client(trust_env=False, verify=False, timeout=60) as http:
        body = json.dumps({"data": data})  # httpx itself would refuse NaN
        asked = http.post(address, content=body, headers={"Content-Type": "application/json"})
        lines = http.get(f"{address}/{asked.json()['event_id']}").text.splitlines()
    return lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    "label", ["Sentence", "Suite", "Preset", "Probe", "Probe layer", "Pooling", "Head",
              "When no expert fits", "Fast mode", "Merging method"],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused(label: str, bad: Any, call: Call) -> None:
    if (label == "Probe layer" and bad == 5) or (label == "Fast mode" and bad is True):
        pytest.skip("it is one")
    end, told = call({label: bad})
    assert end == "error"
    assert isinstance(told["error"], str) and len(told["error"]) < 300
    assert told["error"].endswith(".") and "Traceback" not in told["error"]


def test_nothing_is_taken_for_something_else(call: Call) -> None:
    def said(label: str, value: Any) -> str:
        return str(call({label: value})[1]["error"])

    assert said("Sentence", ["a"]) == "Sentence must be text, not ['a']."
    assert said("Second sentence (for tasks that compare two)", 5).endswith("text, not 5.")
    assert said("Fast mode", "1") == "Fast mode must be true or false, not '1'."
    assert said("Pooling", "zzz").startswith("pool 'zzz' is unknown; valid are ")
    assert said("Probe layer", 7).startswith("layer 7 is unknown")
    assert call({"Pooling": "last"})[0] == "complete"
    assert call(dict.fromkeys(("Preset", "Pooling", "Fast mode")))[0] == "complete"


def test_too_few_values_and_events_that_there_are_not(fake_page: str, call: Call) -> None:
    for data in ([], ["a"], [None] * 3):
        end, told = posted(fake_page, data)
        assert end == "error" and "do not fit" in told["error"]
    with httpx.Client(trust_env=False, verify=False) as http:
        for number in (-1, 10**6, None):
            for path in ("run/predict", "queue/join"):
                body = {"fn_index": number, "data": [], "session_hash": "x"}
                answer = http.post(f"{fake_page}gradio_api/{path}", json=body)
                assert answer.status_code in (400, 404), (number, path)
    assert call({})[0] == "complete"
