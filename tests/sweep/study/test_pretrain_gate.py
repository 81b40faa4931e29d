"""The gate before fine-tuning: who is stopped there, why, and that nothing is fine-tuned after."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up import Play, point
from real_sweep import Seen, prepare, run

from noisetune.errors import UserError
from noisetune.pipeline import Options, run_trial
from noisetune.records import MetricPoint
from noisetune.stages.pretrain import _Pretraining
from noisetune.store import Store
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.pretrain_gate import PretrainGate
from noisetune.sweep.study.pretrain_gate import Gate

COLLAPSED = "pretrain_gate: the encoder collapsed: "
accuracies = st.floats(0, 1, allow_nan=False)


def measured(step: int = 10, **values: float) -> MetricPoint:
    return MetricPoint("gate", step, {f"pretrain/{name}": value for name, value in values.items()})


def gate(**bounds: Any) -> Gate:
    return Gate(PretrainGate(**bounds))


@pytest.mark.parametrize(
    ("bounds", "values", "reason"),
    [
        (
            {"feature_deviation": 0.1},
            {"feature_deviation": 0.01234, "rankme": 9.0},
            "pretrain/feature_deviation 0.0123 under 0.1",
        ),
        (
            {"rankme": 2.5},
            {"feature_deviation": 0.9, "rankme": 1.5},
            "pretrain/rankme 1.5 under 2.5",
        ),
        (
            {"feature_deviation": 0.1, "rankme": 2.5},
            {"feature_deviation": 0.5, "rankme": 1.0},
            "pretrain/rankme 1 under 2.5",
        ),
    ],
)
def test_a_collapsed_encoder_is_stopped_with_the_figure_and_its_bound(
    bounds: dict[str, float], values: dict[str, float], reason: str
) -> None:
    assert gate(**bounds).objection("all", "a", measured(**values)) == COLLAPSED + reason


@pytest.mark.parametrize(
    ("bounds", "values"),
    [
        ({}, {"feature_deviation": 0.0, "rankme": 1.0, "knn": 0.0}),
        ({"feature_deviation": 0.1, "rankme": 2.0}, {"feature_deviation": 0.1, "rankme": 2.0}),
        ({"feature_deviation": 0.1}, {"rankme": 1.0}),
        ({"knn_percentile": 50.0}, {"feature_deviation": 0.0}),
    ],
)
def test_what_is_not_bounded_or_not_under_its_bound_goes_on(
    bounds: dict[str, float], values: dict[str, float]
) -> None:
    assert gate(**bounds).objection("all", "a", measured(**values)) is None


def objections(gate: Gate, *knn: float, condition: str = "all", step: int = 10) -> list[str | None]:
    """What the gate says of trials one after the other."""
    return [
        gate.objection(condition, f"{condition} {step} {index}", measured(step, knn=value))
        for index, value in enumerate(knn)
    ]


def test_a_poor_neighbourhood_is_stopped_with_what_it_was_compared_to() -> None:
    *first, last = objections(gate(knn_percentile=50.0), 0.3, 0.4, 0.5, 0.1)
    assert first == [None] * 3
    assert last == (
        "pretrain_gate: kNN accuracy 0.1000 after 10 epochs, under the 50th percentile (0.4000) "
        "of 3 trials"
    )


@pytest.mark.parametrize("startup", [1, 2, 5])
def test_the_first_trials_are_not_compared(startup: int) -> None:
    falling = [0.9 - index / 10 for index in range(7)]
    said = objections(gate(knn_percentile=50.0, n_startup_trials=startup), *falling)
    assert [each is None for each in said] == [index < startup for index in range(7)]


def test_trials_of_another_condition_or_length_are_not_compared() -> None:
    mine = gate(knn_percentile=50.0)
    objections(mine, 0.9, 0.9, 0.9)
    assert objections(mine, 0.1, condition="noise.rate=0.6") == [None]
    assert objections(mine, 0.1, step=25) == [None]
    assert mine.objection("all", "a", measured(knn=0.1)) is not None


def test_a_trial_that_is_taken_up_again_is_not_compared_to_itself() -> None:
    mine = gate(knn_percentile=50.0, n_startup_trials=1)
    for _ in range(3):
        assert mine.objection("all", "a", measured(knn=0.5)) is None
    assert mine.objection("all", "b", measured(knn=0.4)) is not None


@given(
    before=st.lists(accuracies, min_size=3, max_size=9),
    value=accuracies,
    percentile=st.floats(1, 99),
)
def test_the_bound_is_numpys_percentile(
    before: list[float], value: float, percentile: float
) -> None:
    mine = gate(knn_percentile=percentile, n_startup_trials=3)
    said = objections(mine, *before, value)[-1]
    assert (said is not None) == (value < np.percentile(before, percentile))


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"feature_deviation": 1.5}, "feature_deviation: 1.5: it should be less than or equal"),
        ({"rankme": 1.0}, "rankme: 1.0: it should be greater than 1"),
        ({"knn_percentile": 100}, "knn_percentile: 100: it should be less than 100"),
        ({"n_startup_trials": 0}, "n_startup_trials: 0: it should be greater than or equal to 1"),
        ({"collapse": True}, "collapse: no such field"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(bounds: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"pretrain_gate\.{message}"):
        parse_sweep({"name": "x", "search_space": "x", "pretrain_gate": bounds}, "x.yaml")


@pytest.fixture
def play(open_scheduler: Callable[..., Play]) -> Play:
    """Two trials and a replicate behind a gate."""
    bounds = {"feature_deviation": 0.1}
    return open_scheduler(trials_per_condition=2, replicates=1, pretrain_gate=bounds)


def test_the_ledger_and_the_watchers_know_why(play: Play) -> None:
    job = play.next()
    collapsed = measured(feature_deviation=0.0)
    assert not play.scheduler.report(job, [MetricPoint("pretrain", 10, {}), collapsed])
    (record,) = play.records()
    reason = f"{COLLAPSED}pretrain/feature_deviation 0 under 0.1"
    assert (record.state, record.reason) == ("pruned", reason)
    assert play.heard.ended_as[job.name] == record
    assert play.heard.words[-2:] == ["gate 10", f"ended {job.name}"]


def test_the_search_goes_on_without_it_and_it_cannot_win(play: Play) -> None:
    play.scheduler.report(play.next(), [measured(feature_deviation=0.0)])
    winner = play.next()
    assert play.scheduler.report(winner, [measured(feature_deviation=0.9)])
    play.run(winner, [0.5, 0.6])
    assert play.next().parameters == winner.parameters


def test_a_replicate_is_not_stopped(play: Play) -> None:
    for _ in range(2):
        play.run(play.next(), [0.5, 0.6])
    replicate = play.next()
    assert replicate.kind == "replicate"
    assert play.scheduler.report(replicate, [measured(feature_deviation=0.0), point(1, 0.5)])


def test_after_a_resume_trials_are_compared_with_those_before(
    open_scheduler: Callable[..., Play],
) -> None:
    bounds = {"knn_percentile": 50.0, "n_startup_trials": 3, "feature_deviation": 0.1}
    size = {"trials_per_condition": 5, "replicates": 0, "pretrain_gate": bounds}
    before = open_scheduler(**size)
    goes_on = [
        before.scheduler.report(before.next(), [measured(knn=knn, feature_deviation=deviation)])
        for knn, deviation in ((0.5, 0.9), (0.4, 0.9), (0.3, 0.0))
    ]
    assert goes_on == [True, True, False]
    after = open_scheduler(**size, storage=before.ledger.storage)
    jobs = [after.next() for _ in range(4)]
    assert [job.trial.number for job in jobs] == [0, 1, 3, 4]
    poor, good = jobs[2:]
    assert not after.scheduler.report(poor, [measured(knn=0.39, feature_deviation=0.9)])
    assert after.scheduler.report(good, [measured(knn=0.41, feature_deviation=0.9)])
    assert "(0.4000) of 3 trials" in (after.heard.ended_as[poor.name].reason or "")


def blind(self: _Pretraining) -> torch.Tensor:
    """Every image looks alike."""
    return torch.zeros(len(self.images), 8).half()


def collapsing(config: Any, store: Any, options: Options) -> Any:
    """The real pipeline, in which SimCLR's encoder collapses."""
    with pytest.MonkeyPatch.context() as patch:
        if config.pretrain.method == "simclr":
            patch.setattr(_Pretraining, "_features", blind)
        return (yield from run_trial(config, store, options))


@pytest.mark.long
@pytest.mark.usefixtures("ray_at_hand")
def test_a_collapsed_encoder_is_stopped_before_fine_tuning_starts(tmp_path: Path) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    home, seen = Home(tmp_path), Seen()
    space = {"conditions": {"pretrain.method": ["none", "simclr", "barlow_twins"]}}
    bounds = {"feature_deviation": 0.01, "knn_percentile": 10.0}
    sweep = prepare(space, "gated", pretrain_gate=bounds)
    assert run(home, sweep, [seen], collapsing).finished
    ends = {trial.factors["pretrain.method"]: trial for trial in seen.ends.values()}
    states = {method: trial.state for method, trial in ends.items()}
    assert states == {"none": "complete", "simclr": "pruned", "barlow_twins": "complete"}
    assert ends["simclr"].reason == f"{COLLAPSED}pretrain/feature_deviation 0 under 0.01"
    assert seen.stages(ends["simclr"].name) == [("pretrain", 1), ("pretrain", 2), ("gate", 2)]
    stored = [
        (entry.stage, entry.inputs.get("pretrain")) for entry in Store.open(home.stages).list()
    ]
    assert [stage for stage, _ in stored] == ["detect"] * 2 + ["finetune"] * 2 + ["pretrain"] * 2
    assert "pretrain/knn" in next(each for _, each in seen.points if each.stage == "gate").values
