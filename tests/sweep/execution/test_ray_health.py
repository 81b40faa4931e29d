"""Ray's own processes: one that ends pauses the sweep; a driver that hangs in Ray is ended."""

import logging
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from noisetune.sweep.execution import ray_health
from noisetune.sweep.execution.ray_health import dead_process, watched


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Processes of Ray's that have ended; to be added to."""
    ended: list[tuple[str, Any]] = []
    node = SimpleNamespace(dead_processes=lambda: ended)
    monkeypatch.setattr(ray_health.ray._private.worker, "_global_node", node)
    monkeypatch.setattr(ray_health, "LOOK_SECONDS", 0.01)
    return ended


@pytest.mark.parametrize(
    ("name", "needed"), [("raylet", True), ("gcs_server", True), ("log_monitor", False)]
)
def test_what_ray_cannot_do_without_is_named(
    node: list[tuple[str, Any]], name: str, needed: bool
) -> None:
    assert dead_process() is None
    node.append((name, None))
    assert (dead_process() is not None) == needed
    assert not needed or name in str(dead_process())


def test_without_a_ray_of_its_own_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_health.ray._private.worker, "_global_node", None)
    assert dead_process() is None


def test_the_sweep_is_paused_and_told_once(
    node: list[tuple[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    reasons, paused = list[str](), threading.Event()
    with (
        caplog.at_level(logging.ERROR),
        watched(lambda reason: (reasons.append(reason), paused.set()), "noisetune resume mine"),
    ):
        assert not paused.is_set()
        node.append(("raylet", None))
        assert paused.wait(10)
    assert reasons == [dead_process()]
    (line,) = caplog.messages
    assert line.endswith("the sweep stops; go on with `noisetune resume mine`")


def test_it_looks_well_within_fifteen_seconds_and_before_ray_gives_up() -> None:
    assert ray_health.LOOK_SECONDS <= 5
    assert ray_health.LOOK_SECONDS + ray_health.GRACE_SECONDS < 60


def test_a_driver_that_hangs_is_ended() -> None:
    program = (
        "import time\n"
        "from types import SimpleNamespace\n"
        "from noisetune.sweep.execution import ray_health\n"
        "node = SimpleNamespace(dead_processes=lambda: [('gcs_server', None)])\n"
        "ray_health.ray._private.worker._global_node = node\n"
        "ray_health.LOOK_SECONDS = ray_health.GRACE_SECONDS = 0.01\n"
        "with ray_health.watched(lambda reason: None, 'noisetune resume mine'):\n"
        "    time.sleep(100)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 1
    assert "go on with `noisetune resume mine`" in done.stderr
