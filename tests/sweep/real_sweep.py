"""Sweeps over trials on 60 digits, in the Ray that all tests share or, quicker, without it."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from noisetune.pipeline import run_trial
from noisetune.records import MetricPoint, TrialRecord
from noisetune.sweep.execution import launch
from noisetune.sweep.execution.adapters import TuneScheduler, TuneSearcher
from noisetune.sweep.execution.launch import run_trials
from noisetune.sweep.execution.runner import Runner
from noisetune.sweep.execution.slots import Host
from noisetune.sweep.execution.trainable import Pipeline, make_trainable
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.lease import claim_sweep
from noisetune.sweep.study.scheduler import Scheduler
from noisetune.sweep.study.storage import drive_ledger
from noisetune.sweep.study.watcher import Watcher

TRIAL: dict[str, Any] = {
    "data": {"name": "digits", "train_samples": 60, "test_samples": 30},
    "model": {"width": 4},
    "pretrain": {"epochs": 2, "batch_size": 32, "hidden": 8, "projection": 8},
    "finetune": {"epochs": 2, "batch_size": 16},
}
SWEEP: dict[str, Any] = {
    "search_space": "-",
    "trial": TRIAL,
    "sampler": {"name": "grid"},
    "pruner": {"name": "none"},
    "trials_per_condition": 99,
    "replicates": 0,
}


@dataclass
class Seen(Watcher):
    """A watcher that remembers what was computed and how trials ended."""

    points: list[tuple[str, MetricPoint]] = field(default_factory=list)
    ends: dict[str, TrialRecord] = field(default_factory=dict)

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        self.points.append((trial.name, point))

    def ended(self, trial: TrialRecord) -> None:
        self.ends[trial.name] = trial

    def epochs(self, stage: str) -> set[tuple[float, int]]:
        """Its epochs by the moment in which they were made: a replayed one is no other."""
        return {(point.made, point.step) for _, point in self.points if point.stage == stage}

    def stages(self, trial: str) -> list[tuple[str, int]]:
        return [(point.stage, point.step) for name, point in self.points if name == trial]


def prepare(space: dict[str, Any], name: str, **sweep: Any) -> Sweep:
    config = parse_sweep({**SWEEP, "name": name, **sweep}, "the test")
    return Sweep.prepare(config, SearchSpace.model_validate(space))


def run(
    home: Home,
    sweep: Sweep,
    watchers: Sequence[Watcher] = (),
    pipeline: Pipeline = run_trial,
    share: bool = True,
) -> Scheduler:
    """Run a sweep to its end, as `noisetune sweep` does."""
    store = str(home.stages) if share else None
    with claim_sweep(home, sweep.config.name) as lease:
        ledger = drive_ledger(home, sweep, lease)
        return run_trials(sweep, ledger, home, watchers, pipeline, store)


def run_here(*arguments: Any, **options: Any) -> Scheduler:
    """`run` without Ray: one trial after the other, in this process."""
    with without_ray():
        return run(*arguments, **options)


@contextmanager
def without_ray() -> Iterator[None]:
    """Whoever runs a sweep runs its trials here, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "ON_RAY", Here())
        yield


class Here(Runner):
    """Runs one trial after the other, in this process."""

    def session(self, *_: object) -> AbstractContextManager[None]:
        return nullcontext()

    def hosts(self) -> list[Host]:
        return [{"CPU": 1.0}]

    def run(self, sweep: Sweep, home: Home, searcher: TuneSearcher, pipeline: Pipeline) -> None:
        scheduler, trainable = TuneScheduler(searcher), make_trainable(pipeline)
        for number in map(str, itertools.count()):
            given = searcher.suggest(number)
            assert given is not None
            if given == Searcher.FINISHED:
                return
            actor, trial = trainable(config=given), SimpleNamespace(trial_id=number)
            result = actor.step()
            while not result["done"]:
                if scheduler.on_trial_result(None, trial, result) != TrialScheduler.CONTINUE:
                    break
                result = actor.step()
            actor.cleanup()
            searcher.on_trial_complete(number, result)
