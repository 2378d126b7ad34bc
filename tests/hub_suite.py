"""A published suite whose repositories are those of the hub's stand-in."""

from __future__ import annotations

import json
from pathlib import Path

from hub_stand_in import StandIn
from tiny import hash_files, tiny_vision_suite

BASE = "lab/base"


def published_vision_suite(folder: Path, hub: StandIn, name: str = "tiny-vision") -> Path:
    """A suite.json alone, whose files are in repositories of the stand-in."""
    made = tiny_vision_suite(folder / "made")
    raw = json.loads((made / "suite.json").read_text(encoding="utf-8"))
    places = {raw["base"]["weights"]: f"{BASE}/model.safetensors"}
    places |= {"heads.safetensors": f"{BASE}/heads.safetensors"}
    places |= {"statistics.safetensors": f"{BASE}/statistics.safetensors"}
    for task in raw["tasks"]:
        places[task["weights"]] = f"lab/{task['name']}/model.safetensors"
    layout = folder / "hub"
    for old, new in places.items():
        (layout / new).parent.mkdir(parents=True, exist_ok=True)
        (layout / new).write_bytes((made / old).read_bytes())
    (layout / BASE / "config.json").write_text("{}", encoding="utf-8")  # small: git, not storage
    hub.add_folder(layout)
    raw["base"]["weights"] = places[raw["base"]["weights"]]
    raw |= {"heads": places["heads.safetensors"], "statistics": places["statistics.safetensors"]}
    for task in raw["tasks"]:
        task["weights"] = places[task["weights"]]
    raw["sources"] = {
        name: {"revision": "main", "bytes": (layout / name).stat().st_size}
        for name in [*places.values(), f"{BASE}/config.json"]
    }
    raw |= {"sha256": {}, "name": name, "title": name}
    suite = folder / "suite"
    suite.mkdir()
    (layout / "suite.json").write_text(json.dumps(raw | {"sources": {}}), encoding="utf-8")
    hash_files(layout)
    raw["sha256"] = json.loads((layout / "suite.json").read_text(encoding="utf-8"))["sha256"]
    (suite / "suite.json").write_text(json.dumps(raw), encoding="utf-8")
    return suite
