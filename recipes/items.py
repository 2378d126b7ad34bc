"""What one input of each bundled task is called, where a sentence says what an input looks like.

python -m recipes.items     # writes these into the bundled suites' suite.json
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from semerge.common import ASSETS

ITEMS = {
    "mnist": "a handwritten digit",
    "fashion_mnist": "a piece of clothing",
    "cifar10": "an animal or a vehicle",
    "eurosat": "land from above",
    "gtsrb": "a road sign",
    "omniglot_alphabets": "a letter of an alphabet",
    "charts": "a chart",
    "textures": "a texture",
    "sentiment_mr": "a line of a film review",
    "banking77": "a question to a bank",
    "clinc_domain": "a request to an assistant",
    "snips_intent": "a voice command",
    "clickbait": "a headline",
    "stackoverflow20": "a programming question",
    "language_id": "a sentence in some language",
}
"""By task, with its article."""


def write(file: Path) -> None:
    """Name the tasks' items in a suite.json, line by line: all else stays as it is."""
    text = file.read_text(encoding="utf-8")
    for task in json.loads(text)["tasks"]:
        item = ITEMS.get(task["name"])
        if item and "item" not in task:
            about = f'   "about": {json.dumps(task["about"], ensure_ascii=False)},\n'
            named = f'(?<="name": "{re.escape(task["name"])}",\n)((?:.*\n)??){re.escape(about)}'
            added = f'{about}   "item": {json.dumps(item)},\n'
            text, count = re.subn(named, lambda m, new=added: m[1] + new, text)
            if count != 1:
                raise ValueError(f"{file}: {task['name']} is not written as recipes write it")
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for suite in ("mini-vision", "mini-text"):
        write(ASSETS / "suites" / suite / "suite.json")
