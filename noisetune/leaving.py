"""Whether this process's host is about to be taken away: a spot host, a queue that needs it."""

import time

_end: float | None = None


class HostLeaves(RuntimeError):  # noqa: N818
    """The host is taken away before more can be kept: the work is another host's from here on."""


def announce(seconds: float) -> None:
    """The host goes in so many seconds; the first word of it stands."""
    global _end
    if _end is None:
        _end = time.monotonic() + seconds


def withdraw() -> None:
    """The host stays after all."""
    global _end
    _end = None


def seconds_left() -> float | None:
    """Until the host goes, below 0 where that is past; None while it stays."""
    return None if _end is None else _end - time.monotonic()
