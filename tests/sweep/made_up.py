"""A sweep without Ray: trials whose points are made up, and who hears of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.sweep.execution.slots import Slots
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.scheduler import Scheduler
from noisetune.sweep.study.watcher import Watcher


@dataclass
class Heard(Watcher):
    """A watcher that remembers."""

    words: list[str] = field(default_factory=list)
    ended_as: dict[str, TrialRecord] = field(default_factory=dict)

    def started(self, trial: TrialRecord) -> None:
        self.words.append(f"started {trial.name}")

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        self.words.append(f"{point.stage} {point.step}")

    def ended(self, trial: TrialRecord) -> None:
        self.words.append(f"ended {trial.name}")
        self.ended_as[trial.name] = trial


@dataclass
class Play:
    """A scheduler over a ledger, and what a trial on it does."""

    scheduler: Scheduler
    ledger: Ledger
    heard: Heard

    @property
    def conditions(self) -> list[Condition]:
        return self.scheduler.conditions

    def next(self) -> Job:
        job = self.scheduler.next()
        assert job is not None
        return job

    def run(self, job: Job, values: Sequence[float | None]) -> int:
        """Report one epoch after the other, then the result; the epochs that were wanted."""
        for epoch, value in enumerate(values, start=1):
            if not self.scheduler.report(job, [point(epoch, value, self.metric)]):
                return epoch
        self.scheduler.complete(job, result_of(job))
        return len(values)

    def run_all(self, values: Callable[[Job], Sequence[float | None]]) -> list[Job]:
        """Run one trial after the other until there is none; the trials."""
        jobs = []
        while (job := self.scheduler.next()) is not None:
            self.run(job, values(job))
            jobs.append(job)
        return jobs

    @property
    def metric(self) -> str:
        return self.scheduler.config.objective.metric

    def records(self) -> list[TrialRecord]:
        return self.ledger.records([(each.name, each.factors) for each in self.conditions])


def point(epoch: int, value: float | None, metric: str = "val/accuracy") -> MetricPoint:
    return MetricPoint("finetune", epoch, {metric: value})


def result_of(job: Job) -> TrialResult:
    epochs = {choice: {"epoch": 1.0, "test/accuracy": 0.5} for choice in ("last", "oracle")}
    return TrialResult(job.config.to_json(), dict(epochs), {"f1": None}, {}, {})


def some_slots(count: int) -> Slots:
    """Those of a host with so many CPUs, for trials that want one each."""
    config = parse_sweep({"name": "any", "search_space": "-", "trial": {}}, "the test")
    return Slots(config, lambda: [{"CPU": float(count)}])
