"""The house rules on imports: what stays cheap, who may use what, and which way the layers run."""

import ast
import json
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "torchvision", "open_clip", "transformers", "gradio", "plotly")

# Where a package may be imported, at all; a folder stands for all that is in it.
ALLOWED = {
    "gradio": ("semerge.ui", "app"),
    "gradio_client": (),
    "plotly": ("semerge.ui.charts", "semerge.ui.set_charts"),
    "open_clip": ("semerge.backbones", "semerge.training"),
    "transformers": ("semerge.backbones", "semerge.training"),
    "datasets": ("semerge.evaluation.hub_data",),
    "spaces": ("semerge.ui.spaces",),
    "huggingface_hub": ("semerge.checkpoints",),
    "tokenizers": ("semerge.tokenizing", "semerge.training"),
}

# A module may import what has its own rank or a lower one. `x.*` is a package with all that is in
# it, but for what has a line of its own.
RANKS = {
    "semerge.errors": 0,
    "semerge.clock": 0,
    "semerge.progress": 0,
    "semerge.phrases": 0,
    "semerge.methods": 1,  # the names alone; the methods themselves are further up
    "semerge.architecture": 2,
    "semerge.suite": 2,
    "semerge.suite_reader": 2,
    "semerge.suites": 2,
    "semerge.settings": 2,
    "semerge.abstention": 2,
    "semerge.sentences": 2,
    "semerge.inputs": 2,
    "semerge.examples": 2,
    "semerge.training.render.*": 2,
    "semerge.memory": 3,
    "semerge.checkpoints.*": 3,
    "semerge.task_vectors": 4,
    "semerge.routing": 4,
    "semerge.unfit": 4,
    "semerge.backbones.*": 4,
    "semerge.methods.*": 4,
    "semerge.result": 4,
    "semerge.tokenizing": 4,
    "semerge.heads": 5,
    "semerge.lineage": 5,
    "semerge.loading": 5,
    "semerge.merged": 5,
    "semerge.models": 5,
    "semerge.fast": 5,
    "semerge.steps": 5,
    "semerge.answer": 5,
    "semerge.engine": 5,
    "semerge.evaluation.*": 6,
    "semerge.skeleton.*": 6,
    "semerge.bench.*": 7,
    "semerge.training.*": 7,
    "semerge.cli": 8,
    "semerge.ui.*": 8,
    "semerge.__main__": 9,
    "app": 9,
}
# What these know nothing of, though their rank would allow it.
BLIND = {
    "semerge.routing": ("PIL", "semerge.inputs", "semerge.backbones", "semerge.task_vectors"),
    "semerge.task_vectors": ("PIL", "semerge.inputs", "semerge.backbones"),
    "semerge.methods": ("PIL", "semerge.inputs", "semerge.backbones"),
    "semerge.backbones": ("semerge.routing", "semerge.settings", "semerge.result"),
    "semerge.training.render": ("torch",),
    "semerge.cli": ("semerge.ui",),
    "semerge.ui": ("semerge.cli",),
}


def _name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in [*ROOT.glob("semerge/**/*.py"), ROOT / "app.py"]}


@cache
def imports(module):
    """All that a module imports, inside functions too, but not for the type checker alone."""
    return list(_imports(module))


def _imports(module):
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in FILES else base


def _absolute(module, node):
    if not node.level:
        return node.module
    is_package = FILES[module].name == "__init__.py"
    parts = module.split(".")[: None if is_package and node.level == 1 else is_package - node.level]
    return ".".join([*parts, *([node.module] if node.module else [])])


def within(module, names):
    return any(module == name or module.startswith(f"{name}.") for name in names)


def rank(module):
    parts = module.split(".")
    packages = [".".join(parts[:length]) + ".*" for length in range(len(parts), 0, -1)]
    return next((RANKS[name] for name in [module, *packages] if name in RANKS), None)


def loaded_by(code):
    """Which of the heavy packages a fresh interpreter has loaded after `code`."""
    report = f"; import sys, json; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    child = subprocess.run(
        [sys.executable, "-c", code + report], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(child.stdout)


@pytest.mark.parametrize(
    "code",
    [
        "import semerge",
        "import semerge; semerge.Settings, semerge.UserError, semerge.decode_image",
        "import semerge; [semerge.read_suite(name) for name in semerge.available_suites()]",
        "import semerge.cli",
        "import semerge.training.render",
    ],
)
def test_what_stays_cheap(code):
    assert loaded_by(code) == []


def test_the_exports_are_all_there():
    import semerge

    assert set(semerge.__all__) <= set(dir(semerge))
    for name in semerge.__all__:
        assert getattr(semerge, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = semerge.nothing


@pytest.mark.parametrize("module", sorted(FILES))
def test_who_may_use_what(module):
    for used in imports(module):
        package = used.partition(".")[0]
        if package in ALLOWED:
            assert within(module, ALLOWED[package]), f"{module} must not import {package}"
        for name, hidden in BLIND.items():
            if within(module, [name]):
                assert not within(used, hidden), f"{module} must not know {used}"


@pytest.mark.parametrize("module", sorted(set(FILES) - {"semerge"}))
def test_layers_run_one_way(module):
    own = rank(module)
    assert own is not None, f"{module} has no place among the layers: give it a rank above"
    for used in imports(module):
        if used in FILES and used != "semerge":
            assert rank(used) <= own, f"{module} must not import {used}, which is above it"


def test_no_module_imports_itself_in_a_circle():
    graph = {module: {u for u in imports(module) if u in FILES} - {module} for module in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
