"""make load: many users at a time, and every answer is the one that each gets alone.

    PYTHONPATH=. python tests/load.py --users 50 --length 300 --write docs/reliability.json

The app runs as it is shipped, in a process of its own. Users ask with images and sentences, with
other options, and with input that is refused; they wait a moment between, and when the page says
that many are asking they ask again later.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fakes import free_port

from recipes import reliability
from recipes.client import Client, Refused
from semerge.common import EXAMPLES
from semerge.suites.examples import load_examples
from semerge.ui.safe import BUSY

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300  # seconds for the models to come
PAUSE = 2.0  # seconds between two questions of a user, at most
POLL = 1.0  # seconds between looks at memory and files

Ask = Callable[[Client], dict[str, Any]]


def questions() -> list[Ask]:
    """What users ask: examples of both suites with options in turn, and bad input."""
    shipped = load_examples(EXAMPLES)
    options = (
        {},
        {"Preset": "literal"},
        {"Probe": "base"},
        {"Fast_mode": True},
        {"Preset": "hard"},
    )
    asks: list[Ask] = []
    for i, example in enumerate(shipped.vision[::4]):
        assert example.file
        content, chosen = example.file.read_bytes(), options[i % len(options)]
        asks.append(lambda client, c=content, o=chosen: client.image(c, **o))
    for i, example in enumerate(shipped.text[::4]):
        chosen = options[i % len(options)]
        asks.append(lambda client, t=example.text, o=chosen: client.text(t, **o))
    asks += [
        lambda client: client.image(b"this is no image"),
        lambda client: client.image(b""),
        lambda client: client.text(""),
        lambda client: client.text("x" * 3000),
        lambda client: client.text("a cat", Probe_layer=99),
        lambda client: client.ask("predict_image", Image={"url": "data:image/png;base64,AAAA"}),
    ]
    return asks


def answer(ask: Ask, client: Client) -> str:
    """A Result but its times, or the sentence in its place; raises Refused where many ask."""
    try:
        result = ask(client)
    except Refused as error:
        if str(error) == BUSY:
            raise
        return f"refused: {error}"
    return json.dumps({k: v for k, v in result.items() if k != "timings_ms"}, sort_keys=True)


@dataclass
class Tally:
    """seconds: of every answer. memory: of the app, in MB; files: its temporary ones."""

    alone: list[str]
    seconds: list[float] = field(default_factory=list)
    answers: int = 0
    refused: int = 0
    different: int = 0
    busy: int = 0
    errors: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, i: int, text: str, spent: float) -> None:
        with self.lock:
            self.seconds.append(spent)
            self.answers += 1
            self.refused += text.startswith("refused: ")
            self.different += text != self.alone[i]


def user(page: str, asks: list[Ask], tally: Tally, number: int, end: float) -> None:
    """One of them, until it is time."""
    chance = random.Random(number)
    with Client(page) as client:
        while time.monotonic() < end:
            time.sleep(chance.uniform(0, PAUSE))
            i, began = chance.randrange(len(asks)), time.monotonic()
            try:
                tally.take(i, answer(asks[i], client), time.monotonic() - began)
            except Refused:
                with tally.lock:
                    tally.busy += 1
                time.sleep(PAUSE)
            except Exception as error:  # of the connection, or of the page: what is looked for
                with tally.lock:
                    tally.errors.append(f"{type(error).__name__}: {error}"[:300])


def watch(process: int, folder: Path, tally: Tally, end: float) -> None:
    """Memory and temporary files, until it is time."""
    while time.monotonic() < end:
        status = Path(f"/proc/{process}/status").read_text("utf-8")
        tally.memory.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
        tally.files.append(sum(path.is_file() for path in folder.rglob("*")))
        time.sleep(POLL)


@contextmanager
def app() -> Iterator[tuple[str, int, Path]]:
    """The app with both bundled suites: its address, process and temporary files."""
    with tempfile.TemporaryDirectory() as folder:
        port, variables = free_port(), {**os.environ, "GRADIO_TEMP_DIR": folder}
        command = [sys.executable, "-m", "semerge", "demo", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL)
        try:
            page, end = f"http://127.0.0.1:{port}/", time.monotonic() + PATIENCE
            while not there(page):
                assert process.poll() is None and time.monotonic() < end, "the app does not start"
                time.sleep(POLL)
            yield page, process.pid, Path(folder)
        finally:
            process.terminate()
            process.wait(60)


def there(page: str) -> bool:
    """Whether both suites answer."""
    shipped = load_examples(EXAMPLES)
    try:
        with Client(page) as client:
            client.text(shipped.text[0].text)
            client.image(Path(str(shipped.vision[0].file)).read_bytes())
    except (httpx.TransportError, Refused):  # nobody listens yet, or the models are still loading
        return False
    return True


def measure(users: int, length: float) -> dict[str, Any]:
    """The figures of one run; length in seconds."""
    asks = questions()
    with app() as (page, process, folder):
        with Client(page) as client:
            tally = Tally([answer(ask, client) for ask in asks])
        end = time.monotonic() + length
        threads = [
            threading.Thread(target=user, args=(page, asks, tally, i, end)) for i in range(users)
        ]
        threads.append(threading.Thread(target=watch, args=(process, folder, tally, end)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    third = len(tally.memory) // 3
    shares = {
        share: float(np.percentile(tally.seconds, int(share))) for share in reliability.SHARES
    }
    return {
        "users": users, "length": length, "answers": tally.answers, "refused": tally.refused,
        "different": tally.different, "busy": tally.busy, "errors": tally.errors,
        "seconds": shares, "memory": [tally.memory[third], tally.memory[-1]],
        "files": [tally.files[third], tally.files[-1]],
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--users", type=int, default=50, metavar="N")
    parser.add_argument("--length", type=float, default=300, metavar="S", help="seconds")
    parser.add_argument("--write", type=Path, metavar="F", help="put the figures into a JSON file")
    args = parser.parse_args()
    found = measure(args.users, args.length)
    print(json.dumps(found, indent=1))
    if args.write:
        reliability.keep(args.write, "load", found)
    return 1 if found["different"] or found["errors"] or not found["answers"] else 0


if __name__ == "__main__":
    sys.exit(main())
