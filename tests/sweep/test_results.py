"""What a sweep found, as frames: they say what ledger and outbox do."""

from pathlib import Path
from typing import Any

import pytest
from real_sweep import SWEEP, TRIAL, without_ray

from noisetune.analysis.statistics import mean_interval
from noisetune.records import MetricPoint, TrialRecord
from noisetune.sweep.home import Home
from noisetune.sweep.results import SweepResults, load_sweep
from noisetune.sweep.run import run_sweep
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.lease import claim_sweep
from noisetune.sweep.study.storage import drive_ledger, open_sweep
from noisetune.tracking.tracker import open_tracker

SPACE: dict[str, Any] = {
    "conditions": {"pretrain.method": ["none", "simclr"]},
    "parameters": {
        "finetune.lr": {"choices": [0.001, 0.003]},
        "pretrain.temperature": {"choices": [0.2], "when": {"pretrain.method": "simclr"}},
    },
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> SweepResults:
    """A sweep of two conditions with two trials and three replicates each."""
    folder = tmp_path_factory.mktemp("mlruns")
    with without_ray():
        return run_sweep({**SWEEP, "name": "mine", "replicates": 3}, SPACE, mlruns=folder)


@pytest.fixture(scope="module")
def records(results: SweepResults) -> list[TrialRecord]:
    sweep, ledger = open_sweep(results.home, results.name)
    return ledger.records(sweep.cells)


def test_a_sweep_is_loaded_by_its_name(results: SweepResults) -> None:
    assert load_sweep("mine", mlruns=results.home.root) == results


def test_trials_say_what_the_ledger_does(results: SweepResults, records: list[TrialRecord]) -> None:
    trials = results.trials()
    assert trials["trial"].to_list() == [record.name for record in records]
    assert trials.groupby(["condition", "kind"]).size().to_list() == [3, 2] * 2
    for row, record in zip(trials.to_dict("records"), records, strict=True):
        for field, value in (record.factors | record.parameters | record.metrics).items():
            assert row[field] == value or (value is None and row[field] != row[field])
        assert (row["objective"], row["state"]) == (record.objective, "complete")


def test_columns_come_in_their_order(results: SweepResults) -> None:
    columns = results.trials().columns.to_list()
    assert columns[:10] == [
        *("trial", "condition", "pretrain.method", "kind", "number", "state", "reason"),
        *("finetune.lr", "pretrain.temperature", "objective"),
    ]
    assert len(set(columns)) == len(columns)


def test_curves_hold_every_epoch_once(results: SweepResults, records: list[TrialRecord]) -> None:
    curves = results.curves()
    assert not curves.duplicated(["trial", "metric", "step"]).any()
    for record in records:
        mine = curves[curves["trial"] == record.name]
        accuracy = mine[mine["metric"] == "test/accuracy"]
        assert accuracy["step"].to_list() == [1, 2]
        assert accuracy["value"].iloc[-1] == record.metrics["test/accuracy_at_last"]
        pretrained = {"pretrain", "gate"} if "simclr" in record.name else set()
        assert set(mine["stage"]) == {"finetune", "detect"} | pretrained


@pytest.mark.parametrize("epoch", ["last", "noisy_best", "oracle"])
def test_winners_stand_with_their_replicates(
    results: SweepResults, records: list[TrialRecord], epoch: Any
) -> None:
    winners = results.winners(epoch)
    assert winners["pretrain.method"].to_list() == ["none", "simclr"]
    for row in winners.to_dict("records"):
        searched = [each for each in records if each.condition == row["condition"]]
        best = max(each.objective or 0.0 for each in searched if each.kind == "search")
        again = [each for each in searched if each.kind == "replicate"]
        wanted = mean_interval(each.metrics[f"test/accuracy_at_{epoch}"] or 0.0 for each in again)
        assert row["objective"] == best
        found = row["accuracy"], row["accuracy_low"], row["accuracy_high"], row["replicates"]
        assert found == (wanted.mean, wanted.low, wanted.high, 3)


def test_comparisons_are_those_that_the_sweep_asks_about(
    results: SweepResults, records: list[TrialRecord]
) -> None:
    asked, other = results.comparisons(), results.comparisons("last")
    (row,) = asked.to_dict("records")
    arms = {each.factors["pretrain.method"]: each.condition for each in records}
    assert (row["a"], row["b"], row["n"]) == (arms["simclr"], arms["none"], 3)
    means = results.winners().set_index("condition")["accuracy"]
    assert row["difference"] == pytest.approx(means[row["a"]] - means[row["b"]])
    assert row["low"] < row["difference"] < row["high"]
    assert row["claim"] is None
    assert list(other.columns) == list(asked.columns)


@pytest.mark.long
def test_with_several_goals_each_has_a_column(tmp_path: Path) -> None:
    goals = {"metric": "val/accuracy", "also": [{"metric": "cost/passes"}]}
    space = {"parameters": {"finetune.epochs": {"choices": [1, 2]}}}
    trial = TRIAL | {"pretrain": {"method": "none"}}
    config = {**SWEEP, "name": "traded", "trial": trial, "objective": goals}
    with without_ray():
        results = run_sweep(config, space, mlruns=tmp_path)
    trials, winners = results.trials(), results.winners()
    assert sorted(trials["objective cost/passes"]) == [1.0, 2.0]
    assert 1.0 in winners["objective cost/passes"].to_list()
    assert winners["replicates"].to_list() == [0] * len(winners)
    assert winners["accuracy"].isna().all()


@pytest.fixture
def begun(tmp_path: Path) -> tuple[SweepResults, Sweep]:
    """A sweep whose driver has just begun."""
    home, sweep = Home(tmp_path), Sweep.read({**SWEEP, "name": "new"}, SPACE)
    with claim_sweep(home, "new") as lease:
        drive_ledger(home, sweep, lease)
    return SweepResults("new", home), sweep


def test_a_sweep_that_has_just_begun_has_empty_frames(begun: tuple[SweepResults, Sweep]) -> None:
    frames = begun[0].trials(), begun[0].curves(), begun[0].winners()
    assert [len(frame) for frame in frames] == [0, 0, 0]
    assert frames[0].columns.to_list()[:3] == ["trial", "condition", "kind"]
    assert frames[1].columns.to_list() == ["trial", "stage", "step", "metric", "value"]
    assert "accuracy_low" in frames[2]


def test_reading_curves_changes_nothing_of_a_running_sweep(
    begun: tuple[SweepResults, Sweep],
) -> None:
    """A trial tells an epoch again; the last line is still being written."""
    results, _ = begun
    file = results.home.outbox("new")
    tracker = open_tracker(None, "new", file, None)
    trial = TrialRecord("all trial 0", "all", {}, "search", 0, "running", {}, {})
    for value in (0.5, 0.25):
        tracker.point(trial, MetricPoint("finetune", 1, {"val/accuracy": value, "val/ece": None}))
    assert tracker.close()
    with file.open("ab") as line:
        line.write(b'{"kind":"point","trial":"all tr')
    before = file.read_bytes()
    rows = results.curves().to_dict("records")
    assert [(row["stage"], row["step"], row["metric"]) for row in rows] == [
        ("finetune", 1, "val/accuracy"),
        ("finetune", 1, "val/ece"),
    ]
    assert rows[0]["value"] == 0.5
    assert rows[1]["value"] != rows[1]["value"]
    assert file.read_bytes() == before
