"""The registry of architectures: each owns its kind, and nothing outside asks which one it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from semerge import backbones
from semerge.backbones import ARCHITECTURES
from semerge.backbones.architecture import HEAD_SOURCES, Architecture, parameters
from semerge.backbones.weights import build_backbone
from semerge.common import UserError
from semerge.suites import available_suites, published_suites, read_suite
from semerge.suites.suite import BASE_LAYOUTS, EXPERT_LAYOUTS

ROOM = Path(backbones.__file__).parent
FUNCTIONS = (
    "build",
    "open_base",
    "open_expert",
    "check_config",
    "check_inputs",
    "check_base",
    "check_heads",
    "read_heads",
    "layout_of",
    "describe",
)


def test_every_package_of_the_room_is_an_architecture() -> None:
    folders = {path.parent for path in ROOM.glob("*/__init__.py")}
    assert len(folders) == len(ARCHITECTURES) >= 2
    assert {suite.kind.kind for suite in map(read_suite, available_suites())} == set(ARCHITECTURES)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_an_architecture_is_whole(kind: str) -> None:
    one = ARCHITECTURES[kind]
    assert one.kind == kind and one.modality in ("image", "text")
    assert set(one.base_layouts) < set(BASE_LAYOUTS)
    assert set(one.expert_layouts) < set(EXPERT_LAYOUTS)
    assert set(one.head_sources) <= set(HEAD_SOURCES)
    for function in FUNCTIONS:
        assert callable(getattr(one.model, function))
        assert f"    {function}(" in str(backbones.architecture.__doc__)


@pytest.mark.parametrize("name", [*available_suites(), *published_suites()])
def test_the_sizes_of_a_suite_are_those_of_its_backbone(name: str) -> None:
    suite = read_suite(name)
    backbone = build_backbone(suite, inputs=False)
    assert suite.sizes.shapes == backbone.shapes
    assert suite.depth == backbone.depth and suite.sizes.pools == backbone.pools
    assert [n for stage in backbone.segments for n in stage] == list(backbone.shapes)
    assert parameters({"a": (2, 3), "b": (4,), "scale": ()}) == 11


def test_another_architecture_can_be_described(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Known by being in the registry: no other list has to name it."""

    class Other(Architecture):
        kind, modality = "other", "text"

        def check(self, raw: object) -> None:
            raise UserError("architecture.width is missing")

    known = read_suite("mini-text").path("suite.json").read_text(encoding="utf-8")
    (tmp_path / "suite.json").write_text(known.replace('"kind": "gpt2"', '"kind": "other"'))
    with pytest.raises(UserError, match=r"kind 'other' with modality 'text'; valid: open_clip"):
        read_suite(tmp_path)
    monkeypatch.setitem(ARCHITECTURES, "other", Other())
    with pytest.raises(UserError, match=r"suite\.json: architecture\.width is missing\.$"):
        read_suite(tmp_path)


def test_nothing_outside_asks_for_a_kind() -> None:
    """By its name, or by its class."""
    for file in ROOM.parent.rglob("*.py"):
        if ROOM in file.parents:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                assert node.value not in {*ARCHITECTURES, "VisionTransformer"}, file
            if isinstance(node, ast.Name | ast.Attribute):
                name = node.id if isinstance(node, ast.Name) else node.attr
                assert name not in {"GPT2", "VisionTransformer"}, file
