"""A published suite that can't be had: one sentence in the page, and the bundled suite goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browsing import MARKS, choose, close, settle, visits
from fakes import FakeEngine, fake_examples, fake_suite, served

from semerge.checkpoints.download import download
from semerge.inputs import decode_image
from semerge.suites import read_suite
from semerge.suites.examples import load_examples
from semerge.ui.context import Context
from semerge.ui.options import called

pytestmark = MARKS
NOBODY = "http://127.0.0.1:9"  # discard: nothing listens there


def test_without_a_network_the_bundled_suite_goes_on(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    addresses = NOBODY + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", addresses)
    bundled, published = fake_suite("image"), read_suite("clip-vit-b-32")
    folder = fake_examples(tmp_path / "examples")
    context = Context.make(
        [bundled, fake_suite("text"), published],
        load_examples(folder),
        FakeEngine,
        lambda suite, progress: download(suite, progress=progress),
    )
    picture = decode_image(folder / "vision" / "mnist_1.png")
    want = json.loads(json.dumps(FakeEngine(bundled).predict(picture).to_dict()))
    with served(context) as url, visits(browser, url) as open_page:
        page = open_page()
        settle(page, want, bundled)
        page.get_by_role("button", name="Options").click()
        choose(page, "Suite", called(published))
        panel = page.locator(".se-tell .se-failure").filter(visible=True)
        panel.wait_for()
        # at once, or after the hub was waited for
        told = page.get_by_text("the hub can't be reached")
        told.first.wait_for()
        status = page.locator("#status li.failed")
        status.wait_for()
        assert status.inner_text().startswith(f"{published.title}: not loaded.")
        assert "\n" not in status.inner_text() and status.inner_text().endswith(").")
        assert panel.count() == 1
        choose(page, "Suite", bundled.title)
        settle(page, want, bundled)
        close(page)  # before its server goes
