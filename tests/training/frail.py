"""A backbone that ends its process, hangs or raises an error in some of the ways to compute it."""

import os
import signal
import threading
from typing import Literal

import torch
from torch import Tensor

from noisetune.models.base import Backbone, ModelConfig, Size


class Frail(ModelConfig):
    name: Literal["frail"] = "frail"
    faults: dict[str, Literal["SIGSEGV", "SIGABRT", "hang", "error"]]

    def build(self, channels: int, size: Size) -> Backbone:
        return FrailBackbone(self)


class FrailBackbone(Backbone):
    def __init__(self, config: Frail) -> None:
        super().__init__()
        self.feature_dim, self.config = 1, config

    def forward(self, images: Tensor) -> Tensor:
        fault = self.config.faults.get(way_of(images))
        if fault is not None:
            fail(fault)
        return images.mean(dim=(1, 2, 3)).unsqueeze(1)


def way_of(images: Tensor) -> str:
    precision = "bf16" if torch.is_autocast_enabled("cpu") else "fp32"
    return f"{precision} {'contiguous' if images.is_contiguous() else 'channels_last'}"


def fail(fault: str) -> None:
    if fault == "hang":
        threading.Event().wait()
    if fault == "error":
        raise RuntimeError("frail as it is")
    os.kill(os.getpid(), getattr(signal, fault))
