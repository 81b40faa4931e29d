"""What a sweep starts is reached from this machine alone, tells nobody, and stays in its folder."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
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
QUIET = ("RAY_USAGE_STATS_ENABLED", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
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
    assert ui.os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_the_server_script_listens_on_this_machine_alone() -> None:
    script = (ROOT.parent / "infra" / "mlflow-server").read_text()
    assert re.findall(r"--host (\S+)", script) == ["127.0.0.1"]
    assert "export MLFLOW_DISABLE_TELEMETRY=true" in script


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
