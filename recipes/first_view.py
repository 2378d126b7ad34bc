"""What the first view of the app weighs and how long it takes on a slow line:
`python -m recipes.first_view`.

It serves the app and a page with nothing on it, opens each for the first time in the system's
chromium, by playwright, and prints the bytes that came, the heaviest files, and the times at which
the first text and the picture were there on a line of 1.6 Mbit/s; then how long the picture of an
image takes from its drop on the page.
"""

from __future__ import annotations

import base64
import os
import platform
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from recipes.screenshots import PATIENCE, browser, served
from semerge.suites.examples import EXAMPLES_FOLDER

LINE = {"offline": False, "latency": 150, "downloadThroughput": 2e5, "uploadThroughput": 9.4e4}
"""1.6 Mbit/s down and 0.75 up, in bytes a second; latency in ms."""
PHONE = (390, 844)
QUIET = 1500  # ms without another file, after which a view is whole
HEAVY = 8  # files that are named
EMPTY = (
    "import sys, gradio as gr\n"
    "with gr.Blocks(analytics_enabled=False) as page: pass\n"
    "page.launch(server_port=int(sys.argv[1]), quiet=True, ssr_mode=False)\n"
)
SEEN = {  # what is there -> where; within the window
    "text": "h1",
    "sentence": ".se-sentence",
    "picture": ".se-scene svg",
    "answers": "#vision-answers .se-answer",
}
# notes when each of them is first in the window, and how far things were moved once they were there
NOTES = """places => {
  window.seen = {};
  window.shifted = 0;
  const look = () => {
    for (const [name, place] of Object.entries(places)) {
      const box = !(name in seen) && document.querySelector(place)?.getBoundingClientRect();
      if (box && box.height && box.top < innerHeight) window.seen[name] = performance.now();
    }
    requestAnimationFrame(look);
  };
  look();
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
  }).observe({type: 'layout-shift', buffered: true});
}"""


DROPS = 15
"""Images of the gallery that are dropped."""
# drops a file where an image goes; the milliseconds until a picture of it is drawn
DROP = """async ([name, data]) => {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, {type: 'image/png'}));
  const said = () => document.querySelector('#vision-scene svg')?.getAttribute('aria-label');
  const before = said();
  const place = document.querySelector('#vision-image input[type=file]').parentElement;
  const start = performance.now();
  const event = {bubbles: true, cancelable: true, dataTransfer: files};
  place.dispatchEvent(new DragEvent('drop', event));
  while (performance.now() - start < 60000) {
    await new Promise(requestAnimationFrame);
    if (said() !== before) return performance.now() - start;
  }
  throw new Error('no picture of what was dropped');
}"""


class FirstVisit:
    """A page, opened by somebody who has nothing of it yet. ready: what is waited for.
    sizes: bytes that came over the line, by address."""

    def __init__(
        self,
        driven: Any,
        url: str,
        ready: str,
        size: tuple[int, int] = PHONE,
        line: dict[str, Any] | None = None,
    ) -> None:
        width, height = size
        self.context = driven.new_context(viewport={"width": width, "height": height})
        self.page = self.context.new_page()
        self.page.set_default_timeout(1e3 * PATIENCE)
        self.page.add_init_script(f"({NOTES})({SEEN!r})")
        self.sizes: dict[str, float] = {}
        self._names: dict[str, str] = {}
        tools = self.context.new_cdp_session(self.page)
        tools.send("Network.enable")
        if line:
            tools.send("Network.emulateNetworkConditions", line)
        tools.on("Network.requestWillBeSent", self._sent)
        tools.on("Network.loadingFinished", self._came)
        self.page.goto(url, wait_until="commit")
        self.page.locator(ready).first.wait_for()
        self.rest()

    def _sent(self, event: Any) -> None:
        self._names[event["requestId"]] = event["request"]["url"]

    def _came(self, event: Any) -> None:
        name = self._names[event["requestId"]]
        self.sizes[name] = self.sizes.get(name, 0) + event["encodedDataLength"]

    def rest(self) -> None:
        """Wait until no other file comes."""
        before = -1
        while before != len(self.sizes):
            before = len(self.sizes)
            self.page.wait_for_timeout(QUIET)

    @property
    def total(self) -> float:
        return sum(self.sizes.values())

    @property
    def heaviest(self) -> list[tuple[str, float]]:
        return sorted(self.sizes.items(), key=lambda item: -item[1])[:HEAVY]

    def has(self, part: str) -> bool:
        return any(part in name for name in self.sizes)

    @property
    def times(self) -> dict[str, float]:
        """Milliseconds from the start of the visit, by name of SEEN."""
        return dict(self.page.evaluate("window.seen"))

    @property
    def shifted(self) -> float:
        """The cumulative layout shift."""
        return float(self.page.evaluate("window.shifted"))


def dropped(driven: Any, url: str, images: list[Path]) -> list[float]:
    """Milliseconds from the drop of each image to its picture, animation apart, on a page that
    shows another one's."""
    page = driven.new_page()
    page.set_default_timeout(1e3 * PATIENCE)
    page.emulate_media(reduced_motion="reduce")
    page.goto(url)
    page.locator("#vision-answers .se-card").first.wait_for()
    page.get_by_role("tab", name="Image", exact=True).click()
    spent = []
    for image in images:
        page.locator("#vision-image").get_by_label("Remove Image").click()
        page.locator("#vision-image button.upload-container").wait_for()
        data = base64.b64encode(image.read_bytes()).decode()
        spent.append(float(page.evaluate(DROP, [image.name, data])))
    page.close()
    return spent


def main() -> int:
    """Print the figures; returns the exit code."""
    chromium = os.environ.get("SEMERGE_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        print("semerge: chromium is not installed; SEMERGE_CHROMIUM names it.", file=sys.stderr)
        return 2
    with served() as url, served(["-c", EMPTY]) as empty, browser(chromium) as driven:
        nothing = FirstVisit(driven, empty, ".gradio-container")
        ours = FirstVisit(driven, url, "#vision-answers .se-card")
        print(f"empty page {nothing.total / 1e3:.0f} kB, first view {ours.total / 1e3:.0f} kB")
        for name, size in ours.heaviest:
            print(f"  {size / 1e3:6.0f} kB  {name.rpartition('/')[2] or '/'}")
        slow = FirstVisit(driven, url, "#vision-answers .se-card", line=LINE)
        print("on a line of 1.6 Mbit/s, seconds until there is")
        for name, spent in slow.times.items():
            print(f"  {spent / 1e3:6.1f}  {name}")
        print(f"layout shift {slow.shifted:.3f}")
        images = sorted((EXAMPLES_FOLDER / "vision").glob("*.png"))[::3][:DROPS]
        drops = dropped(driven, url, images)
        print(
            f"from a drop to its picture: median {statistics.median(drops):.0f} ms, longest "
            f"{max(drops):.0f} ms, {len(drops)} images, {os.cpu_count()} cores {platform.machine()}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
