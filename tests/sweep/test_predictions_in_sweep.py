"""Predictions go from a trial to the driver, and lie in the sweep's folder when it has ended."""

import errno
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real_sweep import TRIAL, prepare, run, run_here

from noisetune.config import TrialConfig
from noisetune.pipeline import run_trial
from noisetune.predictions import PredictionsFolder
from noisetune.records import TrialRecord
from noisetune.store import NullStore
from noisetune.sweep.home import Home
from noisetune.sweep.results import load_sweep
from noisetune.sweep.study.storage import open_sweep

SCRATCH = TRIAL | {"pretrain": {"method": "none"}}
SPACE: dict[str, Any] = {"conditions": {"noise.rate": [0.2, 0.4]}}


def records(home: Home, name: str) -> list[TrialRecord]:
    sweep, ledger = open_sweep(home, name)
    return ledger.records(sweep.cells)


def assert_kept(home: Home, name: str, count: int) -> None:
    """Each complete trial has its file, which agrees with what the ledger says of it."""
    ended, folder = records(home, name), home.predictions(name)
    assert [each.state for each in ended] == ["complete"] * count
    assert len(list(folder.path.iterdir())) == count
    for trial in ended:
        kept = folder.read(trial.name)
        assert kept is not None
        for choice in kept.predicted:
            accuracy = trial.metrics[f"test/accuracy_at_{choice}"]
            assert kept.correct(choice).mean() == pytest.approx(accuracy)
        assert (kept.given != kept.true).mean() == pytest.approx(trial.metrics["detect/error_rate"])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "mlruns")


@pytest.mark.parametrize("share", [True, False])
def test_every_trial_leaves_its_own(home: Home, share: bool) -> None:
    assert run_here(home, prepare(SPACE, "mine", trial=SCRATCH), share=share).finished
    assert_kept(home, "mine", 2)
    (trial, _) = records(home, "mine")
    kept = load_sweep("mine", mlruns=home.root).predictions(trial.name)
    assert kept is not None
    assert kept.correct("last").mean() == pytest.approx(trial.metrics["test/accuracy_at_last"])


def test_they_are_those_of_the_trial_alone(home: Home, drive: Callable[..., Any]) -> None:
    run_here(home, prepare(SPACE, "mine", trial=SCRATCH))
    trial = records(home, "mine")[1]
    alone = drive(run_trial(TrialConfig.parse(trial.config, "x"), NullStore()))[1].predictions
    kept = home.predictions("mine").read(trial.name)
    assert kept is not None
    for choice, classes in alone.predicted.items():
        assert (kept.predicted[choice] == classes).all()
        assert (kept.probability[choice] == alone.probability[choice]).all()


def test_neither_ledger_nor_outbox_nor_ray_has_them(home: Home) -> None:
    run_here(home, prepare(SPACE, "mine", trial=SCRATCH))
    for trial in records(home, "mine"):
        assert "predicted" not in str(trial.metrics) + str(trial.config)
    others = [
        file
        for file in home.sweep("mine").rglob("*")
        if file.is_file() and file.parent != home.predictions("mine").path
    ]
    assert others
    assert not any(b"noisetune_predictions" in file.read_bytes() for file in others)


@pytest.mark.parametrize("number", [1, 2])
def test_a_disk_that_is_full_for_them_pauses_the_sweep(
    home: Home, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """No trial ends without its own, so that a resume makes what is missing."""
    calls, write = itertools.count(1), PredictionsFolder.write

    def full(folder: PredictionsFolder, trial: str, packed: bytes) -> None:
        if next(calls) >= number:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder.file(trial)))
        write(folder, trial, packed)

    with monkeypatch.context() as patch:
        patch.setattr(PredictionsFolder, "write", full)
        paused = run_here(home, prepare(SPACE, "mine", trial=SCRATCH))
    assert paused.fault is not None
    assert "No space left on device; free some" in paused.fault
    states = [each.state for each in records(home, "mine")]
    assert states == ["complete"] * (number - 1) + ["running"]
    assert run_here(home, prepare(SPACE, "mine", trial=SCRATCH)).finished
    assert_kept(home, "mine", 2)


@pytest.mark.long
@pytest.mark.usefixtures("ray_at_hand")
@pytest.mark.parametrize("share", [True, False])
def test_they_come_through_ray_and_leave_nothing_there(home: Home, share: bool) -> None:
    assert run(home, prepare(SPACE, "mine", trial=SCRATCH), share=share).finished
    assert_kept(home, "mine", 2)
    states = [*home.sweep("mine").glob("ray/*")]
    assert not any(
        b"noisetune_predictions" in file.read_bytes() for file in states if file.is_file()
    )
