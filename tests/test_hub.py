"""Published suites from the hub: download, resume, refuse, and work offline afterwards.

Each command is a process of its own, as `huggingface_hub` reads its environment once; it is forked
from one that has imported torch, see `processes.forked`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub_stand_in import StandIn
from hub_suite import BASE, published_vision_suite
from PIL import Image
from processes import Ended, forked

from semerge.checkpoints.download import RESERVE
from semerge.cli import main
from semerge.suites import read_suite


@pytest.fixture
def hub() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, hub: StandIn) -> Path:
    """A suite.json alone, whose files are in repositories of the stand-in."""
    return published_vision_suite(tmp_path, hub)


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "suite.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(raw | changes), encoding="utf-8")


def edit_source(folder: Path, name: str, **changes: Any) -> None:
    sources = json.loads((folder / "suite.json").read_text(encoding="utf-8"))["sources"]
    sources[name] |= changes
    edit(folder, sources=sources)


def semerge(environment: Mapping[str, str], *argv: object) -> Ended:
    return forked(environment, main, [str(word) for word in argv])


def refused(environment: Mapping[str, str], *argv: object) -> str:
    run = semerge(environment, *argv)
    assert run.returncode == 2, run.stdout + run.stderr
    assert run.stderr.count("\n") == 1 and run.stderr.startswith("semerge: "), run.stderr
    return run.stderr


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image.png"
    Image.linear_gradient("L").convert("RGB").save(file)
    return file


def test_download_then_answer_offline(
    hub: StandIn, folder: Path, image: Path, tmp_path: Path
) -> None:
    online = hub.environment(tmp_path / "home", HF_TOKEN="hf_secret")
    offline = online | {"HF_HUB_OFFLINE": "1"}
    assert "is not on this disk" in refused(offline, "predict", "--suite", folder, image)
    assert "HF_HUB_OFFLINE" in refused(offline, "download", "--suite", folder)
    assert hub.seen == []

    run = semerge(online, "download", "--suite", folder)
    assert (run.returncode, run.stderr) == (0, "")
    size = read_suite(folder).download_size
    assert f"7 of 7 files, {size / 1e6:.1f} MB, of which {size / 1e6:.1f} MB are" in run.stdout
    assert "are free in" in run.stdout
    # the token goes to the hub and to no other host
    tokens = {request.path.startswith("/storage/"): request.token for request in hub.seen}
    assert tokens == {False: "Bearer hf_secret", True: None}

    hub.stop()
    made = json.loads(semerge(offline, "predict", "--suite", folder, image, "--json").stdout)
    local = semerge(offline, "predict", "--suite", tmp_path / "made", image, "--json").stdout
    assert made | {"timings_ms": 0} == json.loads(local) | {"timings_ms": 0}
    assert "all 7 files are on this disk" in semerge(offline, "download", "--suite", folder).stdout


def with_room(free: int, argv: list[str]) -> int:
    """The command on a disk with this many bytes free."""
    shutil.disk_usage = lambda folder: SimpleNamespace(free=free)  # type: ignore[assignment]
    return main(argv)


def test_too_little_room_is_told_before_the_first_byte(
    hub: StandIn, folder: Path, tmp_path: Path
) -> None:
    environment = hub.environment(tmp_path / "home")
    enough = read_suite(folder).download_size + RESERVE

    def download(free: int) -> Ended:
        return forked(environment, with_room, free, ["download", "--suite", str(folder)])

    run = download(enough - 1)
    assert run.returncode == 2 and run.stderr.count("\n") == 1, run.stderr
    assert "0.20 GB to spare, but 0.20 GB are free; set HF_HOME" in run.stderr
    assert "7 of 7 files" in run.stdout  # what is wanted is told all the same
    assert {request.method for request in hub.seen} == {"HEAD"}
    assert not [*(tmp_path / "home").rglob("*.partial"), *(tmp_path / "home").rglob("blobs")]

    hub.cuts["model.safetensors"] = [1000, 0, 0, 0, 0]
    assert "stopped at" in download(enough).stderr
    hub.cuts.clear()
    held = sum(p.stat().st_size for p in (tmp_path / "home").rglob("blobs/*") if p.is_file())
    assert held >= 1000
    assert download(enough - held - 1).returncode == 2  # what is here needs no room again
    assert download(enough - held).returncode == 0


def test_a_cut_connection_is_taken_up_again(hub: StandIn, folder: Path, tmp_path: Path) -> None:
    environment = hub.environment(tmp_path / "home")
    hub.cuts["model.safetensors"] = [1500]
    run = semerge(environment, "download", "--suite", folder)
    assert (run.returncode, run.stderr) == (0, "")
    assert hub.starts("model.safetensors").count(1500) == 1


def test_a_later_process_goes_on_where_an_earlier_one_stopped(
    hub: StandIn, folder: Path, tmp_path: Path
) -> None:
    environment = hub.environment(tmp_path / "home")
    hub.cuts["model.safetensors"] = [1000, 0, 0, 0, 0]
    words = refused(environment, "download", "--suite", folder)
    assert "model.safetensors stopped at 0.0 MB of" in words
    assert "the same command goes on from there" in words
    partial = list((tmp_path / "home").rglob("*.partial"))
    assert [file.stat().st_size for file in partial] == [1000]

    hub.cuts.clear()
    hub.seen.clear()
    run = semerge(environment, "download", "--suite", folder)
    assert (run.returncode, run.stderr) == (0, "")
    assert hub.starts("model.safetensors") == [1000, 0, 0, 0]
    assert not list((tmp_path / "home").rglob("*.partial"))


def test_a_server_that_knows_no_ranges_starts_over(
    hub: StandIn, folder: Path, tmp_path: Path
) -> None:
    hub.cuts["model.safetensors"] = [1500]
    hub.ranges = False
    run = semerge(hub.environment(tmp_path / "home"), "download", "--suite", folder)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_wrong_hash_is_refused(hub: StandIn, folder: Path, tmp_path: Path, name: str) -> None:
    environment = hub.environment(tmp_path / "home")
    data = next(iter(hub.repos[BASE].commits.values()))[name]
    hub.lies[name] = data[:-1] + bytes([data[-1] ^ 1])
    assert "did not arrive whole" in refused(environment, "download", "--suite", folder)
    assert not list((tmp_path / "home").rglob(f"snapshots/*/{name}"))
    assert not list((tmp_path / "home").rglob("*.partial"))
    hub.lies.clear()
    assert semerge(environment, "download", "--suite", folder).returncode == 0


def test_a_hash_of_the_suite_file_is_held(hub: StandIn, folder: Path, tmp_path: Path) -> None:
    edit_source(folder, f"{BASE}/model.safetensors", sha256="0" * 64)
    environment = hub.environment(tmp_path / "home")
    words = refused(environment, "download", "--suite", folder)
    assert "not the file that suite.json describes" in words and "000000000000" in words


def test_the_first_commit_stays(hub: StandIn, folder: Path, tmp_path: Path) -> None:
    environment = hub.environment(tmp_path / "home")
    semerge(environment, "download", "--suite", folder)
    (lock,) = (tmp_path / "home").rglob("*.lock.json")
    (old,) = hub.repos[BASE].commits
    pins = json.loads(lock.read_text(encoding="utf-8"))["files"]
    assert pins[f"{BASE}/model.safetensors"]["commit"] == old

    # main has moved on, and a file is fetched again: it is still the first commit's
    files = hub.repos[BASE].commits[old]
    hub.add(BASE, {name: data + b" " for name, data in files.items()})
    for file in (tmp_path / "home").rglob("config.json"):
        file.resolve().unlink()
        file.unlink()
    assert semerge(environment, "download", "--suite", folder).returncode == 0
    (file,) = (tmp_path / "home").rglob("config.json")
    assert (file.parent.name, file.read_bytes()) == (old, files["config.json"])

    # the same commit with other content is refused
    hub.repos[BASE].commits[old] = files | {"config.json": b"[]"}
    file.resolve().unlink()
    file.unlink()
    assert "no longer what it was" in refused(environment, "download", "--suite", folder)


def test_the_beginning_of_a_commit_is_enough(hub: StandIn, folder: Path, tmp_path: Path) -> None:
    (old,) = hub.repos[BASE].commits
    hub.add(BASE, dict.fromkeys(hub.repos[BASE].commits[old], b"new"))
    for name in ("model", "heads", "statistics"):
        edit_source(folder, f"{BASE}/{name}.safetensors", revision=old[:7])
    edit_source(folder, f"{BASE}/config.json", revision=old[:7])
    environment = hub.environment(tmp_path / "home")
    assert semerge(environment, "download", "--suite", folder).returncode == 0
    edit_source(folder, f"{BASE}/config.json", revision="0" * 7)
    other = hub.environment(tmp_path / "other")
    assert "no commit 0000000" in refused(other, "download", "--suite", folder)


def test_a_changed_file_in_the_cache_is_told(
    hub: StandIn, folder: Path, image: Path, tmp_path: Path
) -> None:
    environment = hub.environment(tmp_path / "home")
    semerge(environment, "download", "--suite", folder)
    (file,) = (tmp_path / "home").glob("hub/models--lab--task1/snapshots/*/model.safetensors")
    file.write_bytes(b"short")
    words = refused(environment, "predict", "--suite", folder, image)
    assert "is not the file that was downloaded: it has 5 bytes" in words


def test_what_the_hub_lacks_is_told(hub: StandIn, folder: Path, tmp_path: Path) -> None:
    environment = hub.environment(tmp_path / "home")
    repo = hub.repos.pop("lab/task2")
    assert "lab/task2/model.safetensors is not on the hub, or HF_TOKEN" in refused(
        environment, "download", "--suite", folder
    )
    hub.repos["lab/task2"] = repo
    edit_source(folder, "lab/task2/model.safetensors", revision="none")
    assert "in the pinned revision" in refused(environment, "download", "--suite", folder)
    hub.stop()
    assert "the hub can't be reached" in refused(environment, "download", "--suite", folder)
    made = tmp_path / "made"
    assert "the weights of tiny-vision are here" in refused(
        environment, "download", "--suite", made
    )


def fetch(names: list[str]) -> None:
    from huggingface_hub import hf_hub_download

    for name in names:
        hf_hub_download(*name.rsplit("/", 1))


def test_what_another_program_has_fetched_is_found(
    hub: StandIn, folder: Path, tmp_path: Path
) -> None:
    """A Space's `preload_from_hub` fills the cache with no lock of ours."""
    environment = hub.environment(tmp_path / "home")
    assert forked(environment, fetch, list(read_suite(folder).sources)).returncode == 0
    hub.stop()
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    assert "all 7 files are on this disk" in semerge(offline, "download", "--suite", folder).stdout


def test_a_folder_in_hub_layout_needs_no_download(
    hub: StandIn, folder: Path, image: Path, tmp_path: Path
) -> None:
    """Repositories that lie beside suite.json, as owner/repo/file: nothing is asked for."""
    offline = hub.environment(tmp_path / "home") | {"HF_HUB_OFFLINE": "1"}
    for name in ("lab/task0", "lab/task1", "lab/task2"):
        shutil.copytree(tmp_path / "hub" / name, folder / name)
    assert "is not on this disk" in refused(offline, "predict", "--suite", folder, image)
    shutil.copytree(tmp_path / "hub" / BASE, folder / BASE)
    hub.stop()
    made = json.loads(semerge(offline, "predict", "--suite", folder, image, "--json").stdout)
    local = semerge(offline, "predict", "--suite", tmp_path / "made", image, "--json").stdout
    assert made | {"timings_ms": 0} == json.loads(local) | {"timings_ms": 0}
    assert "all 7 files are on this disk" in semerge(offline, "download", "--suite", folder).stdout
    assert hub.seen == []
