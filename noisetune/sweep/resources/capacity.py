"""What trials ask for beside what there is: CPUs and fractions of GPUs."""

from collections.abc import Mapping

import torch

from noisetune.errors import UserError
from noisetune.sweep.spec.resources import Resources
from noisetune.training.runtime import available_cpus

MEMORY_MARGIN = 1.2


def check_fits(resources: Resources, available: Mapping[str, float], where: str) -> None:
    """UserError where a trial asks for more than is `available`: it would wait for ever."""
    for field, kind in (("cpu", "CPU"), ("gpu", "GPU")):
        wanted, has = getattr(resources, field), available.get(kind, 0)
        if wanted > has:
            raise UserError(
                f"resources.{field}: {wanted:g} is more than {where} has ({has:g}); "
                f"a trial takes at most that, lower it"
            )


def local_resources() -> dict[str, int]:
    """The CPUs and GPUs of this machine, by Ray's names."""
    return {"CPU": available_cpus(), "GPU": torch.cuda.device_count()}


def fitting_trials(resources: Resources, available: Mapping[str, float], limit: int | None) -> int:
    """How many trials run at once with what is `available`; UserError where not even one can."""
    check_fits(resources, available, "the cluster")
    fits = int(available.get("CPU", 0) / resources.cpu + 1e-9)
    if resources.gpu:
        fits = min(fits, _gpu_slots(resources.gpu, available["GPU"]))
    return max(1, min(fits, limit or fits))


def gpu_share(peak: int, total: int, trials: int) -> float:
    """The share 1/k of a GPU of `total` bytes that holds a trial whose peak was `peak` bytes.

    It is rounded up from 1.2 times the peak, and k is at most the `trials` that the CPUs beside a
    GPU can run; a trial that needs more than a GPU gets a whole one.
    """
    room = int(total / (MEMORY_MARGIN * max(peak, 1)))
    k = max(1, min(room, trials))
    # Ray counts in steps of 1e-4: k shares must not be more than the whole.
    return int(1e4 / k) / 1e4


def _gpu_slots(share: float, gpus: float) -> int:
    # A fraction lies on one GPU: three trials of .4 need two GPUs, not 1.2.
    if share >= 1:
        return int(gpus / share + 1e-9)
    return int(1 / share + 1e-9) * int(gpus)
