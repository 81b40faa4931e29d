"""Two ways of choosing from the same trials, on trials that train: what tables and files say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real_sweep import TRIAL, run_here

from noisetune.analysis.statistics import mean_interval
from noisetune.errors import UserError
from noisetune.pipeline import run_trial
from noisetune.records import TrialRecord
from noisetune.sweep.home import Home
from noisetune.sweep.results import SweepResults
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.lease import claim_sweep
from noisetune.sweep.study.storage import drive_ledger, open_sweep
from noisetune.sweep.winners import chosen_trials

Say = Callable[..., Any]
BUNDLES = {
    "mild": {"noise.model": "symmetric", "noise.rate": 0.1},
    "turned": {"noise.model": "pairflip", "noise.rate": 0.3},
}
SPACE: dict[str, Any] = {
    "conditions": {"noise": BUNDLES, "finetune.method": ["cross_entropy", "gce"]},
    "parameters": {"finetune.lr": {"low": 3e-3, "high": 1e-1, "log": True}},
}
SWEEP: dict[str, Any] = {
    "name": "mine",
    "trial": TRIAL
    | {"pretrain": {"method": "none"}, "data": TRIAL["data"] | {"validation_fraction": 0.5}},
    "sampler": {"seed": 3},
    "settings": {"drawn_once_per": "finetune.method", "count": 3, "shared_across": ["noise"]},
    "replicates": 2,
    "comparisons": {"against": {"finetune.method": "cross_entropy"}},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> SweepResults:
    home = Home(tmp_path_factory.mktemp("mlruns"))
    run_here(home, Sweep.read(SWEEP, SPACE))
    return SweepResults("mine", home)


def records_of(results: SweepResults) -> list[TrialRecord]:
    sweep, ledger = open_sweep(results.home, "mine")
    return ledger.records(sweep.cells)


def told(results: SweepResults) -> list[tuple[Any, ...]]:
    """What every trial came to, in whatever order they ran."""
    return sorted(
        (each.condition, each.kind, each.seed, str(each.parameters), each.state,
         str(each.metrics["test/accuracy_at_noisy_best"]))
        for each in records_of(results)
    )  # fmt: skip


def test_every_noise_of_a_method_has_one_setting_and_one_of_its_own(
    results: SweepResults,
) -> None:
    own, shared = (results.winners(rule=rule) for rule in ("own", "shared"))
    assert (shared.groupby("finetune.method")["finetune.lr"].nunique() == 1).all()
    assert own["condition"].to_list() == shared["condition"].to_list()
    assert (own["finetune.lr"] != shared["finetune.lr"]).any()
    for frame in (own, shared):
        assert frame["replicates"].to_list() == [2] * 4
        for row in frame.to_dict("records"):
            values = [
                each.metrics["test/accuracy_at_noisy_best"] or 0.0
                for each in records_of(results)
                if each.condition == row["condition"]
                and each.kind == "replicate"
                and each.parameters == {"finetune.lr": row["finetune.lr"]}
            ]
            assert row["accuracy"] == pytest.approx(mean_interval(values).mean)


def test_where_they_differ_both_are_exported(results: SweepResults) -> None:
    own, shared = (results.winners(rule=rule)["trial"] for rule in ("own", "shared"))
    sweep, _ = open_sweep(results.home, "mine")
    files = chosen_trials(sweep, records_of(results))
    assert {each.name for each in files.values()} == {*own, *shared}
    assert len(files) == 4 + sum(own != shared)
    assert all(each.name in set(shared) for file, each in files.items() if "-shared" in file)


def test_status_shows_a_second_table(noisetune: Say, results: SweepResults) -> None:
    folder = results.home.root
    said = noisetune("status", "mine", "--mlruns", folder, "--markdown")
    assert (said.code, said.err) == (0, "")
    titles = [line for line in said.out.splitlines() if line.startswith("**")]
    assert titles[0].startswith("**chosen by val/accuracy")
    assert titles[-2] == "**one setting over noise; clean test accuracy in % over n replicates**"
    assert titles[-1].endswith("paired by replicate; one setting over noise**")
    told = json.loads(noisetune("status", "mine", "--mlruns", folder, "--json").out)["shared"]
    assert told["across"] == ["noise"]
    same = results.winners()["trial"] == results.winners(rule="shared")["trial"]
    assert [each["loses"]["same"] for each in told["conditions"]] == same.to_list()
    assert {each["loses"]["difference"]["n"] for each in told["conditions"]} == {2}


def test_the_report_has_both(results: SweepResults) -> None:
    from noisetune.report.sections.results import results as section
    from noisetune.sweep.viewed import view_of

    found = section(view_of(results.home, "mine"))
    assert found is not None
    assert [*found.tables][-2:] == ["shared_setting", "shared_setting_comparisons"]


class Stop:
    """A pipeline whose driver is killed at a trial."""

    def __init__(self, trials: int) -> None:
        self.left = trials

    def __call__(self, *given: Any, **more: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return run_trial(*given, **more)


@pytest.mark.long
@pytest.mark.parametrize("trials", [5, 15], ids=["in the search", "in the replicates"])
def test_a_sweep_that_was_stopped_comes_to_the_same(
    results: SweepResults, tmp_path: Path, trials: int
) -> None:
    home, sweep = Home(tmp_path), Sweep.read(SWEEP, SPACE)
    with pytest.raises(KeyboardInterrupt):
        run_here(home, sweep, pipeline=Stop(trials))
    assert len(records_of(SweepResults("mine", home))) == trials + 1
    run_here(home, sweep)
    assert told(SweepResults("mine", home)) == told(results)


def test_a_rule_that_no_setting_was_chosen_by_is_refused(tmp_path: Path) -> None:
    alone = SWEEP | {"settings": {"drawn_once_per": "finetune.method", "count": 3}}
    with claim_sweep(Home(tmp_path), "mine") as lease:
        drive_ledger(Home(tmp_path), Sweep.read(alone, SPACE), lease)
    with pytest.raises(UserError, match="rule: shared: sweep 'mine' chooses no setting over"):
        SweepResults("mine", Home(tmp_path)).winners(rule="shared")


@pytest.mark.long
def test_a_finished_sweep_may_be_asked_for_it(results: SweepResults, tmp_path: Path) -> None:
    alone = SWEEP | {"settings": {"drawn_once_per": "finetune.method", "count": 3}}
    again = SweepResults("mine", Home(tmp_path))
    run_here(again.home, Sweep.read(alone, SPACE))
    before = told(again)
    asked = open_sweep(again.home, "mine", ["settings.shared_across=[noise]"])[0]
    run_here(again.home, asked)
    assert set(before) < set(told(again))
    assert told(again) == told(results)
