"""The board: which trial is next, what became of each; ledger first, watchers second."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from optuna.trial import TrialState

from noisetune.records import MetricPoint, Metrics, TrialRecord, TrialResult
from noisetune.sweep.asking import Asker, Job
from noisetune.sweep.conditions import Condition
from noisetune.sweep.config import SweepConfig
from noisetune.sweep.gate import STAGE as GATE
from noisetune.sweep.gate import Gate
from noisetune.sweep.ledger import STATES, Ledger
from noisetune.sweep.order import Order

FINETUNE = "finetune"
MOST_HELD = 16


class Watcher(Protocol):
    """Who is told what happens to trials, after the ledger has it."""

    def started(self, trial: TrialRecord) -> None: ...

    def point(self, trial: TrialRecord, point: MetricPoint) -> None: ...

    def ended(self, trial: TrialRecord, result: TrialResult | None) -> None: ...


class Board:
    """Hands out search trials, then each winner's replicates, and writes down how they end.

    Everything it knows comes from the ledger, so a new board over an old ledger goes on where
    the last one stopped. Trials whose encoder another one is about to compute are held back.
    """

    def __init__(
        self,
        config: SweepConfig,
        conditions: Sequence[Condition],
        ledger: Ledger,
        watchers: Sequence[Watcher] = (),
        order: Order | None = None,
    ) -> None:
        self.config, self.watchers = config, watchers
        self.asker = Asker(config, conditions, ledger)
        self.order = order or Order(None)
        self.gate = Gate(config.pretrain_gate)
        self.interrupted = deque(self.asker.interrupted())
        self.held: list[Job] = []
        self.running: dict[str, Job] = {}

    @property
    def conditions(self) -> list[Condition]:
        return self.asker.conditions

    def next(self) -> Job | None:
        """The next trial to run; None where nothing can start until another trial ends."""
        job = self._first_that_can_start()
        if job is not None:
            key = self.order.key(job.config)
            job.pretraining = None if key is None else key.digest
            self.running[job.name] = job
            for watcher in self.watchers:
                watcher.started(job.record())
        return job

    @property
    def finished(self) -> bool:
        """Whether every trial and replicate has been handed out and has ended."""
        busy = self.running or self.held or self.interrupted
        return not busy and self.asker.everything_asked()

    def report(self, job: Job, points: Sequence[MetricPoint]) -> bool:
        """Take a trial's new points; says whether it is to go on. A repeated point is left out."""
        new = [point for point in points if (point.stage, point.step) not in job.seen]
        for point in new:
            if job.open:
                job.seen.add((point.stage, point.step))
                self._take(job, point)
        if job.open and job.kind == "search" and self._to_be_pruned(job, new):
            self._tell(job, TrialState.PRUNED, f"pruned by {self.config.pruner['name']}")
        return job.open

    def complete(self, job: Job, result: TrialResult) -> None:
        """The trial went through the whole pipeline."""
        if job.open:
            self._tell(job, TrialState.COMPLETE, None, result)

    def fail(self, job: Job, reason: str) -> None:
        """The trial ended without a result."""
        if job.open:
            self._tell(job, TrialState.FAIL, reason)

    def can_go_on(self, job: Job) -> bool:
        """Whether a trial that found its encoder being computed elsewhere need wait no more."""
        others = [other for other in self.running.values() if other is not job]
        return self.order.can_start(job.config, others)

    def _first_that_can_start(self) -> Job | None:
        while self.interrupted:
            self.held.append(self.asker.take_up(*self.interrupted.popleft()))
        for job in self.held:
            if self.order.can_start(job.config, self.running.values()):
                self.held.remove(job)
                return job
        while len(self.held) < MOST_HELD:
            asked = self.asker.search() or self.asker.replicate()
            if asked is None or self.order.can_start(asked.config, self.running.values()):
                return asked
            self.held.append(asked)
        return None

    def _take(self, job: Job, point: MetricPoint) -> None:
        if point.stage in (GATE, FINETUNE):
            job.pretraining = None
        if point.stage == FINETUNE:
            self._report_objective(job, point)
        for watcher in self.watchers:
            watcher.point(job.record(), point)
        if point.stage == GATE and job.kind == "search" and job.open:
            objection = self.gate.objection(job.condition.name, job.name, point)
            if objection is not None:
                self._tell(job, TrialState.PRUNED, objection)

    def _report_objective(self, job: Job, point: MetricPoint) -> None:
        value = point.values.get(self.config.objective.metric)
        if value is None or not math.isfinite(value):
            self.fail(job, f"{self.config.objective.metric} is {value} in epoch {point.step}")
            return
        if point.step not in job.reported:
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
        metrics: Metrics = {} if result is None else result.metrics()
        if result is not None:
            job.trial.set_user_attr("metrics", metrics)
        if reason is not None:
            job.trial.set_user_attr("reason", reason)
        value = job.best if state == TrialState.COMPLETE else None
        job.study.tell(job.trial, value, state)
        job.open = False
        self.asker.ended[job.kind][job.condition.index] += 1
        self.running.pop(job.name, None)
        ended = replace(
            job.record(), state=STATES[state], objective=value, metrics=metrics, reason=reason
        )
        for watcher in self.watchers:
            watcher.ended(ended, result)
