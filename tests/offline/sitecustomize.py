"""Python imports this at its start where this folder is on PYTHONPATH: in what the tests start."""

import network_guard

network_guard.install()
