"""The house rules on imports: what stays cheap, who may use what, and which way the layers run."""

import ast
import json
import subprocess
import sys
from collections import Counter
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
    "plotly": ("semerge.ui.charts",),
    "open_clip": ("semerge.backbones", "recipes"),
    "transformers": ("semerge.backbones", "recipes"),
    "datasets": ("semerge.data.hub",),
    "pillow_heif": ("semerge.inputs",),
    "cmaes": ("semerge.methods.evo_merging",),
    "spaces": ("semerge.ui.context",),
    "huggingface_hub": ("semerge.checkpoints",),
    "tokenizers": ("semerge.backbones", "recipes"),
}

# The floors of the house, from the ground up. A module may import what is on its own floor or
# below. A room's name stands for all that is in it, but for what has a line of its own.
FLOORS = (
    ("semerge.common", "semerge.foreign", "semerge.registry", "semerge.data.rendered"),
    ("semerge.methods", "semerge.probes"),  # the registries; what they hold is further up
    ("semerge.backbones", "semerge.suites"),
    ("semerge.inputs", "semerge.settings", "semerge.checkpoints"),
    ("semerge.task_vectors", "semerge.routing", "semerge.result"),
    (
        "semerge.backbones.base",
        "semerge.backbones.clip.beside",
        "semerge.backbones.clip.image_tower",
        "semerge.backbones.clip.model",
        "semerge.backbones.clip.text_tower",
        "semerge.backbones.gpt2.model",
        "semerge.backbones.weights",
        "semerge.loading",
        "semerge.models",
        "semerge.methods.",
        "semerge.probes.",
    ),
    ("semerge.fast", "semerge.probe", "semerge.engine", "semerge.suites.init_suite"),
    ("semerge.data", "semerge.evaluation"),
    ("semerge.bench", "semerge.cli", "semerge.ui", "semerge.__main__"),
    ("app",),
)
ROOM = 16  # modules
RANKS = {name: rank for rank, names in enumerate(FLOORS) for name in names}
# What these know nothing of, though their rank would allow it.
BLIND = {
    "semerge.routing": ("PIL", "semerge.inputs", "semerge.backbones", "semerge.task_vectors"),
    "semerge.task_vectors": ("PIL", "semerge.inputs", "semerge.backbones"),
    "semerge.methods": ("PIL", "semerge.inputs", "semerge.backbones"),
    "semerge.backbones": ("semerge.routing", "semerge.settings", "semerge.result"),
    "semerge.data.rendered": ("torch",),
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
    names = [module, *(".".join(parts[:length]) + "." for length in range(len(parts) - 1, 0, -1))]
    names += [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((RANKS[name] for name in names if name in RANKS), None)


CHEAP = (
    "import semerge",
    "semerge.Settings, semerge.UserError, semerge.decode_image",
    "[semerge.read_suite(name) for name in semerge.available_suites()]",
    "import semerge.cli",
    "import semerge.data.rendered",
)


def test_what_stays_cheap():
    """One after another in a fresh interpreter, which tells what it has loaded after each."""
    report = f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    code = "\n".join(["import json, sys", *(f"{line}; {report}" for line in CHEAP)])
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = dict(zip(CHEAP, map(json.loads, child.stdout.splitlines()), strict=True))
    assert loaded == {line: [] for line in CHEAP}


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


def test_there_are_few_floors_and_no_room_is_crowded():
    assert len(FLOORS) <= 10
    rooms = Counter(path.parent for path in FILES.values() if path.name != "app.py")
    crowded = {str(room): n for room, n in rooms.items() if n > ROOM and room.name != "methods"}
    assert not crowded


@pytest.mark.parametrize("module", sorted(FILES))
def test_the_product_knows_no_recipe_and_no_test(module):
    tests = {path.stem for path in (ROOT / "tests").glob("*.py")}
    for used in imports(module):
        assert used.partition(".")[0] not in {"recipes", "tests", *tests}


def test_no_module_imports_itself_in_a_circle():
    graph = {module: {u for u in imports(module) if u in FILES} - {module} for module in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
