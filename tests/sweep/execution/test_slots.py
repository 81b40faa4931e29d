"""Hosts that join a cluster later get work; what is told of it is what Ray has."""

import pytest

from noisetune.errors import UserError
from noisetune.sweep.execution import slots as module
from noisetune.sweep.execution.slots import Slots
from noisetune.sweep.spec.config import SweepConfig, parse_sweep


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)


def config(**more: object) -> SweepConfig:
    return parse_sweep({"name": "a", "search_space": "-", "trial": {}, **more}, "the test")


def test_it_follows_hosts_that_join_and_leave() -> None:
    has = {"CPU": 2.0}
    slots = Slots(config(resources={"cpu": 1}), lambda: has)
    seen = [slots.now()]
    for cpus in (6.0, 3.0):
        has["CPU"] = cpus
        seen.append(slots.now())
    assert seen == [2, 6, 3]


def test_hosts_of_different_kinds_have_what_their_gpus_hold() -> None:
    """Shares of a quarter, on a host with one GPU and few CPUs, and on one with two."""
    has = {"CPU": 4.0, "GPU": 1.0}
    slots = Slots(config(resources={"cpu": 1, "gpu": 0.25}), lambda: has)
    assert slots.now() == 4
    has.update(CPU=20.0, GPU=3.0)
    assert slots.now() == 12


def test_the_users_limit_holds() -> None:
    assert Slots(config(resources={"cpu": 1}, max_concurrent=3), lambda: {"CPU": 8.0}).now() == 3


def test_without_a_host_for_a_while_the_last_number_stands() -> None:
    has = {"CPU": 2.0}
    slots = Slots(config(resources={"cpu": 1}), lambda: has)
    has["CPU"] = 0.0
    assert slots.now() == 2
    with pytest.raises(UserError, match=r"resources\.cpu: 1 is more than the cluster has"):
        Slots(config(resources={"cpu": 1}), lambda: has)
