"""NVIDIA's MPS beside a command, with a stand-in for its daemon."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from manifests import INFRA

DAEMON = """#!/bin/sh
[ "${1:-}" = -d ] && words=start || read -r words
echo "$words $CUDA_MPS_PIPE_DIRECTORY" >>"$NOTES"
exit "${CODE:-0}" """

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """What the daemon was told, a line each, with its folder."""
    return tmp_path / "notes"


@pytest.fixture
def start(tmp_path: Path, notes: Path) -> Iterator[Start]:
    """Starts the script, with the stand-in on the path."""
    daemon = tmp_path / "nvidia-cuda-mps-control"
    daemon.write_text(DAEMON)
    daemon.chmod(0o755)
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **env: str) -> subprocess.Popen[str]:
        path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "NOTES": str(notes)}
        started.append(
            subprocess.Popen(
                [INFRA / "with-mps", *words],
                env=os.environ | path | env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def told(notes: Path, count: int) -> list[str]:
    wait_until(lambda: len(notes.read_text().splitlines()) >= count)
    return notes.read_text().splitlines()


def test_mps_is_there_for_the_command_alone(start: Start, notes: Path) -> None:
    asked = 'stat -c %a "$CUDA_MPS_PIPE_DIRECTORY"; echo "$CUDA_MPS_PIPE_DIRECTORY"; exit 7'
    process = start("sh", "-c", asked)
    mode, folder = process.communicate()[0].split()
    assert (process.returncode, mode) == (7, "700")
    assert told(notes, 2) == [f"start {folder}", f"quit {folder}"]
    wait_until(lambda: not Path(folder).exists())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_the_commands_own_and_mps_ends_after_it(
    start: Start, notes: Path, number: signal.Signals
) -> None:
    caught = "trap 'sleep 0.5; echo ended >>\"$NOTES\"; exit 3' TERM INT; echo up; sleep 60 & wait"
    process = start("bash", "-c", caught)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.killpg(process.pid, number)
    assert process.wait(30) == 3
    assert [line.split()[0] for line in told(notes, 3)] == ["start", "ended", "quit"]


def test_a_daemon_that_does_not_start_ends_it(start: Start, notes: Path) -> None:
    process = start("echo", "ran", CODE="1")
    said, _ = process.communicate()
    assert (said, process.returncode) == ("", 2)
    folder = Path(told(notes, 2)[0].split()[1])
    wait_until(lambda: not folder.exists())


def test_without_nvidias_driver_it_says_what_is_missing(start: Start, tmp_path: Path) -> None:
    (tmp_path / "nvidia-cuda-mps-control").unlink()
    process = start("true")
    assert "it comes with NVIDIA's driver" in process.communicate()[1]
    assert process.returncode == 2


def test_without_a_command_it_says_how_it_is_used(start: Start) -> None:
    process = start()
    assert "usage: infra/with-mps COMMAND" in process.communicate()[1]
    assert process.returncode != 0
