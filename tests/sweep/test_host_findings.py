"""What the hosts of a cluster lack: one finding for each that lacks something."""

from dataclasses import replace
from typing import Any

import pytest

from noisetune.config import TrialConfig
from noisetune.store import Store
from noisetune.sweep.execution.hosts import Host, facts, versions
from noisetune.sweep.host_findings import host_findings

OURS = {"Python": "3.11.7", "ray": "2.60.0", "torch": "2.15.0"}
WELL = Host("10.0.0.2", OURS, True, 1.0, 1, 4 * 10**9, True, {}, 0.1, 0.01)


def test_hosts_that_lack_nothing_are_one_finding() -> None:
    (finding,) = host_findings([WELL, replace(WELL, address="10.0.0.3")], OURS)
    assert (finding.what, finding.state) == ("hosts", "ok")
    assert finding.text == "2 hosts (10.0.0.2, 10.0.0.3) as this one"


@pytest.mark.parametrize(
    ("change", "state", "text", "remedy"),
    [
        ({"fault": "No module named 'cleanlab'"}, "fault", "No module named 'cleanlab'", "install"),
        (
            {"versions": OURS | {"torch": "2.14.0"}},
            "fault",
            "torch 2.14.0 where this host has 2.15.0",
            "constraints.txt",
        ),
        ({"token": False}, "warning", "asks for no token", "auth_token"),
        ({"sees_store": False}, "fault", "does not see what this host puts", "all hosts share"),
        (
            {"data": {"npz": "mine.npz: no such file"}},
            "warning",
            "data of npz: mine.npz",
            "put the data",
        ),
        ({"seen_gpus": 0}, "fault", "Ray has 1 GPUs of it, torch sees 0", "driver"),
        ({"ahead": -5.0}, "warning", "its clock is 5.0 s behind (± 0.0)", "time server"),
        ({"ahead": 60.0}, "fault", "its clock is 60.0 s ahead", "time server"),
        ({"shared_memory": 64 * 2**20}, "warning", "0.07 GB of shared memory", "--shm-size"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_each_thing_that_a_host_lacks(
    change: dict[str, Any], state: str, text: str, remedy: str
) -> None:
    (finding,) = host_findings([WELL, replace(WELL, address="10.0.0.3", **change)], OURS)
    assert (finding.what, finding.state) == ("host 10.0.0.3", state)
    assert text in finding.text
    assert remedy in finding.remedy


def test_what_a_host_lacks_is_one_finding_and_as_bad_as_the_worst() -> None:
    (finding,) = host_findings([replace(WELL, token=False, sees_store=False)], OURS)
    assert finding.state == "fault"
    assert "token" in finding.text
    assert "store" in finding.text


def test_a_slow_way_is_no_wrong_clock() -> None:
    (finding,) = host_findings([replace(WELL, ahead=4.0, within=3.9)], OURS)
    assert finding.state == "ok"


def test_without_a_host_that_is_said() -> None:
    (finding,) = host_findings([], OURS)
    assert (finding.state, finding.text) == ("warning", "no host has a CPU yet")


def test_a_host_looks_for_itself(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but what the driver and Ray know of it."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr("noisetune.sweep.execution.hosts._gpus", lambda: 0)
    store = str(tmp_path / "stages")
    Store.open(store).backend.create(".tmp/seen", b"")
    gone = TrialConfig.parse({"data": {"name": "npz", "path": str(tmp_path / "gone.npz")}}, "a")
    here = TrialConfig.parse({"data": {"name": "digits"}}, "b")
    trials = [("npz", gone.to_json()), ("digits", here.to_json())]
    host = facts(store, ".tmp/seen", trials)
    assert host.versions == versions()
    assert (host.token, host.sees_store, host.seen_gpus) == (True, True, 0)
    assert host.data is not None
    assert list(host.data) == ["npz"]
    assert "gone.npz" in host.data["npz"]
    assert facts(store, ".tmp/other", []).sees_store is False
