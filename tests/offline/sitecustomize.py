"""Python imports this at its start where this folder is on PYTHONPATH, as in the tests' children."""

import network_guard

network_guard.install()
