"""A Ray of our own on this machine: private, silent, and gone with all its processes."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import patch

import psutil
import ray
from ray._private import services

from noisetune.sweep import keep_token
from noisetune.sweep.execution.private_folder import private_folder
from noisetune.sweep.execution.stop import deaf_children

END_SECONDS = 2.0
"""So long processes of Ray's have to end by themselves once it is shut down."""


@contextmanager
def local_ray(cpus: int, gpus: int, **options: Any) -> Iterator[None]:
    """A Ray that this process starts, with so many CPUs and GPUs, and ends."""
    keep_token()
    others = set(psutil.Process().children())
    with private_folder() as folder:
        try:
            with deaf_children(), without_web_server():
                # Said so, because Ray would join a cluster that happens to run on this machine.
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    num_gpus=gpus,
                    include_dashboard=False,
                    _temp_dir=str(folder),
                    **options,
                )
            yield
        finally:
            _shut_down(others)


@contextmanager
def without_web_server() -> Iterator[None]:
    """Ray starts no web server: even without the dashboard, and with usage statistics off, that
    asks the metadata servers of three clouds where it is."""
    with patch.object(services, "start_api_server", lambda *_, **__: ("", None)):
        yield


def _shut_down(others: set[psutil.Process]) -> None:
    """End Ray, and what of it does not hear of that; `others` are not Ray's."""
    started = list[psutil.Process]()
    for daemon in set(psutil.Process().children()) - others:
        with suppress(psutil.NoSuchProcess):
            started += [daemon, *daemon.children(recursive=True)]
    ray.shutdown()
    # An agent that loses its raylet tells the head so, which is gone: it would wait a minute.
    for each in psutil.wait_procs(started, END_SECONDS)[1]:
        with suppress(psutil.NoSuchProcess):
            each.kill()
