"""What the engine itself costs: a sweep of trials that do nothing, with all of it switched on."""

import statistics
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from noisetune.config import TrialConfig
from noisetune.pipeline import Options
from noisetune.records import FINETUNE, Event, MetricPoint, Metrics, TrialRecord, TrialResult
from noisetune.selection import CHOICES
from noisetune.store import StoreLike
from noisetune.sweep.execution.launch import ray_session
from noisetune.sweep.home import Home, Site
from noisetune.sweep.run import drive
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.resources import Resources
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.watcher import Watcher
from noisetune.tracking.outbox import read_messages

POINTS = 10


def instant_pipeline(
    config: TrialConfig, store: StoreLike, options: Options
) -> Generator[Event, None, TrialResult]:
    """Ten epochs that cost nothing; the better the rate, the better the accuracy."""
    quality = 1 - abs(config.finetune.lr - 3e-3) / 1e-2
    for step in range(1, POINTS + 1):
        accuracy = quality * step / POINTS
        values: Metrics = {
            "val/accuracy": accuracy,
            "test/accuracy": accuracy,
            "train/loss": 1 - accuracy,
        }
        yield MetricPoint(FINETUNE, step, values)
    last: Metrics = {"epoch": float(POINTS), "test/accuracy": quality}
    epochs: dict[str, Metrics] = dict.fromkeys(CHOICES, last)
    return TrialResult(config.to_json(), epochs, {}, {}, {FINETUNE: 0.0})


class Clock:
    """Watches the driver: when trials start and end, what it takes, how much memory it holds.

    `cpu` is in seconds, `over` the moment when the last trial had ended.
    """

    def __init__(self) -> None:
        self.cpu = self.over = 0.0
        self.first_points: list[float] = []
        self.ends: list[float] = []
        self.memory: list[int] = []
        self._seen: set[str] = set()

    def say(self, line: str) -> None:
        pass

    @contextmanager
    def watching(self, sweep: Sweep, ledger: Ledger) -> Iterator[Sequence[Watcher]]:
        process = psutil.Process()
        before = sum(process.cpu_times()[:2])
        yield [self]
        self.cpu = sum(process.cpu_times()[:2]) - before
        self.over = time.monotonic()

    def started(self, trial: TrialRecord) -> None:
        pass

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        if trial.name not in self._seen:
            self._seen.add(trial.name)
            self.first_points.append(time.monotonic())

    def ended(self, trial: TrialRecord, result: TrialResult | None) -> None:
        self.ends.append(time.monotonic())
        self.memory.append(psutil.Process().memory_info().rss)


def engine_sweep(trials: int) -> Sweep:
    """One condition, TPE, the median pruner."""
    space = SearchSpace.model_validate(
        {"parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}}}
    )
    raw = {
        "name": f"engine-{trials}",
        "search_space": "engine",
        "trial": {
            "pretrain": {"method": "none"},
            "model": {"width": 4},
            "finetune": {"epochs": POINTS},
        },
        "trials_per_condition": trials,
        "replicates": 0,
    }
    return Sweep.prepare(parse_sweep(raw, "bench engine"), space)


def measure_engine(few: int = 100, many: int = 1000) -> dict[str, Any]:
    """Run the sweep at two sizes in one Ray session; `cost_ratio` is large to small, per trial.

    `gap_seconds` is the median time from a trial's end to the next first point in its slot,
    `driver_kb_per_trial` how much the driver's memory grows with each trial of the larger sweep.
    """
    with tempfile.TemporaryDirectory(prefix="noisetune-bench-") as folder:
        home = Home(Path(folder))
        with ray_session(Resources()):
            _run(few, home, "warm-up")
            small, large = (_run(size, home, "measured") for size in (few, many))
    return {
        "trials": [few, many],
        "seconds_per_trial": [small["per_trial"], large["per_trial"]],
        "cost_ratio": large["per_trial"] / small["per_trial"],
        "driver_seconds_per_point": large["per_point"],
        "gap_seconds": large["gap"],
        "driver_kb_per_trial": large["kb_per_trial"],
        "pruned": large["pruned"],
        "tracking_seconds_behind": large["behind"],
    }


def _run(trials: int, home: Home, purpose: str) -> dict[str, float]:
    sweep = engine_sweep(trials)
    name = f"{sweep.config.name}-{purpose}"
    sweep = Sweep(sweep.config.model_copy(update={"name": name}), sweep.space, sweep.conditions)
    clock = Clock()
    site = Site(home, tracking_uri=home.tracking_uri)
    outcome = drive(sweep, site, clock, pipeline=instant_pipeline)
    behind = time.monotonic() - clock.over
    if not outcome.delivered or not outcome.scheduler.finished:
        raise RuntimeError("the sweep or its tracking did not come to its end")
    points = sum(message["kind"] == "point" for message in read_messages(home.outbox(name)))
    records = outcome.ledger.records(sweep.cells)
    return {
        # Actors start once; what follows the first end is the engine at work.
        "per_trial": (clock.ends[-1] - clock.ends[0]) / (len(clock.ends) - 1),
        "per_point": clock.cpu / points,
        "gap": _gap(clock),
        "kb_per_trial": _growth(clock.memory) / 1000,
        "pruned": sum(record.state == "pruned" for record in records),
        "behind": behind,
    }


def _gap(clock: Clock) -> float:
    """Each end frees a slot for the next trial that has not had its first point yet."""
    later = iter(sorted(clock.first_points))
    gaps: list[float] = []
    first = next(later)
    for end in clock.ends:
        while first <= end:
            following = next(later, None)
            if following is None:
                return statistics.median(gaps) if gaps else 0.0
            first = following
        gaps.append(first - end)
    return statistics.median(gaps)


def _growth(memory: list[int]) -> float:
    """Bytes per trial over the second half, by the slope of a line: start-up is no growth."""
    half = memory[len(memory) // 2 :]
    return statistics.linear_regression(range(len(half)), half).slope
