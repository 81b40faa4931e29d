"""What `plan` counts is what the sweep then does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_sweep import TRIAL, Seen, prepare, run_here

from noisetune.analysis.summaries import ConditionSummary, summarise
from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.errors import UserError
from noisetune.stages.pretrain import pretrain_key
from noisetune.store import Artifact, NullStore, Store
from noisetune.sweep.home import Home
from noisetune.sweep.plan import Plan, StageCount, make_plan
from noisetune.sweep.resources import calibration
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.storage import open_sweep

HERE = {"CPU": 2.0, "GPU": 0.0}
STAGES = ("pretrain", "finetune", "detect")
PRETRAINED = {"pretrain.method": "simclr"}
SPACE: dict[str, Any] = {
    "conditions": {"noise.rate": [0.2, 0.4], "pretrain.method": ["none", "simclr"]},
    "parameters": {
        "pretrain.epochs": {"choices": [1, 3], "when": PRETRAINED},
        "finetune.lr": {"choices": [1e-3, 3e-3]},
    },
}


def planned(sweep: Sweep, home: Home | None = None, measure: bool = False) -> Plan:
    store = NullStore() if home is None else Store.open(home.stages)
    return make_plan(sweep, HERE, store, measure)


def search(name: str = "x", space: dict[str, Any] = SPACE, **sweep: Any) -> Sweep:
    return prepare(space, name, **sweep)


def test_trials_runs_and_epochs_are_counted_with_and_without_sharing() -> None:
    """12 trials: 2 x 2 from scratch, 2 x 4 on encoders of 1 and 3 epochs of one run."""
    plan = planned(search())
    assert (plan.conditions, plan.search_trials, plan.replicates, plan.exact) == (4, 12, 0, True)
    assert plan.stages == {
        "pretrain": StageCount(runs_unshared=8, runs=1, epochs_unshared=16, epochs=3, stored=0),
        "finetune": StageCount(runs_unshared=12, runs=12, epochs_unshared=24, epochs=24, stored=0),
        "detect": StageCount(runs_unshared=12, runs=12, epochs_unshared=0, epochs=0, stored=0),
    }


@pytest.mark.long
@settings(max_examples=12, deadline=None)
@given(
    epochs=st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True),
    rates=st.integers(1, 4),
    there=st.sets(st.integers(1, 30), max_size=3),
    schedule=st.sampled_from(["constant", "cosine"]),
)
def test_epochs_that_are_left_are_those_beyond_what_the_store_has(
    memory_store: Callable[[], Store],
    epochs: list[int],
    rates: int,
    there: set[int],
    schedule: str,
) -> None:
    space = {
        "conditions": {"noise.rate": [rate / 10 for rate in range(1, rates + 1)]},
        "parameters": {"pretrain.epochs": {"choices": epochs}},
    }
    sweep = search(space=space, trial=TRIAL | {"pretrain": {"schedule": schedule}})
    store = memory_store()
    for done in there:
        put_encoder(store, sweep, done)
    count = make_plan(sweep, HERE, store, measure=False).stages["pretrain"]
    assert count.epochs_unshared == rates * sum(epochs)
    assert count.stored == len(there & set(epochs))
    assert count.epochs == sum(epochs_left(epochs, there, schedule == "constant"))


def epochs_left(epochs: list[int], there: set[int], prefix: bool) -> list[int]:
    """Epochs to compute for each length, each from the longest one below it."""
    if not prefix:
        return [wanted for wanted in epochs if wanted not in there]
    known = {0} | there | set(epochs)
    wanted = [each for each in epochs if each not in there]
    return [each - max(step for step in known if step < each) for each in wanted]


def put_encoder(store: Store, sweep: Sweep, epochs: int) -> None:
    """Somebody pre-trained for so many epochs."""
    (condition, *_) = sweep.conditions
    config = condition.trial({"pretrain.epochs": epochs}).resolve(1, 0)
    key = pretrain_key(config, load(config))
    assert key is not None
    lease = store.lease(key)
    assert lease is not None
    with lease:
        store.publish(key, epochs, Artifact(), lease)


def load(config: TrialConfig) -> ImageData:
    return config.data.load()


@pytest.fixture(scope="session")
def memory_store() -> Callable[[], Store]:
    numbers = iter(range(10**6))
    return lambda: Store.open(f"memory://plan-{next(numbers)}")


def test_replicates_pretrain_on_seeds_of_their_own() -> None:
    plan = planned(search(replicates=3))
    assert (plan.search_trials, plan.replicates) == (12, 12)
    assert plan.stages["finetune"].runs == 24
    assert plan.stages["pretrain"].runs == 1 + 3


@pytest.mark.long
def test_replicates_of_a_setting_that_is_shared_are_counted_as_of_another() -> None:
    space = {
        "conditions": {"noise.rate": [0.2, 0.4, 0.6], "finetune.method": ["cross_entropy", "elr"]},
        "parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2}},
    }
    drawn = {"drawn_once_per": "finetune.method", "count": 4, "shared_across": ["noise.rate"]}
    trial = TRIAL | {"pretrain": {"method": "none"}}
    plan = planned(search(space=space, settings=drawn, replicates=3, trial=trial))
    assert (plan.search_trials, plan.exact) == (24, False)
    assert (plan.fewest_replicates, plan.replicates) == (6 * 3, 6 * 3 * 2)
    assert plan.stages["finetune"].runs == 24 + 6 * 3 * 2
    alone = search(space=space, settings=drawn | {"count": 1}, replicates=3, trial=trial)
    assert planned(alone).replicates == 6 * 3


def test_replicates_that_grow_are_counted_from_the_fewest_to_the_most() -> None:
    space = {"conditions": {"noise.rate": [0.2], "pretrain.method": ["none", "simclr"]}}
    growing = {"until": {"difference": 2}, "at_most": 9}
    plan = planned(search(space=space, replicates=growing))
    assert (plan.fewest_replicates, plan.replicates, plan.exact) == (10, 18, False)
    alone = {"conditions": {"noise.rate": [0.2, 0.6]}}
    plan = planned(search(space=alone, replicates=growing))
    assert (plan.fewest_replicates, plan.replicates) == (10, 10)


@pytest.mark.long
def test_searches_are_replicates_of_so_many_trials() -> None:
    """Of two rates, one or two settings of fine-tuning are tried by one seed: 4 from scratch, and 6
    of each 8 on encoders of their seed."""
    searches = {"of": "search", "trials": 3, "count": 2}
    plan = planned(search(replicates=searches))
    assert (plan.replicates, plan.trials_each, plan.exact) == (8, 3, True)
    assert plan.search_trials == 2 * 2 * (2 + 3)
    assert plan.stages["finetune"].runs == plan.search_trials
    assert 2 <= plan.stages["pretrain"].runs <= 2 * 2
    growing = {"from": 5, "until": {"difference": 2}, "at_most": 9}
    plan = planned(search(replicates=searches | {"count": growing}))
    assert (plan.fewest_replicates, plan.replicates) == (4 * 5, 4 * 9)


def test_replicates_that_may_grow_without_end_are_refused() -> None:
    growing = {"until": {"difference": 2}, "at_most": 10**6}
    with pytest.raises(UserError, match=r"at most 10,000 are counted for a plan"):
        planned(search(replicates=growing))


def test_a_shared_encoder_is_one_for_all_replicates() -> None:
    space = {"conditions": {"noise.rate": [0.2, 0.4]}}
    plan = planned(search(space=space, replicates=3, trial=TRIAL | {"pretrain_seed": "shared"}))
    assert (plan.stages["pretrain"].runs_unshared, plan.stages["pretrain"].runs) == (6, 1)


def test_folds_are_more_fine_tunings_of_each_trial() -> None:
    sweep = search(trial=TRIAL | {"detect": {"folds": 3}})
    plan, plain = planned(sweep), planned(search())
    tuned = plain.stages["finetune"]
    assert plan.stages["fold"].runs == 3 * tuned.runs
    assert plan.stages["fold"].epochs == 3 * tuned.epochs
    assert plan.stages["detect_cv"].runs == tuned.runs
    assert {stage: plan.stages[stage] for stage in STAGES} == plain.stages
    assert plan.disk_bytes > plain.disk_bytes


def test_telemetry_keeps_checkpoints_and_trains_no_longer() -> None:
    plan, plain = planned(search(trial=TRIAL | {"telemetry": {"epochs": [2]}})), planned(search())
    assert plan.stages == plain.stages
    assert plan.disk_bytes > plain.disk_bytes


@pytest.mark.long
def test_designs_bound_the_pretrainings() -> None:
    lr = {"low": 1e-4, "high": 1e-2, "log": True}
    space = SPACE | {"parameters": {"pretrain.lr": lr | {"when": PRETRAINED}, "finetune.lr": lr}}
    drawn = {"sampler": {"name": "random"}, "trials_per_condition": 8, "space": space}
    assert planned(search(**drawn)).stages["pretrain"].runs == 16
    assert planned(search(**drawn, pretraining_designs=3)).stages["pretrain"].runs == 3


@pytest.mark.parametrize(
    "sweep",
    [
        {"pruner": {"name": "median"}},
        {"sampler": {"name": "tpe"}, "trials_per_condition": 3},
        {"pretrain_gate": {"rankme": 2.0}},
        {"trial": {**TRIAL, "pretrain": {"stop": {"patience": 1}}}},
        {"patience": 2},
        {"budget": {"hours": 1.0}},
        {"replicates": 2},
    ],
    ids=lambda sweep: next(iter(sweep)),
)
def test_what_nobody_knows_beforehand_is_not_called_exact(sweep: dict[str, Any]) -> None:
    assert not planned(search(**sweep)).exact


def test_the_replicates_of_a_fixed_recipe_are_known_beforehand() -> None:
    plan = planned(search(space={"conditions": SPACE["conditions"]}, replicates=2))
    assert (plan.replicates, plan.exact) == (8, True)


def test_patience_and_earlier_sweeps_leave_the_count_at_its_most() -> None:
    few = {"sampler": {"name": "tpe"}, "trials_per_condition": 9, "patience": 2}
    assert planned(search(**few)).search_trials == 36
    assert planned(search(**few, warm_start=["another"])).search_trials == 36


def test_more_trials_than_can_be_counted_are_refused() -> None:
    space = {"parameters": {"finetune.lr": {"low": 1e-3, "high": 1e-2}}}
    endless = search(space=space, sampler={"name": "random"}, trials_per_condition=10**9)
    with pytest.raises(UserError, match=r"1,000,000,000 trials, and at most 10,000 are counted"):
        planned(endless)
    bounded = {"trials_per_condition": 10**9, "budget": {"trials": 3}}
    assert planned(search(space=space, sampler={"name": "random"}, **bounded)).search_trials == 3


def test_it_measures_hours_as_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three epochs of pre-training and 24 of fine-tuning, each of an hour, two trials at once."""
    monkeypatch.setattr(calibration, "_epoch_seconds", lambda stage: 3600.0)
    low, high = planned(search(), measure=True).hours or pytest.fail("nothing was measured")
    images = TRIAL["data"]["train_samples"]
    scale = images / min(images, calibration.BATCHES * TRIAL["pretrain"]["batch_size"])
    finetune_scale = images / min(images, calibration.BATCHES * TRIAL["finetune"]["batch_size"])
    hours = (3 * scale + 24 * finetune_scale) / 2
    assert low < hours < high
    assert planned(search(), measure=False).hours is None


def test_a_real_measurement_says_something() -> None:
    plan = planned(search(), measure=True)
    assert plan.hours is not None
    assert 0 < plan.hours[0] < plan.hours[1]
    assert plan.gpu_hours == (0, 0)


@dataclass
class Swept:
    """A grid that was planned, run, planned again, and run again under another name."""

    home: Home
    before: Plan
    after: Plan
    first: Seen
    second: Seen

    def table(self, name: str) -> list[ConditionSummary]:
        sweep, ledger = open_sweep(self.home, name)
        return summarise(ledger.records(sweep.cells), maximize=True)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    home = Home(tmp_path_factory.mktemp("mlruns"))
    first, second = Seen(), Seen()
    before = planned(search("first"))
    assert run_here(home, search("first"), [first]).finished
    after = planned(search("second"), home)
    assert run_here(home, search("second"), [second]).finished
    return Swept(home, before, after, first, second)


def test_the_sweep_runs_the_trials_of_its_plan(swept: Swept) -> None:
    assert len(swept.first.ends) == swept.before.search_trials
    assert {trial.state for trial in swept.first.ends.values()} == {"complete"}


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_the_sweep_computes_the_epochs_of_its_plan(swept: Swept, stage: str) -> None:
    assert len(swept.first.epochs(stage)) == swept.before.stages[stage].epochs


def test_the_store_holds_the_runs_of_the_plan(swept: Swept) -> None:
    entries = list(Store.open(swept.home.stages).list())
    for stage in STAGES:
        keys = {entry.digest for entry in entries if entry.stage == stage}
        assert len(keys) == swept.before.stages[stage].runs
    assert sum(count.stored for count in swept.after.stages.values()) == len(entries)


def test_the_disk_it_takes_is_about_that_of_the_plan(swept: Swept) -> None:
    taken = sum(entry.bytes for entry in Store.open(swept.home.stages).list())
    assert swept.before.disk_bytes == pytest.approx(taken, rel=0.5)


def test_afterwards_nothing_is_left_to_compute(swept: Swept) -> None:
    for count in swept.after.stages.values():
        assert (count.runs, count.epochs) == (0, 0)
    assert swept.after.disk_bytes == 0
    unshared = [
        plan.stages[stage].runs_unshared for plan in (swept.before, swept.after) for stage in STAGES
    ]
    assert unshared[:3] == unshared[3:]


def test_the_same_grid_under_another_name_computes_nothing(swept: Swept) -> None:
    for stage in STAGES:
        assert swept.second.epochs(stage) == swept.first.epochs(stage)


def test_the_same_grid_under_another_name_gives_the_same_table(swept: Swept) -> None:
    tables = [
        [(each.name, each.counts, outcome(each)) for each in swept.table(name)]
        for name in ("first", "second")
    ]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 4


def outcome(summary: ConditionSummary) -> Any:
    assert summary.winner is not None
    winner = summary.winner
    return winner.objective, winner.parameters, winner.metrics, winner.config


def test_only_detection_is_computed_anew_where_only_that_changed(swept: Swept) -> None:
    other = TRIAL | {"detect": {"filter_by": "both"}}
    plan = planned(search("third", trial=other), swept.home)
    assert {stage: count.runs for stage, count in plan.stages.items()} == {
        "pretrain": 0,
        "finetune": 0,
        "detect": 12,
    }


def test_to_plan_writes_nothing(swept: Swept) -> None:
    def files() -> dict[Path, bytes]:
        found = (path for path in swept.home.root.rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in found}

    before = files()
    planned(search("fourth"), swept.home, measure=True)
    assert files() == before
