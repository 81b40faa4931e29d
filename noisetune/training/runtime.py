"""Where and how a trial computes: device, precision, memory format, threads."""

import os
from contextlib import AbstractContextManager
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from noisetune.errors import UserError

Auto = Literal["auto"]
Module = TypeVar("Module", bound=nn.Module)


class Runtime(BaseModel):
    """Settings of the machine; what is `auto` is settled by `resolve` before a trial starts.

    `precision` bf16 runs the network under autocast, with weights and losses in fp32. `images`
    lie on the `device` or are read from memory or disk as a `stream`; `auto` on a GPU stays, for
    only the stage that starts there sees whether they fit. No result depends on it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool | Auto = "auto"
    threads: Annotated[int, Field(ge=1)] | Auto = "auto"
    images: Literal["auto", "device", "stream"] = "auto"

    def resolve(self, cpus: float | None = None, gpus: float | None = None) -> "Runtime":
        """Nothing `auto` is left, but for `images` on a GPU.

        `cpus` and `gpus` are what the trial was given (None: all). Raises UserError for a device
        that is not there.
        """
        has_gpu = torch.cuda.is_available() and gpus != 0
        if self.device == "cuda" and not has_gpu:
            raise UserError(
                "runtime.device: cuda is asked for, but the trial has no GPU; "
                "use device: auto, or give the trial a share under resources.gpu"
            )
        device = self.device if self.device != "auto" else ("cuda" if has_gpu else "cpu")
        on_gpu = device == "cuda"
        precision, channels_last, threads = self.precision, self.channels_last, self.threads
        if precision == "auto":
            precision = "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "fp32"
        if channels_last == "auto":
            channels_last = on_gpu
        if threads == "auto":
            threads = max(1, int(available_cpus() if cpus is None else cpus))
        return Runtime(
            device=device,
            precision=precision,
            channels_last=channels_last,
            threads=threads,
            images="device" if self.images == "auto" and not on_gpu else self.images,
        )

    def key(self) -> dict[str, Any]:
        """What of it changes results; the thread count moves last bits only and is not keyed."""
        return self.model_dump(mode="json", exclude={"threads", "images"})

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    def apply(self) -> None:
        """Set this process up for the trial: its threads, and TF32 for fp32 work on GPUs."""
        torch.set_num_threads(int(self.threads))
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True

    def place(self, module: Module) -> Module:
        """`module` on the device, in the memory format."""
        return module.to(self.torch_device, memory_format=self.memory_format)  # type: ignore[call-overload]

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def arrange(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=self.memory_format)

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


def available_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
