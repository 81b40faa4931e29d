"""Replicates that are searches, on trials that train: what tables and frames make of them."""

import pytest
from real_sweep import Seen, prepare, run_here

from noisetune.sweep.home import Home
from noisetune.sweep.results import SweepResults
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.storage import open_sweep
from noisetune.sweep.winners import chosen_trials

SPACE = {
    "conditions": {"pretrain.method": ["none", "simclr"]},
    "parameters": {"finetune.lr": {"choices": [1e-3, 3e-3, 1e-2]}},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    run_here(home, searched(count=2))
    return home


def searched(count: int) -> Sweep:
    return prepare(SPACE, "mine", replicates={"of": "search", "trials": 2, "count": count})


def test_each_search_draws_on_its_own_seed_and_tries_its_own_part_of_the_grid(home: Home) -> None:
    sweep, ledger = open_sweep(home, "mine")
    records = ledger.records(sweep.cells)
    assert len(records) == 2 * 2 * 2
    for condition in sweep.conditions:
        for seed in (1, 2):
            mine = [
                each for each in records if (each.condition, each.seed) == (condition.name, seed)
            ]
            assert len({each.parameters["finetune.lr"] for each in mine}) == 2
    assert {each.config["replicate"] for each in records} == {1, 2}


def test_frames_have_the_mean_over_what_the_searches_found(home: Home) -> None:
    sweep, ledger = open_sweep(home, "mine")
    records = ledger.records(sweep.cells)
    winners = SweepResults("mine", home).winners(epoch="last").set_index("condition")
    for condition in ("pretrain.method=none", "pretrain.method=simclr"):
        found = [
            max(
                (each for each in records if (each.condition, each.seed) == (condition, seed)),
                key=lambda each: (each.objective or 0.0, -each.number),
            )
            for seed in (1, 2)
        ]
        values = [each.metrics["test/accuracy_at_last"] or 0.0 for each in found]
        assert winners.loc[condition, "replicates"] == 2
        assert winners.loc[condition, "accuracy"] == pytest.approx(sum(values) / 2)
        best = max(found, key=lambda each: each.objective or 0.0)
        assert winners.loc[condition, "objective"] == best.objective
        assert SweepResults("mine", home).predictions(best.name) is not None


def test_the_best_of_all_searches_is_exported(home: Home) -> None:
    sweep, ledger = open_sweep(home, "mine")
    records = ledger.records(sweep.cells)
    for trial in chosen_trials(sweep, records).values():
        rivals = [each.objective for each in records if each.condition == trial.condition]
        assert trial.objective == max(value for value in rivals if value is not None)
        assert trial.seed in (1, 2)


def test_a_resume_buys_searches_and_runs_none_again(home: Home) -> None:
    seen = Seen()
    run_here(home, searched(count=3), [seen])
    assert {name.split(" search ")[1].split()[0] for name in seen.ends} == {"3"}
    assert len(seen.ends) == 2 * 2
