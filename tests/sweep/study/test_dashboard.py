"""Other eyes on the ledger: optuna-dashboard opens the file as it is, and changes nothing in it."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from real_sweep import SWEEP, TRIAL, without_ray

from noisetune import run_sweep
from noisetune.sweep.home import Home

PROGRAM = "optuna-dashboard"
SPACE = {
    "conditions": {"noise.rate": [0.2, 0.6]},
    "parameters": {"finetune.lr": {"choices": [0.001, 0.003]}},
}
START_SECONDS = 60.0


@contextmanager
def dashboard(ledger: Path) -> Iterator[str]:
    """The address of a dashboard on a ledger, on this machine alone."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [PROGRAM, str(ledger), "--host", "127.0.0.1", "--port", port]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def asked(address: str) -> Any:
    """What it answers, once it is there."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)
        except URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


@pytest.mark.system
def test_a_dashboard_sees_every_study_of_the_ledger(tmp_path: Path) -> None:
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed: pip install 'noisetune[dashboard]'")
    with without_ray():
        given = {**SWEEP, "name": "mine", "trial": TRIAL, "replicates": 1}
        results = run_sweep(given, SPACE, mlruns=tmp_path)
    trials, ledger = results.trials(), Home(tmp_path).ledger_file("mine")
    before = ledger.read_bytes()
    with dashboard(ledger) as address:
        summaries = asked(f"{address}/api/studies")["study_summaries"]
        studies = {
            each["study_name"]: asked(f"{address}/api/studies/{each['study_id']}?after=0")
            for each in summaries
        }
    assert studies.pop("mine")["trials"] == []
    assert set(studies) == {
        f"mine / noise.rate={rate}{kind}" for rate in (0.2, 0.6) for kind in ("", " / replicates")
    }
    values = {
        f"{name} {trial['number']}": trial["values"]
        for name, study in studies.items()
        for trial in study["trials"]
    }
    assert len(values) == len(trials) == 6
    assert sorted(value for (value,) in values.values()) == pytest.approx(
        sorted(trials["objective"])
    )
    assert ledger.read_bytes() == before
