"""Entry of the app, on a Hugging Face Space and at home: `python app.py`."""

from __future__ import annotations

import os

# before gradio is imported: no telemetry, no version check, no hub
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


def main() -> None:
    from semerge.ui.app import launch_options, make_context, start

    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    page = start(make_context())
    print(f"SE-Merging opens at http://{host}:{port} (Ctrl+C ends it)", flush=True)
    page.launch(**launch_options(host, port))


if __name__ == "__main__":
    main()
