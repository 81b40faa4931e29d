"""Optimisers and learning-rate schedules that both training stages share."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import ConfigDict, Field
from torch import nn

from noisetune.section import Section


class Optimisation(Section):
    """How a stage is optimised."""

    model_config = ConfigDict(allow_inf_nan=False)

    epochs: int = Field(default=10, ge=1)
    """Passes over the training images."""
    batch_size: int = Field(default=256, ge=3)
    """Images in a step; the last of an epoch has what is left. Where that is one image, which could
    not be normalised, the last two share theirs."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """`sgd` is with Nesterov momentum."""
    lr: float = Field(default=1e-3, gt=0.0)
    """The peak of the learning rate."""
    weight_decay: float = Field(default=1e-4, ge=0.0)
    """As torch's optimiser of that name takes it: decoupled from the gradient in `adamw` alone."""
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Used by `sgd` alone."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: `constant` stays at the peak, `cosine` falls to 0 at the end of the last
    epoch (Loshchilov & Hutter 2017)."""
    warmup_epochs: float = Field(default=0.0, ge=0.0)
    """The rate first rises linearly over so many epochs."""

    @property
    def horizon_free(self) -> bool:
        """Whether the first epochs are the same however many follow."""
        return self.schedule == "constant"

    def batches(self, images: int) -> list[int]:
        """How many of so many images each step of an epoch has: each of them in one."""
        full, left = divmod(images, self.batch_size)
        if left == 1 and full:
            shared = self.batch_size + 1
            return [self.batch_size] * (full - 1) + [shared - shared // 2, shared // 2]
        return [self.batch_size] * full + [left] * (left > 0)

    def build_optimizer(self, module: nn.Module, device: torch.device) -> torch.optim.Optimizer:
        """The optimiser over all trainable weights of `module`, in one kernel or a few."""
        weights: Iterable[nn.Parameter] = [p for p in module.parameters() if p.requires_grad]
        shared: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        if self.optimizer == "sgd":
            # Not fused: that fails where some weights were frozen so far and have no momentum.
            shared |= {"momentum": self.momentum, "nesterov": self.momentum > 0}
            return torch.optim.SGD(weights, foreach=True, **shared)
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return kind(weights, fused=device.type in ("cpu", "cuda"), **shared)

    def rate(self, epoch: float) -> float:
        """The learning rate after `epoch` epochs (fractions count steps), 0 <= epoch <= epochs."""
        if epoch < self.warmup_epochs:
            return self.lr * epoch / self.warmup_epochs
        if self.schedule == "constant":
            return self.lr
        span = max(self.epochs - self.warmup_epochs, 1e-12)
        return self.lr * 0.5 * (1 + math.cos(math.pi * (epoch - self.warmup_epochs) / span))
