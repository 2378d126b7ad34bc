"""The recipes that make the bundled suites. Nothing outside this package needs it."""
