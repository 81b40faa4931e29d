"""What a sweep starts is reached from this machine alone, tells nobody, and stays in its folder."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest

import noisetune as package
from noisetune.cli import ui_command as ui
from noisetune.errors import UserError
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.study.storage import read_ledger
from noisetune.yaml_files import read_yaml

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
ROOT = Path(package.__file__).resolve().parent
SCRIPT = ROOT.parent / "infra" / "mlflow-server"
QUIET = ("RAY_USAGE_STATS_ENABLED", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
FOREIGN = "10.evil.example"
"""A name that MLflow's own list of private addresses, `10.*`, takes for one of them."""
UI = [sys.executable, "-c", "from noisetune.cli import main; main()", "ui", "--mlruns"]
SERVERS = {
    "noisetune ui": lambda folder, port: [*UI, str(folder), "--port", str(port)],
    "infra/mlflow-server": lambda folder, port: [SCRIPT, str(folder), str(port)],
}
LOADS = """
import noisetune.sweep.execution.launch, noisetune.tracking.mlflow_runs
from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY
from ray._common.usage.usage_lib import usage_stats_enabled
print(MLFLOW_DISABLE_TELEMETRY.get(), usage_stats_enabled())
"""
UNPICKLE = re.compile(
    r"\b(pickle\.loads?|joblib\.load|allow_pickle=True|weights_only=False)\b"
    # Of what torch.save wrote, `weights_only` reads plain tensors alone.
    r"|(?<!safetensors\.)\btorch\.load\b(?!\(.*weights_only=True\))"
)


def test_a_local_ray_listens_on_this_machine_alone(ray_at_hand: None) -> None:
    started = psutil.Process().children(recursive=True)
    assert any("raylet" in process.name() for process in started)
    addresses = {
        connection.laddr.ip
        for process in started
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses
    assert addresses <= LOOPBACK


def test_the_ui_listens_on_this_machine_alone(
    noisetune: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[str]] = []
    monkeypatch.setattr(ui.os, "execv", lambda program, command: told.append(command))
    monkeypatch.setattr(ui.os, "environ", dict(os.environ))
    (tmp_path / "mlflow.db").touch()
    assert noisetune("ui", "--mlruns", tmp_path, "--port", 5097).code == 0
    (command,) = told
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--allowed-hosts") + 1] == ui.ALLOWED_HOSTS
    assert ui.os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_the_server_script_listens_on_this_machine_alone() -> None:
    script = SCRIPT.read_text()
    assert re.findall(r"--host (\S+)", script) == ["127.0.0.1"]
    assert "export MLFLOW_DISABLE_TELEMETRY=true" in script


@pytest.mark.system  # each server takes half a minute to start
@pytest.mark.parametrize("server", SERVERS)
def test_a_server_answers_who_asks_for_this_machine_by_name(server: str, tmp_path: Path) -> None:
    """A page of a stranger whose name was bound to 127.0.0.1 meanwhile asks by that name."""
    (tmp_path / "mlflow.db").touch()
    port = free_port()
    with running(SERVERS[server](tmp_path, port), port):
        for host in ("127.0.0.1", "localhost", f"127.0.0.1:{port}", "localhost:6006"):
            assert status(port, host) == 200, host
        for host in (FOREIGN, f"{FOREIGN}:{port}", "evil.example", "192.168.evil.example", ""):
            assert status(port, host) in (400, 403), host


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def running(command: list[Any], port: int) -> Iterator[None]:
    """A server in a process group of its own, until it is asked no more."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            try:
                status(port, "127.0.0.1")
                break
            except OSError:
                time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def status(port: int, host: str) -> int:
    """What a server on this machine answers to who asks for the runs of `host`."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        path = "/ajax-api/2.0/mlflow/experiments/search?max_results=1"
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status


@pytest.mark.long
def test_neither_ray_nor_mlflow_tells_anybody_anything(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in QUIET}
    words = [sys.executable, "-c", LOADS]
    said = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert said.stdout.split() == ["True", "False"], said.stderr


@pytest.mark.parametrize("name", ["..", "../x", "/x", "a/../../x", ".hidden", "a\\..\\x"])
def test_a_sweep_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a sweep's name is"):
        parse_sweep({"name": name, "search_space": "mine"}, "mine.yaml")
    assert read_ledger(Home(tmp_path), name) is None
    assert not list(tmp_path.iterdir())


def test_nothing_of_ours_unpickles() -> None:
    found = [
        f"{file.name}: {line.strip()}"
        for file in ROOT.rglob("*.py")
        for line in file.read_text().splitlines()
        if UNPICKLE.search(line)
    ]
    assert not found


def test_our_reader_of_yaml_builds_plain_values_alone(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: !!python/object/apply:os.getcwd []")
    with pytest.raises(UserError, match=r"x\.yaml"):
        read_yaml(file)
