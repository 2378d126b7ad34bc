"""What SE-Merging costs, against what it can't avoid: `python -m semerge bench`."""
