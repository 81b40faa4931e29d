import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow_stories import STORY, TRIAL, Place, look, point, started

from noisetune.errors import UserError
from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.tracking import tracker as tracker_module
from noisetune.tracking.tracker import check_tracking, open_tracker


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class MlflowServer:
    """`mlflow server` in a process group of its own, to be killed with all its workers."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        self.command += ["--port", str(self.port), "--workers", "1"]
        self.command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
        self.command += ["--artifacts-destination", str(folder / "artifacts")]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=1).read()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    made = MlflowServer(tmp_path)
    yield made
    made.kill()


def points_of(trials: Sequence[TrialRecord], steps: range) -> list[tuple[TrialRecord, MetricPoint]]:
    return [
        (trial, MetricPoint("finetune", step, {"a": step / 10, "b": trial.number / 7}, step * 1.5))
        for step in steps
        for trial in trials
    ]


@pytest.mark.long
def test_a_server_that_is_killed_and_started_again_holds_every_row_once(
    server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker_module, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(tracker_module, "MESSAGES_AT_ONCE", 20)
    monkeypatch.setattr(tracker_module, "RETRY_SECONDS", 0.3)
    trials = [replace(TRIAL, name=f"it's t={number}", number=number) for number in range(6)]
    tracker = open_tracker(server.uri, "sweep", tmp_path / "outbox.jsonl", None)
    tracker.sweep("running", {"name": "sweep"})
    server.start()
    said: list[tuple[TrialRecord, MetricPoint]] = []

    def tell(steps: range, disturb: Callable[[], None] | None) -> None:
        for count, (trial, each) in enumerate(points_of(trials, steps)):
            said.append((trial, each))
            tracker.point(trial, each)
            time.sleep(0.01)
            if count == 60 and disturb:
                disturb()

    for trial in trials:
        tracker.started(trial)
    tell(range(1, 21), server.kill)
    tell(range(21, 41), server.start)
    tell(range(41, 61), server.kill)
    server.start()
    for trial in trials:
        tracker.result(trial, TrialResult({}, {}, {}, {}, {}))
        tracker.ended(trial)
    tracker.sweep("complete", {})
    assert tracker.close()
    seen = look(Place(server.uri, None), "sweep")
    assert len(seen) == 7
    for trial in trials:
        mine = [each for other, each in said if other is trial]
        rows = {
            (name, each.step, value, round(each.made * 1000))
            for each in mine
            for name, value in each.values.items()
        }
        told = [row for row in seen[trial.name].rows if row[0] != "test/accuracy_at_last"]
        assert sorted(rows) == told
        assert (seen[trial.name].status, seen[trial.name].result) == ("FINISHED", True)


@pytest.mark.long
def test_a_server_takes_what_a_database_takes(server: MlflowServer) -> None:
    server.start()
    served = Place(server.uri, None)
    served.runs("sweep").apply(STORY)
    first = look(served, "sweep")
    served.runs("sweep").apply(STORY)
    assert look(served, "sweep") == first
    odd = {"nan": math.nan, "inf": math.inf, "odd(name)": 1.0}
    served.runs("sweep").apply([started("u", a=""), point("u", 1, 3.0) | {"values": odd}])
    assert len(look(served, "sweep")["u"].rows) == 3


def test_a_server_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(UserError, match=r"http://127.0.0.1:\d+ does not answer .*SQLite"):
        check_tracking(f"http://127.0.0.1:{free_port()}", "sweep", None)
