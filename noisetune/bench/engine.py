"""What the engine itself costs: a sweep of trials that do nothing, with all of it switched on."""

import secrets
import statistics
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
from mlflow import MlflowClient

from noisetune.bench.bare import POINTS, bare_growth, growth
from noisetune.bench.stopwatch import timed_calls
from noisetune.bench.sweep_watch import SweepWatch
from noisetune.bench.whole import check_whole
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
from noisetune.sweep.study.recorded import begun_ledger
from noisetune.sweep.study.scheduler import Scheduler
from noisetune.sweep.study.watcher import Watcher
from noisetune.tracking.outbox import read_messages

PAGE = 100
MOST_BARE = 1000
POINT = "point"
OPTUNA: dict[str, tuple[type, str]] = {
    "ask": (optuna.Study, "ask"),
    # A sampler of Optuna's begins with it, not with ask.
    "suggest": (optuna.Trial, "suggest_float"),
    "report": (optuna.Trial, "report"),
    "should_prune": (optuna.Trial, "should_prune"),
    "tell": (optuna.Study, "tell"),
}


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


class Clock(SweepWatch):
    """Watches the driver: when trials start and end, what it takes, how much memory it holds.

    `cpu` is in seconds, `over` the moment when the last trial had ended.
    """

    def __init__(self) -> None:
        self.cpu = self.over = 0.0
        self.first_points: list[float] = []
        self.ends: list[float] = []
        self.memory: list[int] = []
        self._seen: set[str] = set()

    @contextmanager
    def watching(self, sweep: Sweep, ledger: Ledger) -> Iterator[Sequence[Watcher]]:
        process = psutil.Process()
        before = sum(process.cpu_times()[:2])
        yield [self]
        self.cpu = sum(process.cpu_times()[:2]) - before
        self.over = time.monotonic()

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        if trial.name not in self._seen:
            self._seen.add(trial.name)
            self.first_points.append(time.monotonic())

    def ended(self, trial: TrialRecord) -> None:
        super().ended(trial)
        self.ends.append(time.monotonic())
        self.memory.append(psutil.Process().memory_info().rss)


@dataclass(frozen=True)
class Setting:
    """What is run: so many conditions, a `sampler` and a `pruner` as a sweep's file names them, and
    the addresses of databases, where they are not files of the bench's own."""

    conditions: int = 1
    sampler: str = "tpe"
    pruner: str = "median"
    tracking_uri: str | None = None
    ledger: str | None = None


def engine_sweep(trials: int, setting: Setting = Setting()) -> Sweep:
    """So many trials of nothing, the same number in each condition."""
    rates = [round(0.5 * number / setting.conditions, 6) for number in range(setting.conditions)]
    space = SearchSpace.model_validate(
        {
            "conditions": {"noise.rate": rates},
            "parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}},
        }
    )
    raw = {
        # A database of somebody's own may know of an earlier bench.
        "name": f"engine-{trials}-{secrets.token_hex(4)}",
        "search_space": "engine",
        "trial": {
            "pretrain": {"method": "none"},
            "model": {"width": 4},
            "finetune": {"epochs": POINTS},
        },
        "sampler": {"name": setting.sampler},
        "pruner": {"name": setting.pruner},
        "trials_per_condition": max(1, trials // setting.conditions),
        "replicates": 0,
    }
    return Sweep.prepare(parse_sweep(raw, "bench engine"), space)


def measure_engine(
    few: int = 100, many: int = 1000, setting: Setting = Setting()
) -> dict[str, Any]:
    """Run the sweep at two sizes in one Ray session; of pairs the first is of the smaller one.

    The smaller one has fewer conditions, of as many trials as the larger one's as far as it has so
    many: a pruner has as much to compare with in both. `cost_ratio` is large to small, per trial.
    Optuna's own part, its calls by the driver with what the ledger writes in them, is apart, and
    `rest_ratio` is without it. `gap_seconds` is the median time from a trial's end to the next
    first point in its slot. `point_p99_seconds` is what the driver takes for a point at most in 99
    of 100 cases, in the first and the second half of the larger sweep. `driver_kb_per_trial` is how
    much the driver's memory grows with each of its trials, `bare_kb_per_trial` what it does by
    stock Ray Tune and Optuna alone. `replay_seconds` is what it takes to read the ledger from its
    beginning, `resume_seconds` a resume of the finished sweep with all that it looks at,
    `mlflow_page_seconds` a page of 100 of its runs.
    """
    with tempfile.TemporaryDirectory(prefix="noisetune-bench-") as folder:
        bare = bare_growth(min(many, MOST_BARE), Path(folder) / "bare")
        home = Home(Path(folder), setting.ledger)
        fewer = replace(setting, conditions=max(1, setting.conditions * few // many))
        with ray_session(Resources()):
            _run(few, home, fewer)
            small, large = _run(few, home, fewer), _run(many, home, setting)
    optuna = {name: [each["optuna"][name] for each in (small, large)] for name in OPTUNA}
    rest = [each["per_trial"] - sum(each["optuna"].values()) for each in (small, large)]
    return {
        "trials": [few, many],
        "conditions": [fewer.conditions, setting.conditions],
        "seconds_per_trial": [small["per_trial"], large["per_trial"]],
        "cost_ratio": large["per_trial"] / small["per_trial"],
        **{f"optuna_{name}_seconds_per_trial": pair for name, pair in optuna.items()},
        "rest_seconds_per_trial": rest,
        "rest_ratio": rest[1] / rest[0],
        "driver_seconds_per_point": large["per_point"],
        "point_p99_seconds": large["p99"],
        "gap_seconds": large["gap"],
        "driver_kb_per_trial": large["kb_per_trial"],
        "bare_kb_per_trial": bare / 1000,
        "pruned": large["pruned"],
        "tracking_seconds_behind": large["behind"],
        "replay_seconds": large["replay"],
        "resume_seconds": large["resume"],
        "mlflow_page_seconds": large["page"],
    }


def _run(trials: int, home: Home, setting: Setting) -> dict[str, Any]:
    sweep = engine_sweep(trials, setting)
    clock = Clock()
    site = Site(home, tracking_uri=setting.tracking_uri or home.tracking_uri)
    with timed_calls(OPTUNA | {POINT: (Scheduler, "report")}) as calls:
        outcome = drive(sweep, site, clock, pipeline=instant_pipeline)
    behind = time.monotonic() - clock.over
    check_whole(outcome)
    name = sweep.config.name
    points = sum(message["kind"] == "point" for message in read_messages(home.outbox(name)))
    began = time.monotonic()
    records = begun_ledger(home, name).records(sweep.cells)
    replay, began = time.monotonic() - began, time.monotonic()
    drive(sweep, site, resume=True, pipeline=instant_pipeline)
    return {
        # Actors start once; what follows the first end is the engine at work.
        "per_trial": (clock.ends[-1] - clock.ends[0]) / (len(clock.ends) - 1),
        "per_point": clock.cpu / points,
        "optuna": {each: sum(calls[each]) / len(records) for each in OPTUNA},
        "p99": [float(np.percentile(half, 99)) for half in np.array_split(calls[POINT], 2)],
        "gap": _gap(clock),
        "kb_per_trial": growth(clock.memory) / 1000,
        "pruned": sum(record.state == "pruned" for record in records),
        "behind": behind,
        "replay": replay,
        "resume": time.monotonic() - began,
        "page": _page_seconds(site, name),
    }


def _page_seconds(site: Site, name: str) -> float:
    """A page of MLflow's table, as its server asks for it; the second time, when all is open."""
    client = MlflowClient(site.tracking_uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    for _ in range(2):
        began = time.monotonic()
        client.search_runs([experiment.experiment_id], max_results=PAGE)
    return time.monotonic() - began


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
