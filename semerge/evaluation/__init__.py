"""Labelled sets, accuracies, reports."""
