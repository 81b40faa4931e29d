"""Hears of it, in a trial's process, when Ray is about to give its host up.

Ray drains a host whose `ray start --block` gets SIGTERM, as a spot host's, a pod's or a service's
does, and one that its autoscaler or `ray drain-node` gives up: nothing new is placed there, and it
ends once nothing runs on it, or when its time is up.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray

from noisetune import leaving

LOOK_SECONDS = 2.0
log = logging.getLogger(__name__)


def watch(draining: Callable[[], Mapping[str, int]], node: str) -> None:
    """Ask once whether `node` is among those that are `draining`, by their deadlines (Unix
    milliseconds, 0 for none), and announce it."""
    deadline = draining().get(node)
    if deadline is not None:
        leaving.announce(deadline / 1000 - time.time() if deadline else float("inf"))


def start_watching() -> None:
    """Watch this process's own host, for as long as the process lives; one thread does."""
    if any(thread.name == __name__ for thread in threading.enumerate()):
        return
    worker: Any = ray._private.worker.global_worker
    node = ray.get_runtime_context().get_node_id()
    threading.Thread(
        target=_watch, args=(worker.gcs_client, node), name=__name__, daemon=True
    ).start()


def _watch(client: Any, node: str) -> None:
    while leaving.seconds_left() is None:
        try:
            watch(lambda: client.get_draining_nodes(timeout=LOOK_SECONDS), node)
        except Exception as error:
            # A head that does not answer is Ray's to notice.
            log.debug("draining hosts: %s", error)
        time.sleep(LOOK_SECONDS)
