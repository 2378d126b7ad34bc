"""python -m semerge init-suite OUT --base FILE --expert NAME=FILE ...: a suite.json, validated."""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

from semerge.backbones import ARCHITECTURES
from semerge.backbones.architecture import HEAD_FILES, IN_EXPERT, TEXT_TOWER
from semerge.backbones.weights import Found
from semerge.checkpoints.labels import read_labels
from semerge.checkpoints.lora import name_of, named_base
from semerge.checkpoints.rawfile import check_there
from semerge.checkpoints.weight_files import parts_of
from semerge.common import UserError, first_line, listed, quoted, read_json
from semerge.suites import SUITES_FOLDER, published_suites, read_suite
from semerge.suites.class_names import find_class
from semerge.suites.reader import FORMAT
from semerge.suites.suite import EXPERT_LAYOUTS

TASK_WORDS = SUITES_FOLDER.parent / "clip_tasks.json"
PLACEHOLDER = "class {}"
TEMPLATE = "a photo of a {}."
BESIDE = (
    *("config.json", "adapter_config.json", "open_clip_config.json", "preprocessor_config.json"),
    *("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"),
)
COMMENT = SUITES_FOLDER.parent / "suite_comment.json"


def run(args: argparse.Namespace) -> int:
    """Write and check the suite, and say what is left to fill in. Returns the exit code."""
    out = Path(args.out)
    file = out / "suite.json"
    if file.exists():
        raise UserError(f"{file} is there already.")
    experts, heads = _named(args.expert, "--expert"), _named(args.head, "--head")
    if len(experts) < 2:
        raise UserError("a suite needs two experts or more: --expert NAME=FILE --expert NAME=FILE.")
    for name in heads:
        if name not in experts:
            raise UserError(f"--head {name}: there is no expert of that name.")
    if heads and set(heads) != set(experts):
        raise UserError("--head is needed for every expert, or for none.")
    with _Made(out) as made:
        try:
            raw, assumed = _suite(args, made, experts, heads)
            made.add(file)
            file.write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{out} can't be written: {first_line(error)}.") from None
        _validate(out)
    print(f"{file}: base {raw['base']['layout']}, and")
    for task in raw["tasks"]:
        print(f"  {task['name']}: {task['layout']}, {len(task['classes'])} classes")
    guessed = [t["name"] for t in raw["tasks"] if t["classes"][0] == PLACEHOLDER.format(0)]
    if guessed:
        print(f"fill in the class names of {', '.join(guessed)}; they are placeholders")
    if assumed:
        print(f"assumed, as neither the files nor those beside them tell: {'; '.join(assumed)}")
    print(f"then: python -m semerge predict --suite {shlex.quote(str(out))} ...")
    return 0


class _Made:
    """A suite's folder, and what is put there. Where the work inside ends by an error, all of that
    goes again and nothing else, so that the command can be given once more."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._made: list[Path] = []

    def __enter__(self) -> _Made:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for path in reversed(self._made if kind else []):
            if not path.is_dir():
                path.unlink(missing_ok=True)
            elif not any(path.iterdir()):
                path.rmdir()

    def add(self, file: Path) -> None:
        """A file that is about to be made, in folders that are made here."""
        for folder in reversed([folder for folder in file.parents if not folder.exists()]):
            folder.mkdir()
            self._made.append(folder)
        self._made.append(file)

    def bring(self, file: Path, place: str) -> str:
        """The file's path inside; from elsewhere it is linked there, or copied where it can't."""
        check_there(file)
        out = self.out.resolve()
        if file.resolve().is_relative_to(out):
            return file.resolve().relative_to(out).as_posix()
        target = self.out / place / file.name
        for source in (*parts_of(file), *(file.with_name(name) for name in BESIDE)):
            if source.is_file():
                self._put(source, target.with_name(source.name))
        return target.relative_to(self.out).as_posix()

    def _put(self, source: Path, copy: Path) -> None:
        if copy.exists():
            if not filecmp.cmp(source, copy, shallow=False):
                raise UserError(f"{copy} is there already and is not {source}.")
            return
        self.add(copy)
        try:
            os.link(source.resolve(), copy)  # takes no room on the same disk
        except OSError:
            shutil.copyfile(source, copy)


def _suite(
    args: argparse.Namespace, made: _Made, experts: dict[str, Path], heads: dict[str, Path]
) -> tuple[dict[str, Any], list[str]]:
    """The content of suite.json, with every file in its place, and what is assumed."""
    from semerge.backbones.weights import describe, detect
    from semerge.checkpoints.pickled import head_rows

    base = detect(Path(args.base))
    kind = ARCHITECTURES[base.kind]
    found = {name: detect(file) for name, file in experts.items()}
    for expert in found.values():
        if expert.layout not in EXPERT_LAYOUTS:
            raise UserError(f"{expert.path} has the layout {expert.layout}, which is a base's.")
        if expert.kind != base.kind:
            raise UserError(
                f"{expert.path} is of the kind {expert.kind}, but {base.path} of {base.kind}."
            )
    tower = detect(Path(args.text_tower)) if args.text_tower else None
    if tower is not None and "text_cfg" not in describe(tower)[0]:
        raise UserError(f"{tower.path} has the layout {tower.layout}; a CLIPModel is wanted.")
    # a tower lies in the same model's folder, and tells more of it
    others = [x for x in (tower, *found.values()) if x is not None]
    model, assumed = describe(base, others)
    towers = TEXT_TOWER in kind.head_sources
    if towers and not (heads or args.text_tower or "text_cfg" in model):
        raise UserError(
            f"{base.path} has no text tower to make heads with: name a CLIPModel by --text-tower, "
            "or a head for every expert by --head."
        )
    raw: dict[str, Any] = {
        "_comment": read_json(COMMENT),
        "format": FORMAT,
        "name": _plain(args.name or made.out.resolve().name),
        "title": args.name or made.out.resolve().name,
        "about": "Experts of one base model.",
        "modality": kind.modality,
        "architecture": model,
        "base": {"weights": made.bring(base.path, "base"), "layout": base.layout},
        "tasks": [],
        "heads": {"from": HEAD_FILES if heads else TEXT_TOWER if towers else IN_EXPERT},
    }
    words, published = _words(), list[str]()
    for name, expert in found.items():
        score = expert.shapes.get("score.weight", ())
        rows = head_rows(heads[name]) if heads else next(iter(score), None)
        if rows is None and raw["heads"]["from"] == IN_EXPERT:
            raise UserError(
                f"{expert.path} holds no score.weight, the head of its task; PEFT saves it beside "
                "adapters where modules_to_save names it."
            )
        task, guess = _task(name, raw["modality"], rows, words.get(name, {}), expert.path)
        published += [name] * guess
        place = f"experts/{name}"
        task |= {"weights": made.bring(expert.path, place), "layout": expert.layout}
        if heads:
            task["head"] = made.bring(heads[name], f"{place}/head")
        raw["tasks"].append(task)
    if tower is not None:
        model["text_cfg"] = describe(tower, [base])[0]["text_cfg"]
        place = made.bring(tower.path, "text_tower")
        raw["text_tower"] = {"weights": place, "layout": tower.layout}
    if "tokenizer" in kind.json_files:
        paths = [x.path for x in (base, *found.values())]
        model["tokenizer"] = _tokenizer(args, paths, made)
    if published:
        assumed.append(f"{listed(published)} have the classes of the published tasks, in order")
    return raw | _defaults(model), assumed + _bases(found, base.path)


def _named(pairs: list[str], option: str) -> dict[str, Path]:
    """NAME=FILE, each name once."""
    found: dict[str, Path] = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals or not name or not file:
            raise UserError(f"{option} {quoted(pair)} is not of the form NAME=FILE.")
        if name != _plain(name):  # it becomes a folder too
            raise UserError(
                f"{option} {quoted(pair)}: a name may hold letters, digits and _ . - only."
            )
        if name in found:
            raise UserError(f"{option} {name} is given twice.")
        for other, known in found.items():
            if known.resolve() == Path(file).resolve():
                raise UserError(f"{option} {name} is the same file as {other}: {file}.")
        found[name] = Path(file)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).lstrip("_.-") or "suite"


def _words() -> dict[str, dict[str, Any]]:
    """Task -> what published suites say of it."""
    known = read_json(TASK_WORDS)["tasks"]
    keys = ("title", "about", "classes", "templates", "pair", "data", "aliases")
    for name in published_suites():
        for task in read_suite(name).tasks:
            told = {key: value for key in keys if (value := getattr(task, key)) != {}}
            known[task.name] = {k: list(v) if isinstance(v, tuple) else v for k, v in told.items()}
    return dict(known)


def _task(
    name: str, modality: str, rows: int | None, words: dict[str, Any], weights: Path
) -> tuple[dict[str, Any], bool]:
    """A task, and whether its classes are assumed: they are those that the expert's own config
    names, with the words of the published task of this name where that has the same classes."""
    if rows == 1:
        raise UserError(f"{weights}: its head has one row: that predicts a number, no class.")
    labels, known = read_labels(weights), words.get("classes", ())
    count = rows or len(labels or ()) or len(known)
    if labels is not None and len(labels) != count:
        raise UserError(
            f"{weights.with_name('config.json')}: id2label names {len(labels)} classes, but the "
            f"head has {count} rows."
        )
    places = [find_class(known, label) for label in labels or ()]
    same = count == len(known) > 0 and len(set(places) - {None}) == len(places)
    told = {"classes": [known[i] for i in places if i is not None] if same else list(labels or ())}
    classes = [PLACEHOLDER.format(i) for i in range(count or 2)]
    templates = [TEMPLATE] if modality == "image" else []
    made = {"name": name, "title": name, "about": "", "classes": classes, "templates": templates}
    task = {**made, "pair": False, "real": True, **(words if same else {})}
    if labels is not None:
        return {**task, **told}, False
    return task, same


def _bases(experts: dict[str, Found], base: Path) -> list[str]:
    """What is assumed of the base that adapters name. Raises UserError where they name several."""
    named = {name: named_base(x.path) for name, x in experts.items() if "lora" in x.layout}
    others = {base for base in named.values() if base is not None}
    if len(others) > 1:
        raise UserError(f"the adapters are of several bases: {listed(sorted(others))}.")
    if name_of(base) is not None:
        return []
    return [f"{base} is the base {quoted(other)} that adapters name" for other in others]


def _tokenizer(args: argparse.Namespace, models: list[Path], made: _Made) -> str:
    own = Path(args.tokenizer) if args.tokenizer else None
    if own is not None and not own.is_dir():
        return made.bring(own, "tokenizer")
    for folder in [own] if own else [model.parent for model in models]:
        for name in ("tokenizer.json", "vocab.json"):
            if (folder / name).is_file():
                return made.bring(folder / name, "tokenizer")
    raise UserError("no tokenizer.json or vocab.json lies beside the models; name it: --tokenizer.")


def _defaults(model: dict[str, Any]) -> dict[str, Any]:
    """Three quarters up, where the literature finds the tasks most apart; a reading."""
    layers = ARCHITECTURES[model["kind"]].sizes(model).depth
    return {
        "defaults": {
            "probe": "experts",
            "layer": max(1, round(0.75 * layers)),
            "pool": "mean",
            "preset": "sharp",
            "static_lambda": 0.3,
            "probe_lambda": 0.3,
        },
        "thresholds": {"near_tie": None, "flat": None, "far": None},
        "sha256": {},
    }


def _validate(out: Path) -> None:
    """Open every file as its layout says: keys, shapes and types are checked, and heads are read;
    the values of base and experts, and whether experts differ, are checked when it is loaded."""
    from semerge.backbones.weights import (
        build_backbone,
        check_heads,
        open_suite_base,
        open_suite_expert,
    )

    suite = read_suite(out)
    backbone = build_backbone(suite)
    base = open_suite_base(suite, backbone)
    for t in range(len(suite.tasks)):
        open_suite_expert(suite, t, backbone, base)
    check_heads(suite, backbone)
