"""`sweep`, `status`, `best`, `run` and `resume` on real digits, with Ray and MLflow."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from noisetune.records import TrialRecord, TrialResult
from noisetune.sweep.home import Home
from noisetune.sweep.study.storage import open_sweep, read_ledger
from noisetune.yaml_files import read_yaml

TRIAL = {
    "data": {"train_samples": 150, "test_samples": 60},
    "noise": {"rate": 0.3},
    "model": {"width": 4},
    "pretrain": {"epochs": 2, "batch_size": 32, "hidden": 8, "projection": 8},
    "finetune": {"epochs": 2, "batch_size": 32},
}
LR = {"finetune.lr": {"low": 1e-3, "high": 1e-2, "log": True}}
EPOCHS = 40  # of the sweep that is stopped: a second or two
MAIN = [sys.executable, "-c", "from noisetune.cli import main; main()"]


@dataclass(frozen=True)
class Project:
    """A folder with a sweep file, a search space and an mlruns folder."""

    folder: Path

    @property
    def sweep_file(self) -> Path:
        return self.folder / "sweep.yaml"

    @property
    def home(self) -> Home:
        return Home(self.folder / "mlruns")

    def write(self, space: dict[str, Any], **sweep: Any) -> None:
        config = {"search_space": "space.yaml", "sampler": {"name": "random", "seed": 0}} | sweep
        self.sweep_file.write_text(yaml.safe_dump(config))
        (self.folder / "space.yaml").write_text(yaml.safe_dump(space))

    def records(self, name: str) -> dict[str, TrialRecord]:
        sweep, ledger = open_sweep(self.home, name)
        return {record.name: record for record in ledger.records(sweep.cells)}

    def runs(self, name: str) -> list[Run]:
        client = MlflowClient(self.home.tracking_uri)
        return client.search_runs([client.get_experiment_by_name(name).experiment_id])


def children(runs: list[Run]) -> dict[str, Run]:
    """The runs of trials, which must be one each."""
    found = [run for run in runs if run.data.tags.get("noisetune.trial", "")]
    named = {run.data.tags.get("noisetune.trial", ""): run for run in found}
    assert len(named) == len(found) == len(runs) - 1
    return named


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def swept(project: Project, noisetune: Callable[..., Any], ray_at_hand: None) -> Any:
    """A sweep of two conditions with two trials and a replicate each."""
    project.write(
        {"conditions": {"pretrain.method": ["none", "simclr"]}, "parameters": LR},
        name="tiny",
        trial=TRIAL,
        trials_per_condition=2,
        replicates=1,
    )
    return noisetune("sweep", project.sweep_file, "--mlruns", project.home.root)


@pytest.fixture(scope="module")
def exported(project: Project, noisetune: Callable[..., Any], swept: Any) -> Any:
    """`best --json --export`, and the folder that it wrote."""
    words = ("--json", "--export", project.folder / "best", "--mlruns", project.home.root)
    said = noisetune("best", "tiny", *words)
    assert said.code == 0
    return json.loads(said.out)


def test_a_sweep_runs_and_says_what_to_type_next(swept: Any) -> None:
    assert (swept.code, swept.err) == (0, "")
    assert "noisetune best tiny --export best/tiny" in swept.out
    assert "noisetune ui" in swept.out


def test_ledger_and_mlflow_hold_every_trial_once(project: Project, swept: Any) -> None:
    records, runs = project.records("tiny"), children(project.runs("tiny"))
    assert Counter(record.kind for record in records.values()) == {"search": 4, "replicate": 2}
    assert records.keys() == runs.keys()
    for name, record in records.items():
        assert (record.state, runs[name].info.status) == ("complete", "FINISHED")
        told = runs[name].data.metrics
        for metric, value in record.metrics.items():
            assert value is None or told[metric] == value


def test_the_metrics_of_every_epoch_are_in_mlflow(project: Project, swept: Any) -> None:
    client = MlflowClient(project.home.tracking_uri)
    for name, run in children(project.runs("tiny")).items():
        wanted = {"train/loss": 2, "val/accuracy": 2, "test/accuracy": 2, "detect/f1": 1}
        wanted |= {"pretrain/loss": 2} if "simclr" in name else {}
        for metric, count in wanted.items():
            rows = client.get_metric_history(run.info.run_id, metric)
            assert len({row.step for row in rows}) == len(rows) == count


def test_the_winners_are_marked_in_mlflow(project: Project, swept: Any, exported: Any) -> None:
    runs = project.runs("tiny")
    marked = {name for name, run in children(runs).items() if "noisetune.best" in run.data.tags}
    assert marked == {winner["trial"] for winner in exported["winners"]}
    (parent,) = (run for run in runs if not run.data.tags.get("noisetune.trial", ""))
    artifacts = MlflowClient(project.home.tracking_uri).list_artifacts(parent.info.run_id, "best")
    assert len(artifacts) == 2


def test_best_lists_a_winner_for_each_condition(project: Project, exported: Any) -> None:
    records = project.records("tiny")
    assert [winner["condition"] for winner in exported["winners"]] == [
        "pretrain.method=none",
        "pretrain.method=simclr",
    ]
    for winner in exported["winners"]:
        record = records[winner["trial"]]
        assert (winner["objective"], winner["config"]) == (record.objective, record.config)
        assert read_yaml(Path(winner["file"])) == record.config
        assert "auto" not in Path(winner["file"]).read_text()
    (group,) = exported["groups"]
    assert group["best"] in [winner["condition"] for winner in exported["winners"]]


def test_an_exported_winner_repeats_its_metrics_exactly(project: Project, exported: Any) -> None:
    winner = exported["winners"][1]
    out = project.folder / "again.json"
    command = [*MAIN, "run", winner["file"], "--no-share", "--out", str(out)]
    subprocess.run(command, cwd=project.folder, check=True, capture_output=True, timeout=120)
    again = TrialResult.from_json(json.loads(out.read_text()))
    assert again.metrics() == winner["metrics"]
    assert again.config == winner["config"]


def test_status_shows_where_a_sweep_stands(
    project: Project, noisetune: Callable[..., Any], swept: Any
) -> None:
    said = noisetune("status", "tiny", "--mlruns", project.home.root)
    assert (said.code, said.err) == (0, "")
    assert said.out.count("2 done") == 2


def test_an_existing_name_is_refused_and_left_alone(
    project: Project, noisetune: Callable[..., Any], swept: Any
) -> None:
    ledger = project.home.ledger_file("tiny").read_bytes()
    said = noisetune("sweep", project.sweep_file, "--mlruns", project.home.root)
    assert said.code == 2
    assert "name: a sweep 'tiny' exists already; go on with `noisetune resume tiny`" in said.err
    assert str(project.sweep_file) in said.err
    assert project.home.ledger_file("tiny").read_bytes() == ledger


def test_a_finished_sweep_is_resumed_to_nothing(
    project: Project, noisetune: Callable[..., Any], swept: Any
) -> None:
    before = project.records("tiny")
    assert noisetune("resume", "tiny", "--mlruns", project.home.root).code == 0
    assert project.records("tiny") == before
    assert children(project.runs("tiny")).keys() == before.keys()


@pytest.fixture(
    params=[
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, marks=pytest.mark.long),
    ]
)
def stopped(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Project, str]:
    """A sweep that met a signal while a trial ran and another had ended, and what it said."""
    project = Project(tmp_path)
    trial = TRIAL | {
        "pretrain": {"method": "none"},
        "finetune": {"epochs": EPOCHS, "batch_size": 32},
    }
    sizes = {"trials_per_condition": 4, "replicates": 0, "max_concurrent": 2}
    project.write({"parameters": LR}, name="cut", trial=trial, pruner={"name": "none"}, **sizes)
    command = [*MAIN, "sweep", str(project.sweep_file), "--mlruns", str(project.home.root)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        wait_for(lambda: under_way(project), process)
        os.killpg(process.pid, request.param)
        said, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + request.param
    name = "Ctrl-C" if request.param == signal.SIGINT else request.param.name
    assert f"stopping ({name}): waiting for" in said
    return project, said


def under_way(project: Project) -> bool:
    """Whether a trial has ended and another is in the middle of its epochs."""
    if read_ledger(project.home, "cut") is None:
        return False
    states = Counter(record.state for record in project.records("cut").values())
    return states["complete"] >= 1 and states["running"] >= 1


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_signal_ends_a_sweep_cleanly_and_a_resume_finishes_it(
    stopped: tuple[Project, str], noisetune: Callable[..., Any], ray_at_hand: None
) -> None:
    project, said = stopped
    before = project.records("cut")
    assert "Traceback" not in said
    assert "noisetune resume cut" in said
    assert "dump" not in said
    assert {"complete", "running"} == {record.state for record in before.values()}
    runs = children(project.runs("cut"))
    assert {runs[name].info.status for name in named(before, "running")} == {"KILLED"}

    assert noisetune("resume", "cut", "--mlruns", project.home.root).code == 0
    after, runs_after = project.records("cut"), children(project.runs("cut"))
    assert len(after) == 4
    assert {record.state for record in after.values()} == {"complete"}
    assert after.keys() == runs_after.keys()
    for name in named(before, "complete"):
        assert after[name] == before[name]
        assert runs_after[name].info.end_time == runs[name].info.end_time
    for name in named(before, "running"):
        assert after[name].config == before[name].config
        assert runs_after[name].info.run_id == runs[name].info.run_id
    client = MlflowClient(project.home.tracking_uri)
    for run in runs_after.values():
        rows = client.get_metric_history(run.info.run_id, "val/accuracy")
        assert [row.step for row in rows] == list(range(1, EPOCHS + 1))


def named(records: dict[str, TrialRecord], state: str) -> list[str]:
    return [name for name, record in records.items() if record.state == state]
