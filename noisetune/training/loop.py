"""One epoch of optimisation, and a network's state as plain named tensors."""

import math
import time
from collections.abc import Generator, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from noisetune.records import Tick
from noisetune.training.optimisation import Optimisation

TICK_SECONDS = 1.0


class DivergedError(Exception):
    """The loss became infinite or not a number: the trial's learning rate is too high for it.

    `chance` is the accuracy (0..1) of guessing, which a trial that diverged before its first epoch
    of fine-tuning has; None where who raised it does not know the classes.
    """

    chance: float | None = None


def run_epoch(
    stage: str,
    plan: Optimisation,
    epoch: int,
    sizes: Sequence[int],
    optimizer: torch.optim.Optimizer,
    losses: Iterable[Tensor],
) -> Generator[Tick, None, float]:
    """Optimise over the `losses` of batches of so many images (`sizes`); a tick about once a second
    says how far the stage is.

    Each is a scalar; the next one is asked for when its step is done. Returns their mean over the
    images, which is read from the device once, at the end; DivergedError where it is not finite.
    """
    batches, limit = len(sizes), plan.clip_norm
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    total: Tensor | None = None
    last_tick = time.monotonic()
    for index, (size, loss) in enumerate(zip(sizes, losses, strict=True)):
        _set_rate(optimizer, plan.rate(epoch + (index + 0.5) / batches))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if limit is not None:
            nn.utils.clip_grad_norm_(weights, limit)
        optimizer.step()
        summed = loss.detach() * size
        total = summed if total is None else total + summed
        if time.monotonic() - last_tick > TICK_SECONDS:
            yield Tick(stage, (epoch + (index + 1) / batches) / plan.epochs)
            last_tick = time.monotonic()
    mean = float(total) / sum(sizes) if total is not None else math.nan
    if not math.isfinite(mean):
        raise DivergedError(f"the loss of epoch {epoch + 1} is {mean}")
    return mean


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def pack_module(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """Copies of a module's weights and buffers on the CPU, as `prefix.name`."""
    return {
        f"{prefix}.{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in module.state_dict().items()
    }


def unpack_module(prefix: str, tensors: Mapping[str, Tensor], module: nn.Module) -> None:
    """Put what `pack_module` packed under `prefix` back into `module`."""
    module.load_state_dict(strip(prefix, tensors))


def strip(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under `prefix`, by their names without it."""
    start = prefix + "."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Copies of an optimiser's state on the CPU, as `optimizer.<parameter>.<name>`."""
    return {
        f"optimizer.{parameter}.{name}": value.detach().to("cpu", copy=True).contiguous()
        for parameter, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def unpack_optimizer(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Put what `pack_optimizer` packed back; learning rates are set by the loop."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in strip("optimizer", tensors).items():
        parameter, entry = name.split(".", 1)
        state.setdefault(int(parameter), {})[entry] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    # Fused steps run through memory: a state must lie there as its weight does.
    for weight, entries in optimizer.state.items():
        for name, value in entries.items():
            if value.shape == weight.shape:
                entries[name] = torch.empty_like(weight).copy_(value)
