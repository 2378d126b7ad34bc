"""Whether a suite fits is counted before it is read, and told in one sentence."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest
from measure_loading import status
from tiny import tiny_text_suite, tiny_vision_suite

from semerge.backbones import GPT2, VisionTransformer
from semerge.backbones.architecture import parameters
from semerge.backbones.weights import build_backbone
from semerge.common import UserError
from semerge.loading import load
from semerge.suites import memory, published_suites, read_suite

GB = 10**9


def machine(root: Path, free: int) -> None:
    file = root / "proc" / "meminfo"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"MemTotal: 99 kB\nMemAvailable: {free // 1024} kB\n", encoding="utf-8")


def group(root: Path, line: str, folder: str, files: dict[str, object]) -> None:
    (root / "proc" / "self").mkdir(parents=True, exist_ok=True)
    with (root / "proc" / "self" / "cgroup").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    place = root / "sys" / "fs" / "cgroup" / folder
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / name).write_text(f"{content}\n", encoding="utf-8")


def test_parameters_are_those_of_the_backbone(tmp_path: Path) -> None:
    for make in (tiny_vision_suite, tiny_text_suite):
        suite = read_suite(make(tmp_path / make.__name__))
        backbone = build_backbone(suite)
        assert isinstance(backbone, VisionTransformer | GPT2)
        count = 0
        for shape in backbone.shapes.values():
            size = 1
            for side in shape:
                size *= side
            count += size
        assert parameters(suite.sizes.shapes) == count


def test_the_published_models_have_their_published_sizes() -> None:
    """Parameters of the vision towers without projection, and of GPT2Model."""
    known = {
        "clip-vit-b-32": 87_456_000 + 768 * 512,
        "clip-vit-b-16": 85_799_424 + 768 * 512,
        "clip-vit-l-14": 303_179_776 + 1024 * 768,
        "gpt2-glue": 124_439_808,
    }
    assert set(known) == set(published_suites())
    for name, count in known.items():
        suite = read_suite(name)
        assert parameters(suite.sizes.shapes) == count
        assert memory.need(suite).total > 4 * count * (1 + len(suite.tasks))


def test_the_machine_and_its_groups_limit(tmp_path: Path) -> None:
    assert memory.available(tmp_path) is None
    machine(tmp_path, 16 * GB)
    assert memory.available(tmp_path) == 16 * GB
    v1 = {"memory.limit_in_bytes": 9 * GB, "memory.usage_in_bytes": GB}
    group(tmp_path, "4:cpu,memory:/", "memory", v1 | {"memory.stat": f"total_inactive_file {GB}"})
    assert memory.available(tmp_path) == 9 * GB
    v2 = {"memory.max": 8 * GB, "memory.current": 3 * GB, "memory.stat": f"inactive_file {GB}"}
    group(tmp_path, "0::/app/task", "app", v2)
    assert memory.available(tmp_path) == 6 * GB
    group(tmp_path, "0::/app/task", "app/task", v2 | {"memory.max": "max"})
    assert memory.available(tmp_path) == 6 * GB
    group(tmp_path, "3:cpu:/", "app/task", v2 | {"memory.max": GB})
    assert memory.available(tmp_path) == 0


def test_what_does_not_fit_is_refused_with_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = read_suite(tiny_vision_suite(tmp_path / "suite"))
    machine(tmp_path, 16 * GB)
    memory.check_memory(suite, tmp_path)
    machine(tmp_path, GB // 2)
    words = (
        r"Tiny needs 0\.50 GB of memory \(base and 3 experts of .* but 0\.50 GB are free here\.$"
    )
    with pytest.raises(UserError, match=words):
        memory.check_memory(suite, tmp_path)
    monkeypatch.setattr(memory, "available", lambda root: 10**6)
    with pytest.raises(UserError, match=r"but 1\.0 MB are free here"):
        load(suite)


def test_a_text_tower_counts(tmp_path: Path) -> None:
    suite = read_suite("clip-vit-b-32")
    without = replace(suite, head_source="files")
    # the published text tower: 151,277,313 in all, less vision, projection and the scale
    tower = 151_277_313 - parameters(suite.sizes.shapes) - 1
    assert memory.need(suite).total - memory.need(without).total == 4 * tower


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
def test_what_was_freed_is_given_back() -> None:
    pieces = [bytearray(4000) for _ in range(25_000)]  # too small for maps of their own
    last = bytearray(4000)  # above them, so that the heap does not end before it
    del pieces
    held = status("VmRSS")
    memory.give_back()
    assert status("VmRSS") < held - 50 * 2**20
    assert len(last) == 4000
