"""The README's pictures of the app: `python -m recipes.screenshots` writes docs/images/*.png.

It serves the app on a free port and looks at it in the system's chromium, by playwright, both of
which only development needs.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
SHOTS = {"light": "vision", "dark": "language"}  # theme -> the tab that is shown in it
SIZE = {"width": 1280, "height": 1320}
PATIENCE = 120.0  # seconds
COLOURS = 256  # of a picture: what is flat stays sharp, and the file small


def main() -> int:
    """Write every picture; returns the exit code."""
    chromium = os.environ.get("SEMERGE_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        print("semerge: chromium is not installed; SEMERGE_CHROMIUM names it.", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    with served() as url, browser(chromium) as driven:
        for theme, tab in SHOTS.items():
            file = FOLDER / f"{theme}.png"
            small(shot(driven, url, theme, tab)).save(file, optimize=True)
            print(f"{file}: {file.stat().st_size / 1e3:.0f} KB")
    return 0


@contextmanager
def served(program: Sequence[str] = ()) -> Iterator[str]:
    """The app's address while it runs; or that of another program of Python, which gets a port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    demo = ("-m", "semerge", "demo", "--host", "127.0.0.1", "--port")
    app = subprocess.Popen([sys.executable, *(program or demo), str(port)])
    try:
        end = time.monotonic() + PATIENCE
        while True:
            if app.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the app does not start")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/"
    finally:
        app.terminate()
        app.wait()


@contextmanager
def browser(path: str) -> Iterator[Any]:
    """A headless chromium (a playwright `Browser`)."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # chromium's sandbox does not work for root, as in containers
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = driver.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


def shot(driven: Any, url: str, theme: str, tab: str) -> Image.Image:
    """The page as it opens with a tab's opening example, once engines and charts are there."""
    context = driven.new_context(viewport=SIZE, color_scheme=theme, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(1e3 * PATIENCE)
    page.goto(f"{url}?tab={tab}&__theme={theme}")
    for name in ("reach", "coefficients"):  # distances, which come first, and coefficients
        page.locator(f"#{tab}-{name} .se-value").first.wait_for()
    page.wait_for_function("!document.querySelector('#status')?.textContent.trim()")
    page.wait_for_timeout(500)  # what follows the last answer is drawn
    image = Image.open(io.BytesIO(page.screenshot()))
    image.load()
    context.close()
    return image


def small(image: Image.Image) -> Image.Image:
    """With few colours, which a page has anyway."""
    return image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)


if __name__ == "__main__":
    sys.exit(main())
