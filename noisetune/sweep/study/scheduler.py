"""The scheduler: which trial is next, what became of each.

The ledger has it first, and watchers second; of a result they hear before (`Watcher.result`).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from optuna.trial import TrialState

from noisetune.errors import fault_of_machine
from noisetune.records import FINETUNE, GATE, MetricPoint, Metrics, TrialResult
from noisetune.store import LeaseLost
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.study.budget import SECONDS_BETWEEN_NOTES, Spending
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.judgement import accuracy_before, report_epoch, to_be_pruned, worth
from noisetune.sweep.study.ledger import DIVERGED, GPU_SHARE, LOST, MACHINE, STATES, Ledger
from noisetune.sweep.study.order import Order
from noisetune.sweep.study.pretrain_gate import KNN, Gate
from noisetune.sweep.study.searcher import Searcher
from noisetune.sweep.study.watcher import Watcher

MOST_HELD = 64
RESTARTS = 2


class Scheduler:
    """Hands out search trials, then replicates of what won, and writes down how they end.

    Everything it knows comes from the ledger, so a new scheduler over an old ledger goes on where
    the last one stopped. Trials whose encoder another one is about to compute are held back.
    `stopped` says why the scheduler hands out nothing any more: a budget, or a `fault`, which is
    another driver or a machine that failed.
    """

    def __init__(
        self,
        config: SweepConfig,
        conditions: Sequence[Condition],
        ledger: Ledger,
        watchers: Sequence[Watcher] = (),
        order: Order | None = None,
        slots: int = 1,
    ) -> None:
        self.config, self.watchers, self.slots = config, watchers, slots
        self.searcher = Searcher(config, conditions, ledger)
        self.order = order or Order(None)
        self.gate = Gate(config.pretrain_gate)
        for search, trial, passed in self.searcher.marked(GATE):
            self.gate.remember(search, trial, *passed)
        self.spending = Spending(config.budget, ledger)
        self.interrupted = deque(self.searcher.interrupted())
        self.held: list[Job] = []
        # What is asked ahead is drawn without the results of what runs.
        self._most_held = slots if config.sampler_kind.learns else max(slots, MOST_HELD)
        self.running: dict[str, Job] = {}
        self.left: list[Job] = []
        self.stopped: str | None = None
        self.fault: str | None = None
        self._cut: str | None = None
        self.superseded = False
        with self._fenced():
            self.searcher.comparing.look()

    @property
    def conditions(self) -> list[Condition]:
        """The conditions of the sweep, in their order."""
        return [state.condition for state in self.searcher.states]

    @property
    def finished(self) -> bool:
        """Whether every trial and replicate has been handed out and has ended."""
        busy = self.running or self.held or self.interrupted or self.left
        cut_short = self.stopped is not None or self._cut is not None
        return not busy and not cut_short and self.searcher.everything_asked

    @property
    def over(self) -> bool:
        """Whether there is nothing more to hand out or to wait for."""
        return self.finished or (self.stopped is not None and not self.running)

    def next(self, host: str | None = None) -> Job | None:
        """The next trial to run, on a kind of `host` that `resources.gpu_on` may have a share for;
        None where nothing can start until another trial ends."""
        with self._fenced():
            self._look_at_budget()
            job = None if self.stopped else self._first_that_can_start()
            if job is not None:
                job.begun = True
                key = self.order.key(job.config)
                job.pretraining = None if key is None else key.digest
                self.running[job.name] = job
                job.held = self.config.resources.share_on(host, job.gpu)
                self.spending.begin(job.name, job.held)
                for watcher in self.watchers:
                    watcher.started(job.record())
            return job
        return None

    def report(self, job: Job, points: Sequence[MetricPoint]) -> bool:
        """Take a trial's new points; says whether it is to go on. A repeated point is left out."""
        if self.fault is not None:
            return False
        with self._fenced():
            new = [point for point in points if (point.stage, point.step) not in job.seen]
            for point in new:
                if job.open:
                    job.seen.add((point.stage, point.step))
                    self._take(job, point)
            if job.open and job.kind == "search" and to_be_pruned(job, self.config.objective, new):
                self._tell(job, TrialState.PRUNED, f"pruned by {self.config.pruner_name}")
            self._look_at_budget()
        if self.stopped and job.open:
            self._leave(job)
        return job.open and job not in self.left

    def complete(self, job: Job, result: TrialResult) -> None:
        """The trial went through the whole pipeline."""
        with self._fenced():
            if job.open:
                for watcher in self.watchers:
                    watcher.result(job.record(), result)
                self._tell(job, TrialState.COMPLETE, None, result)

    def fail(self, job: Job, reason: str, mark: str | None = None) -> None:
        """The trial ended without a result, with a `mark` where that is not its own fault."""
        with self._fenced():
            if job.open:
                self._tell(job, TrialState.FAIL, reason, mark=mark)

    def diverged(self, job: Job, reason: str, chance: float | None) -> None:
        """The trial's training diverged: it failed, and counts as what it had come to, or as
        `chance`, the accuracy (0..1) of guessing."""
        with self._fenced():
            if job.open:
                metrics = accuracy_before(job.epochs, chance)
                self._tell(job, TrialState.FAIL, reason, metrics=metrics, mark=DIVERGED)

    def out_of_memory(self, job: Job, reason: str) -> None:
        """The trial comes back with twice its share of a GPU; on a whole one it fails."""
        if not 0 < job.gpu < 1:
            more = "; a whole GPU is not enough" if job.gpu else ""
            return self.fail(job, reason + more, MACHINE)
        with self._fenced():
            job.gpu = min(1.0, 2 * job.gpu)
            job.trial.set_user_attr(GPU_SHARE, job.gpu)
            self._again(job)

    def lost(self, job: Job, reason: str) -> None:
        """The trial's process or node died: it begins again, from its stages in the store.

        After some times that is the machine's fault, and left to a resume; where that fares no
        better, the others go on without it, until the next resume.
        """
        if job.restarts < RESTARTS:
            job.restarts += 1
            return self._again(job)
        if LOST in job.trial.user_attrs:
            return self.fail(job, reason, MACHINE)
        with self._fenced():
            job.trial.set_user_attr(LOST, True)
        self.machine_failed(job, reason)

    def moved(self, job: Job) -> None:
        """Its host was given up: it goes on elsewhere, however often that happens."""
        self._again(job)

    def machine_failed(self, job: Job, reason: str) -> None:
        """It was no fault of the trial's: the sweep pauses, and a resume goes on with it."""
        self.pause(f"{job.name}: {reason}")

    def pause(self, reason: str) -> None:
        """Stop at once, and leave all that runs to a resume. The first reason stays."""
        if self.stopped is None:
            self.stopped = self.fault = reason
        for job in list(self.running.values()):
            self._leave(job)

    def close(self) -> None:
        """Note what was spent; the trials that run now are left for a resume."""
        for job in list(self.running.values()):
            self._leave(job)
        self.left += [job for job in self.held if job.begun]
        with self._fenced():
            self.spending.note()

    def can_go_on(self, job: Job) -> bool:
        """Whether a trial that found its encoder being computed elsewhere need wait no more."""
        others = [other for other in self.running.values() if other is not job]
        return self.order.can_start(job.config, others)

    @contextmanager
    def _fenced(self) -> Iterator[None]:
        """Once another driver has taken the sweep over, or the ledger cannot be written, all stops
        without another write."""
        try:
            yield
        except LeaseLost:
            self.superseded, self.stopped = True, None
            self.pause("another process has taken this sweep over")
        except OSError as error:
            self.pause(fault_of_machine(error) or str(error))

    def _look_at_budget(self) -> None:
        self.spending.note(SECONDS_BETWEEN_NOTES)
        if self.stopped is None:
            self.stopped = self.spending.exhausted()

    def _leave(self, job: Job) -> None:
        """Stop a trial that a resume takes up again: in the ledger it stays as running."""
        self.running.pop(job.name, None)
        self.spending.end(job.name, over=False)
        if job not in self.left:
            self.left.append(job)

    def _again(self, job: Job) -> None:
        """Run a trial once more, before any other; after the end that is left to a resume."""
        if self.stopped:
            return self._leave(job)
        self.running.pop(job.name, None)
        self.spending.end(job.name, over=False)
        self.held.insert(0, job)

    def _first_that_can_start(self) -> Job | None:
        while self.interrupted:
            self.held.append(self.searcher.take_up(*self.interrupted.popleft()))
        for job in self.held:
            if self.order.can_start(job.config, self.running.values()):
                self.held.remove(job)
                return job
        while len(self.held) < self._most_held:
            asked = self._ask()
            if asked is None or self.order.can_start(asked.config, self.running.values()):
                return asked
            self.held.append(asked)
        return None

    def _ask(self) -> Job | None:
        """A new trial, where the budget allows one."""
        if self._cut is None:
            self._cut = self._search_is_cut()
        if self._cut is None:
            job = self.searcher.search()
            if job is not None:
                return job
        else:
            self.searcher.end_search()
        trials = self.config.budget.trials
        room = trials is None or self.searcher.asked_in_all < trials
        job = self.searcher.replicate() if room else None
        if job is None and not self.running and not self.held:
            if not room and self._cut is None and not self.searcher.everything_asked:
                self._cut = f"budget.trials: {trials} of {trials} are used"
            self.stopped = self._cut
        return job

    def _search_is_cut(self) -> str | None:
        """Why no search trial may follow: what is left of the budget is for the replicates."""
        if self.searcher.searched:
            return None
        reserved, asked = self.searcher.replicates_to_come, self.searcher.asked_in_all
        trials = self.config.budget.trials
        if trials is not None and asked + reserved >= trials:
            rest = f", and {reserved} are for replicates" if reserved else ""
            return f"budget.trials: {asked} of {trials} are used{rest}"
        return self.spending.exhausted(reserved, self.config.resources.gpu, self.slots)

    def _take(self, job: Job, point: MetricPoint) -> None:
        if point.stage in (GATE, FINETUNE):
            job.pretraining = None
        if point.stage == FINETUNE:
            job.epochs.append(point)
            objection = report_epoch(job, self.config.objective, point)
            if objection is not None:
                self.fail(job, objection)
        if point.stage == GATE and (knn := point.values.get(KNN)) is not None:
            job.trial.set_user_attr(GATE, (point.step, knn))
        for watcher in self.watchers:
            watcher.point(job.record(), point)
        if point.stage == GATE and job.kind == "search" and job.open:
            objection = self.gate.objection(job.search, job.name, point)
            if objection is not None:
                self._tell(job, TrialState.PRUNED, objection)

    def _tell(
        self,
        job: Job,
        state: TrialState,
        reason: str | None,
        result: TrialResult | None = None,
        metrics: Metrics | None = None,
        mark: str | None = None,
    ) -> None:
        metrics = metrics or ({} if result is None else result.metrics())
        known = {"metrics": metrics or None, "reason": reason} | ({mark: True} if mark else {})
        for name, value in known.items():
            if value is not None:
                job.trial.set_user_attr(name, value)
        goals = self.config.objective
        values = worth(job, goals, result) if state == TrialState.COMPLETE else None
        self.searcher.tell(job, values, state)
        self.running.pop(job.name, None)
        self.spending.end(job.name)
        # It may have come to its end in the moment in which the sweep was stopped.
        self.left = [other for other in self.left if other is not job]
        ended = replace(
            job.record(),
            state=STATES[state],
            objective=None if values is None else values[0],
            objectives=tuple(values or ()),
            metrics=metrics,
            reason=reason,
            diverged=mark == DIVERGED,
            machine=mark == MACHINE,
        )
        for watcher in self.watchers:
            watcher.ended(ended)
