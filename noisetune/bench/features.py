"""What a sweep of heads on given features costs: made-up features, real training and detection."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from noisetune.bench.engine import Clock
from noisetune.bench.whole import check_whole
from noisetune.records import DETECT, FINETUNE, TrialRecord, TrialResult
from noisetune.sweep.execution.launch import ray_session, slots_of
from noisetune.sweep.home import Home, Site
from noisetune.sweep.run import drive
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.resources import Resources
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep

CLASSES = 10
PART_OF_TEST = 5
"""So many training images to one of the test set."""
LABELS, FEATURES = "labels.npz", "features"
SPREAD = 4.0


class Stopwatch(Clock):
    """Also adds up what trials took, from their first line of code to their last."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: list[dict[str, float]] = []

    def result(self, trial: TrialRecord, result: TrialResult) -> None:
        self.stages.append(result.seconds)


def make_features(folder: Path, rows: int, width: int) -> None:
    """Features of `rows` training images in ten classes, mapped from files, and their labels."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(CLASSES, width)).astype(np.float32)
    (folder / FEATURES).mkdir(parents=True)
    arrays: dict[str, Any] = {}
    for part, count in (("train", rows), ("test", rows // PART_OF_TEST)):
        labels = np.arange(count) % CLASSES
        noise = random.standard_normal((count, width), dtype=np.float32)
        np.save(folder / FEATURES / f"{part}.npy", centres[labels] + SPREAD * noise)
        arrays |= {f"x_{part}": np.zeros((count, 1, 1), np.uint8), f"y_{part}": labels}
    np.savez(folder / LABELS, **arrays)


def features_sweep(folder: Path, trials: int, epochs: int, batch_size: int) -> Sweep:
    """One condition of random rates, none of which is stopped early."""
    space = SearchSpace.model_validate(
        {"parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}}}
    )
    trial = {
        # There is one pixel to an image, and nothing reads it.
        "data": {"name": "npz", "path": str(folder / LABELS), "overlap": "allow"},
        "noise": {"rate": 0.4},
        "pretrain": {"method": "features", "path": str(folder / FEATURES)},
        "finetune": {"train": "probe", "epochs": epochs, "batch_size": batch_size},
    }
    raw = {
        "name": "features",
        "search_space": "features",
        "trial": trial,
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "trials_per_condition": trials,
        "replicates": 0,
    }
    return Sweep.prepare(parse_sweep(raw, "bench features"), space)


def measure_features(
    trials: int = 1000, rows: int = 50_000, width: int = 512, epochs: int = 10, batch: int = 1024
) -> dict[str, Any]:
    """Run the sweep once with Ray, store, ledger and MLflow on.

    `wall_seconds` is from the start of Ray to the last trial's end, `slot_seconds_per_trial` what
    a trial takes of its slot, of which `stage_seconds` are training and detection.
    """
    with tempfile.TemporaryDirectory(prefix="noisetune-bench-") as name:
        folder = Path(name)
        make_features(folder, rows, width)
        sweep = features_sweep(folder, trials, epochs, batch)
        home, watch = Home(folder), Stopwatch()
        began = time.monotonic()
        with ray_session(Resources()):
            slots = slots_of(sweep.config)
            site = Site(home, str(home.stages), tracking_uri=home.tracking_uri)
            check_whole(drive(sweep, site, watch))
    wall = watch.ends[-1] - began
    return {
        "trials": len(watch.ends),
        "rows": rows,
        "width": width,
        "slots": slots,
        "wall_seconds": wall,
        "slot_seconds_per_trial": slots * wall / len(watch.ends),
        "stage_seconds": {
            stage: statistics.median(each[stage] for each in watch.stages)
            for stage in (FINETUNE, DETECT)
        },
    }
