"""The one exception that is meant for people, and how a command ends that they stopped."""

STOPPED = 130
"""The exit code after Ctrl+C, as shells have it."""


class UserError(ValueError):
    """Input that can't be used, told in one clear sentence.

    The command line prints the sentence and exits with 2; the app shows it as a message and goes
    on. Anything else that is raised is a defect of this project.
    """
