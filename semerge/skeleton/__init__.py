"""python -m semerge init-suite: a suite.json for checkpoints that somebody has."""
