"""Where `channels_last: true` must not be: a fault of oneDNN, which computes torch's convolutions.

On x86 processors the fp32 weight gradient of a strided 1x1 convolution whose input is channels_last
writes past its workspace where the channels are fewer than a vector block holds: memory is
corrupted, and the process crashes, hangs or goes on with wrong gradients (oneDNN issue 6035, open
in 3.13). bf16 and the contiguous format use other kernels.
"""

import platform

import torch
from torch import nn

from noisetune.errors import UserError
from noisetune.models.base import ModelConfig
from noisetune.training.runtime import Runtime


def check_memory_format(model: ModelConfig, shape: tuple[int, int, int], runtime: Runtime) -> None:
    """UserError where `runtime`, which is settled, would corrupt the memory of the trial.

    shape is (C, H, W) of the images.
    """
    if corrupts_memory(model, shape, runtime):
        raise UserError(
            f"runtime.channels_last: true, in fp32 on this CPU, with model {model.name}: torch's "
            "kernels corrupt memory in its strided 1x1 convolutions of fewer than "
            f"{_block()} channels; set runtime.channels_last: false, or take a wider model"
        )


def corrupts_memory(model: ModelConfig, shape: tuple[int, int, int], runtime: Runtime) -> bool:
    plain = (runtime.device, runtime.precision, runtime.channels_last) == ("cpu", "fp32", True)
    return plain and overruns(model, shape)


def overruns(model: ModelConfig, shape: tuple[int, int, int]) -> bool:
    """Whether the network has convolutions that this CPU fails at in fp32 with channels_last."""
    block = _block()
    with torch.device("meta"):
        modules = list(model.build(shape[0], shape[1:]).modules())
    return any(isinstance(each, nn.Conv2d) and _overruns(each, block) for each in modules)


def _overruns(layer: nn.Conv2d, block: int) -> bool:
    pointwise = layer.kernel_size == (1, 1) and layer.padding in ((0, 0), "valid")
    strided = layer.stride != (1, 1) and layer.groups == 1
    # An image of one channel is contiguous in both formats.
    return pointwise and strided and 1 < layer.in_channels < block


def _block() -> int:
    """Channels to a block of oneDNN's kernels; 0 where the processor has others."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return 0
    return 16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8
