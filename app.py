"""Entry of the app, on a Hugging Face Space and at home: `python app.py [SUITE ...]`.

A SUITE is a suite's folder or name; $SEMERGE_SUITES names more. Tabs open with the first.
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
    from semerge.ui.app import launch_options, make_context, start

    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    named = os.environ.get("SEMERGE_SUITES", "").split(os.pathsep)
    page = start(make_context([*sys.argv[1:], *filter(None, named)]))
    print(f"SE-Merging opens at http://{host}:{port} (Ctrl+C ends it)", flush=True)
    page.launch(**launch_options(host, port))


if __name__ == "__main__":
    main()
