"""Labelled and unlabelled sets, through one door each, and the two tasks that are rendered."""
