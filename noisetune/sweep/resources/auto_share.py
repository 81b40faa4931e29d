"""`resources: auto`: the share of a GPU that the largest trial of a sweep needs, measured."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
import torch

from noisetune.config import TrialConfig
from noisetune.sweep.resources.calibration import peak_bytes
from noisetune.sweep.resources.capacity import gpu_share
from noisetune.sweep.spec.resources import Resources
from noisetune.sweep.spec.sweep import Sweep


def settle(sweep: Sweep) -> Sweep:
    """The sweep with `resources: auto` settled in the Ray session at hand; others as they are."""
    if not sweep.config.resources.auto:
        return sweep
    available = ray.cluster_resources()
    config = sweep.config.model_copy(update={"resources": _measured(sweep, available)})
    return replace(sweep, config=config)


def _measured(sweep: Sweep, available: dict[str, float]) -> Resources:
    """One CPU, and where there are GPUs the share that a task holding a whole one measures."""
    if available.get("GPU", 0) < 1:
        return Resources()
    look = ray.remote(num_cpus=1, num_gpus=1)(measure)
    peak, total = ray.get(look.remote([config.to_json() for config in candidates(sweep)]))
    if not total:
        return Resources()
    return Resources(gpu=gpu_share(peak, total, int(available["CPU"] // available["GPU"])))


def candidates(sweep: Sweep) -> list[TrialConfig]:
    """A trial for each way in which those of a sweep differ in memory."""
    trials: dict[str, TrialConfig] = {}
    for condition in sweep.conditions:
        for values in condition.corners():
            trial = condition.trial(values)
            alike = {"lr", "weight_decay", "epochs", "schedule", "warmup_epochs", "temperature"}
            parts = trial.model_dump(include={"data", "model", "pretrain", "finetune"})
            kind = [
                {field: value for field, value in part.items() if field not in alike}
                for part in parts.values()
            ]
            trials.setdefault(repr(kind), trial)
    return list(trials.values())


def measure(configs: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """The peak of these trials and the memory of the GPU, in bytes; 0 and 0 where there is none."""
    if not torch.cuda.is_available():
        return 0, 0
    total = torch.cuda.get_device_properties(0).total_memory
    try:
        peaks = [_peak(TrialConfig.parse(raw, "resources: auto")) for raw in configs]
    except torch.OutOfMemoryError:
        return total, total
    return max(peaks), total


def _peak(config: TrialConfig) -> int:
    data = config.data.load()
    return peak_bytes(config.resolve(1, 1, data), data)
