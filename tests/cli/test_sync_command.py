"""A sweep that was killed, by its ledger and outbox: `sync`, `ui`, `status` and `best`."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow.tracking import MlflowClient

from noisetune.cli import ui_command
from noisetune.records import MetricPoint, TrialRecord
from noisetune.store import FolderLeases
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.lease import FOLDER
from noisetune.sweep.study.ledger import Ledger, journal
from noisetune.tracking.messages import (
    Message,
    point_message,
    started_message,
    sweep_message,
)
from noisetune.tracking.outbox import Outbox

SWEEP = {"name": "mine", "search_space": "-", "trial": {"pretrain": {"method": "none"}}}
SPACE = {"conditions": {"noise.rate": [0.2]}, "parameters": {"finetune.lr": {"choices": [0.1]}}}
STATES = [optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.RUNNING]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A sweep that was killed: of two trials one is complete, and nobody said so to the outbox."""
    sweep = Sweep.prepare(parse_sweep(SWEEP, "x"), SearchSpace.model_validate(SPACE))
    home = Home(tmp_path / "mlruns")
    home.sweep("mine").mkdir(parents=True)
    ledger = Ledger.create(journal(home.ledger_file("mine")), "mine", sweep.definition())
    ledger.size = 4
    condition = sweep.conditions[0]
    study = ledger.study(condition.name, "search", ["maximize"], None)
    attributes = {"config": condition.trial({}).to_json(), "metrics": {"test/accuracy": 0.75}}
    for state in STATES:
        value = 0.5 if state == STATES[0] else None
        study.add_trial(optuna.trial.create_trial(state=state, value=value, user_attrs=attributes))
    outbox = Outbox(home.outbox("mine"))
    objective = {"metric": "val/accuracy", "direction": "maximize"}
    about = {f"sweep.objective.{name}": value for name, value in objective.items()}
    outbox.append(sweep_message("running", {"name": "mine"} | about, 1.0))
    for number, trial in enumerate(ledger.records(sweep.cells)):
        for each in life(trial, 10.0 + number):
            outbox.append(each)
    return home


def life(trial: TrialRecord, made: float) -> list[Message]:
    point = MetricPoint("finetune", 1, {"val/accuracy": 0.5}, made + 5)
    return [started_message(trial, made), point_message(trial, point)]


def runs(uri: str) -> dict[str, tuple[Any, ...]]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return {
        run.data.tags["mlflow.runName"]: (run.info.status, run.info.end_time, run.data.metrics)
        for run in found
    }


def test_a_sweep_is_told_whole_to_another_store(
    noisetune: Callable[..., Any], home: Home, tmp_path: Path
) -> None:
    before = home.outbox("mine").read_bytes()
    uri = f"sqlite:///{tmp_path / 'team' / 'mlflow.db'}"
    for _ in range(2):
        said = noisetune("sync", "mine", "--mlruns", home.root, "--tracking-uri", uri)
        assert (said.code, said.err) == (0, "")
        assert said.out.splitlines()[-1] == "it has 3 runs of sweep mine"
        seen = {"val/accuracy": 0.5}
        assert runs(uri) == {
            "mine": ("KILLED", 16000, {}),
            "t0": ("FINISHED", 15000, seen | {"test/accuracy": 0.75}),
            "t1": ("KILLED", 16000, seen),
        }
    assert home.outbox("mine").read_bytes() == before
    assert not (home.root / "mlflow.db").exists()


def test_what_the_ledger_knows_is_told_where_the_outbox_was_lost(
    noisetune: Callable[..., Any], home: Home
) -> None:
    home.outbox("mine").unlink()
    assert noisetune("sync", "mine", "--mlruns", home.root).code == 0
    statuses = {name: status for name, (status, *_) in runs(home.tracking_uri).items()}
    assert statuses == {"mine": "KILLED", "t0": "FINISHED", "t1": "KILLED"}


@pytest.mark.long
def test_a_sweep_that_runs_is_not_told_twice_to_one_store(
    noisetune: Callable[..., Any], home: Home
) -> None:
    def sync() -> Any:
        return noisetune("sync", "mine", "--mlruns", home.root)

    assert sync().code == 0
    with FolderLeases(home.sweep("mine")).claim(FOLDER) as lease:
        assert lease is not None
        assert sync().code == 0
        assert runs(home.tracking_uri)["mine"][0] == "RUNNING"
        client = MlflowClient(home.tracking_uri)
        (parent,) = client.search_runs(
            [client.get_experiment_by_name("mine").experiment_id],
            "attributes.run_name = 'mine'",
        )
        client.set_tag(parent.info.run_id, "noisetune.told", "1 a")
        said = sync()
    assert said.code == 2
    assert "is running, and MLflow at" in said.err


def test_a_sweep_that_is_none_is_not_told(noisetune: Callable[..., Any], home: Home) -> None:
    said = noisetune("sync", "yours", "--mlruns", home.root)
    assert (said.code, said.out.count("\n")) == (2, 1)
    assert said.err.startswith("error: no sweep 'yours' in ")


def test_a_folder_that_mlflow_takes_for_another_is_refused_at_once(
    noisetune: Callable[..., Any], home: Home, tmp_path: Path
) -> None:
    for name in ("a%2Fb", "a?b"):
        moved = shutil.copytree(home.root, tmp_path / name / "mlruns")
        before = sorted(tmp_path.rglob("*"))
        said = noisetune("sync", "mine", "--mlruns", moved)
        assert said.code == 2
        assert said.err.startswith("error: --mlruns or --tracking-uri: MLflow's database cannot")
        assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def shown(noisetune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(ui_command.os, "execv", lambda *_: None)
    monkeypatch.setattr(ui_command.os, "environ", dict(ui_command.os.environ))
    return lambda *words: noisetune("ui", "--port", 5097, *words)


@pytest.mark.long
def test_the_ui_shows_the_runs_of_the_newest_sweep_or_of_the_named(
    noisetune: Callable[..., Any], home: Home, shown: Callable[..., Any]
) -> None:
    assert noisetune("sync", "mine", "--mlruns", home.root).code == 0
    client = MlflowClient(home.tracking_uri)
    number = client.get_experiment_by_name("mine").experiment_id
    newer = client.create_experiment("newer")
    best_first = "&orderByKey=metrics.%60val%2Faccuracy%60&orderByAsc=false"
    for words, page, order in (((), newer, ""), (("mine",), number, best_first)):
        said = shown("--mlruns", home.root, *words)
        assert said.code == 0
        page = f"/#/experiments/{page}/runs?workflowType=machine_learning{order}"
        url = f"http://127.0.0.1:5097{page}"
        assert said.out == f"MLflow on {url} (Ctrl-C ends it)\n"
    said = shown("--mlruns", home.root, "yours")
    assert said.code == 2
    assert "MLflow knows no sweep 'yours'" in said.err


@pytest.mark.long
def test_the_ui_shows_artifacts_where_they_were_moved_to(
    noisetune: Callable[..., Any], home: Home, shown: Callable[..., Any], tmp_path: Path
) -> None:
    assert noisetune("sync", "mine", "--mlruns", home.root).code == 0
    moved = Home(shutil.move(home.root, tmp_path / "moved"))
    assert shown("--mlruns", moved.root).code == 0
    found = MlflowClient(moved.tracking_uri).get_experiment_by_name("mine")
    assert found.artifact_location == (moved.artifacts / "mine").as_uri()


@pytest.mark.long
def test_the_page_is_opened_where_there_is_a_screen(
    noisetune: Callable[..., Any],
    home: Home,
    shown: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert noisetune("sync", "mine", "--mlruns", home.root).code == 0
    opened: list[list[str]] = []
    monkeypatch.setattr(ui_command.subprocess, "Popen", opened.append)
    for screen, words in ((True, ["--no-browser"]), (False, []), (True, [])):
        monkeypatch.setattr(ui_command, "_has_screen", lambda screen=screen: screen)
        assert shown("--mlruns", home.root, *words).code == 0
    (command,) = opened
    assert command[-1].startswith("http://127.0.0.1:5097/#/experiments/")


def test_a_sweep_that_nobody_drives_is_interrupted_and_best_says_what_is_there(
    noisetune: Callable[..., Any], home: Home
) -> None:
    assert "1 interrupted" in noisetune("status", "mine", "--mlruns", home.root).out
    said = noisetune("best", "mine", "--mlruns", home.root)
    assert " ".join(said.out.split()).startswith(
        "sweep mine is stopped: 1 complete, 1 interrupted (of 4 trials); chosen from what is "
        "complete so far"
    )
    assert "1 interrupted" in said.out
    with FolderLeases(home.sweep("mine")).claim(FOLDER):
        assert "1 running" in noisetune("status", "mine", "--mlruns", home.root).out


def test_best_of_a_sweep_without_a_complete_trial_has_no_empty_table(
    noisetune: Callable[..., Any], home: Home
) -> None:
    storage, name = journal(home.ledger_file("mine")), "mine / noise.rate=0.2"
    optuna.delete_study(study_name=name, storage=storage)
    again = Ledger(storage, "mine").study("noise.rate=0.2", "search", ["maximize"], None)
    again.add_trial(
        optuna.trial.create_trial(state=STATES[1], user_attrs={"config": {"replicate": 0}})
    )
    said = noisetune("best", "mine", "--mlruns", home.root)
    assert said.out.startswith(
        "sweep mine is stopped: 1 interrupted (of 4 trials); none is complete yet"
    )
    assert "none completed" in said.out
    assert "best of each data set" not in said.out
