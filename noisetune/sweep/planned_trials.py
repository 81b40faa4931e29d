"""Which trials a sweep will have, by a scheduler that hands them all out without running them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from optuna.storages import InMemoryStorage

from noisetune.errors import UserError
from noisetune.records import FINETUNE, MetricPoint, Metrics, TrialResult
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.resources import Resources
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.condition_state import ConditionState
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.scheduler import Scheduler

MOST_TRIALS = 10_000


def planned_jobs(sweep: Sweep) -> list[Job]:
    """Every trial that the scheduler hands out when each ends as well as the other."""
    alone: dict[str, Any] = {"pruner": {"name": "none"}, "patience": None, "warm_start": ()}
    if sweep.config.sampler_kind.learns:
        alone["sampler"] = {"name": "random", "seed": sweep.config.seed}
    config = sweep.config.model_copy(update=alone)
    ledger = Ledger.create(InMemoryStorage(), config.name, {})
    scheduler = Scheduler(config, sweep.conditions, ledger)
    _refuse_endless(config, scheduler.searcher.states)
    jobs = []
    while (job := scheduler.next()) is not None:
        jobs.append(job)
        same: Metrics = {goal.metric: 0.5 for goal in config.objective.goals}
        scheduler.report(job, [MetricPoint(FINETUNE, job.config.finetune.epochs, same)])
        scheduler.complete(job, TrialResult({}, {}, {}, {}, {}))
    return [*jobs, *(_shared_again(jobs, config.resources) if config.shared_across else [])]


def replicates_among(jobs: Sequence[Job]) -> list[tuple[str, int]]:
    """Condition and seed of each replicate, be it a trial or the search of several; once more for
    that of a setting which the condition shares."""
    searches = {(job.condition.name, job.config.replicate) for job in jobs if job.kind == "search"}
    return [(name, seed) for name, seed in searches if seed] + [
        (job.condition.name, job.config.replicate) for job in jobs if job.kind == "replicate"
    ]


def _shared_again(jobs: Sequence[Job], resources: Resources) -> Iterator[Job]:
    """The replicates of a setting that a condition shares, where that is another than its own: in
    most conditions of trials that all end alike it is the same."""
    of: dict[str, list[Job]] = {}
    for job in jobs:
        of.setdefault(job.condition.name, []).append(job)
    for mine in of.values():
        again = [job for job in mine if job.kind == "replicate"]
        known = [job.parameters for job in again]
        others = [job.parameters for job in mine if job.parameters not in known]
        if others and all(each == known[0] for each in known):
            for job in again:
                trial = job.condition.trial(others[0], job.config.replicate)
                config = trial.resolve(resources.cpu, resources.gpu)
                yield replace(job, config=config, parameters=others[0])


def _refuse_endless(config: SweepConfig, states: Sequence[ConditionState]) -> None:
    """UserError for more trials than can be counted one by one."""
    each = 1 if config.searches is None else config.search_trials
    later = len(states) * each * (config.most_replicates - config.first_replicates)
    trials = sum(state.size for state in states) + later
    trials = min(trials, config.budget.trials or trials)
    if trials > MOST_TRIALS:
        field = config.search_trials_field
        raise UserError(
            f"{field}: {config.search_trials:,} makes, with the replicates, "
            f"{trials:,} trials, and at most {MOST_TRIALS:,} are counted for a plan; lower it "
            f"here, for example by --set {field}=100"
        )
