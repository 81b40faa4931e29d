"""Whose work a machine did, by readings that are made up."""

import os
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from threading import Event

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.bench import other_work
from noisetune.bench.other_work import OTHERS, STEAL, MachineWatch, OtherWork, OwnTime

Times = namedtuple("Times", "user nice system idle iowait steal guest")
BEFORE = Times(100.0, 10.0, 20.0, 300.0, 5.0, 1.0, 40.0)
seconds = st.floats(0, 1e4)


def watched(after: Times, own: float) -> OtherWork:
    """What a watch says if the processors' times go from BEFORE to `after`, `own` of them ours."""
    readings: dict[str, Iterator[object]] = {
        "cpu_times": iter([BEFORE, after]),
        "getloadavg": iter([(4.5, 3.0, 2.0)]),
    }
    ours = iter([7.0, 7.0 + own])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OwnTime, "seconds", lambda self: next(ours))
        for name, given_ in readings.items():
            patch.setattr(other_work.psutil, name, lambda given_=given_: next(given_))
        return MachineWatch().so_far()


def plus(**changes: float) -> Times:
    return Times(*(value + changes.get(name, 0.0) for name, value in BEFORE._asdict().items()))


def test_the_rest_of_what_was_busy_was_others() -> None:
    """Of 100 s of processors 60 were busy, 20 of them ours, and 10 the hypervisor's."""
    found = watched(plus(user=50, system=10, idle=25, iowait=5, steal=10), own=20.0)
    assert found == OtherWork(others=0.4, steal=0.1, load_before=4.5)


def test_a_guests_time_is_in_the_users_already() -> None:
    assert watched(plus(user=50, guest=50, idle=50), own=50.0).others == 0.0


@given(user=seconds, system=seconds, idle=seconds, steal=seconds, own=seconds)
def test_shares_are_shares(
    user: float, system: float, idle: float, steal: float, own: float
) -> None:
    found = watched(plus(user=user, system=system, idle=idle, steal=steal), own)
    assert 0 <= found.others <= 1
    assert 0 <= found.steal <= 1


def test_a_system_that_knows_no_steal_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    Few = namedtuple("Few", "user nice system idle")
    readings = iter([Few(0, 0, 0, 0), Few(5, 0, 5, 10)])
    monkeypatch.setattr(other_work.psutil, "cpu_times", lambda: next(readings))
    monkeypatch.setattr(OwnTime, "seconds", lambda self: 0.0)
    found = MachineWatch().so_far()
    assert (found.others, found.steal) == (0.5, 0.0)


@pytest.mark.parametrize(
    ("others", "steal", "warned"),
    [(0.0, 0.0, False), (OTHERS, STEAL, False), (0.31, 0.0, True), (0.0, 0.031, True)],
)
def test_other_work_is_warned_of_and_the_load_before_is_not(
    others: float, steal: float, warned: bool
) -> None:
    warning = OtherWork(others, steal, load_before=20.0).warning()
    assert (warning is not None) is warned
    assert warning is None or ("31%" if others else "3%") in warning


def test_what_a_process_had_stays_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        def __init__(self, taken: float, below: list["Process"] | None = None) -> None:
            self.taken, self.below = taken, below or []

        def children(self, recursive: bool) -> list["Process"]:
            return self.below

        def cpu_times(self) -> tuple[float, float]:
            if self.taken < 0:
                raise psutil.NoSuchProcess(1)
            return self.taken, 0.0

    me, worker, gone = Process(1.0), Process(2.0), Process(-1.0)
    monkeypatch.setattr(other_work.psutil, "Process", lambda: me)
    own = OwnTime()
    me.below = [worker, gone]
    assert own.seconds() == 3.0
    worker.taken = 5.0
    assert own.seconds() == 6.0
    me.below = []
    assert own.seconds() == 6.0


def test_what_is_spent_is_that_of_processes_below_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child lives until it was looked at; only that it counts is asked, not how much it took."""
    monkeypatch.setattr(other_work, "LOOK_SECONDS", 0.01)
    looked = OwnTime.seconds
    seen: set[int] = set()

    def look(self: OwnTime) -> float:
        total = looked(self)
        seen.update(process.pid for process in self._seen)
        return total

    monkeypatch.setattr(OwnTime, "seconds", look)

    def run() -> None:
        command = [sys.executable, "-c", "input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
            while child.pid not in seen:
                pass
            child.communicate(b"\n")

    spent = MachineWatch().spent_by(run)
    assert os.getpid() in seen
    assert spent.wall > 0


def test_what_fails_is_not_looked_at_any_longer() -> None:
    def run() -> None:
        raise ValueError("so it was")

    with pytest.raises(ValueError, match="so it was"):
        MachineWatch().spent_by(run)


def test_what_ended_while_it_was_measured_was_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        def __init__(self, taken: float) -> None:
            self.taken, self.below, self.looked = taken, list["Process"](), Event()

        def children(self, recursive: bool) -> list["Process"]:
            return self.below

        def cpu_times(self) -> tuple[float, float]:
            self.looked.set()
            return self.taken, 0.0

    me, trial, readings = Process(0.0), Process(50.0), iter([BEFORE, plus(user=50, idle=50)])
    monkeypatch.setattr(other_work.psutil, "Process", lambda: me)
    monkeypatch.setattr(other_work.psutil, "cpu_times", lambda: next(readings))
    monkeypatch.setattr(other_work, "LOOK_SECONDS", 0.001)
    machine = MachineWatch()

    def run() -> None:
        me.below = [trial]
        assert trial.looked.wait(30)
        me.below = []

    assert machine.spent_by(run).cpu == 50.0
    assert machine.so_far().others == 0.0
