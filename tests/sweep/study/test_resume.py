"""Drivers that die between two writes, and boards that go on from what they left."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from dying import DiesAfter, Killed
from made_up import Play, point
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage

from noisetune.records import TrialRecord
from noisetune.sweep.home import Home
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.lease import claim_sweep, own_journal
from noisetune.sweep.study.ledger import Ledger, journal
from noisetune.tracking.outbox import Outbox
from noisetune.tracking.tracker import Tracker

OpenScheduler = Callable[..., Play]
SPACE = {
    "conditions": {"noise.rate": [0.2, 0.6]},
    "parameters": {
        "finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "finetune.optimizer": {"choices": ["adam", "sgd"]},
        "finetune.momentum": {"low": 0.0, "high": 0.9, "when": {"finetune.optimizer": "sgd"}},
        "finetune.weight_decay": {"low": 1e-6, "high": 1e-3, "log": True},
    },
}
SIZES: dict[str, Any] = {"trials_per_condition": 3, "replicates": 1, "pruner": {"name": "none"}}
RANDOM = {"name": "random", "seed": 5}
TPE = {"name": "tpe", "seed": 5, "n_startup_trials": 1}
JOINT = {**TPE, "multivariate": True}
EAGER = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0}


def curve(job: Job) -> list[float]:
    """An accuracy in each of three epochs that follows from the trial's values alone."""
    lr, momentum = job.config.finetune.lr, job.parameters.get("finetune.momentum", 0.5)
    return [(math.log10(lr) + 4) / 3 * epoch / 3 + momentum / 100 for epoch in (1, 2, 3)]


def table(play: Play) -> list[tuple[Any, ...]]:
    """What a person sees in the end."""
    return [
        (each.name, each.state, each.parameters, each.objective, each.seed, each.metrics)
        for each in play.records()
    ]


def writes(open_scheduler: OpenScheduler, file: Path, space: dict[str, Any], **sweep: Any) -> int:
    """How many times an undisturbed driver writes."""
    backend = DiesAfter(file)
    storage = JournalStorage(backend)
    Ledger.create(storage, "made-up", {})
    backend.left = 10**6
    open_scheduler(space, storage, **sweep).run_all(curve)
    return int(10**6 - backend.left)


def die_and_resume(
    open_scheduler: OpenScheduler, file: Path, alive: int, space: dict[str, Any], **sweep: Any
) -> tuple[list[TrialRecord], Play, list[Job]]:
    """Kill a driver after `alive` writes; what it left, who went on, and its trials."""
    Ledger.create(journal(file), "made-up", {})
    with pytest.raises(Killed):
        open_scheduler(space, JournalStorage(DiesAfter(file, alive)), **sweep).run_all(curve)
    play = open_scheduler(space, journal(file), **sweep)
    left = play.records()
    return left, play, play.run_all(curve)


def trials_in(storage: BaseStorage) -> int:
    """How many trials there are, written down whole or not."""
    return sum(storage.get_n_trials(study._study_id) for study in storage.get_all_studies())


@pytest.mark.long
@pytest.mark.parametrize(
    "sampler",
    [RANDOM, *(pytest.param(sampler, marks=pytest.mark.long) for sampler in (TPE, JOINT))],
    ids=["random", "tpe", "multivariate"],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_driver_killed_between_any_two_writes_changes_nothing(
    open_scheduler: OpenScheduler, tmp_path: Path, sampler: dict[str, Any]
) -> None:
    """One condition, one trial at a time: every write is the last of some driver."""
    space = {"parameters": SPACE["parameters"]}
    sweep = {**SIZES, "sampler": sampler}
    undisturbed = open_scheduler(space, **sweep)
    undisturbed.run_all(curve)
    assert Counter(record.state for record in undisturbed.records()) == {"complete": 4}
    for alive in range(writes(open_scheduler, tmp_path / "whole", space, **sweep)):
        file = tmp_path / f"killed after {alive}"
        left, play, jobs = die_and_resume(open_scheduler, file, alive, space, **sweep)
        assert play.scheduler.finished
        assert table(play) == table(undisturbed), f"killed after {alive} writes"
        assert trials_in(play.ledger.storage) == 4
        done = {record.name for record in left if record.state == "complete"}
        assert not done & {job.name for job in jobs}
        assert len(done) + len(jobs) == 4


@pytest.mark.long
def test_several_conditions_at_once_end_as_an_undisturbed_sweep(
    open_scheduler: OpenScheduler, tmp_path: Path
) -> None:
    sweep = {**SIZES, "sampler": RANDOM}
    undisturbed = open_scheduler(SPACE, **sweep)
    undisturbed.run_all(curve)
    count = writes(open_scheduler, tmp_path / "whole", SPACE, **sweep)
    for alive in range(0, count, 3):
        file = tmp_path / f"killed after {alive}"
        _, play, _ = die_and_resume(open_scheduler, file, alive, SPACE, **sweep)
        assert table(play) == table(undisturbed), f"killed after {alive} writes"


@pytest.mark.long
def test_a_pruned_trial_stays_pruned(open_scheduler: OpenScheduler, tmp_path: Path) -> None:
    space = {"parameters": SPACE["parameters"]}
    sweep = {**SIZES, "trials_per_condition": 5, "sampler": RANDOM, "pruner": EAGER}
    undisturbed = open_scheduler(space, **sweep)
    undisturbed.run_all(curve)
    pruned = {record.name for record in undisturbed.records() if record.state == "pruned"}
    assert pruned
    for alive in range(writes(open_scheduler, tmp_path / "whole", space, **sweep)):
        file = tmp_path / f"killed after {alive}"
        left, play, jobs = die_and_resume(open_scheduler, file, alive, space, **sweep)
        again = {job.name for job in jobs}
        assert not again & {each.name for each in left if each.state == "pruned"}
        assert table(play) == table(undisturbed), f"killed after {alive} writes"


def test_a_driver_that_is_killed_again_and_again_comes_to_the_same_end(
    open_scheduler: OpenScheduler, tmp_path: Path
) -> None:
    sweep = {**SIZES, "sampler": RANDOM}
    undisturbed = open_scheduler(SPACE, **sweep)
    undisturbed.run_all(curve)
    file, lives = tmp_path / "ledger", 0
    Ledger.create(journal(file), "made-up", {})
    while True:
        lives += 1
        try:
            # Long enough to write a trial down from its beginning to its end.
            play = open_scheduler(SPACE, JournalStorage(DiesAfter(file, 24)), **sweep)
            play.run_all(curve)
        except Killed:
            assert lives < 50
            continue
        break
    assert lives > 3
    assert table(play) == table(undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["enqueue", "warm_start"])
def test_what_comes_before_the_first_trial_survives_too(
    open_scheduler: OpenScheduler, tmp_path: Path, kind: str
) -> None:
    """Enqueued and earlier trials have numbers of their own: draws are not to follow those."""
    space = {"parameters": SPACE["parameters"]}
    more: dict[str, Any] = {"enqueue": [{"finetune.lr": 0.005}, {"finetune.lr": 0.001}]}
    sweep = {**SIZES, "sampler": RANDOM} | (more if kind == "enqueue" else {})

    def warmed(file: Path) -> Path:
        """A ledger that has, where asked for, an earlier sweep's trials in its study."""
        if kind == "warm_start":
            play = open_scheduler(space, journal(file), **sweep)
            study = play.scheduler.searcher.states[0].search.study
            first = open_scheduler(space, **sweep)
            first.run_all(curve)
            done = first.scheduler.searcher.states[0].search.study.get_trials()
            for trial in done:
                trial.set_user_attr("noisetune:warm_start", f"earlier {trial.number}")
                study.add_trial(trial)
        return file

    undisturbed = open_scheduler(space, journal(warmed(tmp_path / "whole")), **sweep)
    undisturbed.run_all(curve)
    for alive in range(0, 40):
        file = warmed(tmp_path / f"killed after {alive}")
        if not file.exists():
            Ledger.create(journal(file), "made-up", {})
        with pytest.raises(Killed):
            open_scheduler(space, JournalStorage(DiesAfter(file, alive)), **sweep).run_all(curve)
        play = open_scheduler(space, journal(file), **sweep)
        play.run_all(curve)
        assert table(play) == table(undisturbed), f"killed after {alive} writes"


def test_a_line_that_a_crash_cut_short_is_dropped(
    open_scheduler: OpenScheduler, tmp_path: Path
) -> None:
    sweep = {**SIZES, "sampler": RANDOM}
    undisturbed = open_scheduler(SPACE, **sweep)
    undisturbed.run_all(curve)
    home = Home(tmp_path)
    with claim_sweep(home, "made-up") as lease:
        file = home.ledger_file("made-up")
        before = open_scheduler(SPACE, own_journal(file, lease), **sweep)
        before.run(job := before.next(), curve(job))
        before.next()
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    with claim_sweep(home, "made-up") as lease:
        after = open_scheduler(SPACE, own_journal(file, lease), **sweep)
        assert file.read_bytes().endswith(b"\n")
        after.run_all(curve)
        assert table(after) == table(undisturbed)


def test_a_reason_without_its_end_is_no_reason(open_scheduler: OpenScheduler) -> None:
    storage = InMemoryStorage()
    sweep = {**SIZES, "trials_per_condition": 1, "replicates": 0}
    before = open_scheduler(storage=storage, **sweep)
    before.next().trial.set_user_attr("reason", "the driver died with these words")
    after = open_scheduler(storage=storage, **sweep)
    after.run_all(curve)
    assert [(each.state, each.reason) for each in after.records()] == [("complete", None)]


def test_points_that_come_again_are_told_to_the_sampler_once(open_scheduler: OpenScheduler) -> None:
    storage = InMemoryStorage()
    before = open_scheduler(storage=storage, **SIZES)
    cut = before.next()
    before.scheduler.report(cut, [point(1, 0.9)])
    after = open_scheduler(storage=storage, **SIZES)
    again = after.next()
    after.run(again, [0.9, 0.3])
    frozen = next(
        each for each in again.asked.study.get_trials() if each.number == again.trial.number
    )
    assert (frozen.intermediate_values, frozen.value) == ({1: 0.9, 2: 0.3}, 0.9)


class DyingOutbox(Outbox):
    """An outbox that shares its driver's life with the ledger."""

    def __init__(self, path: Path, backend: DiesAfter) -> None:
        super().__init__(path)
        self.backend = backend

    def append(self, message: dict[str, Any]) -> None:
        if self.backend.left <= 0:
            raise Killed
        self.backend.left -= 1
        super().append(message)


class Nobody:
    """A tracking server that takes everything."""

    def apply(self, messages: Sequence[dict[str, Any]]) -> None:
        pass


def driven(open_scheduler: OpenScheduler, folder: Path, alive: float) -> Play:
    """A driver with ledger and tracker; it dies after `alive` writes to either."""
    backend = DiesAfter(folder / "ledger", alive)
    play = open_scheduler(
        {"parameters": SPACE["parameters"]}, JournalStorage(backend), **SIZES, sampler=RANDOM
    )
    tracker = Tracker(DyingOutbox(folder / "outbox", backend), Nobody)
    try:
        play.scheduler.watchers = [tracker]
        tracker.catch_up(play.records())
        play.run_all(curve)
    finally:
        tracker.abandon()
    return play


@pytest.mark.long
def test_nothing_is_lost_to_mlflow_between_any_two_writes(
    open_scheduler: OpenScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noisetune.tracking.tracker.FLUSH_SECONDS", 0.0)
    for alive in itertools.count():
        folder = tmp_path / str(alive)
        folder.mkdir()
        Ledger.create(journal(folder / "ledger"), "made-up", {})
        with suppress(Killed):
            driven(open_scheduler, folder, alive)
            break
        records = driven(open_scheduler, folder, math.inf).records()
        told = list(Outbox(folder / "outbox").all())
        for kind in ("started", "ended"):
            names = [each["trial"] for each in told if each["kind"] == kind]
            assert set(names) == {record.name for record in records}
        rows = {(each["trial"], each["step"]) for each in told if each["kind"] == "point"}
        assert rows == {(record.name, step) for record in records for step in (1, 2, 3)}
        assert {each["state"] for each in told if each["kind"] == "ended"} == {"complete"}
    assert alive > 60
