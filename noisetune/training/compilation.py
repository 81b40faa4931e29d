"""torch.compile with a way back: a network that cannot be compiled runs as it is, and says why."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

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
        # An epoch has batches of three sizes at most: each its own graph, none with unknown sizes.
        self._call: Callable[[Any], Any] = torch.compile(module, backend=backend, dynamic=False)

    def __call__(self, inputs: Any) -> Any:
        """What the module makes of its one argument."""
        try:
            return self._call(inputs)
        except self._failure as error:
            if self._call is self._module:
                raise
            reason = " ".join(str(error).split("\n\n")[0].split())
            log.warning("runtime.compile: %s; the network runs without it", reason)
            self._call = self._module
            return self._module(inputs)
