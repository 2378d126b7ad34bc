"""What the repository promises beside its code: sizes, formats, metadata, requirements."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recipes import audit

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
MB = 1_000_000
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
# Files that unpickling, or an archive that holds pickles (torch.save), begins with.
PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def requirements(name):
    """{package: version specifier} of a requirements file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    wanted = [line.partition("#")[0].strip() for line in lines]
    return dict(re.fullmatch(r"([\w.-]+)(.*)", line).groups() for line in wanted if line)


def front_matter():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    match = FRONT_MATTER.match(readme)
    assert match, "README.md must begin with the front matter of a Space"
    return yaml.safe_load(match[1])


def test_assets_are_small():
    sizes = {path: path.stat().st_size for path in files(ASSETS)}
    large = [str(path) for path, size in sizes.items() if size >= 10 * MB]
    assert not large, "a Space takes files of 10 MB and more from large-file storage only"
    assert sum(sizes.values()) < 90 * MB


def test_examples_are_small():
    assert all(path.stat().st_size < MB for path in files(ROOT / "examples"))


def test_weights_are_safetensors():
    for path in files(ASSETS):
        assert path.suffix not in {".bin", ".ckpt", ".npz", ".pkl", ".pt", ".pth"}, path
        with path.open("rb") as file:
            start = file.read(8)
            assert not start.startswith(PICKLES), path
            if path.suffix == ".safetensors":
                header = json.loads(file.read(int.from_bytes(start, "little")))
                assert all(set(entry) for entry in header.values()), path


def test_readme_is_the_readme_of_a_space():
    card = front_matter()
    assert card["title"] and card["sdk"] == "gradio" and card["license"] == "mit"
    assert (ROOT / card["app_file"]).is_file()
    assert len(card["short_description"]) <= 60
    assert re.fullmatch(r"3\.1[0-3](\.\d+)?", str(card["python_version"])), "quote it: 3.10 is 3.1"
    assert {card.get("colorFrom", "red"), card.get("colorTo", "red")} <= set(COLOURS)
    if "sdk_version" in card:
        assert re.match(r"6\.(3[1-9]|[4-9]\d)(\.\d+)?$", str(card["sdk_version"]))


def test_lowest_versions_are_the_lower_bounds():
    bounds, lowest = requirements("requirements.txt"), requirements("requirements-min.txt")
    for package, bound in bounds.items():
        pinned = re.fullmatch(r"==([\d.]+)", lowest.pop(package))
        floor = re.match(r">=([\d.]+)", bound)
        assert pinned and floor, f"{package}: a lower bound here, an exact version there"
        longer = f"{floor[1]}.0"
        assert pinned[1] in {floor[1], longer}, f"{package} {bound}, but {pinned[1]} is tried"
    assert set(lowest) == {"torchvision"}


def test_needs_of_use_and_of_development_are_apart():
    assert not set(requirements("requirements.txt")) & set(requirements("requirements-dev.txt"))


def test_the_version_is_in_the_changelog_or_still_to_come():
    from semerge import __version__

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{__version__}]" in changelog or "## [Unreleased]" in changelog


def test_make_without_a_target_lists_them_all():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    public = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    assert {"help", "demo", "test", "test-full", "test-min", "check"} <= set(public)
    for target in public:
        assert f"make {target} " in listed


REQUIREMENTS = ("requirements.txt", "requirements-dev.txt", "requirements-min.txt")
STAMPS = (".venv/.app-installed", ".venv/.dev-installed", ".venv-min/.installed")


@pytest.fixture
def installed(tmp_path):
    """A copy with environments whose stamps are newer than what was installed."""
    for name in ("Makefile", *REQUIREMENTS):
        shutil.copy(ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (1000, 1000))
    for name in (".venv/bin/python", ".venv-min/bin/python", *STAMPS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (2000, 2000))
    return tmp_path


def make(folder, *arguments):
    # an outer make's flags would be taken over, and under one this make names its folder
    outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    environment = {k: v for k, v in os.environ.items() if k not in outer}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def installs(folder, target):
    """The requirements that `make target` would install."""
    run = make(folder, "-n", "PIP_FLAGS=", "ARGS=", target)
    run.check_returncode()
    assert "app.py" in run.stdout or "pytest" in run.stdout
    lines = [line for line in run.stdout.splitlines() if "pip install" in line]
    return [name for line in lines for name in re.findall(r"-r (\S+)", line)]


@pytest.mark.parametrize("target", ["demo", "test", "test-min"])
def test_nothing_is_installed_twice(installed, target):
    assert installs(installed, target) == []


@pytest.mark.parametrize(
    ("changed", "target", "expected"),
    [
        ("requirements.txt", "demo", ["requirements.txt"]),
        ("requirements.txt", "test", ["requirements.txt", "requirements-dev.txt"]),
        ("requirements-dev.txt", "demo", []),
        ("requirements-dev.txt", "test", ["requirements-dev.txt"]),
        ("requirements-min.txt", "test-min", ["requirements-min.txt", "requirements-dev.txt"]),
    ],
)
def test_what_changed_is_installed(installed, changed, target, expected):
    os.utime(installed / changed, (3000, 3000))
    assert installs(installed, target) == expected


def test_a_new_environment_gets_everything(installed):
    for name in STAMPS:
        (installed / name).unlink()
    assert installs(installed, "demo") == ["requirements.txt"]
    assert installs(installed, "test") == ["requirements.txt", "requirements-dev.txt"]


def test_the_large_tests_look_for_room_first(installed):
    run = make(installed, "FULL_GB=999999999", "test-full")
    assert run.returncode != 0
    assert "make test-full needs 999999999 GB free" in run.stdout
    assert "-m pytest" not in run.stdout


@pytest.mark.parametrize("name", ["LICENSE", "CHANGELOG.md", ".ci/run"])
def test_there_is(name):
    assert (ROOT / name).stat().st_size > 100


def test_ci_can_be_run():
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_every_threat_has_its_test():
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    rows = re.findall(r"^\| .* \| `(\w+\.py)::(\w+)` \|$", text, re.M)
    assert len(rows) == text.count("\n| ") - 1  # but the head
    for file, name in rows:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8"), name


def test_known_faults_of_packages_fail_and_silence_does_not():
    def said(text, error=""):
        code = f"import sys; print({text!r}); print({error!r}, file=sys.stderr); sys.exit(1)"
        return audit.audit([sys.executable, "-c", code])

    fault = {"id": "CVE-1", "fix_versions": ["2.0"], "aliases": []}
    packages = [{"name": "a", "version": "1.0", "vulns": [fault]}]
    packages += [{"name": "b", "skip_reason": "?"}, {"name": "c", "version": "3.0", "vulns": []}]
    told = ["a 1.0: CVE-1, mended in 2.0", "audit: 1 known faults, 2 of 3 packages looked up."]
    assert said(json.dumps({"dependencies": packages})) == (1, told)
    sound = json.dumps({"dependencies": packages[1:]})
    assert said(sound) == (0, ["audit: 0 known faults, 1 of 2 packages looked up."])
    none = "audit: not done, none of 1 packages could be looked up."  # no silence as a success
    assert said(json.dumps({"dependencies": packages[1:2]})) == (0, [none])
    told = "audit: not done, pip-audit has no answer (ERROR: no connection)."
    assert said("", "Traceback\nERROR: no connection") == (0, [told])
    assert said("{}", "no such service")[0] == 0
