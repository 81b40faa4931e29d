"""Where and how a trial computes: device, precision, memory format, threads, compilation."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from noisetune.errors import UserError
from noisetune.memory import keep_freed_memory
from noisetune.section import Section
from noisetune.training.compilation import Compiled

Auto = Literal["auto"]
Module = TypeVar("Module", bound=nn.Module)


class Runtime(Section):
    """Settings of the machine; what is `auto` is settled before a trial starts."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: a GPU where the trial has one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`bf16` runs the network under autocast; weights and losses stay fp32. `auto`: measured."""
    channels_last: bool | Auto = "auto"
    """The memory format of images and weights. `auto`: measured."""
    tf32: bool | Auto = "auto"
    """Lets fp32 products and convolutions on a GPU round their factors to 10 bits, which is faster.
    `auto`: where there is a GPU; on the CPU it is always false."""
    compile: bool | Auto = "auto"
    """Asks for torch.compile in training steps; a network that cannot be compiled runs as it is.
    `auto`: on a GPU from 10,000 steps a trial on."""
    threads: Annotated[int, Field(ge=1)] | Auto = "auto"
    """Of the CPU; `auto`: the trial's CPUs. It moves last bits only and is in no stage key."""
    images: Literal["auto", "device", "stream"] = "auto"
    """`device`: they lie on the device (on the CPU: in memory, or in the cache file); `stream`:
    batches are gathered ahead from memory or disk. `auto` stays on a GPU, where the stage that
    starts there streams images that would take more than half of its free memory. The results are
    the same, bit for bit."""

    @property
    def depends_on_trial(self) -> bool:
        """Whether the network and its epochs have a say in what is still `auto`."""
        return "auto" in (self.precision, self.channels_last, self.compile)

    def resolve(
        self,
        cpus: float | None = None,
        gpus: float | None = None,
        choose: "Choose | None" = None,
    ) -> "Runtime":
        """Nothing `auto` is left, but for `images` on a GPU.

        `cpus` and `gpus` are what the trial was given (None: all). `choose` settles what depends
        on the trial, once device and threads are known; without it that is the device's usual:
        fp32 on a CPU, bf16 and channels_last on a GPU, no compilation. Raises UserError for a
        device that is not there; a `cuda` that is named, with a share, is taken to be where the
        trial runs.
        """
        # A driver may have no GPU where its trials, on other hosts, have one.
        elsewhere = self.device == "cuda" and bool(gpus)
        has_gpu = elsewhere or (torch.cuda.is_available() and gpus != 0)
        if self.device == "cuda" and not has_gpu:
            raise UserError(
                "runtime.device: cuda is asked for, but the trial has no GPU; "
                "use device: auto, or give the trial a share under resources.gpu"
            )
        device = self.device if self.device != "auto" else ("cuda" if has_gpu else "cpu")
        threads = self.threads
        if threads == "auto":
            threads = max(1, int(available_cpus() if cpus is None else cpus))
        # Without a GPU there is none, so that no key tells two values apart that compute the same.
        tf32 = device == "cuda" and self.tf32 is not False
        known = self.model_copy(update={"device": device, "threads": threads, "tf32": tf32})
        if choose is not None and known.depends_on_trial:
            known = choose(known)
        return known._usual()

    def _usual(self) -> "Runtime":
        """What the device is known for, in place of what is `auto`."""
        on_gpu = self.device == "cuda"
        bf16 = on_gpu and self.precision == "auto" and torch.cuda.is_bf16_supported()
        usual = {
            "precision": "bf16" if bf16 else "fp32",
            "channels_last": on_gpu,
            "compile": False,
            "images": "auto" if on_gpu else "device",
        }
        left = {name: value for name, value in usual.items() if getattr(self, name) == "auto"}
        return self.model_copy(update=left)

    def key(self) -> dict[str, Any]:
        """What of it changes results; the thread count moves last bits only and is not keyed."""
        return self.model_dump(mode="json", exclude={"threads", "images"})

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    def apply(self) -> None:
        """Set this process up for the trial: its threads, what it does with memory that it freed,
        and how exact fp32 is on GPUs."""
        keep_freed_memory()
        torch.set_num_threads(int(self.threads))
        torch.backends.cuda.matmul.allow_tf32 = bool(self.tf32)
        torch.backends.cudnn.allow_tf32 = bool(self.tf32)

    def place(self, module: Module) -> Module:
        """`module` on the device, in the memory format."""
        return module.to(self.torch_device, memory_format=self.memory_format)  # type: ignore[call-overload]

    def compiled(self, module: nn.Module) -> Callable[[Any], Any]:
        """`module` as training steps call it; its weights and their names stay those of `module`.

        The stage evaluates with `module` itself: a batch of another size would compile it anew.
        """
        return Compiled(module) if self.compile else module

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def arrange(self, images: Tensor) -> Tensor:
        """Images in the memory format; features of them, which have none, as they are."""
        return images.contiguous(memory_format=self.memory_format) if images.dim() == 4 else images

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


Choose = Callable[[Runtime], Runtime]


def available_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
