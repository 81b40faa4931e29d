"""A sweep over hosts of which one is cut off, one comes late and one is taken away.

pytest -n 0 -m system tests/infra/test_several_hosts.py
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import MEMBERS, Host, Network, network, wait_for
from manifests import INFRA, ROOT
from mlflow.tracking import MlflowClient

from noisetune.records import TrialRecord
from noisetune.sweep.home import Home
from noisetune.sweep.study.storage import open_sweep

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]
PORTS = (ROOT / "docs/cluster.md").read_text().split("**Ports.**")[1]
NAME, TRIALS, EPOCHS = "far", 8, 40
OPEN = {int(port) for port in re.findall(r"ssh\s+alone\s+\((\d+)\)\s+is\s+open", PORTS)}
"""Who is no host of the cluster reaches these alone."""
NOTICED = 30.0
"""Seconds, after which Ray begins to take a host that does not answer as lost."""
SPACE = {"parameters": {"finetune.lr": {"low": 1e-3, "high": 1e-2, "log": True}}}
SWEEP: dict[str, Any] = {
    "name": NAME,
    "search_space": "space.yaml",
    "trial": {
        "data": {"train_samples": 600, "test_samples": 100},
        "model": {"width": 8},
        "pretrain": {"method": "none"},
        "finetune": {"epochs": EPOCHS, "batch_size": 32},
    },
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
    "trials_per_condition": TRIALS,
    "replicates": 0,
}


@dataclass
class Cluster:
    """Hosts by role, and a folder that all see."""

    network: Network
    folder: Path
    head: Host
    workers: list[Host]
    late: Host
    outsider: Host

    def start(self, host: Host, role: str, *words: str) -> None:
        """Ray on a host, as infra/ray-node has it, in the foreground."""
        env = {"HOME": str(self.folder), "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "40"}
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        node = [INFRA / "ray-node", role, self.head.address, "--block", *words]
        log = self.folder / f"{host.address}.log"
        host.start(log, *node, "--object-store-memory", "80000000", **env)

    def start_worker(self, host: Host) -> None:
        self.start(host, "worker", "--node-ip-address", host.address, "--num-cpus", "1")
        wait_for(lambda: len(host.listening()) > 1, f"{host.address} does not join")

    def noisetune(self, *words: object) -> subprocess.Popen[str]:
        """A command on the head."""
        program = [sys.executable, "-c", "from noisetune.cli import main; main()"]
        env = {"HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            self.head.within("env", "-C", self.folder, *program, *words),
            env=os.environ | env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def records(self) -> list[TrialRecord]:
        try:
            sweep, ledger = open_sweep(Home(self.folder / "mlruns"), NAME)
        except Exception:
            return []  # it is just being made
        return ledger.records(sweep.cells)

    def done(self) -> int:
        return sum(record.state == "complete" for record in self.records())


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A head without a CPU and two workers of one each, closed to whoever is no host of it."""
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    lines = (INFRA / "ray/hosts.nft").read_text().replace("10.0.0.0/24", MEMBERS)
    (tmp_path / "hosts.nft").write_text(lines)
    with network() as wire:
        members = [wire.add(f"h{number}", f"10.77.0.{number}") for number in range(1, 5)]
        head, *workers, late = members
        outsider = wire.add("out", "10.77.9.9")
        made = Cluster(wire, tmp_path, head, workers, late, outsider)
        for host in members:
            words = ["ip", "netns", "exec", host.name, "nft", "-f", str(tmp_path / "hosts.nft")]
            subprocess.run(words, check=True)
        made.start(head, "head", "--num-cpus", "0", "--temp-dir", f"/tmp/{wire.prefix}")
        wait_for(lambda: 6379 in head.listening(), "the head does not listen")
        for worker in workers:
            made.start_worker(worker)
        yield made
    shutil.rmtree(f"/tmp/{wire.prefix}", ignore_errors=True)


def test_a_sweep_outlives_its_hosts(cluster: Cluster) -> None:
    cut, taken = cluster.workers
    running = cluster.noisetune("sweep", "sweep.yaml", "--address", f"{cluster.head.address}:6379")
    try:
        wait_for(
            lambda: running.poll() is not None or (cut.runs_a_trial() and taken.runs_a_trial()),
            "no trial runs on each worker",
            240,
        )
        assert running.poll() is None, running.communicate()[0]
        assert_closed(cluster)

        cluster.start_worker(cluster.late)
        wait_for(cluster.late.runs_a_trial, "the late host gets no trial", 240)

        cut.cut_off(True)
        taken.terminate()
        time.sleep(NOTICED)
        wait_for(taken.ended, "the host that is taken away does not leave")
        cut.cut_off(False)
        # Ray may have given it up, or not have noticed.
        wait_for(lambda: cut.ended() or running.poll() is not None, "the sweep hangs", 300)
        if running.poll() is None:
            cluster.start_worker(cut)
        said, _ = running.communicate(timeout=480)
    finally:
        running.kill()
    assert running.returncode == 0, said
    assert_nothing_lost_nothing_doubled(cluster)


def assert_closed(cluster: Cluster) -> None:
    """Every port that `ss` shows is tried from a host that is none of the cluster's."""
    assert OPEN
    for host in (cluster.head, *cluster.workers):
        everywhere = {
            port
            for port, addresses in host.listening().items()
            if not addresses <= {"127.0.0.1", "[::1]"}
        }
        assert everywhere
        if host is not cluster.head:
            assert cluster.head.answers(host, max(everywhere))
        answered = {port for port in host.listening() if cluster.outsider.answers(host, port)}
        assert answered <= OPEN
    # Without the lines that infra has, the head would answer.
    assert cluster.workers[0].answers(cluster.head, 6379)
    table = [
        "ip",
        "netns",
        "exec",
        cluster.head.name,
        "nft",
        "delete",
        "table",
        "inet",
        "noisetune",
    ]
    subprocess.run(table, check=True)
    assert cluster.outsider.answers(cluster.head, 6379)
    again = [*table[:4], "nft", "-f", str(cluster.folder / "hosts.nft")]
    subprocess.run(again, check=True)


def assert_nothing_lost_nothing_doubled(cluster: Cluster) -> None:
    records = cluster.records()
    names = [f"all trial {number}" for number in range(TRIALS)]
    assert [(each.name, each.state) for each in records] == [(name, "complete") for name in names]
    client = MlflowClient(f"sqlite:///{cluster.folder / 'mlruns/mlflow.db'}")
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert Counter(run.info.status for run in runs) == {"FINISHED": TRIALS + 1}
    for run in runs:
        if run.data.tags.get("noisetune.trial"):
            rows = client.get_metric_history(run.info.run_id, "val/accuracy")
            assert [row.step for row in rows] == list(range(1, EPOCHS + 1))
