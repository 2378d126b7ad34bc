"""The examples of docs/extending.md, read from the page: one file in its room is all it takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch
from test_readme import commands
from tiny import tiny_text_suite

from semerge import cli, methods, probes
from semerge.common import UserError
from semerge.engine import Engine, load_engine
from semerge.settings import Settings
from semerge.ui import links
from semerge.ui.context import of_settings

ROOT = Path(__file__).resolve().parent.parent
TEXT = "play some jazz from the nineties"
BLOCK = re.compile(r"`semerge/(methods|probes)/(\w+)\.py`:\n\n```python\n(.*?)```", re.DOTALL)
ROOMS = {"methods": (methods, methods.METHODS), "probes": (probes, probes.PROBES)}
LINES = 10


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Room -> a folder that holds the page's example for it."""
    folders = {}
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    for room, name, code in BLOCK.findall(page):
        assert len([line for line in code.splitlines() if line.strip()]) <= LINES, name
        folders[room] = tmp_path_factory.mktemp(room)
        (folders[room] / f"{name}.py").write_text(code, encoding="utf-8")
    assert set(folders) == set(ROOMS)
    return folders


@pytest.fixture(scope="module")
def examples(files: dict[str, Path]) -> Iterator[None]:
    """In this process, the two files are in their rooms."""
    for room, (package, registry) in ROOMS.items():
        assert registry.names  # the room's own files first
        package.__path__.append(str(files[room]))
        import_module(f"semerge.{room}.{next(files[room].glob('*.py')).stem}")
    yield
    for room, (package, registry) in ROOMS.items():
        name = next(files[room].glob("*.py")).stem
        registry.remove(name)
        del sys.modules[f"semerge.{room}.{name}"]
        package.__path__.remove(str(files[room]))


@pytest.fixture(scope="module")
def suite_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text_suite(tmp_path_factory.mktemp("suite") / "tiny")


@pytest.fixture(scope="module")
def engine(suite_folder: Path) -> Engine:
    return load_engine(suite_folder)


def test_a_file_in_its_room_is_found_and_answers(
    files: dict[str, Path], suite_folder: Path, tmp_path: Path
) -> None:
    code = (
        "import sys, semerge.methods, semerge.probes; from semerge.cli import main; "
        "semerge.methods.__path__.append(sys.argv[1]); semerge.probes.__path__.append(sys.argv[2]);"
        "sys.exit(main(sys.argv[3:]))"
    )
    options = "predict --json --method clipped --cap 0.5 --probe angle --power 2 --suite".split()
    rooms = [files["methods"], files["probes"]]
    run = subprocess.run(
        [sys.executable, "-c", code, *rooms, *options, suite_folder, TEXT],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/offline"), str(ROOT)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert (told["method"], told["method_options"]) == ("clipped", {"cap": 0.5})
    assert (told["probe"], told["probe_options"]) == ("angle", {"power": 2})


@pytest.mark.usefixtures("examples")
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_options_are_flags(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--cap X the most that a weight may change (clipped); a number from 0 to 1" in said
    assert "--power X to which one minus the cosine is raised (angle); a whole number" in said


@pytest.mark.usefixtures("examples")
def test_the_page_s_commands_are_understood() -> None:
    found = commands(ROOT / "docs" / "extending.md")
    assert {words[1] for words in found} == {"predict", "evaluate"}
    for words in found:
        cli.parser().parse_args(words[1:])


@pytest.mark.usefixtures("examples")
def test_a_request_is_checked_by_them(engine: Engine) -> None:
    chosen = Settings(method="clipped", method_options={"cap": "0.5"}).resolve(engine.suite)
    assert chosen.method == "clipped:cap=0.5"
    for wrong in ({"cap": 2}, {"cap": "much"}, {"power": 2}):
        with pytest.raises(UserError, match="cap"):
            Settings(method="clipped", method_options=wrong).resolve(engine.suite)
    with pytest.raises(UserError, match="power must be a whole number from 1 to 4"):
        Settings(probe="angle", probe_options={"power": 9}).resolve(engine.suite)


@pytest.mark.usefixtures("examples")
def test_they_compute_what_the_page_says(engine: Engine) -> None:
    def answer(**chosen: object):
        return engine.predict(TEXT, Settings(layer=1, pool="mean", **chosen))

    square = answer(probe="angle", probe_options={"power": 2})
    plain = answer(probe="angle")
    assert square.distances == pytest.approx([d**2 for d in plain.distances], rel=1e-5)
    assert all(0 <= d <= 2 for d in plain.distances)
    # a cap that nothing reaches changes nothing; one of zero leaves the base alone
    usual, wide = answer(), answer(method="clipped", method_options={"cap": 1})
    largest = max(float(deltas.abs().max()) for deltas in engine.models.vectors.deltas())
    assert largest <= 1
    best = [result.predictions["static"][0] for result in (usual, wide)]
    assert best[0].score == pytest.approx(best[1].score, abs=1e-6)
    none = answer(method="clipped", method_options={"cap": 0})
    static, base = (none.predictions[kind][0].score for kind in ("static", "base"))
    assert static == pytest.approx(base, abs=1e-6)
    assert torch.isfinite(torch.tensor(none.distances)).all()


@pytest.mark.usefixtures("examples")
def test_links_hold_them(engine: Engine) -> None:
    chosen = Settings(
        method="clipped", method_options={"cap": 0.5}, probe="angle", probe_options={"power": 2}
    )
    held = of_settings(chosen)
    assert (held["method"], held["probe"]) == ("clipped:cap=0.5", "angle:power=2")
    query = links.Query({key: str(value) for key, value in held.items()})
    opened = links.read_settings(query, engine.suite).resolve(engine.suite)
    assert opened == chosen.resolve(engine.suite) and not query.notices
    strange = links.Query({"method": "clipped:cap=7", "probe": "angle:size=2"})
    assert links.read_settings(strange, engine.suite).resolve(engine.suite).method != "clipped"
    assert len(strange.notices) == 2


@pytest.mark.usefixtures("examples")
def test_the_app_has_controls_for_them(engine: Engine) -> None:
    from semerge.suites.examples import Examples
    from semerge.ui.app import build
    from semerge.ui.context import Context

    context = Context.make([engine.suite], Examples(), lambda suite: engine)
    page = build(context)
    controls = {getattr(block, "label", None): block for block in page.blocks.values()}
    assert ("clipped task vectors", "clipped") in controls["Merging method"].choices
    assert ("angle", "angle") in controls["Probe"].choices
    cap, power = controls["Cap"], controls["Power"]
    assert (cap.minimum, cap.maximum, cap.value) == (0, 1, 0.01)
    assert (power.minimum, power.maximum, power.value, power.step) == (1, 4, 1, 1)
    assert "the most that a weight may change" in str(cap.info).lower()
