"""`noisetune bench sharing` on a part of the digits; what it says of time is not looked at."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from noisetune.bench import sharing
from noisetune.bench.sharing import Span, Stopwatch, measure_sharing, paper_shaped
from noisetune.records import MetricPoint, TrialRecord
from noisetune.sweep.prepared import Sweep

KEYS = {
    "slots",
    "trials",
    "same_results",
    "pretrain_epochs",
    "pretrain_epochs_ratio",
    "wall_seconds",
    "wall_ratio",
    "wall_ratio_bound",
    "share_of_bound",
    "idle_share",
}


def test_the_sweep_is_shaped_like_the_papers() -> None:
    """1,360 epochs of pre-training become 100: two methods of 50 epochs each."""
    sweep = paper_shaped((10, 25, 50), 16, "paper")
    trials = [
        condition.trial(dict(zip(("pretrain.epochs", "finetune.lr"), values, strict=False)))
        for condition in sweep.conditions
        for values in crossed(condition.parameters)
    ]
    assert len(sweep.conditions) == 12
    assert len(trials) == 4 * (2 + 6 + 6)
    assert sum(getattr(trial.pretrain, "epochs", 0) for trial in trials) == 1360
    assert {trial.finetune.epochs for trial in trials} == {10}
    assert {trial.pretrain.schedule for trial in trials if trial.pretrain.method != "none"} == {
        "constant"
    }


def crossed(parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    epochs = parameters["pretrain.epochs"].choices if "pretrain.epochs" in parameters else (None,)
    rates = parameters["finetune.lr"].choices
    return [(each, rate) for each in epochs for rate in rates]
