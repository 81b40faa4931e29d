"""torch.compile with a way back: a network that cannot be compiled runs as it is, and says why."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)


class Compiled:
    """Calls `module` through torch.compile, and from its first failure on as it is.

    The weights and their names stay those of `module`. What fails is compilation, in the first
    calls: an error of the network itself is raised again when it then runs as it is.
    """

    def __init__(self, module: nn.Module, backend: str | Callable[..., object] = "inductor"):
        # Seconds to import, for those who compile alone.
        from torch._dynamo.exc import TorchDynamoException

        self._module, self._failure = module, TorchDynamoException
        # An epoch has batches of two sizes at most: each its own graph, none with unknown sizes.
        self._call: Callable[[Tensor], Tensor] = torch.compile(
            module, backend=backend, dynamic=False
        )

    def __call__(self, images: Tensor) -> Tensor:
        try:
            return self._call(images)
        except self._failure as error:
            if self._call is self._module:
                raise
            reason = " ".join(str(error).split("\n\n")[0].split())
            log.warning("runtime.compile: %s; the network runs without it", reason)
            self._call = self._module
            return self._module(images)
