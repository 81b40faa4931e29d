"""The sweeps of a folder at a glance: what each stands at, without a plug-in."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from noisetune.sweep.home import Home
from noisetune.sweep.overview import Overview, overviews
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.lease import claim_sweep
from noisetune.sweep.study.ledger import Ledger, journal

RATES = {"conditions": {"noise.rate": [0.2, 0.4]}, "parameters": {}}
BOTH = {"metric": "val/accuracy", "also": [{"metric": "cost/passes"}]}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "mlruns")


def begin(home: Home, name: str, values: list[list[float]], **fields: Any) -> Ledger:
    """A sweep with a complete trial in the first conditions, and one in the last that runs."""
    sweep = Sweep.prepare(
        parse_sweep({"name": name, "search_space": "x", **fields}, "x"),
        SearchSpace.model_validate(RATES),
    )
    home.sweep(name).mkdir(parents=True)
    ledger = Ledger.create(journal(home.ledger_file(name)), name, sweep.definition())
    directions = [goal.direction for goal in sweep.config.objective.goals]
    for condition, each in zip(sweep.conditions, values, strict=False):
        study = ledger.study(condition.name, "search", directions, None)
        config = {"config": condition.trial({}).to_json()}
        study.add_trial(optuna.trial.create_trial(values=each, user_attrs=config))
    running = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs=config)
    study.add_trial(running)
    return ledger


def test_a_folder_without_sweeps_has_none(home: Home) -> None:
    assert overviews(home) == []


def test_the_best_so_far_is_named_with_its_condition(home: Home) -> None:
    ledger = begin(home, "mine", [[0.7], [0.9]])
    assert overviews(home) == [
        Overview("mine", "stopped", 2, None, (("val/accuracy", 0.9, "noise.rate=0.4"),))
    ]
    ledger.size = 2
    (seen,) = overviews(home)
    assert (seen.state, seen.size) == ("finished", 2)


def test_each_goal_has_its_own_best(home: Home) -> None:
    begin(home, "traded", [[0.7, 10.0], [0.9, 30.0]], objective=BOTH)
    (seen,) = overviews(home)
    assert seen.best == (
        ("val/accuracy", 0.9, "noise.rate=0.4"),
        ("cost/passes", 10.0, "noise.rate=0.2"),
    )


def test_a_sweep_with_a_driver_is_running(home: Home) -> None:
    begin(home, "mine", [[0.7]])
    with claim_sweep(home, "mine"):
        assert [each.state for each in overviews(home)] == ["running"]
    assert [each.state for each in overviews(home)] == ["stopped"]


def test_one_that_cannot_be_read_hides_no_other(home: Home) -> None:
    begin(home, "mine", [[0.7]])
    home.sweep("torn").mkdir(parents=True)
    home.ledger_file("torn").write_text("")
    assert [(each.name, each.state) for each in overviews(home)] == [
        ("mine", "stopped"),
        ("torn", "unreadable"),
    ]
