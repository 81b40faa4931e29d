"""Ctrl-C in the middle of a bench: it ends, without a traceback, and leaves nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STOCK, OURS = "noisetune-bench-*/bare/*/*", "noisetune-bench-*/sweeps/*/*"


@pytest.mark.parametrize("begun", [STOCK, pytest.param(OURS, marks=pytest.mark.long)])
def test_ctrl_c_ends_a_bench_of_the_engine(short: Path, begun: str) -> None:
    """Sent to all of the group, as a terminal does."""
    command = [sys.executable, "-m", "noisetune", "bench", "engine", "--many", "200"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"TMPDIR": str(short)},
        start_new_session=True,
    ) as bench:
        try:
            until = time.monotonic() + 120
            while time.monotonic() < until and bench.poll() is None and not any(short.glob(begun)):
                time.sleep(0.1)
            os.killpg(bench.pid, signal.SIGINT)
            said, _ = bench.communicate(timeout=60)
        finally:
            if bench.poll() is None:
                os.killpg(bench.pid, signal.SIGKILL)
    assert bench.returncode == 128 + signal.SIGINT, said
    told = [line for line in said.splitlines() if line and not line.startswith("starting Ray")]
    assert all(line.startswith("stopping (Ctrl-C)") for line in told)
    assert not list(short.glob("noisetune-*"))
