"""Hosts that join a cluster later get work; what is told of it is what Ray has."""

from collections import Counter

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
    slots = Slots(config(resources={"cpu": 1}), lambda: [has])
    seen = [slots.now()]
    for cpus in (6.0, 3.0):
        has["CPU"] = cpus
        seen.append(slots.now())
    assert seen == [2, 6, 3]


def test_hosts_of_different_kinds_have_what_their_gpus_hold() -> None:
    """Shares of a quarter, on a host with one GPU and few CPUs, and on one with two."""
    has = {"CPU": 4.0, "GPU": 1.0}
    slots = Slots(config(resources={"cpu": 1, "gpu": 0.25}), lambda: [has])
    assert slots.now() == 4
    has.update(CPU=20.0, GPU=3.0)
    assert slots.now() == 12


def test_the_users_limit_holds() -> None:
    assert Slots(config(resources={"cpu": 1}, max_concurrent=3), lambda: [{"CPU": 8.0}]).now() == 3


def test_without_a_host_for_a_while_the_last_number_stands() -> None:
    has = {"CPU": 2.0}
    slots = Slots(config(resources={"cpu": 1}), lambda: [has])
    has["CPU"] = 0.0
    assert slots.now() == 2
    with pytest.raises(UserError, match=r"resources\.cpu: 1 is more than the cluster has"):
        Slots(config(resources={"cpu": 1}), lambda: [has])


KINDS = {"gpu": 0.5, "gpu_on": {"H100": 0.125, "T4": 1}}


def host(cpus: float, gpus: float, kind: str | None = None) -> dict[str, float]:
    label = {} if kind is None else {f"accelerator_type:{kind}": 1.0}
    return {"CPU": cpus, "GPU": gpus, **label}


def test_each_kind_of_host_takes_its_own_share() -> None:
    has = [host(16, 1, "H100"), host(16, 2, "T4"), host(16, 1, "A10"), host(4, 0)]
    slots = Slots(config(resources={"cpu": 1, **KINDS}), lambda: has)
    assert slots.kinds == {"H100": 8, "T4": 2, "A10": 2}
    assert slots.now() == 12
    has.append(host(4, 1, "H100"))
    assert slots.kinds["H100"] == 16
    assert Slots(config(resources=KINDS, max_concurrent=3), lambda: has).now() == 3


def test_a_trial_goes_where_most_room_is_left() -> None:
    has = [host(16, 1, "H100"), host(16, 1, "T4")]
    slots = Slots(config(resources={"cpu": 1, **KINDS}), lambda: has)
    placed: Counter[str | None] = Counter()
    for _ in range(9):
        placed[slots.place(placed)] += 1
    assert placed == {"H100": 8, "T4": 1}


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"gpu": 0.5, "gpu_on": {"T4": 2}}, "T4: 2: give a share above 0 and at most 1"),
        ({"gpu": 0.5, "gpu_on": {"T4": 0}}, "T4: 0: give a share above 0 and at most 1"),
        ({"gpu_on": {"T4": 0.5}}, "goes with a share `gpu` of the other hosts"),
        ({"gpu": 2, "gpu_on": {"T4": 0.5}}, "goes with a share `gpu` of the other hosts"),
    ],
)
def test_a_share_that_cannot_be_is_refused(resources: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(resources=resources)


def test_a_share_that_grew_is_larger_on_every_host() -> None:
    resources = config(resources=KINDS).resources
    held = [resources.share_on(kind, grown) for kind in ("H100", "A10", None) for grown in (0.5, 1)]
    assert held == [0.125, 0.25, 0.5, 1, 0.5, 1]
    assert resources.share_on("T4", 1.0) == 1
