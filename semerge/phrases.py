"""Small pieces of the sentences that people read."""


def gigabytes(size: float) -> str:
    """Bytes in decimal units, as the hub shows them: 3.40 GB, or 4.2 MB below a tenth of one."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def first_line(error: Exception) -> str:
    """What another library's error says, short enough to stand inside a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
