"""Entry of the app, on a Hugging Face Space and at home: `python app.py [--verbose] [SUITE ...]`.

A SUITE is a suite's folder or name; $SEMERGE_SUITES names more. Tabs open with the first.
--verbose tells on stderr how long each stage of the start takes.
"""

from __future__ import annotations

import os
import sys

# before gradio is imported: no telemetry, no version check, no hub
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
# behind a proxy: gradio looks whether its own address answers, which no proxy can tell
_beyond = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
os.environ["no_proxy"] = ",".join(filter(None, (_beyond, "127.0.0.1,localhost")))


def main() -> None:
    from semerge.common import Stopwatch

    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    asked = os.environ.get("GRADIO_SERVER_PORT", "7860")
    if not (asked.isascii() and asked.isdigit() and 0 < int(asked) < 1 << 16):
        sys.exit(f"semerge: GRADIO_SERVER_PORT is a number from 1 to 65535, not {asked!r}.")
    port = int(asked)
    verbose = "--verbose" in sys.argv[1:]
    watch = Stopwatch(verbose)

    from semerge.ui.app import launch_options, make_context, start

    watch.lap("import gradio and the page's modules")
    named = os.environ.get("SEMERGE_SUITES", "").split(os.pathsep)
    given = [argument for argument in sys.argv[1:] if argument != "--verbose"]
    context = make_context([*given, *filter(None, named)], Stopwatch(verbose))
    watch.lap("read suites and examples")
    page = start(context)
    watch.lap("build the page")
    print(f"SE-Merging opens at http://{host}:{port} (Ctrl+C ends it)", flush=True)
    try:
        page.launch(**launch_options(host, port), prevent_thread_lock=True)
    except OSError as error:  # as a rule another program has the port
        others = "make demo PORT=7861, or GRADIO_SERVER_PORT=7861"
        sys.exit(
            f"semerge: the page can't be served at {host}:{port} ({error}) "
            f"Free the port, or name another: {others}."
        )
    watch.lap("serve the page")
    page.block_thread()


if __name__ == "__main__":
    main()
