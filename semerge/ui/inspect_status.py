"""What is said of a run: how far it is, and how it ended. HTML; no gradio here."""

from __future__ import annotations

from semerge.ui.inspect_choice import UPLOAD, Choice
from semerge.ui.inspect_runs import Run
from semerge.ui.markup import esc, failure

INVITATION = (
    '<p class="se-hint">Run a labelled set to see where SE-Merging mends the static merge, where '
    "it breaks it, and where it takes the wrong expert.</p>"
)
STOPPING = '<p class="se-hint" role="status">Stopping…</p>'
WAITS = "This link names a set that takes a while: press Run, and it is shown as the link has it."
NO_UPLOAD = "No link holds an upload: choose the file again and press Run."


def progress(run: Run) -> str:
    """A bar with the samples done and the time left. The bar is there to be asked by a screen
    reader, not to interrupt it several times a second."""
    if not run.total:
        return f'<p class="se-hint" role="status">{esc(run.stage)}…</p>'
    told = f"{run.done:,} of {run.total:,} samples"
    if run.left is not None:
        told += f", {duration(run.left)} left"
    return (
        f'<div class="se-run"><progress max="{run.total}" value="{run.done}" '
        f'aria-label="Samples done"></progress><span>{told}</span></div>'
    )


def ended(run: Run) -> str:
    """How it ended, and what is shown of it."""
    done = len(run.found.rows) if run.found else 0
    if run.failure:
        kept = f" The {done:,} samples that were done are shown." if done else ""
        return failure(run.failure + kept, "The run failed." if done else "No result.")
    if not done:
        return _told("Cancelled before the first samples were done.")
    if run.found and run.found.complete:
        return _told(f"{done:,} samples in {_seconds(run.seconds)}.")
    return _told(f"Cancelled: {done:,} of {run.total:,} samples are done and shown.")


def duration(seconds: float) -> str:
    """`about 40 s`, `about 3 min`."""
    if seconds < 90:
        return f"about {max(1, round(seconds))}\u00a0s"
    return f"about {round(seconds / 60)}\u00a0min"


def waits(choice: Choice) -> str:
    """For a link to a set that nobody should have to wait for unasked, or that it can't hold."""
    return _told(NO_UPLOAD if choice.kind == UPLOAD else WAITS)


def opened(samples: int) -> str:
    """For a link that was opened with its result."""
    return _told(f"{samples:,} samples, as the link names them.")


def _seconds(seconds: float) -> str:
    return "less than a second" if seconds < 1 else f"{seconds:.0f}\u00a0s"


def _told(text: str) -> str:
    return f'<p class="se-hint" role="status">{esc(text)}</p>'
