"""LARS (You et al. 2017, arXiv 1708.03888): a rate for each layer, for batches of thousands."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

TRUST = 1e-3
EPSILON = 1e-8
MOMENTUM = "momentum_buffer"


class LARS(torch.optim.Optimizer):
    """SGD with momentum, where a step of each weight w with gradient g is in proportion to w:

        v = momentum * v + TRUST * |w| / (|g| + weight_decay * |w|) * (g + weight_decay * w)
        w = w - lr * v

    Parameters of fewer than two dimensions, biases and norms, take SGD's step and never decay, as
    in SimCLR and BYOL.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of every weight that has a gradient; a closure is refused."""
        if closure is not None:
            raise NotImplementedError("LARS takes gradients that are there, and no closure")
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            layers = [weight for weight in weights if weight.ndim > 1]
            others = [weight for weight in weights if weight.ndim <= 1]
            self._move(layers, _adapted(layers, group["weight_decay"]), group)
            self._move(others, [weight.grad for weight in others], group)

    def _move(self, weights: list[Tensor], pulls: list[Tensor], group: dict[str, Any]) -> None:
        if weights:
            speeds = [self._speed(weight) for weight in weights]
            torch._foreach_mul_(speeds, group["momentum"])
            torch._foreach_add_(speeds, pulls)
            torch._foreach_add_(weights, speeds, alpha=-group["lr"])

    def _speed(self, weight: Tensor) -> Tensor:
        """What momentum has gathered of a weight."""
        state = self.state[weight]
        if MOMENTUM not in state:
            state[MOMENTUM] = torch.zeros_like(weight)
        return state[MOMENTUM]


def _adapted(weights: list[Tensor], decay: float) -> list[Tensor]:
    """The gradients with the weights' decay, each in proportion to its weight."""
    if not weights:
        return []
    grads = [weight.grad for weight in weights if weight.grad is not None]
    lengths, pulls = (torch.stack(torch._foreach_norm(each)) for each in (weights, grads))
    trust = TRUST * lengths / (pulls + decay * lengths + EPSILON)
    # A weight of zeros takes SGD's step, or it would stay; one without a pull stays as it is.
    trust = torch.where(lengths > 0, trust, 1.0) * (pulls > 0)
    # A factor for each is a tensor on the device, so that nothing waits for its value.
    decayed = torch._foreach_add(grads, weights, alpha=decay)
    return list(torch._foreach_mul(decayed, trust.unbind()))
