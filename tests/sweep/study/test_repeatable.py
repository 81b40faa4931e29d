"""`repeatable`: the same trials and the same stops, however many run at once and in what order."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import Play, point, result_of

from noisetune.sweep.study.job import Job

OpenScheduler = Callable[..., Play]
SPACE = {
    "conditions": {"noise.rate": [0.2, 0.6]},
    "parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}},
}
SWEEP: dict[str, Any] = {
    "sampler": {"name": "tpe", "seed": 3, "n_startup_trials": 2},
    "pruner": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0},
    "trials_per_condition": 5,
    "replicates": 2,
    "repeatable": True,
}
Ends = list[tuple[Any, ...]]


def epochs(job: Job) -> Iterator[float]:
    """A curve that follows from the trial's rate."""
    distance = abs(math.log10(job.config.finetune.lr) + 2.5)
    return (0.9 - distance * epoch / 10 for epoch in range(1, 5))


def ends(play: Play) -> Ends:
    return sorted((r.name, r.state, str(r.parameters), r.objective, r.seed) for r in play.records())


def side_by_side(play: Play, slots: int, turns: list[int]) -> Ends:
    """Run the sweep with so many at once; `turns` say whose epoch is next."""
    running: list[tuple[Job, Iterator[tuple[int, float]]]] = []
    for turn in [*turns, *[0] * 400]:
        while len(running) < slots and (job := play.scheduler.next()) is not None:
            running.append((job, enumerate(epochs(job), start=1)))
        if not running:
            break
        job, curve = running.pop(turn % len(running))
        epoch, value = next(curve)
        if play.scheduler.report(job, [point(epoch, value)]):
            if epoch == 4:
                play.scheduler.complete(job, result_of(job))
            else:
                running.append((job, curve))
    assert play.scheduler.finished
    return ends(play)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(slots=st.integers(1, 6), turns=st.lists(st.integers(0, 5), max_size=60))
def test_any_concurrency_comes_to_the_same_trials(
    open_scheduler: OpenScheduler, slots: int, turns: list[int]
) -> None:
    alone = open_scheduler(SPACE, **SWEEP)
    alone.run_all(lambda job: list(epochs(job)))
    states = {record.state for record in alone.records()}
    assert states == {"complete", "pruned"}
    assert side_by_side(open_scheduler(SPACE, **SWEEP), slots, turns) == ends(alone)


def test_conditions_and_replicates_still_run_side_by_side(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(SPACE, **{**SWEEP, "trials_per_condition": 1})
    first, second = play.next(), play.next()
    assert first.condition != second.condition
    assert play.scheduler.next() is None
    play.run(first, list(epochs(first)))
    assert {play.next().kind, play.next().kind} == {"replicate"}
