"""One driver to a sweep: the second is refused, and one that was taken over is silent."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from made_up import Play, point, result_of
from optuna.trial import TrialState

from noisetune.errors import UserError
from noisetune.store import FolderLeases, Lease, LeaseLost
from noisetune.store.folder import Folder
from noisetune.sweep.home import Home
from noisetune.sweep.study.lease import claim_sweep, own_journal, sweep_lease
from noisetune.sweep.study.ledger import Ledger, journal
from noisetune.sweep.study.scheduler import Scheduler
from noisetune.tracking import tracker as tracking
from noisetune.tracking.outbox import Outbox
from noisetune.tracking.telling import Receiver
from noisetune.tracking.tracker import Tracker

OpenScheduler = Callable[..., Play]
SIZES: dict[str, Any] = {"trials_per_condition": 3, "replicates": 0, "pruner": {"name": "none"}}
ANOTHER = """
import sys, time
from pathlib import Path
from noisetune.sweep.study.lease import claim_sweep, own_journal
from noisetune.sweep.home import Home
home = Home(Path(sys.argv[1]))
lease = claim_sweep(home, "made-up")
lock = home.ledger_file("made-up").with_name("ledger.journal.lock")
lock.touch()
print("driving", flush=True)
time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def another(home: Home) -> Any:
    """Another process that drives the sweep, and is in the middle of a write."""
    process = subprocess.Popen(
        [sys.executable, "-c", ANOTHER, str(home.root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "driving\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_driver_is_refused_and_told_who_the_first_is(
    home: Home, another: subprocess.Popen[str]
) -> None:
    with pytest.raises(UserError, match=f"'made-up' is being run by process {another.pid} on "):
        claim_sweep(home, "made-up")


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_step_of_the_clock_hands_no_living_sweep_over(
    home: Home, another: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    now = Folder.now
    monkeypatch.setattr(Folder, "now", lambda folder: now(folder) + step)
    with pytest.raises(UserError, match=f"'made-up' is being run by process {another.pid} on "):
        claim_sweep(home, "made-up")


def test_a_killed_driver_is_taken_over_at_once_with_the_lock_that_it_held(
    home: Home, another: subprocess.Popen[str], open_scheduler: OpenScheduler
) -> None:
    another.kill()
    another.wait()
    began = time.monotonic()
    with claim_sweep(home, "made-up") as lease:
        play = open_scheduler(storage=own_journal(home.ledger_file("made-up"), lease), **SIZES)
        play.run_all(lambda job: [0.5])
    assert [each.state for each in play.records()] == ["complete"] * 3
    # Optuna alone would wait for 30 seconds, and the lease of another host for as long.
    assert time.monotonic() - began < 25


def test_a_released_sweep_can_be_claimed_again(home: Home) -> None:
    for _ in range(2):
        with claim_sweep(home, "made-up") as lease:
            assert lease.alive


def _lapse(home: Home) -> None:
    """The lease lapses, as that of a driver does whose host fell asleep."""
    for held in (home.sweep("made-up") / "driver").glob("lease-*"):
        os.utime(held, (0, 0))


class TakenOver:
    """A driver, and a way to take its sweep from it."""

    def __init__(self, home: Home, open_scheduler: OpenScheduler) -> None:
        self.home = home
        self.lease = claim_sweep(home, "made-up")
        self.file = home.ledger_file("made-up")
        self.play = open_scheduler(storage=own_journal(self.file, self.lease), **SIZES)

    def take_over(self) -> Lease:
        _lapse(self.home)
        return claim_sweep(self.home, "made-up")


@pytest.fixture
def taken(home: Home, open_scheduler: OpenScheduler) -> Iterator[TakenOver]:
    driver = TakenOver(home, open_scheduler)
    with driver.lease:
        yield driver


def test_the_superseded_drivers_writes_are_refused(taken: TakenOver) -> None:
    job = taken.play.next()
    with taken.take_over():
        before = taken.file.read_bytes()
        for write in (
            lambda: job.asked.study.ask(),
            lambda: job.trial.set_user_attr("reason", "late"),
            lambda: job.trial.report(0.5, 1),
            lambda: job.asked.study.tell(job.trial, 0.5, TrialState.COMPLETE),
            lambda: own_journal(taken.file, taken.lease),
        ):
            with pytest.raises(LeaseLost):
                write()
        assert taken.file.read_bytes() == before
        assert not taken.file.with_name("ledger.journal.lock").exists()


@pytest.mark.parametrize("word", ["report", "complete", "fail", "next", "out of memory", "close"])
def test_the_superseded_board_stops_at_its_next_word(taken: TakenOver, word: str) -> None:
    scheduler, (job, other) = taken.play.scheduler, (taken.play.next(), taken.play.next())
    job.gpu = 0.25
    heard = taken.play.heard.words.copy()
    words: dict[str, Callable[[], Any]] = {
        "report": lambda: scheduler.report(job, [point(1, 0.5)]),
        "complete": lambda: scheduler.complete(job, result_of(job)),
        "fail": lambda: scheduler.fail(job, "late"),
        "out of memory": lambda: scheduler.out_of_memory(job, "late"),
        "next": scheduler.next,
        "close": scheduler.close,
    }
    with taken.take_over():
        before = taken.file.read_bytes()
        assert not words[word]()
        assert (scheduler.superseded, scheduler.over, scheduler.finished) == (True, True, False)
        assert scheduler.stopped == "another process has taken this sweep over"
        assert not scheduler.report(other, [replace(point(1, 0.5), stage="pretrain")])
        assert scheduler.next() is None
        scheduler.close()
        assert taken.file.read_bytes() == before
    assert taken.play.heard.words == heard


def test_a_board_that_notes_its_spending_is_stopped_as_well(taken: TakenOver) -> None:
    """Time passes between two notes: the note is a write like any other."""
    scheduler, job = taken.play.scheduler, taken.play.next()
    with taken.take_over():
        scheduler.spending.noted -= 1e6
        assert not scheduler.report(job, [])
    assert scheduler.superseded


def test_the_successor_ends_what_the_superseded_one_had_begun(
    taken: TakenOver, open_scheduler: OpenScheduler
) -> None:
    cut = taken.play.next()
    taken.play.scheduler.report(cut, [point(1, 0.5)])
    with taken.take_over() as lease:
        after = open_scheduler(storage=own_journal(taken.file, lease), **SIZES)
        assert after.scheduler.searcher.states[0].search.count == 1
        jobs = after.run_all(lambda job: [0.5])
        taken.play.scheduler.complete(cut, result_of(cut))
        assert [job.name for job in jobs] == ["all trial 0", "all trial 1", "all trial 2"]
        assert len(Ledger(journal(taken.file), "made-up").records([("all", {})])) == 3


def test_who_is_superseded_while_it_writes_is_told_so(
    taken: TakenOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its study is in a file that is the ledger no more, and Optuna would look for it in this."""
    storage = taken.play.scheduler.searcher.ledger.storage

    def stand_still(lease: Lease) -> bool:
        monkeypatch.undo()
        own_journal(taken.file, taken.take_over())
        return True

    monkeypatch.setattr(Lease, "alive", property(stand_still))
    with pytest.raises(LeaseLost):
        optuna.create_study(storage=storage, study_name="late")
    assert "late" not in optuna.get_all_study_names(journal(taken.file))


def test_a_lock_that_the_next_driver_has_removed_is_no_error(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home.ledger_file("made-up")
    lock = file.with_name(f"{file.name}.lock")
    removed = 0

    def remove(lease: Lease) -> bool:
        nonlocal removed
        removed += lock.exists()
        lock.unlink(missing_ok=True)
        return True

    with claim_sweep(home, "made-up") as lease:
        storage = own_journal(file, lease)
        monkeypatch.setattr(Lease, "alive", property(remove))
        Ledger.create(storage, "made-up", {"a": 1})
    assert removed
    assert Ledger(journal(file), "made-up").definition == {"a": 1}


def test_one_that_does_not_come_to_begin_leaves_no_folder(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    with sweep_lease(home, "made-up"):
        home.log("made-up").touch()
    assert not home.root.exists()


def test_it_removes_nothing_of_the_one_that_took_over(
    home: Home, open_scheduler: OpenScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still just before it removed its folder: the other one has run the sweep since."""
    with sweep_lease(home, "made-up"):
        _lapse(home)
        with claim_sweep(home, "made-up") as lease:
            play = open_scheduler(storage=own_journal(home.ledger_file("made-up"), lease), **SIZES)
            play.run_all(lambda job: [0.5])
        kept = sorted(home.root.rglob("*"))
        monkeypatch.setattr(Home, "names", lambda home: [])
    assert sorted(home.root.rglob("*")) == kept
    assert len(Ledger(journal(home.ledger_file("made-up")), "made-up").records([("all", {})])) == 3


def test_a_folder_that_was_just_removed_is_made_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[Lease | None] = []
    claim = FolderLeases.claim

    def interrupted(leases: FolderLeases, name: str) -> Lease | None:
        if not claims:
            shutil.rmtree(home.sweep("made-up"))
        claims.append(None if not claims else claim(leases, name))
        return claims[-1]

    monkeypatch.setattr(FolderLeases, "claim", interrupted)
    with claim_sweep(home, "made-up") as lease:
        assert lease.alive
    assert claims[0] is None


class Told(Receiver):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def apply(self, messages: Sequence[dict[str, Any]]) -> None:
        self.messages.extend(messages)


def test_the_superseded_drivers_tracker_delivers_nothing_more(
    taken: TakenOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "FLUSH_SECONDS", 0.0)
    told = Told()
    outbox = Outbox(taken.home.sweep("made-up") / "outbox.jsonl")
    tracker = Tracker(outbox, lambda: told, mine=lambda: taken.lease.alive)
    scheduler = taken.play.scheduler
    scheduler.watchers = [tracker]
    job = taken.play.next()
    while not told.messages:
        time.sleep(0.01)
    with taken.take_over():
        pretrained = replace(point(1, 0.5), stage="pretrain")
        scheduler.report(job, [pretrained])
        scheduler.complete(job, result_of(job))
        tracker.abandon()
    assert [message["kind"] for message in told.messages] == ["started"]


def test_a_board_is_not_made_over_a_ledger_of_another(
    taken: TakenOver, open_scheduler: OpenScheduler
) -> None:
    with taken.take_over(), pytest.raises(LeaseLost):
        Scheduler(taken.play.scheduler.config, taken.play.conditions, taken.play.ledger)
