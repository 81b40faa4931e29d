"""A sweep on a Ray cluster that others started: a head and two nodes, on this machine."""

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from mlflow.tracking import MlflowClient

from noisetune.errors import UserError
from noisetune.sweep.execution.cluster import connect
from noisetune.sweep.home import Home
from noisetune.sweep.study.storage import open_sweep

MAIN = [sys.executable, "-c", "from noisetune.cli import main; main()"]
CLUSTER = """
import json, sys
from noisetune.sweep import show_token
show_token()
from noisetune.sweep.execution.launch import ray
from ray.cluster_utils import Cluster

cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
for node in json.loads(sys.argv[1]):
    cluster.add_node(**node)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""
WHERE = """
import sys
from noisetune.sweep import show_token
show_token()
from noisetune.sweep.execution.cluster import connect, ray

@ray.remote(num_cpus=0)
def where():
    import noisetune
    return noisetune.__file__

connect(sys.argv[1])
print(ray.get(where.remote()))
"""
NOTED = '''
"""Cross-entropy that notes where its file lies."""

from pathlib import Path
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from noisetune.finetuning.base import FinetuneConfig


class Config(FinetuneConfig):
    """It is written into the file `note`."""

    method: Literal["noted"] = "noted"
    note: Path

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        self.note.write_text(__file__)
        return F.cross_entropy(logits, labels)
'''
TWO: list[dict[str, Any]] = [{"num_cpus": 1}, {"num_cpus": 1}]
EPOCHS = 25  # a trial lasts long enough for both hosts to be seen at work
SPACE = {"parameters": {"finetune.lr": {"low": 1e-3, "high": 1e-2, "log": True}}}
SWEEP: dict[str, Any] = {
    "name": "far",
    "search_space": "space.yaml",
    "trial": {
        "data": {"train_samples": 150, "test_samples": 60},
        "model": {"width": 4},
        "pretrain": {"method": "none"},
        "finetune": {"epochs": EPOCHS, "batch_size": 32},
    },
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
    "trials_per_condition": 4,
    "replicates": 2,
}


@dataclass(frozen=True)
class Running:
    """A cluster's address, and the process that started all of it."""

    address: str
    process: psutil.Process

    def trial_hosts(self) -> Counter[int]:
        """The nodes, by the process that starts others there, on which trials run now, and how
        many do."""
        found: Counter[int] = Counter()
        for process in self.process.children(recursive=True):
            with suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if title.startswith("ray::") and "Trainable" in title:
                    found[process.ppid()] += 1
        return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Running]:
    with running_cluster() as running:
        yield running


@contextmanager
def running_cluster(nodes: Sequence[dict[str, Any]] = TWO, **env: str) -> Iterator[Running]:
    """A head without a CPU, and nodes as Ray is told of them, in another process."""
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER, json.dumps(nodes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | env,
    ) as running:
        assert running.stdin
        assert running.stdout
        address = next(line.strip() for line in running.stdout if line.startswith("127.0.0.1:"))
        yield Running(address, psutil.Process(running.pid))
        running.stdin.close()


def write_sweep(folder: Path, **changes: Any) -> Path:
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(SWEEP | changes))
    return file


def start(folder: Path, *words: object, **env: str) -> subprocess.Popen[str]:
    """`noisetune ...` in a process of its own, in `folder`."""
    return subprocess.Popen(
        [*MAIN, *map(str, words)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | env,
    )


@pytest.mark.long
def test_a_sweep_runs_on_the_hosts_of_a_cluster(cluster: Running, tmp_path: Path) -> None:
    hosts: set[int] = set()
    words = ("sweep", write_sweep(tmp_path), "--address", cluster.address)
    with start(tmp_path, *words) as running:
        while running.poll() is None:
            hosts.update(cluster.trial_hosts())
            time.sleep(0.05)
        assert running.stderr
        assert running.returncode == 0, running.stderr.read()
    assert len(hosts) == 2
    home = Home(tmp_path / "mlruns")
    sweep, ledger = open_sweep(home, "far")
    names = [f"all trial {number}" for number in range(4)]
    names += [f"all replicate {number}" for number in range(2)]
    records = ledger.records(sweep.cells)
    assert [(each.name, each.state) for each in records] == [(name, "complete") for name in names]
    client = MlflowClient(f"sqlite:///{home.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("far")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert Counter(run.info.status for run in runs) == {"FINISHED": len(names) + 1}
    for run in runs:
        if run.data.tags.get("noisetune.trial", ""):
            rows = client.get_metric_history(run.info.run_id, "val/accuracy")
            assert [row.step for row in rows] == list(range(1, EPOCHS + 1))


@pytest.mark.long
def test_hosts_of_two_kinds_run_as_many_trials_as_their_gpus_hold(tmp_path: Path) -> None:
    kinds = [
        {"num_cpus": 8, "num_gpus": 1, "resources": {f"accelerator_type:{kind}": 1}}
        for kind in ("H100", "T4")
    ]
    resources = {"cpu": 1, "gpu": 0.5, "gpu_on": {"H100": 0.25}}
    trial = SWEEP["trial"] | {"runtime": {"device": "cpu", "precision": "fp32", "compile": False}}
    changes = {"trials_per_condition": 8, "replicates": 0, "resources": resources, "trial": trial}
    most: Counter[int] = Counter()
    with running_cluster(kinds) as cluster:
        words = ("sweep", write_sweep(tmp_path, **changes), "--address", cluster.address)
        with start(tmp_path, *words) as running:
            while running.poll() is None:
                most |= cluster.trial_hosts()
                time.sleep(0.05)
            assert running.stderr
            assert running.returncode == 0, running.stderr.read()
    # One more waits in the wings, for whichever has room first.
    assert sorted(most.values()) == [2, 4]
    sweep, ledger = open_sweep(Home(tmp_path / "mlruns"), "far")
    assert [each.state for each in ledger.records(sweep.cells)] == ["complete"] * 8


@pytest.mark.long
def test_the_doctor_says_what_a_cluster_has(cluster: Running, tmp_path: Path) -> None:
    words = [*MAIN, "doctor", "--address", cluster.address, "--json"]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert said.returncode == 0, said.stderr
    ray = next(each for each in json.loads(said.stdout) if each["what"] == "Ray")
    assert ray["state"] == "ok"
    assert ray["text"].endswith(f"the cluster at {cluster.address} has 2 CPUs, 0 GPUs")
    hosts = next(each for each in json.loads(said.stdout) if each["what"].startswith("host"))
    assert hosts["text"] == "2 hosts (127.0.0.1, 127.0.0.1) as this one"


@pytest.mark.long
def test_a_store_that_a_host_does_not_see_is_refused(cluster: Running, tmp_path: Path) -> None:
    words = ("--address", cluster.address, "--store", "memory://stages")
    with start(tmp_path, "sweep", write_sweep(tmp_path), *words) as running:
        _, said = running.communicate(timeout=100)
    assert running.returncode == 2
    assert "memory://stages: 127.0.0.1 of the cluster does not see what" in said
    assert "Traceback" not in said


@pytest.mark.long
def test_the_hosts_get_this_checkout(cluster: Running, tmp_path: Path) -> None:
    words = [sys.executable, "-c", WHERE, cluster.address]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "py_modules" in said.stdout, said.stderr


@pytest.mark.long
def test_the_hosts_get_the_plugins_of_other_packages(cluster: Running, tmp_path: Path) -> None:
    """Of a package that the driver alone has on its path."""
    installed = tmp_path / "installed"
    package, facts = installed / "far_plugins", installed / "far_plugins-1.dist-info"
    for folder in (package, facts):
        folder.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "noted.py").write_text(NOTED)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: far-plugins\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(
        "[noisetune.finetuning]\nnoted = far_plugins.noted\nbroken = no_such_package.mine\n"
    )
    note = tmp_path / "note"
    noted = {"method": "noted", "note": str(note), "epochs": 1, "batch_size": 32}
    trial = SWEEP["trial"] | {"finetune": noted}
    small = {"trial": trial, "trials_per_condition": 1, "replicates": 0}
    file = write_sweep(tmp_path, **small)
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = ("sweep", file, "--address", cluster.address)
    with start(tmp_path, *words, PYTHONPATH=path) as running:
        _, said = running.communicate(timeout=250)
    assert running.returncode == 0, said
    assert "py_modules" in note.read_text()


def test_an_address_where_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(UserError, match=f"--address {address}: no Ray cluster answers there"):
            connect(address)


@pytest.mark.long
def test_a_cluster_that_shows_no_token_is_told(tmp_path: Path) -> None:
    """Its hosts would be turned away here, and every trial end before it began."""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    with running_cluster(RAY_AUTH_MODE="disabled") as cluster:
        words = ("sweep", write_sweep(tmp_path), "--address", cluster.address)
        with start(tmp_path, *words, HOME=str(tmp_path), RAY_AUTH_MODE="token") as running:
            _, said = running.communicate(timeout=200)
    assert running.returncode == 2
    assert "the cluster cannot call this driver" in said
    assert "Traceback" not in said
