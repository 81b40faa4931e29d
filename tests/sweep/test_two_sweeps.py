"""Sweeps that meet over one store: another's lease, a full disk, a killed driver."""

import errno
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from made_up import Play, some_slots
from ray.tune.schedulers import TrialScheduler
from real_sweep import Seen, prepare, run, run_here

from noisetune.config import TrialConfig
from noisetune.pipeline import Options, run_trial
from noisetune.records import TrialRecord
from noisetune.stages.base import points_of
from noisetune.stages.pretrain import pretrain_key
from noisetune.store import Lease, NullStore, StageKey, Store
from noisetune.store import folder as folders
from noisetune.sweep.execution.adapters import TuneScheduler, TuneSearcher
from noisetune.sweep.execution.message import Message
from noisetune.sweep.home import Home
from noisetune.sweep.plan import make_plan
from noisetune.sweep.study.storage import open_sweep

SCRATCH, SIMCLR = "pretrain.method=none trial 0", "pretrain.method=simclr trial 0"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "mlruns")


def encoder_key(config: TrialConfig) -> StageKey:
    key = pretrain_key(config, config.data.load())
    assert key is not None
    return key


class Rival(Seen):
    """Another sweep, which takes the key of an encoder from under a trial that was handed out.

    It gives it back when the trial from scratch has ended.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.lease: Lease | None = None

    def started(self, trial: TrialRecord) -> None:
        if trial.name == SIMCLR:
            key = encoder_key(TrialConfig.parse(trial.config, trial.name))
            self.lease = self.store.lease(key)
            assert self.lease is not None

    def ended(self, trial: TrialRecord) -> None:
        super().ended(trial)
        if trial.name == SCRATCH and self.lease is not None:
            self.lease.release()


@pytest.mark.usefixtures("ray_at_hand")
@pytest.mark.long
def test_a_trial_that_meets_anothers_lease_makes_room_and_goes_on_later(home: Home) -> None:
    """Each trial takes the whole machine, so the second one runs only while the first is paused."""
    rival = Rival(Store.open(home.stages))
    space = {"conditions": {"pretrain.method": ["simclr", "none"]}}
    sweep = prepare(space, "meets", resources={"cpu": 2})
    assert run(home, sweep, [rival]).finished
    assert list(rival.ends) == [SCRATCH, SIMCLR]
    assert {trial.state for trial in rival.ends.values()} == {"complete"}
    stages = ["pretrain", "pretrain", "gate", "finetune", "finetune", "detect"]
    assert [stage for stage, _ in rival.stages(SIMCLR)] == stages


@pytest.mark.parametrize(
    ("lookahead", "another"), [(True, True), (False, False)], ids=["shares", "so many at once"]
)
def test_a_paused_trial_counts_only_where_the_user_said_how_many_may_be_at_work(
    open_scheduler: Callable[..., Play], lookahead: bool, another: bool
) -> None:
    searcher = TuneSearcher(
        open_scheduler().scheduler, None, slots=some_slots(1), lookahead=lookahead
    )
    scheduler, trial = TuneScheduler(searcher), SimpleNamespace(trial_id="a", status="PAUSED")
    controller = SimpleNamespace(
        pause_trial=lambda *_, **__: None, get_live_trials=lambda: iter([trial])
    )
    assert searcher.suggest("a") is not None
    assert searcher.suggest("b") is None
    told = Message(waiting=True).to_result()
    assert scheduler.on_trial_result(controller, trial, told) == TrialScheduler.NOOP
    assert (searcher.suggest("b") is not None) == another
    wait_until(lambda: scheduler.choose_trial_to_run(controller) is trial)
    assert searcher.suggest("c") is None


def no_room(path: Path, data: bytes) -> None:
    """A disk that fills up in the middle of a file."""
    path.write_bytes(data[: len(data) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_for_encoders(config: TrialConfig, store: Store, options: Options) -> Iterator[Any]:
    """The real pipeline, on a disk that is full for trials with an encoder."""
    with pytest.MonkeyPatch.context() as patch:
        if config.pretrain.method != "none":
            patch.setattr(folders, "write_durably", no_room)
        return (yield from run_trial(config, store, options))


def test_a_full_disk_pauses_the_sweep_and_fails_no_trial(home: Home) -> None:
    space = {"conditions": {"pretrain.method": ["simclr", "none"], "noise.rate": [0.2, 0.4]}}
    paused = run_here(home, prepare(space, "full"), [], full_for_encoders)
    assert str(paused.fault).startswith(f"{paused.left[0].name}: the store {home.stages} is full: ")
    assert "make room with `noisetune store gc`" in str(paused.fault)
    assert os.listdir(home.stages / ".tmp") == []

    seen = Seen()
    assert run_here(home, prepare(space, "full"), [seen]).finished
    sweep, ledger = open_sweep(home, "full")
    assert [each.state for each in ledger.records(sweep.cells)] == ["complete"] * 4
    store = Store.open(home.stages)
    assert store.verify().damaged == {}
    assert Counter(entry.stage for entry in store.list())["finetune"] == 4


DRIVER = Path(__file__).with_name("drive.py")
PATIENCE = 240


@dataclass
class Driver:
    """A process that runs a sweep of its own, with all that it starts."""

    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, home: Home, space: dict[str, Any], **sweep: Any) -> "Driver":
        folder = home.root.parent / sweep["name"]
        folder.mkdir()
        orders = {"home": str(home.root), "space": space, "sweep": {"max_concurrent": 2, **sweep}}
        (folder / "orders.json").write_text(json.dumps(orders))
        with (folder / "log").open("wb") as log:
            command = [sys.executable, str(DRIVER), str(folder)]
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        return cls(folder, process)

    def has(self, name: str) -> bool:
        assert self.process.poll() in (None, 0), (self.folder / "log").read_text()
        return (self.folder / name).exists()

    def go(self) -> None:
        (self.folder / "go").touch()

    def kill(self) -> None:
        """Kill -9 the driver and every process that it started."""
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        self.process.wait()

    def result(self) -> dict[str, Any]:
        """What it saw, once it has ended."""
        self.process.wait(PATIENCE)
        assert self.has("result.json")
        return json.loads((self.folder / "result.json").read_text())


@pytest.fixture
def drive(home: Home) -> Iterator[Callable[..., Driver]]:
    """Starts drivers over one store, ready to go; none outlives the test."""
    drivers: list[Driver] = []

    def drive(*names: str, **orders: Any) -> list[Driver]:
        drivers.extend(Driver.start(home, name=name, **orders) for name in names)
        wait_until(lambda: all(driver.has("ready") for driver in drivers))
        return drivers

    yield drive
    for driver in drivers:
        driver.kill()


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(PATIENCE * 20):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it does not come to pass")


def epochs(result: dict[str, Any], stage: str) -> set[tuple[int, float]]:
    """The epochs of a stage, each with the moment in which it was made."""
    return {(step, made) for _, where, step, made in result["points"] if where == stage}


@pytest.mark.long
def test_two_sweeps_at_the_same_time_compute_each_key_once(
    home: Home, drive: Callable[..., list[Driver]]
) -> None:
    space = {
        "conditions": {"pretrain.method": ["simclr", "barlow_twins"], "noise.rate": [0.2, 0.4]},
        "parameters": {"pretrain.epochs": {"choices": [5, 40]}},
    }
    plan = make_plan(prepare(space, "x"), {"CPU": 2.0}, NullStore(), measure=False)
    drivers = drive("first", "second", space=space)
    for driver in drivers:
        driver.go()
    results = [driver.result() for driver in drivers]
    for result in results:
        assert result["finished"]
        assert list(result["states"].values()) == ["complete"] * plan.search_trials
    for stage in ("pretrain", "finetune"):
        made = [epochs(result, stage) for result in results]
        assert made[0] == made[1]
        assert len(made[0]) == plan.stages[stage].epochs
    assert Store.open(home.stages).verify().damaged == {}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_when_one_is_killed_in_the_middle_of_a_pretraining_the_other_takes_over(
    home: Home, drive: Callable[..., list[Driver]]
) -> None:
    """The heir has all else done by then, and its other trial held back."""
    last, milestone = 3000, 5
    space = {"conditions": {"pretrain.epochs": [last, milestone]}}
    victim, heir = drive("victim", "heir", space=space)
    config = prepare(space, "x").conditions[0].trial({}).resolve(1, 0)
    store, key = Store.open(home.stages), encoder_key(config)
    victim.go()
    wait_until(lambda: milestone in store.steps(key))
    heir.go()
    wait_until(lambda: heir.has("ended"))
    assert (heir.folder / "ended").read_text() == f"pretrain.epochs={milestone} trial 0\n"
    assert store.holder(key) is not None
    assert last not in store.steps(key)
    victim.kill()
    killed = time.time()
    done, begun = store.latest(key, last) or pytest.fail("the milestone is gone")
    result = heir.result()
    assert result["finished"]
    assert set(result["states"].values()) == {"complete"}
    made = dict(epochs(result, "pretrain"))
    assert made.keys() == set(range(1, last + 1))
    assert [made[step] for step in range(1, done + 1)] == [p.made for p in points_of(begun)]
    assert min(made[step] for step in range(done + 1, last + 1)) > killed
    assert store.verify().damaged == {}
    assert store.holder(key) is None
