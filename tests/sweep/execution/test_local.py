"""A Ray of our own: what it is started with, and that nothing of it lives on."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from noisetune.sweep.execution import local
from noisetune.sweep.execution.local import local_ray, without_web_server

MAIN = [sys.executable, "-c", "from noisetune.cli import main; main()"]
SLEEP = [sys.executable, "-c", "import time; time.sleep(100)"]
SWEEP: dict[str, Any] = {
    "name": "small",
    "search_space": "space.yaml",
    "trial": {
        "data": {"train_samples": 60, "test_samples": 30},
        "model": {"width": 4},
        "pretrain": {"method": "none"},
        "finetune": {"epochs": 2, "batch_size": 32},
    },
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
    "trials_per_condition": 2,
    "replicates": 0,
    "max_concurrent": 1,
}
SPACE = {"parameters": {"finetune.lr": {"low": 1e-3, "high": 1e-2, "log": True}}}
LOOPBACK = re.compile(r"127\.|::1$|::ffff:127\.|::$|0\.0\.0\.0$")
ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What a Ray that is none is started with; it has one process, which it does not end."""
    seen: dict[str, Any] = {}

    def init(**options: Any) -> None:
        folder = Path(options["_temp_dir"])
        mode = stat.S_IMODE(folder.parent.stat().st_mode)
        server = local.services.start_api_server(False, raise_on_failure=True)
        process = subprocess.Popen(SLEEP)
        seen.update(options, folder=folder, mode=mode, server=server, process=process)

    monkeypatch.setattr(local.ray, "init", init)
    monkeypatch.setattr(local.ray, "shutdown", lambda: None)
    monkeypatch.setattr(local, "END_SECONDS", 0.1)
    monkeypatch.setattr(local, "keep_token", lambda: None)
    yield seen
    if "process" in seen:
        seen["process"].kill()
        seen["process"].wait()


def test_it_joins_nobody_and_its_files_are_private(started: dict[str, Any]) -> None:
    with local_ray(3, 1, log_to_driver=False):
        assert started["address"] == "local"
        assert (started["num_cpus"], started["num_gpus"]) == (3, 1)
        assert started["include_dashboard"] is False
        assert started["mode"] == 0o700
        assert started["folder"].is_dir()
    assert not started["folder"].parent.exists()


def test_it_has_no_web_server(started: dict[str, Any]) -> None:
    usual = local.services.start_api_server
    with local_ray(1, 0):
        assert started["server"] == ("", None)
    with without_web_server():
        assert local.services.start_api_server is not usual
    assert local.services.start_api_server is usual


@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_what_outlives_it_is_ended_and_nothing_else(
    started: dict[str, Any], end: type[BaseException] | None
) -> None:
    with subprocess.Popen(SLEEP) as other:
        try:
            with local_ray(1, 0):
                if end is not None:
                    raise end
        except KeyboardInterrupt:
            assert end is not None
        assert started["process"].wait(10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_a_start_that_fails_leaves_nothing(
    started: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = local.ray.init

    def init(**options: Any) -> None:
        begin(**options)
        raise ConnectionError

    monkeypatch.setattr(local.ray, "init", init)
    with pytest.raises(ConnectionError), local_ray(1, 0):
        pass
    assert started["process"].wait(10) == -signal.SIGKILL
    assert not started["folder"].parent.exists()


@pytest.fixture
def start(tmp_path: Path, short: Path) -> Callable[..., subprocess.Popen[str]]:
    """Begins a small sweep, with a home folder and a folder for temporary files of its own."""
    (tmp_path / "home").mkdir()
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))

    def start(*before: str, **finetune: Any) -> subprocess.Popen[str]:
        environment = os.environ | {"HOME": str(tmp_path / "home"), "TMPDIR": str(short)}
        settings = [f"--set=trial.finetune.{field}={value}" for field, value in finetune.items()]
        return subprocess.Popen(
            [*before, *MAIN, "sweep", "sweep.yaml", *settings],
            cwd=tmp_path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    return start


@pytest.mark.system
def test_a_sweep_asks_nobody_outside(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, short: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace, which sees every address that a process turns to, is not installed")
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    trace = tmp_path / "trace"
    with start("strace", "-f", "-qq", "-e", calls, "-o", str(trace)) as running:
        said, _ = running.communicate(timeout=280)
    if "Operation not permitted" in said:
        pytest.skip("strace may not look at processes here")
    assert running.returncode == 0, said
    asked = {ipv4 or ipv6 for ipv4, ipv6 in ADDRESS.findall(trace.read_text(errors="replace"))}
    assert asked
    assert not {address for address in asked if not LOOPBACK.match(address)}
    token = tmp_path / "home" / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    assert not list(short.glob("noisetune-*"))


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_neither_a_process_nor_a_folder(
    start: Callable[..., subprocess.Popen[str]], short: Path, number: signal.Signals
) -> None:
    """Sent to all of the group, as a terminal or a batch system does."""
    with start(epochs=100_000) as running:
        driver = psutil.Process(running.pid)
        until = time.monotonic() + 120
        while time.monotonic() < until and running.poll() is None:
            if any("Trainable" in name_of(each) for each in family(driver)):
                break
            time.sleep(0.2)
        started = family(driver)
        assert list(short.glob("noisetune-*"))
        os.killpg(running.pid, number)
        said, _ = running.communicate(timeout=120)
    assert running.returncode == 128 + number, said
    assert started
    assert not psutil.wait_procs(started, 1)[1]
    assert not list(short.glob("noisetune-*"))


def family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def name_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
