"""The board: which trial is next, what became of each; ledger first, watchers second."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import optuna
from optuna.trial import TrialState

from noisetune.config import TrialConfig
from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.seeds import derive_seed
from noisetune.sweep.conditions import Condition
from noisetune.sweep.config import SweepConfig
from noisetune.sweep.ledger import Kind, Ledger, record, trial_name
from noisetune.sweep.pruners import build_pruner
from noisetune.sweep.samplers import SEQUENTIAL, build_sampler, split
from noisetune.sweep.space import Scalar

FINETUNE = "finetune"


class Watcher(Protocol):
    """Who is told what happens to trials, after the ledger has it."""

    def started(self, trial: TrialRecord) -> None: ...

    def point(self, trial: TrialRecord, point: MetricPoint) -> None: ...

    def ended(self, trial: TrialRecord, result: TrialResult | None) -> None: ...


@dataclass
class Job:
    """A trial that was handed out."""

    condition: Condition
    kind: Kind
    trial: optuna.Trial
    study: optuna.Study
    values: dict[str, Scalar]
    config: TrialConfig
    seen: set[tuple[str, int]] = field(default_factory=set)
    best: float | None = None
    open: bool = True

    @property
    def name(self) -> str:
        return trial_name(self.condition.name, self.kind, self.trial.number)


class Board:
    """Hands out search trials, then each winner's replicates, and writes down how they end.

    Everything it knows comes from the ledger, so a new board over an old ledger goes on where
    the last one stopped.
    """

    def __init__(
        self,
        config: SweepConfig,
        conditions: Sequence[Condition],
        ledger: Ledger,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.config, self.conditions, self.watchers = config, list(conditions), watchers
        direction = config.objective.direction
        pruner = build_pruner(config.pruner)
        self.search = [
            ledger.study(each.name, "search", direction, pruner) for each in self.conditions
        ]
        self.replicates = [
            ledger.study(each.name, "replicate", direction, None) for each in self.conditions
        ]
        self.interrupted = deque(self._running())
        self.running: dict[str, Job] = {}

    def next(self) -> Job | None:
        """The next trial to run; None where nothing can start until another trial ends."""
        job: Job | None
        if self.interrupted:
            job = self._take_up(*self.interrupted.popleft())
        else:
            job = self._new_search_trial() or self._new_replicate()
        if job is not None:
            self.running[job.name] = job
            for watcher in self.watchers:
                watcher.started(self.record(job))
        return job

    @property
    def finished(self) -> bool:
        """Whether every trial and replicate has been handed out and has ended."""
        return not self.running and not self.interrupted and not self._anything_left()

    def report(self, job: Job, points: Sequence[MetricPoint]) -> bool:
        """Take a trial's new points; says whether it is to go on. A repeated point is left out."""
        for point in points:
            if not job.open:
                break
            if (point.stage, point.step) in job.seen:
                continue
            job.seen.add((point.stage, point.step))
            if point.stage == FINETUNE:
                self._report_objective(job, point)
            for watcher in self.watchers:
                watcher.point(self.record(job), point)
        if job.open and job.kind == "search" and self._to_be_pruned(job, points):
            self._tell(job, TrialState.PRUNED, "pruned by " + self.config.pruner["name"])
        return job.open

    def complete(self, job: Job, result: TrialResult) -> None:
        """The trial went through the whole pipeline."""
        if job.open:
            job.trial.set_user_attr("metrics", result.metrics())
            self._tell(job, TrialState.COMPLETE, None, result)

    def fail(self, job: Job, reason: str) -> None:
        """The trial ended without a result."""
        if job.open:
            self._tell(job, TrialState.FAIL, reason)

    def record(self, job: Job) -> TrialRecord:
        frozen = job.study._storage.get_trial(job.trial._trial_id)
        return record(frozen, job.condition.name, job.condition.factors, job.kind)

    def winner(self, condition: Condition) -> optuna.trial.FrozenTrial | None:
        """The best complete search trial by the objective; the earlier one of equals."""
        done = self.search[condition.index].get_trials(False, (TrialState.COMPLETE,))
        sign = -1 if self.config.objective.maximize else 1
        return min(
            done, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None
        )

    def search_size(self, condition: Condition) -> int:
        """How many search trials a condition gets: a fixed recipe with replicates needs none."""
        if not condition.parameters:
            return 0 if self.config.replicates else 1
        if split(self.config.sampler)[0] == "grid":
            return min(
                self.config.trials_per_condition, math.prod(map(len, _grid(condition).values()))
            )
        return self.config.trials_per_condition

    def _running(self) -> list[tuple[Condition, Kind, optuna.trial.FrozenTrial]]:
        kinds: tuple[tuple[Kind, list[optuna.Study]], ...] = (
            ("search", self.search),
            ("replicate", self.replicates),
        )
        return [
            (condition, kind, trial)
            for kind, studies in kinds
            for condition, study in zip(self.conditions, studies, strict=True)
            for trial in study.get_trials(False, (TrialState.RUNNING,))
        ]

    def _new_search_trial(self) -> Job | None:
        asked = {
            each.index: len(self.search[each.index].get_trials(False)) for each in self.conditions
        }
        waiting = [each for each in self.conditions if asked[each.index] < self.search_size(each)]
        if not waiting:
            return None
        condition = min(waiting, key=lambda each: (asked[each.index], each.index))
        return self._ask(condition, asked[condition.index])

    def _ask(self, condition: Condition, number: int) -> Job:
        study = self.search[condition.index]
        study.sampler = self._sampler(condition, number)
        return self._suggest(condition, study, study.ask())

    def _suggest(self, condition: Condition, study: optuna.Study, trial: optuna.Trial) -> Job:
        values: dict[str, Scalar] = {}
        for name, parameter in condition.parameters.items():
            if parameter.holds(condition.known | values):
                values[name] = _suggest(trial, name, parameter.distribution())
        return self._job(condition, "search", trial, study, values, replicate=0)

    def _sampler(self, condition: Condition, number: int) -> optuna.samplers.BaseSampler:
        name, _ = split(self.config.sampler)
        parts = [self.config.seed, condition.name] + ([] if name in SEQUENTIAL else [number])
        seed = derive_seed("ask", *parts) % 2**32
        grid = _grid(condition) if name == "grid" else None
        return build_sampler(self.config.sampler, seed, grid)

    def _new_replicate(self) -> Job | None:
        for condition in self.conditions:
            study = self.replicates[condition.index]
            number = len(study.get_trials(False))
            if number >= self.config.replicates or not self._searched(condition):
                continue
            winner = self.winner(condition)
            if winner is None and self.search_size(condition):
                continue
            values = {} if winner is None else winner.user_attrs["parameters"]
            return self._job(condition, "replicate", study.ask(), study, values, number + 1)
        return None

    def _searched(self, condition: Condition) -> bool:
        trials = self.search[condition.index].get_trials(False)
        ended = [trial for trial in trials if trial.state.is_finished()]
        return len(ended) == len(trials) >= self.search_size(condition)

    def _anything_left(self) -> bool:
        for condition in self.conditions:
            if len(self.search[condition.index].get_trials(False)) < self.search_size(condition):
                return True
            replicates = len(self.replicates[condition.index].get_trials(False))
            possible = self.winner(condition) is not None or not self.search_size(condition)
            if possible and replicates < self.config.replicates:
                return True
        return False

    def _take_up(self, condition: Condition, kind: Kind, frozen: optuna.trial.FrozenTrial) -> Job:
        """An interrupted trial, as the same Optuna trial; what was not yet drawn is drawn now."""
        study = (self.search if kind == "search" else self.replicates)[condition.index]
        trial = optuna.Trial(study, frozen._trial_id)
        if "config" in frozen.user_attrs:
            values = frozen.user_attrs["parameters"]
            config = TrialConfig.parse(frozen.user_attrs["config"], "ledger")
            return Job(condition, kind, trial, study, values, config)
        if kind == "search":
            study.sampler = self._sampler(condition, frozen.number)
            return self._suggest(condition, study, optuna.Trial(study, frozen._trial_id))
        winner = self.winner(condition)
        values = {} if winner is None else winner.user_attrs["parameters"]
        return self._job(condition, kind, trial, study, values, frozen.number + 1)

    def _job(
        self,
        condition: Condition,
        kind: Kind,
        trial: optuna.Trial,
        study: optuna.Study,
        values: dict[str, Scalar],
        replicate: int,
    ) -> Job:
        resources = self.config.resources
        config = condition.trial(values, replicate).resolve(resources.cpu, resources.gpu)
        trial.set_user_attr("parameters", values)
        trial.set_user_attr("config", config.to_json())
        return Job(condition, kind, trial, study, values, config)

    def _report_objective(self, job: Job, point: MetricPoint) -> None:
        value = point.values.get(self.config.objective.metric)
        if value is None or not math.isfinite(value):
            self.fail(job, f"{self.config.objective.metric} is {value} in epoch {point.step}")
            return
        job.trial.report(value, point.step)
        better = max if self.config.objective.maximize else min
        job.best = value if job.best is None else better(job.best, value)

    def _to_be_pruned(self, job: Job, points: Sequence[MetricPoint]) -> bool:
        last_epoch = job.config.finetune.epochs
        new = [point.step for point in points if point.stage == FINETUNE]
        return bool(new) and max(new) < last_epoch and job.trial.should_prune()

    def _tell(
        self, job: Job, state: TrialState, reason: str | None, result: TrialResult | None = None
    ) -> None:
        if reason is not None:
            job.trial.set_user_attr("reason", reason)
        job.study.tell(job.trial, job.best if state == TrialState.COMPLETE else None, state)
        job.open = False
        self.running.pop(job.name, None)
        for watcher in self.watchers:
            watcher.ended(self.record(job), result)


def _suggest(
    trial: optuna.Trial, name: str, distribution: optuna.distributions.BaseDistribution
) -> Scalar:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, optuna.distributions.IntDistribution):
        bounds = distribution.low, distribution.high
        return trial.suggest_int(name, *bounds, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, optuna.distributions.FloatDistribution)
    bounds_f = distribution.low, distribution.high
    return trial.suggest_float(name, *bounds_f, step=distribution.step, log=distribution.log)


def _grid(condition: Condition) -> dict[str, list[Scalar]]:
    """The values of each parameter that a grid crosses: its choices, or its ends and steps."""
    grid: dict[str, list[Scalar]] = {}
    for name, parameter in condition.parameters.items():
        grid[name] = list(parameter.grid_values())
    return grid
