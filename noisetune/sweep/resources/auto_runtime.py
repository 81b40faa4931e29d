"""What of `runtime` is `auto` in a sweep, settled once, before its first trial, for all of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
import torch

from noisetune.config import TrialConfig
from noisetune.datasets import Datasets
from noisetune.records import TrialRecord
from noisetune.sweep.spec.overrides import override
from noisetune.sweep.spec.sweep import Sweep
from noisetune.training.memory_format import corrupts_memory
from noisetune.training.runtime import Runtime
from noisetune.training.speed import forward_flops

DEPENDING = ("device", "precision", "channels_last", "compile")


def settle_runtime(
    sweep: Sweep, begun: Sequence[TrialRecord] = (), datasets: Datasets | None = None
) -> Sweep:
    """The sweep with one device, precision, memory format and compilation for all of its trials.

    Where they are `auto` they are those of the `begun` trials, if there are any, and else those
    that suit the trial with the most work. The sweep's definition stays as it was written.
    """
    given = (_runtime(each.base) for each in sweep.conditions)
    if not any(each.device == "auto" or each.depends_on_trial for each in given):
        return sweep
    if begun:
        runtime = Runtime.model_validate(begun[0].config["runtime"])
    else:
        runtime = _suiting(sweep, datasets or Datasets())
    changed = [replace(each, base=_with_runtime(each.base, runtime)) for each in sweep.conditions]
    return replace(sweep, conditions=changed)


def _suiting(sweep: Sweep, datasets: Datasets) -> Runtime:
    work: list[tuple[int, TrialConfig]] = []
    for trial in (each.trial(values) for each in sweep.conditions for values in each.corners()):
        data = datasets.load(trial.data)
        images = trial.steps(len(data.x_train)) * trial.finetune.batch_size
        # A head by itself decides nothing.
        operations = forward_flops(trial.model, data.shape) if trial.has_backbone else 0
        work.append((operations * images, trial))
    _, largest = max(work, key=lambda each: each[0])
    cpu, gpu = sweep.config.resources.cpu, sweep.config.resources.known_gpu
    if gpu and not torch.cuda.is_available() and ray.is_initialized():
        # A driver without a GPU cannot know what the hosts of its trials have.
        look = ray.remote(num_cpus=cpu, num_gpus=gpu)(_there)
        found = ray.get(look.remote(largest.to_json(), cpu, gpu))
        return Runtime.model_validate(found)
    runtime = largest.resolve(cpu, gpu, datasets.load(largest.data)).runtime
    networks = (each for _, each in work if each.has_backbone)
    shapes = ((each.model, datasets.load(each.data).shape) for each in networks)
    if any(corrupts_memory(model, shape, runtime) for model, shape in shapes):
        # What suits the largest network may be what a small one of the sweep fails at.
        return runtime.model_copy(update={"channels_last": False})
    return runtime


def _there(trial: dict[str, Any], cpu: float, gpu: float) -> dict[str, Any]:
    """A trial's runtime, settled by a process that holds its share."""
    runtime = TrialConfig.parse(trial, "ledger").resolve(cpu, gpu).runtime
    return runtime.model_dump(mode="json")


def _runtime(base: dict[str, Any]) -> Runtime:
    return Runtime.model_validate(base.get("runtime", {}))


def _with_runtime(base: dict[str, Any], runtime: Runtime) -> dict[str, Any]:
    given = _runtime(base)
    for field in DEPENDING:
        if getattr(given, field) == "auto":
            base = override(base, f"runtime.{field}", getattr(runtime, field))
    return base
