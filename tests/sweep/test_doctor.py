"""`noisetune doctor`: each finding of its own, and what to do."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from noisetune.sweep import doctor
from noisetune.sweep.doctor import examine
from noisetune.sweep.findings import Finding
from noisetune.sweep.home import Site

WHAT = ["Python", "torch", "devices", "Ray", "tracking", "store", "disk", "memory", "data cache"]


def found(folder: Path, **options: Any) -> dict[str, Finding]:
    return {each.what: each for each in examine(Site.of(folder / "mlruns", **options))}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "cache"))


def test_it_looks_at_all_and_writes_nothing(tmp_path: Path) -> None:
    findings = found(tmp_path)
    assert list(findings) == WHAT
    assert "3." in findings["Python"].text
    assert all(findings[each].state == "ok" for each in ("Python", "torch", "Ray", "tracking"))
    assert "is made by the first sweep" in findings["store"].text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("free", "state"), [(1e6, "fault"), (1e9, "warning"), (1e12, "ok")], ids=str
)
def test_a_disk_that_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, state: str
) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    disk = found(tmp_path)["disk"]
    assert disk.state == state
    assert ("store gc" in disk.remedy) == (state != "ok")


def test_memory_that_is_short_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little = type("Memory", (), {"available": 1e9, "total": 8e9})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    memory = found(tmp_path)["memory"]
    assert (memory.state, memory.text.split(";")[0]) == ("warning", "1.0 of 8.0 GB free")
    assert "max_concurrent" in memory.remedy


def test_a_torch_that_cannot_be_imported_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchvision", None)
    torch = found(tmp_path)["torch"]
    assert torch.state == "fault"
    assert "torchvision" in torch.text


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/version" else 404)
        self.end_headers()
        self.wfile.write(b"3.17.0")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_tracking_server_is_asked(tmp_path: Path, server: str) -> None:
    tracking = found(tmp_path, tracking_uri=server)["tracking"]
    assert (tracking.state, tracking.text) == ("ok", f"MLflow 3.17.0 answers at {server}")
    other = found(tmp_path, tracking_uri=f"{server}/mlflow")["tracking"]
    assert other.state == "fault"
    assert "answers HTTP 404" in other.text
    away = found(tmp_path, tracking_uri="http://127.0.0.1:1")["tracking"]
    assert (away.state, away.remedy[:17]) == ("fault", "start that server")


def test_a_damaged_database_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_bytes(b"no database" * 100)
    tracking = found(tmp_path)["tracking"]
    assert tracking.state == "fault"
    assert "mlflow.db cannot be read" in tracking.text


def test_a_fault_is_exit_code_1(noisetune: Callable[..., Any], tmp_path: Path) -> None:
    words = ("doctor", "--mlruns", tmp_path, "--tracking-uri", "http://127.0.0.1:1")
    said = noisetune(*words, "--json")
    assert (said.code, said.err) == (1, "")
    assert [each["what"] for each in json.loads(said.out)] == WHAT
    table = noisetune(*words).out
    assert table.startswith("faults: 1\n")
    assert "start that server" in " ".join(table.split())
