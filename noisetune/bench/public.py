"""SimCLR as lightly's own example trains it: what `bench train` compares pre-training with."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import active_children
from typing import Any

import psutil
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import to_pil_image

from noisetune.bench.rounds import Part
from noisetune.ssl.base import ProjectionConfig
from noisetune.stages.base import Inputs
from noisetune.training.runtime import available_cpus

IMAGES = 50_000  # to an epoch, as in CIFAR-10
LEARNING_RATE = 0.06


def public_name() -> str:
    return f"lightly {version('lightly')}" if find_spec("lightly") else "not installed"


class _Pictures(Dataset[Any]):
    """PIL images through lightly's transform, as torchvision's CIFAR10 would give them."""

    def __init__(self, inputs: Inputs, transform: Callable[[Any], Any]) -> None:
        self._images = [to_pil_image(image) for image in inputs.data.x_train]
        self._transform = transform

    def __len__(self) -> int:
        return max(IMAGES, len(self._images))

    def __getitem__(self, index: int) -> Any:
        return self._transform(self._images[index % len(self._images)]), 0


@contextmanager
def public_way(inputs: Inputs, batches: int) -> Iterator[Part | None]:
    """The part that trains so many batches; None without lightly.

    lightly's transform, loss and optimiser, fp32, a DataLoader with a worker for each core, and
    our network and head. Between two calls the workers stand still: they would work ahead, and
    slow what is measured in between.
    """
    if not find_spec("lightly"):
        yield None
        return
    # Else its import asks a server for its newest version.
    os.environ.setdefault("LIGHTLY_DID_VERSION_CHECK", "True")
    before = set(active_children())
    step = _steps(inputs)
    # What the workers have loaded ahead is used up first.
    for _ in range(_prefetched(inputs)):
        step()
    workers = tuple(psutil.Process(each.pid) for each in set(active_children()) - before)

    def run() -> None:
        for worker in workers:
            worker.resume()
        for _ in range(batches):
            step()
        for worker in workers:
            worker.suspend()

    for worker in workers:
        worker.suspend()
    try:
        yield Part(run, batches, workers)
    finally:
        for worker in workers:
            worker.resume()


def _prefetched(inputs: Inputs) -> int:
    # A CPU is slower than its workers, which stay ahead all the time.
    return 1 if inputs.config.runtime.device == "cpu" else 2 * available_cpus()


def _steps(inputs: Inputs) -> Callable[[], None]:
    from lightly.loss import NTXentLoss
    from lightly.transforms import SimCLRTransform

    config, device = inputs.config, inputs.config.runtime.torch_device
    method = config.pretrain
    assert isinstance(method, ProjectionConfig)
    loader: DataLoader[Any] = DataLoader(
        _Pictures(inputs, SimCLRTransform(input_size=inputs.data.size[0], gaussian_blur=0.0)),
        batch_size=method.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=available_cpus(),
        persistent_workers=True,
    )
    backbone = config.model.build(inputs.data.channels, inputs.data.size)
    network = nn.Sequential(backbone, method.build_head(backbone.feature_dim)).to(device)
    criterion = NTXentLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)

    def batches() -> Iterator[Any]:
        while True:
            yield from loader

    stream = batches()

    def step() -> None:
        (first, second), _ = next(stream)
        loss = criterion(network(first.to(device)), network(second.to(device)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
