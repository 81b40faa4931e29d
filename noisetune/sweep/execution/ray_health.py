"""Ray's own processes on this machine: they are looked at, because Ray waits a minute for one that
is gone, and then ends the driver with a dump."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray

NEEDED = ("raylet", "gcs_server")
LOOK_SECONDS = 2.0
GRACE_SECONDS = 25.0
"""How long a driver may take to end in good order: it may be caught in a call of Ray's."""

log = logging.getLogger(__name__)


def dead_process() -> str | None:
    """Which process the local Ray cannot do without has ended, in words; None: all live.

    Of a cluster that this process did not start nothing is seen.
    """
    node = ray._private.worker._global_node
    if node is None:
        return None
    for name, _ in node.dead_processes():
        if name in NEEDED:
            return f"Ray's {name} on this machine has ended; see its log, and the host's memory"
    return None


@contextmanager
def watched(pause: Callable[[str], None], resume: str) -> Iterator[None]:
    """Pause a sweep whose Ray comes to an end inside, and end the process where that hangs.

    `resume` is the command that goes on. All that was written stays; MLflow hears of it then.
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            if (end := dead_process()) is not None:
                log.error("%s: the sweep stops; go on with `%s`", end, resume)
                pause(end)
                if not over.wait(GRACE_SECONDS):
                    os._exit(1)
                return

    thread = threading.Thread(target=look, name="ray health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
