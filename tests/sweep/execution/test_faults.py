"""A sweep on digits from the command line that is killed at random moments, and goes on.

The long test is the proof; the short one is the same with two kills.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from mlflow.tracking import MlflowClient

from noisetune.records import TrialRecord
from noisetune.sweep.home import Home
from noisetune.sweep.study.storage import open_sweep, read_ledger
from noisetune.tracking.tracker import check_tracking

EPOCHS, TRIALS, REPLICATES = 2, 3, 1
SWEEP: dict[str, Any] = {
    "name": "killed",
    "search_space": "space.yaml",
    "trial": {
        "data": {"train_samples": 150, "test_samples": 60},
        "model": {"width": 4},
        "pretrain": {"epochs": 2, "batch_size": 32, "hidden": 8, "projection": 8},
        "finetune": {"epochs": EPOCHS, "batch_size": 32},
    },
    "sampler": {"name": "random", "seed": 0},
    "pruner": {"name": "none"},
    "trials_per_condition": TRIALS,
    "replicates": REPLICATES,
}
SPACE = {
    "conditions": {"pretrain.method": ["none", "simclr"]},
    "parameters": {"finetune.lr": {"low": 1e-3, "high": 1e-2, "log": True}},
}
CLUSTER = """
import sys
from noisetune.sweep import show_token
show_token()
from noisetune.sweep.execution.launch import ray
from ray.cluster_utils import Cluster

cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
print(cluster.address, flush=True)
for word in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("killed", flush=True)
cluster.shutdown()
"""
CONNECT = """
import sys
from pathlib import Path
from noisetune.tracking.tracker import check_tracking
check_tracking(sys.argv[1], "killed", Path("artifacts"))
"""
MAIN = [sys.executable, "-c", "from noisetune.cli import main; main()"]
EACH_EPOCH = ("train/loss", "val/accuracy", "test/accuracy")
WHOLE = 2 * (TRIALS + REPLICATES)


@dataclass
class Folder:
    """A project whose sweep is run in processes of their own, so that they can be killed."""

    root: Path
    tracking: str | None = None
    epochs: int = EPOCHS

    def write(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        finetune = SWEEP["trial"]["finetune"] | {"epochs": self.epochs}
        sweep = SWEEP | {"trial": SWEEP["trial"] | {"finetune": finetune}}
        (self.root / "sweep.yaml").write_text(yaml.safe_dump(sweep))
        (self.root / "space.yaml").write_text(yaml.safe_dump(SPACE))

    @property
    def home(self) -> Home:
        return Home(self.root / "mlruns")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command in a session of its own."""
        uri = ["--tracking-uri", self.tracking] if self.tracking else []
        command = [*MAIN, *words, "--mlruns", str(self.home.root), *uri]
        with (self.root / "said.txt").open("ab") as said:
            return subprocess.Popen(
                command, stdout=said, stderr=said, cwd=self.root, start_new_session=True
            )

    def drive(self) -> subprocess.Popen[bytes]:
        """`sweep` for the first driver, `resume` for those that follow."""
        if read_ledger(self.home, "killed") is None:
            return self.start("sweep", "sweep.yaml")
        return self.start("resume", "killed")

    def said(self) -> str:
        return (self.root / "said.txt").read_text()[-3000:]

    def records(self) -> list[TrialRecord]:
        sweep, ledger = open_sweep(self.home, "killed")
        return ledger.records(sweep.cells)

    def table(self) -> list[tuple[Any, ...]]:
        return [
            (each.name, each.state, each.config, each.objective, each.metrics)
            for each in self.records()
        ]


def kill_driver(process: subprocess.Popen[bytes]) -> None:
    """The driver and all that it started in its session, at once, with `kill -9`."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_worker(process: subprocess.Popen[bytes], chance: random.Random) -> bool:
    """One of the Ray workers that descend from the driver; whether there was one."""
    workers = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "Trainable" in child.name() + " ".join(child.cmdline()):
                workers.append(child)
    if workers:
        with suppress(psutil.NoSuchProcess):
            chance.choice(workers).kill()
    return bool(workers)


@contextmanager
def server(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's tracking server on this machine."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{root}/server.db", "--workers", "1"]
    command += ["--artifacts-destination", str(root / "artifacts")]
    quiet = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # The last of a server that was killed may answer for a moment yet.
    while answers(port):
        time.sleep(0.1)
    with (root / "server.txt").open("ab") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, env=quiet, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield process
    finally:
        kill_driver(process)


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@dataclass
class Count:
    """What went wrong in a sweep that was killed: all 0 is the promise."""

    lost_trials: int = 0
    doubled_trials: int = 0
    lost_runs: int = 0
    doubled_runs: int = 0
    lost_rows: int = 0
    doubled_rows: int = 0
    not_complete: int = 0


def count(folder: Folder) -> Count:
    """Compare ledger and MLflow with what an undisturbed sweep leaves."""
    records, found = folder.records(), Count()
    trials = Counter(record.name for record in records)
    found.lost_trials, found.doubled_trials = WHOLE - len(trials), len(records) - len(trials)
    found.not_complete = sum(record.state != "complete" for record in records)
    client = MlflowClient(folder.tracking or folder.home.tracking_uri)
    experiment = client.get_experiment_by_name("killed")
    all_runs = client.search_runs([experiment.experiment_id], max_results=1000)
    runs = Counter(run.data.tags.get("noisetune.trial", "") for run in all_runs)
    wanted = {"", *trials}
    found.lost_runs = len(wanted - runs.keys())
    found.doubled_runs = len(all_runs) - len(runs)
    for run in all_runs:
        name = run.data.tags.get("noisetune.trial", "")
        if name:
            found.not_complete += run.info.status != "FINISHED"
            wanted_rows = dict.fromkeys(EACH_EPOCH, folder.epochs) | {"detect/f1": 1}
            wanted_rows |= {"pretrain/loss": 2} if "simclr" in name else {}
            for metric, steps in wanted_rows.items():
                rows = client.get_metric_history(run.info.run_id, metric)
                there = {row.step for row in rows}
                found.lost_rows += max(0, steps - len(there))
                found.doubled_rows += len(rows) - len(there)
    return found


def finish(folder: Folder) -> None:
    """Resume until the end."""
    process = folder.drive()
    try:
        assert process.wait(timeout=240) == 0, folder.said()
    finally:
        kill_driver(process)


def wait_some(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[tuple[Any, ...]], float]:
    """The table of a sweep that nobody disturbs, and how many seconds it takes."""
    folder = Folder(tmp_path_factory.mktemp("undisturbed"))
    folder.write()
    began = time.monotonic()
    finish(folder)
    assert count(folder) == Count()
    return folder.table(), time.monotonic() - began


def until_points(folder: Folder, process: subprocess.Popen[bytes], number: int) -> None:
    """Wait until some running trials have told an epoch."""
    deadline = time.monotonic() + 120
    outbox = folder.home.sweep("killed") / "outbox.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        if outbox.exists():
            said = [json.loads(line) for line in outbox.read_text().splitlines(True)[:-1]]
            at_work = {each["trial"] for each in said if each["kind"] == "point"}
            at_work -= {each["trial"] for each in said if each["kind"] == "ended"}
            if len(at_work) >= number:
                return
        time.sleep(0.1)
    raise AssertionError(folder.said())


@pytest.mark.long
def test_two_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """First a worker, then, a random moment later, the driver."""
    chance, folder = random.Random(), Folder(tmp_path)
    folder.write()
    process = folder.drive()
    try:
        until_points(folder, process, 1)
        assert kill_worker(process, chance)
        wait_some(process, chance.uniform(0, 3))
    finally:
        kill_driver(process)
    done = {each.name: each for each in folder.records() if each.state == "complete"}
    finish(folder)
    assert count(folder) == Count()
    assert done.items() <= {each.name: each for each in folder.records()}.items()


@pytest.mark.long
def test_a_database_that_a_killed_driver_had_half_made_is_made_again(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    process = subprocess.Popen([sys.executable, "-c", CONNECT, uri], stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("mlflow.db*")):
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    check_tracking(uri, "killed", tmp_path / "artifacts")
    assert MlflowClient(uri).get_experiment_by_name("killed") is not None


@pytest.mark.long
def test_trials_of_a_node_that_is_killed_go_on_elsewhere(tmp_path: Path) -> None:
    """Two nodes with a trial each; then there is one node."""
    folder = Folder(tmp_path, epochs=60)
    folder.write()
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    cluster = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stderr=subprocess.DEVNULL, start_new_session=True, **pipes
    )
    try:
        address = cluster.stdout.readline().strip()
        process = folder.start("sweep", "sweep.yaml", "--address", address)
        until_points(folder, process, 2)
        before = folder.records()
        cluster.stdin.write("kill\n")
        cluster.stdin.flush()
        assert cluster.stdout.readline() == "killed\n"
        assert process.wait(timeout=240) == 0, folder.said()
    finally:
        kill_driver(process)
        cluster.stdin.close()
        cluster.wait(timeout=60)
    assert sum(record.state == "running" for record in before) >= 2
    assert count(folder) == Count()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_ten_kills_at_random_moments_lose_and_double_nothing(
    tmp_path: Path, undisturbed: tuple[list[tuple[Any, ...]], float]
) -> None:
    """Every sweep is hit once, anywhere from its first second to its last, then resumed."""
    table, seconds = undisturbed
    seed = random.randrange(10**6)
    chance, total, hits = random.Random(seed), Count(), []
    for sweep in range(10):
        victim = ("driver", "worker", "server")[sweep % 3]
        folder = Folder(tmp_path / str(sweep))
        folder.write()
        port = free_port()
        folder.tracking = f"http://127.0.0.1:{port}" if victim == "server" else None
        moment = chance.uniform(0.5, seconds)
        hits.append(f"{victim} at {moment:.1f} s")
        if victim == "server":
            survive_server(folder, port, moment)
        else:
            survive(folder, victim, moment, chance)
        with server(folder.root, port) if folder.tracking else nullcontext():
            found = count(folder)
        for name, value in vars(found).items():
            setattr(total, name, getattr(total, name) + value)
        assert folder.table() == table, (seed, hits)
    print(f"seed {seed}, {hits}: {total}")
    assert total == Count(), (seed, hits)


def survive(folder: Folder, victim: str, moment: float, chance: random.Random) -> None:
    process = folder.drive()
    try:
        wait_some(process, moment)
        if victim == "worker":
            while process.poll() is None and not kill_worker(process, chance):
                time.sleep(0.1)
            wait_some(process, 240)
    finally:
        kill_driver(process)
    finish(folder)


def survive_server(folder: Folder, port: int, moment: float) -> None:
    """The server dies in mid-sweep, and comes back a few seconds later."""
    with server(folder.root, port):
        process = folder.drive()
        wait_some(process, moment)
    try:
        wait_some(process, 5)
        with server(folder.root, port):
            wait_some(process, 240)
            finish(folder)
    finally:
        kill_driver(process)
