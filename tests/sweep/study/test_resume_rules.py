"""What a resume may change of a sweep, and what it may not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up import Heard, Play
from optuna.storages import InMemoryStorage
from real_sweep import prepare

from noisetune.errors import UserError
from noisetune.sweep.home import Home
from noisetune.sweep.spec.comparisons import Searches
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.lease import claim_sweep
from noisetune.sweep.study.ledger import Ledger, journal
from noisetune.sweep.study.resume_rules import surplus
from noisetune.sweep.study.scheduler import Scheduler
from noisetune.sweep.study.storage import check_warm_start, drive_ledger, open_sweep

OpenScheduler = Callable[..., Play]
LR = {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}}
SPACE = {"conditions": {"noise.rate": [0.2, 0.6]}, "parameters": LR}
GRID = {**SPACE, "parameters": {"finetune.lr": {"choices": [0.1]}}}
SIZES: dict[str, Any] = {"trials_per_condition": 2, "replicates": 2, "pruner": {"name": "none"}}
ONE_BY_ONE = {"sampler": {"name": "random", "seed": 1}}


def begin(home: Home, sweep: Sweep) -> None:
    with claim_sweep(home, sweep.config.name) as lease:
        drive_ledger(home, sweep, lease)


def extended(open_scheduler: OpenScheduler, storage: Any, space: Any, **sweep: Any) -> list[str]:
    """What is run when a sweep goes on as another one; the earlier its trials, the better."""
    play = open_scheduler(space, storage, **{**SIZES, **sweep})
    return [job.name for job in play.run_all(lambda job: [1.0 - job.trial.number / 100])]


@pytest.mark.parametrize(
    "change",
    [
        {"trials_per_condition": 9},
        {"replicates": 5},
        {"replicates": {"from": 6, "until": {"difference": 1.0}, "at_most": 9}},
        {"budget": {"trials": 50}},
        {"resources": {"cpu": 2}},
        {"patience": 4},
        {"max_concurrent": 1},
        {"store_limit": "1 GB"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_sweep_may_grow(tmp_path: Path, change: dict[str, Any]) -> None:
    home = Home(tmp_path)
    begin(home, prepare(GRID, "grows"))
    begin(home, prepare(GRID, "grows", **change))
    config = open_sweep(home, "grows")[0].config.model_dump(mode="json")
    for field, value in change.items():
        given = config[field]
        assert given == value or given.items() >= value.items()


def test_a_sweep_may_get_more_values_of_a_condition(tmp_path: Path) -> None:
    home = Home(tmp_path)
    begin(home, prepare(GRID, "grows"))
    more = {"conditions": {"noise.rate": [0.1, 0.2, 0.6]}, "parameters": GRID["parameters"]}
    begin(home, prepare(more, "grows"))
    assert len(open_sweep(home, "grows")[0].conditions) == 3


SEARCHES = {"of": "search", "trials": 2, "count": 2}


def test_searches_may_become_more_and_no_others(tmp_path: Path) -> None:
    home = Home(tmp_path)
    begin(home, prepare(GRID, "searched", replicates=SEARCHES))
    growing = {"from": 5, "until": {"difference": 2.0}}
    begin(home, prepare(GRID, "searched", replicates=SEARCHES | {"count": growing}))
    for change, difference in (
        ({"replicates": SEARCHES | {"trials": 3}}, "replicates.trials: was 2, is 3"),
        ({"replicates": 5}, "replicates.of: was 'search', is 'winner'"),
        ({"replicates": SEARCHES, "patience": 1}, "patience: was None, is 1"),
    ):
        with pytest.raises(UserError, match=difference):
            begin(home, prepare(GRID, "searched", **change))


def test_fewer_searches_are_said(open_scheduler: OpenScheduler) -> None:
    space = {"parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2}}}
    play = open_scheduler(space, replicates=SEARCHES | {"count": 3})
    play.run_all(lambda job: [0.5])
    fewer = play.scheduler.config.model_copy(
        update={"replicates": Searches.model_validate(SEARCHES)}
    )
    (line,) = surplus(fewer, play.records())
    assert line.startswith("replicates: 2, and 1 of 1 conditions have up to 3: those stay")


@pytest.mark.parametrize(
    ("space", "sweep", "difference"),
    [
        (GRID, {"trial": {"finetune": {"epochs": 9}}}, "trial.finetune.epochs: was 2, is 9"),
        (GRID, {"sampler": {"name": "random"}}, "sampler.name: was 'grid', is 'random'"),
        (
            GRID,
            {"comparisons": {"epoch": "last"}},
            "comparisons.epoch: was 'noisy_best', is 'last'",
        ),
        (GRID, {"pruner": {"name": "median"}}, "pruner.name: was 'none', is 'median'"),
        (
            GRID,
            {"objective": {"metric": "val/loss", "direction": "minimize"}},
            "objective.metric: was 'val/accuracy', is 'val/loss'",
        ),
        (
            {**GRID, "parameters": {"finetune.lr": {"choices": [0.1, 0.2]}}},
            {},
            "parameters.finetune.lr.choices: was [0.1], is [0.1, 0.2]",
        ),
        (
            {**GRID, "conditions": {"noise.rate": [0.2]}},
            {},
            "conditions.noise.rate: was [0.2, 0.6], is [0.2]",
        ),
        (
            {**GRID, "conditions": {**GRID["conditions"], "pretrain.method": ["none"]}},
            {},
            "conditions.pretrain.method: is new",
        ),
    ],
    ids=[
        "fixed part",
        "sampler",
        "comparisons",
        "pruner",
        "objective",
        "parameters",
        "value gone",
        "new factor",
    ],
)
def test_a_change_of_what_trials_are_is_refused_with_the_difference(
    tmp_path: Path, space: dict[str, Any], sweep: dict[str, Any], difference: str
) -> None:
    home, fixed = Home(tmp_path), {"trial": {"finetune": {"epochs": 2}}}
    begin(home, prepare(GRID, "fixed", **fixed))
    before = home.ledger_file("fixed").read_bytes()
    with pytest.raises(UserError) as refusal:
        begin(home, prepare(space, "fixed", **{**fixed, **sweep}))
    assert f"\n  {difference}\n" in str(refusal.value)
    assert home.ledger_file("fixed").read_bytes() == before


def test_a_ledger_from_before_a_field_has_its_default(tmp_path: Path) -> None:
    home, sweep = Home(tmp_path), prepare(GRID, "old")
    definition = sweep.definition()
    del definition["sweep"]["comparisons"]
    with claim_sweep(home, "old") as lease:
        drive_ledger(home, sweep, lease).redefine(definition)
    begin(home, prepare(GRID, "old", replicates=4))
    assert open_sweep(home, "old")[0].config.first_replicates == 4


def test_every_difference_is_shown(tmp_path: Path) -> None:
    home = Home(tmp_path)
    begin(home, prepare(GRID, "fixed"))
    other = prepare(GRID, "fixed", pruner={"name": "median"}, sampler={"name": "tpe"})
    with pytest.raises(UserError, match=r"(?s)sampler\.name.*pruner\.name"):
        begin(home, other)


def test_more_trials_come_after_those_that_are_there(open_scheduler: OpenScheduler) -> None:
    storage, space = InMemoryStorage(), {"parameters": LR}
    whole = open_scheduler(space, **{**SIZES, **ONE_BY_ONE, "trials_per_condition": 4})
    drawn = [job.parameters for job in whole.run_all(lambda job: [1.0])]
    extended(open_scheduler, storage, space, **ONE_BY_ONE)
    more = extended(open_scheduler, storage, space, **ONE_BY_ONE, trials_per_condition=4)
    assert more == ["all trial 2", "all trial 3"]
    records = open_scheduler(space, storage, **{**SIZES, **ONE_BY_ONE}).records()
    assert [each.parameters for each in records if each.kind == "search"] == drawn[:4]


def test_a_new_value_of_a_condition_is_searched_alone(open_scheduler: OpenScheduler) -> None:
    storage = InMemoryStorage()
    extended(open_scheduler, storage, SPACE)
    wider = {"conditions": {"noise.rate": [0.1, 0.2, 0.6]}, "parameters": LR}
    assert extended(open_scheduler, storage, wider) == [
        "noise.rate=0.1 trial 0",
        "noise.rate=0.1 trial 1",
        "noise.rate=0.1 replicate 0",
        "noise.rate=0.1 replicate 1",
    ]


def test_more_replicates_go_on_with_the_next_seeds(open_scheduler: OpenScheduler) -> None:
    storage, space = InMemoryStorage(), {"parameters": LR}
    extended(open_scheduler, storage, space)
    assert extended(open_scheduler, storage, space, replicates=3) == ["all replicate 2"]
    records = open_scheduler(space, storage, **SIZES).records()
    assert [each.seed for each in records if each.kind == "replicate"] == [1, 2, 3]


def test_a_new_winner_gets_replicates_of_its_own(open_scheduler: OpenScheduler) -> None:
    storage, space = InMemoryStorage(), {"parameters": LR}
    extended(open_scheduler, storage, space)
    play = open_scheduler(space, storage, **{**SIZES, "trials_per_condition": 3})
    jobs = play.run_all(lambda job: [2.0])
    assert [job.name for job in jobs] == ["all trial 2", "all replicate 2", "all replicate 3"]
    assert [job.config.replicate for job in jobs] == [0, 1, 2]
    assert {repr(job.parameters) for job in jobs} == {repr(jobs[0].parameters)}


def test_enqueued_values_are_tried_first_and_once(open_scheduler: OpenScheduler) -> None:
    storage, space = InMemoryStorage(), {"parameters": LR}
    first = {"enqueue": [{"finetune.lr": 0.005}, {"finetune.lr": 0.002}]}
    sweep = {**SIZES, **ONE_BY_ONE, **first, "trials_per_condition": 4, "replicates": 0}
    play = open_scheduler(space, storage, **sweep)
    play.run(play.next(), [0.5])
    jobs = open_scheduler(space, storage, **sweep).run_all(lambda job: [0.5])
    rates = [each.parameters["finetune.lr"] for each in play.records()]
    assert rates[:2] == [0.005, 0.002]
    assert (len(jobs), len(rates), len(set(rates))) == (3, 4, 4)
    again = open_scheduler(space, storage, **{**sweep, "trials_per_condition": 6})
    assert len(again.run_all(lambda job: [0.5])) == 2
    assert len({each.parameters["finetune.lr"] for each in again.records()}) == 6


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"finetune.lrr": 0.1}, r"enqueue: finetune\.lrr: is no parameter .* those: finetune\.lr"),
        ({"finetune.lr": 9.0}, r"enqueue: finetune\.lr: 9\.0 is not among the values"),
        ({"finetune.lr": "x"}, r"enqueue: finetune\.lr: 'x' is not among the values"),
    ],
)
def test_what_cannot_be_tried_is_not_enqueued(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        prepare(SPACE, "wrong", sampler={"name": "random"}, enqueue=[values])


@pytest.fixture
def after_earlier(open_scheduler: OpenScheduler, tmp_path: Path) -> Callable[..., Play]:
    """A scheduler that starts warm from a sweep of four trials, in which high rates were good."""
    home = Home(tmp_path)
    early = {"name": "early", "trials_per_condition": 4, "replicates": 1, **ONE_BY_ONE}
    sweep = prepare({"parameters": LR}, **early)
    with claim_sweep(home, "early") as lease:
        ledger = drive_ledger(home, sweep, lease)
        Play(Scheduler(sweep.config, sweep.conditions, ledger), ledger, Heard()).run_all(score)

    def build(name: str = "late", space: dict[str, Any] | None = None, **sweep: Any) -> Play:
        late = {"warm_start": ["early"], "trials_per_condition": 6, "pruner": {"name": "none"}}
        prepared = prepare(space or {"parameters": LR}, name, **{**late, **sweep})
        check_warm_start(home, prepared.config)
        with claim_sweep(home, name) as lease:
            drive_ledger(home, prepared, lease)
        ledger = Ledger(
            journal(home.ledger_file(name)), name, lambda other: journal(home.ledger_file(other))
        )
        return Play(Scheduler(prepared.config, prepared.conditions, ledger), ledger, Heard())

    return build


def score(job: Job) -> list[float]:
    return [job.config.finetune.lr * 100]


def test_earlier_trials_inform_the_sampler_and_are_not_of_the_sweep(
    after_earlier: Callable[..., Play],
) -> None:
    tpe = {"name": "tpe", "seed": 3, "n_startup_trials": 4}
    warm, cold = after_earlier(sampler=tpe), after_earlier("cold", sampler=tpe, warm_start=[])
    for play in (warm, cold):
        play.run_all(score)
        assert [each.state for each in play.records()] == ["complete"] * 6
        assert play.scheduler.finished
    assert len(warm.scheduler.searcher.states[0].search.study.get_trials()) == 4 + 6
    drawn = [[each.parameters for each in play.records()] for play in (warm, cold)]
    assert drawn[0] != drawn[1]
    assert warm.records()[0].objective != pytest.approx(cold.records()[0].objective)


def test_a_resume_brings_nothing_in_twice(after_earlier: Callable[..., Play]) -> None:
    random = {"name": "random"}
    after_earlier(sampler=random).run_all(score)
    again = after_earlier(sampler=random)
    assert again.scheduler.next() is None
    assert len(again.scheduler.searcher.states[0].search.study.get_trials()) == 4 + 6


def test_earlier_values_that_could_not_be_drawn_here_are_left_out(
    after_earlier: Callable[..., Play],
) -> None:
    narrow = {"parameters": {"finetune.lr": {"low": 1e-7, "high": 1e-6, "log": True}}}
    play = after_earlier(space=narrow, sampler={"name": "random"})
    assert play.scheduler.searcher.states[0].search.study.get_trials() == []


@pytest.mark.parametrize(
    ("sweep", "complaint"),
    [
        ({"warm_start": ["nobody"]}, "warm_start: no earlier sweep 'nobody'; there are: early"),
        ({"warm_start": ["../late"]}, r"warm_start: no earlier sweep '\.\./late'"),
        ({"warm_start": ["late"]}, "warm_start: no earlier sweep 'late'; there are: early"),
        (
            {"objective": {"metric": "val/loss", "direction": "minimize"}},
            r"warm_start: 'early' sought val/accuracy \(maximize\)",
        ),
    ],
    ids=["unknown", "outside", "itself", "another objective"],
)
def test_a_sweep_that_is_no_help_is_refused(
    after_earlier: Callable[..., Play], sweep: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        after_earlier(sampler={"name": "random"}, **sweep)
