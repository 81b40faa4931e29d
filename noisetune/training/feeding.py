"""How images reach a stage: all of them on the device, or batches gathered ahead of their use."""

import math
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from noisetune.training.runtime import Runtime

RESIDENT_SHARE = 0.5
"""Images stay on a GPU where they take no more than this share of its free memory."""
AHEAD = 4
"""Streamed batches that are gathered before they are asked for, each by a thread of its own."""
EVALUATION_BATCH = 1024
EVALUATION_PIXELS = EVALUATION_BATCH * 64 * 64
THREAD_NAME = "noisetune-feed"


class Feed:
    """uint8 images (N, C, H, W), or their features (N, D), read in batches on the device of
    `runtime`.

    Resident images lie on the device and are indexed there; on the CPU they are the tensor itself,
    never a copy. Streamed ones stay where they are, in memory or in a memory-mapped file: threads
    gather batches ahead and, for a GPU, copy them from pinned memory on a stream of their own.
    Both ways give the same batches, bit for bit.
    """

    def __init__(self, images: Tensor, runtime: Runtime) -> None:
        self.device = runtime.torch_device
        self.resident = is_resident(images, runtime)
        self.images = images.to(self.device) if self.resident else images.contiguous()

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, parts: Sequence[Tensor]) -> AbstractContextManager[Iterator[Tensor]]:
        """A batch for each of `parts`, positions (B,) on any device, in this order.

        Leaving the context ends every thread; what fails in one is raised by the batch it was
        to give.
        """
        return closing(self._indexed(parts) if self.resident else self._streamed(parts))

    def passing(self, rows: Tensor | None = None) -> AbstractContextManager[Iterator[Tensor]]:
        """All images, or those at `rows` (M,), in order, in batches of a size for evaluation."""
        pixels = math.prod(self.images.shape[2:])
        size = min(EVALUATION_BATCH, max(1, EVALUATION_PIXELS // pixels))
        if rows is not None:
            return self.batches(rows.split(size))
        if self.resident:
            return closing(batch for batch in self.images.split(size))
        return self.batches(torch.arange(len(self)).split(size))

    def _indexed(self, parts: Sequence[Tensor]) -> Generator[Tensor, None, None]:
        # Moved at once: a transfer for each batch would hold its step up.
        everywhere = torch.cat(tuple(parts)).to(self.device)
        for rows in everywhere.split([len(part) for part in parts]):
            yield self.images.index_select(0, rows)

    def _streamed(self, parts: Sequence[Tensor]) -> Generator[Tensor, None, None]:
        everywhere = torch.cat(tuple(parts)).cpu()
        lane = _GpuLane if self.device.type == "cuda" else _Lane
        lanes = [lane(self.images, self.device, max(map(len, parts))) for _ in range(AHEAD)]
        ahead: deque[tuple[_Lane, Future[Tensor]]] = deque()
        pool = ThreadPoolExecutor(AHEAD, THREAD_NAME)
        try:
            for index, rows in enumerate(everywhere.split([len(part) for part in parts])):
                # A lane is given work again only after its last batch was taken.
                mine = lanes[index % AHEAD]
                ahead.append((mine, pool.submit(mine.gather, rows)))
                if len(ahead) == AHEAD:
                    yield _next(ahead)
            while ahead:
                yield _next(ahead)
        finally:
            pool.shutdown(cancel_futures=True)


def is_resident(images: Tensor, runtime: Runtime) -> bool:
    """Whether images are held on the device: as `runtime.images` says, or where they fit."""
    if runtime.images != "auto":
        return runtime.images == "device"
    if runtime.torch_device.type == "cpu":
        return True
    return images.nbytes <= RESIDENT_SHARE * _free_bytes()


def _free_bytes() -> int:
    """What this process may still allocate on its GPU, held to its share of it."""
    free, total = torch.cuda.mem_get_info()
    allocated = torch.cuda.memory_allocated()
    unused = torch.cuda.memory_reserved() - allocated
    share = torch.cuda.get_per_process_memory_fraction()
    return min(free + unused, int(share * total) - allocated)


def _next(ahead: "deque[tuple[_Lane, Future[Tensor]]]") -> Tensor:
    lane, future = ahead.popleft()
    return lane.take(future.result())


@dataclass
class _Lane:
    """Gathers one batch at a time, of up to `most` images."""

    images: Tensor
    device: torch.device
    most: int

    def gather(self, rows: Tensor) -> Tensor:
        """The batch at `rows`; called on a thread."""
        empty = torch.empty(len(rows), *self.images.shape[1:], dtype=self.images.dtype)
        return self._read(rows, empty)

    def take(self, batch: Tensor) -> Tensor:
        """The batch for use; called by who asked for it."""
        return batch

    def _read(self, rows: Tensor, target: Tensor) -> Tensor:
        # NumPy, for it copies on this one thread and lets the others run meanwhile; with "raise"
        # it would go through a second copy.
        np.take(self.images.numpy(), rows.numpy(), axis=0, out=target.numpy(), mode="clip")
        return target


class _GpuLane(_Lane):
    """A pinned buffer, and a stream on which it is copied to the device."""

    def __post_init__(self) -> None:
        shape = (self.most, *self.images.shape[1:])
        self.buffer = torch.empty(shape, dtype=self.images.dtype, pin_memory=True)
        self.stream = torch.cuda.Stream(self.device)
        self.copied = torch.cuda.Event()

    def gather(self, rows: Tensor) -> Tensor:
        self.copied.synchronize()
        with torch.cuda.stream(self.stream):
            batch = self._read(rows, self.buffer[: len(rows)]).to(self.device, non_blocking=True)
            self.copied.record(self.stream)
        return batch

    def take(self, batch: Tensor) -> Tensor:
        current = torch.cuda.current_stream(self.device)
        current.wait_event(self.copied)
        # Its memory may be used again only when the computing stream is done with it.
        batch.record_stream(current)
        return batch
