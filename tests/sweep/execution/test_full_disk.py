"""A disk that is full in the middle of a sweep, and later is not: nothing fails or is doubled."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.tracking import MlflowClient

from noisetune.sweep.home import Home
from noisetune.sweep.study.storage import open_sweep

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]
MAIN = [sys.executable, "-c", "from noisetune.cli import main; main()"]
SWEEP: dict[str, Any] = {
    "name": "full",
    "search_space": "space.yaml",
    "sampler": {"name": "tpe", "seed": 0},
    "pruner": {"name": "none"},
    "trials_per_condition": 3,
    "replicates": 2,
    "max_concurrent": 2,
    "trial": {
        "data": {"train_samples": 300, "test_samples": 100},
        "model": {"width": 16},
        "pretrain": {"epochs": 3, "batch_size": 64},
        "finetune": {"epochs": 3, "batch_size": 64},
        "runtime": {"threads": 1},
    },
}
SPACE: dict[str, Any] = {
    "conditions": {"noise.rate": [0.3, 0.6], "pretrain.method": ["none", "simclr"]},
    "parameters": {"finetune.lr": {"low": 1e-3, "high": 1e-2, "log": True}},
}
TRIALS = 4 * (3 + 2)


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of some MB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={request.param}m"
    mount = ["mount", "-t", "tmpfs", "-o", size, "noisetune-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs to be root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def noisetune(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*MAIN, *words, "--mlruns", str(folder / "disk" / "mlruns")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("disk", [2, 20, 60], indirect=True)
def test_once_there_is_room_again_a_resume_ends_the_sweep(tmp_path: Path, disk: Path) -> None:
    for name, content in (("sweep", SWEEP), ("space", SPACE)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    first = noisetune(tmp_path, "sweep", "sweep.yaml")
    said = first.stdout + first.stderr
    assert "Traceback" not in said
    home = Home(disk / "mlruns")
    if first.returncode:
        assert first.returncode == 1, said
        assert "No space left on device" in said or "is full" in said
    begun = home.ledger_file("full").exists()
    subprocess.run(["mount", "-o", "remount,size=800m", str(disk)], check=True)
    second = noisetune(tmp_path, *(("resume", "full") if begun else ("sweep", "sweep.yaml")))
    assert second.returncode == 0, second.stdout + second.stderr

    sweep, ledger = open_sweep(home, "full")
    records = ledger.records(sweep.cells)
    assert Counter(record.state for record in records) == {"complete": TRIALS}
    client = MlflowClient(home.tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name("full").experiment_id])
    tags = [run.data.tags for run in runs]
    names = Counter(each["noisetune.trial"] for each in tags if each.get("noisetune.trial"))
    assert names == Counter(record.name for record in records)
    for run in runs:
        assert run.info.status == "FINISHED"
