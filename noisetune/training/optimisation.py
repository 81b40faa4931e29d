"""Optimisers and learning-rate schedules that both training stages share."""

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field
from torch import nn

from noisetune.section import Section
from noisetune.training.lars import LARS

FORWARD_PASS = 1 / 3
"""The cost of a pass without gradients, where one forward and backward is 1."""
ALL_ALIKE: Mapping[nn.Parameter, float] = MappingProxyType({})
"""Of weights that all learn with the whole rate."""


class Optimisation(Section):
    """How a stage is optimised."""

    model_config = ConfigDict(allow_inf_nan=False)

    neutral: ClassVar[Mapping[str, Any]] = {"decay": "all", "clip_norm": None}
    """What fields that came later stand for where they are not known: what was stored before is
    the same still."""

    epochs: int = Field(default=10, ge=1)
    """Passes over the training images."""
    batch_size: int = Field(default=256, ge=3)
    """Images in a step; the last of an epoch has what is left. Where that is one image, which could
    not be normalised, the last two share theirs."""
    optimizer: Literal["adam", "adamw", "sgd", "lars"] = "adam"
    """`sgd` is with Nesterov momentum. `lars` (You et al. 2017), for batches of thousands, is SGD
    whose step of a layer is in proportion to its weights; SimCLR's rate is 0.3 for each 256 images
    of a batch."""
    lr: float = Field(default=1e-3, gt=0.0)
    """The peak of the learning rate."""
    weight_decay: float = Field(default=1e-4, ge=0.0)
    """As torch's optimiser of that name takes it: decoupled from the gradient in `adamw` alone."""
    decay: Literal["all", "weights"] = "all"
    """What `weight_decay` is of: `all`; or the `weights` alone, without biases, norms, and what a
    backbone or a method names, tokens and positions say. `lars` never decays biases and norms."""
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Used by `sgd` and `lars` alone."""
    clip_norm: float | None = Field(default=None, gt=0.0)
    """How long the gradients of a step may be, all of them as one vector: longer ones are scaled
    down to it. Null leaves them as they are."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: `constant` stays at the peak, `cosine` falls to 0 at the end of the last
    epoch (Loshchilov & Hutter 2017)."""
    warmup_epochs: float = Field(default=0.0, ge=0.0)
    """The rate first rises linearly over so many epochs."""

    @property
    def horizon_free(self) -> bool:
        """Whether the first epochs are the same however many follow."""
        return self.schedule == "constant"

    @property
    def unkeyed(self) -> set[str]:
        """The fields that a stage key leaves out, since they are `neutral`."""
        return {name for name, value in self.neutral.items() if getattr(self, name) == value}

    def batches(self, images: int) -> list[int]:
        """How many of so many images each step of an epoch has: each of them in one."""
        full, left = divmod(images, self.batch_size)
        if left == 1 and full:
            shared = self.batch_size + 1
            return [self.batch_size] * (full - 1) + [shared - shared // 2, shared // 2]
        return [self.batch_size] * full + [left] * (left > 0)

    def build_optimizer(
        self,
        module: nn.Module,
        device: torch.device,
        scales: Mapping[nn.Parameter, float] = ALL_ALIKE,
    ) -> torch.optim.Optimizer:
        """The optimiser over all trainable weights of `module`, in one kernel or a few.

        `scales` are the parts of the rate, 0..1, of weights that do not learn with all of it.
        """
        weights = list(self._groups(module, scales))
        shared: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        if self.optimizer == "lars":
            return LARS(weights, momentum=self.momentum, **shared)
        if self.optimizer == "sgd":
            # Not fused: that fails where some weights were frozen so far and have no momentum.
            shared |= {"momentum": self.momentum, "nesterov": self.momentum > 0}
            return torch.optim.SGD(weights, foreach=True, **shared)
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return kind(weights, fused=device.type in ("cpu", "cuda"), **shared)

    def _groups(
        self, module: nn.Module, scales: Mapping[nn.Parameter, float]
    ) -> Iterator[dict[str, Any]]:
        """The trainable weights that are stepped alike, in the module's own order: state is kept by
        their numbers."""
        spared = undecayed(module) if self.decay == "weights" else set()
        alike: dict[tuple[float, float], list[nn.Parameter]] = {}
        for weight in module.parameters():
            if weight.requires_grad:
                decay = 0.0 if weight in spared else self.weight_decay
                alike.setdefault((scales.get(weight, 1.0), decay), []).append(weight)
        for (scale, decay), weights in alike.items():
            yield {"params": weights, "scale": scale, "weight_decay": decay}

    def rate(self, epoch: float) -> float:
        """The learning rate after `epoch` epochs (fractions count steps), 0 <= epoch <= epochs."""
        if epoch < self.warmup_epochs:
            return self.lr * epoch / self.warmup_epochs
        if self.schedule == "constant":
            return self.lr
        span = max(self.epochs - self.warmup_epochs, 1e-12)
        return self.lr * 0.5 * (1 + math.cos(math.pi * (epoch - self.warmup_epochs) / span))


def undecayed(module: nn.Module) -> set[nn.Parameter]:
    """The parameters of fewer than two dimensions, biases and norms, and those that a part of
    `module` names in its `undecayed`, such as tokens and positions."""
    small = {weight for weight in module.parameters() if weight.ndim < 2}
    named = ((part, name) for part in module.modules() for name in getattr(part, "undecayed", ()))
    return small | {part.get_parameter(name) for part, name in named}
