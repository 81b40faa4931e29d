"""A sweep against what a team shares: MLflow with users, PostgreSQL and a bucket, a store in it.

pytest -n 0 -m system tests/sweep/test_team_servers.py
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from mlflow.tracking import MlflowClient
from postgres import postgres
from real_sweep import SWEEP, TRIAL, without_ray
from sqlalchemy import create_engine, text

import noisetune as package
from noisetune.errors import UserError
from noisetune.store import Store
from noisetune.sweep.home import Home
from noisetune.sweep.results import SweepResults
from noisetune.sweep.run import run_sweep
from noisetune.tracking.looking import look_at

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
SERVE = Path(package.__file__).resolve().parents[1] / "infra/mlflow/serve"
BUCKET = "s3://noisetune"
SPACE = {"parameters": {"finetune.lr": {"choices": [0.001, 0.003]}}}
PASSWORD = "correct horse battery"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """An S3 store of the test's own, and the environment that leads to it."""
    server: Any = pytest.importorskip("moto.server", reason="pip install 'noisetune[moto]'")
    s3fs: Any = pytest.importorskip("s3fs", reason="pip install 'noisetune[s3]'")
    port = free_port()
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    running.start()
    url = f"http://127.0.0.1:{port}"
    env = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "s3cret"}
    env |= {
        "AWS_ENDPOINT_URL": url,
        "MLFLOW_S3_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("noisetune")
        yield env
    running.stop()


@pytest.fixture(scope="module")
def tracking(
    bucket: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """What infra/mlflow/serve starts, over a PostgreSQL and the bucket; and that database."""
    pytest.importorskip("flask_wtf", reason="pip install 'noisetune[cluster]'")
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "log"
    with postgres() as server, log.open("wb") as out:
        env = {
            "MLFLOW_DATABASE": f"{server}/postgres",
            "MLFLOW_ARTIFACTS": f"{BUCKET}/artifacts",
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of the test's",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        running = subprocess.Popen(
            [SERVE, "127.0.0.1", str(port)],
            env=os.environ | env,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            uri = f"http://127.0.0.1:{port}"
            wait_for(uri, running, log)
            yield uri, server
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def wait_for(uri: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=1).read()
            return
        except OSError:
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)


def drive(folder: Path, name: str, trials: int = 2, **options: Any) -> SweepResults:
    given = {**SWEEP, "name": name, "trial": TRIAL, "trials_per_condition": trials}
    with without_ray():
        return run_sweep(given, SPACE, mlruns=folder / "mlruns", **options)


def test_stages_in_a_bucket_serve_a_second_sweep(bucket: dict[str, str], tmp_path: Path) -> None:
    store = f"{BUCKET}/stages"
    first = drive(tmp_path, "first", store=store)
    kept = Store.open(store)
    entries = list(kept.list())
    assert entries
    second = drive(tmp_path / "elsewhere", "second", store=store)
    assert len(list(kept.list())) == len(entries)
    assert first.trials()["objective"].tolist() == second.trials()["objective"].tolist()


def test_who_is_nobody_is_asked_who_they_are(tracking: tuple[str, str]) -> None:
    uri, _ = tracking
    with pytest.raises(HTTPError, match="401"):
        urllib.request.urlopen(f"{uri}/api/2.0/mlflow/experiments/get?experiment_id=0")


def test_a_sweep_without_a_password_is_told(tracking: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="MLFLOW_TRACKING_USERNAME"):
        drive(tmp_path, "nobody", tracking_uri=tracking[0])


def test_the_doctor_asks_as_a_sweep_does(
    tracking: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"answers HTTP 401.*MLFLOW_TRACKING_USERNAME"):
        look_at(tracking[0])
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    assert look_at(tracking[0]).startswith("MLflow 3.")


def test_a_teams_server_holds_a_sweep_and_its_artifacts(
    tracking: tuple[str, str], known: None, tmp_path: Path
) -> None:
    uri, server = tracking
    # Of its own: MLflow and Optuna have tables of the same name.
    with create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("CREATE DATABASE ledgers"))
    drive(tmp_path, "mine", tracking_uri=uri, ledger=f"{server}/ledgers")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 3
    (sweep,) = [run for run in runs if not run.data.tags.get("noisetune.trial")]
    assert client.list_artifacts(sweep.info.run_id)
    # The server alone reaches the bucket: runs name what it serves.
    assert all(run.info.artifact_uri.startswith("mlflow-artifacts:") for run in runs)


def test_a_sweep_that_ran_without_it_is_told_to_it_afterwards_once(
    tracking: tuple[str, str], known: None, tmp_path: Path, noisetune: Callable[..., Any]
) -> None:
    drive(tmp_path, "moved", trials=1)
    here = whole(MlflowClient(Home(tmp_path / "mlruns").tracking_uri), "moved")
    assert len(here) == 2
    for _ in range(2):
        words = ("--mlruns", tmp_path / "mlruns", "--tracking-uri", tracking[0])
        assert noisetune("sync", "moved", *words).code == 0
        assert whole(MlflowClient(tracking[0]), "moved") == here


def whole(client: MlflowClient, name: str) -> dict[str, tuple[Any, ...]]:
    """The runs of a sweep: their ends, one of their curves and the names of their artifacts."""
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    return {
        run.info.run_name: (
            run.info.status,
            run.data.params,
            run.data.metrics,
            [(row.step, row.value) for row in client.get_metric_history(key, "val/accuracy")],
            sorted(each.path for each in client.list_artifacts(key)),
        )
        for key, run in runs.items()
    }
