"""Published suites at their real size, with random weights: read, answered by command and app.

Writes 4 GB at a time to the temporary folder and takes them away again; no network is used.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import free_port
from processes import ROOT, ask, client_of, python, wait_for

from recipes.fake_suite import write_fake_suite
from semerge.suites import read_suite
from semerge.suites.examples import load_examples

LIMIT = 1.15  # memory that a suite adds to a process, in bytes of base and experts


@pytest.fixture(params=["clip-vit-b-32", "gpt2-glue"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    out = tmp_path / request.param
    try:
        yield write_fake_suite(request.param, out)
    finally:
        shutil.rmtree(out)  # pytest would keep it for three runs


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_a_suite_of_full_size(folder: Path, tmp_path: Path) -> None:
    suite = read_suite(folder)
    example = load_examples().opening(suite.modality)
    assert example is not None
    environment = os.environ | {"SEMERGE_CACHE": str(tmp_path / "cache")}

    def run(*argv: object) -> dict[str, Any]:
        command = [sys.executable, *map(str, argv)]
        return json.loads(
            subprocess.run(
                command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
            ).stdout
        )

    # a first start, whose text tower reads the captions for CLIP's heads, then a later one
    for kept in (False, True):
        assert (tmp_path / "cache" / "heads").is_dir() == (kept and suite.modality == "image")
        measured = run(ROOT / "tests" / "measure_loading.py", folder)
        print(suite.name, "heads kept" if kept else "first start", json.dumps(measured))
        assert measured["ratio"] <= measured["peak_ratio"] <= LIMIT

    arguments = ("--suite", folder, example.file or example.text, "--json")
    told = run("-m", "semerge", "predict", *arguments)
    assert told["tasks"] == list(suite.task_names) and told["chosen"] in suite.task_names

    port = free_port()
    variables = {"GRADIO_SERVER_PORT": str(port), "SEMERGE_SUITES": str(folder)}
    variables["SEMERGE_CACHE"] = environment["SEMERGE_CACHE"]
    with (
        (tmp_path / "log").open("w") as output,
        python("import app; app.main()", output=output, **variables) as process,
    ):
        wait_for(port, process)
        answer = ask(client_of(port), suite)
    for key in ("tasks", "chosen", "distances", "predictions", "weights_sha256"):
        assert answer[key] == told[key], key
