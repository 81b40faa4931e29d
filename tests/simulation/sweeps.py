"""Sweeps small enough to be run ten thousand times, with trials that compute nothing."""

import time
from collections.abc import Callable, Generator, Iterator
from functools import cache
from typing import Any

from noisetune.config import TrialConfig
from noisetune.data.base import DataConfig, ImageData
from noisetune.pipeline import Options
from noisetune.records import FINETUNE, PRETRAIN, Event, MetricPoint, Metrics, TrialResult
from noisetune.selection import CHOICES
from noisetune.ssl.base import SSLConfig
from noisetune.stages.base import Checkpoint, Stage, StageEvent, Start, points_of, record_of
from noisetune.stages.pretrain import pretrain_key
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, StoreLike
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep

NAME = "simulated"
POINTS = 2
EPOCH_SECONDS = 4.0
TRIAL: dict[str, Any] = {
    "data": {"name": "digits", "train_samples": 60, "test_samples": 30},
    "model": {"width": 4},
    "pretrain": {"method": "none"},
    "finetune": {"epochs": POINTS},
    "runtime": {
        "device": "cpu",
        "precision": "fp32",
        "channels_last": False,
        "compile": False,
        "threads": 1,
    },
}
RATE = {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}}
PRETRAINED = {"method": "simclr", "epochs": 2, "batch_size": 32, "hidden": 8, "projection": 8}
SWEEPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "random": (
        {"conditions": {"noise.rate": [0.2, 0.4]}, "parameters": RATE},
        {"sampler": {"name": "random"}, "pruner": {"name": "none"}, "trials_per_condition": 2},
    ),
    "repeatable": (
        {"conditions": {"noise.rate": [0.2, 0.4]}, "parameters": RATE},
        {
            "sampler": {"name": "tpe", "n_startup_trials": 1},
            "pruner": {"name": "median", "n_startup_trials": 1},
            "trials_per_condition": 3,
            "replicates": 1,
            "repeatable": True,
        },
    ),
    "shared": (
        {"conditions": {"noise.rate": [0.2, 0.4]}, "parameters": RATE},
        {
            "trial": TRIAL | {"pretrain": PRETRAINED},
            "sampler": {"name": "random"},
            "pruner": {"name": "none"},
            "trials_per_condition": 2,
        },
    ),
}
"""A search space, and what its sweep has beside, by name: all promise the same table in any run."""


@cache
def simulated_sweep(kind: str) -> Sweep:
    space, more = SWEEPS[kind]
    raw = {"name": NAME, "search_space": "-", "trial": TRIAL, "replicates": 0} | more
    return Sweep.prepare(parse_sweep(raw, "the simulation"), SearchSpace.model_validate(space))


@cache
def images(config: DataConfig) -> ImageData:
    """The data of every sweep here, loaded once."""
    return config.load()


def simulated_pipeline(
    pace: Callable[[], float],
) -> Callable[..., Generator[Event, None, TrialResult]]:
    """A pipeline whose epochs take `pace` seconds each of the world's, and come to the same."""

    def compute(start: Start, due: Callable[[int], bool], total: int) -> Iterator[StageEvent]:
        points = [] if start is None else points_of(start[1])
        for epoch in range(len(points) + 1, total + 1):
            time.sleep(pace())
            points.append(MetricPoint(PRETRAIN, epoch, {"pretrain/loss": 1 / epoch}, time.time()))
            yield points[-1]
            if epoch == total or due(epoch):
                yield Checkpoint(epoch, Artifact({}, record_of(points, 0.0)))

    def pipeline(
        config: TrialConfig, store: StoreLike, options: Options
    ) -> Generator[Event, None, TrialResult]:
        method = config.pretrain
        if isinstance(method, SSLConfig):
            key = pretrain_key(config, images(config.data))
            total = method.epochs
            stage = Stage(key, total, lambda start, due: compute(start, due, total))
            yield from run_stage(stage, store, options.milestones)
        values: Metrics = {}
        for step in range(1, POINTS + 1):
            time.sleep(pace())
            values = _values(config, step)
            yield MetricPoint(FINETUNE, step, values, time.time())
        last: Metrics = {"epoch": float(POINTS), **values}
        return TrialResult(config.to_json(), dict.fromkeys(CHOICES, last), {}, {}, {FINETUNE: 0.0})

    return pipeline


def _values(config: TrialConfig, step: int) -> Metrics:
    """The better the rate, the better the accuracy, and no two trials the same."""
    quality = 1 - abs(config.finetune.lr - 3e-3) / 1e-2 + config.replicate / 1000
    accuracy = quality * (step + 1) / (POINTS + 1)
    return {"val/accuracy": accuracy, "test/accuracy": accuracy / 2, "train/loss": 1 - accuracy}
